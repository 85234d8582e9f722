"""Prompts to conditioning: whichever of CLAP vector, language of audio, T5 states and draft a system's UNet hears.

Knows which part feeds which entrance. Refuses to know samplers, guidance and files.

Letters: B prompts, N tokens, n tokens of the language of audio, D a width of its own for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..audio.mel import CLAP_RATE, clap_mel, kaldi_fbank
from ..audio.ops import Samples, resample
from ..config.architecture import ModelConfig
from ..config.reference import FIDELITIES, Fidelity
from ..models.translator import Translator
from ..types import Conditioning, Context, LanguageOfAudio
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import ClapModel, T5EncoderModel

    from ..models.audiomae import AudioMAE
    from ..models.latent_prior import Draft
    from ..models.phoneme_encoder import PhonemeEncoder


_EAR_RATE = 16000  # Hz, of AudioMAE's front end (spec 1.3)


class Modules(Protocol):
    """Where parts come from: a dict of them, or something that loads what it is asked for."""

    def get(self, name: str, /) -> Any:
        """A part, or None."""


@dataclass(frozen=True)
class TextParts:
    """The text side of one system; a part is None where the system has none. Parts are fetched at every use, never kept."""

    config: ModelConfig
    modules: Modules = field(default_factory=lambda: cast(Modules, {}))
    clap_tokens: Tokenizer | None = None
    t5_tokens: Tokenizer | None = None
    fidelity: Fidelity = FIDELITIES["clean"]

    @property
    def clap(self) -> ClapModel | None:
        """Reads texts and hears sounds, both to one vector."""
        return cast("ClapModel | None", self.modules.get("clap"))

    @property
    def t5(self) -> T5EncoderModel | None:
        """Reads texts to a state a token."""
        return cast("T5EncoderModel | None", self.modules.get("t5"))

    @property
    def phonemes(self) -> PhonemeEncoder | None:
        """Reads phonemes."""
        return cast("PhonemeEncoder | None", self.modules.get("phonemes"))

    @property
    def translator(self) -> Translator | None:
        """Writes the language of audio."""
        return cast("Translator | None", self.modules.get("translator"))

    @property
    def audiomae(self) -> AudioMAE | None:
        """Hears the language of audio."""
        return cast("AudioMAE | None", self.modules.get("audiomae"))

    @property
    def draft(self) -> Draft | None:
        """Draws the mean latent of a text."""
        return cast("Draft | None", self.modules.get("draft"))

    def read_whole(self, text: str) -> bool:
        """Whether every part reads a text to its end; what is longer than its rows is cut."""
        return all(
            tokens is None or tokens.fits(text) for tokens in (self.clap_tokens, self.t5_tokens)
        )


def clap_vectors(parts: TextParts, texts: Sequence[str]) -> Tensor:
    """CLAP's unit vector of each text, [B, D] float32 (spec 6.1)."""
    clap = parts.clap
    assert clap is not None and parts.clap_tokens is not None
    ids, mask = _tokens(clap, parts.clap_tokens, texts)
    if parts.config.clap is not None and not parts.config.clap.audio_depths:
        vectors: Tensor = clap(input_ids=ids, attention_mask=mask).text_embeds
    else:
        vectors = clap.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
    return normalize(vectors.float(), dim=-1)


def clap_audio_vectors(clap: ClapModel, mel: Tensor) -> Tensor:
    """CLAP's unit vector of each sound from its decibel mel [B, 1, L, F] (`audio.mel.clap_mel`), [B, D] float32."""
    out = clap.get_audio_features(
        input_features=mel, is_longer=torch.zeros(len(mel), 1, dtype=torch.bool)
    )
    return normalize(out.pooler_output.float(), dim=-1)


def clap_sounds(parts: TextParts, sounds: Sequence[Samples], rate: int) -> Tensor:
    """CLAP's unit vectors [B, D] float32 of sounds, each [C, N] or [N] at `rate` (channels averaged), as a fidelity hears."""
    clap = parts.clap
    assert clap is not None
    device, ear = (
        next(clap.parameters()).device,
        "tile" if parts.config.unet.first_kind else parts.fidelity.ear,
    )
    heard = []
    for sound in sounds:  # one by one: a batch of these pictures takes a gigabyte and no less time
        samples = resample(np.atleast_2d(sound).mean(axis=0), rate, CLAP_RATE)
        heard.append(
            clap_audio_vectors(clap, clap_mel(torch.from_numpy(samples)[None], ear).to(device))
        )
    return torch.cat(heard)


