"""`latentaudio reproduce`: the clip of a file generated again from its tags, and compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..config.audio_formats import FORMATS
from ..errors import UsageError
from ..fileio import atomic_write
from . import console
from .flags import (
    MACHINE,
    OUTPUT,
    ArchitectureFlag,
    JSONRecordFlag,
    OutputFlags,
    QuietFlag,
    RuntimeFlags,
)
from .output import output_paths

if TYPE_CHECKING:
    from ..audio.io import Audio
    from ..config.adapters import AdapterUse
    from ..config.options import GenerationOptions

TAGS_OF_THE_FILE = ("score", "chosen_of", "dither")
"""Tags of how a clip was chosen and written; a clip that is generated again has none of them."""


MovedAdapterFlag = Annotated[
    list[str] | None,
    Parameter(
        help="Adapter of the clip, if it is no longer where the tags say: folder or .safetensors "
        "file. Repeat the option for several.",
        group=MACHINE,
        show_default=False,
        negative=(),
    ),
]


OtherBackendFlag = Annotated[
    str | None,
    Parameter(
        help="Library for the UNet: torch, openvino or onnxruntime. Default: the file's.",
        group=MACHINE,
    ),
]


def reproduce(
    file: Annotated[Path, Parameter(help="Audio file that latentaudio wrote, with its tags.")],
    *,
    output: Annotated[
        str | None,
        Parameter(
            alias="-o",
            help="File or folder. Default: NAME_reproduced, beside the file. The file itself is "
            "never overwritten.",
            group=OUTPUT,
        ),
    ] = None,
    json: JSONRecordFlag = False,
    quiet: QuietFlag = False,
    device: Annotated[
        str | None,
        Parameter(help="Device: auto, cpu, cuda or mps. Default: the file's.", group=MACHINE),
    ] = None,
    precision: Annotated[
        str | None,
        Parameter(help="Precision: auto, bf16, fp32, int8. Default: the file's.", group=MACHINE),
    ] = None,
    backend: OtherBackendFlag = None,
    architecture: ArchitectureFlag = None,
    adapter: MovedAdapterFlag = None,
) -> None:
    """Generate the clip of a file again from its tags and compare both, byte by byte.

    It prints same or differs. Files are equal on the same machine, with the same software and
    number of threads. An edit needs its unchanged source file, a clip with adapters their files.
    Models, adapters and sources are found by the paths in the tags, so run it in the folder where
    the file was made.
    """
    from ..config.options import GenerationOptions

    console.set_quiet(quiet)
    tags = _read_tags(file)
    request = GenerationOptions.from_tags(tags)
    if file.suffix.lower() not in FORMATS:
        raise UsageError(
            f"{file} has no extension of its format; rename it to end in {', '.join(FORMATS)}"
        )
    target = _target_path(file, output, request)
    runtime = RuntimeFlags(
        device=device or tags.get("device", "auto"),
        precision=precision or tags.get("precision", "auto"),
        backend=backend or tags.get("backend", "torch"),
        reference=tags.get("reference", "clean"),
        architecture=architecture,
    )
    adapters = _find_adapters(tags.get("adapters", ""), adapter or ())
    clip = _generate(request, runtime, tags.get("threads", ""), adapters, quiet or json)
    with target as path:
        record = _write_and_compare(clip, file, path, tags)
    if json:
        console.print_record(record, as_json=True)
    elif not quiet:
        difference = "" if record["same"] else _describe_difference(record)
        console.print_result(f"{record['path']}  {difference or 'same'}")


def _read_tags(file: Path) -> dict[str, str]:
    """Return the tags of a clip under today's names; `UsageError` for a stream."""
    from ..audio import io
    from ..config.tags import upgrade_tags
    from ..generation.streaming import STREAM_TAG

    tags = upgrade_tags(io.info(file)["tags"])
    if STREAM_TAG in tags:
        raise UsageError(
            f"{file} is a stream; run latentaudio stream again, with the prompt and the seed of "
            "its tags"
        )
    return tags


