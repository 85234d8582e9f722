"""The text encoders' stage: a small T5 and CLAP's text tower learn what words mean from a sentence encoder, and numbers.

Knows the students and the losses. Refuses to know where texts come from (see `train.lessons`), optimisers and sound.

Letters: B texts, N tokens, D width of a student, V = 384 width of the teacher, Q = 3 quantities (pitch, rate, tempo).
"""

from __future__ import annotations

import math
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ...conditioning.tokenizer import Tokenizer, build
from ...data.dataset import dice
from ...data.manifest import digest, read_manifest
from ...errors import ConfigError
from ...fileio import replacing
from ...loaders.model_folder import TOKENIZER_FILE
from ..text_distillation.dataset import (
    COUNTS,
    TEACHER_WIDTH,
    VALUES,
    Lessons,
    ask,
    stated,
    vocabulary,
)
from .base import Batch, Losses, Stage, StageOptions

if TYPE_CHECKING:
    from transformers import ClapModel, T5EncoderModel

QUANTITIES = ("pitch_hz", "rate_hz", "bpm")
_PERIODS = (64.0, 16.0, 8.0, 4.0, 2.0, 1.0)  # octaves
_WAVES = len(QUANTITIES) * 2 * len(_PERIODS)
_T5_RMS, _CLAP_RMS = (
    1.0,
    0.05,
)  # T5 adds unit-sized blocks to its embeddings; CLAP normalises the sum of word and position
_WEIGHTS = {"cosine": 1.0, "similarity": 10.0, "quantity": 1.0, "count": 0.1}


def fourier(octaves: Tensor) -> Tensor:
    """Sines and cosines of log2 of a value at periods of 1 to 64 octaves, [...] -> [..., 12]: linear to read."""
    phase = octaves[..., None] * (2 * math.pi / torch.tensor(_PERIODS, device=octaves.device))
    return torch.cat([phase.sin(), phase.cos()], -1)


