"""A part of tests/serve/hostile.py, against a server over the tiny model."""

import importlib.util
from pathlib import Path

import httpx

from latentaudio.serve.jobs import JobManager, JobSettings
from latentaudio.serve.limits import Limits
from latentaudio.serve.model_pool import ModelPool, PoolSettings
from latentaudio.serve.store import Store

spec = importlib.util.spec_from_file_location("hostile", Path(__file__).parent / "hostile.py")
hostile = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hostile)

NUM_REQUESTS = 160
BODY = {"prompt": "dog", "duration": 1.0, "steps": 2, "seed": 5, "wait": True}


def test_no_request_harms_the_server(tiny_folder, tmp_path, listen):
    store = Store(tmp_path / "store")
    pool = ModelPool(PoolSettings(models=[str(tiny_folder)], device="cpu", precision="fp32"))
    limits = Limits(
        max_duration_s=2.0,
        max_steps=2,
        max_clips=2,
        max_candidates=1,
        body_timeout_s=1.0,
        max_stream_s=2.0,
    )
    manager = JobManager(pool, store, limits, JobSettings(warm_up=False))
    with listen(manager) as found:
        host, port = found.removeprefix("http://").split(":")
        url = f"{found}{hostile.PATH}"
        before = httpx.post(url, json=BODY, timeout=60).content
        numbers = range(NUM_REQUESTS)
        failures, statuses = hostile.attack((host, int(port)), str(store.folder), numbers, 1)
        assert not failures
        assert statuses["422"] > NUM_REQUESTS / 8  # most are refused in words
        assert httpx.post(url, json=BODY, timeout=60).content == before
        assert not list((store.folder / "files").glob(".*.part"))
