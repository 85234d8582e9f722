"""Edits an audio file and writes the result; every command that edits ends here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from . import console
from .flags import (
    OptionValues,
    OutputFlags,
    RuntimeFlags,
    add_speech_model,
    reject_file_names,
)
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
    reject_file_names([prompt], output.text)
    if options.get("transcript"):
        options = add_speech_model(options)
    edit = edit.model_copy(update={"source_path": str(audio)})
    request = GenerationOptions(**{**options, "prompt": prompt, "edit": edit})
    names = [f"{audio.stem} {edit.kind}"] * request.num_waveforms
    paths = output_paths(
        output,
        names,
        inputs=request.input_files,
        has_made=request.has_made,
        sample_rate=request.sample_rate,
    )
    info(audio)  # a file that is no audio fails before a model is looked for
    if edit.mask_image and not Path(edit.mask_image).is_file():
        raise DataError(f"there is no mask {edit.mask_image}; give the path of an image")
    with console.progress_bar(edit.kind, output.hides_progress) as tick:
        model = runtime.load(request.model)
        for clip in model.run([request], progress=tick):
            with next(paths) as path:
                save_clip(clip, path, output)
