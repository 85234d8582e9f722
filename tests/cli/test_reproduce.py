"""`latentaudio replay`: files come again to the byte, whatever made them, and say so where they do not."""

import json

import numpy as np
import pytest
import soundfile

from latentaudio.audio import io
from latentaudio.cli.main import main


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys):
    """Calls a command in an empty folder; returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(verb, *tokens):
        how = (
            [] if verb == "replay" else ["--model", str(tiny_folder), "--steps", "2", "--seed", "5"]
        )
        return main([verb, *tokens, *how]), *capsys.readouterr()

    return call


def make(run, name, *tokens):
    code, _, err = run("generate", "a dog", "--seconds", "0.3", "-o", name, *tokens)
    assert code == 0, err


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.mp3", "x.opus"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_format_comes_again_to_the_byte(run, tmp_path, name, precision):
    make(run, name, "--precision", precision)
    ending = name[1:]
    assert run("replay", name) == (0, f"x_replay{ending}  same\n", "")
    assert (tmp_path / f"x_replay{ending}").read_bytes() == (tmp_path / name).read_bytes()
    assert io.info(name)["tags"]["precision"] == precision


@pytest.mark.parametrize(
    "tokens",
    [
        ("--candidates", "3"),
        ("--stereo", "0.5", "--rate", "48000", "--lufs", "-20", "--trim", "--fade-out", "0.1"),
        ("--fidelity", "original", "--candidates", "2"),
    ],
)
def test_winners_and_finished_clips_too(run, tokens):
    make(run, "x.wav", *tokens)
    assert run("replay", "x.wav")[1] == "x_replay.wav  same\n"


def test_edits_too(run, tmp_path):
    soundfile.write("given.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    assert run("inpaint", "given.wav", "a dog", "--time", "0.1:0.3", "-o", "x.wav")[0] == 0
    assert run("replay", "x.wav")[1] == "x_replay.wav  same\n"


def test_threads_are_those_of_the_file(run, monkeypatch):
    import torch

    make(run, "x.wav")
    tags = io.info("x.wav")["tags"]
    assert tags["threads"] == str(torch.get_num_threads())
    seen = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    run("replay", "x.wav")
    assert seen == [int(tags["threads"])]


def test_json_and_other_places(run, tmp_path):
    make(run, "x.wav")
    code, out, err = run("replay", "x.wav", "--json", "-o", "y.flac")
    facts = json.loads(out)
    assert (code, err, facts["path"], facts["same"], facts["same_sound"]) == (
        0,
        "",
        "y.flac",
        True,
        True,
    )
    assert facts["software"] == facts["now"] == io.software()
    assert run("replay", "x.wav", "--quiet", "-o", "folder/") == (0, "", "")
    assert (tmp_path / "folder" / "x_replay.wav").read_bytes() == (tmp_path / "x.wav").read_bytes()


def test_what_differs_says_how(run):
    make(run, "x.wav")
    samples, rate = io.read("x.wav")
    tags = io.info("x.wav")["tags"]
    io.write("older.wav", samples, rate, {**tags, "software": "latentaudio 0.0.1"})
    now = io.software()
    assert run("replay", "older.wav")[:2] == (
        0,
        f"older_replay.wav  differs in its tags only (made by latentaudio 0.0.1, this is {now})\n",
    )
    io.write("other.wav", 0.5 * samples, rate, {**tags, "score": "0.5000"})
    assert run("replay", "other.wav")[:2] == (0, "other_replay.wav  differs\n")
    assert "score" not in io.info("other_replay.wav")["tags"]


def test_info_tells_among_how_many_a_winner_was(run):
    make(run, "x.wav", "--candidates", "3")
    shown = dict(
        line.split(maxsplit=1)
        for line in run("replay", "x.wav", "--quiet") and _info(run).splitlines()
    )
    assert shown["candidates"] == "3" and shown["rate"] == "16000"


def _info(run):
    import contextlib
    import io as text

    with contextlib.redirect_stdout(text.StringIO()) as out:
        main(["info", "x.wav"])
    return out.getvalue()


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        (("gone.wav",), "there is no sound file gone.wav"),
        (("folder",), "there is no sound file folder"),
        (("bare.wav",), "the file carries no prompt in its tags"),
        (("text.wav",), "cannot read text.wav as sound"),
        (("x.wav", "-o", "x.wav"), "would write over the file itself"),
        (("x.wav", "-o", "./x.wav"), "would write over the file itself"),
        (("x.wav", "-o", "y.txt"), "cannot write sound as '.txt'"),
        (("x.wav", "-o", "no/y.wav"), "there is no folder no"),
        (("x.wav", "--device", "tpu"), "there is no device 'tpu' here"),
        (("x",), "does not end in its format"),
    ],
)
def test_refusals_are_one_line_and_code_2(run, tmp_path, tokens, line):
    sound = np.full(800, 0.1)
    (tmp_path / "folder").mkdir()
    soundfile.write("bare.wav", sound, 16000)
    (tmp_path / "text.wav").write_text("rain")
    io.write("x.wav", sound.astype(np.float32), 16000, {"prompt": "a dog"})
    (tmp_path / "x").write_bytes((tmp_path / "x.wav").read_bytes())
    before = sorted(tmp_path.iterdir())
    code, out, err = run("replay", *tokens)
    assert (code, out, err.count("\n")) == (2, "", 1) and line in err
    assert sorted(tmp_path.iterdir()) == before
