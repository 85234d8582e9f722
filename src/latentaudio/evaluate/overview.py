"""What a page shows beside the numbers: the classes of clips, and a map of their embeddings.

Letters: N clips, E size of an embedding, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .backbones import get_backbone
from .backbones.base import Backbone
from .clips import read_classes
from .extraction import Extraction
from .features import FeatureSet
from .metrics.frechet import fit_gaussian
from .mini.yamnet_classifier import GENERAL_LABELS, SCENE_LABELS
from .report import EmbeddingMap

MAX_MAP_POINTS = 1000
"""Most clips of a side on a map; of more, clips at even distances are taken."""
MAX_FOLDERS = 60
"""Most subfolders that count as classes."""


def classes_by_folder(names: Sequence[str]) -> dict[str, str]:
    """Return the first subfolder of every clip as its class; {} if that tells nothing.

    Args:
        names: of the clips, as `dog/1`.
    """
    classes = {name: name.partition("/")[0] for name in names if "/" in name}
    num_classes = len(set(classes.values()))
    is_useful = len(classes) == len(names) and 1 < num_classes <= min(MAX_FOLDERS, len(names) - 1)
    return classes if is_useful else {}


def find_classes(
    generated: Extraction,
    reference: Extraction | None,
    captions: Path | None,
    backbones: Mapping[str, Backbone],
) -> tuple[dict[str, str], str]:
    """Return the class of every generated clip, and where the classes come from.

    They come from the list of captions, from subfolders, or from the first network that names
    classes: its most probable class of the reference clip of the same name, or of the clip itself.

    Args:
        generated: the clips that are measured.
        reference: the others, or None.
        captions: the list of captions, or None.
        backbones: the networks by name.

    Returns:
        Classes by name, and "captions", "folders", the name of a network, or "".
    """
    names = generated.folder.names
    listed = read_classes(captions) if captions else {}
    if listed and all(name in listed for name in names):
        return {name: listed[name] for name in names}, "captions"
    by_folder = classes_by_folder(names)
    if by_folder:
        return by_folder, "folders"
    for backbone in backbones.values():
        labels: Sequence[str] = getattr(backbone, "labels", ())
        if not labels:
            continue
        classes = _best_classes(generated.features[backbone.name], labels)
        if reference is not None:
            of_reference = _best_classes(reference.features[backbone.name], labels)
            classes = {name: of_reference.get(name, best) for name, best in classes.items()}
        return classes, backbone.name
    return {}, ""


def find_maps(
    generated: Extraction, reference: Extraction | None, backbones: Mapping[str, Backbone]
) -> tuple[EmbeddingMap, ...]:
    """Return the map of every network, as far as there are enough clips.

    Args:
        generated: the clips that are measured.
        reference: the others, or None.
        backbones: the networks by name.
    """
    maps = []
    for name in backbones:
        if not get_backbone(name).has_embeddings:
            continue
        others = None if reference is None else reference.features[name]
        plane = map_embeddings(name, generated.features[name], others)
        if plane is not None:
            maps.append(plane)
    return tuple(maps)


def _best_classes(features: FeatureSet, labels: Sequence[str]) -> dict[str, str]:
    """The most probable class of every clip; scenes and groups tell too little."""
    telling = [k for k, label in enumerate(labels) if label not in SCENE_LABELS | GENERAL_LABELS]
    best = {}
    for index, name in enumerate(features.names):
        best[name] = labels[telling[int(features.logits(index)[telling].argmax())]]
    return best


def map_embeddings(
    backbone: str, generated: FeatureSet, reference: FeatureSet | None
) -> EmbeddingMap | None:
    """Return the first two principal components of the means of clips.

    The axes are those of the reference, so that maps of several models with one reference can be
    laid over each other. Without a reference they are those of the generated clips.

    Args:
        backbone: name of the network.
        generated: the clips that are measured.
        reference: the others, or None.

    Returns:
        The map; None if there are too few clips for two axes.
    """
    base = generated if reference is None else reference
    if len(base) < 3:
        return None
    gaussian = fit_gaussian(base.iterate("clips"))
    _, values, rows = np.linalg.svd(gaussian.factor, full_matrices=False)
    if len(values) < 2 or not values[1]:
        return None
    axes = rows[:2]
    # A sign that does not depend on the library.
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    axes = axes * signs[:, None]
    explained = np.square(values[:2]) / np.square(values).sum()
    sides = []
    for side in (generated, reference):
        sides.append({} if side is None else _project(side, gaussian.mean, axes))
    return EmbeddingMap(
        backbone=backbone,
        explained=(float(explained[0]), float(explained[1])),
        generated=sides[0],
        reference=sides[1],
    )


def _project(
    features: FeatureSet, mean: NDArray[np.float64], axes: NDArray[np.float64]
) -> dict[str, tuple[float, float]]:
    """Coordinates of the clips by name."""
    count = min(len(features), MAX_MAP_POINTS)
    indices = np.unique(np.linspace(0, len(features) - 1, count).round().astype(int)).tolist()
    places = {}
    for index in indices:
        x, y = (axes @ (features.points(index, "clips")[0] - mean)).tolist()
        places[features.names[index]] = (float(f"{x:.5g}"), float(f"{y:.5g}"))
    return places
