"""Pre-encoding: latents and text states of a data set, computed once per set of frozen components.

Stages on latents read the result with `data.pre_encoded`. It is stored under a fingerprint of the
data and of the weights that made it, in `pre_encoded/` beside the folders of the runs.

Shapes: B batch, C T' F' latent, L D tokens and width of the language of audio, W text tokens,
P CLAP width.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..audio.mel import AUDIOMAE_RATE, CLAP_RATE, clap_mel, kaldi_fbank, vae_mel
from ..audio.ops import resample
from ..conditioning.clap import clap_audio_embeds, clap_text_embeds
from ..conditioning.t5 import t5_states
from ..config.architecture import ModelConfig
from ..data.dataset import read_crop, seeded_generator
from ..data.manifest import Clip, manifest_fingerprint, read_manifest
from ..data.parallel import parallel_map
from ..data.pre_encoded import INDEX_FILE, PreEncodedDataset
from ..errors import DataError
from ..fileio import atomic_directory, atomic_write
from ..loaders.model_folder import TOKENIZER_FILE, load_component
from ..loaders.tokenizers import load_text_encoders
from ..types import Conditioning, Context

if TYPE_CHECKING:
    from ..models.audiomae import AudioMAE
    from ..models.vae import VAE

UNCONDITIONAL_FILE = "unconditional.safetensors"
_BATCH_SIZE = 16  # clips per forward pass
SHARD_SIZE = 128  # clips that a worker process takes at once
CLIPS_PER_WORKER = 1024  # fewer do not repay the start of a process
_MAX_WORKERS = 4  # each needs some 1.4 GB
_FRAMES_PER_TOKEN = 128  # mel frames of one token of the language of audio
_MAX_FRAMES = 1024  # mel frames of the longest clip, 10.24 s

Progress = Callable[[int, int], None]
"""Called with (clips done, clips in all)."""


@dataclass(frozen=True)
class UnconditionalInputs:
    """The conditioning of classifier-free guidance's unconditional side (numerics: guidance).

    The language of audio and the prior become zeros, texts the empty text.

    Attributes:
        text: T5 states [W, D] of the empty text, or an empty tensor.
        film: CLAP vector [P] of the empty text, or an empty tensor.
        has_loa: Whether the first context is a language of audio.
    """

    text: Tensor
    film: Tensor
    has_loa: bool

    def context_like(self, index: int, context: Context) -> Context:
        """Return the unconditional form of one context.

        Args:
            index: Position of the context among the UNet's contexts.
            context: Context whose shape, device and type the result has.
        """
        tokens = torch.zeros_like(context.tokens)
        if index == 0 and self.has_loa:
            return Context(tokens, torch.ones_like(context.mask))
        mask = torch.zeros_like(context.mask)
        num_tokens = min(len(self.text), tokens.shape[1])
        tokens[:, :num_tokens] = self.text[:num_tokens].to(tokens)
        mask[:, :num_tokens] = 1
        return Context(tokens, mask)

    def like(self, conditioning: Conditioning) -> Conditioning:
        """Return the unconditional form of a conditioning.

        Args:
            conditioning: Conditioning whose shapes, device and types the result has.
        """
        film = conditioning.film
        if film is not None:
            film = self.film.to(film).expand_as(film)
        contexts = []
        for index, context in enumerate(conditioning.contexts):
            contexts.append(self.context_like(index, context))
        prior = conditioning.prior
        if prior is not None:
            prior = torch.zeros_like(prior)
        return Conditioning(film, tuple(contexts), prior)


def load_unconditional_inputs(folder: Path) -> UnconditionalInputs:
    """Return the unconditional inputs of a pre-encoded data set.

    Args:
        folder: Folder that `pre_encode` wrote.
    """
    stored = load_file(folder / UNCONDITIONAL_FILE)
    empty = torch.zeros(0)
    return UnconditionalInputs(
        stored.get("text", empty), stored.get("film", empty), bool(stored["has_loa"])
    )


def pre_encode(
    data: tuple[Path, ...],
    model_folder: Path,
    config: ModelConfig,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of the pre-encoded data, which is computed if it does not exist.

    All runs side by side share it if their frozen components agree. The VAE's decoder may differ,
    because no latent depends on it.

    Args:
        data: Folders of captioned audio.
        model_folder: Folder of the run's model, with all frozen components.
        config: Architecture of the model.
        progress: Called while clips are encoded.

    Raises:
        DataError: A clip cannot be read, or the result cannot be written.
    """
    weights = []
    for component in ("audiomae", "clap", "t5"):
        if getattr(config, component) is not None:
            weights.append(model_folder / f"{component}.safetensors")
    settings = [
        f"{config.latent_mean}{config.latent_std}".encode(),
        *_encoder_weights(load_component(model_folder, "vae", config)),
    ]
    fingerprint = _fingerprint(data, [*weights, model_folder / TOKENIZER_FILE], settings)
    folder = model_folder.parent.parent / "pre_encoded" / fingerprint
    if not (folder / INDEX_FILE).is_file():
        _write(data, model_folder, config, folder, progress or _no_progress)
    return folder


