# SPDX-License-Identifier: MIT
"""OpenAI's realtime transcription sessions with OpenAI's own client and with bare WebSockets: turns by pause and by
commit, deltas that never change, every wrong event, places, drain."""

import base64
import json
import sys
import threading
import time
import unittest

import numpy
import soundfile
from daemon import RECORDINGS, Daemon, need_model, word_edits
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

try:
    import openai
    from openai.types.realtime import RealtimeServerEvent  # noqa: F401
except ImportError:
    print("skipped: the openai package is not installed, or has no realtime API")
    sys.exit(77)

PATH = "/v1/realtime?intent=transcription"
JFK = "And so my fellow Americans ask not what your country can do for you ask what you can do for your country"
TRANSCRIPTION = "conversation.item.input_audio_transcription."


def samples(name, rate=24000):
    """A recording as 16-bit mono samples at `rate`, by the interpolation that is good enough for speech."""
    if not (RECORDINGS / name).exists():
        raise unittest.SkipTest("needs the recordings in ../shared")
    sound, own = soundfile.read(RECORDINGS / name, dtype="float64", always_2d=True)
    n = len(sound) * rate // own
    sound = numpy.interp(numpy.arange(n) * own / rate, numpy.arange(len(sound)), sound[:, 0])
    return (sound * 32767).astype("<i2")


def silence(seconds, rate=24000):
    return numpy.zeros(int(seconds * rate), "<i2")


def b64(sound):
    return base64.b64encode(sound if isinstance(sound, bytes) else sound.tobytes()).decode()


class Session:
    """A session over a bare WebSocket that keeps every event."""

    def __init__(self, daemon, beta=False, query="", **options):
        headers = {"OpenAI-Beta": "realtime=v1"} if beta else {}
        self.ws = connect(
            f"ws://127.0.0.1:{daemon.port}{PATH}{query}", additional_headers=headers, max_size=None,
            ping_interval=None, **options,
        )  # fmt: skip
        self.events, self.closed = [], None
        self.created = self.next()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.ws.close()

    def next(self, seconds=300):
        event = json.loads(self.ws.recv(seconds))
        self.events.append(event)
        return event

    def send(self, kind, **fields):
        self.ws.send(json.dumps({"type": kind, **fields}))

    def append(self, sound, chunk=24000):
        for i in range(0, len(sound), chunk):
            self.send("input_audio_buffer.append", audio=b64(sound[i : i + chunk]))

    def wait(self, kind, n=1):
        """Until `n` events of this kind have come since the beginning; the last of them."""
        while len(self.of(kind)) < n:
            self.next()
        return self.of(kind)[n - 1]

    def of(self, kind):
        return [e for e in self.events if e["type"] == kind]

    def error(self):
        return self.wait("error", len(self.of("error")) + 1)["error"]

    def until_closed(self, seconds=120):
        try:
            while True:
                self.next(seconds)
        except ConnectionClosed as e:
            self.closed = e.rcvd.code if e.rcvd else None
        return self

    def text(self, item):
        return "".join(e["delta"] for e in self.of(TRANSCRIPTION + "delta") if e["item_id"] == item)

    def manual(self, **fields):
        self.send("session.update", session={"type": "transcription", "audio": {"input": {"turn_detection": None, **fields}}})
        return self.wait("session.updated", len(self.of("session.updated")) + 1)


class Shared(unittest.TestCase):
    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(*cls.arguments)
        cls.addClassCleanup(cls.d.finish)

    def check(self, s):
        """What holds for every session: ids, order within an item, deltas that are the transcript."""
        ids = [e["event_id"] for e in s.events]
        self.assertEqual(len(set(ids)), len(ids))
        added = [e["item"]["id"] for e in s.events if e["type"] in ("conversation.item.added", "conversation.item.created")]
        self.assertEqual(len(set(added)), len(added))
        previous = None
        for item in added:
            own = [e for e in s.events if e.get("item_id") == item or e.get("item", {}).get("id") == item]
            kinds = [e["type"] for e in own]
            first = next(e for e in own if e["type"] in ("conversation.item.added", "conversation.item.created"))
            self.assertEqual(first["previous_item_id"], previous)
            previous = item
            if TRANSCRIPTION + "completed" not in kinds:
                continue
            done = own[kinds.index(TRANSCRIPTION + "completed")]
            self.assertEqual(s.text(item), done["transcript"])
            self.assertEqual(done["usage"]["type"], "duration")
            self.assertEqual(kinds.count("input_audio_buffer.committed"), 1)
            self.assertLess(kinds.index("input_audio_buffer.committed"), kinds.index(TRANSCRIPTION + "completed"))
            if "input_audio_buffer.speech_started" in kinds:
                started, stopped = (own[kinds.index(f"input_audio_buffer.speech_{k}")] for k in ("started", "stopped"))
                self.assertLess(started["audio_start_ms"], stopped["audio_end_ms"])
            deltas = [i for i, k in enumerate(kinds) if k.endswith(".delta")]
            self.assertTrue(all(kinds.index(first["type"]) < i < kinds.index(done["type"]) for i in deltas))


