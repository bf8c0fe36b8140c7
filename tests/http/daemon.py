# SPDX-License-Identifier: MIT
"""Starts the real sottod on a free port and speaks HTTP to it, for the tests beside this file."""

import contextlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import wave
from pathlib import Path
from unittest import mock

SOURCE = Path(os.environ.get("SOTTO_SOURCE", Path(__file__).resolve().parents[2]))
BIN = Path(os.environ.get("SOTTO_BIN", SOURCE / "build/release/bin"))
MODELS = Path(os.environ.get("SOTTO_MODELS", SOURCE / "models"))
RECORDINGS = SOURCE.parent / "shared/audio"
START_SECONDS = 60
ANSWER_SECONDS = 300


def memory_factor():
    """ThreadSanitizer keeps the last accesses to every byte: memory takes several times as much."""
    cache = (BIN.parent / "CMakeCache.txt").read_text()
    return 6 if re.search(r"^SOTTO_SANITIZE:\w+=.*thread", cache, re.MULTILINE) else 1


def without_quarantine():
    """For tests of memory: a daemon built with AddressSanitizer would hold freed memory back by design."""
    options = f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
    return mock.patch.dict(os.environ, ASAN_OPTIONS=options)


def need_model(name):
    """Ends the whole test as skipped when there is nothing to serve."""
    if not (MODELS / name).exists():
        print(f"skipped: model {name} is not in {MODELS}")
        sys.exit(77)
    if not (BIN / "sottod").exists():
        print(f"no sottod in {BIN}")
        sys.exit(1)


def quiet(seconds, rate=8000):
    """A wav of faint noise: decodable, wordless, and done with after a few decoder steps."""
    second = bytes(b for i in range(rate) for b in ((i * i * 31 >> 3) & 7, 0))
    out = io.BytesIO()
    with wave.open(out, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(rate)
        whole, rest = divmod(round(seconds * rate), rate)
        w.writeframes(second * whole + second[: 2 * rest])
    return out.getvalue()


def broken_models(folder, whole):
    """Makes weight files that no program may serve, beside the other files of the sound model `whole`; their paths."""
    weights = (whole / "model.bin").read_bytes()
    half = len(weights) // 2
    dims = 51864, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1
    header = b'{"model.encoder.conv1.weight":{"dtype":"F32","shape":[384,80,3],"data_offsets":[0,368640]}}'
    for name, file, content in (
        ("ct2-empty", "model.bin", b""),
        ("ct2-head", "model.bin", weights[:40]),
        ("ct2-half", "model.bin", weights[:half]),
        ("ct2-last-tensor-cut", "model.bin", weights[:-100]),  # after it come only other names of tensors
        ("ct2-garbage", "model.bin", b"\xa5" * 100_000),
        ("ct2-wild-counts", "model.bin", weights[:20] + b"\xff" * 64 + weights[84:half]),
        ("hf-head", "model.safetensors", len(header).to_bytes(8, "little") + header[:20]),
        ("hf-no-data", "model.safetensors", len(header).to_bytes(8, "little") + header),
        ("hf-wild-length", "model.safetensors", b"\xff" * 8 + header),
        ("ggml-magic", "ggml.bin", b"lmgg"),
        ("ggml-head", "ggml.bin", b"lmgg" + b"".join(n.to_bytes(4, "little") for n in dims)),
        ("ggml-wild-counts", "ggml.bin", b"lmgg" + b"\xff" * 4000),
    ):
        directory = folder / name
        directory.mkdir()
        if file != "ggml.bin":
            for other in whole.iterdir():
                if other.suffix in (".json", ".txt"):
                    (directory / other.name).symlink_to(other.resolve())
        (directory / file).write_bytes(content)
        yield directory / file if file == "ggml.bin" else directory


def until(what, seconds=30):
    """Asks every 50 ms; False when it was never so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


def multipart(fields, file=b"", filename="audio.wav"):
    """(body, content type) of a form; fields are (name, value) pairs; file None leaves it out."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        + (value if isinstance(value, bytes) else value.encode())
        + b"\r\n"
        for name, value in fields
    ]
    if file is not None:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + file + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def word_edits(a, b):
    """Levenshtein distance of the words."""
    a, b = (re.findall(r"[\w']+", text.lower()) for text in (a, b))
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


class Daemon:
    """`with Daemon("--max-queue", "1") as d:` ends with SIGTERM and checks nothing; see stop()."""

    def __init__(self, *arguments, model="tiny.en", prefix=()):
        self.spool = tempfile.TemporaryDirectory(prefix="sottod-test-")
        command = [BIN / "sottod", "--model", MODELS / model, "--listen", "127.0.0.1:0", "--spool", self.spool.name]
        self.process = subprocess.Popen([*prefix, *map(str, command), *arguments], stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.ready = threading.Event()
        self.url = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.ready.wait(START_SECONDS) or not self.url:
            self.__exit__()
            raise RuntimeError("sottod does not start: " + "".join(self.lines))
        self.port = int(self.url.rsplit(":", 1)[1])

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r'(?:^READY |"event":"ready","url":")(https?://[^\s"]+)', line)
            if found:
                self.url = found.group(1)
                self.ready.set()
        self.ready.set()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()
        self.spool.cleanup()

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def stop(self, seconds=60):
        """SIGTERM; the exit status."""
        self.signal()
        return self.process.wait(seconds)

    def finish(self):
        """Ends a daemon that served a whole class; a sanitizer's or its own complaint fails the class."""
        try:
            status = self.stop()
            if status != 0:
                raise AssertionError(f"sottod ended with {status}: {self.log}")
        finally:
            self.__exit__()

    @property
    def log(self):
        return "".join(self.lines)

    @contextlib.contextmanager
    def connection(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            yield c
        finally:
            c.close()

    def request(self, method, path, body=None, headers=None):
        with self.connection() as c:
            c.request(method, path, body, headers or {})
            return Answer(c.getresponse())

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def post(self, file=b"", path="/v1/audio/transcriptions", fields=(), filename="audio.wav", headers=None):
        body, kind = multipart(fields, file, filename)
        return self.request("POST", path, body, {"Content-Type": kind, **(headers or {})})

    def quick(self, file, **fields):
        """A transcription without fallback to higher temperatures."""
        return self.post(file, fields=[("temperature_inc", "0"), *fields.items()])

    def health(self):
        return self.get("/health").json

    def wait_for(self, what, seconds=60):
        return until(lambda: what(self.health()), seconds)

    def memory(self, key="VmRSS"):
        """Bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{key}:\s+(\d+)", text).group(1)) << 10