def add_translated(
    dataset: PreEncodedDataset,
    folder: Path,
    model_folder: Path,
    load_translator: Callable[[], Callable[[dict[str, Tensor], int], Tensor]],
    progress: Progress | None = None,
) -> None:
    """Attach the translator's language of audio of every caption to a data set.

    It is computed once and stored in the data set's folder under the translator's fingerprint, so a
    resumed run finds it.

    Args:
        dataset: Data set to extend.
        folder: Folder of the data set.
        model_folder: Model folder with the translator.
        load_translator: Returns the function for `PreEncodedDataset.map_captions`. Called only if
            the result does not exist.
        progress: Called with (captions done, captions in all).
    """
    fingerprint = _fingerprint((), [model_folder / "translator.safetensors"])
    path = folder / f"generated_loa_{fingerprint}.safetensors"
    if not path.is_file():
        generated_loa = dataset.map_captions(load_translator(), progress or _no_progress)
        with atomic_write(path) as temporary:
            save_file(generated_loa, temporary)
    dataset.attach(load_file(path))


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


def _encoder_weights(vae: nn.Module) -> Iterator[bytes]:
    """Yield the float32 weights that a latent depends on."""
    for name, value in vae.state_dict().items():
        if name.startswith(("encoder.", "quant")):
            yield value.contiguous().numpy().tobytes()


def _fingerprint(
    data: tuple[Path, ...], files: Sequence[Path], settings: Iterable[bytes] = ()
) -> str:
    result = hashlib.blake2b(b"".join(settings), digest_size=6)
    for folder in data:
        result.update(manifest_fingerprint(folder).encode())
    for file in files:
        if file.is_file():
            result.update(file.read_bytes())
    return result.hexdigest()


def _write(
    data: tuple[Path, ...],
    model_folder: Path,
    config: ModelConfig,
    folder: Path,
    progress: Progress,
) -> None:
    """Encode all clips into `folder`, in several processes if there are many."""
    clips = read_manifest(*data)
    captions_per_clip = max(len(clip.captions) for clip in clips)
    num_workers = min(os.cpu_count() or 1, _MAX_WORKERS, len(clips) // CLIPS_PER_WORKER)
    source = _EncoderSource(model_folder, config, folder.name)
    encode = partial(_encode_shard, source, captions_per_clip)
    buckets = sorted(bucket_by_length(clips, config).items())
    shards = []
    for num_frames, members in buckets:
        shards += [(num_frames, shard) for shard in _chunks(members, SHARD_SIZE)]
    try:
        with (
            atomic_directory(folder) as temporary,
            closing(parallel_map(encode, shards, max(1, num_workers))) as results,
        ):
            num_done = 0
            index = []
            for num_frames, members in buckets:
                columns: dict[str, list[Tensor]] = {}
                for _ in _chunks(members, SHARD_SIZE):
                    arrays = next(results)
                    for name, rows in arrays.items():
                        columns.setdefault(name, []).append(torch.from_numpy(rows))
                    num_done += len(arrays["latent"])
                    progress(num_done, len(clips))
                save_file(_concatenate(columns), temporary / f"frames_{num_frames}.safetensors")
                index.append({"frames": num_frames, "count": len(members)})
            unconditional = PreEncoder(model_folder, config).encode_unconditional()
            save_file(unconditional, temporary / UNCONDITIONAL_FILE)
            content = json.dumps({"captions": captions_per_clip, "buckets": index})
            (temporary / INDEX_FILE).write_text(content, encoding="utf-8")
    except FileExistsError:  # another run on the same data was faster; its arrays are the same
        if not (folder / INDEX_FILE).is_file():
            raise
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"cannot write {folder} ({error}); free some space or choose another --output"
        ) from None
    finally:
        _encoder.cache_clear()


class _EncoderSource(NamedTuple):
    """Arguments of an encoder; the fingerprint distinguishes weights of the same path."""

    model_folder: Path
    config: ModelConfig
    fingerprint: str


@lru_cache(maxsize=1)
def _encoder(source: _EncoderSource) -> PreEncoder:
    """Return this process's encoder: loading it takes longer than a shard."""
    return PreEncoder(source.model_folder, source.config)


