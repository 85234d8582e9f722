"""Jobs that share a batch or a queue, clients that go away, restarts, what is kept."""

import io
import threading
import time

import httpx
import numpy as np
import pytest
import soundfile

from latentaudio.errors import WeightsError
from latentaudio.serve.jobs import JobManager, JobSettings
from latentaudio.serve.limits import Limits
from latentaudio.serve.model_pool import ModelKey, ModelPool, PoolSettings
from latentaudio.serve.runner import Runner
from latentaudio.serve.store import Store

PATH = "/v1/audio/generations"
BODY = {"prompt": "dog", "duration": 1.0, "steps": 4, "subtype": "FLOAT"}
LONG = {"prompt": "dog", "duration": 10.0, "steps": 200}
BATCH_TOLERANCE = 2e-3
"""Largest difference of a sample between a batch and a clip alone, in float32."""


def wait_for(condition, timeout_s=60):
    limit = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < limit:
        time.sleep(0.01)
    assert condition()


def samples_of(data):
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


def test_waiting_requests_of_equal_shape_share_a_batch(make_client, tiny, monkeypatch):
    sizes = []
    run_batch = Runner._run_batch

    def noted(self, batch, outputs, num_before):
        sizes.append(len(outputs))
        return run_batch(self, batch, outputs, num_before)

    monkeypatch.setattr(Runner, "_run_batch", noted)
    prompts = ("dog", "bell", "rain")
    with make_client(settings=JobSettings(warm_up=False, batch_size=3)) as client:
        client.manager.pool.load(ModelKey("tiny")).batch_size = 3
        blocking = client.post(PATH, json={**LONG, "exact": True}).json()
        jobs = []
        for seed, prompt in enumerate(prompts):
            jobs.append(client.post(PATH, json={**BODY, "prompt": prompt, "seed": seed}).json())
        exact = client.post(PATH, json={**BODY, "seed": 9, "exact": True}).json()
        client.delete(f"{PATH}/{blocking['id']}")
        for job in (*jobs, exact):
            wait_for(lambda job=job: client.get(f"{PATH}/{job['id']}").json()["status"] == "done")
        contents = [client.get(job["content_url"]).content for job in (*jobs, exact)]
    assert sorted(sizes) == [1, 1, 3]
    for seed, prompt in enumerate(prompts):
        [own] = tiny.generate(prompt, duration=1.0, steps=4, seed=seed)
        difference = np.abs(samples_of(contents[seed]) - own.samples[0]).max()
        assert difference < BATCH_TOLERANCE
    [own] = tiny.generate("dog", duration=1.0, steps=4, seed=9)
    assert np.array_equal(samples_of(contents[-1]), own.samples[0])


@pytest.fixture
def manager(tiny_folder, tmp_path):
    pool = ModelPool(PoolSettings(models=[str(tiny_folder)], device="cpu", precision="fp32"))
    return JobManager(pool, Store(tmp_path / "store"), Limits(), JobSettings(warm_up=False))


def test_a_client_that_goes_away_frees_its_place(manager, listen):
    with listen(manager) as address:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}{PATH}", json={**LONG, "wait": True}, timeout=1.0)
        wait_for(lambda: next(iter(manager.index)).is_ended)
        assert manager.num_unfinished == 0
        [job] = httpx.get(f"{address}{PATH}").json()["data"]
        assert job["status"] == "cancelled"
        assert "gone away" in job["error"]["message"]


def test_draining_refuses_new_requests_and_finishes_the_others(manager, listen):
    with listen(manager) as address:
        job = httpx.post(f"{address}{PATH}", json=BODY, timeout=60).json()
        manager.drain()
        refused = httpx.post(f"{address}{PATH}", json=BODY)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert "retry-after" in refused.headers
        assert httpx.get(f"{address}/ready").status_code == 503
        wait_for(lambda: next(iter(manager.index)).is_ended)
        assert httpx.get(f"{address}{job['content_url']}").status_code == 200


def test_jobs_keys_and_files_survive_a_restart(make_client):
    headers = {"Idempotency-Key": "key"}
    sound = io.BytesIO()
    soundfile.write(sound, np.full(8000, 0.1), 16000, format="WAV")
    with make_client() as client:
        job = client.post(PATH, json=BODY, headers=headers).json()
        wait_for(lambda: client.get(f"{PATH}/{job['id']}").json()["status"] == "done")
        content = client.get(job["content_url"]).content
        file = client.post("/v1/files", files={"file": ("a.wav", sound.getvalue())}).json()
    with make_client() as client:
        assert client.get(job["content_url"]).content == content
        assert client.post(PATH, json=BODY, headers=headers).json()["id"] == job["id"]
        assert client.post(PATH, json={**BODY, "seed": 1}, headers=headers).status_code == 409
        assert client.get(f"/v1/files/{file['id']}/content").content == sound.getvalue()


