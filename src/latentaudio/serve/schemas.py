"""Requests and answers of the HTTP interface, as pydantic models. Torch-free.

The fields of a request are those of `config.options.GenerationOptions` and `config.edits`, with
their limits and help. Only what a server cannot take is replaced: a path becomes a reference to a
file. A reference is the id of an uploaded file, `part:NAME` for a part of the same multipart
request, or `JOB/INDEX` for a clip of a finished job.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, Union, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model

from ..config.audio_formats import FORMATS
from ..config.edits import AnyEdit, EditOptions
from ..config.options import GenerationOptions, PromptCue

RAW_FORMAT = "pcm"
"""Samples without a header: 16 bits, little-endian, channels interleaved."""
FORMAT_NAMES = (*(extension.removeprefix(".") for extension in FORMATS), RAW_FORMAT)
MAX_ROWS = 64

JobStatus: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
Bundle: TypeAlias = Literal["", "zip", "jsonl"]
Region: TypeAlias = tuple[float, float]
"""Start and end in seconds."""

_SERVER_FIELDS = ("source_path", "source_sha256", "mask_sha256")
_FILE_HELP = "Reference to the clip: id of an uploaded file, part:NAME, or JOB/INDEX."
_MASK_HELP = (
    "Image of the spectrogram, white where it is regenerated: data:image/png;base64,..., "
    "or a reference to an uploaded image."
)


class WireModel(BaseModel):
    """Base of what clients send: unknown fields, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


