"""`latentaudio info`."""

import json

import numpy as np
import soundfile

from latentaudio.audio.io import Audio
from latentaudio.cli.main import main
from latentaudio.config.options import Options


def test_a_file_of_ours_tells_how_it_was_made(tmp_path, capsys):
    path = Audio(
        np.full((1, 8000), 0.1, np.float32), 16000, Options(prompt="rain on a roof", seed=9)
    ).save(tmp_path / "x.mp3")
    assert main(["info", str(path)]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (shown["prompt"], shown["seed"], shown["rate"], shown["made"]) == (
        "rain on a roof",
        "9",
        "16000",
        "AI generated",
    )
    assert main(["info", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tags"]["prompt"] == "rain on a roof"


def test_a_foreign_file_tells_what_it_is(tmp_path, capsys):
    soundfile.write(tmp_path / "x.wav", np.zeros((100, 2)), 44100)
    assert main(["info", str(tmp_path / "x.wav"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rate"], found["channels"], found["samples"], found["tags"]) == (
        44100,
        2,
        100,
        {},
    )


def test_no_such_file(tmp_path, capsys):
    assert main(["info", str(tmp_path / "x.wav")]) == 2
    assert "there is no sound file" in capsys.readouterr().err
