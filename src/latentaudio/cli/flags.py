"""Flags that several commands share, and the panels of --help.

Every option of `config.option_table` that has a panel is a flag. The text that the user types is
checked where the request is made, by `GenerationOptions`, and nowhere else. Nothing here imports
pydantic or torch, so that --help is quick.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import Parameter as SignatureParameter
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from cyclopts import Group, Parameter

from ..config.audio_formats import FORMATS
from ..config.option_table import OPTIONS, Option, Panel
from ..errors import UsageError

if TYPE_CHECKING:
    from ..loaders.layouts import ModelSource
    from ..pipeline import AudioLDM

OptionValues: TypeAlias = dict[str, Any]
"""The options that the user set, by name. `GenerationOptions` checks them, and has types."""

EDIT = Group("Edit", sort_key=1)
PROMPT = Group("Prompt", sort_key=2)
SAMPLING = Group("Sampling", sort_key=3)
LENGTH = Group("Length and post-processing", sort_key=4)
OUTPUT = Group("Output", sort_key=5)
MACHINE = Group("Model and machine", sort_key=6)
EXPERT = Group("Expert sampling options", sort_key=7)
PANELS: Mapping[Panel, Group] = {
    "edit": EDIT,
    "prompt": PROMPT,
    "sampling": SAMPLING,
    "length": LENGTH,
    "output": OUTPUT,
    "machine": MACHINE,
    "expert": EXPERT,
}

Command = TypeVar("Command", bound=Callable[..., Any])


def describe(option: Option, **settings: Any) -> Parameter:
    """Return the flag of an option, in its panel and with its help.

    Args:
        option: The option.
        **settings: Other settings of the flag.
    """
    assert option.panel is not None, "an option with a flag has a panel"
    return Parameter(
        help=option.help,
        group=PANELS[option.panel],
        show_default=False,
        show_choices=False,
        **settings,
    )


def option_flags(before: str, hidden: Collection[str] = ()) -> Callable[[Command], Command]:
    """Give a command one flag for each option, in the place of its `**options`.

    The command gets the options that the user set, as text.

    Args:
        before: Parameter of the command that the flags stand before in --help.
        hidden: Options that the command does not have.
    """

    def decorate(command: Command) -> Command:
        parameters = []
        for name, parameter in signature(command).parameters.items():
            if name == before:
                parameters += _option_parameters(hidden)
            if parameter.kind is not SignatureParameter.VAR_KEYWORD:
                parameters.append(parameter)
        vars(command)["__signature__"] = signature(command).replace(parameters=parameters)
        return command

    return decorate


def _option_parameters(hidden: Collection[str]) -> list[SignatureParameter]:
    parameters = []
    for name, option in OPTIONS.items():
        if option.panel is None or name in hidden:
            continue
        kind = bool if option.is_switch else str
        metavar = None if option.is_switch else option.metavar
        parameters.append(
            SignatureParameter(
                name,
                SignatureParameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[kind | None, describe(option, metavar=metavar)],
            )
        )
    return parameters


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


AdapterFlag = Annotated[
    list[str] | None,
    Parameter(
        help="Adapter to use: a folder of latentaudio finetune, or a .safetensors file. A weight "
        "from -10 to 10 may follow, as in my-sounds:0.8 (default 1), then the noise levels at "
        "which it changes the UNet, from 0 (clean) to 1 (noise), as in my-sounds:0.8@0.3-1. "
        "Repeat the option for several. Default: none.",
        group=MACHINE,
        show_default=False,
        negative=(),
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
            help="Number format of the networks: auto, bf16 (faster on some machines), fp32, or "
            "int8 (8-bit products in the UNet: faster on CPUs without bf16, less exact).",
            group=MACHINE,
        ),
    ] = "auto"
    backend: Annotated[
        str,
        Parameter(
            help="Library that computes the UNet: torch, openvino or onnxruntime (on some "
            "CPUs faster; see the guide on performance). The first use converts the UNet, which "
            "takes 15 s to a minute; the result is kept. openvino and onnxruntime are extras.",
            group=MACHINE,
        ),
    ] = "torch"
    reference: Annotated[
        str,
        Parameter(
            help="Implementation to imitate with published weights: clean, original or diffusers.",
            group=MACHINE,
        ),
    ] = "clean"
    architecture: ArchitectureFlag = None
    adapter: AdapterFlag = None
    no_cache: Annotated[
        bool,
        Parameter(
            help="Keep no converted weights and no encoded prompts for later starts, and use none. "
            "LATENTAUDIO_NO_CACHE=1 does the same.",
            group=MACHINE,
            show_default=False,
        ),
    ] = False

    @property
    def settings(self) -> dict[str, Any]:
        """What decides samples beside the options of a request, as a batch's manifest has it."""
        settings = {**vars(self)}
        del settings["adapter"]
        del settings["no_cache"]
        if self.backend == "torch":  # manifests of earlier versions have no backend
            del settings["backend"]
        if self.adapter:
            from ..config.adapters import parse_adapter
            from ..fileio import sha256_of_file
            from ..loaders.adapter_files import find_adapter_file

            used = []
            for use in map(parse_adapter, self.adapter):
                digest = sha256_of_file(find_adapter_file(use.path))
                used.append([digest, use.weight, list(use.noise_levels)])
            settings["adapters"] = used
        return settings

    def find_source(self, model: str) -> ModelSource:
        """Return a model, as far as checks need it; published ones are not downloaded."""
        self.check()
        from ..config.reference import get_reference
        from ..config.registry import MODELS
        from ..loaders.resolve import resolve_model, spec_only

        if model in MODELS and MODELS[model].is_published:
            return replace(spec_only(model), reference=get_reference(self.reference))
        return resolve_model(model, self.architecture, self.reference)

    def check(self) -> None:
        """Raise `UsageError` for a backend that cannot run here, before anything is read."""
        from ..config.backends import check_backend
        from ..config.reference import get_reference

        reference = get_reference(self.reference)
        check_backend(self.backend, self.device, self.precision, reference, bool(self.adapter))

    def load(self, model: str) -> AudioLDM:
        """Load a model with the settings of these flags."""
        self.check()
        from ..pipeline import load

        loaded = load(
            model,
            self.device,
            self.precision,
            reference=self.reference,
            architecture=self.architecture,
            low_memory=True,
            use_cache=not self.no_cache,
            backend=self.backend,
        )
        if self.adapter:
            from ..config.adapters import parse_adapter

            for use in map(parse_adapter, self.adapter):
                loaded.load_adapter(use.path, use.weight, noise_levels=use.noise_levels)
        return loaded


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


