"""A server over the tiny model, in this process."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi.testclient import TestClient

from latentaudio.serve.app import create_app
from latentaudio.serve.jobs import JobManager, JobSettings
from latentaudio.serve.limits import Limits
from latentaudio.serve.model_pool import ModelPool, PoolSettings
from latentaudio.serve.store import Store


@contextmanager
def serving(model, folder, *, keys=(), adapters=(), settings=None, **limits):
    """Yield a client of a server that has its own jobs."""
    pool = ModelPool(
        PoolSettings(models=[str(model)], adapters=adapters, device="cpu", precision="fp32")
    )
    manager = JobManager(
        pool, Store(folder), Limits(**limits), settings or JobSettings(warm_up=False)
    )
    with TestClient(create_app(manager, keys)) as client:
        client.manager = manager
        yield client


@contextmanager
def listening(manager, keys=()):
    """Yield the address of a server that listens on a port, in a thread."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(manager, keys), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=60)


@pytest.fixture(scope="session")
def listen():
    """Return `listening`; test modules cannot import this file by its name."""
    return listening


@pytest.fixture(scope="module")
def client(tiny_folder, tmp_path_factory):
    """A client of a server that the tests of one file share."""
    with serving(tiny_folder, tmp_path_factory.mktemp("store")) as served:
        yield served


@pytest.fixture
def make_client(tiny_folder, tmp_path):
    """Return a function that starts a server with other settings."""
    return lambda **settings: serving(tiny_folder, tmp_path / "store", **settings)
