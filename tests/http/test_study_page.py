# SPDX-License-Identifier: MIT
"""The page that `sotto study report` makes, in a real browser, from a made-up study; and /study, where the daemon shows it."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from chromium import Chromium
from daemon import BIN, MODELS, SOURCE, Daemon

sys.path.insert(0, str(SOURCE / "tests/support"))
import study_database  # noqa: E402

SCREENSHOTS = os.environ.get("SOTTO_SCREENSHOTS")
FIGURES = "[...document.querySelectorAll('#charts figure')]"
CELLS = "[...document.querySelectorAll('#rows tr')].map(r => r.children[{}].firstChild.textContent)"
TIP = "document.getElementById('tip')"


def numbers(texts):
    """Megabytes or kilobytes as bytes; what has none is left out."""
    found = [re.match(r"([\d.,]+) (MB|kB)", t) for t in texts]
    return [float(f[1].replace(",", "")) * (1e6 if f[2] == "MB" else 1e3) for f in found if f]


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="sotto-study-")
        cls.addClassCleanup(folder.cleanup)
        cls.out = Path(folder.name) / "out"
        database = Path(folder.name) / "study.sqlite"
        study_database.fill(database)
        subprocess.run([BIN / "sotto", "study", "report", "--database", database, "-o", cls.out], check=True)
        cls.results = json.loads((cls.out / "results.json").read_text())
        cls.url = (cls.out / "index.html").as_uri()

    def open(self, page, width, height=900):
        page.size(width, height)
        page.open(self.url)

    def keep(self, page, name):
        if SCREENSHOTS:
            page.screenshot(Path(SCREENSHOTS) / f"{name}.png")

    def hover(self, page, element):
        """Moves the pointer onto an element; the text that it then shows."""
        page.run(f"{element}.scrollIntoView({{block: 'center'}})")
        x, y = page.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({element}.getBoundingClientRect())")
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        page.wait_for(f"!{TIP}.hidden")
        return page.run(f"{TIP}.textContent")

    def test_has_the_data_of_the_files(self):
        with Chromium() as page:
            self.open(page, 1280)
            self.assertEqual(page.run("JSON.parse(raw)"), self.results)
            self.assertEqual(page.run("document.getElementById('csv').href").split(":")[0], "blob")
            csv, written = self.download(page, "csv"), (self.out / "results.csv").read_text()
            self.assertEqual(json.loads(self.download(page, "json")), self.results)
            self.assertEqual(csv.splitlines()[0], written.splitlines()[0])
            for mine, other in zip(csv.splitlines()[1:], written.splitlines()[1:], strict=True):
                for a, b in zip(mine.split(","), other.split(","), strict=True):
                    try:
                        self.assertEqual(float(a), float(b))
                    except ValueError:
                        self.assertEqual(a, b)

    def download(self, page, kind):
        """What a click on the link of results.KIND saves."""
        with tempfile.TemporaryDirectory(prefix="sotto-study-") as folder:
            page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
            page.run(f"document.getElementById('{kind}').click()")
            path = Path(folder) / f"results.{kind}"
            end = time.monotonic() + 20
            while not path.exists() or path.stat().st_size == 0:
                self.assertLess(time.monotonic(), end, f"results.{kind} was not saved")
                time.sleep(0.05)
            time.sleep(0.3)
            return path.read_text()

    def test_asks_nobody(self):
        html = (self.out / "index.html").read_text()
        self.assertNotRegex(html, r"(src|href)=\"?(https?:)?//")
        self.assertIn("default-src 'none'", html)

    def check_at(self, width):
        with Chromium() as page:
            self.open(page, width)
            self.assertEqual(page.run(f"{FIGURES}.length"), 3)
            drawn = [r for r in self.results["rows"] if r["set"] == "dev" and r["all_wer"]]
            self.assertEqual(page.run(f"{FIGURES}.map(f => f.querySelectorAll('circle').length)"), [len(drawn)] * 3)
            best = [sum(r[key] for r in drawn) for key in ("front_file_bytes", "front_nonzero", "front_multiply_adds")]
            self.assertEqual(page.run(f"{FIGURES}.map(f => f.querySelectorAll('circle.best').length)"), best)
            self.assertEqual(page.run("document.documentElement.scrollWidth"), width)
            self.assertGreaterEqual(page.run("Math.min(...[...document.querySelectorAll('#charts svg')].map(s => s.clientWidth))"), 280)
            for section in page.run("[...document.querySelectorAll('section')].map(s => s.querySelector('h2').id)"):
                self.assertGreater(page.run(f"document.getElementById('{section}').parentElement.textContent.length"), 150, section)
                page.run(f"document.getElementById('{section}').scrollIntoView()")
                self.keep(page, f"study-{width}-{section}")
            self.check_aims(page)
            self.check_tooltips(page, width)
            self.check_sets(page)
            self.check_sorting(page)
            self.assertEqual((page.errors, page.console), ([], []))

    def check_aims(self, page):
        aims = [a for a in self.results["aims"] if a["set"] == "dev"]
        said = page.run("[...document.querySelectorAll('#aims h3')].map(h => h.textContent)")
        for aim, text in zip(aims, said, strict=True):
            self.assertIn(f"{aim['model']}: at most {aim['most_bytes'] / 1e6:.1f} MB", text)
            self.assertEqual(text.endswith(": met"), aim["met"])
        tables = page.run("[...document.querySelectorAll('#aims table.stack')].map(t => t.textContent)")
        for aim, text in zip(aims, tables, strict=True):
            self.assertIn(f"{aim['sum_bytes'] / 1e6:.1f} MB", text)
            for part in aim["parts"]:
                self.assertIn(part["part"].replace("_", " "), text)
        self.assertIn(study_database.MACHINES[1], page.run("document.getElementById('rows').textContent"))

    def check_tooltips(self, page, width):
        dot = "document.querySelector('#charts circle.best')"
        row = next(r for r in self.results["rows"] if r["set"] == "dev" and r["configuration"] == int(page.run(f"{dot}.dataset.configuration")))
        text = self.hover(page, dot)
        self.assertIn(row["spec"], text)
        self.assertIn(f"WER {100 * row['all_wer']:.2f} %", text)
        box = page.run(f"(b => [b.left, b.right])({TIP}.getBoundingClientRect())")
        self.assertGreaterEqual(box[0], 0)
        self.assertLessEqual(box[1], width)
        self.keep(page, f"study-{width}-tip")
        text = self.hover(page, "[...document.querySelectorAll('.map td')].find(td => td.textContent)")
        self.assertRegex(text, r"(?s)@.*difference .*p ")
        # With the keyboard: from dot to dot, and away.
        page.run("document.querySelector('#charts svg').focus()")
        seen = []
        for _ in range(2):
            page.key("ArrowRight")
            seen.append(page.run(f"{TIP}.textContent"))
        cheapest = sorted((r for r in self.results["rows"] if r["set"] == "dev" and r["all_wer"]), key=lambda r: r["file_bytes"])
        for text, row in zip(seen, cheapest):
            self.assertIn(row["spec"], text)
        page.key("Escape")
        self.assertTrue(page.run(f"{TIP}.hidden"))

    def check_sets(self, page):
        headline = "document.getElementById('headline').textContent"
        self.assertIn("12.69 %", page.run(headline))
        page.run("document.querySelector('input[value=dev]').focus()")
        page.key("ArrowRight")
        page.wait_for("document.querySelector('input[value=noisy]').checked")
        self.assertIn("No comparison with people", page.run(headline))  # theirs is of speech without noise
        noisy = [r for r in self.results["rows"] if r["set"] == "noisy" and r["all_wer"]]
        self.assertEqual(page.run(f"{FIGURES}[0].querySelectorAll('circle').length"), len(noisy))
        page.run("document.querySelector('input[value=dev]').click()")

    def check_sorting(self, page):
        sort = "document.querySelector('#all th[data-key={}]')"
        sizes = numbers(page.run(CELLS.format(2)))
        self.assertGreater(len(sizes), 60)
        self.assertEqual(sizes, sorted(sizes))
        page.run(sort.format("all_wer") + ".firstChild.click()")
        wer = [float(t.split()[0]) for t in page.run(CELLS.format(6)) if "%" in t]
        self.assertEqual(wer, sorted(wer))
        page.run(sort.format("all_wer") + ".firstChild.focus()")
        page.key("Enter", "\r")
        self.assertEqual(page.run(sort.format("all_wer") + ".getAttribute('aria-sort')"), "descending")
        wer = [float(t.split()[0]) for t in page.run(CELLS.format(6)) if "%" in t]
        self.assertEqual(wer, sorted(wer, reverse=True))
        self.assertIn("No speed gained", page.run("document.getElementById('rows').textContent"))
        self.assertIn("a share between 0 and 1 was expected", page.run("document.getElementById('rows').textContent"))
        page.run("(i => { i.value = 'rank'; i.dispatchEvent(new Event('input')); })(document.getElementById('filter'))")
        self.assertTrue(all("rank" in t for t in page.run("[...document.querySelectorAll('#rows tr')].map(r => r.textContent)")))

    def test_on_a_phone(self):
        self.check_at(380)

    def test_on_a_desktop(self):
        self.check_at(1280)

    def test_in_the_dark(self):
        with Chromium() as page:
            page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
            self.open(page, 1280)
            ground, firm = page.run("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
            light = [sum(map(int, re.findall(r"\d+", c)[:3])) for c in (ground, firm)]
            self.assertLess(light[0], 150)
            self.assertGreater(light[1], 600)
            self.assertEqual((page.errors, page.console), ([], []))

    def test_the_one_in_the_source(self):
        """The report that the repository holds: made of its database, and drawn to the end."""
        folder, out = SOURCE / "study/results", self.out.parent / "again"
        subprocess.run([BIN / "sotto", "study", "report", "--database", folder / "english.sqlite", "-o", out], check=True)
        for name in ("index.html", "results.csv", "results.json"):
            self.assertEqual((out / name).read_bytes(), (folder / name).read_bytes(), name)
        for width in (380, 1280):
            with self.subTest(width), Chromium() as page:
                page.size(width, 900)
                page.open((folder / "index.html").as_uri())
                rows = json.loads((out / "results.json").read_text())["rows"]
                page.wait_for("document.querySelectorAll('#all tbody tr').length > 0")
                self.assertEqual(page.run("document.querySelectorAll('#all tbody tr').length"),
                                 sum(r["set"] == page.run("chosen") for r in rows))
                for section in page.run("[...document.querySelectorAll('section > div')].map(d => [d.id, d.childElementCount])"):
                    self.assertGreater(section[1], 0, section)
                self.assertLessEqual(page.run("document.documentElement.scrollWidth"), width)
                self.assertEqual((page.errors, page.console), ([], []))
                self.keep(page, f"source-{width}")

    def test_served(self):
        if not (MODELS / "tiny.en").exists():
            self.skipTest(f"model tiny.en is not in {MODELS}")
        path = self.out / "index.html"
        with Daemon("--study", path) as d:
            answer = d.get("/study")
            self.assertEqual((answer.status, answer.body), (200, path.read_bytes()))
            self.assertIn("text/html", answer.headers["Content-Type"])
            self.assertEqual(d.request("POST", "/study").status, 405)
            self.assertEqual(d.stop(), 0)
        with Daemon("--study", self.out / "none.html") as d:
            answer = d.get("/study")
            self.assertEqual(answer.status, 404)
            self.assertIn("--study names cannot be read: No such file", answer.error["message"])
            self.assertEqual(d.stop(), 0)
        with Daemon() as d:
            answer, built = d.get("/study"), SOURCE / "study/results/index.html"
            if built.exists():
                self.assertEqual((answer.status, answer.body), (200, built.read_bytes()))
            else:
                self.assertEqual(answer.status, 404)
                self.assertIn("sotto study report", answer.error["message"])
            self.assertEqual(d.stop(), 0)


if __name__ == "__main__":
    if not Chromium.installed():
        print("skipped: chromium is not installed")
        sys.exit(77)
    unittest.main()
