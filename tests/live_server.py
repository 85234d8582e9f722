"""The application of `latentaudio serve` behind a socket, in a thread of the tests."""

import threading
import time
from contextlib import contextmanager

import uvicorn

from latentaudio.serve.app import create_app
from latentaudio.serve.jobs import JobManager, JobSettings
from latentaudio.serve.limits import Limits
from latentaudio.serve.model_pool import ModelPool, PoolSettings
from latentaudio.serve.store import Store

MAX_STEPS = 1000


def application(model, folder, keys=()):
    """The application over one model, with jobs in a folder."""
    pool = ModelPool(PoolSettings(models=[str(model)], device="cpu", precision="fp32"))
    settings = JobSettings(warm_up=False)
    return create_app(JobManager(pool, Store(folder), Limits(max_steps=MAX_STEPS), settings), keys)


@contextmanager
def running(app):
    """Serve an application on a free port; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
