"""The text stage: distill a sentence encoder into a small T5 and CLAP's text tower.

The students also learn the quantities that a text names, from linear heads that are dropped after
the training. See `train.text_distillation` for the texts.

Shapes: B texts, W tokens, D width of a student, V = 384 width of the teacher, Q = 3 quantities.
"""

from __future__ import annotations

import math
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, cast

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ...conditioning.tokenizer import Tokenizer, build_tokenizer
from ...data.dataset import seeded_generator
from ...data.manifest import manifest_fingerprint, read_manifest
from ...errors import ConfigError
from ...fileio import atomic_write
from ...loaders.model_folder import tokenizer_path
from ..text_distillation.dataset import (
    NUM_COUNT_CLASSES,
    TEACHER_WIDTH,
    VALUES,
    DistillationSet,
    build_vocabulary,
    extract_quantities,
    teacher_embed,
)
from .base import Batch, Losses, Preview, Stage, StageOptions

if TYPE_CHECKING:
    from transformers import ClapModel, T5EncoderModel

QUANTITIES = ("pitch_hz", "rate_hz", "bpm")
_PERIODS = (64.0, 16.0, 8.0, 4.0, 2.0, 1.0)  # octaves
_NUM_FEATURES = len(QUANTITIES) * 2 * len(_PERIODS)
_T5_EMBEDDING_RMS = 1.0  # T5 adds blocks of unit size to its embeddings
_CLAP_EMBEDDING_RMS = 0.05  # CLAP normalizes the sum of word and position
_LOSS_WEIGHTS = {"cosine": 1.0, "similarity": 10.0, "quantity": 1.0, "count": 0.1}
_LENGTH_GROUP = 8  # a batch is drawn from this many batches of neighboring length
_FULL_POOL_PROB = 0.5
_NUM_PREVIEW_TEXTS = 24
_MIN_POOL_FRACTION = 0.15


def fourier_features(octaves: Tensor) -> Tensor:
    """Return sines and cosines of log2 values at periods of 1 to 64 octaves.

    A linear layer can predict them, unlike a value over many octaves.

    Args:
        octaves: log2 of the values [...].

    Returns:
        Features [..., 12].
    """
    phase = octaves[..., None] * (2 * math.pi / torch.tensor(_PERIODS, device=octaves.device))
    return torch.cat([phase.sin(), phase.cos()], -1)


