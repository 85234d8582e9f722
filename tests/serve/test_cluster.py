"""`serve --ray`: its parts in this process, and a real cluster by `pytest -m ray`."""

import asyncio
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from latentaudio.audio.io import Audio
from latentaudio.errors import GenerationError, UsageError
from latentaudio.serve.app import create_app
from latentaudio.serve.compute import StepDone
from latentaudio.serve.jobs import JobManager, JobSettings
from latentaudio.serve.limits import Limits
from latentaudio.serve.model_pool import ModelPool, PoolSettings
from latentaudio.serve.ray_cluster import NUM_TRIES, ClusterCompute, StepReplica
from latentaudio.serve.ray_connection import connect_ray
from latentaudio.serve.store import Store

PATH = "/v1/audio/generations"
BODY = {"prompt": "a bell", "duration": 1, "steps": 3, "seed": 5, "wait": True}
NUM_JOBS = 8


class LostError(Exception):
    """A replica is gone."""


class Call:
    """The answer of a replica, as handles of Ray Serve have it: an iterator with `cancel`."""

    def __init__(self, events):
        self.events = events
        self.is_cancelled = threading.Event()

    def __iter__(self):
        loop = asyncio.new_event_loop()
        try:
            while True:
                try:
                    yield loop.run_until_complete(anext(self.events))
                except StopAsyncIteration:
                    return
                if self.is_cancelled.is_set():
                    loop.run_until_complete(self.events.aclose())
                    raise LostError
        finally:
            loop.run_until_complete(self.events.aclose())
            loop.close()

    def cancel(self):
        self.is_cancelled.set()


class Handle:
    """A deployment of one replica in this process.

    Attributes:
        deaths: After how many events each of the next calls loses its replica.
    """

    def __init__(self, replica):
        self.replica = replica
        self.deaths = []
        self.calls = []
        self.compute = self

    def options(self, **_):
        return self

    def remote(self, *values):
        limit = self.deaths.pop(0) if self.deaths else None
        self.calls.append(Call(self._events(limit, *values)))
        return self.calls[-1]

    async def _events(self, limit, *values):
        num_events = 0
        async for event in self.replica.compute(*values):
            if num_events == limit:
                raise LostError
            num_events += 1
            yield event


@pytest.fixture
def pool(tiny_folder):
    return PoolSettings(models=[str(tiny_folder)], device="cpu", precision="fp32")


@pytest.fixture
def cluster(pool, tmp_path):
    """A client of a server whose jobs one replica computes, and the handle of the replica."""
    replica = StepReplica(pool)
    handle = Handle(replica)
    manager = JobManager(
        ModelPool(pool),
        Store(tmp_path / "cluster"),
        Limits(max_queue=3),
        JobSettings(warm_up=False),
        ClusterCompute(handle, (LostError,)),
    )
    with TestClient(create_app(manager)) as client:
        client.manager = manager
        yield client, handle
    replica.close()


def hashes(client, body):
    """The checksums of the clips of a request."""
    job = client.post(PATH, json={**body, "wait": False}).json()["id"]
    while (state := client.get(f"{PATH}/{job}").json())["status"] in ("queued", "running"):
        time.sleep(0.02)
    assert state["status"] == "done", state
    return [clip["sha256"] for clip in state["clips"]]


def test_a_replica_computes_the_same_bytes(cluster, client):
    on_cluster, _ = cluster
    for changes in ({}, {"num_waveforms": 2}, {"stereo_width": 0.5}, {"format": "flac"}):
        body = {**BODY, **changes}
        assert hashes(on_cluster, body) == hashes(client, body)
    body = {"prompt": "rain", "steps": 2, "seed": 3, "duration": 12}
    expected = client.post("/v1/audio/stream", json=body)
    assert on_cluster.post("/v1/audio/stream", json=body).content == expected.content


def test_events_and_previews_come_from_the_replica(cluster):
    client, _ = cluster
    job = client.post(PATH, json={**BODY, "wait": False, "preview_every": 1, "steps": 4}).json()
    text = client.get(f"{PATH}/{job['id']}/events").text
    names = re.findall(r"^event: (\w+)$", text, re.MULTILINE)
    assert names[-1] == "done" and {"step", "preview"} <= set(names)
    assert json.loads(text.rsplit("data: ", 1)[1])["steps_done"] == 4


def test_a_part_whose_replica_dies_is_computed_again_and_no_clip_comes_twice(cluster, client):
    on_cluster, handle = cluster
    body = {**BODY, "num_waveforms": 3, "steps": 2}
    handle.deaths = [1, 5, 7]
    assert hashes(on_cluster, body) == hashes(client, body)
    assert len(handle.calls) == NUM_TRIES
    handle.deaths = [0] * NUM_TRIES
    answer = on_cluster.post(PATH, json={**BODY, "seed": 6})
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == f"its worker died {NUM_TRIES} times"


def test_a_failure_in_the_replica_is_told_in_words(cluster, monkeypatch):
    def fail(*_):
        raise GenerationError("the clip is silent")

    monkeypatch.setattr("latentaudio.generation.engine.check_audible", fail)
    answer = cluster[0].post(PATH, json=BODY)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "the clip is silent"


