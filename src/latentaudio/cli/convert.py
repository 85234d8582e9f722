"""`latentaudio convert`: a model from one layout into another, and proof that both sound alike."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from typing import Literal

from ..config.registry import MODELS
from ..errors import WeightsError
from . import console


def convert(
    source: str,
    target: Path,
    *,
    layout: Literal["original", "diffusers", "latentaudio"],
    architecture: str | None = None,
    verify: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Write a model in another layout, tensor by tensor to the bit.

    Of averaged and raw weights the authors' choice is written, as reference "clean" has it; for diffusers the raw ones.

    Parameters
    ----------
    source
        What `--model` takes: a name, a hub id, a folder, a checkpoint.
    target
        A new folder or, for the authors' layout, a new file that ends in .ckpt or .pth; tokenizers are put beside it.
    layout
        original (the authors' checkpoint), diffusers (folders per component) or latentaudio.
    architecture
        Name of the model that a checkpoint file is, if the file does not tell.
    verify
        Then generate from one prompt with both and compare.
    json
        Print one line of JSON.
    quiet
        Print nothing but what --json asks for.
    """
    from ..loaders.convert import convert as run
    from ..loaders.resolve import resolve_model

    way = (
        "diffusers" if layout == "diffusers" else "clean"
    )  # which heads, and of averaged and raw weights which
    found = resolve_model(source, architecture, way)
    with console.bar("converting", quiet or json) as tick:
        run(found, target, layout, tick)
    apart = (
        _apart(source, target, found.spec.name if found.spec.name in MODELS else None, way)
        if verify
        else None
    )
    facts = {"target": target, "layout": layout, "model": found.spec.name, "difference": apart}
    if json:
        console.tell(facts, as_json=True)
    elif not quiet:
        console.say(
            f"{target}  {found.spec.name} as {layout}"
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
            model, "cpu", "fp32", reference=way, architecture=like if Path(model).is_file() else None
        )
        transcript = "hello" if loaded.config.phonemes else None
        clips += loaded.generate(
            "a dog barking", duration=0.64, steps=2, candidates=1, seed=0, transcript=transcript
        )
    first, second = (clip.samples for clip in clips)
    return float(np.abs(first - second).max() / first.std())
