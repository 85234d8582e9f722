"""Jobs over HTTP: every verb, JSON and multipart, content, events, cache, cancel, limits."""

import io
import json
import threading
import time
import zipfile

import numpy as np
import pytest
import soundfile

from latentaudio.audio.io import info
from latentaudio.config.edits import InpaintOptions, TransferOptions

PATH = "/v1/audio/generations"
BASE = {"prompt": "dog", "duration": 1.0, "steps": 2, "seed": 3}
NOISE = (0.3 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
EDIT_FIELDS = {
    "transfer": {"strength": 0.5},
    "vary": {},
    "inpaint": {"time_ranges": [[0.2, 0.6]]},
    "super_resolve": {"cutoff_hz": 3000},
    "extend": {"after": 0.5},
    "loop": {"loop_seam": 0.4},
}


def wav_of(samples, rate=16000):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def post(client, **fields):
    return client.post(PATH, json={**BASE, **fields})


def finished(client, job):
    limit = time.monotonic() + 60
    while job["status"] in ("queued", "running") and time.monotonic() < limit:
        time.sleep(0.01)
        job = client.get(f"{PATH}/{job['id']}").json()
    return job


def upload(client, data=None, name="noise.wav", **settings):
    files = {"file": (name, wav_of(NOISE) if data is None else data)}
    return client.post("/v1/files", files=files, **settings)


def tags_of(data, tmp_path, extension="wav"):
    path = tmp_path / f"clip.{extension}"
    path.write_bytes(data)
    return info(path)["tags"]


def test_content_is_the_file_that_the_library_writes(client, tiny, tmp_path):
    [clip] = tiny.generate("dog", duration=1.0, steps=2, seed=3)
    for extension in ("wav", "flac", "ogg", "mp3", "aiff", "opus"):
        own = clip.save(tmp_path / f"own.{extension}")
        answer = post(client, format=extension, wait=True)
        assert answer.status_code == 200
        served = tmp_path / f"served.{extension}"
        served.write_bytes(answer.content)
        assert np.array_equal(soundfile.read(own)[0], soundfile.read(served)[0])
        tags = {**info(own)["tags"], "model": "tiny"}  # the server tells no path
        assert info(served)["tags"] == tags


def test_job_goes_from_queued_to_done_and_tells_all_about_its_clip(client):
    answer = post(client, seed=11)
    assert answer.status_code == 202
    job = finished(client, answer.json())
    assert answer.headers["location"] == f"{PATH}/{job['id']}"
    assert (job["status"], job["steps_done"], job["position"]) == ("done", 2, None)
    [clip] = job["clips"]
    content = client.get(clip["content_url"])
    assert content.headers["x-sha256"] == clip["sha256"]
    assert len(content.content) == clip["size"]
    assert (clip["seed"], clip["duration"], clip["channels"]) == (11, 1.0, 1)
    assert -60 < clip["loudness"] < 0 and clip["peak"] <= 0
    assert clip["options"]["made"] == "AI generated"
    assert client.get(job["content_url"]).content == content.content
    assert client.get(PATH).json()["data"][0]["id"] == job["id"]


def test_other_formats_of_a_finished_job(client):
    job = finished(client, post(client).json())
    flac = client.get(job["content_url"], params={"format": "flac", "subtype": "PCM_24"})
    assert soundfile.info(io.BytesIO(flac.content)).subtype == "PCM_24"
    pcm = client.get(job["content_url"], params={"format": "pcm"})
    assert len(pcm.content) == 2 * 16000
    assert client.get(job["content_url"], params={"format": "exe"}).status_code == 422
    assert client.get(job["content_url"], params={"clip": 1}).status_code == 404


@pytest.mark.parametrize(
    ("value", "status", "size"),
    [("bytes=0-9", 206, 10), ("bytes=-5", 206, 5), ("bytes=99999999-", 416, 0), ("x", 200, None)],
)
def test_ranges_of_content(client, value, status, size):
    job = finished(client, post(client).json())
    whole = client.get(job["content_url"]).content
    part = client.get(job["content_url"], headers={"Range": value})
    assert part.status_code == status
    assert len(part.content) == (len(whole) if size is None else size)
    if status == 206:
        start, end = part.headers["content-range"].split(" ")[1].split("/")[0].split("-")
        assert part.content == whole[int(start) : int(end) + 1]


@pytest.mark.parametrize("kind", EDIT_FIELDS)
def test_every_edit_by_multipart(client, kind):
    fields = {"prompt": "bell", "steps": "2", "seed": "5", "wait": "true"}
    edit = json.dumps({"kind": kind, **EDIT_FIELDS[kind]})
    answer = client.post(
        PATH, data={**fields, "edit": edit}, files={"file": ("noise.wav", wav_of(NOISE))}
    )
    assert answer.status_code == 200, answer.text
    samples = soundfile.read(io.BytesIO(answer.content))[0]
    assert len(samples) == (24000 if kind == "extend" else 16000)
    again = client.post(
        PATH, data={**fields, "edit": edit}, files={"file": ("other.wav", wav_of(NOISE))}
    )
    assert again.headers["x-cache"] == "hit"
    assert again.content == answer.content


def test_edits_equal_those_of_the_library(client, tiny):
    file = upload(client).json()["id"]
    edit = {"kind": "transfer", "file": file, "strength": 0.5}
    fields = {"prompt": "bell", "steps": 2, "seed": 5, "subtype": "FLOAT", "wait": True}
    answer = client.post(PATH, json={**fields, "edit": edit})
    [own] = tiny.transfer(NOISE, "bell", strength=0.5, steps=2, seed=5)
    assert np.array_equal(
        soundfile.read(io.BytesIO(answer.content), dtype="float32")[0], own.samples[0]
    )


def test_a_clip_of_a_job_can_be_edited_again(client):
    job = finished(client, post(client).json())
    edit = {"kind": "vary", "file": f"{job['id']}/0"}
    fields = {"prompt": "bell", "steps": 2, "seed": 5, "wait": True}
    assert client.post(PATH, json={**fields, "edit": edit}).status_code == 200
    edit["file"] = f"{job['id']}/7"
    assert client.post(PATH, json={**fields, "edit": edit}).status_code == 422


def test_mask_by_upload_and_by_data_url(client):
    import base64

    from PIL import Image

    picture = np.zeros((64, 100), np.uint8)
    picture[:, 40:60] = 255
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    image = upload(client, buffer.getvalue(), "mask.png").json()
    assert (image["kind"], image["width"], image["height"]) == ("image", 100, 64)
    file = upload(client).json()["id"]
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    contents = []
    for mask in (image["id"], url):
        edit = {"kind": "inpaint", "file": file, "mask": mask}
        fields = {"steps": 2, "seed": 5, "format": "pcm", "wait": True}
        answer = client.post(PATH, json={**fields, "edit": edit})
        assert answer.status_code == 200, answer.text
        contents.append(answer.content)
    assert contents[0] == contents[1]


def test_morph_timeline_and_audio_prompt(client):
    file = upload(client).json()["id"]
    morph = {"first": {"text": "dog"}, "second": {"file": file}}
    fields = {"steps": 2, "seed": 5, "wait": True}
    answer = client.post(PATH, json={**fields, "duration": 2.0, "morph": morph})
    assert answer.status_code == 200, answer.text
    cues = [{"text": "dog"}, {"start": 0.5, "text": "bell"}]
    answer = client.post(PATH, json={**fields, "duration": 1.0, "timeline": cues})
    assert answer.status_code == 200, answer.text
    answer = client.post(PATH, json={**fields, "timeline": [{"audio_prompt": file}]})
    assert len(soundfile.read(io.BytesIO(answer.content))[0]) == 16000


def test_rows_follow_each_other_and_come_as_zip_or_lines(client, tmp_path):
    rows = [{"prompt": "bell"}, {"prompt": "rain", "duration": 0.5}, {"seed": 40}]
    answer = post(client, rows=rows, wait=True)
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == [*(f"clip_00{k}.wav" for k in range(3)), "clips.jsonl"]
        table = [json.loads(line) for line in archive.read("clips.jsonl").splitlines()]
    assert [clip["seed"] for clip in table] == [3, 4, 40]
    assert [clip["row"] for clip in table] == [0, 1, 2]
    assert [clip["options"]["prompt"] for clip in table] == ["bell", "rain", "dog"]
    lines = post(client, rows=rows, wait=True, bundle="jsonl")
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["seed"] for line in lines.iter_lines()] == [3, 4, 40]


