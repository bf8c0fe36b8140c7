# SPDX-License-Identifier: MIT
"""The Wyoming protocol with the wyoming package's own client: its events, HTTP's texts, bad clients, bounds, drain."""

import array
import asyncio
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import unittest
import wave

from daemon import BIN, MODELS, RECORDINGS, SOURCE, Daemon, need_model, quiet, word_edits

try:
    from wyoming.asr import Transcribe, Transcript
    from wyoming.audio import AudioChunk, AudioStart, AudioStop, wav_to_chunks
    from wyoming.client import AsyncClient
    from wyoming.error import Error
    from wyoming.event import Event
    from wyoming.info import Describe, Info
    from wyoming.ping import Ping, Pong
except ImportError:
    print("skipped: the wyoming package is not installed")
    sys.exit(77)

SPEECH = SOURCE.parent / "shared/speech/multi"
JFK = "And so my fellow Americans ask not what your country can do for you ask what you can do for your country"
GERMAN = "er griff auch alles an was ins wasser kam selbst ein großer dinosaurier wie der t rex war ihm nicht gewachsen"


def recording(name):
    """(file, its samples as 16-bit PCM, rate); mono."""
    import soundfile

    path = RECORDINGS / name if (RECORDINGS / name).exists() else SPEECH / name
    if not path.exists():
        raise unittest.SkipTest("needs the recordings in ../shared")
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return path.read_bytes(), samples[:, 0].tobytes(), rate


def wav(pcm, rate, width=2, channels=1):
    out = io.BytesIO()
    with wave.open(out, "wb") as w:
        w.setparams((channels, width, rate, 0, "NONE", ""))
        w.writeframes(pcm)
    return out.getvalue()


