# SPDX-License-Identifier: MIT
"""bench/soak for half a minute: many clients, a third of them misbehaving; and that it sees mixed-up answers."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("SOTTO_SOURCE", Path(__file__).resolve().parents[2]))
for folder in "bench", "tests/http":
    sys.path.insert(0, str(SOURCE / folder))

from daemon import BIN, MODELS, Daemon, need_model  # noqa: E402

SPEECH = SOURCE.parent / "shared/speech/dev"
WAYS = {"half upload", "leaves the queue", "no http", "leaves a stream", "no form", "drips a body", "no audio",
        "half a recording", "drips a head"}
QUEUE = 4


@unittest.skipUnless(SPEECH.is_dir(), "needs the recordings in ../shared")
class Soak(unittest.TestCase):
    def test_half_a_minute(self):
        with tempfile.TemporaryDirectory() as folder:
            figures = Path(folder) / "figures.json"
            # Memory grows until every slot has seen its longest recording: half a minute is too short for 5 %.
            done = subprocess.run(
                [sys.executable, SOURCE / "bench/soak", "--seconds", "30", "--clients", "16", "--recordings", "8",
                 "--queue", str(QUEUE), "--growth", "30", "--idle-timeout", "2", "--model", MODELS / "tiny.en",
                 "--bin", BIN, "--json", figures],
                capture_output=True, text=True, timeout=1200, check=False)  # fmt: skip
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            said = json.loads(figures.read_text())
        self.assertEqual((said["wrong"], said["faults"]), (0, []))
        self.assertEqual((said["clients"], said["misbehaving"], said["recordings"]), (16, 5, 8))
        self.assertGreaterEqual(said["answers"], 11)
        self.assertLessEqual(said["queue_deepest"], QUEUE)
        self.assertLessEqual(said["descriptors"]["after"], said["descriptors"]["before"])
        self.assertGreater(said["descriptors"]["most"], said["descriptors"]["before"])
        self.assertGreaterEqual(len(WAYS & set(said["misbehaviour"])), 7)

    def test_mixed_up_answers_are_seen(self):
        loader = importlib.machinery.SourceFileLoader("soak", str(SOURCE / "bench/soak"))
        soak = importlib.util.module_from_spec(importlib.util.spec_from_loader("soak", loader))
        loader.exec_module(soak)
        fields = {"language": "en", "temperature": "0"}
        with Daemon() as d:
            clips = [c for c in soak.audio.labelled("dev") if 3 <= c.seconds <= 6][:3]
            probe = soak.Soak(d.port, clips, None, fields, soak.FORMATS)
            texts = [soak.text_of("json", probe.ask(0, clip, "json")[2]) for clip in clips]
            self.assertEqual(len(set(texts)), 3)
            for references, wrong in (texts, False), (texts[1:] + texts[:1], True):
                load = soak.Soak(d.port, clips, references, fields, soak.FORMATS)
                load.run(1, 3, 0)
                self.assertTrue(load.latencies)
                self.assertEqual(len(load.faults), len(load.latencies) if wrong else 0, load.faults)
            self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
