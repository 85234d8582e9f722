"""What encoded clips depend on, as hashes: the sound, its captions, the encoders.

A change of any of them gives another key, so that no training uses old latents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from ..conditioning import used_conditioners
from ..config.architecture import ModelConfig
from ..data.pre_encoded import FORMAT_VERSION
from ..fileio import sha256_of_file
from ..loaders.model_folder import TOKENIZER_FILE, load_component
from .pre_encoder import ClipRow, frozen_components

SOUND_KEY_CHARS = 16
"""Characters at the start of a row's key that stand for its sound; the others for its words."""

_DIGEST_BYTES = 16


def row_key(row: ClipRow, checksum: str) -> str:
    """Return a hash of everything that an encoded row depends on beside the encoders.

    Its first half stands for the sound, its second half for the captions and the transcript.

    Args:
        row: The clip or window.
        checksum: Hash of its sound.
    """
    clip = row.clip
    sound = _digest([checksum, clip.sample_rate, clip.num_samples, row.start])
    words = _digest([row.captions, row.transcript])
    return sound[:SOUND_KEY_CHARS] + words[:SOUND_KEY_CHARS]


def data_fingerprint(encoder: str, buckets: Sequence[tuple[int, Sequence[ClipRow]]]) -> str:
    """Return the name of the folder of a pre-encoded data set.

    Args:
        encoder: Result of `encoder_fingerprint`.
        buckets: Mel frames and clips of every bucket.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for piece in _listed(encoder, buckets):
        digest.update(piece.encode())
    return digest.hexdigest()


def _listed(encoder: str, buckets: Sequence[tuple[int, Sequence[ClipRow]]]) -> Iterator[str]:
    """Yield the encoder, and the keys and repeats of each bucket, as JSON in pieces."""
    yield f"[{json.dumps(encoder)}, ["
    for index, (num_frames, rows) in enumerate(buckets):
        yield f"{', ' if index else ''}[{num_frames}, ["
        for number, row in enumerate(rows):
            yield f"{', ' if number else ''}{json.dumps([row.key, row.repeats])}"
        yield "]]"
    yield "]]"


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
