"""`latentaudio generate`: clips from prompts, each written as soon as it is finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..config.option_table import CUE_OPTIONS
from ..errors import UsageError
from . import console
from .flags import (
    OUTPUT,
    PROMPT,
    OptionValues,
    OutputFlags,
    RuntimeFlags,
    TimelineFlag,
    add_speech_model,
    add_timeline,
    describe,
    option_flags,
    reject_file_names,
)
from .output import output_paths, save_clip

if TYPE_CHECKING:
    from ..config.options import GenerationOptions


@Parameter(name="*")
@dataclass(frozen=True)
class PromptSourceFlags:
    """Files that condition a clip beside its prompt, or in its place."""

    timeline: TimelineFlag = None
    audio_prompt: Annotated[
        Path | None,
        Parameter(
            help="Audio file that is used like the prompt, or in its place. Default duration: "
            "that of the file, at most one window of the model (mini: 10.24 s).",
            group=PROMPT,
        ),
    ] = None
    audio_prompt_mode: Annotated[
        Literal["loa", "clap"] | None, describe(CUE_OPTIONS["audio_prompt_mode"])
    ] = None
    audio_prompt_weight: Annotated[float, describe(CUE_OPTIONS["audio_prompt_weight"])] = 1.0

    def add_to(self, options: OptionValues) -> OptionValues:
        """Return the options with the cues of the timeline file, or with the audio prompt.

        Args:
            options: Options that the user set.

        Raises:
            DataError: A file cannot be read.
            UsageError: Flags contradict each other, or a file has a wrong value.
        """
        if self.audio_prompt is None:
            if self.audio_prompt_mode or self.audio_prompt_weight != 1.0:
                raise UsageError(
                    "--audio-prompt-mode and --audio-prompt-weight need an audio prompt; "
                    "name a file with --audio-prompt"
                )
            return add_timeline(options, self.timeline) if self.timeline else options
        if self.timeline is not None:
            raise UsageError("--timeline and --audio-prompt exclude each other; leave one out")
        from ..config.options import PromptCue

        cue = PromptCue(
            audio_prompt=str(self.audio_prompt),
            audio_prompt_mode=self.audio_prompt_mode or "",
            audio_prompt_weight=self.audio_prompt_weight,
        )
        return {**options, "timeline": (cue,)}


@option_flags(before="output")
def generate(
    *prompts: Annotated[
        str,
        Parameter(
            help="Text that describes a sound, in English. Put quotes around each prompt. Without "
            "quotes, each word is one prompt.",
            group=PROMPT,
        ),
    ],
    prompt_file: Annotated[
        Path | None,
        Parameter(
            help="Text file with one prompt per line. `prompt | name` also names the clip.",
            group=PROMPT,
        ),
    ] = None,
    sources: PromptSourceFlags = PromptSourceFlags(),
    output: OutputFlags = OutputFlags(),
    estimate_memory: Annotated[
        bool,
        Parameter(
            help="Print the memory that the clips need and the memory that is free; generate "
            "nothing.",
            group=OUTPUT,
            show_default=False,
        ),
    ] = False,
    runtime: RuntimeFlags = RuntimeFlags(),
    **options: Any,
) -> None:
    """Generate audio files from prompts."""
    from ..config.options import make_requests

    console.set_quiet(output.quiet)
    reject_file_names(prompts, output.text)
    if options.get("transcript"):
        options = add_speech_model(options)
    options = sources.add_to(options)
    prompt_of_file = options.pop("prompt", "")
    names = list(prompts)
    texts = list(prompts)
    if prompt_file is not None:
        from .batch_list import read_prompt_file

        for text, name in read_prompt_file(prompt_file):
            texts.append(text)
            names.append(name)
    if not texts:
        texts = [prompt_of_file or _default_prompt(options)]
    requests = make_requests(texts, options)
    if not names:
        names = [_title(requests[0])]
    if estimate_memory:
        _print_estimate(requests, output, runtime)
    else:
        files = [file for file in (prompt_file, sources.timeline) if file is not None]
        run_requests(requests, names, output, runtime, files)


def _default_prompt(options: OptionValues) -> str:
    """Return the prompt of a command line without one: of a transcript, a timeline or audio."""
    if options.get("transcript"):
        from ..config.registry import DEFAULT_VOICE_PROMPT

        return DEFAULT_VOICE_PROMPT
    if not options.get("timeline"):
        raise UsageError(
            "there is no prompt; describe the sound, "
            "for example: latentaudio generate 'a church bell ringing'"
        )
    return ""


def _title(request: GenerationOptions) -> str:
    """Return a name for the files of a clip without a prompt of its own."""
    sources = [Path(cue.audio_prompt).stem for cue in request.timeline if cue.audio_prompt]
    return request.transcript or request.display_text or f"like {' and '.join(sources)}"


def run_requests(
    requests: Sequence[GenerationOptions],
    names: Sequence[str],
    output: OutputFlags,
    runtime: RuntimeFlags,
    other_inputs: Sequence[Path] = (),
) -> None:
    """Generate the clips of requests and write each as soon as it is finished.

    Args:
        requests: Requests that differ in prompt and seed only.
        names: A name for the files of each request.
        output: Where to write.
        runtime: How to load the model.
        other_inputs: Files of the command that no request names.
    """
    shared = requests[0]
    file_names = [name for name in names for _ in range(shared.num_waveforms)]
    inputs: list[str | Path] = [*other_inputs]
    for request in requests:
        inputs += request.input_files
    paths = output_paths(
        output,
        file_names,
        inputs=inputs,
        has_made=lambda tags: any(request.has_made(tags) for request in requests),
        sample_rate=shared.sample_rate,
    )
    with console.progress_bar("generating", output.hides_progress) as tick:
        model = runtime.load(shared.model)
        for clip in model.run(requests, progress=tick):
            with next(paths) as path:
                save_clip(clip, path, output)


def _print_estimate(
    requests: Sequence[GenerationOptions], output: OutputFlags, runtime: RuntimeFlags
) -> None:
    """Print the memory of the clips. Nothing is downloaded for a model of the table."""
    from ..pipeline import AudioLDM

    source = runtime.find_source(requests[0].model)
    model = AudioLDM(
        source, runtime.device, runtime.precision, low_memory=True, backend=runtime.backend
    )
    estimate = model.estimate_memory(requests)
    if output.json:
        console.print_record(vars(estimate), as_json=True)
    else:
        console.print_result(str(estimate))
