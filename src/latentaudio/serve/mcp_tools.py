"""The tools of `latentaudio mcp`, and the thread in which they generate.

The Model Context Protocol (MCP) is how agents call tools: https://modelcontextprotocol.io.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import AudioContent, CallToolResult, TextContent

from ..audio.encoding import encode
from ..audio.io import Audio, info, read
from ..config.audio_formats import FORMATS
from ..config.edits import AnyEdit
from ..config.options import GenerationOptions, PromptCue
from ..config.registry import MODELS
from ..editing.drawn_mask import load_mask, mask_to_string
from ..editing.inputs import RequestInputs, SourceAudio
from ..editing.validation import validate_source_duration
from ..errors import LatentAudioError, UsageError
from ..generation.engine import Callbacks, Engine
from ..generation.resolve import resolve_cue, resolve_requests
from ..generation.timeline import morph_request
from ..pipeline import AudioLDM
from ..types import Step
from .content import MEDIA_TYPES
from .mcp_folder import SoundFolder
from .mcp_parameters import (
    After,
    AudioPrompt,
    Before,
    Candidates,
    CutoffHz,
    Duration,
    FileFormat,
    FileName,
    FrequencyRanges,
    InContext,
    Kind,
    ListedKind,
    LoopSeam,
    Mask,
    MorphTo,
    NegativePrompt,
    NumWaveforms,
    Options,
    Output,
    OutputKind,
    Preset,
    Prompt,
    Seed,
    SourceName,
    Strength,
    TimeRanges,
)

AnyContext: TypeAlias = Context[Any, Any]
Result = TypeVar("Result")

_SHOWN_TAGS = ("prompt", "seed", "model", "made", "edit")


@dataclass(frozen=True)
class OutputRequest:
    """How a tool returns its clips.

    Attributes:
        kind: Files, sounds or both.
        extension: One of `FORMATS`.
        name: Name of the files; "": the prompt.
    """

    kind: OutputKind
    extension: str
    name: str


class SoundTools:
    """Tools over one model and one folder. One generation runs at a time; others wait.

    Attributes:
        model: The model.
        folder: Where files are read and written.
    """

    def __init__(self, model: AudioLDM, folder: SoundFolder) -> None:
        self.model = model
        self.folder = folder
        self._turn: anyio.Lock | None = None  # it belongs to the event loop of the first call

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """Return the tools by the names that agents call."""
        return {
            "generate": self.generate,
            "edit": self.edit,
            "info": self.info,
            "list": self.list_sounds,
        }

    async def generate(
        self,
        ctx: AnyContext,
        prompt: Prompt = "",
        negative_prompt: NegativePrompt = "",
        duration: Duration = None,
        seed: Seed = -1,
        preset: Preset = None,
        candidates: Candidates = None,
        num_waveforms: NumWaveforms = 1,
        morph_to: MorphTo = "",
        audio_prompt: AudioPrompt = "",
        options: Options = None,
        output: Output = None,
        format: FileFormat = "wav",
        name: FileName = "",
    ) -> CallToolResult:
        """Generate sound effects, music or ambience from a prompt."""
        values = _set_values(
            {
                "prompt": prompt,
                "negative_prompt": negative_prompt,
                "duration": duration,
                "seed": seed,
                "preset": preset,
                "candidates": candidates,
                "num_waveforms": num_waveforms,
            },
            options,
        )
        return await self._answer(
            ctx, values, self._output(output, format, name), morph_to, audio_prompt
        )

    async def edit(
        self,
        ctx: AnyContext,
        kind: Kind,
        audio: SourceName,
        prompt: Prompt = "",
        negative_prompt: NegativePrompt = "",
        strength: Strength = None,
        time_ranges: TimeRanges = None,
        frequency_ranges: FrequencyRanges = None,
        mask: Mask = "",
        before: Before = None,
        after: After = None,
        cutoff_hz: CutoffHz = None,
        loop_seam: LoopSeam = None,
        in_context: InContext = None,
        seed: Seed = -1,
        preset: Preset = None,
        num_waveforms: NumWaveforms = 1,
        options: Options = None,
        output: Output = None,
        format: FileFormat = "wav",
        name: FileName = "",
    ) -> CallToolResult:
        """Edit a clip.

        transfer: turn it into the sound of the prompt. vary: variations. inpaint: regenerate time
        ranges (seconds), frequency ranges (Hz) or the white part of a mask. super_resolve:
        regenerate everything above a frequency. extend: add sound before or after. loop: make it
        repeat without a seam.
        """
        edit = {
            "kind": kind,
            "strength": strength,
            "time_ranges": time_ranges,
            "frequency_ranges": frequency_ranges,
            "mask": mask or None,
            "before": before,
            "after": after,
            "cutoff_hz": cutoff_hz,
            "loop_seam": loop_seam,
            "in_context": in_context,
            "source": audio,
        }
        values = _set_values(
            {
                "prompt": prompt,
                "negative_prompt": negative_prompt,
                "seed": seed,
                "preset": preset,
                "num_waveforms": num_waveforms,
                "edit": {key: value for key, value in edit.items() if value is not None},
            },
            options,
        )
        return await self._answer(ctx, values, self._output(output, format, name))

    async def info(self, audio: SourceName) -> CallToolResult:
        """Show format, duration and the request of a clip, with its seed."""

        def look() -> dict[str, Any]:
            with self.folder.open_input(audio) as path:
                facts = info(path)
            facts["path"] = "" if audio.startswith("data:") else audio
            return facts

        return _result(await _in_thread(look))

    async def list_sounds(
        self,
        what: ListedKind = "sounds",
    ) -> CallToolResult:
        """List the sounds in the server's folder, or the models."""
        if what == "models":
            return _result({"used": _model_name(self.model.source.name), "models": _model_rows()})
        return _result({"sounds": await _in_thread(self.folder.list_sounds)})

    def _output(self, kind: OutputKind | None, format: str, name: str) -> OutputRequest:
        """Check how a tool shall return its clips, before any work."""
        extension = f".{format.lower().removeprefix('.')}"
        if extension not in FORMATS:
            names = ", ".join(each[1:] for each in FORMATS)
            raise ToolError(f"there is no format {format!r}; choose from {names}")
        if kind in ("file", "both") and self.folder.root is None:
            raise ToolError("this server has no folder for files; ask for output 'audio'")
        default: OutputKind = "audio" if self.folder.root is None else "file"
        return OutputRequest(kind or default, extension, name)

    async def _answer(
        self,
        ctx: AnyContext,
        values: Mapping[str, Any],
        output: OutputRequest,
        morph_to: str = "",
        audio_prompt: str = "",
    ) -> CallToolResult:
        """Run a request in a thread and return its clips; a canceled call ends at the next step."""
        if self._turn is None:
            self._turn = anyio.Lock()

        def on_step(_step: Step) -> None:
            anyio.from_thread.check_cancelled()

        def progress(done: int, total: int) -> None:
            anyio.from_thread.run(ctx.report_progress, done, total)

        def work() -> CallToolResult:
            clips = self._run(values, morph_to, audio_prompt, Callbacks(progress, on_step))
            return self._deliver(clips, output)

        async with self._turn:
            return await _in_thread(work)

    def _run(
        self, values: Mapping[str, Any], morph_to: str, audio_prompt: str, callbacks: Callbacks
    ) -> list[Audio]:
        """Generate the clips of a request."""
        inputs = RequestInputs(self.model.sample_rate)
        names: dict[str, str] = {}
        request = self._request(values, morph_to, audio_prompt, inputs, names)
        resolved = resolve_requests([request], self.model.source, inputs)
        clips = Engine(self.model).run(resolved, callbacks)
        return [_with_names(clip, names) for clip in clips]

    def _request(
        self,
        values: Mapping[str, Any],
        morph_to: str,
        audio_prompt: str,
        inputs: RequestInputs,
        names: dict[str, str],
    ) -> GenerationOptions:
        """Return the request of a call, whose files are decoded.

        Args:
            values: Options by name, with the name of an edit's source as its `source`.
            morph_to: Prompt at the end, or "".
            audio_prompt: Name of a clip that is used like the prompt, or "".
            inputs: Where decoded files are kept.
            names: Gets the name of each decoded file by its checksum.
        """
        options = {**values}
        audio_cues = []
        if audio_prompt:
            audio_cues.append(self._cue({"audio_prompt": audio_prompt}, inputs, names))
        if morph_to:
            first = audio_cues[0] if audio_cues else PromptCue(text=options.pop("prompt", ""))
            return morph_request(first, PromptCue(text=morph_to), options)
        cues = [self._cue(cue, inputs, names) for cue in options.pop("timeline", ())]
        cues += audio_cues
        if cues:
            options["timeline"] = tuple(cues)
        edit = options.pop("edit", None)
        if edit is not None:
            options["edit"] = self._edit(edit, inputs, names)
        return GenerationOptions(**{"prompt": "", **options})

    def _edit(
        self, fields: Mapping[str, Any], inputs: RequestInputs, names: dict[str, str]
    ) -> dict[str, Any]:
        """Return the fields of an edit, whose source is decoded and whose mask is a data URL."""
        edit = {**fields}
        source = self._load(str(edit.pop("source")), inputs, names)
        edit["source_sha256"] = source.sha256
        if edit.get("mask"):
            with self.folder.open_input(str(edit["mask"])) as path:
                edit["mask"] = mask_to_string(load_mask(str(path)))
        return edit

    def _cue(self, fields: object, inputs: RequestInputs, names: dict[str, str]) -> PromptCue:
        """Return a cue whose audio prompt, if it has one, is decoded."""
        if not isinstance(fields, Mapping):
            raise UsageError(
                f'a cue of the timeline is {fields!r:.40}; write {{"start": 0, "text": "rain"}}'
            )
        cue = {**fields}
        if cue.get("audio_prompt"):
            audio = self._load(str(cue["audio_prompt"]), inputs, names)
            cue["audio_prompt"] = audio.samples
        return resolve_cue(cue, inputs)

    def _load(self, name: str, inputs: RequestInputs, names: dict[str, str]) -> SourceAudio:
        """Decode a file of the folder, or a data URL."""
        with self.folder.open_input(name) as path:
            validate_source_duration(float(info(path)["duration"]))
            audio = inputs.load_audio(read(path, inputs.sample_rate)[0])
        if not name.startswith("data:"):
            names[audio.sha256] = name
        return audio

    def _deliver(self, clips: Sequence[Audio], output: OutputRequest) -> CallToolResult:
        """Write the clips, encode them for the answer, or both."""
        rows = []
        for clip in clips:
            rows.append(_row(clip))
        if output.kind != "audio":
            title = output.name or _title(clips[0])
            files = self.folder.save(clips, title, output.extension)
            for row, file in zip(rows, files, strict=True):
                row["file"] = file
        sounds = []
        if output.kind != "file":
            sounds = [_audio_content(clip, output.extension) for clip in clips]
        return _result({"clips": rows}, sounds)


