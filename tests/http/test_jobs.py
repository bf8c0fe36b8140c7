# SPDX-License-Identifier: MIT
"""Jobs that last: taken, worked off behind those who wait, owned, deleted, expired, and finished through SIGKILL with
the texts of an undisturbed run; what a full disk, a read-only directory and a damaged database are told as.

SOTTO_KILLS sets how often the daemon is killed; 2 by default."""

import http.client
import io
import json
import os
import random
import re
import resource
import signal
import sqlite3
import struct
import subprocess
import tempfile
import time
import unittest
import uuid
import wave
from pathlib import Path

from daemon import BIN, MODELS, RECORDINGS, Daemon, need_model, quiet, until

KILLS = int(os.environ.get("SOTTO_KILLS", "2"))
WAIT_SECONDS = 300


def form(files, fields=()):
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    ]
    for name, content in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def repeated(path, times):
    """A wav of 16 bits so many times over, with pauses of a second."""
    content, out = path.read_bytes(), io.BytesIO()
    at = content.index(b"fmt ") + 10
    channels, rate = struct.unpack("<HI", content[at : at + 6])
    sound = content[content.index(b"data") + 8 :]
    with wave.open(out, "wb") as w:
        w.setparams((channels, 2, rate, 0, "NONE", ""))
        for _ in range(times):
            w.writeframes(sound + bytes(2 * rate * channels))
    return out.getvalue()


def came_to(d, job):
    """How much of a job's first recording is done, 0 to 1."""
    recording = d.get(f"/v1/jobs/{job}").json["data"][0]
    return 1 if recording["state"] == "done" else recording.get("progress", 0)


def parts(folder):
    """Stored parts of recordings that are not done."""
    return sqlite3.connect(Path(folder) / "jobs.sqlite").execute("SELECT count(*) FROM parts").fetchone()[0]


def audio_left(folder):
    """Recordings in the state directory; they go right after the answer that ends their use, so some seconds are given."""
    end = time.monotonic() + 10
    while (found := list((Path(folder) / "audio").iterdir())) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def submit(d, files, fields=(), headers=None):
    body, kind = form(files, [("temperature_inc", "0"), *fields])
    return d.request("POST", "/v1/jobs", body, {"Content-Type": kind, **(headers or {})})


def wait(d, job, headers=None):
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        a = d.request("GET", f"/v1/jobs/{job}", headers=headers or {})
        if a.status != 200 or a.json["state"] in ("done", "failed"):
            return a.json
        time.sleep(0.05)
    raise AssertionError(f"{job} does not end: {a.json}")


def state():
    return tempfile.TemporaryDirectory(prefix="sottod-state-")


def speech():
    """Recordings with words where there are some, else noise: (name, bytes)."""
    found = sorted(p for p in RECORDINGS.glob("*") if p.suffix in (".wav", ".flac") and p.stat().st_size < 3 << 20)
    return [(p.name, p.read_bytes()) for p in found[:3]] or [("quiet.wav", quiet(5))]


class Listener:
    """Reads the events of a job beside the test."""

    def __init__(self, d, job):
        self.socket = http.client.HTTPConnection("127.0.0.1", d.port, timeout=WAIT_SECONDS)
        self.socket.request("GET", f"/v1/jobs/{job}/events")
        self.response = self.socket.getresponse()
        self.status, self.kind = self.response.status, self.response.headers["Content-Type"]

    def all(self):
        """To the end of the stream: objects, and "[DONE]"."""
        found = []
        for line in iter(self.response.readline, b""):
            if line.startswith(b"data: "):
                data = line[6:].decode().strip()
                found.append(data if data == "[DONE]" else json.loads(data))
        self.socket.close()
        return found

    def leave(self):
        self.response.close()
        self.socket.close()


