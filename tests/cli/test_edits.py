"""The editing commands: their flags, their files, and inputs that are never overwritten."""

import numpy as np
import pytest
import soundfile
from clips import RATE, half_mask
from PIL import Image

from latentaudio.audio.io import info
from latentaudio.cli.main import main
from latentaudio.config.options import GenerationOptions


@pytest.fixture
def source_file(tmp_path):
    """Two seconds of a tone with noise."""
    t = np.arange(2 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(t))
    path = tmp_path / "given.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * t) + 0.02 * noise, RATE, subtype="FLOAT")
    return path


@pytest.fixture
def flags(tiny_folder):
    return ["--model", str(tiny_folder), "--steps", "2", "--seed", "1", "--precision", "fp32"]


def test_every_command_names_its_files(source_file, flags, tmp_path, capsys):
    commands = {
        "transfer": ["a dog", "--strength", "0.6"],
        "vary": ["--strength", "0.5", "--num-waveforms", "2"],
        "inpaint": ["a dog", "--time", "0.5:0.8", "--time", "1:1.5", "--band", "1000:4000"],
        "super-resolve": ["--cutoff-hz", "4000"],
        "extend": ["a dog", "--after", "0.5"],
        "loop": ["--loop-seam", "0.5"],
    }
    for command, arguments in commands.items():
        words = [command, str(source_file), *arguments, *flags, "-o", f"{tmp_path}/out/"]
        assert main(words) == 0, capsys.readouterr().err
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {
        "given_transfer",
        "given_vary",
        "given_vary_2",
        "given_inpaint",
        "given_super_resolve",
        "given_extend",
        "given_loop",
    }
    request = GenerationOptions.from_tags(info(tmp_path / "out" / "given_inpaint.wav")["tags"])
    assert request.edit.time_ranges == ((0.5, 0.8), (1.0, 1.5))
    assert request.edit.frequency_ranges == ((1000.0, 4000.0),)


def test_wrong_flags_and_files(source_file, flags, tmp_path, capsys):
    numbered = tmp_path / "take_1.wav"
    numbered.write_bytes(source_file.read_bytes())
    given = str(source_file)
    two = ["--num-waveforms", "2", "-o", str(tmp_path / "take.wav")]
    for words, message in (
        (["inpaint", given, "--time", "1-2"], "write START:END"),
        (["inpaint", given, "--time", "1:9"], "goes beyond"),
        (["inpaint", given, "--mask", given], "as an image"),
        (["transfer", given, "a dog", "-o", given], "would overwrite"),
        (["transfer", str(tmp_path / "no.wav"), "a dog"], "no.wav"),
        (["vary", str(numbered), *two], "would overwrite"),
    ):
        assert main([*words, *flags]) == 2
        assert message in capsys.readouterr().err


def test_source_and_mask_are_never_overwritten(source_file, flags, tmp_path, capsys):
    mask = tmp_path / "out.wav.png"
    Image.fromarray(half_mask()).save(mask)
    (tmp_path / "link.wav").symlink_to(source_file)
    before = (source_file.read_bytes(), mask.read_bytes())
    command = ["inpaint", str(source_file), "--mask", str(mask), *flags]
    for output, message in (
        (source_file, "would overwrite"),
        (tmp_path / "link.wav", "would overwrite"),
        (tmp_path / "out.wav", "would overwrite"),
        (f"{source_file}/", "exists and is not a folder"),
        (source_file / "out.wav", "exists and is not a folder"),
        (tmp_path / "gone" / "out.wav", "no folder"),
        (tmp_path / "out.m4a", "end the name in"),
    ):
        assert main([*command, "-o", str(output), "--plot"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert (source_file.read_bytes(), mask.read_bytes()) == before


def test_a_folder_with_the_name_of_the_source_is_a_folder(source_file, flags, tmp_path, capsys):
    folder = tmp_path / "given"
    folder.mkdir()
    command = ["inpaint", str(source_file), "--time", "0.5:0.8", *flags, "--quiet"]
    assert main([*command, "-o", str(folder)]) == 0, capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["given_inpaint.wav"]
