"""Write docs/reference/cli.md and docs/reference/options.md from the commands and from `config/`.

    python scripts/generate_reference.py

`tests/docs/test_generated_pages.py` fails if the committed pages differ from what this writes.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from cyclopts import App
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from latentaudio.cli.flags import PANELS, RuntimeFlags
from latentaudio.cli.main import COMMANDS, app
from latentaudio.config.edits import AnyEdit
from latentaudio.config.option_table import OPTIONS
from latentaudio.config.options import GenerationOptions, PromptCue
from latentaudio.config.presets import PRESETS
from latentaudio.config.samplers import SAMPLERS
from latentaudio.loaders import diffusers_keys, transformers_keys
from latentaudio.loaders.config_keys import KeyTable

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
NOTICE = "<!-- Written by scripts/generate_reference.py; do not edit. -->"
EDITS = typing.get_args(typing.get_args(AnyEdit)[0])


def flag(field: str) -> str:
    """Return the flag of a field."""
    return f"--{field.replace('_', '-')}"


def cell(text: str) -> str:
    """Return text that a table cell can hold."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    header = list(header)
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for row in rows:
        lines.append(f"| {' | '.join(row)} |")
    return lines


def type_name(hint: Any) -> str:
    """Return a type in plain words, for both Python and the command line."""
    origin = typing.get_origin(hint)
    arguments = [each for each in typing.get_args(hint) if each is not type(None)]
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments if value != "")
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_name(each) for each in arguments))
    if origin in (list, tuple):
        if Ellipsis in arguments or origin is list:
            return f"list: {type_name(arguments[0])}"
        return f"{len(arguments)} {type_name(arguments[0])}s"
    names = {str: "text", float: "number", int: "whole number", bool: "yes or no", Path: "path"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def range_of(field: FieldInfo) -> str:
    """Return the limits of a field."""
    parts = []
    for limit in field.metadata:
        if isinstance(limit, Ge):
            parts.append(f"from {limit.ge:g}")
        elif isinstance(limit, Gt):
            parts.append(f"above {limit.gt:g}")
        elif isinstance(limit, Le):
            parts.append(f"to {limit.le:g}")
        elif isinstance(limit, Lt):
            parts.append(f"below 2^{int(limit.lt).bit_length() - 1}")
        elif isinstance(limit, MaxLen):
            parts.append(f"at most {limit.max_length} long")
    return ", ".join(parts)


def field_rows(model: type[BaseModel], skip: Iterable[str] = ()) -> list[list[str]]:
    """Return one table row for each field of a model."""
    rows = []
    for name, field in model.model_fields.items():
        if name not in skip:
            text = cell(field.description or "")
            kind = type_name(field.annotation)
            required = "Required. " if field.is_required() else ""
            rows.append([f"`{name}`", kind, range_of(field), required + text])
    return rows


def options_page() -> str:
    """Return docs/reference/options.md."""
    header = ["name", "type", "range", "meaning"]
    lines = [
        NOTICE,
        "",
        "# Options",
        "",
        "Python: keywords of `AudioLDM.generate` and of the edits. Command line: the same names",
        "with dashes, such as `--guidance-scale`. Options without a flag are arguments of a",
        "command, or come from a file.",
        "",
        "An option that is not set gets its value from the preset, then from the model.",
        "",
    ]
    titles = {name: panel.name for name, panel in PANELS.items() if name != "edit"}
    for panel, title in (*titles.items(), (None, "Without a flag")):
        others = [name for name, option in OPTIONS.items() if option.panel != panel]
        lines += [f"## {title}", "", *table(header, field_rows(GenerationOptions, others)), ""]
    lines += [
        "## Cues of a timeline",
        "",
        "`timeline` is a list of cues. `--timeline FILE` reads them from YAML, and",
        "`--audio-prompt` makes one cue.",
        "",
        *table(header, field_rows(PromptCue)),
        "",
        "## Edits",
        "",
        "Every edit has `source_path` and `source_sha256`, which are set by the program.",
        "",
    ]
    for edit in EDITS:
        kind = edit.model_fields["kind"].default
        purpose = (edit.__doc__ or "").splitlines()[0]
        rows = field_rows(edit, ("kind", "source_path", "source_sha256", "mask_sha256"))
        lines += [f"### {kind}", "", purpose, "", *table(header, rows), ""]
    lines += ["## Presets", "", "Settings that apply where the caller sets none.", ""]
    rows = []
    for name, preset in PRESETS.items():
        distilled = settings(preset.distilled_settings)
        rows.append([f"`{name}`", settings(preset.settings), distilled])
    lines += [*table(["preset", "settings", "with a distilled UNet"], rows), ""]
    rows = []
    for name, traits in SAMPLERS.items():
        can_edit = "yes" if traits.starts_from_audio else "no"
        uses_eta = "yes" if traits.uses_eta else "no"
        rows.append([f"`{name}`", uses_eta, can_edit, f"`{traits.component}`"])
    lines += ["## Samplers", "", *table(["sampler", "eta", "edits", "network"], rows), ""]
    return "\n".join(lines)


def settings(values: Any) -> str:
    """Return the settings of a preset as text."""
    return ", ".join(f"`{name}={value}`" for name, value in values.items())


def command_lines(title: str, command: App) -> list[str]:
    """Return the section of one command."""
    lines = [f"## {title}", "", first_line(command), ""]
    positional = []
    rows = []
    shared = []
    for argument in command.assemble_argument_collection(parse_docstring=True):
        if argument.children or not argument.parse or not argument.show:
            continue
        names = shown_names(argument)
        if is_positional(argument):
            name = names[0].removeprefix("--").upper()
            positional.append(usage_word(name, argument))
            names = [name]
        elif shared_name(argument):
            shared.append(names[0])
            continue
        kind = "switch" if argument.hint is bool else type_name(argument.hint)
        help_text = cell(argument.parameter.help or "")
        if argument.required and not is_positional(argument):
            help_text = f"Required. {help_text}"
        shown = ", ".join(f"`{name}`" for name in names)
        rows.append([shown, kind, default_of(argument), help_text])
    usage = " ".join(["latentaudio", title, *positional, "[FLAGS]"])
    lines += ["```text", usage, "```", ""]
    lines += [*table(["argument", "type", "default", "meaning"], rows), ""]
    if shared:
        flags = ", ".join(f"`{name}`" for name in shared)
        lines += [f"[Options](options.md) and [machine](#flags-of-the-machine): {flags}.", ""]
    return lines


def usage_word(name: str, argument: Any) -> str:
    """Return a positional argument as the usage line has it."""
    if argument.field_info.kind.name == "VAR_POSITIONAL":
        return f"[{name}...]"
    return name if argument.required else f"[{name}]"


def first_line(command: App) -> str:
    """Return a command's purpose."""
    text = (command.help or "").strip()
    return text.split("\n\n")[0].replace("\n", " ")


def is_positional(argument: Any) -> bool:
    """Return whether an argument has no flag."""
    return argument.field_info.kind.name in (
        "POSITIONAL_ONLY",
        "POSITIONAL_OR_KEYWORD",
        "VAR_POSITIONAL",
    )


def shown_names(argument: Any) -> list[str]:
    """Return the names of an argument, without negative flags that no command accepts."""
    names = [argument.names[0]]  # it may begin with --no-
    for name in argument.names[1:]:
        is_negative = name.startswith(("--no-", "--empty-"))
        if not is_negative or argument.parameter.negative:
            names.append(name)
    return names


def default_of(argument: Any) -> str:
    """Return the default that `--help` adds to the text of an argument; "" if it adds none."""
    value = argument.field_info.default
    if not argument.show_default or value is None or argument.hint is bool:
        return ""
    values = value if isinstance(value, list | tuple) else (value,)
    texts = [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
    return ", ".join(f"`{text}`" for text in texts if text)


def shared_name(argument: Any) -> bool:
    """Return whether a flag is described on the page of options or under "Flags of the machine"."""
    name = argument.names[0].removeprefix("--").replace("-", "_")
    is_option = name in OPTIONS and argument.parameter.help == OPTIONS[name].help
    return is_option or argument.parameter.help in MACHINE_HELP.values()


def machine_help() -> dict[str, str]:
    """Return the help of the flags that choose machine and implementation."""
    texts = {}
    for argument in app["generate"].assemble_argument_collection():
        name = argument.names[0].removeprefix("--").replace("-", "_")
        if name in RuntimeFlags.__dataclass_fields__ and not argument.children:
            texts[name] = argument.parameter.help or ""
    return texts


MACHINE_HELP = machine_help()


def machine_lines() -> list[str]:
    """Return the section of the flags that choose machine and implementation."""
    rows = [[f"`{flag(name)}`", cell(text)] for name, text in MACHINE_HELP.items()]
    lines = ["## Flags of the machine", "", "Most commands that run a model have them.", ""]
    return [*lines, *table(["flag", "meaning"], rows), ""]


def cli_page() -> str:
    """Return docs/reference/cli.md."""
    lines = [
        NOTICE,
        "",
        "# Command line",
        "",
        "`latentaudio COMMAND --help` prints the same text and defaults. A switch is off by "
        "default. Errors are one line. Exit codes:",
        "0 finished, 1 a bug, 2 an error that you can correct, 130 stopped with Ctrl-C, "
        "143 with SIGTERM.",
        "",
        "Flags of every command: `--help`, and `--debug` for the traceback of an error.",
        "",
    ]
    rows = []
    for row in COMMANDS:
        rows.append([f"[`{row.name}`](#{row.name})", row.panel.name, cell(row.purpose)])
    lines += [*table(["command", "panel", "purpose"], rows), ""]
    for row in COMMANDS:
        command = app[row.name]
        if command.default_command is not None:
            lines += command_lines(row.name, command)
        else:
            lines += [f"## {row.name}", "", first_line(command), ""]
        for name in command:
            if not name.startswith("-"):
                lines += command_lines(f"{row.name} {name}", command[name])
    return "\n".join([*lines, *machine_lines()])


KEY_TABLES = (
    *(diffusers_keys.UNET, diffusers_keys.AUDIOLDM2_UNET, diffusers_keys.VAE),
    *(diffusers_keys.PROJECTION, transformers_keys.VOCODER, transformers_keys.CLAP),
    *(transformers_keys.CLAP_TEXT, transformers_keys.CLAP.nested["audio_config"]),
    *(transformers_keys.FEATURE_EXTRACTOR, transformers_keys.T5, transformers_keys.GPT2),
    *(transformers_keys.VITS, transformers_keys.ROBERTA_TOKENIZER, transformers_keys.T5_TOKENIZER),
    transformers_keys.VITS_TOKENIZER,
    *diffusers_keys.SCHEDULERS.values(),
)
"""Tables of keys, in the order of the page."""


def key_lines(rows: KeyTable) -> list[str]:
    """Return the section of one class: the keys that are read, and those without effect."""
    lines = [f"## {rows.name}", ""]
    read = []
    reasons: dict[str, list[str]] = {}
    for name, key in (*rows.keys.items(), *rows.extra.items()):
        if key.kind == "ignored":
            reasons.setdefault(key.note, []).append(f"`{name}`")
            continue
        effect = f"`{key.note}`" if key.kind == "honored" else "nothing else is accepted"
        read.append([f"`{name}`", cell(key.rule.text), effect])
    lines += [*table(["key", "accepted values", "effect"], read), ""]
    if reasons:
        ignored = [[cell(reason), ", ".join(names)] for reason, names in reasons.items()]
        lines += [*table(["reason", "keys without effect"], ignored), ""]
    return lines


def configuration_keys_page() -> str:
    """Return docs/reference/configuration-keys.md."""
    lines = [
        NOTICE,
        "",
        "# Keys of configuration files",
        "",
        "A folder of diffusers has a configuration file for each component. The tables list every",
        "key of every class. A value that is not accepted is an error that names file, key and",
        "value. So is a key that the class does not have. Keys that begin with `_` and version",
        "numbers are not read. Where a file lacks a key, the default of the library applies.",
        "",
        "A value that is refused is in no published folder of AudioLDM or AudioLDM 2. No network",
        "of this package computes it. One example is `padding_side` = left. CLAP's vector would",
        "then be the output at a padding token, and GPT-2 would count padding tokens as positions.",
        "Both depend on the length that a text is padded to. This package pads no single text.",
        "Another one is a `cross_attention_dim` that differs between levels with attention. The",
        "UNet has one list of contexts, because each encoder gives all levels the same width.",
        "",
        "The column *effect* names the field of this package that holds the value. A test compares",
        "each key with the installed diffusers and transformers.",
        "",
    ]
    for rows in KEY_TABLES:
        lines += key_lines(rows)
    return "\n".join(lines)


PAGES = {
    "cli.md": cli_page,
    "options.md": options_page,
    "configuration-keys.md": configuration_keys_page,
}


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
