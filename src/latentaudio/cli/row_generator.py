"""Clips of rows, with models that stay loaded: what one process of a batch runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..errors import GenerationError, LatentAudioError, UsageError
from .flags import RuntimeFlags

if TYPE_CHECKING:
    from ..audio.io import Audio
    from ..generation.resolve import ResolvedRequest
    from ..pipeline import AudioLDM

Result: TypeAlias = "Audio | LatentAudioError"
"""The clip of a row, or its error."""


class RowGenerator:
    """Generates clips of rows, here, in a worker process or on a machine of a cluster.

    Attributes:
        runtime: How models are loaded.
    """

    def __init__(self, runtime: RuntimeFlags) -> None:
        self.runtime = runtime
        self._models: dict[str, AudioLDM] = {}

    def run(self, requests: Sequence[ResolvedRequest]) -> Iterator[Result]:
        """Yield the clip or the error of each request in order, as soon as it is finished.

        Args:
            requests: Requests for one model, which is loaded with the first of them.

        Raises:
            LatentAudioError: The model cannot be loaded.
        """
        if not requests:
            return
        name = requests[0].options.model
        if name not in self._models:
            self._models[name] = self.runtime.load(name)
        num_done = 0
        while num_done < len(requests):
            try:
                for clip in self._models[name].run(requests[num_done:]):
                    num_done += 1
                    yield clip
            except (GenerationError, UsageError) as error:
                # An error is that of the first request that is left. A new run continues after it.
                num_done += 1
                yield error

    def forget(self) -> None:
        """Drop the models from memory."""
        self._models.clear()
