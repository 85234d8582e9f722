"""Base class of all options: immutable, with errors of one line."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError
from .option_table import Option
from .validation import format_validation_error


def option_field(option: Option) -> Any:
    """Return the pydantic field of an option: its default, limits and description."""
    return Field(
        option.default,
        ge=option.ge,
        gt=option.gt,
        le=option.le,
        lt=option.lt,
        max_length=option.max_length,
        description=option.help,
    )


class StrictModel(BaseModel):
    """Immutable pydantic model that raises `UsageError` with one line, however it is created."""

    # Validators are built when a class is first used: importing this, for --help, is quick.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    NESTED_FIELDS: ClassVar[frozenset[str]] = frozenset()
    """Fields with fields of their own; they are not listed among the options in errors."""

    def __init__(self, /, **values: Any) -> None:
        """Validate the fields; numbers of numpy and torch become those of Python.

        Raises:
            UsageError: A value is not allowed, in one line.
        """
        plain = {name: _to_plain(value, name) for name, value in values.items()}
        try:
            super().__init__(**plain)
        except ValidationError as error:
            raise self._usage_error(error) from None

    @classmethod
    def model_validate(cls, obj: Any, **settings: Any) -> Self:
        """Return the options of a mapping or of an instance.

        Args:
            obj: The values by name.
            **settings: Settings of pydantic.

        Raises:
            UsageError: A value is not allowed, in one line.
        """
        try:
            return super().model_validate(obj, **settings)
        except ValidationError as error:
            raise cls._usage_error(error) from None

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **settings: Any) -> Self:
        """Return the options of a JSON object.

        Args:
            json_data: The object.
            **settings: Settings of pydantic.

        Raises:
            UsageError: A value is not allowed, in one line.
        """
        try:
            return super().model_validate_json(json_data, **settings)
        except ValidationError as error:
            raise cls._usage_error(error) from None

    @classmethod
    def _usage_error(cls, error: ValidationError) -> UsageError:
        """Return the first problem of a validation as one line."""
        for problem in error.errors(include_url=False, include_input=False):
            original = problem.get("ctx", {}).get("error")
            if isinstance(original, UsageError):  # of a nested model; pydantic takes ValueErrors in
                return original
        names = [name for name in cls.model_fields if name not in cls.NESTED_FIELDS]
        return UsageError(format_validation_error(error, names))


def _to_plain(value: Any, name: Any) -> Any:
    """Return numbers and arrays of numpy and torch as numbers and lists of Python.

    Args:
        value: The value of an option.
        name: The option, for errors.

    Raises:
        UsageError: The value is masked.
    """
    if isinstance(value, tuple | list):
        items = [_to_plain(item, name) for item in value]
        is_unchanged = all(new is old for new, old in zip(items, value, strict=True))
        return value if is_unchanged else tuple(items)
    if not hasattr(value, "tolist") or not hasattr(value, "shape"):
        return value
    mask = getattr(value, "mask", False)
    if getattr(mask, "any", lambda: mask)():
        raise UsageError(f"{name} has a masked value; give a number")
    plain = value.detach().tolist() if hasattr(value, "detach") else value.tolist()
    return tuple(_to_plain(item, name) for item in plain) if isinstance(plain, list) else plain
