"""Options, flags and keywords of the Python interface are the same."""

from typing import get_type_hints

import pytest
from cyclopts import App, Parameter

from latentaudio.cli.batch import batch
from latentaudio.cli.extend import extend
from latentaudio.cli.flags import (
    NOT_FLAGS,
    OPTION_PANELS,
    BatchFlags,
    EditFlags,
    GenerationFlags,
    MorphFlags,
    OptionFlags,
    StreamFlags,
    to_overrides,
)
from latentaudio.cli.generate import generate
from latentaudio.cli.inpaint import inpaint
from latentaudio.cli.loop import loop
from latentaudio.cli.morph import morph
from latentaudio.cli.stream import stream
from latentaudio.cli.super_resolve import super_resolve
from latentaudio.cli.transfer import transfer
from latentaudio.cli.vary import vary
from latentaudio.config import edits
from latentaudio.config.options import GenerationOptions, GenerationOverrides
from latentaudio.errors import UsageError
from latentaudio.generation.streaming import CLIP_ONLY_OPTIONS

EDIT_COMMANDS = {
    transfer: edits.TransferOptions,
    vary: edits.VaryOptions,
    inpaint: edits.InpaintOptions,
    super_resolve: edits.SuperResolveOptions,
    extend: edits.ExtendOptions,
    loop: edits.LoopOptions,
}
FLAGS_OF = {
    generate: GenerationFlags,
    morph: MorphFlags,
    stream: StreamFlags,
    batch: BatchFlags,
    **dict.fromkeys(EDIT_COMMANDS, EditFlags),
}


def arguments(command):
    """The arguments of a command that the parser reads, by flag."""
    collection = App(default_command=command).assemble_argument_collection(parse_docstring=True)
    return {argument.name: argument for argument in collection if argument.parse}


def flag(name):
    return f"--{name.replace('_', '-')}"


def test_keywords_of_python_are_the_options_with_their_types():
    names = set(GenerationOptions.model_fields) - {"prompt", "model", "edit"}
    assert names == set(GenerationOverrides.__optional_keys__)
    types = get_type_hints(GenerationOverrides)
    for name in names - {"timeline"}:
        assert types[name] == GenerationOptions.model_fields[name].annotation, name


def test_every_option_has_one_panel():
    listed = [name for _, names in OPTION_PANELS for name in names]
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(GenerationOptions.model_fields) - set(NOT_FLAGS)


@pytest.mark.parametrize(("command", "flags"), FLAGS_OF.items(), ids=lambda item: item.__name__)
def test_flags_are_the_options_with_their_defaults_and_descriptions(command, flags):
    shown = arguments(command)
    for name, field in GenerationOptions.model_fields.items():
        if name in NOT_FLAGS or name in flags.HIDDEN:
            continue
        assert flags.model_fields[name].default == field.default
        assert shown[flag(name)].parameter.help == field.description
    hidden = {flag(name) for name in flags.HIDDEN} - {"--duration"}
    assert not hidden & shown.keys()


def test_generate_has_every_option():
    assert not GenerationFlags.HIDDEN


def test_a_stream_has_no_flag_that_it_refuses():
    assert set(StreamFlags.HIDDEN) >= CLIP_ONLY_OPTIONS


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


def test_flags_leave_the_options_themselves_alone():
    for model in (GenerationOptions, OptionFlags):
        for field in model.model_fields.values():
            assert not any(isinstance(item, Parameter) for item in field.metadata)


def test_only_values_that_the_user_set_become_keywords():
    assert to_overrides(GenerationFlags()) == {}
    flags = GenerationFlags(steps=25, model="x", lufs=None)
    assert to_overrides(flags) == {"steps": 25, "lufs": None}
    assert to_overrides(flags.updated(duration=2.0))["duration"] == 2.0


def test_a_wrong_value_fails_with_its_flags():
    with pytest.raises(UsageError, match="steps = 0 must be at least 1"):
        GenerationFlags(steps=0)