def test_regions_give_a_clip_each(client):
    edit = {"kind": "inpaint", "file": upload(client).json()["id"]}
    fields = {"prompt": "bell", "steps": 2, "seed": 1, "edit": edit}
    job = client.post(PATH, json={**fields, "regions": [[0.1, 0.3], [0.5, 0.7]]}).json()
    clips = finished(client, job)["clips"]
    ranges = [json.loads(clip["options"]["edit"])["time_ranges"] for clip in clips]
    assert ranges == [[[0.1, 0.3]], [[0.5, 0.7]]]


def test_same_request_again_comes_from_the_cache(client):
    first = post(client, seed=21, wait=True)
    second = post(client, seed=21, wait=True)
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert first.content == second.content
    assert first.headers["x-job-id"] != second.headers["x-job-id"]
    drawn = [post(client, seed=-1, wait=True).headers["x-cache"] for _ in range(2)]
    assert drawn == ["miss", "miss"]


def test_idempotency_key(client):
    headers = {"Idempotency-Key": "my key"}
    body = {**BASE, "seed": -1}
    jobs = [client.post(PATH, json=body, headers=headers).json()["id"] for _ in range(2)]
    assert jobs[0] == jobs[1]
    conflict = client.post(PATH, json={**body, "prompt": "bell"}, headers=headers)
    assert conflict.status_code == 409
    assert conflict.json()["error"]["code"] == "idempotency_conflict"


