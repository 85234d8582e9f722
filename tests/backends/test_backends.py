"""The table of backends, what they refuse, and the files of converted networks."""

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from latentaudio import load
from latentaudio.backends import get_backend
from latentaudio.cli.main import main
from latentaudio.config import backends as table
from latentaudio.config.backends import BACKENDS
from latentaudio.errors import UsageError
from latentaudio.fileio import CACHE_VARIABLE
from latentaudio.serve.model_pool import ModelPool, PoolSettings

ROOT = Path(__file__).parent.parent.parent
OTHERS = list(BACKENDS)[1:]
QUICK = {"duration": 0.3, "steps": 1, "seed": 1}


def test_each_row_has_a_file_an_extra_and_a_flag(capsys):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    files = {path.stem for path in (ROOT / "src/latentaudio/backends").glob("*.py")}
    assert next(iter(BACKENDS)) == "torch"
    for name in OTHERS:
        spec = BACKENDS[name]
        assert spec.file in files
        installed = {requirement.partition(">=")[0] for requirement in extras[name]}
        assert installed == set(spec.packages)
        file = get_backend(name)
        assert file.choose_precision("fp32") == "fp32"
        assert file.choose_precision("auto") in spec.precisions
        assert callable(file.open_session)
    assert main(["generate", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in OTHERS)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("package", ["itself", "onnxscript"])
def test_a_missing_package_is_one_line_with_the_extra(
    name, package, folders, tmp_path, monkeypatch, capsys
):
    missing = BACKENDS[name].packages[0] if package == "itself" else package
    find_spec = table.find_spec
    monkeypatch.setattr(
        table, "find_spec", lambda wanted: None if wanted == missing else find_spec(wanted)
    )
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    words = ["generate", "rain", "--model", str(folders["audioldm"]), "--backend", name]
    assert main([*words, "-o", str(tmp_path / "x.wav"), "--quiet"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert missing in line and f"[{name}]" in line
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--backend", "tensorrt"], "torch, openvino, onnxruntime"),
        (["--backend", "openvino", "--device", "cuda"], "choose device cpu"),
        (["--backend", "openvino", "--precision", "int8"], "auto, bf16, fp32"),
        (["--backend", "onnxruntime", "--precision", "bf16"], "auto, fp32"),
        (["--backend", "onnxruntime", "--adapter", "mine"], "convert --adapter"),
        (["--backend", "openvino", "--reference", "diffusers"], "reference clean or original"),
    ],
)
@pytest.mark.parametrize("model", ["audioldm2-full", "mini"])
def test_refusals_come_before_any_work(words, expected, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("latentaudio.loaders.resolve.resolve_model", None)  # a call would fail
    command = ["generate", "rain", "--model", model, "-o", str(tmp_path / "x.wav"), *words]
    assert main(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert expected in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", OTHERS)
def test_python_and_the_server_refuse_the_same(name):
    with pytest.raises(UsageError, match="choose device cpu"):
        load("mini", "cuda", backend=name)
    with pytest.raises(UsageError, match="choose device cpu"):
        ModelPool(PoolSettings(device="cuda", backend=name))
    with pytest.raises(UsageError, match="adapters"):
        ModelPool(PoolSettings(adapters=["mine"], backend=name))
    model = load("mini", backend=name)
    assert model.device.type == "cpu"  # of "auto", also where there is a GPU
    with pytest.raises(UsageError, match="convert --adapter"):
        model.load_adapter("missing")
    with pytest.raises(UsageError, match="choose device cpu"):
        model.to("cuda")
    with pytest.raises(UsageError, match="int8"):
        model.to("cpu", "int8")
    pool = ModelPool(PoolSettings(backend=name))
    served = pool.load(pool.key("", ""))
    assert served.components.runtime_metadata["backend"] == name
    components = served.components  # networks are kept, weights and prompts are not
    assert components.keep_networks and not components.use_cache and not served._use_cache


@pytest.mark.filterwarnings("ignore:(converting the|waiting until)")
@pytest.mark.parametrize("name", OTHERS)
def test_a_unet_that_the_program_changed_is_refused(name, folders):
    model = load(folders["audioldm"], backend=name, use_cache=True)
    model.components.unpacked("unet")
    with pytest.raises(UsageError, match="backend torch"):
        model.generate("rain", **QUICK)


def test_openvino_is_imported_without_its_reports():
    program = """
import sys
from latentaudio.backends.openvino import import_openvino
openvino = import_openvino()
assert openvino.Core and "openvino_telemetry" not in sys.modules
import openvino_telemetry
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--backend", "openvino", "--device", "cuda"],
        ["evaluate", "quality", "--backend", "openvino", "--device", "cuda"],
        ["evaluate", "editing", "--backend", "openvino", "--device", "cuda"],
        ["stream", "rain", "--backend", "openvino", "--device", "cuda"],
        ["vary", "{clip}", "--backend", "openvino", "--device", "cuda"],
    ],
)
def test_other_commands_refuse_the_same(command, tmp_path, capsys):
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, np.full(16_000, 0.1), 16_000)
    assert main([word.format(clip=clip) for word in command]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "choose device cpu" in line


@pytest.mark.cli
@pytest.mark.filterwarnings("ignore:(converting the|waiting until)")
@pytest.mark.parametrize("name", OTHERS)
def test_tags_name_the_backend_and_reproduce_uses_it(name, folders, tmp_path, capsys):
    clip = tmp_path / "x.wav"
    words = ["generate", "rain", "--model", str(folders["audioldm"]), "--backend", name]
    words += ["--duration", "0.3", "--steps", "1", "--seed", "3", "-o", str(clip), "--quiet"]
    assert main(words) == 0
    capsys.readouterr()
    assert main(["reproduce", str(clip)]) == 0
    assert capsys.readouterr().out.strip().endswith("same")
    assert main(["reproduce", str(clip), "--backend", "torch", "-o", str(tmp_path / "y.wav")]) == 0
    assert "differs" in capsys.readouterr().out
    assert main(["info", str(clip)]) == 0
    assert name in capsys.readouterr().out
