"""How a request names adapters: a file or folder, a weight, and noise levels. Torch-free.

As text: `my-sounds`, `my-sounds:0.8`, or `my-sounds:0.8@0.3-1`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import UsageError
from .parsing import parse_json

MAX_WEIGHT = 10.0
"""Largest weight of an adapter, positive or negative."""
ALL_NOISE_LEVELS = (0.0, 1.0)
"""From a clean latent to pure noise."""
_TEXT = re.compile(
    r"(?P<path>.+?)(:(?P<weight>[-+]?[0-9.]+))?(@(?P<low>[0-9.]+)-(?P<high>[0-9.]+))?", re.DOTALL
)
_EXAMPLE = "my-sounds:0.8 or my-sounds:0.8@0.3-1"


@dataclass(frozen=True)
class AdapterUse:
    """An adapter of a request.

    Attributes:
        path: File or folder.
        weight: Strength; 0 is the base model, 1 the adapter as it was trained.
        noise_levels: Lowest and highest noise level at which it changes the UNet. The level is
            t / 1000: 0 is a clean latent, 1 is pure noise.
        sha256: Hash of the file that it must be; "" accepts any.
    """

    path: str
    weight: float = 1.0
    noise_levels: tuple[float, float] = ALL_NOISE_LEVELS
    sha256: str = ""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: A number is out of its range.
        """
        check_weight(self.path, self.weight)
        low, high = self.noise_levels
        if not 0 <= low < high <= 1:
            raise UsageError(
                f"adapter {self.path}: noise levels {low:g} to {high:g}; "
                "give two numbers from 0 (clean) to 1 (noise), the lower one first"
            )


def check_weight(name: str, weight: float) -> None:
    """Raise UsageError for a weight that is no number or too large.

    Args:
        name: The adapter, for the message.
        weight: Its weight.
    """
    if not (math.isfinite(weight) and abs(weight) <= MAX_WEIGHT):
        raise UsageError(
            f"adapter {name}: weight {weight:g}; "
            f"give a number from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}, such as 0.8"
        )


def parse_adapter(text: str) -> AdapterUse:
    """Return the adapter that a text names.

    Args:
        text: Path, optionally with `:weight` and `@lowest-highest`.

    Raises:
        UsageError: The text is empty or a number is out of its range.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--adapter is empty; write it like {_EXAMPLE}")
    try:
        weight = float(match["weight"] or 1.0)
        low = float(match["low"] or 0.0)
        high = float(match["high"] or 1.0)
    except ValueError:
        raise UsageError(
            f"--adapter {text}: not a weight or noise levels; write {_EXAMPLE}"
        ) from None
    return AdapterUse(match["path"], weight, (low, high))


def adapters_to_tag(uses: Sequence[AdapterUse]) -> str:
    """Return adapters as the tag of a file.

    Args:
        uses: The adapters of a clip, with their hashes.
    """
    return json.dumps([asdict(use) for use in uses], ensure_ascii=False)


def adapters_from_tag(tag: str) -> tuple[AdapterUse, ...]:
    """Return the adapters of a file's tag; none for a file without the tag.

    Args:
        tag: What `adapters_to_tag` wrote, or "".

    Raises:
        UsageError: The tag is damaged.
    """
    if not tag:
        return ()
    try:
        return tuple(_from_record(record) for record in parse_json(tag))
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError("the tag 'adapters' is damaged; this file cannot be reproduced") from None


def _from_record(record: dict[str, Any]) -> AdapterUse:
    low, high = record["noise_levels"]
    path = record["path"]
    sha256 = record["sha256"]
    if not isinstance(path, str) or not isinstance(sha256, str):
        raise TypeError("path and sha256 are texts")
    return AdapterUse(path, float(record["weight"]), (float(low), float(high)), sha256)