class TextStudents(nn.Module):
    """T5 and CLAP with linear heads that compare them with the teacher and predict quantities.

    CLAP's audio tower is frozen.
    """

    def __init__(self, t5: T5EncoderModel, clap: ClapModel, widths: dict[str, int]) -> None:
        """Add the heads.

        Args:
            t5: T5 encoder.
            clap: CLAP.
            widths: Width D of "t5" and "clap".
        """
        super().__init__()
        self.t5 = t5
        self.clap = clap
        clap.audio_model.requires_grad_(False)
        clap.audio_projection.requires_grad_(False)
        self.teacher_heads = nn.ModuleDict()
        for name, width in widths.items():
            self.teacher_heads[name] = nn.Linear(width, TEACHER_WIDTH)
        self.quantity_heads = nn.ModuleDict()
        for name, width in widths.items():
            self.quantity_heads[name] = nn.Linear(width, _NUM_FEATURES + NUM_COUNT_CLASSES)

    def forward(self, ids: Tensor, mask: Tensor, pool: Tensor) -> dict[str, Tensor]:
        """Return one vector [B, D] per text and student.

        Args:
            ids: Token ids [B, W].
            mask: 1 for tokens, 0 for padding [B, W].
            pool: 1 for tokens of which T5's states are averaged [B, W]. CLAP has its own pooling.
        """
        states = self.t5(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        clap_output = self.clap.get_text_features(input_ids=ids, attention_mask=mask)
        mean = torch.einsum("bnd,bn->bd", states, pool / pool.sum(1, keepdim=True))
        return {"t5": mean, "clap": clap_output.pooler_output.float()}

    @torch.no_grad()
    def init_embeddings(self, tokenizer: Tokenizer, generator: Generator) -> None:
        """Start words at the teacher's vectors, and numbers at their Fourier features.

        Args:
            tokenizer: Tokenizer of both students.
            generator: Source of the random projections of the features.
        """
        ids = tokenizer.rules.get_vocab()
        words = [piece for piece in sorted(ids) if re.fullmatch(r"[a-z]{2,}", piece)]
        vectors = teacher_embed(words).float()
        vectors -= vectors.mean(0)
        # A student is narrower than the teacher: the first principal axes keep the most.
        axes = torch.linalg.svd(vectors, full_matrices=False).Vh
        numbers = {piece: value for piece, value in VALUES.items() if piece in ids and value > 0}
        features = fourier_features(torch.tensor(list(numbers.values())).log2())
        word_ids = [ids[piece] for piece in words]
        number_ids = [ids[piece] for piece in numbers]
        clap_embeddings = self.clap.text_model.embeddings.word_embeddings.weight
        for embeddings, rms in (
            (self.t5.shared.weight, _T5_EMBEDDING_RMS),
            (clap_embeddings, _CLAP_EMBEDDING_RMS),
        ):
            width = embeddings.shape[1]
            embeddings[word_ids] = _scale_rows(vectors @ axes[:width].T, rms)
            projection = torch.randn(features.shape[1], width, generator=generator)
            embeddings[number_ids] = _scale_rows(features @ projection, rms)


def _scale_rows(rows: Tensor, rms: float) -> Tensor:
    return rows * (rms / rows.square().mean(1, keepdim=True).sqrt())


class TextOptions(StageOptions):
    """Options of the text stage. Data folders, if any, add their captions.

    Attributes:
        num_lexicon_texts: Sentences of the lexicon.
        num_common_word_texts: Short texts about words of the teacher's vocabulary.
    """

    num_lexicon_texts: int = Field(110_000, ge=0, le=10**7)
    num_common_word_texts: int = Field(75_000, ge=0, le=10**6)


class TextStage(Stage):
    """Train the text encoders. Trainables: "model".

    The tokenizer and the teacher's vectors are computed once and stored in the run's folder.
    """

    Options = TextOptions
    components = {"t5": "model.t5", "clap": "model.clap"}  # noqa: RUF012

    def setup(self) -> None:
        """Prepare tokenizer and texts, and build the students."""
        if self.recipe.validation is not None:
            raise ConfigError("the text stage has no clips to hold out; remove the key validate")
        t5 = self.config.t5
        clap = self.config.clap
        if (
            t5 is None
            or clap is None
            or t5.vocab_size != clap.vocab_size
            or t5.max_length != clap.text_max_length
        ):
            raise ConfigError(
                f"the text stage trains a T5 and a CLAP of one vocabulary and length, which "
                f"{self.recipe.model} does not have; choose another model"
            )
        for name in ("t5", "clap"):
            for loss, weight in _LOSS_WEIGHTS.items():
                self.loss_weights[f"{name}/{loss}"] = weight
        is_new = not self.has_component("t5")
        tokenizer = self._load_tokenizer(t5.vocab_size, t5.max_length)
        self.set_texts(self._load_texts(), tokenizer)
        self.students = TextStudents(
            cast("T5EncoderModel", self.load_trainable("t5")),
            cast("ClapModel", self.load_trainable("clap")),
            {"t5": t5.hidden_size, "clap": clap.projection_dim},
        )
        if is_new:
            self.students.init_embeddings(tokenizer, seeded_generator(self.recipe.seed))
        self.trainables = {"model": self.students}

    def _load_tokenizer(self, vocab_size: int, max_length: int) -> Tokenizer:
        path = tokenizer_path(self.model_folder, "t5")
        if not path.is_file():
            with atomic_write(path) as temporary:
                vocabulary = build_vocabulary(vocab_size)
                build_tokenizer(vocabulary, vocab_size).save(str(temporary))
        return Tokenizer.from_file(path, max_length)

    def _load_texts(self) -> DistillationSet:
        options = self.options
        seed = self.recipe.seed
        fingerprints = [manifest_fingerprint(folder) for folder in self.data]
        settings = (
            f"{seed} {options.num_lexicon_texts} {options.num_common_word_texts} {fingerprints}"
        )
        name = blake2b(settings.encode(), digest_size=6).hexdigest()
        path = self.model_folder.parent / f"distillation_set_{name}.safetensors"
        if not path.is_file():
            captions: list[str] = []
            if self.data:
                for clip in read_manifest(*self.data):
                    captions += clip.captions
            DistillationSet.prepare(
                seed,
                options.num_lexicon_texts,
                options.num_common_word_texts,
                captions,
                self.on_prepare,
            ).save(path)
        return DistillationSet.load(path)

    def set_texts(self, texts: DistillationSet, tokenizer: Tokenizer) -> None:
        """Train on these texts from now on.

        Args:
            texts: Texts and the teacher's vectors.
            tokenizer: Tokenizer of both students.
        """
        ids, mask = tokenizer(texts.texts)
        # Sorted by length, so that a batch of neighbors needs little padding.
        order = mask.sum(1).argsort(stable=True)
        self.ids = ids[order].to(torch.int16)
        self.mask = mask[order].bool()
        self.targets = texts.targets[order]
        octaves = []
        counts = []
        for index in order.tolist():
            quantities = extract_quantities(texts.texts[index])
            values = [cast(float, quantities.get(name, math.nan)) for name in QUANTITIES]
            octaves.append([math.log2(value) for value in values])
            counts.append(quantities.get("count", -1))
        self.octaves = torch.tensor(octaves)
        """log2 of each quantity [M, Q], NaN if a text names none."""
        self.counts = torch.tensor(counts)
        """Count of each text [M], -1 if it names none."""

    def batch(self, position: int) -> Batch:
        """Return texts of similar length with the tokens to pool.

        For half of the rows T5's states are averaged over a random part of the tokens, which must
        mean the same as the whole. Every token's state therefore contains the meaning of the text.
        """
        batch_size = self.recipe.batch_size
        generator = seeded_generator(self.recipe.seed, position, 0)
        group_size = min(_LENGTH_GROUP * batch_size, len(self.ids))
        start = int(torch.randint(len(self.ids) - group_size + 1, (1,), generator=generator))
        rows = start + torch.randint(group_size, (batch_size,), generator=generator)
        length = int(self.mask[rows].sum(1).max())
        mask = self.mask[rows, :length]
        fraction = torch.rand(batch_size, 1, generator=generator).clamp(min=_MIN_POOL_FRACTION)
        fraction[torch.rand(batch_size, generator=generator) < _FULL_POOL_PROB] = 1.0
        pool = mask & (torch.rand(mask.shape, generator=generator) < fraction)
        pool[:, 0] |= ~pool.any(1)  # at least one token
        return {
            "ids": self.ids[rows, :length].long(),
            "mask": mask.long(),
            "pool": pool.float(),
            "target": self.targets[rows].float(),
            "octaves": self.octaves[rows],
            "count": self.counts[rows],
        }

    def preview(self) -> Preview:
        """Return the similarities of some texts: of the teacher's vectors and of each student's."""
        device = next(self.students.parameters()).device
        batch = {name: rows[:_NUM_PREVIEW_TEXTS].to(device) for name, rows in self.batch(0).items()}
        vectors = self.students(batch["ids"], batch["mask"], batch["mask"].float())
        columns = [_similarities(batch["target"]), *map(_similarities, vectors.values())]
        return Preview(maps={"similarities": torch.cat(columns, dim=1).cpu()})

    def losses(self, batch: dict[str, Tensor], trainable: str, generator: Generator) -> Losses:
        """Return four losses per student.

        cosine: 1 - cosine to the teacher. similarity: squared error of the similarities within the
        batch. quantity: squared error of the Fourier features. count: cross-entropy of counts.
        """
        losses: Losses = {}
        vectors = self.students(batch["ids"], batch["mask"], batch["pool"])
        for name, vector in vectors.items():
            prediction = self.students.teacher_heads[name](vector).float()
            unit = F.normalize(vector, dim=-1)
            target = batch["target"]
            cosine = F.cosine_similarity(prediction, target, dim=-1)
            losses[f"{name}/cosine"] = 1 - cosine.mean()
            losses[f"{name}/similarity"] = F.mse_loss(unit @ unit.T, target @ target.T)
            output = self.students.quantity_heads[name](vector).float()
            features, count_logits = output.split([_NUM_FEATURES, NUM_COUNT_CLASSES], -1)
            target_features = fourier_features(batch["octaves"].nan_to_num())
            error = (features.view_as(target_features) - target_features).square().mean(-1)
            losses[f"{name}/quantity"] = _masked_mean(error, ~batch["octaves"].isnan())
            counts = batch["count"]
            nll = F.cross_entropy(count_logits, counts.clamp(min=0), reduction="none")
            losses[f"{name}/count"] = _masked_mean(nll, counts >= 0)
        return losses


def _similarities(vectors: Tensor) -> Tensor:
    """Cosines [B, B] of all pairs of vectors [B, D]."""
    unit = F.normalize(vectors.float(), dim=-1)
    return unit @ unit.T


def _masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum() / valid.sum().clamp(min=1)
