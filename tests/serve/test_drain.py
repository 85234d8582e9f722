"""The end of a server takes the drain time once, whatever is open."""

import asyncio
import re
import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn

from latentaudio.cli.serve import NetworkFlags
from latentaudio.serve import jobs, process

UNIT = Path(__file__).parents[2] / "deploy" / "latentaudio.service"
DRAIN_S = 3.0


async def endless(scope, receive, send):
    """An application whose answers do not end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b".", "more_body": True})
    await asyncio.sleep(60)


@pytest.mark.parametrize("num_unfinished", [0, 1])
def test_jobs_and_connections_share_the_drain_time(monkeypatch, num_unfinished):
    monkeypatch.setattr(process, "LAST_ANSWERS_S", 0.1)
    manager = SimpleNamespace(num_unfinished=num_unfinished, is_draining=False, drain=lambda: None)
    config = uvicorn.Config(
        endless, log_config=None, lifespan="off", timeout_graceful_shutdown=process.CLOSE_S
    )
    server = process._Server(config, manager, DRAIN_S)
    with socket.socket() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        running = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        running.start()
        while not server.started:
            time.sleep(0.01)
        client.connect(listener.getsockname())
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(100)
        start = time.monotonic()
        server.handle_exit(signal.SIGTERM, None)
        running.join(30)
        seconds = time.monotonic() - start
    # a connection that is open has all of the drain time, but not twice
    assert DRAIN_S <= seconds < DRAIN_S + process.CLOSE_S + 1.5


def test_the_unit_waits_for_the_end():
    longest = NetworkFlags().drain_seconds + process.LAST_ANSWERS_S + process.CLOSE_S + jobs.STOP_S
    [limit] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert int(limit) > longest
