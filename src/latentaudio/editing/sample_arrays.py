"""Sounds, texts and ranges of Python users: arrays, tensors, lists and single values.

Letters: C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

_ADVICE = "give an Audio, a file, or samples [C, N] or [N] in [-1, 1]"
_BITS = {"int8": 8, "int16": 16, "int32": 32, "uint8": 8, "uint16": 16, "uint32": 32}
"""Whole numbers of sound files; full scale is half of their range."""


def as_texts(texts: object, name: str = "prompt") -> list[str]:
    """Return texts as a list.

    Args:
        texts: A text, or any iterable of texts.
        name: Name of the argument, for errors.

    Raises:
        UsageError: There is no text, or a value is none.
    """
    if hasattr(texts, "tolist"):
        texts = texts.tolist()
    if isinstance(texts, str):
        return [str(texts)]
    if not isinstance(texts, Iterable) or isinstance(texts, bytes | Mapping):
        raise UsageError(f"{name} is a {type(texts).__name__}; give a text, or several in a list")
    listed = list(texts)
    if not listed:
        raise UsageError(f"there is no {name}; give at least one")
    for number, text in enumerate(listed, 1):
        if not isinstance(text, str):
            raise UsageError(f"{name} {number} is a {type(text).__name__}; give a text")
    return [str(text) for text in listed]


def as_ranges(name: str, ranges: object) -> tuple[Any, ...]:
    """Return ranges as a tuple, which the options of an edit check.

    Args:
        name: Name of the argument, for errors.
        ranges: Any iterable of pairs.

    Raises:
        UsageError: The value is no list.
    """
    if not isinstance(ranges, Iterable) or isinstance(ranges, str | bytes | Mapping):
        raise UsageError(f"{name} is a {type(ranges).__name__}; give pairs of (start, end)")
    return tuple(ranges)


def as_samples(sound: object) -> NDArray[Any]:
    """Return samples as floating-point numbers.

    Whole numbers of 8, 16 and 32 bits are scaled, so that full scale is 1.

    Args:
        sound: Samples [C, N] or [N]: an array, a tensor, a list or any iterable of numbers.

    Returns:
        The samples [C, N]; floating-point numbers of numpy keep their type.

    Raises:
        UsageError: The value is no sound, or a sample is masked or not finite.
    """
    array = _as_array(sound)
    if array.ndim not in (1, 2):
        raise UsageError(f"samples have the shape {array.shape}; {_ADVICE}")
    if not array.size:
        raise UsageError(f"the sound has no samples (shape {array.shape}); {_ADVICE}")
    channels = np.atleast_2d(array)
    if channels.shape[0] > channels.shape[1]:
        raise UsageError(
            f"samples of shape {array.shape} have {channels.shape[0]} channels; "
            "give [C, N], not [N, C]"
        )
    channels = _as_floats(channels)
    if not np.isfinite(channels).all():
        raise UsageError("the source has samples that are not finite (NaN or Inf); repair it first")
    return channels


def is_number(value: object) -> bool:
    """Return whether a value is one number of Python, numpy or torch."""
    is_scalar = getattr(value, "shape", None) == () and not isinstance(value, str)
    return is_scalar or isinstance(value, int | float)


def _as_array(sound: object) -> NDArray[Any]:
    if np.ma.isMaskedArray(sound):
        if np.ma.getmaskarray(sound).any():
            raise UsageError("the sound has masked samples; fill them first, such as .filled(0)")
        return np.asarray(sound)
    if hasattr(sound, "detach"):
        return _from_tensor(sound)
    if isinstance(sound, np.ndarray):
        return sound
    if isinstance(sound, str | bytes | Mapping) or not isinstance(sound, Iterable):
        raise UsageError(f"a {type(sound).__name__} is not a sound; {_ADVICE}")
    values = list(sound)
    try:
        array = np.asarray([_without_gradient(value) for value in values])
    except (ValueError, TypeError, OverflowError):
        raise UsageError(
            "the list is not a sound: its rows differ in length or are no numbers; "
            f"{_ADVICE}; a pair of rate and samples is an Audio"
        ) from None
    return array


def _without_gradient(value: Any) -> Any:
    """Return an item of a list; a tensor becomes an array."""
    return _from_tensor(value) if hasattr(value, "detach") else value


def _from_tensor(tensor: Any) -> NDArray[Any]:
    """Return a tensor of any device and type; numpy has no bfloat16."""
    try:
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.float()
        return np.asarray(tensor.resolve_conj().resolve_neg().numpy())
    except (RuntimeError, TypeError, NotImplementedError):
        kind = f"{getattr(tensor, 'layout', '')} tensor of {getattr(tensor, 'dtype', '')}"
        raise UsageError(f"a {kind} is not a sound; {_ADVICE}") from None


def _as_floats(samples: NDArray[Any]) -> NDArray[Any]:
    dtype = samples.dtype
    if np.issubdtype(dtype, np.floating):
        is_extended = dtype.itemsize > np.dtype(np.float64).itemsize
        return samples.astype(np.float64) if is_extended else samples
    bits = _BITS.get(dtype.name)
    if bits is not None:
        full_scale = 2.0 ** (bits - 1)
        center = full_scale if dtype.kind == "u" else 0.0
        return np.asarray((samples.astype(np.float64) - center) / full_scale, np.float32)
    if dtype.kind in "iu" and np.abs(samples).max() <= 1:  # lists such as [0, 1, 0, -1]
        return samples.astype(np.float32)
    raise UsageError(
        f"samples are {dtype} of shape {samples.shape}; "
        "give floating-point samples in [-1, 1], or whole numbers of 8, 16 or 32 bits"
    )
