"""Speed, time limit and time left of a run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Speed and time limit of a run. Setup counts for the limit, but not for the speed.

    Attributes:
        max_seconds: Time limit in seconds.
        first_step: Steps that were done before this command.
        start: Time when the command started, of `time.monotonic`.
        seconds_before: Seconds of earlier commands that count for the limit.
    """

    max_seconds: float
    first_step: int
    start: float
    seconds_before: float = 0.0
    loop_start: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Return the seconds of this command and of earlier ones that count."""
        return self.seconds_before + time.monotonic() - self.start

    def seconds_in_loop(self) -> float:
        """Return the time since the setup ended."""
        return time.monotonic() - self.loop_start

    def seconds_per_step(self, step: int) -> float:
        """Return the mean time of a step.

        Args:
            step: Number of steps done.
        """
        return self.seconds_in_loop() / max(1, step - self.first_step)

    def is_out_of_time(self, seconds_per_step: float) -> bool:
        """Return whether the next step would end after the limit.

        Args:
            seconds_per_step: Time of a step.
        """
        return self.elapsed() + seconds_per_step > self.max_seconds

    def fraction(self) -> float:
        """Return the part of the time limit that has passed, 0 to 1."""
        return min(1.0, self.elapsed() / self.max_seconds)

    def seconds_left(self, num_steps: int, seconds_per_step: float) -> float:
        """Return the time until the last step or the limit, whichever comes first.

        Args:
            num_steps: Steps to do.
            seconds_per_step: Time of a step.
        """
        until_limit = max(0.0, self.max_seconds - self.elapsed())
        return min(num_steps * seconds_per_step, until_limit)
