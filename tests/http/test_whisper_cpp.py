# SPDX-License-Identifier: MIT
"""POST /inference and /load as whisper.cpp's server has them."""

import unittest

from daemon import MODELS, RECORDINGS, Daemon, multipart, need_model, quiet

CLIP = quiet(0.5)


class WhisperCpp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.d = Daemon()
        cls.addClassCleanup(cls.d.finish)
        path = RECORDINGS / "jfk.flac"
        cls.jfk = path.read_bytes() if path.exists() else None

    def ask(self, file=None, **fields):
        if file is None:
            file = self.jfk or self.skipTest("needs the recordings in ../shared")
        return self.d.post(file, "/inference", [("temperature", "0.0"), *fields.items()])

    def load(self, *fields):
        body, kind = multipart(fields, None)
        return self.d.request("POST", "/load", body, {"Content-Type": kind})

    def refused(self, answer, status, param, code):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual((answer.error["param"], answer.error["code"]), (param, code))

    def test_formats(self):
        plain = self.d.post(self.jfk).json["text"] if self.jfk else ""
        self.assertEqual(self.ask().json["text"], plain)
        self.assertEqual(self.ask(response_format="json", temperature_inc="0.2").json["text"], plain)
        self.assertEqual(self.ask(response_format="text").body.decode().split(), plain.split())
        self.assertRegex(self.ask(response_format="srt").body.decode(), r"^1\n00:00:0\d,\d{3} --> ")
        self.assertTrue(self.ask(response_format="vtt").body.startswith(b"WEBVTT\n\n"))

    def test_verbose_json(self):
        v = self.ask(response_format="verbose_json", language="auto").json
        self.assertEqual((v["task"], v["language"], v["detected_language"]), ("transcribe", "english", "english"))
        self.assertEqual(v["detected_language_probability"], 1)
        self.assertAlmostEqual(v["duration"], 11, delta=0.05)
        words = [w for s in v["segments"] for w in s["words"]]
        self.assertEqual("".join(w["word"] for w in words).strip(), v["text"])
        self.assertLessEqual({"start", "end", "t_dtw", "probability"}, set(words[0]))
        self.assertLessEqual(
            {"id", "text", "start", "end", "tokens", "temperature", "avg_logprob", "no_speech_prob"},
            set(v["segments"][0]),
        )

    def test_offset_and_duration(self):
        v = self.ask(response_format="verbose_json", offset_t="7800").json
        self.assertIn("what you can do for your country", v["text"])
        self.assertNotIn("fellow", v["text"])
        self.assertGreaterEqual(v["segments"][0]["start"], 7.8)
        v = self.ask(response_format="json", duration="5000").json
        self.assertIn("fellow Americans", v["text"])
        self.assertNotIn("country", v["text"])
        self.assertEqual(self.ask(CLIP, offset_t="60000").json["text"], "")
        self.assertIn("country", self.ask(duration="0", offset_t="0").json["text"])

    def test_fields_of_its_web_page(self):
        every = {
            "translate": "false", "best_of": "2", "beam_size": "-1", "max_context": "-1", "max_len": "0",
            "word_thold": "0.01", "entropy_thold": "2.4", "logprob_thold": "-1.0", "no_speech_thold": "0.6",
            "debug_mode": "false", "diarize": "false", "tinydiarize": "false", "split_on_word": "false",
            "no_timestamps": "false", "language": "en", "prompt": "", "suppress_nst": "true", "vad": "true",
            "vad_threshold": "0.5", "offset_n": "0", "audio_ctx": "0", "model": "anything",
        }  # fmt: skip
        self.assertEqual(self.ask(CLIP, **every).status, 200)

    def test_refusals(self):
        for name, value, code in (
            ("response_format", "tsv", "invalid_value"),
            ("language", "klingon", "invalid_value"),
            ("translate", "maybe", "invalid_value"),
            ("offset_t", "soon", "invalid_value"),
            ("offset_t", "-1", "invalid_value"),
            ("max_context", "some", "invalid_value"),
            ("vad_threshold", "2", "invalid_value"),
            ("beam_size", "-2", "invalid_value"),
            ("diarize", "true", "unsupported_parameter"),
            ("audio_ctx", "512", "unsupported_parameter"),
            ("stream", "true", "unknown_parameter"),
        ):
            with self.subTest(field=name, value=value):
                a = self.d.post(CLIP, "/inference", [(name, value)])
                self.assertEqual(a.status, 400, a.body)
                if name != "vad_threshold":
                    self.assertEqual((a.error["param"], a.error["code"]), (name, code))
        self.refused(self.d.post(CLIP, "/inference", [("translate", "true")]), 400, "model", "unsupported_model")
        self.refused(self.d.post(None, "/inference"), 400, "file", "missing_required_parameter")
        self.assertEqual(self.d.get("/inference").status, 405)

    def test_load(self):
        for name in "tiny.en", "default":
            a = self.load(("model", name))
            self.assertEqual((a.status, a.body), (200, b"Load was successful!"))
        self.refused(self.load(), 400, "model", "missing_required_parameter")
        for name in "large-v9", "../models/tiny.en", str(MODELS / "base"), "/etc/passwd", ".", "..", "CMakeLists.txt":
            with self.subTest(name=name):
                self.refused(self.load(("model", name)), 404, "model", "model_not_found")
        if (MODELS / "base").exists():
            self.refused(self.load(("model", "base")), 501, "model", "not_implemented")
        self.refused(self.load(("modell", "tiny.en")), 400, "modell", "unknown_parameter")
        body, kind = multipart([("model", "tiny.en")], b"x")
        a = self.d.request("POST", "/load", body, {"Content-Type": kind})
        self.refused(a, 400, "file", "unknown_parameter")
        self.assertEqual(self.d.health()["status"], "ok")


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
