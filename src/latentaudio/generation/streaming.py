"""Generates audio of any length piece by piece, in the time and memory of one window.

Letters: N samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..audio.ops import CROSSFADE_S, Samples
from ..config.edits import ExtendOptions
from ..config.option_table import CLIP_ONLY_OPTIONS
from ..config.options import GenerationOptions
from ..config.samplers import SAMPLERS
from ..editing.inputs import RequestInputs
from ..errors import UsageError
from .engine import Engine
from .resolve import ResolvedRequest, resolve_request
from .timeline import crop_cues

NUM_ENDING_FADES = 5
"""Crossfade lengths removed from the end of the first piece, because it was generated as the end of
a clip."""


QUIET_PEAK = 1e-3
"""Peak (-60 dBFS) of half a window below which a sound has died away; nothing can continue it."""
MIN_PIECE_S = 0.1


def generate_pieces(
    engine: Engine, options: GenerationOptions, duration: float, inputs: RequestInputs
) -> Iterator[Samples]:
    """Return the pieces of one clip, each as soon as it is finished.

    Each piece continues the half window before it, like `extend`; piece k has the seed + k. After a
    sound that has died away, such as a bell, the next piece begins anew.

    Args:
        engine: The engine of a model.
        options: The request, with cues in order of time. Its duration is not used.
        duration: Duration in seconds; infinite for a stream without an end.
        inputs: Decoded audio prompts.

    Returns:
        An iterator over samples [1, N], to be joined in this order.

    Raises:
        UsageError: An option needs a whole clip, or the sampler cannot continue audio.
    """
    validate_stream(options)
    return _iterate_pieces(_PieceGenerator(engine, options, inputs), duration)


def validate_stream(options: GenerationOptions) -> None:
    """Check the options of a stream.

    Raises:
        UsageError: An option needs a whole clip, or the sampler cannot continue audio.
    """
    if unsupported := CLIP_ONLY_OPTIONS & options.model_fields_set:
        raise UsageError(f"{min(unsupported)} needs a whole clip; leave it out for a stream")
    if SAMPLERS[options.sampler].is_distilled or options.preset == "draft":
        raise UsageError(
            "the distilled UNet starts from noise only, and a stream continues audio; "
            "choose another preset"
        )


def _iterate_pieces(pieces: _PieceGenerator, duration: float) -> Iterator[Samples]:
    """Yield the pieces of a stream, without the samples that the next piece replaces."""
    sample_rate = pieces.engine.system.sample_rate
    max_duration = pieces.engine.system.max_duration
    num_fade = round(CROSSFADE_S * sample_rate)
    num_half_window = round(max_duration / 2 * sample_rate)
    is_last = duration <= max_duration
    piece = pieces.first(min(duration, max_duration))
    if not is_last:
        piece = piece[:, : -NUM_ENDING_FADES * num_fade]
    yield piece if is_last else piece[:, :-num_fade]
    num_done = piece.shape[1]
    num_total = duration * sample_rate
    while num_done + 1 <= num_total:
        tail = piece[:, -num_half_window:]
        num_new = round(min(num_half_window, num_total - num_done))
        piece = pieces.extend(tail, num_done, num_new)
        num_done += num_new
        last = None if num_done + 1 > num_total else -num_fade
        yield piece[:, tail.shape[1] - num_fade : last]


class _PieceGenerator:
    """Generates the pieces of one stream.

    Attributes:
        options: The request; the first piece sets its seed.
        index: Number of the latest piece.
    """

    def __init__(self, engine: Engine, options: GenerationOptions, inputs: RequestInputs) -> None:
        self.engine = engine
        self.options = options
        self.inputs = inputs
        self.index = 0

    def first(self, duration: float) -> Samples:
        """Return the first piece [1, N], which is a clip of one window at most."""
        timeline = crop_cues(self.options.timeline, 0.0, duration)
        # one gain for a whole stream cannot be known at its beginning
        changes = {"duration": duration, "timeline": tuple(timeline), "normalize": "none"}
        [clip] = self.engine.run([self._resolve(self.options.model_copy(update=changes))])
        self.options = self.options.model_copy(update={"seed": clip.seed})
        return clip.samples

    def extend(self, tail: Samples, num_done: int, num_new: int) -> Samples:
        """Return the tail [1, N] with `num_new` samples after it.

        Args:
            tail: The latest samples of the stream.
            num_done: Samples of the stream so far.
            num_new: Samples to add.
        """
        self.index += 1
        sample_rate = self.engine.system.sample_rate
        if np.abs(tail).max(initial=0.0) < QUIET_PEAK:
            fresh = self._begin_anew(num_done / sample_rate, num_new / sample_rate)
            return np.concatenate([tail, fresh[:, :num_new]], axis=1)
        start = (num_done - tail.shape[1]) / sample_rate
        end = start + (tail.shape[1] + num_new) / sample_rate
        audio = self.inputs.load_audio(tail)
        edit = ExtendOptions(after=num_new / sample_rate, source_sha256=audio.sha256)
        cues = crop_cues(self.options.timeline, start, end, self.options.crossfade)
        changes = {
            "edit": edit,
            "duration": (tail.shape[1] + num_new) / sample_rate,
            "timeline": tuple(cues),
            "seed": self.options.seed_after(self.index),
        }
        [extended] = self.engine.run([self._resolve(self.options.model_copy(update=changes))])
        self.inputs.forget(edit)
        return extended.samples

    def _begin_anew(self, start: float, duration: float) -> Samples:
        """Return a clip [1, N] for a range of the stream in seconds, without what came before."""
        duration = max(duration, MIN_PIECE_S)
        cues = crop_cues(self.options.timeline, start, start + duration, self.options.crossfade)
        changes = {
            "duration": duration,
            "timeline": tuple(cues),
            "seed": self.options.seed_after(self.index),
        }
        [clip] = self.engine.run([self._resolve(self.options.model_copy(update=changes))])
        return clip.samples

    def _resolve(self, options: GenerationOptions) -> ResolvedRequest:
        return resolve_request(options, self.engine.system.source, self.inputs)
