"""Further requests over a finished clip: its loop seam and the side channel of its stereo."""

from __future__ import annotations

from typing import Any

from ..audio.ops import Samples
from ..config.edits import AnyEdit, LoopOptions, VaryOptions
from ..config.option_table import SAMPLING_OPTIONS
from ..config.options import MAX_SEED, GenerationOptions
from ..config.samplers import SAMPLERS
from ..editing.inputs import RequestInputs
from ..loaders.layouts import ModelSource
from .resolve import ResolvedRequest, resolve_request
from .timeline import rotate_cues

STEREO_SIDE_STRENGTH = 0.4
"""Strength of the variation whose difference to the clip becomes the side channel.

It has the timing and the timbre of the clip, but another waveform.
"""


def loop_pass(clip: Samples, request: ResolvedRequest, source: ModelSource) -> ResolvedRequest:
    """Return the request that closes the loop of a clip [1, N]."""
    options = request.options
    rotated = rotate_cues(options.timeline, options.duration / 2, options.duration)
    edit = LoopOptions(loop_seam=options.loop_seam_duration)
    return _pass(clip, request, edit, source, timeline=rotated)


def stereo_pass(clip: Samples, request: ResolvedRequest, source: ModelSource) -> ResolvedRequest:
    """Return the request that varies a clip [1, N] for the side channel of its stereo."""
    edit = VaryOptions(strength=STEREO_SIDE_STRENGTH)
    return _pass(clip, request, edit, source, timeline=request.options.timeline)


def _pass(
    clip: Samples, request: ResolvedRequest, edit: AnyEdit, source: ModelSource, **changes: Any
) -> ResolvedRequest:
    """Return an edit of a clip with the settings of its request and another seed.

    The seed is that of the clip + 2**62, half of the range of seeds. The loop and the stereo pass
    of a clip share it. The distilled UNet cannot edit; a clip made by it takes the other settings
    of its preset.
    """
    options = request.options
    names = {"preset", "transcript", "crossfade"}
    if not SAMPLERS[options.sampler].is_distilled:
        names |= SAMPLING_OPTIONS
    if not (options.has_text or options.transcript or options.timeline):
        # guidance of a clip without words came from the source of its edit
        names -= {"guidance_scale", "negative_prompt"}
    inputs = RequestInputs(source.config.mel.sample_rate)
    for prompt_samples in request.audio_prompts.values():
        inputs.load_audio(prompt_samples)
    audio = inputs.load_audio(clip)
    settings = {name: getattr(options, name) for name in names}
    pass_options = GenerationOptions(
        prompt=options.prompt,
        candidates=1,
        seed=options.seed_after(MAX_SEED // 2),
        edit=edit.model_copy(update={"source_sha256": audio.sha256}),
        duration=audio.samples.shape[1] / inputs.sample_rate,
        **settings,
        **changes,
    )
    return resolve_request(pass_options, source, inputs)
