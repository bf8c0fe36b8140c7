# SPDX-License-Identifier: MIT
"""From figures to Markdown, and Markdown into a file between its markers.

A section lies between `<!-- bench/compare NAME: begin -->` and `end`; in it, one block a model, between
`<!-- bench/compare NAME MODEL: begin -->` and `end`, so that a run for one model leaves the others' figures alone.
"""

import datetime
import os
import re
import statistics
import subprocess
from pathlib import Path

from peers import PACKAGES, ROOT, sotto_version


def machine():
    cpu = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    name = re.search(r"model name\s*:\s*(.*)", cpu)
    flags = set((re.search(r"flags\s*:\s*(.*)", cpu) or [0, ""])[1].split())
    wanted = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
    shown = [flag for flag in wanted if flag in flags]
    return f"{name[1].strip() if name else os.uname().machine}, {os.cpu_count()} cores, {' '.join(shown) or 'no AVX2'}"


def commit():
    def git(*arguments):
        return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "server", "include", "common", "CMakeLists.txt")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def provenance(args, section, model):
    command = " ".join(["bench/compare", f"--only {section} --models {model}", *args.shown])
    return [
        f"- Machine: {machine()}; threads: {args.threads}",
        f"- sotto: commit {commit()}, {sotto_version(args)}; peers: {', '.join(PACKAGES[:2])}",
        f"- {datetime.date.today().isoformat()}, `{command}`",
        "",
    ]


def grid(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows] + [""]


def spread(times):
    return f"{statistics.median(times):.2f} s ({min(times):.2f}–{max(times):.2f})"


def seconds(value):
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def mib(kb):
    return f"{kb / 1024:.0f} MiB"


def beams(number):
    return "greedy" if number == 1 else f"beam {number}"


def markers(name):
    return f"<!-- bench/compare {name}: begin -->", f"<!-- bench/compare {name}: end -->"


def block(section, model, lines):
    begin, end = markers(f"{section} {model}")
    return "\n".join([begin, f"#### {model}", "", *lines]).rstrip() + f"\n{end}\n"


def write(path, section, model, text):
    """Put a block in the place of the model's last one, else behind the other models of its section."""
    old = path.read_text(encoding="utf-8") if path.is_file() else "# Benchmarks\n"
    begin, end = markers(section)
    if begin not in old or end not in old:
        old += f"\n## {section}\n\n{begin}\n{end}\n"
    head, rest = old.split(begin, 1)
    inner, tail = rest.split(end, 1)
    first, last = markers(f"{section} {model}")
    if first in inner and last in inner:
        before, after = inner.split(first, 1)
        inner = before + text.rstrip("\n") + after.split(last, 1)[1]
    else:
        inner = inner.rstrip("\n") + "\n" + text
    path.write_text(head + begin + inner + end + tail, encoding="utf-8")


def plot(path, model, loads, files):
    """Two panels: load by clients, cost by length of the recording."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "sotto", "font.size": 9, "axes.grid": True,
                                "grid.alpha": 0.3, "legend.frameon": False})
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    colours = {1: "tab:orange", 2: "tab:blue"}
    more = left.twinx()
    more.grid(False)
    for threads, rows in loads.items():
        colour, x = colours.get(threads, "tab:green"), [row.clients for row in rows]
        word = f"{threads} thread{'s' if threads > 1 else ''}"
        left.plot(x, [row.rate for row in rows], "o-", color=colour, label=f"requests/s, {word}")
        more.plot(x, [row.p50 for row in rows], "s--", color=colour, alpha=0.6, label=f"p50, {word}")
        more.plot(x, [row.p95 for row in rows], "^:", color=colour, alpha=0.6, label=f"p95, {word}")
        left.set_xticks(x, [str(value) for value in x])
    left.set(title=f"{model}: clients", xlabel="clients", ylabel="requests/s", ylim=(0, None))
    more.set(ylabel="latency, s", ylim=(0, None))
    handles = [axis.get_legend_handles_labels() for axis in (left, more)]
    left.legend(handles[0][0] + handles[1][0], handles[0][1] + handles[1][1], fontsize=7, ncols=2,
                loc="upper center", bbox_to_anchor=(0.5, -0.2))
    more = right.twinx()
    more.grid(False)
    for threads, rows in files.items():
        colour, x = colours.get(threads, "tab:green"), [row["audio"] for row in rows]
        word = f"{threads} thread{'s' if threads > 1 else ''}"
        right.plot(x, [row["audio"] / row["seconds"] for row in rows], "o-", color=colour, label=f"× real time, {word}")
        more.plot(x, [row["peak_kb"] / 1024 for row in rows], "s--", color=colour, alpha=0.6, label=f"memory, {word}")
    right.set(title=f"{model}: length of the recording", xlabel="recording, s", ylabel="× real time", xscale="log",
              ylim=(0, None))
    more.set(ylabel="peak memory, MiB", ylim=(0, None))
    right.minorticks_off()
    handles = [axis.get_legend_handles_labels() for axis in (right, more)]
    right.legend(handles[0][0] + handles[1][0], handles[0][1] + handles[1][1], fontsize=7, ncols=2,
                loc="upper center", bbox_to_anchor=(0.5, -0.2))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    # A tenth of a point is finer than anyone sees.
    drawn = re.sub(r"(\d+\.\d)\d+", r"\1", path.read_text(encoding="utf-8"))
    path.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", encoding="utf-8")
