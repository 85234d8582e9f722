"""Base of stages that train on pre-encoded latents.

Shapes: B batch, C T' F' latent, T F mel frames and bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ...conditioning import collect
from ...conditioning.encodings import Encodings, from_arrays
from ...config.architecture import ModelConfig
from ...data.clip import DataSources
from ...data.manifest import Clip, read_manifest
from ...data.pre_encoded import AUDIO_PREFIX, CAPTION_PREFIX, PreEncodedDataset, arrays_of
from ...models.vae import VAE
from ...types import Latent
from ..encode_plan import bucket_by_length
from ..pre_encode import FOLDER_NAME, encoded_folders, pre_encode, warn_of_unused
from ..recipe import Count, Recipe
from .base import Batch, PrepareProgress, Preview, Stage, StageOptions

LOA = "language_of_audio"
"""The conditioner that AudioMAE computes from a clip, and the translator from its caption."""
TRUE_LOA = f"{AUDIO_PREFIX}{LOA}.tokens"
"""Array of a batch with AudioMAE's language of audio [B, L, D]."""
GENERATED_LOA = f"{CAPTION_PREFIX}{LOA}.tokens"
"""Array of a batch with the translator's language of audio [B, L, D]."""
_NUM_PREVIEW_CLIPS = 4


class LatentStageOptions(StageOptions):
    """Options of all stages on latents.

    Attributes:
        frames_per_batch: Mel frames of a whole batch, instead of the recipe's `batch_size`:
            shorter clips come in larger batches.
        sample_posterior: Whether latents are samples of the VAE's posterior, with other noise in
            each batch. If not, they are its mode.
    """

    frames_per_batch: Count = 32768
    sample_posterior: bool = False


