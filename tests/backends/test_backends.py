"""The table of backends, what they refuse, and the files of converted networks."""

import gc
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

from latentaudio import load
from latentaudio.backends import get_backend
from latentaudio.cli.main import main
from latentaudio.config import backends as table
from latentaudio.config.backends import BACKENDS
from latentaudio.errors import UsageError
from latentaudio.fileio import CACHE_VARIABLE
from latentaudio.loaders import converted
from latentaudio.loaders.prepared import prepared_files
from latentaudio.loaders.resolve import resolve_model
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
    assert all(name in capsys.readouterr().out for name in OTHERS[:1])


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
    assert served.components.use_cache and not served._use_cache  # networks, not prompts


@pytest.mark.filterwarnings("ignore:converting the")
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


@pytest.fixture
def quick_conversion(monkeypatch, tmp_path):
    """A conversion that writes two files of nothing, and its calls."""
    calls = []

    def convert(graph, file):
        calls.append(file)
        file.write_bytes(b"graph")
        file.with_name(file.name + ".data").write_bytes(bytes(100_000))

    monkeypatch.setattr(converted, "convert", convert)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return calls


def find(source, use_cache=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return converted.converted_network(source, "unet", "full", "openvino", use_cache)


def test_files_are_written_once_and_read_again(quick_conversion, folders):
    source = resolve_model(folders["audioldm"])
    with pytest.warns(UserWarning, match=r"converting the unet .* latentaudio cache"):
        first = converted.converted_network(source, "unet", "full", "openvino", True)
    assert find(source).file == first.file and len(quick_conversion) == 1
    assert sorted(
        path.suffix for path in first.file.parent.iterdir() if path.suffix != ".lock"
    ) == [
        ".data",
        ".json",
        ".onnx",
    ]
    assert len(prepared_files(source.path)) == 4  # with the lock
    first.close()
    assert first.file.is_file()


def test_damaged_and_stale_files_are_written_again(quick_conversion, tiny_folder, tmp_path):
    import shutil

    source = resolve_model(shutil.copytree(tiny_folder, tmp_path / "model"))
    file = find(source).file
    weights = file.with_name(file.name + ".data")
    weights.write_bytes(b"x" + bytes(99_999))
    assert find(source).file == file and len(quick_conversion) == 2
    assert weights.read_bytes() == bytes(100_000)
    weights.unlink()
    find(source)
    file.with_name(file.name + ".json").write_text("[" * 100_000)
    find(source)
    assert len(quick_conversion) == 4
    with next(source.path.glob("unet*")).open("r+b") as stream:  # other weights
        stream.seek(-1, 2)
        stream.write(b"\x01")
    newer = find(source).file
    assert newer != file and len(quick_conversion) == 5
    assert not file.exists() and not weights.exists()


def test_nothing_is_kept_without_a_cache(quick_conversion, folders, tmp_path, monkeypatch):
    source = resolve_model(folders["audioldm"])
    network = find(source, use_cache=False)
    assert network.file.is_file() and not (tmp_path / "cache").exists()
    network.close()
    assert not network.file.parent.exists()
    monkeypatch.setattr(converted, "is_unsettled", lambda files: True)
    find(source).close()
    monkeypatch.setattr(converted, "FREE_BYTES", 10**18)
    with pytest.warns(UserWarning, match="each start does this"):
        converted.converted_network(source, "unet", "full", "openvino", True).close()
    assert not (tmp_path / "cache").exists()


def test_a_conversion_that_fails_leaves_nothing(quick_conversion, folders, tmp_path, monkeypatch):
    def fail(graph, file):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(converted, "convert", fail)
    source = resolve_model(folders["audioldm"])
    with pytest.raises(Exception, match="No space left") as caught:
        find(source)
    assert type(caught.value).__name__ == "DataError"
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".onnx"]


def test_a_converter_that_fails_is_one_line(quick_conversion, folders, tmp_path, monkeypatch):
    def fail(graph, file):
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(converted, "convert", fail)
    source = resolve_model(folders["audioldm"])
    for use_cache in (True, False):
        with pytest.raises(UsageError, match=r"no such operator\); choose backend torch") as caught:
            find(source, use_cache)
        assert "and more" not in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--backend", "openvino", "--device", "cuda"],
        ["evaluate", "quality", "--backend", "openvino", "--device", "cuda"],
        ["evaluate", "editing", "--backend", "openvino", "--device", "cuda"],
        ["stream", "rain", "--backend", "openvino", "--device", "cuda"],
        ["vary", "missing.wav", "--backend", "openvino", "--device", "cuda"],
    ],
)
def test_other_commands_refuse_the_same(command, capsys):
    assert main(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "choose device cpu" in line or "missing.wav" in line


@pytest.mark.cli
@pytest.mark.filterwarnings("ignore:converting the")
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


@pytest.mark.filterwarnings("ignore:converting the")
def test_a_temporary_network_is_deleted_with_its_model(folders, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = load(folders["audioldm"], backend="onnxruntime")
    first = model.generate("rain", **QUICK)[0]
    second = model.generate("rain", **QUICK)[0]
    assert np.array_equal(first.samples, second.samples)
    assert len(list(tmp_path.glob("latentaudio-*"))) == 1
    model.components.release("unet")
    gc.collect()
    assert not list(tmp_path.iterdir())