def _write_and_compare(
    clip: Audio, file: Path, target: Path, tags: Mapping[str, str]
) -> dict[str, object]:
    """Write the clip and return whether it equals the file: every byte, or every sample."""
    from ..audio import io
    from ..audio.encoding import encode

    expected_tags = _tags_as_in_file(clip, tags)
    subtype = io.info(file)["subtype"]
    as_in_file = partial(
        encode,
        clip.samples,
        clip.sample_rate,
        file.suffix,
        subtype=subtype if subtype in FORMATS[file.suffix.lower()].subtypes else None,
        dither="dither" in tags,
        is_loop=clip.options.loop_seam_duration > 0,
    )
    data = as_in_file(expected_tags)
    is_equal = data == file.read_bytes()
    with atomic_write(target, create=False) as temporary:
        temporary.write_bytes(data if is_equal else as_in_file(clip.tags))
    return {
        "path": target,
        "same": is_equal,
        "same_audio": is_equal or _have_equal_samples(file, target),
        "software": tags.get("software"),
        "current_software": io.software(),
    }


def _target_path(
    file: Path, output: str | None, request: GenerationOptions
) -> AbstractContextManager[Path]:
    """The path of the new file, to be entered; `UsageError` if a file of the user is there."""
    name = f"{file.stem}_reproduced"
    flags = OutputFlags(output=output or str(file.with_stem(name)))
    paths = output_paths(
        flags,
        [name],
        inputs=[file, *request.input_files],
        has_made=request.has_made,
        extension=file.suffix.lower(),
    )
    return next(paths)


def _generate(
    request: GenerationOptions,
    runtime: RuntimeFlags,
    threads: str,
    adapters: Sequence[AdapterUse],
    hide_progress: bool,
) -> Audio:
    """The clip of a request, generated with as many threads as the file was."""
    import torch

    if re.fullmatch("[1-9][0-9]{0,3}", threads):
        # sums are split among threads, and rounded accordingly
        torch.set_num_threads(int(threads))
    with console.progress_bar("reproducing", hide_progress) as tick:
        model = runtime.load(request.model)
        for use in adapters:
            model.load_adapter(
                use.path, use.weight, noise_levels=use.noise_levels, sha256=use.sha256
            )
        [clip] = model.run([request], progress=tick)
    return clip


def _find_adapters(tag: str, places: Sequence[str]) -> list[AdapterUse]:
    """Return the adapters of a clip, each where it lies now.

    Args:
        tag: The tag of the file.
        places: Files and folders of adapters that were moved.

    Raises:
        UsageError: An adapter is missing or has another content.
    """
    if not tag:
        return []
    from ..config.adapters import adapters_from_tag
    from ..errors import WeightsError
    from ..fileio import sha256_of_file
    from ..loaders.adapter_files import find_adapter_file

    moved = {sha256_of_file(find_adapter_file(place)): place for place in places}
    adapters = []
    for use in adapters_from_tag(tag):
        use = replace(use, path=moved.get(use.sha256, use.path))
        try:
            is_there = sha256_of_file(find_adapter_file(use.path)) == use.sha256
        except WeightsError:
            is_there = False
        if not is_there:
            raise UsageError(
                f"the clip was made with the adapter {use.path} (SHA-256 {use.sha256[:12]}...), "
                "which is missing or changed; restore it, or name it with --adapter"
            )
        adapters.append(use)
    return adapters


def _tags_as_in_file(clip: Audio, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a clip, in the order of a file, with the file's result of the ranking."""
    values = {**clip.tags}
    # an adapter that was moved is the same file
    for name in (*TAGS_OF_THE_FILE, "adapters"):
        if name in tags:
            values[name] = tags[name]
    ordered = {name: values[name] for name in tags if name in values}
    return {**ordered, **values}


def _have_equal_samples(first: Path, second: Path) -> bool:
    import numpy as np

    from ..audio import io

    return np.array_equal(io.read(first, mono=False)[0], io.read(second, mono=False)[0])


def _describe_difference(record: Mapping[str, object]) -> str:
    """How two files differ, and the reason if it is known."""
    text = "differs in its tags only" if record["same_audio"] else "differs"
    software = record["software"]
    if software and software != record["current_software"]:
        text += f" (made by {software}, this is {record['current_software']})"
    return text
