"""`latentaudio models`."""

import json
import subprocess
import sys

from latentaudio.cli.main import main
from latentaudio.config.registry import VARIANTS


def test_every_row_is_shown(capsys):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    for row in VARIANTS.values():
        assert f"{row.name}: {row.purpose}" in shown
        assert row.licence in shown


def test_json_is_one_object_per_model(capsys):
    assert main(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == list(VARIANTS)
    assert (rows[0]["rate"], rows[0]["longest"], rows[0]["steps"]) == (16000, 10.24, 25)
    assert "config" not in rows[0]
    music = next(row for row in rows if row["name"] == "audioldm2-music-665k")
    assert (music["hub"], music["parameters"], music["guidance"]) == (
        "cvssp/audioldm2-music",
        346_943_496,
        3.5,
    )


def test_it_needs_no_torch():
    code = "import sys; from latentaudio.cli.main import main; main(['models']); sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
        == 0
    )
