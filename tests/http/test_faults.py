# SPDX-License-Identifier: MIT
"""What the daemon does when the system fails it: allocations, reads and writes, the wall clock, threads, one fault at a
time, from tests/support/faults.c, which is preloaded. It never crashes, says what went wrong, leaks nothing and answers
the next request as ever.

SOTTO_FAULT_STEP=1 fails every allocation of a request, one request each; every 23rd by default."""

import contextlib
import json
import mmap
import os
import socket
import struct
import tempfile
import threading
import time
import unittest
from pathlib import Path

from daemon import BIN, RECORDINGS, Daemon, multipart, need_model, quiet, until

STEP = int(os.environ.get("SOTTO_FAULT_STEP", "23"))
SHIM = BIN.parent / "tests" / "libsotto_faults.so"
ALLOC_AT, ALLOCS, ALLOC_FAILED, LIVE, IO_EVERY, IO_DONE, CLOCK_S, THREAD_AT, PLACES = range(9)


class Faults:
    """The page that the preloaded library reads."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="sotto-faults-")
        self.file.truncate(8 * PLACES)
        self.page = mmap.mmap(self.file.fileno(), 8 * PLACES)
        self.prefix = ["env", f"LD_PRELOAD={SHIM}", f"FAULTS_FILE={self.file.name}"]

    def __getitem__(self, place):
        return struct.unpack_from("<q", self.page, 8 * place)[0]

    def __setitem__(self, place, value):
        struct.pack_into("<q", self.page, 8 * place, value)


def speech():
    path = RECORDINGS / "jfk.wav"
    return path.read_bytes() if path.exists() else quiet(3)


def words(answer):
    return json.loads(answer.body)["text"]


@contextlib.contextmanager
def faulty(*arguments):
    faults = Faults()
    with Daemon(*arguments, prefix=faults.prefix) as d:
        yield d, faults


def post(d, route, fields, file=b""):
    """The answer, or None where the connection was closed without one."""
    body, kind = multipart(fields, file)
    try:
        return d.request("POST", route, body, {"Content-Type": kind, "Connection": "close"})
    except (ConnectionError, OSError, EOFError, ValueError) as e:
        return None if not isinstance(e, TimeoutError) else self_timeout(e)
    except Exception as e:  # http.client.HTTPException: the answer was cut
        if type(e).__module__ == "http.client":
            return None
        raise


def self_timeout(e):
    raise AssertionError("no answer and no end") from e


KINDS = {
    "json": ("/v1/audio/transcriptions", [("model", "tiny.en"), ("temperature", "0")]),
    "verbose_json": (
        "/v1/audio/transcriptions",
        [("model", "tiny.en"), ("response_format", "verbose_json"), ("timestamp_granularities[]", "word"),
         ("prompt", "A prompt.")],
    ),
    "stream": ("/v1/audio/transcriptions", [("model", "tiny.en"), ("stream", "true")]),
    "srt": ("/inference", [("response_format", "srt")]),
    "job": ("/v1/jobs", [("temperature_inc", "0")]),
}


class Allocations(unittest.TestCase):
    def sweep(self, kind):
        """One request for each allocation that is made to fail."""
        route, fields = KINDS[kind]
        sound = quiet(1)
        seen, unanswered = {}, 0
        with tempfile.TemporaryDirectory(prefix="sottod-state-") as state, faulty("--state-dir", state, "--log", "error") as (d, f):

            def clean():
                a = post(d, route, fields, sound)
                self.assertIsNotNone(a)
                self.assertIn(a.status, (200, 201), a.body)
                if kind == "job":  # its work goes on after the answer
                    self.assertTrue(until(lambda: d.get(f"/v1/jobs/{a.json['id']}").json["state"] == "done"))
                    d.request("DELETE", f"/v1/jobs/{a.json['id']}")
                return a

            for _ in range(3):
                clean()
            before = f[ALLOCS]
            clean()
            each = f[ALLOCS] - before
            self.assertGreater(each, 50, "the preloaded library sees no allocations")
            settle(f)
            live = f[LIVE]
            failed, n = 0, 1
            while n <= each:
                had = f[ALLOC_FAILED]
                f[ALLOC_AT] = n
                a = post(d, route, fields, sound)
                if kind == "job" and a and a.status == 201:  # until it has hit the work, or the work is done
                    until(lambda a=a: f[ALLOC_AT] <= 0 or ended(d, a.json["id"]), 60)
                f[ALLOC_AT] = 0
                self.assertIsNone(d.process.poll(), f"{kind}: the daemon died of allocation {n}")
                failed += f[ALLOC_FAILED] - had
                if a is None:
                    unanswered += 1
                else:
                    seen[a.status] = seen.get(a.status, 0) + 1
                    if a.status >= 400:
                        self.assertGreaterEqual(a.status, 500, a.body)
                        self.assertTrue(a.error["message"], "an error says what it is about")
                n += STEP
            if kind == "job":
                for job in d.get("/v1/jobs").json["data"]:
                    self.assertTrue(until(lambda job=job: ended(d, job["id"]), 60), "a job that was taken is not answered")
                    d.request("DELETE", f"/v1/jobs/{job['id']}")
            for _ in range(3):
                clean()
            settle(f)
            self.assertGreater(failed, each // STEP // 2, "faults were asked for and not had")
            # A leak is one block or more for each failure at its place; what grows once with use is not.
            # SQLite's cache and its statements are among them.
            self.assertLess(f[LIVE] - live, (400 if kind == "job" else 40) + failed // 10, f"{kind}: blocks are lost")
            print(f"\n{kind}: {failed} of {each} allocations failed, answers {seen}, none {unanswered}, blocks {f[LIVE] - live:+d}", flush=True)
            self.assertEqual(d.stop(), 0)

    def test_json(self):
        self.sweep("json")

    def test_verbose_json(self):
        self.sweep("verbose_json")

    def test_stream(self):
        self.sweep("stream")

    def test_srt(self):
        self.sweep("srt")

    def test_job(self):
        self.sweep("job")


def ended(d, job):
    """Asked in the midst of faults, it may have none to say."""
    try:
        return d.get(f"/v1/jobs/{job}").json["state"] in ("done", "failed")
    except (OSError, ValueError, KeyError, EOFError):
        return False


def settle(f):
    """Until the number of blocks stays as it is."""
    last = None
    for _ in range(100):
        if f[LIVE] == last:
            return
        last = f[LIVE]
        time.sleep(0.1)


class Interrupted(unittest.TestCase):
    def test_reads_and_writes(self):
        """Every third is interrupted or cut short, on sockets and files."""
        sound = speech()
        with tempfile.TemporaryDirectory(prefix="sottod-state-") as state, faulty("--state-dir", state) as (d, f):
            undisturbed = {kind: post(d, route, fields, sound) for kind, (route, fields) in KINDS.items()}
            f[IO_EVERY] = 3
            for kind, (route, fields) in KINDS.items():
                for _ in range(3):
                    a = post(d, route, fields, sound)
                    self.assertIsNotNone(a, f"{kind}: no answer")
                    self.assertEqual(a.status, undisturbed[kind].status, a.body)
                    if kind in ("json", "verbose_json"):
                        self.assertEqual(words(a), words(undisturbed[kind]))
                    if kind in ("srt", "stream"):
                        self.assertEqual(text_of(a), text_of(undisturbed[kind]))
            for job in d.get("/v1/jobs").json["data"]:
                self.assertTrue(until(lambda job=job: d.get(f"/v1/jobs/{job['id']}").json["state"] == "done", 120))
                self.assertEqual(d.get(f"/v1/jobs/{job['id']}").json["data"][0]["result"]["text"], words(undisturbed["json"]))
            self.assertGreater(f[IO_DONE], 50)
            self.assertEqual(d.stop(), 0)


def text_of(answer):
    """Of subtitles all; of a stream its last event's text."""
    body = answer.body.decode()
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    return events[-1]["text"] if events else body


