# SPDX-License-Identifier: MIT
"""~/.config/sotto/config.toml: what it sets, who wins, what is wrong with it; its syntax against Python's tomllib."""

from __future__ import annotations

import random
import subprocess
import tomllib
import unittest

from test_client import Case, sotto, write_tone
from test_transcribe_many import Scripted

# Valid and read; the values are compared with tomllib's.
READ = r"""
prompt = "plain"
prompt = 'it\s "raw"' # a comment
prompt   =   "tab\tquote\" back\\ \u00e9\U0001F600 # no comment"
prompt = ""
prompt = ''
prompt = "größe 東京"
# first\nprompt = "after a comment"\n\n[ transcribe ]\n  jobs = 2
[transcribe]\nprompt = "in a table"\n[live]\nprompt = "other"
beam_size = 1_0
beam-size = +7
temperature = 2.5e-1
temperature = 0.2_5
seed = 0
word_timestamps = true
word-timestamps = false
language = "de"\r\nprompt = "crlf"
"""
# No TOML, says tomllib: must be refused.
WRONG = r"""
prompt
prompt =
prompt = plain
prompt = "no end
prompt = 'no end
prompt = "bad \q escape"
prompt = "\u12"
prompt = "\uD800"
prompt = "a" "b"
prompt = "a"\nprompt = "b"
[transcribe]\n[transcribe]
[transcribe
[]
[a..b]
= 1
jobs = 01
jobs = 1__0
jobs = _1
temperature = .5
temperature = 1.
temperature = 1e
word_timestamps = True
format = ["a" "b"]
format = ["a"
format = ["a",,"b"]
prompt = "a\x01b"
"""
# TOML, but not read here: must be refused, not misunderstood.
NOT_READ = r"""
jobs = 0x10
temperature = inf
prompt = 1979-05-27
prompt = {a = 1}
a.b = 1
"quoted" = 1
[[transcribe]]
format = [1, 2]
format = [["a"]]
prompt = '''a'''
prompt = \"\"\"a\"\"\"
format = ["a,b"]
"""


def lines(text: str) -> list[str]:
    def unfold(line: str) -> str:
        for fold, what in ("\\r\\n", "\r\n"), ("\\nprompt", "\nprompt"), ("\\n[", "\n["), ("\\n\n", "\n\n"), ("\\n  jobs", "\n  jobs"):
            line = line.replace(fold, what)
        return line.replace("\\n\n", "\n\n").replace('\\"\\"\\"', '"""').replace("\\x01", "\x01")

    return [unfold(line) for line in text.strip().split("\n")]


