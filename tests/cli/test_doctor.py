"""`latentaudio doctor`."""

import json
from importlib.metadata import version

import torch

from latentaudio.cli.main import main


def test_the_facts_are_those_of_this_machine(capsys):
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["torch"] == version("torch")
    assert facts["threads"] == torch.get_num_threads()
    assert facts["precision"] in ("bf16", "fp32")
    assert main(["doctor"]) == 0
    assert f"torch           {version('torch')}" in capsys.readouterr().out
