"""The interfaces of other products, two of them through their official Python clients."""

import base64
import io
import json
from dataclasses import replace

import elevenlabs
import httpx
import openai
import pytest
import soundfile
from conftest import TINY, write_model

from latentaudio.audio.io import info
from latentaudio.config.architecture import PhonemesConfig
from latentaudio.serve.doors import DOORS
from latentaudio.serve.doors.elevenlabs import FORMATS
from latentaudio.serve.jobs import JobManager, JobSettings
from latentaudio.serve.limits import Limits
from latentaudio.serve.model_pool import ModelPool, PoolSettings
from latentaudio.serve.store import Store

SPEECH = replace(
    TINY,
    unet=replace(TINY.unet, contexts=(None, 16), use_prior=False),
    t5=None,
    latent_prior=None,
    phonemes=PhonemesConfig(
        hidden_size=12, num_layers=1, num_heads=2, ffn_dim=16, max_length=20, window_size=2
    ),
    translator=replace(TINY.translator, source_dims=(8, 12), time_pool=4, freq_pool=8),
)
ELEVENLABS = "/v1/sound-generation"
OPENAI = "/v1/audio/speech"
VLLM = "/v1/audio/generate"
OPTIONS = {"steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def address(tiny_folder, tmp_path_factory, listen):
    """Address of a real server with the key `secret` and a model that speaks, in a thread."""
    speaker = write_model(tmp_path_factory.mktemp("models") / "speaker", SPEECH, "mini")
    models = [str(tiny_folder), str(speaker)]
    pool = ModelPool(PoolSettings(models=models, device="cpu", precision="fp32"))
    store = Store(tmp_path_factory.mktemp("store"))
    manager = JobManager(pool, store, Limits(), JobSettings(warm_up=False))
    with listen(manager, ["secret"]) as found:
        yield found


@pytest.fixture
def connection():
    """An HTTP client that is closed; ElevenLabs' own is not."""
    with httpx.Client(timeout=120) as client:
        yield client


def test_elevenlabs_client(address, connection, tmp_path):
    client = elevenlabs.ElevenLabs(api_key="secret", base_url=address, httpx_client=connection)
    pieces = client.text_to_sound_effects.convert(
        text="dog",
        duration_seconds=1.0,
        prompt_influence=0.3,
        output_format="wav_44100",
        request_options={"additional_body_parameters": OPTIONS},
    )
    path = tmp_path / "dog.wav"
    path.write_bytes(b"".join(pieces))
    facts = info(path)
    assert (facts["sample_rate"], facts["duration"]) == (44100, 1.0)
    assert facts["tags"]["seed"] == "3"
    assert facts["tags"]["made"] == "AI generated"


def test_elevenlabs_client_gets_errors(address, connection):
    client = elevenlabs.ElevenLabs(api_key="secret", base_url=address, httpx_client=connection)
    with pytest.raises(elevenlabs.UnprocessableEntityError) as caught:
        list(client.text_to_sound_effects.convert(text="dog", duration_seconds=99))
    assert "duration_seconds" in str(caught.value.body)
    client = elevenlabs.ElevenLabs(api_key="wrong", base_url=address, httpx_client=connection)
    with pytest.raises(elevenlabs.core.ApiError) as caught:
        list(client.text_to_sound_effects.convert(text="dog"))
    assert caught.value.status_code == 401
    assert caught.value.body["detail"]["status"] == "invalid_api_key"


def openai_client(address, connection, key="secret"):
    return openai.OpenAI(
        api_key=key, base_url=f"{address}/v1", max_retries=0, http_client=connection
    )


def test_openai_client(address, connection, tmp_path):
    client = openai_client(address, connection)
    assert [model.id for model in client.models.list()] == ["tiny", "speaker"]
    words = {"model": "tts-1", "voice": "alloy", "input": "Hello.", "response_format": "wav"}
    extra = {**OPTIONS, "duration": 1.0}
    clip = client.audio.speech.create(**words, extra_body=extra)
    path = tmp_path / "hello.wav"
    path.write_bytes(clip.content)
    tags = info(path)["tags"]
    assert (tags["transcript"], tags["prompt"]) == ("Hello.", "A alloy voice is speaking")
    assert (tags["made"], tags["seed"]) == ("AI generated", "3")
    events = client.audio.speech.create(**words, extra_body={**extra, "stream_format": "sse"})
    data = b""
    for line in events.iter_lines():
        if line.startswith("data: ") and "delta" in line:
            data += base64.b64decode(json.loads(line.removeprefix("data: "))["audio"])
    assert data == clip.content


def test_openai_client_gets_errors(address, connection):
    client = openai_client(address, connection)
    with pytest.raises(openai.NotFoundError, match="does not speak") as caught:
        client.audio.speech.create(model="tiny", voice="alloy", input="Hello.")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError, match="speed"):
        client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", speed=2.0)
    with pytest.raises(openai.AuthenticationError):
        openai_client(address, connection, "wrong").models.list()


