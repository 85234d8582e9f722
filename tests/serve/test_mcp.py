"""`latentaudio mcp`: tools over one model and one folder, asked by the client of package mcp."""

import base64
import json
import os
import subprocess
import sys

import anyio
import pytest

pytest.importorskip("mcp", reason="needs the package mcp: pip install '.[mcp]'")

import httpx
import numpy as np
from live_server import running
from mcp import Client, StdioServerParameters

from latentaudio.audio.encoding import encode
from latentaudio.audio.io import info, read
from latentaudio.errors import UsageError
from latentaudio.serve.mcp_folder import SoundFolder
from latentaudio.serve.mcp_server import build_server, http_app
from latentaudio.serve.network import require_key

QUICK = {"steps": 2}


@pytest.fixture
def model(tiny):
    return tiny


def call(server, tool, arguments, **settings):
    """The result of one call, by a client in this process."""

    async def run():
        async with Client(server) as client:
            return await client.call_tool(tool, arguments, **settings)

    return anyio.run(run)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def text_of(result):
    return result.content[0].text


def generate(model, folder, **arguments):
    values = {"prompt": "a bell", "duration": 1, "seed": 3, "options": QUICK, **arguments}
    return call(build_server(model, folder), "generate", values)


def test_tools_have_the_names_and_the_help_of_the_options(model, tmp_path):
    async def run():
        async with Client(build_server(model, tmp_path)) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in anyio.run(run)}
    assert sorted(tools) == ["edit", "generate", "info", "list"]
    fields = tools["generate"].input_schema["properties"]
    assert "0.1 to 600" in fields["duration"]["description"]
    assert all("description" in field for tool in tools.values()
               for field in tool.input_schema["properties"].values())  # fmt: skip


def test_a_file_is_the_clip_that_python_generates_with_its_tags(model, tmp_path):
    result = generate(model, tmp_path)
    [row] = result.structured_content["clips"]
    assert row["file"] == "a_bell.wav"
    assert row["made"] == "AI generated"
    assert row["model"] == "tiny"
    [clip] = model.generate("a bell", duration=1, seed=3, steps=2)
    clip.save(tmp_path / "same.wav")
    assert (tmp_path / "a_bell.wav").read_bytes() == (tmp_path / "same.wav").read_bytes()
    assert json.loads(text_of(result)) == result.structured_content


def test_a_second_file_gets_a_number_and_replaces_nothing(model, tmp_path):
    generate(model, tmp_path, name="../bell")
    before = (tmp_path / "bell.wav").read_bytes()
    result = generate(model, tmp_path, name="../bell", seed=4)
    assert result.structured_content["clips"][0]["file"] == "bell_2.wav"
    assert (tmp_path / "bell.wav").read_bytes() == before
    assert names_in(tmp_path) == ["bell.wav", "bell_2.wav"]


def test_audio_is_part_of_the_answer_without_a_folder(model):
    result = generate(model, None, format="flac", num_waveforms=2)
    clips = model.generate("a bell", duration=1, seed=3, steps=2, num_waveforms=2)
    assert [part.mime_type for part in result.content[1:]] == ["audio/flac", "audio/flac"]
    for part, clip in zip(result.content[1:], clips, strict=True):
        data = encode(clip.samples, clip.sample_rate, ".flac", clip.tags)
        assert base64.b64decode(part.data) == data


def test_an_edit_keeps_the_rest_and_names_its_source_as_the_agent_did(model, tmp_path):
    generate(model, tmp_path, duration=2)
    arguments = {
        "kind": "inpaint",
        "audio": "a_bell.wav",
        "prompt": "a dog",
        "time_ranges": [[1.0, 1.5]],
        "seed": 1,
        "options": QUICK,
        "name": "edited",
    }
    result = call(build_server(model, tmp_path), "edit", arguments)
    assert not result.is_error, text_of(result)
    before = read(tmp_path / "a_bell.wav")[0]
    after = read(tmp_path / "edited.wav")[0]
    assert np.array_equal(before[:, :15000], after[:, :15000])
    assert not np.array_equal(before[:, 16000:24000], after[:, 16000:24000])
    tags = info(tmp_path / "edited.wav")["tags"]
    assert json.loads(tags["edit"])["source_path"] == "a_bell.wav"
    assert str(tmp_path) not in json.dumps(tags)


def test_a_clip_may_come_inside_the_call(model, tmp_path):
    data = base64.b64encode(encode(np.zeros(16000, np.float32) + 0.1, 16000, ".wav")).decode()
    url = f"data:audio/wav;base64,{data}"
    values = {"kind": "vary", "audio": url, "options": QUICK, "output": "audio"}
    result = call(build_server(model, None), "edit", values)
    assert not result.is_error, text_of(result)
    assert result.structured_content["clips"][0]["duration"] == 1.0
    damaged = call(build_server(model, None), "info", {"audio": "data:audio/wav;base64,!"})
    assert damaged.is_error
    assert "data URL is damaged" in text_of(damaged)


def test_morph_and_timeline_reach_the_tags(model, tmp_path):
    generate(model, tmp_path, morph_to="wind", name="morph")
    cues = json.loads(info(tmp_path / "morph.wav")["tags"]["timeline"])
    assert [cue["text"] for cue in cues] == ["a bell", "wind"]
    timeline = [{"start": 0, "text": "rain"}, {"start": 0.5, "audio_prompt": "morph.wav"}]
    result = generate(model, tmp_path, options={**QUICK, "timeline": timeline}, name="cues")
    assert not result.is_error, text_of(result)
    cues = json.loads(info(tmp_path / "cues.wav")["tags"]["timeline"])
    assert cues[1]["audio_prompt"] == "morph.wav"


