# SPDX-License-Identifier: MIT
"""`sotto live` from outside: recordings played into it, signals, files that grow, a terminal, and a microphone; all of
it both in its own process and by a real `sottod`.

The microphone is the monitor of a PulseAudio null sink that this test starts for itself: `paplay` speaks into it,
PortAudio hears it. Needs models/tiny.en and models/silero-vad, and for what is said the recordings of ../shared/audio.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
import urllib.parse
import wave
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_client import (  # noqa: E402
    BIN,
    CITIES,
    HAVE_MODEL,
    MODELS,
    SAID,
    SPEECH,
    environment,
    sotto,
    word_edits,
    write_tone,
)

# After test_client, which finds it.
from daemon import Daemon  # noqa: E402

HAVE_ALL = HAVE_MODEL and (MODELS / "silero-vad").exists()
needs_models = unittest.skipUnless(HAVE_ALL, "models are not here: models/fetch tiny.en silero-vad")
needs_speech = unittest.skipUnless(SPEECH.exists(), "the recordings of ../shared are not here")
FAR = 4  # words of the 22 that may differ: captions hear less of what follows than a transcription does


def words(text: str | bytes) -> list[str]:
    text = text.decode() if isinstance(text, bytes) else text
    return re.findall(r"[a-z']+", text.lower())


def seconds(stamp: str) -> float:
    hours, minutes, rest = stamp.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def cues(path: Path) -> list[tuple[float, float, str]]:
    """The cues of a subtitle file, which has to be whole up to its last byte."""
    text = path.read_text()
    if path.suffix == ".vtt":
        assert text.startswith("WEBVTT\n\n"), text[:20]
        text = text[8:]
    assert text == "" or text.endswith("\n\n"), text[-40:]
    found = []
    for number, block in enumerate(filter(None, text.split("\n\n")), 1):
        lines = block.split("\n")
        if path.suffix == ".srt":
            assert lines.pop(0) == str(number), block
        begin, end = lines.pop(0).split(" --> ")
        found.append((seconds(begin), seconds(end), " ".join(lines)))
    return found


def captions(path: Path) -> list[dict]:
    """The lines of a file of captions; a last line without its end is left out."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def firm(lines: list[dict]) -> list[dict]:
    """Those with confirmed words: who is slow to read what a daemon sends misses some of the others."""
    return [line for line in lines if line["confirmed"]]


def said_in(lines: list[dict]) -> str:
    return "".join(w["word"] for line in lines for w in line["confirmed"])


class Case(unittest.TestCase):
    where: tuple[object, ...] = ("--local",)

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="sotto-live-")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def live(self, *arguments: object, **more) -> subprocess.CompletedProcess:
        return sotto("live", *self.where, *arguments, **more)

    def check(self, done: subprocess.CompletedProcess, status: int, *said: str) -> list[str]:
        lines = done.stderr.decode().splitlines()
        self.assertEqual(done.returncode, status, lines)
        for sentence in said:
            self.assertIn(sentence, done.stderr.decode())
        for line in lines:
            self.assertRegex(line, "^(sotto live: |Try 'sotto live --help')")
        return lines

    def begin(self, *arguments: object, **options) -> subprocess.Popen:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        options.setdefault("env", environment())
        process = subprocess.Popen([BIN / "sotto", "live", *map(str, (*self.where, *arguments))], **options)
        self.addCleanup(lambda: [pipe.close() for pipe in (process.stdin, process.stdout, process.stderr) if pipe])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_for(self, what, is_so, longest: float = 60) -> None:
        deadline = time.monotonic() + longest
        while not is_so():
            self.assertLess(time.monotonic(), deadline, f"no {what} within {longest} s")
            time.sleep(0.05)

    def check_files(self, said: str) -> None:
        """self.dir/a.{srt,vtt,jsonl} hold exactly the words `said`."""
        lines = captions(self.dir / "a.jsonl")
        self.assertEqual(words(said_in(lines)), words(said))
        self.assertEqual([line["last"] for line in lines], [False] * (len(lines) - 1) + [True])
        self.assertEqual(lines[-1]["tentative"], "")
        last = 0.0
        for line in lines:
            self.assertLessEqual(line["heard_s"], line["pushed_s"] + 0.1)
            self.assertGreaterEqual(line["wall_s"], 0)
            for w in line["confirmed"]:
                self.assertLessEqual(last, w["start"] + 0.001)
                self.assertLessEqual(w["start"], w["end"])
                self.assertLessEqual(w["end"], line["pushed_s"] + 0.1)
                self.assertTrue(0 <= w["probability"] <= 1)
                last = w["start"]
        for name in "a.srt", "a.vtt":
            found = cues(self.dir / name)
            self.assertEqual(words(" ".join(text for _, _, text in found)), words(said))
            last = 0.0
            for begin, end, text in found:
                self.assertLessEqual(last, begin)
                self.assertLessEqual(begin, end)
                self.assertLessEqual(end - begin, 7.001)
                self.assertLessEqual(len(text), 84)
                last = end

    def files(self) -> list[object]:
        return [x for name in ("srt", "vtt", "jsonl") for x in (f"--{name}", self.dir / f"a.{name}")]


