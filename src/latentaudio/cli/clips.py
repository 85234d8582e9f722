"""Writes clips to files and prints a line about each; the two ways of a command to its clips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.edits import AnyEdit
from ..errors import DataError, UsageError
from . import console
from .flags import (
    DisplayFlags,
    EditFlags,
    OutputFlags,
    RuntimeFlags,
    to_overrides,
    with_speech_defaults,
)
from .output_paths import output_paths
from .prompts import validate_prompt

if TYPE_CHECKING:
    from ..audio.io import Audio
    from ..config.options import GenerationOverrides

_NOT_IN_JSON = {"duration", "sample_rate", "num_waveforms", "candidates"}
"""Options that the JSON line leaves out, because it has measured values for them."""


def save_clip(clip: Audio, path: Path, display: DisplayFlags) -> None:
    """Write a clip and, with `--plot`, its plot; print a line about it."""
    path = clip.save(path)
    if display.plot:
        from ..audio.plot import save_plot

        save_plot(path.with_name(f"{path.name}.png"), clip.samples, clip.sample_rate)
    if display.json:
        record = {
            "path": path,
            "duration": clip.duration,
            "sample_rate": clip.sample_rate,
            "score": clip.score,
            **clip.options.model_dump(exclude=_NOT_IN_JSON),
        }
        console.print_record(record, as_json=True)
    elif not display.quiet:
        score = "" if clip.score is None else f"  CLAP score {clip.score:.2f}"
        console.print_result(f"{path}  {clip.duration:g} s  seed {clip.seed}{score}")


def generate_clips(
    model_name: str,
    prompts: list[str],
    names: list[str],
    overrides: GenerationOverrides,
    output: OutputFlags,
    runtime: RuntimeFlags,
) -> None:
    """Generate the clips of prompts and write each as soon as it is finished.

    Args:
        model_name: The model.
        prompts: Prompts.
        names: A name for the files of each prompt.
        overrides: Options.
        output: Where to write.
        runtime: How to load the model.
    """
    num_waveforms = overrides.get("num_waveforms", 1)
    file_names = [name for name in names for _ in range(num_waveforms)]
    sample_rate = overrides.get("sample_rate", 0)
    paths = output_paths(output.output, file_names, sample_rate=sample_rate)
    with console.progress_bar("generating", output.hides_progress) as tick:
        model = runtime.load(model_name)
        requests = model.resolve_requests(prompts, **overrides)
        for clip in model.run(requests, progress=tick):
            save_clip(clip, next(paths), output)


def edit_clip(
    audio: Path,
    prompt: str,
    edit: AnyEdit,
    flags: EditFlags,
    output: OutputFlags,
    runtime: RuntimeFlags,
) -> None:
    """Edit an audio file and write the result; every edit command ends here.

    Args:
        audio: The file.
        prompt: The prompt, or "".
        edit: The edit.
        flags: Options.
        output: Where to write.
        runtime: How to load the model.
    """
    from ..audio.io import info

    console.set_quiet(output.quiet)
    flags = with_speech_defaults(flags)
    validate_prompt(prompt, can_be_empty=True)
    mask = edit.mask_image
    names = [f"{audio.stem} {edit.kind}"] * flags.num_waveforms
    paths = output_paths(output.output, names, sample_rate=flags.sample_rate)
    if output.output and Path(output.output).suffix:  # names in a folder are always new
        paths = _reject_overwriting(paths, audio, mask, output)
    info(audio)  # a file that is no audio fails before a model is looked for
    if mask and not Path(mask).is_file():
        raise DataError(f"there is no mask {mask}; give the path of an image")
    with console.progress_bar(edit.kind, output.hides_progress) as tick:
        model = runtime.load(flags.model)
        requests = model.resolve_edit(audio, edit, prompt, **to_overrides(flags))
        for clip in model.run(requests, progress=tick):
            save_clip(clip, next(paths), output)


def _reject_overwriting(
    paths: Iterator[Path], audio: Path, mask: str, output: OutputFlags
) -> Iterator[Path]:
    """The same paths; `UsageError` if a clip or its plot would replace an input."""
    files = list(paths)
    plots = [path.with_name(f"{path.name}.png") for path in files] if output.plot else []
    for source, name in ((audio, "source"), (Path(mask), "mask")):
        if not source.is_file():
            continue
        if any(path.exists() and path.samefile(source) for path in [*files, *plots]):
            raise UsageError(f"-o {output.output} would overwrite the {name}; name another file")
    return iter(files)
