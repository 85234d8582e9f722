"""What encoded clips depend on, as hashes: the sound, its captions, the encoders.

A change of any of them gives another key, so that no training uses old latents.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from ..conditioning import used_conditioners
from ..config.architecture import ModelConfig
from ..config.parsing import parse_json, read_bounded
from ..data.pre_encoded import FORMAT_VERSION
from ..errors import DataError
from ..fileio import atomic_write, sha256_of_file
from ..loaders.model_folder import TOKENIZER_FILE, load_component
from .pre_encoder import ClipRow, frozen_components

_DIGEST_BYTES = 16
_MAX_BYTES = 2**30
"""Longest file of hashes that is read: some million sounds."""
_SETTLE_S = 2.0
"""A file that was changed in the last 2 s may change again within the resolution of its times."""


class FileHashes:
    """SHA-256 of files, remembered by path, size and times.

    A file is read again if its size, its modification time or its status change time differs.
    """

    def __init__(self, path: Path, settle_s: float = _SETTLE_S) -> None:
        """Read the hashes of earlier runs.

        Args:
            path: JSON file to remember hashes in. A damaged file is written anew.
            settle_s: Files that changed in so many last seconds are not remembered.
        """
        self.path = path
        self.settle_s = settle_s
        self._entries: dict[str, list[Any]] = {}
        self._is_changed = False
        try:
            entries = parse_json(read_bounded(path, _MAX_BYTES))
        except (OSError, ValueError):
            return
        if isinstance(entries, dict):
            self._entries = entries

    def get(self, file: Path) -> str:
        """Return the SHA-256 of a file's bytes.

        Args:
            file: The file.

        Raises:
            DataError: The file cannot be read.
        """
        name = str(file.absolute())
        try:
            state = file.stat()
            identity = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
            entry = self._entries.get(name)
            if isinstance(entry, list) and entry[:-1] == identity:
                return str(entry[-1])
            checksum = sha256_of_file(file)
        except OSError as error:
            raise DataError(
                f"cannot read {file} ({error.strerror or error}); "
                "replace the file or remove its line from the manifest"
            ) from None
        if time.time() - max(state.st_mtime, state.st_ctime) > self.settle_s:
            self._entries[name] = [*identity, checksum]
            self._is_changed = True
        return checksum

    def save(self) -> None:
        """Remember the hashes for later runs."""
        if not self._is_changed:
            return
        with atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(self._entries), encoding="utf-8")
        self._is_changed = False


def row_key(row: ClipRow, checksum: str, is_cropped: bool) -> str:
    """Return a hash of everything that an encoded clip depends on beside the encoders.

    Args:
        row: The clip.
        checksum: Hash of its file.
        is_cropped: Whether the clip is longer than its bucket, so that its crop is random.
    """
    clip = row.clip
    crop = [clip.sample_rate, clip.num_samples, row.crop_index if is_cropped else 0]
    return _digest([checksum, crop, row.captions, row.transcript])


def data_fingerprint(encoder: str, buckets: Sequence[tuple[int, Sequence[ClipRow]]]) -> str:
    """Return the name of the folder of a pre-encoded data set.

    Args:
        encoder: Result of `encoder_fingerprint`.
        buckets: Mel frames and clips of every bucket.
    """
    keys = [[num_frames, [row.key for row in rows]] for num_frames, rows in buckets]
    return _digest([encoder, keys])


def encoder_fingerprint(model_folder: Path, config: ModelConfig) -> str:
    """Return a hash of the encoders: their weights, shapes, settings and tokenizers.

    The VAE's decoder does not count, because no latent depends on it.

    Args:
        model_folder: Folder of the model.
        config: Architecture of the model.

    Raises:
        WeightsError: The VAE is missing or damaged.
    """
    shapes = asdict(config)
    conditioners = []
    for conditioner in used_conditioners(config):
        inputs = conditioner.clip_inputs(config)
        if inputs:
            settings = {name: shapes.get(name) for name in conditioner.components}
            conditioners.append([conditioner.name, inputs, settings])
    settings = {name: shapes[name] for name in ("mel", "vae", "latent_mean", "latent_std")}
    digest = hashlib.sha256(_digest([FORMAT_VERSION, settings, conditioners]).encode())
    for weights in _encoder_weights(load_component(model_folder, "vae", config)):
        digest.update(weights)
    for component in frozen_components(config):
        for name in (f"{component}.safetensors", f"{component}.{TOKENIZER_FILE}"):
            _update(digest, model_folder / name)
    _update(digest, model_folder / TOKENIZER_FILE)
    return digest.hexdigest()[: 2 * _DIGEST_BYTES]


def _update(digest: Any, file: Path) -> None:
    """Add a file to a hash, or nothing if the model has none of that name."""
    if file.is_file():
        digest.update(sha256_of_file(file).encode())


def _encoder_weights(vae: nn.Module) -> Iterator[bytes]:
    """Yield the float32 weights that a latent depends on."""
    for name, value in vae.state_dict().items():
        if name.startswith(("encoder.", "quant")):
            yield value.contiguous().numpy().tobytes()


def _digest(value: Any) -> str:
    """A hash of nested lists, numbers and texts."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()