class Jobs(unittest.TestCase):
    def test_a_job_from_start_to_end(self):
        with state() as folder, Daemon("--state-dir", folder) as d:
            a = submit(d, [("a.wav", quiet(1)), ("b.wav", quiet(2)), ("no.wav", b"no audio at all")])
            self.assertEqual(a.status, 201, a.body)
            job = a.json["id"]
            self.assertRegex(job, r"^job_[0-9a-f]{32}$")
            self.assertEqual(a.json["recordings"]["total"], 3)
            done = wait(d, job)
            self.assertEqual([f["state"] for f in done["data"]], ["done", "done", "failed"])
            self.assertEqual([f["name"] for f in done["data"]], ["a.wav", "b.wav", "no.wav"])
            self.assertEqual(done["data"][0]["result"]["text"], d.quick(quiet(1)).json["text"])
            self.assertAlmostEqual(done["data"][1]["audio_seconds"], 2, 1)
            self.assertIn("no.wav", done["data"][2]["error"]["message"])
            self.assertEqual(done["expires"] - done["ended"], 168 * 3600)
            self.assertEqual([j["id"] for j in d.get("/v1/jobs").json["data"]], [job])
            self.assertEqual(audio_left(folder), [], "recordings are kept until the answer only")
            metrics = d.get("/metrics").body.decode()
            self.assertRegex(metrics, r'sotto_job_recordings\{model="tiny.en",state="done"\} 2\n')
            self.assertEqual(d.request("DELETE", f"/v1/jobs/{job}").json, {"id": job, "object": "job", "deleted": True})
            self.assertEqual(d.get(f"/v1/jobs/{job}").status, 404)
            self.assertEqual(d.request("DELETE", f"/v1/jobs/{job}").status, 404)
            self.assertEqual(d.stop(), 0)

    def test_what_is_wrong_is_said_and_leaves_nothing(self):
        with state() as folder, Daemon("--state-dir", folder, "--job-files", "2") as d:
            for files, fields, status, words in (
                ([], [], 400, "missing"),
                ([("empty.wav", b"")], [], 400, "empty.wav"),
                ([("a.wav", quiet(1))], [("stream", "true")], 400, "stream"),
                ([("a.wav", quiet(1))], [("beam_size", "many")], 400, "beam_size"),
                ([("a.wav", quiet(1))], [("model", "none-such")], 404, "none-such"),
                ([(f"{i}.wav", quiet(1)) for i in range(3)], [], 429, "2"),
            ):
                a = submit(d, files, fields)
                self.assertEqual(a.status, status, a.body)
                self.assertIn(words, a.error["message"])
            self.assertEqual(d.get("/v1/jobs").json["data"], [])
            self.assertEqual(audio_left(folder), [])
            a = d.request("DELETE", "/v1/jobs")
            self.assertEqual((a.status, a.headers["Allow"]), (405, "GET, HEAD, POST"))
            self.assertEqual(d.get("/v1/jobs/..%2f..%2fetc%2fpasswd").status, 404)

    def test_without_a_state_directory(self):
        with Daemon() as d:
            for a in (submit(d, [("a.wav", quiet(1))]), d.get("/v1/jobs"), d.get("/v1/jobs/job_1")):
                self.assertEqual((a.status, a.error["code"]), (501, "jobs_disabled"))

    def test_jobs_belong_to_a_key(self):
        with state() as folder:
            keys = Path(folder) / "keys"
            keys.write_text("sk-a a\nsk-b b\n")
            a, b = ({"Authorization": f"Bearer sk-{k}"} for k in "ab")
            with Daemon("--state-dir", folder, "--api-key-file", keys) as d:
                job = submit(d, [("a.wav", quiet(1))], headers=a).json["id"]
                self.assertEqual(d.request("GET", f"/v1/jobs/{job}").status, 401)
                self.assertEqual(d.request("GET", f"/v1/jobs/{job}", headers=b).status, 404)
                self.assertEqual(d.request("DELETE", f"/v1/jobs/{job}", headers=b).status, 404)
                self.assertEqual(d.request("GET", "/v1/jobs", headers=b).json["data"], [])
                self.assertEqual(wait(d, job, a)["state"], "done")

    def test_who_waits_overtakes(self):
        with state() as folder, Daemon("--state-dir", folder, "--slots", "1", "--threads", "1") as d:
            job = submit(d, [(f"{i}.wav", quiet(20)) for i in range(40)]).json["id"]
            self.assertEqual(d.quick(quiet(1)).status, 200)
            left = d.get(f"/v1/jobs/{job}").json["recordings"]
            self.assertGreater(left["queued"], 5, left)
            self.assertEqual(d.request("DELETE", f"/v1/jobs/{job}").status, 200)
            self.assertTrue(d.wait_for(lambda h: h["running"] == 0 and h["queued"] == 0, 60), "what runs is ended")
            self.assertEqual(audio_left(folder), [])

    def test_answers_expire(self):
        with state() as folder, Daemon("--state-dir", folder, "--job-ttl", "1s") as d:
            job = submit(d, [("a.wav", quiet(1))]).json["id"]
            end = time.monotonic() + 30
            while d.get(f"/v1/jobs/{job}").status == 200 and time.monotonic() < end:
                time.sleep(0.2)
            self.assertEqual(d.get(f"/v1/jobs/{job}").status, 404)

    def test_killed_at_any_moment(self):
        files = speech()
        with state() as folder, Daemon("--state-dir", folder) as d:
            expected = {name: d.quick(content).json["text"] for name, content in files}
            self.assertEqual(d.stop(), 0)
        chance = random.Random(1)
        for turn in range(KILLS):
            with state() as folder:
                jobs, kills = [], 0
                with Daemon("--state-dir", folder) as d:
                    for i in range(20):
                        a = submit(d, [files[i % len(files)]])
                        self.assertEqual(a.status, 201, a.body)
                        jobs.append((a.json["id"], files[i % len(files)][0]))
                    time.sleep(chance.uniform(0, 2))
                    d.signal(signal.SIGKILL)
                    d.process.wait()
                with Daemon("--state-dir", folder) as d:
                    time.sleep(chance.uniform(0, 0.5))
                    d.signal(signal.SIGKILL)
                    d.process.wait()
                with Daemon("--state-dir", folder) as d:
                    for job, name in jobs:
                        done = wait(d, job)
                        self.assertEqual(done["data"][0]["state"], "done", done)
                        self.assertEqual(done["data"][0]["result"]["text"], expected[name], f"turn {turn}, {name}")
                    self.assertEqual(len(d.get("/v1/jobs").json["data"]), 20)
                    self.assertEqual(d.stop(), 0)

    def test_goes_on_where_it_was(self):
        """A long recording whose daemon is killed goes on behind what was finished, to the result of an undisturbed run."""
        if not (RECORDINGS / "jfk.wav").exists():
            self.skipTest(f"{RECORDINGS} is not here")
        long = repeated(RECORDINGS / "jfk.wav", 24)
        fields = [("timestamp_granularities[]", of) for of in ("word", "segment")] + [("response_format", "verbose_json")]
        for sequential in "false", "true":
            files, options = [("long.wav", long)], [*fields, ("sequential", sequential)]
            with state() as folder, Daemon("--state-dir", folder) as d:
                undisturbed = wait(d, submit(d, files, options).json["id"])["data"][0]["result"]
                self.assertGreater(len(undisturbed["words"]), 300)
            with state() as folder:
                done, kills = 0, 0
                with Daemon("--state-dir", folder) as d:
                    job = submit(d, files, options).json["id"]
                while True:
                    with Daemon("--state-dir", folder) as d:
                        if kills < 2:
                            until(lambda: came_to(d, job) > done + 0.15, WAIT_SECONDS)
                            time.sleep(1.1)  # so often it is stored
                            done = came_to(d, job)
                        if done < 1 and kills < 2:
                            d.signal(signal.SIGKILL)
                            d.process.wait()
                            kills += 1
                            continue
                        found = wait(d, job)["data"][0]["result"]
                        resumed = [float(m[1]) for line in d.lines if (m := re.search(r" resumed_s=([0-9.]+)", line))]
                        break
                self.assertGreater(kills, 0, "it was done before it could be killed")
                self.assertGreater(resumed[-1], 20, "what was finished was computed again")
                self.assertEqual(found["text"], undisturbed["text"])
                self.assertEqual(found["segments"], undisturbed["segments"])
                self.assertEqual(found["words"], undisturbed["words"])

    def test_what_was_found_with_another_model_is_not_gone_on_with(self):
        with state() as folder:
            with Daemon("--state-dir", folder, "--slots", "1") as d:
                job = submit(d, [("a.wav", quiet(600))], [("sequential", "true")]).json["id"]
                self.assertTrue(until(lambda: parts(folder) > 0, 120))
                d.signal(signal.SIGKILL)
                d.process.wait()
            with sqlite3.connect(Path(folder) / "jobs.sqlite") as database:
                database.execute("UPDATE parts SET text = replace(text, 'sotto ', 'otto ')")
            with Daemon("--state-dir", folder) as d:
                self.assertEqual(wait(d, job)["state"], "done")
                self.assertTrue(any("event=anew" in line for line in d.lines), d.lines[-5:])
                self.assertEqual(parts(folder), 0, "the answer is all that is kept")

    def test_events(self):
        """Deltas make up the text, whenever one begins to listen; each recording is told of once; [DONE] at the end."""
        files = speech() * 2
        with state() as folder, Daemon("--state-dir", folder, "--slots", "2") as d:
            job = submit(d, files).json["id"]
            listeners = [Listener(d, job) for _ in range(2)]
            time.sleep(0.7)
            listeners.append(Listener(d, job))
            done = wait(d, job)
            listeners.append(Listener(d, job))  # of what has ended
            for number, one in enumerate(listeners):
                events = one.all()
                self.assertEqual(one.status, 200)
                self.assertTrue(one.kind.startswith("text/event-stream"), one.kind)
                self.assertEqual(events[0]["type"], "job.state")
                self.assertEqual(events[0]["job"]["id"], job)
                self.assertEqual((events[-2]["type"], events[-1]), ("job.done", "[DONE]"))
                self.assertEqual(events[-2]["job"], {k: v for k, v in done.items() if k != "data"})
                told = [e["recording"] for e in events[1:-2] if e["type"] == "job.recording.done"]
                early = events[0]["job"]["recordings"]
                self.assertEqual(len(told), len(files) - early["done"], f"listener {number}")
                for r in told:
                    self.assertEqual(r, done["data"][r["index"]])
                    mine = [e for e in events[:-1] if e["type"] == "job.recording.progress" and e["index"] == r["index"]]
                    self.assertEqual("".join(e["delta"] for e in mine).strip(), r["result"]["text"].strip())
                    steps = [e["progress"] for e in mine]
                    self.assertEqual(steps, sorted(steps))
            self.assertEqual(d.get("/v1/jobs/job_none/events").status, 404)
            self.assertEqual(d.get(f"/v1/jobs/{job}/other").status, 404)
            self.assertEqual(d.request("POST", f"/v1/jobs/{job}/events", b"").status, 405)

    def test_events_end_with_the_job_or_the_daemon(self):
        with state() as folder, Daemon("--state-dir", folder, "--slots", "1") as d:
            jobs = [submit(d, [(f"{i}.wav", quiet(30)) for i in range(30)]).json["id"] for _ in range(2)]
            deleted, left, cut = Listener(d, jobs[0]), Listener(d, jobs[0]), Listener(d, jobs[1])
            left.leave()
            self.assertEqual(d.request("DELETE", f"/v1/jobs/{jobs[0]}").status, 200)
            self.assertEqual(deleted.all()[-2:], [{"type": "job.deleted", "id": jobs[0]}, "[DONE]"])
            d.signal(signal.SIGTERM)
            self.assertNotIn("[DONE]", cut.all(), "a job that goes on later has not ended")
            self.assertEqual(d.process.wait(60), 0)

    def test_sigterm_leaves_the_rest_for_later(self):
        with state() as folder:
            with Daemon("--state-dir", folder) as d:
                job = submit(d, [(f"{i}.wav", quiet(5)) for i in range(20)]).json["id"]
                self.assertEqual(d.stop(30), 0)
            with Daemon("--state-dir", folder) as d:
                self.assertEqual(wait(d, job)["recordings"]["done"], 20)


