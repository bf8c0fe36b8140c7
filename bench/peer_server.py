# SPDX-License-Identifier: MIT
"""A small server around one peer, with the part of OpenAI's API that bench/compare asks for.

    peer_server.py ENGINE MODEL_DIR GGML --port N [--threads T] [--workers W] [--processes P]

Uploads are received as they come; transcriptions run W at a time in this process (one model with W worker threads;
pywhispercpp: one behind a lock), or, with --processes, one at a time in each of P processes that take from one queue.
"""

import argparse
import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import os
import tempfile

import uvicorn
from engine import faster_whisper, pywhispercpp
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

RUN = None


def load(engine, model_dir, ggml, threads, workers):
    global RUN
    if engine.startswith("faster-whisper"):
        RUN, _ = faster_whisper(engine, model_dir, threads, workers)
    else:
        RUN = pywhispercpp(ggml, threads)


def work(path, beam):
    answer = RUN(path, beam)
    return answer[0] if isinstance(answer, tuple) else answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("model_dir")
    parser.add_argument("ggml")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    start = (args.engine, args.model_dir, args.ggml, args.threads, args.workers)
    if args.processes > 1:
        context = multiprocessing.get_context("spawn")
        pool = concurrent.futures.ProcessPoolExecutor(args.processes, context, load, start)
        # Processes start with the first jobs: have all of them there before the port answers.
        concurrent.futures.wait([pool.submit(os.getpid) for _ in range(args.processes)])
    else:
        load(*start)
        pool = concurrent.futures.ThreadPoolExecutor(args.workers)

    async def transcribe(request):
        async with request.form() as form:
            with tempfile.NamedTemporaryFile(suffix=os.path.splitext(form["file"].filename)[1]) as file:
                file.write(await form["file"].read())
                file.flush()
                beam = int(form.get("beam_size", "1"))
                text = await asyncio.get_running_loop().run_in_executor(pool, work, file.name, beam)
        return JSONResponse({"text": text})

    async def health(_):
        return JSONResponse({"status": "ok"})

    @contextlib.asynccontextmanager
    async def life(_):
        yield
        pool.shutdown(wait=False, cancel_futures=True)

    routes = [Route("/v1/audio/transcriptions", transcribe, methods=["POST"]), Route("/health", health)]
    app = Starlette(routes=routes, lifespan=life)
    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
