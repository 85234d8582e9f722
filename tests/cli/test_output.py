"""Files that commands write: none of the user's is replaced, and names are taken at once."""

import threading
import time

import numpy as np
import pytest
import soundfile

from latentaudio.cli.flags import OutputFlags, reject_file_names
from latentaudio.cli.main import main
from latentaudio.cli.output import output_paths
from latentaudio.errors import UsageError

pytestmark = pytest.mark.cli


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys, no_progress_lines):
    """Calls a command with the tiny model in an empty folder; returns code and stderr."""
    monkeypatch.chdir(tmp_path)
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    soundfile.write("mine.wav", noise, 16000)
    (tmp_path / "cues.yaml").write_text("- {start: 0, text: a dog}\n")
    (tmp_path / "prompts.txt").write_text("a dog\n")

    def call(*words):
        flags = ["--model", str(tiny_folder), "--steps", "1"]
        code = main([*words, *flags])
        return code, capsys.readouterr().err

    return call


WITHOUT_DURATION = {"extend", "loop", "vary", "transfer", "inpaint", "super-resolve"}
COMMANDS = {
    "generate": ["generate", "a dog", "--duration", "0.5"],
    "morph": ["morph", "a dog", "rain", "--duration", "0.5"],
    "transfer": ["transfer", "mine.wav", "a dog"],
    "vary": ["vary", "mine.wav"],
    "inpaint": ["inpaint", "mine.wav", "a dog", "--time", "0.1:0.2"],
    "super-resolve": ["super-resolve", "mine.wav", "--cutoff-hz", "2000"],
    "extend": ["extend", "mine.wav", "--after", "0.2"],
    "loop": ["loop", "mine.wav", "--loop-seam", "0.2"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_no_command_replaces_a_file_that_it_has_not_made(run, tmp_path, words):
    other = tmp_path / "other.wav"
    other.write_bytes((tmp_path / "mine.wav").read_bytes())
    before = other.read_bytes()
    code, err = run(*words, "-o", "other.wav")
    assert code == 2
    assert "other.wav exists, and this command has not made it; name another file" in err
    assert other.read_bytes() == before
    assert run(*words, "-o", "other.wav", "--overwrite")[0] == 0
    made = other.read_bytes()
    assert made != before
    assert run(*words, "-o", "other.wav", "--seed", "3")[0] == 0  # its own file
    assert other.read_bytes() != made


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["generate", "a dog", "--audio-prompt", "mine.wav"], "mine.wav"),
        (["generate", "a dog", "--audio-prompt", "mine_2.wav", "--num-waveforms", "2"], "mine.wav"),
        (["morph", "mine.wav", "rain"], "mine.wav"),
        (["transfer", "mine.wav", "a dog"], "mine.wav"),
        (["vary", "mine.wav.png.wav", "--plot"], "mine.wav"),
    ],
)
def test_no_command_replaces_what_it_reads_not_even_with_overwrite(run, tmp_path, words, name):
    source = tmp_path / next(word for word in words if word.endswith(".wav"))
    if not source.exists():
        source.write_bytes((tmp_path / "mine.wav").read_bytes())
        (tmp_path / "mine.wav").unlink()
    if "--plot" in words:
        (tmp_path / "mine.wav.png").symlink_to(source)
    before = source.read_bytes()
    code, err = run(*words, "-o", name, "--overwrite")
    assert code == 2
    assert f"would overwrite {source.name}, which the command reads" in err
    assert source.read_bytes() == before


def test_a_plot_replaces_no_picture_of_the_user(run, tmp_path):
    (tmp_path / "new.wav.png").write_bytes(b"a picture")
    code, err = run("generate", "a dog", "--duration", "0.5", "--plot", "-o", "new.wav")
    assert code == 2
    assert "new.wav.png exists" in err
    assert (tmp_path / "new.wav.png").read_bytes() == b"a picture"


