"""Strict loading: every tensor of a part is found under its name in a layout, with its shape, and nothing is left over.

Knows which leftovers mean nothing and why, and which buffers are arithmetic. Refuses to know files and where parts lie.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from .key_mapping import Slot
from .tensor_files import Tensors

IGNORED: tuple[tuple[str, str], ...] = (
    (r"(^|\.)position_ids$", "counted anew"),
    (r"(^|\.)token_type_ids$", "zeros"),
    (r"^encoder\.embed_tokens\.weight$", "T5's table of words, tied to shared.weight"),
    (r"/lm_head\.weight$", "GPT-2's head, which nobody asks for words"),
    (r"^decoder\.(block|final_layer_norm)\.", "T5's decoder; only its encoder reads"),
    (r"\.attn\.(masked_)?bias$", "GPT-2's causal mask as a buffer"),
    (r"^(text_transform|audio_transform)\.", "CLAP's heads for training"),
    (
        r"^audio_branch\.(spectrogram_extractor|logmel_extractor)\.",
        "CLAP's front end, computed by audio/mel",
    ),
    (r"^audio_branch\.(tscam_conv|head)\.", "CLAP's classifier"),
    (r"attn_mask$", "windows' masks, computed"),
    (r"^(mean|scale)$", "SpeechT5's normalisation, which AudioLDM does not use"),
    (r"^(decoder_\w+|mask_token)(\.|$)", "AudioMAE's decoder for pre-training"),
)
"""Keys of a part that may be there and are not loaded: (pattern, reason)."""

_WINDOW = 8  # of CLAP's attention
_SHOWN = 4


def optional(key: str) -> bool:
    """Whether one of our tensors may be missing in a file, because it is arithmetic."""
    return (
        re.search(
            r"(position_ids|token_type_ids|relative_position_index|num_batches_tracked)$", key
        )
        is not None
    )


def computed(key: str, like: Tensor) -> Tensor:
    """The value of such a tensor."""
    if key.endswith("position_ids"):
        return torch.arange(like.shape[1]).expand(1, -1)
    if key.endswith("relative_position_index"):
        rows, columns = torch.meshgrid(torch.arange(_WINDOW), torch.arange(_WINDOW), indexing="ij")
        rows, columns = rows.flatten(), columns.flatten()
        down, right = rows[:, None] - rows[None, :], columns[:, None] - columns[None, :]
        return (down + _WINDOW - 1) * (2 * _WINDOW - 1) + right + _WINDOW - 1
    if key.endswith(".attn.bias"):  # GPT-2's causal mask, until transformers 5.2
        return torch.ones(like.shape, dtype=torch.bool).tril()
    return torch.zeros(like.shape, dtype=torch.long)


def fit(
    module: nn.Module,
    theirs: Tensors,
    slots: Mapping[str, Slot],
    dtype: torch.dtype | None = torch.float32,
    what: str = "",
) -> nn.Module:
    """The module, which may be on the meta device, with their tensors assigned, in evaluation mode.

    Floating tensors come as `dtype`; None: as they are stored. Tensors already of that type stay mapped to the file. Raises
    WeightsError naming what is missing, left over or misshapen, with shapes.
    """
    wanted = module.state_dict()
    _check(wanted, theirs, slots, what or str(theirs.source))
    state = {}

    def get(name: str) -> Tensor:
        return theirs.cast(name, dtype)

    for key, value in wanted.items():
        slot = slots[key]
        there = all(name in theirs for name in slot.names)
        state[key] = (
            slot.read(get, len(value) if value.ndim else 0) if there else computed(key, value)
        )
        if state[key].is_floating_point() != value.is_floating_point():
            kinds = " and ".join(
                str(tensor.dtype).removeprefix("torch.") for tensor in (state[key], value)
            )
            raise WeightsError(
                f"{what or theirs.source}: {slot.names[0]} is of another kind ({kinds}); get other weights"
            )
    module.load_state_dict(state, strict=True, assign=True)
    for key, value in list(module.named_buffers()):
        if value.is_meta:  # of those that are never stored
            owner, _, leaf = key.rpartition(".")
            setattr(module.get_submodule(owner), leaf, computed(key, value))
    return module.eval()


def _check(
    wanted: Mapping[str, Tensor], theirs: Tensors, slots: Mapping[str, Slot], what: str
) -> None:
    """Compare names and shapes before anything is read."""
    expected = {
        name: shape
        for key, value in wanted.items()
        for name, shape in slots[key].shapes(value.shape).items()
    }
    optional_names = {name for key in wanted if optional(key) for name in slots[key].names}
    missing = [
        f"{n} {list(s)}" for n, s in expected.items() if n not in theirs and n not in optional_names
    ]
    strange = [
        n
        for n in theirs
        if n not in expected and not any(re.search(pattern, n) for pattern, _ in IGNORED)
    ]
    wrong = []
    for name, shape in expected.items():
        if name in theirs and not _alike(theirs.shape(name), shape):
            wrong.append(f"{name} is {list(theirs.shape(name))}, wanted {list(shape)}")
    told = [
        _some("missing", missing),
        _some("left over", [f"{n} {list(theirs.shape(n))}" for n in strange]),
        _some("misshapen", wrong),
    ]
    if any(told):
        raise WeightsError(
            f"{what} does not fit: {'; '.join(filter(None, told))}; it is of another model, or not whole"
        )


def _alike(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether shapes agree; axes of size 1 behind may be missing, as converters squeeze them, and -1 is any size."""
    while len(wanted) > len(found) and wanted[-1] == 1:
        wanted = wanted[:-1]
    while len(found) > len(wanted) and found[-1] == 1:
        found = found[:-1]
    return len(found) == len(wanted) and all(
        w in (-1, f) for f, w in zip(found, wanted, strict=True)
    )


def _some(what: str, names: list[str]) -> str:
    """The first few of a list in words, or nothing."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{what} {', '.join(names[:_SHOWN])}{more}" if names else ""
