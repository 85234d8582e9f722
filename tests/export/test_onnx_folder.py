"""ONNX files of a tiny model, run by the walk of the documentation, against the torch model."""

import importlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import TINY, write_model

from latentaudio import load
from latentaudio.audio import io
from latentaudio.cli.main import main
from latentaudio.conditioning import numbers
from latentaudio.conditioning.numbers import replace_numbers
from latentaudio.config.architecture import DistilledUNetConfig
from latentaudio.errors import UsageError
from latentaudio.export import onnx_folder
from latentaudio.export.onnx_folder import export_onnx
from latentaudio.export.weight_storage import compact_weights, eight_bit_rows

WALK = Path(__file__).parent.parent.parent / "docs" / "examples" / "onnx_walk.py"
INPUTS = WALK.parent / "onnx_inputs.mjs"
CONFIG = replace(
    TINY,
    unet=replace(TINY.unet, contexts=(16, 24), film_dim=8),
    vocoder=replace(TINY.vocoder, pitch_smoothing_frames=20, attack_n_fft=256, use_harmonics=True),
    distilled_unet=DistilledUNetConfig(),
)
"""The architecture of mini with few numbers."""
pytestmark = pytest.mark.slow  # seven networks are traced
PROMPT = "3 bells at A4 and a dog"
PROMPTS = [PROMPT, "rain", "a 440 Hz tone, then silence for 1,200 ms"]
GRID = {
    "note_token": numbers.NOTE,
    "num_exact": numbers.NUM_EXACT,
    "steps_per_octave": numbers.STEPS_PER_OCTAVE,
    "lowest_octave": numbers.LOWEST_OCTAVE,
    "highest_octave": numbers.HIGHEST_OCTAVE,
}


def difference_db(first, second):
    """Energy of the difference of two clips, relative to the second."""
    return 20 * np.log10(np.linalg.norm(first - second) / np.linalg.norm(second))


@pytest.fixture(scope="module")
def walk():
    """The module of the walk, which imports the file beside it."""
    sys.path.insert(0, str(WALK.parent))
    yield importlib.import_module("onnx_walk")
    sys.path.remove(str(WALK.parent))


@pytest.fixture(scope="module")
def inputs(walk):
    """The file beside the walk: numbers and noise."""
    return importlib.import_module("onnx_inputs")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = write_model(tmp_path_factory.mktemp("models") / "tiny", CONFIG, "mini")
    return load(folder, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """The model as ONNX files with float32 weights."""
    target = tmp_path_factory.mktemp("onnx") / "tiny"
    export_onnx(model.codec, target, weights="float32")
    return target


def ours(model, prompt, duration, seed=7):
    options = {"preset": "draft", "candidates": 1, "normalize": "none"}
    [clip] = model.generate(prompt, duration=duration, seed=seed, **options)
    return clip.samples[0]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("duration", [1.0, 5.3])
def test_walk_gives_our_clip_at_any_duration(walk, model, folder, prompt, duration):
    samples, rate = walk.generate(folder, prompt, duration, 7)
    expected = ours(model, prompt, duration)
    assert rate == 16000
    assert samples.shape == expected.shape
    assert difference_db(samples, expected) < -60


def test_another_seed_is_another_clip(model):
    expected = ours(model, PROMPT, 1.0)
    assert difference_db(ours(model, PROMPT, 1.0, seed=8), expected) > -20


def test_walks_have_sixty_lines():
    for path in (WALK, WALK.with_suffix(".mjs")):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_walk_needs_no_torch_and_writes_a_file(walk, folder, tmp_path):
    target = tmp_path / "clip.wav"
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(WALK.parent)!r}); "
        "sys.argv = ['walk', *sys.argv[1:]]; "
        f"runpy.run_path({str(WALK)!r}, run_name='__main__'); assert 'torch' not in sys.modules"
    )
    words = [str(folder), PROMPT, "1", "7", str(target)]
    subprocess.run([sys.executable, "-c", code, *words], check=True)
    samples, _ = walk.generate(folder, PROMPT, 1.0, 7)
    np.testing.assert_allclose(io.read(target)[0][0], samples, atol=2 / 32768)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
@pytest.mark.parametrize("count", [16, 1000, 1007])
def test_walk_draws_the_noise_of_torch(inputs, seed, count):
    expected = torch.randn(count, generator=torch.Generator().manual_seed(seed)).numpy()
    np.testing.assert_allclose(inputs.randn(seed, (count,)), expected, atol=1e-5)


