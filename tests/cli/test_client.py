# SPDX-License-Identifier: MIT
"""The client `sotto` from outside: what it prints where, what it writes, and how it exits.

Runs in its own process, against a real `sottod` on a free port, and against a scripted HTTP server for
what a healthy daemon does not do on demand (503, odd replies). Needs models/tiny.en; what is said is
checked on a recording of ../shared/audio when that folder is there.
"""

from __future__ import annotations

import http.server
import json
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import wave
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "http"))
from daemon import broken_models, word_edits  # noqa: E402

SOURCE = Path(os.environ.get("SOTTO_SOURCE", Path(__file__).resolve().parents[2]))
BIN = Path(os.environ.get("SOTTO_BIN", SOURCE / "build" / "release" / "bin"))
MODELS = Path(os.environ.get("SOTTO_MODELS") or SOURCE / "models")
HAVE_MODEL = (MODELS / "tiny.en").exists()
SPEECH = SOURCE.parent / "shared" / "audio" / "jfk.flac"
CITIES = SPEECH.with_name("two_cities.wav")  # 44 s
SAID = (
    "and so my fellow americans ask not what your country can do for you "
    "ask what you can do for your country"
)
FORMATS = ["txt", "text", "json", "verbose_json", "srt", "vtt", "tsv"]

needs_model = unittest.skipUnless(HAVE_MODEL, "models/tiny.en is not here: models/fetch tiny.en")
needs_vad = unittest.skipUnless((MODELS / "silero-vad").exists(), "models/silero-vad is not here: models/fetch silero-vad")
needs_speech = unittest.skipUnless(SPEECH.exists(), "the recordings of ../shared are not here")


