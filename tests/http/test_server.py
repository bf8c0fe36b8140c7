# SPDX-License-Identifier: MIT
"""The real daemon over HTTP: endpoints, formats, every refusal, queue, hang-ups, drain, memory."""

import concurrent.futures
import io
import json
import os
import re
import resource
import select
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import wave
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from daemon import (
    BIN, MODELS, RECORDINGS, Daemon, broken_models, memory_factor, multipart, need_model, quiet, without_quarantine,
)

PATH = "/v1/audio/transcriptions"
CLIP = quiet(1)
LONG = quiet(1800)  # seconds of work, even for a fast machine
SEGMENT_KEYS = {
    *("id", "seek", "start", "end", "text", "tokens"),
    *("temperature", "avg_logprob", "compression_ratio", "no_speech_prob"),
}
WORK = "multiply_adds", "decoder_steps", "encoder_positions", "tokens", "windows", "fallbacks"
JFK = "ask not what your country can do for you"


def recording(name):
    path = RECORDINGS / name
    if not path.exists():
        raise unittest.SkipTest("needs the recordings in ../shared")
    return path.read_bytes()



def open_files_of(pid):
    """What the process has open; a file may close while they are listed."""
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(os.readlink(link))
        except FileNotFoundError:
            pass
    return names

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
        self.assertEqual(set(listed["data"][0]), {"id", "object", "created", "owned_by", "sotto"})
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

    def metrics(self):
        """{(name, first label): value} of /metrics (test_metrics.py has more)."""
        a = self.d.get("/metrics")
        self.assertEqual(a.status, 200)
        self.assertEqual(a.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        samples = {}
        for family in text_string_to_metric_families(a.body.decode()):
            for one in family.samples:
                labels = dict(one.labels)
                if "model" in labels:
                    self.assertEqual(labels.pop("model"), "tiny.en")
                samples[one.name, next(iter(labels.values()), None)] = one.value
        return samples

    def test_metrics_tell_what_the_report_tells(self):
        before = self.metrics()
        self.assertEqual(self.d.quick(CLIP).status, 200)
        after, report = self.metrics(), self.d.get("/v1/report").json
        self.assertEqual(after["sotto_requests_total", "done"], before["sotto_requests_total", "done"] + 1)
        self.assertGreater(
            after["sotto_multiply_adds_total", "conv"], before["sotto_multiply_adds_total", "conv"])
        self.assertAlmostEqual(
            after["sotto_audio_seconds_total", None] - before["sotto_audio_seconds_total", None], 1, delta=0.01)
        self.assertEqual(after["sotto_decoder_steps_total", None], report["decoder_steps"])
        self.assertEqual({k[1]: v for k, v in after.items() if k[0] == "sotto_parameters"},
                         {part: float(n) for part, n in report["parameters"]["by_part"].items()})

    def test_report_of_a_recording(self):
        a = self.d.post(recording("jfk.flac"), fields=[("response_format", "verbose_json")])
        self.assertEqual(a.status, 200, a.body)
        own = a.json["sotto"]
        last = self.d.get("/v1/report").json["last"]
        for r in own, last:
            self.check_report(r)
        for key in "parameters", "bytes", "multiply_adds", "decoder_steps", "tokens", "audio_seconds":
            self.assertEqual(own[key], last[key], key)

    def check_report(self, r):
        """Every item that a report has to have, and that the items agree."""
        parts = {
            *("conv", "encoder_positions", "encoder_attention", "encoder_mlp", "encoder_norm", "token_embedding"),
            *("decoder_positions", "decoder_self_attention", "decoder_cross_attention", "decoder_mlp", "decoder_norm"),
        }
        p = r["parameters"]
        self.assertEqual(set(p["by_part"]), parts)
        self.assertEqual(sum(p["by_part"].values()), p["total"])
        self.assertGreater(p["total"], 37_000_000)
        self.assertEqual(sum(p["touched_by_part"].values()), p["touched"])
        self.assertLessEqual(p["touched"], p["total"])
        for part, n in p["by_part"].items():
            self.assertGreater(p["touched_by_part"][part], 0, part)
            self.assertLessEqual(p["touched_by_part"][part], n, part)
        # Not all positions of the text are reached in 11 seconds.
        self.assertLess(p["touched_by_part"]["decoder_positions"], p["by_part"]["decoder_positions"])

        for which in "stored", "resident":
            sizes = dict(r["bytes"][which])
            self.assertEqual(set(sizes), {"f32", "f16", "bf16", "int16", "int8", "int4", "total"})
            self.assertEqual(sizes.pop("total"), sum(sizes.values()))
        self.assertGreaterEqual(r["bytes"]["resident"]["total"], p["total"])

        work = r["multiply_adds"]
        self.assertEqual(set(work["by_part"]), parts)
        self.assertTrue(all(n > 0 for n in work["by_part"].values()), work["by_part"])
        self.assertEqual(work["total"], sum(work["by_part"].values()) + sum(work["scores"].values()))
        applied = r["applications_per_parameter"]
        self.assertEqual(set(applied["by_part"]), parts)
        for part in parts:
            expected = work["by_part"][part] / p["by_part"][part]
            self.assertAlmostEqual(applied["by_part"][part] / expected, 1, delta=1e-6)
        self.assertGreater(applied["total"], 1)
        # Shared weights are fewer than weights of each output's own, by a factor near the number of outputs.
        self.assertGreater(r["unshared_conv_parameters"], 1000 * p["by_part"]["conv"])

        self.assertGreater(r["decoder_steps"], 20)
        self.assertGreater(r["tokens"]["decoded"], 20)
        stages = dict(r["seconds"])
        total = stages.pop("total")
        self.assertLessEqual({"read", "resample", "mel", "encoder", "prefill", "decode"}, set(stages))
        for stage in "read", "mel", "encoder", "prefill", "decode":
            self.assertGreater(stages[stage], 0, stage)
        self.assertAlmostEqual(sum(stages.values()) / total, 1, delta=0.02)
        self.assertAlmostEqual(r["audio_seconds"], 11, delta=0.05)
        self.assertAlmostEqual(r["audio_seconds_per_second"] * total / r["audio_seconds"], 1, delta=0.01)
        self.assertGreater(r["tokens_per_second"], 0)
        speed = r["gops"]
        self.assertIn(speed["arithmetic"], ("int8", "int16"))  # of the precision auto
        self.assertGreater(speed["reached"], 0)
        self.assertGreater(speed["peak_measured"], 0)
        self.assertAlmostEqual(speed["ratio"] * speed["peak_measured"] / speed["reached"], 1, delta=1e-3)

    def test_unknown_path_and_method(self):
        self.refused(self.d.get("/nothing"), 404)
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
        self.assertLessEqual(SEGMENT_KEYS, set(v["segments"][0]))
        self.assertLessEqual(v["words"][0]["start"], v["words"][-1]["end"])

    def test_one_cue_a_word(self):
        flac = recording("jfk.flac")
        fields = [("response_format", "srt"), ("timestamp_granularities", '["word"]')]
        self.assertGreaterEqual(self.d.post(flac, fields=fields).body.decode().count("-->"), 20)

    def test_same_seed_same_text(self):
        flac = recording("jfk.flac")

        def sampled(seed):
            # Alone, without candidates to choose among, and kept whatever it is.
            fields = [("temperature", "1"), ("best_of", "1"), ("seed", str(seed))]
            a = self.d.post(flac, fields=fields)
            self.assertEqual(a.status, 200, a.body)
            return a.json["text"]

        first = sampled(5)
        self.assertEqual(sampled(5), first)
        self.assertTrue(any(sampled(seed) != first for seed in range(6, 12)), "all seeds give the same text")

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
        self.refused(self.d.post(quiet(0), filename="header.wav"), 400, "file", words="header.wav")

    def test_truncated_flac(self):
        flac = recording("jfk.flac")
        self.refused(self.d.post(flac[: len(flac) // 2], filename="half.flac"), 400, "file", words="half.flac")

    def test_eight_channels_at_192_khz(self):
        out = io.BytesIO()
        with wave.open(out, "wb") as w:
            w.setnchannels(8)
            w.setsampwidth(2)
            w.setframerate(192_000)
            w.writeframes(bytes(b for i in range(192_000) for b in bytes(((i * i * 31 >> 3) & 7, 0)) * 8) * 2)
        a = self.d.quick(out.getvalue(), response_format="verbose_json")
        self.assertEqual(a.status, 200, a.body)
        self.assertAlmostEqual(a.json["duration"], 2, delta=0.01)

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
            ("stream", "perhaps"),
            ("include[]", "tokens"),
            ("beam_size", "1000"),
            ("chunking_strategy[type]", "semantic_vad"),
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

    def test_speech_at_once_is_speech_alone(self):
        """Sixteen recordings at the same time, in every way of decoding: texts, times, probabilities, work counted."""
        jfk, cities = recording("jfk.flac"), recording("two_cities.wav")
        ways = (
            [],
            [("beam_size", "5")],
            [("temperature", "0.6"), ("seed", "7"), ("temperature_inc", "0")],
            [("timestamp_granularities[]", "word")],
            [("tail_stride", "4")],
            [("prompt", "Americans, countrymen and others: so many words that the prompt is a matrix.")],
        )
        asks = [(cities if i % 5 == 4 else jfk, ways[i % len(ways)]) for i in range(16)]
        with Daemon("--slots", "16") as d, concurrent.futures.ThreadPoolExecutor(16) as pool:
            self.assertEqual(d.health()["slots"], 16)

            def ask(one):
                a = d.post(one[0], fields=[("response_format", "verbose_json"), *one[1]])
                self.assertEqual(a.status, 200, a.body)
                own = a.json.pop("sotto")
                return {**{k: v for k, v in a.json.items() if k != "sotto"}, **{k: own[k] for k in WORK}}

            alone = {}
            for one in asks:
                key = (len(one[0]), str(one[1]))
                if key not in alone:
                    alone[key] = ask(one)
            jobs = [pool.submit(ask, one) for one in asks]
            self.assertTrue(d.wait_for(lambda h: h["running"] > 8))
            for one, job in zip(asks, jobs):
                self.assertEqual(job.result(), alone[len(one[0]), str(one[1])])
            self.assertIn(JFK, alone[len(jfk), "[]"]["text"])
            self.assertEqual(d.stop(), 0)

    def test_full_queue(self):
        with Daemon("--max-queue", "1", "--slots", "1") as d, concurrent.futures.ThreadPoolExecutor(2) as pool:
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
        with without_quarantine(), Daemon() as d:
            for _ in range(5):
                d.quick(CLIP)
            before = d.memory()
            for i in range(30):
                if i % 10 == 0:
                    self.assertEqual(d.post(b"no audio").status, 400)
                self.assertEqual(d.quick(CLIP).status, 200)
            self.assertLess(d.memory() - before, memory_factor() * (8 << 20))
            # Nor does the size of an upload matter.
            before = d.memory("VmHWM")
            self.assertEqual(d.post(b"\0" * (150 << 20)).status, 400)
            self.assertLess(d.memory("VmHWM") - before, memory_factor() * (32 << 20))
            self.assertEqual(os.listdir(d.spool.name), [])


class ThreeHours(unittest.TestCase):
    """A recording's length costs no memory. The reply is not waited for, as that may take a slow machine many minutes:
    what grows with the length grows while the file is read, and after that every window is like the next."""

    seconds = 3 * 3600

    def spilled(self, d):
        """Bytes of the features on disk: the files of the spool that are not the upload, which comes first and is open
        more than once."""
        files = {}
        for fd in Path(f"/proc/{d.process.pid}/fd").iterdir():
            try:
                if os.readlink(fd).startswith(d.spool.name + "/"):
                    files[int(fd.name)] = fd.stat()
            except OSError:  # closed since
                pass
        uploaded = files[min(files)].st_ino if files else None
        return sum({f.st_ino: f.st_size for f in files.values() if f.st_ino != uploaded}.values())

    def processor_seconds(self, d):
        fields = Path(f"/proc/{d.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_memory_stays_flat(self):
        body, kind = multipart([("temperature_inc", "0")], quiet(self.seconds))
        frames = self.seconds * 100 * 80 * 4  # 10 ms each, 80 mels
        with Daemon() as d:
            self.assertEqual(d.quick(CLIP).status, 200)
            before = d.memory("VmHWM")
            with socket.create_connection(("127.0.0.1", d.port), 60) as s:
                head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
                s.sendall(head.encode())
                s.sendall(body)
                # All but what may stay in memory goes to the spool, and nowhere else.
                deadline = time.monotonic() + 180
                while self.spilled(d) < frames - (64 << 20) and time.monotonic() < deadline:
                    time.sleep(0.1)
                self.assertGreaterEqual(self.spilled(d), frames - (64 << 20), "features are not in the spool")
                # Then several windows.
                worked = self.processor_seconds(d)
                while self.processor_seconds(d) - worked < 8 and time.monotonic() < deadline:
                    time.sleep(0.1)
                self.assertEqual(d.health()["running"], 1)
                self.assertLess(d.memory("VmHWM") - before, memory_factor() * (200 << 20))
            self.assertTrue(d.wait_for(lambda h: h["running"] == 0, 20))
            self.assertEqual(self.spilled(d), 0)
            self.assertEqual(d.stop(), 0)


class FullDisk(unittest.TestCase):
    def test_reason_goes_to_the_log_only(self):
        """The upload fits below the limit of a file's size, its features, 32 kB a second past 48 MiB, do not."""
        with Daemon() as d:
            resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (32 << 20, resource.RLIM_INFINITY))
            a = d.quick(quiet(3000, rate=4000))
            self.assertEqual(a.status, 500, a.body)
            self.assertEqual(a.error["message"], "The recording could not be processed")
            self.assertEqual(a.error["type"], "server_error")
            self.assertEqual(d.quick(CLIP).status, 200)
            self.assertEqual(d.stop(), 0)
            d.reader.join()
            self.assertRegex(d.log, rf'event=engine id=\S+ error="[^"]*{re.escape(d.spool.name)}[^"]*File too large"')


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
        with Daemon("--slots", "1") as d:
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
            open_files = open_files_of(d.process.pid)
            self.assertFalse([f for f in open_files if d.spool.name in f])
            self.assertEqual(d.stop(), 0)

    def test_of_one_among_many(self):
        """The one that leaves is cancelled; those at work at the same time get what they get alone."""
        body, kind = multipart([("temperature_inc", "0")], LONG)
        with Daemon() as d, concurrent.futures.ThreadPoolExecutor(4) as pool:
            clips = [quiet(40 + 10 * i) for i in range(4)]
            alone = [d.quick(c).body for c in clips]
            leaving = self.begin(d, body, kind)
            self.assertTrue(d.wait_for(lambda h: h["running"] == 1))
            jobs = [pool.submit(d.quick, c) for c in clips]
            self.assertTrue(d.wait_for(lambda h: h["running"] >= 2))
            leaving.close()
            self.assertEqual([(j.result().status, j.result().body) for j in jobs], [(200, b) for b in alone])
            self.assertTrue(d.wait_for(lambda h: h["running"] == 0, 20))
            requests = d.get("/v1/report").json["requests"]
            self.assertEqual(requests, {"done": 8, "failed": 0, "cancelled": 1})
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
        self.refused("max-queue", "--max-queue", "0")
        self.refused("slots", "--slots", "0")
        self.refused("no-such", "--spool", "/no-such-directory")
        self.refused("unknown option", "--nonsense")
        self.refused("not here|no model|none of", "--model", "no-such-model")
        self.refused("there is no model at /no-such-vad", "--vad", "/no-such-vad")

    def test_detector_that_is_none(self):
        with tempfile.TemporaryDirectory(prefix="sottod-models-") as folder:
            self.refused("silero_vad_16k.safetensors", "--vad", folder)
            (Path(folder) / "silero_vad_16k.safetensors").write_bytes(b"no weights")
            self.refused("silero_vad_16k.safetensors", "--vad", folder)

    def test_broken_weight_files(self):
        whole = MODELS / "tiny.en"
        with tempfile.TemporaryDirectory(prefix="sottod-models-") as folder:
            for path in broken_models(Path(folder), whole):
                with self.subTest(model=path.name):
                    done = subprocess.run(
                        [BIN / "sottod", "--listen", "127.0.0.1:0", "--model", path],
                        capture_output=True, text=True, timeout=60, check=False,
                    )  # fmt: skip
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertEqual(done.stdout, "")
                    lines = done.stderr.splitlines()
                    self.assertEqual(len(lines), 1, lines)
                    self.assertTrue(lines[0].startswith("sottod: "), lines[0])
                    self.assertIn(str(path), lines[0])
                    self.assertGreater(len(lines[0].replace(str(path), "")), 30, lines[0])

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
