"""The unconditional side of classifier-free guidance in training (numerics: guidance).

Shapes: B batch, W D tokens and width of a text, L D those of the language of audio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..conditioning.encodings import Encoding, Encodings, from_arrays, to_arrays
from ..errors import DataError, first_line
from ..types import Context

UNCONDITIONAL_FILE = "unconditional.safetensors"
_ZEROS = ".zeros"
"""Ending of the name of a conditioner whose unconditional encoding is zeros."""


@dataclass(frozen=True)
class UnconditionalInputs:
    """The unconditional form of every encoding.

    A conditioner of captions encodes the empty one. The encodings of others become zeros: the
    language of audio and the prior.

    Attributes:
        empty: Encodings of one empty caption, by conditioner.
    """

    empty: Mapping[str, Encoding]

    def encoding_like(self, name: str, encoding: Encoding) -> Encoding:
        """Return the unconditional form of one encoding.

        Args:
            name: Its conditioner.
            encoding: Encoding whose shapes, device and types the result has.
        """
        empty = self.empty.get(name, Encoding())
        vector = encoding.vector
        if vector is not None:
            stored = torch.zeros_like(vector) if empty.vector is None else empty.vector
            vector = stored.to(vector).expand_as(vector)
        context = encoding.context
        if context is not None:
            context = _context_like(context, empty.context)
        latent = encoding.latent
        if latent is not None:
            latent = torch.zeros_like(latent)
        return Encoding(vector, context, latent)

    def like(self, encodings: Encodings) -> Encodings:
        """Return the unconditional form of all encodings of a batch.

        Args:
            encodings: Encodings whose shapes, devices and types the result has.
        """
        changes = {}
        for name, encoding in encodings.items():
            changes[name] = self.encoding_like(name, encoding)
        return encodings.replaced(changes)


def _context_like(context: Context, empty: Context | None) -> Context:
    """The tokens of the empty caption, padded or cut to another context; or zeros."""
    tokens = torch.zeros_like(context.tokens)
    if empty is None:
        return Context(tokens, torch.ones_like(context.mask))
    mask = torch.zeros_like(context.mask)
    num_tokens = min(empty.tokens.shape[1], tokens.shape[1])
    tokens[:, :num_tokens] = empty.tokens[:, :num_tokens].to(tokens)
    mask[:, :num_tokens] = 1
    return Context(tokens, mask)


def save_unconditional_inputs(
    folder: Path, empty: Mapping[str, Encoding], zeros: tuple[str, ...]
) -> None:
    """Write the unconditional inputs of a pre-encoded data set.

    Args:
        folder: Folder of the data set.
        empty: Encodings of one empty caption, by conditioner.
        zeros: Conditioners whose unconditional encoding is zeros.
    """
    arrays: dict[str, Tensor] = {name + _ZEROS: torch.tensor(True) for name in zeros}
    for name, rows in to_arrays(empty).items():
        if name.endswith(".mask"):
            continue
        mask = to_arrays(empty).get(name.removesuffix(".tokens") + ".mask")
        arrays[name] = rows[0] if mask is None else rows[0][mask[0] > 0]
    save_file(arrays, folder / UNCONDITIONAL_FILE)


def load_unconditional_inputs(folder: Path) -> UnconditionalInputs:
    """Return the unconditional inputs of a pre-encoded data set.

    Args:
        folder: Folder that `pre_encode` wrote.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        stored = load_file(folder / UNCONDITIONAL_FILE)
        rows = {name: row[None] for name, row in stored.items() if not name.endswith(_ZEROS)}
        return UnconditionalInputs(from_arrays(rows))
    except (OSError, SafetensorError, LookupError, ValueError, TypeError) as error:
        raise DataError(
            f"the encoded clips of {folder} are damaged ({first_line(error)}); delete the folder, "
            "and they are encoded again"
        ) from None
