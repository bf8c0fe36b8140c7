# SPDX-License-Identifier: MIT
"""sottod under a service manager: a socket handed over, readiness and signs of life, and the hardened unit. The manager
is a few lines here; systemd-analyze reads the unit, and strace tells which system calls its filter has to let through."""

import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

from daemon import BIN, MODELS, SOURCE, Daemon, need_model, quiet

UNIT = BIN.parent / "install/sottod.service"


@contextlib.contextmanager
def started(*arguments, hand_over=(), env=None, before=()):
    """sottod as a manager starts it: the sockets are its descriptors from 3 on, LISTEN_PID is its own."""
    def place():
        for i, s in enumerate(hand_over):
            os.dup2(os.dup(s.fileno()), 60 + i)
        for i in range(len(hand_over)):
            os.dup2(60 + i, 3 + i)

    variables = f"LISTEN_PID=$$ LISTEN_FDS={len(hand_over)} " if hand_over else ""
    command = ["sh", "-c", f'{variables}WATCHDOG_PID=$$ exec "$@"', "sh", *before, BIN / "sottod", "--threads", "1",
               "--model", MODELS / "tiny.en", *arguments]
    p = subprocess.Popen(list(map(str, command)), env={**os.environ, **(env or {})}, preexec_fn=place,
                         pass_fds=range(3, 3 + len(hand_over)), stderr=subprocess.PIPE, text=True)
    try:
        yield p
    finally:
        if p.poll() is None:
            p.kill()
        p.wait()
        p.stderr.close()


def listening(address="127.0.0.1"):
    s = socket.create_server((address, 0))
    return s


class HandedOver(unittest.TestCase):
    def test_socket(self):
        with listening() as s:
            port = s.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as early:  # as of the client that started the service
                early.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                with started("--listen", "127.0.0.1:1", hand_over=[s]) as p:
                    lines = iter(p.stderr.readline, "")  # the early client's may be the first
                    self.assertTrue(any(f"READY http://127.0.0.1:{port} " in line for line in lines))
                    early.settimeout(60)
                    self.assertIn(b" 200 ", early.recv(4096))
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as a:
                        self.assertEqual(a.status, 200)
                    p.send_signal(signal.SIGTERM)
                    self.assertEqual(p.wait(60), 0)

    def test_of_another_process(self):
        """The variables of whoever started us are not for us."""
        with started("--listen", "127.0.0.1:0", env={"LISTEN_PID": "1", "LISTEN_FDS": "1"}) as p:
            self.assertIn("READY http://127.0.0.1:", p.stderr.readline())

    def test_what_cannot_be_served(self):
        with listening() as one, listening() as two, socket.socket() as idle, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, tempfile.TemporaryFile() as file:
            for sockets, words in (([one, two], "2 sockets were handed over"), ([idle], "no TCP socket that listens"),
                                   ([udp], "no TCP socket that listens"), ([file], "no TCP socket that listens")):
                with started(hand_over=sockets) as p:
                    self.assertIn(words, p.stderr.read())
                    self.assertEqual(p.wait(60), 1)


class Notified(unittest.TestCase):
    def receive(self, s, wanted, seconds=60):
        s.settimeout(seconds)
        got = []
        while wanted not in got:
            got.append(s.recv(4096).decode())
        return got

    def test_life(self):
        with tempfile.TemporaryDirectory() as folder:
            for address in f"{folder}/notify", f"\0sotto-{os.getpid()}":
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                    s.bind(address)
                    env = {"NOTIFY_SOCKET": address.replace("\0", "@"), "WATCHDOG_USEC": "400000"}
                    with started("--listen", "127.0.0.1:0", env=env) as p:
                        self.assertEqual(self.receive(s, "READY=1"), ["READY=1"])
                        self.assertIn("READY ", p.stderr.readline())
                        began = time.monotonic()
                        for _ in range(5):
                            self.assertEqual(self.receive(s, "WATCHDOG=1", 10), ["WATCHDOG=1"])
                        self.assertGreater(time.monotonic() - began, 0.7, "twice in the time that is waited")
                        p.send_signal(signal.SIGHUP)
                        self.assertEqual(self.receive(s, "WATCHDOG=1", 10), ["WATCHDOG=1"])
                        p.send_signal(signal.SIGTERM)
                        self.receive(s, "STOPPING=1")
                        self.assertEqual(p.wait(60), 0)

    def test_nobody_listens(self):
        with started("--listen", "127.0.0.1:0", env={"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "100000"}) as p:
            self.assertIn("READY ", p.stderr.readline())
            time.sleep(0.5)
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(60), 0)


@functools.cache
def calls_of(name):
    """System calls of a set of systemd's, sets in it included."""
    text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], check=True, capture_output=True,
                          text=True).stdout
    calls = set()
    for word in re.findall(r"^    (\S+)$", text, re.MULTILINE):
        calls |= calls_of(word) if word.startswith("@") else {word}
    return calls


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Unit(unittest.TestCase):
    def test_verify(self):
        """With the programs where they are built; what systemd then says of our files is nothing."""
        with tempfile.TemporaryDirectory() as folder:
            text = re.sub(r"^ExecStart=\S+", f"ExecStart={BIN / 'sottod'}", UNIT.read_text(), flags=re.MULTILINE)
            (Path(folder) / "sottod.service").write_text(text)
            shutil.copy(SOURCE / "packaging/sottod.socket", folder)
            done = subprocess.run(["systemd-analyze", "verify", f"{folder}/sottod.service", f"{folder}/sottod.socket"],
                                  capture_output=True, text=True)
            ours = [line for line in done.stderr.splitlines() if "sottod" in line]
            self.assertEqual(ours, [])

    def test_exposure(self):
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", UNIT],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-300:] + done.stderr)

    def test_system_calls(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        filters = re.findall(r"^SystemCallFilter=(~?)(.+)$", UNIT.read_text(), re.MULTILINE)
        allowed = set()
        for minus, names in filters:
            named = set().union(*(calls_of(n) if n.startswith("@") else {n} for n in names.split()))
            allowed = allowed - named if minus else allowed | named
        self.assertIn("sendto", allowed)
        self.assertNotIn("mount", allowed)
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "calls"
            traced = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}  # which cannot be, traced
            with started("--listen", "127.0.0.1:0", before=["strace", "-f", "-qq", "-o", trace], env=traced) as p:
                first = p.stderr.readline()
                if "READY" not in first:
                    self.skipTest("nothing can be traced here")
                port = int(re.search(r":(\d+) ", first)[1])
                d = Daemon.__new__(Daemon)
                d.port = port
                self.assertEqual(d.quick(quiet(1)).status, 200)
                self.assertEqual(d.get("/metrics").status, 200)
                children = Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split()
                os.kill(int(children[0]), signal.SIGTERM)
                self.assertEqual(p.wait(120), 0)
            used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
        self.assertTrue({"epoll_wait", "accept4", "futex"} <= used, used)
        self.assertLessEqual(used - allowed, set(), "calls that the unit's filter refuses")


if __name__ == "__main__":
    need_model("tiny.en")
    if sys.platform != "linux":
        sys.exit(77)
    unittest.main()