class Clock(unittest.TestCase):
    def test_jumps(self):
        """A wall clock set a day forward and back changes no answer, ends no wait and loses no job."""
        sound = speech()
        with tempfile.TemporaryDirectory(prefix="sottod-state-") as state, faulty("--state-dir", state) as (d, f):
            expected = words(post(d, *KINDS["json"], sound))
            jobs = []
            for days in 1, -1, -400, 0:
                answers = []
                asking = threading.Thread(target=lambda: answers.append(post(d, *KINDS["json"], sound)))
                asking.start()
                f[CLOCK_S] = days * 86400
                jobs.append(post(d, *KINDS["job"], sound).json["id"])
                asking.join()
                self.assertEqual(words(answers[0]), expected)
                self.assertEqual(words(post(d, *KINDS["json"], sound)), expected)
                self.assertTrue(until(lambda: d.get(f"/v1/jobs/{jobs[-1]}").json["state"] == "done"), f"{days} days")
            for job in jobs:
                self.assertEqual(d.get(f"/v1/jobs/{job}").json["data"][0]["result"]["text"], expected)
            f[CLOCK_S] = 30 * 86400  # past --job-ttl: they expire, as they are to, some seconds later
            self.assertTrue(until(lambda: d.get(f"/v1/jobs/{jobs[0]}").status == 404, 60))
            self.assertEqual(words(post(d, *KINDS["json"], sound)), expected)
            self.assertEqual(d.stop(), 0)


class Threads(unittest.TestCase):
    def test_none_can_be_started(self):
        """While no thread can be started a recording in parts takes one at a time or fails with a sentence; captions and
        realtime sessions are refused; afterwards all is as before."""
        sound = speech() if len(speech()) > 1 << 20 else quiet(45)
        with faulty() as (d, f):
            expected = words(post(d, *KINDS["json"], sound))
            f[THREAD_AT] = -1
            a = post(d, *KINDS["json"], sound)
            if a.status == 200:
                self.assertEqual(words(a), expected)
            else:
                self.assertGreaterEqual(a.status, 500)
                self.assertTrue(a.error["message"])
            refusal = upgrade(d.port, "/v1/captions")
            self.assertRegex(refusal, rb"^HTTP/1.1 50[03] ")
            self.assertIn(b"thread", refusal)
            # Its thread begins with the connection's new owner: accepted, then closed.
            self.assertEqual(upgrade(d.port, "/v1/realtime?intent=transcription", to_the_end=True).count(b"HTTP/1.1"), 1)
            self.assertIsNone(d.process.poll())
            self.assertEqual(d.get("/health").status, 200)
            f[THREAD_AT] = 0
            self.assertEqual(words(post(d, *KINDS["json"], sound)), expected)
            self.assertIn(b" 101 ", upgrade(d.port, "/v1/captions"))
            self.assertEqual(d.stop(), 0)


def upgrade(port, route, to_the_end=False):
    """The first bytes that come back for a WebSocket, or all of them."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.sendall(
            f"GET {route} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        try:
            got = s.recv(4096)
            while to_the_end and (more := s.recv(4096)):
                got += more
            return got
        except ConnectionError:
            return b""


if __name__ == "__main__":
    need_model("tiny.en")
    if not SHIM.exists():
        print(f"skipped: {SHIM} is not there (not built with sanitizers)")
        raise SystemExit(77)
    unittest.main()
