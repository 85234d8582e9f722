"""`latentaudio doctor`."""

import json
from importlib.metadata import version

import torch

from latentaudio.cli.main import main


def test_versions_and_threads_are_those_of_this_process(capsys):
    assert main(["doctor", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["torch"] == version("torch")
    assert record["threads"] == torch.get_num_threads()
    assert record["precision"] in ("bf16", "fp32")
    assert main(["doctor"]) == 0
    assert f"torch           {version('torch')}" in capsys.readouterr().out
