"""`/v1/audio/stream`: the same bytes as `latentaudio stream`, sent while they are made."""

import asyncio
import io
import json
import time
from types import SimpleNamespace

import pytest
import soundfile

from latentaudio.audio.io import info
from latentaudio.cli.main import main
from latentaudio.serve.app import create_app

PATH = "/v1/audio/stream"
RATE = 16000
BODY = {"prompt": "rain", "seed": 3, "steps": 2}


class Pipe:
    """A pipe to a player: it has no positions."""

    def __init__(self):
        self.under = io.BytesIO()
        self.write = self.under.write
        self.flush = self.under.flush
        self.seekable = lambda: False


def metric(client, name):
    for line in client.manager.metrics.render().decode().splitlines():
        if line.startswith(f"latentaudio_{name} "):
            return float(line.split()[1])
    raise AssertionError(name)


def wait_until(is_true, seconds=60):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


class Listener:
    """A client at the level of ASGI, which takes as many pieces as it wants, then leaves."""

    def __init__(self, app, body, num_pieces):
        self.app = app
        self.body = json.dumps(body).encode()
        self.num_pieces = num_pieces
        self.messages = []
        self.has_all = asyncio.Event()
        self.is_gone = asyncio.Event()

    async def receive(self):
        if self.body is not None:
            body = self.body
            self.body = None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.messages.append(message)
        if len(self.messages) > self.num_pieces:  # the first message is the status
            self.has_all.set()
            await self.is_gone.wait()

    async def run(self):
        scope = {
            "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(),
            "query_string": b"", "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http",
            "http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"},
        }  # fmt: skip
        await self.app(scope, self.receive, self.send)


def test_the_bytes_are_those_of_the_command_line(client, tiny_folder, monkeypatch, tmp_path):
    pipe = Pipe()
    fake = SimpleNamespace(buffer=pipe, isatty=lambda: False)
    monkeypatch.setattr("latentaudio.cli.stream.sys", SimpleNamespace(stdout=fake))
    words = ["stream", "rain", "--duration", "18", "--seed", "3", "--steps", "2", "--quiet"]
    assert (
        main([*words, "--model", str(tiny_folder), "--device", "cpu", "--precision", "fp32"]) == 0
    )
    answer = client.post(PATH, json={**BODY, "duration": 18})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["x-seed"] == "3"
    assert "content-length" not in answer.headers
    (tmp_path / "a.wav").write_bytes(answer.content)
    (tmp_path / "b.wav").write_bytes(pipe.under.getvalue())
    samples = soundfile.read(tmp_path / "a.wav", dtype="int16")[0]
    assert samples.shape == (18 * RATE,)
    assert (samples == soundfile.read(tmp_path / "b.wav", dtype="int16")[0]).all()
    tags = info(tmp_path / "a.wav")["tags"]
    expected = info(tmp_path / "b.wav")["tags"]
    assert tags["made"] == "AI generated"
    assert {name for name in tags if tags[name] != expected[name]} <= {"model"}
    raw = client.post(PATH, json={**BODY, "duration": 18, "format": "pcm"})
    assert raw.headers["content-type"] == "audio/pcm"
    assert answer.content.endswith(raw.content) and len(raw.content) == 36 * RATE


def test_a_slow_listener_stops_the_computation_and_a_vanished_one_ends_it(make_client):
    with make_client() as client:
        manager = client.manager

        async def listen():
            listener = Listener(create_app(manager), BODY, num_pieces=2)
            running = asyncio.create_task(listener.run())
            await asyncio.wait_for(listener.has_all.wait(), 60)
            while manager.num_unfinished:  # the piece that is computed ahead
                await asyncio.sleep(0.01)
            before = metric(client, "steps_total")
            await asyncio.sleep(0.3)
            assert metric(client, "steps_total") == before
            assert metric(client, "streams") == 1
            listener.is_gone.set()
            await asyncio.wait_for(running, 60)
            return listener.messages

        messages = client.portal.call(listen)
        assert metric(client, "streams") == 0
        assert manager.num_unfinished == 0
        assert len(messages) <= 4  # one piece was ready when the listener left
        assert all(part.get("more_body", True) for part in messages)


