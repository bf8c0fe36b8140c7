# SPDX-License-Identifier: MIT
"""The real daemon over HTTP: endpoints, formats, every refusal, queue, hang-ups, drain, memory."""

import concurrent.futures
import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from daemon import RECORDINGS, Daemon, multipart, need_model, quiet

PATH = "/v1/audio/transcriptions"
CLIP = quiet(1)
LONG = quiet(1800)  # seconds of work, even for a fast machine
SEGMENT_KEYS = {
    *("id", "seek", "start", "end", "text", "tokens"),
    *("temperature", "avg_logprob", "compression_ratio", "no_speech_prob"),
}
JFK = "ask not what your country can do for you"


def recording(name):
    path = RECORDINGS / name
    if not path.exists():
        raise unittest.SkipTest("needs the recordings in ../shared")
    return path.read_bytes()


class Shared(unittest.TestCase):
    """One daemon for all tests of a class."""

    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(*cls.arguments)
        cls.addClassCleanup(cls.d.finish)

    def refused(self, answer, status, param=None, code=None, words=""):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.assertEqual(set(answer.error), {"message", "type", "param", "code"})
        self.assertEqual(answer.error["param"], param, answer.error)
        if code:
            self.assertEqual(answer.error["code"], code)
        self.assertIn(words, answer.error["message"])
        self.assertNotIn("/proc/", answer.error["message"])
        return answer.error


class Endpoints(Shared):
    def test_health(self):
        a = self.d.get("/health")
        self.assertEqual(a.status, 200)
        self.assertEqual(a.json["status"], "ok")
        self.assertEqual(a.json["queued"], 0)
        self.assertEqual(a.json["model"], "tiny.en")

    def test_models(self):
        listed = self.d.get("/v1/models").json
        self.assertEqual(listed["object"], "list")
        self.assertEqual([m["id"] for m in listed["data"]], ["tiny.en"])
        self.assertEqual(set(listed["data"][0]), {"id", "object", "created", "owned_by"})
        self.assertEqual(self.d.get("/v1/models/tiny.en").json, listed["data"][0])
        self.assertEqual(self.d.get("/v1/models/whisper-1").status, 200)
        self.refused(self.d.get("/v1/models/nope"), 404, "model", "model_not_found")
        self.refused(self.d.get("/v1/models/..%2F..%2Fetc%2Fpasswd"), 404, "model", "model_not_found")

    def test_report_adds_up(self):
        before = self.d.get("/v1/report").json
        self.assertEqual(self.d.quick(CLIP).status, 200)
        after = self.d.get("/v1/report").json
        self.assertEqual(after["requests"]["done"], before["requests"]["done"] + 1)
        self.assertEqual(after["runs"], before["runs"] + 1)
        self.assertEqual(after["last"]["runs"], 1)
        self.assertGreater(after["parameters"]["total"], 37_000_000)

    def test_unknown_path_and_method(self):
        self.refused(self.d.get("/"), 404)
        self.refused(self.d.get("/v1/audio/transcriptions/x"), 404)
        self.refused(self.d.get("/v1/models/"), 404)
        a = self.d.get(PATH)
        self.refused(a, 405)
        self.assertEqual(a.headers["Allow"], "POST")
        for method in "POST", "DELETE", "PUT":
            a = self.d.request(method, "/health", b"x" * 1000)
            self.refused(a, 405)
            self.assertEqual(a.headers["Allow"], "GET, HEAD")

    def test_head(self):
        a = self.d.request("HEAD", "/health")
        self.assertEqual((a.status, a.body), (200, b""))
        self.assertGreater(int(a.headers["Content-Length"]), 10)

    def test_request_id(self):
        self.assertEqual(self.d.get("/health", **{"X-Request-Id": "abc-1"}).headers["X-Request-Id"], "abc-1")
        for bad in "two words", "x" * 65, "a=b", '"':
            got = self.d.get("/health", **{"X-Request-Id": bad}).headers["X-Request-Id"]
            self.assertRegex(got, r"^req_[0-9a-f]{16}$")
        self.assertNotEqual(*(self.d.get("/nowhere").headers["X-Request-Id"] for _ in range(2)))

    def test_connection_is_kept(self):
        body, kind = multipart([("nonsense", "1")], CLIP)
        with self.d.connection() as c:
            for path, method, sent, status in (
                ("/health", "GET", None, 200),
                (PATH, "POST", body, 400),
                ("/nowhere", "POST", body, 404),
                ("/health", "GET", None, 200),
            ):
                c.request(method, path, sent, {"Content-Type": kind} if sent else {})
                if status == 200 and c.sock:
                    mine = c.sock.getsockname()
                r = c.getresponse()
                r.read()
                self.assertEqual(r.status, status)
                self.assertIsNotNone(c.sock)
                self.assertEqual(c.sock.getsockname(), mine)