class Faults(unittest.TestCase):
    def refused(self, folder, prefix=()):
        command = [*prefix, BIN / "sottod", "--model", MODELS / "tiny.en", "--listen", "127.0.0.1:0", "--state-dir", folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_disk_full(self):
        """As a bound on the size of files, which writes run into as they do into a full disk."""
        with state() as folder, Daemon("--state-dir", folder) as d:
            kept = submit(d, [("a.wav", quiet(1))]).json["id"]
            self.assertEqual(wait(d, kept)["state"], "done")
            resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (64 << 10, resource.RLIM_INFINITY))
            a = submit(d, [("big.wav", quiet(30))])
            self.assertEqual((a.status, a.error["code"]), (507, "storage_full"), a.body)
            self.assertEqual(audio_left(folder), [])
            self.assertEqual(d.get(f"/v1/jobs/{kept}").status, 200)
            resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            self.assertEqual(wait(d, submit(d, [("big.wav", quiet(3))]).json["id"])["state"], "done")

    def test_read_only_directory(self):
        """One that may not be written, to a process that may not write what its permissions forbid."""
        unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        with state() as folder:
            audio = Path(folder) / "audio"
            with Daemon("--state-dir", folder, prefix=unprivileged) as d:
                kept = submit(d, [("a.wav", quiet(1))]).json["id"]
                self.assertEqual(wait(d, kept)["state"], "done")
                audio.chmod(0o500)
                a = submit(d, [("b.wav", quiet(1))])
                self.assertEqual((a.status, a.error["code"]), (503, "storage_read_only"), a.body)
                self.assertEqual(wait(d, kept)["state"], "done", "what was acknowledged is there")
                self.assertEqual(len(d.get("/v1/jobs").json["data"]), 1)
                audio.chmod(0o700)
                self.assertEqual(wait(d, submit(d, [("b.wav", quiet(1))]).json["id"])["state"], "done")
                d.stop()
            Path(folder).chmod(0o500)
            said = self.refused(folder, unprivileged)
            self.assertIn(folder, said)
            self.assertEqual(len(said.strip().splitlines()), 1, said)
            Path(folder).chmod(0o700)
            with Daemon("--state-dir", folder) as d:
                self.assertEqual(len(d.get("/v1/jobs").json["data"]), 2)

    def test_damaged_database(self):
        with state() as folder:
            database = Path(folder) / "jobs.sqlite"
            database.write_bytes(b"no database " * 1000)
            self.assertIn(f"{database} is damaged", self.refused(folder))
            database.unlink()
            with Daemon("--state-dir", folder) as d:
                job = submit(d, [("a.wav", quiet(1))]).json["id"]
                wait(d, job)
                d.stop()
            size = sqlite3.connect(database).execute("PRAGMA page_size").fetchone()[0]
            with database.open("r+b") as f:
                f.seek(size)
                f.write(b"\xa5" * size)
            self.assertIn(f"{database} is damaged", self.refused(folder))

    def test_a_directory_in_use_or_none(self):
        with state() as folder:
            with Daemon("--state-dir", folder):
                self.assertIn("in use by another sottod", self.refused(folder))
            file = Path(folder) / "file"
            file.write_text("")
            self.assertIn(f"--state-dir {file} takes no file: Not a directory", self.refused(file))


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
