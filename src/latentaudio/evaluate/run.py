"""An evaluation from folders or arrays to its result: features, guards, metrics.

Letters: N clips, E size of an embedding, K classes, M texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from ..audio.io import software
from ..errors import DataError, UsageError
from . import guards
from .backbones import get_backbone
from .backbones.base import Backbone, BackboneSpec, TextBackbone
from .clip_facts import summarize
from .clips import (
    Folder,
    find_clips,
    pair_names,
    read_captions,
    read_rows,
    read_subset,
    select_clips,
)
from .embeddings_cache import EmbeddingsCache
from .extraction import Extraction, Extractor, Progress
from .features import ClipFeatures, FeatureSet
from .metrics.base import Measurement, MetricInputs, MetricSpec
from .metrics.control import COLUMNS as CONTROL_COLUMNS
from .overview import find_classes, find_maps
from .protocols import Protocol
from .report import ClipSet, Evaluation, NotComputed, Subset, Value
from .request import (
    LACKS,
    Request,
    backbones_of,
    check_names,
    check_possible,
    fits,
    get_metric,
    network_need,
)
from .resampling import resampler_name
from .statement import Statement, complete_statement, network_label, sha256_of_ranker
from .text_similarity import captions_sha256, similarities


@dataclass
class _Sides:
    """Both sets of clips, and what follows from them.

    Attributes:
        generated: the clips that are measured.
        reference: the others; None without a reference.
        pairs: pairs of clips with the same name.
        alone: generated names without a partner.
        captions: captions by name.
        without_caption: generated names without one.
        rows: rows of the list of captions by name.
        transcripts: spoken words by name.
    """

    generated: Extraction
    reference: Extraction | None
    pairs: list[tuple[int, int]]
    alone: list[str]
    captions: dict[str, tuple[str, ...]]
    without_caption: list[str]
    rows: dict[str, Mapping[str, object]]
    transcripts: dict[str, str]


@dataclass
class _Results:
    """What has been measured so far.

    Attributes:
        warnings: about the clips and about single numbers.
        values: the numbers.
        missing: what could not be measured.
    """

    warnings: list[str]
    values: list[Value] = field(default_factory=list)
    missing: list[NotComputed] = field(default_factory=list)


def evaluate_folders(
    request: Request, cache: EmbeddingsCache, progress: Progress = lambda done, total, work: None
) -> Evaluation:
    """Measure a folder of clips.

    Args:
        request: what to evaluate.
        cache: keeps features.
        progress: called with (number done, total, folder).

    Returns:
        The result.

    Raises:
        UsageError: A name is unknown, or a named metric cannot be measured.
        DataError: A folder or a file cannot be read.
        WeightsError: Weights are missing or damaged.
    """
    metrics = [get_metric(name) for name in request.metrics or request.protocol.metrics]
    specs = [get_backbone(name) for name in request.backbones or request.protocol.backbones]
    check_names(request, metrics, specs)
    guards.check_folders(request.reference, request.generated)
    folders, subset = _find_folders(request)
    check_possible(request, metrics, folders)
    captions = read_captions(request.captions) if request.captions else {}
    rows = read_rows(request.captions) if request.captions else {}
    needed = [spec for spec in specs if any(fits(metric, spec) for metric in metrics)]
    backbones = {spec.name: spec.load(request.weights.get(spec.name)) for spec in needed}
    settings = (cache, request.skip_unreadable, request.num_workers)
    extractor = Extractor(list(backbones.values()), request.protocol, *settings)
    extractions = [extractor.extract(folder, progress) for folder in folders]
    sides = _combine(extractions, captions, rows)
    statement = complete_statement(request.statement, sides.generated.facts)
    results = _Results([*guards.find_missing(subset), *_find_warnings(sides, statement)])
    for metric in metrics:
        fitting = backbones_of(metric, needed)
        if not fitting:
            reason = f"no backbone has {LACKS[network_need(metric)]}; add one with --backbone"
            results.missing.append(NotComputed(metric=metric.name, reason=reason))
        for spec in fitting:
            backbone = backbones[spec.name] if spec else None
            _add(results, metric, spec, backbone, sides, request, statement)
    both = (sides.generated, sides.reference)
    classes, classes_from = find_classes(*both, request.captions, backbones)
    return Evaluation(
        software=software(),
        protocol=request.protocol.as_dict(),
        subset=subset,
        classes=classes,
        classes_from=classes_from,
        maps=find_maps(*both, backbones),
        generated=_clip_set(sides.generated),
        reference=_clip_set(sides.reference) if sides.reference else None,
        values=tuple(results.values),
        not_computed=tuple(results.missing),
        warnings=tuple(dict.fromkeys(results.warnings)),
    )


def _find_folders(request: Request) -> tuple[list[Folder], Subset | None]:
    """The clips to measure, generated ones first, and the list that selected them."""
    folders = [find_clips(request.generated)]
    if request.reference is not None:
        folders.append(find_clips(request.reference))
    if request.subset is None:
        return folders, None
    names = read_subset(request.subset)
    missing: dict[str, None] = {}
    for index, folder in enumerate(folders):
        folders[index], lacking = select_clips(folder, names)
        missing |= dict.fromkeys(lacking)
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    path = str(request.subset)
    return folders, Subset(path=path, n=len(names), sha256=digest, missing=tuple(missing))


def evaluate_features(
    generated: FeatureSet,
    reference: FeatureSet,
    protocol: Protocol,
    metrics: Sequence[str],
    paths: tuple[str, str],
) -> Evaluation:
    """Measure features that somebody else has computed.

    Args:
        generated: the clips that are measured.
        reference: the clips that they are compared with; equal names are pairs.
        protocol: settings of the arithmetic.
        metrics: names of metrics.
        paths: where both came from.

    Returns:
        The result.

    Raises:
        UsageError: A metric is unknown or needs more than features.
    """
    pairs, _ = pair_names(generated.names, reference.names)
    inputs = MetricInputs(generated, reference, protocol, pairs)
    values: list[Value] = []
    missing: list[NotComputed] = []
    for name in metrics:
        metric = get_metric(name)
        if {"texts", "audio", "aesthetics"} & set(metric.needs):
            raise UsageError(f"{name} needs audio files, not features; leave it out")
        if min(len(generated), len(reference)) < metric.min_clips:
            reason = f"it needs {metric.min_clips} rows or more in both files"
            missing.append(NotComputed(metric=name, reason=reason))
            continue
        for result in metric.compute(inputs):
            values.append(_value(metric, metric.title, result, protocol, Statement()))
    if missing and not values:
        raise UsageError(f"{missing[0].metric} cannot be measured: {missing[0].reason}")
    return Evaluation(
        software=software(),
        protocol=protocol.as_dict(),
        generated=ClipSet(path=paths[0], n=len(generated)),
        reference=ClipSet(path=paths[1], n=len(reference)),
        values=tuple(values),
        not_computed=tuple(missing),
    )


def _combine(
    extractions: Sequence[Extraction],
    captions: dict[str, tuple[str, ...]],
    rows: dict[str, Mapping[str, object]],
) -> _Sides:
    """Find the pairs and the captions of the clips that could be read."""
    generated = extractions[0]
    reference = extractions[1] if len(extractions) > 1 else None
    names = generated.folder.names
    pairs: list[tuple[int, int]] = []
    alone: list[str] = list(names)
    if reference is not None:
        pairs, alone = pair_names(names, reference.folder.names)
    if not captions:
        for name, facts in zip(names, generated.facts, strict=True):
            if facts.tags.get("prompt"):
                captions[name] = (facts.tags["prompt"],)
    without_caption = [name for name in names if name not in captions]
    transcripts = {}
    for name, facts in zip(names, generated.facts, strict=True):
        text = rows.get(name, {}).get("transcript") or facts.tags.get("transcript")
        if text:
            transcripts[name] = str(text)
    return _Sides(generated, reference, pairs, alone, captions, without_caption, rows, transcripts)


def _find_warnings(sides: _Sides, statement: Statement) -> list[str]:
    """All warnings about the clips themselves."""
    warnings = []
    for label, side in (("generated", sides.generated), ("reference", sides.reference)):
        if side is not None:
            warnings += guards.find_silence(label, side.folder.names, side.facts)
            warnings += guards.find_duplicates(label, side.folder.names, side.hashes)
    generated = sides.generated
    if sides.reference is not None:
        names = generated.folder.names
        warnings += guards.find_leaks(names, generated.hashes, sides.reference.hashes)
        warnings += guards.find_differences(generated.facts, sides.reference.facts)
    warnings += guards.find_mixed_requests(generated.facts)
    warnings += guards.find_candidates(statement.candidates, statement.ranker)
    return warnings


def _why_not(metric: MetricSpec, spec: BackboneSpec | None, sides: _Sides) -> str:
    """Why a metric cannot be measured; "" if it can."""
    needs = metric.needs
    if "reference" in needs and sides.reference is None:
        return "it needs --reference"
    if "pairs" in needs:
        problem = guards.check_pairs(sides.alone, len(sides.pairs))
        if problem:
            return problem
    if "texts" in needs and sides.without_caption:
        problem = guards.check_pairs((), len(sides.pairs), sides.without_caption)
        return f"{problem}; add --captions FILE"
    if "transcripts" in needs and len(sides.transcripts) < len(sides.generated.folder.names):
        missing = len(sides.generated.folder.names) - len(sides.transcripts)
        return f"{missing} clips have no transcript; add a column transcript to --captions FILE"
    if "controls" in needs and not _has_controls(sides):
        columns = ", ".join(CONTROL_COLUMNS)
        return f"--captions FILE has no column with numbers to check ({columns})"
    is_distribution = "embeddings" in needs or "classes" in needs
    sets = [sides.generated, sides.reference] if "reference" in needs else [sides.generated]
    for side in sets:
        if is_distribution and side is not None and len(side.folder.names) < metric.min_clips:
            return f"{side.folder.path} has fewer than {metric.min_clips} clips"
    return ""


def _has_controls(sides: _Sides) -> bool:
    """Whether a clip has a number to check."""
    names = sides.generated.folder.names
    rows = [sides.rows[name] for name in names if name in sides.rows]
    return any(row.get(column) for row in rows for column in CONTROL_COLUMNS)


def _add(
    results: _Results,
    metric: MetricSpec,
    spec: BackboneSpec | None,
    backbone: Backbone | None,
    sides: _Sides,
    request: Request,
    statement: Statement,
) -> None:
    """Add one metric with one backbone to the results, or the reason why it is missing."""
    reason = _why_not(metric, spec, sides)
    if reason and request.metrics:
        raise UsageError(f"{metric.name} cannot be measured: {reason}")
    if reason:
        name = spec.name if spec else None
        results.missing.append(NotComputed(metric=metric.name, backbone=name, reason=reason))
        return
    if spec and backbone and "texts" in metric.needs:
        results.warnings += guards.check_ranker(
            statement.ranker,
            network_label(spec.name, request.weights),
            backbone.weights_sha256,
            sha256_of_ranker,
            request.allow_same_ranker,
        )
    results.values += _measure(metric, spec, backbone, sides, request, statement)


def _measure(
    metric: MetricSpec,
    spec: BackboneSpec | None,
    backbone: Backbone | None,
    sides: _Sides,
    request: Request,
    statement: Statement,
) -> list[Value]:
    """Measure one metric with one backbone."""
    generated = _features(sides.generated, spec)
    reference = None if sides.reference is None else _features(sides.reference, spec)
    inputs = MetricInputs(
        generated,
        reference,
        request.protocol,
        sides.pairs,
        transcripts=sides.transcripts,
        rows=sides.rows,
    )
    if "texts" in metric.needs:
        text_backbone = cast(TextBackbone, backbone)
        inputs = replace(
            inputs,
            text_similarities=similarities(generated, text_backbone, sides.captions),
            reference_similarities={}
            if reference is None
            else similarities(reference, text_backbone, sides.captions),
        )
    title = metric.title
    if spec is not None and spec.is_of_mini:
        title = metric.title_of_mini or metric.title
    values = []
    for result in metric.compute(inputs):
        value = _value(metric, title, result, request.protocol, statement)
        settings = {"prompts_sha256": captions_sha256(sides.captions)}
        if backbone is not None:
            settings["weights_sha256"] = backbone.weights_sha256
            value = value.model_copy(
                update={
                    "backbone": backbone.name,
                    "sample_rate": backbone.sample_rate,
                    "resampler": resampler_name(request.protocol),
                }
            )
        values.append(value.model_copy(update=settings))
    return values


def _features(side: Extraction, spec: BackboneSpec | None) -> FeatureSet:
    """The features of a backbone; without one, the files alone."""
    if spec is not None:
        return side.features[spec.name]

    def read_nothing(index: int) -> ClipFeatures:
        raise AssertionError("metrics of signals read files")

    return FeatureSet(side.folder.names, read_nothing, side.folder.files)


def _value(
    metric: MetricSpec, title: str, result: Measurement, protocol: Protocol, statement: Statement
) -> Value:
    """One measured number with the settings that it depends on."""
    if not result.is_finite:
        raise DataError(
            f"{metric.name} is not finite: the values of a clip are too large or damaged; "
            "look for that clip, or leave the metric out"
        )
    return Value(
        metric=metric.name,
        title=title,
        variant=result.variant,
        value=result.value,
        n=result.n,
        interval=result.interval,
        is_lower_better=metric.is_lower_better,
        protocol=protocol.name,
        candidates=statement.candidates,
        ranker=statement.ranker,
        guidance_scale=statement.guidance_scale,
        steps=statement.steps,
        seed=statement.seed,
        details=dict(result.details),
        warnings=result.warnings,
        by_clip=dict(result.by_clip),
    )


def _clip_set(side: Extraction) -> ClipSet:
    return ClipSet(
        path=str(side.folder.path),
        n=len(side.folder.names),
        skipped=side.skipped,
        sha256=side.sha256,
        levels=summarize(side.facts),
    )
