"""Flags of the authors' commands `audioldm` and `audioldm2` under `latentaudio generate`. Knows both tables of words.

A line with one of their flags means what it meant there: their model, seed and voice where it names none. Without one it is
left alone. What has no counterpart is refused. Source: spec 12.1, 12.2; docs/checkpoints.md tells what differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from ..config.registry import DEFAULT_SPEECH_MODEL, MODELS
from ..errors import UsageError

PROMPT, EDITING, NOTHING = "prompt", "editing", "nothing"
OLD = {
    "-t": PROMPT, "--text": PROMPT, "--transcription": "--transcript", "-tl": "--prompt-file", "--text_list": "--prompt-file",
    "-s": "--output", "--save_path": "--output", "--model_name": "--model", "-d": "--device", "--ddim_steps": "--steps",
    "-gs": "--guidance-scale", "--guidance_scale": "--guidance-scale", "-dur": "--duration",
    "-n": "--candidates", "--n_candidate_gen_per_text": "--candidates",
    "-f": EDITING, "--file_path": EDITING, "--transfer_strength": EDITING, "--mode": EDITING,
    "-b": NOTHING, "--batchsize": NOTHING, "-ckpt": NOTHING, "--ckpt_path": NOTHING,
}  # fmt: skip
"""Batches change no sound here, and the authors' newer versions read no --ckpt_path either: name the file with --model."""
MAY_BE_EMPTY = (PROMPT, "--transcript", "--prompt-file", "--output")
"""Of these "" is the same as nothing, as it is there."""
FIRST_ONLY = {"-ckpt", "--ckpt_path"}
"""What is accepted here and only `audioldm` has: where no model is named, these tell it from `audioldm2`."""


def translated(tokens: Sequence[str]) -> list[str]:
    """The tokens of `generate` with old flags in today's words, prompts last behind `--`; as they are where no flag is old.

    Raises UsageError for what nothing here does and for flags without their value.
    """
    if not any(token.partition("=")[0] in OLD for token in tokens):
        return list(tokens)
    todays = _todays()
    said: dict[str, str] = {}  # of a flag said twice the last counts, as it does there
    switches: list[str] = []
    prompts: list[str] = []
    old: set[str] = set()
    rest = iter(tokens)
    for token in rest:
        flag, joined, value = token.partition("=")
        name = OLD.get(flag) or todays(flag)
        if token == "--":
            prompts += rest
            break
        if not name:
            (switches if token.startswith("-") else prompts).append(token)
            continue
        if not joined:
            value = next(rest, "--")
            if value == "--" or value in OLD or todays(value):
                raise UsageError(
                    f"{flag} needs a value behind it; one that is a flag's name is written {flag}=VALUE"
                )
        if flag in OLD:
            old.add(flag)
            if (
                name == NOTHING
                or (flag, value) == ("--mode", "generation")
                or (name in MAY_BE_EMPTY and not value.strip())
            ):
                continue
        if name == EDITING:
            raise UsageError(
                f"{flag} {value}: generate makes sound from text only; see latentaudio transfer and latentaudio inpaint"
            )
        if name == PROMPT:
            prompts.append(value)
        else:
            said[name] = f"{value.rstrip('/')}/" if flag in ("-s", "--save_path") else value
    if not old:
        return list(tokens)
    _complete(said, old, "--quiet" in switches)
    return [
        *(f"{name}={value}" for name, value in said.items()),
        *switches,
        *(["--", *prompts] if prompts else []),
    ]


def _todays() -> Callable[[str], str]:
    """Finds today's name of an option that takes a value; "" for everything else."""
    from cyclopts import App

    from .generate import generate

    options = App(default_command=generate).assemble_argument_collection()

    def name(flag: str) -> str:
        try:
            option = options.match(flag)[0] if flag.startswith("-") else None
        except ValueError:
            return ""
        return option.name if option and option.token_count()[0] else ""

    return name


def _complete(said: dict[str, str], old: set[str], quiet: bool) -> None:
    """Put in what the authors' commands take where nothing is said and the table of models does not tell."""
    speech = said.get("--transcript")
    usual = DEFAULT_SPEECH_MODEL if speech else "audioldm-m-full" if old & FIRST_ONLY else "audioldm2-full"
    model = said.setdefault("--model", usual)
    if speech and model in MODELS and MODELS[model].config.phonemes is None:
        if not quiet:
            warnings.warn(
                f"{model} does not speak; {DEFAULT_SPEECH_MODEL} is taken instead, as audioldm2 does",
                stacklevel=3,
            )
        said["--model"] = DEFAULT_SPEECH_MODEL
    said.setdefault("--preset", "paper")
    said.setdefault("--seed", "42" if said["--model"].startswith("audioldm-") else "0")
