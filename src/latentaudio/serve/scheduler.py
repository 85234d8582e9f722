"""Shares one worker thread among tasks, which take turns between two sampling steps.

Groups of clients have equal shares: each in turn runs its tasks for `turn_s` seconds, the one with
the least work left first. A task that is cancelled, or whose deadline has passed, leaves before the
next step. Where a batch is faster (GPU), tasks with the same `batch_key` that wait are run
together.

The scheduler knows nothing of models: the runner that it gets turns tasks into an iterator.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..errors import LatentAudioError

TURN_S = 1.0
"""Seconds that a group computes before the next one does. A short request is done within it."""
MAX_SIMULATED_TURNS = 2000
"""Turns that an estimate of waiting times looks ahead; longer ones are taken for more work."""
SPEED_MEMORY = 0.7
"""Weight of earlier measurements of the speed against the latest."""


class QueueFullError(LatentAudioError):
    """The queue has no place.

    `retry_after_s` says when half of its work is done. If refused clients came back for the first
    place that is free, most of them would be refused again, and answering them slows the work down.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CancelledError(LatentAudioError):
    """A client has cancelled its task, or has gone away."""


class DeadlineError(LatentAudioError):
    """The deadline of a task has passed."""


class StoppedError(LatentAudioError):
    """The server has stopped before the task was done."""


@dataclass(eq=False)
class Task:
    """A request, as the scheduler sees it.

    Attributes:
        group: Whose turns it uses; see `callers.Caller`.
        lane: Tasks of one lane are equally fast; the name of the model.
        num_units: Amount of work: sampling steps of one window.
        on_end: Called once, in the worker thread, with None or with what ended it.
        batch_key: Tasks with equal keys can share a batch; None: it runs alone.
        deadline: Time of the scheduler's clock at which it is given up.
        num_done: Units that are done; the runner sets it.
        ending: What will end it before the next step, or None.
        is_started: Whether its first step has begun.
        abort: Ends its computation on another machine, or None.
    """

    group: str
    lane: str
    num_units: float
    on_end: Callable[[BaseException | None], None]
    batch_key: object = None
    deadline: float = math.inf
    num_done: float = 0.0
    ending: BaseException | None = None
    is_started: bool = False
    abort: Callable[[], object] | None = None

    @property
    def num_left(self) -> float:
        """Units that are not done."""
        return max(self.num_units - self.num_done, 0.0)


@dataclass(frozen=True)
class Place:
    """Where a task stands.

    Attributes:
        position: Tasks that begin before it, and 1; 0: it has begun.
        eta_s: Seconds until it is done; None: the speed is not known yet.
    """

    position: int
    eta_s: float | None


MakeSteps: TypeAlias = Callable[[Sequence[Task]], Iterator[object]]
"""Returns an iterator over the steps of some tasks. It sets `num_done` of each."""


@dataclass(eq=False)
class _Run:
    """Tasks that are computed together, and their steps."""

    tasks: list[Task]
    steps: Iterator[object]
    seconds: float = 0.0


@dataclass
class _Queue:
    """The tasks of each group; the first group has its turn.

    Attributes:
        by_group: Tasks by group.
        turn_used_s: Seconds that the first group has used of its turn.
    """

    by_group: dict[str, list[Task]] = field(default_factory=dict)
    turn_used_s: float = 0.0

    def tasks(self) -> list[Task]:
        """Return all tasks."""
        return [task for tasks in self.by_group.values() for task in tasks]

    def remove(self, task: Task) -> None:
        """Remove a task, if it is there. A group whose task has left waits for its next turn."""
        tasks = self.by_group.get(task.group, [])
        if task in tasks:
            tasks.remove(task)
            if task.group == next(iter(self.by_group)):
                self.end_turn()
        if not tasks:
            self.by_group.pop(task.group, None)

    def end_turn(self) -> None:
        """Move the first group to the end."""
        group = next(iter(self.by_group))
        self.by_group[group] = self.by_group.pop(group)
        self.turn_used_s = 0.0


