"""`latentaudio models`: the table of models, or all details of one. Loads no weights."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Annotated, Any

from cyclopts import Parameter

from ..config.presets import PRESETS
from ..config.registry import MODELS, ModelSpec, get_model_spec
from . import console

COLUMNS = ("NAME", "USE", "RATE", "MAX", "PARAMS", "SIZE", "LICENSE")
USE_WIDTH = 21
"""Characters of the column USE, so that the table has at most 100 columns."""
_GIGABYTE = 10**9


def models(
    name: Annotated[
        str | None, Parameter(help="Model to show in detail. Default: a table of all models.")
    ] = None,
    *,
    json: Annotated[
        bool, Parameter(help="Print one line of JSON per model.", show_default=False)
    ] = False,
) -> None:
    """List the models with their licenses and limits, or show one of them."""
    specs = list(MODELS.values()) if name is None else [get_model_spec(name)]
    if json:
        for spec in specs:
            console.print_record(_json_record(spec), as_json=True)
    elif name is None:
        console.print_result(_format_table(specs))
        console.print_result("\nlatentaudio models NAME shows all details of one.")
    else:
        console.print_record(_details(specs[0]), as_json=False)


def _format_table(specs: Sequence[ModelSpec]) -> str:
    """One row for each model; a long description continues in the next line."""
    rows = [COLUMNS]
    for spec in specs:
        first, *more = wrap(spec.description, USE_WIDTH, break_on_hyphens=False)
        rate = f"{spec.config.mel.sample_rate / 1000:g} kHz"
        max_duration = f"{spec.max_duration:g} s"
        parameters = f"{spec.num_parameters / 1e6:.0f} M"
        size = _format_size(_num_bytes(spec))
        rows.append((spec.name, first, rate, max_duration, parameters, size, _short_license(spec)))
        rows += [("", line, "", "", "", "", "") for line in more]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _num_bytes(spec: ModelSpec) -> int:
    """Size of a model's weights: those of this installation, or the published ones in float32."""
    from ..loaders.resolve import bundled_bytes

    return bundled_bytes(spec) or spec.weights_bytes


def _format_size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= _GIGABYTE else f"{num_bytes / 1e6:.0f} MB"


def _short_license(spec: ModelSpec) -> str:
    return spec.license.removesuffix(" (weights)").removeprefix("CreativeML ")


def _details(spec: ModelSpec) -> dict[str, Any]:
    """Every fact about a model that a user may need, with units."""
    from ..loaders.resolve import bundled_bytes

    origin = "bundled" if bundled_bytes(spec) else spec.hub_id or spec.original_checkpoint
    settings = PRESETS[spec.preset].resolve(spec.config)
    return {
        "name": spec.name,
        "use": spec.description,
        "license": spec.license,
        "sample rate": f"{spec.config.mel.sample_rate} Hz",
        "max duration": f"{spec.max_duration:g} s in one window",
        "min duration": f"{spec.min_duration:g} s; shorter clips are cut",
        "parameters": f"{spec.num_parameters:,}; UNet: {spec.unet_parameters:,}",
        "weights": f"{_format_size(_num_bytes(spec))}, {origin}" if origin else "none; train it",
        "original checkpoint": spec.original_checkpoint,
        "default duration": f"{spec.duration:g} s",
        "default preset": f"{spec.preset} ({settings['sampler']}, {settings['steps']} steps)",
        "default guidance": f"scale {spec.guidance_scale:g}, apg_eta {spec.apg_eta:g}, "
        f"from {spec.guidance_start:g} to {settings.get('guidance_stop', spec.guidance_stop):g}",
        "default candidates": settings.get("candidates", spec.candidates),
    }


def _json_record(spec: ModelSpec) -> dict[str, Any]:
    """The row of a model, with the settings of its preset."""
    from ..loaders.resolve import bundled_bytes

    row = {name: value for name, value in vars(spec).items() if name != "config"}
    return {
        **row,
        **PRESETS[spec.preset].resolve(spec.config),
        "sample_rate": spec.config.mel.sample_rate,
        "bundled_bytes": bundled_bytes(spec),
    }
