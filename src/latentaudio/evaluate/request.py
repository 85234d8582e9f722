"""What to evaluate, and whether that is possible before hours of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError
from . import guards
from .backbones import get_backbone
from .backbones.base import BackboneSpec
from .clips import Folder, pair_names
from .metrics import METRICS
from .metrics.base import MetricSpec
from .protocols import Protocol
from .statement import Statement


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    Attributes:
        generated: folder of the clips that are measured.
        protocol: settings.
        reference: folder of the clips that they are compared with; None: no such metrics.
        subset: named list, or file with names of clips; None: all clips are measured.
        captions: file with the captions; None: those in the tags of the files.
        metrics: names of metrics; (): those of the protocol, as far as they can be measured.
        backbones: names of backbones; (): those of the protocol.
        weights: paths by name of the backbone.
        skip_unreadable: whether files that cannot be read are left out and counted.
        allow_same_ranker: whether the CLAP that ranked candidates may also rate them.
        num_workers: number of threads; 0: the number of processors.
        statement: what the user says about the generation.
    """

    generated: Path
    protocol: Protocol
    reference: Path | None = None
    captions: Path | None = None
    subset: Path | None = None
    metrics: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    weights: Mapping[str, Path] = field(default_factory=dict)
    skip_unreadable: bool = False
    allow_same_ranker: bool = False
    num_workers: int = 0
    statement: Statement = field(default_factory=Statement)


def get_metric(name: str) -> MetricSpec:
    """Return a row of the table.

    Raises:
        UsageError: There is none of that name.
    """
    key = name.replace("_", "-")
    if key not in METRICS:
        raise UsageError(f"there is no metric {name!r}; choose one of {', '.join(METRICS)}")
    return METRICS[key]


def check_names(
    request: Request, metrics: Sequence[MetricSpec], specs: Sequence[BackboneSpec]
) -> None:
    """Raise UsageError for weights of a backbone, or a metric, that is not used."""
    names = [spec.name for spec in specs]
    for name in request.weights:
        get_backbone(name)
        if name not in names:
            raise UsageError(f"--weights {name}=...: add --backbone {name}, or leave it out")
    if not request.metrics:
        return
    for metric in metrics:
        if not backbones_of(metric, specs):
            raise UsageError(
                f"{metric.name} needs a backbone with {LACKS[network_need(metric)]}; "
                f"{', '.join(names)} has none"
            )


def check_possible(
    request: Request, metrics: Sequence[MetricSpec], folders: Sequence[Folder]
) -> None:
    """Raise UsageError before hours of work if a named metric cannot be measured."""
    if not request.metrics:
        return
    alone: list[str] = []
    num_pairs = 0
    if len(folders) > 1:
        pairs, alone = pair_names(folders[0].names, folders[1].names)
        num_pairs = len(pairs)
    for metric in metrics:
        reason = ""
        if "reference" in metric.needs and request.reference is None:
            reason = "it needs --reference"
        elif "pairs" in metric.needs and not request.skip_unreadable:
            reason = guards.check_pairs(alone, num_pairs)
        if reason:
            raise UsageError(f"{metric.name} cannot be measured: {reason}")


LACKS = {
    "embeddings": "embeddings",
    "classes": "classes",
    "texts": "an encoder of texts",
    "aesthetics": "axes of aesthetics",
}
"""What a metric can need of a network, for messages."""


def network_need(metric: MetricSpec) -> str:
    """Return what a metric needs of a network; "" for metrics of signals."""
    return next((need for need in metric.needs if need in LACKS), "")


def fits(metric: MetricSpec, spec: BackboneSpec) -> bool:
    """Return whether a backbone gives what a metric needs."""
    abilities = {
        "embeddings": spec.has_embeddings,
        "classes": spec.has_classes,
        "texts": spec.has_texts,
        "aesthetics": spec.has_aesthetics,
        "": False,
    }
    return abilities[network_need(metric)]


def backbones_of(
    metric: MetricSpec, specs: Sequence[BackboneSpec]
) -> Sequence[BackboneSpec | None]:
    """Return the backbones with which a metric is measured; (None,) for metrics of signals."""
    if not network_need(metric):
        return (None,)
    return [spec for spec in specs if fits(metric, spec)]
