"""`latentaudio convert`: a model written in another layout, and a test that both are equal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..config.registry import MODELS
from ..errors import UsageError, WeightsError
from . import console
from .flags import AdapterFlag, ArchitectureFlag, JSONRecordFlag, QuietFlag

if TYPE_CHECKING:
    from ..loaders.layouts import ModelSource

VERIFY_PROMPT = "a dog barking"
VERIFY_TRANSCRIPT = "hello"
VERIFY_DURATION_S = 0.64
VERIFY_TOLERANCE = 1e-3
"""Largest difference of two clips that rounding makes, in standard deviations.

Equal weights give clips that are not always bit-equal, because rounding depends on where mapped
weights lie in memory. Rounding of float32 stays far below this; a wrong tensor is far above it.
"""


def convert(
    source: Annotated[
        str, Parameter(help="Model name, hub id, model folder or checkpoint, as for --model.")
    ],
    target: Annotated[
        Path,
        Parameter(
            help="New folder or, for the layout original, new file that ends in .ckpt or .pth; "
            "tokenizers are written beside it."
        ),
    ],
    *,
    layout: Annotated[
        Literal["original", "diffusers", "latentaudio"],
        Parameter(
            help="original (the authors' checkpoint), diffusers (a folder per component) or "
            "latentaudio."
        ),
    ],
    architecture: ArchitectureFlag = None,
    adapter: AdapterFlag = None,
    verify: Annotated[
        bool,
        Parameter(
            help="Generate a clip with both models and compare. If they differ, the target is "
            "removed.",
            show_default=False,
        ),
    ] = False,
    json: JSONRecordFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write a model in another layout; every tensor stays bit-identical.

    With --adapter, the adapters are merged into the weights. Of averaged and raw weights, the kind
    that the authors sampled with is written, or the raw ones for the layout diffusers.
    """
    from ..loaders.convert import convert as convert_model
    from ..loaders.resolve import resolve_model

    # The reference decides attention heads, and averaged or raw weights.
    reference = "diffusers" if layout == "diffusers" else "clean"
    model = _with_adapters(resolve_model(source, architecture, reference), adapter or ())
    with console.progress_bar("converting", quiet or json) as tick:
        convert_model(model, target, layout, tick)
    if not quiet:
        _print_missing_parts(model, target, layout)
    name = model.spec.name
    known_name = name if name in MODELS else None
    difference = None
    if verify:
        difference = compare_models(source, target, known_name, reference, adapter or ())
    record = {"target": target, "layout": layout, "model": name, "difference": difference}
    _print_result(record, as_json=json, quiet=quiet)
    if difference is not None and not difference <= VERIFY_TOLERANCE:
        _remove(target)
        raise WeightsError(
            f"{target} generates another clip than {source} (maximum difference {difference:g} "
            "standard deviations), so it was removed; please report it"
        )


def _print_missing_parts(model: ModelSource, target: Path, layout: str) -> None:
    from ..loaders.layouts import LAYOUTS

    missing = LAYOUTS[layout].file.missing_parts(model.config)
    if missing:
        console.print_status(
            f"{target} lacks {', '.join(missing)}: {model.name} does not have them, and "
            "generation does not read them; the authors' program needs strict=False for this file"
        )


def _print_result(record: dict[str, Any], as_json: bool, quiet: bool) -> None:
    if as_json:
        console.print_record(record, as_json=True)
    elif not quiet:
        difference = record["difference"]
        note = "" if difference is None else f"  difference {difference:g}"
        console.print_result(f"{record['target']}  {record['model']} as {record['layout']}{note}")


def _with_adapters(model: ModelSource, adapters: Sequence[str]) -> ModelSource:
    """Return a model with adapters merged into its weights.

    Raises:
        UsageError: An adapter is limited to some noise levels.
    """
    if not adapters:
        return model
    from ..config.adapters import ALL_NOISE_LEVELS, parse_adapter
    from ..pipeline import AudioLDM

    loaded = AudioLDM(model, "cpu", "fp32")
    for use in map(parse_adapter, adapters):
        if use.noise_levels != ALL_NOISE_LEVELS:
            raise UsageError(
                f"adapter {use.path} is limited to some noise levels, which weights cannot hold; "
                "leave out @"
            )
        loaded.load_adapter(use.path, use.weight)
    return loaded.source


def _remove(target: Path) -> None:
    if target.is_file():
        target.unlink()
    else:
        rmtree(target)


def compare_models(
    source: str,
    target: Path,
    architecture: str | None,
    reference: str,
    adapters: Sequence[str] = (),
) -> float:
    """Return the largest difference of a short clip of two models, in standard deviations.

    Args:
        source: The first model.
        target: The second model.
        architecture: Name of the model that a checkpoint file holds.
        reference: The implementation to imitate.
        adapters: Adapters of the first model.
    """
    import numpy as np

    from ..config.adapters import parse_adapter
    from ..pipeline import load

    clips = []
    for model in (source, target):
        is_file = Path(model).is_file()
        loaded = load(
            model,
            "cpu",
            "fp32",
            reference=reference,
            architecture=architecture if is_file else None,
        )
        if model == source:
            for use in map(parse_adapter, adapters):
                loaded.load_adapter(use.path, use.weight)
        [clip] = loaded.generate(
            VERIFY_PROMPT,
            duration=VERIFY_DURATION_S,
            steps=2,
            candidates=1,
            seed=0,
            transcript=VERIFY_TRANSCRIPT if loaded.config.phonemes else "",
        )
        clips.append(clip.samples)
    first, second = clips
    return float(np.abs(first - second).max() / first.std())
