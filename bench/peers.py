# SPDX-License-Identifier: MIT
"""The engines that bench/compare sets beside each other, each in a process of its own.

In: a folder of weights. Out: objects with run(file, beam) -> (seconds, text), or a URL to post to. Also the virtual
environment that the peers live in, and the process memory of each.
"""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
VENV = BUILD / "bench-venv"
PACKAGES = ["faster-whisper==1.2.1", "pywhispercpp==1.5.1", "numpy", "soundfile", "jiwer", "regex", "more-itertools",
            "starlette", "uvicorn", "python-multipart", "matplotlib", "redis", "websockets>=14,<18"]
# Only its normaliser is used, which needs none of its dependencies.
BARE_PACKAGES = ["openai-whisper==20250625"]
BATCHED = "faster-whisper int8 batched"
PEERS = ["faster-whisper int8", BATCHED, "faster-whisper float32", "pywhispercpp f16"]
# Command line options of sotto's that choose how the windows of a long recording follow each other.
WINDOW_OPTIONS = r"--(no-)?(sequential|parallel|parallel-windows|chunked|independent-windows)\b"


def say(text):
    print(f"compare: {text}", file=sys.stderr, flush=True)


def prepare_venv():
    stamp = VENV / ".complete"
    wanted = "\n".join(PACKAGES + BARE_PACKAGES)
    if not stamp.is_file() or stamp.read_text() != wanted:
        say(f"pip install {' '.join(PACKAGES + BARE_PACKAGES)} into build/bench-venv")
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        pip = [VENV / "bin/pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES], check=True)
        subprocess.run([*pip, "--no-deps", *BARE_PACKAGES], check=True)
        stamp.write_text(wanted)
    return VENV / "bin" / "python"


def ggml_of(model):
    """The same weights as a whisper.cpp file."""
    path = BUILD / "bench-ggml" / f"ggml-{model.name}.bin"
    if not path.is_file():
        convert = ROOT / "tests" / "reference" / "convert.py"
        subprocess.run([sys.executable, convert, "--to", "ggml", model, path], check=True)
    return path


def peer_environment():
    """OPENBLAS_… settings are meant for the BLAS that sotto uses; peers bring their own libraries."""
    return {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}


def status_kb(pid, field):
    """A memory field of one process (VmRSS, VmHWM), 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = re.search(rf"{field}:\s*(\d+)", status)
    return int(found[1]) if found else 0


def tree_of(pid):
    """The process and its descendants."""
    found, open_ = [], [pid]
    while open_:
        pid = open_.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                open_ += [int(child) for child in task.read_text().split()]
            except OSError:
                pass
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def body_of(file, fields):
    """(content type, length, iterable) of a form with the file in it; long files are read as they are sent."""
    mark = "sotto-bench-boundary"
    head = "".join(
        f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()
    )
    head = (head + f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n\r\n').encode()
    tail = f"\r\n--{mark}--\r\n".encode()

    def parts():
        yield head
        with file.open("rb") as sound:
            while block := sound.read(1 << 20):
                yield block
        yield tail

    return f"multipart/form-data; boundary={mark}", len(head) + file.stat().st_size + len(tail), parts()


def transcribe(port, file, fields):
    """One POST to OpenAI's endpoint; the answer's bytes."""
    kind, length, parts = body_of(file, fields)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=7200)
    try:
        headers = {"Content-Type": kind, "Content-Length": str(length)}
        connection.request("POST", "/v1/audio/transcriptions", parts, headers)
        response = connection.getresponse()
        data = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"port {port} answers {response.status} {data[:300]!r}")
    return data


class Server:
    """A process that answers HTTP: sottod or bench/peer_server.py."""

    def __init__(self, name, command, port, log, env=None, fields=None):
        self.name, self.port, self.log_path = name, port, BUILD / log
        self.fields = fields or {}
        self.log = self.log_path.open("a")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=env, start_new_session=True)
        for _ in range(600):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.close()
        raise SystemExit(f"compare: {name} does not come up; build/{log} says why")

    def post(self, file, fields):
        return transcribe(self.port, file, fields)

    def request_fields(self, beam=1):
        """Those that all servers are asked with: English, temperature 0, beams when there are several."""
        fields = {"language": "en", "temperature": "0"} | ({"beam_size": str(beam)} if beam > 1 else {})
        return fields | self.fields

    def run(self, file, beam):
        started = time.perf_counter()
        text = json.loads(self.post(file, self.request_fields(beam)))["text"]
        return time.perf_counter() - started, text

    def report(self, file, **fields):
        """sotto's account of one request."""
        fields = self.request_fields() | {"response_format": "verbose_json"} | fields
        return json.loads(self.post(file, fields))["sotto"]

    @property
    def pids(self):
        return tree_of(self.process.pid)

    @property
    def peak_kb(self):
        return sum(status_kb(pid, "VmHWM") for pid in self.pids)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        try:  # processes of its own that it left behind
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.log.close()


class Sotto(Server):
    def __init__(self, args, model, name="sotto", threads=None, options=(), fields=None):
        port = free_port()
        command = [args.bin / "sottod", "--model", model, "--listen", f"127.0.0.1:{port}"]
        command += ["--threads", str(threads or args.threads), *options]
        fields = {"model": model.name} | (fields or {})
        super().__init__(name, command, port, "bench-sottod.log", fields=fields)

    @classmethod
    def exact(cls, args, model, **more):
        """float32 weights, every position of the window, windows one after the other."""
        fields = {"tail_stride": "1"}
        fields |= {field: value for name, field, value in window_modes(args) if name == "sequential"}
        return cls(args, model, "sotto exact", options=["--precision", "f32"], fields=fields, **more)


def window_modes(args):
    """(name, form field, value) of the ways through a long recording that this build offers beside its default."""
    text = ""
    for command in (["sotto", "transcribe", "--help"], ["sottod", "--help"]):
        done = subprocess.run([args.bin / command[0], *command[1:]], capture_output=True, text=True, check=False)
        text += done.stdout
    modes = []
    for no, option in dict.fromkeys(re.findall(rf"^\s+{WINDOW_OPTIONS}", text, re.MULTILINE)):
        name = option if not no else "sequential" if option != "sequential" else "parallel"
        modes.append((name, option.replace("-", "_"), "false" if no else "true"))
    return modes


def sotto_version(args):
    done = subprocess.run([args.bin / "sottod", "--version"], capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())


def offers(args, option):
    """Whether sottod's --help has the option."""
    done = subprocess.run([args.bin / "sottod", "--help"], capture_output=True, text=True, check=True)
    return re.search(rf"^\s+(-\w, )?{option}\b", done.stdout, re.MULTILINE) is not None


class Peer:
    """bench/engine.py with one engine in it."""

    def __init__(self, name, model, threads):
        self.name = name
        command = [sys.executable, ROOT / "bench" / "engine.py", name, model, ggml_of(model), str(threads)]
        self.log = (BUILD / "bench-peers.log").open("a")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=peer_environment()
        )
        self.peak_kb = 0

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"compare: {self.name} ended; build/bench-peers.log says why")
        answer = json.loads(line)
        self.peak_kb = answer["peak_kb"]
        return answer

    def run(self, file, beam):
        answer = self.ask(file=str(file), beam=beam)
        return answer["seconds"], answer["text"]

    def encode(self, file):
        """Seconds of the encoder alone on the file's first 30 s."""
        return self.ask(file=str(file), encode=True)["seconds"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


class PeerServer(Server):
    """bench/peer_server.py around one engine; workers are models' worker threads, processes are copies."""

    def __init__(self, name, engine, model, threads, workers=1, processes=1):
        port = free_port()
        command = [sys.executable, ROOT / "bench" / "peer_server.py", engine, model, ggml_of(model), "--port", str(port)]
        command += ["--threads", str(threads), "--workers", str(workers), "--processes", str(processes)]
        super().__init__(name, command, port, "bench-peers.log", env=peer_environment())
