"""Parameters of the tools of `latentaudio mcp`: types, and help that agents read."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from ..config.audio_formats import FORMATS
from ..config.option_table import EDIT_OPTIONS, OPTIONS

EditKindName: TypeAlias = Literal["transfer", "vary", "inpaint", "super_resolve", "extend", "loop"]
OutputKind: TypeAlias = Literal["file", "audio", "both"]
Prompt = Annotated[str, Field(description=OPTIONS["prompt"].help)]
NegativePrompt = Annotated[str, Field(description=OPTIONS["negative_prompt"].help)]
Seed = Annotated[int, Field(description=OPTIONS["seed"].help)]
Preset = Annotated[str | None, Field(description=OPTIONS["preset"].help)]
Duration = Annotated[float | None, Field(description=OPTIONS["duration"].help)]
Candidates = Annotated[int | None, Field(description=OPTIONS["candidates"].help)]
NumWaveforms = Annotated[int, Field(description=OPTIONS["num_waveforms"].help)]
SourceName = Annotated[
    str, Field(description="The clip: a name of the tool list, or data:audio/wav;base64,CONTENT.")
]
AudioPrompt = Annotated[
    str,
    Field(
        description="A clip that is used like the prompt, or in its place: a name of the tool "
        "list, or data:audio/wav;base64,CONTENT. Default: none."
    ),
]
MorphTo = Annotated[
    str, Field(description="Prompt at the end: the clip turns from `prompt` to this.")
]
Options = Annotated[
    dict[str, Any] | None,
    Field(description=f"Other options by name: {', '.join(OPTIONS)}. Default: none."),
]
Output = Annotated[
    OutputKind | None,
    Field(
        description="file: write into the server's folder and return names; audio: return the "
        "sound itself; both. Default: file, or audio if the server has no folder."
    ),
]
FileFormat = Annotated[
    str, Field(description=f"Format: {', '.join(name[1:] for name in FORMATS)}.")
]
FileName = Annotated[str, Field(description="Name of the new file. Default: the prompt.")]
Strength = Annotated[
    float | None, Field(description=f"transfer, vary: {EDIT_OPTIONS['vary_strength'].help}")
]
TimeRanges = Annotated[
    list[tuple[float, float]] | None,
    Field(description="inpaint: pairs of start and end in seconds."),
]
FrequencyRanges = Annotated[
    list[tuple[float, float]] | None, Field(description="inpaint: pairs of low and high in Hz.")
]
Mask = Annotated[
    str,
    Field(
        description="inpaint: image of the spectrogram, white where it is regenerated: a file of "
        "the folder, or data:image/png;base64,CONTENT."
    ),
]
Before = Annotated[float | None, Field(description=f"extend: {EDIT_OPTIONS['before'].help}")]
After = Annotated[float | None, Field(description=f"extend: {EDIT_OPTIONS['after'].help}")]
CutoffHz = Annotated[
    float | None, Field(description=f"super_resolve: {EDIT_OPTIONS['cutoff_hz'].help}")
]
LoopSeam = Annotated[float | None, Field(description=f"loop: {EDIT_OPTIONS['loop_seam'].help}")]
InContext = Annotated[bool | None, Field(description=EDIT_OPTIONS["in_context"].help)]
Kind = Annotated[EditKindName, Field(description="The edit.")]
ListedKind = Annotated[
    Literal["sounds", "models"],
    Field(description="sounds: files of the server's folder; models: names and limits."),
]