@torch.no_grad()
def _encode_shard(
    source: _EncoderSource, captions_per_clip: int, shard: tuple[int, Sequence[Clip]]
) -> dict[str, np.ndarray]:
    """Return the arrays of some clips of one length, as NumPy arrays, which processes copy."""
    num_frames, clips = shard
    encoder = _encoder(source)
    columns: dict[str, list[Tensor]] = {}
    for batch in _chunks(clips, _BATCH_SIZE):
        captions: list[str] = []
        for clip in batch:  # clips with fewer captions repeat theirs
            captions += (clip.captions * captions_per_clip)[:captions_per_clip]
        arrays = encoder.encode_audio(batch, num_frames) | encoder.encode_captions(captions)
        for name, rows in arrays.items():
            columns.setdefault(name, []).append(rows.half() if rows.is_floating_point() else rows)
    return {name: torch.cat(rows).numpy() for name, rows in columns.items()}


def _concatenate(columns: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    arrays = {name: torch.cat(rows) for name, rows in columns.items()}
    if "text_lengths" in arrays:
        arrays["text_ends"] = arrays.pop("text_lengths").cumsum(0)
    return arrays


def _chunks(clips: Sequence[Clip], size: int) -> Iterator[Sequence[Clip]]:
    for start in range(0, len(clips), size):
        yield clips[start : start + size]


class PreEncoder:
    """The frozen components of a model folder that make the arrays of a pre-encoded data set."""

    def __init__(self, model_folder: Path, config: ModelConfig) -> None:
        """Load the components.

        Args:
            model_folder: Folder of the model.
            config: Architecture of the model.
        """
        self.config = config
        self.vae = cast("VAE", load_component(model_folder, "vae", config))
        self.audiomae: AudioMAE | None = None
        if config.audiomae is not None:
            self.audiomae = cast("AudioMAE", load_component(model_folder, "audiomae", config))
        modules = {}
        for component in ("clap", "t5"):
            if getattr(config, component):
                modules[component] = load_component(model_folder, component, config)
        self.text_encoders = load_text_encoders(model_folder, config, modules)

    def encode_audio(self, clips: Sequence[Clip], num_frames: int) -> dict[str, Tensor]:
        """Encode the audio of a batch.

        Args:
            clips: B clips.
            num_frames: Length of the clips in mel frames.

        Returns:
            `latent` [B, C, T', F'], the mode of the VAE's posterior. `loa` [B, L, D], if the model
            has an AudioMAE. `clap_audio` [B, P], if it has a CLAP and no translator.
        """
        spec = self.config.mel
        num_samples = num_frames * spec.hop_length
        crops = []
        for index, clip in enumerate(clips):
            crops.append(read_crop(clip, spec.sample_rate, num_samples, seeded_generator(0, index)))
        samples = np.stack(crops)
        mel = vae_mel(torch.from_numpy(samples), spec)
        arrays = {"latent": self.vae.normalize(self.vae.encode(mel).mode()).z}
        if self.audiomae is not None:
            audio = torch.from_numpy(resample(samples, spec.sample_rate, AUDIOMAE_RATE))
            arrays["loa"] = self.audiomae.language_of_audio(kaldi_fbank(audio, num_frames)).tokens
        if self.text_encoders.clap is not None and self.config.translator is None:
            audio = torch.from_numpy(resample(samples, spec.sample_rate, CLAP_RATE))
            arrays["clap_audio"] = clap_audio_embeds(self.text_encoders.clap, clap_mel(audio))
        return arrays

    def encode_captions(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Encode a batch of captions.

        Args:
            captions: B captions.

        Returns:
            `clap_text` [B, P]; `text`, the T5 states of all captions in a row [sum of W, D], and
            `text_lengths` [B], their numbers W. Those of a text encoder that the model lacks are
            left out.
        """
        arrays: dict[str, Tensor] = {}
        if self.text_encoders.clap is not None:
            arrays["clap_text"] = clap_text_embeds(self.text_encoders, captions)
        if self.text_encoders.t5 is not None:
            states = t5_states(self.text_encoders, captions)
            arrays["text"] = states.tokens[states.mask > 0]
            arrays["text_lengths"] = states.mask.sum(1).long()
        return arrays

    def encode_unconditional(self) -> dict[str, Tensor]:
        """Return the fields of `UnconditionalInputs`."""
        arrays = {"has_loa": torch.tensor(self.audiomae is not None)}
        if self.text_encoders.t5 is not None:
            arrays["text"] = t5_states(self.text_encoders, [""]).tokens[0]
        if self.text_encoders.clap is not None:
            arrays["film"] = clap_text_embeds(self.text_encoders, [""])[0]
        return arrays
