# SPDX-License-Identifier: MIT
"""models/fetch against a local HTTP server that cuts, lies and fails (standard library only).

python3 -m unittest tests/reference/test_fetch.py
"""

import contextlib
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

FETCH = Path(__file__).resolve().parents[2] / "models" / "fetch"
BODY = bytes(range(256)) * 4096  # 1 MiB
SMALL = b'{"a": 1}\n'


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``; ``server.cuts`` limits the bytes sent, one entry a request."""

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Range")))
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and self.server.ranges:
            start = int(asked.group(1))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body)
        if self.path.endswith("model.bin") and self.server.cuts:
            end = min(end, start + self.server.cuts.pop(0))
        self.wfile.write(body[start:end])

    def log_message(self, *args):
        pass


def entry(body, sha=True):
    digest = hashlib.sha256(body).hexdigest()
    return {"size": len(body), "sha256": digest if sha is True else sha}


def answer_all(listener, answer):
    """Gives every connection the same bytes, until ``listener`` is shut down."""
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer, contextlib.suppress(OSError):
            if peer.recv(65536):
                peer.sendall(answer)


class Fetch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.files = {"/a/model.bin": BODY, "/a/config.json": SMALL}
        self.server.cuts, self.server.seen, self.server.ranges = [], [], True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"

    def source(self, folder="a", base=None, **files):
        files = files or {"config.json": entry(SMALL), "model.bin": entry(BODY)}
        return {
            "kind": "http",
            "label": f"server {folder}",
            "base": f"{base or self.base}/{folder}/",
            "files": {name.replace("_", "."): facts for name, facts in files.items()},
        }

    def run_fetch(self, *args, sources=None):
        catalog = self.dir / "catalog.json"
        model = {"about": "test", "license": "MIT", "sources": sources or [self.source()]}
        catalog.write_text(json.dumps({"models": {"m": model}}))
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        env["SOTTO_MODELS"] = str(self.dir / "out")
        command = [sys.executable, str(FETCH), "--catalog", str(catalog), *args]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    def got(self):
        return (self.dir / "out/m/model.bin").read_bytes()

    def test_fetches_checks_and_then_finds_it_present(self):
        first = self.run_fetch("m")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(self.got(), BODY)
        self.assertIn("sha256 ok", first.stderr)
        self.assertFalse((self.dir / "out/m.partial").exists())
        asked = len(self.server.seen)
        second = self.run_fetch("m")
        self.assertEqual(second.returncode, 0, second.stderr)
        self.assertIn("already", second.stderr)
        self.assertEqual(len(self.server.seen), asked, "a present model must cost no request")

    def test_resumes_within_a_run(self):
        self.server.cuts = [300_000, 200_000]
        done = self.run_fetch("m")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.got(), BODY)
        ranges = [r for path, r in self.server.seen if path.endswith("model.bin")]
        self.assertEqual(ranges, [None, "bytes=300000-", "bytes=500000-"])

    def test_resumes_in_the_next_run(self):
        self.server.cuts = [300_000, 0, 0, 0, 0]
        first = self.run_fetch("m")
        self.assertEqual(first.returncode, 1, first.stderr)
        self.assertIn("cut off", first.stderr)
        self.assertFalse((self.dir / "out/m").exists(), "nothing half-done may be in place")
        self.server.cuts, self.server.seen = [], []
        second = self.run_fetch("m")
        self.assertEqual(second.returncode, 0, second.stderr)
        self.assertEqual(self.server.seen, [("/a/model.bin", "bytes=300000-")])
        self.assertEqual(self.got(), BODY)

    def test_server_without_ranges_starts_over(self):
        self.server.ranges = False
        self.server.cuts = [300_000]
        done = self.run_fetch("m")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.got(), BODY)

    def test_wrong_sha256_is_refused(self):
        wrong = self.source(model_bin=entry(BODY, "0" * 64))
        done = self.run_fetch("m", sources=[wrong])
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("sha256", done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertFalse((self.dir / "out/m").exists())

    def test_second_source_after_wrong_sha256(self):
        wrong = self.source(model_bin=entry(BODY, "0" * 64))
        done = self.run_fetch("m", sources=[wrong, self.source()])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.got(), BODY)

    def test_second_source_after_404(self):
        done = self.run_fetch("m", sources=[self.source("nowhere"), self.source()])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("404", done.stderr)
        self.assertIn("trying the next source", done.stderr)
        self.assertEqual(self.got(), BODY)

    def test_second_source_after_an_unreachable_host(self):
        closed = self.source(base="http://127.0.0.1:9")
        started = time.monotonic()
        done = self.run_fetch("m", sources=[closed, closed, closed, self.source()])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("cannot be reached", done.stderr)
        self.assertLess(time.monotonic() - started, 15)

    def test_second_source_after_garbage(self):
        """A status line that is none, an empty answer, and headers without an end."""
        for answer in (b"\x00\xffgarbage\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000):
            with self.subTest(answer=answer[:20]), socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                listener.listen()
                threading.Thread(target=answer_all, args=(listener, answer), daemon=True).start()
                garbage = self.source(base=f"http://127.0.0.1:{listener.getsockname()[1]}")
                shutil.rmtree(self.dir / "out", ignore_errors=True)
                done = self.run_fetch("m", sources=[garbage, self.source()])
                listener.shutdown(socket.SHUT_RDWR)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertNotIn("Traceback", done.stderr)
                self.assertIn("could not be opened", done.stderr)
                self.assertIn("trying the next source", done.stderr)
                self.assertEqual(self.got(), BODY)

    def test_second_source_after_broken_chunks(self):
        """A body cut in a chunk (IncompleteRead) on every attempt."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for body in (b"5\r\n{", b"no length\r\n"):
            with self.subTest(body=body), socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                listener.listen()
                threading.Thread(
                    target=answer_all, args=(listener, head + body), daemon=True
                ).start()
                broken = self.source(base=f"http://127.0.0.1:{listener.getsockname()[1]}")
                shutil.rmtree(self.dir / "out", ignore_errors=True)
                done = self.run_fetch("m", sources=[broken, self.source()])
                listener.shutdown(socket.SHUT_RDWR)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertNotIn("Traceback", done.stderr)
                self.assertIn("cut off", done.stderr)
                self.assertEqual(self.got(), BODY)

    def test_unknown_sum_is_said_plainly(self):
        open_sum = self.source(model_bin={"size": None, "sha256": None})
        done = self.run_fetch("m", sources=[open_sum])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("not verified", done.stderr)
        self.assertIn("already", self.run_fetch("m", sources=[open_sum]).stderr)

    def test_damaged_model_is_fetched_again(self):
        self.assertEqual(self.run_fetch("m").returncode, 0)
        path = self.dir / "out/m/model.bin"
        path.write_bytes(b"x" * len(BODY))
        done = self.run_fetch("m")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.got(), BODY)

    def test_unknown_name_is_one_sentence(self):
        done = self.run_fetch("large-v9")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1)
        self.assertIn("no model named large-v9", done.stderr)

    def test_list_names_every_model(self):
        done = subprocess.run(
            [sys.executable, str(FETCH), "--list"], capture_output=True, text=True, timeout=60
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        names = [line.split()[0] for line in done.stdout.splitlines()]
        for name in ("tiny.en", "base", "silero-vad", "large-v3-turbo"):
            self.assertIn(name, names)


if __name__ == "__main__":
    unittest.main()
