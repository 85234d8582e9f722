"""`latentaudio info`."""

import json

import numpy as np
import soundfile

from latentaudio.audio.io import Audio
from latentaudio.cli.main import main
from latentaudio.config.options import GenerationOptions


def test_a_generated_file_shows_its_options(tmp_path, capsys):
    options = GenerationOptions(prompt="rain on a roof", seed=9)
    path = Audio(np.full((1, 8000), 0.1, np.float32), 16000, options).save(tmp_path / "x.mp3")
    assert main(["info", str(path)]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (shown["prompt"], shown["seed"], shown["sample_rate"], shown["made"]) == (
        "rain on a roof",
        "9",
        "16000",
        "AI generated",
    )
    assert main(["info", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tags"]["prompt"] == "rain on a roof"


def test_a_file_of_another_program_shows_its_format(tmp_path, capsys):
    soundfile.write(tmp_path / "x.wav", np.zeros((100, 2)), 44100)
    assert main(["info", str(tmp_path / "x.wav"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["sample_rate"], record["channels"], record["samples"], record["tags"]) == (
        44100,
        2,
        100,
        {},
    )


def test_a_missing_file_is_an_error(tmp_path, capsys):
    assert main(["info", str(tmp_path / "x.wav")]) == 2
    assert "there is no audio file" in capsys.readouterr().err
