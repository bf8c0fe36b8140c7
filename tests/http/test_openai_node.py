# SPDX-License-Identifier: MIT
"""OpenAI's Node client against the real daemon. npm fetches it, pinned by node/package-lock.json, into the build."""

import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import numpy
import soundfile
from daemon import ANSWER_SECONDS, BIN, MODELS, RECORDINGS, Daemon, need_model

HERE = Path(__file__).resolve().parent / "node"
FOLDER = BIN.parent / "openai-node"
WORDS = "what your country can do for you"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def prepare():
    """Fetches the client once for each lock file."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        skip(f"{'npm' if node else 'node'} is not installed")
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "client.mjs", FOLDER)
    stamp, lock = FOLDER / ".complete", HERE / "package-lock.json"
    if stamp.exists() and filecmp.cmp(stamp, lock, shallow=False):
        return
    shutil.copy(HERE / "package.json", FOLDER)
    shutil.copy(lock, FOLDER)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        shutil.copy(lock, stamp)
        return
    # What npm says without a network or through a proxy that refuses; anything else is a fault of ours.
    if any(code in done.stderr for code in ("ENOTFOUND", "EAI_AGAIN", "ECONN", "ETIMEDOUT", "ERR_SOCKET", "ENETUNREACH",
                                            "EHOSTUNREACH", "E403", "E502", "E503", "E504")):
        skip("the npm registry, where OpenAI's Node client comes from, cannot be reached")
    print(done.stderr)
    sys.exit(1)


class Client(unittest.TestCase):
    model = "tiny.en"

    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(model=cls.model)
        cls.addClassCleanup(cls.d.finish)

    def cancelled(self):
        return int(re.search(r'outcome="cancelled"} (\d+)', self.d.get("/metrics").body.decode())[1])

    def run_node(self, what, file="jfk.flac"):
        path = Path(file) if Path(file).is_absolute() else RECORDINGS / file
        if not path.exists():
            self.skipTest("needs the recordings in ../shared")
        command = ["node", "client.mjs", self.d.url + "/v1", self.model, str(path), what]
        done = subprocess.run(command, cwd=FOLDER, env={**os.environ, "NODE_NO_WARNINGS": "1"}, text=True,
                              capture_output=True, timeout=ANSWER_SECONDS, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def ask(self, what, **more):
        got = self.run_node(what, **more)
        self.assertNotIn("error", got)
        return got["answer"]

    def error(self, what):
        got = self.run_node(what)
        self.assertIn("error", got)
        self.assertTrue(got["error"]["requestID"])
        return got["error"]


class Transcriptions(Client):
    def test_json(self):
        t = self.ask("json")
        self.assertIn(WORDS, t["text"])
        self.assertEqual(t["usage"], {"type": "duration", "seconds": 11})
        self.assertEqual(self.ask("buffer")["text"], t["text"])
        self.assertEqual(self.ask("vad")["text"], t["text"])

    def test_bare_formats(self):
        self.assertIn(WORDS, self.ask("text"))
        self.assertIn(" --> ", self.ask("srt"))

    def test_words(self):
        v = self.ask("words")
        self.assertEqual((v["task"], v["language"]), ("transcribe", "english"))
        self.assertAlmostEqual(float(v["duration"]), 11, delta=0.05)
        self.assertEqual("".join(s["text"] for s in v["segments"]).strip(), v["text"])
        self.assertEqual([w["word"].strip(",.") for w in v["words"]], [w.strip(",.") for w in v["text"].split()])
        for before, after in zip(v["words"], v["words"][1:]):
            self.assertLessEqual(before["start"], before["end"])
            self.assertLessEqual(before["end"], after["start"] + 1e-6)

    def test_stream(self):
        *deltas, done = self.ask("stream")
        self.assertTrue(deltas)
        self.assertEqual({d["type"] for d in deltas}, {"transcript.text.delta"})
        self.assertEqual(done["type"], "transcript.text.done")
        plain = self.ask("logprobs")
        self.assertEqual("".join(d["delta"] for d in deltas), plain["text"])
        self.assertEqual(done["text"], plain["text"])
        self.assertEqual([p["token"] for p in done["logprobs"]], [p["token"] for p in plain["logprobs"]])
        self.assertEqual([p["token"] for d in deltas for p in d["logprobs"]], [p["token"] for p in plain["logprobs"]])
        self.assertGreater(done["usage"]["output_tokens"], 10)

    def test_leaving_a_stream(self):
        jfk = RECORDINGS / "jfk.flac"
        if not jfk.exists():
            self.skipTest("needs the recordings in ../shared")
        samples, rate = soundfile.read(jfk, dtype="int16", always_2d=True)
        long = FOLDER / "long.wav"
        soundfile.write(long, numpy.tile(samples[:, 0], 60), rate)
        self.addCleanup(long.unlink)
        before = self.cancelled()
        self.assertEqual(self.ask("leave", file=long)["type"], "transcript.text.delta")
        self.assertTrue(self.d.wait_for(lambda _: self.cancelled() == before + 1, 5), "kept for a client that left")
        self.assertEqual(self.d.health()["running"], 0)

    def test_models(self):
        self.assertEqual([m["id"] for m in self.ask("models")], ["tiny.en"])
        self.assertEqual(self.ask("model")["object"], "model")
        missing = self.error("missing")
        self.assertEqual((missing["name"], missing["status"]), ("NotFoundError", 404))

    def test_errors(self):
        e = self.error("badFormat")
        self.assertEqual((e["name"], e["status"]), ("BadRequestError", 400))
        self.assertEqual((e["type"], e["code"]), ("invalid_request_error", "invalid_value"))
        self.assertEqual(e["param"], "response_format")
        e = self.error("badFile")
        self.assertEqual((e["status"], e["code"], e["param"]), (400, "invalid_file", "file"))
        e = self.error("translation")  # of an English model
        self.assertEqual(e["status"], 400)
        self.assertIn("tiny.en", e["message"])


class Translations(Client):
    model = "base"

    @classmethod
    def setUpClass(cls):
        if not (MODELS / "base").exists():
            raise unittest.SkipTest(f"model base is not in {MODELS}")
        super().setUpClass()

    def test_translations(self):
        self.assertIn(WORDS, self.ask("translation")["text"])
        v = self.ask("translationWords")
        self.assertEqual((v["language"], v["task"]), ("english", "translate"))


if __name__ == "__main__":
    need_model("tiny.en")
    prepare()
    unittest.main()
