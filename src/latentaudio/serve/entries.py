"""One job as the server keeps it, and the index of all jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..audio.io import Audio
from ..config.options import GenerationOptions
from ..errors import UsageError
from .content import FileEncoding
from .limits import Limits
from .planning import Plan
from .problems import Problem
from .scheduler import Task
from .schemas import Job, PreviewEvent
from .store import JOB_PREFIX, Store, new_id

ENDED = ("done", "failed", "cancelled")
"""States of a job that do not change any more."""
PATH = "/v1/audio/generations"


@dataclass(frozen=True)
class ClipFile:
    """What the samples of a stored clip need to become a file.

    Attributes:
        tags: Tags of the file.
        is_loop: Whether the clip repeats.
    """

    tags: Mapping[str, str]
    is_loop: bool


@dataclass(eq=False)
class Entry:
    """A job, who sent it, and who waits for it. Only the thread of the event loop changes it.

    Attributes:
        job: What clients see.
        owner: Who sent it; see `callers.Caller`.
        encoding: Format of its content.
        digest: Hash of everything that decides the content, or "".
        bundle: How several clips are answered.
        preview_every: Steps between two previews; 0: none.
        plan: What is computed, until it has ended.
        task: Its place in the scheduler, until it has ended.
        files: Facts of its clips.
        result: Fields of the job once its clips are stored, until it has ended.
        preview: The latest preview.
        num_changes: How often it has changed.
        num_bytes: Bytes on disk.
        idempotency: The client's key and the hash of its body, or None.
    """

    job: Job
    owner: str
    encoding: FileEncoding
    digest: str = ""
    bundle: str = ""
    preview_every: int = 0
    plan: Plan | None = None
    task: Task | None = None
    files: list[ClipFile] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    preview: PreviewEvent | None = None
    num_changes: int = 0
    num_bytes: int = 0
    idempotency: tuple[str, str] | None = None
    _waiters: set[asyncio.Event] = field(default_factory=set)

    @property
    def is_ended(self) -> bool:
        """Whether it does not change any more."""
        return self.job.status in ENDED

    def change(self, **values: Any) -> None:
        """Set fields of the job and wake those who wait."""
        self.job = self.job.model_copy(update=values)
        self.num_changes += 1
        for waiter in self._waiters:
            waiter.set()

    async def wait_for_change(self, seen: int, timeout_s: float) -> None:
        """Return when the job has changed more than `seen` times, or after some seconds."""
        if self.num_changes > seen:
            return
        waiter = asyncio.Event()
        self._waiters.add(waiter)
        try:
            await asyncio.wait_for(waiter.wait(), timeout_s)
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(waiter)

    def to_record(self) -> dict[str, Any]:
        """Return what the store keeps."""
        encoding = [self.encoding.format, self.encoding.subtype, self.encoding.dither]
        return {
            "client": self.owner,
            "digest": self.digest,
            "bundle": self.bundle,
            "encoding": encoding,
            "idempotency": self.idempotency,
            "files": [[dict(file.tags), file.is_loop] for file in self.files],
            "job": self.job.model_dump(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Entry:
        """Return the job of a record.

        Raises:
            KeyError, TypeError or ValueError: It is none.
        """
        key = record["idempotency"]
        return cls(
            Job(**record["job"]),
            str(record["client"]),
            FileEncoding(*record["encoding"]),
            digest=str(record["digest"]),
            bundle=str(record["bundle"]),
            files=[ClipFile(tags, bool(is_loop)) for tags, is_loop in record["files"]],
            idempotency=(str(key[0]), str(key[1])) if key else None,
        )


def new_entry(owner: str, plan: Plan, wire: Mapping[str, Any]) -> Entry:
    """Return the entry of a request that has just been planned."""
    name = new_id(JOB_PREFIX)
    job = Job(
        id=name,
        status="queued",
        created=time.time(),
        model=plan.model,
        verb=plan.verb,
        format=plan.encoding.format,
        num_clips=plan.num_clips,
        steps_total=plan.num_steps,
        warnings=list(plan.warnings),
        content_url=f"{PATH}/{name}/content",
        events_url=f"{PATH}/{name}/events",
    )
    return Entry(
        job,
        owner,
        plan.encoding,
        digest=plan.digest,
        bundle=wire.get("bundle", ""),
        preview_every=wire.get("preview_every", 0),
        plan=plan,
    )


class JobIndex:
    """All jobs, the oldest first. `evict` removes ended ones beyond the limits.

    Attributes:
        store: Where clips are.
        limits: How much is kept.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        """Read the finished jobs of a store."""
        self.store = store
        self.limits = limits
        self._entries: dict[str, Entry] = {}
        self._by_digest: dict[str, str] = {}
        stored = []
        for name, record in store.records():
            try:
                entry = Entry.from_record(record)
            except (KeyError, TypeError, ValueError, IndexError):
                continue
            if entry.job.id == name:
                entry.num_bytes = store.job_bytes(name)
                stored.append(entry)
        for entry in sorted(stored, key=lambda each: each.job.created):
            self.add(entry)
            self.note_done(entry)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over all jobs."""
        return iter(list(self._entries.values()))

    def add(self, entry: Entry) -> None:
        """Add a job."""
        self._entries[entry.job.id] = entry

    def note_done(self, entry: Entry) -> None:
        """Let the same request be answered with the clips of a finished job."""
        if entry.digest:
            self._by_digest[entry.digest] = entry.job.id

    def with_digest(self, digest: str) -> Entry | None:
        """Return a finished job with some content."""
        return self._entries.get(self._by_digest.get(digest, "")) if digest else None

    def get(self, owner: str, job: str) -> Entry:
        """Return a job of an owner.

        Raises:
            Problem: The owner has no such job.
        """
        entry = self._entries.get(job)
        if entry is None or entry.owner != owner:
            raise Problem("not_found", f"there is no job {job!r:.60}; it may have been removed")
        return entry

    def of_owner(self, owner: str) -> list[Entry]:
        """Return the jobs of an owner, the newest first."""
        return [entry for entry in reversed(self._entries.values()) if entry.owner == owner]

    def remove(self, entry: Entry) -> None:
        """Remove a job that has ended, and its clips."""
        self._entries.pop(entry.job.id, None)
        if self._by_digest.get(entry.digest) == entry.job.id:
            del self._by_digest[entry.digest]
        if entry.job.status == "done":
            self.store.remove_job(entry.job.id)

    def evict(self, num_file_bytes: int) -> list[Entry]:
        """Remove the oldest jobs that are too many, or whose clips take too much room.

        Args:
            num_file_bytes: Bytes of uploaded files, which use the same room.

        Returns:
            The jobs that were removed.
        """
        removed = []
        ended = [entry for entry in self._entries.values() if entry.is_ended]
        num_bytes = num_file_bytes + sum(entry.num_bytes for entry in ended)
        num_left = len(ended)
        for entry in ended:
            if num_left <= self.limits.max_jobs and num_bytes <= self.limits.max_stored_bytes:
                break
            self.remove(entry)
            removed.append(entry)
            num_left -= 1
            num_bytes -= entry.num_bytes
        return removed

    def read_audio(self, owner: str, job: str, index: int) -> Audio:
        """Return a clip of a finished job of an owner.

        Raises:
            Problem: The owner has no such clip.
        """
        try:
            entry = self.get(owner, job)
        except Problem as problem:
            raise Problem("invalid_request", problem.info.message) from None
        if entry.job.status != "done" or index >= len(entry.job.clips):
            raise UsageError(f"{job}/{index} is not a clip of a finished job")
        try:
            samples = self.store.read_clip(job, index)
        except OSError:
            raise UsageError(f"{job}/{index} has just been removed; upload the clip") from None
        return Audio(samples, entry.job.clips[index].sample_rate, GenerationOptions(prompt="-"))
