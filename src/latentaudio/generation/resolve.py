"""Resolves a request once: defaults of model and preset, checks against the model, decoded inputs.

A resolved request is not checked again. Candidates are copies of it with another seed. Second
passes (`second_passes`) are new requests, which are resolved too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..audio.ops import Samples
from ..conditioning import g2p
from ..config.architecture import ModelConfig
from ..config.edits import AnyEdit
from ..config.option_table import OPTIONS
from ..config.options import AudioPromptMode, GenerationOptions, PromptCue
from ..config.presets import PRESETS
from ..config.registry import DEFAULT_SPEECH_MODEL, ModelSpec
from ..config.samplers import SAMPLERS
from ..editing.base import EditSource
from ..editing.drawn_mask import sha256_of_mask
from ..editing.inputs import RequestInputs
from ..editing.plan import output_length, validate_edit
from ..editing.validation import validate_source_duration
from ..errors import UsageError
from ..loaders.layouts import ModelSource

MODEL_DEFAULTS = tuple(each.name for each in fields(ModelSpec) if each.name in OPTIONS)
"""Options whose defaults a row of the registry sets."""


@dataclass(frozen=True)
class ResolvedRequest:
    """A request that is ready to run: all options are set and checked, all input files decoded.

    `resolve_request` makes it from `GenerationOptions` and a model. It never changes.

    Attributes:
        options: The request. Every option has a value.
        guidance_scale: Scale that the sampler uses; 1 is no guidance. It differs from
            `options.guidance_scale` where that is below 1 and the reference does not guide there.
        edit_source: Source and mask of an edit, or None.
        audio_prompts: Samples [1, N] of the timeline's audio prompts, by checksum.
    """

    options: GenerationOptions
    guidance_scale: float
    edit_source: EditSource | None = None
    audio_prompts: Mapping[str, Samples] = field(default_factory=dict)

    def candidates(self) -> Iterator[ResolvedRequest]:
        """Yield one request for each candidate of each clip; candidate k has this seed + k."""
        for k in range(self.options.num_seeds):
            changes = {"seed": self.options.seed_after(k), "num_waveforms": 1, "candidates": 1}
            yield replace(self, options=self.options.model_copy(update=changes))


def resolve_requests(
    requests: Sequence[GenerationOptions | ResolvedRequest],
    source: ModelSource,
    inputs: RequestInputs,
) -> list[ResolvedRequest]:
    """Resolve requests in order.

    A request without a seed takes the next seed behind those of the request before it.

    Args:
        requests: Requests; those that are resolved are returned as they are.
        source: The model.
        inputs: Decoded inputs.

    Raises:
        UsageError: The model cannot run a request, or values contradict each other.
        DataError: An input cannot be decoded.
    """
    resolved: list[ResolvedRequest] = []
    for request in requests:
        if isinstance(request, GenerationOptions):
            if request.seed < 0 and resolved:
                before = resolved[-1].options
                seed = before.seed_after(before.num_seeds)
                request = request.model_copy(update={"seed": seed})
            request = resolve_request(request, source, inputs)
        resolved.append(request)
    return resolved


def resolve_request(
    options: GenerationOptions, source: ModelSource, inputs: RequestInputs
) -> ResolvedRequest:
    """Resolve one request.

    Args:
        options: The request, as validated when it was constructed.
        source: The model that runs it.
        inputs: Decoded inputs; files that are not in it yet are decoded.

    Returns:
        The request with all defaults and inputs.

    Raises:
        UsageError: The model cannot run it, or values contradict each other.
        DataError: An input cannot be decoded.
    """
    if "duration" not in options.model_fields_set:
        duration = _duration_of_inputs(options, source, inputs)
        if duration is not None:
            options = options.model_copy(update={"duration": duration})
    options = resolve_options(options, source)
    edit_source = None
    if options.edit is not None:
        edit_source, edit = _resolve_edit(options.edit, options.duration, source, inputs)
        options = options.model_copy(update={"edit": edit})
    audio_prompts: dict[str, Samples] = {}
    cues = []
    for cue in options.timeline:
        if cue.has_audio:
            audio = inputs.get_audio_prompt(cue)
            audio_prompts[audio.sha256] = audio.samples
            cue = cue.model_copy(update={"audio_prompt_sha256": audio.sha256})
        cues.append(cue)
    options = options.model_copy(update={"timeline": tuple(cues)})
    is_guided = options.guidance_scale > 1.0 or source.reference.cfg_below_one
    guidance_scale = options.guidance_scale if is_guided else 1.0
    return ResolvedRequest(options, guidance_scale, edit_source, audio_prompts)


def _duration_of_inputs(
    options: GenerationOptions, source: ModelSource, inputs: RequestInputs
) -> float | None:
    """Return the duration that the inputs of a request give it; None: they give none.

    An edit has the duration of its result. A clip with one cue, which is audio, has that of the
    audio, up to one window of the model.
    """
    if options.edit is not None:
        return _duration_of_edit(options.edit, source, inputs)
    if len(options.timeline) != 1 or not options.timeline[0].has_audio:
        return None
    num_samples: int = inputs.get_audio_prompt(options.timeline[0]).samples.shape[1]
    duration = num_samples / source.config.mel.sample_rate
    validate_source_duration(duration)
    return min(duration, source.spec.max_duration)


def _duration_of_edit(edit: AnyEdit, source: ModelSource, inputs: RequestInputs) -> float:
    """Return the duration of an edit's result: that of its source and what it adds."""
    sample_rate = source.config.mel.sample_rate
    num_samples = inputs.get_source(edit).samples.shape[1]
    duration = output_length(edit, num_samples, sample_rate) / sample_rate
    validate_source_duration(duration)
    return duration


