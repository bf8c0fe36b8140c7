# SPDX-License-Identifier: MIT
"""What operators see: /metrics by Prometheus' own parser, the Grafana dashboard against it, /ready, JSON logs."""

import concurrent.futures
import json
import re
import time
import unittest

from prometheus_client.parser import text_string_to_metric_families

from daemon import SOURCE, Daemon, multipart, need_model, quiet

CLIP = quiet(1)
LONG = quiet(1800)
PATH = "/v1/audio/transcriptions"
PARTS = {
    *("conv", "encoder_positions", "encoder_attention", "encoder_mlp", "encoder_norm", "token_embedding"),
    *("decoder_positions", "decoder_self_attention", "decoder_cross_attention", "decoder_mlp", "decoder_norm"),
}


def read(d):
    """({family: type}, {sample: {labels: value}}); labels as a frozen set of pairs, without the model."""
    a = d.get("/metrics")
    assert a.status == 200 and a.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    kinds, samples = {}, {}
    for family in text_string_to_metric_families(a.body.decode()):
        assert family.name not in kinds, f"{family.name} is there twice"
        assert family.documentation.endswith("."), family.name
        kinds[family.name] = family.type
        for s in family.samples:
            key = frozenset((k, v) for k, v in s.labels.items() if k != "model")
            assert key not in samples.setdefault(s.name, {}), (s.name, key)
            samples[s.name][key] = s.value
    return kinds, samples


def value(samples, name, **labels):
    return samples.get(name, {}).get(frozenset(labels.items()), 0)


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.d = Daemon("--threads", "1")
        cls.addClassCleanup(cls.d.finish)

    def grown(self, before, name, **labels):
        """By how much, at once or soon: a request is counted when its last byte is out."""
        for _ in range(100):
            by = value(read(self.d)[1], name, **labels) - value(before, name, **labels)
            if by:
                return by
            time.sleep(0.02)
        return 0

    def test_everything_is_there(self):
        kinds, samples = read(self.d)
        for name, kind in {
            "sotto_http_requests": "counter", "sotto_requests": "counter", "sotto_jobs": "gauge", "sotto_audio_seconds": "counter",
            "sotto_stage_seconds": "counter", "sotto_tokens_decoded": "counter", "sotto_fallbacks": "counter",
            "sotto_full_window_retries": "counter", "sotto_batch_size": "gauge", "sotto_real_time_factor": "gauge",
            "sotto_queue_capacity": "gauge", "sotto_parameters": "gauge", "sotto_answer_seconds": "histogram",
            "sotto_queue_seconds": "histogram", "process_resident_memory_bytes": "gauge",
        }.items():
            self.assertEqual(kinds.get(name), kind, name)
        self.assertEqual({dict(k)["part"] for k in samples["sotto_parameters"]}, PARTS)
        self.assertEqual({dict(k)["state"] for k in samples["sotto_jobs"]}, {"running", "queued", "live"})

    def test_a_transcription_is_counted(self):
        before = read(self.d)[1]
        self.assertEqual(self.d.quick(CLIP).status, 200)
        self.assertEqual(self.grown(before, "sotto_http_requests_total", route=PATH, code="200"), 1)
        for name, least, most in (
            ("sotto_audio_seconds_total", 0.99, 1.01), ("sotto_windows_total", 1, 1), ("sotto_tokens_decoded_total", 1, 300),
            ("sotto_batch_passes_total", 1, 300), ("sotto_batch_steps_total", 1, 300),
            ("sotto_http_received_bytes_total", len(CLIP), len(CLIP) + 2000),
            ("sotto_answer_seconds_count", 1, 1), ("sotto_queue_seconds_count", 1, 1),
        ):
            self.assertTrue(least <= self.grown(before, name) <= most, name)
        self.assertGreater(self.grown(before, "sotto_stage_seconds_total", stage="encoder"), 0)
        after = read(self.d)[1]
        took = value(after, "sotto_answer_seconds_sum") - value(before, "sotto_answer_seconds_sum")
        buckets = after["sotto_answer_seconds_bucket"]
        bounds = sorted(buckets, key=lambda k: float(dict(k)["le"]))
        counts = [buckets[k] for k in bounds]
        self.assertEqual(counts, sorted(counts), "buckets are cumulative")
        self.assertEqual(counts[-1], value(after, "sotto_answer_seconds_count"))
        first = next(float(dict(k)["le"]) for k in bounds
                     if buckets[k] > before["sotto_answer_seconds_bucket"][k])
        self.assertLessEqual(took, first)
        self.assertGreater(value(after, "sotto_real_time_factor"), 0)
        self.assertEqual(value(after, "sotto_batch_size"), 1)

    def test_refusals_are_counted(self):
        before = read(self.d)[1]
        self.assertEqual(self.d.post(b"no sound").status, 400)
        self.assertEqual(self.d.get("/nowhere").status, 404)
        self.assertEqual(self.grown(before, "sotto_http_requests_total", route=PATH, code="400"), 1)
        self.assertEqual(self.grown(before, "sotto_http_requests_total", route="none", code="404"), 1)
        self.assertEqual(self.grown(before, "sotto_requests_total", outcome="failed"), 1)

    def test_process(self):
        samples = read(self.d)[1]
        self.assertAlmostEqual(value(samples, "process_resident_memory_bytes") / self.d.memory(), 1, delta=0.1)
        self.assertGreater(value(samples, "process_cpu_seconds_total"), 0)
        self.assertTrue(5 < value(samples, "process_open_fds") < 100)
        self.assertAlmostEqual(value(samples, "process_start_time_seconds"), time.time(), delta=600)

    def test_dashboard(self):
        """Every metric that the dashboard asks for is one of ours, with the labels that it groups by."""
        self.d.quick(CLIP)
        _, samples = read(self.d)
        dashboard = json.loads((SOURCE / "packaging/grafana-dashboard.json").read_text())
        asked = [t["expr"] for p in dashboard["panels"] for t in p["targets"]]
        self.assertGreater(len(asked), 10)
        for expression in asked:
            names = re.findall(r"\b(?:sotto|process)_\w+", expression)
            self.assertTrue(names, expression)
            for name in names:
                self.assertIn(name, samples, expression)
                for label in re.findall(r"by \((\w+)\)", expression):
                    self.assertTrue(all(label in dict(k) for k in samples[name]), (expression, label))
        for panel in dashboard["panels"]:
            for t in panel["targets"]:
                for label in re.findall(r"{{(\w+)}}", t["legendFormat"]):
                    name = re.search(r"\b(?:sotto|process)_\w+", t["expr"])[0]
                    self.assertTrue(any(label in dict(k) for k in samples[name]), (name, label))


