"""The files of converted networks: kept, temporary, stale, damaged, and several processes."""

import gc
import json
import shutil
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from filelock import FileLock

from latentaudio import load
from latentaudio.backends import openvino
from latentaudio.cli.main import main
from latentaudio.config.backends import BACKENDS
from latentaudio.errors import GenerationError, UsageError, WeightsError
from latentaudio.fileio import CACHE_VARIABLE, cache_folder
from latentaudio.loaders import converted
from latentaudio.loaders.prepared import OFF_VARIABLE, prepared_files
from latentaudio.loaders.resolve import resolve_model

OTHERS = list(BACKENDS)[1:]
QUICK = {"duration": 0.3, "steps": 1, "seed": 1}


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


def test_the_package_may_run_from_its_source(quick_conversion, folders, monkeypatch):
    version = converted.version

    def version_of(package):
        if package == "latentaudio":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(converted, "version", version_of)
    source = resolve_model(folders["audioldm"])
    assert find(source).file == find(source).file and len(quick_conversion) == 1


@pytest.mark.parametrize("package", ["torch", "latentaudio", "onnxscript", "onnx-ir"])
def test_another_converter_converts_again(package, quick_conversion, folders, monkeypatch):
    source = resolve_model(folders["audioldm"])
    first = find(source).file
    version = converted.version
    monkeypatch.setattr(
        converted, "version", lambda name: "0" if name == package else version(name)
    )
    second = find(source).file
    assert second != first and second.is_file() and not first.exists()


def test_other_shapes_and_references_have_files_of_their_own(
    quick_conversion, folders, monkeypatch
):
    source = resolve_model(folders["audioldm"])
    config = source.config
    num_mels = 2 * config.mel.n_mels
    wider = replace(
        config,
        mel=replace(config.mel, n_mels=num_mels),
        vocoder=replace(config.vocoder, n_mels=num_mels),
    )
    sources = [source, replace(source, spec=replace(source.spec, config=wider))]
    files = [find(each).file for each in sources]
    monkeypatch.setattr(type(source), "use_ema", property(lambda each: True))
    files.append(find(source).file)
    assert len(set(files)) == 3 and all(file.is_file() for file in files)


@pytest.mark.filterwarnings("ignore:(converting the|waiting until)")
def test_a_full_disk_gets_a_temporary_network(quick_conversion, folders, tmp_path, monkeypatch):
    convert = converted.convert

    def fail_once(graph, file):
        if cache_folder() in file.parents:
            file.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        convert(graph, file)

    monkeypatch.setattr(converted, "convert", fail_once)
    source = resolve_model(folders["audioldm"])
    with pytest.warns(UserWarning, match=r"each start does this.*No space left"):
        network = converted.converted_network(source, "unet", "full", "openvino", True)
    assert network.is_temporary and network.file.is_file()
    assert not [path for path in cache_folder().rglob("*") if path.suffix == ".onnx"]


