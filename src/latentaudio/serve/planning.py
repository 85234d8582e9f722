"""From a request on the wire to resolved requests of models: all that needs no weights."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..audio.io import software
from ..audio.watermark import VARIABLE
from ..config.option_table import MAX_DURATION_S
from ..config.options import GenerationOptions, PromptCue
from ..config.registry import DEFAULT_VOICE_PROMPT
from ..editing.drawn_mask import mask_to_string
from ..editing.inputs import RequestInputs
from ..errors import UsageError
from ..generation.resolve import ResolvedRequest, resolve_request
from ..generation.streaming import PieceStream
from ..generation.timeline import morph_request
from .content import FileEncoding
from .limits import Limits
from .model_pool import ModelKey, ModelPool
from .problems import Problem
from .schemas import ROW_FIELDS

if TYPE_CHECKING:
    from .files import FileReader

_SERVER_FIELDS = {"model", "adapter", "timeline", "edit", "morph"}
_LOOP_PASS_SHARE = 1.0
_STEREO_PASS_SHARE = 0.4


@dataclass(frozen=True)
class Part:
    """Neighboring rows that one model computes.

    Attributes:
        key: The model.
        requests: Resolved requests.
        rows: Number of the row of each.
    """

    key: ModelKey
    requests: tuple[ResolvedRequest, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A request that is ready to run.

    Attributes:
        parts: What is computed.
        encoding: Format of the content.
        verb: "generate", "morph" or the kind of the edit.
        num_clips: Clips that it gives.
        num_steps: Sampling steps, as its progress counts them.
        num_units: Work for the scheduler: steps times seconds of audio.
        digest: Hash of everything that decides the content; "" if a seed was drawn.
        batch_key: Requests with equal keys can share a batch; None: it runs alone.
        warnings: One line each.
    """

    parts: tuple[Part, ...]
    encoding: FileEncoding
    verb: str
    num_clips: int
    num_steps: int
    num_units: float
    digest: str
    batch_key: object
    warnings: tuple[str, ...] = field(default=())

    def with_warnings(self, warnings: Sequence[str]) -> Plan:
        """Return the same plan with warnings."""
        return replace(self, warnings=tuple(warnings))

    @property
    def model(self) -> str:
        """Name of the first model."""
        return self.parts[0].key.model


@dataclass(frozen=True)
class StreamPlan:
    """A stream that is ready to run.

    Attributes:
        key: The model.
        stream: Makes the requests of the pieces.
        first: The request of the first piece.
        format: One of `stream_schema.STREAM_FORMATS`.
        has_open_end: Whether the client gave no duration.
    """

    key: ModelKey
    stream: PieceStream
    first: ResolvedRequest
    format: str
    has_open_end: bool


