"""Pre-encoding: latents and encodings of a data set, computed once per set of frozen components.

Stages on latents read the result with `data.pre_encoded`. It is stored in `pre_encoded/` beside the
folders of the runs, under a fingerprint of everything it depends on: the bytes of the sounds, the
captions, and the encoders. If some of the clips change, the rows of the others are copied from an
earlier folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from procedural_audio.errors import OutputError
from procedural_audio.parallel import parallel_map

from ..config.architecture import ModelConfig
from ..config.parsing import parse_json, read_bounded
from ..data.file_hashes import FileHashes
from ..data.manifest import Clip, read_manifest
from ..data.pre_encoded import (
    FORMAT_VERSION,
    INDEX_FILE,
    LATENT,
    Arrays,
    Bucket,
    PreEncodedDataset,
    concatenate,
)
from ..errors import DataError
from ..fileio import atomic_directory, atomic_write, sha256_of_file
from .fingerprints import (
    data_fingerprint,
    encoder_fingerprint,
    row_key,
)
from .pre_encoder import ClipRow, PreEncoder
from .unconditional import save_unconditional_inputs

FOLDER_NAME = "pre_encoded"
HASHES_FILE = "file_hashes.json"
KEYS_FILE = "keys.txt"
"""File in a folder of encoded clips: the key of each clip, in the order of the rows."""
SHARD_SIZE = 128  # clips that a worker process takes at once
CLIPS_PER_WORKER = 1024  # fewer do not repay the start of a process
_BATCH_SIZE = 16  # clips per forward pass
_MAX_WORKERS = 4  # each needs some 1.4 GB
_FRAMES_PER_TOKEN = 128  # mel frames of one token of the language of audio
_MAX_FRAMES = 1024  # mel frames of the longest clip, 10.24 s

Progress = Callable[[int, int], None]
"""Called with (clips done, clips in all)."""


@dataclass(frozen=True)
class _BucketPlan:
    """Clips of one length that belong into a file.

    Attributes:
        num_frames: Length in mel frames.
        rows: The clips, in the order of the file.
        stored: Rows of an earlier folder, by the key of the clip.
    """

    num_frames: int
    rows: tuple[ClipRow, ...]
    stored: Mapping[str, tuple[Bucket, int]]

    @property
    def missing(self) -> list[ClipRow]:
        """The clips to encode."""
        return [row for row in self.rows if row.key not in self.stored]


def pre_encode(
    data: tuple[Path, ...],
    model_folder: Path,
    config: ModelConfig,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of the pre-encoded data, which is computed if it does not exist.

    All runs side by side use it if their frozen components agree. The VAE's decoder may differ,
    because no latent depends on it.

    Args:
        data: Folders of captioned audio.
        model_folder: Folder of the run's model, with all frozen components.
        config: Architecture of the model.
        progress: Called while clips are encoded.

    Raises:
        ConfigError: The model lacks a component that training needs.
        DataError: A clip cannot be read, or the result cannot be written.
        WeightsError: A frozen component is missing or damaged.
    """
    root = model_folder.parent.parent / FOLDER_NAME
    encoder = encoder_fingerprint(model_folder, config)
    buckets = _clip_rows(data, config, FileHashes(root / HASHES_FILE))
    folder = root / data_fingerprint(encoder, buckets)
    if not (folder / INDEX_FILE).is_file():
        stored = _stored_rows(root, encoder)
        plans = [_BucketPlan(frames, rows, stored.get(frames, {})) for frames, rows in buckets]
        _write(plans, _EncoderArguments(model_folder, config, encoder), folder, progress)
    return folder


def add_translated(
    dataset: PreEncodedDataset,
    name: str,
    folder: Path,
    model_folder: Path,
    load_translator: Callable[[], Callable[[Arrays, Bucket], Tensor]],
    progress: Progress | None = None,
) -> None:
    """Attach the translator's language of audio of every caption to a data set.

    It is computed once and stored in the data set's folder under the translator's fingerprint, so a
    resumed run finds it.

    Args:
        dataset: Data set to extend.
        name: Name of the array in batches.
        folder: Folder of the data set.
        model_folder: Model folder with the translator.
        load_translator: Returns the function for `PreEncodedDataset.map_captions`. Called only if
            the result does not exist.
        progress: Called with (captions done, captions in all).
    """
    fingerprint = sha256_of_file(model_folder / "translator.safetensors")[:12]
    path = folder / f"generated_loa_{fingerprint}.safetensors"
    if not path.is_file():
        generated_loa = dataset.map_captions(load_translator(), progress or _no_progress)
        with atomic_write(path) as temporary:
            save_file(generated_loa, temporary)
    dataset.attach(name, load_file(path))


