"""Options of edits: one class for each kind of edit, told apart by the field `kind`.

Times are seconds of the output, frequencies are Hz. `editing.plan.EDITS` names the file of each
class. Other code asks an edit through the members of `EditOptions`, never by its class. Torch-free.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from ..errors import UsageError
from .option_table import EDIT_OPTIONS
from .strict_model import StrictModel, option_field

TimeRange: TypeAlias = tuple[float, float]
"""Start and end in seconds."""
FrequencyRange: TypeAlias = tuple[float, float]
"""Lowest and highest frequency in Hz."""


class EditOptions(StrictModel):
    """Base of all edits: the clip that is edited, and what other code asks of an edit.

    Attributes:
        needs_prompt: Whether a prompt or a transcript must describe the result.
        kind: The kind of edit; fixed by each subclass.
        source_path: Path of the clip's file, as it was given; "" for samples in memory.
        source_sha256: SHA-256 of its samples at the model's rate, float32.
    """

    needs_prompt: ClassVar[bool] = False

    kind: str = Field(description="Kind of edit.")
    source_path: str = Field("", description="Path of the clip; empty if samples were given.")
    source_sha256: str = Field(
        "", description="SHA-256 of the clip's samples at the model's rate, float32."
    )

    @property
    def continues_source(self) -> bool:
        """Whether the language of audio of the result continues that of the clip."""
        return False

    @property
    def loop_seam_duration(self) -> float:
        """Seconds around the loop point that are regenerated; 0 if the result is no loop."""
        return 0.0

    @property
    def mask_image(self) -> str:
        """Drawn mask, as a path or a data URL; "" if there is none."""
        return ""

    @property
    def mask_image_sha256(self) -> str:
        """Checksum of the drawn mask; "" if it is not known yet."""
        return ""

    def added_samples(self, sample_rate: int) -> tuple[int, int]:
        """Return how many samples are added before and after the clip."""
        return 0, 0

    def with_context_default(self, is_default: bool) -> Self:
        """Return the edit with `in_context` set, if it has that option and does not set it."""
        return self


class TransferOptions(EditOptions):
    """Turn a clip into the sound that the prompt describes (SDEdit, arXiv 2108.01073).

    Attributes:
        strength: Share of the way to noise that is sampled again: 0 returns the clip through the
            codec, 1 a new clip.
    """

    needs_prompt: ClassVar[bool] = True

    kind: Literal["transfer"] = Field("transfer", description="Kind of edit.")
    strength: float = option_field(EDIT_OPTIONS["transfer_strength"])


class VaryOptions(EditOptions):
    """Generate variations of a clip.

    Attributes:
        strength: As for a transfer.
    """

    kind: Literal["vary"] = Field("vary", description="Kind of edit.")
    strength: float = option_field(EDIT_OPTIONS["vary_strength"])


class ContextEditOptions(EditOptions):
    """Base of the edits that keep a part of the clip, by which the rest can be conditioned.

    Attributes:
        in_context: Whether the language of audio continues that of the clip; None: if the model
            can.
    """

    in_context: bool | None = option_field(EDIT_OPTIONS["in_context"])

    @property
    def continues_source(self) -> bool:
        """Whether `in_context` is set to true."""
        return bool(self.in_context)

    def with_context_default(self, is_default: bool) -> Self:
        """Return the edit with `in_context` set."""
        if self.in_context is not None:
            return self
        return self.model_copy(update={"in_context": is_default})


class InpaintOptions(ContextEditOptions):
    """Regenerate time ranges, frequency ranges, or the white part of a mask.

    Attributes:
        time_ranges: Ranges in seconds that are regenerated. With `frequency_ranges`: only those
            frequencies of them.
        frequency_ranges: Ranges in Hz that are regenerated.
        mask: An image over the whole spectrogram, white where it is regenerated: its path, or
            itself as a data URL.
        mask_sha256: SHA-256 of its size and pixels.
    """

    kind: Literal["inpaint"] = Field("inpaint", description="Kind of edit.")
    time_ranges: tuple[TimeRange, ...] = Field(
        (), description="Ranges in seconds that are regenerated."
    )
    frequency_ranges: tuple[FrequencyRange, ...] = Field(
        (), description="Ranges in Hz that are regenerated."
    )
    mask: str = Field(
        "", description="Image of the spectrogram, white where it is regenerated: path or data URL."
    )
    mask_sha256: str = Field("", description="SHA-256 of the mask's size and pixels.")

    @property
    def mask_image(self) -> str:
        """The mask."""
        return self.mask

    @property
    def mask_image_sha256(self) -> str:
        """Checksum of the mask."""
        return self.mask_sha256

    @model_validator(mode="after")
    def _reject_mask_with_ranges(self) -> Self:
        if self.mask and (self.time_ranges or self.frequency_ranges):
            raise UsageError(
                "a mask excludes time_ranges and frequency_ranges; leave out the mask or the ranges"
            )
        return self


class SuperResolveOptions(EditOptions):
    """Regenerate everything above a cutoff frequency (audio super-resolution).

    Attributes:
        cutoff_hz: Frequency in Hz above which the clip is regenerated.
    """

    kind: Literal["super_resolve"] = Field("super_resolve", description="Kind of edit.")
    cutoff_hz: float = option_field(EDIT_OPTIONS["cutoff_hz"])


class ExtendOptions(ContextEditOptions):
    """Add generated audio before or after a clip.

    Attributes:
        before: Seconds added before it.
        after: Seconds added after it.
    """

    kind: Literal["extend"] = Field("extend", description="Kind of edit.")
    before: float = option_field(EDIT_OPTIONS["before"])
    after: float = option_field(EDIT_OPTIONS["after"])

    def added_samples(self, sample_rate: int) -> tuple[int, int]:
        """Return how many samples are added before and after the clip."""
        return round(self.before * sample_rate), round(self.after * sample_rate)


class LoopOptions(ContextEditOptions):
    """Regenerate the ends of a clip so that it repeats without a seam.

    Attributes:
        loop_seam: Seconds regenerated around the loop point, half of them at each end.
    """

    kind: Literal["loop"] = Field("loop", description="Kind of edit.")
    loop_seam: float = option_field(EDIT_OPTIONS["loop_seam"])

    @property
    def loop_seam_duration(self) -> float:
        """Seconds around the loop point that are regenerated."""
        return self.loop_seam


AnyEdit: TypeAlias = Annotated[
    TransferOptions
    | VaryOptions
    | InpaintOptions
    | SuperResolveOptions
    | ExtendOptions
    | LoopOptions,
    Field(discriminator="kind"),
]
"""Any of the edits, as pydantic reads it from JSON."""