class Usage(Case):
    """Needs neither model nor microphone."""

    def test_wrong_usage(self) -> None:
        for arguments, message in (
            (["--pace", "fast"], "--pace fast is for recordings"),
            (["--from-file", "a.wav", "--device", "1"], "--from-file and --device exclude one another"),
            (["--from-file", ""], "--from-file is empty"),
            (["--language", "klingon"], '--language is "klingon"'),
            (["--vad", "none"], "need a voice detector"),
            (["--interval", "soon"], '--interval is "soon"'),
            (["--task", "sing"], "transcribe|translate"),
            (["--devic", "1"], "did you mean --device?"),
            (["--server", "http://127.0.0.1:1"], "--local and --server exclude one another"),
            (["talk.wav"], 'takes no arguments, but was given "talk.wav"'),
        ):
            with self.subTest(arguments=arguments):
                done = self.live(*arguments)
                self.check(done, 2, message)
                self.assertEqual(done.stdout, b"")

    def test_help(self) -> None:
        done = sotto("live", "--help")
        self.check(done, 0)
        self.assertIn(b"--from-file", done.stdout)
        self.assertEqual(sotto("help", "live").stdout, done.stdout)

    @needs_models
    def test_sources_that_are_none(self) -> None:
        text = self.dir / "text.wav"
        text.write_text("no sound in here\n" * 100)
        tone = write_tone(self.dir / "a.wav")
        for arguments, message in (
            (["--from-file", self.dir / "absent.wav"], "absent.wav cannot be opened"),
            (["--from-file", self.dir], f"{self.dir} is no file"),
            (["--from-file", text, "--pace", "fast"], "text.wav is not audio in a known format"),
            (["--from-file", "-"], "standard input is empty"),
            (["--from-file", tone, "--model", "no-such"], "models/fetch no-such"),
            (["--from-file", tone, "--vad", "no-such"], "no-such"),
        ):
            with self.subTest(arguments=arguments):
                done = self.live(*arguments)
                self.check(done, 1, message)
                self.assertEqual(done.stdout, b"")

    @needs_models
    def test_microphone_that_is_none(self) -> None:
        done = self.live("--device", "no such device", HOME=str(self.dir), XDG_RUNTIME_DIR=str(self.dir))
        self.assertEqual(len(self.check(done, 1, "there is no microphone")), 1)
        self.assertEqual(done.stdout, b"")


