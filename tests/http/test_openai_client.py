# SPDX-License-Identifier: MIT
"""OpenAI's own Python client against the real daemon: what it sends is understood, what it gets it can read."""

import io
import sys
import unittest

from daemon import MODELS, RECORDINGS, Daemon, need_model, quiet

try:
    import openai
except ImportError:
    print("skipped: the openai package is not installed")
    sys.exit(77)

WORDS = "what your country can do for you"


class Client(unittest.TestCase):
    model = "tiny.en"

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(model=cls.model)
        cls.addClassCleanup(cls.d.finish)
        cls.api = openai.OpenAI(base_url=cls.d.url + "/v1", api_key="none", max_retries=0, timeout=300)
        cls.addClassCleanup(cls.api.close)

    def jfk(self):
        path = RECORDINGS / "jfk.flac"
        if not path.exists():
            self.skipTest("needs the recordings in ../shared")
        return path

    def create(self, file=None, **more):
        return self.api.audio.transcriptions.create(model=self.model, file=file or self.jfk(), **more)


class Transcriptions(Client):
    def test_json(self):
        self.assertIn(WORDS, self.create().text)

    def test_file_forms(self):
        path = self.jfk()
        with path.open("rb") as f:
            self.assertIn(WORDS, self.create(f).text)
        self.assertIn(WORDS, self.create(("speech.flac", path.read_bytes())).text)

    def test_bare_formats(self):
        self.assertIn(WORDS, self.create(response_format="text"))
        self.assertIn(" --> ", self.create(response_format="srt"))
        self.assertTrue(self.create(response_format="vtt").startswith("WEBVTT"))

    def test_verbose_json(self):
        v = self.create(response_format="verbose_json", language="en", prompt="A speech.", temperature=0)
        self.assertEqual(v.language, "english")
        self.assertAlmostEqual(float(v.duration), 11, delta=0.05)
        self.assertEqual("".join(s.text for s in v.segments).strip(), v.text)
        self.assertTrue(v.segments[0].tokens)
        self.assertIsNone(v.words)

    def test_granularities(self):
        for wanted in ["word"], ["segment"], ["word", "segment"]:
            v = self.create(response_format="verbose_json", timestamp_granularities=wanted)
            self.assertEqual(bool(v.words), "word" in wanted)
            self.assertTrue(v.segments, wanted)
            for w in v.words or ():
                self.assertLessEqual(w.start, w.end)
                self.assertEqual(w.word, w.word.strip())

    def test_logprobs(self):
        t = self.create(include=["logprobs"])
        self.assertEqual(bytes(int(b) for p in t.logprobs for b in p.bytes).decode().strip(), t.text)
        self.assertEqual("".join(p.token for p in t.logprobs).strip(), t.text)
        self.assertLess(max(p.logprob for p in t.logprobs), 0)
        self.assertGreater(sum(p.logprob for p in t.logprobs) / len(t.logprobs), -1)
        self.assertIsNone(self.create().logprobs)
        *deltas, done = self.create(include=["logprobs"], stream=True)
        key = lambda p: (p.token, p.logprob, p.bytes)  # noqa: E731
        self.assertEqual([key(p) for p in done.logprobs], [key(p) for p in t.logprobs])
        self.assertEqual([key(p) for d in deltas for p in d.logprobs], [key(p) for p in t.logprobs])

    def test_chunking_strategy(self):
        for strategy in "auto", {"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 300}:
            self.assertIn(WORDS, self.create(chunking_strategy=strategy).text)

    def test_extra_fields(self):
        self.assertTrue(self.create(extra_body={"beam_size": "2", "seed": "1"}).text)

    def test_models(self):
        self.assertEqual([m.id for m in self.api.models.list()], ["tiny.en"])
        self.assertEqual(self.api.models.retrieve("tiny.en").object, "model")
        with self.assertRaises(openai.NotFoundError):
            self.api.models.retrieve("gpt-4o-transcribe")

    def test_bad_requests(self):
        clip = ("clip.wav", quiet(1))
        for more in (
            {"response_format": "diarized_json"},
            {"language": "xx"},
            {"temperature": 3},
            {"include": ["logprobs"], "response_format": "text"},
            {"include": ["tokens"]},
            {"chunking_strategy": {"type": "server_vad", "threshold": 2}},
            {"timestamp_granularities": ["word"]},
        ):
            with self.subTest(**more), self.assertRaises(openai.BadRequestError) as raised:
                self.create(clip, **more)
            error = raised.exception
            self.assertEqual(error.type, "invalid_request_error")
            self.assertEqual(error.param, next(iter(more)))
            self.assertTrue(error.request_id)

    def test_bad_file(self):
        with self.assertRaises(openai.BadRequestError) as raised:
            self.create(("notes.txt", b"not audio"))
        self.assertEqual(raised.exception.param, "file")
        with self.assertRaises(openai.BadRequestError):
            self.create(("empty.wav", io.BytesIO()))

    def test_unknown_model(self):
        with self.assertRaises(openai.NotFoundError) as raised:
            self.api.audio.transcriptions.create(model="gpt-4o-transcribe", file=("clip.wav", quiet(1)))
        self.assertEqual(raised.exception.code, "model_not_found")
        self.assertEqual(raised.exception.param, "model")

    def test_translation_by_an_english_model(self):
        with self.assertRaises(openai.BadRequestError):
            self.api.audio.translations.create(model="tiny.en", file=("clip.wav", quiet(1)))

    def test_shutting_down(self):
        with Daemon() as d, openai.OpenAI(base_url=d.url + "/v1", api_key="none", max_retries=0) as api:
            self.assertTrue(api.models.list().data)
            d.stop()
            with self.assertRaises(openai.APIConnectionError):
                api.models.list()


class Translations(Client):
    model = "base"

    @classmethod
    def setUpClass(cls):
        if not (MODELS / "base").exists():
            raise unittest.SkipTest(f"model base is not in {MODELS}")
        super().setUpClass()

    def test_translations(self):
        translate = self.api.audio.translations.create
        self.assertIn(WORDS, translate(model="base", file=self.jfk()).text)
        v = translate(model="base", file=self.jfk(), response_format="verbose_json")
        self.assertEqual((v.language, v.task), ("english", "translate"))
        self.assertIn(WORDS, translate(model="base", file=self.jfk(), response_format="text"))

    def test_detected_language(self):
        self.assertEqual(self.create(response_format="verbose_json").language, "english")


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
