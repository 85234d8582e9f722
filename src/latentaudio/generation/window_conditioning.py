"""What every window of a batch hears: prompts, cues of a score and sounds as readings, and readings as conditionings.

Knows requests, windows of a latent and which readings were heard lately. Refuses to know how a reading becomes numbers and
what is done with them.

Letters: T' cells of a latent, K cues.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from threading import Lock
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import torch

from ..audio.ops import Samples
from ..codec import SHARED, Codec
from ..conditioning.base import Reading, Sounding, TextParts, encode
from ..config.options import Cue, Options
from ..loaders.component_store import Parts
from ..loaders.resolve import Found
from ..loaders.text_encoders import read_texts
from ..models.tiling import starts
from ..types import Conditioning, WeightedConditioning
from .timeline import shares

_KEPT = 64  # readings remembered
_SMOOTH = 2  # cells to either side
Pair: TypeAlias = tuple[Reading, Reading, "torch.Tensor | None"]
"""What is heard, what guidance steers away from, and its share of each cell of a window; None: there is nothing else."""


class Hearing:
    """The ears of one system. Parts are asked for at every use."""

    def __init__(self, found: Found, parts: Parts, codec: Codec) -> None:
        self.found, self.config, self.parts, self.codec = found, found.config, parts, codec
        self._heard: dict[Reading, Conditioning] = {}
        self._heard_by, self._reading = 0, Lock()

    @cached_property
    def text(self) -> TextParts:
        """Whatever reads prompts."""
        found = self.found
        return read_texts(
            found.folder, self.config, self.parts, layout=found.layout, fidelity=found.fidelity
        )

    def scale(self, options: Options) -> float:
        """How strongly guidance pulls; 1 is none."""
        return options.guidance if options.guidance > 1.0 or self.found.fidelity.weak else 1.0

    def places(self, frames: int) -> list[int]:
        """The cells at which windows of a latent of so many mel frames begin."""
        return starts(
            frames // self.config.vae.factor, self.codec.window, self.codec.window // SHARED
        )

    @torch.inference_mode()
    def voices(
        self,
        batches: Sequence[Sequence[Options]],
        sounds: Mapping[str, Samples] = MappingProxyType({}),
        known: Sequence[Sounding | None] | None = None,
    ) -> list[list[list[WeightedConditioning]]]:
        """Of each batch, for each window of its latent, what is heard there. Readings that were heard lately are not read
        again.

        sounds: samples [1, N] of the cues' sounds, by their checksums. known: the sound that each batch works on, told by cell
        of time.
        """
        asked = [
            self._windows(batch, sounds, told)
            for batch, told in zip(batches, known or [None] * len(batches), strict=True)
        ]
        wanted = dict.fromkeys(
            one for windows in asked for pairs in windows for pair in pairs for one in pair[:2]
        )
        with self._reading:
            if self._heard_by != self.parts.changes:
                self._heard.clear()
                self._heard_by = self.parts.changes
            new = [reading for reading in wanted if reading not in self._heard]
            heard = {
                reading: self._heard.pop(reading) for reading in wanted if reading in self._heard
            }
            heard |= zip(new, encode(self.text, new) if new else (), strict=True)
            self._heard |= {
                _light(reading): said for reading, said in heard.items()
            }  # the latest last
            for old in list(self._heard)[:-_KEPT]:
                del self._heard[old]
        return [
            [[WeightedConditioning(heard[a], heard[b], share) for a, b, share in pairs] for pairs in windows]
            for windows in asked
        ]

    def _windows(
        self, batch: Sequence[Options], sounds: Mapping[str, Samples], known: Sounding | None
    ) -> list[list[Pair]]:
        options, factor = batch[0], self.config.vae.factor
        frames = self.codec.frames(options.seconds)
        cells, places = frames // factor, self.places(frames)
        length, second = (
            min(cells, self.codec.window),
            self.config.mel.rate / self.config.mel.hop / factor,
        )
        if not options.cues:
            texts = tuple(t.prompt for t in batch)
            return [
                [(*self._readings(batch, texts, length, self._told(known, place, length)), None)]
                for place in places
            ]
        share = shares(options.cues, options.crossfade, options.seconds, cells, 1.0 / second)
        windows = []
        for place in places:
            pairs: list[Pair] = []
            for cue, part in zip(options.cues, share, strict=True):
                here = torch.from_numpy(part[place : place + length])
                if here.any():
                    texts = tuple(cue.text or t.prompt for t in batch)
                    since = place - int(np.flatnonzero(part)[0]) + round(cue.since * second)
                    sound = self._sounding(cue, sounds, since, length) or self._told(
                        known, place, length
                    )
                    pairs.append((*self._readings(batch, texts, length, sound), here))
            if len(pairs) == 1:
                pairs = [(pairs[0][0], pairs[0][1], None)]
            windows.append(pairs)
        return windows

    def _sounding(
        self, cue: Cue, sounds: Mapping[str, Samples], place: int, length: int
    ) -> Sounding | None:
        """A cue's sound as a window hears it that begins `place` cells behind the cue; a sound that ends begins again."""
        if not cue.sounding:
            return None
        assert cue.by, "a cue that was completed says by what its sound is heard"
        sound, step = sounds[cue.samples][0], self.config.mel.hop * self.config.vae.factor
        if cue.by == "clap":
            return Sounding(cue.samples, "clap", sound, self.config.mel.rate, cue.weight)
        here = np.take(sound, np.arange(place * step, (place + length) * step), mode="wrap")
        sketch = (
            None if self.config.draft is None else partial(self._sketched, here, (True,) * length)
        )
        return Sounding(
            f"{cue.samples} {place}", "loa", here, self.config.mel.rate, cue.weight, sketch=sketch
        )

    def _told(self, known: Sounding | None, place: int, length: int) -> Sounding | None:
        """What a window hears of a sound that is kept in part; None where it holds no whole token of it."""
        if known is None or known.told is None:
            return None
        step, factor = self.config.mel.hop * self.config.vae.factor, self.config.vae.factor
        count, columns = self.tokens(length * factor), self._columns()
        cells = self._token_frames() // factor
        told = []
        for row in range(count // columns):
            begin = place + row * cells
            told += [
                all(known.told[begin : begin + cells]) and begin + cells <= len(known.told)
            ] * columns
        if not any(told):
            return None
        here, kept = (
            known.samples[place * step : (place + length) * step],
            known.told[place : place + length],
        )
        sketch = None if self.config.draft is None else partial(self._sketched, here, kept)
        name = f"{known.name} {place} {''.join('01'[one] for one in kept)}"  # a sketch knows cells, where `told` knows tokens
        return replace(known, name=name, samples=here, told=tuple(told), weight=0.0, sketch=sketch)

    def _sketched(self, sound: Samples, kept: Sequence[bool]) -> torch.Tensor:
        """What stands in for a draft [1, C, T', F'] where nothing is said: the sound without detail, its mean where it is not
        kept."""
        z = self.codec.latent(sound, len(kept) * self.config.vae.factor)
        there = torch.tensor(kept, device=z.device)
        return torch.where(there[:, None], smoothed(z), z[:, :, there].mean(dim=2, keepdim=True))

    def _readings(
        self,
        batch: Sequence[Options],
        texts: tuple[str, ...],
        cells: int,
        sounding: Sounding | None,
    ) -> tuple[Reading, Reading]:
        """A batch's texts and its negative prompts, as a window of so many cells hears them; the texts twice where nothing is
        guided."""
        tokens = self.tokens(cells * self.config.vae.factor)
        said = (
            tuple(t.transcript for t in batch) if batch[0].transcript else None
        )  # shared by all of a batch
        if (
            sounding is None and said is None and not any(text.strip() for text in texts)
        ):  # an edit without words
            unsaid = Reading(texts, tokens, cells, null=True)
            return unsaid, unsaid
        heard = Reading(
            texts, tokens, cells, said, unheard=tuple(self.unheard(batch)), sounding=sounding
        )
        if self.scale(batch[0]) == 1.0:
            return heard, heard
        width = None
        if self.found.fidelity.pad_null and self.text.t5_tokens is not None:
            width = self.text.t5_tokens(texts)[0].shape[1]
        return heard, Reading(
            tuple(t.negative for t in batch), tokens, cells, width=width, null=True
        )

    def unheard(self, batch: Sequence[Options]) -> list[bool]:
        """Which prompts CLAP does not get to read, by their seeds; none but where a fidelity drops some (spec 5.6)."""
        chance = self.found.fidelity.clap_null
        return [
            chance > float(torch.rand(1, generator=torch.Generator().manual_seed(t.seed)))
            for t in batch
        ]

    def tokens(self, frames: int) -> int:
        """Length n of the language of audio of that many frames; a system without an AudioMAE always writes the same."""
        heard, written = self.config.audiomae, self.config.translator
        if heard is None or written is None:
            return written.tokens if written else 0
        return math.ceil(frames / self._token_frames()) * self._columns()

    def _token_frames(self) -> int:
        heard, written = self.config.audiomae, self.config.translator
        assert heard is not None and written is not None
        return heard.patch * written.time_pool

    def _columns(self) -> int:
        heard, written = self.config.audiomae, self.config.translator
        assert heard is not None and written is not None
        return heard.bins // heard.patch // written.freq_pool


def _light(reading: Reading) -> Reading:
    """The same reading, as a key that holds no sound."""
    if reading.sounding is None:
        return reading
    return replace(
        reading, sounding=replace(reading.sounding, samples=np.zeros(0, np.float32), sketch=None)
    )


def smoothed(z: torch.Tensor) -> torch.Tensor:
    """A latent [B, C, T', F'] without what happens within some 0.1 s: means over 5 cells under a Hann window."""
    window = torch.hann_window(2 * _SMOOTH + 3, periodic=False)[1:-1].to(z)
    lanes = z.transpose(2, 3).reshape(-1, 1, z.shape[2])
    lanes = torch.nn.functional.pad(lanes, (_SMOOTH, _SMOOTH), mode="replicate")
    mean = torch.nn.functional.conv1d(lanes, window.view(1, 1, -1) / window.sum())
    return mean.view(*z.shape[:2], z.shape[3], z.shape[2]).transpose(2, 3)
