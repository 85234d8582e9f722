"""Prompts to conditioning: whichever of CLAP vector, language of audio, T5 states and draft a system's UNet hears.

Knows which part feeds which entrance. Refuses to know samplers, guidance and files.

Letters: B prompts, N tokens, n tokens of the language of audio, D a width of its own for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..configs import ModelConfig
from ..types import Conditioning, Context
from .tokenize import Tokenizer
from .translator import Translator

if TYPE_CHECKING:
    from transformers import ClapModel, T5EncoderModel

    from ..nn.draft import Draft

NullLOA: TypeAlias = Literal["zeros", "generate"]


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

    def read_whole(self, text: str) -> bool:
        """Whether every part reads a text to its end; what is longer than its rows is cut."""
        return all(tokens is None or tokens.fits(text) for tokens in (self.clap_tokens, self.t5_tokens))


def clap_vectors(parts: TextParts, texts: Sequence[str]) -> Tensor:
    """CLAP's unit vector of each text, [B, D] float32 (spec 6.1)."""
    assert parts.clap is not None and parts.clap_tokens is not None
    ids, mask = _tokens(parts.clap, parts.clap_tokens, texts)
    return normalize(parts.clap.get_text_features(input_ids=ids, attention_mask=mask).pooler_output.float(), dim=-1)


def clap_audio_vectors(clap: ClapModel, mel: Tensor) -> Tensor:
    """CLAP's unit vector of each sound from its decibel mel [B, 1, L, F] (`audio.mel.clap_mel`), [B, D] float32."""
    out = clap.get_audio_features(input_features=mel, is_longer=torch.zeros(len(mel), 1, dtype=torch.bool))
    return normalize(out.pooler_output.float(), dim=-1)


def t5_states(parts: TextParts, texts: Sequence[str]) -> Context:
    """T5's last hidden states of each text, [B, N, D] float32 with their mask (spec 6.2)."""
    assert parts.t5 is not None and parts.t5_tokens is not None
    ids, mask = _tokens(parts.t5, parts.t5_tokens, texts)
    states = parts.t5(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    return Context(states * mask[..., None], mask.to(states.dtype))


@torch.no_grad()
def encode_prompts(parts: TextParts, texts: Sequence[str], tokens: int, moments: int = 0) -> Conditioning:
    """What the UNet hears of each text. `tokens`: length n of the language of audio (8 for 10.24 s; 512 for speech).

    AudioLDM: CLAP's vector as FiLM. AudioLDM 2: the language of audio written from CLAP's vector and T5's states, then the
    states themselves. The T5 model: the states alone. Where the system makes drafts, one of `moments` T' from T5's states.
    """
    film = clap_vectors(parts, texts) if parts.config.unet.film is not None else None
    wanted = len(parts.config.unet.heard)
    if wanted == 0:
        return Conditioning(film)
    states = t5_states(parts, texts)
    draft = None if parts.draft is None else parts.draft(states, moments).float()
    if parts.translator is None:
        return Conditioning(film, (states,), draft)
    vectors = clap_vectors(parts, texts) if film is None else film
    sources = (Context.full(vectors[:, None]), states)
    return Conditioning(film, (parts.translator.generate(sources, tokens), states)[:wanted], draft)


def encode_nulls(
    parts: TextParts,
    count: int,
    tokens: int,
    moments: int = 0,
    negative: Sequence[str] | None = None,
    null_loa: NullLOA = "zeros",
) -> Conditioning:
    """What guidance steers away from, for `count` prompts (spec 5.4): the empty text, or a negative prompt for each.

    null_loa: the language of audio of the empty text is zeros (the authors) or written by the translator (diffusers). That of a
    negative prompt is always written: zeros would forget it. The draft of the empty text is zeros.
    """
    texts = [""] * count if negative is None else list(negative)
    assert len(texts) == count, f"{len(texts)} negative prompts for {count} prompts"
    heard = encode_prompts(parts, texts, tokens, moments)
    if not heard.contexts:
        return heard
    first, *rest = heard.contexts
    spoken = torch.tensor([bool(text.strip()) for text in texts], device=first.tokens.device)
    if parts.translator is not None and null_loa == "zeros":
        first = Context(first.tokens * spoken[:, None, None], first.mask)
    draft = None if heard.draft is None else heard.draft * spoken[:, None, None, None]
    return Conditioning(heard.film, (first, *rest), draft)


def _tokens(module: nn.Module, tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    device = next(module.parameters()).device
    ids, mask = tokenizer(texts)
    return ids.to(device), mask.to(device)
