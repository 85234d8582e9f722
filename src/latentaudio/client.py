"""A client of `latentaudio serve`: typed, synchronous, over httpx.

    from latentaudio.client import Client
    with Client("http://127.0.0.1:8123") as client:
        [sound] = client.generate("a dog barking in the rain", duration=5, seed=7)
        sound.save("dog.wav")

It needs neither torch nor a model. Requests and answers are those of `serve.schemas`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, Unpack

from pydantic import TypeAdapter

from .config.extras import install_command
from .config.options import GenerationOverrides
from .errors import DataError, LatentAudioError
from .fileio import atomic_write, user_path
from .serve.schemas import (
    Clip,
    Job,
    JobList,
    LimitsInfo,
    Model,
    ModelList,
    PreviewEvent,
    QueuedEvent,
    StepEvent,
    UploadedFile,
)

try:
    import httpx
except ImportError as error:
    raise ImportError(
        f"latentaudio.client needs the package httpx; run {install_command('client')}"
    ) from error

__all__ = ["Client", "Event", "ServerError", "Sound"]

DEFAULT_URL = "http://127.0.0.1:8123"
JOBS = "/v1/audio/generations"
FILES = "/v1/files"
STREAM = "/v1/audio/stream"
DEFAULT_TIMEOUT_S = 60.0
"""Seconds without a byte from the server; it sends one each 15 s while a job runs."""

Event: TypeAlias = QueuedEvent | StepEvent | PreviewEvent | Job
"""What happens to a job; the last one is the job itself, when it has ended."""
EditKind: TypeAlias = Literal["transfer", "vary", "inpaint", "extend", "loop", "super_resolve"]
SoundInput: TypeAlias = "str | Path | bytes | UploadedFile | Sound"
"""A file on this machine, its bytes, an uploaded file, or a sound of the server."""

_EVENTS: Mapping[str, TypeAdapter[Event]] = {
    "queued": TypeAdapter(QueuedEvent),
    "step": TypeAdapter(StepEvent),
    "preview": TypeAdapter(PreviewEvent),
    "done": TypeAdapter(Job),
}


class ServerError(LatentAudioError):
    """An answer of the server that is no success, or none at all.

    Attributes:
        status: Status of HTTP; 0: there was no answer.
        code: The server's stable name of the error, such as "queue_full"; "" if it sent none.
        param: The field of the request that it is about, or None.
        retry_after_s: Seconds after which the server expects to take the request, or None.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        code: str = "",
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Sound:
    """A finished clip: the bytes of its file, and what the server tells about it.

    Attributes:
        data: The file, with its tags.
        clip: Seed, duration, loudness, options.
        reference: How requests name it while the server keeps its job.
    """

    data: bytes
    clip: Clip
    reference: str

    @property
    def seed(self) -> int:
        """The seed of the clip."""
        return self.clip.seed

    def save(self, path: str | Path) -> Path:
        """Write the file, completely or not at all; the format is that of the request.

        Raises:
            DataError: It cannot be written.
        """
        target = user_path(path)
        with atomic_write(target, create=False) as temporary:
            temporary.write_bytes(self.data)
        return target


class RequestFields(GenerationOverrides, total=False):
    """Keywords of requests: the options of a generation, and how the server shall answer."""

    model: str
    adapter: str
    format: str
    subtype: str
    dither: bool
    exact: bool
    deadline_s: float
    preview_every: int