@needs_models
@needs_speech
class Recording(Case):
    def test_fast_run_is_what_was_said_and_the_same_every_time(self) -> None:
        done = self.live("--from-file", SPEECH, "--pace", "fast", *self.files())
        self.check(done, 0, f"listening to {SPEECH} at 16000 Hz")
        offline = sotto("transcribe", "--local", SPEECH).stdout.decode()
        self.assertLessEqual(word_edits(done.stdout.decode(), offline), FAR, done.stdout)
        self.check_files(done.stdout.decode())
        again = self.live("--from-file", SPEECH, "--pace", "fast")
        self.assertEqual(again.stdout, done.stdout)

    def test_standard_input(self) -> None:
        with wave.open(str(SPEECH.with_name("two_cities.wav"))) as w:
            rate, channels, width = w.getframerate(), w.getnchannels(), w.getsampwidth()
            sound = w.readframes(10 * rate)
        self.assertEqual((channels, width), (1, 2), "the recording has changed")
        with wave.open(str(self.dir / "part.wav"), "wb") as w:
            w.setparams((1, 2, rate, 0, "NONE", ""))
            w.writeframes(sound)
        file = self.live("--from-file", self.dir / "part.wav", "--pace", "fast").stdout.decode()
        self.assertGreater(len(words(file)), 15, file)
        part = (self.dir / "part.wav").read_bytes()
        done = self.live("--from-file", "-", "--pace", "fast", *self.files(), stdin=part)
        self.check(done, 0, f"listening to standard input at {rate} Hz")
        self.assertLessEqual(word_edits(done.stdout.decode(), file), FAR)
        self.check_files(done.stdout.decode())
        if rate == 16000:
            bare = self.live("--from-file", "-", "--pace", "fast", stdin=sound)
            self.assertEqual(bare.stdout, done.stdout)

    def test_files_that_cannot_be_written(self) -> None:
        whole = self.live("--from-file", SPEECH, "--pace", "fast").stdout
        absent = self.dir / "absent" / "a.vtt"
        done = self.live("--from-file", SPEECH, "--pace", "fast", "--srt", "/dev/full", "--vtt", absent,
                     "--jsonl", self.dir / "a.jsonl")  # fmt: skip
        lines = self.check(done, 1, "/dev/full cannot be written: No space left", f"{absent} cannot be written: No such")
        self.assertEqual(len(lines), 3, lines)
        self.assertEqual(done.stdout, whole)
        self.assertEqual(words(said_in(captions(self.dir / "a.jsonl"))), words(whole))
        with open("/dev/full", "wb") as full:
            process = self.begin("--from-file", SPEECH, "--pace", "fast", *self.files(), stdout=full)
            _, stderr = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(stderr.count(b"standard output cannot be written"), 1, stderr)
        self.check_files(whole.decode())

    def test_disk_that_becomes_full(self) -> None:
        def limit() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))

        process = self.begin("--from-file", SPEECH, "--pace", "fast", "--no-cache", "--srt", self.dir / "a.srt",
                             preexec_fn=limit, restore_signals=False)  # fmt: skip
        stdout, stderr = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"a.srt cannot be written: File too large; captions go on without it", stderr)
        begun = words(" ".join(text for _, _, text in cues(self.dir / "a.srt")))
        self.assertTrue(begun and begun == words(stdout)[: len(begun)], begun)
        self.assertLess(len(begun), len(words(stdout)))

    def heard(self) -> float:
        path = self.dir / "a.jsonl"
        lines = captions(path) if path.exists() else []
        return lines[-1]["heard_s"] if lines else 0.0

    def test_interrupt_confirms_the_rest(self) -> None:
        for number in signal.SIGINT, signal.SIGTERM:
            with self.subTest(number=number):
                (self.dir / "a.jsonl").unlink(missing_ok=True)
                process = self.begin("--from-file", CITIES, *self.files())
                self.wait_for("6 s heard", lambda: self.heard() > 6)
                process.send_signal(number)
                stdout, _ = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 0)
                self.check_files(stdout.decode())
                end = captions(self.dir / "a.jsonl")[-1]["pushed_s"]
                self.assertLess(end, 20)
                with wave.open(str(CITIES)) as w:
                    rate = w.getframerate()
                    sound = w.readframes(int(end * rate))
                with wave.open(str(self.dir / "part.wav"), "wb") as w:
                    w.setparams((1, 2, rate, 0, "NONE", ""))
                    w.writeframes(sound)
                done = sotto("transcribe", "--local", "--word-timestamps", "-f", "verbose_json", self.dir / "part.wav")
                offline = json.loads(done.stdout)
                # up to the end: how exact captions are is told by another test, on a machine that is less busy than
                # two tests and what they wait for can make it
                last = [w for line in captions(self.dir / "a.jsonl") for w in line["confirmed"]][-1]
                self.assertAlmostEqual(last["end"], offline["words"][-1]["end"], delta=1.5, msg=(stdout, offline["text"]))
                self.assertLessEqual(word_edits(stdout.decode(), offline["text"]), len(words(offline["text"])) // 2)

    def test_second_interrupt_ends_at_once(self) -> None:
        process = self.begin("--from-file", CITIES, "--jsonl", self.dir / "a.jsonl")
        self.wait_for("sound heard", lambda: self.heard() > 1)
        for number in signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT:  # both are there at once
            process.send_signal(number)
        process.communicate(timeout=30)
        self.assertIn(process.returncode, (-signal.SIGINT, -signal.SIGTERM))

    def test_interrupt_while_standard_input_is_silent(self) -> None:
        process = self.begin("--from-file", "-", stdin=subprocess.PIPE)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 0)

    def test_kill_leaves_what_was_confirmed(self) -> None:
        process = self.begin("--from-file", CITIES, *self.files())
        self.wait_for("9 s heard", lambda: self.heard() > 9)
        process.kill()
        process.communicate(timeout=30)
        confirmed = words(said_in(captions(self.dir / "a.jsonl")))
        self.assertGreater(len(confirmed), 10)
        for name in "a.srt", "a.vtt":
            shown = words(" ".join(text for _, _, text in cues(self.dir / name)))
            self.assertTrue(shown, name)
            self.assertEqual(shown, confirmed[: len(shown)])

    def on_terminal(self, *arguments: object) -> tuple[subprocess.Popen, int, int]:
        """The process on a terminal of its own, of 6 rows and 70 columns, and that terminal's two ends."""
        try:
            leader, follower = pty.openpty()
        except OSError as error:  # a root without /dev/pts
            self.skipTest(f"no terminal can be made ({error})")
        self.addCleanup(os.close, leader)
        self.addCleanup(os.close, follower)
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 6, 70, 0, 0))
        process = self.begin(*arguments, "--jsonl", self.dir / "a.jsonl", stdin=follower, stdout=follower,
                             env=environment(TERM="xterm"), start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))  # fmt: skip
        return process, leader, follower

    def test_terminal(self) -> None:
        process, leader, follower = self.on_terminal("--from-file", SPEECH)
        before, drawn, quiet = termios.tcgetattr(follower), b"", False
        while process.poll() is None or select.select([leader], [], [], 0)[0]:
            if select.select([leader], [], [], 0.1)[0]:
                drawn += os.read(leader, 65536)
            quiet |= not termios.tcgetattr(follower)[3] & termios.ECHO
        self.assertEqual(process.returncode, 0)
        self.assertTrue(quiet, "keys are echoed between the captions")
        self.assertEqual(termios.tcgetattr(follower), before)
        text = drawn.decode()
        self.assertRegex(text, r"dB .* lag \d+\.\d s  rtf \d+\.\d\d  \d+\.\d G params/s  0 xruns")
        self.assertIn("\x1b[2m", text)
        self.assertTrue(text.rstrip().endswith("\x1b[?25h"), text[-80:])
        self.assertEqual(words("\n".join(left_on_screen(text))), words(said_in(captions(self.dir / "a.jsonl"))))

    def test_terminal_after_two_interrupts(self) -> None:
        process, leader, follower = self.on_terminal("--from-file", CITIES)
        before, drawn = termios.tcgetattr(follower), b""
        while b"lag" not in drawn:
            drawn += os.read(leader, 65536)
        for number in signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT:
            process.send_signal(number)
        while process.poll() is None:
            if select.select([leader], [], [], 0.1)[0]:
                drawn += os.read(leader, 65536)
        while select.select([leader], [], [], 0)[0]:
            drawn += os.read(leader, 65536)
        self.assertIn(process.returncode, (-signal.SIGINT, -signal.SIGTERM))
        self.assertEqual(termios.tcgetattr(follower), before)
        self.assertIn(b"\x1b[?25h", drawn[-40:])

    def test_terminal_after_a_pause(self) -> None:
        process, leader, follower = self.on_terminal("--from-file", CITIES)
        before, drawn = termios.tcgetattr(follower), b""
        while b"lag" not in drawn:
            drawn += os.read(leader, 65536)
        process.send_signal(signal.SIGTSTP)
        self.wait_for("stop", lambda: os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT))
        self.assertEqual(termios.tcgetattr(follower), before)
        process.send_signal(signal.SIGCONT)
        self.wait_for("quiet", lambda: not termios.tcgetattr(follower)[3] & termios.ECHO)
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            if select.select([leader], [], [], 0.1)[0]:
                os.read(leader, 65536)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(termios.tcgetattr(follower), before)


