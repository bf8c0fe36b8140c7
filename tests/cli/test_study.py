#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sotto study as its users meet it: plans and their errors, sets made here of two recordings, runs that are killed and
go on, and the database against Python's own account. Needs models/tiny.en and ../shared/audio; the count of edits is
checked where openai-whisper's normaliser can be imported."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from study_database import to_version_1  # noqa: E402

SOURCE = Path(os.environ.get("SOTTO_SOURCE", Path(__file__).resolve().parents[2]))
BIN = Path(os.environ.get("SOTTO_BIN", SOURCE / "build" / "release" / "bin"))
MODELS = Path(os.environ.get("SOTTO_MODELS") or SOURCE / "models")
AUDIO = SOURCE.parent / "shared" / "audio"
IMPOSSIBLE = "squash=0.5"
SAID = "And so, my fellow Americans: ask not what your country can do for you, ask what you can do for your country!"

needs_speech = unittest.skipUnless(AUDIO.exists(), "the recordings of ../shared are not here")
needs_model = unittest.skipUnless((MODELS / "tiny.en").exists(), "models/tiny.en is not here: models/fetch tiny.en")

try:
    import soundfile
except ImportError:
    soundfile = None
needs_soundfile = unittest.skipIf(soundfile is None, "no soundfile")


def normalisers() -> dict | None:
    """openai-whisper's, from this Python's packages or those of `make wer`."""
    sys.path.insert(0, str(SOURCE / "tests" / "reference"))
    sys.path += [str(p) for p in (SOURCE / "build" / "wer-venv").glob("lib/python3*/site-packages")]
    try:
        import score_lines

        return score_lines.normalisers()
    except ImportError:
        return None


def environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("SOTTO_")}
    return {**env, "SOTTO_MODELS": str(MODELS)}


def study(*arguments: object) -> subprocess.CompletedProcess:
    command = [BIN / "sotto", "study", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=600, check=False)


def edits(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein's distance."""
    row = list(range(len(hypothesis) + 1))
    for i, r in enumerate(reference, 1):
        above, row[0] = row[0], i
        for k, h in enumerate(hypothesis, 1):
            above, row[k] = row[k], min(row[k] + 1, row[k - 1] + 1, above + (r != h))
    return row[-1]


def ask(database: Path, sql: str, *values: object) -> list[tuple]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def content(database: Path) -> dict[str, list[tuple]]:
    """All that must not depend on when a run was interrupted: everything but times, memory and energy."""
    counters = "audio_seconds, multiply_adds, encoder_multiply_adds, decoder_multiply_adds, decoder_steps, tokens, windows"
    tables = {
        "meta": "*",
        "sets": "*",
        "utterances": "*",
        "configurations": "id, model, spec, parameters, nonzero, bits, file_bytes, resident_bytes, error",
        "runs": f"configuration, set_name, finished, {counters}, by_part, build",
        "results": "*",
        "pending": "*",
    }
    found = {t: ask(database, f"SELECT {columns} FROM {t} ORDER BY 1, 2") for t, columns in tables.items()}
    found["meta"] = [row for row in found["meta"] if row[0] != "machine"]  # it tells the slots
    return {t: sorted(rows, key=str) for t, rows in found.items()}


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="sotto-study-")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def plan(self, *lines: str) -> Path:
        path = self.dir / "a.plan"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def make_set(self, name: str, cuts: list[tuple[str, str, float, float, str]]) -> Path:
        """A folder with refs.tsv; cuts: id, recording, begin and end in seconds, reference."""
        folder = self.dir / name
        folder.mkdir()
        lines = []
        for identity, recording, begin, end, text in cuts:
            samples, rate = soundfile.read(AUDIO / recording, dtype="float32")
            piece = samples[int(begin * rate) : int(end * rate)]
            soundfile.write(folder / f"{identity}.flac", piece, rate)
            lines.append(f"{identity}\ten\t{len(piece) / rate:.2f}\t{text}\n")
        (folder / "refs.tsv").write_text("".join(lines), encoding="utf-8")
        return folder