class Wyoming(unittest.TestCase):
    model = "tiny.en"
    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon("--wyoming", "127.0.0.1:0", *cls.arguments, model=cls.model)
        cls.addClassCleanup(cls.d.finish)
        cls.uri = re.search(r" wyoming=(tcp://\S+)", cls.d.log).group(1)
        cls.port = int(cls.uri.rsplit(":", 1)[1])

    def client(self):
        return AsyncClient.from_uri(self.uri, read_timeout=300)

    async def ask(self, c, file, samples=1024, pace=0, **asked):
        """Sends a WAV file as the package itself cuts it."""
        await c.write_event(Transcribe(**asked).event())
        with wave.open(io.BytesIO(file)) as w:
            for event in wav_to_chunks(w, samples, start_event=True, stop_event=True):
                await c.write_event(event.event())
                await asyncio.sleep(pace)

    async def answer(self, c):
        """The transcript, which has to be framed by start and stop and to consist of its chunks."""
        kinds, text = [], ""
        while True:
            event = await c.read_event()
            if event is None:
                raise EOFError(kinds)
            if Error.is_type(event.type):
                return Error.from_event(event)
            kinds.append(event.type)
            if event.type == "transcript-chunk":
                text += event.data["text"]
            elif event.type == "transcript":
                transcript = Transcript.from_event(event)
            elif event.type == "transcript-stop":
                break
        self.assertEqual(kinds[0], "transcript-start")
        self.assertEqual(kinds[-2:], ["transcript", "transcript-stop"])
        self.assertEqual(set(kinds[1:-2]), {"transcript-chunk"} if transcript.text else set())
        self.assertEqual(text.strip(), transcript.text)
        return transcript

    def transcribe(self, file, **more):
        async def run():
            async with self.client() as c:
                await self.ask(c, file, **more)
                return await self.answer(c)

        return asyncio.run(run())

    def http(self, file, **fields):
        a = self.d.post(file, fields=list(fields.items()))
        self.assertEqual(a.status, 200, a.body)
        return a.json["text"]

    def raw(self, *pieces):
        """Everything that the daemon answers to these bytes until it hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as s:
            for piece in pieces:
                s.sendall(piece)
            seen = b""
            try:
                while more := s.recv(65536):
                    seen += more
            except ConnectionResetError:
                pass
            return seen

    def refused(self, code, words, *pieces):
        seen = self.raw(*pieces)
        self.assertIn(b'"type":"error"', seen)
        error = json.loads(seen.split(b"\n", 1)[1])
        self.assertEqual(error["code"], code, error)
        self.assertIn(words, error["text"])

    def alive(self):
        """Nothing is left over, and the next client is served."""
        self.assertTrue(self.d.wait_for(lambda h: h["running"] + h["queued"] == 0, 20))
        self.assertEqual(self.transcribe(quiet(0.5)).text, self.http(quiet(0.5)))


class English(Wyoming):
    def test_info(self):
        async def run():
            async with self.client() as c:
                await c.write_event(Describe().event())
                return Info.from_event(await c.read_event())

        info = asyncio.run(run())
        (program,) = info.asr
        (model,) = program.models
        self.assertEqual((program.name, program.installed), ("sotto", True))
        version = subprocess.run([BIN / "sottod", "--version"], capture_output=True, text=True).stdout
        self.assertIn(program.version, version)
        self.assertEqual((model.name, model.languages, model.installed), ("tiny.en", ["en"], True))
        self.assertEqual((model.attribution.name, program.supports_transcript_streaming), ("OpenAI", True))
        self.assertTrue(program.requires_external_vad)
        self.assertEqual((info.tts, info.wake, info.handle, info.intent), ([], [], [], []))

    def test_text_is_https(self):
        """To the letter, whatever the rate, the width, the channels and the pieces."""
        _, pcm, rate = recording("jfk.wav")
        said = {}
        samples = array.array("h", pcm)
        for name, file in (
            ("as it is", wav(pcm, rate)),
            ("8 kHz", wav(samples[::2].tobytes(), rate // 2)),
            ("stereo", wav(array.array("h", [s for one in samples for s in (one, one)]).tobytes(), rate, channels=2)),
            ("8 bits", wav(bytes((s >> 8) + 128 for s in samples), rate, width=1)),
            ("32 bits", wav(array.array("i", [s << 16 for s in samples]).tobytes(), rate, width=4)),
        ):
            with self.subTest(name):
                t = self.transcribe(file, language="en")
                self.assertEqual(t.text, self.http(file))
                self.assertEqual(t.language, "en")
                self.assertLessEqual(word_edits(t.text, JFK), 3, t.text)
                said[name] = t.text
        self.assertEqual(said["stereo"], said["as it is"])
        self.assertEqual(self.transcribe(wav(pcm, rate), samples=rate * 60).text, said["as it is"])
        self.assertEqual(self.transcribe(wav(pcm, rate), samples=77, name="whisper-1", language="en-US").text,
                         said["as it is"])  # fmt: skip

    def test_long_recording_comes_in_chunks(self):
        _, pcm, rate = recording("two_cities.wav")
        t = self.transcribe(wav(pcm, rate))
        self.assertEqual(t.text, self.http(wav(pcm, rate)))
        self.assertIn("age of wisdom", t.text)

    def test_nothing_said(self):
        async def run():
            async with self.client() as c:
                for events in (
                    [Transcribe(), AudioStart(16000, 2, 1), AudioStop()],
                    [AudioStop()],
                    [AudioStart(16000, 2, 1), AudioChunk(16000, 2, 1, b""), AudioStop()],
                    [AudioChunk(16000, 2, 1, b"\0"), AudioStop()],
                ):
                    for event in events:
                        await c.write_event(event.event())
                    self.assertEqual((await self.answer(c)).text, "")

        asyncio.run(run())

    def test_one_after_the_other(self):
        """Requests of one connection are answered in their order, describe and ping meanwhile; languages do not stay."""
        _, pcm, rate = recording("jfk.wav")
        first, second = wav(pcm[: rate * 2 * 5], rate), wav(pcm[rate * 2 * 5 :], rate)

        async def run():
            async with self.client() as c:
                await self.ask(c, first, samples=1 << 16, language="en")
                await c.write_event(Ping(text="there?").event())
                await c.write_event(Event("unheard-of", {"a": 1}, b"payload\n{"))
                await c.write_event(Describe().event())
                self.assertEqual(Pong.from_event(await c.read_event()).text, "there?")
                self.assertTrue(Info.is_type((await c.read_event()).type))
                await self.ask(c, second, samples=1 << 16)
                await self.ask(c, first, samples=1 << 16)
                return [(await self.answer(c)).text for _ in range(3)]

        self.assertEqual(asyncio.run(run()), [self.http(first), self.http(second), self.http(first)])

    def test_many_clients_get_their_own(self):
        """Twelve at once, each its own excerpt in its own rhythm, one in four leaving in the midst of it."""
        _, pcm, rate = recording("two_cities.wav")
        parts = [wav(pcm[rate * 2 * 3 * i : rate * 2 * (3 * i + 4)], rate) for i in range(9)]
        expected = [self.http(part) for part in parts]
        self.assertEqual(len(set(expected)), 9)

        async def stay(i):
            async with self.client() as c:
                await self.ask(c, parts[i], samples=500 + 313 * i, pace=0.001)
                return (await self.answer(c)).text

        async def leave(i):
            async with self.client() as c:
                await self.ask(c, parts[i], samples=4000)
                await c.write_event(AudioStart(16000, 2, 1).event())
                await asyncio.sleep(0.1 * i)

        async def run():
            return await asyncio.gather(*(stay(i) for i in range(9)), *(leave(i) for i in range(3)))

        self.assertEqual(asyncio.run(run())[:9], expected)
        self.alive()

    def test_clients_that_leave(self):
        """In the middle of a line, of a chunk, of a transcription: its slot is free soon."""
        _, pcm, rate = recording("two_cities.wav")
        body = wav(pcm, rate)
        head = b'{"type":"audio-chunk","data":{"rate":22050,"width":2,"channels":1},"payload_length":100000}\n'
        for piece in (b'{"type":"audio-', head, head + bytes(500)):
            with socket.create_connection(("127.0.0.1", self.port), 10) as s:
                s.sendall(piece)

        async def run():
            async with self.client() as c:
                await self.ask(c, body, samples=1 << 16)
                while not (await asyncio.to_thread(self.d.health))["running"]:
                    await asyncio.sleep(0.01)

        asyncio.run(run())
        began = time.monotonic()
        self.assertTrue(self.d.wait_for(lambda h: h["running"] == 0, 10))
        self.assertLess(time.monotonic() - began, 3)
        self.assertIn("event=cancelled id=wyo_", self.d.log)
        self.alive()

    def test_garbage(self):
        self.refused("protocol_error", "no JSON object", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.refused("protocol_error", "type", b"{}\n")
        self.refused("protocol_error", "longer than 65536", b"x" * 100_000)
        self.refused("protocol_error", "data_length", b'{"type":"ping","data_length":65537}\n')
        self.refused("protocol_error", "payload_length", b'{"type":"audio-chunk","payload_length":1e20}\n')
        self.refused("protocol_error", "payload_length", b'{"type":"audio-chunk","payload_length":-1}\n')
        seen = self.raw(b'{"type":"describe"}\n' * 2 + os.urandom(100) + b"\n")
        self.assertEqual(seen.count(b'"type":"info"'), 2)
        self.assertEqual(seen.count(b'"type":"error"'), 1)
        self.alive()

    def test_what_cannot_be_done(self):
        def event(kind, data, payload=b""):
            line = json.dumps({"type": kind, "data": data, "payload_length": len(payload)}).encode() + b"\n"
            return line + payload

        sound = {"rate": 16000, "width": 2, "channels": 1}
        for code, words, *events in (
            ("invalid_value", "klingon", event("transcribe", {"language": "klingon"})),
            ("invalid_value", "English only", event("transcribe", {"language": "de"})),
            ("model_not_found", "large-v9", event("transcribe", {"name": "large-v9"})),
            ("invalid_value", "language", event("transcribe", {"language": 7})),
            ("invalid_value", "rate", event("audio-start", {"width": 2, "channels": 1})),
            ("invalid_value", "rate", event("audio-start", {**sound, "rate": 0})),
            ("invalid_value", "rate", event("audio-chunk", {**sound, "rate": "16000"}, b"\0\0")),
            ("invalid_value", "width", event("audio-chunk", {**sound, "width": 3}, b"\0\0")),
            ("invalid_value", "channels", event("audio-chunk", {**sound, "channels": 9}, b"\0\0")),
            ("invalid_value", "before it", event("audio-chunk", sound, b"\0\0"),
             event("audio-chunk", {**sound, "rate": 8000}, b"\0\0")),
        ):  # fmt: skip
            with self.subTest(words=words):
                self.refused(code, words, *events)
        self.alive()

    def test_client_that_does_not_read(self):
        """Thousands of describes unread: the daemon stops taking more of them, and others are served."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.settimeout(2)
            sent = 0
            line = b'{"type":"describe"}\n' * 1000
            try:
                while sent < 50_000_000:
                    sent += s.send(line)
            except TimeoutError:
                pass
            self.assertLess(sent, 50_000_000)
            self.alive()


