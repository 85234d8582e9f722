"""A real process: its address, one sound, kill -9 with a store, and the end at SIGTERM."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

PATH = "/v1/audio/generations"
BODY = {"prompt": "dog", "duration": 1.0, "steps": 2, "seed": 3}
START_S = 120
pytestmark = [pytest.mark.cli, pytest.mark.slow]


@contextmanager
def server(model, *flags):
    """Yield a process that serves the tiny model, and its address."""
    words = [sys.executable, "-m", "latentaudio", "serve", "--port", "0", "--model", str(model)]
    with subprocess.Popen(
        [*words, "--device", "cpu", "--precision", "fp32", *flags],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    ) as process:
        try:
            yield process, address_of(process)
        finally:
            process.kill()


def address_of(process):
    lines = []
    for line in process.stderr:
        lines.append(line)
        if match := re.search(r"listening on (http://\S+)", line):
            return match[1]
    raise AssertionError("".join(lines))


def wait_until_ready(address):
    limit = time.monotonic() + START_S
    while time.monotonic() < limit:
        try:
            if httpx.get(f"{address}/ready", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("not ready")


def test_finished_jobs_survive_a_kill_and_sigterm_finishes_the_rest(tiny_folder, tmp_path):
    store = tmp_path / "store"
    with server(tiny_folder, "--store", str(store), "--no-warm-up") as (process, address):
        wait_until_ready(address)
        content = httpx.post(f"{address}{PATH}", json={**BODY, "wait": True}, timeout=START_S)
        assert content.status_code == 200
        long = httpx.post(f"{address}{PATH}", json={**BODY, "duration": 10, "steps": 250})
        assert long.status_code == 202
        process.kill()
        process.wait()
    with server(tiny_folder, "--store", str(store), "--no-warm-up") as (process, address):
        wait_until_ready(address)
        [job] = httpx.get(f"{address}{PATH}").json()["data"]
        assert job["status"] == "done"
        assert httpx.get(f"{address}{job['content_url']}").content == content.content
        again = httpx.post(f"{address}{PATH}", json={**BODY, "wait": True}, timeout=START_S)
        assert again.headers["x-cache"] == "hit"
        assert again.content == content.content
        job = httpx.post(f"{address}{PATH}", json={**BODY, "seed": 4}, timeout=START_S).json()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=START_S) == 0
    stored = {place.name for place in (store / "jobs").iterdir()}
    assert job["id"] in stored
    assert not [name for name in stored if name.startswith(".")]


def test_port_that_is_taken(tiny_folder):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = [sys.executable, "-m", "latentaudio", "serve", "--port", str(port)]
        done = subprocess.run(
            [*words, "--model", str(tiny_folder)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
