"""Edits an audio file and writes the result; every command that edits ends here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, UsageError
from . import console
from .flags import OptionValues, OutputFlags, RuntimeFlags, add_speech_model
from .output import output_paths, save_clip

if TYPE_CHECKING:
    from ..config.edits import AnyEdit


def edit_clip(
    audio: Path,
    prompt: str,
    edit: AnyEdit,
    options: OptionValues,
    output: OutputFlags,
    runtime: RuntimeFlags,
) -> None:
    """Edit an audio file and write the result.

    Args:
        audio: The file.
        prompt: The prompt, or "".
        edit: The edit.
        options: Options that the user set.
        output: Where to write.
        runtime: How to load the model.
    """
    from ..audio.io import info
    from ..config.options import GenerationOptions

    console.set_quiet(output.quiet)
    if options.get("transcript"):
        options = add_speech_model(options)
    edit = edit.model_copy(update={"source_path": str(audio)})
    request = GenerationOptions(**{**options, "prompt": prompt, "edit": edit})
    names = [f"{audio.stem} {edit.kind}"] * request.num_waveforms
    paths = output_paths(output.output, names, sample_rate=request.sample_rate)
    if output.output and Path(output.output).suffix:  # names in a folder are always new
        paths = _reject_overwriting(paths, audio, edit.mask_image, output)
    info(audio)  # a file that is no audio fails before a model is looked for
    if edit.mask_image and not Path(edit.mask_image).is_file():
        raise DataError(f"there is no mask {edit.mask_image}; give the path of an image")
    with console.progress_bar(edit.kind, output.hides_progress) as tick:
        model = runtime.load(request.model)
        for clip in model.run([request], progress=tick):
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
