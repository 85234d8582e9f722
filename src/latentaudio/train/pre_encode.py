"""Pre-encoding: latents and encodings of a data set, computed once per set of frozen components.

Stages on latents read the result with `data.pre_encoded`. It is stored in `pre_encoded/` beside the
folders of the runs, under a fingerprint of everything it depends on: the bytes of the sounds, the
captions, and the encoders. If some of the clips change, the rows of the others are copied from an
earlier folder. If only captions change, the sounds are not encoded again.

Rows are encoded in chunks. Each chunk is a file, so that an interrupted run goes on where it was,
and memory does not grow with the data. The chunks become one file for each length at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import ExitStack, closing
from functools import lru_cache, partial
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from procedural_audio.errors import OutputError
from procedural_audio.parallel import parallel_map

from ..config.architecture import ModelConfig
from ..data.array_file import ArrayFileWriter
from ..data.file_hashes import FileHashes
from ..data.manifest import Clip, DataSources, read_manifest
from ..data.pre_encoded import (
    FORMAT_VERSION,
    INDEX_FILE,
    Arrays,
    Bucket,
    PreEncodedDataset,
    concatenate,
)
from ..errors import DataError, first_line
from ..fileio import (
    atomic_directory,
    atomic_write,
    created_folder,
    emptied_if_refused,
    is_new_or_empty,
    remove_abandoned_parts,
    sha256_of_file,
)
from .encode_chunks import (
    BucketPlan,
    Chunk,
    EncoderArguments,
    EncodeTask,
    plan_chunks,
    write_bucket,
)
from .encode_plan import bucket_by_length, plan_rows
from .fingerprints import data_fingerprint, encoder_fingerprint
from .pre_encoder import PreEncoder
from .stored_rows import KEYS_FILE, StoredRows, close_stored_sounds, read_sound, stored_rows
from .unconditional import save_unconditional_inputs

__all__ = [
    "FOLDER_NAME",
    "HASHES_FILE",
    "KEYS_FILE",
    "bucket_by_length",
    "encoded_folders",
    "pre_encode",
    "warn_of_unused",
]

FOLDER_NAME = "pre_encoded"
HASHES_FILE = "file_hashes.sqlite"
SHARD_SIZE = 128  # rows of a chunk
CLIPS_PER_WORKER = 1024  # fewer do not repay the start of a process
_BATCH_SIZE = 16  # clips per forward pass
_MAX_WORKERS = 4  # each needs some 1.4 GB

Progress = Callable[[int, int], None]
"""Called with (clips done, clips in all)."""


def pre_encode(
    data: DataSources,
    model_folder: Path,
    config: ModelConfig,
    progress: Progress | None = None,
    root: Path | None = None,
    keep: Callable[[Clip], bool] | None = None,
) -> Path:
    """Return the folder of the pre-encoded data, which is computed if it does not exist.

    All runs side by side use it if their frozen components agree. The VAE's decoder may differ,
    because no latent depends on it.

    Args:
        data: Folders of captioned audio.
        model_folder: Folder of the run's model, with all frozen components.
        config: Architecture of the model.
        progress: Called while clips are encoded.
        root: Folder of all pre-encoded data. Default: `pre_encoded` beside the folder of the run.
        keep: Whether a clip is encoded, for example because it is held out. Default: all are.

    Raises:
        ConfigError: The model lacks a component that training needs.
        DataError: A clip cannot be read, or the result cannot be written.
        WeightsError: A frozen component is missing or damaged.
    """
    if root is None:
        root = model_folder.parent.parent / FOLDER_NAME
    report = progress or _no_progress
    with ExitStack() as stack:
        try:
            stack.enter_context(created_folder(root))
        except OSError as error:
            raise DataError(
                f"cannot write {root} ({error.strerror or error}); choose another --output"
            ) from None
        if is_new_or_empty(root):
            stack.enter_context(emptied_if_refused(root, partial(_has_rows, root)))
        return _pre_encode(data, model_folder, config, report, root, keep)


def _has_rows(root: Path) -> bool:
    """Whether a folder holds encoded rows, from which the next command goes on."""
    return any(root.rglob("*.safetensors"))


def _pre_encode(
    data: DataSources,
    model_folder: Path,
    config: ModelConfig,
    progress: Progress,
    root: Path,
    keep: Callable[[Clip], bool] | None,
) -> Path:
    """Return the folder of the pre-encoded data in `root`."""
    encoder = encoder_fingerprint(model_folder, config)
    clips = read_manifest(*data)
    if keep is not None:
        clips = clips.filtered(keep)
    buckets = plan_rows(clips, config, FileHashes(root / HASHES_FILE))
    folder = root / data_fingerprint(encoder, buckets)
    if (folder / INDEX_FILE).is_file():
        _remove_older_chunks(_chunk_folder(root, encoder), folder / INDEX_FILE)
        return folder
    try:
        # other processes that need the same rows wait, and then find them
        with FileLock(root / f".{encoder}.lock"):
            if not (folder / INDEX_FILE).is_file():
                stored = stored_rows(root, encoder)
                plans = []
                for num_frames, rows in buckets:
                    plans.append(BucketPlan(num_frames, rows, stored.get(num_frames, StoredRows())))
                arguments = EncoderArguments(model_folder, config, encoder)
                _encode_and_write(plans, arguments, folder, progress)
    except OSError as error:
        raise DataError(
            f"cannot write {folder} ({error}); free some space or choose another --output"
        ) from None
    return folder


def encoded_folders(root: Path) -> set[Path]:
    """Return the folders of whole data sets.

    Args:
        root: Folder of all pre-encoded data. It need not exist.
    """
    return {file.parent for file in root.glob(f"[!.]*/{INDEX_FILE}")}


def warn_of_unused(root: Path, used: Set[Path]) -> None:
    """Tell the user of data sets that earlier runs left: the package deletes none of them.

    Args:
        root: Folder of all pre-encoded data.
        used: Folders of all data sets of a run.
    """
    unused = encoded_folders(root) - used
    if unused:
        num_bytes = 0
        for path in unused:
            num_bytes += sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        names = ", ".join(sorted(path.name for path in used))
        warnings.warn(
            f"{root} also holds {num_bytes / 1e6:.1f} MB of encoded data that this run does not use"
            f"; delete those of its folders that no run needs (this one uses {names})",
            stacklevel=3,
        )


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
        remove_abandoned_parts(folder)
        with atomic_write(path) as temporary, ArrayFileWriter(temporary) as writer:
            length = -1
            for bucket, rows in dataset.map_captions(load_translator(), progress or _no_progress):
                if bucket.num_frames != length:
                    length = bucket.num_frames
                    num_captions = bucket.num_clips * dataset.captions_per_clip
                    writer.reserve(str(length), rows.dtype, (num_captions, *rows.shape[1:]))
                writer.append(str(length), rows)
    try:
        generated = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path} is damaged ({first_line(error)}); delete it, and it is computed again"
        ) from None
    dataset.attach(name, generated)


def _no_progress(num_done: int, total: int) -> None:
    """Report nothing."""


def _chunk_folder(root: Path, encoder: str) -> Path:
    """The folder of chunks that are not a part of a data set yet."""
    return root / f".chunks_{encoder}"


def _remove_older_chunks(chunk_folder: Path, index_file: Path) -> None:
    """Remove the chunks that a killed process left after it had written its data set.

    Chunks that are newer than the data set belong to another one, which goes on with them.
    """
    finished = index_file.stat().st_mtime_ns
    files = [file for file in chunk_folder.rglob("*") if file.is_file()]
    if all(file.stat().st_mtime_ns <= finished for file in files):
        shutil.rmtree(chunk_folder, ignore_errors=True)


def _encode_and_write(
    plans: Sequence[BucketPlan], arguments: EncoderArguments, folder: Path, progress: Progress
) -> None:
    """Encode what is missing, and write the files of all buckets."""
    chunk_folder = _chunk_folder(folder.parent, arguments.fingerprint)
    if chunk_folder.is_dir():
        remove_abandoned_parts(chunk_folder)
    chunks = {
        plan.num_frames: plan_chunks(plan, chunk_folder, arguments.fingerprint, SHARD_SIZE)
        for plan in plans
    }
    try:
        _encode_chunks([chunk for part in chunks.values() for chunk in part], arguments, progress)
        _write(plans, chunks, arguments, folder)
    except OutputError as error:
        raise DataError(str(error)) from error
    except FileExistsError:  # a run on another machine was faster; its arrays are the same
        if not (folder / INDEX_FILE).is_file():
            raise
    except SafetensorError as error:
        raise DataError(
            f"cannot write {folder} ({error}); free some space or choose another --output"
        ) from None
    finally:
        _encoder.cache_clear()
        close_stored_sounds()
    shutil.rmtree(chunk_folder, ignore_errors=True)


def _encode_chunks(
    chunks: Sequence[Chunk], arguments: EncoderArguments, progress: Progress
) -> None:
    """Encode the chunks that have no file yet. Many are encoded in several processes."""
    total = sum(chunk.num_rows for chunk in chunks)
    to_do = [chunk for chunk in chunks if chunk.num_missing and not chunk.is_encoded]
    num_missing = sum(chunk.num_missing for chunk in to_do)
    num_done = total - num_missing
    num_workers = max(1, min(os.cpu_count() or 1, _MAX_WORKERS, num_missing // CLIPS_PER_WORKER))
    if num_done:
        progress(num_done, total)
    tasks = (chunk.task for chunk in to_do)
    with closing(parallel_map(partial(_encode_chunk, arguments), tasks, num_workers)) as results:
        for num_rows in results:
            num_done += num_rows
            progress(num_done, total)


def _write(
    plans: Sequence[BucketPlan],
    chunks: Mapping[int, Sequence[Chunk]],
    arguments: EncoderArguments,
    folder: Path,
) -> None:
    """Write the folder of a data set from the files of its chunks."""
    with atomic_directory(folder) as temporary:
        index = []
        for plan in plans:
            path = temporary / f"frames_{plan.num_frames}.safetensors"
            write_bucket(path, plan, chunks[plan.num_frames])
            entry: dict[str, object] = {"frames": plan.num_frames, "count": len(plan.rows)}
            if plan.repeats:
                entry["repeats"] = plan.repeats
            index.append(entry)
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
        with (temporary / KEYS_FILE).open("w", encoding="utf-8", newline="\n") as file:
            for plan in plans:
                file.writelines(f"{row.key}\n" for row in plan.rows)
        (temporary / INDEX_FILE).write_text(json.dumps(content), encoding="utf-8")


@lru_cache(maxsize=1)
def _encoder(arguments: EncoderArguments) -> PreEncoder:
    """Return this process's encoder: loading it takes longer than a chunk."""
    return PreEncoder(arguments.model_folder, arguments.config)


def _encode_chunk(arguments: EncoderArguments, task: EncodeTask) -> int:
    """Encode the rows of one chunk into its file; return their number."""
    encoder = _encoder(arguments)
    batches = []
    for start in range(0, len(task.rows), _BATCH_SIZE):
        batch = slice(start, start + _BATCH_SIZE)
        sounds = [None if place is None else read_sound(place) for place in task.sounds[batch]]
        batches.append(encoder.encode_rows(task.rows[batch], task.num_frames, sounds))
    with atomic_write(task.file) as temporary:
        save_file(concatenate(batches), temporary)
    return len(task.rows)
