# SPDX-License-Identifier: MIT
"""Sections of bench/compare about a server under load and about what grows with it: clients, growth.

In: arguments, a model's folder. Out: lines of Markdown; growth also draws docs/growth-MODEL.svg when it writes.
"""

import time

import audio
from load import drive
from peers import ROOT, PeerServer, Sotto, offers, say
from tables import beams, grid, mib, plot, seconds

# Ways to give faster-whisper two cores: (threads, workers, processes).
SETTINGS = [(2, 1, 1), (1, 2, 1), (1, 1, 2)]


def traffic():
    """jfk.flac and seven recordings of 3 to 15 s."""
    first = [clip for clip in audio.sample_clips() if clip.seconds < 15]
    return (first + audio.short_clips(7)) or audio.sample_clips()[:1]


def counts(args, model):
    few = [number for number in args.clients if number in (1, 4, 16)] or args.clients
    return args.clients if model.name in args.in_full else few


def best_setting(args, model, clips):
    """The way that does most requests a second with many clients, and what was seen of each."""
    if args.peer_settings == 1:
        return SETTINGS[0], ""
    seen = {}
    for setting in SETTINGS[: args.peer_settings]:
        server = PeerServer("faster-whisper int8", "faster-whisper int8", model, *setting)
        try:
            drive(server, clips, 2, 2)
            seen[setting] = drive(server, clips, 4, max(8, args.requests // 2)).rate
        finally:
            server.close()
        say(f"clients: {model.name}, faster-whisper, {describe(setting)}: {seen[setting]:.2f} requests/s")
    said = "; ".join(f"{describe(setting)} {rate:.2f}" for setting, rate in seen.items())
    return max(seen, key=seen.get), said


def describe(setting):
    threads, workers, processes = setting
    return f"cpu_threads={threads}, num_workers={workers}" + (f", {processes} processes" if processes > 1 else "")


def load_rows(args, server, clips, counts_, beam, model):
    drive(server, clips, min(2, counts_[-1]), 2, beam)
    rows = []
    for clients in counts_:
        say(f"{model.name}, {server.name}, {beams(beam)}, clients: {clients}")
        time.sleep(0.25)
        rows.append(drive(server, clips, clients, max(args.requests, 3 * clients), beam))
    return rows


def clients(args, model):
    clips = traffic()
    many = counts(args, model)
    most = many[-1:]
    best, seen = best_setting(args, model, clips)
    makers = [lambda: Sotto(args, model)]
    if offers(args, "--slots"):
        makers.append(lambda: Sotto(args, model, "sotto --slots 1", options=["--slots", "1"]))
    makers.append(lambda: PeerServer(f"faster-whisper int8, {describe(best)}", "faster-whisper int8", model, *best))
    if "pywhispercpp f16" in args.peers:
        makers.append(lambda: PeerServer("pywhispercpp f16, one lock", "pywhispercpp f16", model, args.threads))
    results = {}
    for make in makers:
        server = make()
        try:
            # One at a time behind a lock: the rate does not depend on the clients.
            few = server.name.startswith(("pywhispercpp", "sotto --slots"))
            for beam in args.beams:
                here = most if beam > 1 or few else many
                for row in load_rows(args, server, clips, here, beam, model):
                    results[server.name, beam, row.clients] = row
        finally:
            server.close()
    rows = []
    for (name, beam, number), row in sorted(results.items(), key=lambda item: (item[0][1], item[0][2])):
        ours = results["sotto", beam, number].rate
        rows.append([beams(beam), number, name, len(row.latencies), f"{row.rate:.2f}", f"{row.speed:.1f}×",
                     seconds(row.p50), seconds(row.p95), mib(row.rss_kb), f"{ours / row.rate:.2f}×"])
    head = ["decoding", "clients", "server", "requests", "requests/s", "real time", "p50", "p95", "memory",
            "sotto's rate to this"]
    notes = [
        f"- Closed loop: each client posts its next recording when it has the answer to its last; {len(clips)} recordings "
        f"of {min(c.seconds for c in clips):.1f} to {max(c.seconds for c in clips):.1f} s, the same order for all, a new "
        "connection each. Memory: greatest sum of the resident sets of the server's processes. Peers stand behind "
        "`bench/peer_server.py` (uvicorn).",
    ]
    if seen:
        notes.append(f"- faster-whisper with 4 clients, requests/s: {seen}; the best was taken.")
    return grid(head, rows) + notes


def growth(args, model):
    clips = traffic()
    many = counts(args, model)
    # One thread is measured up to 10 minutes, and models outside --in-full too: the line is straight by then.
    whole = model.name in args.in_full
    loads, files, rows = {}, {}, []
    for threads in args.growth_threads:
        server = Sotto(args, model, threads=threads)
        try:
            loads[threads] = load_rows(args, server, clips, many, 1, model)
        finally:
            server.close()
    for threads in args.growth_threads:
        for length in args.growth:
            if length > 600 and (not whole or threads != max(args.growth_threads)):
                continue
            clip = audio.cut(length) if length < 600 else audio.joined(length)
            if clip is None:
                continue
            say(f"growth: {model.name}, {audio.label(length)}, {threads} thread(s)")
            server = Sotto(args, model, threads=threads)
            try:
                server.run(audio.cut(10).path, 1)
                runs = [server.run(clip.path, 1)[0] for _ in range(3 if length <= 60 else 1)]
                taken = sorted(runs)[len(runs) // 2]
                files.setdefault(threads, []).append(
                    {"audio": clip.seconds, "seconds": taken, "peak_kb": server.peak_kb, "length": length}
                )
            finally:
                server.close()
    for threads, measured in loads.items():
        rows += [[threads, row.clients, len(row.latencies), f"{row.rate:.2f}", f"{row.speed:.1f}×", seconds(row.p50),
                  seconds(row.p95), mib(row.rss_kb)] for row in measured]
    lines = grid(["threads", "clients", "requests", "requests/s", "real time", "p50", "p95", "memory"], rows)
    rows = [[threads, audio.label(row["length"]), seconds(row["seconds"]), f"{row['seconds'] / row['audio']:.4f}",
             f"{row['audio'] / row['seconds']:.1f}×", mib(row["peak_kb"])]
            for threads, measured in files.items() for row in measured]
    lines += grid(["threads", "recording", "seconds", "real-time factor", "real time", "peak memory"], rows)
    if args.write:
        picture = ROOT / "docs" / f"growth-{model.name}.svg"
        plot(picture, model.name, loads, files)
        lines += [f"![growth of {model.name}](docs/{picture.name})", ""]
    return lines + [
        "- sotto alone, default settings, greedy. Above: recordings of 3 to 15 s in closed loop, memory the greatest "
        "resident set; below: one recording in a fresh daemon after 10 s of warm-up, memory its peak.",
    ]