def environment(**more: str) -> dict[str, str]:
    """This environment without the client's own variables; port 1 answers nobody."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SOTTO_")}
    return {**env, "SOTTO_MODELS": str(MODELS), "SOTTO_SERVER": "http://127.0.0.1:1", **more}


def sotto(*arguments: object, stdin: bytes | None = None, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [BIN / "sotto", *map(str, arguments)],
        input=stdin if stdin is not None else b"",
        capture_output=True,
        env=environment(**env),
        timeout=300,
        check=False,
    )


def words(text: bytes | str) -> str:
    text = text.decode() if isinstance(text, bytes) else text
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def write_tone(path: Path, seconds: float = 1.0) -> Path:
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(16000)
        samples = (int(8000 * math.sin(i * 0.17)) for i in range(int(16000 * seconds)))
        w.writeframes(b"".join(struct.pack("<h", s) for s in samples))
    return path


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="sotto-client-")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def check(self, done: subprocess.CompletedProcess, status: int, stderr: str | None = None) -> None:
        said = done.stderr.decode()
        self.assertEqual(done.returncode, status, said)
        if stderr is not None:
            self.assertIn(stderr, said)


class Usage(Case):
    """Needs neither model nor daemon."""

    def test_wrong_usage_is_2_and_says_what_is_wrong(self) -> None:
        cases = [
            ([], "Usage: sotto"),
            (["transcrib", "x.wav"], 'unknown command "transcrib"; did you mean transcribe?'),
            (["transcribe"], "no file was given"),
            (["transcribe", "--formt", "srt", "x.wav"], "unknown option --formt; did you mean --format?"),
            (["transcribe", "-f", "mp3", "x.wav"], 'there is no format "mp3"'),
            (["transcribe", "--beam-size", "0", "x.wav"], "--beam-size is 0, which is outside 1 to 32"),
            (["transcribe", "--temperature", "hot", "x.wav"], '--temperature is "hot"'),
            (["transcribe", "--language", "klingon", "x.wav"], '--language is "klingon"'),
            (["transcribe", "--task", "sing", "x.wav"], "transcribe|translate"),
            (["transcribe", "x.wav", "--model"], "--model needs a value"),
            (["transcribe", "--local", "--server", "http://127.0.0.1:1", "x.wav"], "exclude one another"),
            (["devices", "extra"], "takes no arguments"),
        ]
        for arguments, message in cases:
            with self.subTest(arguments=arguments):
                done = sotto(*arguments)
                self.check(done, 2, message)
                self.assertEqual(done.stdout, b"")

    def test_help_and_version_go_to_stdout(self) -> None:
        for arguments in (["--help"], ["help"], ["help", "transcribe"], ["transcribe", "--help"], ["devices", "-h"]):
            with self.subTest(arguments=arguments):
                done = sotto(*arguments)
                self.check(done, 0)
                self.assertIn(b"Usage: sotto", done.stdout)
                self.assertEqual(done.stderr, b"")
        for arguments in (["--version"], ["version"], ["transcribe", "--version"]):
            done = sotto(*arguments)
            self.check(done, 0)
            self.assertRegex(done.stdout.decode(), r"^sotto \d+\.\d+\.\d+\n.*openblas")

    def test_devices(self) -> None:
        done = sotto("devices")
        self.check(done, 0)
        self.assertEqual(done.stderr, b"", "probing noise reaches the terminal")
        self.assertTrue(done.stdout.strip())
        listed = json.loads(sotto("devices", "--json").stdout)
        for device in listed:
            self.assertGreater(device["max_input_channels"], 0)
        self.assertEqual(not listed, done.stdout == b"No input devices.\n")

    def test_missing_model_says_where_it_looked_and_what_helps(self) -> None:
        done = sotto("transcribe", "--local", "--model", "no-such", write_tone(self.dir / "a.wav"))
        self.check(done, 1, "models/fetch no-such")
        self.assertIn(str(MODELS), done.stderr.decode())
        self.assertEqual(done.stdout, b"")

    def test_named_server_that_does_not_answer_is_an_error(self) -> None:
        done = sotto("transcribe", "--server", "http://127.0.0.1:1", write_tone(self.dir / "a.wav"))
        self.check(done, 1, "no answer from http://127.0.0.1:1")
        self.assertEqual(done.stdout, b"")


@needs_model
class InProcess(Case):
    @needs_speech
    def test_speech_to_text(self) -> None:
        done = sotto("transcribe", SPEECH)
        self.check(done, 0)
        self.assertEqual(words(done.stdout), SAID)
        lines = done.stderr.decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("no daemon answers at http://127.0.0.1:1", lines[0])

    def test_notices_have_no_credentials(self) -> None:
        done = sotto("transcribe", write_tone(self.dir / "a.wav"), SOTTO_SERVER="http://ann:secret@127.0.0.1:1")
        self.check(done, 0, "no daemon answers at http://127.0.0.1:1; transcribing in this process")
        heard = ("--from-file", self.dir / "a.wav", "--pace", "fast")
        done = sotto("live", *heard, SOTTO_SERVER="http://ann:secret@127.0.0.1:1")
        self.check(done, 0, "no daemon answers at http://127.0.0.1:1; captioning in this process")

    @needs_speech
    def test_standard_input_formats_and_report(self) -> None:
        done = sotto(
            *("transcribe", "--local", "--word-timestamps", "--report", "-f", ",".join(FORMATS), "-o", self.dir, "-"),
            stdin=SPEECH.read_bytes(),
        )
        self.check(done, 0, "GOP/s reached")
        self.assertEqual(done.stdout, b"")
        names = {"txt", "text.txt", "json", "verbose.json", "srt", "vtt", "tsv"}
        self.assertEqual({p.name for p in self.dir.iterdir()}, {f"stdin.{n}" for n in names})
        for name in ("stdin.txt", "stdin.text.txt"):
            self.assertEqual(words((self.dir / name).read_text()), SAID)
        verbose = json.loads((self.dir / "stdin.verbose.json").read_text())
        self.assertEqual(words(" ".join(w["word"] for w in verbose["words"])), SAID)
        parts = verbose["sotto"]["parameters"]["by_part"]
        self.assertEqual(sum(parts.values()), verbose["sotto"]["parameters"]["total"])
        self.assertIn(f"{verbose['sotto']['parameters']['total']}", done.stderr.decode())
        srt = (self.dir / "stdin.srt").read_text()
        self.assertEqual(srt.count(" --> "), len(verbose["words"]))

    def in_process(self, *options: object) -> dict:
        done = sotto("transcribe", "--local", "-f", "verbose_json", *options)
        self.check(done, 0)
        return json.loads(done.stdout)

    @needs_speech
    @needs_vad
    def test_long_recording_in_parts(self) -> None:
        cut = self.in_process(CITIES)
        whole = self.in_process("--sequential", CITIES)
        self.assertGreaterEqual(cut["sotto"]["parts"], 2)
        self.assertEqual(whole["sotto"]["parts"], 0)
        last = 0.0
        for segment in cut["segments"]:
            self.assertLessEqual(last, segment["start"])
            self.assertLessEqual(segment["start"], segment["end"])
            last = segment["end"]
        self.assertLessEqual(last, cut["duration"])
        edits = word_edits(cut["text"], whole["text"])
        self.assertLessEqual(edits, len(whole["text"].split()) // 10, (cut["text"], whole["text"]))
        for options in ("--vad", "none"), ("--vad", ""):
            with self.subTest(options=options):
                other = self.in_process(*options, CITIES)
                self.assertEqual((other["sotto"]["parts"], other["text"]), (0, whole["text"]))

    @needs_speech
    def test_full_window(self) -> None:
        sampled, full = self.in_process(SPEECH), self.in_process("--full-window", SPEECH)
        for answer in sampled, full:
            self.assertEqual(words(answer["text"]), SAID)
        self.assertEqual(full["sotto"]["encoder_positions"], 1500 * full["sotto"]["windows"])
        self.assertLess(sampled["sotto"]["encoder_positions"], 1500 * sampled["sotto"]["windows"])
        self.assertEqual(self.in_process("--tail-stride", "1", SPEECH)["segments"], full["segments"])

    def test_detector_that_is_none(self) -> None:
        tone = write_tone(self.dir / "a.wav")
        (self.dir / "silero_vad_16k.safetensors").write_bytes(b"no weights")
        for vad, message in (
            ("/nonexistent", "there is no model at /nonexistent"),
            ("no-such-vad", 'model "no-such-vad" is in none of'),
            (self.dir, f"{self.dir}/silero_vad_16k.safetensors"),
        ):
            with self.subTest(vad=vad):
                done = sotto("transcribe", "--local", "--vad", vad, tone)
                self.check(done, 1, message)
                self.assertEqual(done.stdout, b"")
                lines = done.stderr.decode().splitlines()
                self.assertEqual(len(lines), 1, lines)
                self.assertTrue(lines[0].startswith("sotto transcribe: "), lines[0])

    def test_broken_weight_files(self) -> None:
        tone = write_tone(self.dir / "a.wav")
        for path in broken_models(self.dir, MODELS / "tiny.en"):
            with self.subTest(model=path.name):
                done = sotto("transcribe", "--local", "--model", path, tone)
                self.check(done, 1, str(path))
                self.assertEqual(done.stdout, b"")
                lines = done.stderr.decode().splitlines()
                self.assertEqual(len(lines), 1, lines)
                self.assertTrue(lines[0].startswith("sotto transcribe: "), lines[0])

    def test_one_bad_file_among_several(self) -> None:
        good, again = write_tone(self.dir / "a.wav"), write_tone(self.dir / "b.wav")
        bad = self.dir / "bad.wav"
        bad.write_text("no sound in here\n")
        out = self.dir / "out"
        done = sotto("transcribe", "--local", "-f", "json", "-o", out, good, bad, self.dir / "absent.wav", again)
        self.check(done, 1)
        said = done.stderr.decode().splitlines()
        self.assertEqual(len(said), 2, said)
        self.assertIn("bad.wav", said[0])
        self.assertIn("absent.wav", said[1])
        self.assertEqual({p.name for p in out.iterdir()}, {"a.json", "b.json"})

    def test_same_names_never_overwrite(self) -> None:
        other = self.dir / "other"
        other.mkdir()
        tone = write_tone(self.dir / "a.wav")
        (self.dir / "a.wave").write_bytes(tone.read_bytes())
        (other / "a.wav").write_bytes(tone.read_bytes())
        out = self.dir / "out"
        done = sotto("transcribe", "--local", "-o", out, tone, self.dir / "a.wave", other / "a.wav")
        self.check(done, 0)
        self.assertEqual({p.name for p in out.iterdir()}, {"a.wav.txt", "a.wave.txt", "a.wav.2.txt"})

    def test_output_that_cannot_be_written(self) -> None:
        tone = write_tone(self.dir / "a.wav")
        self.check(sotto("transcribe", "--local", "-o", tone, tone), 1, "cannot be written")
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [BIN / "sotto", "transcribe", "--local", "-f", "json", tone],
                stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=300, check=False,
            )  # fmt: skip
        self.check(done, 1, "standard output cannot be written")

    def test_progress_only_on_a_terminal(self) -> None:
        tone = write_tone(self.dir / "a.wav", 40)
        try:
            leader, follower = pty.openpty()
        except OSError as error:  # a root without /dev/pts
            self.skipTest(f"no terminal can be made ({error})")
        process = subprocess.Popen(
            [BIN / "sotto", "transcribe", "--local", tone],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=follower, env=environment(),
        )  # fmt: skip
        os.close(follower)
        drawn, deadline = b"", time.monotonic() + 300
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 1)[0]:
                try:
                    drawn += os.read(leader, 4096)
                except OSError:  # the other side is closed
                    break
        os.close(leader)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertRegex(drawn.decode(), r"a\.wav  transcribing \[#+ *\] +\d+ %")
        self.assertTrue(drawn.endswith(b"\r\x1b[K"), "the line is not cleared")
        self.assertNotIn(b"%", out)
        self.assertEqual(sotto("transcribe", "--local", tone).stderr, b"")

    def test_interrupt(self) -> None:
        tone = write_tone(self.dir / "long.wav", 1800)
        process = subprocess.Popen(
            # slow enough for any machine to be in the middle of it after 2 s
            [BIN / "sotto", "transcribe", "--local", "--precision", "f32", "--full-window", "--sequential",
             "-o", self.dir / "out", tone, tone],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertLess(time.monotonic() - begun, 10)
        self.assertEqual(list((self.dir / "out").iterdir()), [])


@needs_model
class WithDaemon(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.log = tempfile.NamedTemporaryFile(prefix="sottod-log-")
        cls.daemon = subprocess.Popen(
            [BIN / "sottod", "--model", "tiny.en", "--listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=cls.log, env=environment(),
        )  # fmt: skip
        found, deadline = None, time.monotonic() + 60
        while not found and cls.daemon.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            said = Path(cls.log.name).read_text()
            found = re.search(r"^READY (http://\S+)", said, re.M)
        if not found:
            cls.daemon.kill()
            cls.daemon.wait()
            cls.log.close()
            raise AssertionError(f"sottod did not get ready: {said}")
        cls.url = found[1]

    @classmethod
    def tearDownClass(cls) -> None:
        cls.daemon.terminate()
        status = cls.daemon.wait(timeout=90)
        said = Path(cls.log.name).read_text()
        cls.log.close()
        if status != 0:
            raise AssertionError(f"sottod ended with {status}: {said}")

    @needs_speech
    def test_every_format_equals_the_one_made_in_process(self) -> None:
        """Alone, each format comes from the daemon as asked; together, the client makes them of one reply."""
        here, alone, together = self.dir / "here", self.dir / "alone", self.dir / "together"
        self.check(sotto("transcribe", "--local", "-f", ",".join(FORMATS), "-o", here, SPEECH), 0)
        done = sotto("transcribe", "--server", self.url, "-f", ",".join(FORMATS), "-o", together, SPEECH)
        self.check(done, 0)
        self.assertEqual(done.stdout + done.stderr, b"")
        for extension in ("txt", "text.txt", "json", "srt", "vtt", "tsv"):
            self.assertEqual((here / f"jfk.{extension}").read_text(), (together / f"jfk.{extension}").read_text())
        for name in ("txt", "srt", "json"):
            done = sotto("transcribe", "-f", name, "-o", alone, SPEECH, SOTTO_SERVER=self.url)
            self.check(done, 0)
            self.assertEqual(done.stderr, b"", "the daemon of $SOTTO_SERVER was not asked")
            self.assertEqual((here / f"jfk.{name}").read_text(), (alone / f"jfk.{name}").read_text())
        ours, theirs = (json.loads((d / "jfk.verbose.json").read_text()) for d in (here, together))
        for document in (ours, theirs):
            self.assertIn("total", document.pop("sotto")["parameters"])
        self.assertEqual(ours, theirs)

    @needs_speech
    def test_own_temperature_means_the_same_here_and_there(self) -> None:
        """With a threshold that no text meets, a fallback would end at temperature 1."""
        options = ("-f", "verbose_json", "--seed", "3", "--best-of", "1", "--logprob-threshold", "0", SPEECH)
        for more, temperature in (
            (("--temperature", "0.4"), 0.4),
            (("--temperature", "0.4", "--temperature-inc", "0.3"), 1.0),
            (("--temperature", "0"), 1.0),
        ):
            with self.subTest(more=more):
                here = sotto("transcribe", "--local", *more, *options)
                there = sotto("transcribe", "--server", self.url, *more, *options)
                texts = []
                for done in here, there:
                    self.check(done, 0)
                    segments = json.loads(done.stdout)["segments"]
                    self.assertAlmostEqual(segments[0]["temperature"], temperature, places=5)
                    texts.append([s["text"] for s in segments])
                self.assertEqual(*texts)

    @needs_speech
    def test_words_report_and_standard_input(self) -> None:
        done = sotto(
            *("transcribe", "--server", self.url, "-f", "srt", "--word-timestamps", "--report", "-"),
            stdin=SPEECH.read_bytes(),
        )
        self.check(done, 0, "GOP/s reached")
        cues = done.stdout.decode().strip().split("\n\n")
        self.assertEqual(words(" ".join(cue.split("\n")[2] for cue in cues)), SAID)
        self.assertEqual(len(cues), len(SAID.split()))

    def test_refusals_are_shown_and_others_go_on(self) -> None:
        tone = write_tone(self.dir / "a.wav")
        text = self.dir / "text.wav"
        text.write_text("no sound in here\n")
        done = sotto("transcribe", "--server", self.url, "-f", "json", text, tone)
        self.check(done, 1, "text.wav")
        self.assertEqual(len(done.stderr.decode().splitlines()), 1)
        self.assertIn("text", json.loads(done.stdout))
        self.check(sotto("transcribe", "--server", self.url, "--model", "no-such", tone), 1, "no-such")
        self.check(sotto("transcribe", "--server", self.url, "--task", "translate", tone), 1, "a.wav")


class Script(http.server.BaseHTTPRequestHandler):
    """/health and /v1/models as a daemon; POST answers come from server.answers, and are recorded."""

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        models = {"object": "list", "data": [{"id": "model-of-the-daemon", "object": "model"}]}
        self.answer(200, json.dumps(models if self.path == "/v1/models" else {"status": "ok"}).encode(), {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((time.monotonic(), self.path, body))
        self.answer(*self.server.answers.pop(0))


class AgainstScript(Case):
    def setUp(self) -> None:
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Script)
        self.server.posts, self.server.answers = [], []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.file = self.dir / "talk.wav"
        self.file.write_bytes(b"sound" * 1000)

    def run_client(self, *arguments: str, **env: str) -> subprocess.CompletedProcess:
        return sotto("transcribe", "--server", self.url, *arguments, self.file, **env)

    def test_busy_daemon_is_asked_again(self) -> None:
        self.server.answers += [(503, b"{}", {"Retry-After": "1"}), (429, b"{}", {"Retry-After": "2"}), (200, b"hello\n", {})]
        done = self.run_client()
        self.check(done, 0)
        self.assertEqual(done.stdout, b"hello\n")
        first, second, third = (post[0] for post in self.server.posts)
        self.assertGreaterEqual(second - first, 1)
        self.assertGreaterEqual(third - second, 2)

    def test_errors_of_the_daemon(self) -> None:
        error = json.dumps({"error": {"message": "The moon is in the wrong house"}}).encode()
        for status, body, expected in (
            (400, error, "talk.wav: The moon is in the wrong house"),
            (413, error, "The moon is in the wrong house"),
            (500, b"<html>", "HTTP status 500"),
            (200, b"{", "reply is no JSON"),
            (200, b"[]", "reply is no verbose_json"),
        ):
            with self.subTest(status=status, body=body):
                self.server.answers.append((status, body, {}))
                done = self.run_client("-f", "txt,srt")
                self.check(done, 1, expected)
                self.assertEqual(done.stdout, b"")

    def test_what_is_sent(self) -> None:
        self.server.answers.append((200, b"{}", {}))
        options = "--task translate --language de --beam-size 3 --no-condition-on-previous-text --word-timestamps"
        done = self.run_client("-f", "json", *options.split(), "--logprob-threshold", "none", SOTTO_SEED="7")
        self.check(done, 0)
        _, path, body = self.server.posts[0]
        self.assertEqual(path, "/v1/audio/translations")
        parts = re.findall(rb'name="([^"]+)"(?:; filename="([^"]+)")?\r\n(?:[^\r]+\r\n)*\r\n(.*?)\r\n--', body, re.S)
        fields = [(name.decode(), value.decode()) for name, _, value in parts]
        self.assertEqual(fields.pop(), ("file", "sound" * 1000))
        self.assertEqual(parts[-1][1], b"talk.wav")
        self.assertEqual(
            sorted(fields),
            sorted([
                ("model", "model-of-the-daemon"),
                ("response_format", "json"),
                ("language", "de"),
                ("beam_size", "3"),
                ("condition_on_previous_text", "false"),
                ("logprob_threshold", "none"),
                ("seed", "7"),
                ("timestamp_granularities[]", "word"),
                ("timestamp_granularities[]", "segment"),
            ]),
        )  # fmt: skip

    def test_other_servers_are_told_apart(self) -> None:
        Script.do_GET, kept = lambda self: self.answer(404, b"", {}), Script.do_GET
        try:
            self.check(self.run_client(), 1, "is no sotto daemon")
        finally:
            Script.do_GET = kept


if __name__ == "__main__":
    if not (BIN / "sotto").exists():
        sys.exit(f"{BIN / 'sotto'} is not built")
    result = unittest.main(exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(0 if HAVE_MODEL else 77)
