# SPDX-License-Identifier: MIT
"""The page /captions in a real browser, with a recording as its microphone."""

import os
import re
import sys
import tempfile
import unittest
from pathlib import Path

import soundfile
from chromium import Chromium
from daemon import RECORDINGS, Daemon, need_model, word_edits
from test_captions import JFK

# SOTTO_SCREENSHOTS names a directory that keeps what the page looks like, for people.
SCREENSHOTS = os.environ.get("SOTTO_SCREENSHOTS")
TEXT = "document.getElementById('text').textContent"
FIRM = "[...document.querySelectorAll('#text p')].map(p => p.firstChild.textContent)"
NOTE = "document.getElementById('note').textContent"
MIC = "document.getElementById('mic').textContent"
# Every state that the sure words go through, and whether dim ones were seen.
WATCH = f"""
window.seen = []; window.dim = 0;
new MutationObserver(() => {{
  window.seen.push({FIRM}.join('|'));
  window.dim += document.querySelector('#text .soft')?.textContent ? 1 : 0;
}}).observe(document.getElementById('text'), {{ childList: true, subtree: true, characterData: true }});
"""


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not (RECORDINGS / "jfk.wav").exists():
            raise unittest.SkipTest("needs the recordings in ../shared")
        cls.folder = tempfile.TemporaryDirectory(prefix="sotto-page-")
        cls.addClassCleanup(cls.folder.cleanup)
        samples, rate = soundfile.read(RECORDINGS / "jfk.wav", dtype="int16", always_2d=True)
        cls.recording = Path(cls.folder.name) / "jfk.wav"
        soundfile.write(cls.recording, samples[:, 0], rate, subtype="PCM_16")  # what chromium reads
        cls.d = Daemon()
        cls.addClassCleanup(cls.d.finish)

    def keep(self, page, name, **options):
        if SCREENSHOTS:
            page.screenshot(Path(SCREENSHOTS) / f"{name}.png", **options)

    def test_captions_appear(self):
        with Chromium(self.recording) as page:
            page.size(1280, 720)
            page.open(self.d.url + "/captions")
            self.assertEqual(page.run(MIC), "Start")
            self.keep(page, "idle")
            page.run(WATCH)
            page.key("Tab"), page.key("Tab")  # the captions, then the button
            self.assertEqual(page.run("document.activeElement.id"), "mic")
            page.key(" ", " ")
            page.wait_for(f"{TEXT}.includes('Americans')", 60)
            self.assertEqual(page.run(MIC), "Stop")
            self.keep(page, "dark")
            page.size(390, 844)
            page.wait_for(f"/do for you/.test({TEXT})", 60)
            self.assertLessEqual(page.run("document.documentElement.scrollWidth"), 390)
            self.keep(page, "phone")
            page.wait_for(f"{FIRM}.join(' ').includes('your country') && {FIRM}.join(' ').match(/country/g).length > 1", 60)
            self.assertRegex(page.run("document.getElementById('figures').textContent"), r"^(speech|quiet), \d+\.\d s behind$")
            page.key(" ", " ")
            page.wait_for("document.getElementById('figures').textContent === 'not listening'")
            self.assertEqual(page.run(MIC), "Start")
            firm = " ".join(page.run(FIRM))
            self.assertEqual(page.run("document.querySelector('#text .soft').textContent"), "")
            self.assertLessEqual(word_edits(firm, JFK), 4, firm)
            # Sure words are only ever appended.
            seen = page.run("window.seen")
            self.assertGreater(len(seen), 10)
            for before, after in zip(seen, seen[1:]):
                self.assertTrue(after.startswith(before), (before, after))
            self.assertGreater(page.run("window.dim"), 3)
            self.assertEqual(page.errors, [])

    def test_for_obs(self):
        with Chromium(self.recording) as page:
            page.size(1280, 300)
            page.open(self.d.url + "/captions?obs=1&size=60&lines=2&language=en&model=tiny.en")
            page.wait_for(f"{TEXT}.includes('Americans')", 60)
            self.assertEqual(page.run("getComputedStyle(document.querySelector('footer')).display"), "none")
            self.assertEqual(page.run("getComputedStyle(document.body).backgroundColor"), "rgba(0, 0, 0, 0)")
            self.assertEqual(page.run("getComputedStyle(document.getElementById('text')).fontSize"), "60px")
            page.wait_for(f"{FIRM}.join(' ').includes('country')", 60)
            self.keep(page, "obs", transparent=True)
            box = page.run("(b => [b.top, b.bottom])(document.getElementById('main').getBoundingClientRect())")
            self.assertLessEqual(box[1] - box[0], 2 * 60 * 1.35 + 30)
            self.assertAlmostEqual(box[1], 300, delta=1)

    def test_refused_microphone(self):
        with Chromium() as page:
            page.open(self.d.url + "/captions")
            page.key(" ", " ")
            page.wait_for(f"{NOTE}.includes('blocked')")
            self.assertEqual(page.run(MIC), "Start")
            self.keep(page, "refused")

    def test_reason_of_a_refusal(self):
        with Chromium(self.recording) as page:
            page.open(self.d.url + "/captions?language=de&autostart=1")
            page.wait_for(f"{NOTE}.includes('English only')")

    def test_a_key_behind_the_address(self):
        keys = Path(self.folder.name) / "keys"
        keys.write_text("sk-page page\n")
        with Daemon("--api-key-file", keys) as d:
            with Chromium(self.recording) as page:
                page.open(d.url + "/captions?obs=1#api_key=sk-other")
                page.wait_for(f"{NOTE}.includes('none of this server')")
            with Chromium(self.recording) as page:
                page.open(d.url + "/captions?obs=1#api_key=sk-page")
                page.wait_for(f"{TEXT}.includes('fellow')", 60)
            self.assertNotIn("sk-", d.log)

    def test_daemon_comes_back(self):
        with Chromium(self.recording) as page:
            with Daemon() as d:
                page.open(d.url + "/captions")
                page.key(" ", " ")
                page.wait_for(f"{TEXT}.includes('fellow')", 60)
                self.assertEqual(d.stop(), 0)
                page.wait_for(f"{NOTE}.includes('Trying again')")
                said = page.run(f"{FIRM}.join(' ')")
                self.assertIn("fellow", said)
            with Daemon("--listen", f"127.0.0.1:{d.port}") as again:
                page.wait_for(f"{NOTE} === '' && document.getElementById('figures').textContent.includes('behind')", 60)
                self.assertTrue(page.run(f"{FIRM}.join(' ')").startswith(said))
                page.key(" ", " ")
                self.assertTrue(again.wait_for(lambda h: h["live"] == 0))
                self.assertEqual(again.stop(), 0)

    def test_asks_nobody_else(self):
        html = self.d.get("/captions").body.decode()
        self.assertNotRegex(html, r"(src|href)=\"?(https?:)?//")
        self.assertIn("default-src 'none'", html)
        self.assertEqual(re.findall(r"https?://(?!localhost)[\w.]+", html), [])


if __name__ == "__main__":
    need_model("tiny.en")
    need_model("silero-vad")
    if not Chromium.installed():
        print("skipped: chromium is not installed")
        sys.exit(77)
    unittest.main()