class OfficialClient(Shared):
    def test_turns_by_pause(self):
        """JFK as it is spoken, silence, JFK: two turns, whose words come while he speaks."""
        jfk = samples("jfk.wav")
        sound = numpy.concatenate([jfk, silence(3), jfk, silence(3)])
        api = openai.OpenAI(base_url=self.d.url + "/v1", api_key="none")
        self.addCleanup(api.close)
        kinds, items, deltas, stopped = [], [], {}, threading.Event()
        with api.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            created = connection.recv()
            self.assertEqual((created.type, created.session.type), ("session.created", "transcription"))
            connection.session.update(
                session={
                    "type": "transcription",
                    "audio": {
                        "input": {
                            "format": {"type": "audio/pcm", "rate": 24000},
                            "transcription": {"model": "whisper-1", "language": "en"},
                            "turn_detection": {"type": "server_vad", "silence_duration_ms": 2000},
                        }
                    },
                }
            )
            updated = connection.recv()
            self.assertEqual(updated.type, "session.updated")
            self.assertEqual(updated.session.audio.input.turn_detection.silence_duration_ms, 2000)
            self.assertEqual(updated.session.audio.input.transcription.language, "en")

            def send():
                began = time.monotonic()
                for i in range(0, len(sound), 2400):
                    if stopped.is_set():
                        return
                    connection.input_audio_buffer.append(audio=b64(sound[i : i + 2400]))
                    time.sleep(max(0, began + (i + 2400) / 24000 - time.monotonic()))

            thread = threading.Thread(target=send)
            thread.start()
            try:
                for event in connection:
                    kinds.append(event.type)
                    self.assertNotEqual(event.type, "error", event)
                    if event.type == TRANSCRIPTION + "delta":
                        deltas.setdefault(event.item_id, []).append(event.delta)
                    elif event.type == TRANSCRIPTION + "completed":
                        items.append(event)
                        if len(items) == 2:
                            break
            finally:
                stopped.set()
                thread.join()
        for item in items:
            self.assertLessEqual(word_edits(item.transcript, JFK), 3, item.transcript)
            self.assertEqual("".join(deltas[item.item_id]), item.transcript)
        self.assertGreater(kinds.count(TRANSCRIPTION + "delta"), len(items) + 2)  # in pieces, not at the end only
        self.assertEqual(kinds[:2], ["input_audio_buffer.speech_started", "conversation.item.added"])

    def test_commit(self):
        api = openai.OpenAI(base_url=self.d.url + "/v1", api_key="none")
        self.addCleanup(api.close)
        with api.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            connection.recv()
            connection.session.update(session={"type": "transcription", "audio": {"input": {"turn_detection": None}}})
            self.assertIsNone(connection.recv().session.audio.input.turn_detection)
            connection.input_audio_buffer.append(audio=b64(samples("jfk.wav")))
            connection.input_audio_buffer.commit()
            kinds = []
            for event in connection:
                kinds.append(event.type)
                if event.type == TRANSCRIPTION + "completed":
                    break
        self.assertEqual(kinds[:2], ["input_audio_buffer.committed", "conversation.item.added"])
        self.assertLessEqual(word_edits(event.transcript, JFK), 3, event.transcript)
        self.assertAlmostEqual(event.usage.seconds, 11, delta=0.1)


