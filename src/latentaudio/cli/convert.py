"""`latentaudio convert`: a model from one layout into another, and proof that both sound alike."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from typing import Literal

from ..config.registry import VARIANTS
from ..errors import WeightsError
from . import console


def convert(
    source: str,
    target: Path,
    *,
    layout: Literal["original", "diffusers", "latentaudio"],
    like: str | None = None,
    verify: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Write a model in another layout, tensor by tensor to the bit.

    Of averaged and raw weights the authors' choice is written, as fidelity "clean" has it; for diffusers the raw ones.

    Parameters
    ----------
    source
        What `--model` takes: a name, a hub id, a folder, a checkpoint.
    target
        A new folder or, for the authors' layout, a new file that ends in .ckpt or .pth; tokenizers are put beside it.
    layout
        original (the authors' checkpoint), diffusers (folders per component) or latentaudio.
    like
        Name of the model that a checkpoint file is, where it does not tell.
    verify
        Then generate from one prompt with both and compare.
    json
        Print one line of JSON.
    quiet
        Print nothing but what --json asks for.
    """
    from ..loaders.convert import convert as run
    from ..loaders.resolve import find

    way = (
        "diffusers" if layout == "diffusers" else "clean"
    )  # which heads, and of averaged and raw weights which
    found = find(source, like, way)
    with console.bar("converting", quiet or json) as tick:
        run(found, target, layout, tick)
    apart = (
        _apart(source, target, found.variant.name if found.variant.name in VARIANTS else None, way)
        if verify
        else None
    )
    facts = {"target": target, "layout": layout, "model": found.variant.name, "difference": apart}
    if json:
        console.tell(facts, as_json=True)
    elif not quiet:
        console.say(
            f"{target}  {found.variant.name} as {layout}"
            + ("" if apart is None else f"  difference {apart:g}")
        )
    if apart is not None and apart > 0:
        target.unlink() if target.is_file() else rmtree(target)
        raise WeightsError(
            f"{target} sounded otherwise than {source} (by {apart:g} of its deviation), so it is removed; report it"
        )


def _apart(source: str, target: Path, like: str | None, way: str) -> float:
    """Largest difference of a short clip from both, in units of its standard deviation."""
    import numpy as np

    from ..pipeline import load

    clips = []
    for model in (source, target):
        loaded = load(
            model, "cpu", "fp32", fidelity=way, like=like if Path(model).is_file() else None
        )
        spoken = {"transcript": "hello"} if loaded.config.phonemes else {}
        clips += loaded.generate(
            "a dog barking", seconds=0.64, steps=2, candidates=1, seed=0, **spoken
        )  # type: ignore[arg-type]
    first, second = (clip.samples for clip in clips)
    return float(np.abs(first - second).max() / first.std())