def bucket_by_length(clips: Sequence[Clip], config: ModelConfig) -> dict[int, list[Clip]]:
    """Return the clips by length in mel frames, as a pre-encoded data set has them.

    Lengths are rounded up to whole tokens of the language of audio and limited to 10.24 s.

    Args:
        clips: Clips of the data set.
        config: Architecture of the model.
    """
    buckets: dict[int, list[Clip]] = {}
    for clip in clips:
        frames = clip.duration * config.mel.sample_rate / config.mel.hop_length
        num_tokens = max(1, int(np.ceil(frames / _FRAMES_PER_TOKEN - 1e-6)))
        num_frames = min(_MAX_FRAMES, _FRAMES_PER_TOKEN * num_tokens)
        buckets.setdefault(num_frames, []).append(clip)
    return buckets


def _no_progress(num_done: int, total: int) -> None:
    """Report nothing."""


def _clip_rows(
    data: tuple[Path, ...], config: ModelConfig, hashes: FileHashes
) -> list[tuple[int, tuple[ClipRow, ...]]]:
    """Return mel frames and clips of every bucket, the shortest first."""
    clips = read_manifest(*data)
    captions_per_clip = max(len(clip.captions) for clip in clips)
    max_seconds = _MAX_FRAMES * config.mel.hop_length / config.mel.sample_rate
    buckets = []
    for num_frames, members in sorted(bucket_by_length(clips, config).items()):
        rows = []
        for index, clip in enumerate(members):
            # clips with fewer captions repeat theirs
            captions = (clip.captions * captions_per_clip)[:captions_per_clip]
            row = ClipRow(clip, captions, crop_index=index % _BATCH_SIZE)
            key = row_key(row, hashes.get(clip.path, clip.offset, clip.num_bytes), is_cropped=clip.duration > max_seconds)
            rows.append(replace(row, key=key))
        buckets.append((num_frames, tuple(rows)))
    hashes.save()
    return buckets


def _stored_rows(root: Path, encoder: str) -> dict[int, dict[str, tuple[Bucket, int]]]:
    """Return the rows of earlier folders that the same encoders made, by mel frames and key."""
    stored: dict[int, dict[str, tuple[Bucket, int]]] = {}
    for index_file in sorted(root.glob(f"[!.]*/{INDEX_FILE}")):
        try:
            index = parse_json(read_bounded(index_file))
            if index.get("encoder") != encoder:
                continue
            dataset = PreEncodedDataset(index_file.parent)
            keys = index_file.with_name(KEYS_FILE).read_text(encoding="utf-8").split()
        except (DataError, OSError, ValueError, AttributeError):
            continue  # damaged, or of another format: its clips are encoded again
        if len(keys) != sum(bucket.num_clips for bucket in dataset.buckets):
            continue
        remaining = iter(keys)
        for bucket in dataset.buckets:
            rows = stored.setdefault(bucket.num_frames, {})
            for position in range(bucket.num_clips):
                rows[next(remaining)] = (bucket, position)
    return stored


