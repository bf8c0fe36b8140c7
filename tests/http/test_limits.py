# SPDX-License-Identifier: MIT
"""What the daemon does not put up with: slow heads and bodies, too many connections, pages that nobody named."""

import socket
import tempfile
import time
import unittest
from pathlib import Path

from daemon import Answer, Daemon, multipart, need_model, quiet

PATH = "/v1/audio/transcriptions"
CLIP = quiet(1)


def closed_after(s, drip, every, most):
    """Seconds until the other side closes, while `drip()` gives bytes to send; None when it does not within `most`."""
    began = time.monotonic()
    s.settimeout(every)
    while time.monotonic() - began < most:
        try:
            s.sendall(drip())
            if not s.recv(4096):
                return time.monotonic() - began
        except TimeoutError:
            pass
        except OSError:
            return time.monotonic() - began
    return None


def wait_for(case, text, read):
    """The daemon may write its log a moment after the socket has closed."""
    for _ in range(100):
        if text in read():
            return
        time.sleep(0.1)
    case.assertIn(text, read())


class Slow(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.d = Daemon("--threads", "1", "--idle-timeout", "2s")
        cls.addClassCleanup(cls.d.finish)

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.d.port), 10)
        self.addCleanup(s.close)
        return s

    def test_dripping_head(self):
        s = self.connect()
        s.sendall(b"GET /health HTTP/1.1\r\n")
        took = closed_after(s, lambda: b"X-A: b\r\n", 0.2, 10)
        self.assertIsNotNone(took, "kept for a head that never ends")
        self.assertGreater(took, 1.5)
        wait_for(self, "event=slow phase=head", lambda: self.d.log)

    def test_dripping_head_behind_a_first_request(self):
        s = self.connect()
        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b" 200 ", s.recv(4096))
        self.assertIsNotNone(closed_after(s, lambda: b"G", 0.2, 10))

    def test_dripping_body(self):
        s = self.connect()
        s.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                  "Content-Type: multipart/form-data; boundary=edge\r\n\r\n--edge\r\n".encode())
        took = closed_after(s, lambda: b"x", 0.2, 15)
        self.assertIsNotNone(took, "kept for a body that never ends")
        self.assertGreater(took, 1.5)
        wait_for(self, "event=slow phase=body", lambda: self.d.log)

    def test_slow_but_steady_body(self):
        """About 2.3 kB/s for 7 s, three times --idle-timeout: faster than the 500 B/s that are the least."""
        body, kind = multipart([("temperature_inc", "0")], CLIP)
        s = self.connect()
        s.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                  f"Content-Type: {kind}\r\nConnection: close\r\n\r\n".encode())
        for at in range(0, len(body), 500):
            s.sendall(body[at: at + 500])
            time.sleep(0.2)
        s.settimeout(60)
        self.assertIn(b" 200 ", s.recv(4096))

    def test_a_long_run_is_not_silence(self):
        """A client that waits for its transcription longer than --idle-timeout is none of these."""
        self.assertEqual(self.d.post(quiet(900)).status, 200)

    def test_too_large_a_head(self):
        s = self.connect()
        try:
            s.sendall(b"GET /health HTTP/1.1\r\n" + b"X-A: " + b"b" * 300_000 + b"\r\n\r\n")
        except OSError:
            pass
        try:
            self.assertNotIn(b" 200 ", s.recv(4096))
        except OSError:
            pass
        self.assertEqual(self.d.get("/health").status, 200)


class Connections(unittest.TestCase):
    def test_of_one_address(self):
        with Daemon("--threads", "1", "--max-connections-per-address", "3") as d:
            held = [socket.create_connection(("127.0.0.1", d.port), 10) for _ in range(3)]
            for s in held:
                s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertIn(b" 200 ", s.recv(4096))

            def answered(source):
                with socket.create_connection(("127.0.0.1", d.port), 10, (source, 0)) as s:
                    try:
                        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                        return b" 200 " in s.recv(4096)
                    except OSError:
                        return False

            self.assertFalse(answered("127.0.0.1"))
            self.assertTrue(answered("127.0.0.2"), "another address has connections of its own")
            held.pop().close()
            time.sleep(0.3)
            self.assertTrue(answered("127.0.0.1"))
            for s in held:
                s.close()
            self.assertEqual(d.stop(), 0)


