"""`latentaudio stream` and `morph`, timelines and audio prompts on the command line."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from latentaudio import load
from latentaudio.audio.io import info
from latentaudio.cli.main import main

pytestmark = pytest.mark.cli

RATE = 16000
QUICK = ["--steps", "2", "--seed", "3", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    t = np.arange(RATE) / RATE
    soundfile.write("tone.wav", 0.3 * np.sin(2 * np.pi * 440 * t), RATE)
    return tmp_path


def test_the_pieces_of_a_stream_continue_each_other(tiny_folder):
    model = load(tiny_folder, "cpu", "fp32")
    pieces = list(model.generate_stream("a dog", duration=18.0, seed=5, steps=2))
    whole = np.concatenate(pieces, axis=1)
    assert len(pieces) == 3 and whole.shape == (1, 18 * RATE) and np.isfinite(whole).all()
    options = {"seed": 5, "steps": 2, "candidates": 1, "normalize": "none"}
    [first] = model.generate("a dog", duration=10.24, **options)
    same = pieces[0].shape[1]
    np.testing.assert_array_equal(whole[:, :same], first.samples[:, :same])
    for piece, again in zip(
        pieces, model.generate_stream("a dog", duration=18.0, seed=5, steps=2), strict=True
    ):
        np.testing.assert_array_equal(piece, again)
    short = list(model.generate_stream("a dog", duration=1.0, seed=5, steps=2))
    assert len(short) == 1 and short[0].shape == (1, RATE)


def test_a_stream_without_duration_does_not_end(tiny_folder):
    pieces = load(tiny_folder, "cpu", "fp32").generate_stream(
        timeline=[], prompt="a dog", seed=5, steps=2
    )
    assert sum(next(pieces).shape[1] for _ in range(4)) > 24 * RATE


def test_a_streamed_file_is_complete(tiny_folder, folder, capsys):
    assert (
        main(
            [
                "stream",
                "a dog",
                "--duration",
                "12",
                "-o",
                "a.wav",
                "--model",
                str(tiny_folder),
                *QUICK,
            ]
        )
        == 0
    )
    samples, rate = soundfile.read("a.wav")
    assert (len(samples), rate) == (12 * RATE, RATE)
    assert capsys.readouterr().err.splitlines()[-1] == "12.0 s"
    assert (
        main(
            [
                "stream",
                "a dog",
                "--duration",
                "12",
                "-o",
                "a.wav",
                "--model",
                str(tiny_folder),
                *QUICK,
            ]
        )
        == 2
    )
    assert "exists already" in capsys.readouterr().err


def test_a_pipe_gets_a_wav_stream_with_tags(tiny_folder, folder, monkeypatch, capsys):
    pipe = io.BytesIO()
    fake = SimpleNamespace(buffer=Pipe(pipe), isatty=lambda: False)
    monkeypatch.setattr("latentaudio.cli.stream.sys", SimpleNamespace(stdout=fake))
    assert (
        main(["stream", "a dog", "--duration", "1", "--model", str(tiny_folder), "--quiet", *QUICK])
        == 0
    )
    samples, rate = soundfile.read(io.BytesIO(pipe.getvalue()))
    assert (len(samples), rate) == (RATE, RATE) and np.abs(samples).max() > 0
    (folder / "pipe.wav").write_bytes(pipe.getvalue())
    tags = info("pipe.wav")["tags"]
    assert (tags["made"], tags["prompt"], tags["seed"]) == ("AI generated", "a dog", "3")
    capsys.readouterr()
    assert main(["reproduce", "pipe.wav"]) == 2
    assert "pipe.wav is a stream" in capsys.readouterr().err


class Pipe:
    """A file that can be written to but has no positions."""

    def __init__(self, under):
        self.write, self.flush, self.seekable = under.write, under.flush, lambda: False


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["stream"], "there is no prompt"),
        (["stream", "a dog", "--duration", "0"], "duration = 0"),
        (["stream", "a dog", "-o", "a.flac"], "can only be written to a .wav file"),
        (["stream", "a dog", "-o", "none/a.wav"], "there is no folder none"),
        (["stream", "a dog", "-o", "b.wav", "--lufs", "-20"], "--lufs"),
        (["stream", "a dog", "-o", "b.wav", "--timeline", "none.yaml"], "cannot read none.yaml"),
        (["generate", "--audio-prompt", "none.wav"], "there is no audio file none.wav"),
        (["generate", "a dog", "--audio-prompt-mode", "clap"], "name a file with --audio-prompt"),
        (
            ["generate", "--audio-prompt", "tone.wav", "--audio-prompt-weight", "2"],
            "audio_prompt_weight = 2",
        ),
        (["generate", "--timeline", "tone.wav"], "cannot read tone.wav"),
        (
            ["generate", "--audio-prompt", "tone.wav", "--timeline", "none.yaml"],
            "--timeline and --audio-prompt exclude each other",
        ),
        (["generate", "a dog", "--duration", "2", "--loop-seam", "2"], "--loop-seam = 2 s"),
        (["morph", "a dog", ""], "morph needs two prompts or sounds"),
    ],
)
def test_errors_are_one_line(folder, capsys, tokens, message):
    assert main([*tokens, "--model", "mini"]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["tone.wav"]


def test_timelines_audio_prompts_and_morphs_write_files(tiny_folder, folder, capsys):
    (folder / "timeline.yaml").write_text(
        "duration: 1\ntimeline:\n- {start: 0, text: rain}\n"
        "- {start: 0.5, audio_prompt: tone.wav, audio_prompt_mode: clap}\n"
    )
    flags = ["--model", str(tiny_folder), "--json", *QUICK]
    assert main(["generate", "--timeline", "timeline.yaml", *flags]) == 0
    assert main(["generate", "--audio-prompt", "tone.wav", *flags]) == 0
    assert main(["morph", "a dog", "tone.wav", "--duration", "1", *flags]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["path"] for record in records] == [
        "rain.wav",
        "like_tone.wav",
        "a_dog_to_tone.wav",
    ]
    assert [record["duration"] for record in records] == [1.0, 1.0, 1.0]
    for record in records:
        assert main(["reproduce", record["path"], "--quiet", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["same"] is True
