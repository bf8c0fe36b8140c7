# SPDX-License-Identifier: MIT
"""`sotto transcribe --stream`: text while it is decoded, in this process and from a daemon's events."""

from __future__ import annotations

import http.server
import json
import os
import re
import select
import subprocess
import threading
import time
import unittest

from test_client import BIN, CITIES, Case, environment, needs_model, needs_speech, sotto, write_tone

DONE = {"type": "transcript.text.done", "text": "One two.\nThree größe."}


def delta(text: str) -> dict:
    return {"type": "transcript.text.delta", "delta": text}


class Events(http.server.ThreadingHTTPServer):
    """Answers stream=true with `events`, one for each release of the gate; or with `refusal`."""

    daemon_threads = True

    def __init__(self, *events: dict, refusal: dict | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.events, self.refusal, self.gate, self.asked = events, refusal, threading.Semaphore(0), []
        self.ends, self.piece = b"\n", 1 << 20
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        super().__exit__(*exc)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Events

    def do_GET(self) -> None:
        self.say(200, b'{"status": "ok", "data": [{"id": "tiny.en"}]}')

    def do_POST(self) -> None:
        body, s = self.rfile.read(int(self.headers["Content-Length"])), self.server
        stream = re.search(rb'name="stream"\r\n\r\ntrue', body) is not None
        s.asked.append((stream, re.search(rb'name="response_format"\r\n\r\n(\w+)', body)[1].decode()))
        if not stream:
            self.say(200, b"One two.\nThree.\n")
        elif s.refusal:
            self.say(400, json.dumps({"error": s.refusal}).encode())
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for event in s.events:
                s.gate.acquire(timeout=60)
                text = f"event: {event.get('type')}\n: a comment\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
                text = text.replace(b"\n", s.ends)
                for i in range(0, len(text), s.piece):
                    self.wfile.write(text[i : i + s.piece])
                    self.wfile.flush()
                    time.sleep(0.001 if s.piece < 100 else 0)
            self.wfile.write(b"data: [DONE]\n\n")

    def say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Stream(Case):
    def setUp(self) -> None:
        super().setUp()
        self.tone = write_tone(self.dir / "tone.wav", 0.1)

    def start(self, *arguments: object) -> subprocess.Popen:
        command = [BIN / "sotto", "transcribe", "--stream", *map(str, arguments)]
        run = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(run.stdout.close)
        self.addCleanup(run.stderr.close)
        self.addCleanup(run.kill)
        return run

    def read(self, run: subprocess.Popen, seconds: float = 30) -> str:
        """What is printed next, without waiting for the end."""
        self.assertTrue(select.select([run.stdout], [], [], seconds)[0], "nothing was printed")
        return os.read(run.stdout.fileno(), 1 << 16).decode()

    def test_daemon_that_sends_events(self) -> None:
        for ends, piece in ((b"\n", 1 << 20), (b"\r\n", 1 << 20), (b"\n", 7), (b"\r\n", 3)):
            with self.subTest(ends=ends, piece=piece), Events(delta(" One two.\n"), delta("Three größe."), DONE) as server:
                server.ends, server.piece = ends, piece
                run = self.start("--server", server.url, self.tone)
                server.gate.release()
                self.assertEqual(self.read(run), "One two.\n")
                self.assertIsNone(run.poll())
                server.gate.release()
                self.assertEqual(self.read(run), "Three größe.")
                self.assertIsNone(run.poll())
                server.gate.release()
                self.assertEqual(run.stdout.read(), b"\n")
                self.assertEqual((run.wait(30), run.stderr.read()), (0, b""))
                self.assertEqual(server.asked, [(True, "json")])

    def open(self, server: Events) -> Events:
        for _ in server.events:
            server.gate.release()
        return server

    def test_events_that_end_otherwise(self) -> None:
        for events, stdout, status, stderr in (
            ([DONE], "One two.\nThree größe.\n", 0, ""),
            ([delta("One two."), DONE], "One two.\nThree größe.\n", 0, ""),
            ([delta("One too."), DONE], "One too.\nOne two.\nThree größe.\n", 0, "has changed since"),
            ([delta("One ")], "One \n", 1, "ends in the middle of the text"),
            ([delta("One "), {"type": "error", "message": "out of luck"}], "One \n", 1, "out of luck"),
            ([{"error": {"message": "no luck at all"}}], "", 1, "no luck at all"),
        ):
            with self.subTest(events=events), self.open(Events(*events)) as server:
                done = sotto("transcribe", "--stream", "--server", server.url, self.tone)
                self.check(done, status, stderr)
                self.assertEqual(done.stdout.decode(), stdout)

    def test_daemon_without_events(self) -> None:
        with Events(refusal={"message": "stream=true is not supported here", "param": "stream"}) as server:
            done = sotto("transcribe", "--stream", "--server", server.url, self.tone)
            self.check(done, 0)
            self.assertEqual((done.stdout, done.stderr), (b"One two.\nThree.\n", b""))
            self.assertEqual(server.asked, [(True, "json"), (False, "txt")])
        with Events(refusal={"message": "no such language", "param": "language"}) as server:
            self.check(sotto("transcribe", "--stream", "--server", server.url, self.tone), 1, "no such language")
            self.assertEqual(len(server.asked), 1)

    @needs_model
    @needs_speech
    def test_in_this_process(self) -> None:
        run = self.start("--local", "--model", "tiny.en", "--sequential", CITIES)
        first = self.read(run, 120)
        self.assertIsNone(run.poll())
        self.assertTrue(first.startswith("It was the best of times"), first)
        self.assertTrue(first.endswith("\n"))
        text = first.encode() + run.stdout.read()
        self.assertEqual((run.wait(30), run.stderr.read()), (0, b""))
        whole = sotto("transcribe", "--local", "--model", "tiny.en", "--sequential", CITIES)
        self.assertEqual(text, whole.stdout)
        self.assertLess(len(first), len(text))

    def test_usage(self) -> None:
        for more in ["-f", "srt"], ["-f", "txt,srt"], ["-o", self.dir], ["-j", "2"]:
            self.check(sotto("transcribe", "--stream", *more, self.tone), 2, "--stream prints txt of one recording")


if __name__ == "__main__":
    unittest.main()
