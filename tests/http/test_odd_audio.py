# SPDX-License-Identifier: MIT
"""Sound that no microphone makes: one sample, constants, full scale, huge and tiny numbers, an hour of nothing. Each is
answered with numbers that are numbers, or refused with a sentence about it; and speech after it is heard as ever."""

import io
import json
import math
import unittest

import numpy
import soundfile

from daemon import RECORDINGS, Daemon, multipart, need_model

RATE = 16000


def wav(samples, subtype="FLOAT", rate=RATE):
    out = io.BytesIO()
    soundfile.write(out, numpy.asarray(samples, dtype="float64"), rate, subtype=subtype, format="WAV")
    return out.getvalue()


def seconds(n):
    return numpy.arange(int(n * RATE)) / RATE


def strict(text):
    """json.loads that takes no NaN and no Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} in an answer")

    return json.loads(text, parse_constant=refuse)


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, float):
        yield value


ODD = {
    "one sample": wav([0.5]),
    "two samples": wav([1, -1]),
    "less than a frame": wav(numpy.full(159, 0.1)),
    "a constant": wav(numpy.full(3 * RATE, 0.25)),
    "a constant at full scale": wav(numpy.full(3 * RATE, 1.0), "PCM_16"),
    "the most negative integer": wav(numpy.full(3 * RATE, -1.0), "PCM_16"),
    "every other sample": wav(numpy.tile([1.0, -1.0], RATE), "PCM_16"),
    "an impulse": wav(numpy.concatenate([[1.0], numpy.zeros(2 * RATE)])),
    "a clipped tone": wav(numpy.clip(20 * numpy.sin(2 * numpy.pi * 440 * seconds(3)), -1, 1), "PCM_16"),
    "far above full scale": wav(1e4 * numpy.sin(2 * numpy.pi * 440 * seconds(2))),
    "the largest floats": wav(numpy.tile([3.4e38, -3.4e38], RATE)),
    "numbers too small for floats": wav(numpy.full(2 * RATE, 1e-40)),
    "a step": wav(numpy.concatenate([numpy.zeros(RATE), numpy.full(RATE, 0.9)])),
    "noise at full scale": wav(numpy.random.default_rng(1).uniform(-1, 1, 5 * RATE), "PCM_16"),
}


class OddAudio(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.d = Daemon()
        cls.addClassCleanup(cls.d.finish)

    def ask(self, content, form="verbose_json", filename="odd.wav"):
        fields = [("model", "tiny.en"), ("response_format", form), ("timestamp_granularities[]", "word"),
                  ("timestamp_granularities[]", "segment")]
        body, kind = multipart(fields if form == "verbose_json" else fields[:2], content, filename)
        return self.d.request("POST", "/v1/audio/transcriptions", body, {"Content-Type": kind})

    def speech(self):
        path = RECORDINGS / "jfk.wav"
        return self.ask(path.read_bytes()).json["text"] if path.exists() else ""

    def test_odd_sounds(self):
        before = self.speech()
        for name, content in ODD.items():
            with self.subTest(name):
                a = self.ask(content)
                self.assertIn(a.status, (200, 400), a.body)
                answer = strict(a.body)
                if a.status == 400:
                    self.assertIn("odd.wav", answer["error"]["message"])
                    continue
                self.assertTrue(all(map(math.isfinite, numbers(answer))))
                for segment in answer["segments"]:
                    self.assertLessEqual(0, segment["start"])
                    self.assertLessEqual(segment["start"], segment["end"])
                self.assertLess(len(answer["text"]), 400, "a loop")
        self.assertEqual(self.speech(), before)

    def test_what_is_no_number_is_named(self):
        for value, at in (math.nan, 12345), (math.inf, 0), (-math.inf, 20000):
            samples = 0.1 * numpy.sin(2 * numpy.pi * 300 * seconds(2))
            samples[at] = value
            a = self.ask(wav(samples))
            self.assertEqual(a.status, 400, a.body)
            self.assertRegex(a.error["message"], rf"sample {at} \([0-9.]+ s\) is not a finite number")

    def test_an_hour_of_nothing(self):
        """Digital silence. The detector finds no speech, so the model is asked, as openai-whisper does: it says a word or
        two of each half minute."""
        silence = io.BytesIO()
        with soundfile.SoundFile(silence, "w", 8000, 1, "PCM_16", format="FLAC") as f:
            for _ in range(60):
                f.write(numpy.zeros(60 * 8000))
        a = self.ask(silence.getvalue(), filename="hour.flac")
        self.assertEqual(a.status, 200, a.body)
        answer = strict(a.body)
        self.assertAlmostEqual(answer["duration"], 3600, 0)
        self.assertLess(len(answer["text"].split()), 3 * 3600 / 30)
        self.assertTrue(all(map(math.isfinite, numbers(answer))))
        self.assertLessEqual(answer["segments"][-1]["end"] if answer["segments"] else 0, 3600)


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
