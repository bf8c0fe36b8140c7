# SPDX-License-Identifier: MIT
"""Who may use the daemon: API keys over HTTP and WebSocket, their reload, and where it may listen."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import openai
import websockets.exceptions
import websockets.sync.client

from daemon import BIN, MODELS, Daemon, need_model, quiet

KEY, OTHER = "sk-secret-one", "sk-secret-two"
CLIP = quiet(1)


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="sottod-keys-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.file = Path(cls.folder.name) / "keys"
        cls.file.write_text(f"# people\n{KEY} ann\n{OTHER}\n")
        cls.d = Daemon("--api-key-file", cls.file)
        cls.addClassCleanup(cls.d.finish)

    @classmethod
    def tearDownClass(cls):
        assert "sk-" not in cls.d.log, cls.d.log
        # without doubt a log in which keys would have been
        assert "client=ann" in cls.d.log

    def refused(self, a, code):
        self.assertEqual(a.status, 401, a.body)
        self.assertEqual(a.headers["WWW-Authenticate"], 'Bearer realm="sotto"')
        self.assertEqual(a.headers["Content-Type"], "application/json")
        self.assertEqual(set(a.error), {"message", "type", "param", "code"})
        self.assertEqual((a.error["type"], a.error["code"]), ("invalid_request_error", code))

    def test_what_is_open(self):
        self.assertEqual(self.d.get("/health").status, 200)
        self.assertIn(b"<html", self.d.get("/captions").body)
        self.assertIn(self.d.get("/study").status, (200, 404))

    def test_everything_else_wants_a_key(self):
        for path in "/v1/models", "/v1/models/tiny.en", "/v1/report", "/metrics", "/v1/captions", "/nowhere":
            self.refused(self.d.get(path), "missing_api_key")
            self.refused(self.d.get(path, **bearer("sk-secret")), "invalid_api_key")
            self.assertIn(self.d.get(path, **bearer(KEY)).status, (200, 404, 426))
        for method in "PUT", "DELETE", "HEAD":
            self.assertEqual(self.d.request(method, "/v1/models").status, 401)
        self.refused(self.d.post(CLIP), "missing_api_key")
        self.refused(self.d.post(CLIP, headers={"Authorization": f"Basic {KEY}"}), "missing_api_key")
        self.assertEqual(self.d.post(CLIP, headers=bearer(KEY)).status, 200)
        self.assertEqual(self.d.post(CLIP, headers=bearer(OTHER)).status, 200)

    def test_upload_is_refused_by_its_head(self):
        with socket.create_connection(("127.0.0.1", self.d.port)) as s:
            s.sendall(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
                      b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x")
            s.settimeout(10)
            self.assertIn(b" 401 ", s.recv(1000))

    def test_the_official_client(self):
        def client(key):
            return openai.OpenAI(base_url=self.d.url + "/v1", api_key=key, max_retries=0)

        file = ("a.wav", CLIP)
        self.assertIsInstance(client(KEY).audio.transcriptions.create(model="tiny.en", file=file).text, str)
        with self.assertRaises(openai.AuthenticationError):
            client("sk-secret").audio.transcriptions.create(model="tiny.en", file=file)

    def test_names_are_logged(self):
        self.assertEqual(self.d.get("/v1/models", **bearer(KEY), **{"X-Request-Id": "named-1"}).status, 200)
        self.assertTrue(wait_for(lambda: re.search(r"id=named-1 client=ann .*status=200", self.d.log)), self.d.log)
        self.assertEqual(self.d.get("/v1/models", **bearer(OTHER), **{"X-Request-Id": "named-2"}).status, 200)
        self.assertTrue(wait_for(lambda: "id=named-2 client=key-3 " in self.d.log), self.d.log)

    def captions(self, **options):
        url = self.d.url.replace("http", "ws") + "/v1/captions"
        with websockets.sync.client.connect(url, **options) as ws:
            self.assertEqual(json.loads(ws.recv())["type"], "ready")
            return ws.subprotocol

    def test_websocket(self):
        if not (MODELS / "silero-vad").exists():
            self.skipTest("models/silero-vad is not here")
        self.assertIsNone(self.captions(additional_headers=bearer(KEY)))
        secret = "openai-insecure-api-key." + KEY
        self.assertEqual(self.captions(subprotocols=["realtime", secret]), "realtime")
        self.assertEqual(self.captions(subprotocols=[secret, "sotto"]), "sotto")
        self.assertIsNone(self.captions(subprotocols=[secret]))
        for options in {}, {"subprotocols": ["realtime", secret + "x"]}, {"additional_headers": bearer("x")}:
            with self.assertRaises(websockets.exceptions.InvalidStatus) as refusal:
                self.captions(**options)
            self.assertEqual(refusal.exception.response.status_code, 401)

    def client(self, *arguments, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("SOTTO_")}
        env.update(more, SOTTO_MODELS=str(MODELS), SOTTO_SERVER=self.d.url)
        done = subprocess.run([BIN / "sotto", *arguments], env=env, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout, done.stderr

    def test_sotto(self):
        recording = Path(self.folder.name) / "clip.wav"
        recording.write_bytes(CLIP)
        live = ["live", "--from-file", recording, "--pace", "fast"]
        for command in [["transcribe", recording], *([live] if (MODELS / "silero-vad").exists() else [])]:
            status, _, said = self.client(*command)
            self.assertEqual(status, 1, said)
            self.assertIn("wants an API key", said)
            self.assertIn("SOTTO_API_KEY; none was given", said)
            status, _, said = self.client(*command, SOTTO_API_KEY="sk-wrong")
            self.assertEqual(status, 1, said)
            self.assertIn("one was given", said)
            self.assertNotIn("sk-wrong", said)
            status, _, said = self.client(*command, SOTTO_API_KEY=KEY)
            self.assertEqual(status, 0, said)
            self.assertEqual(self.client(*command, "--api-key", OTHER)[0], 0)
            status, _, said = self.client(*command, "--server", self.d.url, "--api-key", "sk\r\nX: y")
            self.assertEqual(status, 1, said)
            self.assertIn("the API key holds a blank", said)


class Reload(unittest.TestCase):
    def test_sighup(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "keys"
            file.write_text(KEY)
            with Daemon("--api-key-file", file) as d:
                def works(key):
                    return d.get("/v1/models", **bearer(key)).status == 200

                self.assertTrue(works(KEY))
                file.write_text(f"{OTHER} bob\n")
                self.assertTrue(works(KEY), "nothing changes without the signal")
                d.signal(signal.SIGHUP)
                self.assertTrue(wait_for(lambda: "event=reload keys=1" in d.log), d.log)
                self.assertFalse(works(KEY))
                self.assertTrue(works(OTHER))
                for bad in "", f"{KEY} too many words\n":
                    before = d.log.count("keys=kept")
                    file.write_text(bad)
                    d.signal(signal.SIGHUP)
                    self.assertTrue(wait_for(lambda: d.log.count("keys=kept") > before), d.log)
                    self.assertTrue(works(OTHER))
                file.unlink()
                d.signal(signal.SIGHUP)
                d.signal(signal.SIGHUP)
                self.assertTrue(wait_for(lambda: "No such file" in d.log), d.log)
                self.assertTrue(works(OTHER))
                self.assertNotIn("sk-", d.log)
                self.assertEqual(d.stop(), 0)

    def test_sighup_without_keys_ends_nothing(self):
        with Daemon() as d:
            d.signal(signal.SIGHUP)
            self.assertTrue(wait_for(lambda: "event=reload keys=none" in d.log), d.log)
            self.assertEqual(d.get("/v1/models").status, 200)
            self.assertEqual(d.stop(), 0)


class Listening(unittest.TestCase):
    """Every address here is one of this machine."""

    def start(self, *arguments):
        return subprocess.run([BIN / "sottod", "--model", MODELS / "tiny.en", *arguments],
                              capture_output=True, text=True, timeout=60)

    def test_beyond_this_machine(self):
        for address in "0.0.0.0:0", ":0", "[::]:0":
            done = self.start("--listen", address)
            if "Address family not supported" in done.stderr:
                continue
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"^sottod: http://\S+ reaches beyond this machine: say --api-key-file FILE, or "
                                          r"--insecure to serve everyone\n$")

    def test_loopback_needs_nothing(self):
        for address in "127.0.0.1:0", "127.5.5.5:0", "localhost:0":
            with Daemon("--listen", address):
                pass

    def test_a_missing_key_file_stops_the_start(self):
        done = self.start("--listen", "127.0.0.1:0", "--api-key-file", "/nowhere/keys")
        self.assertEqual((done.returncode, done.stderr),
                         (1, "sottod: /nowhere/keys cannot be read: No such file or directory\n"))


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
