"""Features of the clips of a folder: read each file once, run all backbones, keep the results.

Threads work on several clips at once; libsndfile, ONNX Runtime and PyTorch let go of Python's
lock. At most two clips for each thread are in memory.

Letters: C channels, T samples.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.io import info, read
from ..errors import DataError
from ..fileio import sha256_of_file
from .backbones.base import Backbone
from .clip_facts import VERSION as FACTS_VERSION
from .clip_facts import ClipFacts, as_dict, measure_facts
from .clips import Folder
from .embeddings_cache import FACTS_KEY, EmbeddingsCache, key_of
from .features import ClipFeatures, FeatureSet, are_usable
from .protocols import Protocol
from .resampling import input_settings, prepare

Progress = Callable[[int, int, str], None]
"""(number done, total, folder)."""

_FACTS = f"{FACTS_KEY} {FACTS_VERSION}"
_MAX_MEANS_BYTES = 2**28  # of means of clips that are kept in memory


@dataclass(frozen=True)
class Extraction:
    """What is known about the clips of a folder.

    Attributes:
        folder: the clips that could be read.
        hashes: SHA-256 of each file.
        facts: about each clip.
        features: features of all clips, by name of the backbone.
        skipped: files that could not be read.
    """

    folder: Folder
    hashes: tuple[str, ...]
    facts: tuple[ClipFacts, ...]
    features: Mapping[str, FeatureSet]
    skipped: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the hashes of all files, in the order of their names."""
        return hashlib.sha256("".join(self.hashes).encode()).hexdigest()


@dataclass
class _Clip:
    """The results for one file.

    Attributes:
        sha256: of the file.
        features: newly computed features by key.
        facts: newly measured facts; None if they are known.
        problem: why the file cannot be read.
    """

    sha256: str = ""
    features: dict[str, ClipFeatures] = field(default_factory=dict)
    facts: dict[str, Any] | None = None
    problem: DataError | None = None


class Extractor:
    """Computes what the cache lacks."""

    def __init__(
        self,
        backbones: Sequence[Backbone],
        protocol: Protocol,
        cache: EmbeddingsCache,
        skip_unreadable: bool = False,
        num_workers: int = 0,
    ) -> None:
        """Prepare the extraction.

        Args:
            backbones: the networks.
            protocol: how files become their input.
            cache: where results are stored.
            skip_unreadable: whether files that cannot be read are left out.
            num_workers: number of threads; 0: the number of processors.
        """
        self.protocol = protocol
        self.cache = cache
        self.skip_unreadable = skip_unreadable
        self.num_workers = num_workers or _num_processors()
        self.backbones = {self._key(backbone): backbone for backbone in backbones}

    def extract(self, folder: Folder, progress: Progress) -> Extraction:
        """Return features and facts of all clips of a folder.

        Args:
            folder: the clips.
            progress: called after every clip.

        Raises:
            DataError: A file cannot be read, and `skip_unreadable` is off; or none can.
        """
        names = []
        files = []
        hashes = []
        skipped = []
        for number, (name, file, clip) in enumerate(self._clips(folder), 1):
            if clip.problem is not None:
                if not self.skip_unreadable:
                    raise DataError(
                        f"{clip.problem}; repair or remove the file, or add --skip-unreadable"
                    )
                skipped.append(str(file))
            else:
                self._store(clip)
                names.append(name)
                files.append(file)
                hashes.append(clip.sha256)
            progress(number, len(folder.files), folder.path.name)
        if not names:
            raise DataError(f"no file of {folder.path} can be read")
        readable = Folder(folder.path, tuple(names), tuple(files))
        features = {
            backbone.name: self._feature_set(readable, hashes, key)
            for key, backbone in self.backbones.items()
        }
        facts = tuple(self._facts(digest) for digest in hashes)
        return Extraction(readable, tuple(hashes), facts, features, tuple(skipped))

    def _clips(self, folder: Folder) -> Any:
        """Yield (name, file, results) of every clip in order; threads work ahead."""
        waiting: deque[tuple[str, Path, Future[_Clip]]] = deque()
        with ThreadPoolExecutor(self.num_workers) as pool:
            try:
                for name, file in zip(folder.names, folder.files, strict=True):
                    # The database belongs to this thread: what is missing is asked here.
                    try:
                        digest = sha256_of_file(file)
                    except OSError as error:
                        reason = error.strerror or error
                        problem = DataError(f"cannot read {file} ({reason})")
                        yield name, file, _Clip(problem=problem)
                        continue
                    missing = [key for key in self.backbones if not self.cache.has(digest, key)]
                    needs_facts = not self.cache.has(digest, _FACTS)
                    task: Future[_Clip] = Future()
                    if missing or needs_facts:
                        task = pool.submit(self._measure, file, digest, missing, needs_facts)
                    else:
                        task.set_result(_Clip(digest))
                    waiting.append((name, file, task))
                    while len(waiting) >= 2 * self.num_workers:
                        yield _finished(waiting)
                while waiting:
                    yield _finished(waiting)
            finally:
                for _, _, task in waiting:
                    task.cancel()

    def _measure(self, file: Path, digest: str, missing: Sequence[str], needs_facts: bool) -> _Clip:
        """Compute what is missing for one file."""
        clip = _Clip(digest)
        try:
            samples, rate = read(file, mono=False)
            if not np.isfinite(samples).all():
                raise DataError(f"{file} has samples that are not finite")
            if needs_facts:
                clip.facts = as_dict(measure_facts(samples, rate, info(file)["tags"]))
        except DataError as error:
            clip.problem = error
            return clip
        inputs: dict[int, Any] = {}
        for key in missing:
            backbone = self.backbones[key]
            target = backbone.sample_rate
            if target not in inputs:
                inputs[target] = prepare(samples, rate, target, self.protocol)
            features = backbone.embed(inputs[target])
            arrays = [each for each in (features.embeddings, features.logits) if each is not None]
            if not all(map(are_usable, arrays)):
                problem = f"{backbone.name} gives values for {file} that are not finite"
                return _Clip(digest, problem=DataError(problem))
            clip.features[key] = features
        return clip

    def _store(self, clip: _Clip) -> None:
        for key, features in clip.features.items():
            self.cache.put_features(clip.sha256, key, features)
        if clip.facts is not None:
            self.cache.put_facts(clip.sha256, _FACTS, clip.facts)

    def _facts(self, digest: str) -> ClipFacts:
        facts = self.cache.get_facts(digest, _FACTS)
        if facts is None:
            raise self.cache.damaged()
        return facts

    def _feature_set(self, folder: Folder, hashes: Sequence[str], key: str) -> FeatureSet:
        """The features of clips, read from the cache when they are needed."""

        def read_features(index: int) -> ClipFeatures:
            features = self.cache.get_features(hashes[index], key)
            if features is None:
                raise self.cache.damaged()
            return features

        return FeatureSet(folder.names, read_features, folder.files, _MAX_MEANS_BYTES)

    def _key(self, backbone: Backbone) -> str:
        return key_of(
            {
                "backbone": backbone.name,
                "weights_sha256": backbone.weights_sha256,
                "sample_rate": backbone.sample_rate,
                "version": backbone.version,
                **input_settings(self.protocol),
            }
        )


def _finished(waiting: deque[tuple[str, Path, Future[_Clip]]]) -> tuple[str, Path, _Clip]:
    """The first of the clips that wait, when it is done."""
    name, file, task = waiting.popleft()
    return name, file, task.result()


def _num_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