def _set_values(values: Mapping[str, Any], options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options that a call sets; those of `options` must not come twice.

    Args:
        values: Parameters of the tool; None is not set.
        options: Its parameter `options`.
    """
    is_set = {name: value for name, value in values.items() if value not in (None, "")}
    for name in options or {}:
        if name in values:
            raise ToolError(f"options has {name!r}; use the parameter {name} of the tool instead")
        if name in ("model", "edit"):
            raise ToolError(
                f"options has {name!r}, which this server or tool decides; leave it out"
            )
    return {**is_set, **(options or {})}


async def _in_thread(work: Callable[[], Result]) -> Result:
    """Run a function in a thread; errors in words reach the agent."""
    try:
        return await anyio.to_thread.run_sync(work)
    except LatentAudioError as error:
        raise ToolError(str(error)) from None


def _result(values: Mapping[str, Any], sounds: Sequence[AudioContent] = ()) -> CallToolResult:
    """Return an answer as JSON, with sounds behind it."""
    text = json.dumps(values, ensure_ascii=False, default=str)
    return CallToolResult(
        content=[TextContent(type="text", text=text), *sounds], structured_content=dict(values)
    )


def _row(clip: Audio) -> dict[str, Any]:
    """Facts about a clip."""
    tags = {key: clip.tags[key] for key in _SHOWN_TAGS if key in clip.tags}
    tags["model"] = _model_name(tags["model"])
    row = {**tags, "seed": clip.seed, "duration": clip.duration, "sample_rate": clip.sample_rate}
    return row if clip.score is None else {**row, "score": clip.score}


def _title(clip: Audio) -> str:
    """A name for the files of a clip."""
    words = clip.options.transcript or clip.options.display_text
    return f"{words} {clip.options.edit_kind}".strip()


def _audio_content(clip: Audio, extension: str) -> AudioContent:
    """A clip as a part of an answer, with its tags."""
    data = encode(
        clip.samples,
        clip.sample_rate,
        extension,
        clip.tags,
        is_loop=clip.options.loop_seam_duration > 0,
    )
    mime_type = MEDIA_TYPES[extension[1:]].partition(";")[0]
    return AudioContent(type="audio", data=base64.b64encode(data).decode(), mime_type=mime_type)


def _with_names(clip: Audio, names: Mapping[str, str]) -> Audio:
    """Return a clip whose tags name its inputs as the agent did, not as the server stores them."""
    options = clip.options
    changes: dict[str, Any] = {}
    if options.edit is not None and options.edit.source_sha256 in names:
        edit: AnyEdit = options.edit
        path = names[edit.source_sha256]
        changes["edit"] = edit.model_copy(update={"source_path": path})
    cues = []
    for cue in options.timeline:
        path = names.get(cue.audio_prompt_sha256, "")
        cues.append(cue.model_copy(update={"audio_prompt": path}))
    changes["timeline"] = tuple(cues)
    return replace(clip, options=options.model_copy(update=changes))


def _model_name(name: str) -> str:
    """Name of a model for agents: no path of this machine."""
    return name if name in MODELS else Path(name).name


def _model_rows() -> list[dict[str, Any]]:
    """Name, use, limits and license of every model."""
    rows = []
    for spec in MODELS.values():
        rows.append(
            {
                "name": spec.name,
                "description": spec.description,
                "license": spec.license,
                "sample_rate": spec.config.mel.sample_rate,
                "default_duration": spec.duration,
                "speaks": spec.config.phonemes is not None,
            }
        )
    return rows
