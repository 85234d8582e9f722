"""kill -9 of `latentaudio serve --store` under load: no finished job is lost or half-written.

    python benchmarks/serve_kills.py --kills 20

It starts a server on 127.0.0.1, lets clients ask, kills it at a random moment, and repeats. After
each start every job that a client saw done must be listed, with the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import threading
import time
from pathlib import Path

import httpx
from serve_load import PATH, START_S, request_of, start_server


def ask_until_it_dies(address: str, first: int, seconds: float, done: dict[str, str]) -> None:
    """Ask for clips; remember the hash of each job that was answered."""
    number = first
    with httpx.Client(base_url=address, timeout=60) as client:
        try:
            while True:
                answer = client.post(PATH, json={**request_of(number, seconds), "steps": 4})
                number += 1
                if answer.status_code == 200:
                    digest = hashlib.sha256(answer.content).hexdigest()
                    done[answer.headers["x-job-id"]] = digest
        except httpx.TransportError:
            return


def wait_ready(address: str) -> None:
    start = time.monotonic()
    while time.monotonic() - start < START_S:
        try:
            if httpx.get(f"{address}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("not ready")


def check(address: str, done: dict[str, str]) -> int:
    """Return how many jobs that clients saw done are lost or changed."""
    num_wrong = 0
    with httpx.Client(base_url=address, timeout=60) as client:
        for job, digest in done.items():
            answer = client.get(f"{PATH}/{job}/content")
            is_same = hashlib.sha256(answer.content).hexdigest() == digest
            num_wrong += answer.status_code != 200 or not is_same
        for job in client.get(PATH, params={"limit": 100}).json()["data"]:
            for clip in job["clips"]:
                content = client.get(clip["content_url"]).content
                num_wrong += hashlib.sha256(content).hexdigest() != clip["sha256"]
    return num_wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--duration", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=15.0, help="longest life of a server")
    args = parser.parse_args()
    rng = random.Random(1)
    done: dict[str, str] = {}
    num_wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for kill in range(args.kills + 1):
            process, address = start_server(Path(folder) / "store", 64)
            wait_ready(address)
            num_wrong += check(address, done)
            if kill == args.kills:
                process.kill()
                process.wait()
                break
            threads = []
            for number in range(args.clients):
                first = 1000 * (kill * args.clients + number)
                words = (address, first, args.duration, done)
                threads.append(threading.Thread(target=ask_until_it_dies, args=words))
                threads[-1].start()
            time.sleep(rng.uniform(0.5, args.seconds))
            process.kill()
            process.wait()
            for thread in threads:
                thread.join()
            parts = len(list((Path(folder) / "store" / "jobs").glob(".*.part")))
            told = f"{len(done)} jobs done, {num_wrong} lost or changed, {parts} unfinished"
            print(f"kill {kill + 1}: {told}", flush=True)
    print(f"{args.kills} kills, {len(done)} finished jobs, {num_wrong} lost or changed")


if __name__ == "__main__":
    main()
