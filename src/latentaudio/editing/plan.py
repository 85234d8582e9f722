"""What each verb does to a given sound: how long the outcome is, what the sampler begins from and keeps, what is put back.

Knows seconds, Hz and samples of the sound. Refuses to know prompts, samplers and files.

Letters: N samples, C channels, T' F' latent grid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..audio.ops import FADE, SILENCE, Gains, Samples, limit_peak, passing, shaped
from ..codec import Codec
from ..conditioning.base import Sounding
from ..config.architecture import MelSpec, mel_edges
from ..config.options import EditOptions, Span
from ..errors import UsageError
from ..types import LatentEdit
from . import drawn_mask
from .drawn_mask import Pixels

_SHORTEST, _LONGEST = 0.1, 600.0  # seconds
_BESIDE, _EVEN, _EVENED = 0.5, 2.0, 9.0  # s, dB of deviation, dB
_BLOCK = 1 << 15  # samples that are pasted at a time
_LIFT = 4.0  # 12 dB
_HOT = 2.0  # what resampling and lossy files overshoot is less


@dataclass(frozen=True)
class Plan:
    """edit: for the sampler. finish: what is made, samples [1, N], to what the user gets. known: the sound, and which cells of
    time are kept, for whoever writes the language of audio of the rest."""

    edit: LatentEdit
    finish: Callable[[Samples], Samples]
    known: Sounding | None = None


def checksum(sound: Samples) -> str:
    """SHA-256 of samples in float32."""
    return hashlib.sha256(np.ascontiguousarray(sound, np.float32).data).hexdigest()


def sealed(edit: EditOptions, name: str, samples: str) -> EditOptions:
    """The edit with what tells whether file and mask still are what they were: the sound's file, or "", and its checksum."""
    pixels = drawn_mask.checksum(drawn_mask.pixels(edit.mask)) if edit.mask else ""
    return edit.model_copy(update={"sound": name, "samples": samples, "pixels": pixels})


def taken(samples: NDArray[Any]) -> Samples:
    """Samples [C, N] or [N] as an edit takes them: their mean [1, N], turned down if louder than 1. UsageError for others."""
    sound = np.atleast_2d(samples)
    if sound.ndim != 2 or not np.issubdtype(sound.dtype, np.floating):
        raise UsageError(
            f"samples are {sound.dtype} of shape {np.shape(samples)}; give floating ones in [-1, 1], [C, N] or [N]"
        )
    if sound.shape[0] > sound.shape[1]:
        raise UsageError(
            f"samples of shape {np.shape(samples)} are {sound.shape[0]} channels; give [C, N], not [N, C]"
        )
    if (loudest := float(np.abs(sound).max(initial=0.0))) > _HOT:
        raise UsageError(
            f"the sound reaches {loudest:.3g} where 1 is full scale; turn it down first"
        )
    if not np.isfinite(sound).all():
        raise UsageError("the sound holds values that are not finite; mend it first")
    return limit_peak(sound.mean(axis=0, keepdims=True, dtype=np.float32), 1.0)


def whole_length(edit: EditOptions, length: int, rate: int) -> int:
    """Samples that come out of an edit of `length` samples."""
    return length + round(edit.left * rate) + round(edit.right * rate)


def planned(edit: EditOptions, sound: Samples, codec: Codec) -> Plan:
    """What is done to samples [1, N] at the model's rate. Raises UsageError where that makes no sense for this sound."""
    rate = codec.config.mel.rate
    check(edit, sound.shape[1] / rate, codec.config.mel)
    if np.abs(sound).max(initial=0.0) < SILENCE:
        raise UsageError("the sound is silent, or its channels cancel each other; choose another")
    if edit.verb == "loop":
        return _looped(edit, sound, codec)
    before, length = round(edit.left * rate), whole_length(edit, sound.shape[1], rate)
    behind = length - before - sound.shape[1]
    whole = (
        np.pad(sound, ((0, 0), (before, behind)), mode="symmetric") if before + behind else sound
    )  # as if it went on
    ends = [(0.0, before / rate)] * (before > 0) + [((length - behind) / rate, length / rate)] * (
        behind > 0
    )
    spans, bands = (
        [*edit.times, *ends],
        [*edit.bands, *[(edit.cutoff, rate / 2)] * (edit.cutoff > 0)],
    )
    frames, drawn = codec.frames(length / rate), _drawn(edit)
    init = codec.latent(whole, frames)
    if not spans and not bands and drawn is None:
        return Plan(
            LatentEdit(init, shifted(edit.strength, codec.found.variant.shift)), lambda made: made
        )
    mask = kept_cells(spans, bands, length / rate, codec, frames, drawn).to(init)
    gains = passing(bands, rate) if bands else None
    if drawn is not None:
        spans, gains = (
            drawn_mask.spans(drawn, length / rate),
            drawn_mask.gains(drawn, codec.config.mel.fmax, rate),
        )
    spans = spans or [(0.0, length / rate)]

    def finish(made: Samples) -> Samples:
        made = matched(whole, made, edit.cutoff, rate) if edit.cutoff else made
        made = evened(whole, made, spans, rate) if gains is None else made
        return pasted(whole, made, spans, gains, rate)

    known = None
    if edit.context:
        whole_cells = tuple(bool(kept) for kept in mask[0, 0].all(dim=1))
        name = f"{edit.samples or checksum(sound)} {before} {behind}"
        known = Sounding(name, "loa", whole[0], rate, told=whole_cells)
    return Plan(LatentEdit(init, edit.strength, mask), finish, known)


