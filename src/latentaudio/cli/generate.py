"""`latentaudio generate`: clips from prompts, each written as soon as it is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..errors import UsageError
from . import console
from .clips import generate_clips
from .flags import (
    ALL,
    OUTPUT,
    PROMPT,
    GenerationFlags,
    OutputFlags,
    PromptSourceFlags,
    RuntimeFlags,
    to_overrides,
    with_speech_defaults,
)
from .prompts import DEFAULT_VOICE_PROMPT, read_prompt_file, validate_prompt


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
    options: Annotated[GenerationFlags, ALL] = GenerationFlags(),
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
) -> None:
    """Generate audio files from prompts."""
    console.set_quiet(output.quiet)
    flags = sources.add_to(with_speech_defaults(options))
    rows = [(prompt, prompt) for prompt in prompts]
    if prompt_file is not None:
        rows += read_prompt_file(prompt_file)
    if not rows:
        rows = [_default_prompt(flags)]
    has_audio_prompt = any(cue.has_audio for cue in flags.timeline)
    has_cue_text = any(cue.text.strip() for cue in flags.timeline)
    for prompt, _ in rows:
        validate_prompt(prompt, can_be_empty=has_audio_prompt or has_cue_text)
    texts = [prompt for prompt, _ in rows]
    names = [name for _, name in rows]
    if estimate_memory:
        _print_estimate(texts, flags, output, runtime)
    else:
        generate_clips(flags.model, texts, names, to_overrides(flags), output, runtime)


def _default_prompt(flags: GenerationFlags) -> tuple[str, str]:
    """Prompt and name of a clip without a prompt: of a transcript, a timeline or audio."""
    if flags.transcript:
        return DEFAULT_VOICE_PROMPT, flags.transcript
    if not flags.timeline:
        raise UsageError(
            "there is no prompt; describe the sound, "
            "for example: latentaudio generate 'a church bell ringing'"
        )
    prompt = flags.prompt if "prompt" in flags.model_fields_set else ""
    sources = [Path(cue.audio_prompt).stem for cue in flags.timeline if cue.audio_prompt]
    title = flags.updated(prompt=prompt).display_text
    return prompt, title or f"like {' and '.join(sources)}"


def _print_estimate(
    prompts: list[str], flags: GenerationFlags, output: OutputFlags, runtime: RuntimeFlags
) -> None:
    """Print the memory of the clips. Nothing is downloaded for a model of the table."""
    from ..pipeline import AudioLDM

    source = runtime.find_source(flags.model)
    model = AudioLDM(source, runtime.device, runtime.precision, low_memory=True)
    requests = model.resolve_requests(prompts, **to_overrides(flags))
    estimate = model.estimate_memory(requests)
    if output.json:
        console.print_record(vars(estimate), as_json=True)
    else:
        console.print_result(str(estimate))
