"""One request, four faces: keywords, flags, schema and tags agree, and every refusal is one clear line."""

import subprocess
import sys
from typing import Annotated

import cyclopts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentaudio.config.options import Options
from latentaudio.errors import UsageError

TEXT = st.text(min_size=1, max_size=200).filter(str.strip)


@given(
    prompt=TEXT, negative=TEXT, seconds=st.floats(0.1, 600), seed=st.integers(-1, 2**63 - 1), steps=st.integers(1, 1000),
    guidance=st.floats(0, 100), eta=st.floats(0, 1), count=st.integers(1, 1000),
    lufs=st.none() | st.floats(-70, 0), peak=st.none() | st.floats(-60, 0), trim=st.booleans(), fade_out=st.floats(0, 600),
    stereo=st.floats(0, 1), rate=st.just(0) | st.integers(8000, 192_000),
)  # fmt: skip
def test_tags_bring_every_value_back(**values):
    asked = Options(**values, sampler="ddim")
    tags = asked.to_tags()
    assert all(isinstance(value, str) for value in tags.values())
    assert Options.from_tags({**tags, "software": "something else"}) == asked


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"prompt": ""}, "prompt is empty; say what to hear"),
        ({"prompt": " \n"}, "prompt is empty; say what to hear"),
        ({"prompt": "x" * 10_000}, "prompt has 10000 characters; say it in at most 2000"),
        ({"negative": "x" * 2001}, "negative has 2001 characters"),
        ({"seconds": -3}, "seconds = -3 must be at least 0.1"),
        ({"seconds": 1e9}, "must be at most 600"),
        ({"seconds": float("nan")}, "seconds = nan must be a finite number"),
        ({"seconds": "soon"}, "seconds = 'soon' must be a number"),
        ({"steps": 0}, "steps = 0 must be at least 1"),
        ({"seed": 2**63}, "must be below 9223372036854775808"),
        ({"sampler": "euler"}, "must be one of 'ddim', 'dpm\\+\\+' or 'leaps'"),
        ({"prompt": "caf\udcff"}, "prompt holds bytes that are not UTF-8"),
        (
            {"second": 5},
            "there is no option 'second'; there are: prompt, negative, transcript, seconds",
        ),
    ],
)
def test_refusals_are_one_line_with_the_way_out(wrong, line):
    with pytest.raises(UsageError, match=line) as refusal:
        Options(**{"prompt": "rain", **wrong})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("asked", "defaults", "line"),
    [
        (
            {"guidance_start": 0.8},
            {"guidance_stop": 0.5},
            "guidance_start = 0.8 lies behind guidance_stop = 0.5",
        ),
        (
            {"eta": 1.0},
            {"sampler": "dpm++"},
            "eta = 1.0 means nothing to sampler 'dpm\\+\\+'; choose 'ddim' or eta 0",
        ),
    ],
)
def test_contradictions_are_found_once_the_models_defaults_are_known(asked, defaults, line):
    with pytest.raises(UsageError, match=line):
        Options(prompt="rain", **asked).completed(defaults)


def test_what_suits_the_models_own_sampler_is_not_refused():
    assert Options(prompt="rain", eta=1.0).completed({"sampler": "ddim"}).eta == 1.0


def test_every_way_in_refuses_alike():
    with pytest.raises(UsageError, match="prompt is missing"):
        Options()
    with pytest.raises(UsageError, match="at most 600"):
        Options.model_validate_json('{"prompt": "rain", "seconds": 601}')
    with pytest.raises(UsageError, match="at least 1"):
        Options(prompt="rain").replaced(steps=-1)
    with pytest.raises(UsageError, match="carries no prompt"):
        Options.from_tags({"title": "a song"})


def test_completed_takes_the_models_defaults_only_where_nothing_was_given():
    asked = Options(prompt="rain", steps=25, seed=7)
    done = asked.completed({"steps": 200, "sampler": "ddim", "guidance": 3.5})
    assert (done.steps, done.sampler, done.guidance, done.seed) == (25, "ddim", 3.5, 7)


def test_a_random_seed_becomes_known_and_differs():
    seeds = {Options(prompt="rain").completed({}).seed for _ in range(8)}
    assert min(seeds) >= 0
    assert len(seeds) > 1


def test_flags_carry_the_descriptions_and_remember_what_was_given(capsys):
    app, seen = cyclopts.App(result_action="return_value"), []

    @app.default
    def generate(options: Annotated[Options, cyclopts.Parameter(name="*")]) -> None:
        seen.append(options)

    app(["--prompt", "rain", "--seconds", "2.5"])
    assert seen == [Options(prompt="rain", seconds=2.5)]
    assert seen[0].model_fields_set == {"prompt", "seconds"}
    app(["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, field in Options.model_fields.items():
        if name == "edit":  # what the verbs over sounds fill in; no flag
            continue
        assert field.description is not None
        assert field.description.split(";")[0].split(":")[0][:30] in shown


def test_schema_has_limits_and_descriptions():
    properties = Options.model_json_schema()["properties"]
    assert set(properties) == set(Options.model_fields)
    assert all(entry["description"].endswith(".") for entry in properties.values())
    assert (properties["seconds"]["minimum"], properties["seconds"]["maximum"]) == (0.1, 600)


def test_options_need_no_torch():
    code = "import sys, latentaudio.config.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
