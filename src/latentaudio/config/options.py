"""Options of a generation request, as keywords, flags and tags in audio files.

Limits here hold for every model. A model's own defaults and limits are in `config.registry` and are
applied by `generation.resolve`. Torch-free.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypedDict

from pydantic import field_validator, model_validator

from ..errors import UsageError
from .edits import AnyEdit
from .levels import Normalization
from .option_table import CUE_OPTIONS, MAX_PROMPT_CHARS, OPTIONS
from .presets import PresetName
from .samplers import SAMPLERS, SamplerName
from .strict_model import StrictModel, option_field
from .tags import load_json_tag, upgrade_tags
from .validation import EXAMPLE_PROMPT

AudioPromptMode: TypeAlias = Literal["", "loa", "clap"]

MAX_SEED = 2**63
"""Seeds are whole numbers below this."""
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

    start: float = option_field(CUE_OPTIONS["start"])
    text: str = option_field(CUE_OPTIONS["text"])
    weight: float = option_field(CUE_OPTIONS["weight"])
    audio_prompt: str = option_field(CUE_OPTIONS["audio_prompt"])
    audio_prompt_sha256: str = option_field(CUE_OPTIONS["audio_prompt_sha256"])
    audio_prompt_mode: AudioPromptMode = option_field(CUE_OPTIONS["audio_prompt_mode"])
    audio_prompt_offset: float = option_field(CUE_OPTIONS["audio_prompt_offset"])
    audio_prompt_weight: float = option_field(CUE_OPTIONS["audio_prompt_weight"])

    @property
    def has_audio(self) -> bool:
        """Whether the cue has an audio prompt."""
        return bool(self.audio_prompt or self.audio_prompt_sha256)


class GenerationOptions(StrictModel):
    """One request. Immutable; a wrong value raises `UsageError` with one line.

    `config.option_table` has the default, range and meaning of every option. An option that is not
    set has that default until `with_defaults` applies the model's own.
    """

    NESTED_FIELDS: ClassVar[frozenset[str]] = frozenset({"timeline", "edit"})

    prompt: str = option_field(OPTIONS["prompt"])
    negative_prompt: str = option_field(OPTIONS["negative_prompt"])
    transcript: str = option_field(OPTIONS["transcript"])
    duration: float = option_field(OPTIONS["duration"])
    seed: int = option_field(OPTIONS["seed"])
    model: str = option_field(OPTIONS["model"])
    preset: PresetName = option_field(OPTIONS["preset"])
    steps: int = option_field(OPTIONS["steps"])
    guidance_scale: float = option_field(OPTIONS["guidance_scale"])
    apg_eta: float = option_field(OPTIONS["apg_eta"])
    guidance_start: float = option_field(OPTIONS["guidance_start"])
    guidance_stop: float = option_field(OPTIONS["guidance_stop"])
    guidance_interval: int = option_field(OPTIONS["guidance_interval"])
    guidance_rescale: float = option_field(OPTIONS["guidance_rescale"])
    sampler: SamplerName = option_field(OPTIONS["sampler"])
    cache_interval: int = option_field(OPTIONS["cache_interval"])
    eta: float = option_field(OPTIONS["eta"])
    candidates: int = option_field(OPTIONS["candidates"])
    num_waveforms: int = option_field(OPTIONS["num_waveforms"])
    timeline: tuple[PromptCue, ...] = option_field(OPTIONS["timeline"])
    crossfade: float = option_field(OPTIONS["crossfade"])
    loop_seam: float = option_field(OPTIONS["loop_seam"])
    normalize: Normalization = option_field(OPTIONS["normalize"])
    lufs: float | None = option_field(OPTIONS["lufs"])
    true_peak: float | None = option_field(OPTIONS["true_peak"])
    trim_silence: bool = option_field(OPTIONS["trim_silence"])
    fade_in: float = option_field(OPTIONS["fade_in"])
    fade_out: float = option_field(OPTIONS["fade_out"])
    stereo_width: float = option_field(OPTIONS["stereo_width"])
    sample_rate: int = option_field(OPTIONS["sample_rate"])
    edit: AnyEdit | None = option_field(OPTIONS["edit"])

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
    def num_seeds(self) -> int:
        """How many seeds it uses: one for each candidate of each clip."""
        return self.num_waveforms * self.candidates

    def seed_after(self, count: int) -> int:
        """Return the seed `count` behind that of the request; behind the last is the first."""
        return (self.seed + count) % MAX_SEED

    @property
    def loop_seam_duration(self) -> float:
        """Seconds around the loop point that are regenerated; 0 if the output is no loop."""
        return self.loop_seam or (self.edit.loop_seam_duration if self.edit else 0.0)

    @property
    def edit_kind(self) -> str:
        """Kind of the edit, or "" for a generation."""
        return self.edit.kind if self.edit else ""

    @property
    def input_files(self) -> list[str]:
        """Paths of all files that the request reads."""
        names = [cue.audio_prompt for cue in self.timeline]
        if self.edit is not None:
            names += [self.edit.source_path, self.edit.mask_image]
        return [name for name in names if name and not name.startswith("data:")]

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
        if self.loop_seam_duration and (self.trim_silence or self.fade_in or self.fade_out):
            raise UsageError(
                "trim_silence, fade_in and fade_out put a seam into a loop; leave them out"
            )
        if self.edit is not None and not sampler.starts_from_audio:
            raise UsageError(
                f"sampler {self.sampler!r} cannot edit; choose sampler 'dpm++' or 'ddim'"
            )
        if self.lufs is not None and self.normalize != "none":
            raise UsageError(
                f"lufs = {self.lufs:g} and normalize = {self.normalize!r} both set the level; "
                "leave one of them out"
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
        values.setdefault("normalize", "none")  # earlier versions left the level as it was
        return cls(**values)

    def has_made(self, tags: Mapping[str, str]) -> bool:
        """Return whether a file with these tags is a clip of this request, of any seed.

        Its texts and the kind of its edit decide.
        """
        try:
            stored = GenerationOptions.from_tags(tags)
        except UsageError:
            return False
        return (stored.display_text, stored.transcript, stored.edit_kind) == (
            self.display_text,
            self.transcript,
            self.edit_kind,
        )

    def set_values(self) -> dict[str, Any]:
        """Return the options that the caller set, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def make_requests(prompts: Sequence[str], overrides: Mapping[str, Any]) -> list[GenerationOptions]:
    """Return one request for each prompt.

    Args:
        prompts: Prompts.
        overrides: Options of all of them. The first request has the seed; those behind it follow
            when they are resolved.

    Raises:
        UsageError: There is no prompt, or an option is wrong.
    """
    if not prompts:
        raise UsageError("there is no prompt; give at least one")
    requests = [GenerationOptions(prompt=prompts[0], **overrides)]
    without_seed = {name: value for name, value in overrides.items() if name != "seed"}
    for prompt in prompts[1:]:
        requests.append(GenerationOptions(prompt=prompt, **without_seed))
    return requests


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
    guidance_interval: int
    guidance_rescale: float
    sampler: SamplerName
    cache_interval: int
    eta: float
    candidates: int
    num_waveforms: int
    timeline: Sequence[PromptCue | Mapping[str, Any]]
    crossfade: float
    loop_seam: float
    normalize: Normalization
    lufs: float | None
    true_peak: float | None
    trim_silence: bool
    fade_in: float
    fade_out: float
    stereo_width: float
    sample_rate: int
