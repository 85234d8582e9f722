"""One server process: uvicorn, its signals, and the folder of clips.

At the first SIGTERM or Ctrl-C the server takes no more requests, finishes those it has, and ends.
Jobs and open connections have the drain time together. At the second signal it ends at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from ..errors import UsageError
from ..fileio import lock_folder, temporary_directory
from . import notices
from .app import create_app
from .compute import Compute
from .jobs import JobManager, JobSettings
from .limits import Limits
from .model_pool import ModelPool, PoolSettings
from .store import Store

LOGGER = logging.getLogger("latentaudio.serve")
MAX_CONNECTIONS = 2000
BACKLOG = 2048
"""Connections that wait to be accepted."""
KEEP_ALIVE_S = 15
POLL_S = 0.1
LAST_ANSWERS_S = 2.0
"""Seconds in which clients can fetch what was finished last, before a draining server ends."""
CLOSE_S = 1
"""Seconds that open connections have at least, after which they are closed."""


@dataclass(frozen=True)
class ServerSettings:
    """Where the server listens, and how it ends.

    Attributes:
        host: Address.
        port: Port; 0: a free one.
        api_keys: Keys, of which each request needs one; none: everybody may use the server.
        store: Folder in which finished jobs survive; None: they end with the server.
        drain_s: Seconds in which requests are finished after SIGTERM.
        ray: Address of a Ray cluster that computes; None: this process does.
    """

    host: str = "127.0.0.1"
    port: int = 8123
    api_keys: Sequence[str] = ()
    store: Path | None = None
    drain_s: float = 30.0
    ray: str | None = None


class _Server(uvicorn.Server):
    """uvicorn, which finishes jobs before it ends.

    Attributes:
        manager: The jobs.
        drain_s: Seconds for that.
    """

    def __init__(self, config: uvicorn.Config, manager: JobManager, drain_s: float) -> None:
        super().__init__(config)
        self.manager = manager
        self.drain_s = drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal; end at the second."""
        if self.manager.is_draining:
            super().handle_exit(sig, frame)
            return
        self.manager.drain()
        LOGGER.info("finishing %d requests, then stopping", self.manager.num_unfinished)
        threading.Thread(target=self._end_when_idle, daemon=True).start()

    def _end_when_idle(self) -> None:
        """Wait for the jobs and for the clients that fetch them, then end the server.

        Connections that are open then, such as streams, have the rest of the drain time.
        """
        end = time.monotonic() + self.drain_s
        had_work = self.manager.num_unfinished > 0
        while self.manager.num_unfinished and time.monotonic() < end:
            time.sleep(POLL_S)
        if had_work:
            time.sleep(LAST_ANSWERS_S)
        seconds_left = math.ceil(end - time.monotonic())
        self.config.timeout_graceful_shutdown = max(seconds_left, CLOSE_S)
        self.should_exit = True


def run_server(
    settings: ServerSettings, pool: PoolSettings, jobs: JobSettings, limits: Limits
) -> None:
    """Run a server until it is stopped. It prints its address when it listens.

    Raises:
        LatentAudioError: A model or the store cannot be used, or the port is taken.
    """
    models = ModelPool(pool)
    with (
        _listen(settings) as listener,
        _store_folder(settings.store) as folder,
        _elsewhere(settings.ray, pool) as elsewhere,
    ):
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
        notices.install()
        manager = JobManager(models, Store(folder), limits, jobs, elsewhere)
        config = uvicorn.Config(
            create_app(manager, settings.api_keys),
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=CLOSE_S,
            lifespan="on",
            ws="none",
        )
        server = _Server(config, manager, settings.drain_s)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        LOGGER.info("listening on http://%s:%d", shown, port)
        asyncio.run(server.serve(sockets=[listener]))


@contextmanager
def _listen(settings: ServerSettings) -> Iterator[socket.socket]:
    """Yield a socket that listens.

    Raises:
        UsageError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(BACKLOG)  # who connects from now on waits until the server answers
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot listen on {settings.host}:{settings.port} "
                f"({getattr(error, 'strerror', None) or error}); choose another --port or --host"
            ) from None
        yield listener
    finally:
        listener.close()


@contextmanager
def _store_folder(store: Path | None) -> Iterator[Path]:
    """Yield the folder of clips; without a store one that is deleted."""
    if store is None:
        with temporary_directory(Path(tempfile.gettempdir())) as folder:
            yield folder
        return
    with lock_folder(store, "serving"):
        yield store


@contextmanager
def _elsewhere(address: str | None, pool: PoolSettings) -> Iterator[Compute | None]:
    """Yield what computes on a Ray cluster; None without its address."""
    if address is None:
        yield None
        return
    from .ray_cluster import cluster_compute

    with cluster_compute(address, pool) as compute:
        yield compute
