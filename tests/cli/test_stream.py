"""`latentaudio play`, `morph`, `--score` and `--sound` as a user types them."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from latentaudio import load
from latentaudio.cli.main import main

RATE = 16000
QUICK = ["--steps", "2", "--seed", "3", "--device", "cpu"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    t = np.arange(RATE) / RATE
    soundfile.write("tone.wav", 0.3 * np.sin(2 * np.pi * 440 * t), RATE)
    return tmp_path


def test_what_grows_is_one_sound_whose_pieces_go_on(tiny_folder):
    model = load(tiny_folder, "cpu", "fp32")
    pieces = list(model.play("a dog", seconds=18.0, seed=5, steps=2))
    whole = np.concatenate(pieces, axis=1)
    assert len(pieces) == 3 and whole.shape == (1, 18 * RATE) and np.isfinite(whole).all()
    [first] = model.generate("a dog", seconds=10.24, seed=5, steps=2, candidates=1)
    same = pieces[0].shape[1]
    np.testing.assert_array_equal(whole[:, :same], first.samples[:, :same])
    for piece, again in zip(
        pieces, model.play("a dog", seconds=18.0, seed=5, steps=2), strict=True
    ):
        np.testing.assert_array_equal(piece, again)
    short = list(model.play("a dog", seconds=1.0, seed=5, steps=2))
    assert len(short) == 1 and short[0].shape == (1, RATE)


def test_without_an_end_it_goes_on(tiny_folder):
    pieces = load(tiny_folder, "cpu", "fp32").play(cues=[], prompt="a dog", seed=5, steps=2)
    assert sum(next(pieces).shape[1] for _ in range(4)) > 24 * RATE


def test_a_file_that_grows_is_whole(tiny_folder, here, capsys):
    assert (
        main(
            ["play", "a dog", "--seconds", "12", "-o", "a.wav", "--model", str(tiny_folder), *QUICK]
        )
        == 0
    )
    samples, rate = soundfile.read("a.wav")
    assert (len(samples), rate) == (12 * RATE, RATE)
    assert capsys.readouterr().err.splitlines()[-1] == "12.0 s"
    assert (
        main(
            ["play", "a dog", "--seconds", "12", "-o", "a.wav", "--model", str(tiny_folder), *QUICK]
        )
        == 2
    )
    assert "is there already" in capsys.readouterr().err


def test_a_pipe_gets_a_wav(tiny_folder, here, monkeypatch):
    pipe = io.BytesIO()
    fake = SimpleNamespace(buffer=Pipe(pipe), isatty=lambda: False)
    monkeypatch.setattr("latentaudio.cli.stream.sys", SimpleNamespace(stdout=fake))
    assert (
        main(["play", "a dog", "--seconds", "1", "--model", str(tiny_folder), "--quiet", *QUICK])
        == 0
    )
    samples, rate = soundfile.read(io.BytesIO(pipe.getvalue()))
    assert (len(samples), rate) == (RATE, RATE) and np.abs(samples).max() > 0


class Pipe:
    """What can be written to and not sought in."""

    def __init__(self, under):
        self.write, self.flush, self.seekable = under.write, under.flush, lambda: False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["play"], "there is no prompt"),
        (["play", "a dog", "--seconds", "0"], "seconds = 0"),
        (["play", "a dog", "-o", "a.flac"], "only a .wav file can grow"),
        (["play", "a dog", "-o", "none/a.wav"], "there is no folder none"),
        (["play", "a dog", "-o", "b.wav", "--lufs", "-20"], "leave out lufs"),
        (["play", "a dog", "-o", "b.wav", "--score", "none.yaml"], "cannot read none.yaml"),
        (["generate", "--sound", "none.wav"], "there is no sound file none.wav"),
        (["generate", "a dog", "--by", "clap"], "name one with --sound"),
        (["generate", "--sound", "tone.wav", "--weight", "2"], "weight = 2"),
        (["generate", "--score", "tone.wav"], "cannot read tone.wav"),
        (
            ["generate", "--sound", "tone.wav", "--score", "none.yaml"],
            "leave out --sound, or --score",
        ),
        (["generate", "a dog", "--seconds", "2", "--loop", "2"], "less than the clip"),
        (["morph", "a dog", ""], "what becomes what?"),
    ],
)
def test_nonsense_is_one_line(here, capsys, words, said):
    assert main([*words, "--model", "mini"]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["tone.wav"]


def test_scores_sounds_and_morphs_make_files(tiny_folder, here, capsys):
    (here / "score.yaml").write_text(
        "seconds: 1\nscore:\n- {at: 0, text: rain}\n- {at: 0.5, sound: tone.wav, by: clap}\n"
    )
    how = ["--model", str(tiny_folder), "--json", *QUICK]
    assert main(["generate", "--score", "score.yaml", *how]) == 0
    assert main(["generate", "--sound", "tone.wav", *how]) == 0
    assert main(["morph", "a dog", "tone.wav", "--seconds", "1", *how]) == 0
    made = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["path"] for one in made] == ["rain.wav", "like_tone.wav", "a_dog_to_tone.wav"]
    assert [one["seconds"] for one in made] == [1.0, 1.0, 1.0]
    for one in made:
        assert main(["replay", one["path"], "--quiet", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["same"] is True
