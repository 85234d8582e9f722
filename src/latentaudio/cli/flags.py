"""Flags that several commands share, as typed objects, and the panels of --help.

The flags of options are the fields of `config.options.GenerationOptions`: names, types, defaults,
limits and help come from there. Cyclopts builds one flags object for a command line; pydantic
checks its values then, before anything heavy is imported.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, cast

from cyclopts import Group, Parameter
from pydantic import BaseModel

from ..config.audio_formats import FORMATS
from ..config.options import GenerationOptions, GenerationOverrides, PromptCue
from ..config.registry import DEFAULT_SPEECH_MODEL, MODELS
from ..errors import UsageError

if TYPE_CHECKING:
    from ..loaders.layouts import ModelSource
    from ..pipeline import AudioLDM

EDIT = Group("Edit", sort_key=1)
PROMPT = Group("Prompt", sort_key=2)
SAMPLING = Group("Sampling", sort_key=3)
LENGTH = Group("Length and post-processing", sort_key=4)
OUTPUT = Group("Output", sort_key=5)
MACHINE = Group("Model and machine", sort_key=6)
EXPERT = Group("Expert sampling options", sort_key=7)

OPTION_PANELS: tuple[tuple[Group, tuple[str, ...]], ...] = (
    (PROMPT, ("negative_prompt", "transcript", "crossfade")),
    (SAMPLING, ("seed", "preset", "candidates")),
    (
        LENGTH,
        (
            "duration", "loop_seam", "lufs", "true_peak", "trim_silence", "fade_in", "fade_out",
            "stereo_width", "sample_rate",
        ),
    ),
    (OUTPUT, ("num_waveforms",)),
    (MACHINE, ("model",)),
    (
        EXPERT,
        (
            "steps", "sampler", "cache_interval", "eta", "guidance_scale", "apg_eta",
            "guidance_start", "guidance_stop", "guidance_rescale",
        ),
    ),
)  # fmt: skip
"""The panel of every option that is a flag."""
NOT_FLAGS = ("prompt", "timeline", "edit")
"""Options that a command takes as arguments, files or by its name."""
WINDOW_S = 10.24
"""Longest clip that models are trained on; the longest default duration of an audio prompt."""

Flags = TypeVar("Flags", bound="OptionFlags")


def describe(model: type[BaseModel], field: str, group: Group, **settings: Any) -> Parameter:
    """Return a flag whose help is the description of a field in `config`.

    Args:
        model: The pydantic model.
        field: Its field.
        group: The panel of the flag.
        **settings: Other settings of the flag.
    """
    help_text = model.model_fields[field].description
    return Parameter(
        help=help_text, group=group, show_default=False, show_choices=False, **settings
    )


class OptionFlags(GenerationOptions):
    """Options as flags; base of one class for each kind of command.

    Attributes:
        HIDDEN: Options that the commands of a class do not have.
    """

    HIDDEN: ClassVar[Collection[str]] = ()

    prompt: str = "-"  # a placeholder: prompts are arguments, and no option is checked against it

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Add the panel of every flag to its field, and take hidden options out of the parser."""
        flags = {name: Parameter(parse=False) for name in (*NOT_FLAGS, *cls.HIDDEN)}
        for group, names in OPTION_PANELS:
            for name in names:
                panel = Parameter(group=group, show_default=False, show_choices=False)
                flags.setdefault(name, panel)
        for name, field in cls.model_fields.items():
            # A new list: a subclass shares the list of its base, which is not a flag.
            field.metadata = [*field.metadata, flags[name]]

    def updated(self: Flags, **values: Any) -> Flags:
        """Return the same flags with other values, as if the user had set them."""
        return self.model_copy(update=values)


class GenerationFlags(OptionFlags):
    """Options of `generate`."""


class MorphFlags(OptionFlags):
    """Options of `morph`, which speech models do not have."""

    HIDDEN = ("transcript",)


