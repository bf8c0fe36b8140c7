# SPDX-License-Identifier: MIT
"""Live captions over /v1/captions: words while they are spoken, every refusal, hang-ups, drain."""

import concurrent.futures
import contextlib
import json
import os
import shutil
import socket
import tempfile
import time
import unittest
from pathlib import Path

import numpy
import soundfile
from daemon import MODELS, RECORDINGS, Daemon, need_model, word_edits
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

PATH = "/v1/captions"
END = '{"type": "end"}'
JFK = (
    "And so my fellow Americans ask not what your country can do for you ask what you can do for your country"
)  # fmt: skip
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455's own
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def speech(name):
    """(16-bit mono PCM, its rate) of a recording."""
    if not (RECORDINGS / name).exists():
        raise unittest.SkipTest("needs the recordings in ../shared")
    samples, rate = soundfile.read(RECORDINGS / name, dtype="int16", always_2d=True)
    return samples[:, 0].tobytes(), rate


def noise(seconds, rate=16000):
    """Loud enough for the detector to look at, and no speech."""
    generator = numpy.random.default_rng(1)
    return (generator.standard_normal(int(seconds * rate)) * 300).astype("<i2").tobytes()


class Stream:
    """A client of /v1/captions that keeps what it was told, by type."""

    def __init__(self, daemon, query="", **options):
        # No pings of its own: they wait behind sound that is sent faster than it is heard.
        address = f"ws://127.0.0.1:{daemon.port}{PATH}?{query}"
        self.ws = connect(address, max_size=None, ping_interval=None, **options)
        self.captions, self.statuses, self.errors, self.done, self.closed = [], [], [], None, None
        self.ready = json.loads(self.ws.recv(60))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.ws.close()

    def send(self, pcm, chunk=3200, pace=0, rate=16000):
        """`pace` seconds a second of sound."""
        began = time.monotonic()
        for i in range(0, len(pcm), chunk):
            self.ws.send(pcm[i : i + chunk])
            time.sleep(max(0, began + (i + chunk) / 2 / rate * pace - time.monotonic()))

    def receive(self, until=lambda s: False, seconds=600):
        """Until the connection is closed, or `until` holds."""
        end = time.monotonic() + seconds
        try:
            while not until(self):
                message = json.loads(self.ws.recv(end - time.monotonic()))
                kind = message["type"]
                if kind == "done":
                    self.done = message["report"]
                else:
                    {"caption": self.captions, "status": self.statuses, "error": self.errors}[kind].append(message)
        except ConnectionClosed as e:
            self.closed = e.rcvd.code if e.rcvd else None
        return self

    @property
    def words(self):
        return [w for c in self.captions for w in c["confirmed"]]

    @property
    def text(self):
        return "".join(w["text"] for w in self.words)


class Shared(unittest.TestCase):
    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(*cls.arguments)
        cls.addClassCleanup(cls.d.finish)

    def check_captions(self, s):
        """What holds for every stream that was ended: order, times, and that its end confirms all."""
        times = [t for w in s.words for t in (w["start"], w["end"])]
        self.assertTrue(all(w["start"] <= w["end"] and 0 <= w["probability"] <= 1 for w in s.words), s.words)
        starts = [w["start"] for w in s.words]
        self.assertEqual(starts, sorted(starts))
        self.assertLessEqual(max(times, default=0), s.captions[-1]["pushed"] + 0.5)
        for key in "heard", "multiply_adds":
            values = [c[key] for c in s.captions]
            self.assertEqual(values, sorted(values))
        self.assertEqual([c["last"] for c in s.captions], [False] * (len(s.captions) - 1) + [True])
        for c in s.captions:
            self.assertEqual(
                set(c),
                {
                    *("type", "confirmed", "tentative", "utterance_end", "last", "heard", "pushed", "lag", "interval"),
                    *("language", "wall", "multiply_adds"),
                },
            )
            self.assertAlmostEqual(c["lag"], c["pushed"] - c["heard"], delta=0.002)
        self.assertEqual(s.captions[-1]["tentative"], [])
        self.assertEqual(s.errors, [])


    def opens(self, **headers):
        """A handshake with these headers is answered by 101."""
        with socket.create_connection(("127.0.0.1", self.d.port), 10) as s:
            head = "".join(f"{k}: {v}\r\n" for k, v in {**UPGRADE, **headers}.items())
            s.sendall(f"GET {PATH} HTTP/1.1\r\n{head}\r\n".encode())
            self.assertIn(b" 101 ", s.recv(4096).split(b"\r\n")[0], headers)
        self.d.wait_for(lambda h: h["live"] == 0, 5)