class Turns(Shared):
    def commit(self, s, sound, chunk=24000):
        n = len(s.of(TRANSCRIPTION + "completed")) + 1
        s.append(sound, chunk)
        s.send("input_audio_buffer.commit")
        return s.wait(TRANSCRIPTION + "completed", n)["transcript"]

    def test_formats(self):
        """Near the offline text in each format, whatever the pieces."""
        offline = self.d.post((RECORDINGS / "jfk.flac").read_bytes()).json["text"] if samples("jfk.wav").any() else ""
        for kind, sound, chunk in (
            ({"type": "audio/pcm", "rate": 24000}, samples("jfk.wav"), 24000),
            ({"type": "audio/pcm", "rate": 16000}, samples("jfk.wav", 16000), 1 << 20),
            ({"type": "audio/pcm"}, samples("jfk.wav").tobytes(), 24001),
            ({"type": "audio/pcmu"}, self.g711("ulaw"), 4000),
            ({"type": "audio/pcma"}, self.g711("alaw"), 4000),
        ):
            with self.subTest(kind=kind), Session(self.d) as s:
                told = s.manual(format=kind)["session"]["audio"]["input"]["format"]
                self.assertEqual(told, {"rate": 24000, **kind} if kind["type"] == "audio/pcm" else kind)
                text = self.commit(s, sound, chunk)
                self.assertLessEqual(word_edits(text, offline), 3, text)
                self.check(s)

    def g711(self, law):
        """JFK at 8 kHz by ITU-T G.711's definition."""
        x = samples("jfk.wav", 8000).astype(int)
        sign, size = x < 0, numpy.minimum(numpy.abs(x), 32635)
        out = numpy.zeros(len(x), int)
        if law == "ulaw":
            size = size + 132
            exponent = numpy.clip(numpy.floor(numpy.log2(size)).astype(int) - 7, 0, 7)
            out = ~(numpy.where(sign, 0x80, 0) | exponent << 4 | (size >> (exponent + 3) & 15)) & 0xFF
        else:
            exponent = numpy.clip(numpy.floor(numpy.log2(numpy.maximum(size, 1))).astype(int) - 7, 0, 7)
            out = numpy.where(sign, 0, 0x80) | exponent << 4 | (size >> (numpy.maximum(exponent, 1) + 3) & 15)
            out ^= 0x55
        return out.astype("u1").tobytes()

    def test_commits_in_a_row(self):
        """Each commit is an item of its own, in order, though the first is still heard when the second comes."""
        jfk = samples("jfk.wav")
        half = 24000 * 5
        with Session(self.d) as s:
            s.manual()
            for sound in jfk[:half], jfk[half:], silence(0.5):
                s.append(sound)
                s.send("input_audio_buffer.commit")
            s.wait(TRANSCRIPTION + "completed", 3)
            s.wait("conversation.item.done", 3)
            self.check(s)
            texts = [e["transcript"] for e in s.of(TRANSCRIPTION + "completed")]
            self.assertLessEqual(word_edits(" ".join(texts), JFK), 4, texts)
            self.assertEqual(texts[2], "")
            committed = [e["item_id"] for e in s.of("input_audio_buffer.committed")]
            self.assertEqual(committed, [e["item_id"] for e in s.of(TRANSCRIPTION + "completed")])
            self.assertEqual(s.of("input_audio_buffer.speech_started"), [])

    def test_clear(self):
        with Session(self.d) as s:
            s.manual()
            s.append(samples("two_cities.wav")[: 24000 * 5])
            s.send("input_audio_buffer.clear")
            s.wait("input_audio_buffer.cleared")
            s.send("input_audio_buffer.commit")
            self.assertEqual(s.error()["code"], "input_audio_buffer_commit_empty")
            self.assertLessEqual(word_edits(self.commit(s, samples("jfk.wav")), JFK), 3)
            self.check(s)

    def test_commit_with_vad(self):
        """Ends the turn that is going on."""
        with Session(self.d) as s:
            s.append(samples("jfk.wav")[: 24000 * 8])
            s.send("input_audio_buffer.commit")
            s.wait(TRANSCRIPTION + "completed")
            s.append(samples("jfk.wav")[24000 * 8 :])
            s.append(silence(1))
            while "country" not in s.of(TRANSCRIPTION + "completed")[-1]["transcript"]:
                s.next()
            self.check(s)

    def test_noise_is_no_turn(self):
        noise = (numpy.random.default_rng(1).standard_normal(24000 * 3) * 300).astype("<i2")
        with Session(self.d) as s:
            s.append(noise)
            s.append(samples("jfk.wav"))
            s.append(silence(1))
            started = s.wait("input_audio_buffer.speech_started")
            self.assertGreater(started["audio_start_ms"], 2500)

    def test_beta(self):
        """The flat form, and its names of events."""
        with Session(self.d, beta=True) as s:
            self.assertEqual(s.created["type"], "transcription_session.created")
            self.assertEqual(s.created["session"]["input_audio_format"], "pcm16")
            s.send(
                "transcription_session.update",
                session={
                    "input_audio_format": "pcm16",
                    "input_audio_transcription": {"model": "whisper-1", "language": "en", "prompt": "A speech."},
                    "turn_detection": None,
                    "input_audio_noise_reduction": {"type": "near_field"},
                    "include": [],
                },
            )
            session = s.wait("transcription_session.updated")["session"]
            self.assertEqual(session["input_audio_transcription"],
                             {"model": "tiny.en", "language": "en", "prompt": "A speech."})  # fmt: skip
            self.assertIsNone(session["turn_detection"])
            self.assertLessEqual(word_edits(self.commit(s, samples("jfk.wav")), JFK), 3)
            self.assertEqual(len(s.of("conversation.item.created")), 1)
            self.assertEqual(s.of("conversation.item.added") + s.of("conversation.item.done"), [])
            self.check(s)

    def test_work_is_in_the_report(self):
        before = self.d.get("/v1/report").json
        with Session(self.d) as s:
            s.manual()
            self.commit(s, samples("jfk.wav"))
        self.d.wait_for(lambda h: h["live"] == 0)
        after = self.d.get("/v1/report").json
        self.assertEqual(after["requests"]["done"], before["requests"]["done"] + 1)
        self.assertGreater(after["windows"], before["windows"])