class EditFlags(OptionFlags):
    """Options of edits: the source sets the duration, and there is no timeline."""

    HIDDEN = ("duration", "loop_seam", "crossfade")


class StreamFlags(OptionFlags):
    """Options of a stream: none that needs the whole clip, as `generation.streaming` lists them.

    `duration` is a parameter of the command, because a stream has no longest one.
    """

    HIDDEN = (
        "duration", "num_waveforms", "candidates", "loop_seam", "lufs", "true_peak",
        "trim_silence", "fade_in", "fade_out", "stereo_width", "sample_rate",
    )  # fmt: skip


class BatchFlags(OptionFlags):
    """Options of `batch`: each row is one clip."""

    HIDDEN = ("num_waveforms",)


ALL = Parameter(name="*")
"""Shows the flags of an object without the name of the object as a prefix."""


def to_overrides(flags: OptionFlags) -> GenerationOverrides:
    """Return the options that the user set, as keywords of `AudioLDM.generate`."""
    overrides = {}
    for name, value in flags.set_values().items():
        if name in GenerationOverrides.__optional_keys__:
            overrides[name] = value
    return cast("GenerationOverrides", overrides)


SourceArgument = Annotated[
    Path,
    Parameter(
        help="Audio file, of any sample rate and number of channels. The result is mono and has "
        "the model's sample rate (mini: 16 kHz, so nothing above 8 kHz remains).",
        group=EDIT,
    ),
]
ArchitectureFlag = Annotated[
    str | None,
    Parameter(
        help="Name of the model that a checkpoint file holds. Default: from its shapes.",
        group=MACHINE,
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class RuntimeFlags:
    """The model's implementation and the machine."""

    device: Annotated[str, Parameter(help="Device: auto, cpu, cuda or mps.", group=MACHINE)] = (
        "auto"
    )
    precision: Annotated[
        str,
        Parameter(
            help="Number format of the networks: auto, bf16 (faster on some machines) or fp32.",
            group=MACHINE,
        ),
    ] = "auto"
    reference: Annotated[
        str,
        Parameter(
            help="Implementation to imitate with published weights: clean, original or diffusers.",
            group=MACHINE,
        ),
    ] = "clean"
    architecture: ArchitectureFlag = None

    def find_source(self, model: str) -> ModelSource:
        """Return a model, as far as checks need it; published ones are not downloaded."""
        from ..config.reference import get_reference
        from ..loaders.resolve import resolve_model, spec_only

        if model in MODELS and MODELS[model].is_published:
            return replace(spec_only(model), reference=get_reference(self.reference))
        return resolve_model(model, self.architecture, self.reference)

    def load(self, model: str) -> AudioLDM:
        """Load a model with the settings of these flags."""
        from ..pipeline import load

        return load(
            model,
            self.device,
            self.precision,
            reference=self.reference,
            architecture=self.architecture,
            low_memory=True,
        )


QuietFlag = Annotated[
    bool,
    Parameter(
        help="Print no progress and no results, except the lines of --json.",
        group=OUTPUT,
        show_default=False,
    ),
]
JSONRecordFlag = Annotated[
    bool, Parameter(help="Print one line of JSON.", group=OUTPUT, show_default=False)
]
JSONFlag = Annotated[
    bool, Parameter(help="Print one line of JSON per file.", group=OUTPUT, show_default=False)
]


TimelineFlag = Annotated[
    Path | None,
    Parameter(
        help="YAML file of prompts with start times: a list of cues such as "
        "- {start: 0, text: light rain}.",
        group=PROMPT,
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class DisplayFlags:
    """What is printed, and drawn, for each clip."""

    plot: Annotated[
        bool,
        Parameter(
            help="Also draw waveform and mel spectrogram, as FILE.png.",
            group=OUTPUT,
            show_default=False,
        ),
    ] = False
    json: JSONFlag = False
    quiet: QuietFlag = False

    @property
    def hides_progress(self) -> bool:
        """Whether no progress is shown."""
        return self.quiet or self.json


@Parameter(name="*")
@dataclass(frozen=True)
class OutputFlags(DisplayFlags):
    """Where clips are written, and what is printed."""

    output: Annotated[
        str | None,
        Parameter(
            alias="-o",
            help=f"File ({', '.join(FORMATS)}); an existing file is replaced, and several clips "
            "become NAME_1, NAME_2. Or a folder (its name ends in / or has no extension): files "
            "are named after the prompts and replace nothing. Default: the current folder. Edits "
            "name a file SOURCE_KIND.wav there, such as rain_inpaint.wav.",
            group=OUTPUT,
        ),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class PromptSourceFlags:
    """Files that condition a clip beside its prompt, or in its place."""

    timeline: TimelineFlag = None
    audio_prompt: Annotated[
        Path | None,
        Parameter(
            help=f"Audio file that is used like the prompt, or in its place. Default duration: "
            f"that of the file, at most {WINDOW_S} s.",
            group=PROMPT,
        ),
    ] = None
    audio_prompt_mode: Annotated[
        Literal["loa", "clap"] | None, describe(PromptCue, "audio_prompt_mode", PROMPT)
    ] = None
    audio_prompt_weight: Annotated[float, describe(PromptCue, "audio_prompt_weight", PROMPT)] = 1.0

    def add_to(self, flags: Flags) -> Flags:
        """Return the flags with the cues of the timeline file, or with the audio prompt.

        Raises:
            DataError: A file cannot be read.
            UsageError: Flags contradict each other, or a file has a wrong value.
        """
        if self.audio_prompt is None:
            if self.audio_prompt_mode or self.audio_prompt_weight != 1.0:
                raise UsageError(
                    "--audio-prompt-mode and --audio-prompt-weight need an audio prompt; "
                    "name a file with --audio-prompt"
                )
            return with_timeline(flags, self.timeline)
        if self.timeline is not None:
            raise UsageError("--timeline and --audio-prompt exclude each other; leave one out")
        cue = PromptCue(
            audio_prompt=str(self.audio_prompt),
            audio_prompt_mode=self.audio_prompt_mode or "",
            audio_prompt_weight=self.audio_prompt_weight,
        )
        duration = flags.duration
        if "duration" not in flags.model_fields_set:
            from ..audio.io import info

            duration = min(float(info(self.audio_prompt)["duration"]), WINDOW_S)
        return flags.updated(timeline=(cue,), duration=duration)


def with_timeline(flags: Flags, file: Path | None) -> Flags:
    """Return the flags with the cues and options of a timeline file.

    An option that the user set as a flag replaces that of the file.

    Raises:
        DataError: The file cannot be read.
        UsageError: The file has a wrong value.
    """
    if file is None:
        return flags
    from ..generation.timeline import read_timeline

    return type(flags)(**{**read_timeline(file), **flags.set_values()})


def with_speech_defaults(flags: Flags) -> Flags:
    """Return the flags with the default speech model if there is a transcript and no model.

    Raises:
        UsageError: The model is not a speech model, or the phonemizer is not installed.
    """
    if not flags.transcript:
        return flags
    if "model" not in flags.model_fields_set:
        flags = flags.updated(model=DEFAULT_SPEECH_MODEL)
    validate_speech_model(flags.model)
    return flags


def validate_speech_model(model: str) -> None:
    """Raise `UsageError`, before anything is downloaded, if a model is not a speech model."""
    from importlib.util import find_spec

    if model in MODELS and MODELS[model].config.phonemes is None:
        raise UsageError(
            f"{model} is not a speech model; for a transcript choose one, "
            f"such as {DEFAULT_SPEECH_MODEL}"
        )
    if find_spec("espeakng_loader") is None:
        raise UsageError("speech needs espeak-ng; run pip install espeakng-loader")
