"""Computes the requests of a part with one model, as events that can cross a process boundary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..audio.io import Audio
from .content import gray_picture
from .model_pool import ModelPool
from .notices import collect
from .planning import Part
from .scheduler import Task

if TYPE_CHECKING:
    from ..generation.engine import Progress
    from ..pipeline import AudioLDM


@dataclass(frozen=True)
class StepDone:
    """A sampling step of a part is done.

    Attributes:
        num_done: Clip-steps so far, of the pass that runs.
        index: Number of the step, from 0.
        is_second_pass: Whether that pass closes a loop or makes stereo.
        pictures: PNGs of the spectrograms so far: one for each request, or one, or none.
    """

    num_done: int
    index: int
    is_second_pass: bool
    pictures: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Notice:
    """A warning that the computation gave."""

    text: str


PartEvent: TypeAlias = StepDone | Notice | Audio
"""What happens to a part; its clips come in order."""
Compute: TypeAlias = Callable[[Part, Sequence[int], Task], Iterator[PartEvent]]
"""(part, steps between two previews for each request that wants them, task) -> events."""


class PoolCompute:
    """Computes in this process, with the models of a pool. For the worker thread only.

    Attributes:
        pool: The models.
    """

    def __init__(self, pool: ModelPool) -> None:
        self.pool = pool

    def __call__(
        self, part: Part, preview_every: Sequence[int], task: Task | None = None
    ) -> Iterator[PartEvent]:
        """Yield the events of a part.

        Args:
            part: Requests of one model.
            preview_every: Steps between two previews, of each request that wants them.
            task: The task; not used here.
        """
        from ..generation.engine import Engine

        notices: list[str] = []
        with collect(notices):
            model = self.pool.load(part.key)
        events = Engine(model).run_steps(part.requests)
        num_told = 0
        try:
            while True:
                with collect(notices):
                    event = next(events, None)
                for text in notices[num_told:]:
                    yield Notice(text)
                num_told = len(notices)
                if event is None:
                    return
                if isinstance(event, Audio):
                    yield event
                else:
                    yield _step_done(model, event, part, preview_every)
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()


def _step_done(
    model: AudioLDM, event: Progress, part: Part, preview_every: Sequence[int]
) -> StepDone:
    """Return a step of the engine without its tensors, with pictures if somebody wants them."""
    pictures = []
    index = event.step.index
    is_wanted = any((index + 1) % every == 0 for every in preview_every if every)
    if is_wanted and not event.is_second_pass:
        x0 = event.step.x0  # one row for each request only if each is one candidate of one clip
        num_pictures = len(part.requests) if len(x0) == len(part.requests) else 1
        for log_mel in model.codec.decode_mel(x0[:num_pictures]):
            pictures.append(gray_picture(log_mel[0].float().cpu().numpy()))
    return StepDone(event.num_done, index, event.is_second_pass, tuple(pictures))
