"""Answers of a listening test: one file, complete after every click."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...config.parsing import parse_json, read_bounded
from ...config.validation import format_validation_error
from ...errors import DataError, UsageError, first_line
from ...fileio import atomic_write
from .plan import ListeningPlan

FORMAT = "latentaudio listening test"
MAX_LISTENER_CHARS = 64


class Answer(BaseModel):
    """One rating.

    Attributes:
        listener: name of the person.
        system: folder of the clip.
        clip: name of the clip.
        question: "ovl" or "rel".
        rating: 1 to the scale of the test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    listener: str = Field(min_length=1, max_length=MAX_LISTENER_CHARS)
    system: str
    clip: str
    question: Literal["ovl", "rel"]
    rating: int = Field(ge=1)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a later answer replaces."""
        return self.listener, self.system, self.clip, self.question


class AnswerFile(BaseModel):
    """All answers of a test, as they are stored.

    Attributes:
        format: what the file is.
        schema_version: version of these fields.
        test_sha256: hash of the test's clips, texts, questions and loudness.
        systems: names of the systems, in the order of the command.
        scale: greatest rating.
        lufs: loudness of all clips.
        num_clips: number of clips of each system.
        answers: the ratings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["latentaudio listening test"] = "latentaudio listening test"
    schema_version: Literal[1] = 1
    test_sha256: str
    systems: tuple[str, ...] = Field(min_length=1)
    scale: int = Field(ge=2)
    lufs: float
    num_clips: int = Field(ge=1)
    answers: tuple[Answer, ...] = ()


def read_answers(path: Path) -> AnswerFile:
    """Read a file of answers.

    Raises:
        DataError: It cannot be read, or is no such file.
    """
    try:
        stored = parse_json(read_bounded(path))
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise DataError(f"{path} has no answers of `latentaudio listen`; name another file")
        answers = AnswerFile.model_validate(stored)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error}); check the name") from None
    except ValidationError as error:
        problem = format_validation_error(error, ())
        raise DataError(f"{path} is damaged: {problem}; name another file") from None
    except ValueError as error:
        raise DataError(
            f"{path} has no answers of `latentaudio listen` ({first_line(error)})"
        ) from None
    for answer in answers.answers:
        if answer.rating > answers.scale or answer.system not in answers.systems:
            raise DataError(
                f"{path} is damaged: an answer of {answer.listener!r:.40} is impossible"
            )
    return answers


class AnswerStore:
    """The answers of a running test; every change is on the disk before `put` returns."""

    def __init__(self, plan: ListeningPlan, path: Path) -> None:
        """Begin a file of answers, or go on with one. `save` writes the file.

        Args:
            plan: the test.
            path: the file.

        Raises:
            DataError: The file cannot be read.
            UsageError: It has the answers of another test.
        """
        self.plan = plan
        self.path = path
        self._lock = Lock()
        self._answers: dict[tuple[str, str, str, str], Answer] = {}
        if path.exists():
            stored = read_answers(path)
            if stored.test_sha256 != plan.sha256:
                raise UsageError(
                    f"{path} has the answers of another test (other clips, texts or settings); "
                    "name another file with --answers"
                )
            self._answers = {answer.key: answer for answer in stored.answers}

    @property
    def stored(self) -> AnswerFile:
        """The content of the file."""
        return AnswerFile(
            test_sha256=self.plan.sha256,
            systems=self.plan.systems,
            scale=self.plan.scale,
            lufs=self.plan.lufs,
            num_clips=len(self.plan.trials) // len(self.plan.systems),
            answers=tuple(self._answers.values()),
        )

    def put(self, listener: str, number: int, question: str, rating: int) -> None:
        """Store one rating; a later one replaces an earlier one.

        Args:
            listener: name of the person.
            number: number of the trial.
            question: one of the plan's.
            rating: 1 to the plan's scale.

        Raises:
            UsageError: A value is impossible.
            DataError: The file cannot be written.
        """
        if not 0 <= number < len(self.plan.trials):
            raise UsageError(f"there is no trial {number}")
        if question not in self.plan.questions:
            raise UsageError(f"there is no question {question!r:.40}")
        if not 1 <= rating <= self.plan.scale:
            raise UsageError(f"rating {rating} is not between 1 and {self.plan.scale}")
        trial = self.plan.trials[number]
        try:
            answer = Answer.model_validate(
                {
                    "listener": listener, "system": trial.system, "clip": trial.clip,
                    "question": question, "rating": rating,
                }
            )  # fmt: skip
        except ValidationError as error:
            raise UsageError(format_validation_error(error, ())) from None
        with self._lock:
            previous = self._answers.get(answer.key)
            self._answers[answer.key] = answer
            try:
                self.save()
            except DataError:
                # What is not on the disk must not count.
                self._answers.pop(answer.key)
                if previous is not None:
                    self._answers[answer.key] = previous
                raise

    def ratings_of(self, listener: str) -> dict[int, dict[str, int]]:
        """Return the ratings of a person by number of the trial and question."""
        numbers = {(t.system, t.clip): index for index, t in enumerate(self.plan.trials)}
        ratings: dict[int, dict[str, int]] = {}
        with self._lock:
            answers: Iterable[Answer] = list(self._answers.values())
        for answer in answers:
            if answer.listener == listener:
                number = numbers[answer.system, answer.clip]
                ratings.setdefault(number, {})[answer.question] = answer.rating
        return ratings

    def save(self) -> None:
        """Write the file.

        Raises:
            DataError: It cannot be written.
        """
        with atomic_write(self.path, create=False) as temporary:
            temporary.write_text(self.stored.model_dump_json(indent=1) + "\n", encoding="utf-8")