class Ready(unittest.TestCase):
    def test_ready(self):
        with Daemon("--threads", "1", "--slots", "1", "--max-queue", "1") as d, \
                concurrent.futures.ThreadPoolExecutor(2) as pool:
            a = d.get("/ready")
            self.assertEqual((a.status, a.json), (200, {"status": "ready"}))
            pool.submit(d.post, LONG)
            self.assertTrue(d.wait_for(lambda h: h["running"] == 1))
            self.assertEqual(d.get("/ready").status, 200)
            pool.submit(d.post, LONG)
            self.assertTrue(d.wait_for(lambda h: h["queued"] == 1))
            a = d.get("/ready")
            self.assertEqual((a.status, a.json), (503, {"status": "full"}))
            self.assertGreaterEqual(int(a.headers["Retry-After"]), 1)
            self.assertEqual(d.get("/health").status, 200)
            d.signal()
            for _ in range(200):
                a = d.get("/ready")
                if a.json["status"] == "draining":
                    break
                time.sleep(0.02)
            self.assertEqual((a.status, a.json["status"]), (503, "draining"))
            d.process.kill()


class Log(unittest.TestCase):
    def test_json(self):
        with Daemon("--threads", "1", "--log-format", "json") as d:
            self.assertEqual(d.request("POST", PATH, *self.form()).status, 200)
            d.get("/a%20b%0Ainjected%22", **{"X-Request-Id": "007"})
            d.get("/health", **{"X-Request-Id": "1.50"})
            self.assertEqual(d.stop(), 0)
            d.reader.join()
            events = [json.loads(line) for line in d.lines]
        self.assertEqual(events[0]["event"], "ready")
        for e in events:
            self.assertRegex(e["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(e["level"], ("info", "error"))
        requests = {e["id"]: e for e in events if e["event"] == "request"}
        self.assertEqual(requests["json-1"]["status"], 200)
        self.assertEqual(requests["json-1"]["route"], PATH)
        self.assertEqual(requests["json-1"]["client"], "127.0.0.1")
        self.assertIsInstance(requests["json-1"]["seconds"], float)
        self.assertEqual((requests["007"]["status"], requests["007"]["route"]), (404, "none"))
        self.assertIn("1.50", requests)
        one = [e["event"] for e in events if e.get("id") == "json-1"]
        self.assertEqual(one, ["queued", "done", "request"])

    @staticmethod
    def form():
        body, kind = multipart([("temperature_inc", "0")], CLIP)
        return body, {"Content-Type": kind, "X-Request-Id": "json-1"}


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