class Plans(Case):
    """Needs no model and no recordings, but for a model's name."""

    def setUp(self) -> None:
        super().setUp()
        (self.dir / "m").mkdir()
        (self.dir / "s").mkdir()

    def test_a_bad_line_is_told_with_file_line_and_what_was_expected(self) -> None:
        head = [f"set s {self.dir / 's'}", f"model {self.dir / 'm'}"]
        cases = [
            (["sed 1"], 1, 'unknown keyword "sed"; seed, set, calibration, precision, decode, model, on or spec was'),
            (["# none", "", "seed one  # why"], 3, '"one" is no seed; a whole number from 0 was expected'),
            (["seed 1", "seed 2"], 2, "a second seed"),
            (["set s"], 1, '1 words after "set"; "set NAME FOLDER" was expected'),
            ([head[0], "set s elsewhere"], 2, 'a second set "s"'),
            (["model nowhere/at-all"], 1, "there is no model at nowhere/at-all"),
            (["spec none"], 1, 'a line "model NAME…" above was expected'),
            ([*head, "on t"], 3, 'there is no set "t"'),
            (["precision int9"], 1, '"int9" is no precision; one of auto|f32'),
            (["decode quickly"], 1, "greedy or fallback was expected"),
        ]
        for lines, line, message in cases:
            with self.subTest(lines=lines):
                plan = self.plan(*lines)
                done = study("run", plan, "--dry-run")
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(f"{plan}:{line}: ", done.stderr)
                self.assertIn(message, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)

    def test_what_a_plan_lacks_is_told(self) -> None:
        for lines, message in (([], "set NAME FOLDER"), ([f"set s {self.dir}"], "spec SPEC")):
            done = study("run", self.plan(*lines))
            self.assertEqual(done.returncode, 1)
            self.assertIn(f'a line "{message}" was expected, there is none', done.stderr)
        done = study("run", self.dir / "no.plan")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no.plan cannot be opened: No such file", done.stderr)

    def test_a_bad_set_is_told_with_its_line(self) -> None:
        refs = self.dir / "s" / "refs.tsv"
        (self.dir / "s" / "a.wav").touch()
        cases = [
            (None, "refs.tsv cannot be opened"),
            ("", "is empty"),
            ("a\ten\t1.0\thello\nb\ten\t1.0\n", "refs.tsv:2: 3 fields; id, language, seconds and text"),
            ("a\txx\t1.0\thello\n", 'refs.tsv:1: "xx" is no language'),
            ("a\ten\tlong\thello\n", 'refs.tsv:1: "long" is no length'),
            ("a\ten\t1.0\thello\na\ten\t1.0\thello\n", "refs.tsv:2: a second line of a"),
            ("b\ten\t1.0\thello\n", "refs.tsv:1: a recording b.flac or the like was expected"),
            ("a\ten\t1.0\t(laughs)\n", "refs.tsv:1: the reference of a has no words"),
        ]
        plan = self.plan(f"set s {self.dir / 's'}", f"model {self.dir / 'm'}", "spec none")
        for text, message in cases:
            with self.subTest(text=text):
                if text is not None:
                    refs.write_text(text, encoding="utf-8")
                done = study("run", plan)
                self.assertEqual(done.returncode, 1)
                self.assertIn(message, done.stderr)

    def test_dry_run_lists_each_configuration_once_with_its_sets(self) -> None:
        for name in ("s", "t"):
            (self.dir / name).mkdir(exist_ok=True)
            (self.dir / name / "a.wav").touch()
            (self.dir / name / "refs.tsv").write_text("a\ten\t1.0\thello\n", encoding="utf-8")
        (self.dir / "n").mkdir()
        m, n = self.dir / "m", self.dir / "n"
        plan = self.plan(
            f"set s {self.dir / 's'}", f"set t {self.dir / 't'}", f"model {m} {n}", "spec none", "on t",
            f"model {m}", "spec int8:g64,prune=0.1 int4", "on s", "spec int4",
        )  # fmt: skip
        done = study("run", plan, "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = [f"{m} none on s t", f"{n} none on s t", f"{m} int8:g64,prune=0.1 on t", f"{m} int4 on s t"]
        self.assertEqual(done.stdout.splitlines(), [f"{i} of 4  {line}" for i, line in enumerate(expected, 1)])
        self.assertEqual(sorted(p.name for p in self.dir.glob("*.sqlite*")), [])

    def test_halves_are_of_speakers_the_same_in_all_sets_and_even(self) -> None:
        """The model cannot be opened, which is told; the sets are in the database by then."""
        for name, suffix in (("s", ""), ("t", "_fan")):
            lines = []
            for speaker in range(10):
                for i in range(3):
                    identity = f"{speaker}-7-000{i}{suffix}"
                    (self.dir / name).mkdir(exist_ok=True)
                    (self.dir / name / f"{identity}.wav").touch()
                    lines.append(f"{identity}\ten\t{1 + speaker % 4}.5\thello there\n")
            for i in range(4):
                (self.dir / name / f"LJ001-000{i}{suffix}.wav").touch()
                lines.append(f"LJ001-000{i}{suffix}\ten\t2.0\thello\n")
            (self.dir / name / "refs.tsv").write_text("".join(lines), encoding="utf-8")
        plan = self.plan(f"set s {self.dir / 's'}", f"set t {self.dir / 't'}", f"model {self.dir / 'm'}", "spec none")
        self.assertEqual(study("run", plan).returncode, 1)
        database = plan.with_suffix(".sqlite")
        halves = ask(database, "SELECT speaker, count(DISTINCT half) FROM utterances GROUP BY speaker ORDER BY speaker")
        self.assertEqual(halves, [*((str(s), 1) for s in range(10)), ("LJ", 1)])
        for name in ("s", "t"):
            seconds = dict(ask(database, "SELECT half, sum(seconds) FROM utterances WHERE set_name = ? GROUP BY half", name))
            self.assertEqual(set(seconds), {"choose", "report"})
            self.assertLess(abs(seconds["choose"] - seconds["report"]), 0.1 * sum(seconds.values()))
        error = ask(database, "SELECT error FROM configurations")[0][0]
        self.assertIn(str(self.dir / "m"), error)


@needs_model
@needs_speech
@needs_soundfile
class Runs(Case):
    def setUp(self) -> None:
        super().setUp()
        one = [(f"{i}-1-0000", "jfk.flac", 0.3 * i, 11, SAID) for i in range(6)]
        one.append(("6-1-0000", "jfk.flac", 0, 11, SAID.replace("Americans", "twenty three Frenchmen").replace("can", "can't")))
        two = [(f"{i}-2-0000", "two_cities.wav", 2 * i, 2 * i + 6 + i, "It was the best of times.") for i in range(12)]
        self.one, self.two = self.make_set("one", one), self.make_set("two", two)
        self.lines = [
            "seed 3", f"set one {self.one}", f"set two {self.two}", "model tiny.en",
            f"spec {IMPOSSIBLE} none", "precision f32",
        ]  # fmt: skip

    def begin(self, plan: Path, database: Path, slots: int) -> subprocess.Popen:
        command = [BIN / "sotto", "study", "run", plan, "--database", database, "--slots", str(slots)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())

    def stop_at(self, plan: Path, database: Path, results: int, number: signal.Signals) -> tuple[int, str]:
        """Runs until so many results are there, sends the signal: (exit status, stderr)."""
        process = self.begin(plan, database, 1)
        until = time.monotonic() + 300
        try:
            while time.monotonic() < until and process.poll() is None:
                try:
                    if ask(database, "SELECT count(*) FROM results")[0][0] >= results:
                        break
                except sqlite3.OperationalError:
                    pass  # not there yet
                time.sleep(0.005)
            process.send_signal(number)
            said = process.communicate(timeout=60)[1]
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        return process.returncode, said

    def test_killed_and_interrupted_runs_end_with_what_an_undisturbed_one_has(self) -> None:
        plan, whole, torn = self.plan(*self.lines), self.dir / "whole.sqlite", self.dir / "torn.sqlite"
        done = study("run", plan, "--database", whole)
        self.assertEqual(done.returncode, 1, done.stderr)  # for the impossible spec
        self.assertEqual(self.stop_at(plan, torn, 3, signal.SIGKILL)[0], -signal.SIGKILL)
        killed = ask(torn, "SELECT count(*) FROM results")[0][0]
        status, said = self.stop_at(plan, torn, killed + 2, signal.SIGINT)
        self.assertEqual(status, 130, said)
        self.assertIn("goes on where this one stopped", said)
        interrupted = ask(torn, "SELECT count(*) FROM results")[0][0]
        self.assertTrue(3 <= killed < interrupted < 19, (killed, interrupted))
        done = study("run", plan, "--database", torn, "--slots", 4)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.maxDiff = None
        for table, rows in content(whole).items():
            with self.subTest(table=table):
                self.assertEqual(content(torn)[table], rows)
        # Times are of whole passes only.
        self.assertEqual(ask(whole, "SELECT count(*) FROM runs WHERE wall_seconds > 0")[0][0], 2)
        self.assertLess(ask(torn, "SELECT count(*) FROM runs WHERE wall_seconds > 0")[0][0], 2)
        self.assertEqual(ask(torn, "SELECT count(*) FROM runs WHERE finished = 1")[0][0], 2)
        self.assertEqual(sorted(p.name for p in self.dir.glob("torn*")), ["torn.sqlite"])
        # Once more: nothing is left to do but what cannot be done.
        before = ask(whole, "SELECT * FROM runs ORDER BY configuration, set_name")
        self.assertEqual(study("run", plan, "--database", whole).returncode, 1)
        self.assertEqual(ask(whole, "SELECT * FROM runs ORDER BY configuration, set_name"), before)

    def test_another_machine_measures_the_unshrunken_model_again(self) -> None:
        """A file of version 1 from elsewhere: its runs keep that machine, new ones have this one's and are set beside
        the unshrunken model's speed here."""
        plan, database = self.plan(f"set one {self.one}", "model tiny.en", "spec none"), self.dir / "a.sqlite"
        self.assertEqual(study("run", plan).returncode, 0)
        before = content(database)["results"]
        with sqlite3.connect(database) as db:
            here = db.execute("SELECT DISTINCT machine FROM runs").fetchone()[0]
            self.assertEqual(here, db.execute("SELECT value FROM meta WHERE key = 'machine'").fetchone()[0])
            wall, cpu = db.execute("SELECT wall_seconds, cpu_seconds FROM runs").fetchone()
            self.assertTrue(0 < cpu < 1.05 * wall * (os.cpu_count() or 1) + 0.1, (wall, cpu))
            for key, value in (("machine", "elsewhere"), ("build", "old")):
                db.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))
            to_version_1(db)
        plan = self.plan(f"set one {self.one}", "model tiny.en", "spec none")
        self.assertEqual(study("run", plan).returncode, 0)  # nothing to be compared: nothing is heard
        self.assertEqual(ask(database, "SELECT machine, build, cpu_seconds FROM runs"), [("elsewhere", "old", None)])
        self.assertEqual(ask(database, "SELECT * FROM speeds"), [])
        self.assertEqual(ask(database, "SELECT value FROM meta WHERE key = 'schema_version'"), [("2",)])
        plan = self.plan(f"set one {self.one}", "model tiny.en", "spec none int8:g64")
        done = study("run", plan)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("tiny.en none on one:", done.stdout)
        self.assertEqual(ask(database, "SELECT machine FROM runs ORDER BY configuration"), [("elsewhere",), (here,)])
        again = ask(database, "SELECT configuration, set_name, machine, audio_seconds FROM speeds WHERE wall_seconds > 0 AND cpu_seconds > 0")
        seconds = ask(database, "SELECT audio_seconds FROM runs WHERE configuration = 1")[0][0]
        self.assertEqual(again, [(1, "one", here, seconds)])
        self.assertEqual([r for r in content(database)["results"] if r[0] == 1], before)
        once = ask(database, "SELECT * FROM speeds")
        self.assertEqual(study("run", plan).returncode, 0)
        self.assertEqual(ask(database, "SELECT * FROM speeds"), once)

    def test_what_one_spec_measures_on_is_not_the_next_ones(self) -> None:
        """A spec with calibration audio of its own between specs without: each is what `sotto shrink` makes of it."""
        jfk, cities = (f"int4:g64,calibration={AUDIO / name}" for name in ("jfk.flac", "two_cities.wav"))
        specs = [jfk, "int4:g64", cities]
        plan = self.plan(f"set one {self.one}", "model tiny.en", *(f"spec {spec}" for spec in specs))
        done = study("run", plan)
        self.assertEqual(done.returncode, 0, done.stderr)
        made = dict(ask(plan.with_suffix(".sqlite"), "SELECT spec, shrink_report FROM configurations"))
        for spec in specs:
            command = [BIN / "sotto", "shrink", "--spec", spec, "-o", self.dir / "x.sotto", "--json"]
            alone = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300, check=True)
            self.assertEqual(json.loads(made[spec]), json.loads(alone.stdout), spec)
        frames = [json.loads(made[spec])["tensors"] for spec in specs]
        self.assertNotEqual(frames[0], frames[1])
        self.assertNotEqual(frames[0], frames[2])

    def test_a_run_is_what_python_counts_and_list_says_so(self) -> None:
        plan = self.plan(*self.lines)
        done = study("run", plan)
        self.assertEqual(done.returncode, 1)
        database = plan.with_suffix(".sqlite")
        # The impossible one is recorded, told, and did not end the study.
        made = ask(database, "SELECT spec, error, parameters FROM configurations ORDER BY id")
        self.assertEqual([m[0] for m in made], [IMPOSSIBLE, "none"])
        self.assertIn(IMPOSSIBLE.split("=")[0], made[0][1])
        self.assertIn(f"tiny.en {IMPOSSIBLE}: {made[0][1]}", done.stderr)
        self.assertEqual(made[1][1:], (None, 37760256))
        self.assertEqual(len(done.stdout.splitlines()), 2)
        self.assertNotIn("\r", done.stdout + done.stderr)
        # The texts are those that the client alone writes.
        out = self.dir / "texts"
        command = [BIN / "sotto", "transcribe", "--local", "--model", "tiny.en", "--precision", "f32", "-f", "text"]
        command += ["--language", "en", "--temperature-inc", "0", "-o", out, *sorted(self.one.glob("*.flac"))]
        subprocess.run(command, check=True, env=environment(), capture_output=True, timeout=300)
        texts = dict(ask(database, "SELECT utterance, text FROM results WHERE set_name = 'one'"))
        self.assertEqual(texts, {p.stem: p.read_text(encoding="utf-8").strip() for p in out.glob("*.txt")})
        # A pass's counters.
        run = ask(database, "SELECT multiply_adds, encoder_multiply_adds, decoder_multiply_adds, by_part, windows,"
                  " decoder_steps, tokens, peak_rss_bytes, audio_seconds FROM runs WHERE set_name = 'one'")[0]  # fmt: skip
        parts = json.loads(run[3])
        self.assertEqual(run[0], run[1] + run[2])
        self.assertEqual(sum(p["parameters"] for p in parts.values()), 37760256)
        self.assertLess(sum(p["multiply_adds"] for p in parts.values()), run[0])
        self.assertEqual(run[4], 7)
        self.assertGreater(min(run[5:8]), 0)
        self.assertAlmostEqual(run[8], sum(11 - 0.3 * i for i in range(6)) + 11, delta=0.05)
        said = study("list", "--database", database)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("not made", said.stdout)
        for name in ("one", "two"):
            sums = ask(database, "SELECT 100.0 * sum(substitutions + deletions + insertions) / sum(words) FROM results"
                       " WHERE set_name = ?", name)[0][0]  # fmt: skip
            row = next(line for line in said.stdout.splitlines() if f" {name} " in line)
            self.assertIn(f"{sums:.2f}", row)
            self.assertIn(f"WER {sums:.2f} %", done.stdout)
        self.check_edits(database)

    def check_edits(self, database: Path) -> None:
        found = normalisers()
        if not found:
            self.skipTest("openai-whisper's normaliser is not here: pip install openai-whisper, or make wer")
        rows = ask(database, "SELECT reference, text, r.words, substitutions + deletions + insertions, r.characters,"
                   " character_edits, u.words FROM results r JOIN utterances u ON u.set_name = r.set_name"
                   " AND u.id = r.utterance")  # fmt: skip
        self.assertEqual(len(rows), 19)
        for reference, text, words, word_edits, characters, character_edits, stored in rows:
            ref, hyp = found["english"](reference).split(), found["english"](text).split()
            self.assertEqual((words, word_edits), (len(ref), edits(ref, hyp)), (reference, text))
            self.assertEqual(stored, len(ref))
            one, other = " ".join(ref), " ".join(hyp)
            self.assertEqual((characters, character_edits), (len(one), edits(list(one), list(other))))
        self.assertGreater(sum(r[3] for r in rows), 0)

    def test_a_database_measured_otherwise_is_refused(self) -> None:
        database = self.dir / "a.sqlite"
        self.assertEqual(study("run", self.plan(*self.lines[:3], "model tiny.en", f"spec {IMPOSSIBLE}")).returncode, 1)
        cases = [
            (["seed 4", *self.lines[1:3]], "was measured with seed 3 and the plan says 4"),
            ([*self.lines[:3], "precision f32"], "was measured with precision auto and the plan says f32"),
            (["seed 3", f"set one {self.two}"], "is not what"),
        ]
        for lines, message in cases:
            done = study("run", self.plan(*lines, "model tiny.en", "spec none"), "--database", database)
            self.assertEqual(done.returncode, 1)
            self.assertIn(message, done.stderr)
        self.assertEqual(ask(database, "SELECT spec FROM configurations"), [(IMPOSSIBLE,)])


class Usage(Case):
    def test_wrong_usage_is_2(self) -> None:
        for arguments, message in (
            ([], "Usage: sotto study"),
            (["walk"], 'unknown command "walk"'),
            (["run"], "one PLAN was expected"),
            (["list"], "--database FILE was expected"),
            (["run", "--slots", "0", "x"], "--slots is 0"),
        ):
            done = study(*arguments)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(message, done.stderr)
        self.assertIn("cannot be read", study("list", "--database", self.dir / "none").stderr)


if __name__ == "__main__":
    unittest.main()
