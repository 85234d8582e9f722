"""`latentaudio replay`: the clip of a file made again from its tags, and whether it is the same to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from ..audio import io
from ..config.options import GenerationOptions
from ..config.tags import upgrade_tags
from ..errors import UsageError
from . import console
from .output_paths import targets

_OF_THE_CHOICE = ("score", "chosen_of")
"""Tags of a clip that won among others; made alone it cannot know them."""


def replay(
    file: Path,
    *,
    output: Annotated[str | None, Parameter(alias="-o")] = None,
    device: str | None = None,
    precision: str | None = None,
    architecture: str | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Make a file's clip again from its tags, and tell whether both are the same to the byte.

    On the same machine, software and number of threads they are. Models and sounds are looked for where the tags name them, so
    call it from the folder where the file was made.

    Parameters
    ----------
    file
        A file that latentaudio wrote.
    output
        File or folder. Default: the file's name with _replay before its ending. The file itself is never written over.
    device
        auto, cpu, cuda or mps. Default: the file's.
    precision
        auto, bf16 or fp32. Default: the file's.
    architecture
        Name of the model that a checkpoint file is, if the file does not tell.
    json
        Print one line of JSON.
    quiet
        Print nothing but what --json asks for.
    """
    tags = upgrade_tags(io.info(file)["tags"])
    request = GenerationOptions.from_tags(tags)
    if file.suffix.lower() not in io.FORMATS:
        raise UsageError(
            f"{file} does not end in its format; rename it to end in {', '.join(io.FORMATS)}"
        )
    target = next(
        targets(
            output or str(file.with_stem(f"{file.stem}_replay")),
            [f"{file.stem} replay"],
            file.suffix.lower(),
        )
    )
    if target.exists() and target.samefile(file):
        raise UsageError(f"-o {output} would write over the file itself; name another")
    import torch

    from ..pipeline import load

    if tags.get(
        "threads", ""
    ).isdecimal():  # sums are parted among threads, and rounded accordingly
        torch.set_num_threads(int(tags["threads"]))
    where, kind = device or tags.get("device", "auto"), precision or tags.get("precision", "auto")
    with console.bar("replaying", quiet or json) as tick:
        model = load(
            request.model, where, kind, reference=tags.get("reference", "clean"), architecture=architecture, low_memory=True
        )
        [clip] = model.stream([request], progress=tick)
    told = {**clip.tags, **{name: tags[name] for name in _OF_THE_CHOICE if name in tags}}
    told = {
        name: told[name] for name in [*filter(told.__contains__, tags), *told]
    }  # in the file's order
    same = io.encode(clip.samples, clip.sample_rate, file.suffix, told) == file.read_bytes()
    io.write(target, clip.samples, clip.sample_rate, told if same else clip.tags)
    facts = {
        "path": target,
        "same": same,
        "same_sound": same or _alike(file, target),
        "software": tags.get("software"),
    }
    if json:
        console.tell({**facts, "now": io.software()}, as_json=True)
    elif not quiet:
        console.say(f"{target}  {'same' if same else 'differs'}{_why(facts)}")


def _alike(first: Path, second: Path) -> bool:
    """Whether two files hold the same samples."""
    return np.array_equal(io.read(first, mono=False)[0], io.read(second, mono=False)[0])


def _why(facts: dict[str, object]) -> str:
    """What is known of why two files differ."""
    made = facts["software"] if facts["software"] != io.software() else None
    other = f" (made by {made}, this is {io.software()})" if made else ""
    return "" if facts["same"] else f"{' in its tags only' if facts['same_sound'] else ''}{other}"
