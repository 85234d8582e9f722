"""From captioned sound to latents and conditions on disk, once per data set and set of frozen parts.

Knows which frozen part makes which array of `data.encoded`. Refuses to know what trains on them.

Letters: B batch, C T' F' latent, n D language of audio, P CLAP width.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..audio.mel import CLAP_RATE, clap_mel, kaldi_fbank, vae_mel
from ..audio.ops import resample
from ..conditioning.base import clap_audio_vectors, clap_vectors, t5_states
from ..config.architecture import ModelConfig
from ..data.dataset import dice, read_crop
from ..data.manifest import Clip, digest, read_manifest
from ..data.parallel import in_order
from ..data.pre_encoded import INDEX, Encoded
from ..errors import DataError
from ..fileio import filling, replacing
from ..loaders.model_folder import TOKENIZER_FILE, load_part
from ..loaders.text_encoders import read_texts
from ..types import Conditioning, Context

if TYPE_CHECKING:
    from ..models.audiomae import AudioMAE
    from ..models.vae import VAE

NULLS = "nulls.safetensors"
_BATCH, _SHARD = 16, 128
_WORTH_A_WORKER, _MOST_WORKERS = (
    1024,
    4,
)  # clips that repay starting a process; each holds some 1.4 GB
_STEP, _LONGEST = 128, 1024  # mel frames: one token of the language of audio, the longest clip


@dataclass(frozen=True)
class Nulls:
    """What an absent condition sounds like (spec 5.4): zeros for language of audio and draft, the empty text for the others."""

    text: Tensor
    film: Tensor
    has_loa: bool

    def context(self, index: int, like: Context) -> Context:
        """The null of context `index` in the shape of `like`."""
        zeros = torch.zeros_like(like.tokens)
        if index == 0 and self.has_loa:
            return Context(zeros, torch.ones_like(like.mask))
        tokens, mask = zeros, torch.zeros_like(like.mask)
        count = min(len(self.text), tokens.shape[1])
        tokens[:, :count] = self.text[:count].to(tokens)
        mask[:, :count] = 1
        return Context(tokens, mask)

    def of(self, conditioning: Conditioning) -> Conditioning:
        """Everything null, in the shape of `conditioning`."""
        film = conditioning.film
        contexts = tuple(self.context(i, c) for i, c in enumerate(conditioning.contexts))
        draft = None if conditioning.draft is None else torch.zeros_like(conditioning.draft)
        return Conditioning(
            None if film is None else self.film.to(film).expand_as(film), contexts, draft
        )


def nulls(folder: Path) -> Nulls:
    """The null conditions stored in an encoded folder."""
    stored = load_file(folder / NULLS)
    empty = torch.zeros(0)
    return Nulls(stored.get("text", empty), stored.get("film", empty), bool(stored["has_loa"]))


def encoded_folder(
    data: tuple[Path, ...],
    model: Path,
    config: ModelConfig,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The encoded form of `data` under the frozen parts in `model`, made now unless it lies beside the run already.

    It is kept in `encoded/<fingerprint>` beside the run's folder, where every stage with the same parts finds it; the VAE's
    decoder may be another. `progress(done, total)` is called as clips are encoded.
    """
    parts = [p for p in ("audiomae", "clap", "t5") if getattr(config, p) is not None]
    files = [*(model / f"{p}.safetensors" for p in parts), model / TOKENIZER_FILE]
    settings = [
        f"{config.latent_mean}{config.latent_std}".encode(),
        *_of_encoder(load_part(model, "vae", config)),
    ]
    folder = model.parent.parent / "encoded" / _fingerprint(data, files, settings)
    if not (folder / INDEX).is_file():
        _encode(data, model, config, folder, progress or (lambda done, total: None))
    return folder