def test_a_cancelled_job_ends_with_the_step_and_a_deadline_counts(cluster):
    client, handle = cluster
    long = {**BODY, "wait": False, "steps": 200}
    job = client.post(PATH, json=long).json()
    while client.get(f"{PATH}/{job['id']}").json()["steps_done"] < 2:
        time.sleep(0.01)
    assert client.delete(f"{PATH}/{job['id']}").json()["status"] == "cancelled"
    assert handle.calls[-1].is_cancelled.is_set()
    assert client.manager.num_unfinished == 0
    answer = client.post(PATH, json={**BODY, "steps": 200, "deadline_s": 0.5})
    assert answer.status_code == 504


def test_a_full_queue_is_refused(cluster):
    client, _ = cluster
    jobs = []
    for seed in range(4):
        jobs.append(client.post(PATH, json={**BODY, "wait": False, "steps": 60, "seed": seed}))
    assert [job.status_code for job in jobs] == [202] * 3 + [429]
    assert jobs[-1].headers["retry-after"]
    for job in jobs[:-1]:
        client.delete(f"{PATH}/{job.json()['id']}")


def test_requests_that_share_a_batch_in_a_replica_get_their_own_clips(pool, tiny, tmp_path):
    replica = StepReplica(pool)
    replica._scheduler.batch_size = 8
    models = ModelPool(pool)
    manager = JobManager(
        models, Store(tmp_path), Limits(), JobSettings(), ClusterCompute(Handle(replica), ())
    )
    plans = [
        manager._planner.plan({"prompt": "a bell", "duration": 1, "steps": 2, "seed": seed}, None)
        for seed in (1, 2)
    ]

    async def run():
        return await asyncio.gather(*(collect(plan) for plan in plans))

    async def collect(plan):
        from latentaudio.serve.ray_cluster import Turn

        turn = Turn("a", plan.model, plan.num_units, plan.batch_key)
        return [event async for event in replica.compute(plan.parts[0], (), turn)]

    blocker = threading.Event()
    replica._scheduler.submit(_blocking_task(blocker))
    threading.Timer(0.5, blocker.set).start()  # both wait, so they begin together
    for seed, events in zip((1, 2), asyncio.run(run()), strict=True):
        [clip] = [event for event in events if isinstance(event, Audio)]
        assert clip.seed == seed
        assert [event.num_done for event in events if isinstance(event, StepDone)][-1] == 2
    replica.close()


def _blocking_task(blocker):
    from latentaudio.serve.ray_cluster import ReplicaTask

    class Blocking(ReplicaTask):
        @property
        def part(self):
            blocker.wait(10)
            return None

        @part.setter
        def part(self, value):
            pass

    return Blocking("b", "", 1.0, lambda error: None)


def test_without_ray_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr("latentaudio.serve.ray_connection.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"--ray needs the package ray; run .*\[cluster\]"):
        connect_ray("local")


def replicas():
    """Processes of this machine that are replicas of Ray Serve."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if words.startswith(b"ray::ServeReplica:latentaudio"):
            found.append(int(folder.name))
    return found


def check_that_a_lost_replica_loses_no_job(served, local):
    end = time.monotonic() + 120
    while served.get("/ready").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.2)
    bodies = [{**BODY, "wait": False, "steps": 200, "seed": k} for k in range(NUM_JOBS)]
    jobs = [served.post(PATH, json=body).json()["id"] for body in bodies]
    while len(replicas()) < 2:
        assert time.monotonic() < end, "no second replica was started"
        time.sleep(0.1)
    running = [served.get(f"{PATH}/{job}").json()["status"] for job in jobs]
    assert "running" in running
    os.kill(replicas()[0], signal.SIGKILL)
    for job, body in zip(jobs, bodies, strict=True):
        while (state := served.get(f"{PATH}/{job}").json())["status"] in ("queued", "running"):
            time.sleep(0.1)
        assert state["status"] == "done", state
        content = served.get(f"{PATH}/{job}/content").content
        expected = local.post(PATH, json={**body, "wait": True}).content
        assert hashlib.sha256(content).digest() == hashlib.sha256(expected).digest()
    assert len(served.get(PATH).json()["data"]) == NUM_JOBS


@pytest.mark.ray
def test_a_real_cluster_of_two_replicas_loses_one_and_no_job(tiny_folder, client, tmp_path):
    pytest.importorskip("ray.serve", reason="needs the extra cluster: pip install '.[cluster]'")
    words = ["serve", "--ray", "local", "--port", "0", "--model", str(tiny_folder)]
    words += ["--device", "cpu", "--precision", "fp32", "--store", str(tmp_path / "store")]
    command = [sys.executable, "-m", "latentaudio", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                if match := re.search(r"listening on (\S+)", line):
                    break
            reading = threading.Thread(target=process.stderr.read)
            reading.start()
            with httpx.Client(base_url=match[1], timeout=120) as served:
                check_that_a_lost_replica_loses_no_job(served, client)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            reading.join()
    assert len(list((tmp_path / "store" / "jobs").iterdir())) == NUM_JOBS
    assert not replicas()
