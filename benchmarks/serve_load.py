"""Load on `latentaudio serve` from many clients, beside the offline batch.

    python benchmarks/serve_load.py --clients 200 --seconds 300

It starts a server with mini on 127.0.0.1 and prints throughput, waiting times at half load, the
time of a cancel, memory, and how many sampled answers equal the files of the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

PATH = "/v1/audio/generations"
PROMPTS = ("a dog barking", "rain on a roof", "a church bell", "footsteps on gravel")
NUM_ALONE = 5
START_S = 300.0


def request_of(number: int, seconds: float) -> dict[str, Any]:
    """The body of request `number`; each has a seed of its own."""
    prompt = PROMPTS[number % len(PROMPTS)]
    return {"prompt": prompt, "duration": seconds, "seed": number, "wait": True}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "latentaudio", *words]


def start_server(store: Path, max_queue: int) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        command("serve", "--port", "0", "--store", str(store), "--max-queue", str(max_queue)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(r"listening on (\S+)", line):
            # the log has a line per request, which must not fill the pipe
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, match[1]
    raise SystemExit("the server did not start")


def memory_mb(process: subprocess.Popen[str]) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


async def wait_ready(client: httpx.AsyncClient) -> float:
    start = time.monotonic()
    while time.monotonic() - start < START_S:
        try:
            if (await client.get("/ready")).status_code == 200:
                return time.monotonic() - start
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("the server is not ready")


class Load:
    """What many clients have seen."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.hashes: dict[int, str] = {}
        self.seconds: list[float] = []
        self.num_wrong = 0
        self.next_number = 1_000

    async def ask(self, client: httpx.AsyncClient, seconds: float) -> httpx.Response:
        number = self.next_number
        self.next_number += 1
        start = time.monotonic()
        answer = await client.post(PATH, json=request_of(number, seconds))
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self.seconds.append(time.monotonic() - start)
            digest = hashlib.sha256(answer.content).hexdigest()
            self.num_wrong += digest != answer.headers["x-sha256"]
            self.hashes[number] = digest
        elif answer.status_code != 429 or "retry-after" not in answer.headers:
            self.num_wrong += 1
        return answer


async def saturate(client: httpx.AsyncClient, args: argparse.Namespace) -> tuple[Load, float]:
    """Let all clients ask without a pause; return what they saw and the time."""
    load = Load()
    start = time.monotonic()

    async def one_client() -> None:
        while time.monotonic() - start < args.seconds:
            answer = await load.ask(client, args.duration)
            if answer.status_code == 429:
                await asyncio.sleep(float(answer.headers["retry-after"]))

    await asyncio.gather(*(one_client() for _ in range(args.clients)))
    return load, time.monotonic() - start


async def half_load(
    client: httpx.AsyncClient, args: argparse.Namespace, alone_s: float, jitter: bool
) -> list[float]:
    """Ask at half of what the server can do, evenly or at random; return the times."""
    import random

    rng = random.Random(1)
    load = Load()
    load.next_number = 500_000 if jitter else 600_000
    waiting = []
    for _ in range(args.half_requests):
        waiting.append(asyncio.create_task(load.ask(client, args.duration)))
        pause = 2 * alone_s
        await asyncio.sleep(rng.expovariate(1 / pause) if jitter else pause)
    await asyncio.gather(*waiting)
    return load.seconds


async def cancels(client: httpx.AsyncClient, num: int) -> list[float]:
    """Cancel long jobs that run; return the seconds until each has ended, and of a step."""
    times = []
    for number in range(num):
        body = {**request_of(700_000 + number, 10.0), "steps": 200, "wait": False}
        job = (await client.post(PATH, json=body)).json()
        while (await client.get(f"{PATH}/{job['id']}")).json()["steps_done"] < 2:
            await asyncio.sleep(0.02)
        start = time.monotonic()
        ended = (await client.delete(f"{PATH}/{job['id']}")).json()
        assert ended["status"] == "cancelled", ended["status"]
        times.append(time.monotonic() - start)
    return times


def offline(folder: Path, numbers: list[int], seconds: float) -> tuple[dict[int, str], float]:
    """Make some of the clips with `latentaudio batch`; return hashes and seconds of one clip."""
    import json

    rows = folder / "rows.jsonl"
    lines = []
    for number in numbers:
        body = request_of(number, seconds)
        body.pop("wait")
        lines.append(json.dumps({**body, "name": f"n{number}"}))
    rows.write_text("\n".join(lines))
    out = folder / "out"
    start = time.monotonic()
    subprocess.run(command("batch", str(rows), str(out), "--quiet"), check=True)
    whole = time.monotonic() - start
    first = folder / "first.jsonl"
    first.write_text(lines[0])
    start = time.monotonic()
    subprocess.run(command("batch", str(first), str(folder / "one"), "--quiet"), check=True)
    start_s = time.monotonic() - start
    hashes = {}
    for number in numbers:
        hashes[number] = hashlib.sha256((out / f"n{number}.wav").read_bytes()).hexdigest()
    return hashes, (whole - start_s) / max(len(numbers) - 1, 1)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


async def measure(args: argparse.Namespace, folder: Path) -> None:
    process, address = start_server(folder / "store", args.max_queue)
    limits = httpx.Limits(max_connections=args.clients + 10)
    try:
        async with httpx.AsyncClient(base_url=address, timeout=None, limits=limits) as client:
            print(f"ready after {await wait_ready(client):.1f} s")
            alone = Load()
            for _ in range(NUM_ALONE):
                await alone.ask(client, args.duration)
            alone_s = statistics.median(alone.seconds)
            print(f"a clip of {args.duration:g} s alone: {alone_s:.2f} s")
            before = memory_mb(process)
            load, wall = await saturate(client, args)
            after = memory_mb(process)
            print(f"{args.clients} clients, {wall:.0f} s: {dict(load.statuses)}")
            print(f"wrong or unclean answers: {load.num_wrong}")
            print(f"memory: {before:.0f} MB before, {after:.0f} MB after")
            for jitter in (False, True):
                times = await half_load(client, args, alone_s, jitter)
                kind = "at random" if jitter else "evenly"
                p95 = percentile(times, 0.95)
                print(f"half load {kind}: p95 {p95:.2f} s, {p95 / alone_s:.2f} x alone")
            times = await cancels(client, args.cancels)
            print(
                f"cancel: p50 {percentile(times, 0.5):.3f} s, p99 {percentile(times, 0.99):.3f} s"
            )
    finally:
        process.terminate()
        process.wait(timeout=120)
    numbers = list(load.hashes)[:: max(len(load.hashes) // args.samples, 1)][: args.samples]
    hashes, clip_s = offline(folder, numbers, args.duration)
    num_equal = sum(hashes[number] == load.hashes[number] for number in numbers)
    rate = load.statuses[200] / wall
    print(f"equal to the command line: {num_equal} of {len(numbers)}")
    print(f"throughput: {rate:.2f} clips/s; batch: {1 / clip_s:.2f}; ratio {rate * clip_s:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds of a clip")
    parser.add_argument("--max-queue", type=int, default=64)
    parser.add_argument("--half-requests", type=int, default=100)
    parser.add_argument("--cancels", type=int, default=50)
    parser.add_argument("--samples", type=int, default=100)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