def add_written(
    encoded: Encoded,
    folder: Path,
    model: Path,
    writer: Callable[[], Callable[[dict[str, Tensor], int], Tensor]],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Give `encoded`, read from `folder`, what the translator in `model` writes for every caption.

    It is kept in the folder under the translator's fingerprint, so a resumed run has it at once; only where it is missing,
    `writer()` loads the translator as what `Encoded.write` asks. Captions, T5 and CLAP are in the folder's own fingerprint.
    """
    kept = folder / f"written_{_fingerprint((), [model / 'translator.safetensors'])}.safetensors"
    if not kept.is_file():
        made = encoded.write(writer(), progress or (lambda done, total: None))
        with replacing(kept) as temporary:
            save_file(made, temporary)
    encoded.take(load_file(kept))


def _of_encoder(vae: nn.Module) -> Iterator[bytes]:
    """The weights that make a latent, whatever type they are stored in."""
    for name, value in vae.state_dict().items():
        if name.startswith(("encoder.", "quant.")):
            yield value.contiguous().numpy().tobytes()


def _fingerprint(
    data: tuple[Path, ...], files: Sequence[Path], settings: Iterable[bytes] = ()
) -> str:
    found = hashlib.blake2b(b"".join(settings), digest_size=6)
    for folder in data:
        found.update(digest(folder).encode())
    for file in files:
        if file.is_file():
            found.update(file.read_bytes())
    return found.hexdigest()


def _encode(
    data: tuple[Path, ...],
    model: Path,
    config: ModelConfig,
    folder: Path,
    progress: Callable[[int, int], None],
) -> None:
    clips = read_manifest(*data)
    captions, done = max(len(c.captions) for c in clips), 0
    workers = max(1, min(os.cpu_count() or 1, _MOST_WORKERS, len(clips) // _WORTH_A_WORKER))
    job = partial(_shard, _Parts(model, config, folder.name), captions)
    groups = by_length(clips, config)
    work = [
        (frames, run)
        for frames, members in sorted(groups.items())
        for run in _runs(members, _SHARD)
    ]
    try:
        with filling(folder) as temporary:
            for frames, shards in groupby(in_order(job, work, workers), key=lambda shard: shard[0]):
                columns: dict[str, list[Tensor]] = {}
                for _, arrays in shards:
                    for name, rows in arrays.items():
                        columns.setdefault(name, []).append(torch.from_numpy(rows))
                    done += len(arrays["latent"])
                    progress(done, len(clips))
                save_file(_joined(columns), temporary / f"frames_{frames}.safetensors")
            index = [
                {"frames": frames, "count": len(members)}
                for frames, members in sorted(groups.items())
            ]
            save_file(Encoder(model, config).nulls(), temporary / NULLS)
            (temporary / INDEX).write_text(
                json.dumps({"captions": captions, "buckets": index}), encoding="utf-8"
            )
    except FileExistsError:  # another run on the same data was faster; its arrays are the same
        if not (folder / INDEX).is_file():
            raise
    except (OSError, SafetensorError) as problem:
        raise DataError(
            f"cannot write {folder} ({problem}); free some space or choose another --out"
        ) from None
    finally:
        _encoder.cache_clear()


def by_length(clips: Sequence[Clip], config: ModelConfig) -> dict[int, list[Clip]]:
    """Clips by mel frames, up to whole tokens of the language of audio and cut at the longest: an encoded set's buckets."""
    groups: dict[int, list[Clip]] = {}
    for clip in clips:
        frames = clip.seconds * config.mel.rate / config.mel.hop
        groups.setdefault(
            min(_LONGEST, _STEP * max(1, int(np.ceil(frames / _STEP - 1e-6)))), []
        ).append(clip)
    return groups


class _Parts(NamedTuple):
    """What an encoder is made of; `fingerprint` tells apart parts of the same name and place."""

    model: Path
    config: ModelConfig
    fingerprint: str


@lru_cache(maxsize=1)
def _encoder(parts: _Parts) -> Encoder:
    """One encoder a process."""
    return Encoder(parts.model, parts.config)


@torch.no_grad()
def _shard(
    parts: _Parts, captions: int, work: tuple[int, Sequence[Clip]]
) -> tuple[int, dict[str, np.ndarray]]:
    """Mel frames and the arrays of some clips that have as many. NumPy's, because those travel between processes by value."""
    encoder, (frames, clips) = _encoder(parts), work
    columns: dict[str, list[Tensor]] = {}
    for batch in _runs(clips, _BATCH):
        spoken = [text for clip in batch for text in (clip.captions * captions)[:captions]]
        for name, rows in {**encoder.sounds(batch, frames), **encoder.words(spoken)}.items():
            columns.setdefault(name, []).append(rows.half() if rows.is_floating_point() else rows)
    return frames, {name: torch.cat(rows).numpy() for name, rows in columns.items()}


def _joined(columns: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    arrays = {name: torch.cat(rows) for name, rows in columns.items()}
    if "text_lengths" in arrays:
        arrays["text_ends"] = arrays.pop("text_lengths").cumsum(0)
    return arrays


def _runs(clips: Sequence[Clip], size: int) -> Iterator[Sequence[Clip]]:
    for start in range(0, len(clips), size):
        yield clips[start : start + size]


class Encoder:
    """The frozen parts of one model folder."""

    def __init__(self, model: Path, config: ModelConfig) -> None:
        self.config = config
        self.vae = cast("VAE", load_part(model, "vae", config))
        self.audiomae = (
            cast("AudioMAE", load_part(model, "audiomae", config)) if config.audiomae else None
        )
        readers = {
            part: load_part(model, part, config)
            for part in ("clap", "t5", "phonemes")
            if getattr(config, part)
        }
        self.texts = read_texts(model, config, readers)

    def sounds(self, clips: Sequence[Clip], frames: int) -> dict[str, Tensor]:
        """latent [B, C, T', F'] (the posterior's mode), loa [B, n, D] and, with no translator, clap_audio [B, P]."""
        spec = self.config.mel
        samples = np.stack(
            [read_crop(c, spec.rate, frames * spec.hop, dice(0, i)) for i, c in enumerate(clips)]
        )
        waves = torch.from_numpy(samples)
        out = {"latent": self.vae.latent(self.vae.encode(vae_mel(waves, spec)).mode()).z}
        if self.audiomae is not None:
            waves_16k = torch.from_numpy(resample(samples, spec.rate, 16000))
            out["loa"] = self.audiomae.language_of_audio(kaldi_fbank(waves_16k, frames)).tokens
        if self.texts.clap is not None and self.config.translator is None:
            waves_48k = torch.from_numpy(resample(samples, spec.rate, CLAP_RATE))
            out["clap_audio"] = clap_audio_vectors(self.texts.clap, clap_mel(waves_48k))
        return out

    def words(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """clap_text [B, P]; text: T5's states of all texts in a row [sum, D], text_lengths [B]."""
        out: dict[str, Tensor] = {}
        if self.texts.clap is not None:
            out["clap_text"] = clap_vectors(self.texts, texts)
        if self.texts.t5 is not None:
            states = t5_states(self.texts, texts)
            out["text"], out["text_lengths"] = (
                states.tokens[states.mask > 0],
                states.mask.sum(1).long(),
            )
        return out

    def nulls(self) -> dict[str, Tensor]:
        """See `Nulls`."""
        out = {"has_loa": torch.tensor(self.audiomae is not None)}
        if self.texts.t5 is not None:
            out["text"] = t5_states(self.texts, [""]).tokens[0]
        if self.texts.clap is not None:
            out["film"] = clap_vectors(self.texts, [""])[0]
        return out
