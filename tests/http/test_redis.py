# SPDX-License-Identifier: MIT
"""`sottod --queue redis://…` on a real redis-server: jobs taken from Redis Streams by several daemons, one of which is
killed, while Redis itself is restarted; every job has its result exactly once."""

import collections
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import redis
from daemon import BIN, MODELS, RECORDINGS, Daemon, need_model, quiet, until

SERVER = shutil.which("redis-server")
WAIT_SECONDS = 240


class Redis:
    """A redis-server of its own with an append-only file that is synced at every write."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="sotto-redis-")
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.client = redis.Redis(port=self.port, decode_responses=True)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder.name, "--save", "",
             "--appendonly", "yes", "--appendfsync", "always"],
            stdout=subprocess.DEVNULL)
        for _ in range(200):
            with contextlib.suppress(redis.ConnectionError, redis.exceptions.BusyLoadingError):
                self.client.ping()
                return
            time.sleep(0.05)
        raise RuntimeError("redis-server does not start")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def add(self, number, audio, **fields):
        return self.client.xadd("sotto:jobs", {"id": str(number), "name": f"{number}.wav", "audio": audio,
                                               "temperature_inc": "0", **fields})

    def results(self):
        """id -> how often the stream of results has it."""
        return collections.Counter(fields["id"] for _, fields in self.client.xrange("sotto:results"))

    def wait(self, n):
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            if self.client.xlen("sotto:results") >= n:
                return
            time.sleep(0.1)
        raise AssertionError(f"{self.client.xlen('sotto:results')} of {n} results")

    def result(self, number):
        return self.client.hgetall(f"sotto:result:{number}")


def speech():
    """(name, bytes), with words where there are recordings."""
    found = sorted(p for p in RECORDINGS.glob("*") if p.suffix in (".wav", ".flac") and p.stat().st_size < 3 << 20)
    return [p.read_bytes() for p in found[:3]] or [quiet(5)]


def counts(d, event):
    for line in d.get("/metrics").body.decode().splitlines():
        if line.startswith("sotto_queue_jobs_total") and f'event="{event}"' in line:
            return int(line.split()[-1])
    raise AssertionError("no such count")


class Queue(unittest.TestCase):
    def test_one_worker(self):
        with Redis() as r:
            entry = r.add("a", quiet(1))
            r.client.xadd("sotto:jobs", {"audio": quiet(2), "response_format": "verbose_json", "temperature_inc": "0"})
            with Daemon("--queue", r.url) as d:  # what was there before it came is taken too
                r.add("text", quiet(1), response_format="text")
                for number, fields, status, words in (
                    ("no-audio", {"audio": b"no audio at all"}, 400, "Invalid file"),
                    ("empty", {"audio": b""}, 400, "audio"),
                    ("field", {"audio": quiet(1), "beam_size": "many"}, 400, "beam_size"),
                    ("model", {"audio": quiet(1), "model": "none-such"}, 404, "none-such"),
                    ("stream", {"audio": quiet(1), "stream": "true"}, 400, "stream"),
                ):
                    r.client.xadd("sotto:jobs", {"id": number, **fields})
                r.wait(8)
                self.assertEqual(set(r.results().values()), {1})
                expected = d.quick(quiet(1)).json["text"]
                got = r.result("a")
                self.assertEqual((got["status"], got["type"]), ("200", "application/json"))
                self.assertEqual(json.loads(got["body"])["text"], expected)
                self.assertAlmostEqual(float(got["audio_seconds"]), 1, 1)
                self.assertEqual(r.result("text")["body"].strip(), expected.strip())
                unnamed = next(i for i in r.results() if i[0].isdigit())  # called as its entry
                self.assertIn("segments", json.loads(r.result(unnamed)["body"]))
                for number, status, words in (("no-audio", 400, "Invalid file"), ("empty", 400, "audio"), ("field", 400, "beam_size"),
                                              ("model", 404, "none-such"), ("stream", 400, "stream")):
                    got = r.result(number)
                    self.assertEqual(int(got["status"]), status, got)
                    self.assertIn(words, json.loads(got["body"])["error"]["message"])
                self.assertEqual(r.client.xlen("sotto:jobs"), 0, "recordings are kept until the result only")
                self.assertEqual(r.client.xpending("sotto:jobs", "sotto")["pending"], 0)
                self.assertGreater(r.client.ttl("sotto:result:a"), 160 * 3600)
                # The same job once more: the first result stays.
                r.add("a", quiet(3))
                self.assertTrue(until(lambda: counts(d, "repeated") == 1, 60))
                self.assertEqual(r.results()["a"], 1)
                self.assertEqual(counts(d, "stored"), 8)
                self.assertEqual(d.stop(), 0)
            self.assertIsNotNone(entry)

    def test_three_workers_one_killed_and_redis_restarted(self):
        files = speech()
        with Daemon() as d:
            expected = [d.quick(content).json["text"] for content in files]
        with Redis() as r:
            for i in range(60):
                r.add(i, files[i % len(files)])
            options = "--queue", r.url, "--queue-idle", "2", "--threads", "1", "--slots", "3"
            with Daemon(*options) as a, Daemon(*options) as b, Daemon(*options) as c:
                r.wait(6)
                a.signal(signal.SIGKILL)
                a.process.wait()
                r.wait(15)
                r.kill()
                time.sleep(1)
                r.start()
                r.wait(60)
                time.sleep(3)  # whoever would answer again does
                self.assertEqual(r.results(), {str(i): 1 for i in range(60)})
                for i in range(60):
                    got = r.result(i)
                    self.assertEqual(json.loads(got["body"])["text"], expected[i % len(files)], f"job {i}")
                self.assertEqual(r.client.xlen("sotto:jobs"), 0)
                self.assertGreaterEqual(counts(b, "taken_over") + counts(c, "taken_over"), 1)
                self.assertGreaterEqual(len({r.result(i)["worker"] for i in range(60)}), 2)
                self.assertEqual((b.stop(), c.stop()), (0, 0))

    def test_what_is_not_done_at_the_end_is_given_back(self):
        with Redis() as r:
            with Daemon("--queue", r.url, "--queue-idle", "1h", "--slots", "2", "--threads", "1", "--drain-timeout", "1") as d:
                for i in range(12):
                    r.add(i, quiet(120))
                r.wait(1)
                self.assertEqual(d.stop(), 0)
            left = 12 - r.client.xlen("sotto:results")
            self.assertGreater(left, 0)
            with Daemon("--queue", r.url, "--queue-idle", "1h") as d:  # need not wait for an hour
                r.wait(12)
                self.assertEqual(r.results(), {str(i): 1 for i in range(12)})

    def test_a_recording_that_ends_its_workers(self):
        with Redis() as r:
            r.client.xgroup_create("sotto:jobs", "sotto", "0", mkstream=True)
            entry = r.add("poison", quiet(1))
            with redis.Redis(port=r.port) as dead:  # five workers took it and were not heard of again
                dead.xreadgroup("sotto", "dead", {"sotto:jobs": ">"})
                for _ in range(4):
                    dead.xclaim("sotto:jobs", "sotto", "dead", 0, [entry])
            with Daemon("--queue", r.url, "--queue-idle", "1"):
                r.wait(1)
            got = r.result("poison")
            self.assertEqual((got["status"], json.loads(got["body"])["error"]["code"]), ("500", "workers_ended"))

    def test_redis_comes_later(self):
        with Redis() as r:
            r.kill()
            with Daemon("--queue", r.url) as d:
                self.assertEqual(d.quick(quiet(1)).status, 200)
                self.assertIn("sotto_queue_connected{model=\"tiny.en\"} 0\n", d.get("/metrics").body.decode())
                r.start()
                r.add("a", quiet(1))
                r.wait(1)
                self.assertIn("sotto_queue_connected{model=\"tiny.en\"} 1\n", d.get("/metrics").body.decode())
                r.client.flushall()  # the group is gone with all the rest
                time.sleep(1)
                r.add("b", quiet(1))
                r.wait(1)
                self.assertEqual(d.stop(), 0)

    def test_a_password(self):
        with Redis() as r:
            r.client.config_set("requirepass", "p@ss")
            with Daemon("--queue", f"redis://:p%40ss@127.0.0.1:{r.port}/1", "--queue-name", "mine") as d:
                mine = redis.Redis(port=r.port, db=1, password="p@ss", decode_responses=True)
                mine.xadd("mine:jobs", {"id": "a", "audio": quiet(1), "temperature_inc": "0"})
                self.assertTrue(until(lambda: mine.exists("mine:result:a"), 60))
                mine.close()
                self.assertNotIn("p@ss", d.log)
                self.assertNotIn("p%40ss", d.log)

    def test_wrong_addresses(self):
        for url in ("http://127.0.0.1", "redis://", "redis://host:port", "redis://host:99999", "redis://secret@host",
                    "redis://:secret%zz@host", "redis://h/x", "redis://:secret%00@h"):
            done = subprocess.run([BIN / "sottod", "--model", MODELS / "tiny.en", "--listen", "127.0.0.1:0", "--queue", url],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1, url)
            self.assertIn("--queue: redis://", done.stderr)
            self.assertNotIn("secret", done.stderr)


if __name__ == "__main__":
    need_model("tiny.en")
    if not SERVER:
        print("skipped: redis-server is not installed")
        sys.exit(77)
    unittest.main()
