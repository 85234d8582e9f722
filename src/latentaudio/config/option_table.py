"""The table of options: default, limits and help text of each, and the commands that have it.

`--help`, the fields of `config.options` and `config.edits`, and the pages of the reference come
from here. It imports neither torch nor pydantic.

To add an option: one row here, one field of `GenerationOptions` and one of `GenerationOverrides`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .samplers import SAMPLERS

MAX_DURATION_S = 600.0
"""Longest duration of a clip, a source or a fade in seconds."""
MAX_PROMPT_CHARS = 2000
MAX_CUES = 1000

Panel: TypeAlias = Literal["edit", "prompt", "sampling", "length", "output", "machine", "expert"]
"""A panel of --help."""


@dataclass(frozen=True)
class Option:
    """Facts about one option that every interface needs.

    Attributes:
        help: Meaning, unit, range and default.
        default: Default where neither preset nor model has one; `...` if the option is required.
        panel: Panel of its flag; None: it is no flag of its own.
        ge: Least value.
        gt: Value that it must be above.
        le: Greatest value.
        lt: Value that it must be below.
        max_length: Most characters of a text, or items of a list.
        is_choice: Whether the value is one of a few names.
        is_sampling: Whether it controls the sampler or guidance. The passes that close a loop or
            make stereo take these values from their clip.
        needs_whole_clip: Whether a stream cannot have it.
        is_for_edits: Whether edits have it. The source sets their duration.
    """

    help: str
    default: Any = ...
    panel: Panel | None = None
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    max_length: int | None = None
    is_choice: bool = False
    is_sampling: bool = False
    needs_whole_clip: bool = False
    is_for_edits: bool = True

    @property
    def is_switch(self) -> bool:
        """Whether its flag takes no value."""
        return isinstance(self.default, bool)

    @property
    def metavar(self) -> str:
        """The placeholder of its value in --help."""
        if self.is_choice:
            return "CHOICE"
        return {str: "STR", int: "INT"}.get(type(self.default), "FLOAT")


_SAMPLER_CHOICES = ", ".join(f"{name} ({spec.purpose})" for name, spec in SAMPLERS.items())

OPTIONS: Mapping[str, Option] = {
    "prompt": Option("Text that describes the sound, in English."),
    "negative_prompt": Option(
        "Text that describes sounds to avoid. Default: none.", "", "prompt", is_sampling=True
    ),
    "transcript": Option(
        "Words to speak, for speech models; the prompt then describes the voice. "
        "Without --model, the command line downloads the speech model audioldm2-speech-gigaspeech. "
        "The model mini-speech needs no download and knows 200 words. "
        "Default: none.",
        "",
        "prompt",
    ),
    "duration": Option(
        "Length of the clip in seconds, 0.1 to 600. Default: the model's (mini: 5.12).",
        5.0,
        "length",
        ge=0.1,
        le=MAX_DURATION_S,
        is_for_edits=False,
    ),
    "seed": Option(
        "Random seed; the same seed with the same options gives the same clip on the "
        "same machine. Default: -1, a random seed, which is printed.",
        -1,
        "sampling",
        ge=-1,
        lt=2**63,
    ),
    "model": Option(
        "Model name, Hugging Face repository, model folder, checkpoint file or run "
        "folder. Default: mini.",
        "mini",
        "machine",
    ),
    "preset": Option(
        "Set of sampling options, from slow to fast: paper, quality, balanced, fast or "
        "draft. draft of mini has 4 steps. It has 6 for an edit, or if you set guidance or a "
        "negative prompt. Default: the model's (mini: quality).",
        "quality",
        "sampling",
        is_choice=True,
    ),
    "steps": Option(
        "Sampling steps, 1 to 1000; more are slower and more accurate. "
        "Default: the preset's (quality: 25).",
        25,
        "expert",
        ge=1,
        le=1000,
        is_sampling=True,
    ),
    "guidance_scale": Option(
        "How strongly the clip follows the prompt (classifier-free guidance), 0 to "
        "100; usual values are 2 to 5, and 1 disables it. Default: the model's (mini: 3).",
        3.0,
        "expert",
        ge=0,
        le=100,
        is_sampling=True,
    ),
    "apg_eta": Option(
        "APG: weight of guidance parallel to the prediction, 0 (full APG) "
        "to 1 (plain CFG). Default: the model's (mini: 0).",
        1.0,
        "expert",
        ge=0,
        le=1,
        is_sampling=True,
    ),
    "guidance_start": Option(
        "Progress of sampling, 0 to 1, at which guidance begins. Default: the preset's, then the "
        "model's (mini: 0.3), but 0 with a negative prompt.",
        0.0,
        "expert",
        ge=0,
        le=1,
        is_sampling=True,
    ),
    "guidance_stop": Option(
        "Progress of sampling, 0 to 1, at which guidance ends. Default: the preset's, "
        "then the model's (mini: 0.76).",
        1.0,
        "expert",
        ge=0,
        le=1,
        is_sampling=True,
    ),
    "guidance_interval": Option(
        "Guided steps that share one evaluation of guidance, 1 to 20: between them its last "
        "difference is used again, for half the time of a step. 1 evaluates it in every step. "
        "Default: 1.",
        1,
        "expert",
        ge=1,
        le=20,
        is_sampling=True,
    ),
    "guidance_rescale": Option(
        "Guidance rescale (arXiv 2305.08891), 0 to 1; 0 disables it. Default: 0.",
        0.0,
        "expert",
        ge=0,
        le=1,
        is_sampling=True,
    ),
    "sampler": Option(
        f"Sampler: {_SAMPLER_CHOICES}. Default: the preset's (quality: dpm++).",
        "dpm++",
        "expert",
        is_choice=True,
        is_sampling=True,
    ),
    "cache_interval": Option(
        "DeepCache: steps that share one evaluation of the inner UNet levels, 1 to 20; "
        "1 disables it. Default: the preset's (quality: 1).",
        1,
        "expert",
        ge=1,
        le=20,
        is_sampling=True,
    ),
    "eta": Option(
        "Noise in each ddim step, 0 (none) to 1 (as DDPM). "
        "Default: that of --reference (clean: 0).",
        0.0,
        "expert",
        ge=0,
        le=1,
        is_sampling=True,
    ),
    "candidates": Option(
        "Candidates generated per clip, 1 to 64; only the one that fits the prompt "
        "best, measured by CLAP, is kept. Default: the preset's (quality: 1).",
        1,
        "sampling",
        ge=1,
        le=64,
        needs_whole_clip=True,
    ),
    "num_waveforms": Option(
        "Clips per prompt, all kept, 1 to 1000. Default: 1.",
        1,
        "output",
        ge=1,
        le=1000,
        needs_whole_clip=True,
    ),
    "timeline": Option(
        "Prompts with start times. Default: the prompt over the whole clip.",
        (),
        max_length=MAX_CUES,
        is_for_edits=False,
    ),
    "crossfade": Option(
        "Seconds over which one cue turns into the next, 0 to 600. Default: 1.",
        1.0,
        "prompt",
        ge=0,
        le=MAX_DURATION_S,
        is_for_edits=False,
    ),
    "loop_seam": Option(
        "Seconds regenerated around the loop point so that the clip repeats without a "
        "seam, half of them at each end. 0 makes no loop. Default: 0.",
        0.0,
        "length",
        ge=0,
        le=MAX_DURATION_S,
        needs_whole_clip=True,
        is_for_edits=False,
    ),
    "normalize": Option(
        "Level of the clip: loudness (-23 LUFS), peak (-1 dBTP) or none (as generated). "
        "A prompt that asks for a quiet or distant sound gets 10 dB less. The gain is constant and "
        "keeps true peaks at -1 dBTP, or at true_peak, or below. Default: loudness; none for "
        "edits, streams and the references original and diffusers, and with lufs.",
        "none",
        "length",
        is_choice=True,
        needs_whole_clip=True,
    ),
    "lufs": Option(
        "Target integrated loudness in LUFS, -70 to 0. Short loud peaks can keep the "
        "clip below it; the tag loudness has the result then. Default: normalize sets the level.",
        None,
        "length",
        ge=-70,
        le=0,
        needs_whole_clip=True,
    ),
    "true_peak": Option(
        "True-peak ceiling in dBTP, -60 to 0. Default: none, or -1 with lufs.",
        None,
        "length",
        ge=-60,
        le=0,
        needs_whole_clip=True,
    ),
    "trim_silence": Option(
        "Trim silence at both ends: levels below -60 dB of the peak, except for 10 ms. "
        "Default: no.",
        False,
        "length",
        needs_whole_clip=True,
    ),
    "fade_in": Option(
        "Fade-in in seconds, 0 to 600. Default: 0.",
        0.0,
        "length",
        ge=0,
        le=MAX_DURATION_S,
        needs_whole_clip=True,
    ),
    "fade_out": Option(
        "Fade-out in seconds, 0 to 600. Default: 0.",
        0.0,
        "length",
        ge=0,
        le=MAX_DURATION_S,
        needs_whole_clip=True,
    ),
    "stereo_width": Option(
        "Width of a stereo clip, 0 (mono) to 1 (wide); the difference of the channels "
        "is a second, generated variation. Default: 0.",
        0.0,
        "length",
        ge=0,
        le=1,
        needs_whole_clip=True,
    ),
    "sample_rate": Option(
        "Sample rate of the file in Hz, 8000 to 192000, by resampling; this adds no "
        "high frequencies. Default: 0, the model's (mini: 16000).",
        0,
        "length",
        ge=0,
        le=192_000,
        needs_whole_clip=True,
    ),
    "edit": Option(
        "Edit of a given clip. Default: none, a clip is generated from noise.",
        None,
        is_for_edits=False,
    ),
}
"""Every option of `config.options.GenerationOptions`, in the order of tags and pages."""

CUE_OPTIONS: Mapping[str, Option] = {
    "start": Option("Start in seconds, 0 to 600. Default: 0.", 0.0, ge=0, le=MAX_DURATION_S),
    "text": Option("Prompt. Default: that of the request.", "", max_length=MAX_PROMPT_CHARS),
    "weight": Option("Weight among cues with the same start. Default: 1.", 1.0, gt=0, le=100),
    "audio_prompt": Option("Path of a clip that is used like the text. Default: none.", ""),
    "audio_prompt_sha256": Option(
        "SHA-256 of the clip's samples at the model's rate, float32.", ""
    ),
    "audio_prompt_mode": Option(
        "Feature taken from the clip: language of audio (loa) or CLAP embedding "
        "(clap). Default: loa if the model has an AudioMAE.",
        "",
        "prompt",
    ),
    "audio_prompt_offset": Option("Seconds of the clip that are skipped. Default: 0.", 0.0, ge=0),
    "audio_prompt_weight": Option(
        "Weight of the clip against the text, 0 to 1. Default: 1.", 1.0, "prompt", ge=0, le=1
    ),
}
"""Every field of a cue of a timeline."""

EDIT_OPTIONS: Mapping[str, Option] = {
    "transfer_strength": Option(
        "How much changes: 0 keeps the clip, 1 makes a new one. Default: 0.5.",
        0.5,
        "edit",
        ge=0,
        le=1,
    ),
    "vary_strength": Option(
        "How much changes: 0 keeps the clip, 1 makes a new one. Default: 0.4.",
        0.4,
        "edit",
        ge=0,
        le=1,
    ),
    "in_context": Option(
        "Let the new part continue the sound of the clip, not the prompt alone (AudioLDM 2, "
        "section 4.7). Default: yes if the model has an AudioMAE (mini has one).",
        None,
        "edit",
    ),
    "cutoff_hz": Option(
        "Frequency in Hz above which the clip is regenerated, up to half of the "
        "model's sample rate (mini: 8000 Hz).",
        panel="edit",
        ge=0,
    ),
    "before": Option(
        "Seconds added before the clip. Default: 0.", 0.0, "edit", ge=0, le=MAX_DURATION_S
    ),
    "after": Option(
        "Seconds added after the clip. Default: 0.", 0.0, "edit", ge=0, le=MAX_DURATION_S
    ),
    "loop_seam": Option(
        "Seconds regenerated around the loop point, half of them at each end. Default: 1.",
        1.0,
        "edit",
        ge=0,
        le=MAX_DURATION_S,
    ),
}
"""Fields of edits that are numbers or switches; `strength` has a default for each edit."""

SAMPLING_OPTIONS = frozenset(name for name, option in OPTIONS.items() if option.is_sampling)
"""Options that the passes over a finished clip take from it."""
CLIP_ONLY_OPTIONS = frozenset(name for name, option in OPTIONS.items() if option.needs_whole_clip)
"""Options that a stream does not have."""
NOT_FOR_EDITS = frozenset(name for name, option in OPTIONS.items() if not option.is_for_edits)
"""Options that edits do not have."""
