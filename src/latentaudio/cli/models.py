"""`latentaudio models`: the table of models, without loading any."""

from __future__ import annotations

from ..config.presets import PRESETS
from ..config.registry import MODELS, ModelSpec
from ..loaders.resolve import bundled_bytes
from . import console


def models(*, json: bool = False) -> None:
    """List the models, their licences and limits.

    Parameters
    ----------
    json
        Print one line of JSON per model.
    """
    for row in MODELS.values():
        if json:
            console.tell(_facts(row), as_json=True)
        else:
            weights = (
                f"{bundled_bytes(row) / 1e6:.0f} MB, here"
                if bundled_bytes(row)
                else row.hub_id or row.original_checkpoint or "no weights here"
            )
            console.say(f"{row.name}: {row.description}")
            console.say(
                f"    {row.config.mel.sample_rate} Hz, up to {row.max_duration:g} s, {row.license}, {weights}"
            )
            if row.unet_parameters:
                console.say(
                    f"    UNet of {row.unet_parameters:,} parameters; the authors' file is {row.original_checkpoint}"
                )
            usual = PRESETS[row.preset].resolve(row.config)
            how = f"{usual['sampler']}, {usual['steps']} steps, guidance {row.guidance_scale:g}"
            console.say(f"    defaults: {row.duration:g} s, preset {row.preset} ({how})")


def _facts(row: ModelSpec) -> dict[str, object]:
    facts = {name: value for name, value in vars(row).items() if name != "config"}
    return {
        **facts,
        **PRESETS[row.preset].resolve(row.config),
        "sample_rate": row.config.mel.sample_rate,
        "bytes": bundled_bytes(row),
    }
