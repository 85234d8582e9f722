"""Chunks of rows of a pre-encoded data set: files that an interrupted encoding leaves behind."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from ..config.architecture import ModelConfig
from ..data.array_file import ArrayFileWriter
from ..data.pre_encoded import CAPTION_PREFIX, ENDS, TOKENS, Arrays, Bucket, concatenate
from .pre_encoder import ClipRow
from .stored_rows import StoredRows, StoredSound


class EncoderArguments(NamedTuple):
    """Arguments of an encoder; the fingerprint distinguishes weights of the same path."""

    model_folder: Path
    config: ModelConfig
    fingerprint: str


class EncodeTask(NamedTuple):
    """The work of one process: rows of one length, and the file for their arrays.

    `sounds` says where the sound of each row is encoded already; None: it is not.
    """

    num_frames: int
    rows: tuple[ClipRow, ...]
    sounds: tuple[StoredSound | None, ...]
    file: Path


@dataclass(frozen=True)
class BucketPlan:
    """Rows of one length that belong into a file.

    Attributes:
        num_frames: Length in mel frames.
        rows: The rows, in the order of the file.
        stored: Rows of earlier folders, by key.
    """

    num_frames: int
    rows: Sequence[ClipRow]
    stored: StoredRows

    @property
    def repeats(self) -> dict[str, int]:
        """How often an epoch has a row, by its index, if it is not once."""
        return {str(i): row.repeats for i, row in enumerate(self.rows) if row.repeats != 1}


@dataclass(frozen=True)
class Chunk:
    """Some rows of a bucket, one after the other.

    Attributes:
        plan: The bucket.
        start: Its first row of the chunk.
        num_rows: Number of rows.
        num_missing: Number of `missing`.
        file: File for the arrays of the missing rows.
    """

    plan: BucketPlan
    start: int
    num_rows: int
    num_missing: int
    file: Path

    @property
    def num_frames(self) -> int:
        """Length in mel frames."""
        return self.plan.num_frames

    @property
    def stored(self) -> StoredRows:
        """Rows of earlier folders, by key."""
        return self.plan.stored

    @property
    def rows(self) -> tuple[ClipRow, ...]:
        """The rows, in the order of the file."""
        return tuple(self.plan.rows[self.start : self.start + self.num_rows])

    @property
    def missing(self) -> tuple[ClipRow, ...]:
        """Those that no earlier folder has, each once."""
        return missing_rows(self.rows, self.stored)

    @property
    def task(self) -> EncodeTask:
        """What has to be encoded."""
        missing = self.missing
        sounds = tuple(self.stored.sound(row.key) for row in missing)
        return EncodeTask(self.num_frames, missing, sounds, self.file)

    @cached_property
    def is_encoded(self) -> bool:
        """Whether the file exists and is not damaged."""
        try:
            with safe_open(self.file, "pt"):
                return True
        except (OSError, SafetensorError):
            return False

    def arrays(self) -> Arrays:
        """Return the arrays of all rows, in their order."""
        parts: list[Arrays] = []
        order: list[str] = []
        rows = self.rows
        if self.num_missing:
            parts.append(load_file(self.file))
            order += [row.key for row in missing_rows(rows, self.stored)]
        copied: dict[int, tuple[Bucket, list[str]]] = {}
        for key in dict.fromkeys(row.key for row in rows):
            if key in self.stored:
                bucket = self.stored[key][0]
                copied.setdefault(id(bucket), (bucket, []))[1].append(key)
        for bucket, keys in copied.values():
            parts.append(bucket.select([self.stored[key][1] for key in keys]))
            order += keys
        arrays = parts[0] if len(parts) == 1 else concatenate(parts)
        wanted = [row.key for row in rows]
        if order == wanted:
            return arrays
        positions = {key: position for position, key in enumerate(order)}
        joined = Bucket(self.num_frames, len(order), arrays)
        return joined.select([positions[key] for key in wanted])


def missing_rows(
    rows: Sequence[ClipRow], stored: Mapping[str, tuple[Bucket, int]]
) -> tuple[ClipRow, ...]:
    """Return the rows that no earlier folder has, each once.

    Args:
        rows: The rows.
        stored: Rows of an earlier folder, by key.
    """
    return tuple({row.key: row for row in rows if row.key not in stored}.values())


def plan_chunks(plan: BucketPlan, folder: Path, encoder: str, num_rows: int) -> list[Chunk]:
    """Return the chunks of a bucket.

    Args:
        plan: The bucket.
        folder: Folder of the chunks' files.
        encoder: Fingerprint of the encoders.
        num_rows: Rows of a chunk.
    """
    chunks = []
    for start in range(0, len(plan.rows), num_rows):
        rows = plan.rows[start : start + num_rows]
        missing = missing_rows(rows, plan.stored)
        digest = hashlib.blake2b(f"{encoder} {plan.num_frames}".encode(), digest_size=16)
        digest.update("".join(row.key for row in missing).encode())
        file = folder / f"{digest.hexdigest()}.safetensors"
        chunks.append(Chunk(plan, start, len(rows), len(missing), file))
    return chunks


def write_bucket(path: Path, plan: BucketPlan, chunks: Sequence[Chunk]) -> None:
    """Write the file of a bucket, one chunk at a time.

    Args:
        path: The file.
        plan: The bucket.
        chunks: Its chunks, all encoded.
    """
    with ArrayFileWriter(path) as writer:
        writer.reserve_all(_layout(plan, chunks))
        offsets: dict[str, int] = {}
        for arrays in _arrays_of(chunks):
            for name, rows in arrays.items():
                if name.endswith(ENDS):
                    offset = offsets.get(name, 0)
                    offsets[name] = offset + int(rows[-1])
                    rows = rows + offset
                writer.append(name, rows)


def _arrays_of(chunks: Sequence[Chunk]) -> Iterator[Arrays]:
    for chunk in chunks:
        yield chunk.arrays()


def _layout(
    plan: BucketPlan, chunks: Sequence[Chunk]
) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Return type and shape of every array of a bucket."""
    num_captions = len(plan.rows) * len(plan.rows[0].captions)
    num_tokens: dict[str, int] = {}
    first: Arrays = {}
    for arrays in _arrays_of(chunks):
        first = first or arrays
        for name, rows in arrays.items():
            if name.endswith(ENDS):
                tokens = name.removesuffix(ENDS) + TOKENS
                num_tokens[tokens] = num_tokens.get(tokens, 0) + int(rows[-1])
    layout = {}
    for name, rows in first.items():
        is_of_captions = name.startswith(CAPTION_PREFIX)
        num_rows = num_tokens.get(name, num_captions if is_of_captions else len(plan.rows))
        layout[name] = (rows.dtype, (num_rows, *rows.shape[1:]))
    return layout
