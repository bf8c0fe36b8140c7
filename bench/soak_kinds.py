# SPDX-License-Identifier: MIT
"""Clients of bench/soak that do something else than post a recording: hand over jobs, caption speech."""

import http.client
import json
import random
import time

import jobs

CAPTIONS = "/v1/captions?language=en&every_interval=true"


def captions(port, clip, leave=False):
    """The confirmed text of a recording that is sent faster than it was spoken; None for who leaves in the midst."""
    import soundfile
    from websockets.sync.client import connect

    samples, rate = soundfile.read(clip.path, dtype="int16", always_2d=True)
    pcm = samples[:, 0].tobytes()
    words = []
    with connect(f"ws://127.0.0.1:{port}{CAPTIONS}&rate={rate}", max_size=None, ping_interval=None, open_timeout=120) as ws:
        for at in range(0, len(pcm), 32000):
            if leave and at > len(pcm) // 2:
                return None
            ws.send(pcm[at : at + 32000])
        ws.send('{"type": "end"}')
        while True:
            message = json.loads(ws.recv(600))
            words += [w["text"] for w in message.get("confirmed", ())]
            if message["type"] == "error":
                raise ValueError(message["message"])
            if message["type"] == "done":
                return "".join(words).strip()


def job_client(load, number):
    """Hands over three recordings at a time, holds their texts against the references, and deletes every other job before
    it has ended."""
    rng, turn = random.Random(number), number
    while time.monotonic() < load.end:
        chosen = [rng.randrange(len(load.clips)) for _ in range(3)]
        try:
            status, job = jobs.submit(load.port, [load.clips[i].path for i in chosen], load.fields)
            if status != 201:
                load.fault(f"{status} for a job: {job}")
                return
            turn += 1
            end = time.monotonic() + (300 if turn % 2 else rng.uniform(0, 1))
            while job["state"] not in ("done", "failed") and time.monotonic() < end:
                time.sleep(0.2)
                status, job = jobs.ask(load.port, "GET", f"/v1/jobs/{job['id']}")
            if job["state"] == "done":
                for i, row in zip(chosen, job["data"]):
                    text = " ".join(row["result"]["text"].split())
                    if text != load.references[i]:
                        load.fault(f"{load.clips[i].name} in a job: {text!r}, alone: {load.references[i]!r}")
                load.note("jobs answered")
            elif turn % 2:
                load.fault(f"a job does not end: {job}")
            else:
                load.note("jobs deleted early")
            jobs.ask(load.port, "DELETE", f"/v1/jobs/{job['id']}")
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            load.fault(f"a job failed: {error!r}")
            return


def caption_client(load, number):
    """Captions one recording after the other, each as it was captioned alone; every third time it leaves in the midst."""
    rng, turn, known = random.Random(number), number, load.captions
    while time.monotonic() < load.end:
        i = rng.choice(sorted(known))
        turn += 1
        try:
            said = captions(load.port, load.clips[i], leave=turn % 3 == 0)
        except Exception as error:  # websockets has many
            if "503" in str(error):  # all streams are taken
                load.note("captions refused, tried again")
                time.sleep(rng.uniform(0.2, 1))
                continue
            load.fault(f"captions failed: {error!r}")
            return
        load.note("captions left" if said is None else "captions")
        if said is not None and said != known[i]:
            load.fault(f"{load.clips[i].name} captioned: {said!r}, alone: {known[i]!r}")
