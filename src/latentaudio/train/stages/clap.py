"""The CLAP stage: a contrastive loss on captions and audio (arXiv 2211.06687).

Shapes: B clips, L F frames and bands of CLAP's mel, D joint embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from ...audio.mel import CLAP_RATE, clap_mel
from ...audio.ops import resample
from ...conditioning.base import Encoders
from ...conditioning.clap import clap_audio_embeds, clap_text_embeds
from ...conditioning.tokenizer import Tokenizer
from ...config.streams import Stream
from ...data.dataset import batch_indices, read_crop, seeded_generator
from ...data.manifest import Clip
from ...errors import ConfigError
from ...loaders.model_folder import TOKENIZER_FILE, tokenizer_path
from .base import Batch, Losses, Preview, Stage, StageOptions

if TYPE_CHECKING:
    from transformers import ClapModel

_SOURCE_RATE = CLAP_RATE // 3  # 16 kHz: clips are read as the model generates them
_MAX_LOGIT_SCALE = 100  # inverse temperature; larger ones make the training unstable


class CLAPOptions(StageOptions):
    """Options of the CLAP stage.

    Attributes:
        max_seconds: Longest crop of a clip. Shorter clips are repeated to 10 s, as in inference.
    """

    max_seconds: float = Field(10.0, gt=0, le=10)


class CLAPStage(Stage):
    """Train both towers of CLAP. Trainables: "clap".

    A text tower from the text stage is used if the model folder has it.
    """

    Options = CLAPOptions
    components = {"clap": "clap"}  # noqa: RUF012

    def setup(self) -> None:
        """Read the manifest and the tokenizer and build CLAP."""
        tokenizer = self.load_tokenizer()
        self.read_clips()
        if min(self.recipe.batch_size, len(self.clips)) < 2:
            raise ConfigError(
                "the CLAP stage compares the clips of a batch with each other and learns nothing "
                f"from one; here batch_size is {self.recipe.batch_size} and there are "
                f"{len(self.clips)} clips; set batch_size to 2 or more, and give it 2 clips"
            )
        self.clap = cast("ClapModel", self.load_trainable("clap"))
        self.encoders = Encoders(self.config, {"clap": self.clap}, {"clap": tokenizer})
        self.trainables = {"clap": self.clap}

    def load_tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the captions."""
        tokenizer_file = tokenizer_path(self.model_folder, "clap")
        if self.config.clap is None or not tokenizer_file.is_file():
            raise ConfigError(
                f"{self.model_folder} has no {TOKENIZER_FILE}; "
                "name a folder that has it with --init-from (stage text makes it)"
            )
        return Tokenizer.from_file(tokenizer_file, self.config.clap.text_max_length)

    def batch(self, position: int) -> Batch:
        """Return `mel` [B, 1, L, F] in decibels and `captions`, one per clip."""
        recipe = self.recipe
        indices = batch_indices(len(self.clips), recipe.batch_size, recipe.seed, position)
        generator = seeded_generator(recipe.seed, Stream.CLAP_CLIPS, position)
        captions = []
        for index in indices:
            choices = self.clips[index].captions
            captions.append(choices[int(torch.randint(len(choices), (1,), generator=generator))])
        mels = [self._mel(self.clips[index], generator) for index in indices]
        return {"mel": torch.cat(mels), "captions": captions}

    def _mel(self, clip: Clip, generator: Generator) -> Tensor:
        seconds = min(clip.duration, self.options.max_seconds)
        samples = read_crop(clip, _SOURCE_RATE, round(seconds * CLAP_RATE / 3), generator)
        audio = np.atleast_2d(resample(samples, _SOURCE_RATE, CLAP_RATE))
        return clap_mel(torch.from_numpy(audio))

    def preview(self) -> Preview:
        """Return similarities of clips and captions, and the nearest caption of each clip."""
        device = next(self.clap.parameters()).device
        batch = self.batch(0)
        captions = cast("list[str]", batch["captions"])
        audio_embeds = clap_audio_embeds(self.clap, batch["mel"].to(device))
        similarities = (audio_embeds @ clap_text_embeds(self.encoders, captions).T).float().cpu()
        lines = []
        for name, row in zip(self.clip_names(0), similarities, strict=True):
            nearest = int(row.argmax())
            lines.append(f"{name}: {captions[nearest]} ({row[nearest]:.3f})")
        return Preview(maps={"similarities": similarities}, texts={"captions": "\n".join(lines)})

    def losses(self, batch: dict[str, Tensor], trainable: str, generator: Generator) -> Losses:
        """Return the symmetric cross-entropy of the similarities (arXiv 2211.06687, eq. 1)."""
        audio_embeds = clap_audio_embeds(self.clap, batch["mel"])
        captions = cast("list[str]", batch["captions"])
        text_embeds = clap_text_embeds(self.encoders, captions)
        # ClapModel has a temperature per direction. One is enough for a symmetric loss.
        scale = self.clap.logit_scale_a.exp().clamp(max=_MAX_LOGIT_SCALE)
        logits = scale * audio_embeds @ text_embeds.T
        # Clip i matches caption i; all other captions of the batch are negatives.
        matching = torch.arange(len(logits), device=logits.device)
        return {
            "clap/audio_to_text": cross_entropy(logits, matching) / 2,
            "clap/text_to_audio": cross_entropy(logits.T, matching) / 2,
        }
