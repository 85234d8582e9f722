"""`latentaudio benchmark --instruction-set`: the environment of the process that measures."""

import json
import sys

import pytest

from latentaudio.cli import benchmark as command
from latentaudio.cli.main import main
from latentaudio.config import instruction_sets
from latentaudio.config.instruction_sets import HELD_VARIABLE, INSTRUCTION_SETS, environment_of


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Return a function that sets what the processor has."""

    def set_flags(flags):
        path = tmp_path / "cpuinfo"
        path.write_text(f"flags : fpu {flags}\n")
        monkeypatch.setattr(instruction_sets, "_CPUINFO", path)

    return set_flags


@pytest.fixture
def child(monkeypatch, tmp_path):
    """Replace the program of the child by one that records how it was started."""
    record = tmp_path / "record.json"
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, pathlib, sys\n"
        f"names = {[*environment_of_all()]!r}\n"
        "found = {name: os.environ.get(name) for name in names}\n"
        f"pathlib.Path({str(record)!r}).write_text(json.dumps([sys.argv[1:], found]))\n"
        "sys.exit(3 if 'fail' in sys.argv else 0)\n"
    )
    launcher = tmp_path / "python"
    launcher.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {program} "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setattr(command.sys, "executable", str(launcher))
    return record


def environment_of_all():
    return ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", HELD_VARIABLE)


def test_the_child_gets_the_limits_and_the_same_flags(child, processor):
    processor("avx2 avx_vnni")
    words = ["mini", "audioldm2-full", "--duration", "2", "--rounds", "1", "--rivals"]
    words += ["diffusers", "onnxruntime", "--rival-files", "kept", "--json"]
    words += ["--presets", "draft", "--instruction-set", "avx2-vnni"]
    assert main(["benchmark", *words]) == 0
    started, environment = json.loads(child.read_text())
    assert environment == {
        "ONEDNN_MAX_CPU_ISA": "AVX2_VNNI",
        "ATEN_CPU_CAPABILITY": "avx2",
        HELD_VARIABLE: "avx2-vnni",
    }
    assert started[:3] == ["benchmark", "mini", "audioldm2-full"]
    rivals = "--rivals diffusers onnxruntime --rival-files kept"
    for flag in ("--duration 2.0", "--rounds 1", rivals, "--presets draft", "--json"):
        assert flag in " ".join(started)


def test_the_exit_code_of_the_child_is_ours(child, processor):
    processor("avx2")
    with pytest.raises(SystemExit, match="3"):
        main(["benchmark", "fail", "--instruction-set", "avx2"])


def test_a_set_that_the_processor_lacks_is_refused_in_one_line(child, processor, capsys):
    processor("avx2")
    assert main(["benchmark", "mini", "--instruction-set", "amx"]) == 2
    assert "lacks amx_tile" in capsys.readouterr().err
    assert not child.exists()


def test_every_set_holds_all_libraries(processor):
    processor(" ".join(flag for spec in INSTRUCTION_SETS.values() for flag in spec.flags))
    for name in INSTRUCTION_SETS:
        environment = environment_of(name)
        assert environment["ONEDNN_MAX_CPU_ISA"] == environment["DNNL_MAX_CPU_ISA"]
        assert environment[HELD_VARIABLE] == name
