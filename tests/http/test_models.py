# SPDX-License-Identifier: MIT
"""Several models in one daemon: chosen by requests, under a budget that holds only one of them, swapped under load."""

import concurrent.futures
import json
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from daemon import BIN, MODELS, RECORDINGS, Daemon, need_model, quiet, until, without_quarantine
from websockets.sync.client import connect

NAMES = "tiny.en", "base"


def sound():
    found = RECORDINGS / "jfk.flac"
    return found.read_bytes() if found.exists() else quiet(5)


def state(d, name):
    return d.get(f"/v1/models/{name}").json["sotto"]


def metric(d, name):
    for line in d.get("/metrics").body.decode().splitlines():
        if line.startswith(name + "{"):
            return float(line.split()[-1])
    raise AssertionError(f"no {name}")


def ask(d, model, audio=None):
    return d.post(sound() if audio is None else audio, fields=[("model", model), ("temperature_inc", "0"), ("language", "en")])


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.texts, cls.bytes = {}, {}
        for name in NAMES:
            with Daemon(model=name) as d:
                cls.texts[name] = ask(d, name).json["text"]
                cls.bytes[name] = state(d, name)["bytes"]
                d.stop()

    def daemon(self, *more, first="tiny.en"):
        other = next(n for n in NAMES if n != first)
        return Daemon("--model", str(MODELS / other), *more, model=first)

    def one_at_a_time(self):
        """A budget that holds either model and not both."""
        return str(max(self.bytes.values()) + min(self.bytes.values()) // 2)

    def test_a_request_chooses(self):
        with self.daemon() as d:
            self.assertEqual([m["id"] for m in d.get("/v1/models").json["data"]], list(NAMES))
            for name in NAMES:
                self.assertEqual(ask(d, name).json["text"], self.texts[name])
                self.assertEqual(state(d, name)["state"], "loaded")
            self.assertEqual(ask(d, "whisper-1").json["text"], self.texts["tiny.en"])
            self.assertEqual(d.quick(sound()).json["text"], self.texts["tiny.en"])
            a = ask(d, "small")
            self.assertEqual((a.status, a.error["code"]), (404, "model_not_found"))
            self.assertIn("`tiny.en`, `base`", a.error["message"])
            self.assertEqual(d.get("/v1/models/small").status, 404)
            # What the one knows and the other does not.
            fields = [("model", "base"), ("language", "de")]
            self.assertEqual(d.post(quiet(1), fields=fields).status, 200)
            self.assertEqual(d.post(quiet(1), fields=[("model", "tiny.en"), ("language", "de")]).status, 400)
            self.assertEqual(d.post(quiet(1), "/v1/audio/translations", fields=[("model", "tiny.en")]).status, 400)
            self.assertEqual(d.post(quiet(1), "/v1/audio/translations", fields=[("model", "base")]).status, 200)
            report = d.get("/v1/report").json
            self.assertEqual(set(report["models"]), set(NAMES))
            text = d.get("/metrics").body.decode()
            for name in NAMES:
                self.assertIn(f'sotto_model_loaded{{model="{name}"}} 1\n', text)
            self.assertEqual(d.stop(), 0)

    def test_a_budget_that_holds_one(self):
        with self.daemon("--memory-budget", self.one_at_a_time(), "--slots", "4") as d:
            self.assertEqual({state(d, n)["state"] for n in NAMES}, {"loaded", "unloaded"})
            for i in range(6):
                name = NAMES[i % 2]
                self.assertEqual(ask(d, name).json["text"], self.texts[name])
                self.assertEqual(state(d, name)["state"], "loaded")
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                wanted = [NAMES[i * 7 % 3 % 2] for i in range(24)]
                got = list(pool.map(lambda name: ask(d, name), wanted))
            for name, a in zip(wanted, got):
                self.assertEqual((a.status, a.json["text"]), (200, self.texts[name]))
            for name in NAMES:
                self.assertGreaterEqual(state(d, name)["loads"], 4)
                self.assertGreater(state(d, name)["load_seconds"], 0)
                self.assertEqual(state(d, name)["in_use"], 0)
            self.assertLessEqual(metric(d, "sotto_weights_bytes_most"), int(self.one_at_a_time()))
            self.assertEqual(d.stop(), 0)

    def test_memory_is_given_back(self):
        """Weights are mapped files where they are prepacked; heap and maps both end with a model."""
        with without_quarantine(), self.daemon("--memory-budget", self.one_at_a_time()) as d:
            ask(d, "base")
            ask(d, "tiny.en")
            before = d.memory()
            for _ in range(10):
                self.assertEqual(ask(d, "base", quiet(1)).status, 200)
                self.assertEqual(ask(d, "tiny.en", quiet(1)).status, 200)
            self.assertLess(d.memory() - before, 24 << 20)

    def test_a_swap_under_load_fails_nobody(self):
        with self.daemon(first="base") as d:
            stop, answers = threading.Event(), []

            def client():
                while not stop.is_set():
                    answers.append(ask(d, "tiny.en", quiet(1)).status)

            clients = [threading.Thread(target=client) for _ in range(4)]
            for c in clients:
                c.start()
            for _ in range(8):
                self.assertIn(d.request("POST", "/v1/models/tiny.en/unload").status, (200, 202))
                time.sleep(0.15)
                self.assertIn(d.request("POST", "/v1/models/tiny.en/load").status, (200, 202))
                time.sleep(0.15)
            stop.set()
            for c in clients:
                c.join()
            self.assertGreater(len(answers), 8)
            self.assertEqual(set(answers), {200})
            self.assertGreater(state(d, "tiny.en")["loads"], 1)

    def test_a_model_that_drains_holds_up_no_other(self):
        with self.daemon("--slots", "4") as d, concurrent.futures.ThreadPoolExecutor(2) as pool:
            began = time.monotonic()
            long = pool.submit(ask, d, "tiny.en", quiet(1800))
            self.assertTrue(until(lambda: state(d, "tiny.en")["in_use"] == 1))
            self.assertEqual(d.request("POST", "/v1/models/tiny.en/unload").status, 202)
            waits = pool.submit(ask, d, "tiny.en")
            self.assertTrue(d.wait_for(lambda h: h["running"] == 2))
            self.assertEqual(ask(d, "base").json["text"], self.texts["base"])
            if long.done():  # only a machine that is through with half an hour of sound at once tells nothing
                self.assertLess(time.monotonic() - began, 3, "base waited for what tiny.en was at")
            self.assertEqual(waits.result().json["text"], self.texts["tiny.en"])
            self.assertEqual(long.result().status, 200)
            self.assertEqual(state(d, "tiny.en")["loads"], 2)

    def test_the_only_model_is_swapped_too(self):
        """What slots keep of a model from one recording to the next goes with it."""
        with Daemon("--slots", "2") as d:
            for _ in range(3):
                self.assertEqual(ask(d, "tiny.en").json["text"], self.texts["tiny.en"])
                self.assertIn(d.request("POST", "/v1/models/tiny.en/unload").status, (200, 202))
                self.assertTrue(until(lambda: state(d, "tiny.en")["state"] == "unloaded"))
            self.assertEqual(d.get("/metrics").status, 200)
            self.assertEqual(ask(d, "tiny.en").json["text"], self.texts["tiny.en"])
            self.assertEqual(d.stop(), 0)

    def test_an_administrator_loads_and_unloads(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = Path(folder) / "keys"
            keys.write_text("sk-a boss admin\nsk-b clerk\n")
            boss, clerk = ({"Authorization": f"Bearer sk-{k}"} for k in "ab")
            with self.daemon("--api-key-file", str(keys)) as d:
                post = lambda path, headers: d.request("POST", path, headers=headers)
                look = lambda: d.request("GET", "/v1/models/base", headers=clerk).json["sotto"]["state"]
                for what in "load", "unload":
                    a = post(f"/v1/models/base/{what}", clerk)
                    self.assertEqual((a.status, a.error["code"]), (403, "forbidden"))
                    self.assertEqual(post(f"/v1/models/small/{what}", boss).status, 404)
                    self.assertEqual(post(f"/v1/models/base/{what}", {}).status, 401)
                self.assertEqual(post("/v1/models/base/load", boss).status, 200)
                self.assertIn(post("/v1/models/base/unload", boss).status, (200, 202))
                self.assertTrue(until(lambda: look() == "unloaded"))
                self.assertEqual(post("/v1/models/base/unload", boss).status, 200)
                self.assertIn(post("/v1/models/base/load", boss).json["sotto"]["state"], ("loading", "loaded"))
                self.assertTrue(until(lambda: look() == "loaded"))
                # whisper.cpp's way: the model of /inference
                form = lambda headers: d.post(None, "/load", fields=[("model", "base")], headers=headers)
                self.assertEqual(form(clerk).status, 403)
                self.assertEqual(form(boss).status, 200)
                said = d.post(sound(), "/inference", fields=[("temperature_inc", "0"), ("language", "en")], headers=clerk)
                self.assertEqual(" ".join(said.json["text"].split()), self.texts["base"].strip())
            keys.write_text("sk-a boss chief\n")
            self.refused("KEY NAME admin", "--api-key-file", str(keys))

    def test_idle_models_leave(self):
        with self.daemon("--model-idle", "1") as d:
            self.assertTrue(until(lambda: {state(d, n)["state"] for n in NAMES} == {"unloaded"}))
            self.assertEqual(d.get("/v1/report").status, 200)
            self.assertEqual(ask(d, "base").json["text"], self.texts["base"])
            self.assertEqual(state(d, "base")["loads"], 2)

    def test_a_live_stream_keeps_its_model(self):
        if not (MODELS / "silero-vad").exists():
            self.skipTest("models/silero-vad is not here")
        with self.daemon("--memory-budget", self.one_at_a_time()) as d:
            with connect(f"ws://127.0.0.1:{d.port}/v1/captions?model=base") as ws:
                self.assertEqual(json.loads(ws.recv())["model"], "base")
                a = ask(d, "tiny.en")
                self.assertEqual((a.status, a.error["code"]), (503, "model_busy"), a.body)
                self.assertIn("Retry-After", a.headers)
                self.assertEqual(ask(d, "base").json["text"], self.texts["base"])
            self.assertTrue(until(lambda: state(d, "base")["in_use"] == 0))
            self.assertEqual(ask(d, "tiny.en").json["text"], self.texts["tiny.en"])

    def refused(self, words, *arguments):
        done = subprocess.run([BIN / "sottod", "--model", MODELS / "tiny.en", "--listen", "127.0.0.1:0", *arguments],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(words, done.stderr)

    def test_what_cannot_be_served_is_told_at_the_start(self):
        self.refused("--memory-budget", "--memory-budget", "1M")
        self.refused("two models are called tiny.en", "--model", str(MODELS / "tiny.en"))
        self.refused("none-such", "--model", "none-such")


if __name__ == "__main__":
    for needed in NAMES:
        need_model(needed)
    unittest.main()