class WithDaemon(Case):
    """Daemons of a class's own tests, with these arguments."""

    arguments: tuple[str, ...] = ()

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.daemon = Daemon(*cls.arguments)
        cls.addClassCleanup(cls.daemon.finish)
        cls.where = ("--server", cls.daemon.url)


@needs_models
@needs_speech
class RecordingByDaemon(WithDaemon, Recording):
    """All that a recording does in this process, and what only a daemon can do."""

    def test_same_as_in_this_process(self) -> None:
        for recording in SPEECH.with_suffix(".wav"), CITIES:
            with self.subTest(recording=recording):
                played = ("--from-file", recording, "--pace", "fast", *self.files())
                here = sotto("live", "--local", *played)
                self.check(here, 0)
                kept = {name: (self.dir / name).read_text() for name in ("a.srt", "a.vtt")}
                lines = captions(self.dir / "a.jsonl")
                there = sotto("live", *played, SOTTO_SERVER=self.daemon.url)
                self.assertEqual(len(self.check(there, 0)), 1, there.stderr)
                self.assertGreater(len(words(here.stdout)), 20)
                self.assertEqual(there.stdout, here.stdout)
                for name, text in kept.items():
                    self.assertEqual((self.dir / name).read_text(), text)
                self.check_files(there.stdout.decode())
                for ours, theirs in zip(firm(lines), firm(captions(self.dir / "a.jsonl")), strict=True):
                    for key in "tentative", "utterance_end", "last", "language":
                        self.assertEqual(theirs[key], ours[key])
                    self.assertAlmostEqual(theirs["heard_s"], ours["heard_s"], delta=0.0006)
                    for mine, other in zip(ours["confirmed"], theirs["confirmed"], strict=True):
                        self.assertEqual(other["word"], mine["word"])
                        for key in "start", "end", "probability":
                            self.assertAlmostEqual(other[key], mine[key], delta=0.0006)

    def test_options_reach_the_daemon(self) -> None:
        """It refuses what it does not have, and hears as it was told to."""
        for arguments, message in (
            (["--model", "no-such"], "The model `no-such` does not exist here"),
            (["--language", "de"], 'language is "de", but model tiny.en knows English only'),
            (["--task", "translate"], "cannot translate"),
            (["--interval", "0.01"], 'interval is "0.01", but should be seconds from 0.1 to 10'),
            (["--prompt", b"\xff".decode(errors="surrogateescape")], "prompt is not UTF-8 text"),
        ):
            with self.subTest(arguments=arguments):
                done = self.live("--from-file", SPEECH, *arguments)
                self.assertEqual(len(self.check(done, 1, message)), 1, done.stderr)
                self.assertEqual(done.stdout, b"")
        heard = ("--from-file", SPEECH.with_suffix(".wav"), "--pace", "fast")
        changed = ("--prompt", "a b+c ä&=%", "--interval", "1", "--language", "english")
        here = sotto("live", "--local", *heard, *changed, "--jsonl", self.dir / "a.jsonl")
        ours = firm(captions(self.dir / "a.jsonl"))
        self.assertEqual(self.live(*heard, *changed, "--jsonl", self.dir / "a.jsonl").stdout, here.stdout)
        theirs = firm(captions(self.dir / "a.jsonl"))
        self.assertEqual([round(line["heard_s"], 2) for line in theirs], [round(line["heard_s"], 2) for line in ours])
        self.assertNotEqual(self.live(*heard).stdout, here.stdout)

    def test_daemon_that_is_late_loses_nothing(self) -> None:
        """While the daemon is stopped, more sound comes than sockets hold."""
        with wave.open(str(CITIES)) as w:
            rate, width = w.getframerate(), w.getsampwidth()
            self.assertEqual((w.getnchannels(), width), (1, 2), "the recording has changed")
            sound = w.readframes(11 * rate)
        many = 192000 // rate
        with wave.open(str(self.dir / "many.wav"), "wb") as w:
            w.setparams((1, 2, many * rate, 0, "NONE", ""))
            w.writeframes(b"".join(sound[i : i + 2] * many for i in range(0, len(sound), 2)))
        whole = self.live("--from-file", self.dir / "many.wav", "--pace", "fast").stdout.decode()
        self.assertGreater(len(words(whole)), 15, whole)
        with (self.dir / "many.wav").open("rb") as stdin:
            process = self.begin("--from-file", "-", *self.files(), stdin=stdin)
            self.wait_for("sound heard", lambda: self.heard() > 1)
            self.daemon.signal(signal.SIGSTOP)
            time.sleep(6)
            self.daemon.signal(signal.SIGCONT)
            stdout, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, stderr)
        self.check_files(stdout.decode())
        self.assertLessEqual(word_edits(stdout.decode(), whole), FAR, (stdout, whole))
        self.assertAlmostEqual(captions(self.dir / "a.jsonl")[-1]["pushed_s"], 11, delta=0.01)