class LatentStage(Stage):
    """A stage on latents. Its `setup` calls `load_data` first.

    Attributes:
        dataset: The encoded clips that are trained on.
        dataset_folder: Their folder.
        held_out_dataset: Encoded clips that are held out, or None.
        held_out_folder: Their folder.
        used_folders: Folders of all encoded clips that the stage has opened, old ones and held-out
            ones too.
        has_encoded: Whether any of them were encoded now.
    """

    Options = LatentStageOptions
    unused_settings = {"batch_size": "options.frames_per_batch"}  # noqa: RUF012
    memory_settings = ("options.frames_per_batch",)

    def __init__(
        self,
        recipe: Recipe,
        config: ModelConfig,
        data: DataSources,
        model_folder: Path,
        on_prepare: PrepareProgress | None = None,
    ) -> None:
        """Set up the stage, and warn once if it has left unused data. See `Stage`."""
        self.used_folders: set[Path] = set()
        self.has_encoded = False
        super().__init__(recipe, config, data, model_folder, on_prepare)
        if self.has_encoded:
            warn_of_unused(self._encoded_root(), self.used_folders)

    def _encoded_root(self) -> Path:
        """Return the folder of all pre-encoded data."""
        return self.model_folder.parent.parent / FOLDER_NAME

    def load_data(self) -> None:
        """Open the pre-encoded data, which is computed now if it does not exist."""
        self.open_dataset()

    def open_dataset(self) -> None:
        """Set `dataset`, `held_out_dataset` and their folders."""
        held_out = self.held_out
        self.held_out_dataset: PreEncodedDataset | None = None
        keep = None
        if held_out.options is not None:
            self.read_clips()  # checks that clips remain on both sides
            keep = held_out.is_validation if held_out.has_split else None
            data = held_out.folders or self.data
            self.held_out_folder, self.held_out_dataset = self._encode(data, keep)
            keep = held_out.is_training if held_out.has_split else None
        self.dataset_folder, self.dataset = self._encode(self.data, keep)

    def _encode(
        self, data: DataSources, keep: Callable[[Clip], bool] | None
    ) -> tuple[Path, PreEncodedDataset]:
        """Return the folder of encoded clips, and the data set in it."""
        root = self._encoded_root()
        earlier = encoded_folders(root)
        folder = pre_encode(
            data, self.model_folder, self.encoded_config(), self.on_prepare, root, keep
        )
        self.used_folders.add(folder)
        self.has_encoded |= folder not in earlier
        return folder, PreEncodedDataset(folder, self.options.sample_posterior)

    def open_datasets(self) -> list[tuple[PreEncodedDataset, Path]]:
        """Return the data sets of the stage with their folders."""
        datasets = [(self.dataset, self.dataset_folder)]
        if self.held_out_dataset is not None:
            datasets.append((self.held_out_dataset, self.held_out_folder))
        return datasets

    @contextmanager
    def held_out_data(self) -> Iterator[None]:
        """Make batches of held-out clips inside the block, if the recipe holds out any."""
        dataset = self.dataset
        with super().held_out_data():
            self.dataset = self.held_out_dataset or dataset
            try:
                yield
            finally:
                self.dataset = dataset

    def encoded_config(self) -> ModelConfig:
        """Return the configuration that the clips are encoded with."""
        return self.config

    def batch(self, position: int) -> Batch:
        """Return a batch of clips of one length. See `PreEncodedDataset.batch`."""
        return self.dataset.batch(self.recipe.seed, position, self.options.frames_per_batch)

    def clip_names(self, position: int) -> tuple[str, ...]:
        """Return the clips of a micro-batch, for messages.

        Args:
            position: Number of the micro-batch in the run.
        """
        return self.names_in(self.dataset, self.data, position, self.options.frames_per_batch)

    def names_in(
        self, dataset: PreEncodedDataset, data: DataSources, position: int, num_frames: int
    ) -> tuple[str, ...]:
        """Return the clips of a batch of an encoded data set.

        Args:
            dataset: The data set.
            data: Folders that it encodes.
            position: Number of the batch.
            num_frames: Mel frames of the batch.
        """
        clips, _ = self.held_out.split(read_manifest(*data))
        bucket, rows = dataset.batch_rows(self.recipe.seed, position, num_frames)
        members = bucket_by_length(clips, self.encoded_config())[bucket.num_frames]
        return tuple(members[row].label for row in rows)

    def caption_encodings(self, batch: dict[str, Tensor]) -> Encodings:
        """Return the encodings of a batch's captions, as generation has them.

        Args:
            batch: Arrays of a pre-encoded batch.
        """
        return collect(self.config, from_arrays(arrays_of(batch, CAPTION_PREFIX)))

    def clip_encodings(self, batch: dict[str, Tensor]) -> Encodings:
        """Return the encodings that describe a batch's clips.

        An encoding of the sound takes the place of the caption's.

        Args:
            batch: Arrays of a pre-encoded batch.
        """
        audio = from_arrays(arrays_of(batch, AUDIO_PREFIX))
        return self.caption_encodings(batch).replaced(audio)

    def preview_batch(self, device: torch.device) -> dict[str, Tensor]:
        """Return the first clips of the first batch of seed 0.

        Args:
            device: Device of the result.
        """
        batch = self.dataset.batch(0, 0, self.options.frames_per_batch)
        return {name: rows[:_NUM_PREVIEW_CLIPS].to(device) for name, rows in batch.items()}

    def comparison_preview(self, name: str, target: Tensor, generated: Tensor) -> Preview:
        """Return mels, clips side by side, generated ones above their targets, and their sounds.

        There are sounds if the model has a vocoder.

        Args:
            name: Name of the image.
            target: Latents [B, C, T', F'] of the data.
            generated: Latents of the network, of the same shape.
        """
        vae = cast(VAE, self.load_frozen("vae")).to(target.device)
        target_mels = vae.decode(Latent(target)).float().cpu()
        generated_mels = vae.decode(Latent(generated)).float().cpu()
        both = torch.cat([target_mels[:, 0], generated_mels[:, 0]], dim=2)
        audio = self.vocode(f"{name}_data", target_mels) | self.vocode(name, generated_mels)
        return Preview({name: both.flatten(0, 1)}, audio, self.config.mel.sample_rate)
