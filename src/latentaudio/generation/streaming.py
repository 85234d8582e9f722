"""Generates audio of any length piece by piece, in the time and memory of one window.

Letters: N samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..audio.ops import CROSSFADE_S, Samples
from ..config.edits import ExtendOptions
from ..config.option_table import CLIP_ONLY_OPTIONS
from ..config.options import GenerationOptions, PromptCue
from ..config.samplers import SAMPLERS
from ..editing.inputs import RequestInputs
from ..errors import UsageError
from .engine import Engine
from .resolve import ResolvedRequest, resolve_request
from .timeline import crop_cues

if TYPE_CHECKING:
    from ..audio.io import Audio
    from ..loaders.layouts import ModelSource

NUM_ENDING_FADES = 5
"""Crossfade lengths removed from the end of the first piece, because it was generated as the end of
a clip."""
STREAM_TAG = "stream"
"""Tag of a file that is a stream: `reproduce` cannot generate it as one clip."""
QUIET_PEAK = 1e-3
"""Peak (-60 dBFS) of half a window below which a sound has died away; nothing can continue it."""
MIN_PIECE_S = 0.1


def generate_pieces(
    engine: Engine, options: GenerationOptions, duration: float, inputs: RequestInputs
) -> Iterator[Samples]:
    """Return the pieces of one clip, each as soon as it is finished.

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
    return run_stream(engine, PieceStream(engine.system.source, options, duration, inputs))


def run_stream(engine: Engine, stream: PieceStream) -> Iterator[Samples]:
    """Yield the pieces of a stream, samples [1, N] each."""
    while (request := stream.next_request()) is not None:
        [clip] = engine.run([request])
        yield stream.add(clip)


def validate_stream(options: GenerationOptions) -> None:
    """Check the options of a stream as far as no model is needed.

    Raises:
        UsageError: An option needs a whole clip.
    """
    if unsupported := CLIP_ONLY_OPTIONS & options.model_fields_set:
        raise UsageError(f"{min(unsupported)} needs a whole clip; leave it out for a stream")


class PieceStream:
    """Turns one stream into requests for clips, and their clips into pieces.

    It computes nothing itself. The caller runs each request of `next_request` with any engine of
    the model and gives the clip to `add`. The first piece is a clip of one window at most. Each
    further piece continues the half window before it, like `extend`; piece k has the seed + k.
    After a sound that has died away, such as a bell, the next piece begins anew.

    Attributes:
        source: The model.
        options: The request; the first piece sets its seed.
        duration: Duration in seconds; may be infinite.
        inputs: Decoded audio prompts.
        tags: Tags of the whole stream, once its first piece is added.
    """

    def __init__(
        self,
        source: ModelSource,
        options: GenerationOptions,
        duration: float,
        inputs: RequestInputs,
    ) -> None:
        """Check the options.

        Raises:
            UsageError: An option needs a whole clip, the sampler cannot continue audio, or the
                model cannot run the request.
        """
        validate_stream(options)
        self.source = source
        self.options = options
        self.duration = duration
        self.inputs = inputs
        self.tags: dict[str, str] = {}
        self._sample_rate = source.config.mel.sample_rate
        self._num_fade = round(CROSSFADE_S * self._sample_rate)
        self._half_window = round(source.spec.max_duration / 2 * self._sample_rate)
        self._piece: Samples | None = None
        self._index = 0
        self._num_done = 0
        self._num_new = 0
        self._begins_anew = False
        self._first = self._first_request()

    def next_request(self) -> ResolvedRequest | None:
        """Return the request of the next piece, or None at the end of the stream.

        Raises:
            UsageError: The model cannot run it.
        """
        if self._piece is None:
            return self._first
        if self._is_complete:
            return None
        num_left = self.duration * self._sample_rate - self._num_done
        self._num_new = round(min(self._half_window, num_left))
        self._index += 1
        tail = self._tail(self._piece)
        self._begins_anew = np.abs(tail).max(initial=0.0) < QUIET_PEAK
        if self._begins_anew:
            return self._fresh_request()
        return self._continuing_request(tail)

    def add(self, clip: Audio) -> Samples:
        """Return the samples [1, N] of the next piece, out of the clip of its request.

        The last samples of a clip are kept back, because the next piece replaces them.
        """
        if self._piece is None:
            return self._add_first(clip)
        tail = self._tail(self._piece)
        piece = clip.samples
        if self._begins_anew:
            piece = np.concatenate([tail, piece[:, : self._num_new]], axis=1)
        self._piece = piece
        self._num_done += self._num_new
        end = None if self._is_complete else -self._num_fade
        return piece[:, tail.shape[1] - self._num_fade : end]

    @property
    def _is_complete(self) -> bool:
        return self._num_done + 1 > self.duration * self._sample_rate

    def _tail(self, piece: Samples) -> Samples:
        return piece[:, -self._half_window :]

    def _first_request(self) -> ResolvedRequest:
        duration = min(self.duration, self.source.spec.max_duration)
        timeline = crop_cues(self.options.timeline, 0.0, duration)
        # one gain for a whole stream cannot be known at its beginning
        first = self._resolve(duration=duration, timeline=tuple(timeline), normalize="none")
        if SAMPLERS[first.options.sampler].is_distilled:
            raise UsageError(
                "the distilled UNet starts from noise only, and a stream continues audio; "
                "choose another preset or sampler"
            )
        return first

    def _add_first(self, clip: Audio) -> Samples:
        self.options = self.options.model_copy(update={"seed": clip.seed})
        self.tags = _tags_of_stream(clip, self.options)
        piece = clip.samples
        if self.duration <= self.source.spec.max_duration:
            self._piece = piece
            self._num_done = piece.shape[1]
            return piece
        piece = piece[:, : -NUM_ENDING_FADES * self._num_fade]
        self._piece = piece
        self._num_done = piece.shape[1]
        return piece[:, : -self._num_fade]

    def _continuing_request(self, tail: Samples) -> ResolvedRequest:
        """Return a request that extends the tail [1, N] of the stream."""
        start = (self._num_done - tail.shape[1]) / self._sample_rate
        duration = (tail.shape[1] + self._num_new) / self._sample_rate
        audio = self.inputs.load_audio(tail)
        edit = ExtendOptions(after=self._num_new / self._sample_rate, source_sha256=audio.sha256)
        request = self._resolve(
            edit=edit,
            duration=duration,
            timeline=self._cues(start, start + duration),
            seed=self.options.seed_after(self._index),
        )
        self.inputs.forget(edit)
        return request

    def _fresh_request(self) -> ResolvedRequest:
        """Return a request for the next range of the stream, without what came before."""
        start = self._num_done / self._sample_rate
        duration = max(self._num_new / self._sample_rate, MIN_PIECE_S)
        return self._resolve(
            duration=duration,
            timeline=self._cues(start, start + duration),
            seed=self.options.seed_after(self._index),
        )

    def _cues(self, start: float, end: float) -> tuple[PromptCue, ...]:
        return tuple(crop_cues(self.options.timeline, start, end, self.options.crossfade))

    def _resolve(self, **changes: Any) -> ResolvedRequest:
        options = self.options.model_copy(update=changes)
        return resolve_request(options, self.source, self.inputs)


def _tags_of_stream(first: Audio, options: GenerationOptions) -> dict[str, str]:
    """Return the tags of a stream: those of its first clip, with the cues of all of it."""
    tags = {name: text for name, text in first.tags.items() if name != "duration"}
    if options.timeline:
        tags["timeline"] = options.to_tags()["timeline"]
    return {**tags, STREAM_TAG: "joined pieces"}