def read_events(client, job):
    events = []
    with client.stream("GET", f"{PATH}/{job['id']}/events") as answer:
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                events.append((value, None))
            elif name == "data":
                events[-1] = (events[-1][0], json.loads(value))
    return events


def test_events_tell_steps_previews_and_the_end(client):
    job = post(client, seed=31, steps=6, duration=5.0, preview_every=2).json()
    events = read_events(client, job)
    names = [name for name, _ in events]
    assert names[-1] == "done" and set(names) <= {"queued", "step", "preview", "done"}
    assert events[-1][1]["status"] == "done"
    assert read_events(client, job)[-1] == events[-1]  # a late reader gets the end
    for name, data in events:
        if name == "preview":
            assert data["image"].startswith("data:image/png;base64,")


def test_cancel_of_a_long_job_takes_one_step(client):
    job = post(client, steps=200, duration=10.0, seed=-1).json()
    while client.get(f"{PATH}/{job['id']}").json()["steps_done"] < 1:
        time.sleep(0.01)
    cancelled = client.delete(f"{PATH}/{job['id']}").json()
    assert (cancelled["status"], cancelled["error"]["code"]) == ("cancelled", "cancelled")
    assert cancelled["steps_done"] < 100
    assert client.get(cancelled["content_url"]).status_code == 410
    assert client.delete(f"{PATH}/{job['id']}").status_code == 200  # removed
    assert client.get(f"{PATH}/{job['id']}").status_code == 404


def test_deadline(client):
    answer = post(client, steps=200, duration=10.0, seed=-1, deadline_s=0.3, wait=True)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline"


