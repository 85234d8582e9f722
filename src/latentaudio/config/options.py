"""What can be asked for: one object with four faces (Python keywords, command-line flags, REST schema, file tags). Torch-free.

Knows names, meanings and limits that hold for every model. Refuses to know models: their defaults and longest clips are in
`variants`, and come in through `completed`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from ..errors import UsageError
from .presets import PresetName

SamplerName: TypeAlias = Literal["ddim", "dpm++", "leaps"]

Verb: TypeAlias = Literal["transfer", "inpaint", "upsample", "extend", "vary", "loop"]
Span: TypeAlias = tuple[float, float]
Ear: TypeAlias = Literal["", "loa", "clap"]

_MEANS: dict[Verb, set[str]] = {
    "transfer": {"strength"}, "vary": {"strength"}, "inpaint": {"times", "bands", "mask", "context"}, "upsample": {"cutoff"},
    "extend": {"left", "right", "context"}, "loop": {"seam", "context"},
}  # fmt: skip
LONGEST_TEXT = 2000
_NESTED = {"cues", "edit"}  # written as JSON in tags
_EXAMPLE = "'a church bell ringing in the distance'"


class _OneLine(BaseModel):
    """Immutable; a wrong value raises `UsageError` with one line, however the object is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_line(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(given)
        except ValidationError as problem:
            raise UsageError(_one_line(problem, cls)) from None


class EditOptions(_OneLine):
    """What is done to a given sound. Times are seconds of the sound that comes out, frequencies Hz."""

    verb: Verb = Field(description="What is done.")
    sound: str = Field(
        "", description="The sound's file, as it was named; empty where samples were given."
    )
    samples: str = Field("", description="SHA-256 of its samples at the model's rate, in float32.")
    strength: float = Field(
        1.0, ge=0, le=1, description="How much of it is made anew: 0 nothing, 1 everything."
    )
    times: tuple[Span, ...] = Field((), description="Spans that are made anew.")
    bands: tuple[Span, ...] = Field((), description="Bands that are made anew.")
    mask: str = Field(
        "",
        description="A picture over the sound, white where it is made anew: its file, or itself as a data URL.",
    )
    pixels: str = Field("", description="SHA-256 of its pixels.")
    cutoff: float = Field(
        0.0, ge=0, description="Above this everything is made anew; 0: nothing is said."
    )
    left: float = Field(0.0, ge=0, le=600, description="Seconds put before it.")
    right: float = Field(0.0, ge=0, le=600, description="Seconds put behind it.")
    seam: float = Field(
        0.0,
        ge=0,
        le=600,
        description="Seconds made anew around the place where its end meets its beginning.",
    )

    context: bool | None = Field(
        None,
        description="The language of audio goes on from what the sound says, not from the prompt alone; None: where it can.",
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        said = {
            name
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.default
        }
        foreign = said - _MEANS[self.verb] - {"verb", "sound", "samples", "pixels"}
        if foreign:
            raise UsageError(f"{min(foreign)} means nothing to {self.verb}; leave it out")
        if self.mask and (self.times or self.bands):
            raise UsageError(
                "a mask says all of what is made anew; leave out times and bands, or the mask"
            )
        return self


class Cue(_OneLine):
    """What is heard from a time on, until the next cue; cues of one time are heard together."""

    at: float = Field(0.0, ge=0, le=600, description="From when on, in seconds.")
    text: str = Field("", max_length=LONGEST_TEXT, description="What to hear; empty: the prompt.")
    share: float = Field(
        1.0, gt=0, le=100, description="How much of it, beside others of the same time."
    )
    sound: str = Field(
        "", description="A sound's file, to be heard like the text; empty where there is none."
    )
    samples: str = Field("", description="SHA-256 of its samples at the model's rate, in float32.")
    by: Ear = Field(
        "",
        description="What is taken from it: its language of audio (loa) or CLAP's vector (clap).",
    )
    since: float = Field(0.0, ge=0, description="Seconds of its sound that were heard before.")
    weight: float = Field(
        1.0, ge=0, le=1, description="How much of the sound against the text: 1 is the sound alone."
    )

    @property
    def sounding(self) -> bool:
        """Whether there is a sound in it."""
        return bool(self.sound or self.samples)


class Options(_OneLine):
    """One request. Immutable; a wrong value raises `UsageError` with one line, however the object is made.

    Values nobody gave are defaults of this table until `completed` puts a model's own in their place.
    """

    prompt: str = Field(description="What to hear, in English.")
    negative: str = Field("", description="What not to hear.")
    transcript: str = Field(
        "",
        description="What a voice says, for models of speech; the prompt then describes the voice.",
    )
    seconds: float = Field(5.0, ge=0.1, le=600, description="Length of the clip in seconds.")
    seed: int = Field(
        -1, ge=-1, lt=2**63, description="Same seed, same sound; -1 draws one and tells which."
    )
    model: str = Field("mini", description="Name or folder of a model, or a run folder.")
    preset: PresetName = Field(
        "quality",
        description="How much time a clip is worth: paper, quality, balanced, fast, draft.",
    )
    steps: int = Field(25, ge=1, le=1000, description="Sampling steps: more is slower and finer.")
    guidance: float = Field(
        3.0, ge=0, le=100, description="How strongly the prompt pulls; 1 is no guidance."
    )
    parallel: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share kept of guidance that only raises contrast; 1 is all of it.",
    )
    guidance_start: float = Field(
        0.0, ge=0, le=1, description="Where guidance begins on the way from noise, 0, to sound, 1."
    )
    guidance_stop: float = Field(1.0, ge=0, le=1, description="Where guidance ends on that way.")
    rescale: float = Field(
        0.0, ge=0, le=1, description="How far strong guidance is kept from over-driving the result."
    )
    sampler: SamplerName = Field(
        "dpm++",
        description="How noise becomes sound: dpm++ for few steps, ddim as published, leaps by a model's student.",
    )
    reuse: int = Field(
        1,
        ge=1,
        le=20,
        description="Steps that share the deep part of the UNet: 2 computes it every other step.",
    )
    eta: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Fresh noise in every ddim step: 0 none, 1 as the authors sampled.",
    )
    candidates: int = Field(
        1,
        ge=1,
        le=64,
        description="Clips made for each one kept; the best match to the prompt wins.",
    )
    count: int = Field(1, ge=1, le=1000, description="How many clips to keep.")
    cues: tuple[Cue, ...] = Field(
        (), max_length=1000, description="What is heard when; without it the prompt all the time."
    )
    crossfade: float = Field(
        1.0, ge=0, le=600, description="Seconds over which one cue becomes the next."
    )
    loop: float = Field(
        0.0,
        ge=0,
        le=600,
        description="Seconds made anew so that the clip goes round without a seam; 0: none.",
    )
    lufs: float | None = Field(
        None,
        ge=-70,
        le=0,
        description="Integrated loudness in LUFS; where none is given it is left.",
    )
    peak: float | None = Field(
        None,
        ge=-60,
        le=0,
        description="True peak in dBTP that is not exceeded; with lufs it is -1.",
    )
    trim: bool = Field(
        False, description="Cut silence off both ends: all below -60 dB of the peak, but for 10 ms."
    )
    fade_in: float = Field(
        0.0, ge=0, le=600, description="Seconds over which the clip rises from nothing."
    )
    fade_out: float = Field(
        0.0, ge=0, le=600, description="Seconds over which the clip falls to nothing."
    )
    stereo: float = Field(
        0.0, ge=0, le=1, description="Width of a stereo made of two passes: 0 one channel, 1 wide."
    )
    rate: int = Field(
        0, ge=0, le=192_000, description="Samples a second by resampling; 0: the model's own."
    )
    edit: EditOptions | None = Field(
        None, description="What is done to a given sound; without it one is made from nothing."
    )

    @field_validator("prompt", "negative", "transcript")
    @classmethod
    def _length(cls, text: str) -> str:
        if any(
            "\ud800" <= letter <= "\udfff" for letter in text
        ):  # how Python keeps bytes of a command line that are not UTF-8
            raise ValueError("holds bytes that are not UTF-8; write it again in UTF-8")
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"has {len(text)} characters; say it in at most {LONGEST_TEXT}")
        return text

    @field_validator("rate")
    @classmethod
    def _audible(cls, rate: int) -> int:
        if 0 < rate < 8000:
            raise ValueError(f"= {rate} must be 8000 to 192000, or 0 for the model's own")
        return rate

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.worded and self.edit is None and not any(cue.sounding for cue in self.cues):
            raise UsageError(f"prompt is empty; say what to hear, for example {_EXAMPLE}")
        return self

    @property
    def worded(self) -> bool:
        """Whether anything is said in words."""
        return bool(self.prompt.strip()) or any(cue.text.strip() for cue in self.cues)

    @property
    def title(self) -> str:
        """The prompt, or where there is none all that is said."""
        return (
            self.prompt
            if self.prompt.strip()
            else ", then ".join(cue.text for cue in self.cues if cue.text.strip())
        )

    @property
    def guidable(self) -> bool:
        """Whether there is anything to be guided towards: words, what a voice says, or a sound."""
        sounding = any(cue.sounding for cue in self.cues) or bool(self.edit and self.edit.context)
        return self.worded or bool(self.transcript) or sounding

    def completed(self, defaults: Mapping[str, Any]) -> Options:
        """Every value that was not given replaced by the model's default, and seed -1 by the seed that will be used."""
        seed = self.seed if self.seed >= 0 else secrets.randbelow(2**31)
        whole = Options(
            **{**self.model_dump(), **defaults, **self.model_dump(exclude_unset=True), "seed": seed}
        )
        whole.check_together()
        return whole

    def check_together(self) -> None:
        """Raise `UsageError` where values contradict each other; only a complete request can tell."""
        if self.eta > 0 and self.sampler != "ddim":
            raise UsageError(
                f"eta = {self.eta} means nothing to sampler '{self.sampler}'; choose 'ddim' or eta 0"
            )
        if self.loop and self.edit is not None:
            raise UsageError("an edit is no loop; give what it made to the verb loop")
        if self.loop and not 0.04 < self.loop < self.seconds - 0.04:
            raise UsageError(
                f"loop = {self.loop:g} s; give between 0.04 s and less than the clip, which lasts {self.seconds:g} s"
            )
        loops = self.loop or (self.edit is not None and self.edit.verb == "loop")
        if loops and (self.trim or self.fade_in or self.fade_out):
            raise UsageError(
                "a loop that is trimmed or faded has a seam again; leave out trim, fade_in and fade_out"
            )
        if self.edit is not None and self.sampler == "leaps":
            raise UsageError(
                "a student takes leaps from noise only; for an edit choose sampler dpm++ or ddim"
            )
        start, stop = self.guidance_start, self.guidance_stop
        if start > stop:
            raise UsageError(
                f"guidance_start = {start:g} lies behind guidance_stop = {stop:g}; for no guidance set guidance to 1"
            )

    def replaced(self, **changes: Any) -> Options:
        """The same request with some values changed, checked again."""
        return Options(**{**self.model_dump(exclude_unset=True), **changes})

    def to_tags(self) -> dict[str, str]:
        """Every value as text, for the tags of a sound file; None has no tag."""
        known = {
            name: str(value) for name, value in self if name not in _NESTED and value is not None
        }
        if self.edit:
            known["edit"] = self.edit.model_dump_json(exclude_defaults=True)
        if self.cues:
            known["cues"] = json.dumps(
                [cue.model_dump(exclude_defaults=True) for cue in self.cues], ensure_ascii=False
            )
        return known

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Options:
        """The request that `to_tags` wrote; foreign tags are ignored, a file without a prompt raises `UsageError`."""
        if "prompt" not in tags:
            raise UsageError(
                "the file carries no prompt in its tags; only files latentaudio wrote with tags can be replayed"
            )
        given: dict[str, Any] = {name: tags[name] for name in cls.model_fields if name in tags}
        for name in _NESTED & given.keys():
            try:
                given[name] = json.loads(given[name])
            except ValueError:
                raise UsageError(
                    f"the tag {name!r} is damaged; this file cannot be replayed"
                ) from None
        return cls(**given)


