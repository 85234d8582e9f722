"""`latentaudio generate` with a tiny random model: files, names, tags, plots, errors, Ctrl-C."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from PIL import Image

from latentaudio.audio import io
from latentaudio.cli import console
from latentaudio.cli.main import main
from latentaudio.config.options import GenerationOptions

pytestmark = pytest.mark.cli


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys, no_progress_lines):
    """Calls generate on the tiny model in an empty folder; returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*tokens):
        defaults = {
            "--model": str(tiny_folder),
            "--steps": "1",
            "--duration": "0.3",
            "--device": "cpu",
        }
        line = " ".join(tokens)
        more = []
        for flag, value in defaults.items():
            if flag not in line:
                more += [flag, value]
        return main(["generate", *tokens, *more]), *capsys.readouterr()

    return call


def test_a_prompt_becomes_a_file_whose_tags_are_its_request(run, tmp_path, tiny_folder):
    code, out, err = run("a dog barking", "--seed", "5", "-o", "dog.flac")
    assert (code, err) == (0, "")
    assert out == "dog.flac  0.3 s  seed 5\n"
    assert soundfile.info("dog.flac").frames == 4800
    assert GenerationOptions.from_tags(io.info("dog.flac")["tags"]) == GenerationOptions(
        prompt="a dog barking",
        seed=5,
        duration=0.3,
        steps=1,
        model=str(tiny_folder),
        sampler="dpm++",
        guidance_scale=3.0,
        apg_eta=0.0,
        guidance_start=0.3,
        guidance_stop=0.76,
        normalize="loudness",
    )


def test_the_same_command_writes_the_same_bytes(run, tmp_path):
    for name in ("one.wav", "two.wav"):
        assert run("a dog", "--seed", "5", "-o", name)[0] == 0
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()


def test_json_is_one_line_per_file(run):
    code, out, err = run(
        "a dog", "bell", "--num-waveforms", "2", "--seed", "5", "-o", "x.wav", "--json"
    )
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["path"] for line in lines] == ["x_1.wav", "x_2.wav", "x_3.wav", "x_4.wav"]
    assert [(line["prompt"], line["seed"]) for line in lines] == [
        ("a dog", 5),
        ("a dog", 6),
        ("bell", 7),
        ("bell", 8),
    ]
    assert lines[0]["sample_rate"] == 16000
    assert lines[0]["duration"] == pytest.approx(0.3)
    assert all(soundfile.info(line["path"]).frames == 4800 for line in lines)


def test_quiet_prints_nothing(run, tmp_path):
    assert run("a dog", "-o", "x.ogg", "--quiet") == (0, "", "")
    assert (tmp_path / "x.ogg").is_file()


def test_without_output_the_prompt_names_the_file_and_nothing_is_overwritten(run, tmp_path):
    assert run("a dog / ../barks!")[1].startswith("a_dog_barks.wav  ")
    before = (tmp_path / "a_dog_barks.wav").read_bytes()
    assert (
        run("a dog / ../barks!", "--num-waveforms", "2")[1]
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


@pytest.mark.filterwarnings("default:the prompt .* is too long")
def test_a_prompt_longer_than_the_model_reads_is_a_warning(run):
    code, _, err = run("a dog barks and " * 60, "-o", "long.wav")
    assert code == 0
    assert "the prompt 'a dog barks and a dog barks" in err and "uses only its beginning" in err
    assert run("a dog barks and " * 60, "-o", "long.wav", "--quiet") == (0, "", "")


def test_plot_draws_beside_the_file(run, tmp_path):
    assert run("a dog", "-o", "dog.wav", "--plot")[0] == 0
    pixels = np.asarray(Image.open(tmp_path / "dog.wav.png").convert("RGB"))
    assert pixels.shape[1] >= 500
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_candidates_print_the_clap_score_of_the_best(run):
    assert "CLAP score " in run("a dog", "-o", "dog.wav", "--candidates", "2")[1]


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        ((), "there is no prompt; describe the sound"),
        (("",), "prompt is empty"),
        (("x" * 10_000,), "prompt has 10000 characters; shorten it to 2000"),
        (("a dog", "--duration=-3"), "duration = '-3' must be at least 0.1"),
        (("a dog", "--duration", "20", "--reference", "original"), "the limit is 10.24 s"),
        (("a dog", "--guidance-scale=-1"), "--guidance-scale = '-1' must be at least 0"),
        (("a dog", "--eta", "1"), "choose sampler 'ddim' or set eta to 0"),
        (
            ("a dog", "-o", "dog.txt"),
            "cannot write audio as '.txt'; end the name in .wav, .flac, .ogg, .mp3",
        ),
        (("a dog", "-o", "no/such/dog.wav"), "there is no folder no/such; create it"),
        (("a dog", "-o", "taken/dogs"), "taken exists and is not a folder"),
        (("a dog", "-o", "taken"), "taken exists and is not a folder"),
        (("a dog", "-o", ""), "-o '' is not a file name"),
        (("a dog", "-o", ".wav"), "-o '.wav' is not a file name"),
        (("a dog", "-o", "a" * 300 + ".wav"), "File name too long"),
        (("caf\udcff",), "prompt contains bytes that are not UTF-8"),
        (("a dog", "--device", "tpu"), "device 'tpu' is not available"),
        (("a dog", "--precision", "int4"), "precision = 'int4' must be one of"),
    ],
)
def test_errors_are_one_line_and_code_2(run, tmp_path, tokens, line):
    (tmp_path / "taken").write_text("a file")
    code, out, err = run(*tokens)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_an_unknown_model_lists_those_that_exist(capsys, tmp_path):
    assert main(["generate", "a dog", "--model", "no-such", "-o", str(tmp_path / "x.wav")]) == 2
    assert (
        "'no-such' is not a model, a folder or a file; models are: mini" in capsys.readouterr().err
    )


def test_a_folder_without_permission_is_an_error(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "os.access", lambda *_: False
    )  # root may write anywhere, so the answer is faked
    code, _, err = run("a dog", "-o", "dog.wav")
    assert code == 2
    assert "cannot be written to" in err


def test_ctrl_c_leaves_finished_files_complete(run, tmp_path, monkeypatch):
    @contextmanager
    def interrupting_bar(title, quiet):
        def tick(done, total, note=""):
            if done > total * 2 / 3:
                raise KeyboardInterrupt

        yield tick

    monkeypatch.setattr(console, "progress_bar", interrupting_bar)
    code, _, err = run("a dog", "--num-waveforms", "3", "-o", "dog.wav")
    assert (code, err) == (130, "latentaudio: stopped; finished files are complete\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dog_1.wav", "dog_2.wav"]
    assert all(soundfile.info(p).frames == 4800 for p in tmp_path.iterdir())