class Cors(unittest.TestCase):
    PAGE = "https://page.example"

    def preflight(self, d, origin=PAGE):
        return d.request("OPTIONS", PATH, headers={
            "Origin": origin, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,x-stainless-os"})

    def test_off(self):
        with Daemon("--threads", "1") as d:
            for a in d.get("/v1/models", Origin=self.PAGE), self.preflight(d):
                self.assertFalse([k for k in a.headers if k.lower().startswith(("access-control", "vary"))])
            self.assertEqual(self.preflight(d).status, 405)

    def test_listed(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = Path(folder) / "keys"
            keys.write_text("sk-one\n")
            with Daemon("--threads", "1", "--cors-origin", f"https://other.example,{self.PAGE}",
                        "--api-key-file", keys) as d:
                a = self.preflight(d)  # browsers send no key with it
                self.assertEqual((a.status, a.body), (204, b""))
                self.assertEqual(a.headers["Access-Control-Allow-Origin"], self.PAGE)
                self.assertIn("POST", a.headers["Access-Control-Allow-Methods"])
                self.assertEqual(a.headers["Access-Control-Allow-Headers"], "authorization,x-stainless-os")
                self.assertIsNone(a.headers["Access-Control-Allow-Credentials"])
                for a in (d.get("/v1/models", Origin=self.PAGE), d.get("/health", Origin=self.PAGE),
                          d.post(b"", headers={"Origin": self.PAGE, "Authorization": "Bearer sk-one"})):
                    self.assertIn(a.status, (200, 400, 401))  # refusals can be read too
                    self.assertEqual(a.headers["Access-Control-Allow-Origin"], self.PAGE)
                    self.assertEqual(a.headers["Vary"], "Origin")
                    self.assertIn("X-Request-Id", a.headers["Access-Control-Expose-Headers"])
                for stranger in "https://evil.example", "https://page.example.evil", "null", "":
                    self.assertIsNone(d.get("/health", Origin=stranger).headers["Access-Control-Allow-Origin"])
                    self.assertEqual(self.preflight(d, stranger).status, 401)
                self.assertIsNone(d.get("/health").headers["Access-Control-Allow-Origin"])

    def test_a_stream_and_a_refusal_within_the_body(self):
        with Daemon("--threads", "1", "--cors-origin", self.PAGE, "--max-upload", "100K") as d:
            a = d.post(CLIP, fields=[("stream", "true"), ("temperature_inc", "0")], headers={"Origin": self.PAGE})
            self.assertEqual((a.status, a.headers["Access-Control-Allow-Origin"]), (200, self.PAGE))
            self.assertIn(b"transcript.text.done", a.body)
            with d.connection() as c:
                for origin in self.PAGE, "https://evil.example":
                    form, kind = multipart([], bytes(400_000))
                    c.request("POST", PATH, iter([form]), {"Content-Type": kind, "Origin": origin}, encode_chunked=True)
                    a = Answer(c.getresponse())
                    self.assertEqual(a.status, 413)
                    allowed = self.PAGE if origin == self.PAGE else None
                    self.assertEqual(a.headers["Access-Control-Allow-Origin"], allowed)
                    self.assertEqual(a.headers["Vary"], "Origin")
                    self.assertEqual(bool(a.headers["Access-Control-Expose-Headers"]), bool(allowed))
                    c.close()

    def test_all(self):
        with Daemon("--threads", "1", "--cors-origin", "*") as d:
            self.assertEqual(self.preflight(d, "https://any.example").status, 204)


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
