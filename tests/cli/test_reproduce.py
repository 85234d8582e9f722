"""`latentaudio reproduce`: files are reproduced bit for bit; differences are reported."""

import json

import numpy as np
import pytest
import soundfile

from latentaudio.audio import io
from latentaudio.cli.main import main

pytestmark = pytest.mark.cli


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys, no_progress_lines):
    """Calls a command in an empty folder; returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(command, *tokens):
        flags = ["--model", str(tiny_folder), "--steps", "2", "--seed", "5"]
        if command == "reproduce":
            flags = []
        return main([command, *tokens, *flags]), *capsys.readouterr()

    return call


def generate(run, name, *tokens):
    code, _, err = run("generate", "a dog", "--duration", "0.3", "-o", name, *tokens)
    assert code == 0, err


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.mp3", "x.opus"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_format_is_reproduced_bit_for_bit(run, tmp_path, name, precision):
    generate(run, name, "--precision", precision)
    ending = name[1:]
    assert run("reproduce", name) == (0, f"x_reproduced{ending}  same\n", "")
    assert (tmp_path / f"x_reproduced{ending}").read_bytes() == (tmp_path / name).read_bytes()
    assert io.info(name)["tags"]["precision"] == precision


@pytest.mark.parametrize(
    "tokens",
    [
        ("--candidates", "3"),
        (
            "--stereo-width",
            "0.5",
            "--sample-rate",
            "48000",
            "--lufs",
            "-20",
            "--trim-silence",
            "--fade-out",
            "0.1",
        ),
        ("--reference", "original", "--candidates", "2"),
    ],
)
def test_chosen_candidates_and_post_processed_clips_are_reproduced(run, tokens):
    generate(run, "x.wav", *tokens)
    assert run("reproduce", "x.wav")[1] == "x_reproduced.wav  same\n"


def test_edits_are_reproduced(run, tmp_path):
    soundfile.write("given.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    assert run("inpaint", "given.wav", "a dog", "--time", "0.1:0.3", "-o", "x.wav")[0] == 0
    assert run("reproduce", "x.wav")[1] == "x_reproduced.wav  same\n"


def test_the_number_of_threads_is_that_of_the_file(run, monkeypatch):
    import torch

    generate(run, "x.wav")
    tags = io.info("x.wav")["tags"]
    assert tags["threads"] == str(torch.get_num_threads())
    seen = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    run("reproduce", "x.wav")
    assert seen == [int(tags["threads"])]


def test_json_and_other_outputs(run, tmp_path):
    generate(run, "x.wav")
    code, out, err = run("reproduce", "x.wav", "--json", "-o", "y.flac")
    record = json.loads(out)
    assert (code, err, record["path"], record["same"], record["same_audio"]) == (
        0,
        "",
        "y.flac",
        True,
        True,
    )
    assert record["software"] == record["current_software"] == io.software()
    assert run("reproduce", "x.wav", "--quiet", "-o", "folder/") == (0, "", "")
    assert (tmp_path / "folder" / "x_reproduced.wav").read_bytes() == (
        tmp_path / "x.wav"
    ).read_bytes()


def test_a_difference_is_described(run):
    generate(run, "x.wav")
    samples, rate = io.read("x.wav")
    tags = io.info("x.wav")["tags"]
    io.write("older.wav", samples, rate, {**tags, "software": "latentaudio 0.0.1"})
    now = io.software()
    assert run("reproduce", "older.wav")[:2] == (
        0,
        "older_reproduced.wav  differs in its tags only "
        f"(made by latentaudio 0.0.1, this is {now})\n",
    )
    io.write("other.wav", 0.5 * samples, rate, {**tags, "score": "0.5000"})
    assert run("reproduce", "other.wav")[:2] == (0, "other_reproduced.wav  differs\n")
    assert "score" not in io.info("other_reproduced.wav")["tags"]


def test_info_shows_the_number_of_candidates_of_the_chosen_one(run, capsys):
    generate(run, "x.wav", "--candidates", "3")
    run("reproduce", "x.wav", "--quiet")
    assert main(["info", "x.wav"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["candidates"] == "3" and shown["sample_rate"] == "16000"


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        (("gone.wav",), "there is no audio file gone.wav"),
        (("folder",), "there is no audio file folder"),
        (("bare.wav",), "the file has no prompt in its tags"),
        (("text.wav",), "cannot read text.wav as audio"),
        (("x.wav", "-o", "x.wav"), "would overwrite x.wav, which the command reads"),
        (("x.wav", "-o", "./x.wav"), "would overwrite x.wav, which the command reads"),
        (("x.wav", "-o", "y.txt"), "cannot write audio as '.txt'"),
        (("x.wav", "-o", "no/y.wav"), "there is no folder no"),
        (("x.wav", "--device", "tpu"), "device 'tpu' is not available"),
        (("x",), "has no extension of its format"),
    ],
)
def test_errors_are_one_line_and_code_2(run, tmp_path, tokens, line):
    sound = np.full(800, 0.1)
    (tmp_path / "folder").mkdir()
    soundfile.write("bare.wav", sound, 16000)
    (tmp_path / "text.wav").write_text("rain")
    io.write("x.wav", sound.astype(np.float32), 16000, {"prompt": "a dog"})
    (tmp_path / "x").write_bytes((tmp_path / "x.wav").read_bytes())
    before = sorted(tmp_path.iterdir())
    code, out, err = run("reproduce", *tokens)
    assert (code, out, err.count("\n")) == (2, "", 1) and line in err
    assert sorted(tmp_path.iterdir()) == before
