# SPDX-License-Identifier: MIT
"""The page / in a real browser: files, the microphone, words that can be heard, downloads, pictures."""

import http.server
import json
import os
import re
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import soundfile
from chromium import Chromium
from daemon import RECORDINGS, Daemon, multipart, need_model, word_edits
from test_captions import JFK

# SOTTO_SCREENSHOTS names a directory that keeps what the page looks like, for people.
SCREENSHOTS = os.environ.get("SOTTO_SCREENSHOTS")
NOTE = "document.getElementById('note').textContent"
TEXT = "document.getElementById('text').textContent"
SPOKEN = "[...document.querySelectorAll('#text .word')].map(e => e.textContent).join(' ')"
DONE = "!document.getElementById('figures').hidden"
PLAYER = "document.getElementById('player')"
RECORD = "document.getElementById('record').textContent"
WIDTH = "document.documentElement.scrollWidth"


class Before(http.server.ThreadingHTTPServer):
    """Stands before a daemon: wants a key, and answers stream=true with events as OpenAI words them, one a gate."""

    daemon_threads = True

    def __init__(self, daemon, key, deltas):
        self.daemon, self.key, self.deltas = daemon, key, deltas
        self.gate, self.keys = threading.Semaphore(0), []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __exit__(self, *exc):
        self.shutdown()
        super().__exit__(*exc)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.headers.get("Authorization")
        self.server.keys.append(key)
        if self.path != "/" and key != f"Bearer {self.server.key}":
            self.say(401, "application/json", json.dumps({"error": {"message": "No such key"}}).encode())
        elif re.search(rb'name="stream"\r\n\r\ntrue', body):
            self.stream()
        else:
            kind = {"Content-Type": self.headers["Content-Type"]} if body else {}
            answer = self.server.daemon.request(self.command, self.path, body, kind)
            self.say(answer.status, answer.headers["Content-Type"], answer.body)

    do_POST = do_GET

    def say(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.say(200, "text/event-stream", b"")
        for delta in self.server.deltas:
            if not self.server.gate.acquire(timeout=60):
                return
            self.event({"type": "transcript.text.delta", "delta": delta})
        self.event({"type": "transcript.text.done", "text": "".join(self.server.deltas).strip()})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, event):
        whole = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for half in whole[:25], whole[25:]:  # an event need not come in one piece
            self.wfile.write(half)
            self.wfile.flush()
            time.sleep(0.02)

    def log_message(self, *_):
        pass


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
        cls.streams = cls.d.post(cls.recording.read_bytes(), fields=[("stream", "true")]).status == 200

    def keep(self, page, name):
        if SCREENSHOTS:
            page.screenshot(Path(SCREENSHOTS) / f"home-{name}.png")

    def drop(self, page, path):
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in "dragEnter", "dragOver", "drop":
            page.call("Input.dispatchDragEvent", type=kind, x=300, y=200, data=data)

    def click(self, page, element):
        page.run(f"{element}.scrollIntoView({{ block: 'center' }})")
        x, y = page.run(f"(b => [b.left + b.width / 2, b.top + b.height / 2])({element}.getBoundingClientRect())")
        for kind in "mousePressed", "mouseReleased":
            page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def word(self, text, which=0):
        return f"[...document.querySelectorAll('#text .word')].filter(e => /^{text}/.test(e.textContent))[{which}]"

    def no_errors(self, page):
        self.assertEqual(page.errors, [])
        refusals = [] if self.streams else ["Failed to load resource: the server responded with a status of 400 (Bad Request)"]
        self.assertEqual(page.console, refusals)

    def expected_words(self):
        fields = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")]
        return self.d.post(self.recording.read_bytes(), fields=fields).json["words"]

    def test_dropped_file(self):
        words = self.expected_words()
        with Chromium() as page:
            page.size(1280, 900)
            page.open(self.d.url + "/")
            page.wait_for("document.getElementById('model').textContent === 'tiny.en, 37.8M parameters'")
            self.assertEqual(page.run(WIDTH), 1280)
            self.keep(page, "idle")
            self.drop(page, self.recording)
            page.wait_for(DONE, 120)
            self.assertEqual(page.run(SPOKEN), " ".join(w["word"] for w in words))
            self.assertEqual(page.run(NOTE), "")

            # A click on a word plays from there and marks it; keys move and play too.
            at = next(i for i, w in enumerate(words) if w["word"].startswith("country"))
            self.click(page, self.word("country"))
            page.wait_for(f"!{PLAYER}.paused && {PLAYER}.currentTime >= {words[at]['start']} - 0.01")
            self.assertLess(page.run(f"{PLAYER}.currentTime"), words[at]["end"] + 2)
            page.wait_for("document.querySelectorAll('#text .now').length === 1")
            page.key("Escape")
            page.wait_for(f"{PLAYER}.paused")
            page.key("Home"), page.key("ArrowRight")
            self.assertEqual(page.run("document.activeElement.textContent"), words[1]["word"])
            page.run(f"window.sought = []; {PLAYER}.addEventListener('seeked', () => window.sought.push({PLAYER}.currentTime))")
            page.key("Enter")
            page.wait_for("window.sought.length")
            self.assertAlmostEqual(page.run("window.sought[0]"), words[1]["start"], delta=0.3)
            page.key("Escape")
            self.assertEqual(page.run("document.querySelectorAll('#text [tabindex=\"0\"]').length"), 1)
            self.assertEqual(page.run(NOTE), "")

            # The pictures have the figures of the response.
            report = page.run("result.sotto")
            self.assertEqual(page.run("document.querySelectorAll('#parts rect').length"), 2 * len(report["parameters"]["by_part"]))
            self.assertEqual(page.run("document.querySelectorAll('#part-rows tr').length"), len(report["parameters"]["by_part"]))
            wide = page.run("Object.fromEntries([...document.querySelectorAll('#parts rect')].map(e => [e.textContent.split(':')[0], Number(e.getAttribute('width'))]))")
            self.assertAlmostEqual(wide["token embedding"] / wide["encoder mlp"], 19915776 / 4726272, delta=0.1)
            self.assertTrue(page.run("document.getElementById('sum').textContent.includes(seconds(result.sotto.seconds.total))"))
            self.assertGreater(page.run("document.querySelectorAll('#stages rect').length"), 8)
            self.click(page, "document.getElementById('all')")
            page.wait_for("document.getElementById('sum').textContent.includes('since the daemon started')")
            self.assertGreater(page.run("shown.runs"), 1)
            self.click(page, "document.getElementById('one')")
            page.wait_for("shown === result.sotto")

            self.keep(page, "wide")
            page.size(380, 844)
            self.assertEqual(page.run(WIDTH), 380)
            self.assertEqual(page.run("document.getElementById('options').open = true, " + WIDTH), 380)
            self.keep(page, "phone")
            self.no_errors(page)

    def test_downloads(self):
        with Chromium() as page, tempfile.TemporaryDirectory() as folder:
            page.open(self.d.url + "/")
            page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
            self.drop(page, self.recording)
            page.wait_for(DONE, 120)
            for kind in "txt", "srt", "vtt", "json":
                self.click(page, f"document.querySelector('[data-format={kind}]')")
                saved = Path(folder) / f"jfk.{kind}"
                for _ in range(200):
                    if saved.exists():
                        break
                    time.sleep(0.05)
                if kind == "json":
                    self.assertEqual(json.loads(saved.read_text()), page.run("result"))
                    continue
                fields = [("response_format", kind), ("word_timestamps", "true")]
                own = self.d.post(self.recording.read_bytes(), fields=fields)
                self.assertEqual(saved.read_bytes(), own.body, kind)
            self.no_errors(page)

    def test_microphone(self):
        with Chromium(self.recording) as page:
            page.size(1280, 900)
            page.open(self.d.url + "/")
            for _ in range(3):  # the link, the file, the microphone
                page.key("Tab")
            self.assertEqual(page.run("document.activeElement.id"), "record")
            page.key(" ", " ")
            page.wait_for(f"{RECORD} === 'Stop 0:02'", 60)
            self.keep(page, "recording")
            page.wait_for(f"{RECORD} === 'Stop 0:12'", 60)
            page.key(" ", " ")
            page.wait_for(DONE, 120)
            self.assertEqual(page.run(RECORD), "Record")
            self.assertLessEqual(word_edits(page.run(SPOKEN), JFK), 4)
            self.assertAlmostEqual(page.run(f"{PLAYER}.duration"), 12.5, delta=1.5)
            self.assertRegex(page.run("document.getElementById('name').textContent"), r"^recording \d{4}-\d\d-\d\d [\d.]+\.wav$")
            self.no_errors(page)

    def test_refusals(self):
        with Chromium() as page, tempfile.TemporaryDirectory() as folder:
            page.open(self.d.url + "/")
            page.run("document.getElementById('record').click()")
            page.wait_for(f"{NOTE}.includes('blocked')")
            self.assertEqual(page.run(RECORD), "Record")
            text = Path(folder) / "no.mp3"
            text.write_text("this is no audio")
            self.drop(page, text)
            page.wait_for(f"/audio/i.test({NOTE})", 60)
            self.assertTrue(page.run("document.getElementById('tools').hidden && document.getElementById('work').hidden"))
            self.assertEqual(page.errors, [])

    def test_key_and_events(self):
        with Before(self.d, "sk-1", [" And so, my fellow", " Americans,", " ask not."]) as before, Chromium() as page:
            page.open(before.url + "/")
            page.wait_for(f"{NOTE} === 'No such key'")
            page.wait_for("document.activeElement.id === 'key'")
            page.call("Input.insertText", text="sk-1")
            page.key("Tab")
            page.wait_for(f"{NOTE} === '' && document.getElementById('model').textContent.startsWith('tiny.en')")
            self.assertEqual(page.run("sessionStorage.getItem('sotto-key')"), "sk-1")
            self.assertEqual(page.run("localStorage.length"), 0)
            self.drop(page, self.recording)
            for heard in "Andso,myfellow", "Andso,myfellowAmericans,", "Andso,myfellowAmericans,asknot.":
                self.assertFalse(page.run(DONE))
                before.gate.release()
                page.wait_for(f"{TEXT}.replace(/\\s/g, '') === '{heard}'")
            page.wait_for(DONE, 120)  # the times of words have come
            self.assertLessEqual(word_edits(page.run(SPOKEN), JFK), 4)
            self.assertEqual(before.keys[0], None)
            self.assertEqual(set(before.keys[2:]), {"Bearer sk-1"})
            # Cancel, and the page is ready for another.
            self.drop(page, self.recording)
            page.wait_for("!document.getElementById('work').hidden")
            self.click(page, "document.getElementById('cancel')")
            page.wait_for(f"{NOTE} === 'Cancelled.' && document.getElementById('work').hidden")
            self.assertEqual(page.errors, [])

    def test_jobs(self):
        with tempfile.TemporaryDirectory() as state, Daemon("--state-dir", state) as d, Chromium() as page:
            page.size(1280, 900)
            page.open(d.url + "/")
            item = "document.querySelector('.job')"
            body, kind = multipart([("temperature_inc", "0")], self.recording.read_bytes(), "talk.wav")
            page.wait_for("document.getElementById('model').textContent !== ''")
            self.assertEqual(d.request("POST", "/v1/jobs", body, {"Content-Type": kind}).status, 201)
            page.open(d.url + "/")
            page.wait_for(f"{item} && {item}.querySelector('span').textContent.startsWith('1 of 1 recordings')", 60)
            self.assertEqual(page.run(f"{item}.querySelector('progress').value"), 1)
            self.click(page, f"{item}.querySelector('button')")
            page.wait_for(f"!!{item}.querySelector('dd')")
            self.assertIn("talk.wav", page.run(f"{item}.querySelector('dt').textContent"))
            self.assertLess(word_edits(page.run(f"{item}.querySelector('dd').textContent"), JFK), 4)
            self.keep(page, "jobs")
            page.size(380, 700)
            self.assertLessEqual(page.run(WIDTH), 380)
            self.click(page, f"{item}.querySelectorAll('button')[1]")
            page.wait_for("!document.querySelector('.job') && document.getElementById('jobs').hidden")
            self.assertEqual(d.get("/v1/jobs").json["data"], [])
            self.assertEqual((page.errors, page.console), ([], []))

    def test_asks_nobody_else(self):
        answer = self.d.get("/")
        html = answer.body.decode()
        self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
        self.assertNotRegex(html, r"(src|href)=\"?(https?:)?//")
        self.assertIn("default-src 'none'", html)
        self.assertNotIn("innerHTML", html)
        self.assertEqual([u for u in re.findall(r"https?://(?!localhost)[\w.]+", html) if u != "http://www.w3.org"], [])


if __name__ == "__main__":
    need_model("tiny.en")
    if not Chromium.installed():
        print("skipped: chromium is not installed")
        sys.exit(77)
    unittest.main()
