# SPDX-License-Identifier: MIT
"""Long recordings over HTTP: cut into parts, or not."""

import unittest

from daemon import MODELS, RECORDINGS, Daemon, need_model, quiet, word_edits


def recording(name):
    path = RECORDINGS / name
    if not path.exists():
        raise unittest.SkipTest("needs the recordings in ../shared")
    return path.read_bytes()


class Parts(unittest.TestCase):
    """Recordings of more than 30 s are cut where nobody speaks, with models/silero-vad there."""

    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(*cls.arguments)
        cls.addClassCleanup(cls.d.finish)

    def ask(self, file, *fields):
        a = self.d.post(file, fields=[("response_format", "verbose_json"), ("temperature_inc", "0"), *fields])
        self.assertEqual(a.status, 200, a.body)
        return a.json

    def check_times(self, answer):
        last = 0
        for s in answer["segments"]:
            self.assertLessEqual(last, s["start"])
            self.assertLessEqual(s["start"], s["end"])
            last = s["end"]
            for w in s.get("words", ()):
                self.assertLessEqual(s["start"] - 0.011, w["start"])
                self.assertLessEqual(w["end"], s["end"] + 0.011)
        self.assertLessEqual(last, answer["duration"])
        self.assertEqual([s["id"] for s in answer["segments"]], list(range(len(answer["segments"]))))

    def test_long_recording(self):
        if not (MODELS / "silero-vad").exists():
            self.skipTest(f"silero-vad is not in {MODELS}")
        cities = recording("two_cities.wav")
        cut, whole = self.ask(cities), self.ask(cities, ("sequential", "true"))
        self.assertGreaterEqual(cut["sotto"]["parts"], 2)
        self.assertEqual(whole["sotto"]["parts"], 0)
        self.check_times(cut)
        self.assertEqual("".join(s["text"] for s in cut["segments"]).strip(), cut["text"])
        edits = word_edits(cut["text"], whole["text"])
        self.assertLessEqual(edits, len(whole["text"].split()) // 10, (cut["text"], whole["text"]))
        timed = self.ask(cities, ("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment"))
        self.check_times(timed)
        starts = [w["start"] for w in timed["words"]]
        self.assertEqual(starts, sorted(starts))
        self.assertGreater(starts[-1], 35)

    def test_short_recording(self):
        self.assertEqual(self.ask(recording("jfk.flac"))["sotto"]["parts"], 0)

    def test_long_silence_is_heard(self):
        answer = self.ask(quiet(45))
        self.assertEqual(answer["sotto"]["parts"], 0)
        self.assertGreaterEqual(answer["sotto"]["windows"], 2)


class NoParts(unittest.TestCase):
    def test_none_is_no_detector(self):
        cities = recording("two_cities.wav")
        with Daemon("--vad", "none") as d:
            a = d.quick(cities, response_format="verbose_json")
            self.assertEqual(a.status, 200, a.body)
            self.assertEqual(a.json["sotto"]["parts"], 0)
            self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