class Words(Shared):
    def caption(self, pcm, rate, chunk, pace=0):
        with Stream(self.d, f"rate={rate}") as s, concurrent.futures.ThreadPoolExecutor(1) as pool:
            self.assertEqual(s.ready, {"type": "ready", "model": "tiny.en", "rate": rate})

            def send():
                s.send(pcm, chunk, pace, rate)
                s.ws.send(END)

            sent = pool.submit(send)
            s.receive()
            sent.result()
        self.assertEqual(s.closed, 1000)
        self.check_captions(s)
        self.assertAlmostEqual(s.done["audio_seconds"], len(pcm) / 2 / rate, delta=0.05)
        self.assertEqual(s.done["runs"], 1)
        return s

    def test_any_chunks_at_any_pace(self):
        pcm, rate = speech("jfk.wav")
        # All at once; odd bytes; a few samples and a half; a message at the limit; as spoken.
        for chunk, pace in (1 << 16, 0), (3201, 0), (33, 0), (1 << 20, 0), (rate // 10 * 2, 0.25), (rate // 25 * 2, 1):
            with self.subTest(chunk=chunk, pace=pace):
                s = self.caption(pcm, rate, chunk, pace)
                self.assertLessEqual(word_edits(s.text, JFK), 3, s.text)
                if pace == 1:
                    self.assertGreater(len(s.statuses), 10)
                    self.assertGreater(sum(status["speech"] for status in s.statuses), 5)
                    self.assertTrue(any(c["tentative"] for c in s.captions))

    def test_floats(self):
        """The words of 16-bit samples, heard at every interval; none that is no number."""
        pcm, rate = speech("jfk.wav")
        floats = (numpy.frombuffer(pcm, "<i2") / numpy.float32(32768)).astype("<f4").tobytes()
        said = []
        for kind, sound, chunk in ("s16", pcm, 1 << 14), ("f32", floats, 1 << 14), ("f32", floats, 12347):
            with Stream(self.d, f"rate={rate}&samples={kind}&every_interval=true") as s:
                s.send(sound, chunk)
                s.ws.send(END)
                s.receive()
            self.check_captions(s)
            said.append(s.words)
        self.assertGreater(len(said[0]), 15)
        self.assertEqual(said[1], said[0])
        self.assertEqual(said[2], said[0])
        with Stream(self.d, "samples=f32") as s:
            s.ws.send(numpy.array([0, numpy.nan], "<f4").tobytes())
            s.receive(seconds=20)
        self.assertEqual((s.closed, len(s.errors)), (1007, 1))
        self.assertIn("not a finite number", s.errors[0]["message"])

    def test_longer_than_may_wait(self):
        """A client that sends as fast as it can waits while half a minute is unheard; nothing is lost."""
        pcm, rate = speech("two_cities.wav")
        s = self.caption(pcm * 2, rate, 1 << 15)
        self.assertEqual(s.text.count("best of times"), 2, s.text)
        self.assertEqual(s.text.count("comparison only"), 2, s.text)
        self.assertLess(max(c["lag"] for c in s.captions), 40)

    def test_streams_at_once(self):
        pcm, rate = speech("jfk.wav")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for s in pool.map(lambda i: self.caption(pcm, rate, 4001 + i), range(4)):
                self.assertLessEqual(word_edits(s.text, JFK), 3, s.text)

    def test_work_is_in_the_report(self):
        before = self.d.get("/v1/report").json
        pcm, rate = speech("jfk.wav")
        s = self.caption(pcm, rate, 1 << 16)
        self.assertGreater(s.done["decoder_steps"], 20)
        self.assertEqual(s.captions[-1]["multiply_adds"], sum(s.done["multiply_adds"]["by_part"].values()))
        self.d.wait_for(lambda h: h["live"] == 0)
        after = self.d.get("/v1/report").json
        self.assertEqual(after["requests"]["done"], before["requests"]["done"] + 1)
        for key in "decoder_steps", "windows":
            self.assertEqual(after[key] - before[key], s.done[key], key)
        for key in "computed", "reused":
            self.assertEqual(after["mel_frames"][key] - before["mel_frames"][key], s.done["mel_frames"][key], key)
        self.assertGreater(s.done["mel_frames"]["computed"], 1000)
        self.assertGreater(after["seconds"]["total"], before["seconds"]["total"])

    def test_log_mel_of_a_recording_is_counted(self):
        speech("jfk.wav")  # or skipped
        before = self.d.get("/v1/report").json["mel_frames"]
        self.assertEqual(self.d.post((RECORDINGS / "jfk.flac").read_bytes()).status, 200)
        after = self.d.get("/v1/report").json["mel_frames"]
        self.assertAlmostEqual(after["computed"] - before["computed"], 1100, delta=2)
        self.assertEqual(after["reused"], before["reused"])

    def test_nothing_said(self):
        for pcm in b"", b"\0", b"\0\0", noise(2):
            with Stream(self.d) as s:
                s.send(pcm)
                s.ws.send(END)
                s.receive()
            self.assertEqual((s.closed, s.text.strip(), s.errors), (1000, "", []))
            self.check_captions(s)
            self.assertIsNotNone(s.done)


class Languages(unittest.TestCase):
    """What is spoken is told from the sound, and written in its own words."""

    def test_words_and_language(self):
        labelled = RECORDINGS.parent / "speech" / "multi"
        if not (labelled / "refs.tsv").exists() or not (MODELS / "base").exists():
            raise unittest.SkipTest("needs models/base and the labelled speech in ../shared")
        lines = [line.split("\t") for line in (labelled / "refs.tsv").read_text(encoding="utf-8").splitlines()]
        texts = {line[0]: line[3] for line in lines}
        with Daemon(model="base") as d:
            for language, recording in ("de", "fleurs-de-004"), ("es", "fleurs-es-003"), ("fr", "fleurs-fr-000"):
                samples, rate = soundfile.read(labelled / f"{recording}.ogg", dtype="int16", always_2d=True)
                with self.subTest(recording=recording), Stream(d, f"rate={rate}") as s:
                    s.send(samples[:, 0].tobytes(), 1 << 16)
                    s.ws.send(END)
                    s.receive()
                    self.assertEqual((s.closed, s.errors), (1000, []))
                    self.assertEqual({c["language"] for c in s.captions if c["confirmed"]}, {language})
                    wrong = word_edits(s.text, texts[recording]) / len(texts[recording].split())
                    self.assertLess(wrong, 0.25, s.text)
            self.assertEqual(d.stop(20), 0)


class Refusals(Shared):
    def refused(self, status, words, path=PATH, method="GET", **headers):
        a = self.d.request(method, path, headers={**UPGRADE, **headers})
        self.assertEqual(a.status, status, a.body)
        self.assertIn(words, a.error["message"])
        return a

    def test_handshake(self):
        a = self.d.get(PATH)
        self.assertEqual((a.status, a.headers["Upgrade"]), (426, "websocket"))
        self.assertIn("WebSocket", a.error["message"])
        a = self.refused(426, "Sec-WebSocket-Version is 8, but should be 13", **{"Sec-WebSocket-Version": "8"})
        self.assertEqual(a.headers["Sec-WebSocket-Version"], "13")
        self.refused(426, "WebSocket", Upgrade="h2c")
        self.refused(400, "Connection", Connection="keep-alive")
        for key in "", "short", "x" * 24, KEY[:-1], KEY + "A", "dGhlIHNhbXBsZSBub25jZQ==="[:-2] + "A=":
            self.refused(400, "Sec-WebSocket-Key", **{"Sec-WebSocket-Key": key})
        self.assertEqual(self.d.request("POST", PATH, b"", UPGRADE).status, 405)
        self.assertEqual(self.d.request("HEAD", PATH, headers=UPGRADE).status, 426)
        with socket.create_connection(("127.0.0.1", self.d.port), 10) as s:
            head = "".join(f"{k}: {v}\r\n" for k, v in UPGRADE.items())
            s.sendall(f"GET {PATH} HTTP/1.0\r\n{head}\r\n".encode())
            self.assertIn(b" 426 ", s.recv(4096).split(b"\r\n")[0])

    def test_accept_of_the_rfc(self):
        with socket.create_connection(("127.0.0.1", self.d.port), 10) as s:
            head = "".join(f"{k}: {v}\r\n" for k, v in UPGRADE.items())
            s.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
            answer = s.recv(4096)
            self.assertIn(b" 101 ", answer.split(b"\r\n")[0])
            self.assertIn(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", answer)

    def test_origin(self):
        for origin in "http://evil.example", f"http://evil.example:{self.d.port}", "null", "http://127.0.0.1:1":
            self.refused(403, "may not use this daemon", Origin=origin)
        for origin in f"http://127.0.0.1:{self.d.port}", None:
            with Stream(self.d, origin=origin) as s:
                self.assertEqual(s.ready["type"], "ready")

    def test_name_that_was_pointed_here(self):
        """DNS rebinding: a page whose own name has come to mean this machine is still not the daemon's page."""
        for name in f"evil.example:{self.d.port}", "evil.example", "localhost.evil.example", "captions.example":
            a = self.refused(403, "--allowed-host " + name.split(":")[0], Host=name, Origin=f"http://{name}")
            self.assertEqual(a.error["code"], "host_not_allowed")
        self.opens(Host="evil.example")  # a program: browsers always send an Origin
        for name in f"localhost:{self.d.port}", f"[::1]:{self.d.port}", "192.0.2.7":
            self.opens(Host=name, Origin=f"http://{name}")

    def test_query(self):
        for query, status, words in (
            ("rate=7999", 400, "8000 to 192000"),
            ("rate=192001", 400, "8000 to 192000"),
            ("rate=many", 400, "8000 to 192000"),
            ("interval=0", 400, "0.1 to 10"),
            ("interval=nan", 400, "0.1 to 10"),
            ("every_interval=often", 400, "true or false"),
            ("samples=u8", 400, "s16 or f32"),
            ("task=sing", 400, "transcribe or translate"),
            ("task=translate", 400, "cannot translate"),
            ("language=klingon", 400, "klingon"),
            ("language=de", 400, "English only"),
            ("prompt=%FF", 400, "UTF-8"),
            ("model=nope", 404, "nope"),
            ("modell=tiny.en", 400, "modell"),
            ("rate=8000&rate=8000", 400, "twice"),
            ("&".join(f"x{i}=1" for i in range(40)), 400, "more than"),
        ):
            with self.subTest(query=query[:30]):
                self.refused(status, words, f"{PATH}?{query}")
        query = "rate=192000&model=whisper-1&language=english&prompt=Hello.&interval=0.5&task=&every_interval=no"
        with Stream(self.d, query) as s:
            self.assertEqual(s.ready["rate"], 192000)

    def failed(self, code, words, *messages):
        with Stream(self.d) as s:
            for message in messages:
                s.ws.send(message)
            s.receive(seconds=20)
        self.assertEqual(s.closed, code)
        self.assertEqual(len(s.errors), 1)
        self.assertIn(words, s.errors[0]["message"])
        self.assertIsNone(s.done)

    def test_messages(self):
        self.failed(1003, '{"type": "end"}', "hello")
        self.failed(1003, "end", '{"type": "stop"}')
        self.failed(1003, "end", "[1]")
        self.failed(1003, "end", b"\0\0" * 100, "")
        self.failed(1009, "longer than", b"\0" * ((1 << 20) + 1))
        self.failed(1009, "longer than", "x" * 5000)
        self.failed(1009, "longer than", [b"\0" * (1 << 19)] * 3)
        self.assertEqual(self.d.health()["live"], 0)

    def raw(self):
        s = socket.create_connection(("127.0.0.1", self.d.port), 20)
        head = "".join(f"{k}: {v}\r\n" for k, v in UPGRADE.items())
        s.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        seen = b""
        while b'"ready"' not in seen:
            seen += s.recv(4096)
        return s

    def test_audio_after_the_end(self):
        """An error while there is still something to hear, told instead of the report; nothing afterwards."""

        def frame(kind, payload):  # masked with zeros
            n = len(payload)
            size = bytes((0x80 | n,)) if n < 126 else b"\xff" + n.to_bytes(8, "big")
            return bytes((0x80 | kind,)) + size + bytes(4) + payload

        with self.raw() as s:  # in one packet, before even the shortest hearing is over
            s.sendall(frame(2, noise(20)) + frame(1, END.encode()) + frame(2, b"\0\0"))
            seen = b""
            while more := s.recv(4096):
                seen += more
        self.assertIn(b"audio came after", seen)
        self.assertIn((1008).to_bytes(2, "big"), seen)
        self.assertNotIn(b'"done"', seen)
        with Stream(self.d) as s:
            s.ws.send(END)
            s.receive(lambda s: s.done)
            with contextlib.suppress(ConnectionClosed):
                s.ws.send(b"\0\0")
            s.receive(seconds=20)
        self.assertEqual((s.closed, s.errors), (1000, []))

    def test_frames_that_are_none(self):
        for frame, code in (
            (b"\x82\x02ab", 1002),  # not masked
            (b"\xf2\x80\0\0\0\0", 1002),  # reserved bits
            (b"\x80\x80\0\0\0\0", 1002),  # goes on with nothing
            (b"\x81\x82\0\0\0\0\xff\xff", 1007),  # no UTF-8
            (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + b"\0" * 100, None),  # longer than can be
            (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + b"\0" * 100, 1009),
        ):
            with self.subTest(frame=frame[:10]), self.raw() as s:
                s.sendall(frame)
                seen = b""
                try:
                    while more := s.recv(4096):
                        seen += more
                except ConnectionResetError:
                    pass
                self.assertIn(b"\x88\x00" if code is None else code.to_bytes(2, "big"), seen)
        self.assertTrue(self.d.wait_for(lambda h: h["live"] == 0, 10))

    def test_frames_with_the_handshake(self):
        """Bytes that come in the same packet as the request's head."""
        with socket.create_connection(("127.0.0.1", self.d.port), 10) as s:
            head = "".join(f"{k}: {v}\r\n" for k, v in UPGRADE.items())
            end = END.encode()
            s.sendall(
                f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + bytes([0x81, 0x80 | len(end), 0, 0, 0, 0]) + end
            )
            seen = b""
            while b'"done"' not in seen:
                more = s.recv(4096)
                self.assertTrue(more, seen)
                seen += more

    def test_ping(self):
        with Stream(self.d) as s:
            self.assertTrue(s.ws.ping().wait(10))


class OtherOrigins(Shared):
    arguments = ("--allow-origin", "https://page.example,http://other.example:8080")

    def test_allowed(self):
        for origin in "https://page.example", "http://other.example:8080":
            with Stream(self.d, origin=origin) as s:
                self.assertEqual(s.ready["type"], "ready")
        with self.assertRaises(InvalidStatus):
            connect(f"ws://127.0.0.1:{self.d.port}{PATH}", origin="http://page.example")


class OtherNames(Shared):
    arguments = ("--allowed-host", "captions.example,box.lan", "--allowed-host", "talk.example")

    def test_allowed(self):
        """As behind a reverse proxy that hands the public name on."""
        for name in "captions.example", "Captions.Example:443", f"box.lan:{self.d.port}", "talk.example":
            self.opens(Host=name, Origin=f"https://{name}")
        for name in "evil.example", "captions.example.evil.example":
            a = self.d.get(PATH, **UPGRADE, Host=name, Origin=f"https://{name}")
            self.assertEqual((a.status, a.error["code"]), (403, "host_not_allowed"))
        a = self.d.get(PATH, **UPGRADE, Host="captions.example", Origin="https://evil.example")
        self.assertEqual((a.status, a.error["code"]), (403, "origin_not_allowed"))


class Places(unittest.TestCase):
    def test_fifth_stream(self):
        with Daemon() as d:
            streams = [Stream(d) for _ in range(4)]
            self.assertEqual((d.health()["live"], d.health()["live_streams"]), (4, 4))
            a = d.get(PATH, **UPGRADE)
            self.assertEqual((a.status, a.error["code"]), (503, "live_streams_full"))
            self.assertGreaterEqual(int(a.headers["Retry-After"]), 1)
            # A client that leaves frees its place at once, said goodbye or not.
            streams[0].ws.close()
            self.assertTrue(d.wait_for(lambda h: h["live"] == 3, 5))
            streams[1].ws.socket.shutdown(socket.SHUT_RDWR)
            self.assertTrue(d.wait_for(lambda h: h["live"] == 2, 5))
            with Stream(d), Stream(d):
                self.assertEqual(d.get(PATH, **UPGRADE).status, 503)
            for s in streams:
                s.ws.close()
            self.assertTrue(d.wait_for(lambda h: h["live"] == 0, 5))
            self.assertEqual(d.get("/v1/report").json["requests"], {"done": 0, "failed": 0, "cancelled": 6})
            self.assertEqual(d.stop(20), 0)

    def test_hang_up_in_mid_hearing(self):
        pcm, rate = speech("two_cities.wav")
        with Daemon("--live-streams", "1") as d:
            for _ in range(5):
                s = Stream(d, f"rate={rate}")
                s.send(pcm[: rate * 2 * 20], 1 << 16)
                s.receive(lambda s: s.captions)
                s.ws.socket.close()
                self.assertTrue(d.wait_for(lambda h: h["live"] == 0, 5))
            self.assertEqual(d.stop(20), 0)

    def test_other_requests_meanwhile(self):
        pcm, rate = speech("jfk.wav")
        with Daemon() as d, Stream(d, f"rate={rate}") as s:
            s.send(pcm, 1 << 16)
            a = d.post((RECORDINGS / "jfk.flac").read_bytes())
            self.assertEqual(a.status, 200, a.body)
            s.ws.send(END)
            s.receive()
            self.assertLessEqual(word_edits(s.text, JFK), 3, s.text)
            self.assertEqual(d.stop(20), 0)

    def test_silent_client(self):
        with Daemon("--idle-timeout", "1") as d, Stream(d) as lively:
            raw = Refusals.raw
            silent = raw(type("", (), {"d": d})())
            began = time.monotonic()
            silent.settimeout(20)
            seen = b""
            while more := silent.recv(4096):
                seen += more
            self.assertGreater(time.monotonic() - began, 1.5)
            self.assertLess(time.monotonic() - began, 10)
            self.assertIn(b"\x89\x00", seen)  # a ping
            self.assertIn(b"\x03\xf0", seen)  # 1008
            silent.close()
            self.assertTrue(lively.ws.ping().wait(5))  # pings were answered
            self.assertEqual(d.health()["live"], 1)

    @contextlib.contextmanager
    def stuck(self):
        """A daemon whose detector has become a pipe that nobody writes, and a client that waits for its stream."""
        with tempfile.TemporaryDirectory() as folder:
            vad = Path(folder) / "vad.safetensors"
            shutil.copy(MODELS / "silero-vad" / "silero_vad_16k.safetensors", vad)
            with Daemon("--vad", vad) as d, socket.create_connection(("127.0.0.1", d.port), 20) as s:
                vad.unlink()
                os.mkfifo(vad)
                head = "".join(f"{k}: {v}\r\n" for k, v in UPGRADE.items())
                s.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
                self.assertTrue(d.wait_for(lambda h: h["live"] == 1, 10))
                yield d, s, vad

    def test_opening_that_takes_its_time(self):
        """Others are answered meanwhile; what cannot be opened in the end is told, and its place is free again."""
        with self.stuck() as (d, s, vad):
            self.assertEqual([d.get(path).status for path in ("/health", "/v1/models")], [200, 200])
            s.settimeout(0.5)
            with self.assertRaises(TimeoutError):
                s.recv(1)
            s.settimeout(20)
            vad.write_bytes(b"")
            self.assertIn(b" 500 ", s.recv(4096).split(b"\r\n")[0])
            self.assertTrue(d.wait_for(lambda h: h["live"] == 0, 10))
            self.assertEqual(d.stop(20), 0)

    def test_opening_that_never_returns(self):
        """The first SIGTERM waits for it, the second one ends the daemon."""
        with self.stuck() as (d, s, _):
            d.signal()
            time.sleep(1)
            self.assertIsNone(d.process.poll())
            d.signal()
            self.assertIn(b" 503 ", s.recv(4096).split(b"\r\n")[0])
            self.assertEqual(d.process.wait(20), 1)
            self.assertIn("still being opened", d.log)

    def test_without_detector(self):
        with Daemon("--vad", "none") as d:
            a = d.get(PATH, **UPGRADE)
            self.assertEqual((a.status, a.error["code"]), (501, "no_detector"))
            self.assertIn("silero-vad", a.error["message"])


class Stopping(unittest.TestCase):
    def test_tail_is_confirmed(self):
        pcm, rate = speech("jfk.wav")
        with Daemon() as d, Stream(d, f"rate={rate}") as s, Stream(d) as idle:
            s.send(pcm[: rate * 2 * 8], 1 << 15)
            s.receive(lambda s: s.statuses and s.statuses[-1]["pushed"] > 7)
            d.signal()
            s.receive(seconds=30)
            idle.receive(seconds=30)
            self.assertEqual(d.process.wait(30), 0)
        self.assertEqual((s.closed, idle.closed), (1001, 1001))
        self.assertIn("country can do", s.text)
        self.assertEqual(s.captions[-1]["tentative"], [])
        self.assertIsNotNone(s.done)
        self.assertIsNotNone(idle.done)
        self.assertRegex(d.log, r"event=captioned .*code=1001")

    def test_no_new_ones(self):
        """While one stream still has much to hear, others are refused; a second signal cuts it short."""
        pcm, rate = speech("two_cities.wav")
        with Daemon() as d, Stream(d, f"rate={rate}") as s:
            s.send(pcm[: rate * 2 * 25], 1 << 16)
            s.receive(lambda s: s.statuses and s.statuses[-1]["pushed"] > 20)
            d.signal()
            try:
                while d.health()["status"] == "ok":
                    time.sleep(0.01)
                self.assertEqual(d.get(PATH, **UPGRADE).error["code"], "shutting_down")
            except OSError:
                pass  # a fast machine is through by now
            d.signal()
            s.receive(seconds=20)
            self.assertEqual(s.closed, 1001)
            self.assertIn(d.process.wait(20), (0, 1))


if __name__ == "__main__":
    need_model("tiny.en")
    need_model("silero-vad")
    unittest.main()
