"""Base class of all options: immutable, with errors of one line."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

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

    @model_validator(mode="wrap")
    @classmethod
    def _raise_one_line(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(values)
        except ValidationError as error:
            names = [name for name in cls.model_fields if name not in cls.NESTED_FIELDS]
            raise UsageError(format_validation_error(error, names)) from None