def _drawn(edit: EditOptions) -> Pixels | None:
    """The edit's mask; UsageError where it has changed since the edit was made."""
    found = drawn_mask.pixels(edit.mask) if edit.mask else None
    if found is not None and edit.pixels and drawn_mask.checksum(found) != edit.pixels:
        raise UsageError(
            f"{edit.mask} is not the mask it was when this edit was made; bring that one back"
        )
    return found


def shifted(strength: float, shift: float) -> float:
    """The part of the way to noise that a strength is, where its middle would otherwise change little (`Variant.shift`)."""
    return shift * strength / (1.0 + (shift - 1.0) * strength)


def _looped(edit: EditOptions, sound: Samples, codec: Codec) -> Plan:
    """The sound turned by half, so that its ends meet in the middle, where a span is made anew; then turned back.

    It is cut where two neighbouring samples differ least, within 10 ms of its old beginning.
    """
    rate, half = codec.config.mel.rate, sound.shape[1] // 2
    span = (half / rate - edit.seam / 2, half / rate + edit.seam / 2)
    turned = EditOptions(verb="inpaint", times=(span,), context=edit.context)
    plan = planned(turned, np.roll(sound, half, axis=1), codec)

    def finish(made: Samples) -> Samples:
        loop, near = plan.finish(made), min(round(0.01 * rate), half - 1)
        steps = np.abs(np.diff(loop[0, half - near - 1 : half + near]))
        return np.roll(loop, -(half - near + int(steps.argmin())), axis=1)

    return replace(plan, finish=finish)


def check_length(seconds: float) -> None:
    """Raise UsageError for a sound that is too long."""
    if seconds > _LONGEST:
        raise UsageError(
            f"that makes {seconds:.0f} s; sounds of up to {_LONGEST:g} s can be worked on, so cut it first"
        )


def check(edit: EditOptions, seconds: float, mel: MelSpec) -> None:
    """Raise UsageError where spans, bands or a mask do not fit a sound of that length and a model of that mel, DataError for a
    mask that cannot be read."""
    rate, drawn = mel.rate, _drawn(edit)
    if seconds < _SHORTEST:
        raise UsageError(f"the sound lasts {seconds:.3g} s; give one of at least {_SHORTEST:g} s")
    check_length(seconds + edit.left + edit.right)
    if edit.verb == "extend" and not round(edit.left * rate) + round(edit.right * rate):
        raise UsageError("extend by how much? Give left or right, in seconds")
    if edit.verb == "upsample" and not 0 < edit.cutoff < rate / 2:
        raise UsageError(
            f"cutoff = {edit.cutoff:g} Hz; give one above 0, and below {rate / 2:g} Hz, where the model's sound ends"
        )
    if edit.verb == "loop" and not 2 * FADE < edit.seam < seconds - 2 * FADE:
        raise UsageError(
            f"seam = {edit.seam:g} s; give between {2 * FADE:g} s and less than the sound, which lasts {seconds:g} s"
        )
    if edit.verb == "inpaint" and not edit.times and not edit.bands and drawn is None:
        raise UsageError(
            "inpaint what? Give a time such as 1.0:2.5, a band such as 2000:8000, or a mask"
        )
    _check_spans("time", edit.times, seconds, "s", "the sound ends")
    for first, last in [
        *edit.times,
        *(drawn_mask.spans(drawn, seconds) if drawn is not None else []),
    ]:
        if last - first < FADE - 1e-6:
            raise UsageError(
                f"time {first:.6g}:{last:.6g} is shorter than {FADE:g} s; make at least that much anew"
            )
    _check_spans("band", edit.bands, rate / 2, "Hz", "the model's sound ends")
    edges = mel_edges(mel.bins, mel.fmin, mel.fmax)
    for low, high in edit.bands:
        told = next(
            c - a
            for a, c in zip(edges, edges[2:], strict=False)
            if c >= min((low + high) / 2, edges[-1])
        )
        if high - low < told:
            raise UsageError(
                f"band {low:g}:{high:g} is narrower than the model can tell; give it at least {told:.0f} Hz there"
            )
    all_time = not edit.times or _covers(edit.times, seconds)
    if (
        edit.verb == "inpaint"
        and drawn is None
        and all_time
        and (not edit.bands or _covers(edit.bands, rate / 2))
    ):
        raise UsageError(
            "that is the whole sound, of which nothing would be kept; use transfer or generate"
        )


