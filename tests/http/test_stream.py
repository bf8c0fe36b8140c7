# SPDX-License-Identifier: MIT
"""stream=true: server-sent events while the recording is still being decoded."""

import http.client
import io
import json
import re
import signal
import sys
import time
import unittest

from daemon import ANSWER_SECONDS, RECORDINGS, SOURCE, Daemon, multipart, need_model, quiet

try:
    import numpy
    import openai
    import soundfile
except ImportError as missing:
    print(f"skipped: the package {missing.name} is not installed")
    sys.exit(77)

SPEECH = SOURCE.parent / "shared/speech/long/ljspeech-LJ001-0001-0032.flac"


def speech(seconds):
    """A wav of so much speech."""
    sound, rate = soundfile.read(SPEECH, dtype="int16")
    if sound.ndim > 1:
        sound = sound[:, 0]
    sound = numpy.resize(sound, seconds * rate)
    out = io.BytesIO()
    soundfile.write(out, sound, rate, format="WAV", subtype="PCM_16")
    return out.getvalue()


def events(response):
    """The data of each event, with the time at which it was there."""
    for line in response:
        text = line.decode().rstrip("\n")
        if text.startswith("data: "):
            yield time.monotonic(), text[6:]
        elif text:
            raise AssertionError(f"no server-sent event: {text!r}")


class Stream(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not SPEECH.exists():
            raise unittest.SkipTest("needs the recordings in ../shared")
        cls.d = Daemon()
        cls.addClassCleanup(cls.d.finish)

    def open(self, d, file, *fields):
        c = http.client.HTTPConnection("127.0.0.1", d.port, timeout=ANSWER_SECONDS)
        self.addCleanup(c.close)
        body, kind = multipart([("stream", "true"), ("temperature_inc", "0"), *fields], file)
        c.request("POST", "/v1/audio/transcriptions", body, {"Content-Type": kind})
        return c, c.getresponse()

    def test_the_first_delta_comes_long_before_done(self):
        recording = speech(180)
        began = time.monotonic()
        _, response = self.open(self.d, recording)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["Content-Type"], "text/event-stream; charset=utf-8")
        self.assertTrue(response.headers["X-Request-Id"])
        *said, (_, last) = events(response)
        self.assertEqual(last, "[DONE]")
        said = [(at - began, json.loads(text)) for at, text in said]
        *deltas, (done_at, done) = said
        self.assertEqual({d["type"] for _, d in deltas}, {"transcript.text.delta"})
        self.assertEqual(done["type"], "transcript.text.done")
        self.assertGreater(len(deltas), 4)
        self.assertLess(deltas[0][0], 0.6 * done_at)
        print(f"first delta after {deltas[0][0]:.2f} s, done after {done_at:.2f} s", file=sys.stderr)
        whole = self.d.quick(recording).json["text"]
        self.assertEqual("".join(d["delta"] for _, d in deltas), whole)
        self.assertEqual(done["text"], whole)
        usage = done["usage"]
        self.assertEqual(usage["type"], "tokens")
        self.assertEqual(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])
        self.assertEqual(sum(usage["input_token_details"].values()), usage["input_tokens"])
        self.assertGreater(usage["output_tokens"], 100)

    def test_openai_client(self):
        with openai.OpenAI(base_url=self.d.url + "/v1", api_key="none", max_retries=0) as api:
            create = api.audio.transcriptions.create
            file = RECORDINGS / "jfk.flac"
            said = list(create(model="tiny.en", file=file, stream=True))
            plain = create(model="tiny.en", file=file)
        self.assertEqual([e.type for e in said[-1:]], ["transcript.text.done"])
        self.assertEqual({e.type for e in said[:-1]}, {"transcript.text.delta"})
        self.assertEqual("".join(e.delta for e in said[:-1]), plain.text)
        self.assertEqual(said[-1].text, plain.text)

    def test_silence_is_done_without_a_delta(self):
        _, response = self.open(self.d, quiet(2), ("response_format", "text"))
        said = [text for _, text in events(response)]
        self.assertEqual(said[1:], ["[DONE]"])
        self.assertEqual(json.loads(said[0])["text"], "")

    def test_an_error_before_the_first_event_is_an_ordinary_reply(self):
        _, response = self.open(self.d, b"no audio")
        self.assertEqual(response.status, 400)
        self.assertEqual(json.loads(response.read())["error"]["param"], "file")
        for fields in [("response_format", "srt")], [("response_format", "verbose_json")]:
            _, response = self.open(self.d, quiet(1), *fields)
            self.assertEqual(response.status, 400)
            self.assertEqual(json.loads(response.read())["error"]["param"], "stream")
        _, response = self.open(self.d, quiet(1), ("stream", "perhaps"))
        self.assertEqual(response.status, 400)

    def test_a_reader_that_leaves_frees_its_slot(self):
        cancelled = self.outcome("cancelled")
        c, response = self.open(self.d, speech(180))
        next(events(response))
        self.assertEqual(self.d.health()["running"], 1)
        c.close()
        response.close()
        left = time.monotonic()
        self.assertTrue(self.d.wait_for(lambda h: h["running"] == 0))
        print(f"free after {time.monotonic() - left:.2f} s", file=sys.stderr)
        self.assertEqual(self.outcome("cancelled"), cancelled + 1)

    def outcome(self, which):
        return int(float(re.search(rf'outcome="{which}"}} (\S+)', self.d.get("/metrics").body.decode()).group(1)))

    def test_a_slow_reader_holds_nobody_up(self):
        """It reads nothing until the daemon is through with its recording."""
        _, response = self.open(self.d, speech(75))
        self.assertTrue(self.d.wait_for(lambda h: h["running"] == 0, ANSWER_SECONDS))
        said = [text for _, text in events(response)]
        self.assertEqual(json.loads(said[-2])["type"], "transcript.text.done")

    def test_the_end_of_the_server_is_an_error_event(self):
        with Daemon("--drain-timeout", "0s") as d:
            _, response = self.open(d, speech(180))
            stream = events(response)
            next(stream)
            d.signal(signal.SIGTERM)
            *_, (_, error), (_, last) = stream
            self.assertEqual(last, "[DONE]")
            error = json.loads(error)
            self.assertEqual(error["type"], "error")
            self.assertEqual(set(error["error"]), {"message", "type", "param", "code"})
            d.process.wait(60)


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
