"""Generates audio of any length piece by piece, in the time and memory of one window.

Letters: N samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..audio.ops import CROSSFADE_S, Samples
from ..config.edits import ExtendOptions
from ..config.options import PromptCue
from ..config.samplers import SAMPLERS
from ..editing.inputs import RequestInputs
from ..errors import UsageError
from .engine import Engine
from .resolve import MAX_SEED, resolve_cue, resolve_edit, resolve_prompts
from .timeline import crop_cues

CLIP_ONLY_OPTIONS = {
    "num_waveforms", "candidates", "loop_seam", "lufs", "true_peak", "trim_silence", "fade_in",
    "fade_out", "stereo_width", "sample_rate",
}  # fmt: skip
"""Options that need a whole clip."""
NUM_ENDING_FADES = 5
"""Crossfade lengths removed from the end of the first piece, because it was generated as the end of
a clip."""


def validate_stream(overrides: Mapping[str, Any]) -> None:
    """Check the options of a stream.

    Raises:
        UsageError: An option needs a whole clip, or the sampler cannot continue audio.
    """
    if unsupported := CLIP_ONLY_OPTIONS & overrides.keys():
        raise UsageError(f"{min(unsupported)} needs a whole clip; leave it out for a stream")
    sampler = overrides.get("sampler")
    is_distilled = sampler is not None and SAMPLERS[sampler].is_distilled
    if is_distilled or overrides.get("preset") == "draft":
        raise UsageError(
            "the distilled UNet starts from noise only, and a stream continues audio; "
            "choose another preset"
        )


def generate_pieces(
    engine: Engine,
    prompt: str,
    duration: float,
    timeline: Sequence[PromptCue],
    overrides: Mapping[str, Any],
) -> Iterator[Samples]:
    """Yield the pieces of one clip, each as soon as it is finished.

    Each piece continues the half window before it, like `extend`; piece k has the seed + k.

    Args:
        engine: The engine of a model.
        prompt: The prompt.
        duration: Duration in seconds; infinite for a stream without an end.
        timeline: Cues in order of time.
        overrides: Other options; `validate_stream` has accepted them.

    Yields:
        Samples [1, N], to be joined in this order.
    """
    sample_rate = engine.system.sample_rate
    num_fade = round(CROSSFADE_S * sample_rate)
    num_half_window = round(engine.system.spec.max_duration / 2 * sample_rate)
    pieces = _PieceGenerator(engine, prompt, timeline, overrides)
    is_last = duration <= engine.system.spec.max_duration
    piece = pieces.first(duration)
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
        index: Number of the latest piece.
        seed: Seed of the first piece.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: str,
        timeline: Sequence[PromptCue],
        overrides: Mapping[str, Any],
    ) -> None:
        self.engine = engine
        self.prompt = prompt
        self.overrides = overrides
        self.inputs = RequestInputs(engine.system.sample_rate)
        self.timeline = [resolve_cue(cue, self.inputs) for cue in timeline]
        self.index = 0
        self.seed = 0

    def first(self, duration: float) -> Samples:
        """Return the first piece [1, N], which is a clip of one window."""
        first_duration = min(duration, self.engine.system.spec.max_duration)
        options = {
            **self.overrides,
            "duration": first_duration,
            "timeline": crop_cues(self.timeline, 0.0, first_duration),
        }
        source = self.engine.system.source
        [clip] = self.engine.run(resolve_prompts([self.prompt], options, source, self.inputs))
        self.seed = clip.seed
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
        start = (num_done - tail.shape[1]) / sample_rate
        end = start + (tail.shape[1] + num_new) / sample_rate
        crossfade = self.overrides.get("crossfade", 1.0)
        options = {
            **self.overrides,
            "timeline": crop_cues(self.timeline, start, end, crossfade),
            "seed": (self.seed + self.index) % MAX_SEED,
        }
        edit = ExtendOptions(after=num_new / sample_rate)
        source = self.engine.system.source
        requests = resolve_edit(tail, edit, self.prompt, options, source, self.inputs)
        [extended] = self.engine.run(requests)
        self.inputs.forget(requests[0].options.edit)
        return extended.samples
