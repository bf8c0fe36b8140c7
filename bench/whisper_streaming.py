# SPDX-License-Identifier: MIT
"""The policy of whisper_streaming's whisper_online.py (arXiv:2307.14743) over faster-whisper, with its default settings.

In: a CTranslate2 model, a recording, threads. Out: a line of JSON for each iteration: {"at": when it was ready, "heard":
seconds of audio given to it, "took": seconds, "words": confirmed}. Defaults: --min-chunk-size 1.0, --buffer_trimming
segment at 15 s, beam 5, word timestamps, condition_on_previous_text; compute type int8, as sotto's. The clock is the
audio's, plus the time that each iteration took: the next one has what was spoken meanwhile.
"""

import json
import sys
import time

from faster_whisper import WhisperModel
from faster_whisper.audio import decode_audio

RATE, MIN_CHUNK, TRIM = 16000, 1.0, 15.0


class HypothesisBuffer:
    """LocalAgreement-2 over (start, end, word)."""

    def __init__(self):
        self.committed, self.before, self.new = [], [], []
        self.last_time = 0.0

    def insert(self, words, offset):
        words = [(a + offset, b + offset, t) for a, b, t in words]
        self.new = [w for w in words if w[0] > self.last_time - 0.1]
        if self.new and abs(self.new[0][0] - self.last_time) < 1 and self.committed:
            for n in range(1, min(len(self.committed), len(self.new), 5) + 1):  # repeats of what is committed
                if [w[2] for w in self.committed[-n:]] == [w[2] for w in self.new[:n]]:
                    del self.new[:n]
                    break

    def flush(self):
        commit = []
        while self.new and self.before and self.new[0][2] == self.before[0][2]:
            commit.append(self.new.pop(0))
            self.last_time = commit[-1][1]
            self.before.pop(0)
        self.before, self.new = self.new, []
        self.committed += commit
        return commit

    def forget(self, until):
        while self.committed and self.committed[0][1] <= until:
            self.committed.pop(0)


class Online:
    def __init__(self, model):
        self.model, self.buffer = model, HypothesisBuffer()
        self.audio, self.offset, self.said = None, 0.0, []

    def prompt(self):
        """The last 200 characters of text that has left the audio buffer."""
        text, length = [], 0
        for word in reversed([w[2] for w in self.said if w[1] <= self.offset]):
            if length >= 200:
                break
            text.append(word)
            length += len(word) + 1
        return "".join(reversed(text))

    def iterate(self, audio):
        self.audio = audio
        segments, _ = self.model.transcribe(audio[int(self.offset * RATE) :], language="en", beam_size=5,
                                            initial_prompt=self.prompt(), word_timestamps=True,
                                            condition_on_previous_text=True)
        segments = list(segments)
        words = [(w.start, w.end, w.word) for s in segments if s.no_speech_prob <= 0.9 for w in s.words]
        self.buffer.insert(words, self.offset)
        commit = self.buffer.flush()
        self.said += commit
        if len(audio) / RATE - self.offset > TRIM and self.said:
            ends = [s.end + self.offset for s in segments]
            if len(ends) > 1:
                last = self.said[-1][1]
                ends.pop()
                while len(ends) > 1 and ends[-1] > last:
                    ends.pop()
                if ends[-1] <= last:
                    self.buffer.forget(ends[-1])
                    self.offset = ends[-1]
        return commit


def main():
    model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=int(sys.argv[3]))
    audio = decode_audio(sys.argv[2])
    next(model.transcribe(audio[:RATE], language="en")[0], None)  # warm-up, as whisper_online.py does
    online, clock, heard, length = Online(model), 0.0, 0.0, len(audio) / RATE
    while heard < length:
        clock = max(clock, heard + MIN_CHUNK)
        heard = min(clock, length)
        started = time.perf_counter()
        words = online.iterate(audio[: int(heard * RATE)])
        took = time.perf_counter() - started
        clock = max(clock, heard) + took
        print(json.dumps({"at": clock, "heard": heard, "took": took, "words": [w[2] for w in words]}), flush=True)
    rest = [w[2] for w in online.buffer.before]
    print(json.dumps({"at": clock, "heard": heard, "took": 0, "words": rest}))


if __name__ == "__main__":
    main()
