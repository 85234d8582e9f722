"""Every number of every configuration has a range, which its constructor holds."""

import math
from dataclasses import fields, is_dataclass, replace

import pytest

from latentaudio.config import architecture
from latentaudio.config.ranges import RANGES
from latentaudio.config.registry import MODELS
from latentaudio.errors import ConfigError

CONFIGS = {
    name: config
    for name in architecture.__all__
    if is_dataclass(config := getattr(architecture, name))
}


def first_value(value):
    return value[0] if isinstance(value, tuple) else value


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


PLACES = [
    (name, field.name)
    for name, config in CONFIGS.items()
    for field in fields(config)
    if is_number(first_value(getattr(config(), field.name) or 1))
    and not is_dataclass(getattr(config(), field.name))
]
WRONG = {
    "nan": math.nan,
    "infinite": math.inf,
    "negative": -(10**7),
    "huge": 10**8,
    "below": None,
    "above": None,
}


@pytest.mark.parametrize(("class_name", "field_name"), PLACES)
@pytest.mark.parametrize("kind", WRONG)
def test_every_number_out_of_its_range_is_refused(class_name, field_name, kind):
    low, high = RANGES.get((class_name, field_name), (1, 2**16))
    number = {"below": low - 1 if low >= 1 else low - 1e-3, "above": high + 1}.get(
        kind, WRONG[kind]
    )
    config = CONFIGS[class_name]()
    old = getattr(config, field_name)
    new = (number, *old[1:]) if isinstance(old, tuple) else number
    with pytest.raises(ConfigError) as error:
        replace(config, **{field_name: new})
    assert field_name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("class_name", "field_name"), RANGES)
def test_every_row_names_a_field_that_exists(class_name, field_name):
    assert field_name in {field.name for field in fields(CONFIGS[class_name])}


HEADS = [(name, field) for name, field in PLACES if field.endswith("num_heads")]
ANY_NUMBER_OF_HEADS = ("T5Config",)
"""T5 states the width of a head apart from the width of its states."""


@pytest.mark.parametrize(("class_name", "field_name"), HEADS)
def test_heads_that_do_not_divide_the_width_are_refused(class_name, field_name):
    config = CONFIGS[class_name]()
    old = getattr(config, field_name)
    new = tuple(7 for _ in old) if isinstance(old, tuple) else 7
    if class_name in ANY_NUMBER_OF_HEADS:
        assert getattr(replace(config, **{field_name: new}), field_name) == new
        return
    with pytest.raises(ConfigError, match=r"must be a multiple of .*num_heads = 7"):
        replace(config, **{field_name: new})


def test_every_stage_of_clap_has_a_number_of_heads():
    with pytest.raises(ConfigError, match=r"audio_num_heads = .* must have one number for each"):
        architecture.CLAPConfig(audio_num_heads=(4, 8, 16))


def test_whole_numbers_have_no_fraction():
    with pytest.raises(ConfigError, match=r"VAE channels = 128\.5 must be a whole number"):
        architecture.VAEConfig(channels=128.5)


@pytest.mark.parametrize("values", [(), (1,) * 2000])
def test_lists_are_neither_empty_nor_endless(values):
    with pytest.raises(ConfigError, match=r"VAE channel_mult has \d+ values"):
        architecture.VAEConfig(channel_mult=values)


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_every_published_model_is_inside(spec):
    assert replace(spec.config) == spec.config