def test_a_listener_that_goes_away_in_a_step_frees_its_place_with_the_step(make_client):
    with make_client() as client:

        async def leave():
            listener = Listener(create_app(client.manager), {**BODY, "steps": 200}, num_pieces=9)
            running = asyncio.create_task(listener.run())
            while metric(client, "steps_total") < 2:
                await asyncio.sleep(0.01)
            listener.is_gone.set()
            await asyncio.wait_for(running, 60)
            return listener.messages

        [status, _] = client.portal.call(leave)
        assert status["status"] == 499
        assert client.manager.num_unfinished == 0
        assert metric(client, "steps_total") < 20


def test_jobs_of_others_are_served_between_the_pieces(make_client):
    with make_client() as client:

        async def listen():
            listener = Listener(create_app(client.manager), BODY, num_pieces=100)
            return listener, asyncio.create_task(listener.run())

        listener, running = client.portal.call(listen)
        wait_until(lambda: len(listener.messages) > 2)
        answer = client.post("/v1/audio/generations", json={**BODY, "duration": 1, "wait": True})
        assert answer.status_code == 200
        assert not running.done()
        client.portal.call(listener.is_gone.set)
        wait_until(running.done)


def test_a_server_that_stops_ends_a_stream_without_an_end_after_its_piece(make_client):
    with make_client() as client:

        async def listen():
            listener = Listener(create_app(client.manager), BODY, num_pieces=100)
            running = asyncio.create_task(listener.run())
            while len(listener.messages) < 2:
                await asyncio.sleep(0.01)
            client.manager.drain()
            await asyncio.wait_for(running, 60)
            return listener.messages

        messages = client.portal.call(listen)
        assert messages[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
        assert client.post(PATH, json=BODY).status_code == 503


def test_too_many_streams_are_refused_and_an_open_end_has_a_limit(make_client):
    with make_client(max_streams=0) as client:
        answer = client.post(PATH, json=BODY)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
    with make_client(max_stream_s=12.0, max_duration_s=2.0) as client:
        answer = client.post(PATH, json={**BODY, "format": "pcm"})
        assert len(answer.content) == 2 * 12 * RATE
        answer = client.post(PATH, json={**BODY, "duration": 13})
        assert answer.status_code == 422
        assert answer.json()["error"]["param"] == "duration"


def test_an_error_in_a_later_piece_leaves_the_body_incomplete(make_client, monkeypatch):
    from latentaudio.errors import GenerationError
    from latentaudio.generation.streaming import PieceStream

    def fail(*_):
        raise GenerationError("silence")

    monkeypatch.setattr(PieceStream, "_continuing_request", fail)
    with make_client() as client:

        async def listen():
            listener = Listener(create_app(client.manager), BODY, num_pieces=9)
            await asyncio.wait_for(listener.run(), 60)
            return listener.messages

        messages = client.portal.call(listen)
    assert messages[0]["status"] == 200
    assert messages[-1]["more_body"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({**BODY, "candidates": 2}, "candidates"),
        ({**BODY, "sampler": "distilled"}, "choose dpm++ or ddim"),
        ({**BODY, "duration": 0}, "duration"),
        ({**BODY, "steps": 9999}, "steps"),
        ({**BODY, "model": "none"}, "there is no model"),
        ({**BODY, "format": "mp3"}, "format"),
        ({**BODY, "timeline": [{"start": 0, "audio_prompt": "/etc/passwd"}]}, "/etc/passwd"),
    ],
)
def test_what_cannot_be_streamed_is_refused_in_words(client, body, message):
    answer = client.post(PATH, json=body)
    assert answer.status_code == 422, answer.text
    assert message in answer.json()["error"]["message"]