def test_two_processes_in_one_folder_take_different_names(tmp_path):
    flags = OutputFlags(output=f"{tmp_path}/new")
    names = []

    def write_clip(paths):
        with next(paths) as path:
            assert not list(tmp_path.rglob(".*"))
            names.append(path.name)
            time.sleep(0.05)
            assert not path.exists()
            path.write_bytes(b"clip")

    others = output_paths(flags, ["a dog", "a dog"])
    assert not list(tmp_path.iterdir())  # until there is a clip
    thread = threading.Thread(target=write_clip, args=(output_paths(flags, ["a dog"]),))
    thread.start()
    write_clip(others)
    thread.join()
    write_clip(others)
    assert names == ["a_dog.wav", "a_dog_2.wav", "a_dog_3.wav"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)


REFUSED = [
    ["morph", "mine.wav", "missing.wav"],
    ["vary", "mine.wav", "--device", "x"],
    ["inpaint", "missing.wav", "--time", "0.1-0.2"],
    ["generate", "a dog", "--precision", "x"],
]


@pytest.mark.parametrize("words", REFUSED, ids=[words[0] for words in REFUSED])
@pytest.mark.parametrize("output", ["new", "new/", "new/and/newer/"])
def test_a_refused_command_creates_no_folder(run, tmp_path, words, output):
    before = sorted(tmp_path.iterdir())
    command = [*words, "-o", output]
    code, err = run(*command)
    assert (code, err.count("\n")) == (2, 1)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("output", ["file/", "file/new/", f"{'x' * 300}/", "gone/a.wav"])
def test_an_impossible_folder_is_refused_before_any_work(run, tmp_path, output):
    (tmp_path / "file").touch()
    code, err = run("generate", "a dog", "-o", output)
    assert (code, err.count("\n")) == (2, 1)
    assert "not a folder" in err or "there is no folder" in err or "name too long" in err.lower()


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with next(output_paths(OutputFlags(output="~/x.wav"), ["a"])) as path:
        assert path == tmp_path / "x.wav"


FILE_LIKE = [
    "rian.wav", "my dog.WAV", "out.flac", "list.txt", "rows.csv", "cues.yaml", "mask.png",
    "/tmp/dog", "./dog", "../dog", "~/dog", "sounds/dog.x", "a/b.wav",
]  # fmt: skip
TEXTS = ["a dog", "rain. wind", "24/7 traffic", "a dog and/or a cat", "mr. smith", "", "C++", "a.b"]


@pytest.mark.parametrize("word", FILE_LIKE)
def test_what_looks_like_a_file_is_no_prompt(word):
    with pytest.raises(UsageError, match=r"looks like a file, .* or add --text if it is text"):
        reject_file_names([word], is_text=False)
    reject_file_names([word], is_text=True)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_prompts(text):
    reject_file_names([text], is_text=False)


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "rian.wav"],
        ["generate", "prompts.txt"],
        ["morph", "a dog", "rian.wav"],
        ["morph", "rian.wav", "a dog"],
        ["vary", "mine.wav", "out.wav"],
        ["transfer", "mine.wav", "out.wav"],
        ["inpaint", "mine.wav", "out.wav", "--time", "0.1:0.2"],
        ["extend", "mine.wav", "out.wav", "--after", "0.2"],
        ["loop", "mine.wav", "out.wav"],
        ["super-resolve", "mine.wav", "out.wav", "--cutoff-hz", "2000"],
        ["stream", "rian.wav", "--duration", "1", "-o", "x.wav"],
    ],
)
def test_no_command_takes_a_missing_file_as_a_prompt(run, tmp_path, words):
    before = {path.name for path in tmp_path.iterdir()}
    code, err = run(*words)
    assert code == 2
    assert "looks like a file" in err
    assert {path.name for path in tmp_path.iterdir()} == before


def test_subtype_and_dither_reach_the_file(run, tmp_path):
    words = ["generate", "a dog", "--duration", "0.5", "--seed", "1"]
    assert run(*words, "-o", "a.wav", "--subtype", "PCM_24")[0] == 0
    assert soundfile.info("a.wav").subtype == "PCM_24"
    assert run(*words, "-o", "b.flac", "--dither")[0] == 0
    code, err = run(*words, "-o", "c.flac", "--subtype", "FLOAT")
    assert code == 2
    assert ".flac has no subtype FLOAT" in err
    for name in ("a.wav", "b.flac"):
        assert main(["reproduce", name]) == 0
        stem, _, extension = name.partition(".")
        made = (tmp_path / f"{stem}_reproduced.{extension}").read_bytes()
        assert made == (tmp_path / name).read_bytes()