def _resolve_edit(
    edit: AnyEdit, duration: float, source: ModelSource, inputs: RequestInputs
) -> tuple[EditSource, AnyEdit]:
    """Return the decoded source of an edit, and the edit with its checksums."""
    mel = source.config.mel
    audio = inputs.get_source(edit)
    checksums = {"source_sha256": audio.sha256}
    mask = None
    if edit.mask_image:
        mask = inputs.load_mask(edit.mask_image, edit.mask_image_sha256)
        checksums["mask_sha256"] = sha256_of_mask(mask)
    edit_source = EditSource(audio, mask)
    validate_edit(edit, edit_source, mel)
    num_samples = audio.samples.shape[1]
    if round(duration * mel.sample_rate) != output_length(edit, num_samples, mel.sample_rate):
        raise UsageError(
            f"duration = {duration:g} s does not fit the edit {edit.kind} of {edit.source_path}; "
            "leave duration out"
        )
    return edit_source, edit.model_copy(update=checksums)


def resolve_cue(cue: PromptCue | Mapping[str, Any], inputs: RequestInputs) -> PromptCue:
    """Return a cue whose audio prompt, if it has one, is decoded.

    Args:
        cue: A cue, or the values of one, whose `audio_prompt` may be any audio input.
        inputs: Decoded inputs, which keep the audio.
    """
    if isinstance(cue, PromptCue):
        if not cue.has_audio:
            return cue
        audio = inputs.get_audio_prompt(cue)
        return cue.model_copy(update={"audio_prompt_sha256": audio.sha256})
    prompt = cue.get("audio_prompt")
    if prompt is None or (isinstance(prompt, str) and not prompt):
        return PromptCue(**cue)
    audio = inputs.load_audio(prompt)
    fields = {**cue, "audio_prompt": audio.path, "audio_prompt_sha256": audio.sha256}
    return PromptCue(**fields)


def resolve_options(options: GenerationOptions, source: ModelSource) -> GenerationOptions:
    """Fill in every option that was not set and check the result against the model.

    Values come from the request, then the preset, then the row of the registry.

    Args:
        options: The request.
        source: The model; none of its weights are read.

    Returns:
        The complete options. A seed of -1 becomes the seed that will be used.

    Raises:
        UsageError: The model cannot run the request, or values contradict each other.
    """
    if options.edit is not None:  # context is a condition, on which the default guidance depends
        edit = _resolve_in_context(options.edit, source)
        options = options.model_copy(update={"edit": edit})
    complete = options.with_defaults(_defaults(options, source))
    resolved = complete.model_copy(
        update={
            "model": source.name,
            "timeline": _resolve_audio_prompt_modes(options.timeline, source.config),
        }
    )
    validate_for_model(resolved, source)
    return resolved


def _defaults(options: GenerationOptions, source: ModelSource) -> dict[str, Any]:
    """Return the defaults of model and preset for the options of a request."""
    config = source.config
    spec = source.spec
    set_names = options.model_fields_set
    defaults: dict[str, Any] = {}
    for name in MODEL_DEFAULTS:
        defaults[name] = getattr(spec, name)
    preset = options.preset
    if "preset" not in set_names:
        preset = source.reference.preset or spec.preset
    # the distilled UNet runs its own steps, unguided, and starts from noise
    allows_distilled = (
        not set_names & {"sampler", "steps", "guidance_scale", "negative_prompt"}
        and options.edit is None
        and len(options.timeline) < 2
    )
    defaults |= PRESETS[preset].resolve(config, allows_distilled) | {"preset": preset}
    sampler = options.sampler if "sampler" in set_names else defaults["sampler"]
    sampler_spec = SAMPLERS[sampler]
    if sampler_spec.uses_eta:
        defaults["eta"] = source.reference.eta
    if not config.can_rank or not options.has_text:
        defaults["candidates"] = 1
    if options.negative_prompt:  # what is heard is decided early
        defaults["guidance_start"] = 0.0
    elif "guidance_stop" in set_names:
        defaults["guidance_start"] = min(defaults["guidance_start"], options.guidance_stop)
    if not options.can_guide:
        defaults["guidance_scale"] = 1.0
    if options.edit is None and options.lufs is None and source.reference.normalize_output:
        defaults["normalize"] = "loudness"  # an edit keeps the level of its source
    if config.distilled_unet is not None and sampler_spec.is_distilled:
        defaults |= {"steps": len(config.distilled_unet.timesteps), "guidance_scale": 1.0}
    return defaults