class Refusals(Shared):
    def test_wrong_events(self):
        """Each is answered by an error that names it, and the session goes on."""

        def update(**of_input):
            return json.dumps({"type": "session.update", "session": {"audio": {"input": of_input}}})

        append = "input_audio_buffer.append"
        with Session(self.d) as s:
            for message, param, words in (
                ("hello", None, "JSON object"),
                ("[1]", None, "JSON object"),
                ("", None, "JSON object"),
                ("{" * 5000, None, "JSON object"),
                (b"\0\0" * 100, None, "Binary"),
                ("{}", "type", "no type"),
                ('{"type": 7}', "type", "no type"),
                ('{"type": "response.create"}', "type", "response.create"),
                (json.dumps({"type": append}), "audio", "base64"),
                (json.dumps({"type": append, "audio": 7}), "audio", "base64"),
                (json.dumps({"type": append, "audio": "#!"}), "audio", "no base64"),
                ('{"type": "input_audio_buffer.commit"}', None, "buffer too small"),
                ('{"type": "session.update"}', "session", "an object"),
                ('{"type": "session.update", "session": {"type": "realtime"}}', "session.type", "transcription"),
                ('{"type": "session.update", "session": {"audio": 7}}', "session.audio", "object"),
                ('{"type": "session.update", "session": {"include": ["item.input_audio_transcription.logprobs"]}}',
                 "session.include", "not supported"),
                (update(format={"type": "audio/mp3"}), "session.audio.input.format", "audio/pcm"),
                (update(format={"type": "audio/pcm", "rate": 7}), "session.audio.input.format.rate", "24000"),
                (update(format={"type": "audio/pcmu", "rate": 24000}), "session.audio.input.format.rate", "24000"),
                (update(turn_detection={"type": "semantic_vad"}), "session.audio.input.turn_detection", "server_vad"),
                (update(turn_detection=7), "session.audio.input.turn_detection", "server_vad"),
                (update(turn_detection={"type": "server_vad", "silence_duration_ms": 0}),
                 "session.audio.input.turn_detection", "100 to 10000"),
                (update(turn_detection={"type": "server_vad", "threshold": 2}),
                 "session.audio.input.turn_detection", "threshold"),
                (update(transcription={"model": "gpt-9"}), "model", "gpt-9"),
                (update(transcription={"language": "klingon"}), "language", "klingon"),
                (update(transcription={"language": "de"}), "language", "English only"),
                (update(transcription={"prompt": 7}), "prompt", "string"),
                (update(transcription={"delay": "soon"}), "delay", "minimal"),
                (update(transcription={"keywords": ["x"]}), "keywords", "not supported"),
                ('{"type": "transcription_session.update", "session": {"input_audio_format": "mp3"}}',
                 "session.input_audio_format", "pcm16"),
            ):  # fmt: skip
                with self.subTest(message=message[:80]):
                    s.ws.send(message)
                    e = s.error()
                    self.assertEqual(e["type"], "invalid_request_error")
                    self.assertEqual(e["param"], param)
                    self.assertIn(words, e["message"])
            s.send("nonsense", event_id="mine")
            self.assertEqual(s.error()["event_id"], "mine")
            # Nothing of it was taken over.
            self.assertEqual(s.manual()["session"]["audio"]["input"],
                             {**s.created["session"]["audio"]["input"], "turn_detection": None})  # fmt: skip
            s.append(samples("jfk.wav"))
            s.send("session.update", session={"audio": {"input": {"format": {"type": "audio/pcmu"}}}})
            self.assertEqual(s.error()["code"], "input_audio_buffer_not_empty")
            s.send("input_audio_buffer.commit")
            text = s.wait(TRANSCRIPTION + "completed")["transcript"]
            self.assertLessEqual(word_edits(text, JFK), 3, text)

    def test_too_long(self):
        with Session(self.d) as s:
            s.send("input_audio_buffer.append", audio="A" * ((15 << 20) - 4))
            try:
                s.ws.send("x" * ((16 << 20) + 1))
            except ConnectionClosed:
                pass
            s.until_closed()
        self.assertEqual(s.closed, 1009)
        self.assertTrue(self.d.wait_for(lambda h: h["live"] == 0, 20))

    def test_query(self):
        for path, status, words in (
            ("/v1/realtime", 400, "intent"),
            ("/v1/realtime?model=tiny.en", 400, "intent"),
            ("/v1/realtime?intent=conversation", 400, "intent"),
            (PATH + "&model=nope", 404, "nope"),
            (PATH + "&color=red", 400, "color"),
        ):
            with self.subTest(path=path), self.assertRaises(InvalidStatus) as caught:
                connect(f"ws://127.0.0.1:{self.d.port}{path}")
            self.assertEqual(caught.exception.response.status_code, status)
            self.assertIn(words, caught.exception.response.body.decode())
        self.assertEqual(self.d.get(PATH).status, 426)
        with self.assertRaises(InvalidStatus):
            connect(f"ws://127.0.0.1:{self.d.port}{PATH}", origin="http://evil.example")
        with Session(self.d, query="&model=whisper-1") as s:
            self.assertEqual(s.created["session"]["audio"]["input"]["transcription"]["model"], "tiny.en")


