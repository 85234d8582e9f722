"""Flags of the authors' commands `audioldm` and `audioldm2`, accepted by `latentaudio generate`.

A command line with one of them has the meaning that it has for the authors' commands. Their default
model, seed and prompt for a transcript apply too. A command line without one is unchanged.
docs/guides/published-checkpoints.md lists the differences.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import UsageError

PROMPT = "prompt"
EDITING = "editing"
IGNORED = "ignored"
LEGACY_FLAGS = {
    "-t": PROMPT,
    "--text": PROMPT,
    "--transcription": "--transcript",
    "-tl": "--prompt-file",
    "--text_list": "--prompt-file",
    "-s": "--output",
    "--save_path": "--output",
    "--model_name": "--model",
    "-d": "--device",
    "--ddim_steps": "--steps",
    "-gs": "--guidance-scale",
    "--guidance_scale": "--guidance-scale",
    "-dur": "--duration",
    "-n": "--candidates",
    "--n_candidate_gen_per_text": "--candidates",
    "-f": EDITING,
    "--file_path": EDITING,
    "--transfer_strength": EDITING,
    "--mode": EDITING,
    "-b": IGNORED,
    "--batchsize": IGNORED,
    "-ckpt": IGNORED,
    "--ckpt_path": IGNORED,
}
"""The authors' flags, and those of today or what becomes of them.

Two are ignored: batches change no sample, and the authors' newer versions do not read --ckpt_path;
name the file with --model.
"""
MAY_BE_EMPTY = (PROMPT, "--transcript", "--prompt-file", "--output")
"""Flags for which "" is the same as no flag, as in the authors' commands."""
ONLY_AUDIOLDM1 = {"-ckpt", "--ckpt_path"}
"""Flags that only `audioldm` has: they select its default model, not that of `audioldm2`."""
FOLDER_FLAGS = ("-s", "--save_path")
"""Flags whose value is always a folder."""


@dataclass
class _CommandLine:
    """The tokens of a command line by kind; of a repeated flag the last value counts."""

    values: dict[str, str] = field(default_factory=dict)
    switches: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    legacy: set[str] = field(default_factory=set)


def translate_legacy_flags(tokens: Sequence[str]) -> list[str]:
    """Return the tokens of `generate` with the authors' flags in today's words.

    Args:
        tokens: The tokens behind `generate`.

    Returns:
        The same tokens if none is a flag of the authors; otherwise today's flags, and prompts last
        behind `--`.

    Raises:
        UsageError: A flag has no counterpart, or no value.
    """
    if not any(token.partition("=")[0] in LEGACY_FLAGS for token in tokens):
        return list(tokens)
    line = _parse(tokens)
    if not line.legacy:
        return list(tokens)
    _add_defaults(line)
    flags = [f"{name}={value}" for name, value in line.values.items()]
    prompts = ["--", *line.prompts] if line.prompts else []
    return [*flags, *line.switches, *prompts]


def _parse(tokens: Sequence[str]) -> _CommandLine:
    option_name = _option_finder()
    line = _CommandLine()
    rest = iter(tokens)
    for token in rest:
        if token == "--":
            line.prompts += rest
            break
        flag, has_value, value = token.partition("=")
        name = LEGACY_FLAGS.get(flag) or option_name(flag)
        if not name:
            (line.switches if token.startswith("-") else line.prompts).append(token)
            continue
        if not has_value:
            value = _next_value(flag, rest, option_name)
        if flag in LEGACY_FLAGS:
            line.legacy.add(flag)
        if flag not in LEGACY_FLAGS or not _is_without_effect(flag, name, value):
            _add_flag(line, flag, name, value)
    return line


def _next_value(flag: str, rest: Iterator[str], option_name: Callable[[str], str]) -> str:
    """The token behind a flag; `UsageError` if there is none, or it is a flag itself."""
    value = next(rest, "--")
    if value == "--" or value in LEGACY_FLAGS or option_name(value):
        raise UsageError(
            f"{flag} needs a value; a value that is the name of a flag is written {flag}=VALUE"
        )
    return value


def _is_without_effect(flag: str, name: str, value: str) -> bool:
    """Whether a flag of the authors changes nothing."""
    is_default = (flag, value) == ("--mode", "generation")
    is_empty = name in MAY_BE_EMPTY and not value.strip()
    return name == IGNORED or is_default or is_empty


def _add_flag(line: _CommandLine, flag: str, name: str, value: str) -> None:
    if name == EDITING:
        raise UsageError(
            f"{flag} {value}: generate makes audio from text only; "
            "see latentaudio transfer and latentaudio inpaint"
        )
    if name == PROMPT:
        line.prompts.append(value)
    elif flag in FOLDER_FLAGS:
        line.values[name] = f"{value.rstrip('/')}/"
    else:
        line.values[name] = value


def _option_finder() -> Callable[[str], str]:
    """A function that returns today's name of an option with a value, and "" for anything else."""
    from cyclopts import App

    from .generate import generate

    options = App(default_command=generate).assemble_argument_collection()

    def option_name(flag: str) -> str:
        if not flag.startswith("-"):
            return ""
        try:
            option = options.match(flag)[0]
        except ValueError:
            return ""
        return option.name if option.token_count()[0] else ""

    return option_name


def _add_defaults(line: _CommandLine) -> None:
    """Set the defaults of the authors' commands that differ from those of the model table."""
    from ..config.registry import DEFAULT_SPEECH_MODEL, MODELS

    values = line.values
    has_transcript = bool(values.get("--transcript"))
    default_model = "audioldm2-full"
    if has_transcript:
        default_model = DEFAULT_SPEECH_MODEL
    elif line.legacy & ONLY_AUDIOLDM1:
        default_model = "audioldm-m-full"
    model = values.setdefault("--model", default_model)
    if has_transcript and model in MODELS and MODELS[model].config.phonemes is None:
        if "--quiet" not in line.switches:
            warnings.warn(
                f"{model} is not a speech model; {DEFAULT_SPEECH_MODEL} is used instead, "
                "as audioldm2 does",
                stacklevel=3,
            )
        values["--model"] = DEFAULT_SPEECH_MODEL
    values.setdefault("--preset", "paper")
    values.setdefault("--seed", "42" if values["--model"].startswith("audioldm-") else "0")
