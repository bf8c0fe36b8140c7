# SPDX-License-Identifier: MIT
"""Debian's chromium without a window, driven over its DevTools protocol, with a recording as its microphone."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

START_SECONDS = 60


class Chromium:
    """`with Chromium("speech.wav") as page:`; without a recording the microphone is refused."""

    def __init__(self, recording=None):
        self.folder = tempfile.TemporaryDirectory(prefix="sotto-chromium-", ignore_cleanup_errors=True)
        command = [
            "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
            "--remote-debugging-port=0", f"--user-data-dir={self.folder.name}", "--use-fake-device-for-media-stream",
            "--hide-scrollbars", "--mute-audio",
        ]  # fmt: skip
        if recording:
            command += ["--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={recording}%noloop"]
        else:
            command += ["--deny-permission-prompts"]
        self.process = subprocess.Popen([*command, "about:blank"], stderr=subprocess.PIPE, text=True)
        self.port, self.number, self.socket, self.errors = None, 0, None, []
        self.console = []  # what the browser wrote to the console as an error, refused requests included
        self.listening = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.listening.wait(START_SECONDS) or not self.port:
            self.close()
            raise RuntimeError("chromium does not start")
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/json/list"))
        target = next(p for p in pages if p["type"] == "page")
        self.socket = connect(target["webSocketDebuggerUrl"], max_size=None)
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")

    @staticmethod
    def installed():
        return shutil.which("chromium") is not None

    def _read(self):
        for line in self.process.stderr:
            if found := re.match(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/", line):
                self.port = int(found.group(1))
                self.listening.set()
        self.listening.set()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.socket:
            try:
                self.call("Browser.close")
            except Exception:
                pass
            self.socket.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.process.stderr.close()
        self.folder.cleanup()

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(60))
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"])
            if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.console.append(answer["params"]["entry"]["text"])
            if answer.get("method") == "Runtime.consoleAPICalled" and answer["params"]["type"] in ("error", "assert"):
                self.console.append(answer["params"]["args"])
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, expression):
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression, seconds=30):
        end = time.monotonic() + seconds
        while not (value := self.run(expression)):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {expression}")
            time.sleep(0.05)
        return value

    def key(self, name, text=None):
        for kind in "keyDown", "keyUp":
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=name, **more)

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def screenshot(self, path, transparent=False):
        if transparent:
            self.call("Emulation.setDefaultBackgroundColorOverride", color={"r": 0, "g": 0, "b": 0, "a": 0})
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
