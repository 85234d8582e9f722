"""`latentaudio generate` on a model of random weights: files, names, tags, pictures, lines, refusals, Ctrl-C."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from PIL import Image

from latentaudio.audio import io
from latentaudio.cli import console
from latentaudio.cli.main import main
from latentaudio.config.options import Options


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys):
    """Calls generate on the tiny model in an empty folder; returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*tokens):
        quick = {"--model": str(tiny_folder), "--steps": "1", "--seconds": "0.3", "--device": "cpu"}
        given = " ".join(tokens)
        rest = [
            part for flag, value in quick.items() if flag not in given for part in (flag, value)
        ]
        return main(["generate", *tokens, *rest]), *capsys.readouterr()

    return call


def test_a_prompt_becomes_a_file_that_says_how_it_was_made(run, tmp_path, tiny_folder):
    code, out, err = run("a dog barking", "--seed", "5", "-o", "dog.flac")
    assert (code, err) == (0, "")
    assert out == "dog.flac  0.3 s  seed 5\n"
    assert soundfile.info("dog.flac").frames == 4800
    assert Options.from_tags(io.info("dog.flac")["tags"]) == Options(
        prompt="a dog barking",
        seed=5,
        seconds=0.3,
        steps=1,
        model=str(tiny_folder),
        sampler="dpm++",
        guidance=3.0,
        parallel=0.0,
        guidance_stop=0.76,
    )


def test_the_same_command_writes_the_same_bytes(run, tmp_path):
    for name in ("one.wav", "two.wav"):
        assert run("a dog", "--seed", "5", "-o", name)[0] == 0
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()


def test_json_is_one_line_per_file(run):
    code, out, err = run("a dog", "bell", "--count", "2", "--seed", "5", "-o", "x.wav", "--json")
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["path"] for line in lines] == ["x_1.wav", "x_2.wav", "x_3.wav", "x_4.wav"]
    assert [(line["prompt"], line["seed"]) for line in lines] == [
        ("a dog", 5),
        ("a dog", 6),
        ("bell", 7),
        ("bell", 8),
    ]
    assert lines[0]["rate"] == 16000
    assert lines[0]["seconds"] == pytest.approx(0.3)
    assert all(soundfile.info(line["path"]).frames == 4800 for line in lines)


def test_quiet_says_nothing(run, tmp_path):
    assert run("a dog", "-o", "x.ogg", "--quiet") == (0, "", "")
    assert (tmp_path / "x.ogg").is_file()


def test_without_o_the_prompt_names_the_file_and_nothing_is_overwritten(run, tmp_path):
    assert run("a dog / ../barks!")[1].startswith("a_dog_barks.wav  ")
    before = (tmp_path / "a_dog_barks.wav").read_bytes()
    assert (
        run("a dog / ../barks!", "--count", "2")[1]
        .splitlines()[1]
        .startswith("a_dog_barks_3.wav  ")
    )
    assert (tmp_path / "a_dog_barks.wav").read_bytes() == before


def test_a_folder_is_filled(run, tmp_path):
    assert run("a dog", "bell", "-o", "sounds/")[0] == 0
    assert sorted(p.name for p in (tmp_path / "sounds").iterdir()) == ["a_dog.wav", "bell.wav"]


def test_a_folder_may_have_a_dot_in_its_name(run, tmp_path):
    assert run("a dog", "-o", "v1.5/")[0] == 0
    assert (tmp_path / "v1.5" / "a_dog.wav").is_file()


@pytest.mark.filterwarnings("default:the model reads only")
def test_a_prompt_longer_than_the_model_reads_is_told(run):
    code, _, err = run("a dog barks and " * 60, "-o", "long.wav")
    assert code == 0
    assert "the model reads only the beginning of 'a dog barks and a dog barks" in err
    assert run("a dog barks and " * 60, "-o", "long.wav", "--quiet") == (0, "", "")


def test_plot_draws_beside_the_file(run, tmp_path):
    assert run("a dog", "-o", "dog.wav", "--plot")[0] == 0
    pixels = np.asarray(Image.open(tmp_path / "dog.wav.png").convert("RGB"))
    assert pixels.shape[1] >= 500
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_candidates_tell_how_well_the_best_matches(run):
    assert "match " in run("a dog", "-o", "dog.wav", "--candidates", "2")[1]


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        ((), "there is no prompt; say what to hear"),
        (("",), "prompt is empty"),
        (("x" * 10_000,), "prompt has 10000 characters; say it in at most 2000"),
        (("a dog", "--seconds=-3"), "seconds = '-3' must be at least 0.1"),
        (("a dog", "--seconds", "20", "--fidelity", "original"), "ask for at most 10.24"),
        (("a dog", "--guidance=-1"), "guidance = '-1' must be at least 0"),
        (("a dog", "--eta", "1"), "choose 'ddim' or eta 0"),
        (
            ("a dog", "-o", "dog.txt"),
            "cannot write sound as '.txt'; end the name in .wav, .flac, .ogg, .mp3",
        ),
        (("a dog", "-o", "no/such/dog.wav"), "there is no folder no/such; create it"),
        (("a dog", "-o", "taken/dogs"), "cannot make the folder taken/dogs"),
        (("a dog", "-o", "taken"), "taken exists and is not a folder"),
        (("a dog", "-o", ""), "-o '' is no name"),
        (("a dog", "-o", ".wav"), "-o '.wav' is no name"),
        (("a dog", "-o", "a" * 300 + ".wav"), "File name too long"),
        (("caf\udcff",), "prompt holds bytes that are not UTF-8"),
        (("a dog", "--device", "tpu"), "there is no device 'tpu' here"),
        (("a dog", "--precision", "int4"), "precision 'int4' is not known"),
    ],
)
def test_refusals_are_one_line_and_code_2(run, tmp_path, tokens, line):
    (tmp_path / "taken").write_text("a file")
    code, out, err = run(*tokens)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_an_unknown_model_is_told_what_exists(capsys, tmp_path):
    assert main(["generate", "a dog", "--model", "no-such", "-o", str(tmp_path / "x.wav")]) == 2
    assert (
        "no model is called 'no-such' and no folder or file either; there are: mini"
        in capsys.readouterr().err
    )


def test_a_folder_without_permission(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "os.access", lambda *_: False
    )  # root may write anywhere, so the answer is faked
    code, _, err = run("a dog", "-o", "dog.wav")
    assert code == 2
    assert "cannot be written to" in err


def test_ctrl_c_leaves_finished_files_whole(run, tmp_path, monkeypatch):
    @contextmanager
    def impatient(what, quiet):
        def tick(done, total, note=""):
            if done > total * 2 / 3:
                raise KeyboardInterrupt

        yield tick

    monkeypatch.setattr(console, "bar", impatient)
    code, _, err = run("a dog", "--count", "3", "-o", "dog.wav")
    assert (code, err) == (130, "latentaudio: stopped; nothing is half-written\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dog_1.wav", "dog_2.wav"]
    assert all(soundfile.info(p).frames == 4800 for p in tmp_path.iterdir())