class Multilingual(Wyoming):
    model = "base"

    def test_languages(self):
        async def run():
            async with self.client() as c:
                await c.write_event(Describe().event())
                return Info.from_event(await c.read_event())

        languages = asyncio.run(run()).asr[0].models[0].languages
        self.assertEqual((len(languages), languages[0], len(set(languages))), (99, "en", 99))
        self.assertIn("de", languages)
        self.assertNotIn("yue", languages)  # large-v3's

    def test_two_languages(self):
        for name, text, language in ("fleurs-de-001.ogg", GERMAN, "de"), ("jfk.wav", JFK, "en"):
            _, pcm, rate = recording(name)
            for asked in language, None, f"{language}-XX":
                with self.subTest(name=name, asked=asked):
                    t = self.transcribe(wav(pcm, rate), language=asked)
                    self.assertEqual(t.language, language)
                    self.assertEqual(t.text, self.http(wav(pcm, rate), **({"language": language} if asked else {})))
                    self.assertLessEqual(word_edits(t.text, text), 5, t.text)


class Bounds(Wyoming):
    arguments = ("--max-upload", "100K", "--max-connections", "3", "--idle-timeout", "1", "--max-queue", "1", "--slots", "1")

    def setUp(self):
        time.sleep(0.3)  # connections of the test before are over

    def test_too_long(self):
        head = b'{"type":"audio-chunk","data":{"rate":16000,"width":2,"channels":1},"payload_length":%d}\n'
        self.refused("protocol_error", "payload_length", head % 102401)
        piece = head % 30000 + bytes(30000)
        self.refused("too_large", "102400", piece * 4)

    def test_silent_clients(self):
        began = time.monotonic()
        self.assertEqual(self.raw(), b"")
        self.assertEqual(self.raw(b'{"type":"tran'), b"")
        self.refused("timeout", "No audio", b'{"type":"audio-start","data":{"rate":16000,"width":2,"channels":1}}\n')
        self.assertGreater(time.monotonic() - began, 2.5)
        self.assertLess(time.monotonic() - began, 20)

    def test_too_many(self):
        waiting = [socket.create_connection(("127.0.0.1", self.port), 10) for _ in range(3)]
        time.sleep(0.2)
        try:
            self.refused("connections_full", "--max-connections")
        finally:
            for s in waiting:
                s.close()


