# SPDX-License-Identifier: MIT
"""`sotto transcribe` on many recordings: folders, several at a time, a run that was killed and goes on.

Mostly against a scripted daemon that answers with the name of the file that it was sent, and counts.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import subprocess
import threading
import time
import unittest
from pathlib import Path

from test_client import BIN, CITIES, SPEECH, Case, environment, needs_model, needs_speech, sotto, write_tone


class Scripted(http.server.ThreadingHTTPServer):
    """Answers after `seconds`; `sent` are the files in the order of their arrival, `most` how many were there at once."""

    daemon_threads = True

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seconds, self.sent, self.now, self.most, self.lock = seconds, [], 0, 0, threading.Lock()
        self.fields: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        super().__exit__(*exc)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        self.say({"status": "ok", "data": [{"id": "tiny.en"}]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = re.search(rb'filename="([^"]*)"', body)[1].decode()
        s = self.server
        with s.lock:
            s.sent.append(name)
            fields = re.findall(rb'name="([\w\[\]]+)"\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
            s.fields.append({key.decode(): value.decode() for key, value in fields})
            s.now += 1
            s.most = max(s.most, s.now)
        # The first to come takes longest, so that order has to be restored.
        time.sleep(s.seconds * (3 if len(s.sent) == 1 else 1))
        with s.lock:
            s.now -= 1
        if name.startswith("bad"):
            self.say({"error": {"message": f"{name} is no audio"}}, 400)
        else:
            self.say(f"{name}\n".encode())

    def say(self, body: object, status: int = 200) -> None:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Many(Case):
    def make(self, *names: str) -> Path:
        folder = self.dir / "talks"
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"sound")
        return folder

    def outputs(self, folder: Path) -> dict[str, str]:
        return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}

    def test_folders_are_taken_recursively(self) -> None:
        talks = self.make("b.wav", "a.MP3", "notes.txt", ".hidden.wav", "may/c.flac", "may/deep/d.ogg", ".git/e.wav", "may/c.wav")
        (talks / "loop").symlink_to(talks)
        (talks / "linked.wav").symlink_to(talks / "may/deep/d.ogg")
        (talks / "dangling.wav").symlink_to(talks / "nowhere")
        with Scripted() as server:
            done = sotto("transcribe", "--server", server.url, "-o", self.dir / "out", "-f", "txt,srt", f"{talks}/")
            self.check(done, 1)  # srt cannot be made of these replies
            done = sotto("transcribe", "--server", server.url, "-o", self.dir / "out", f"{talks}/")
        self.check(done, 0)
        self.assertEqual(done.stderr, b"")
        self.assertEqual(
            self.outputs(self.dir / "out"),
            {
                "a.txt": "a.MP3\n",
                "b.txt": "b.wav\n",
                "linked.txt": "linked.wav\n",
                "may/c.flac.txt": "c.flac\n",
                "may/c.wav.txt": "c.wav\n",
                "may/deep/d.txt": "d.ogg\n",
            },
        )

    def test_folders_and_files_in_order(self) -> None:
        talks = self.make("2.wav", "10.wav", "1/z.wav")
        other = write_tone(self.dir / "other.wav")
        with Scripted() as server:
            done = sotto("transcribe", "--server", server.url, other, talks, other)
        self.check(done, 0)
        self.assertEqual(done.stdout.decode().split(), ["other.wav", "z.wav", "10.wav", "2.wav", "other.wav"])

    def test_folders_without_recordings(self) -> None:
        talks = self.make("notes.txt")
        good = write_tone(self.dir / "good.wav")
        with Scripted() as server:
            done = sotto("transcribe", "--server", server.url, talks, good)
            self.check(done, 1, f"the folder {talks} has no recordings in it")
            self.assertEqual(done.stdout, b"good.wav\n")
            self.assertEqual(server.sent, ["good.wav"])

    def test_several_at_a_time_in_order(self) -> None:
        talks = self.make(*(f"{i:02}.wav" for i in range(12)), "bad.wav")
        with Scripted(0.2) as server:
            done = sotto("transcribe", "--server", server.url, "-j", 4, talks)
            self.check(done, 1, "bad.wav is no audio")
            self.assertEqual(done.stdout.decode().split(), [f"{i:02}.wav" for i in range(12)])
            self.assertEqual(server.most, 4)
            self.assertEqual(sorted(server.sent), sorted(p.name for p in talks.iterdir()))
            server.most = 0
            self.check(sotto("transcribe", "--server", server.url, talks / "00.wav", talks / "01.wav"), 0)
            self.assertEqual(server.most, 1)

    def test_interrupted(self) -> None:
        talks = self.make(*(f"{i:02}.wav" for i in range(40)))
        with Scripted(0.5) as server:
            run = subprocess.Popen(
                [BIN / "sotto", "transcribe", "--server", server.url, "-j", "4", "-o", self.dir / "out", talks],
                env=environment(), stderr=subprocess.PIPE,
            )  # fmt: skip
            while len(server.sent) < 6:
                time.sleep(0.02)
            run.send_signal(signal.SIGINT)
            self.assertEqual(run.wait(20), 130)
            self.assertEqual(run.stderr.read(), b"")
            run.stderr.close()
            self.assertLess(len(server.sent), 40)

    def test_a_killed_run_goes_on(self) -> None:
        names = [f"{i:02}.wav" for i in range(16)]
        talks, out = self.make(*names), self.dir / "out"
        command = ["transcribe", "-j", "3", "--resume", "-o", out, talks]
        with Scripted(0.1) as server:
            run = subprocess.Popen([BIN / "sotto", *command, "--server", server.url], env=environment())
            while len(list(out.glob("*.txt"))) < 5:
                time.sleep(0.01)
            run.kill()
            run.wait()
        there = {p.stem for p in out.glob("*.txt")}
        self.assertLess(len(there), 16)
        with Scripted() as server:
            done = sotto(*command, "--server", server.url)
            self.check(done, 0, f"{len(there)} of 16 recordings had their outputs already")
            self.assertEqual(sorted(server.sent), [n for n in names if n[:2] not in there])
            self.assertEqual(self.outputs(out), {f"{n[:2]}.txt": f"{n}\n" for n in names})

            # Only what is older than its recording, or is not there, is made again.
            server.sent.clear()
            os.utime(talks / "03.wav", (time.time() + 60,) * 2)
            (out / "05.txt").unlink()
            self.check(sotto(*command, "--server", server.url), 0, "14 of 16")
            self.assertEqual(sorted(server.sent), ["03.wav", "05.wav"])
            server.sent.clear()
            self.check(sotto(*command, "-f", "tsv", "--server", server.url), 0)
            self.assertEqual(len(server.sent), 16)
            server.sent.clear()
            self.check(sotto(*[c for c in command if c != "--resume"], "--server", server.url), 0)
            self.assertEqual(len(server.sent), 16)

    def test_usage(self) -> None:
        self.check(sotto("transcribe", "--resume", "x.wav"), 2, "--resume needs --output-dir")
        self.check(sotto("transcribe", "-j", "0", "x.wav"), 2, "outside 1 to 64")

    @needs_model
    @needs_speech
    def test_in_this_process_too(self) -> None:
        names = [SPEECH, CITIES, SPEECH, write_tone(self.dir / "tone.wav")]
        alone = sotto("transcribe", "--local", "--model", "tiny.en", *names)
        together = sotto("transcribe", "--local", "--model", "tiny.en", "-j", 3, *names)
        self.check(alone, 0)
        self.check(together, 0)
        self.assertIn(b"ask not", alone.stdout)
        self.assertEqual(alone.stdout, together.stdout)


if __name__ == "__main__":
    unittest.main()
