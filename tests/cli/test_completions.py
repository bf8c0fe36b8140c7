# SPDX-License-Identifier: MIT
"""What is made of the tables of options: completions, sourced and asked by their shells, and manual pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from test_client import BIN, environment, sotto

COMMANDS = ["transcribe", "live", "bench", "shrink", "study run", "study list", "study report", "devices", "completions"]


def run(*command: object, text: str | None = None) -> str:
    env = {**environment(), "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run([*map(str, command)], input=text, capture_output=True, text=True, env=env, timeout=120, check=False)
    if done.returncode or done.stderr:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def options_of(command: str) -> set[str]:
    """Long options by --help."""
    text = run(BIN / "sotto", *command.split(), "--help")
    return set(re.findall(r"^  (?:-\w,|   ) --([\w-]+)", text, re.MULTILINE)) - {"help", "version"}


def need(program: str):
    return unittest.skipUnless(shutil.which(program), f"{program} is not installed")


class Bash(unittest.TestCase):
    def complete(self, *words: str) -> list[str]:
        """What bash offers for the last word; bash itself splits at '='."""
        script = (
            'source <(sotto completions bash); compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
            'eval "$(complete -p sotto | sed "s/.*-F \\([^ ]*\\) .*/\\1/")"; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return run("bash", "-c", script, "bash", *words).split()

    def test_commands(self) -> None:
        self.assertEqual(self.complete("sotto", "tr"), ["transcribe"])
        usage = re.findall(r"^  (\w+) ", sotto("help").stdout.decode().split("Examples")[0], re.MULTILINE)
        self.assertEqual(self.complete("sotto", ""), usage)
        self.assertEqual(self.complete("sotto", "study", ""), ["run", "list", "smallest", "report"])
        self.assertEqual(self.complete("sotto", "help", "li"), ["live"])
        self.assertEqual(self.complete("sotto", "completions", ""), ["bash", "zsh", "fish"])

    def test_every_option_of_every_command(self) -> None:
        for command in COMMANDS[:-1]:
            with self.subTest(command=command):
                offered = set(self.complete("sotto", *command.split(), "--"))
                self.assertEqual(offered, {f"--{name}" for name in options_of(command)} | {"--help"})

    def test_values(self) -> None:
        self.assertEqual(self.complete("sotto", "transcribe", "--task", ""), ["transcribe", "translate"])
        self.assertEqual(self.complete("sotto", "transcribe", "x.wav", "--task", "=", "transl"), ["translate"])
        self.assertEqual(self.complete("sotto", "live", "--pace", "="), ["real", "fast"])
        self.assertEqual(self.complete("sotto", "transcribe", "-o", ""), [])  # left to bash: files
        self.assertEqual(self.complete("sotto", "nonsense", "--"), [])


class Others(unittest.TestCase):
    @need("zsh")
    def test_zsh(self) -> None:
        text = run(BIN / "sotto", "completions", "zsh")
        run("zsh", "-n", "/dev/stdin", text=text)
        for name in options_of("transcribe"):
            self.assertIn(f"--{name}", text)
        # _arguments itself reads the specifications.
        script = "compdef() { :; }; _arguments() { print -rl -- $@ }; eval $script; words=(sotto transcribe x) CURRENT=3; _sotto"
        said = run("zsh", "-fc", f"script=$(sotto completions zsh); {script}")
        self.assertIn("--task=[translate\\: into English]:task:(transcribe translate)", said.splitlines())

    @need("fish")
    def test_fish(self) -> None:
        def complete(line: str) -> list[str]:
            text = run("fish", "--no-config", "-c", f"sotto completions fish | source; complete -C '{line}'")
            return [offered.split("\t")[0] for offered in text.splitlines()]

        self.assertEqual(complete("sotto tr"), ["transcribe"])
        self.assertEqual(sorted(complete("sotto transcribe --task ")), ["transcribe", "translate"])
        self.assertEqual(sorted(complete("sotto study re")), ["report"])
        for command in "transcribe", "study report":
            offered = set(complete(f"sotto {command} --"))
            self.assertEqual(offered, {f"--{name}" for name in options_of(command)} | {"--help"})

    def test_usage(self) -> None:
        for arguments in ["tcsh"], [], ["bash", "zsh"]:
            done = sotto("completions", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertIn(b"name one shell: bash, zsh or fish", done.stderr)


class Manual(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="sotto-man-")
        self.addCleanup(folder.cleanup)
        self.pages = {}
        for program, page in ("sotto", "sotto.1"), ("sottod", "sottod.8"):
            self.pages[page] = Path(folder.name) / page
            self.pages[page].write_text(run(BIN / program, "--help=man"))

    @need("mandoc")
    def test_mandoc_has_no_complaint(self) -> None:
        for page in self.pages.values():
            done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    @need("groff")
    def test_groff_has_no_complaint(self) -> None:
        for page in self.pages.values():
            run("groff", "-man", "-Kutf8", "-Tutf8", "-ww", page)

    @need("mandoc")
    def test_pages_say_what_help_says(self) -> None:
        text = run("mandoc", "-Tascii", self.pages["sotto.1"])
        flat = re.sub(r".\x08", "", text)
        for command in COMMANDS:
            self.assertIn(f"sotto {command}", flat)
            for name in options_of(command):
                self.assertIn(f"--{name}", flat)
        flat = re.sub(r".\x08", "", run("mandoc", "-Tascii", self.pages["sottod.8"]))
        self.assertIn("sottod - transcribes recordings", flat)
        for name in re.findall(r"^  (?:-\w,|   ) --([\w-]+)", run(BIN / "sottod", "--help"), re.MULTILINE):
            self.assertIn(f"--{name}", flat)

    def test_the_date_can_be_chosen(self) -> None:
        done = sotto("--help=man", SOURCE_DATE_EPOCH="86400")
        self.assertIn(b'.TH SOTTO 1 "1970-01-02" "sotto ', done.stdout)


if __name__ == "__main__":
    unittest.main()