def _one_line(problem: ValidationError, kind_of: type[BaseModel]) -> str:
    """The first thing wrong with a request: which value, what it was, what it may be."""
    first = problem.errors(include_url=False)[0]
    name, kind, limits = (
        ".".join(str(part) for part in first["loc"]) or "options",
        first["type"],
        first.get("ctx", {}),
    )
    match kind:
        case "value_error":
            return f"{name} {limits['error']}"
        case "missing":
            return f"{name} is missing; say what to hear, for example {_EXAMPLE}"
        case "extra_forbidden":
            return f"there is no option {name!r}; there are: {', '.join(n for n in kind_of.model_fields if n not in _NESTED)}"
        case "greater_than_equal":
            rule = f"must be at least {limits['ge']:g}"
        case "less_than_equal":
            rule = f"must be at most {limits['le']:g}"
        case "less_than":
            rule = f"must be below {limits['lt']}"
        case "finite_number":
            rule = "must be a finite number"
        case "float_parsing" | "float_type":
            rule = "must be a number"
        case "int_parsing" | "int_type" | "int_from_float":
            rule = "must be a whole number"
        case "string_type":
            rule = "must be text"
        case "bool_parsing" | "bool_type":
            rule = "must be yes or no"
        case "literal_error":
            rule = f"must be one of {limits['expected']}"
        case _:
            rule = first["msg"][0].lower() + first["msg"][1:]
    return f"{name} = {repr(first['input'])[:60]} {rule}"