class Students(nn.Module):
    """T5, CLAP and, per student, the linear heads that compare them with the teacher and read numbers from them."""

    def __init__(self, t5: T5EncoderModel, clap: ClapModel, widths: dict[str, int]) -> None:
        super().__init__()
        self.t5, self.clap = t5, clap
        clap.audio_model.requires_grad_(False)
        clap.audio_projection.requires_grad_(False)
        self.meaning = nn.ModuleDict(
            {name: nn.Linear(width, TEACHER_WIDTH) for name, width in widths.items()}
        )
        self.numbers = nn.ModuleDict(
            {name: nn.Linear(width, _WAVES + COUNTS) for name, width in widths.items()}
        )

    def forward(self, ids: Tensor, mask: Tensor, pool: Tensor) -> dict[str, Tensor]:
        """One vector a text from each student, [B, D]: T5 averaged over the tokens in `pool` [B, N], CLAP's projection."""
        states = self.t5(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        feature = self.clap.get_text_features(
            input_ids=ids, attention_mask=mask
        ).pooler_output.float()
        return {
            "t5": torch.einsum("bnd,bn->bd", states, pool / pool.sum(1, keepdim=True)),
            "clap": feature,
        }

    @torch.no_grad()
    def warm_start(self, tokenizer: Tokenizer, dice: Generator) -> None:
        """Start words from the teacher's vectors along its principal axes, and numbers from their Fourier features."""
        pieces = tokenizer.rules.get_vocab()
        known = [piece for piece in sorted(pieces) if re.fullmatch(r"[a-z]{2,}", piece)]
        vectors = ask(known).float()
        vectors -= vectors.mean(0)
        axes = torch.linalg.svd(vectors, full_matrices=False).Vh
        numbers = {piece: value for piece, value in VALUES.items() if piece in pieces and value > 0}
        waves = fourier(torch.tensor(list(numbers.values())).log2())
        for table, rms in (
            (self.t5.shared.weight, _T5_RMS),
            (self.clap.text_model.embeddings.word_embeddings.weight, _CLAP_RMS),
        ):
            table[[pieces[piece] for piece in known]] = _scaled(
                vectors @ axes[: table.shape[1]].T, rms
            )
            spread = torch.randn(waves.shape[1], table.shape[1], generator=dice)
            table[[pieces[piece] for piece in numbers]] = _scaled(waves @ spread, rms)


def _scaled(rows: Tensor, rms: float) -> Tensor:
    return rows * (rms / rows.square().mean(1, keepdim=True).sqrt())


class TextOptions(StageOptions):
    """sentences, everyday: texts to prepare of the lexicon and on everyday words; data folders add their captions."""

    sentences: int = 110_000
    everyday: int = 75_000


class TextStage(Stage):
    """Player: the students. A tokenizer and the lessons are made once and kept in the run's folder."""

    Options = TextOptions
    parts = {"t5": "model.t5", "clap": "model.clap"}  # noqa: RUF012

    def setup(self) -> None:
        t5, clap = self.config.t5, self.config.clap
        if (
            t5 is None
            or clap is None
            or (t5.vocabulary, t5.length) != (clap.vocabulary, clap.text_length)
        ):
            raise ConfigError(
                f"the text stage trains a T5 and a CLAP of one vocabulary and length; {self.recipe.model} has not both"
            )
        self.weights = {
            f"{name}/{loss}": weight for name in ("t5", "clap") for loss, weight in _WEIGHTS.items()
        }
        fresh = not (self.model / "t5.safetensors").is_file()
        tokenizer = self._tokenizer(t5.vocabulary, t5.length)
        self.learn(self._lessons(), tokenizer)
        towers = cast("T5EncoderModel", self.learnt("t5")), cast("ClapModel", self.learnt("clap"))
        self.students = Students(*towers, {"t5": t5.width, "clap": clap.projection})
        if fresh:
            self.students.warm_start(tokenizer, dice(self.recipe.seed))
        self.players = {"model": self.students}

    def _tokenizer(self, size: int, length: int) -> Tokenizer:
        path = self.model / TOKENIZER_FILE
        if not path.is_file():
            with replacing(path) as temporary:
                build(vocabulary(size), size).save(str(temporary))
        return Tokenizer.from_file(path, length)

    def _lessons(self) -> Lessons:
        asked = f"{self.recipe.seed} {self.options.sentences} {self.options.everyday} {[digest(d) for d in self.data]}"
        path = (
            self.model.parent
            / f"lessons_{blake2b(asked.encode(), digest_size=6).hexdigest()}.safetensors"
        )
        if not path.is_file():
            captions = (
                [caption for clip in read_manifest(*self.data) for caption in clip.captions]
                if self.data
                else []
            )
            Lessons.prepare(
                self.recipe.seed, self.options.sentences, self.options.everyday, captions
            ).save(path)
        return Lessons.load(path)

    def learn(self, lessons: Lessons, tokenizer: Tokenizer) -> None:
        """Take these lessons: token ids, targets and stated quantities as tensors over all texts, sorted by length."""
        ids, mask = tokenizer(lessons.texts)
        order = mask.sum(1).argsort(stable=True)
        facts = [stated(lessons.texts[i]) for i in order.tolist()]
        self.ids, self.mask, self.targets = (
            ids[order].to(torch.int16),
            mask[order].bool(),
            lessons.targets[order],
        )
        self.octaves = torch.tensor(
            [
                [math.log2(cast(float, fact.get(name, math.nan))) for name in QUANTITIES]
                for fact in facts
            ]
        )
        self.counts = torch.tensor([fact.get("count", -1) for fact in facts])

    def batch(self, position: int) -> Batch:
        """Texts of like length (little padding), with the tokens to pool: all of them, or for half the rows a random part.

        Averages over random parts must mean the same, so every token's state carries the sense of the whole text.
        """
        throw, size = dice(self.recipe.seed, position, 0), self.recipe.batch
        reach = min(8 * size, len(self.ids))
        start = int(torch.randint(len(self.ids) - reach + 1, (1,), generator=throw))
        rows = start + torch.randint(reach, (size,), generator=throw)
        mask = self.mask[rows, : int(self.mask[rows].sum(1).max())]
        share = torch.rand(size, 1, generator=throw).clamp(min=0.15)
        share[torch.rand(size, generator=throw) < 0.5] = 1.0
        part = mask & (torch.rand(mask.shape, generator=throw) < share)
        part[:, 0] |= ~part.any(1)
        return {
            "ids": self.ids[rows, : mask.shape[1]].long(),
            "mask": mask.long(),
            "pool": part.float(),
            "target": self.targets[rows].float(),
            "octaves": self.octaves[rows],
            "count": self.counts[rows],
        }

    def losses(self, batch: dict[str, Tensor], player: str, dice: Generator) -> Losses:
        """Per student: 1 - cosine to the teacher, error of in-batch similarities and Fourier features, NLL of counts."""
        found: Losses = {}
        for name, vector in self.students(batch["ids"], batch["mask"], batch["pool"]).items():
            meaning, unit = self.students.meaning[name](vector).float(), F.normalize(vector, dim=-1)
            found[f"{name}/cosine"] = (
                1 - F.cosine_similarity(meaning, batch["target"], dim=-1).mean()
            )
            found[f"{name}/similarity"] = F.mse_loss(
                unit @ unit.T, batch["target"] @ batch["target"].T
            )
            waves, count = self.students.numbers[name](vector).float().split([_WAVES, COUNTS], -1)
            truth = fourier(batch["octaves"].nan_to_num())
            found[f"{name}/quantity"] = _mean(
                (waves.view_as(truth) - truth).square().mean(-1), ~batch["octaves"].isnan()
            )
            nll = F.cross_entropy(count, batch["count"].clamp(min=0), reduction="none")
            found[f"{name}/count"] = _mean(nll, batch["count"] >= 0)
        return found


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum() / valid.sum().clamp(min=1)
