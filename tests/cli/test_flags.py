"""Options, flags and keywords of the Python interface are the same."""

from typing import get_type_hints

import pytest
from cyclopts import App

from latentaudio.cli.batch import batch
from latentaudio.cli.extend import extend
from latentaudio.cli.flags import PANELS
from latentaudio.cli.generate import generate
from latentaudio.cli.inpaint import inpaint
from latentaudio.cli.loop import loop
from latentaudio.cli.main import main
from latentaudio.cli.morph import morph
from latentaudio.cli.stream import stream
from latentaudio.cli.super_resolve import super_resolve
from latentaudio.cli.transfer import transfer
from latentaudio.cli.vary import vary
from latentaudio.config import edits
from latentaudio.config.option_table import (
    CLIP_ONLY_OPTIONS,
    CUE_OPTIONS,
    NOT_FOR_EDITS,
    OPTIONS,
    Option,
)
from latentaudio.config.options import GenerationOptions, GenerationOverrides, PromptCue

EDIT_COMMANDS = {
    transfer: edits.TransferOptions,
    vary: edits.VaryOptions,
    inpaint: edits.InpaintOptions,
    super_resolve: edits.SuperResolveOptions,
    extend: edits.ExtendOptions,
    loop: edits.LoopOptions,
}
HIDDEN = {
    generate: frozenset(),
    morph: {"transcript"},
    stream: CLIP_ONLY_OPTIONS,
    batch: {"num_waveforms"},
    **dict.fromkeys(EDIT_COMMANDS, NOT_FOR_EDITS),
}
"""The options that a command does not have."""
COMMAND_NAMES = [command.__name__ for command in HIDDEN]


def arguments(command):
    """The arguments of a command that the parser reads, by flag."""
    collection = App(default_command=command).assemble_argument_collection(parse_docstring=True)
    return {argument.name: argument for argument in collection if argument.parse}


def flag(name):
    return f"--{name.replace('_', '-')}"


def test_the_table_the_fields_and_the_keywords_have_the_same_names_and_types():
    assert list(OPTIONS) == list(GenerationOptions.model_fields)
    assert list(CUE_OPTIONS) == list(PromptCue.model_fields)
    names = OPTIONS.keys() - {"prompt", "model", "edit"}
    assert names == GenerationOverrides.__optional_keys__
    types = get_type_hints(GenerationOverrides)
    for name in names - {"timeline"}:
        assert types[name] == GenerationOptions.model_fields[name].annotation, name


def test_placeholders_of_values_are_the_types_of_the_fields():
    kinds = {"STR": str, "INT": int, "FLOAT": float}
    for name, option in OPTIONS.items():
        annotation = GenerationOptions.model_fields[name].annotation
        if option.panel is None or option.is_switch:
            continue
        if option.is_choice:
            assert option.default in annotation.__args__
        else:
            assert annotation in (kinds[option.metavar], kinds[option.metavar] | None), name


@pytest.mark.parametrize(("command", "hidden"), HIDDEN.items(), ids=COMMAND_NAMES)
def test_flags_are_the_options_with_their_help_and_panels(command, hidden):
    shown = arguments(command)
    for name, option in OPTIONS.items():
        if option.panel is None or (command is stream and name == "duration"):
            continue  # an argument or a flag of the command's own
        if name in hidden:
            assert option.help not in [each.parameter.help for each in shown.values()], name
        else:
            parameter = shown[flag(name)].parameter
            assert parameter.help == option.help
            assert parameter.group == (PANELS[option.panel],)


@pytest.mark.parametrize(("command", "edit"), EDIT_COMMANDS.items(), ids=lambda item: item.__name__)
def test_flags_of_an_edit_are_its_fields_with_their_defaults(command, edit):
    other_names = {"time_ranges": "--time", "frequency_ranges": "--band"}
    shown = arguments(command)
    for name, field in edit.model_fields.items():
        is_shown = other_names.get(name, flag(name)) in shown
        is_internal = name in (*edits.EditOptions.model_fields, "mask_sha256")
        is_loop_context = edit is edits.LoopOptions and name == "in_context"
        assert is_shown != (is_internal or is_loop_context), name
        if is_shown and name not in (*other_names, "mask"):
            argument = shown[flag(name)]
            assert argument.parameter.help == field.description
            if not field.is_required():
                assert argument.field_info.default == field.default


def test_a_command_gets_the_options_that_the_user_set_as_text(monkeypatch):
    given = {}

    def record(requests_or_prompts, options):
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("latentaudio.config.options.make_requests", record)
    words = ["generate", "a dog", "--steps", "3", "--trim-silence", "--model", "x"]
    assert main([*words, "--lufs=-20"]) == 130
    assert given == {"steps": "3", "trim_silence": True, "model": "x", "lufs": "-20"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "steps = '0' must be at least 1"),
        (["--steps", "many"], "steps = 'many' must be a whole number"),
        (["--duration", "soon"], "duration = 'soon' must be a number"),
        (["--preset", "best"], "preset = 'best' must be one of 'paper', 'quality'"),
        (["--sample-rate", "100"], "--sample-rate = 100 must be 8000 to 192000"),
        (["--true-peak", "3"], "--true-peak = '3' must be at most 0"),
    ],
)
def test_a_wrong_value_of_a_flag_is_one_line(words, message, capsys):
    assert main(["generate", "a dog", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_option_without_a_default_is_required():
    assert Option("Meaning.").default is ...
    assert GenerationOptions.model_fields["prompt"].is_required()
