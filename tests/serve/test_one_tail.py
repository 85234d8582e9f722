"""Every way to a clip ends in the same post-processing and the same tags.

The command line, Python, a batch, the HTTP interface, the interfaces of other products, and MCP.
"""

import json
import shutil

import anyio
import numpy as np
import pytest
import soundfile

from latentaudio import load
from latentaudio.audio import watermark
from latentaudio.audio.io import info, read
from latentaudio.cli.main import main
from latentaudio.serve.doors import DOORS

OPTIONS = {"duration": 1.0, "steps": 2, "seed": 3, "fade_in": 0.1, "lufs": -20.0}
OF_ORIGIN = {"made", "software", "license", "model", "seed", "prompt"}
PER_PLACE = {"model"}
"""Tags that differ: the command line names the folder of a model, a server names no path."""


def flags():
    words = []
    for name, value in OPTIONS.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def by_python(folder, client, target):
    [clip] = load(folder, device="cpu", precision="fp32").generate("dog", **OPTIONS)
    clip.save(target)


def by_command(folder, client, target):
    words = ["generate", "dog", "--model", str(folder), "--device", "cpu", "--precision", "fp32"]
    assert main([*words, *flags(), "-o", str(target), "--quiet"]) == 0


def by_batch(folder, client, target):
    rows = target.with_suffix(".jsonl")
    rows.write_text(json.dumps({"prompt": "dog", "name": "dog", "model": str(folder), **OPTIONS}))
    words = ["batch", str(rows), str(target.parent / "out"), "--device", "cpu"]
    assert main([*words, "--precision", "fp32", "--quiet"]) == 0
    shutil.copy(target.parent / "out" / "dog.wav", target)


def by_http(folder, client, target):
    body = {"prompt": "dog", **OPTIONS, "wait": True}
    target.write_bytes(client.post("/v1/audio/generations", json=body).content)


def by_elevenlabs(folder, client, target):
    body = {"text": "dog", **OPTIONS}
    answer = client.post("/v1/sound-generation", params={"output_format": "wav_16000"}, json=body)
    target.write_bytes(answer.content)


def by_vllm_omni(folder, client, target):
    body = {"input": "dog", **OPTIONS}
    target.write_bytes(client.post("/v1/audio/generate", json=body).content)


def by_mcp(folder, client, target):
    from mcp import Client

    from latentaudio.serve.mcp_server import build_server

    server = build_server(load(folder, device="cpu", precision="fp32"), target.parent)
    options = {name: OPTIONS[name] for name in OPTIONS.keys() - {"duration", "seed"}}
    arguments = {"prompt": "dog", "duration": 1.0, "seed": 3, "options": options, "name": "clip"}

    async def call():
        async with Client(server) as agent:
            return await agent.call_tool("generate", arguments)

    result = anyio.run(call)
    assert not result.is_error, result.content
    assert target.is_file()


WAYS = (by_python, by_command, by_batch, by_http, by_elevenlabs, by_vllm_omni, by_mcp)


@pytest.fixture
def marked(monkeypatch):
    """Let every clip have a watermark: its first sample is 0.5."""

    def marker(samples, sample_rate):
        return np.concatenate([np.full_like(samples[:, :1], 0.5), samples[:, 1:]], axis=1)

    monkeypatch.setattr(watermark, "WATERMARKS", {"test": lambda: marker})
    monkeypatch.setenv(watermark.VARIABLE, "test")


@pytest.mark.parametrize("has_watermark", [False, True])
def test_all_ways_give_the_same_samples_and_tags(
    tiny_folder, make_client, tmp_path, request, has_watermark
):
    if has_watermark:
        request.getfixturevalue("marked")
    tags = {}
    samples = {}
    with make_client() as client:
        for way in WAYS:
            folder = tmp_path / way.__name__
            folder.mkdir()
            way(tiny_folder, client, folder / "clip.wav")
            tags[way] = info(folder / "clip.wav")["tags"]
            samples[way] = read(folder / "clip.wav")[0]
    for way in WAYS:
        assert np.array_equal(samples[way], samples[by_python]), way
        assert tags[way].keys() >= OF_ORIGIN, way
        assert tags[way]["made"] == "AI generated"
        assert tags[way].get("watermark") == ("test" if has_watermark else None)
        differing = {n for n in tags[way] if tags[way][n] != tags[by_python].get(n)}
        assert differing <= PER_PLACE | {"sample_rate"}, way
    assert (samples[by_http][0, 0] > 0.4) == has_watermark


PROMPT_S = 1.3
"""Duration of the audio prompt, which differs from the default of every model."""
SHORT = {"steps": 2, "seed": 3}


def prompt_by_python(folder, client, sound, target):
    [clip] = load(folder, device="cpu", precision="fp32").generate(audio_prompt=sound, **SHORT)
    clip.save(target)


def prompt_by_command(folder, client, sound, target):
    words = ["generate", "--audio-prompt", str(sound), "--model", str(folder), "--device", "cpu"]
    words += ["--precision", "fp32", "--steps", "2", "--seed", "3", "-o", str(target), "--quiet"]
    assert main(words) == 0


def prompt_by_http(folder, client, sound, target):
    body = {"timeline": [{"audio_prompt": "part:file"}], **SHORT, "wait": True}
    files = {"file": ("sound.wav", sound.read_bytes())}
    answer = client.post("/v1/audio/generations", data={"request": json.dumps(body)}, files=files)
    assert answer.status_code == 200, answer.text
    target.write_bytes(answer.content)


def prompt_by_mcp(folder, client, sound, target):
    from mcp import Client

    from latentaudio.serve.mcp_server import build_server

    shutil.copy(sound, target.parent / "sound.wav")
    server = build_server(load(folder, device="cpu", precision="fp32"), target.parent)
    arguments = {"audio_prompt": "sound.wav", "seed": 3, "options": {"steps": 2}, "name": "clip"}

    async def call():
        async with Client(server) as agent:
            return await agent.call_tool("generate", arguments)

    result = anyio.run(call)
    assert not result.is_error, result.content


WAYS_OF_PROMPTS = (prompt_by_python, prompt_by_command, prompt_by_http, prompt_by_mcp)
"""A row of a batch has no audio prompt."""


def test_an_audio_prompt_gives_the_clip_its_duration_in_all_ways(
    tiny_folder, make_client, tmp_path
):
    sound = tmp_path / "sound.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, round(PROMPT_S * 16000))
    soundfile.write(sound, noise, 16000)
    samples = {}
    with make_client() as client:
        for way in WAYS_OF_PROMPTS:
            folder = tmp_path / way.__name__
            folder.mkdir()
            way(tiny_folder, client, sound, folder / "clip.wav")
            samples[way] = read(folder / "clip.wav")[0]
    for way in WAYS_OF_PROMPTS:
        assert samples[way].shape == (1, noise.size), way
        assert np.array_equal(samples[way], samples[prompt_by_python]), way


def test_every_door_is_walked_here():
    walked = {way.__name__.removeprefix("by_") for way in WAYS}
    for door in DOORS:  # speech needs a model that speaks: tests/serve/test_doors.py finds its tags
        assert door.name.lower().replace("-", "_") in walked | {"openai"}


def test_unknown_watermark(monkeypatch):
    monkeypatch.setenv(watermark.VARIABLE, "nothing")
    with pytest.raises(Exception, match="choose from audioseal"):
        watermark.watermark_of_environment()
