"""The verbs of a model over a given sound, each one `edit` with its values. Refuses to know how that is done.

A sound is a file of any rate and number of channels, a clip, or samples [C, N] or [N] at the model's rate. wishes: as for
`generate`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from ..audio.io import Audio
from ..audio.ops import FADE, Samples
from ..config.options import Cue, EditOptions
from ..editing.drawn_mask import named
from ..errors import UsageError
from .timeline import morphing, within

Sound: TypeAlias = Audio | Samples | str | Path
Mask: TypeAlias = NDArray[Any] | str | Path
Spans: TypeAlias = Sequence[tuple[float, float]]

_ENDING = 5  # fades
_OF_A_WHOLE = {
    "count",
    "candidates",
    "loop",
    "lufs",
    "peak",
    "trim",
    "fade_in",
    "fade_out",
    "stereo",
    "rate",
}


class Verbs(ABC):
    """What can be done to a sound. All raise DataError for what is no sound and UsageError for what cannot be done to it.

    What is said to stay to the bit does so where the finish is not asked for: lufs, peak, trim, fades, stereo and rate change
    the whole.
    """

    @abstractmethod
    def edit(
        self, sound: Sound, edit: EditOptions, prompt: str = "", **wishes: Any
    ) -> Iterator[Audio]:
        """Clips of a sound that something was done to, each as soon as it is finished."""

    generate: Callable[..., list[Audio]]
    """Clips of a prompt; see there."""

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Samples a second."""

    @property
    @abstractmethod
    def longest(self) -> float:
        """Seconds of one window."""

    def play(
        self,
        prompt: str = "",
        *,
        seconds: float = math.inf,
        cues: Sequence[Cue] = (),
        seed: int | None = None,
        **wishes: Any,
    ) -> Iterator[Samples]:
        """A sound that grows: samples [1, N] piece by piece, of any length or endless, in the time and memory of one window.

        Each piece goes on from the half window before it, as `extend` does, the k-th with seed + k. cues: of a score, in order.
        Raises UsageError for what only a whole clip can have.
        """
        if unfit := _OF_A_WHOLE & wishes.keys():
            raise UsageError(
                f"what grows has no whole to be finished or chosen; leave out {min(unfit)}"
            )
        if wishes.get("sampler") == "leaps" or wishes.get("preset") == "draft":
            raise UsageError(
                "a student takes leaps from noise only, and what grows goes on from sound; choose another preset"
            )
        return self._grown(prompt, seconds, cues, seed, wishes)

    def _grown(
        self,
        prompt: str,
        seconds: float,
        cues: Sequence[Cue],
        seed: int | None,
        wishes: dict[str, Any],
    ) -> Iterator[Samples]:
        rate, fade, half = (
            self.sample_rate,
            round(FADE * self.sample_rate),
            round(self.longest / 2 * self.sample_rate),
        )
        last = seconds <= self.longest
        first, crossfade = (
            {"cues": within(cues, 0.0, min(seconds, self.longest)), "seed": seed},
            wishes.get("crossfade", 1.0),
        )
        [clip] = self.generate(prompt, seconds=min(seconds, self.longest), **first, **wishes)
        whole = (
            clip.samples if last else clip.samples[:, : -_ENDING * fade]
        )  # an ending is no beginning
        yield whole if last else whole[:, :-fade]
        done, total, piece = whole.shape[1], seconds * rate, 0
        while done + 1 <= total:
            piece, given = piece + 1, whole[:, -half:]
            size, at = round(min(half, total - done)), (done - given.shape[1]) / rate
            now = within(cues, at, at + (given.shape[1] + size) / rate, crossfade)
            how = {**wishes, "cues": now, "seed": (clip.seed + piece) % 2**63}
            [made] = self.edit(given, EditOptions(verb="extend", right=size / rate), prompt, **how)
            whole, done = made.samples, done + size
            yield whole[:, given.shape[1] - fade : None if done + 1 > total else -fade]

    def morph(
        self, first: Sound, second: Sound, *, seconds: float = 10.0, **wishes: Any
    ) -> list[Audio]:
        """A sound that begins as one thing and ends as another. Each is words, or a sound; text that names a file is a
        sound."""
        return self.generate(**{**morphing(first, second, seconds), **wishes})

    def transfer(
        self, sound: Sound, prompt: str, *, strength: float = 0.5, **wishes: Any
    ) -> list[Audio]:
        """The sound made into what the prompt says. strength: 0 leaves it (through the codec), 1 makes another from nothing."""
        return list(
            self.edit(sound, EditOptions(verb="transfer", strength=strength), prompt, **wishes)
        )

    def vary(
        self, sound: Sound, prompt: str = "", *, amount: float = 0.4, **wishes: Any
    ) -> list[Audio]:
        """Sounds like the sound; `count` of them. amount: as `strength` of a transfer."""
        return list(self.edit(sound, EditOptions(verb="vary", strength=amount), prompt, **wishes))

    def inpaint(
        self,
        sound: Sound,
        prompt: str = "",
        *,
        times: Spans = (),
        bands: Spans = (),
        mask: Mask = "",
        context: bool | None = None,
        **wishes: Any,
    ) -> list[Audio]:
        """The sound with spans of time (s) made anew, or bands (Hz), or bands within spans, or what is white in a picture
        (`audio.drawing`; a file, or [rows, columns], the top row first). The rest stays to the bit, but for 20 ms beside each
        span. context: the language of audio goes on from what the sound says, not from the prompt alone."""
        edit = EditOptions(
            verb="inpaint",
            times=tuple(times),
            bands=tuple(bands),
            mask=named(mask),
            context=context,
        )
        return list(self.edit(sound, edit, prompt, **wishes))

    def upsample(
        self, sound: Sound, prompt: str = "", *, cutoff: float, **wishes: Any
    ) -> list[Audio]:
        """The sound with all above `cutoff` Hz made anew; what lies below stays."""
        return list(self.edit(sound, EditOptions(verb="upsample", cutoff=cutoff), prompt, **wishes))

    def extend(
        self,
        sound: Sound,
        prompt: str = "",
        *,
        left: float = 0.0,
        right: float = 0.0,
        context: bool | None = None,
        **wishes: Any,
    ) -> list[Audio]:
        """The sound with seconds put before and behind it. It stays to the bit, but for 20 ms at its old ends. context: as for
        `inpaint`, in-context continuation (arXiv 2308.05734)."""
        return list(
            self.edit(
                sound,
                EditOptions(verb="extend", left=left, right=right, context=context),
                prompt,
                **wishes,
            )
        )

    def loop(
        self, sound: Sound, prompt: str = "", *, seam: float = 1.0, **wishes: Any
    ) -> list[Audio]:
        """The sound made to go round without a seam: `seam` seconds around its ends are made anew, half at each."""
        return list(self.edit(sound, EditOptions(verb="loop", seam=seam), prompt, **wishes))
