# SPDX-License-Identifier: MIT
"""The daemon over https, with certificates made here: requests, refusals in mid-body, captions, reload, the client."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import websockets.sync.client

from daemon import BIN, MODELS, Daemon, multipart, need_model, quiet

CLIP = quiet(1)


def make_certificate(folder, name):
    """A self-signed certificate for 127.0.0.1 and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    return cert, key


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="sottod-tls-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.dir = Path(cls.folder.name)
        cls.cert, cls.key = make_certificate(cls.dir, "first")
        cls.other_cert, cls.other_key = make_certificate(cls.dir, "second")
        cls.d = Daemon("--threads", "1", "--max-upload", "1M", "--tls-cert", cls.cert, "--tls-key", cls.key)
        cls.addClassCleanup(cls.d.finish)
        cls.context = ssl.create_default_context(cafile=cls.cert)

    def get(self, path, **headers):
        with urllib.request.urlopen(urllib.request.Request(self.d.url + path, headers=headers), context=self.context,
                                    timeout=60) as a:
            return a.read()

    def test_requests(self):
        self.assertTrue(self.d.url.startswith("https://127.0.0.1:"))
        self.assertEqual(json.loads(self.get("/health"))["status"], "ok")
        body, kind = multipart([("temperature_inc", "0")], CLIP)
        request = urllib.request.Request(self.d.url + "/v1/audio/transcriptions", body, {"Content-Type": kind})
        with urllib.request.urlopen(request, context=self.context, timeout=120) as a:
            self.assertIn("text", json.load(a))

    def test_without_tls_there_is_no_answer(self):
        with socket.create_connection(("127.0.0.1", self.d.port), 10) as s:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertNotIn(b"HTTP/1.1 200", s.recv(1000))

    def test_versions(self):
        for version, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True),
                               (ssl.TLSVersion.TLSv1_3, True)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(self.cert)
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            try:
                with socket.create_connection(("127.0.0.1", self.d.port), 10) as s:
                    with context.wrap_socket(s, server_hostname="127.0.0.1"):
                        pass
                self.assertTrue(works, version)
            except (ssl.SSLError, ConnectionResetError):
                self.assertFalse(works, version)

    def test_an_endless_upload_is_refused_in_its_middle(self):
        head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        with socket.create_connection(("127.0.0.1", self.d.port), 10) as raw:
            with self.context.wrap_socket(raw, server_hostname="127.0.0.1") as s:
                s.sendall(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                          b"Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
                          b"%x\r\n%s\r\n" % (len(head), head))
                answer = b""
                try:
                    for _ in range(100):
                        s.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                except (OSError, ssl.SSLError):
                    pass
                try:
                    while part := s.recv(4096):
                        answer += part
                except (OSError, ssl.SSLError):
                    pass
        self.assertIn(b"HTTP/1.1 413 ", answer)
        self.assertIn(b"Maximum content size limit", answer)

    def test_captions(self):
        if not (MODELS / "silero-vad").exists():
            self.skipTest("models/silero-vad is not here")
        url = self.d.url.replace("https", "wss") + "/v1/captions"
        with websockets.sync.client.connect(url, ssl=self.context) as ws:
            self.assertEqual(json.loads(ws.recv(30))["type"], "ready")
            ws.send(bytes(64000))
            ws.send('{"type": "end"}')
            kinds = [json.loads(m)["type"] for m in ws]
            self.assertEqual(kinds[-1], "done")
            self.assertEqual(ws.close_code, 1000)

    def client(self, *arguments):
        env = {k: v for k, v in os.environ.items() if not k.startswith("SOTTO_")}
        env["SOTTO_MODELS"] = str(MODELS)
        done = subprocess.run([BIN / "sotto", *arguments], env=env, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stderr

    def test_sotto(self):
        recording = self.dir / "clip.wav"
        recording.write_bytes(CLIP)
        live = ["live", "--from-file", recording, "--pace", "fast"]
        for command in [["transcribe", recording], *([live] if (MODELS / "silero-vad").exists() else [])]:
            command += ["--server", self.d.url]
            status, said = self.client(*command, "--cacert", self.cert)
            self.assertEqual(status, 0, said)
            for more in (), ("--cacert", self.other_cert):
                status, said = self.client(*command, *more)
                self.assertEqual(status, 1, said)
                self.assertIn("certificate", said)

    def test_reload(self):
        cert, key = self.dir / "live.pem", self.dir / "live.key"
        cert.write_bytes(self.cert.read_bytes())
        key.write_bytes(self.key.read_bytes())

        def served(d):
            return ssl.get_server_certificate(("127.0.0.1", d.port)).strip()

        def wait(d, words):
            for _ in range(500):
                if words in d.log:
                    return
                time.sleep(0.02)
            self.fail(d.log)

        with Daemon("--threads", "1", "--tls-cert", cert, "--tls-key", key) as d:
            with socket.create_connection(("127.0.0.1", d.port), 10) as raw:
                with self.context.wrap_socket(raw, server_hostname="127.0.0.1") as s:  # one that stays
                    self.assertEqual(served(d), self.cert.read_text().strip())
                    cert.write_bytes(self.other_cert.read_bytes())
                    d.signal(signal.SIGHUP)  # the key is still the old one's
                    wait(d, "certificate=kept error=")
                    self.assertEqual(served(d), self.cert.read_text().strip())
                    key.write_bytes(self.other_key.read_bytes())
                    d.signal(signal.SIGHUP)
                    wait(d, "certificate=new")
                    self.assertEqual(served(d), self.other_cert.read_text().strip())
                    s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertIn(b" 200 ", s.recv(1000))
            self.assertEqual(d.stop(), 0)

    def test_bad_starts(self):
        for arguments, words in (
            (["--tls-cert", self.cert], "--tls-key is missing"),
            (["--tls-key", self.key], "--tls-cert is missing"),
            (["--tls-cert", "/nowhere.pem", "--tls-key", self.key], "certificate /nowhere.pem cannot be read"),
            (["--tls-cert", self.cert, "--tls-key", self.other_key], "no PEM certificate with its key"),
            (["--tls-cert", self.key, "--tls-key", self.key], "no PEM certificate with its key"),
        ):
            done = subprocess.run([BIN / "sottod", "--model", MODELS / "tiny.en", "--listen", "127.0.0.1:0", *arguments],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)


if __name__ == "__main__":
    need_model("tiny.en")
    try:
        subprocess.run(["openssl", "version"], check=True, capture_output=True)
    except OSError:
        print("skipped: openssl is not installed")
        sys.exit(77)
    unittest.main()
