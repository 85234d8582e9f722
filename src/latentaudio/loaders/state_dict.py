"""Strict loading: every tensor of a component exists, has the right shape, and none is extra."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import WeightsError
from .key_mapping import TensorRef
from .tensor_files import Tensors

IGNORED: tuple[tuple[str, str], ...] = (
    (r"(^|\.)position_ids$", "0, 1, 2, ..., computed"),
    (r"(^|\.)token_type_ids$", "zeros, computed"),
    (r"^encoder\.embed_tokens\.weight$", "T5's word table, tied to shared.weight"),
    (r"/lm_head\.weight$", "GPT-2's output layer for words, which AudioLDM 2 does not use"),
    (r"^decoder\.(block|final_layer_norm)\.", "T5's decoder; AudioLDM uses its encoder alone"),
    (r"\.attn\.(masked_)?bias$", "GPT-2's causal mask as a buffer"),
    (r"^(text_transform|audio_transform)\.", "CLAP's projections for training"),
    (
        r"^audio_branch\.(spectrogram_extractor|logmel_extractor)\.",
        "CLAP's front end, computed by audio/mel",
    ),
    (r"^audio_branch\.(tscam_conv|head)\.", "CLAP's classifier"),
    (r"attn_mask$", "masks of shifted windows, computed"),
    (r"^(mean|scale)$", "SpeechT5's normalization, which AudioLDM does not use"),
    (r"^(decoder_\w+|mask_token)(\.|$)", "AudioMAE's decoder for pre-training"),
)
"""Keys of a component that a file may have and that are not loaded: (pattern, reason)."""

_COMPUTED = r"(position_ids|token_type_ids|relative_position_index|num_batches_tracked)$"
_MAX_LISTED = 4
"""Tensors that an error lists by name."""


class SkipInit(TorchFunctionMode):
    """Skip torch.nn.init while it is active: on the meta device it costs time and fills nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the tensor of an initializer unchanged, and call every other function."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def is_computed_buffer(key: str) -> bool:
    """Return whether one of our tensors may be missing in a file because it can be computed."""
    return re.search(_COMPUTED, key) is not None


def default_buffer(key: str, like: Tensor) -> Tensor:
    """Return the value of a buffer that files may lack.

    Args:
        key: Its name.
        like: A tensor of its shape, which may be on the meta device.
    """
    if key.endswith("position_ids"):
        return torch.arange(like.shape[1]).expand(1, -1)
    if key.endswith("relative_position_index"):
        # Swin attention: the offset between two patches of a window, as a row of the bias table
        side = math.isqrt(like.shape[0])
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        rows = rows.flatten()
        columns = columns.flatten()
        down = rows[:, None] - rows[None, :]
        right = columns[:, None] - columns[None, :]
        return (down + side - 1) * (2 * side - 1) + right + side - 1
    if key.endswith(".attn.bias"):  # GPT-2's causal mask, until transformers 5.2
        return torch.ones(like.shape, dtype=torch.bool).tril()
    return torch.zeros(like.shape, dtype=torch.long)


def load_state_into(
    module: nn.Module,
    source: Tensors,
    refs: Mapping[str, TensorRef],
    dtype: torch.dtype | None = torch.float32,
    label: str = "",
) -> nn.Module:
    """Return the module in evaluation mode, with the tensors of a file assigned.

    Tensors that have the right type already stay mapped to the file and take no memory.

    Args:
        module: The network; it may be on the meta device.
        source: Tensors of the file.
        refs: The place of each of the module's tensors in `source`.
        dtype: Type of floating-point tensors; None: as they are stored.
        label: Name of the source in errors.

    Raises:
        WeightsError: A tensor is missing, unexpected, or has another shape or kind of number.
    """
    return assign_state(module, dict(read_state(module, source, refs, dtype, label)))


def read_state(
    module: nn.Module,
    source: Tensors,
    refs: Mapping[str, TensorRef],
    dtype: torch.dtype | None,
    label: str,
) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and value of each tensor of a module, one at a time; see `load_state_into`."""
    label = label or str(source.source)
    expected = module.state_dict()
    _check_names_and_shapes(expected, source, refs, label)

    def get(name: str) -> Tensor:
        return source.cast(name, dtype)

    for key, value in expected.items():
        ref = refs[key]
        if all(name in source for name in ref.names):
            read = ref.read(get, len(value) if value.ndim else 0)
            # a matrix stands for a convolution of width 1, and the other way round
            read = read if read.shape == value.shape else read.reshape(value.shape)
        else:
            read = default_buffer(key, value)
        if read.is_floating_point() != value.is_floating_point():
            stored = str(read.dtype).removeprefix("torch.")
            needed = str(value.dtype).removeprefix("torch.")
            raise WeightsError(
                f"{label}: {ref.names[0]} has type {stored} and must have {needed}; "
                f"use other weights"
            )
        yield key, read


def assign_state(module: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a module in evaluation mode, with tensors assigned to it.

    Args:
        module: The network; it may be on the meta device.
        state: All tensors of its state dict.
    """
    module.load_state_dict(state, strict=True, assign=True)
    for key, value in list(module.named_buffers()):
        if value.is_meta:  # a buffer that is never stored
            owner, _, leaf = key.rpartition(".")
            setattr(module.get_submodule(owner), leaf, default_buffer(key, value))
    return module.eval()


def _check_names_and_shapes(
    module_state: Mapping[str, Tensor],
    source: Tensors,
    refs: Mapping[str, TensorRef],
    label: str,
) -> None:
    """Raise WeightsError where names or shapes differ, before anything is read."""
    shapes: dict[str, tuple[int, ...]] = {}
    optional: set[str] = set()
    for key, value in module_state.items():
        shapes.update(refs[key].foreign_shapes(value.shape))
        if is_computed_buffer(key):
            optional.update(refs[key].names)
    missing = []
    misshapen = []
    for name, shape in shapes.items():
        if name in source:
            if not _same_shape(source.shape(name), shape):
                misshapen.append(f"{name} is {list(source.shape(name))}, not {list(shape)}")
        elif name not in optional:
            missing.append(f"{name} {list(shape)}")
    unexpected = [
        f"{name} {list(source.shape(name))}"
        for name in source
        if name not in shapes and not any(re.search(pattern, name) for pattern, _ in IGNORED)
    ]
    differences = (
        _list_some("missing", missing),
        _list_some("unexpected", unexpected),
        _list_some("wrong shape", misshapen),
    )
    if any(differences):
        raise WeightsError(
            f"{label} does not match the model: {'; '.join(filter(None, differences))}; "
            f"the weights are of another model or incomplete, use others"
        )


def _same_shape(stored: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Return whether shapes agree but for trailing axes of size 1; -1 is any size."""
    while len(expected) > len(stored) and expected[-1] == 1:
        expected = expected[:-1]
    while len(stored) > len(expected) and stored[-1] == 1:
        stored = stored[:-1]
    return len(stored) == len(expected) and all(
        size in (-1, have) for have, size in zip(stored, expected, strict=True)
    )


def _list_some(title: str, items: list[str]) -> str:
    """Return the first few of a list as text, or an empty text."""
    if not items:
        return ""
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return f"{title}: {', '.join(items[:_MAX_LISTED])}{more}"