@needs_models
@needs_speech
class DaemonsThatEnd(Case):
    def broken_off(self, number: int, message: str) -> list[str]:
        """What was confirmed when the daemon got the signal amid a recording; all of it is in the files."""
        with Daemon() as daemon:
            self.where = ("--server", daemon.url)
            process = self.begin("--from-file", CITIES, *self.files())
            path = self.dir / "a.jsonl"
            self.wait_for("words", lambda: path.exists() and len(words(said_in(captions(path)))) > 8)
            daemon.signal(number)
            stdout, stderr = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1, stderr)
        lines = stderr.decode().splitlines()
        self.assertEqual(len(lines), 2, lines)  # "listening to …" is the first
        self.assertEqual(lines[1], f"sotto live: the daemon at {daemon.url} {message}")
        confirmed = words(said_in(captions(path)))
        self.assertEqual(words(stdout), confirmed)
        for name in "a.srt", "a.vtt":
            self.assertEqual(words(" ".join(text for _, _, text in cues(self.dir / name))), confirmed)
        return confirmed

    def test_killed(self) -> None:
        self.broken_off(signal.SIGKILL, "went away; what it had confirmed is written")
        self.assertFalse(captions(self.dir / "a.jsonl")[-1]["last"])

    def test_shut_down(self) -> None:
        self.broken_off(signal.SIGTERM, "is shutting down; what it had received is written")
        self.assertTrue(captions(self.dir / "a.jsonl")[-1]["last"])

    def test_none_answers(self) -> None:
        where = "http://127.0.0.1:1"  # environment()'s own
        heard = ("--from-file", SPEECH, "--pace", "fast")
        done = sotto("live", *heard)
        lines = self.check(done, 0, f"no daemon answers at {where}; captioning in this process")
        self.assertEqual(len(lines), 2, lines)
        self.assertEqual(done.stdout, self.live(*heard).stdout)
        done = sotto("live", "--server", where, *heard)
        self.assertEqual(len(self.check(done, 1, f"no answer from {where}")), 1)
        self.assertEqual(done.stdout, b"")

    def test_refusals(self) -> None:
        with Daemon("--live-streams", "1", "--idle-timeout", "1") as daemon:
            self.where = ("--server", daemon.url)
            first = self.begin("--from-file", CITIES)
            self.wait_for("the only place taken", lambda: daemon.health()["live"] == 1)
            done = self.live("--from-file", SPEECH)
            self.assertEqual(len(self.check(done, 1, "All 1 live streams are taken")), 1)
            first.send_signal(signal.SIGSTOP)
            self.wait_for("end of the first", lambda: daemon.health()["live"] == 0)
            first.send_signal(signal.SIGCONT)
            _, stderr = first.communicate(timeout=30)
            self.assertEqual(first.returncode, 1)
            message = "ended the captions: no message for 2 s, nor an answer to a ping"
            self.assertEqual(stderr.decode().splitlines()[-1], f"sotto live: the daemon at {daemon.url} {message}")
        with Daemon("--vad", "none") as daemon:
            done = sotto("live", "--server", daemon.url, "--from-file", SPEECH)
            self.assertEqual(len(self.check(done, 1, "Live captions need the voice detector")), 1)


