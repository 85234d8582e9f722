"""Lines written for the authors' commands."""

import pytest

from latentaudio.cli.audioldm_flags import OLD, translated
from latentaudio.cli.main import main
from latentaudio.errors import DataError

SECOND, FIRST, SPEECH = (
    "--model=audioldm2-full",
    "--model=audioldm-m-full",
    "--model=audioldm2-speech-gigaspeech",
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["-t", "a dog", "-s", "./output", "--model_name", "audioldm2-music-665k"],
         ["--output=./output/", "--model=audioldm2-music-665k", "--seed=0", "--", "a dog"]),
        (["--text=a dog", "-gs", "3.5", "-dur", "10", "-n", "3", "--ddim_steps=200", "--seed", "7"],
         ["--guidance=3.5", "--seconds=10", "--candidates=3", "--steps=200", "--seed=7", SECOND, "--", "a dog"]),
        (["-b", "2", "--mode", "generation", "-d", "auto", "-t", "x"], ["--device=auto", SECOND, "--seed=0", "--", "x"]),
        (["-tl", "list.txt", "-s", "", "-t", ""], ["--text-list=list.txt", SECOND, "--seed=0"]),
        (["-t", "x", "-ckpt", "y"], [FIRST, "--seed=42", "--", "x"]),
        (["-t", "x", "--model_name", "audioldm-s-full"], ["--model=audioldm-s-full", "--seed=42", "--", "x"]),
        (["-t", "x", "--model", "mini", "--plot"], ["--model=mini", "--seed=0", "--plot", "--", "x"]),
        (["-t", "x", "-n", "1", "-n", "2"], ["--candidates=2", SECOND, "--seed=0", "--", "x"]),
        (["bell", "-t", "-12 dB hum", "--", "-n"], [SECOND, "--seed=0", "--", "bell", "-12 dB hum", "-n"]),
        (["-t", "x", "--negative", "-12 dB hum"], ["--negative=-12 dB hum", SECOND, "--seed=0", "--", "x"]),
        (["-t=-n", "--negative=-t", "-o", "x.wav"], ["--negative=-t", "--output=x.wav", SECOND, "--seed=0", "--", "-n"]),
        (["-t", "", "--transcription", "hi"], ["--transcript=hi", SPEECH, "--seed=0"]),
        (["-t", "x", "--transcription", ""], [SECOND, "--seed=0", "--", "x"]),
        (["-t", "x", "--transcription", "hi", "--model_name", "audioldm2-speech-ljspeech"],
         ["--transcript=hi", "--model=audioldm2-speech-ljspeech", "--seed=0", "--", "x"]),
        (["-t", "x", "--transcription", "hi", "--model_name", "audioldm2-full", "--quiet"],
         ["--transcript=hi", SPEECH, "--seed=0", "--quiet", "--", "x"]),
    ],
)  # fmt: skip
def test_old_flags_mean_todays(old, new):
    words = translated(old)
    assert [word for word in words if word != "--preset=paper"] == new and "--preset=paper" in words


@pytest.mark.parametrize(
    "line",
    [["a dog", "--steps", "3"], ["--negative=-t", "x"], ["a", "--seed", "-1", "--", "-t"], []],
)
def test_a_line_in_todays_words_is_left_alone(line):
    assert translated(line) == line


@pytest.mark.parametrize(
    "line",
    [["--negative", "-t", "a dog"], ["-t", "x", "-s"], ["-t", "--seed", "3"], ["x", "-n", "--"]],
)
def test_a_flag_without_its_value_is_refused(line, capsys):
    assert main(["generate", *line]) == 2
    assert (
        "needs a value behind it; one that is a flag's name is written" in capsys.readouterr().err
    )


def test_every_translation_is_a_word_of_today():
    words = {name for name in OLD.values() if name.startswith("--")}
    assert words == {name for name in words if translated([name, "1", "-b", "1"])[0] == f"{name}=1"}


@pytest.fixture
def asked(monkeypatch):
    """What generate would load and generate, of which nothing is done."""
    calls = []

    def load(model, *_, **__):
        calls.append(model)
        raise DataError("not loaded")

    monkeypatch.setattr("latentaudio.pipeline.load", load)
    monkeypatch.setattr("latentaudio.cli.generate._check_speech", lambda model: None)
    monkeypatch.setattr(
        "latentaudio.cli.generate.targets", lambda output, names, **_: calls.extend(names)
    )
    return calls


def test_without_a_model_theirs_is_meant(asked):
    main(["generate", "-t", "-12 dB hum"])
    assert asked == ["-12 dB hum", "audioldm2-full"]


def test_an_empty_prompt_with_a_transcript_has_the_usual_voice(asked):
    main(["generate", "-t", "", "--transcription", "-hi"])
    assert asked == ["-hi", "audioldm2-speech-gigaspeech"]


def test_an_empty_prompt_alone_is_no_prompt(asked, capsys):
    assert main(["generate", "-t", "", "--transcription", ""]) == 2
    assert "there is no prompt" in capsys.readouterr().err


@pytest.mark.filterwarnings("default:audioldm2-full does not speak")
def test_a_transcript_takes_a_model_of_speech_with_a_warning(asked, capsys):
    main(["generate", "-t", "a man", "--transcription", "hi", "--model_name", "audioldm2-full"])
    assert asked == ["a man", "audioldm2-speech-gigaspeech"]
    warning = "audioldm2-full does not speak; audioldm2-speech-gigaspeech is taken instead, as audioldm2 does"
    assert capsys.readouterr().err.splitlines()[0] == f"latentaudio: {warning}"


@pytest.mark.parametrize(
    "wrong", [["--mode", "transfer"], ["-f", "dog.wav"], ["--mode=sr_inpainting"]]
)
def test_what_nothing_does_is_refused(wrong, capsys):
    assert main(["generate", "-t", "a dog", *wrong]) == 2
    assert "see latentaudio transfer and latentaudio inpaint" in capsys.readouterr().err


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
    assert "pip install espeakng-loader" in capsys.readouterr().err


def test_a_model_that_does_not_speak_says_which_do(tiny_folder, tmp_path, capsys):
    line = [
        "generate",
        "a dog",
        "--transcript",
        "hello",
        "--model",
        str(tiny_folder),
        "-o",
        str(tmp_path / "x.wav"),
    ]
    assert main(line) == 2
    assert "does not speak; for a transcript load a model of speech" in capsys.readouterr().err


def test_a_name_that_does_not_speak_is_refused_before_anything_is_fetched(monkeypatch, capsys):
    monkeypatch.setattr("latentaudio.pipeline.load", lambda *_, **__: pytest.fail("loaded"))
    assert main(["generate", "a dog", "--transcript", "hello", "--model", "audioldm2-full"]) == 2
    assert (
        "audioldm2-full does not speak; for a transcript load a model of speech"
        in capsys.readouterr().err
    )
