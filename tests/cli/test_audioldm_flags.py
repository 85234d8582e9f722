"""Command lines of the authors' `audioldm` and `audioldm2`."""

import pytest

from latentaudio.cli.audioldm_flags import LEGACY_FLAGS, translate_legacy_flags
from latentaudio.cli.main import main
from latentaudio.errors import DataError

pytestmark = pytest.mark.cli

AUDIOLDM2 = "--model=audioldm2-full"
AUDIOLDM1 = "--model=audioldm-m-full"
SPEECH = "--model=audioldm2-speech-gigaspeech"


@pytest.mark.parametrize(
    ("legacy", "expected"),
    [
        (
            ["-t", "a dog", "-s", "./output", "--model_name", "audioldm2-music-665k"],
            ["--output=./output/", "--model=audioldm2-music-665k", "--seed=0", "--", "a dog"],
        ),
        (
            [
                "--text=a dog",
                "-gs",
                "3.5",
                "-dur",
                "10",
                "-n",
                "3",
                "--ddim_steps=200",
                "--seed",
                "7",
            ],
            [
                "--guidance-scale=3.5",
                "--duration=10",
                "--candidates=3",
                "--steps=200",
                "--seed=7",
                AUDIOLDM2,
                "--",
                "a dog",
            ],
        ),
        (
            ["-b", "2", "--mode", "generation", "-d", "auto", "-t", "x"],
            ["--device=auto", AUDIOLDM2, "--seed=0", "--", "x"],
        ),
        (
            ["-tl", "list.txt", "-s", "", "-t", ""],
            ["--prompt-file=list.txt", AUDIOLDM2, "--seed=0"],
        ),
        (["-t", "x", "-ckpt", "y"], [AUDIOLDM1, "--seed=42", "--", "x"]),
        (
            ["-t", "x", "--model_name", "audioldm-s-full"],
            ["--model=audioldm-s-full", "--seed=42", "--", "x"],
        ),
        (
            ["-t", "x", "--model", "mini", "--plot"],
            ["--model=mini", "--seed=0", "--plot", "--", "x"],
        ),
        (["-t", "x", "-n", "1", "-n", "2"], ["--candidates=2", AUDIOLDM2, "--seed=0", "--", "x"]),
        (
            ["bell", "-t", "-12 dB hum", "--", "-n"],
            [AUDIOLDM2, "--seed=0", "--", "bell", "-12 dB hum", "-n"],
        ),
        (
            ["-t", "x", "--negative-prompt", "-12 dB hum"],
            ["--negative-prompt=-12 dB hum", AUDIOLDM2, "--seed=0", "--", "x"],
        ),
        (
            ["-t=-n", "--negative-prompt=-t", "-o", "x.wav"],
            ["--negative-prompt=-t", "--output=x.wav", AUDIOLDM2, "--seed=0", "--", "-n"],
        ),
        (["-t", "", "--transcription", "hi"], ["--transcript=hi", SPEECH, "--seed=0"]),
        (["-t", "x", "--transcription", ""], [AUDIOLDM2, "--seed=0", "--", "x"]),
        (
            ["-t", "x", "--transcription", "hi", "--model_name", "audioldm2-speech-ljspeech"],
            ["--transcript=hi", "--model=audioldm2-speech-ljspeech", "--seed=0", "--", "x"],
        ),
        (
            ["-t", "x", "--transcription", "hi", "--model_name", "audioldm2-full", "--quiet"],
            ["--transcript=hi", SPEECH, "--seed=0", "--quiet", "--", "x"],
        ),
    ],
)
def test_legacy_flags_are_translated(legacy, expected):
    words = translate_legacy_flags(legacy)
    assert "--preset=paper" in words
    assert [word for word in words if word != "--preset=paper"] == expected


@pytest.mark.parametrize(
    "line",
    [
        ["a dog", "--steps", "3"],
        ["--negative-prompt=-t", "x"],
        ["a", "--seed", "-1", "--", "-t"],
        [],
    ],
)
def test_a_line_without_legacy_flags_is_unchanged(line):
    assert translate_legacy_flags(line) == line


@pytest.mark.parametrize(
    "line",
    [
        ["--negative-prompt", "-t", "a dog"],
        ["-t", "x", "-s"],
        ["-t", "--seed", "3"],
        ["x", "-n", "--"],
    ],
)
def test_a_flag_without_its_value_is_an_error(line, capsys):
    assert main(["generate", *line]) == 2
    assert "needs a value; a value that is the name of a flag is written" in capsys.readouterr().err


