"""One request as keywords, flags, schema and tags: all agree, and every error is one clear line."""

import json
import subprocess
import sys
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated

import cyclopts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentaudio.config import registry
from latentaudio.config.edits import (
    AnyEdit,
    ExtendOptions,
    InpaintOptions,
    LoopOptions,
    SuperResolveOptions,
    TransferOptions,
    VaryOptions,
)
from latentaudio.config.options import GenerationOptions, GenerationOverrides, PromptCue
from latentaudio.config.presets import PRESETS
from latentaudio.errors import UsageError

TEXT = st.text(min_size=1, max_size=200).filter(str.strip)
EDITS = [
    TransferOptions(source_path="a.wav", source_sha256="0" * 64, strength=0.7),
    VaryOptions(),
    InpaintOptions(time_ranges=((0.5, 1.0),), frequency_ranges=((100, 200),), in_context=False),
    InpaintOptions(mask="mask.png", mask_sha256="1" * 64),
    SuperResolveOptions(cutoff_hz=3500.0),
    ExtendOptions(before=0.5, after=1.5, in_context=True),
    LoopOptions(loop_seam=2.0),
]


@given(
    prompt=TEXT,
    negative_prompt=TEXT,
    duration=st.floats(0.1, 600),
    seed=st.integers(-1, 2**63 - 1),
    steps=st.integers(1, 1000),
    guidance_scale=st.floats(0, 100),
    eta=st.floats(0, 1),
    num_waveforms=st.integers(1, 1000),
    lufs=st.none() | st.floats(-70, 0),
    true_peak=st.none() | st.floats(-60, 0),
    trim_silence=st.booleans(),
    fade_out=st.floats(0, 600),
    stereo_width=st.floats(0, 1),
    sample_rate=st.just(0) | st.integers(8000, 192_000),
)
def test_tags_restore_every_value(**values):
    options = GenerationOptions(**values, sampler="ddim")
    tags = options.to_tags()
    assert all(isinstance(value, str) for value in tags.values())
    assert GenerationOptions.from_tags({**tags, "software": "something else"}) == options


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.kind)
def test_tags_restore_edits(edit):
    options = GenerationOptions(prompt="", edit=edit, seed=1)
    assert GenerationOptions.from_tags(options.to_tags()) == options
    assert options.replace(seed=2).edit == edit
    assert options.with_defaults({}).edit == edit
    assert GenerationOptions.model_validate_json(options.model_dump_json()) == options


def test_tags_restore_timelines():
    cues = (
        PromptCue(text="rain"),
        PromptCue(start=2.0, audio_prompt="bell.wav", audio_prompt_weight=0.5, weight=3.0),
    )
    options = GenerationOptions(prompt="", timeline=cues)
    assert GenerationOptions.from_tags(options.to_tags()) == options
    assert json.loads(options.to_tags()["timeline"])[0] == {"text": "rain"}


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"prompt": ""}, "prompt is empty; describe the sound"),
        ({"prompt": " \n"}, "prompt is empty; describe the sound"),
        ({"prompt": "x" * 10_000}, "prompt has 10000 characters; shorten it to 2000"),
        ({"negative_prompt": "x" * 2001}, "negative_prompt has 2001 characters"),
        ({"duration": -3}, "duration = -3 must be at least 0.1"),
        ({"duration": 1e9}, "must be at most 600"),
        ({"duration": float("nan")}, "duration = nan must be a finite number"),
        ({"duration": "soon"}, "duration = 'soon' must be a number"),
        ({"steps": 0}, "steps = 0 must be at least 1"),
        ({"steps": 1.5}, "steps = 1.5 must be a whole number"),
        ({"seed": 2**63}, "must be below 9223372036854775808"),
        ({"sampler": "euler"}, "must be one of 'ddim', 'dpm\\+\\+', 'heun' or 'distilled'"),
        ({"trim_silence": "perhaps"}, "trim_silence = 'perhaps' must be yes or no"),
        ({"prompt": "caf\udcff"}, "prompt contains bytes that are not UTF-8"),
        ({"edit": {"kind": "paint"}}, "edit = .* must have one of the kinds 'transfer', 'vary'"),
        ({"timeline": [{"weight": 0}]}, "weight = 0 must be above 0"),
        (
            {"second": 5},
            "there is no option 'second'; options are: prompt, negative_prompt, transcript, dur",
        ),
    ],
)
def test_an_error_is_one_line_with_a_way_out(wrong, line):
    with pytest.raises(UsageError, match=line) as refusal:
        GenerationOptions(**{"prompt": "rain", **wrong})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("edit", "wrong", "line"),
    [
        (LoopOptions, {"before": 1.0}, "there is no option 'before'; options are: .*loop_seam"),
        (VaryOptions, {"strength": 2}, "strength = 2 must be at most 1"),
        (InpaintOptions, {"mask": "a.png", "time_ranges": [(0, 1)]}, "a mask excludes time_ranges"),
        (SuperResolveOptions, {}, "cutoff_hz is missing"),
    ],
)
def test_an_error_in_an_edit_is_one_line(edit, wrong, line):
    with pytest.raises(UsageError, match=line):
        edit(**wrong)