def _fields_of(model: type[BaseModel], left_out: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of an options class as `create_model` takes them."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if name not in left_out:
            fields[name] = (info.annotation, info)
    return fields


def _edit_model(options: type[EditOptions]) -> type[WireModel]:
    """Return the wire form of an edit: `file` in place of a path."""
    fields = _fields_of(options, _SERVER_FIELDS)
    fields["file"] = (str, Field("", description=_FILE_HELP, max_length=200))
    if "mask" in fields:
        fields["mask"] = (str, Field("", description=_MASK_HELP, max_length=2**20))
    name = options.__name__.replace("Options", "Edit")
    return create_model(name, __base__=WireModel, __doc__=options.__doc__, **fields)


EDIT_MODELS: dict[str, type[WireModel]] = {
    options.model_fields["kind"].default: _edit_model(options)
    for options in get_args(get_args(AnyEdit)[0])
}
"""The wire form of each edit by its kind."""
_AnyEditModel: Any = Union[tuple(EDIT_MODELS.values())]  # noqa: UP007
WireEdit: Any = Annotated[_AnyEditModel, Field(discriminator="kind")]
"""The wire form of any edit."""

WireCue: Any = create_model(
    "Cue",
    __base__=WireModel,
    **{
        **_fields_of(PromptCue, ("audio_prompt", "audio_prompt_sha256")),
        "audio_prompt": (str, Field("", description=_FILE_HELP, max_length=200)),
    },
)
"""A cue of a timeline; its audio prompt is a reference."""


class MorphEnd(WireModel):
    """One end of a morph: a text, or audio."""

    text: str = Field("", description="A prompt.", max_length=2000)
    file: str = Field("", description=_FILE_HELP, max_length=200)


class Morph(WireModel):
    """A clip that begins as one sound and ends as another."""

    first: MorphEnd = Field(description="The beginning.")
    second: MorphEnd = Field(description="The end.")


def option_fields() -> dict[str, Any]:
    """Return the wire form of all options of generation."""
    fields = _fields_of(GenerationOptions, ("timeline", "edit", "model", "prompt"))
    prompt = GenerationOptions.model_fields["prompt"].description
    return {
        "prompt": (str, Field("", description=prompt, max_length=2000)),
        **fields,
        "model": (str, Field("", description="Model. Default: the first one.", max_length=200)),
        "adapter": (str, Field("", description="Adapter, see /v1/models.", max_length=200)),
        "timeline": (
            list[WireCue],
            Field([], description="Prompts with start times.", max_length=1000),
        ),
        "edit": (
            WireEdit | None,
            Field(None, description="Edit of a given clip. Default: a clip is generated."),
        ),
        "morph": (Morph | None, Field(None, description="Generate a morph of two sounds.")),
    }


Row: Any = create_model(
    "Row",
    __base__=WireModel,
    __doc__="Options of one clip; they replace those of the request.",
    **option_fields(),
)
"""Options of one row of a request."""

_REQUEST_FIELDS: dict[str, Any] = {
    "rows": (
        list[Row],
        Field([], description="Clips with options of their own.", max_length=MAX_ROWS),
    ),
    "regions": (
        list[Region],
        Field(
            [],
            description="Time ranges in seconds: one clip for each, with that range inpainted.",
            max_length=MAX_ROWS,
        ),
    ),
    "format": (
        Literal[FORMAT_NAMES],
        Field("wav", description="Format of the content; pcm is 16 bits without a header."),
    ),
    "subtype": (
        str | None,
        Field(None, description="Sample encoding, such as PCM_24 or FLOAT.", max_length=20),
    ),
    "dither": (bool, Field(False, description="Add noise of one step before rounding.")),
    "bundle": (
        Bundle,
        Field("", description="zip or jsonl for several clips. Default: audio, or zip."),
    ),
    "wait": (bool, Field(False, description="Answer with the content, not with a job.")),
    "exact": (bool, Field(False, description="Never share a batch on a GPU with others.")),
    "deadline_s": (
        float | None,
        Field(None, description="Seconds after which it is given up.", gt=0, le=86400),
    ),
    "preview_every": (
        int,
        Field(0, description="Steps between two preview pictures; 0: none.", ge=0, le=1000),
    ),
}

GenerationRequest: Any = create_model(
    "GenerationRequest",
    __base__=WireModel,
    __doc__="A request for clips: the options of a clip, and how the answer looks.",
    **option_fields(),
    **_REQUEST_FIELDS,
)
"""The body of `POST /v1/audio/generations`."""

ROW_FIELDS = frozenset(Row.model_fields)
"""Fields of a request that a row can replace."""


class ErrorInfo(BaseModel):
    """What went wrong, in words.

    Attributes:
        code: A stable name, such as "queue_full".
        message: One line: the problem, the value, a way out.
        param: The field of the request that it is about, or None.
    """

    code: str
    message: str
    param: str | None = None


class ErrorBody(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorInfo


class Clip(BaseModel):
    """One finished clip.

    Attributes:
        index: Number within the job, from 0.
        row: Number of its row, from 0.
        seed: Its seed.
        duration: Length in seconds.
        sample_rate: Hz.
        channels: 1 or 2.
        loudness: Integrated loudness in LUFS; None: too short or too quiet to measure.
        peak: Largest sample in dBFS; None: silence.
        score: CLAP similarity, if candidates were ranked.
        sha256: Hash of the content in the job's format.
        size: Bytes of the content in the job's format.
        content_url: Where the content is.
        options: The complete options, as its tags hold them.
    """

    index: int
    row: int
    seed: int
    duration: float
    sample_rate: int
    channels: int
    loudness: float | None
    peak: float | None
    score: float | None
    sha256: str
    size: int
    content_url: str
    options: dict[str, Any]


class Job(BaseModel):
    """A request and how far it is.

    Attributes:
        id: Its id.
        status: "queued", "running", "done", "failed" or "cancelled".
        created: Unix time in seconds.
        started: When its first step began, or None.
        finished: When it ended, or None.
        model: Name of the model.
        verb: "generate", "morph" or the kind of its edit.
        format: Format of the content.
        num_clips: Clips that it will have.
        position: Requests that are served before it; 0 while it runs; None when it has ended.
        eta_s: Estimated seconds until it is done; None when it has ended.
        steps_done: Sampling steps that are done.
        steps_total: Sampling steps in all.
        cached: Whether an earlier job had the same request.
        warnings: One line each.
        error: Why it failed or was cancelled, or None.
        clips: Finished clips.
        content_url: Where the content is when it is done.
        events_url: Where its events are.
    """

    id: str
    object: Literal["audio.generation"] = "audio.generation"
    status: JobStatus
    created: float
    started: float | None = None
    finished: float | None = None
    model: str
    verb: str
    format: str
    num_clips: int
    position: int | None = None
    eta_s: float | None = None
    steps_done: int = 0
    steps_total: int = 0
    cached: bool = False
    warnings: list[str] = []
    error: ErrorInfo | None = None
    clips: list[Clip] = []
    content_url: str
    events_url: str


class JobList(BaseModel):
    """Jobs, the newest first."""

    object: Literal["list"] = "list"
    data: list[Job]
    has_more: bool


class QueuedEvent(BaseModel):
    """Event `queued`: the place in the queue has changed."""

    position: int
    eta_s: float | None


class StepEvent(BaseModel):
    """Event `step`: a sampling step is done."""

    steps_done: int
    steps_total: int
    eta_s: float | None


class PreviewEvent(BaseModel):
    """Event `preview`: a picture of the spectrogram that the sampler has so far.

    Attributes:
        steps_done: Steps so far.
        image: data:image/png;base64,... Time runs to the right, frequency on the mel scale upwards.
    """

    steps_done: int
    image: str


class UploadedFile(BaseModel):
    """An uploaded file.

    Attributes:
        id: Its id, by which requests name it.
        kind: "audio" or "image".
        name: Name that the client gave.
        size: Bytes.
        sha256: Hash of its bytes.
        created: Unix time in seconds.
        expires: Unix time after which it is deleted. Each use renews it.
        duration: Length in seconds, of audio.
        sample_rate: Hz, of audio.
        channels: Channels, of audio.
        width: Pixels, of an image.
        height: Pixels, of an image.
    """

    id: str
    object: Literal["file"] = "file"
    kind: Literal["audio", "image"]
    name: str
    size: int
    sha256: str
    created: float
    expires: float
    duration: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    width: int | None = None
    height: int | None = None


class FileList(BaseModel):
    """Uploaded files, the newest first."""

    object: Literal["list"] = "list"
    data: list[UploadedFile]


class Model(BaseModel):
    """A model that is served.

    Attributes:
        id: Its name in requests.
        created: 0; the field is there for other clients.
        owned_by: "latentaudio".
        is_loaded: Whether its weights are in memory.
        description: The kind of sound it generates.
        license: License of its weights.
        sample_rate: Hz.
        max_duration: Seconds of one window.
        verbs: What it can do.
        presets: Presets.
        samplers: Samplers.
        adapters: Names for the field `adapter`.
        is_speech: Whether it needs a transcript.
        can_rank: Whether it can rank candidates.
        defaults: Default duration, preset, steps, guidance_scale and candidates.
    """

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "latentaudio"
    is_loaded: bool
    description: str
    license: str
    sample_rate: int
    max_duration: float
    verbs: list[str]
    presets: list[str]
    samplers: list[str]
    adapters: list[str]
    is_speech: bool
    can_rank: bool
    defaults: dict[str, Any]


class ModelList(BaseModel):
    """The models that are served; the first is the default."""

    object: Literal["list"] = "list"
    data: list[Model]


class LimitsInfo(BaseModel):
    """Limits of this server; 422 beyond them, 413 for sizes."""

    max_prompt_chars: int
    max_duration_s: float
    max_candidates: int
    max_clips: int
    max_steps: int
    max_upload_bytes: int
    max_json_bytes: int
    max_source_duration_s: float
    max_mask_pixels: int
    max_queue: int
    max_streams: int
    max_stream_s: float
    file_lifetime_s: float
    formats: list[str]


class Deleted(BaseModel):
    """Answer to the deletion of a file."""

    id: str
    deleted: Literal[True] = True


class Health(BaseModel):
    """Answer of `/health` and `/ready`: "ok", "ready", or why the server is not ready."""

    status: str
    version: str