class Settings(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Scripted()
        cls.addClassCleanup(cls.server.__exit__)

    def setUp(self) -> None:
        super().setUp()
        (self.dir / "sotto").mkdir()
        self.file = self.dir / "sotto/config.toml"
        self.tone = write_tone(self.dir / "tone.wav", 0.1)

    def run_with(self, text: str, *arguments: object, command: str = "transcribe", **env: str) -> subprocess.CompletedProcess:
        self.file.write_bytes(text.encode())
        where = {"XDG_CONFIG_HOME": str(self.dir), "SOTTO_SERVER": self.server.url, **env}
        return sotto(command, *arguments, **where)

    def sent(self, text: str, *arguments: object, **env: str) -> dict[str, str]:
        """The form that the daemon got."""
        done = self.run_with(text, *arguments, self.tone, **env)
        self.check(done, 0)
        return self.server.fields[-1]

    def refused(self, text: str, message: str, command: str = "transcribe") -> None:
        done = self.run_with(text, *([self.tone] if command == "transcribe" else []), command=command)
        self.check(done, 2, message)
        self.assertIn(f"{self.file}:", done.stderr.decode())

    def test_options_over_environment_over_file(self) -> None:
        text = 'language = "de"\nprompt = "file"\nbeam_size = 4\n'
        self.assertEqual(self.sent(text)["prompt"], "file")
        self.assertEqual(self.sent(text, SOTTO_PROMPT="variable")["prompt"], "variable")
        form = self.sent(text, "--prompt", "option", SOTTO_PROMPT="variable", SOTTO_BEAM_SIZE="3")
        self.assertEqual((form["prompt"], form["beam_size"], form["language"]), ("option", "3", "de"))

    def test_tables(self) -> None:
        text = 'prompt = "all"\nlanguage = "de"\n[transcribe]\nprompt = "own"\nformat = "text"\n[live]\nprompt = "live"\npace = "fast"\n[study.run]\ndry-run = true\n'
        form = self.sent(text)
        self.assertEqual((form["prompt"], form["language"], form["response_format"]), ("own", "de", "text"))
        # A list is the command's own, not both.
        self.assertEqual(self.sent('format = ["srt", "vtt"]\n[transcribe]\nformat = ["text"]')["response_format"], "text")
        self.assertEqual(self.sent('format = [\n "text", # one\n]\n', "-f", "tsv")["response_format"], "tsv")
        # A key of another command is known, and passed over.
        self.assertNotIn("pace", self.sent('pace = "fast"\n'))

    def test_where_it_is(self) -> None:
        home = self.dir / "home/.config/sotto"
        home.mkdir(parents=True)
        (home / "config.toml").write_text('prompt = "home"')
        env = {"HOME": str(self.dir / "home"), "SOTTO_SERVER": self.server.url}
        for config, prompt in (("", "home"), ("relative", "home"), (str(self.dir / "nowhere"), None)):
            self.check(sotto("transcribe", self.tone, XDG_CONFIG_HOME=config, **env), 0)
            self.assertEqual(self.server.fields[-1].get("prompt"), prompt)

    def test_what_is_wrong_is_named(self) -> None:
        for text, message in (
            ('\n\nformt = "srt"', ':3: unknown key "formt"; did you mean format?'),
            ('[transcribe]\npace = "fast"', ':2: unknown key "pace" in [transcribe]'),
            ("[transcribble]\njobs = 1", ":2: sotto has no command for the table [transcribble]"),
            ("jobs = 1000", ":1: jobs is 1000, which is outside 1 to 64"),
            ('task = "sing"', ":1: task is \"sing\", but should be"),
            ('prompt = """', ":1: strings over several lines are not read here"),
            ("[live]\nnonsense = 1\n", ':2: unknown key "nonsense" in [live]'),
        ):
            with self.subTest(text=text):
                self.refused(text, message)
        self.refused("nonsense = 1", "unknown key", command="devices")
        self.file.unlink()
        self.file.mkdir()
        done = sotto("transcribe", self.tone, XDG_CONFIG_HOME=str(self.dir))
        self.check(done, 2, f"{self.file} cannot be read")
        self.check(sotto("transcribe", "--help", XDG_CONFIG_HOME=str(self.dir)), 0)

    def test_no_text(self) -> None:
        for content in b"prompt = \"\xff\"\n", b"prompt = \"a\0b\"\n", b"#" * (1 << 20) + b"##":
            self.file.write_bytes(content)
            self.check(sotto("transcribe", self.tone, XDG_CONFIG_HOME=str(self.dir)), 2, str(self.file))

    def test_reads_what_tomllib_reads(self) -> None:
        for text in lines(READ):
            with self.subTest(text=text):
                whole = tomllib.loads(text)
                expected = {**{k: v for k, v in whole.items() if not isinstance(v, dict)}, **whole.get("transcribe", {})}
                form = self.sent(text)
                for key, value in expected.items():
                    key = key.replace("-", "_")
                    if key == "jobs":
                        continue
                    if key == "word_timestamps":
                        self.assertEqual("timestamp_granularities[]" in form, value)
                    elif isinstance(value, str):
                        self.assertEqual(form.get(key, ""), value)
                    else:
                        self.assertEqual(float(form[key]), value)

    def test_refuses_what_tomllib_refuses(self) -> None:
        for text in lines(WRONG):
            with self.subTest(text=text):
                with self.assertRaises(tomllib.TOMLDecodeError):
                    tomllib.loads(text)
                self.check(self.run_with(text, self.tone), 2, f"{self.file}:")

    def test_refuses_what_it_does_not_read(self) -> None:
        for text in lines(NOT_READ):
            with self.subTest(text=text):
                tomllib.loads(text)
                self.check(self.run_with(text, self.tone), 2, f"{self.file}:")

    def test_damaged_texts(self) -> None:
        """Whatever is refused by tomllib is refused, and whatever is taken means the same."""
        good = 'prompt = "a\\tb\\u00e9" # c\nlanguage = \'en\'\nbeam_size = 1_2\n[transcribe]\ntemperature = 2.5e-1\n'
        rng = random.Random(7)
        for _ in range(150):
            text = list(good)
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(len(text))
                text[at : at + rng.randint(0, 2)] = rng.choice(["", '"', "'", "\\", "[", "]", "#", "\n", "=", ".", "_", "1", "e", " ", ","])
            text = "".join(text)
            done = self.run_with(text, self.tone)
            try:
                whole = tomllib.loads(text)
            except tomllib.TOMLDecodeError:
                self.assertEqual(done.returncode, 2, text)
                continue
            self.assertIn(done.returncode, (0, 2), text)
            if done.returncode == 0:
                form = self.server.fields[-1]
                prompt = whole.get("transcribe", {}).get("prompt", whole.get("prompt", ""))
                self.assertEqual(form.get("prompt", ""), prompt, text)


if __name__ == "__main__":
    unittest.main()
