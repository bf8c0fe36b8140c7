# SPDX-License-Identifier: MIT
"""packaging/nginx/sotto.conf in the real nginx, before two daemons that are replaced one after the other under load."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from daemon import SOURCE, Answer, Daemon, multipart, need_model, quiet
from websockets.sync.client import connect

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CLIENTS = 6


def free_ports(n):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Nginx:
    """The example as it is, but for its ports and where nginx keeps its files."""

    def __init__(self, port, daemons):
        self.port = port
        self.folder = tempfile.TemporaryDirectory(prefix="sotto-nginx-")
        root = Path(self.folder.name)
        root.chmod(0o755)
        text = (SOURCE / "packaging/nginx/sotto.conf").read_text()
        text, n = re.subn(r"listen 80;", f"listen 127.0.0.1:{port};", text)
        for number, daemon in zip((8177, 8178), daemons):
            text, found = re.subn(rf"127\.0\.0\.1:{number}\b", f"127.0.0.1:{daemon}", text)
            n += bool(found)
        assert n == 3, text
        (root / "sotto.conf").write_text(text)
        paths = "".join(f"{kind}_temp_path {root}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (root / "nginx.conf").write_text(
            f"daemon off; pid {root}/pid; error_log {root}/error.log warn; worker_processes 1;\n"
            f"events {{}}\nhttp {{ access_log off;\n{paths}include {root}/sotto.conf; }}\n")
        self.process = subprocess.Popen([NGINX, "-p", root, "-c", root / "nginx.conf", "-e", root / "error.log"])
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"nginx does not start: {(root / 'error.log').read_text()}")

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()

    def request(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            c.request(method, path, body, headers or {})
            return Answer(c.getresponse())
        finally:
            c.close()


def served(daemon):
    """Transcriptions that this daemon has done."""
    return int(float(re.search(r'sotto_requests_total{.*outcome="done"} (\S+)', daemon.get("/metrics").body.decode())[1]))


@unittest.skipUnless(NGINX, "needs nginx")
class Balanced(unittest.TestCase):
    def setUp(self):
        ports = free_ports(3)
        self.ports = ports[1:]
        self.daemons = [self.start(port) for port in self.ports]
        self.nginx = Nginx(ports[0], self.ports)
        self.addCleanup(self.nginx.close)

    def start(self, port):
        d = Daemon("--listen", f"127.0.0.1:{port}", "--max-connections-per-address", "0")
        self.addCleanup(d.__exit__)
        return d

    def transcribe(self, fields=(("temperature_inc", "0"),)):
        body, kind = multipart(fields, quiet(2))
        return self.nginx.request("POST", "/v1/audio/transcriptions", body, {"Content-Type": kind})

    def test_daemons_are_replaced_under_load(self):
        over, answers, lock = threading.Event(), [], threading.Lock()

        def client():
            while not over.is_set():
                try:
                    a = self.transcribe()
                    one = a.status, a.body
                except OSError as e:
                    one = 0, repr(e).encode()
                with lock:
                    answers.append(one)

        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for t in threads:
            t.start()
        try:
            for i, port in enumerate(self.ports):
                before = len(answers)
                while len(answers) < before + 2 * CLIENTS:
                    time.sleep(0.02)
                self.assertGreater(served(self.daemons[i]), 0)
                self.assertEqual(self.daemons[i].stop(), 0)
                before = len(answers)
                while len(answers) < before + 2 * CLIENTS:  # the other one does all
                    time.sleep(0.02)
                self.daemons[i] = self.start(port)
                end = time.monotonic() + 30
                while not served(self.daemons[i]) and time.monotonic() < end:
                    time.sleep(0.1)
                self.assertGreater(served(self.daemons[i]), 0, "the new daemon is used")
        finally:
            over.set()
            for t in threads:
                t.join()
        self.assertEqual([a for a in answers if a[0] != 200], [])
        self.assertGreaterEqual(len(answers), 8 * CLIENTS)

    def test_a_daemon_that_dies_at_work(self):
        """What it had accepted is answered by the other."""
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.transcribe().status)) for _ in range(12)]
        for t in threads:
            t.start()
        self.daemons[0].wait_for(lambda health: health["running"] > 0, 10)
        self.daemons[0].process.kill()
        for t in threads:
            t.join()
        self.assertEqual(results, [200] * 12)

    def test_streams_sockets_and_nobody(self):
        body, kind = multipart([("stream", "true"), ("temperature_inc", "0")], quiet(2))
        a = self.nginx.request("POST", "/v1/audio/transcriptions", body, {"Content-Type": kind})
        self.assertEqual((a.status, a.headers["Content-Type"].split(";")[0]), (200, "text/event-stream"))
        self.assertTrue(a.body.endswith(b"data: [DONE]\n\n"))
        with connect(f"ws://127.0.0.1:{self.nginx.port}/v1/captions?rate=16000") as ws:
            self.assertEqual(json.loads(ws.recv())["type"], "ready")
            ws.send(b"\0" * 32000)
            ws.send('{"type":"end"}')
            kinds = []
            while not kinds or kinds[-1] != "done":
                kinds.append(json.loads(ws.recv())["type"])
        self.assertEqual(self.nginx.request("GET", "/v1/jobs").error["code"], "jobs_disabled")  # as the daemon says
        for d in self.daemons:
            self.assertEqual(d.stop(), 0)
        a = self.transcribe()
        self.assertEqual((a.status, a.headers["Retry-After"]), (503, "2"))
        self.assertEqual(a.error["code"], "unavailable")


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
