"""Options of a generation request, as keywords, flags and tags in audio files.

Limits here hold for every model. A model's own defaults and limits are in `config.registry` and are
applied by `generation.resolve`. Torch-free.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypedDict

from pydantic import Field, field_validator, model_validator

from ..errors import UsageError
from .edits import MAX_DURATION_S, AnyEdit
from .presets import PresetName
from .samplers import SAMPLERS, SamplerName
from .strict_model import StrictModel
from .tags import load_json_tag, upgrade_tags
from .validation import EXAMPLE_PROMPT

AudioPromptMode: TypeAlias = Literal["", "loa", "clap"]

MAX_PROMPT_CHARS = 2000
MIN_LOOP_SEAM_S = 0.04  # two crossfades of 20 ms
_MIN_SAMPLE_RATE = 8000
_SEED_BITS = 31  # of a drawn seed, so that it fits every tool that reads it


def validate_text(text: str) -> str:
    """Return a prompt or a transcript as it is.

    Raises:
        ValueError: It is too long or not UTF-8; the message begins with the verb.
    """
    # Python keeps bytes of a command line that are not UTF-8 as lone surrogates.
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("contains bytes that are not UTF-8; write it again in UTF-8")
    if len(text) > MAX_PROMPT_CHARS:
        raise ValueError(f"has {len(text)} characters; shorten it to {MAX_PROMPT_CHARS}")
    return text


class PromptCue(StrictModel):
    """One entry of a timeline: a prompt that holds until the next cue starts.

    Cues with the same start are mixed.

    Attributes:
        start: Start in seconds.
        text: The prompt; "" takes the prompt of the request.
        weight: Weight in the mix, relative to cues with the same start.
        audio_prompt: Path of a clip that is used like the text, or "".
        audio_prompt_sha256: SHA-256 of its samples at the model's rate, float32.
        audio_prompt_mode: Feature that is taken from the clip; "" takes the model's default.
        audio_prompt_offset: Seconds of the clip that are skipped.
        audio_prompt_weight: Weight of the clip against the text; 1 is the clip alone.
    """

    start: float = Field(
        0.0, ge=0, le=MAX_DURATION_S, description="Start in seconds, 0 to 600. Default: 0."
    )
    text: str = Field(
        "", max_length=MAX_PROMPT_CHARS, description="Prompt. Default: that of the request."
    )
    weight: float = Field(
        1.0, gt=0, le=100, description="Weight among cues with the same start. Default: 1."
    )
    audio_prompt: str = Field(
        "", description="Path of a clip that is used like the text. Default: none."
    )
    audio_prompt_sha256: str = Field(
        "", description="SHA-256 of the clip's samples at the model's rate, float32."
    )
    audio_prompt_mode: AudioPromptMode = Field(
        "",
        description="Feature taken from the clip: language of audio (loa) or CLAP embedding "
        "(clap). Default: loa if the model has an AudioMAE.",
    )
    audio_prompt_offset: float = Field(
        0.0, ge=0, description="Seconds of the clip that are skipped. Default: 0."
    )
    audio_prompt_weight: float = Field(
        1.0, ge=0, le=1, description="Weight of the clip against the text, 0 to 1. Default: 1."
    )

    @property
    def has_audio(self) -> bool:
        """Whether the cue has an audio prompt."""
        return bool(self.audio_prompt or self.audio_prompt_sha256)


class GenerationOptions(StrictModel):
    """One request. Immutable; a wrong value raises `UsageError` with one line.

    An option that is not set has the default of this table until `with_defaults` applies the
    model's own. The meaning, unit and range of every option is its `description`, which is also the
    text of `--help`.
    """

    NESTED_FIELDS: ClassVar[frozenset[str]] = frozenset({"timeline", "edit"})

    prompt: str = Field(description="Text that describes the sound, in English.")
    negative_prompt: str = Field(
        "", description="Text that describes sounds to avoid. Default: none."
    )
    transcript: str = Field(
        "",
        description="Words to speak, for speech models; the prompt then describes the voice. "
        "Without --model, the command line downloads the speech model audioldm2-speech-gigaspeech. "
        "Default: none.",
    )
    duration: float = Field(
        5.0,
        ge=0.1,
        le=MAX_DURATION_S,
        description="Length of the clip in seconds, 0.1 to 600. Default: the model's (mini: 5.12).",
    )
    seed: int = Field(
        -1,
        ge=-1,
        lt=2**63,
        description="Random seed; the same seed with the same options gives the same clip on the "
        "same machine. Default: -1, a random seed, which is printed.",
    )
    model: str = Field(
        "mini",
        description="Model name, Hugging Face repository, model folder, checkpoint file or run "
        "folder. Default: mini.",
    )
    preset: PresetName = Field(
        "quality",
        description="Set of sampling options, from slow to fast: paper, quality, balanced, fast or "
        "draft. draft of mini has 4 steps. It has 6 for an edit, or if you set guidance or a "
        "negative prompt. Default: the model's (mini: quality).",
    )
    steps: int = Field(
        25,
        ge=1,
        le=1000,
        description="Sampling steps, 1 to 1000; more are slower and more accurate. "
        "Default: the preset's (quality: 25).",
    )
    guidance_scale: float = Field(
        3.0,
        ge=0,
        le=100,
        description="How strongly the clip follows the prompt (classifier-free guidance), 0 to "
        "100; usual values are 2 to 5, and 1 disables it. Default: the model's (mini: 3).",
    )
    apg_eta: float = Field(
        1.0,
        ge=0,
        le=1,
        description="APG: weight of guidance parallel to the prediction, 0 (full APG) "
        "to 1 (plain CFG). Default: the model's (mini: 0).",
    )
    guidance_start: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Progress of sampling, 0 to 1, at which guidance begins. Default: 0.",
    )
    guidance_stop: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Progress of sampling, 0 to 1, at which guidance ends. Default: the preset's, "
        "then the model's (mini: 0.76).",
    )
    guidance_rescale: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Guidance rescale (arXiv 2305.08891), 0 to 1; 0 disables it. Default: 0.",
    )
    sampler: SamplerName = Field(
        "dpm++",
        description="Sampler: dpm++ (few steps), ddim (as published), heun (slower, second order) "
        "or distilled (with a distilled UNet). Default: the preset's (quality: dpm++).",
    )
    cache_interval: int = Field(
        1,
        ge=1,
        le=20,
        description="DeepCache: steps that share one evaluation of the inner UNet levels, 1 to 20; "
        "1 disables it. Default: the preset's (quality: 1).",
    )
    eta: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Noise in each ddim step, 0 (none) to 1 (as DDPM). "
        "Default: that of --reference (clean: 0).",
    )
    candidates: int = Field(
        1,
        ge=1,
        le=64,
        description="Candidates generated per clip, 1 to 64; only the one that fits the prompt "
        "best, measured by CLAP, is kept. Default: the preset's (quality: 1).",
    )
    num_waveforms: int = Field(
        1, ge=1, le=1000, description="Clips per prompt, all kept, 1 to 1000. Default: 1."
    )
    timeline: tuple[PromptCue, ...] = Field(
        (),
        max_length=1000,
        description="Prompts with start times. Default: the prompt over the whole clip.",
    )
    crossfade: float = Field(
        1.0,
        ge=0,
        le=MAX_DURATION_S,
        description="Seconds over which one cue turns into the next, 0 to 600. Default: 1.",
    )
    loop_seam: float = Field(
        0.0,
        ge=0,
        le=MAX_DURATION_S,
        description="Seconds regenerated around the loop point so that the clip repeats without a "
        "seam; the same quantity as --seam-duration of the command loop. 0 makes no loop. "
        "Default: 0.",
    )
    lufs: float | None = Field(
        None,
        ge=-70,
        le=0,
        description="Target integrated loudness in LUFS, -70 to 0. Short loud peaks can keep the "
        "clip below it; the tag loudness has the result then. Default: the level is unchanged.",
    )
    true_peak: float | None = Field(
        None,
        ge=-60,
        le=0,
        description="True-peak ceiling in dBTP, -60 to 0. Default: none, or -1 with lufs.",
    )
    trim_silence: bool = Field(
        False,
        description="Trim silence at both ends: levels below -60 dB of the peak, except for 10 ms. "
        "Default: no.",
    )
    fade_in: float = Field(
        0.0, ge=0, le=MAX_DURATION_S, description="Fade-in in seconds, 0 to 600. Default: 0."
    )
    fade_out: float = Field(
        0.0, ge=0, le=MAX_DURATION_S, description="Fade-out in seconds, 0 to 600. Default: 0."
    )
    stereo_width: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Width of a stereo clip, 0 (mono) to 1 (wide); the difference of the channels "
        "is a second, generated variation. Default: 0.",
    )
    sample_rate: int = Field(
        0,
        ge=0,
        le=192_000,
        description="Sample rate of the file in Hz, 8000 to 192000, by resampling; this adds no "
        "high frequencies. Default: 0, the model's (mini: 16000).",
    )
    edit: AnyEdit | None = Field(
        None, description="Edit of a given clip. Default: none, a clip is generated from noise."
    )

    @field_validator("prompt", "negative_prompt", "transcript")
    @classmethod
    def _check_text(cls, text: str) -> str:
        return validate_text(text)

    @field_validator("sample_rate")
    @classmethod
    def _check_sample_rate(cls, sample_rate: int) -> int:
        if 0 < sample_rate < _MIN_SAMPLE_RATE:
            raise ValueError(f"= {sample_rate} must be 8000 to 192000, or 0 for the model's rate")
        return sample_rate

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        has_audio = any(cue.has_audio for cue in self.timeline)
        if not self.has_text and self.edit is None and not has_audio:
            raise UsageError(f"prompt is empty; describe the sound, for example {EXAMPLE_PROMPT}")
        return self

    @property
    def has_text(self) -> bool:
        """Whether there is a prompt, in the request or in a cue."""
        return bool(self.prompt.strip()) or any(cue.text.strip() for cue in self.timeline)

    @property
    def display_text(self) -> str:
        """The prompt, or the prompts of all cues if the request has none of its own."""
        if self.prompt.strip():
            return self.prompt
        return ", then ".join(cue.text for cue in self.timeline if cue.text.strip())

    @property
    def can_guide(self) -> bool:
        """Whether guidance has a condition: prompt, transcript, audio prompt or context."""
        if self.has_text or self.transcript or any(cue.has_audio for cue in self.timeline):
            return True
        return self.edit is not None and self.edit.continues_source

    @property
    def makes_loop(self) -> bool:
        """Whether the output is a loop."""
        return bool(self.loop_seam or (self.edit and self.edit.loop_seam_duration))

    def with_defaults(self, defaults: Mapping[str, Any]) -> GenerationOptions:
        """Return the request with every option set.

        Args:
            defaults: The model's values for options that the caller did not set. They are valid:
                only their combination is checked.

        Raises:
            UsageError: If values contradict each other.
        """
        values: dict[str, Any] = {}
        for name in GenerationOptions.model_fields:
            own = getattr(self, name)
            values[name] = own if name in self.model_fields_set else defaults.get(name, own)
        if self.seed < 0:
            values["seed"] = secrets.randbelow(2**_SEED_BITS)
        complete = self.model_copy(update=values)
        complete.check_consistency()
        return complete

    def check_consistency(self) -> None:
        """Raise `UsageError` if values of a complete request contradict each other."""
        sampler = SAMPLERS[self.sampler]
        if self.eta > 0 and not sampler.uses_eta:
            raise UsageError(
                f"eta = {self.eta} has no effect with sampler {self.sampler!r}; "
                "choose sampler 'ddim' or set eta to 0"
            )
        if self.loop_seam and self.edit is not None:
            raise UsageError(
                "loop_seam and an edit exclude each other; apply the edit loop to the edited clip"
            )
        longest = self.duration - MIN_LOOP_SEAM_S
        if self.loop_seam and not MIN_LOOP_SEAM_S < self.loop_seam < longest:
            raise UsageError(
                f"loop_seam = {self.loop_seam:g} s; set above {MIN_LOOP_SEAM_S} s and below "
                f"{longest:g} s for a clip of {self.duration:g} s"
            )
        if self.makes_loop and (self.trim_silence or self.fade_in or self.fade_out):
            raise UsageError(
                "trim_silence, fade_in and fade_out put a seam into a loop; leave them out"
            )
        if self.edit is not None and not sampler.starts_from_audio:
            raise UsageError(
                f"sampler {self.sampler!r} cannot edit; choose sampler 'dpm++' or 'ddim'"
            )
        if self.guidance_start > self.guidance_stop:
            raise UsageError(
                f"guidance_start = {self.guidance_start:g} is above guidance_stop = "
                f"{self.guidance_stop:g}; to disable guidance, set guidance_scale to 1"
            )

    def replace(self, **changes: Any) -> GenerationOptions:
        """Return the same request with some values changed, validated again."""
        return GenerationOptions(**{**self.set_values(), **changes})

    def to_tags(self) -> dict[str, str]:
        """Return every value as text, for the tags of an audio file; None has no tag."""
        tags: dict[str, str] = {}
        for name, value in self:
            if name not in self.NESTED_FIELDS and value is not None:
                tags[name] = str(value)
        if self.edit:
            edit = {"kind": self.edit.kind, **self.edit.model_dump(exclude_defaults=True)}
            tags["edit"] = json.dumps(edit, ensure_ascii=False)
        if self.timeline:
            cues = [cue.model_dump(exclude_defaults=True) for cue in self.timeline]
            tags["timeline"] = json.dumps(cues, ensure_ascii=False)
        return tags

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> GenerationOptions:
        """Return the request that `to_tags` wrote, today or in version 0.1.

        Args:
            tags: Tags of an audio file; those of other programs are ignored.

        Raises:
            UsageError: If the file has no prompt tag or a damaged one.
        """
        if "prompt" not in tags:
            raise UsageError(
                "the file has no prompt in its tags; only files that latentaudio wrote with tags "
                "can be reproduced"
            )
        upgraded = upgrade_tags(tags)
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            if name in upgraded:
                is_nested = name in cls.NESTED_FIELDS
                values[name] = load_json_tag(name, upgraded[name]) if is_nested else upgraded[name]
        return cls(**values)

    def set_values(self) -> dict[str, Any]:
        """Return the options that the caller set, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class GenerationOverrides(TypedDict, total=False):
    """Keywords of `AudioLDM.generate`: `GenerationOptions` without prompt, model and edit."""

    negative_prompt: str
    transcript: str
    duration: float
    seed: int
    preset: PresetName
    steps: int
    guidance_scale: float
    apg_eta: float
    guidance_start: float
    guidance_stop: float
    guidance_rescale: float
    sampler: SamplerName
    cache_interval: int
    eta: float
    candidates: int
    num_waveforms: int
    timeline: Sequence[PromptCue | Mapping[str, Any]]
    crossfade: float
    loop_seam: float
    lufs: float | None
    true_peak: float | None
    trim_silence: bool
    fade_in: float
    fade_out: float
    stereo_width: float
    sample_rate: int