def _resolve_in_context(edit: AnyEdit, source: ModelSource) -> AnyEdit:
    """Set `in_context` of an edit that supports it and does not set it."""
    is_default = source.config.has_loa_encoder and source.reference.in_context_by_default
    return edit.with_context_default(is_default)


def _resolve_audio_prompt_modes(
    timeline: tuple[PromptCue, ...], config: ModelConfig
) -> tuple[PromptCue, ...]:
    """Set the mode of audio prompts that do not set it."""
    default_mode: AudioPromptMode = "loa" if config.has_loa_encoder else "clap"
    cues = []
    for cue in timeline:
        if cue.has_audio:
            cue = cue.model_copy(
                update={"audio_prompt_mode": cue.audio_prompt_mode or default_mode}
            )
        cues.append(cue)
    return tuple(cues)


def validate_for_model(options: GenerationOptions, source: ModelSource) -> None:
    """Check complete options against a model.

    Raises:
        UsageError: The model cannot run them.
    """
    name = source.spec.name
    config = source.config
    if SAMPLERS[options.sampler].is_distilled:
        _validate_distilled(options, source)
    edit = options.edit
    has_words = options.has_text or bool(options.transcript)
    if edit is not None and edit.needs_prompt and not has_words:
        raise UsageError(f"{edit.kind} needs a prompt for the new sound; without one use vary")
    if edit is not None and edit.continues_source and not config.has_loa_encoder:
        raise UsageError(
            f"{name} has no AudioMAE, which in-context continuation needs; leave out in_context"
        )
    _validate_speech(options, source)
    if options.candidates > 1 and not config.can_rank:
        raise UsageError(
            f"{name} has no CLAP audio encoder to rank candidates with; set candidates to 1"
        )
    if options.timeline:
        _validate_timeline(options, source)
    is_guided = options.guidance_scale > 1 or options.negative_prompt
    if (not options.has_text and options.candidates > 1) or (not options.can_guide and is_guided):
        raise UsageError(
            "candidates, guidance_scale and negative_prompt need a prompt; "
            "add one or leave these options out"
        )
    is_windowed = source.reference.uses_windows and config.phonemes is None
    if options.duration > source.spec.max_duration and not is_windowed:
        raise UsageError(
            f"duration = {options.duration:g} s is longer than {name} can generate; "
            f"the limit is {source.spec.max_duration:g} s"
        )


def _validate_speech(options: GenerationOptions, source: ModelSource) -> None:
    name = source.spec.name
    is_speech = source.config.phonemes is not None
    if options.transcript and not is_speech:
        raise UsageError(
            f"{name} is not a speech model; for a transcript load one, "
            f"such as {DEFAULT_SPEECH_MODEL}"
        )
    if is_speech and not (options.transcript or options.edit or options.timeline):
        raise UsageError(f"{name} is a speech model; give it a transcript (--transcript)")
    if options.transcript and not g2p.clean_text(options.transcript):
        raise UsageError(
            f"transcript = {options.transcript[:40]!r} has no letters that can be pronounced; "
            "write it in the Latin alphabet"
        )


def _validate_timeline(options: GenerationOptions, source: ModelSource) -> None:
    name = source.spec.name
    config = source.config
    modes = {cue.audio_prompt_mode for cue in options.timeline if cue.has_audio}
    if config.phonemes is not None:
        raise UsageError(
            f"{name} is a speech model, without timelines and audio prompts; choose another model"
        )
    if "loa" in modes and not config.has_loa_encoder:
        raise UsageError(
            f"{name} has no AudioMAE, which audio prompts of mode loa need; choose mode clap"
        )
    reads_clap = config.unet.film_dim is not None or config.translator is not None
    if "clap" in modes and not (config.can_rank and reads_clap):
        raise UsageError(f"{name} has no CLAP audio encoder; choose another model")
    is_distilled = SAMPLERS[options.sampler].is_distilled
    if is_distilled and len(options.timeline) > 1:
        raise UsageError(
            f"sampler {options.sampler!r} follows one prompt only; "
            "for several cues choose dpm++ or ddim"
        )
    last_start = max(cue.start for cue in options.timeline)
    if last_start >= options.duration:
        raise UsageError(
            f"a cue starts at {last_start:g} s, after the end of the clip at "
            f"{options.duration:g} s; set a longer duration"
        )
    if min(cue.start for cue in options.timeline) > 0.0:
        raise UsageError("the first cue starts after 0 s; let one start at 0")


def _validate_distilled(options: GenerationOptions, source: ModelSource) -> None:
    name = source.spec.name
    distilled = source.config.distilled_unet
    if distilled is None:
        raise UsageError(
            f"{name} has no distilled UNet, which sampler {options.sampler!r} needs; "
            "choose dpm++ or ddim"
        )
    num_steps = len(distilled.timesteps)
    if options.steps != num_steps or options.guidance_scale != 1.0 or options.negative_prompt:
        raise UsageError(
            f"the distilled UNet of {name} runs {num_steps} steps without guidance; "
            "leave out steps, guidance_scale and negative_prompt"
        )
