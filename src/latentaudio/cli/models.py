"""`latentaudio models`: the table of models, without loading any."""

from __future__ import annotations

from ..config.presets import PRESETS
from ..config.registry import VARIANTS, Variant
from ..loaders.resolve import size
from . import console


def models(*, json: bool = False) -> None:
    """List the models, their licences and limits.

    Parameters
    ----------
    json
        Print one line of JSON per model.
    """
    for row in VARIANTS.values():
        if json:
            console.tell(_facts(row), as_json=True)
        else:
            weights = (
                f"{size(row) / 1e6:.0f} MB, here"
                if size(row)
                else row.hub or row.original or "no weights here"
            )
            console.say(f"{row.name}: {row.purpose}")
            console.say(
                f"    {row.config.mel.rate} Hz, up to {row.longest:g} s, {row.licence}, {weights}"
            )
            if row.parameters:
                console.say(
                    f"    UNet of {row.parameters:,} parameters; the authors' file is {row.original}"
                )
            usual = PRESETS[row.preset].of(row.config)
            how = f"{usual['sampler']}, {usual['steps']} steps, guidance {row.guidance:g}"
            console.say(f"    defaults: {row.seconds:g} s, preset {row.preset} ({how})")


def _facts(row: Variant) -> dict[str, object]:
    facts = {name: value for name, value in vars(row).items() if name != "config"}
    return {
        **facts,
        **PRESETS[row.preset].of(row.config),
        "rate": row.config.mel.rate,
        "bytes": size(row),
    }
