"""Options of recipes: every number has a range, and unknown keys are told with those that exist."""

import math
from typing import get_args

import pytest
from pydantic import BaseModel

from latentaudio.errors import ConfigError
from latentaudio.train.recipe import Recipe, RecipeSection, read_recipe
from latentaudio.train.run_folder import _MAY_CHANGE
from latentaudio.train.stages.base import STAGES, stage_class, unused_settings

LOWER = ("ge=", "gt=")
UPPER = ("le=", "lt=")


def numbers_in(annotation, metadata):
    """Yield the limits of every number in a type, also in tuples and unions."""
    if annotation in (int, float):
        yield repr(metadata)
    if hasattr(annotation, "__metadata__"):
        yield from numbers_in(get_args(annotation)[0], list(annotation.__metadata__))
        return
    for part in get_args(annotation):
        yield from numbers_in(part, metadata if part in (int, float) else [])


def sections_in(annotation):
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part


def numbers_of(section, trail):
    """Yield (name, limits) of every number of a section and of the sections in it."""
    for name, field in section.model_fields.items():
        for inner in sections_in(field.annotation):
            yield from numbers_of(inner, f"{trail}.{name}")
        for limits in numbers_in(field.annotation, list(field.metadata)):
            yield f"{trail}.{name}", limits


SECTIONS = {"recipe": Recipe} | {name: stage_class(name).Options for name in STAGES}


@pytest.mark.parametrize("name", SECTIONS)
def test_every_number_has_a_range(name):
    numbers = list(numbers_of(SECTIONS[name], name))
    without = []
    for number, limits in numbers:
        if not (any(k in limits for k in LOWER) and any(k in limits for k in UPPER)):
            without.append(number)
    assert not without
    assert len(numbers) >= (20 if name == "recipe" else 0)


@pytest.mark.parametrize("name", SECTIONS)
def test_no_section_takes_nan_inf_or_unknown_keys(name):
    section = SECTIONS[name]
    assert issubclass(section, RecipeSection)
    assert section.model_config["extra"] == "forbid"
    assert section.model_config["allow_inf_nan"] is False


@pytest.mark.parametrize("value", [math.nan, math.inf, -3, 7])
@pytest.mark.parametrize("key", ["ema_decay", "optim.final_lr_frac"])
def test_numbers_out_of_range_are_told_with_their_value(tmp_path, key, value):
    path = tmp_path / "recipe.yaml"
    path.write_text("stage: vae\nsteps: 1\n")
    with pytest.raises(ConfigError, match=f"{key}.* not {value}"):
        read_recipe(path, (f"{key}={value}",))


def test_an_unknown_key_is_told_with_the_keys_of_its_section(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("stage: vae\nsteps: 1\noptim: {rate: 1}\n")
    with pytest.raises(ConfigError, match=r"optim.rate: there is no such key; the keys are: lr, b"):
        read_recipe(path)


def test_held_out_clips_come_from_folders_or_from_the_data():
    assert Recipe(stage="vae", steps=1, validate={"fraction": 0.1}).validation.fraction == 0.1
    recipe = Recipe(stage="vae", steps=1, validate={"data": ["held_out"]})
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize("name", STAGES)
def test_settings_that_do_nothing_are_known_and_may_change(name):
    stated = Recipe(stage=name, steps=1, batch_size=2)
    is_encoded = "frames_per_batch" in stage_class(name).Options.model_fields
    assert ("batch_size" in unused_settings(stated)) == is_encoded
    assert unused_settings(Recipe(stage=name, steps=1)) == {}
    assert set(_MAY_CHANGE) <= Recipe.model_fields.keys()