def t5_states(parts: TextParts, texts: Sequence[str], width: int | None = None) -> Context:
    """T5's last hidden states of each text, [B, N, D] float32 with their mask (spec 6.2); N is `width` where that is given."""
    t5 = parts.t5
    assert t5 is not None and parts.t5_tokens is not None
    ids, mask = _tokens(t5, parts.t5_tokens, texts, width)
    states = t5(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    return Context(states * mask[..., None], mask.to(states.dtype))


def spoken(parts: TextParts, transcripts: Sequence[str]) -> Context:
    """The phoneme encoder's states of each transcript, [B, length, D] with their mask (spec 6.7)."""
    from .g2p import encode

    reader, config = parts.phonemes, parts.config.phonemes
    assert reader is not None and config is not None
    ids = torch.cat([encode(text, config.length) for text in transcripts])
    heard: Context = reader(ids.to(next(reader.parameters()).device))
    return heard


@dataclass(frozen=True)
class Sounding:
    """A sound that is heard beside texts. name: the same for the same sound. samples [N] at `rate` Hz, from where the clip
    begins.

    by: CLAP's vector of it in the place of the text's, or its language of audio in the place of what the translator writes.
    weight: how much of it against the text; a text that is empty has no weight. told: which tokens of the language of audio are
    the sound's, where it goes on only there; the translator writes the others after them. sketch: makes what
    stands in for a draft of the text [1, C, T', F'], where the system drafts.
    """

    name: str
    by: Literal["clap", "loa"]
    samples: Samples = field(compare=False)
    rate: int = 16000
    weight: float = 1.0
    told: tuple[bool, ...] | None = None
    sketch: Callable[[], Tensor] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Reading:
    """Texts to be read together for one batch. `tokens`: length n of the language of audio (8 for 10.24 s; 512 for speech).

    moments: T' of the draft, where the system makes one. transcripts: what a voice says; None: nothing, masked. width: tokens
    that T5's states are padded to. unheard: of which texts CLAP is given the empty one. null: what guidance steers away from.
    sounding: a sound that is heard beside the texts.
    """

    texts: tuple[str, ...]
    tokens: int
    moments: int = 0
    transcripts: tuple[str, ...] | None = None
    width: int | None = None
    unheard: tuple[bool, ...] | None = None
    null: bool = False
    sounding: Sounding | None = None

    @property
    def clap_texts(self) -> list[str]:
        """What CLAP is given to read."""
        return [
            "" if mute else text
            for text, mute in zip(
                self.texts, self.unheard or (False,) * len(self.texts), strict=True
            )
        ]


@torch.no_grad()
def encode(parts: TextParts, readings: Sequence[Reading]) -> list[Conditioning]:
    """What the UNet hears of each reading; each part reads all of them before the next one is fetched.

    AudioLDM: CLAP's vector as FiLM. AudioLDM 2: the language of audio written from CLAP's vector and T5's states, then the
    states themselves. The T5 model: the states alone. Speech: the language of audio written from CLAP's vector and phonemes.

    Of a null reading (spec 5.4), the empty text or a negative prompt for each clip, the language of audio of the empty text is
    zeros (the authors) or written (diffusers), as `parts.fidelity` has it. That of a negative prompt is always written: zeros
    would forget it. The draft of the empty text is zeros.
    """
    config, wanted = parts.config, len(parts.config.unet.heard)
    vectors: list[Tensor | None] = [None] * len(readings)
    states: list[Context | None] = [None] * len(readings)
    drafts: list[Tensor | None] = [None] * len(readings)
    written: list[Context | None] = [None] * len(readings)
    if config.unet.film is not None or (wanted and config.translator is not None):
        vectors = [_sounded(parts, r, clap_vectors(parts, r.clap_texts)) for r in readings]
    if wanted and config.phonemes is not None:
        states = [
            unsaid(parts, len(r.texts)) if r.transcripts is None else spoken(parts, r.transcripts)
            for r in readings
        ]
    elif wanted:
        states = [t5_states(parts, r.texts, r.width) for r in readings]
    if wanted and config.draft is not None:
        drafts = [_drafted(parts, r, heard) for r, heard in zip(readings, states, strict=True)]
    if wanted and config.translator is not None:
        known = [
            language_of_sound(parts, r.sounding, r.tokens) if r.sounding else None for r in readings
        ]
        written = [
            _written(parts, *given) for given in zip(readings, vectors, states, known, strict=True)
        ]
    found = []
    for vector, loa, heard, draft in zip(vectors, written, states, drafts, strict=True):
        contexts = tuple(context for context in (loa, heard) if context is not None)
        found.append(
            Conditioning(vector if config.unet.film is not None else None, contexts[:wanted], draft)
        )
    return found


def encode_prompts(
    parts: TextParts,
    texts: Sequence[str],
    tokens: int,
    moments: int = 0,
    transcripts: Sequence[str] | None = None,
    width: int | None = None,
    unheard: Sequence[bool] | None = None,
) -> Conditioning:
    """`encode` of one reading."""
    said, mute = (None if given is None else tuple(given) for given in (transcripts, unheard))
    return encode(parts, [Reading(tuple(texts), tokens, moments, said, width, mute)])[0]  # type: ignore[arg-type]


def encode_nulls(
    parts: TextParts,
    count: int,
    tokens: int,
    moments: int = 0,
    negative: Sequence[str] | None = None,
    width: int | None = None,
) -> Conditioning:
    """`encode` of the null reading of `count` prompts: the empty text, or a negative prompt for each.

    width: tokens of the prompts' T5 states, for a fidelity that pads to it.
    """
    texts = ("",) * count if negative is None else tuple(negative)
    assert len(texts) == count, f"{len(texts)} negative prompts for {count} prompts"
    return encode(
        parts,
        [
            Reading(
                texts, tokens, moments, width=width if parts.fidelity.pad_null else None, null=True
            )
        ],
    )[0]


def _drafted(parts: TextParts, reading: Reading, states: Context | None) -> Tensor:
    draft = parts.draft
    assert draft is not None
    drawn: Tensor = draft(states, reading.moments).float()
    sounding, said = reading.sounding, _said(reading, drawn)
    drawn = drawn * said if reading.null or sounding else drawn
    if sounding is None or sounding.sketch is None:
        return drawn
    return drawn + torch.where(said > 0, sounding.weight, 1.0) * (
        sounding.sketch().to(drawn) - drawn
    )


def _written(
    parts: TextParts,
    reading: Reading,
    vectors: Tensor | None,
    states: Context | None,
    known: LanguageOfAudio | None,
) -> Context:
    translator = parts.translator
    assert translator is not None and vectors is not None and states is not None
    sources = (Context.full(vectors[:, None]), states)
    sounding, all_positions = reading.sounding, parts.fidelity.positions == "all"
    if sounding is None or known is None or sounding.told is not None:
        loa = translator.generate(sources, reading.tokens, all_positions, known)
    elif sounding.weight == 1.0:
        many = len(reading.texts)
        return Context(known.tokens.expand(many, -1, -1), known.mask.expand(many, -1))
    else:
        loa = translator.generate(sources, reading.tokens, all_positions)
        share = torch.where(_said(reading, loa.tokens) > 0, sounding.weight, 1.0)
        return Context(loa.tokens + share * (known.tokens - loa.tokens), loa.mask)
    if reading.null and parts.fidelity.null_loa == "zeros":
        return Context(loa.tokens * _said(reading, loa.tokens), loa.mask)
    return loa


def language_of_sound(parts: TextParts, sounding: Sounding, tokens: int) -> LanguageOfAudio | None:
    """The language of audio [1, n, D] that AudioMAE hears in a sound (spec 6.5), silent where it has ended; its mask is 1 for
    tokens that are told. None for a sound that CLAP alone hears."""
    if sounding.by != "loa":
        return None
    ear, config = parts.audiomae, parts.config
    assert ear is not None and config.audiomae is not None and config.translator is not None
    pools = config.translator.time_pool, config.translator.freq_pool
    rows = tokens // (config.audiomae.bins // config.audiomae.patch // pools[1])
    samples = torch.from_numpy(resample(sounding.samples.reshape(1, -1), sounding.rate, _EAR_RATE))
    fbank = kaldi_fbank(samples, rows * config.audiomae.patch * pools[0]).to(next(ear.parameters()))
    loa = ear.language_of_audio(fbank, *pools)
    mask = (
        loa.mask
        if sounding.told is None
        else loa.mask.new_tensor([sounding.told], dtype=loa.mask.dtype)
    )
    return LanguageOfAudio(loa.tokens.float(), mask, "audio")


def _sounded(parts: TextParts, reading: Reading, vectors: Tensor) -> Tensor:
    """CLAP's vectors of the texts [B, D], moved to that of the sound that is heard beside them; all the way where there is no
    text."""
    sounding, said = reading.sounding, _said(reading, vectors)
    if sounding is None or (sounding.by == "loa" and bool(said.all())) or not parts.config.ranks:
        return vectors
    heard = clap_sounds(parts, [sounding.samples], sounding.rate)
    share = torch.where(said > 0, sounding.weight if sounding.by == "clap" else 0.0, 1.0)
    return normalize(vectors + share * (heard - vectors), dim=-1)


def _said(reading: Reading, like: Tensor) -> Tensor:
    """1 where a text says something, 0 where it is empty, ready to be multiplied with [B, ...]."""
    said = torch.tensor([bool(text.strip()) for text in reading.texts], device=like.device)
    return said.view(-1, *(1,) * (like.ndim - 1))


def unsaid(parts: TextParts, count: int) -> Context:
    """The states of no transcript at all: zeros, masked (spec 5.4)."""
    assert parts.config.phonemes is not None and parts.phonemes is not None
    like = next(parts.phonemes.parameters())
    length, width = parts.config.phonemes.length, parts.config.phonemes.width
    return Context(like.new_zeros(count, length, width), like.new_zeros(count, length))


def _tokens(
    module: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], width: int | None = None
) -> tuple[Tensor, Tensor]:
    device = next(module.parameters()).device
    ids, mask = tokenizer(texts, width)
    return ids.to(device), mask.to(device)
