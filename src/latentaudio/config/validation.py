"""Checks of configurations and requests that end in one line: the wrong value and a way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import ValidationError

EXAMPLE_PROMPT = "'a church bell ringing in the distance'"
_MAX_VALUE_CHARS = 60  # characters of a wrong value that a message repeats


def require_config(condition: bool, message: str) -> None:
    """Raise `ConfigError(message)` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def require_multiple(name: str, value: int, divisor_name: str, divisor: int) -> None:
    """Raise `ConfigError` unless `value` is a multiple of `divisor`."""
    require_config(
        value % divisor == 0, f"{name} = {value} must be a multiple of {divisor_name} = {divisor}"
    )


def format_validation_error(error: ValidationError, known_fields: Collection[str]) -> str:
    """Return the first error of a pydantic model as one line.

    Args:
        error: Raised by pydantic.
        known_fields: Names of options to list when an unknown one was given.

    Returns:
        The option, its value, and the rule that the value breaks.
    """
    first: Any = error.errors(include_url=False)[0]
    name = ".".join(str(place) for place in first["loc"]) or "options"
    limits = first.get("ctx", {})
    if first["type"] == "value_error":
        return f"{name} {limits['error']}"
    if first["type"] == "missing":
        is_prompt = name == "prompt"
        remedy = f"describe the sound, for example {EXAMPLE_PROMPT}" if is_prompt else "set it"
        return f"{name} is missing; {remedy}"
    if first["type"] == "extra_forbidden":
        return f"there is no option {name!r}; options are: {', '.join(known_fields)}"
    rule = _rule(first["type"], limits) or first["msg"][0].lower() + first["msg"][1:]
    return f"{name} = {repr(first['input'])[:_MAX_VALUE_CHARS]} {rule}"


def _rule(error_type: str, limits: dict[str, Any]) -> str:
    """The rule behind one of pydantic's error types; "" for a type without a text here."""
    match error_type:
        case "greater_than_equal":
            return f"must be at least {limits['ge']:g}"
        case "greater_than":
            return f"must be above {limits['gt']:g}"
        case "less_than_equal":
            return f"must be at most {limits['le']:g}"
        case "less_than":
            return f"must be below {limits['lt']}"
        case "finite_number":
            return "must be a finite number"
        case "float_parsing" | "float_type":
            return "must be a number"
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case "string_type":
            return "must be text"
        case "bool_parsing" | "bool_type":
            return "must be yes or no"
        case "literal_error":
            return f"must be one of {limits['expected']}"
        case "union_tag_invalid":
            return f"must have one of the kinds {limits['expected_tags']}"
    return ""
