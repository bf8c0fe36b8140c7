# SPDX-License-Identifier: MIT
"""`sotto jobs`: a folder handed over, watched through a restart of the daemon, fetched in every format, cancelled."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "http"))
from daemon import BIN, MODELS, Daemon, need_model, quiet  # noqa: E402
from test_client import HAVE_MODEL, SPEECH, sotto, words  # noqa: E402


def command(d: Daemon | str, *arguments: object) -> list[str]:
    url = d if isinstance(d, str) else f"http://127.0.0.1:{d.port}"
    return [str(BIN / "sotto"), "jobs", str(arguments[0]), "--server", url, *map(str, arguments[1:])]


def jobs(d: Daemon | str, *arguments: object) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if not k.startswith("SOTTO_")}
    return subprocess.run(command(d, *arguments), capture_output=True, text=True, env=env, timeout=300)


class Jobs(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="sotto-jobs-")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        self.recordings = self.dir / "recordings"
        (self.recordings / "2024" / "may").mkdir(parents=True)

    def add(self, name: str, content: bytes) -> None:
        (self.recordings / name).write_bytes(content)

    def daemon(self, *more: str) -> Daemon:
        return Daemon("--state-dir", self.dir / "state", *more)

    def check(self, done: subprocess.CompletedProcess, status: int, stderr: str = "") -> str:
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(stderr, done.stderr)
        return done.stdout

    def test_a_folder_from_start_to_end(self) -> None:
        self.add("a.wav", quiet(1))
        self.add("b.wav", b"no audio at all")
        self.add("2024/a.wav", quiet(2))
        self.add("2024/may/c.flac", SPEECH.read_bytes() if SPEECH.exists() else quiet(3))
        out = self.dir / "out"
        with self.daemon() as d:
            flat = self.check(jobs(d, "submit", self.recordings), 0, "2 recordings lie in folders below")
            self.check(jobs(d, "cancel", flat.strip()), 0)
            self.assertEqual(d.get("/v1/jobs").json["data"], [])

            job = self.check(jobs(d, "submit", "-r", "--temperature-inc", "0", self.recordings), 0, "4 recordings were handed over")
            self.assertRegex(job, r"^job_[0-9a-f]{32}\n$")
            table = self.check(jobs(d, "status", "--watch", job.strip()), 1)
            self.assertIn(job.strip(), table)
            self.assertIn("4 of 4", table.splitlines()[-1])
            self.assertIn("1 failed", table.splitlines()[-1])
            self.assertEqual(json.loads(jobs(d, "status", "--json").stdout)[0]["recordings"]["failed"], 1)

            done = jobs(d, "results", "-o", out, "-f", "txt,json,srt,verbose_json")
            self.check(done, 1, "b.wav: ")
            self.assertIn("3 of 4 recordings written, 1 failed", done.stderr)
            names = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
            stems = ("2024/a", "2024/may/c", "a")
            self.assertEqual(names, sorted(f"{s}.{e}" for s in stems for e in ("txt", "json", "srt", "verbose.json")))
            if SPEECH.exists():
                local = self.dir / "local"
                sotto("transcribe", "-f", "txt,srt", "-o", local, SPEECH, SOTTO_SERVER=f"http://127.0.0.1:{d.port}")
                self.assertIn("ask not what your country", words((out / "2024/may/c.txt").read_text()))
                for kind in "txt", "srt":
                    self.assertEqual((out / f"2024/may/c.{kind}").read_text(), (local / f"jfk.{kind}").read_text())
                whole = json.loads((out / "2024/may/c.verbose.json").read_text())
                self.assertIn("segments", whole)
            # What failed is handed over again once it is a recording.
            self.add("b.wav", quiet(1))
            self.check(jobs(d, "submit", "-r", "--resume", self.recordings), 0, "1 recordings were handed over, 3")
            self.check(jobs(d, "submit", "-r", "--resume", self.recordings), 0, "0 recordings were handed over, 4")
            self.assertEqual(len(d.get("/v1/jobs").json["data"]), 2)

    def test_a_restart_is_watched_through(self) -> None:
        for i in range(12):
            self.add(f"{i}.wav", quiet(20))
        with self.daemon("--slots", "1") as d:
            port = d.port
            job = self.check(jobs(d, "submit", self.recordings), 0).strip()
            self.check(jobs(d, "results", "-o", self.dir / "out"), 3, "not done yet")
            self.check(jobs(d, "status"), 3)
            watching = subprocess.Popen(command(d, "status", "--watch"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(0.5)
            d.signal(signal.SIGKILL)
            d.process.wait()
            time.sleep(1.5)
        with Daemon("--state-dir", self.dir / "state", "--listen", f"127.0.0.1:{port}") as d:
            rows, said = watching.communicate(timeout=200)
            self.assertEqual(watching.returncode, 0, said)
            self.assertIn("waiting for it", said)
            self.assertIn("the daemon is back", said)
            self.assertIn("12 of 12", rows.splitlines()[-1])
            self.check(jobs(d, "results", "-o", self.dir / "out", job), 0, "12 of 12 recordings written")
            self.assertEqual(len(list((self.dir / "out").glob("*.txt"))), 12)

    def test_names_stay_in_the_folder(self) -> None:
        with self.daemon() as d:
            boundary = "boundary"
            name = "../../../escape/x.wav"
            body = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
                + quiet(1) + f"\r\n--{boundary}--\r\n".encode()
            )
            a = d.request("POST", "/v1/jobs", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
            self.assertEqual(a.status, 201, a.body)
            self.check(jobs(d, "status", "--watch"), 0)
            out = self.dir / "deep" / "out"
            out.mkdir(parents=True)
            self.check(jobs(d, "results", "-o", out), 0)
            self.assertEqual([str(p.relative_to(self.dir)) for p in self.dir.rglob("x.txt")], ["deep/out/escape/x.txt"])
            # It was asked for json: its text can be had, its segments cannot.
            self.check(jobs(d, "results", "-o", out, "-f", "srt"), 1, "not asked for verbose_json")

    def test_a_terminal_gets_a_table_drawn_over(self) -> None:
        for i in range(6):
            self.add(f"{i}.wav", quiet(10))
        with self.daemon("--slots", "1") as d:
            self.check(jobs(d, "submit", self.recordings), 0)
            master, slave = pty.openpty()
            watching = subprocess.Popen(command(d, "status", "-w"), stdout=slave, stderr=slave)
            os.close(slave)
            drawn = b""
            while True:
                try:
                    got = os.read(master, 4096)
                except OSError:
                    break
                if not got:
                    break
                drawn += got
            self.assertEqual(watching.wait(60), 0, drawn)
            os.close(master)
            self.assertIn(b"\x1b[1A\x1b[J", drawn)
            self.assertIn(b"[####################]", drawn)

    def test_what_is_wrong_is_said(self) -> None:
        with self.daemon() as d, Daemon() as without:
            for arguments, status, message in (
                (["submit"], 2, "no recording was given"),
                (["submit", self.recordings], 1, "has no recordings in it"),
                (["submit", self.dir / "none.wav"], 1, "none.wav cannot be opened"),
                (["status", "job_1"], 1, 'has no job "job_1"'),
                (["results"], 2, "--output-dir DIR was expected"),
                (["results", "-o", self.dir / "o", "-f", "mp3"], 2, 'there is no format "mp3"'),
                (["results", "-o", self.dir / "o", "job_1"], 1, 'has no job "job_1"'),
                (["cancel"], 2, "no job was named"),
                (["cancel", "../health"], 1, "no name of a job"),
                (["cancel", "job_1"], 1, "job_1"),
            ):
                with self.subTest(arguments=arguments):
                    self.check(jobs(d, *arguments), status, message)
            self.check(jobs(without, "status"), 1, "--state-dir")
        self.check(jobs("http://127.0.0.1:1", "status", "--watch"), 1, "no answer from")
        self.assertEqual(sotto("jobs", "nonsense").returncode, 2)


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