TextFlag = Annotated[
    bool,
    Parameter(
        help="Take prompts as text, even those that look like names of files.",
        group=PROMPT,
        show_default=False,
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
    subtype: Annotated[
        str | None,
        Parameter(
            help="Sample encoding: PCM_16, PCM_24 or FLOAT (WAV, AIFF; FLAC without FLOAT). "
            "Default: PCM_16.",
            group=OUTPUT,
        ),
    ] = None
    dither: Annotated[
        bool,
        Parameter(
            help="Add noise of one step before samples are rounded to whole numbers.",
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
    """Where clips are written, what is printed, and how prompts are read."""

    output: Annotated[
        str | None,
        Parameter(
            alias="-o",
            help=f"File ({', '.join(FORMATS)}); several clips become NAME_1, NAME_2. Or a folder "
            "(its name ends in / or has no extension): files are named after the prompts. No file "
            "of yours is replaced. Default: the current folder. Edits name a file SOURCE_KIND.wav "
            "there, such as rain_inpaint.wav.",
            group=OUTPUT,
        ),
    ] = None
    overwrite: Annotated[
        bool,
        Parameter(
            help="Replace a file that another command made. A file that this command reads is "
            "never replaced.",
            group=OUTPUT,
            show_default=False,
        ),
    ] = False
    text: TextFlag = False


_FILE_NAME = re.compile(
    rf".*(?:{'|'.join(map(re.escape, FORMATS))}|\.(?:aif|m4a|mp4|txt|csv|jsonl?|ya?ml|png))"
    r"|(?:~|\.{0,2})/\S*|\S+/\S+\.\w+",
    re.IGNORECASE | re.DOTALL,
)
"""A prompt that looks like a file: it has an extension, or begins like a path."""


def reject_file_names(prompts: Sequence[str], is_text: bool) -> None:
    """Raise `UsageError` for a prompt that looks like a file, unless the user says it is text.

    Args:
        prompts: Words of the command line.
        is_text: The flag --text.
    """
    for prompt in prompts:
        if not is_text and _FILE_NAME.fullmatch(prompt):
            exists = Path(prompt).is_file()
            remedy = "give it to the flag for such files" if exists else "check its name"
            raise UsageError(
                f"{prompt} looks like a file, where a prompt is expected; {remedy}, "
                "or add --text if it is text"
            )


def add_timeline(options: OptionValues, file: Path) -> OptionValues:
    """Return the options with the cues and options of a timeline file.

    An option that the user set as a flag replaces that of the file.

    Raises:
        DataError: The file cannot be read.
        UsageError: The file has a wrong value.
    """
    from ..generation.timeline import read_timeline

    read: Any = read_timeline(file)
    return {**read, **options}


def add_speech_model(options: OptionValues) -> OptionValues:
    """Return the options of a transcript with the default speech model, if none is set.

    Raises:
        UsageError: The model is not a speech model, or the phonemizer is not installed.
    """
    from ..config.registry import DEFAULT_SPEECH_MODEL

    model = options.get("model", DEFAULT_SPEECH_MODEL)
    validate_speech_model(model)
    return {**options, "model": model}


def validate_speech_model(model: str) -> None:
    """Raise `UsageError`, before anything is downloaded, if a model is not a speech model."""
    from importlib.util import find_spec

    from ..config.registry import DEFAULT_SPEECH_MODEL, MODELS

    if model in MODELS and MODELS[model].config.phonemes is None:
        raise UsageError(
            f"{model} is not a speech model; for a transcript choose one, "
            f"such as {DEFAULT_SPEECH_MODEL}"
        )
    if find_spec("espeakng_loader") is None:
        raise UsageError("speech needs espeak-ng; run pip install espeakng-loader")
