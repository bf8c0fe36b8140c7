# SPDX-License-Identifier: MIT
"""Closed-loop load: N clients, each posting its next recording as soon as it has the answer to the last.

In: a server of peers.py, recordings, clients, requests. Out: a Load with rate, latencies and memory.
"""

import statistics
import threading
import time
from dataclasses import dataclass

from peers import status_kb


@dataclass
class Load:
    clients: int
    seconds: float
    audio: float
    latencies: list
    rss_kb: int

    @property
    def rate(self):
        return len(self.latencies) / self.seconds

    @property
    def speed(self):
        """Seconds of audio done in a second."""
        return self.audio / self.seconds

    def percentile(self, share):
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1)]

    @property
    def p50(self):
        return statistics.median(self.latencies)

    @property
    def p95(self):
        return self.percentile(0.95)


def drive(server, clips, clients, requests, beam=1):
    """Clients take turns through the list of recordings, so that every engine has the same work in the same order."""
    lock, latencies, failures = threading.Lock(), [], []
    work = iter([clips[i % len(clips)] for i in range(requests)])
    audio = sum(clips[i % len(clips)].seconds for i in range(requests))
    stop, peak = threading.Event(), [0]

    def client():
        while not failures:
            with lock:
                clip = next(work, None)
            if clip is None:
                return
            started = time.perf_counter()
            try:
                server.run(clip.path, beam)
            except (OSError, RuntimeError, ValueError, KeyError) as error:
                failures.append(error)
                return
            with lock:
                latencies.append(time.perf_counter() - started)

    def watch():
        while True:
            peak[0] = max(peak[0], sum(status_kb(pid, "VmRSS") for pid in server.pids))
            if stop.wait(0.1):
                return

    watcher = threading.Thread(target=watch)
    threads = [threading.Thread(target=client) for _ in range(clients)]
    watcher.start()
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    stop.set()
    watcher.join()
    if failures:
        raise SystemExit(f"compare: {server.name} with {clients} clients: {failures[0]}")
    return Load(clients, seconds, audio, latencies, peak[0])