@pytest.mark.parametrize(
    "name",
    ["../secret.wav", "/etc/passwd", "link.wav", "a\0b.wav", "", "deep/../../secret.wav", "."],
)
def test_no_name_leads_out_of_the_folder(model, tmp_path, name):
    folder = tmp_path / "sounds"
    folder.mkdir()
    secret = tmp_path / "secret.wav"
    secret.write_bytes(encode(np.full(8000, 0.5, np.float32), 16000, ".wav"))
    (folder / "link.wav").symlink_to(secret)
    server = build_server(model, folder)
    for tool, values in (("info", {}), ("edit", {"kind": "vary", "options": QUICK})):
        result = call(server, tool, {"audio": name, **values})
        assert result.is_error
        assert "unexpected" not in text_of(result).lower()
        assert str(tmp_path) not in text_of(result)
    assert call(server, "list", {}).structured_content == {"sounds": []}
    assert names_in(folder) == ["link.wav"]


@pytest.mark.parametrize(
    ("tool", "values", "words"),
    [
        ("generate", {"prompt": ""}, "prompt is empty"),
        ("generate", {"prompt": "x", "duration": 0.01}, "duration"),
        ("generate", {"prompt": "x", "format": "exe"}, "choose from wav"),
        ("generate", {"prompt": "x", "options": {"seed": 1}}, "parameter seed"),
        ("generate", {"prompt": "x", "options": {"model": "other"}}, "leave it out"),
        ("generate", {"prompt": "x", "options": {"nonsense": 1}}, "nonsense"),
        ("generate", {"prompt": "x", "options": {"timeline": ["rain"]}}, "cue"),
        (
            "generate",
            {"prompt": "x", "morph_to": "y", "options": {"timeline": [{"start": 0, "text": "z"}]}},
            "morph excludes edit and timeline",
        ),
        ("edit", {"kind": "vary", "audio": "none.wav"}, "there is no file"),
        ("info", {"audio": "text.wav"}, "as audio"),
    ],
)
def test_errors_are_one_line_in_words(model, tmp_path, tool, values, words):
    (tmp_path / "text.wav").write_text("no sound")
    result = call(build_server(model, tmp_path), tool, values)
    assert result.is_error
    assert words in text_of(result)
    assert "\n" not in text_of(result)
    assert names_in(tmp_path) == ["text.wav"]


def test_a_server_without_folder_says_so(model):
    assert "no folder" in text_of(generate(model, None, output="file"))
    with pytest.raises(UsageError, match="no folder"):
        SoundFolder(None).list_sounds()


def test_progress_arrives_and_a_canceled_call_ends_at_the_next_step(model, tmp_path):
    seen = []
    slow = {"prompt": "a bell", "duration": 1, "options": {"steps": 1000}}

    async def progress(done, total, _message):
        seen.append((done, total))

    async def run():
        async with Client(build_server(model, tmp_path)) as client:
            with anyio.move_on_after(600) as scope:

                async def stop_at_second_step(done, total, message):
                    await progress(done, total, message)
                    if done == 2:
                        scope.cancel()

                await client.call_tool("generate", slow, progress_callback=stop_at_second_step)
            quick = {"prompt": "a bell", "duration": 1, "options": QUICK}
            return await client.call_tool("generate", quick)

    result = anyio.run(run)
    assert seen[:2] == [(1, 1000), (2, 1000)]
    assert len(seen) <= 3
    assert not result.is_error
    assert names_in(tmp_path) == ["a_bell.wav"]


def test_the_command_answers_over_stdin_and_stdout(tiny_folder, tmp_path, monkeypatch):
    # the client kills a server that does not end in 2 s, which a busy machine needs
    monkeypatch.setattr("mcp.client.stdio.PROCESS_TERMINATION_TIMEOUT", 300.0)
    folder = str(tmp_path / "sounds")
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "latentaudio", "mcp", "--folder", folder, "--model", str(tiny_folder)],
        env={**os.environ},
    )

    async def run():
        async with Client(parameters) as client:
            values = {"prompt": "a bell", "duration": 1, "seed": 3, "options": QUICK}
            made = await client.call_tool("generate", values)
            return made, await client.call_tool("list", {})

    made, listed = anyio.run(run)
    assert not made.is_error, text_of(made)
    [sound] = listed.structured_content["sounds"]
    assert sound["file"] == "a_bell.wav"
    assert sound["seed"] == "3"
    assert (tmp_path / "sounds" / "a_bell.wav").is_file()


def test_http_answers_and_wants_the_key(model, tmp_path):
    server = build_server(model, tmp_path)
    with running(http_app(server, "127.0.0.1", [])) as address:
        listed = call(f"{address}/mcp", "list", {"what": "models"})
    assert listed.structured_content["used"] == "tiny"
    assert listed.structured_content["models"][0]["name"] == "mini"
    server = build_server(model, tmp_path)
    with running(http_app(server, "127.0.0.1", ["other", "secret"])) as address:
        url = f"{address}/mcp"
        assert httpx.post(url, json={}).status_code == 401
        wrong = {"Authorization": "Bearer guess"}
        assert httpx.post(url, json={}, headers=wrong).status_code == 401
        right = {"Authorization": "Bearer secret"}
        assert httpx.post(url, json={}, headers=right).status_code != 401


def test_other_machines_need_a_key():
    require_key("127.0.0.1", [])
    require_key("0.0.0.0", ["secret"])
    with pytest.raises(UsageError, match="LATENTAUDIO_API_KEYS"):
        require_key("0.0.0.0", [])
    environment = {key: value for key, value in os.environ.items() if key != "LATENTAUDIO_API_KEYS"}
    command = [sys.executable, "-m", "latentaudio", "mcp", "--http", "--host", "0.0.0.0"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
