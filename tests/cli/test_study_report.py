# SPDX-License-Identifier: MIT
"""`sotto study report`: its tables against numpy's computation from the same made-up database."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import unittest
from pathlib import Path

import numpy
from test_client import Case, sotto

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import study_database  # noqa: E402

DRAWS = 20000


def value(text: str) -> float | None:
    return float(text) if text else None


class Report(Case):
    made: tempfile.TemporaryDirectory | None = None

    def make(self) -> tuple[Path, Path]:
        """Copies of a database and its report, which are made once."""
        if not Report.made:
            Report.made = tempfile.TemporaryDirectory(prefix="sotto-study-")
            self.addClassCleanup(Report.made.cleanup)
            self.fill(Path(Report.made.name))
        shutil.copytree(Report.made.name, self.dir, dirs_exist_ok=True)
        return self.dir / "study.sqlite", self.dir / "out"

    def fill(self, folder: Path) -> None:
        database, out = folder / "study.sqlite", folder / "out"
        # Some of each kind: fewer draws to wait for.
        study_database.fill(database, chosen=lambda spec: "drop" not in spec and ".attention" not in spec and "enc:" not in spec)
        self.check(sotto("study", "report", "--database", database, "-o", out), 0)

    def results(self, db: sqlite3.Connection, configuration: int, set_name: str, half: str) -> numpy.ndarray:
        """[utterance, (words, word edits, characters, character edits)]"""
        which = "" if half == "all" else f" AND half = '{half}'"
        rows = db.execute(
            "SELECT r.words, substitutions + deletions + insertions, r.characters, character_edits FROM results AS r "
            "JOIN utterances AS u ON u.set_name = r.set_name AND u.id = r.utterance "
            f"WHERE configuration = ? AND r.set_name = ?{which} ORDER BY id",
            (configuration, set_name),
        ).fetchall()
        return numpy.array(rows, dtype=float).reshape(-1, 4)

    def check_rate(self, row: dict, key: str, edits: numpy.ndarray, words: numpy.ndarray, rng: numpy.random.Generator) -> None:
        self.assertAlmostEqual(row[key], edits.sum() / words.sum(), 8, key)
        drawn = rng.integers(0, len(edits), (DRAWS, len(edits)))
        rates = edits[drawn].sum(1) / words[drawn].sum(1)
        for name, q in (("low", 0.025), ("high", 0.975)):
            # A quantile of 10 000 draws is uncertain by about 2.7 % of a standard deviation (of 20 000, by 1.9 %).
            self.assertAlmostEqual(row[f"{key}_{name}"], numpy.quantile(rates, q), delta=0.18 * rates.std() + 1e-9, msg=f"{key}_{name}")

    def test_rates_are_those_of_numpy(self) -> None:
        path, out = self.make()
        rng, db = numpy.random.default_rng(7), sqlite3.connect(path)
        whole = dict(db.execute("SELECT model, id FROM configurations WHERE spec = 'none'"))
        with open(out / "results.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        pairs = db.execute("SELECT COUNT(*) FROM runs").fetchone()[0]
        self.assertEqual(len(rows), pairs + 2)  # one that could not be made, on either set
        looked = 0
        for text in rows:
            row = {k: value(v) for k, v in text.items() if k not in ("model", "spec", "set", "error", "speed_note", "machine", "build")}
            if text["error"]:
                self.assertIsNone(row["all_wer"])
                continue
            for half in "all", "choose", "report":
                mine = self.results(db, int(text["configuration"]), text["set"], half)
                base = self.results(db, whole[text["model"]], text["set"], half)
                self.assertEqual(row[f"{half}_utterances"], len(mine))
                self.assertEqual(row[f"{half}_words"], mine[:, 0].sum())
                self.check_rate(row, f"{half}_wer", mine[:, 1], mine[:, 0], rng)
                self.check_rate(row, f"{half}_cer", mine[:, 3], mine[:, 2], rng)
                self.check_rate(row, f"{half}_difference", mine[:, 1] - base[:, 1], mine[:, 0], rng)
                if text["spec"] != "none":
                    self.check_p(row[f"{half}_p"], mine[:, 1] - base[:, 1], rng)
                looked += 1
        self.assertEqual(looked, 3 * pairs)

    def check_p(self, p: float, differences: numpy.ndarray, rng: numpy.random.Generator) -> None:
        """Approximate randomisation: signs drawn at random."""
        signs = rng.choice((-1, 1), (DRAWS, len(differences)))
        expected = (1 + (abs((signs * differences).sum(1)) >= abs(differences.sum())).sum()) / (1 + DRAWS)
        self.assertAlmostEqual(p, expected, delta=0.03)

    def test_sizes_and_work(self) -> None:
        path, out = self.make()
        db = sqlite3.connect(path)
        db.row_factory = sqlite3.Row
        rows = json.loads((out / "results.json").read_text())["rows"]
        for row in rows:
            run = db.execute("SELECT * FROM configurations LEFT JOIN runs ON configuration = id AND set_name = ? WHERE id = ?",
                             (row["set"], row["configuration"])).fetchone()  # fmt: skip
            for key in "parameters", "nonzero", "bits", "file_bytes", "resident_bytes", "decoder_steps", "energy_joules", "error":
                self.assertEqual(row[key], run[key], key)
            if row["error"]:
                continue
            self.assertAlmostEqual(row["bits_per_parameter"], run["bits"] / run["parameters"], 6)
            self.assertAlmostEqual(row["audio_seconds_per_second"], run["audio_seconds"] / run["wall_seconds"], 6)
            for key in "multiply_adds", "encoder_multiply_adds", "decoder_multiply_adds":
                self.assertAlmostEqual(row[f"{key}_per_audio_second"] / (run[key] / run["audio_seconds"]), 1, 8)
            # The made-up pruning does as much work as the whole model.
            self.assertEqual(bool(row["speed_note"]), "prune=" in row["spec"], row["spec"])

    def test_speeds_are_compared_on_one_machine(self) -> None:
        path, out = self.make()
        here, there = study_database.MACHINES
        rows = json.loads((out / "results.json").read_text())["rows"]
        db = sqlite3.connect(path)
        speed = {(c, s, m): (wall, cpu) for c, s, m, wall, cpu in db.execute(
            "SELECT configuration, set_name, machine, audio_seconds / wall_seconds, audio_seconds / cpu_seconds FROM runs "
            "UNION ALL SELECT configuration, set_name, machine, audio_seconds / wall_seconds, audio_seconds / cpu_seconds FROM speeds")}  # fmt: skip
        whole = dict(db.execute("SELECT model, id FROM configurations WHERE spec = 'none'"))
        seen = set()
        for row in (r for r in rows if not r["error"]):
            wall, cpu = speed[row["configuration"], row["set"], row["machine"]]
            self.assertEqual(row["build"], "made up")
            self.assertAlmostEqual(row["audio_seconds_per_second"], wall, 6)
            self.assertAlmostEqual(row["audio_seconds_per_core_second"], cpu, 6)
            base = speed.get((whole[row["model"]], row["set"], row["machine"]))
            seen.add((row["machine"], row["set"], base is None))
            if base is None:
                self.assertEqual((row["speed_ratio"], row["core_speed_ratio"]), (None, None), row["spec"])
            else:
                self.assertAlmostEqual(row["speed_ratio"], wall / base[0], 6)
                self.assertAlmostEqual(row["core_speed_ratio"], cpu / base[1], 6)
        self.assertEqual(seen, {(here, "dev", False), (here, "noisy", False), (there, "dev", False), (there, "noisy", True)})

    def test_a_database_of_version_1_has_one_machine(self) -> None:
        path, out = self.make()
        with sqlite3.connect(path) as db:
            study_database.to_version_1(db)
        before = path.read_bytes()
        self.check(sotto("study", "report", "-d", path, "-o", out), 0)
        rows = json.loads((out / "results.json").read_text())["rows"]
        self.assertEqual({r["machine"] for r in rows if not r["error"]}, {study_database.MACHINES[0]})
        self.assertEqual({r["cpu_seconds"] for r in rows}, {None})
        self.assertTrue(all(r["speed_ratio"] for r in rows if not r["error"]))
        self.check(sotto("study", "list", "-d", path), 0)
        self.assertEqual(path.read_bytes(), before)

    def test_json_and_csv_agree(self) -> None:
        _, out = self.make()
        rows = json.loads((out / "results.json").read_text())["rows"]
        with open(out / "results.csv", newline="") as file:
            table = list(csv.DictReader(file))
        self.assertEqual(len(rows), len(table))
        for row, text in zip(rows, table):
            self.assertEqual(list(row), list(text))
            for key, v in row.items():
                if isinstance(v, bool):
                    self.assertEqual(text[key], str(int(v)))
                elif isinstance(v, (int, float)):
                    self.assertEqual(float(text[key]), v)
                else:
                    self.assertEqual(text[key], v or "")

    def test_findings(self) -> None:
        path, out = self.make()
        results, db = json.loads((out / "results.json").read_text()), sqlite3.connect(path)
        rows = results["rows"]
        checked = 0
        for f in results["headline"]:
            mine = [r for r in rows if r["model"] == f["model"] and r["set"] == f["set"] and r["all_wer"] is not None]
            if f["criterion"] == "human":
                self.assertEqual((f["condition"], f["human_wer"], f["set"]), ("LibriSpeech test-other", 0.1269, "dev"))
                wer = {r["configuration"]: self.wer_of_test_other(db, r["configuration"]) for r in mine}
                limit = 0.1269
            else:
                wer = {r["configuration"]: r["choose_wer"] for r in mine}
                limit = next(r for r in mine if r["spec"] == "none")["choose_wer"] + f["margin"]
            fits = [r for r in mine if wer[r["configuration"]] <= limit + 1e-9]
            best = min(fits, key=lambda r: r["file_bytes"])
            self.assertEqual(f["spec"], best["spec"])
            self.assertAlmostEqual(f["choose"]["wer"]["value"], wer[best["configuration"]], 8)
            if f["criterion"] != "human":
                self.assertEqual(f["report"]["wer"]["value"], best["report_wer"])
                self.assertEqual(f["report"]["difference"]["low"], best["report_difference_low"])
            checked += 1
        self.assertEqual(checked, 4 * 2 + 3 * 2)  # people on dev only
        for key, column in (("front_file_bytes", "file_bytes"), ("front_nonzero", "nonzero"), ("front_multiply_adds", "multiply_adds_per_audio_second")):
            for r in rows:
                if r["all_wer"] is None:
                    continue
                others = [o for o in rows if o["model"] == r["model"] and o["set"] == r["set"] and o["all_wer"] is not None]
                beaten = any(o[column] <= r[column] and o["all_wer"] <= r["all_wer"] and (o[column], o["all_wer"]) != (r[column], r["all_wer"]) for o in others)
                self.assertEqual(r[key], not beaten)

    def test_aims_and_what_parts_bear(self) -> None:
        """By hand: of each part the fewest bytes among one-term specs that round all of it and cost at most a point."""
        path, out = self.make()
        results, db = json.loads((out / "results.json").read_text()), sqlite3.connect(path)
        shrunk = {(m, s): json.loads(r)["tensors"] for m, s, r in db.execute("SELECT model, spec, shrink_report FROM configurations WHERE error IS NULL")}
        self.assertEqual([(a["model"], a["set"], a["most_bytes"]) for a in results["aims"]],
                         [(m, s, b) for m, b in (("tiny.en", 12000000), ("base", 30000000)) for s in ("dev", "noisy")])  # fmt: skip
        for aim in results["aims"]:
            rows = {r["spec"]: r for r in results["rows"] if r["model"] == aim["model"] and r["set"] == aim["set"] and r["all_wer"] is not None}
            fits = [r for r in rows.values() if r["file_bytes"] <= aim["most_bytes"]]
            best = min(fits, key=lambda r: (r["choose_wer"], r["file_bytes"]))
            self.assertEqual(aim["best"]["spec"], best["spec"])
            self.assertEqual(aim["best"]["report"]["difference"]["high"], best["report_difference_high"])
            self.assertEqual(aim["met_on_choose"], best["choose_difference"] <= 0.01 + 1e-9)
            self.assertEqual(aim["met"], aim["met_on_choose"] and best["report_difference"] <= 0.01 + 1e-9)
            within = [r for r in rows.values() if r["choose_wer"] <= rows["none"]["choose_wer"] + 0.01 + 1e-9]
            self.assertEqual(aim["smallest"]["spec"], min(within, key=lambda r: r["file_bytes"])["spec"])
            tried = {s for s in rows if s.startswith("int") and "," not in s}
            self.assertIn("int3:g64@rare", tried)  # a scope that nothing here has heard of
            self.assertEqual({k["spec"] for k in aim["tried"]}, tried)
            borne = {s for s in tried if rows[s]["all_difference"] <= 0.01 + 1e-9}
            self.assertEqual({k["spec"] for k in aim["tried"] if k["borne"]}, borne)
            used, total = set(), 0
            for part in aim["parts"]:
                left = {s: self.left_of(shrunk[aim["model"], s], part["part"]) for s in tried | {"none"}}
                most = max(n for n, _ in left.values())
                of_part = min(b for s, (n, b) in left.items() if s == "none" or (s in borne and n == most))
                self.assertEqual(part["bytes"], of_part, part)
                self.assertEqual(part["spec"] is None, of_part == left["none"][1], part)
                if part["spec"]:
                    self.assertIn(part["spec"], borne)
                    self.assertEqual(left[part["spec"]], (most, of_part))
                    self.assertEqual(part["difference"]["value"], rows[part["spec"]]["all_difference"])
                smaller = [s for s in tried - borne if left[s][0] == most and left[s][1] < 0.99 * of_part]
                self.assertEqual(bool(part["refused_spec"]), bool(smaller), part)
                if smaller:
                    self.assertIn(part["refused_spec"], smaller)
                    self.assertEqual(part["refused_bytes"], left[part["refused_spec"]][1])
                    self.assertEqual(part["refused_difference"]["low"], rows[part["refused_spec"]]["all_difference_low"])
                total += of_part
                used |= {part["spec"]} - {None}
            self.assertAlmostEqual(aim["sum_bytes"], total + aim["rest_bytes"], 3)
            self.assertEqual(set(aim["sum_specs"]), used)
            self.assertAlmostEqual(aim["sum_difference"], sum(rows[s]["all_difference"] for s in used), 8)
        embedding = next(p for p in results["aims"][0]["parts"] if p["part"] == "token_embedding")
        self.assertEqual(embedding["refused_spec"], "int3:g64@embedding")  # 3 points in the made-up study

    def left_of(self, tensors: list[dict], part: str) -> tuple[int, int]:
        """How many of a part's tensors are rounded, and what it takes then."""
        mine = [t for t in tensors if t["part"] == part]
        return sum(t["bits"] < 16 * t["parameters"] for t in mine), sum(t["bytes"] for t in mine)

    def test_smallest_prints_what_the_halves_say(self) -> None:
        path, out = self.make()
        rows = [r for r in json.loads((out / "results.json").read_text())["rows"] if r["set"] == "dev" and r["all_wer"] is not None]
        with sqlite3.connect(path) as db:
            db.execute("INSERT INTO meta VALUES('calibration', 'some/folder')")
        specs, printed = self.dir / "specs", {}
        specs.mkdir()
        for model in "tiny.en", "base":
            mine = [r for r in rows if r["model"] == model]
            least = next(r for r in mine if r["spec"] == "none")["choose_wer"]
            best = {
                ("--max-bytes", "9000000", f"{model}.spec"): min((r for r in mine if r["file_bytes"] <= 9000000), key=lambda r: (r["choose_wer"], r["file_bytes"]), default=None),
                ("--max-bytes", "30000000", f"{model}.spec"): min((r for r in mine if r["file_bytes"] <= 30000000), key=lambda r: (r["choose_wer"], r["file_bytes"])),
                ("--within", "1", f"{model}.within-1-point.spec"): min((r for r in mine if r["choose_wer"] <= least + 0.01 + 1e-9), key=lambda r: r["file_bytes"]),
                ("--within", "0.5", f"{model}.within-0.5-points.spec"): min((r for r in mine if r["choose_wer"] <= least + 0.005 + 1e-9), key=lambda r: r["file_bytes"]),
            }  # fmt: skip
            for (option, limit, name), row in best.items():
                done = sotto("study", "smallest", "-d", path, "--model", model, option, limit, "--write", specs)
                if row is None:
                    self.check(done, 1, f"{model}: no file of at most {limit} bytes")
                    continue
                self.check(done, 0)
                spec = row["spec"] + (",calibration=some/folder" if "gptq" in row["spec"] or "wanda" in row["spec"] else "")
                self.assertEqual(done.stdout.decode(), spec + "\n")
                self.assertIn(f"{row['file_bytes']} bytes, WER {100 * row['choose_wer']:.2f} %", done.stderr.decode())
                self.assertEqual((specs / name).read_text(), done.stdout.decode())
                printed[model, option, limit] = spec
        done = sotto("study", "smallest", "-d", path, "--within", "1")
        self.check(done, 0)
        self.assertEqual(done.stdout.decode().splitlines(), [f"{m}\t{printed[m, '--within', '1']}" for m in ("tiny.en", "base")])
        for arguments, message in (((), "one of --max-bytes N and --within POINTS"), (("--within", "1", "--max-bytes", "9"), "one of --max-bytes")):
            self.check(sotto("study", "smallest", "-d", path, *arguments), 2, message)
        self.check(sotto("study", "smallest", "--within", "1"), 2, "--database FILE was expected")
        self.check(sotto("study", "smallest", "-d", path, "--within", "1", "--model", "huge"), 1, "has no model huge")
        self.check(sotto("study", "smallest", "-d", path, "--within", "1", "--set", "music"), 1, "has no set music")

    def wer_of_test_other(self, db: sqlite3.Connection, configuration: int) -> float:
        words, edits = db.execute(
            "SELECT SUM(r.words), SUM(substitutions + deletions + insertions) FROM results AS r JOIN utterances AS u "
            "ON u.set_name = r.set_name AND u.id = r.utterance WHERE r.set_name = 'dev' AND half = 'choose' "
            "AND speaker IN ('1998', '2033', '2609', '3005', '3331') AND configuration = ?",
            (configuration,),
        ).fetchone()
        return edits / words

    def test_parts_and_unshared_weights(self) -> None:
        _, out = self.make()
        results = json.loads((out / "results.json").read_text())
        parts = {(p["model"], p["set"]): {q["part"]: q for q in p["parts"]} for p in results["parts"]}
        conv = parts["tiny.en", "dev"]["conv"]
        # What sotto itself counts for tiny.en: 3000 positions of the first convolution, 1500 of the second.
        self.assertEqual((conv["parameters"], conv["unshared_parameters"]), (535296, 941760000))
        self.assertAlmostEqual(conv["applications_per_audio_second"], 50, 4)
        cross = parts["tiny.en", "dev"]["decoder_cross_attention"]
        self.assertEqual(cross["unshared_parameters"], 4 * 384 * 384 * 2 * (1500 + 448))
        self.assertEqual(parts["base", "noisy"]["encoder_positions"]["unshared_ratio"], 1)
        self.assertAlmostEqual(sum(p["share_of_parameters"] for p in parts["base", "dev"].values()), 1, 8)
        cells = {(c["model"], c["set"], c["scope"], c["method"]) for c in results["sensitivity"]}
        self.assertIn(("base", "dev", "encoder.0.mlp", "int3:g64"), cells)
        self.assertIn(("tiny.en", "noisy", "decoder", "layers -1"), cells)
        self.assertIn(("tiny.en", "dev", "embedding", "vocab=en"), cells)
        self.assertFalse([c for c in results["sensitivity"] if "," in c["spec"] or c["spec"] == "none"])

    def test_hypotheses_and_question(self) -> None:
        _, out = self.make()
        results = json.loads((out / "results.json").read_text())
        self.assertEqual([h["number"] for h in results["hypotheses"]], [1, 2, 3, 4, 5])
        for h in results["hypotheses"]:
            self.assertEqual({f["model"] for f in h["figures"]}, {"tiny.en", "base"}, h["claim"])
        question = {q["what"]: q for q in results["question"]}
        self.assertIn("= 103.5 years", question["Whisper v1 and v2: audio in training"]["arithmetic"])
        self.assertIn("236.5 million", question["images a person sees"]["arithmetic"])
        self.assertTrue(question["auditory cortex"]["estimate"])
        self.assertFalse(question["GPT-3: parameters"]["estimate"])
        total = sum(p["parameters"] for p in results["parts"][0]["parts"])
        self.assertAlmostEqual(question["Whisper, largest: parameters"]["ratios"][0]["ratio"], 1.6e9 / total, 5)

    def test_the_same_twice(self) -> None:
        path, out = self.make()
        before = {f.name: f.read_bytes() for f in out.iterdir()}
        self.assertEqual(sorted(before), ["index.html", "results.csv", "results.json"])
        self.check(sotto("study", "report", "-d", path, "-o", out), 0)
        self.assertEqual({f.name: f.read_bytes() for f in out.iterdir()}, before)

    def test_unfinished_runs_have_no_rates(self) -> None:
        path, out = self.make()
        with sqlite3.connect(path) as db:
            db.execute("UPDATE runs SET finished = 0 WHERE configuration = 2 AND set_name = 'dev'")
        self.check(sotto("study", "report", "-d", path, "-o", out), 0)
        rows = json.loads((out / "results.json").read_text())["rows"]
        one = next(r for r in rows if r["configuration"] == 2 and r["set"] == "dev")
        self.assertEqual((one["finished"], one["all_wer"], one["wall_seconds"], one["front_file_bytes"]), (False, None, None, False))

    def test_text_cannot_leave_the_data(self) -> None:
        path, out = self.make()
        with sqlite3.connect(path) as db:
            db.execute("UPDATE configurations SET error = ? WHERE spec = 'rank=7'", ('</script><b>, "quoted"',))
        self.check(sotto("study", "report", "-d", path, "-o", out), 0)
        html = (out / "index.html").read_text()
        self.assertEqual(html.count("</script>"), 2)
        data = html.split('id="data">')[1].split("</script>")[0]
        self.assertEqual(json.loads(data), json.loads((out / "results.json").read_text()))
        with open(out / "results.csv", newline="") as file:
            self.assertIn('</script><b>, "quoted"', [r["error"] for r in csv.DictReader(file)])

    def test_what_is_refused(self) -> None:
        self.check(sotto("study", "report"), 2, "--database FILE is missing")
        self.check(sotto("study", "report", "-d", "x"), 2, "-o DIR is missing")
        out = self.dir / "out"
        self.check(sotto("study", "report", "-d", self.dir / "none.sqlite", "-o", out), 1, "none.sqlite")
        noise = self.dir / "noise.sqlite"
        noise.write_bytes(os.urandom(5000))
        self.check(sotto("study", "report", "-d", noise, "-o", out), 1, "noise.sqlite")
        empty = self.dir / "empty.sqlite"
        with sqlite3.connect(empty) as db:
            db.executescript(study_database.SCHEMA)
        self.check(sotto("study", "report", "-d", empty, "-o", out), 1, "no configurations yet")
        self.assertFalse(out.exists())
        file = self.dir / "file"
        file.write_text("")
        path = self.dir / "study.sqlite"
        study_database.fill(path, chosen=lambda spec: spec == "none")
        self.check(sotto("study", "report", "-d", path, "-o", file / "out"), 1, "out")


if __name__ == "__main__":
    unittest.main()