def test_half_written_and_damaged_records_are_passed_over(make_client, tmp_path):
    jobs = tmp_path / "store" / "jobs"
    with make_client() as client:
        job = client.post(PATH, json={**BODY, "wait": True}).headers["x-job-id"]
    (jobs / f"gen_{'0' * 32}").mkdir()
    (jobs / f"gen_{'1' * 32}").mkdir()
    (jobs / f"gen_{'1' * 32}" / "record.json").write_text('{"client": 1')
    (jobs / "stranger").mkdir()
    with make_client() as client:
        assert [each["id"] for each in client.get(PATH).json()["data"]] == [job]


def test_oldest_jobs_are_removed(make_client, tmp_path):
    with make_client(max_jobs=2) as client:
        ids = []
        for seed in range(4):
            answer = client.post(PATH, json={**BODY, "seed": seed, "steps": 1, "wait": True})
            ids.append(answer.headers["x-job-id"])
        wait_for(lambda: len(client.get(PATH).json()["data"]) == 2)
        assert [job["id"] for job in client.get(PATH).json()["data"]] == ids[:1:-1]
        stored = {path.name for path in (tmp_path / "store" / "jobs").iterdir()}
        assert stored == set(ids[2:])


def test_models_leave_memory_after_a_time_without_requests(make_client):
    settings = JobSettings(warm_up=False, unload_after_s=0.1)
    with make_client(settings=settings) as client:
        first = client.post(PATH, json={**BODY, "seed": 1, "wait": True})
        wait_for(lambda: client.manager.pool.num_loaded == 0)
        assert client.get("/v1/models/tiny").json()["is_loaded"] is False
        body = {**BODY, "seed": 1, "wait": True, "dither": True}  # another request for the cache
        again = client.post(PATH, json=body)
        assert again.headers["x-cache"] == "miss"
        assert np.array_equal(samples_of(first.content), samples_of(again.content))


def test_warm_up_makes_the_server_ready(make_client):
    with make_client(settings=JobSettings(warm_up=True)) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        assert client.manager.pool.num_loaded == 1


def test_a_model_that_cannot_load_is_never_ready_until_a_job_succeeds(
    make_client, monkeypatch, caplog
):
    settings = JobSettings(warm_up=True)

    def fail(self, key):
        raise WeightsError("unet.safetensors is damaged")

    with monkeypatch.context() as damaged:
        damaged.setattr(ModelPool, "load", fail)
        with make_client(settings=settings) as client:
            wait_for(lambda: client.manager.num_unfinished == 0)
            wait_for(lambda: "failed" in client.get("/ready").json()["status"])
            assert client.get("/ready").status_code == 503
            assert "Traceback" in caplog.text and "is damaged" in caplog.text
            damaged.undo()
            assert client.post(PATH, json={**BODY, "wait": True}).status_code == 200
            assert client.get("/ready").status_code == 200


def test_counters_for_prometheus(make_client):
    with make_client() as client:
        client.post(PATH, json={**BODY, "seed": 2, "wait": True})
        text = client.get("/metrics").text
    assert 'latentaudio_jobs_total{status="done"} 1.0' in text
    assert "latentaudio_steps_total 4.0" in text
    assert "latentaudio_audio_seconds_total 1.0" in text


def test_fair_shares_of_two_keys(make_client):
    with make_client(keys=("one", "two")) as client:
        greedy = {"Authorization": "Bearer one"}
        for _ in range(3):
            client.post(PATH, json=LONG, headers=greedy)
        modest = client.post(
            PATH, json={**BODY, "wait": True}, headers={"Authorization": "Bearer two"}
        )
        assert modest.status_code == 200
        assert all(
            job["status"] != "done" for job in client.get(PATH, headers=greedy).json()["data"]
        )


def test_events_of_two_readers_at_once(make_client):
    with make_client() as client:
        job = client.post(PATH, json={**BODY, "steps": 20}).json()
        ends = []

        def read():
            with client.stream("GET", job["events_url"]) as answer:
                ends.append([line for line in answer.iter_lines() if line.startswith("event")][-1])

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ends == ["event: done"] * 2
