# SPDX-License-Identifier: MIT
"""Every reply says how much of the speech is in its segments, and which stretches are not."""

import re
import unittest

from daemon import RECORDINGS, Daemon, need_model, quiet

# With these every window is taken for silence, however clearly someone speaks in it.
DEAF = [("no_speech_threshold", "0"), ("logprob_threshold", "0"), ("temperature_inc", "0")]


class Coverage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        path = RECORDINGS / "jfk.flac"
        if not path.exists():
            raise unittest.SkipTest("needs the recordings in ../shared")
        cls.jfk = path.read_bytes()
        cls.d = Daemon()
        cls.addClassCleanup(cls.d.finish)

    def counter(self, name):
        return float(re.search(rf"^sotto_{name}_total{{.*}} (\S+)$", self.d.get("/metrics").body.decode(), re.M)[1])

    def test_all_is_covered(self):
        before = self.counter("speech_seconds")
        for kind in "json", "verbose_json":
            c = self.d.quick(self.jfk, response_format=kind).json["coverage"]
            self.assertTrue(7 < c["speech_seconds"] < 11, c)
            # a timestamp may fall a few hundredths inside of what the detector took for speech
            self.assertAlmostEqual(c["covered_seconds"], c["speech_seconds"], delta=0.15)
            self.assertLessEqual(c["covered_seconds"], c["speech_seconds"])
            self.assertEqual((c["gaps_decoded"], c["uncovered"]), (0, []))
        a = self.d.quick(self.jfk, response_format="srt")
        told = f"speech={c['speech_seconds']:.2f}, covered={c['covered_seconds']:.2f}, uncovered=0"
        self.assertEqual(a.headers["X-Speech-Coverage"], told)
        self.assertNotIn("X-Speech-Coverage", self.d.quick(self.jfk).headers)
        self.assertAlmostEqual(self.counter("speech_seconds"), before + 4 * c["speech_seconds"], delta=0.01)

    def test_a_gap_is_decoded_again_and_told(self):
        before, left = self.counter("gaps_decoded"), self.counter("gaps_uncovered")
        r = self.d.post(self.jfk, fields=DEAF).json
        c = r["coverage"]
        self.assertEqual((r["text"], c["covered_seconds"]), ("", 0))
        self.assertGreaterEqual(c["gaps_decoded"], 1)
        self.assertEqual(len(c["uncovered"]), c["gaps_decoded"])
        for span in c["uncovered"]:
            self.assertGreaterEqual(span["end"] - span["start"], 1)
        self.assertEqual(self.counter("gaps_decoded"), before + c["gaps_decoded"])
        self.assertEqual(self.counter("gaps_uncovered"), left + len(c["uncovered"]))
        a = self.d.post(self.jfk, fields=[*DEAF, ("response_format", "text")])
        self.assertIn(f"uncovered={len(c['uncovered'])}, {c['uncovered'][0]['start']:.2f}-", a.headers["X-Speech-Coverage"])

    def test_sequential_tells_only(self):
        c = self.d.post(self.jfk, fields=[*DEAF, ("sequential", "true")]).json["coverage"]
        self.assertEqual(c["gaps_decoded"], 0)
        self.assertTrue(c["uncovered"])

    def test_nobody_speaks(self):
        c = self.d.quick(quiet(3)).json["coverage"]
        self.assertEqual((c["speech_seconds"], c["gaps_decoded"], c["uncovered"]), (0, 0, []))

    def test_without_a_voice_detector(self):
        with Daemon("--vad", "none") as d:
            a = d.quick(self.jfk)
            self.assertNotIn("coverage", a.json)
            self.assertEqual(a.json["text"], self.d.quick(self.jfk).json["text"])
            self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