def frame(message: dict | str) -> bytes:
    """A text of a WebSocket's server."""
    text = (message if isinstance(message, str) else json.dumps(message)).encode()
    n = len(text)
    form, length = ("!BB", (n,)) if n < 126 else ("!BBH", (126, n)) if n < 1 << 16 else ("!BBQ", (127, n))
    return struct.pack(form, 0x81, *length) + text


def caption_of(*said: str, last: bool = False) -> bytes:
    found = [{"text": text, "start": 0.1, "end": 0.2, "probability": 1} for text in said]
    return frame({"type": "caption", "confirmed": found, "tentative": [], "last": last, "heard": 0.5, "pushed": 0.5})


class OddDaemons(Case):
    """A server that is healthy, and answers the opening of captions with given bytes, or sends some as a WebSocket."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[bytes] = []
        self.sent = b""

    def converse(
        self, connection: socket.socket, head: bytes, frames: bytes, is_reset: bool, until_it_leaves: bool, after: list[bytes]
    ) -> None:
        """Opens the WebSocket, sends frames once sound comes, and breaks off when all of them have arrived, or when the
        client does. `after`: frames before them, one every 0.5 s."""
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        ready = frame({"type": "ready", "model": "odd", "rate": 16000})
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + ready
        )
        self.sent = connection.recv(1)
        for early in after:
            time.sleep(0.5)
            connection.sendall(early)
        connection.sendall(frames)
        while until_it_leaves and (more := connection.recv(1 << 16)):
            self.sent += more
        while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]:
            time.sleep(0.01)
        if is_reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def serve(
        self,
        answer: bytes,
        frames: bytes | None = None,
        is_reset: bool = False,
        until_it_leaves: bool = False,
        after: list[bytes] | None = None,
    ) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def run() -> None:
            for _ in range(3):  # /health, /v1/models, /v1/captions
                connection, _ = server.accept()
                with connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(4096)
                    self.asked.append(head)
                    if frames is not None and b"/v1/captions" in head:
                        self.converse(connection, head, frames, is_reset, until_it_leaves, after or [])
                        return
                    healthy = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
                    connection.sendall(answer if b"/v1/captions" in head else healthy)
                    connection.shutdown(socket.SHUT_WR)
                    with contextlib.suppress(ConnectionResetError):
                        while connection.recv(4096):
                            pass

        self.server = threading.Thread(target=run, daemon=True)
        self.server.start()
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    def test_what_is_asked(self) -> None:
        where = self.serve(b"HTTP/1.1 418 No\r\n\r\n")
        options = {"model": "x/y", "language": "de", "task": "translate", "interval": "1.5"}
        options["prompt"] = "ä + 1 % & b = #?"
        given = [x for name, value in options.items() for x in (f"--{name}", value)]
        tone = write_tone(self.dir / "a.wav")
        sotto("live", "--server", f"{where}/speech/", "--from-file", tone, "--pace", "fast", *given)
        line, *headers = self.asked[2].decode().split("\r\n")
        target = re.fullmatch(r"GET (\S+) HTTP/1.1", line)[1]
        self.assertEqual(target.split("?")[0], "/speech/v1/captions")
        expected = options | {"rate": "16000", "samples": "f32", "every_interval": "true"}
        self.assertEqual(dict(urllib.parse.parse_qsl(target.split("?")[1])), expected)
        self.assertIn(f"Host: {where[7:]}", headers)
        self.assertNotIn("Authorization", self.asked[2].decode())

    def test_credentials(self) -> None:
        """Those in the address go with the opening as with every request, and into no message."""
        tone = write_tone(self.dir / "a.wav")
        for written, meant in ("me:a%40b%3A%C3%A4", "me:a@b:ä"), ("me", "me:"), (":key", ":key"):
            with self.subTest(written=written):
                self.asked = []
                where = self.serve(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
                done = sotto("live", "--server", where.replace("//", f"//{written}@"), "--from-file", tone)
                self.check(done, 1, f"{where} answered with HTTP status 401")
                line = f"Authorization: Basic {base64.b64encode(meant.encode()).decode()}"
                self.assertEqual([line in head.decode().split("\r\n") for head in self.asked], [True] * 3)

    def test_answers(self) -> None:
        error = json.dumps({"error": {"message": "The moon is in the wrong house"}}).encode()
        tone = write_tone(self.dir / "a.wav")
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: "
        for answer, message in (
            (b"HTTP/1.1 418 No\r\ncontent-length:%d\r\n\r\n%s" % (len(error), error), "The moon is in the wrong house"),
            (b"HTTP/1.0 500 Oh\r\n\r\n", "answered with HTTP status 500 and no explanation"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "answered with HTTP status 200 and no explanation"),
            (b"HTTP/1.1 503 Oh\r\nContent-Length: 99\r\n\r\n{", "broke the connection off in the opening"),
            (b"HTTP/1.1 503 Oh\r\nContent-Length: 99999999999999999999\r\n\r\n{", "HTTP status 503 and no explanation"),
            (b"HTTP/1.1 101 Sw", "broke the connection off in the opening"),
            (b"", "broke the connection off in the opening"),
            (b"SSH-2.0-x\r\n\r\n", "does not answer the opening of captions as HTTP does"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000, "does not answer the opening of captions as HTTP does"),
            (upgrade + b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", "as no WebSocket does"),
            (upgrade + b"x" * 1000 + b"\r\n\r\n", "as no WebSocket does"),
        ):
            with self.subTest(answer=answer[:60]):
                done = sotto("live", "--server", self.serve(answer), "--from-file", tone)
                self.assertEqual(len(self.check(done, 1, message)), 1, done.stderr)
                self.assertEqual(done.stdout, b"")


    def test_words_before_the_end_of_a_connection(self) -> None:
        """All that had arrived is written, however the connection ended."""
        tone = write_tone(self.dir / "a.wav")
        said = [f" w{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}" for i in range(100)]
        for is_reset in False, True:
            with self.subTest(is_reset=is_reset):
                where = self.serve(b"", b"".join(caption_of(word) for word in said), is_reset)
                done = sotto("live", "--server", where, "--from-file", tone, *self.files())
                lines = self.check(done, 1)
                message = "went away; what it had confirmed is written"
                self.assertEqual(lines[-1], f"sotto live: the daemon at {where} {message}")
                self.assertEqual(words(done.stdout), words("".join(said)))
                self.assertEqual(words(said_in(captions(self.dir / "a.jsonl"))), words("".join(said)))

    def test_daemon_that_hangs(self) -> None:
        """It takes what is sent, but nothing comes any more, no answer to a ping either; what came is written."""
        tone = write_tone(self.dir / "a.wav")
        where = self.serve(b"", caption_of(" all", " there"), until_it_leaves=True)
        done = sotto("live", "--server", where, "--from-file", tone, "--daemon-timeout", "2", *self.files())
        message = "sent nothing for 2 s; what it had confirmed is written"
        self.assertEqual(self.check(done, 1)[-1], f"sotto live: the daemon at {where} {message}")
        self.assertEqual(words(done.stdout), ["all", "there"])
        self.assertEqual(words(said_in(captions(self.dir / "a.jsonl"))), ["all", "there"])
        self.server.join(20)
        self.assertRegex(self.sent[-12:], re.compile(rb"^(\x89\x80....){2}$", re.DOTALL))  # pings

    def test_daemon_that_has_nothing_to_say(self) -> None:
        """One that lives is waited for as long as it takes."""
        tone = write_tone(self.dir / "a.wav")
        end = caption_of(" fine", last=True) + frame({"type": "done"})
        where = self.serve(b"", end, after=[b"\x8a\x00"] * 8)
        done = sotto("live", "--server", where, "--from-file", tone, "--daemon-timeout", "2")
        self.check(done, 0)
        self.assertEqual(words(done.stdout), ["fine"])

    def test_daemon_that_never_answers(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            where = f"http://127.0.0.1:{server.getsockname()[1]}"
            done = sotto("live", "--server", where, "--from-file", write_tone(self.dir / "a.wav"))
        self.assertEqual(len(self.check(done, 1, f"no answer from {where}")), 1)

    def test_messages(self) -> None:
        tone = write_tone(self.dir / "a.wav")
        fine = caption_of(" fine")
        end = caption_of(last=True) + frame({"type": "done"})
        for frames, status, message in (
            (fine + frame({"type": "to come"}) + end, 0, None),
            (fine + caption_of(last=True), 1, "went away; what it had confirmed is written"),
            (fine + end + b"\x88\x02\x03\xe9", 1, "is shutting down; what it had received is written"),
            (fine + frame({"type": "done"}), 1, "said that it was done, but sent no last caption"),
            (fine + frame({"type": "error", "message": "The moon"}), 1, "ended the captions: The moon"),
            (fine + frame({"type": "error"}), 1, "ended the captions: it does not say why"),
            (fine + frame("no JSON"), 1, "sent a message that is none of captions"),
            (fine + frame("[]"), 1, "sent a message that is none of captions"),
            (fine + frame("x" * (1 << 20 | 1)), 1, "sent a message longer than 1 MiB"),
            (fine + b"\xff\xff", 1, "went away; what it had confirmed is written"),
        ):
            with self.subTest(frames=frames[-60:]):
                where = self.serve(b"", frames)
                done = sotto("live", "--server", where, "--from-file", tone)
                lines = self.check(done, status)
                if message:
                    self.assertEqual(lines[-1], f"sotto live: the daemon at {where} {message}")
                self.assertEqual(len(lines), 2 if message else 1, lines)  # "listening to …" is the first
                self.assertEqual(words(done.stdout), ["fine"])


def left_on_screen(drawn: str) -> list[str]:
    """The lines that a terminal shows in the end, those that have scrolled away included."""
    lines, at = [""], 0
    for piece in re.findall(r"\x1b\[[?\d]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", drawn):
        if up := re.fullmatch(r"\x1b\[(\d+)A", piece):
            at = max(0, at - int(up[1]))
        elif piece == "\x1b[J":
            del lines[at:]
            lines.append("")
        elif piece == "\x1b[K":
            lines[at] = ""
        elif piece == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif piece[0] not in "\x1b\r":
            lines[at] += piece
    return lines


@needs_models
@needs_speech
class Microphone(Case):
    @classmethod
    def setUpClass(cls) -> None:
        if not (shutil.which("pulseaudio") and shutil.which("paplay")):
            raise unittest.SkipTest("pulseaudio and paplay are not installed")
        cls.home = tempfile.TemporaryDirectory(prefix="sotto-pulse-")
        cls.addClassCleanup(cls.home.cleanup)
        (Path(cls.home.name) / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        cls.env = environment(HOME=cls.home.name, XDG_RUNTIME_DIR=cls.home.name)
        for name in "PULSE_SERVER", "PULSE_RUNTIME_PATH", "DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS":
            cls.env.pop(name, None)
        cls.server = None
        cls.addClassCleanup(cls.stop_server)
        cls.start_server()
        listed = subprocess.run([BIN / "sotto", "devices", "--json"], env=cls.env, capture_output=True, check=True)
        if "default" not in (device["name"] for device in json.loads(listed.stdout)):
            raise unittest.SkipTest("ALSA has no pulse plugin: libasound2-plugins is not installed")

    @classmethod
    def start_server(cls) -> None:
        cls.server = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1",
             "-L", "module-native-protocol-unix", "-L", "module-null-sink sink_name=mic"],
            env=cls.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while subprocess.run(["pactl", "info"], env=cls.env, capture_output=True).returncode:  # noqa: PLW1510
            if time.monotonic() > deadline or cls.server.poll() is not None:
                raise unittest.SkipTest("pulseaudio does not come up here")
            time.sleep(0.1)

    @classmethod
    def stop_server(cls) -> None:
        if cls.server:
            cls.server.kill()
            cls.server.wait()

    def listen(self, *arguments: object) -> tuple[subprocess.Popen, Path]:
        """A session that hears already, and the file of its messages."""
        messages = self.dir / "messages"
        with messages.open("wb") as to:
            process = self.begin(*arguments, *self.files(), env=self.env, stderr=to)
        self.wait_for("listening", lambda: b"listening to the microphone" in messages.read_bytes())
        return process, messages

    def play(self) -> None:
        subprocess.run(["paplay", "--device=mic", SPEECH.with_suffix(".wav")], env=self.env, check=True, timeout=60)

    def finish(self, process: subprocess.Popen) -> str:
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.check_files(stdout.decode())
        return stdout.decode()

    def test_what_is_played_is_heard(self) -> None:
        process, messages = self.listen()
        self.play()
        time.sleep(0.5)
        said = self.finish(process)
        self.assertLessEqual(word_edits(said, SAID), FAR, said)
        self.assertRegex(messages.read_text(), r'^sotto live: listening to the microphone "default" at 16000 Hz\n$')

    def test_devices_by_name_and_number(self) -> None:
        listed = subprocess.run([BIN / "sotto", "devices", "--json"], env=self.env, capture_output=True, check=True)
        number = next(d["index"] for d in json.loads(listed.stdout) if d["name"] == "default")
        for device in "DEFAULT", number:
            with self.subTest(device=device):
                process, messages = self.listen("--device", device)
                self.assertIn('the microphone "default"', messages.read_text())
                self.finish(process)
        for device, message in (
            ("no such", r'there is no microphone "no such"; there are: .*"default"'),
            (99, "there is no microphone 99; there are: "),
            ("ul", r'"ul" is in the names of several microphones: \d+ "'),  # pulse, default
        ):
            with self.subTest(device=device):
                done = self.live("--device", device, **self.env)
                self.assertEqual(done.returncode, 1)
                lines = done.stderr.decode().splitlines()
                self.assertEqual(len(lines), 1, lines)
                self.assertRegex(lines[0], message)

    def test_microphone_that_goes_and_comes_back(self) -> None:
        process, messages = self.listen()
        begun = time.monotonic()
        time.sleep(1)
        self.stop_server()
        self.wait_for("word of it", lambda: b"is gone; captions go on when it is back" in messages.read_bytes())
        time.sleep(1.5)
        self.start_server()
        self.wait_for("word of it", lambda: b'" is back\n' in messages.read_bytes())
        played = time.monotonic() - begun
        self.play()
        time.sleep(0.5)
        said = self.finish(process)
        self.assertLessEqual(word_edits(said, SAID), FAR, said)
        first = next(w for line in captions(self.dir / "a.jsonl") for w in line["confirmed"])
        self.assertAlmostEqual(first["start"], played, delta=1.5)
        self.assertEqual(len(messages.read_text().splitlines()), 3, messages.read_text())


class MicrophoneByDaemon(WithDaemon, Microphone):
    """The same, what is heard and an unplugged device included, by a daemon."""


if __name__ == "__main__":
    if not (BIN / "sotto").exists():
        sys.exit(f"{BIN / 'sotto'} is not built")
    result = unittest.main(exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(0 if HAVE_ALL else 77)