class Places(unittest.TestCase):
    def test_shared_with_captions(self):
        with Daemon("--live-streams", "2") as d:
            captions = f"ws://127.0.0.1:{d.port}/v1/captions"
            with Session(d) as one, connect(captions):
                self.assertEqual(d.health()["live"], 2)
                for url in captions, f"ws://127.0.0.1:{d.port}{PATH}":
                    with self.assertRaises(InvalidStatus) as caught:
                        connect(url)
                    self.assertEqual(caught.exception.response.status_code, 503)
                one.append(samples("two_cities.wav"))
                one.wait("input_audio_buffer.speech_started")
            self.assertTrue(d.wait_for(lambda h: h["live"] == 0, 10))  # who leaves in mid-hearing frees the place
            with Session(d), Session(d):
                self.assertEqual(d.health()["live"], 2)
            self.assertEqual(d.stop(30), 0)

    def test_silent_client(self):
        with Daemon("--idle-timeout", "1") as d, Session(d) as s:
            self.assertTrue(d.wait_for(lambda h: h["live"] == 1, 5))
            time.sleep(3)  # its pings are answered by the library
            self.assertEqual(s.manual()["type"], "session.updated")

    def test_drain(self):
        """What was said is still transcribed."""
        with Daemon() as d, Session(d) as s, Session(d) as idle:
            s.append(samples("jfk.wav"))
            s.wait("input_audio_buffer.speech_started")
            d.signal()
            s.until_closed()
            idle.until_closed()
            self.assertEqual((s.closed, idle.closed), (1001, 1001))
            text = " ".join(e["transcript"] for e in s.of(TRANSCRIPTION + "completed"))
            self.assertLessEqual(word_edits(text, JFK), 3, text)
            self.assertEqual(d.process.wait(30), 0)


if __name__ == "__main__":
    need_model("tiny.en")
    need_model("silero-vad")
    unittest.main()