def test_every_translation_is_a_flag_of_today():
    for name in LEGACY_FLAGS.values():
        if name.startswith("--"):
            assert translate_legacy_flags([name, "1", "-b", "1"])[0] == f"{name}=1"


@pytest.fixture
def calls(monkeypatch):
    """The names of files and of the model that generate would write and load; it does neither."""
    calls = []

    def load(model, *_, **__):
        calls.append(model)
        raise DataError("not loaded")

    monkeypatch.setattr("latentaudio.pipeline.load", load)
    monkeypatch.setattr("latentaudio.cli.flags.validate_speech_model", lambda model: None)
    monkeypatch.setattr(
        "latentaudio.cli.generate.output_paths", lambda output, names, **_: calls.extend(names)
    )
    return calls


def test_without_a_model_the_default_is_that_of_audioldm2(calls):
    main(["generate", "-t", "-12 dB hum"])
    assert calls == ["-12 dB hum", "audioldm2-full"]


def test_an_empty_prompt_with_a_transcript_has_the_default_voice(calls):
    main(["generate", "-t", "", "--transcription", "-hi"])
    assert calls == ["-hi", "audioldm2-speech-gigaspeech"]


def test_an_empty_prompt_alone_is_no_prompt(calls, capsys):
    assert main(["generate", "-t", "", "--transcription", ""]) == 2
    assert "there is no prompt" in capsys.readouterr().err


@pytest.mark.filterwarnings("default:audioldm2-full is not a speech model")
def test_a_transcript_selects_a_speech_model_with_a_warning(calls, capsys):
    main(["generate", "-t", "a man", "--transcription", "hi", "--model_name", "audioldm2-full"])
    assert calls == ["a man", "audioldm2-speech-gigaspeech"]
    warning = (
        "audioldm2-full is not a speech model; audioldm2-speech-gigaspeech is used instead, "
        "as audioldm2 does"
    )
    assert capsys.readouterr().err.splitlines()[0] == f"latentaudio: {warning}"


@pytest.mark.parametrize(
    "wrong", [["--mode", "transfer"], ["-f", "dog.wav"], ["--mode=sr_inpainting"]]
)
def test_legacy_flags_of_edits_name_the_commands_of_today(wrong, capsys):
    assert main(["generate", "-t", "a dog", *wrong]) == 2
    assert "see latentaudio transfer and latentaudio inpaint" in capsys.readouterr().err


def test_a_legacy_line_writes_files(tiny_folder, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("a dog | first\n\nbell\n")
    line = [
        "-tl",
        str(tmp_path / "list.txt"),
        "-s",
        str(tmp_path / "out"),
        "--model_name",
        str(tiny_folder),
        "-dur",
        "0.5",
        "--ddim_steps",
        "2",
        "-n",
        "1",
        "-d",
        "cpu",
        "--seed",
        "1",
    ]
    assert main(["generate", *line]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bell.wav", "first.wav"]


def test_a_prompt_file_that_cannot_be_read_or_has_two_bars_is_an_error(tmp_path, capsys):
    assert main(["generate", "--prompt-file", str(tmp_path / "none.txt")]) == 2
    assert "cannot read" in capsys.readouterr().err
    (tmp_path / "bars.txt").write_text("a|b|c\n")
    assert main(["generate", "--prompt-file", str(tmp_path / "bars.txt")]) == 2
    assert "line 1 has two vertical bars" in capsys.readouterr().err


def test_speech_without_its_extra_names_the_package_to_install(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["generate", "A man speaks", "--transcript", "hello"]) == 2
    assert "pip install espeakng-loader" in capsys.readouterr().err


def test_a_transcript_with_another_model_names_a_speech_model(tiny_folder, tmp_path, capsys):
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
    assert "is not a speech model; for a transcript load one" in capsys.readouterr().err


def test_a_transcript_with_another_model_is_an_error_before_a_download(monkeypatch, capsys):
    monkeypatch.setattr("latentaudio.pipeline.load", lambda *_, **__: pytest.fail("loaded"))
    assert main(["generate", "a dog", "--transcript", "hello", "--model", "audioldm2-full"]) == 2
    assert (
        "audioldm2-full is not a speech model; for a transcript choose one"
        in capsys.readouterr().err
    )