class Client:
    """A connection to one server. Close it, or use it in a `with` block."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Remember the address; nothing is sent yet.

        Args:
            base_url: Address of the server.
            api_key: Key, if the server wants one.
            timeout_s: Seconds without a byte after which a call fails.
            transport: Transport of httpx, for tests.
        """
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(
            base_url=base_url, headers=headers, timeout=timeout_s, transport=transport
        )

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def models(self) -> list[Model]:
        """Return the models of the server; the first is the default."""
        return ModelList.model_validate_json(self._call("GET", "/v1/models").content).data

    def limits(self) -> LimitsInfo:
        """Return the limits of the server."""
        return LimitsInfo.model_validate_json(self._call("GET", "/v1/limits").content)

    def generate(self, prompt: str = "", **fields: Unpack[RequestFields]) -> list[Sound]:
        """Generate clips and wait for them.

        Args:
            prompt: The prompt.
            **fields: Options of a generation, and `model`, `adapter`, `format` and others.

        Returns:
            The clips in order.

        Raises:
            ServerError: The server refused the request, or could not finish it.
        """
        return self.sounds(self.wait(self.submit({"prompt": prompt, **fields})))

    def edit(
        self,
        kind: EditKind,
        audio: SoundInput,
        prompt: str = "",
        *,
        strength: float | None = None,
        time_ranges: Sequence[tuple[float, float]] | None = None,
        frequency_ranges: Sequence[tuple[float, float]] | None = None,
        mask: SoundInput | None = None,
        in_context: bool | None = None,
        cutoff_hz: float | None = None,
        before: float | None = None,
        after: float | None = None,
        **fields: Unpack[RequestFields],
    ) -> list[Sound]:
        """Edit a clip and wait for the result. `mask` is a picture, white where sound is made anew.

        The options of edits are those of `AudioLDM.transfer`, `inpaint` and the other methods.

        Raises:
            ServerError: The server refused the request, or could not finish it.
            DataError: A file cannot be read.
        """
        values: dict[str, Any] = {
            "strength": strength,
            "time_ranges": time_ranges,
            "frequency_ranges": frequency_ranges,
            "mask": None if mask is None else self._reference(mask),
            "in_context": in_context,
            "cutoff_hz": cutoff_hz,
            "before": before,
            "after": after,
            "loop_seam": fields.pop("loop_seam", None) if kind == "loop" else None,
        }
        edit = {name: value for name, value in values.items() if value is not None}
        request = {
            "prompt": prompt,
            **fields,
            "edit": {"kind": kind, "file": self._reference(audio), **edit},
        }
        return self.sounds(self.wait(self.submit(request)))

    def stream(self, prompt: str = "", **fields: Unpack[RequestFields]) -> Iterator[bytes]:
        """Yield the bytes of a WAV file of any length while it is generated.

        Leaving the loop ends the computation.

        Args:
            prompt: The prompt.
            **fields: Options of a stream; without `duration` it is as long as the server allows.

        Raises:
            ServerError: The server refused the request, or the stream ended early.
        """
        try:
            with self._http.stream("POST", STREAM, json={"prompt": prompt, **fields}) as answer:
                if answer.is_error:
                    answer.read()
                    raise _error_of(answer)
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise _no_answer(error, self._http) from None

    def submit(self, request: Mapping[str, Any], idempotency_key: str = "") -> Job:
        """Send a request and return its job at once.

        Args:
            request: Fields of `serve.schemas.GenerationRequest`.
            idempotency_key: Any text; the same key with the same request gives the same job.

        Raises:
            ServerError: The server refused the request.
        """
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = {name: value for name, value in request.items() if value is not None}
        answer = self._call("POST", JOBS, json=body, headers=headers)
        return Job.model_validate_json(answer.content)

    def get(self, job: Job | str) -> Job:
        """Return how far a job is."""
        return Job.model_validate_json(self._call("GET", f"{JOBS}/{_id(job)}").content)

    def jobs(self, limit: int = 20) -> list[Job]:
        """Return the newest jobs, the newest first."""
        answer = self._call("GET", JOBS, params={"limit": limit})
        return JobList.model_validate_json(answer.content).data

    def events(self, job: Job | str) -> Iterator[Event]:
        """Yield what happens to a job until it has ended; the last event is the job.

        Raises:
            ServerError: There is no such job, or the connection broke.
        """
        try:
            with self._http.stream("GET", f"{JOBS}/{_id(job)}/events") as answer:
                if answer.is_error:
                    answer.read()
                    raise _error_of(answer)
                name = ""
                for line in answer.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data" and name in _EVENTS:
                        yield _EVENTS[name].validate_json(value)
        except httpx.HTTPError as error:
            raise _no_answer(error, self._http) from None

    def wait(self, job: Job | str) -> Job:
        """Return a job when it has ended.

        Raises:
            ServerError: It failed or was canceled.
        """
        last: Job | None = None
        for event in self.events(job):
            last = event if isinstance(event, Job) else None
        if last is None:
            raise ServerError("the events of the job ended early; ask for it again")
        if last.status != "done":
            error = last.error
            message = error.message if error else f"the job is {last.status}"
            raise ServerError(message, 0, error.code if error else last.status)
        return last

    def cancel(self, job: Job | str) -> Job:
        """Cancel a job that waits or runs; remove one that has ended, with its clips."""
        return Job.model_validate_json(self._call("DELETE", f"{JOBS}/{_id(job)}").content)

    def sounds(self, job: Job, format: str = "") -> list[Sound]:
        """Download the clips of a finished job.

        Args:
            job: The job.
            format: Another format than that of the request; "": the same.
        """
        parameters = {"format": format} if format else {}
        sounds = []
        for clip in job.clips:
            answer = self._call(
                "GET", f"{JOBS}/{job.id}/content", params={"clip": clip.index, **parameters}
            )
            sounds.append(Sound(answer.content, clip, f"{job.id}/{clip.index}"))
        return sounds

    def upload(self, file: str | Path | bytes, name: str = "") -> UploadedFile:
        """Upload a sound or a picture, so that several requests can name it.

        Args:
            file: A file of this machine, or its bytes.
            name: A name for lists. Default: that of the file.

        Raises:
            DataError: The file cannot be read.
            ServerError: The server refused it.
        """
        data = file if isinstance(file, bytes) else _read(user_path(file))
        shown = name or ("upload" if isinstance(file, bytes) else Path(file).name)
        answer = self._call("POST", FILES, files={"file": (shown, data)})
        return UploadedFile.model_validate_json(answer.content)

    def _reference(self, sound: SoundInput) -> str:
        """Return how a request names a sound or a picture; files and bytes are uploaded."""
        if isinstance(sound, Sound):
            return sound.reference
        if isinstance(sound, UploadedFile):
            return sound.id
        return self.upload(sound).id

    def _call(self, method: str, path: str, **settings: Any) -> httpx.Response:
        """Return the answer to a request; raise `ServerError` for any other than success."""
        try:
            answer = self._http.request(method, path, **settings)
        except httpx.HTTPError as error:
            raise _no_answer(error, self._http) from None
        if answer.is_error:
            raise _error_of(answer)
        return answer


def _id(job: Job | str) -> str:
    return job if isinstance(job, str) else job.id


def _read(path: Path) -> bytes:
    """The bytes of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check its name") from None


def _error_of(answer: httpx.Response) -> ServerError:
    """The error that an answer holds, or one that tells its status."""
    error: Any = None
    with suppress(ValueError, AttributeError):  # another program may answer at the address
        error = answer.json().get("error")
    if not isinstance(error, Mapping):
        error = {"message": f"the server answered with status {answer.status_code}"}
    wait = answer.headers.get("retry-after", "")
    return ServerError(
        str(error.get("message")),
        answer.status_code,
        str(error.get("code") or ""),
        error.get("param"),
        float(wait) if wait.isdecimal() else None,
    )


def _no_answer(error: httpx.HTTPError, http: httpx.Client) -> ServerError:
    """An error for a server that cannot be reached."""
    reason = str(error) or type(error).__name__
    return ServerError(f"{http.base_url} does not answer ({reason}); is latentaudio serve running?")
