"""Prompts to conditioning: whichever of CLAP vector, language of audio, T5 states and draft a system's UNet hears.

Knows which part feeds which entrance. Refuses to know samplers, guidance and files.

Letters: B prompts, N tokens, n tokens of the language of audio, D a width of its own for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..configs import ModelConfig
from ..fidelity import FIDELITIES, Fidelity
from ..types import Conditioning, Context
from .tokenize import Tokenizer
from .translator import Translator

if TYPE_CHECKING:
    from transformers import ClapModel, T5EncoderModel

    from ..nn.draft import Draft
    from ..nn.phonemes import PhonemeEncoder


@dataclass(frozen=True)
class TextParts:
    """The text side of one system; a part is None where the system has none."""

    config: ModelConfig
    clap: ClapModel | None = None
    clap_tokens: Tokenizer | None = None
    t5: T5EncoderModel | None = None
    t5_tokens: Tokenizer | None = None
    translator: Translator | None = None
    draft: Draft | None = None
    phonemes: PhonemeEncoder | None = None
    fidelity: Fidelity = FIDELITIES["clean"]

    def read_whole(self, text: str) -> bool:
        """Whether every part reads a text to its end; what is longer than its rows is cut."""
        return all(tokens is None or tokens.fits(text) for tokens in (self.clap_tokens, self.t5_tokens))


def clap_vectors(parts: TextParts, texts: Sequence[str]) -> Tensor:
    """CLAP's unit vector of each text, [B, D] float32 (spec 6.1)."""
    assert parts.clap is not None and parts.clap_tokens is not None
    ids, mask = _tokens(parts.clap, parts.clap_tokens, texts)
    if parts.config.clap is not None and not parts.config.clap.audio_depths:
        vectors: Tensor = parts.clap(input_ids=ids, attention_mask=mask).text_embeds
    else:
        vectors = parts.clap.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
    return normalize(vectors.float(), dim=-1)


def clap_audio_vectors(clap: ClapModel, mel: Tensor) -> Tensor:
    """CLAP's unit vector of each sound from its decibel mel [B, 1, L, F] (`audio.mel.clap_mel`), [B, D] float32."""
    out = clap.get_audio_features(input_features=mel, is_longer=torch.zeros(len(mel), 1, dtype=torch.bool))
    return normalize(out.pooler_output.float(), dim=-1)


def t5_states(parts: TextParts, texts: Sequence[str], width: int | None = None) -> Context:
    """T5's last hidden states of each text, [B, N, D] float32 with their mask (spec 6.2); N is `width` where that is given."""
    assert parts.t5 is not None and parts.t5_tokens is not None
    ids, mask = _tokens(parts.t5, parts.t5_tokens, texts, width)
    states = parts.t5(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    return Context(states * mask[..., None], mask.to(states.dtype))


def spoken(parts: TextParts, transcripts: Sequence[str]) -> Context:
    """The phoneme encoder's states of each transcript, [B, length, D] with their mask (spec 6.7)."""
    from .phonemes import encode

    assert parts.phonemes is not None and parts.config.phonemes is not None
    ids = torch.cat([encode(text, parts.config.phonemes.length) for text in transcripts])
    heard: Context = parts.phonemes(ids.to(next(parts.phonemes.parameters()).device))
    return heard


@torch.no_grad()
def encode_prompts(
    parts: TextParts,
    texts: Sequence[str],
    tokens: int,
    moments: int = 0,
    transcripts: Sequence[str] | None = None,
    width: int | None = None,
    unheard: Sequence[bool] | None = None,
) -> Conditioning:
    """What the UNet hears of each text. `tokens`: length n of the language of audio (8 for 10.24 s; 512 for speech).

    AudioLDM: CLAP's vector as FiLM. AudioLDM 2: the language of audio written from CLAP's vector and T5's states, then the
    states themselves, padded to `width` where that is given. The T5 model: the states alone. Speech: the language of audio
    written from CLAP's vector and the phonemes of `transcripts`; where there are none, of nothing, masked. Where the system
    makes drafts, one of `moments` T' from T5's states. Of the texts that are `unheard`, CLAP is given the empty one.
    """
    clap_texts = ["" if mute else text for text, mute in zip(texts, unheard or [False] * len(texts), strict=True)]
    film = clap_vectors(parts, clap_texts) if parts.config.unet.film is not None else None
    wanted = len(parts.config.unet.heard)
    if wanted == 0:
        return Conditioning(film)
    if parts.phonemes is not None:
        states = spoken(parts, transcripts) if transcripts is not None else unsaid(parts, len(texts))
    else:
        states = t5_states(parts, texts, width)
    draft = None if parts.draft is None else parts.draft(states, moments).float()
    if parts.translator is None:
        return Conditioning(film, (states,), draft)
    vectors = clap_vectors(parts, clap_texts) if film is None else film
    sources = (Context.full(vectors[:, None]), states)
    written = parts.translator.generate(sources, tokens, parts.fidelity.positions == "all")
    return Conditioning(film, (written, states)[:wanted], draft)


def encode_nulls(
    parts: TextParts,
    count: int,
    tokens: int,
    moments: int = 0,
    negative: Sequence[str] | None = None,
    width: int | None = None,
) -> Conditioning:
    """What guidance steers away from, for `count` prompts (spec 5.4): the empty text, or a negative prompt for each.

    As `parts.fidelity` has it, the language of audio of the empty text is zeros (the authors) or written by the translator
    (diffusers). That of a negative prompt is always written: zeros would forget it. The draft of the empty text is zeros.
    width: tokens of the prompts' T5 states, for a fidelity that pads to it.
    """
    texts = [""] * count if negative is None else list(negative)
    assert len(texts) == count, f"{len(texts)} negative prompts for {count} prompts"
    heard = encode_prompts(parts, texts, tokens, moments, width=width if parts.fidelity.pad_null else None)
    if not heard.contexts:
        return heard
    first, *rest = heard.contexts
    said = torch.tensor([bool(text.strip()) for text in texts], device=first.tokens.device)
    if parts.translator is not None and parts.fidelity.null_loa == "zeros":
        first = Context(first.tokens * said[:, None, None], first.mask)
    draft = None if heard.draft is None else heard.draft * said[:, None, None, None]
    return Conditioning(heard.film, (first, *rest), draft)


def unsaid(parts: TextParts, count: int) -> Context:
    """The states of no transcript at all: zeros, masked (spec 5.4)."""
    assert parts.config.phonemes is not None and parts.phonemes is not None
    like = next(parts.phonemes.parameters())
    length, width = parts.config.phonemes.length, parts.config.phonemes.width
    return Context(like.new_zeros(count, length, width), like.new_zeros(count, length))


def _tokens(module: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], width: int | None = None) -> tuple[Tensor, Tensor]:
    device = next(module.parameters()).device
    ids, mask = tokenizer(texts, width)
    return ids.to(device), mask.to(device)
