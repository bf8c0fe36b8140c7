# SPDX-License-Identifier: MIT
"""Sections of bench/compare in which one request runs at a time: clips, encoder, long.

In: arguments, a model's folder. Out: lines of Markdown.
"""

import contextlib
import statistics
import time

import audio
import score
from peers import BATCHED, Peer, Sotto, say, window_modes
from tables import beams, grid, mib, seconds, spread

FIRST = "faster-whisper int8"
# A peer's threads spin for up to 200 ms after their work; the next engine must not find them on its cores.
REST = 0.25


@contextlib.contextmanager
def running(makers):
    engines = []
    try:
        for make in makers:
            engines.append(make())
        yield engines
    finally:
        for engine in engines:
            engine.close()


def differing(a, b):
    """Edit distance in words."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def in_turn(engines, runs, action):
    """engine name -> figures; one warm-up each, then A B C, A B C, ... with a rest between."""
    taken = {engine.name: [] for engine in engines}
    for turn in range(runs + 1):
        for engine in engines:
            time.sleep(REST)
            figure = action(engine)
            if turn:
                taken[engine.name].append(figure)
    return taken


def sotto_makers(args, model):
    return [lambda: Sotto(args, model), lambda: Sotto.exact(args, model)]


def peer_makers(args, model, names):
    return [lambda name=name: Peer(name, model, args.threads) for name in names]


def clips(args, model):
    files = [audio.clip_of(path) for path in args.files] or audio.sample_clips() + audio.short_clips(args.clips)
    work = [(clip, beam) for clip in files for beam in args.beams
            if beam == 1 or args.files or clip.name in ("jfk.flac", "two_cities.wav")]
    names = [name for name in args.peers if name != BATCHED or any(clip.seconds > 30 for clip in files)]
    rows, ratios = [], {"sotto": {}, "sotto exact": {}}
    with running(sotto_makers(args, model) + peer_makers(args, model, names)) as engines:
        for clip, beam in work:
            say(f"clips: {model.name}, {clip.name}, {beams(beam)}")
            here = [engine for engine in engines if engine.name != BATCHED or clip.seconds > 30]
            taken = in_turn(here, args.runs, lambda engine, c=clip, b=beam: engine.run(c.path, b))
            times = {name: [run[0] for run in runs] for name, runs in taken.items()}
            median = {name: statistics.median(values) for name, values in times.items()}
            text = {name: audio.plain(runs[0][1]) for name, runs in taken.items()}
            row = [f"{clip.name}, {clip.seconds:.1f} s", beams(beam)]
            for engine in engines:
                if engine.name not in median:
                    row.append("")
                    continue
                cell = spread(times[engine.name])
                if engine.name == "sotto":
                    cell += f", {clip.seconds / median['sotto']:.0f}× real time"
                else:
                    cell += f", **{median[engine.name] / median['sotto']:.2f}×**"
                off = differing(text["sotto"], text[engine.name])
                words = f", {off} word{'s differ' if off > 1 else ' differs'}" if off else ""
                row.append(cell + words)
            rows.append(row)
            for name in ratios:
                if FIRST in median:
                    ratios[name].setdefault(beam, []).append((median[FIRST] / median[name], clip.name))
        rows.append(["peak memory", "", *(mib(engine.peak_kb) for engine in engines)])
        names = [engine.name for engine in engines]
    lines = grid(["recording", "decoding", *names], rows)
    for name, by_beam in ratios.items():
        said = [f"{beams(beam)} {min(values)[0]:.2f}× ({min(values)[1]})" for beam, values in by_beam.items()]
        if said:
            lines.append(f"- Least ratio of {FIRST} to {name}: {', '.join(said)}")
    return lines + [
        f"- Runs of each, in turn, after one warm-up: {args.runs}; seconds are medians (least–greatest). **N×**: so many "
        "times as long as sotto; above 1, sotto is faster. Words that differ are counted against sotto's transcript, "
        "letter case and punctuation aside.",
        "- sotto: default settings, `language=en`, `temperature=0`; sotto exact: `--precision f32`, `tail_stride=1`, `sequential=true`. "
        "Peers have no fallback to higher temperatures. The batched pipeline (8) cuts by voice activity and decodes "
        "without timestamps; recordings above 30 s only.",
    ]


def encoder(args, model):
    window = audio.cut(30)
    names = [name for name in args.peers if name.startswith("faster-whisper") and name != BATCHED]
    say(f"encoder: {model.name}")

    def encode(engine):
        if isinstance(engine, Peer):
            return engine.encode(window.path)
        # Text tokens only: the window then always moves on by 30 s, so there is one.
        report = engine.report(window.path, without_timestamps="true")
        if report["windows"] != 1:
            raise SystemExit(f"compare: {window.name} took {report['windows']} windows")
        return report["seconds"]["encoder"]

    with running(sotto_makers(args, model) + peer_makers(args, model, names)) as engines:
        taken = in_turn(engines, args.encoder_runs, encode)
    ours = {name: statistics.median(taken[name]) for name in ("sotto", "sotto exact")}
    rows = []
    for name, times in taken.items():
        median = statistics.median(times)
        what = "encoder, and keys and values of cross-attention" if name in ours else "encoder"
        rows.append([name, what, f"{1000 * median:.0f} ms ({1000 * min(times):.0f}–{1000 * max(times):.0f})",
                     *(f"{median / value:.2f}×" for value in ours.values())])
    return grid(["engine", "computed in that time", "30 s window", "of sotto's", "of sotto exact's"], rows) + [
        f"- 30 s of speech; runs of each, in turn, after one warm-up: {args.encoder_runs}; median (least–greatest). sotto: "
        "`seconds.encoder` of its report, which includes the cross-attention's keys and values; the peers compute those "
        "later, while they decode. Log-mel is in neither.",
    ]


def long(args, model):
    lengths = [length for length in args.lengths if length <= 600 or model.name in args.in_full]
    files = [clip for clip in audio.sample_clips() if clip.name == "two_cities.wav"]
    files += [clip for clip in (audio.joined(length) for length in lengths) if clip]
    makers = [lambda: Sotto(args, model, fields={"temperature_inc": "0"})]
    for name, field, value in [*window_modes(args), *args.sotto_mode]:
        fields = {"temperature_inc": "0", field: value}
        makers.append(lambda name=name, fields=fields: Sotto(args, model, f"sotto {name}", fields=fields))
    names = [name for name in args.peers if name in (FIRST, BATCHED)]
    rows = []
    for clip in files:
        taken, peak = {}, {}
        runs = args.runs if clip.seconds < 100 else 1
        # A process a recording, so that its peak memory belongs to that recording.
        with running(makers + peer_makers(args, model, names)) as engines:
            for engine in engines:
                engine.run(audio.cut(10).path, 1)
            for _ in range(runs):
                for engine in engines:
                    say(f"long: {model.name}, {clip.name}, {engine.name}")
                    time.sleep(REST)
                    taken.setdefault(engine.name, []).append(engine.run(clip.path, 1))
            for engine in engines:
                peak[engine.name] = engine.peak_kb
        ours = statistics.median(run[0] for run in taken["sotto"])
        for name, figures in taken.items():
            median = statistics.median(run[0] for run in figures)
            rate = f"{score.wer(clip.reference, figures[0][1]):.2f} %" if clip.reference else ""
            rows.append([f"{clip.name}, {audio.label(clip.seconds)}", name, runs, seconds(median),
                         f"{clip.seconds / median:.1f}×", f"{median / ours:.2f}×", rate, mib(peak[name])])
    head = ["recording", "engine", "runs", "seconds", "real time", "of sotto's", "word error rate", "peak memory"]
    return grid(head, rows) + [
        "- Greedy, temperature 0 without fallback, all else at its default; the peak is of a process that did nothing "
        "but 10 s of warm-up and that recording. Both sides of the word error rate go through Whisper's English "
        "normaliser. Joined recordings: LibriSpeech, LJ Speech and, in the longest, two dictations, in a shuffled but "
        "fixed order with pauses of 0.4 to 1.2 s; a 30 s window often holds several speakers.",
    ]