def test_killed_processes_leave_their_network_to_the_next(
    quick_conversion, folders, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    program = """
import sys, os, signal, tempfile
from pathlib import Path
from latentaudio.fileio import temporary_directory
from latentaudio.loaders.converted import _own_temporary_folder
tempfile.tempdir = sys.argv[1]
with temporary_directory(_own_temporary_folder()) as folder:
    (folder / "unet.onnx").write_bytes(b"left")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path / "tmp")]).returncode < 0
    assert [path.read_bytes() for path in tmp_path.glob("tmp/*/.*.part/*")] == [b"left"]
    network = find(resolve_model(folders["audioldm"]), use_cache=False)
    assert list(tmp_path.glob("tmp/*/.*.part")) == [network.file.parent]


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")],
)
def test_too_little_memory_is_not_the_converters_fault(
    error, quick_conversion, folders, monkeypatch
):
    def fail(graph, file):
        raise ValueError("the exporter failed") from error

    monkeypatch.setattr(converted, "convert", fail)
    model = load(folders["audioldm"], backend="onnxruntime")
    with warnings.catch_warnings(), pytest.raises(GenerationError, match="memory does not suffice"):
        warnings.simplefilter("ignore")
        model.generate("rain", **QUICK)


@pytest.mark.filterwarnings("ignore:(converting the|waiting until)")
def test_a_second_process_says_that_it_waits(quick_conversion, folders):
    source = resolve_model(folders["audioldm"])
    lock = find(source).file.parent / converted.LOCK_FILE
    find(source).file.unlink()
    is_held = threading.Event()

    def hold():
        with FileLock(lock):
            is_held.set()
            time.sleep(0.3)

    other = threading.Thread(target=hold)
    other.start()
    assert is_held.wait(30)
    start = time.monotonic()
    with pytest.warns(UserWarning, match="waiting until another process has converted"):
        converted.converted_network(source, "unet", "full", "openvino", True)
    assert time.monotonic() - start > 0.2 and len(quick_conversion) == 2
    other.join()


@pytest.mark.cli
@pytest.mark.filterwarnings("ignore:(converting the|waiting until)")
def test_networks_are_shown_and_deleted_after_a_running_conversion(
    quick_conversion, folders, tmp_path, monkeypatch, capsys
):
    """The conversion begins, the deletion waits for it, and both end well."""
    source = resolve_model(folders["audioldm"])
    convert = converted.convert
    has_begun = threading.Event()
    may_end = threading.Event()

    def slow(graph, file):
        has_begun.set()
        assert may_end.wait(30)
        assert file.parent.is_dir()
        convert(graph, file)

    monkeypatch.setattr(converted, "convert", slow)
    files = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worker = threading.Thread(
            target=lambda: files.append(
                converted.converted_network(source, "unet", "full", "openvino", True).file
            )
        )
        worker.start()
        assert has_begun.wait(30)
        threading.Timer(0.3, may_end.set).start()
        assert main(["cache", str(source.path), "--delete"]) == 0
        worker.join()
    shown = capsys.readouterr().out
    assert "deleted 3 files" in shown and str(files[0].parent) in shown
    assert len(quick_conversion) == 1 and not files[0].parent.exists()
    monkeypatch.setattr(converted, "convert", convert)
    find(source)
    for words in (["cache"], ["cache", str(source.path)]):
        assert main([*words, "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["networks"]["files"] == 3 and record["weights"]["files"] == 0
        assert files[0].is_relative_to(record["networks"]["folder"])
    assert main(["cache", "--delete"]) == 0
    assert not [path for path in cache_folder().rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", OTHERS)
def test_a_damaged_network_is_one_line(name, quick_conversion, folders):
    model = load(folders["audioldm"], backend=name)
    model.components.keep_networks = True
    expected = r"cannot read .*\.onnx .* latentaudio cache .*audioldm --delete"
    with warnings.catch_warnings(), pytest.raises(WeightsError, match=expected):
        warnings.simplefilter("ignore")
        model.generate("rain", **QUICK)


def test_an_estimate_counts_the_conversion(quick_conversion, folders, monkeypatch):
    model = load(folders["audioldm"], backend="onnxruntime")
    components = model.components
    assert components.is_conversion_needed("unet")
    components.keep_networks = True
    assert components.is_conversion_needed("unet")
    find(model.source)
    assert not components.is_conversion_needed("unet")
    monkeypatch.setenv(OFF_VARIABLE, "1")
    assert components.is_conversion_needed("unet")
    assert not load(folders["audioldm"]).components.is_conversion_needed("unet")


@pytest.mark.filterwarnings("ignore:(converting the|waiting until)")
def test_a_temporary_network_is_converted_once_and_deleted_with_its_model(
    folders, copied_conversion, monkeypatch, tmp_path
):
    """Sessions that low memory releases read the same network again."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = load(folders["audioldm"], backend="onnxruntime")
    first = model.generate("rain", **QUICK)[0]
    model.components.release("unet")
    second = model.generate("rain", **QUICK)[0]
    assert np.array_equal(first.samples, second.samples)
    assert len(copied_conversion) == 1
    assert len(list(tmp_path.glob("latentaudio-*/.*.part"))) == 1
    del model
    gc.collect()
    assert not list(tmp_path.glob("latentaudio-*/*"))


@pytest.mark.filterwarnings("ignore:(converting the|waiting until)")
def test_openvino_makes_room_before_it_compiles(folders, copied_conversion, monkeypatch):
    """No more sets of shapes than `MAX_COMPILED` are in memory, also while one is compiled."""
    monkeypatch.setattr(openvino, "MAX_COMPILED", 2)
    source = resolve_model(folders["audioldm"])
    file = converted.converted_network(source, "unet", "full", "openvino", True).file
    session = openvino.open_session(file, "fp32", 1)
    core = session._core
    held = []

    class Core:
        def compile_model(self, *arguments):
            held.append(len(session._requests))
            return core.compile_model(*arguments)

    session._core = Core()
    config = source.config.unet
    num_bins = source.config.mel.n_mels // source.config.vae.downsampling
    for num_frames in (4, 8, 12, 4):
        shape = (1, config.latent_channels, num_frames, num_bins)
        inputs = {"z": np.zeros(shape), "t": np.zeros(1), "film": np.zeros((1, config.film_dim))}
        arrays = {name: array.astype(np.float32) for name, array in inputs.items()}
        session.run(arrays, ["prediction"])
    assert held == [0, 1, 1, 1]


@pytest.mark.filterwarnings("ignore:(converting the|waiting until)")
def test_a_signal_reaches_its_handler_after_networks_of_openvino_have_ended(
    folders, copied_conversion
):
    source = resolve_model(folders["audioldm"])
    file = converted.converted_network(source, "unet", "full", "openvino", True).file
    code = (
        "import signal, sys\n"
        "from pathlib import Path\n"
        "from latentaudio.backends.openvino import choose_precision, open_session\n"
        "signal.signal(signal.SIGINT, lambda *_: print('handled'))\n"
        "precision = choose_precision('auto')\n"
        "sessions = [open_session(Path(sys.argv[1]), precision, 1) for _ in range(2)]\n"
        "for each in sessions:\n"
        "    each._core.get_property('CPU', 'FULL_DEVICE_NAME')\n"
        "del each\n"
        "while sessions:\n"
        "    del sessions[0]\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    words = [sys.executable, "-c", code, str(file)]
    result = subprocess.run(words, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "handled\n"), result.stderr


def test_threads_that_start_at_once_share_one_core(monkeypatch):
    made = []

    class Library:
        def Core(self):
            time.sleep(0.05)
            made.append(object())
            return made[-1]

    monkeypatch.setattr(openvino, "_CORES", [])
    monkeypatch.setattr(openvino, "import_openvino", Library)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(openvino.shared_core())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and found == made * 4
