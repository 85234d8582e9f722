"""`latentaudio models`."""

import json
import subprocess
import sys

import pytest

from latentaudio.cli.main import main
from latentaudio.config.registry import MODELS


def test_the_table_has_every_model_and_fits_100_columns(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    shown = {line.split()[0]: line for line in lines[1:-2] if line[0] != " "}
    assert list(shown) == list(MODELS)
    assert shown["audioldm-s-full"].endswith("449 M   1.8 GB  CC BY-NC-SA 4.0")
    assert " 32 M " in shown["mini"] and " MB " in shown["mini"]
    assert "48 kHz" in shown["audioldm_48k"] and "15 s" in shown["audioldm_48k"]


@pytest.mark.parametrize("spec", MODELS.values(), ids=list(MODELS))
def test_one_model_is_shown_with_all_details(spec, capsys):
    assert main(["models", spec.name]) == 0
    shown = capsys.readouterr().out
    assert spec.description in shown and spec.license in shown
    assert f"{spec.config.mel.sample_rate} Hz" in shown
    assert f"{spec.num_parameters:,}; UNet: {spec.unet_parameters:,}" in shown
    assert (spec.hub_id or spec.original_checkpoint) in shown


def test_an_unknown_model_lists_those_that_exist(capsys):
    assert main(["models", "no-such"]) == 2
    assert "no model is called 'no-such'; models are: mini" in capsys.readouterr().err


def test_json_is_one_object_per_model(capsys):
    assert main(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == list(MODELS)
    assert (rows[0]["sample_rate"], rows[0]["max_duration"], rows[0]["steps"]) == (16000, 10.24, 25)
    assert "config" not in rows[0]
    music = next(row for row in rows if row["name"] == "audioldm2-music-665k")
    assert (music["hub_id"], music["unet_parameters"], music["guidance_scale"]) == (
        "cvssp/audioldm2-music",
        346_943_496,
        3.5,
    )
    assert main(["models", "audioldm2-music-665k", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == music


def test_it_imports_no_torch():
    code = (
        "import sys; from latentaudio.cli.main import main; main(['models']);"
        "sys.exit('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert result.returncode == 0
