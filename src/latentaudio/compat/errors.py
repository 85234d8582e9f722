"""Errors of the drop-in: those of this package that are also what diffusers raises."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


class PipelineUsageError(UsageError, ValueError):
    """An argument that cannot be used; diffusers raises ValueError in its place."""


def raise_value_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Return a method whose `UsageError` is a ValueError too."""

    @wraps(function)
    def method(*arguments: P.args, **keywords: P.kwargs) -> R:
        try:
            return function(*arguments, **keywords)
        except UsageError as error:
            raise PipelineUsageError(str(error)) from None

    return method
