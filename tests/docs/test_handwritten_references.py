"""Reference pages that people write name all keys of the code, with their defaults."""

import re
import typing
from pathlib import Path

import pytest
import yaml
from pydantic import AliasChoices, BaseModel
from pydantic_core import PydanticUndefined

from latentaudio import errors
from latentaudio.train.recipe import Recipe
from latentaudio.train.stages.base import STAGES, stage_class

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGE = (FOLDER / "recipes.md").read_text(encoding="utf-8")
RULES, _, STAGE_TEXT = PAGE.partition("## Stages and their options")
SECTIONS = dict(re.findall(r"### (\w+)\n(.*?)(?=\n##|\Z)", STAGE_TEXT, re.DOTALL))
ABSENT = (None, (), "", {})


def rows(text):
    """Return the defaults that a page states, by key."""
    return dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", text, re.MULTILINE))


def defaults_of(model, prefix=""):
    """Return the defaults of a class by key, those of its sections with a point."""
    defaults = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        key = prefix + (alias.choices[0] if isinstance(alias, AliasChoices) else name)
        for hint in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(hint, type) and issubclass(hint, BaseModel):
                defaults |= defaults_of(hint, f"{key}.")
                break
        else:
            defaults[key] = field.default
    return defaults


def is_stated(default, text):
    """Whether a page states a default."""
    text = text.strip("`")
    if default is PydanticUndefined:
        return text == "required"
    if default in ABSENT:
        return text in ("none", "null")
    value = yaml.safe_load(text)
    if isinstance(value, str) and re.fullmatch(r"\d+e-\d+", value):
        value = float(value)
    return (tuple(value) if isinstance(value, list) else value) == default


def check(stated, defaults):
    assert set(stated) == set(defaults)
    for key, default in defaults.items():
        assert is_stated(default, stated[key]), (key, stated[key], default)


def test_all_keys_of_a_recipe_are_on_the_page():
    stated = rows(RULES)
    assert stated.pop("base") == "none"  # it is read before the recipe
    check(stated, defaults_of(Recipe))


def test_all_stages_are_on_the_page():
    assert set(SECTIONS) == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_all_options_of_a_stage_are_on_the_page(name):
    text = SECTIONS[name]
    stated = {}
    inherited = re.search(r"has the options of `(\w+)`, with `(\w+)` (\d+\.\d+)", text)
    if inherited:
        stated = rows(SECTIONS[inherited[1]]) | {inherited[2]: inherited[3]}
    check(stated | rows(text), defaults_of(stage_class(name).Options))


def test_all_errors_are_on_the_page():
    page = (FOLDER / "errors.md").read_text(encoding="utf-8")
    for name in errors.__all__:
        error = getattr(errors, name)
        if isinstance(error, type) and error is not errors.LatentAudioError:
            assert f"── {name}\n" in page, name
            assert f"| `{name}` | " in page, name
