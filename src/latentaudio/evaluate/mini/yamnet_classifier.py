"""YAMNet as a classifier of sound classes (AudioSet, 521 labels).

It was trained on recordings, not on our renders, so faults of a codec change its labels where the
classifier of the benchmark stays right. `yamnet_classes.json` names, for each sound class of
`procedural_audio`, the labels of the class itself ("strict") and those that are also right
("wide").

Letters: T samples, P patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from ...config.parsing import parse_json
from ..backbones.yamnet import YAMNet

SCENE_LABELS = frozenset((
    "Silence", "Inside, small room", "Inside, large room or hall", "Inside, public space",
    "Outside, urban or manmade", "Outside, rural or natural", "Field recording",
    "Environmental noise", "Television", "Radio", "Reverberation", "Echo", "Noise",
))  # fmt: skip
"""Labels of scenes, which do not count."""
GENERAL_LABELS = frozenset((
    "Animal", "Wild animals", "Music", "Musical instrument", "Vehicle", "Sound effect",
    "Domestic animals, pets", "Livestock, farm animals, working animals",
))  # fmt: skip
"""Labels of groups, which count only where they are the best label of a class."""
NUM_BEST = 5


@dataclass(frozen=True)
class Recognition:
    """Whether a clip was recognized.

    Attributes:
        best: the most probable label.
        is_top1: whether it is one of the class's labels, strict or wide.
        is_top5: whether one of the five most probable labels is strict.
        probability: of the most probable strict label.
        embeddings: of the patches, [P, 1024].
    """

    best: str
    is_top1: bool
    is_top5: bool
    probability: float
    embeddings: NDArray[np.float32]


class YAMNetClassifier:
    """YAMNet with the labels of every sound class.

    Attributes:
        labels: sound class -> "strict" and "wide" -> labels.
    """

    def __init__(self) -> None:
        """Open the network.

        Raises:
            UsageError: The packages of the extra `evaluate` are missing.
        """
        self.network = YAMNet()
        self.labels = load_class_labels()

    def recognize(self, samples: NDArray[np.float32], class_name: str) -> Recognition:
        """Compare the labels of a clip with those of its sound class.

        Args:
            samples: [T] at 16 kHz.
            class_name: a key of `labels`.
        """
        patches = self.network(samples)
        strict = set(self.labels[class_name]["strict"])
        wide = strict | set(self.labels[class_name]["wide"])
        scores = patches.probabilities()
        ranked = []
        for index in np.argsort(-scores):
            label = self.network.labels[index]
            is_left_out = label in SCENE_LABELS or (label in GENERAL_LABELS and label not in strict)
            if not is_left_out:
                ranked.append(label)
        return Recognition(
            best=ranked[0],
            is_top1=ranked[0] in wide,
            is_top5=bool(strict & set(ranked[:NUM_BEST])),
            probability=max(float(scores[self.network.labels.index(each)]) for each in strict),
            embeddings=patches.embeddings,
        )


def load_class_labels() -> dict[str, dict[str, list[str]]]:
    """Return the AudioSet labels of every sound class."""
    text = resources.files(__package__).joinpath("yamnet_classes.json").read_text("utf-8")
    labels: dict[str, dict[str, list[str]]] = parse_json(text)
    return labels