def _write(
    plans: Sequence[_BucketPlan],
    arguments: _EncoderArguments,
    folder: Path,
    progress: Progress | None,
) -> None:
    """Write the files of all buckets. Many missing clips are encoded in several processes."""
    shards: list[tuple[int, Sequence[ClipRow]]] = []
    for plan in plans:
        shards += [(plan.num_frames, shard) for shard in _chunks(plan.missing, SHARD_SIZE)]
    num_missing = sum(len(rows) for _, rows in shards)
    num_workers = max(1, min(os.cpu_count() or 1, _MAX_WORKERS, num_missing // CLIPS_PER_WORKER))
    try:
        with (
            atomic_directory(folder) as temporary,
            closing(
                parallel_map(partial(_encode_shard, arguments), shards, num_workers)
            ) as results,
        ):
            arrays = _reported(results, plans, num_missing, progress or _no_progress)
            index = []
            keys: list[str] = []
            for plan in plans:
                num_shards = -(-len(plan.missing) // SHARD_SIZE)
                encoded = [next(arrays) for _ in range(num_shards)]
                path = temporary / f"frames_{plan.num_frames}.safetensors"
                save_file(_bucket_arrays(plan, encoded), path)
                keys += [row.key for row in plan.rows]
                index.append({"frames": plan.num_frames, "count": len(plan.rows)})
            encoder = _encoder(arguments)
            save_unconditional_inputs(
                temporary, encoder.encode_empty_caption(), encoder.zero_conditioners()
            )
            content = {
                "format": FORMAT_VERSION,
                "encoder": arguments.fingerprint,
                "captions": len(plans[0].rows[0].captions),
                "buckets": index,
            }
            (temporary / KEYS_FILE).write_text("\n".join(keys), encoding="utf-8")
            (temporary / INDEX_FILE).write_text(json.dumps(content), encoding="utf-8")
    except FileExistsError:  # another run on the same data was faster; its arrays are the same
        if not (folder / INDEX_FILE).is_file():
            raise
    except OutputError as error:
        raise DataError(str(error)) from error
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"cannot write {folder} ({error}); free some space or choose another --output"
        ) from None
    finally:
        _encoder.cache_clear()


def _reported(
    results: Iterator[dict[str, np.ndarray]],
    plans: Sequence[_BucketPlan],
    num_missing: int,
    progress: Progress,
) -> Iterator[Arrays]:
    """Yield the arrays of every shard, and report how many clips of the data set are done."""
    total = sum(len(plan.rows) for plan in plans)
    num_done = total - num_missing
    if num_done:
        progress(num_done, total)
    for arrays in results:
        num_done += len(arrays[LATENT])
        progress(num_done, total)
        yield {name: torch.from_numpy(rows) for name, rows in arrays.items()}


def _bucket_arrays(plan: _BucketPlan, encoded: Sequence[Arrays]) -> Arrays:
    """Return the arrays of one bucket: rows that were encoded now, and rows of earlier folders."""
    parts = list(encoded)
    order = [row.key for row in plan.missing]
    if len(order) == len(plan.rows):
        return concatenate(parts)
    copied: dict[int, tuple[Bucket, list[str]]] = {}
    for key in dict.fromkeys(row.key for row in plan.rows):
        if key in plan.stored:
            bucket = plan.stored[key][0]
            copied.setdefault(id(bucket), (bucket, []))[1].append(key)
    for bucket, keys in copied.values():
        parts.append(bucket.select([plan.stored[key][1] for key in keys]))
        order += keys
    joined = Bucket(plan.num_frames, len(order), concatenate(parts))
    positions = {key: position for position, key in enumerate(order)}
    return joined.select([positions[row.key] for row in plan.rows])


class _EncoderArguments(NamedTuple):
    """Arguments of an encoder; the fingerprint distinguishes weights of the same path."""

    model_folder: Path
    config: ModelConfig
    fingerprint: str


@lru_cache(maxsize=1)
def _encoder(arguments: _EncoderArguments) -> PreEncoder:
    """Return this process's encoder: loading it takes longer than a shard."""
    return PreEncoder(arguments.model_folder, arguments.config)


def _encode_shard(
    arguments: _EncoderArguments, shard: tuple[int, Sequence[ClipRow]]
) -> dict[str, np.ndarray]:
    """Return the arrays of some clips of one length, as NumPy arrays, which processes copy."""
    num_frames, rows = shard
    encoder = _encoder(arguments)
    batches = [encoder.encode_rows(batch, num_frames) for batch in _chunks(rows, _BATCH_SIZE)]
    return {name: values.numpy() for name, values in concatenate(batches).items()}


def _chunks(rows: Sequence[ClipRow], size: int) -> Iterator[Sequence[ClipRow]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
