"""Uploads: what is kept, what is refused, how long it stays."""

import asyncio
import io
import struct
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
import soundfile

from latentaudio.serve.bodies import BodyGuard
from latentaudio.serve.files import Upload, Uploads
from latentaudio.serve.limits import Limits
from latentaudio.serve.problems import Problem
from latentaudio.serve.schemas import UploadedFile
from latentaudio.serve.store import Store

NOISE = (0.3 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)


def encoded(samples, rate=16000, **settings):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **{"format": "WAV", **settings})
    return buffer.getvalue()


def upload(client, data, name="sound.wav"):
    return client.post("/v1/files", files={"file": (name, data)})


def png_of(width, height):
    """A PNG whose header states a size; it has no pixels."""
    header = struct.pack(">II5B", width, height, 8, 0, 0, 0, 0)
    import zlib

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    pixels = zlib.compress(b"\0" * 1000)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def zip_bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**7))
    return buffer.getvalue()


def test_upload_tells_what_it_is_and_gives_it_back(client):
    data = encoded(np.stack([NOISE, NOISE], 1), 44100)
    file = upload(client, data, "../../etc/my sound.wav")
    assert file.status_code == 201
    facts = file.json()
    assert (facts["name"], facts["kind"], facts["channels"]) == ("my sound.wav", "audio", 2)
    assert (facts["sample_rate"], facts["size"]) == (44100, len(data))
    assert client.get(f"/v1/files/{facts['id']}/content").content == data
    assert facts["id"] in [each["id"] for each in client.get("/v1/files").json()["data"]]
    assert client.delete(f"/v1/files/{facts['id']}").json()["deleted"] is True
    assert client.get(f"/v1/files/{facts['id']}").status_code == 404


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("text", b"hello"),
        ("empty", b""),
        ("zip bomb", zip_bomb()),
        ("header only", encoded(NOISE)[:30]),
        ("wav that states terabytes", b"RIFF\xff\xff\xff\xffWAVE" + b"\0" * 100),
        ("hour of silence", encoded(np.zeros(3600 * 8000, np.int16), 8000, format="FLAC")),
        ("image bomb", png_of(60_000, 60_000)),
        ("script", b"<svg onload='alert(1)'/>"),
    ],
)
def test_what_is_no_sound_or_too_much_is_refused(client, name, data):
    before = sorted(path.name for path in (client.manager.store.folder / "files").iterdir())
    answer = upload(client, data)
    assert answer.status_code == 422, answer.text
    assert str(client.manager.store.folder) not in answer.text
    after = sorted(path.name for path in (client.manager.store.folder / "files").iterdir())
    assert before == after


@pytest.mark.parametrize(
    ("data", "media_type", "statuses"),
    [
        (
            b"--x\r\nContent-Disposition: form-data; name=",
            "multipart/form-data; boundary=x",
            (400, 422),
        ),
        (b"nothing", "multipart/form-data", (400,)),
        (b"{}", "application/json", (415,)),
    ],
)
def test_damaged_bodies(client, data, media_type, statuses):
    answer = client.post("/v1/files", content=data, headers={"content-type": media_type})
    assert answer.status_code in statuses
    assert "error" in answer.json()


def test_upload_that_is_too_large(make_client):
    with make_client(max_upload_bytes=10_000) as client:
        assert upload(client, encoded(NOISE)).status_code == 413
        assert client.get("/health").status_code == 200


def test_slow_body_ends_in_an_error():
    async def slow_receive():
        await asyncio.sleep(10)

    async def app(scope, receive, send):
        await receive()

    guard = BodyGuard(app, Limits(body_timeout_s=0.05))
    with pytest.raises(Problem) as caught:
        asyncio.run(guard({"type": "http"}, slow_receive, None))
    assert caught.value.info.code == "request_timeout"


def test_files_expire(make_client):
    with make_client(file_lifetime_s=0.3) as client:
        file = upload(client, encoded(NOISE)).json()["id"]
        assert client.get(f"/v1/files/{file}").status_code == 200
        time.sleep(0.5)
        assert client.get(f"/v1/files/{file}").status_code == 404
        client.manager.uploads.remove_expired()
        assert not list((client.manager.store.folder / "files").iterdir())


def test_number_of_files_is_bounded(make_client):
    with make_client(max_files=1) as client:
        assert upload(client, encoded(NOISE)).status_code == 201
        assert upload(client, encoded(NOISE)).status_code == 413


def test_files_are_listed_while_another_thread_deletes_some(tmp_path, monkeypatch):
    num_files = 3000
    uploads = Uploads(Store(tmp_path), Limits(max_files=num_files))
    monkeypatch.setattr(uploads.store, "remove_file", lambda file: None)
    now = time.time()
    for number in range(num_files):
        facts = {"name": "a.wav", "kind": "audio", "size": 1, "sha256": "0", "created": now}
        file = UploadedFile(id=str(number), expires=now + 60, **facts)
        uploads._uploads[file.id] = Upload("", file)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def delete():
        for number in range(num_files):
            uploads.remove("", str(number))

    deleting = threading.Thread(target=delete)
    try:
        deleting.start()
        while deleting.is_alive():
            uploads.of_owner("")
    finally:
        sys.setswitchinterval(interval)
        deleting.join()
    assert uploads.of_owner("") == []


def test_clips_copies_of_the_cache_and_files_share_the_room(make_client):
    body = {"prompt": "dog", "duration": 1.0, "steps": 1, "seed": 1, "wait": True}
    limit = 330_000
    with make_client(max_stored_bytes=limit) as client:

        def num_bytes():
            return sum(file.stat().st_size for file in stored.rglob("*") if file.is_file())

        def jobs():
            return len(client.get("/v1/audio/generations").json()["data"])

        stored = client.manager.store.folder
        for _ in range(5):  # one is computed, the others are copies
            assert client.post("/v1/audio/generations", json=body).status_code == 200
            assert num_bytes() <= limit
        num_jobs = jobs()
        assert 2 <= num_jobs < 5
        sound = encoded(np.full(64_000, 0.1), subtype="PCM_16")
        assert upload(client, sound).status_code == 201
        assert num_bytes() <= limit
        assert 0 < jobs() < num_jobs
        refused = upload(client, sound)  # files have half of the room
        assert refused.status_code == 413
        assert "no room" in refused.json()["error"]["message"]
