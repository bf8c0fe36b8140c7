# SPDX-License-Identifier: MIT
"""The daemon is ended at random moments under load, by SIGTERM and by SIGKILL in turn: no answer is wrong or another's,
a refusal is a sentence, what SIGTERM finds running is answered in full, no job that was taken is lost, no file is left.

SOTTO_KILLS sets how often; 4 by default."""

import http.client
import json
import os
import random
import signal
import sqlite3
import tempfile
import threading
import time
import unittest
from pathlib import Path

from daemon import RECORDINGS, Daemon, multipart, need_model, quiet, until

KILLS = int(os.environ.get("SOTTO_KILLS", "4"))
CLIENTS = 8


def sounds():
    """(name, bytes): spoken where there are recordings, and of several lengths, so that an answer tells whose it is."""
    found = sorted(p for p in RECORDINGS.glob("*") if p.suffix in (".wav", ".flac") and p.stat().st_size < 1 << 20)
    return [(p.name, p.read_bytes()) for p in found[:3]] + [(f"quiet{s}.wav", quiet(s)) for s in (1, 2, 3)]


class Load:
    """Clients that ask one thing after another until nobody answers; what they were told is held against `wanted`."""

    def __init__(self, port, sounds, wanted, seed):
        self.port, self.sounds, self.wanted = port, sounds, wanted
        self.answered = self.refused = self.cut = 0
        self.jobs, self.faults, self.over, self.lock = [], [], False, threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(random.Random(seed * 100 + i),)) for i in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def join(self):
        self.over = True
        for t in self.threads:
            t.join(120)

    def client(self, chance):
        while not self.over:
            kind, (name, content) = chance.choice(("json", "json", "stream", "job")), chance.choice(self.sounds)
            fields = [("temperature_inc", "0")] + ([("stream", "true")] if kind == "stream" else [])
            body, form = multipart(fields, content, name)
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
            response = None
            try:
                path = "/v1/jobs" if kind == "job" else "/v1/audio/transcriptions"
                c.request("POST", path, body, {"Content-Type": form})
                response = c.getresponse()
                whole = response.read()
                with self.lock:
                    self.take(kind, name, response, whole)
                if response.status not in (200, 201):
                    time.sleep(chance.uniform(0, 0.1))
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.cut += response is not None  # an answer had begun
                if isinstance(error, ConnectionRefusedError):
                    return
            finally:
                c.close()

    def take(self, kind, name, response, whole):
        if response.status in (200, 201):
            if kind == "job":
                self.jobs.append((json.loads(whole)["id"], name))
                return
            if kind == "stream":
                events = [json.loads(line[6:]) for line in whole.splitlines() if line.startswith(b"data: {")]
                last = events[-1] if events else {}
                if last.get("type") != "transcript.text.done":
                    self.cut += 1
                    return
                text = last["text"]
            else:
                text = json.loads(whole)["text"]
            self.answered += 1
            if text != self.wanted[name]:
                self.faults.append(f"{kind} of {name}: {text!r} instead of {self.wanted[name]!r}")
        elif response.status in (429, 503):
            self.refused += 1
            if len(json.loads(whole)["error"]["message"]) < 10 or "Retry-After" not in response.headers:
                self.faults.append(f"{response.status}: {response.headers} {whole!r}")
        else:
            self.faults.append(f"{response.status} for {kind} of {name}: {whole!r}")


class Killed(unittest.TestCase):
    def test_ended_under_load(self):
        files, chance, jobs, answered, refused = sounds(), random.Random(5), [], 0, 0
        with Daemon() as d:
            wanted = {name: d.quick(content).json["text"] for name, content in files}
            self.assertEqual(d.stop(), 0)
        with tempfile.TemporaryDirectory(prefix="sottod-state-") as folder:
            options = ("--state-dir", folder, "--slots", "2", "--max-queue", "6", "--job-files", "100000")
            for turn in range(KILLS):
                number = signal.SIGKILL if turn % 2 else signal.SIGTERM
                with Daemon(*options) as d:
                    load = Load(d.port, files, wanted, turn)
                    time.sleep(chance.uniform(0.1, 2.5))
                    d.signal(number)
                    status = d.process.wait(90)
                    load.join()
                    self.assertEqual(status, 0 if number == signal.SIGTERM else -number, d.log[-2000:])
                    self.assertEqual(load.faults, [], f"turn {turn}")
                    if number == signal.SIGTERM:
                        self.assertEqual(load.cut, 0, "answers that SIGTERM cut")
                    self.assertEqual(list(Path(d.spool.name).iterdir()), [], "recordings left in the spool")
                    jobs += load.jobs
                    answered += load.answered
                    refused += load.refused
            self.assertGreater(answered, 0)
            with Daemon(*options) as d:
                self.assertTrue(until(lambda: not self.unfinished(d), 300), "jobs do not end")
                for job, name in jobs:
                    a = d.get(f"/v1/jobs/{job}")
                    self.assertEqual(a.status, 200, f"{job} is lost")
                    recording = a.json["data"][0]
                    self.assertEqual((recording["state"], recording["name"]), ("done", name))
                    self.assertEqual(recording["result"]["text"], wanted[name])
                self.assertEqual(d.stop(), 0)
            self.assertEqual(list((Path(folder) / "audio").iterdir()), [], "recordings left in the state directory")
            check = sqlite3.connect(Path(folder) / "jobs.sqlite").execute("PRAGMA integrity_check").fetchone()
            self.assertEqual(check, ("ok",))
        print(f"ended {KILLS} times: {answered} answers, {refused} refusals, {len(jobs)} jobs, none lost")

    def unfinished(self, d):
        return [j for j in d.get("/v1/jobs").json["data"] if j["state"] not in ("done", "failed")]


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