class Scheduler:
    """Runs the steps of tasks in one thread.

    All methods but `run` may be called from any thread.

    Attributes:
        make_steps: Makes the steps of tasks.
        max_tasks: Tasks that are waiting or running; more are refused.
        max_tasks_per_group: The same of one group.
        batch_size: Tasks that are computed together at most.
        turn_s: Seconds of a turn.
        clock: Returns a time in seconds.
    """

    def __init__(
        self,
        make_steps: MakeSteps,
        *,
        max_tasks: int = 256,
        max_tasks_per_group: int = 256,
        batch_size: int = 1,
        turn_s: float = TURN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.make_steps = make_steps
        self.max_tasks = max_tasks
        self.max_tasks_per_group = max_tasks_per_group
        self.batch_size = batch_size
        self.turn_s = turn_s
        self.clock = clock
        self._queue = _Queue()
        self._runs: dict[Task, _Run] = {}
        self._left: list[Task] = []
        self._speeds: dict[str, float] = {}
        self._changed = threading.Condition()
        self._is_stopping = False
        self._idle_since = clock()

    @property
    def num_tasks(self) -> int:
        """Tasks that are waiting or running."""
        with self._changed:
            return len(self._queue.tasks())

    @property
    def idle_s(self) -> float:
        """Seconds since the last task ended; 0 while there is one."""
        with self._changed:
            return 0.0 if self._queue.by_group else self.clock() - self._idle_since

    def submit(self, task: Task, *, has_place: bool = False) -> None:
        """Add a task.

        Args:
            task: The task.
            has_place: Whether it goes on with a task that was taken, so that it is not refused.

        Raises:
            QueueFullError: There is no place for it.
            StoppedError: The scheduler is stopping.
        """
        with self._changed:
            if self._is_stopping:
                raise StoppedError("the server is stopping; try again later")
            if not has_place:
                self._check_room(task.group)
            self._queue.by_group.setdefault(task.group, []).append(task)
            self._changed.notify()

    def check_room(self, group: str) -> None:
        """Raise QueueFullError if a task of a group would be refused now."""
        with self._changed:
            self._check_room(group)

    def cancel(self, task: Task, reason: BaseException) -> None:
        """Free the place of a task. It ends before the next step; one that has ended stays so."""
        with self._changed:
            if task.ending is None and task in self._queue.by_group.get(task.group, ()):
                self._leave(task, reason)
            self._changed.notify()

    def places(self) -> dict[Task, Place]:
        """Return where each task stands."""
        with self._changed:
            return _simulate(self._queue, self._speeds, self.turn_s)

    def stop(self) -> None:
        """End all tasks, and `run`."""
        with self._changed:
            self._is_stopping = True
            for task in self._queue.tasks():
                self._leave(task, StoppedError("the server has stopped; send the request again"))
            self._changed.notify()

    def run(self) -> None:
        """Run tasks until `stop` is called."""
        while True:
            with self._changed:
                while not (self._queue.by_group or self._left or self._is_stopping):
                    self._changed.wait()
            self.step()
            with self._changed:
                if self._is_stopping and not self._left:
                    return

    def step(self) -> bool:
        """End tasks that have left, and run one step; return whether there was one to run."""
        with self._changed:
            self._expire()
            left = list(self._left)
            self._left.clear()
        for task in left:
            self._end(task, task.ending)
        with self._changed:
            run = self._choose()
        if run is None:
            return False
        start = self.clock()
        error: BaseException | None = None
        try:
            is_done = next(run.steps, run) is run
        except Exception as caught:  # of one request; the others go on
            error = caught
            is_done = True
        self._account(run, self.clock() - start, is_done, error)
        return True

    def _check_room(self, group: str) -> None:
        tasks = self._queue.tasks()
        of_group = self._queue.by_group.get(group, [])
        if len(tasks) >= self.max_tasks or len(of_group) >= self.max_tasks_per_group:
            raise QueueFullError(
                f"{len(tasks)} requests are waiting, of which {len(of_group)} are yours; "
                "try again later",
                sum(map(self._seconds_left, tasks)) / 2,
            )

    def _leave(self, task: Task, reason: BaseException) -> None:
        """Take a task out of the queue; `step` ends it."""
        task.ending = reason
        self._queue.remove(task)
        self._left.append(task)
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._queue.by_group:
            self._idle_since = self.clock()

    def _expire(self) -> None:
        """Take tasks out of the queue whose deadline has passed."""
        now = self.clock()
        for task in self._queue.tasks():
            if task.deadline <= now:
                self._leave(task, DeadlineError("the deadline has passed; set a longer deadline_s"))

    def _end(self, task: Task, error: BaseException | None) -> None:
        """Report the end of a task; close its run if no other task is in it."""
        run = self._runs.pop(task, None)
        if run is not None:
            run.tasks.remove(task)
            close = getattr(run.steps, "close", None)
            if not run.tasks and close is not None:
                close()
        task.on_end(error)

    def _choose(self) -> _Run | None:
        """Return the run whose turn it is; None if no task waits."""
        queue = self._queue
        if not queue.by_group:
            return None
        if queue.turn_used_s >= self.turn_s:
            queue.end_turn()
        tasks = queue.by_group[next(iter(queue.by_group))]
        task = min(tasks, key=self._seconds_left)
        if task not in self._runs:
            members = self._companions(task)
            run = _Run(members, self.make_steps(tuple(members)))
            for member in members:
                member.is_started = True
                self._runs[member] = run
        return self._runs[task]

    def _companions(self, task: Task) -> list[Task]:
        """Return a task that begins, and those that share its batch."""
        members = [task]
        if task.batch_key is not None:
            for other in self._queue.tasks():
                is_free = not other.is_started and other is not task
                if is_free and other.batch_key == task.batch_key:
                    members.append(other)
        return members[: self.batch_size]

    def _account(
        self, run: _Run, seconds: float, is_done: bool, error: BaseException | None
    ) -> None:
        """Count a step, and end the tasks of a run that is done."""
        run.seconds += seconds
        with self._changed:
            self._queue.turn_used_s += seconds
            done = [task for task in run.tasks if task.ending is None] if is_done else []
            for task in done:
                self._queue.remove(task)
            if done and error is None:
                self._learn_speed(done, run.seconds)
            self._note_idle()
        for task in done:
            self._end(task, error)

    def _learn_speed(self, tasks: Sequence[Task], seconds: float) -> None:
        latest = seconds / max(sum(task.num_units for task in tasks), 1.0)
        lane = tasks[0].lane
        earlier = self._speeds.get(lane, latest)
        self._speeds[lane] = SPEED_MEMORY * earlier + (1 - SPEED_MEMORY) * latest

    def _seconds_left(self, task: Task) -> float:
        return task.num_left * self._speeds.get(task.lane, 1.0)


@dataclass(eq=False)
class _TaskLeft:
    """A task while the turns of a queue are played.

    Attributes:
        task: The task.
        seconds_left: Its work that is left.
        position: Tasks that begin before it, and 1; 0: it has begun, or has had no turn.
    """

    task: Task
    seconds_left: float
    position: int = 0


def _simulate(queue: _Queue, speeds: dict[str, float], turn_s: float) -> dict[Task, Place]:
    """Play the turns of a queue to its end.

    Args:
        queue: The tasks.
        speeds: Seconds per unit of each lane.
        turn_s: Seconds of a turn.

    Returns:
        The place of each task.
    """
    groups: list[list[_TaskLeft]] = []
    total = 0.0
    for tasks in queue.by_group.values():
        rows = [_TaskLeft(task, task.num_left * speeds.get(task.lane, 1.0)) for task in tasks]
        total += sum(row.seconds_left for row in rows)
        groups.append(sorted(rows, key=lambda row: row.seconds_left))
    turn_s = max(turn_s, total / MAX_SIMULATED_TURNS, 1e-9)
    left_of_turn = max(turn_s - queue.turn_used_s, 0.0)
    places: dict[Task, Place] = {}
    num_begun = 0
    now = 0.0
    while groups:
        rows = groups.pop(0)
        row = rows[0]
        if not (row.task.is_started or row.position):
            num_begun += 1
            row.position = num_begun
        used = min(row.seconds_left, left_of_turn)
        left_of_turn = turn_s
        now += used
        row.seconds_left -= used
        if row.seconds_left <= 0.0:
            rows.pop(0)
            eta = now if row.task.lane in speeds else None
            places[row.task] = Place(row.position, eta)
        if rows:
            groups.append(rows)
    return places
