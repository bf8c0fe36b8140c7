# SPDX-License-Identifier: MIT
"""One peer in a process of its own, so that its memory is its own: engine.py NAME MODEL_DIR GGML THREADS.

Reads requests as JSON lines {"file", "beam"} or {"file", "encode"}, answers {"seconds", "text", "peak_kb"}. Seconds are
those of the whole transcription, file decoding included, with the model loaded before; with "encode", those of the
encoder on features that are ready. Runs in the venv that bench/compare makes.
"""

import json
import sys
import time

BATCH = 8
WINDOW = 30 * 16000


def peak_kb():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def faster_whisper(name, model_dir, threads, workers=1):
    """(run, encode) of "faster-whisper int8|float32 [batched]"."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel
    from faster_whisper.audio import decode_audio

    kind, batched = name.split()[1], name.endswith(" batched")
    model = WhisperModel(model_dir, device="cpu", compute_type=kind, cpu_threads=threads, num_workers=workers)
    pipeline = BatchedInferencePipeline(model) if batched else model
    more = {"batch_size": BATCH} if batched else {}
    features = {}

    def run(file, beam):
        segments, _ = pipeline.transcribe(file, language="en", beam_size=beam, temperature=0, **more)
        return " ".join(segment.text.strip() for segment in segments)

    def encode(file):
        if file not in features:
            features[file] = model.feature_extractor(decode_audio(file)[:WINDOW], padding=0)[:, :3000]
        started = time.perf_counter()
        model.encode(features[file])
        return time.perf_counter() - started

    return run, encode


def pywhispercpp(ggml, threads):
    from faster_whisper.audio import decode_audio  # whisper.cpp itself reads 16 kHz wav only
    from pywhispercpp.model import Model

    models = {}

    def run(file, beam):
        if beam not in models:
            models.clear()  # the sampling strategy is fixed at construction; one model in memory at a time
            strategy = {"greedy": {"best_of": 1}} if beam == 1 else {"beam_search": {"beam_size": beam, "patience": -1}}
            models[beam] = Model(
                ggml,
                params_sampling_strategy=0 if beam == 1 else 1,
                redirect_whispercpp_logs_to=None,
                n_threads=threads,
                language="en",
                temperature=0.0,
                temperature_inc=0.0,
                no_context=False,
                print_progress=False,
                print_timestamps=False,
                **strategy,
            )
            models[beam].transcribe(decode_audio(file))
        started = time.perf_counter()
        text = " ".join(segment.text.strip() for segment in models[beam].transcribe(decode_audio(file)))
        return text, time.perf_counter() - started

    return run


def main():
    name, model_dir, ggml, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    # Answers go to the real standard output; whatever libraries print goes to standard error.
    out, sys.stdout = sys.stdout, sys.stderr
    if name.startswith("faster-whisper"):
        run, encode = faster_whisper(name, model_dir, threads)
    else:
        run, encode = pywhispercpp(ggml, threads), None
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        if request.get("encode"):
            text, seconds = "", encode(request["file"])
        else:
            answer = run(request["file"], request["beam"])
            text, seconds = answer if isinstance(answer, tuple) else (answer, time.perf_counter() - started)
        print(json.dumps({"seconds": seconds, "text": text, "peak_kb": peak_kb()}), file=out, flush=True)


if __name__ == "__main__":
    main()
