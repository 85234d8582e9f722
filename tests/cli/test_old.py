"""Lines written for the authors' commands."""

import pytest

from latentaudio.cli.main import main
from latentaudio.cli.old import translated


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["-t", "a dog", "-s", "./output", "--model_name", "audioldm2-full"],
         ["a dog", "--output", "./output/", "--model", "audioldm2-full"]),
        (["--text=a dog", "-gs", "3.5", "-dur", "10", "-n", "3", "--ddim_steps=200", "--seed", "0"],
         ["a dog", "--guidance", "3.5", "--seconds", "10", "--candidates", "3", "--steps", "200", "--seed", "0"]),
        (["-b", "2", "--mode", "generation", "-d", "auto", "--transcription", "hello"],
         ["--device", "auto", "--transcript", "hello"]),
        (["-tl", "list.txt", "-ckpt", "x"], ["--text-list", "list.txt"]),
        (["a dog", "--steps", "3"], ["a dog", "--steps", "3"]),
    ],
)  # fmt: skip
def test_old_flags_mean_todays(old, new):
    assert translated(old) == new


@pytest.mark.parametrize("wrong", [["--mode", "transfer"], ["-f", "dog.wav"], ["--mode=sr_inpainting"]])
def test_what_nothing_does_is_refused(wrong, capsys):
    assert main(["generate", "-t", "a dog", *wrong]) == 2
    assert "sounds are not edited by this version" in capsys.readouterr().err


def test_an_old_line_makes_files(tiny_folder, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("a dog | first\n\nbell\n")
    line = ["-tl", str(tmp_path / "list.txt"), "-s", str(tmp_path / "out"), "--model_name", str(tiny_folder), "-dur", "0.5",
            "--ddim_steps", "2", "-n", "1", "-d", "cpu", "--seed", "1"]  # fmt: skip
    assert main(["generate", *line]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bell.wav", "first.wav"]


def test_a_list_that_cannot_be_read_or_has_two_bars(tmp_path, capsys):
    assert main(["generate", "--text-list", str(tmp_path / "none.txt")]) == 2
    assert "cannot read" in capsys.readouterr().err
    (tmp_path / "bars.txt").write_text("a|b|c\n")
    assert main(["generate", "--text-list", str(tmp_path / "bars.txt")]) == 2
    assert "line 1 has two vertical bars" in capsys.readouterr().err


def test_speech_without_its_extra_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["generate", "A man speaks", "--transcript", "hello"]) == 2
    assert "pip install 'latentaudio[speech]'" in capsys.readouterr().err


def test_a_model_that_does_not_speak_says_which_do(tiny_folder, tmp_path, capsys):
    line = ["generate", "a dog", "--transcript", "hello", "--model", str(tiny_folder), "-o", str(tmp_path / "x.wav")]
    assert main(line) == 2
    assert "does not speak; for a transcript load a model of speech" in capsys.readouterr().err