def test_speech_without_a_model_that_speaks(client):
    answer = client.post(OPENAI, json={"model": "tts-1", "voice": "alloy", "input": "Hello."})
    assert answer.status_code == 404
    assert "no model of this server speaks" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "name",
    ["mp3_22050_32", "opus_48000_64", "pcm_8000", "wav_48000", "ulaw_8000", "alaw_8000"],
)
def test_elevenlabs_formats(client, name):
    assert name in FORMATS
    body = {"text": "dog", "duration_seconds": 1.0, **OPTIONS}
    answer = client.post(ELEVENLABS, params={"output_format": name}, json=body)
    assert answer.status_code == 200, answer.text
    kind, rate = name.split("_")[:2]
    settings = {}
    if kind in ("pcm", "ulaw", "alaw"):
        subtype = {"pcm": "PCM_16"}.get(kind, kind.upper())
        settings = {"format": "RAW", "channels": 1, "samplerate": int(rate), "subtype": subtype}
    samples, found = soundfile.read(io.BytesIO(answer.content), **settings)
    assert found == int(rate)
    assert len(samples) == pytest.approx(found, rel=0.2)
    assert abs(samples).max() > 0.05


def test_elevenlabs_loop_and_influence(client):
    body = {"text": "dog", "duration_seconds": 1.0, "loop": True, "prompt_influence": 1.0}
    answer = client.post(
        ELEVENLABS, params={"output_format": "wav_16000"}, json={**body, **OPTIONS}
    )
    job = client.get(f"/v1/audio/generations/{answer.headers['x-job-id']}").json()
    options = job["clips"][0]["options"]
    assert options["loop_seam"] == "0.5"
    assert float(options["guidance_scale"]) == pytest.approx(7.667, abs=0.01)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (ELEVENLABS, {}, 422),
        (ELEVENLABS, {"text": "dog", "duration_seconds": 0.1}, 422),
        (ELEVENLABS, {"text": "dog", "path": "/etc/passwd"}, 422),
        (ELEVENLABS, {"text": "dog", "model_id": "nothing"}, 404),
        (OPENAI, {"model": "tts-1", "input": "x"}, 422),
        (OPENAI, {"model": "tts-1", "input": "x", "voice": "y"}, 404),
        (VLLM, {}, 422),
        (VLLM, {"input": "dog", "speed": 2.0}, 422),
        (VLLM, {"input": "dog", "audio_start": 1.0}, 422),
        (VLLM, {"input": "dog", "model": "nothing"}, 404),
    ],
)
def test_errors_have_the_form_of_each_product(client, path, body, status):
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    found = answer.json()
    if path == OPENAI:
        assert found["error"].keys() == {"message", "type", "param", "code"}
    elif status == 422:
        assert found["detail"][0].keys() == {"loc", "msg", "type"}
    elif path == VLLM:
        assert found["error"].keys() == {"message", "type", "param", "code"}
        assert found["error"]["code"] == status
    else:
        assert found["detail"].keys() == {"status", "message"}


def test_vllm_omni(client):
    body = {"input": "dog", "audio_length": 1.0, "num_inference_steps": 2, "seed": 3}
    answer = client.post(VLLM, json={**body, "response_format": "flac"})
    assert answer.headers["content-type"] == "audio/flac"
    same = {"prompt": "dog", "duration": 1.0, "steps": 2, "seed": 3, "format": "flac", "wait": True}
    assert client.post("/v1/audio/generations", json=same).content == answer.content


def test_the_schema_names_the_content_types_that_are_sent(client):
    paths = client.get("/openapi.json").json()["paths"]
    documented = paths[ELEVENLABS]["post"]["responses"]["200"]["content"]
    sent = set()
    for name in FORMATS:
        body = {"text": "dog", "duration_seconds": 0.5, **OPTIONS}
        answer = client.post(f"{ELEVENLABS}?output_format={name}", json=body)
        sent.add(answer.headers["content-type"].partition(";")[0])
    assert documented.keys() == sent
    documented = paths[VLLM]["post"]["responses"]["200"]["content"]
    sent = set()
    for name in ("wav", "pcm", "flac", "mp3", "opus"):
        body = {"input": "dog", "audio_length": 0.5, "num_inference_steps": 2}
        answer = client.post(VLLM, json={**body, "response_format": name})
        sent.add(answer.headers["content-type"].partition(";")[0])
    assert documented.keys() == sent


def test_the_schema_of_an_event_fits_the_events(client):
    schema = client.get("/openapi.json").json()
    path = "/v1/audio/generations/{job}/events"
    content = schema["paths"][path]["get"]["responses"]["200"]["content"]
    job = client.post("/v1/audio/generations", json={"prompt": "dog", "steps": 2}).json()["id"]
    events = client.get(path.format(job=job)).text.strip().split("\n\n")
    for event in events:
        fields = dict(line.split(": ", 1) for line in event.splitlines())
        schema = content["text/event-stream"]["schema"]
        assert set(schema["required"]) <= fields.keys() <= schema["properties"].keys()
        json.loads(fields["data"])
    assert len(events) > 1


def test_every_door_is_in_the_schema(client):
    schema = client.get("/openapi.json").json()
    for door in DOORS:
        assert "post" in schema["paths"][door.path]
        assert door.request_model.__name__ in schema["components"]["schemas"]