class Formats(Shared):
    def test_speech_in_every_format(self):
        flac = recording("jfk.flac")
        a = self.d.post(flac)
        self.assertEqual((a.status, a.headers["Content-Type"]), (200, "application/json"))
        self.assertIn(JFK, a.json["text"])
        self.assertFalse(a.json["text"].startswith(" "))
        for kind, pattern in {
            "text": JFK,
            "txt": JFK,
            "srt": r"^1\n00:00:0\d,\d{3} --> 00:00:\d\d,\d{3}\n",
            "vtt": r"^WEBVTT\n\n",
            "tsv": r"^start\tend\ttext\n",
        }.items():
            a = self.d.post(flac, fields=[("response_format", kind), ("model", "tiny.en")])
            self.assertEqual(a.status, 200, a.body)
            self.assertEqual(a.headers["Content-Type"], "text/plain; charset=utf-8")
            self.assertRegex(a.body.decode(), pattern)

    def test_verbose_json(self):
        flac = recording("jfk.flac")
        v = self.d.post(flac, fields=[("response_format", "verbose_json")]).json
        self.assertEqual((v["task"], v["language"]), ("transcribe", "english"))
        self.assertAlmostEqual(v["duration"], 11, delta=0.05)
        self.assertIn("sotto", v)
        self.assertNotIn("words", v)
        self.assertLessEqual(SEGMENT_KEYS, set(v["segments"][0]))
        fields = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word")]
        v = self.d.post(flac, fields=fields).json
        self.assertGreaterEqual(len(v["words"]), 20)
        self.assertLessEqual(v["words"][0]["start"], v["words"][-1]["end"])

    def test_one_cue_a_word(self):
        flac = recording("jfk.flac")
        fields = [("response_format", "srt"), ("timestamp_granularities", '["word"]')]
        self.assertGreaterEqual(self.d.post(flac, fields=fields).body.decode().count("-->"), 20)

    def test_same_seed_same_text(self):
        fields = [("temperature", "0.9"), ("seed", "5"), ("best_of", "1"), ("no_speech_threshold", "none")]
        first, second = (self.d.post(CLIP, fields=fields) for _ in range(2))
        self.assertEqual((first.status, first.body), (200, second.body))

    def test_no_text_of_another_request(self):
        flac = recording("jfk.flac")
        self.assertIn("country", self.d.quick(flac).json["text"])
        self.assertNotIn("country", self.d.quick(CLIP).json["text"])
        self.assertNotIn("country", self.d.log)

    def test_curl(self):
        curl = shutil.which("curl")
        if not curl:
            self.skipTest("curl is not installed")
        with tempfile.NamedTemporaryFile(suffix=".wav") as f:
            f.write(quiet(90))  # above curl's limit for "Expect: 100-continue"
            f.flush()
            got = subprocess.run(
                [curl, "-sS", "-F", f"file=@{f.name}", "-F", "temperature_inc=0", "-w", "\n%{http_code}", self.d.url + PATH],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        self.assertEqual(got.stdout.rsplit("\n", 1)[1], "200")


class BadRequests(Shared):
    def test_files(self):
        self.refused(self.d.post(b""), 400, "file", words="empty")
        self.refused(self.d.post(None), 400, "file", words="missing")
        self.refused(self.d.post(None, fields=[("model", "tiny.en")]), 400, "file", words="missing")
        self.refused(self.d.post(b"just text\n" * 50, filename="notes.txt"), 400, "file", words="notes.txt")
        self.refused(self.d.post(os.urandom(5000)), 400, "file")
        self.refused(self.d.post(CLIP[:30]), 400, "file")
        header_only = quiet(0)
        self.assertIn(self.d.post(header_only).status, (200, 400))

    def test_truncated_flac(self):
        flac = recording("jfk.flac")
        self.refused(self.d.post(flac[: len(flac) // 2], filename="half.flac"), 400, "file", words="half.flac")

    def test_two_files(self):
        body, kind = multipart([("file", CLIP)], CLIP)
        self.refused(self.d.request("POST", PATH, body, {"Content-Type": kind}), 400, "file", words="twice")

    def test_models(self):
        for name in "nope", "base", "/etc/passwd", "../models/base", "tiny.en/model.bin":
            self.refused(self.d.quick(CLIP, model=name), 404, "model", "model_not_found", name)
        for name in "tiny.en", "whisper-1", "default", "":
            self.assertEqual(self.d.quick(CLIP, model=name).status, 200)

    def test_fields(self):
        for name, value in (
            ("temperature", "2"),
            ("temperature", "warm"),
            ("language", "klingon"),
            ("language", "de"),
            ("response_format", "xml"),
            ("response_format", "diarized_json"),
            ("stream", "true"),
            ("include[]", "logprobs"),
            ("beam_size", "1000"),
            ("chunking_strategy[type]", "server_vad"),
            ("prompt", b"\xff\xfe"),
            ("prompt", "x" * 70_000),
            ("temperatur", "0"),
        ):
            with self.subTest(field=name, value=value[:20]):
                self.refused(self.d.post(CLIP, fields=[(name, value)]), 400, name.split("[")[0])
        harmless = {"stream": "false", "user": "me", "chunking_strategy": "auto", "language": "en", "prompt": "Hello."}
        self.assertEqual(self.d.quick(CLIP, **harmless).status, 200)

    def test_body_in_single_bytes(self):
        fields = [("temperature_inc", "0"), ("model", "tiny.en"), ("language", ""), ("response_format", "verbose_json")]
        body, kind = multipart(fields, quiet(0.02))
        with socket.create_connection(("127.0.0.1", self.d.port), 60) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(
                f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            for i in range(len(body)):
                s.sendall(body[i : i + 1])
                time.sleep(0.001)
            self.assertIn(b" 200 ", s.recv(4096).split(b"\r\n")[0])

    def test_granularities_need_times(self):
        fields = [("timestamp_granularities[]", "word")]
        self.refused(self.d.post(CLIP, fields=fields), 400, "timestamp_granularities", words="verbose_json")

    def test_english_only_model_does_not_translate(self):
        self.refused(self.d.post(CLIP, "/v1/audio/translations"), 400, "model", words="English only")

    def test_content_type(self):
        for kind in "application/json", "application/x-www-form-urlencoded", "text/plain":
            a = self.d.request("POST", PATH, b'{"file": 1}', {"Content-Type": kind})
            self.refused(a, 400, words="multipart/form-data")
        self.refused(self.d.request("POST", PATH, b"x"), 400, words="multipart/form-data")
        self.refused(self.d.request("POST", PATH, b""), 400, words="multipart/form-data")
        a = self.d.request("POST", PATH, b"--x\r\n", {"Content-Type": "multipart/form-data"})
        self.refused(a, 400, words="boundary")

    def test_broken_multipart(self):
        body, kind = multipart([("model", "tiny.en")], CLIP)
        self.refused(self.d.request("POST", PATH, body[:-60], {"Content-Type": kind}), 400, words="breaks off")
        for sent in b"nonsense", b"\r\n\r\n" * 100, b"":
            with self.subTest(sent=sent[:20]):
                self.refused(self.d.request("POST", PATH, sent, {"Content-Type": kind}), 400, "file", words="missing")
        head = body[: body.index(b"\r\n\r\n")]
        self.refused(self.d.request("POST", PATH, head, {"Content-Type": kind}), 400)
        nameless = body.replace(b'; name="model"', b"")
        self.refused(self.d.request("POST", PATH, nameless, {"Content-Type": kind}), 400)

    def test_garbage_on_the_port(self):
        for sent in (
            b"\x00" * 4096,
            os.urandom(20_000),
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
        ):
            with socket.create_connection(("127.0.0.1", self.d.port), 5) as s:
                s.sendall(sent)
                s.shutdown(socket.SHUT_WR)
                s.settimeout(5)
                try:
                    while s.recv(4096):
                        pass
                except OSError:
                    pass
        self.assertEqual(self.d.get("/health").status, 200)


class Limits(Shared):
    arguments = ("--max-upload", "2M")
    words = "Maximum content size limit (2097152) exceeded"

    def test_announced(self):
        a = self.d.post(b"x" * (3 << 20))
        self.refused(a, 413, words=self.words)
        self.assertRegex(a.error["message"], r"\(3\d{6} bytes read\)$")

    def test_announced_is_answered_before_the_body(self):
        with socket.create_connection(("127.0.0.1", self.d.port), 10) as s:
            s.sendall(
                f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
                f"Content-Length: {1 << 40}\r\n\r\n".encode()
            )
            self.assertIn(b" 413 ", s.recv(4096).split(b"\r\n")[0])

    def test_endless_chunks(self):
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with socket.create_connection(("127.0.0.1", self.d.port), 10) as s:
            s.sendall(
                f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
                "Transfer-Encoding: chunked\r\n\r\n"
                "80\r\n".encode()
                + b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.ljust(0x80, b"x")
                + b"\r\n"
            )
            sent = 0
            while not select.select([s], [], [], 0)[0]:
                s.sendall(chunk)
                sent += 0x10000
                self.assertLess(sent, 1 << 30)
            answer = s.recv(65536)
            while more := s.recv(65536):
                answer += more
        head, body = answer.split(b"\r\n\r\n", 1)
        self.assertIn(b" 413 ", head.split(b"\r\n")[0])
        self.assertIn(b"X-Request-Id: ", head)
        self.assertIn(self.words, json.loads(body)["error"]["message"])

    def test_curl_sees_the_413(self):
        curl = shutil.which("curl")
        if not curl:
            self.skipTest("curl is not installed")
        with tempfile.NamedTemporaryFile() as f:
            f.truncate(64 << 20)
            for extra in [], ["-H", "Expect:"], ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"]:
                with self.subTest(extra=extra):
                    got = subprocess.run(
                        [curl, "-sS", *extra, "-F", f"file=@{f.name}", self.d.url + PATH],
                        check=False,
                        capture_output=True,
                        text=True,
                    )
                    self.assertEqual(got.returncode, 0, got.stderr)
                    self.assertIn(self.words, json.loads(got.stdout)["error"]["message"])

    def test_below_the_limit(self):
        self.assertEqual(self.d.quick(quiet(100)).status, 200)


class Many(unittest.TestCase):
    def test_eight_at_once(self):
        with Daemon() as d, concurrent.futures.ThreadPoolExecutor(8) as pool:
            clips = [quiet(1 + i / 4) for i in range(8)]
            answers = list(pool.map(lambda c: d.quick(c, response_format="verbose_json"), clips))
            self.assertEqual([a.status for a in answers], [200] * 8)
            # Each got its own clip's answer.
            for i, a in enumerate(answers):
                self.assertAlmostEqual(a.json["duration"], 1 + i / 4, delta=0.01)
            self.assertEqual(d.get("/v1/report").json["requests"]["done"], 8)
            self.assertEqual(os.listdir(d.spool.name), [])
            self.assertEqual(d.stop(), 0)

    def test_full_queue(self):
        with Daemon("--queue", "1") as d, concurrent.futures.ThreadPoolExecutor(2) as pool:
            long = pool.submit(d.quick, quiet(120))
            self.assertTrue(d.wait_for(lambda h: h["running"] == 1))
            waiting = pool.submit(d.quick, CLIP)
            self.assertTrue(d.wait_for(lambda h: h["queued"] == 1))
            a = d.quick(CLIP)
            self.assertEqual(a.status, 503)
            self.assertGreaterEqual(int(a.headers["Retry-After"]), 1)
            self.assertEqual(a.error["code"], "queue_full")
            self.assertEqual(a.error["type"], "server_error")
            # Said before the body is sent.
            with socket.create_connection(("127.0.0.1", d.port), 10) as s:
                s.sendall(
                    f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
                    "Content-Length: 50000000\r\nExpect: 100-continue\r\n\r\n".encode()
                )
                self.assertIn(b" 503 ", s.recv(4096).split(b"\r\n")[0])
            self.assertEqual([long.result().status, waiting.result().status], [200, 200])
            self.assertEqual(d.stop(), 0)

    def test_memory_stays_flat(self):
        with Daemon() as d:
            for _ in range(5):
                d.quick(CLIP)
            before = d.memory()
            for i in range(30):
                if i % 10 == 0:
                    self.assertEqual(d.post(b"no audio").status, 400)
                self.assertEqual(d.quick(CLIP).status, 200)
            self.assertLess(d.memory() - before, 8 << 20)
            # Nor does the size of an upload matter.
            before = d.memory("VmHWM")
            self.assertEqual(d.post(b"\0" * (150 << 20)).status, 400)
            self.assertLess(d.memory("VmHWM") - before, 32 << 20)
            self.assertEqual(os.listdir(d.spool.name), [])


class HangUps(unittest.TestCase):
    def begin(self, d, body, kind, part=None):
        s = socket.create_connection(("127.0.0.1", d.port), 10)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        s.sendall(head.encode() + body[:part])
        return s

    def test_in_mid_upload(self):
        body, kind = multipart([], quiet(60))
        with Daemon() as d:
            for part in 0, 100, len(body) // 2, len(body) - 5:
                self.begin(d, body, kind, part).close()
            self.assertEqual(d.quick(CLIP).status, 200)
            self.assertEqual(d.health()["queued"], 0)
            self.assertEqual(os.listdir(d.spool.name), [])
            self.assertEqual(d.stop(), 0)

    def test_in_mid_run_and_in_the_queue(self):
        body, kind = multipart([("temperature_inc", "0")], LONG)
        with Daemon() as d:
            running = self.begin(d, body, kind)
            self.assertTrue(d.wait_for(lambda h: h["running"] == 1))
            waiting = [self.begin(d, body, kind) for _ in range(3)]
            self.assertTrue(d.wait_for(lambda h: h["queued"] == 3))
            waiting.pop(1).close()
            self.assertTrue(d.wait_for(lambda h: h["queued"] == 2, 10))
            began = time.monotonic()
            for s in running, *waiting:
                s.close()
            self.assertTrue(d.wait_for(lambda h: h["running"] == h["queued"] == 0, 20))
            self.assertLess(time.monotonic() - began, 20)
            report = d.get("/v1/report").json
            self.assertEqual(report["requests"]["done"], 0)
            self.assertGreaterEqual(report["requests"]["cancelled"], 1)
            a = d.quick(CLIP, response_format="verbose_json")
            self.assertEqual(a.status, 200)
            self.assertAlmostEqual(a.json["duration"], 1, delta=0.01)
            open_files = [os.readlink(f) for f in Path(f"/proc/{d.process.pid}/fd").iterdir()]
            self.assertFalse([f for f in open_files if d.spool.name in f])
            self.assertEqual(d.stop(), 0)


class Stopping(unittest.TestCase):
    def test_idle(self):
        with Daemon() as d:
            self.assertEqual(d.stop(10), 0)

    def test_drain(self):
        with Daemon() as d, concurrent.futures.ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(d.quick, quiet(60)) for _ in range(2)]
            self.assertTrue(d.wait_for(lambda h: h["running"] + h["queued"] == 2))
            d.signal()
            deadline = time.monotonic() + 5
            while d.get("/health").status == 200 and time.monotonic() < deadline:
                time.sleep(0.02)
            a = d.get("/health")
            self.assertEqual((a.status, a.json["status"]), (503, "draining"))
            a = d.quick(CLIP)
            self.assertEqual((a.status, a.error["code"]), (503, "shutting_down"))
            self.assertTrue(a.headers["Retry-After"])
            self.assertEqual([j.result().status for j in jobs], [200, 200])
            self.assertEqual(d.process.wait(20), 0)

    def test_second_signal(self):
        with Daemon() as d, concurrent.futures.ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(d.quick, LONG) for _ in range(2)]
            self.assertTrue(d.wait_for(lambda h: h["running"] + h["queued"] == 2))
            d.signal()
            time.sleep(0.2)
            d.signal()
            self.assertEqual(d.process.wait(20), 1)
            for j in jobs:
                self.assertEqual(j.result().status, 503)

    def test_drain_has_an_end(self):
        with Daemon("--drain-timeout", "0.5") as d, concurrent.futures.ThreadPoolExecutor(1) as pool:
            job = pool.submit(d.quick, LONG)
            self.assertTrue(d.wait_for(lambda h: h["running"] == 1))
            self.assertEqual(d.stop(20), 1)
            self.assertEqual(job.result().status, 503)


class Starting(unittest.TestCase):
    def refused(self, words, *arguments):
        with self.assertRaisesRegex(RuntimeError, words):
            Daemon(*arguments)

    def test_bad_options(self):
        self.refused("listen", "--listen", "nowhere")
        self.refused("listen", "--listen", "127.0.0.1:99999")
        self.refused("queue", "--queue", "0")
        self.refused("no-such", "--spool", "/no-such-directory")
        self.refused("unknown option", "--nonsense")
        self.refused("not here|no model|none of", "--model", "no-such-model")

    def test_port_in_use(self):
        with Daemon() as d:
            self.refused(f"127.0.0.1:{d.port}.*in use", "--listen", f"127.0.0.1:{d.port}")

    def test_log_is_key_value(self):
        with Daemon() as d:
            d.get("/health", **{"X-Request-Id": "logged-1"})
            d.get("/a%20b%0Ainjected%22")
            d.stop()
            d.reader.join()
            events = [line for line in d.lines if not line.startswith("READY")]
            self.assertTrue(any("id=logged-1" in line for line in events))
            for line in events:
                self.assertRegex(line, r"^time=\S+ level=(info|error) event=\w+ (\w+=(\S+|\"[^\"]*\") ?)+\n$")


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