@pytest.mark.parametrize(
    ("options", "defaults", "line"),
    [
        (
            {"guidance_start": 0.8},
            {"guidance_stop": 0.5},
            "guidance_start = 0.8 is above guidance_stop = 0.5",
        ),
        (
            {"eta": 1.0},
            {"sampler": "dpm++"},
            "eta = 1.0 has no effect with sampler 'dpm\\+\\+'; choose sampler 'ddim'",
        ),
        ({"edit": VaryOptions()}, {"sampler": "distilled"}, "sampler 'distilled' cannot edit"),
        ({"edit": VaryOptions(), "loop_seam": 1.0}, {}, "loop_seam and an edit exclude each other"),
        ({"loop_seam": 5.0}, {}, "loop_seam = 5 s; set above 0.04 s and below 4.96 s"),
        ({"loop_seam": 1.0, "fade_in": 1.0}, {}, "put a seam into a loop"),
        ({"edit": LoopOptions(), "trim_silence": True}, {}, "put a seam into a loop"),
    ],
)
def test_contradictions_are_found_once_the_defaults_are_known(options, defaults, line):
    request = GenerationOptions(prompt="rain", **options)
    with pytest.raises(UsageError, match=line):
        request.with_defaults(defaults)


def test_an_option_may_fit_the_default_sampler():
    assert GenerationOptions(prompt="rain", eta=1.0).with_defaults({"sampler": "ddim"}).eta == 1.0


def test_every_constructor_validates():
    with pytest.raises(UsageError, match="prompt is missing"):
        GenerationOptions()
    with pytest.raises(UsageError, match="at most 600"):
        GenerationOptions.model_validate_json('{"prompt": "rain", "duration": 601}')
    with pytest.raises(UsageError, match="at least 1"):
        GenerationOptions(prompt="rain").replace(steps=-1)
    with pytest.raises(UsageError, match="no prompt in its tags"):
        GenerationOptions.from_tags({"title": "a song"})


def test_defaults_apply_only_to_options_that_are_not_set():
    options = GenerationOptions(prompt="rain", steps=25, seed=7)
    defaults = {"steps": 200, "sampler": "ddim", "guidance_scale": 3.5}
    complete = options.with_defaults(defaults)
    assert (complete.steps, complete.sampler, complete.seed) == (25, "ddim", 7)
    assert complete.guidance_scale == 3.5


def test_a_random_seed_is_drawn_and_recorded():
    seeds = {GenerationOptions(prompt="rain").with_defaults({}).seed for _ in range(8)}
    assert min(seeds) >= 0
    assert len(seeds) > 1


class Flags(GenerationOptions):
    """The options as flags; an edit is set by the commands that edit."""

    edit: Annotated[AnyEdit | None, cyclopts.Parameter(parse=False)] = None


def test_flags_have_the_descriptions_and_record_which_were_set(capsys):
    app = cyclopts.App(result_action="return_value")
    requests = []

    @app.default
    def generate(options: Annotated[Flags, cyclopts.Parameter(name="*")]) -> None:
        requests.append(options)

    app(["--prompt", "rain", "--duration", "2.5"])
    assert requests == [Flags(prompt="rain", duration=2.5)]
    assert requests[0].model_fields_set == {"prompt", "duration"}
    app(["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, field in GenerationOptions.model_fields.items():
        if name == "edit":
            continue
        assert field.description is not None
        assert field.description.split(";")[0].split(":")[0][:30] in shown


def test_schema_has_limits_and_descriptions():
    properties = GenerationOptions.model_json_schema()["properties"]
    assert set(properties) == set(GenerationOptions.model_fields)
    assert all(entry["description"].endswith(".") for entry in properties.values())
    assert (properties["duration"]["minimum"], properties["duration"]["maximum"]) == (0.1, 600)


def test_overrides_equal_the_options():
    overrides = typing.get_type_hints(GenerationOverrides)
    options = typing.get_type_hints(GenerationOptions)
    assert list(overrides) == [
        name for name in GenerationOptions.model_fields if name not in ("prompt", "model", "edit")
    ]
    expected = {name: options[name] for name in overrides}
    expected["timeline"] = Sequence[PromptCue | Mapping[str, typing.Any]]
    assert overrides == expected
    assert not GenerationOverrides.__total__


def test_presets_and_models_set_existing_options():
    for preset in PRESETS.values():
        for settings in (preset.settings, preset.distilled_settings):
            assert set(settings) <= set(GenerationOptions.model_fields)
            GenerationOptions(prompt="rain", **settings)
    shared = set(GenerationOptions.model_fields) & set(vars(registry.MODELS["mini"]))
    assert shared == {
        "duration",
        "preset",
        "guidance_scale",
        "apg_eta",
        "guidance_start",
        "guidance_stop",
        "candidates",
    }


def test_options_need_no_torch():
    code = "import sys, latentaudio.config.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