def _check_spans(what: str, spans: Sequence[Span], end: float, unit: str, where: str) -> None:
    for first, last in spans:
        if first >= last:
            raise UsageError(
                f"{what} {first:g}:{last:g} is empty or reversed; write it as start:end"
            )
        if first < 0:
            raise UsageError(
                f"{what} {first:g}:{last:g} begins before 0; write it as start:end in {unit}"
            )
        if last > end + 1e-6:
            raise UsageError(
                f"{what} {first:g}:{last:g} reaches beyond {end:.6g} {unit}, where {where}"
            )
    for (first, last), (later, latest) in pairwise(sorted(spans)):
        if later < last:
            whole = f"{first:g}:{max(last, latest):g}"
            raise UsageError(
                f"{what} {first:g}:{last:g} and {later:g}:{latest:g} overlap; write them as one, {whole}"
            )


def _covers(spans: Sequence[Span], end: float) -> bool:
    edges = sorted(spans)
    return (
        edges[0][0] <= 0 and edges[-1][1] >= end and all(a[1] >= b[0] for a, b in pairwise(edges))
    )


def kept_cells(
    spans: Sequence[Span],
    bands: Sequence[Span],
    seconds: float,
    codec: Codec,
    frames: int,
    drawn: Pixels | None = None,
) -> Tensor:
    """Mask [1, 1, T', F'] float32: 0 for cells that touch a span and a band (all of them where none is given), or a white pixel
    of what was drawn, 1 elsewhere.

    Spans are widened by what a frame hears beyond its hop. Cells behind the end of the sound are made anew: nobody will hear
    them, and silence there would be taken for its end.
    """
    mel, factor = codec.config.mel, codec.config.vae.factor
    cell = factor * mel.hop / mel.rate
    begins = np.arange(frames // factor) * cell
    edges = np.array(mel_edges(mel.bins, mel.fmin, mel.fmax))
    hertz = np.stack(
        [edges[:-2][::factor], edges[2:][factor - 1 :: factor]]
    )  # a cell hears all that its filters hear
    reach = (mel.n_fft - mel.hop) / 2 / mel.rate
    times = np.stack([begins - reach, begins + cell + reach])
    if drawn is not None:
        made = drawn_mask.touched(drawn, times, hertz, seconds, mel.fmax)
    elif codec.found.fidelity.mask == "slices":
        made = _sliced(spans, bands, cell, (len(begins), hertz.shape[1]), mel)
    else:
        in_time = _touched(times, spans) if spans else np.ones(len(begins), bool)
        in_band = _touched(hertz, bands) if bands else np.ones(hertz.shape[1], bool)
        made = in_time[:, None] & in_band[None, :]
    if made.size and not made.any():
        raise UsageError(
            "that is less than a cell of the authors' latents; give a longer span or a wider band"
        )
    if codec.found.fidelity.mask == "touched":
        made |= (begins >= seconds)[:, None]
    return torch.from_numpy(~made).float()[None, None]


def _sliced(
    spans: Sequence[Span], bands: Sequence[Span], cell: float, shape: tuple[int, int], mel: MelSpec
) -> NDArray[np.bool_]:
    """The authors' way (spec 8.2): cells int(h t0) to int(h t1) of h, or int(w f0) to int(w f1) of w, are made anew."""
    made, corners = np.zeros(shape, bool), np.array(mel_edges(shape[1] - 1, mel.fmin, mel.fmax))
    for first, last in spans:
        made[int(first / cell + 1e-6) : int(last / cell + 1e-6)] = True
    for band in bands:
        low, high = (
            int(place + 1e-6) for place in np.interp(band, corners, np.arange(len(corners)))
        )
        made[:, low:high] = True
    return made


def _touched(sides: NDArray[np.float64], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which stretches sides[:, i] touch a span."""
    found = np.zeros(sides.shape[1], bool)
    for first, last in spans:
        found |= (sides[0] < last) & (sides[1] > first)
    return found


def faded(span: Span, places: NDArray[np.int_], rate: int) -> NDArray[np.float32]:
    """Weights of what is made at some samples: 1 within the span, falling to 0 over `FADE` beside it by half a cosine."""
    size, beside = (
        round(FADE * rate),
        np.maximum(round(span[0] * rate) - places, places + 1 - round(span[1] * rate)),
    )
    weight = 0.5 - 0.5 * np.cos(np.pi * (size + 0.5 - beside) / size)
    return np.where(beside <= 0, 1.0, np.where(beside <= size, weight, 0.0)).astype(np.float32)


def matched(whole: Samples, made: Samples, cutoff: float, rate: int) -> Samples:
    """What was made, as loud as makes it the sound's equal in the octave below `cutoff` Hz, but by 12 dB at most."""
    octave = passing([(cutoff / 2, cutoff)], rate)

    def energy(sound: Samples) -> float:
        ends = [*range(0, sound.shape[1], _BLOCK), sound.shape[1]]
        return sum(
            float(np.square(shaped(sound, octave, a, b)).sum(dtype=np.float64))
            for a, b in pairwise(ends)
        )

    heard, there = energy(made), energy(whole)
    gain = float(np.clip(np.sqrt(there / heard), 1 / _LIFT, _LIFT)) if heard > 0.0 else 1.0
    return (gain * made).astype(np.float32)


def evened(whole: Samples, made: Samples, spans: Sequence[Span], rate: int) -> Samples:
    """What was made [1, N], in each span as loud at its ends as the sound beside them, by 9 dB at most, where both go on
    evenly.

    Between its ends the gain goes in a straight line of dB; where there is nothing even beside an end, it is the other's.
    """
    out, places = made.astype(np.float32), np.arange(made.shape[1])
    for first, last in spans:
        begin, end = round(first * rate), min(round(last * rate), made.shape[1])
        near = min(round(_BESIDE * rate), (end - begin) // 2)
        sides = (whole[0, max(0, begin - near) : begin], made[0, begin : begin + near])
        steps = [
            _step(*sides, rate),
            _step(whole[0, end : end + near], made[0, end - near : end], rate),
        ]
        known = [step for step in steps if step is not None]
        if known:
            around = slice(max(0, begin - round(FADE * rate)), end + round(FADE * rate))
            decibels = np.interp(
                places[around], (begin, end), [known[0] if s is None else s for s in steps]
            )
            out[:, around] = made[:, around] * (10 ** (decibels / 20)).astype(np.float32)
    return out


def _step(beside: NDArray[np.float32], inside: NDArray[np.float32], rate: int) -> float | None:
    """dB by which what is beside is louder than what is inside; None where there is too little of either, or one is uneven."""
    size, means = round(rate / 40), []
    for sound in (beside, inside):
        frames = sound[: len(sound) // size * size].reshape(-1, size).astype(np.float64)
        power = np.square(frames).mean(axis=1)
        if (
            len(power) < 6
            or power.min(initial=1.0) <= SILENCE**2
            or (10 * np.log10(power)).std() > _EVEN
        ):
            return None
        means.append(10 * np.log10(power.mean()))
    return float(np.clip(means[0] - means[1], -_EVENED, _EVENED))


def pasted(
    whole: Samples, made: Samples, spans: Sequence[Span], gains: Gains | None, rate: int
) -> Samples:
    """What was made put into the sound [1, N] in spans, with gains only what they let through (`ops.shaped`).

    Outside spans and their fades samples are those of the sound to the bit. Where kept and made together would be too loud,
    what was made for that span is turned down, by half at most; what is still too loud then is cut off.
    """
    length, out = whole.shape[1], whole.copy()
    made = made[:, :length]  # gains are stretched over all of both
    if made.shape[1] < length:
        made = np.pad(made, ((0, 0), (0, length - made.shape[1])))

    def parts(span: Span, here: slice) -> tuple[Samples, Samples]:
        """What is kept and what is put there, of a few samples."""
        old, new = out[:, here], made[:, here]
        if gains is not None:
            old, new = (shaped(sound, gains, here.start, here.stop) for sound in (whole, made))
        weight = faded(span, np.arange(here.start, here.stop), rate)
        return out[:, here] - weight * old, weight * new

    for span in sorted(spans):
        first, last = (
            max(0, round((span[0] - FADE) * rate)),
            min(length, round((span[1] + FADE) * rate)),
        )
        blocks, room = [slice(at, min(at + _BLOCK, last)) for at in range(first, last, _BLOCK)], 1.0
        for here in blocks:
            kept, put = parts(span, here)
            loud = (np.abs(kept + put) > 1.0) & (put != 0.0)
            room = min(
                room, float(((1.0 - np.abs(kept[loud])) / np.abs(put[loud])).min(initial=1.0))
            )
        for here in blocks:
            kept, put = parts(span, here)
            out[:, here] = np.clip(kept + max(0.5, room) * put, -1.0, 1.0)
    return out
