"""A clip to edit, and a model whose output needs no limiter."""

import numpy as np
import pytest
import soundfile
from clips import RATE


@pytest.fixture(scope="module")
def source():
    """Two seconds of a tone with noise, [1, N]."""
    t = np.arange(2 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.02 * noise).astype(np.float32)[None]


@pytest.fixture
def source_file(source, tmp_path):
    """The same as a file."""
    path = tmp_path / "given.wav"
    soundfile.write(path, source[0], RATE, subtype="FLOAT")
    return path


@pytest.fixture
def quiet(tiny, monkeypatch):
    """The tiny model with its loud random vocoder turned down, so that nothing clips."""
    decode = tiny.codec.decode
    monkeypatch.setattr(tiny.codec, "decode", lambda z: [0.04 * wave for wave in decode(z)])
    return tiny
