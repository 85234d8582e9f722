"""The page docs/browser in headless Chromium, by content. Run by `pytest -n 0 -m browser`.

It needs playwright, Chromium, and what scripts/build_browser_page.py gets from the npm registry.
"""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from latentaudio import load
from latentaudio.evaluate.mini.classifier import load_classifier

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "browser"
MAX_BYTES = 80_000_000
MAX_PROCESSOR_S = 10
PROMPT = "rain"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def benchmark():
    """The module benchmarks/browser.py, which drives the page."""
    path = ROOT / "benchmarks" / "browser.py"
    spec = importlib.util.spec_from_file_location("browser_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_makes_the_sound_of_the_prompt(benchmark):
    if not (PAGE / "files.json").is_file():
        pytest.skip("needs python scripts/build_browser_page.py")
    sizes = json.loads((PAGE / "files.json").read_text())
    assert sum(sizes.values()) < MAX_BYTES
    results = benchmark.run_in_browser(shutil.which("chromium"), [PROMPT])
    [(runs, _, processor_s)] = results.values()
    assert runs[0] == runs[1]
    clip = benchmark.samples_of(runs[0]).astype(np.float32)
    assert len(clip) == benchmark.DURATION_S * 16000
    scores = load_classifier(benchmark.CLASSIFIER).predict([clip]).log_probs[0]
    names = load_classifier(benchmark.CLASSIFIER).class_names
    assert names[int(scores.argmax())] == PROMPT
    model = load("mini", "cpu", "fp32")
    options = {"preset": "draft", "candidates": 1, "normalize": "none"}
    [ours] = model.generate(PROMPT, duration=benchmark.DURATION_S, seed=benchmark.SEED, **options)
    assert benchmark.distance_db(clip, ours.samples[0]) < -60
    assert processor_s < MAX_PROCESSOR_S
