# SPDX-License-Identifier: MIT
"""keywords[]: names that are heard as something else without them, and nothing changed for those who give none."""

import unittest

from daemon import SOURCE, Daemon, need_model

SPEECH = SOURCE.parent / "shared/speech/dev"
# Recording, and names in it that tiny.en spells otherwise.
NAMES = {
    "LJ001-0031": ("Sweynheim", "Pannartz", "Subiaco"),
    "4441-76250-0000": ("Arvid Falk",),
    "2033-164914-0005": ("Zau al Makan",),
}


class Keywords(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not SPEECH.exists():
            raise unittest.SkipTest("needs the recordings in ../shared")
        cls.d = Daemon()
        cls.addClassCleanup(cls.d.finish)

    def text(self, name, keywords=()):
        file = next(SPEECH.glob(f"{name}.*")).read_bytes()
        return self.d.post(file, fields=[("keywords[]", k) for k in keywords]).json["text"]

    def test_names_are_recognised(self):
        for name, keywords in NAMES.items():
            plain, led = self.text(name), self.text(name, keywords)
            for keyword in keywords:
                self.assertNotIn(keyword, plain)
                self.assertIn(keyword, led)

    def test_words_that_are_not_said_do_not_appear(self):
        foreign = "Szymborska", "Kyrenia", "photolithography"
        text = self.text("LJ001-0009", foreign)
        for word in foreign:
            self.assertNotIn(word, text)
        self.assertIn("movable types", text)

    def test_blank_ones_are_none(self):
        self.assertEqual(self.text("LJ001-0031", ["", "  "]), self.text("LJ001-0031"))


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