TEXTS = [
    PROMPT,
    "a C#5 and a B♭3 bell",
    "3 kHz, 1.5 khz",
    "1,200 Hz in 0.5 s",
    "60 [n3] 2nd b4b",
    "é5 A4. 440hz",
]


@pytest.mark.parametrize("text", TEXTS)
def test_walk_replaces_numbers_as_we_do(inputs, text):
    assert inputs.replace_numbers(text, GRID) == replace_numbers(text)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_javascript_walk_agrees_with_the_python_walk(inputs, tmp_path):
    code = (
        f"import {{ randn, replaceNumbers }} from {json.dumps(INPUTS.as_uri())};"
        f"const grid = {json.dumps(GRID)};"
        f"const texts = {json.dumps(TEXTS)}.map((text) => replaceNumbers(text, grid));"
        "console.log(JSON.stringify({ texts, noise: Array.from(randn(7, 1007)) }));"
    )
    script = tmp_path / "walk.mjs"
    script.write_text(code, encoding="utf-8")
    result = subprocess.run(["node", script], check=True, capture_output=True, encoding="utf-8")
    answer = json.loads(result.stdout)
    assert answer["texts"] == [replace_numbers(text) for text in TEXTS]
    np.testing.assert_allclose(answer["noise"], inputs.randn(7, (1007,)), atol=1e-5)


def test_fixed_duration_leaves_only_the_tokens_open(model, tmp_path, monkeypatch):
    whole = onnx_folder.graphs_of
    monkeypatch.setattr(
        onnx_folder, "graphs_of", lambda *args: [g for g in whole(*args) if g.name == "vae_decoder"]
    )
    export_onnx(model.codec, tmp_path / "fixed", duration=2.56)
    session = onnxruntime.InferenceSession(tmp_path / "fixed" / "vae_decoder.onnx")
    assert session.get_inputs()[0].shape == [1, 4, 32, 8]
    assert json.loads((tmp_path / "fixed" / "model.json").read_text())["duration_s"]["only"] == 2.56


def test_8_bit_rows_and_float16_are_restored():
    generator = np.random.default_rng(0)
    scale = generator.random((40, 1), dtype=np.float32) + 0.1
    whole = generator.integers(-127, 128, (40, 50)).astype(np.float32)
    whole[:, 0] = 127
    rows = whole * scale
    half = generator.standard_normal((50, 30)).astype(np.float16).astype(np.float32)
    node = onnx.helper.make_node
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node("MatMul", ["x", "rows"], ["y"]), node("MatMul", ["y", "half"], ["z"])],
        "two",
        [value("x", 1, [1, 40])],
        [value("z", 1, [1, 30])],
        [onnx.numpy_helper.from_array(rows, "rows"), onnx.numpy_helper.from_array(half, "half")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    x = generator.standard_normal((1, 40)).astype(np.float32)
    model.ir_version = 10
    [expected] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    plain_size = len(model.SerializeToString())
    compact_weights(model)
    assert len(model.SerializeToString()) < 0.5 * plain_size
    [restored] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(restored, expected, rtol=1e-5, atol=1e-4)
    assert eight_bit_rows(half) is None
    np.testing.assert_array_equal(eight_bit_rows(rows.T.copy())[0], whole.T)


def test_tables_that_are_named_stay_exact():
    noise = np.random.default_rng(0).standard_normal((70, 1000)).astype(np.float32)
    initializers = [onnx.numpy_helper.from_array(noise, name) for name in ("noise", "weight")]
    graph = onnx.helper.make_graph([], "one", [], [], initializers)
    model = onnx.helper.make_model(graph)
    compact_weights(model, exact=("noise",))
    assert [tensor.name for tensor in model.graph.initializer] == ["noise", "weight.stored"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), noise)


def test_models_that_are_not_like_mini_are_refused_in_one_line(film_folder, tmp_path, capsys):
    assert main(["export", str(film_folder), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_bad_targets_and_durations_are_refused(model, tmp_path, capsys):
    with pytest.raises(UsageError, match=r"at most 10\.24"):
        export_onnx(model.codec, tmp_path / "out", duration=11)
    assert main(["export", str(model.source.path), str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
