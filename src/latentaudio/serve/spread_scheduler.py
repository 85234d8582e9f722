"""A scheduler for tasks that are computed elsewhere: each has a thread that waits for its steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from .scheduler import DeadlineError, MakeSteps, Place, QueueFullError, StoppedError, Task

CHECK_S = 0.2
"""Seconds between two looks at deadlines."""
RETRY_AFTER_S = 5.0
"""Seconds after which a refused client may ask again."""


class SpreadScheduler:
    """Runs every task at once, in a thread of its own. It has the methods of `Scheduler`.

    Attributes:
        make_steps: Makes the steps of a task; they wait for another machine.
        max_tasks: Tasks that are waiting or running; more are refused.
        max_tasks_per_group: The same of one group.
    """

    def __init__(self, make_steps: MakeSteps, *, max_tasks: int, max_tasks_per_group: int) -> None:
        self.make_steps = make_steps
        self.max_tasks = max_tasks
        self.max_tasks_per_group = max_tasks_per_group
        self._tasks: list[Task] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._idle_since = time.monotonic()
        # tasks that have left may still wait for their last step
        self._threads = ThreadPoolExecutor(2 * max_tasks, thread_name_prefix="task")

    @property
    def num_tasks(self) -> int:
        """Tasks that are waiting or running."""
        with self._lock:
            return len(self._tasks)

    @property
    def idle_s(self) -> float:
        """Seconds since the last task ended; 0 while there is one."""
        with self._lock:
            return 0.0 if self._tasks else time.monotonic() - self._idle_since

    def check_room(self, group: str) -> None:
        """Raise QueueFullError if a task of a group would be refused now."""
        with self._lock:
            self._check_room(group)

    def submit(self, task: Task, *, has_place: bool = False) -> None:
        """Start a task.

        Args:
            task: The task.
            has_place: Whether it goes on with a task that was taken, so that it is not refused.

        Raises:
            QueueFullError: There is no place for it.
            StoppedError: The scheduler is stopping.
        """
        with self._lock:
            if self._stopping.is_set():
                raise StoppedError("the server is stopping; try again later")
            if not has_place:
                self._check_room(task.group)
            self._tasks.append(task)
        self._threads.submit(self._run_task, task)

    def cancel(self, task: Task, reason: BaseException) -> None:
        """Free the place of a task. It ends with the step; one that has ended stays so."""
        with self._lock:
            self._leave(task, reason)

    def places(self) -> dict[Task, Place]:
        """Return where each task stands; how long other machines take is not known."""
        places = {}
        num_waiting = 0
        with self._lock:
            for task in self._tasks:
                num_waiting += not task.is_started
                places[task] = Place(0 if task.is_started else num_waiting, None)
        return places

    def stop(self) -> None:
        """End all tasks, and `run`."""
        with self._lock:
            self._stopping.set()
            for task in list(self._tasks):
                self._leave(task, StoppedError("the server has stopped; send the request again"))

    def run(self) -> None:
        """End tasks whose deadline has passed, until `stop` is called."""
        while not self._stopping.wait(CHECK_S):
            now = time.monotonic()
            with self._lock:
                for task in [each for each in self._tasks if each.deadline <= now]:
                    reason = "the deadline has passed; set a longer deadline_s"
                    self._leave(task, DeadlineError(reason))
        self._threads.shutdown()

    def _check_room(self, group: str) -> None:
        num_own = sum(task.group == group for task in self._tasks)
        if len(self._tasks) >= self.max_tasks or num_own >= self.max_tasks_per_group:
            raise QueueFullError(
                f"{len(self._tasks)} requests are waiting, of which {num_own} are yours; "
                "try again later",
                RETRY_AFTER_S,
            )

    def _leave(self, task: Task, reason: BaseException) -> None:
        """Take a task out; its thread ends it."""
        if task.ending is not None or task not in self._tasks:
            return
        task.ending = reason
        self._remove(task)
        if task.abort is not None:
            with suppress(Exception):  # it has ended meanwhile
                task.abort()

    def _remove(self, task: Task) -> None:
        self._tasks.remove(task)
        if not self._tasks:
            self._idle_since = time.monotonic()

    def _run_task(self, task: Task) -> None:
        """Wait for the steps of a task, and report its end."""
        error: BaseException | None = None
        steps: Iterator[object] | None = None
        try:
            steps = self.make_steps((task,))
            while task.ending is None and next(steps, steps) is not steps:
                task.is_started = True
        except BaseException as caught:  # of one request; the others go on
            error = caught
        close = getattr(steps, "close", None)
        if close is not None:
            close()
        with self._lock:
            if task in self._tasks:
                self._remove(task)
        task.on_end(task.ending or error)