class Stopping(Wyoming):
    def setUp(self):
        self.d = Daemon("--wyoming", "127.0.0.1:0")
        self.addCleanup(self.d.__exit__)
        self.uri = re.search(r" wyoming=(tcp://\S+)", self.d.log).group(1)

    @classmethod
    def setUpClass(cls):
        pass

    def test_what_was_begun_is_answered(self):
        _, pcm, rate = recording("jfk.wav")
        expected = self.http(wav(pcm, rate))

        async def run():
            async with self.client() as running, self.client() as sending, self.client() as idle:
                await self.ask(running, wav(pcm, rate), samples=1 << 16)
                await sending.write_event(AudioStart(rate, 2, 1).event())
                await sending.write_event(AudioChunk(rate, 2, 1, pcm[: rate * 2]).event())
                await idle.write_event(Ping().event())
                self.assertTrue(Pong.is_type((await idle.read_event()).type))
                await asyncio.sleep(0.3)
                self.d.signal()
                self.assertIsNone(await idle.read_event())
                await sending.write_event(AudioChunk(rate, 2, 1, pcm[rate * 2 :]).event())
                await sending.write_event(AudioStop().event())
                return [(await self.answer(c)).text for c in (running, sending)]

        self.assertEqual(asyncio.run(run()), [expected, expected])
        self.assertEqual(self.d.process.wait(30), 0)

    def test_second_signal(self):
        _, pcm, rate = recording("two_cities.wav")

        async def run():
            async with self.client() as c:
                await self.ask(c, wav(pcm * 3, rate), samples=1 << 16)
                while not (await asyncio.to_thread(self.d.health))["running"]:
                    await asyncio.sleep(0.01)
                self.d.signal()
                await asyncio.sleep(0.2)
                self.d.signal()
                return await self.answer(c)

        self.assertEqual(asyncio.run(run()).code, "shutting_down")
        self.assertEqual(self.d.process.wait(30), 1)
        self.assertIn("cut_short=1", self.d.log)


class Start(unittest.TestCase):
    def test_address(self):
        for address, words in ("nowhere", '--wyoming is "nowhere"'), ("127.0.0.1:99999", "--wyoming"):
            done = subprocess.run(
                [BIN / "sottod", "--model", MODELS / "tiny.en", "--listen", "127.0.0.1:0", "--wyoming", address],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)

    def test_off_by_default(self):
        with Daemon() as d:
            self.assertNotIn("wyoming", d.log)


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