class Planner:
    """Makes plans.

    Attributes:
        pool: The models that are served.
        limits: Limits of a request.
    """

    def __init__(self, pool: ModelPool, limits: Limits) -> None:
        self.pool = pool
        self.limits = limits

    def plan(self, wire: Mapping[str, Any], files: FileReader) -> Plan:
        """Return the plan of a request. It decodes sources and masks, so it takes time.

        Args:
            wire: Fields of `schemas.GenerationRequest` that the client set.
            files: Reads the files that it names.

        Raises:
            Problem: It asks for something that is not there, or for too much.
            LatentAudioError: Its values contradict each other, or a file is no audio.
        """
        encoding = FileEncoding(
            wire.get("format", "wav"), wire.get("subtype"), bool(wire.get("dither", False))
        )
        encoding.check()
        parts: list[Part] = []
        previous: GenerationOptions | None = None
        has_drawn_seed = False
        verbs = []
        for number, row in enumerate(_rows_of(wire)):
            key = self.pool.key(row.get("model", ""), row.get("adapter", ""))
            if number > 0 and "seed" not in _row_at(wire, number):
                row = {**row, "seed": _next_seed(previous)}
            elif row.get("seed", -1) < 0:
                has_drawn_seed = True
            request, verb = self._resolve(row, key, files)
            self.limits.check(request.options)
            previous = request.options
            verbs.append(verb)
            if parts and parts[-1].key == key:
                last = parts.pop()
                requests = (*last.requests, request)
                parts.append(replace(last, requests=requests, rows=(*last.rows, number)))
            else:
                parts.append(Part(key, (request,), (number,)))
        self._check_number(parts)
        digest = "" if has_drawn_seed else self._digest(parts, encoding)
        is_alone = bool(wire.get("exact")) or len(parts) > 1
        return Plan(
            tuple(parts),
            encoding,
            verbs[0],
            sum(r.options.num_waveforms for part in parts for r in part.requests),
            sum(_num_steps(r.options) for part in parts for r in part.requests),
            sum(num_units(r.options) for part in parts for r in part.requests),
            digest,
            None if is_alone else _batch_key(parts[0]),
        )

    def plan_stream(self, wire: Mapping[str, Any], files: FileReader) -> StreamPlan:
        """Return the plan of a stream, with its first piece.

        Args:
            wire: Fields of `stream_schema.StreamRequest` that the client set.
            files: Reads the files that it names.

        Raises:
            Problem: It asks for something that is not there, or for too much.
            LatentAudioError: Its values contradict each other.
        """
        key = self.pool.key(wire.get("model", ""), wire.get("adapter", ""))
        source = self.pool.sources[key.model]
        inputs = RequestInputs(source.config.mel.sample_rate)
        values = {name: wire[name] for name in wire if name not in (*_SERVER_FIELDS, "format")}
        longest = self.limits.max_stream_s
        duration = values.pop("duration", None)
        if duration is not None and duration > longest:
            raise Problem(
                "invalid_request",
                f"duration: {duration:g} s; this server streams {longest:g} s",
                "duration",
            )
        cues = [_read_cue(cue, inputs, files) for cue in wire.get("timeline", ())]
        if cues:
            values["timeline"] = cues
        if not cues and not values.get("prompt", "").strip():
            raise UsageError("the prompt is empty; describe the sound")
        options = GenerationOptions(**{"prompt": "", **values})
        stream = PieceStream(source, options, duration or longest, inputs)
        first = stream.next_request()
        assert first is not None, "a stream has one piece at least"
        # the duration of a piece is that of a window; `max_stream_s` limits the whole
        self.limits.check(first.options.model_copy(update={"duration": 0.0}))
        return StreamPlan(key, stream, first, wire.get("format", "wav"), duration is None)

    def _check_number(self, parts: Sequence[Part]) -> None:
        num_clips = sum(r.options.num_waveforms for part in parts for r in part.requests)
        if num_clips > self.limits.max_clips:
            raise Problem(
                "invalid_request",
                f"the request has {num_clips} clips; this server allows {self.limits.max_clips}",
                "num_waveforms",
            )

    def _resolve(
        self, row: Mapping[str, Any], key: ModelKey, files: FileReader
    ) -> tuple[ResolvedRequest, str]:
        """Return the resolved request of one row, and its verb."""
        source = self.pool.sources[key.model]
        inputs = RequestInputs(source.config.mel.sample_rate)
        values = {name: value for name, value in row.items() if name not in _SERVER_FIELDS}
        if values.get("transcript") and not values.get("prompt"):
            values["prompt"] = DEFAULT_VOICE_PROMPT
        values.setdefault("prompt", "")
        edit = row.get("edit")
        cues = [_read_cue(cue, inputs, files) for cue in row.get("timeline", ())]
        if cues:
            values["timeline"] = cues
        if row.get("morph") is not None:
            first, second = (
                _read_cue(
                    {"text": end.get("text", ""), "audio_prompt": end.get("file", "")},
                    inputs,
                    files,
                )
                for end in (row["morph"]["first"], row["morph"]["second"])
            )
            if edit is not None:
                values["edit"] = edit
            morph = morph_request(first, second, values)
            return resolve_request(morph, source, inputs), "morph"
        if edit is None:
            return resolve_request(GenerationOptions(**values), source, inputs), "generate"
        if "duration" in values:
            raise UsageError(
                f"{edit['kind']} takes the duration of its source and what it adds; "
                "leave duration out"
            )
        values["edit"] = _read_edit(edit, inputs, files)
        return resolve_request(GenerationOptions(**values), source, inputs), str(edit["kind"])

    def _digest(self, parts: Sequence[Part], encoding: FileEncoding) -> str:
        """Return the hash of everything that decides the content; "" if weights are unknown."""
        settings = self.pool.settings
        facts: dict[str, Any] = {
            "software": software(),
            "watermark": os.environ.get(VARIABLE, ""),
            "encoding": [encoding.format, encoding.subtype, encoding.dither],
            "settings": [settings.device, settings.precision, settings.reference, settings.backend],
            "parts": [],
        }
        for part in parts:
            use = self.pool.adapters[part.key.adapter] if part.key.adapter else None
            rows = [request.options.model_dump(mode="json") for request in part.requests]
            weights = self.pool.weights_sha256(part.key)
            if not weights:
                return ""
            adapter = None if use is None else [use.weight, list(use.noise_levels)]
            facts["parts"].append([part.key.model, part.key.adapter, weights, adapter, rows])
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _rows_of(wire: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the options of each row: those of the request, and its own over them."""
    common = {name: value for name, value in wire.items() if name in ROW_FIELDS}
    edit = common.get("edit")
    if wire.get("regions"):
        if wire.get("rows"):
            raise UsageError("rows and regions exclude each other; leave out one of them")
        if edit is None or edit["kind"] != "inpaint" or edit.get("time_ranges") or edit.get("mask"):
            raise UsageError("regions need an edit of kind inpaint without ranges and mask")
        rows = []
        for region in wire["regions"]:
            rows.append({**common, "edit": {**edit, "time_ranges": (tuple(region),)}})
        return rows
    if not wire.get("rows"):
        return [common]
    rows = []
    for row in wire["rows"]:
        merged = {**common, **row}
        if row.get("edit") and edit and not row["edit"].get("file"):
            merged["edit"] = {**row["edit"], "file": edit.get("file", "")}
        rows.append(merged)
    return rows


def _row_at(wire: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """Return what a row sets itself."""
    rows = wire.get("rows") or ()
    return rows[number] if number < len(rows) else {}


def _next_seed(previous: GenerationOptions | None) -> int:
    """Return the seed behind those of the row before."""
    assert previous is not None, "the first row has no row before it"
    return previous.seed_after(previous.num_seeds)


def _read_cue(cue: Mapping[str, Any], inputs: RequestInputs, files: FileReader) -> PromptCue:
    """Return a cue whose audio prompt is decoded."""
    values = {**cue}
    reference = values.pop("audio_prompt", "")
    if reference:
        values["audio_prompt_sha256"] = files.read_audio(reference, inputs).sha256
    return PromptCue(**values)


def _read_edit(edit: Mapping[str, Any], inputs: RequestInputs, files: FileReader) -> dict[str, Any]:
    """Return the values of an edit whose source and mask are decoded."""
    values = {**edit}
    reference = values.pop("file", "")
    if not reference:
        raise Problem(
            "invalid_request", f"edit.file is missing; {edit['kind']} needs a clip", "edit.file"
        )
    values["source_sha256"] = files.read_audio(reference, inputs).sha256
    mask = values.pop("mask", "")
    if mask:
        values["mask"] = mask if mask.startswith("data:") else mask_to_string(files.read_mask(mask))
    return values


def _shares_of_passes(options: GenerationOptions) -> float:
    """Return the work of second passes, in passes of all steps."""
    passes = _LOOP_PASS_SHARE if options.loop_seam else 0.0
    if options.stereo_width:
        passes += _STEREO_PASS_SHARE
        passes += _LOOP_PASS_SHARE if options.loop_seam_duration else 0.0
    return passes


def _num_steps(options: GenerationOptions) -> int:
    passes = options.candidates + _shares_of_passes(options)
    return math.ceil(options.num_waveforms * options.steps * passes)


def num_units(options: GenerationOptions) -> float:
    """Return the work of a request: steps times seconds of audio."""
    return max(_num_steps(options), 1) * min(max(options.duration, 1.0), MAX_DURATION_S)


def _batch_key(part: Part) -> object:
    """Return what requests of one batch share; None for edits and audio prompts."""
    options = part.requests[0].options
    if len(part.requests) > 1 or options.edit is not None or options.timeline:
        return None
    shared = options.model_copy(
        update={"prompt": "", "negative_prompt": "", "seed": 0, "num_waveforms": 1}
    )
    return (part.key, shared.model_dump_json())