def test_jobs_side_by_side_give_what_each_gives_alone(client, tiny):
    fields = [
        {"prompt": p, "seed": s, "duration": d}
        for p, s, d in (("dog", 1, 1.0), ("bell", 2, 3.0), ("rain", 3, 2.0))
    ]
    answers = {}

    def request(number):
        answers[number] = client.post(
            PATH, json={**fields[number], "steps": 8, "subtype": "FLOAT", "wait": True}
        )

    threads = [threading.Thread(target=request, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, each in enumerate(fields):
        [own] = tiny.generate(each["prompt"], seed=each["seed"], duration=each["duration"], steps=8)
        served = soundfile.read(io.BytesIO(answers[number].content), dtype="float32")[0]
        assert np.array_equal(served, own.samples[0])


def test_loop_and_stereo(client, tiny):
    answer = post(client, loop_seam=0.3, stereo_width=0.5, subtype="FLOAT", wait=True)
    [own] = tiny.generate("dog", duration=1.0, steps=2, seed=3, loop_seam=0.3, stereo_width=0.5)
    assert np.array_equal(
        soundfile.read(io.BytesIO(answer.content), dtype="float32")[0].T, own.samples
    )


def test_picture_of_a_clip(client):
    from PIL import Image

    job = finished(client, post(client).json())
    picture = Image.open(io.BytesIO(client.get(f"{PATH}/{job['id']}/mel").content))
    assert picture.mode == "L" and picture.height == 64 and picture.width > 90
    file = upload(client).json()["id"]
    assert client.get(f"/v1/files/{file}/mel").headers["content-type"] == "image/png"


BAD_REQUESTS = {
    "not json": (b"{", 400, "bad_json"),
    "a list": (b"[]", 422, "invalid_request"),
    "deep": (b"[" * 100_000, 400, "bad_json"),
    "nan": (b'{"prompt": "dog", "duration": NaN}', 422, "invalid_request"),
    "number as text": (b'{"prompt": "dog", "duration": "5"}', 422, "invalid_request"),
    "unknown field": (b'{"prompt": "dog", "path": "/etc/passwd"}', 422, "invalid_request"),
    "no prompt": (b"{}", 422, "invalid_request"),
    "too long": (b'{"prompt": "dog", "duration": 500}', 422, "invalid_request"),
    "too many steps": (b'{"prompt": "dog", "steps": 900}', 422, "invalid_request"),
    "too many clips": (b'{"prompt": "dog", "num_waveforms": 100}', 422, "invalid_request"),
    "unknown model": (b'{"prompt": "dog", "model": "/etc/passwd"}', 422, "invalid_request"),
    "unknown file": (
        b'{"prompt": "dog", "edit": {"kind": "vary", "file": "/etc/passwd"}}',
        422,
        "invalid_request",
    ),
    "duration of an edit": (
        b'{"prompt": "dog", "duration": 2, "edit": {"kind": "vary", "file": "x"}}',
        422,
        "invalid_request",
    ),
    "huge seed": (b'{"prompt": "dog", "seed": 1e400}', 422, "invalid_request"),
    "lone surrogate": (b'{"prompt": "\\ud800"}', 400, "bad_json"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_requests_get_one_line(client, name):
    data, status, code = BAD_REQUESTS[name]
    answer = client.post(PATH, content=data, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    message = answer.json()["error"]["message"]
    assert (
        "\n" not in message
        and "Traceback" not in message
        and str(client.manager.store.folder) not in message
    )


def test_other_types_and_places(client):
    assert client.post(PATH, content=b"x", headers={"content-type": "text/x"}).status_code == 415
    assert client.put(PATH).json()["error"]["code"] == "method_not_allowed"
    assert client.put(PATH).headers["allow"] == "GET, POST"
    assert client.put(f"{PATH}/x").headers["allow"] == "DELETE, GET"
    assert client.get("/etc/passwd").json()["error"]["code"] == "not_found"
    assert client.get("/static/..%2fapp.py").status_code == 404
    assert client.get(f"{PATH}/gen_x/content").status_code == 404


def test_full_queue_says_when_to_come_back(make_client):
    with make_client(max_queue=2) as client:
        jobs = [post(client, steps=200, duration=10.0, seed=-1).json() for _ in range(2)]
        refused = post(client, seed=-1)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert sorted(client.get(f"{PATH}/{job['id']}").json()["position"] for job in jobs) in (
            [0, 1],
            [1, 2],
        )
        client.delete(f"{PATH}/{jobs[0]['id']}")
        assert post(client, seed=-1).status_code == 202


def test_keys_separate_clients(make_client):
    with make_client(keys=("one", "two")) as client:
        assert post(client).status_code == 401
        assert client.get("/health").status_code == 200
        mine = {"Authorization": "Bearer one"}
        job = client.post(PATH, json=BASE, headers=mine).json()
        file = upload(client, headers=mine).json()
        other = {"xi-api-key": "two"}
        assert client.get(f"{PATH}/{job['id']}", headers=mine).status_code == 200
        assert client.get(f"{PATH}/{job['id']}", headers=other).status_code == 404
        assert client.get(f"/v1/files/{file['id']}", headers=other).status_code == 404
        assert client.get(PATH, headers=other).json()["data"] == []


def test_model_names_are_no_paths(client, tiny_folder):
    text = client.get("/v1/models").text
    assert str(tiny_folder.parent) not in text
    assert client.get("/v1/models/tiny").json()["verbs"][:2] == ["generate", "morph"]
    assert client.get("/v1/limits").json()["max_steps"] == 250


def test_edit_classes_are_those_of_the_library():
    from latentaudio.serve.schemas import EDIT_MODELS

    assert EDIT_MODELS.keys() == EDIT_FIELDS.keys()
    for cls in (TransferOptions, InpaintOptions):
        fields = EDIT_MODELS[cls.model_fields["kind"].default].model_fields
        assert "source_path" not in fields and "file" in fields
