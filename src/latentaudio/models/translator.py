"""The translator: GPT-2 writes the language of audio that a prompt's embeddings ask for (spec 6.3, 6.4, 6.6).

Knows sequences of vectors. Refuses to know words, sounds and how its output is used.

Letters: B batch, S sources, N tokens of a source, L length of the whole sequence, n generated tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config.architecture import TranslatorConfig
from ..types import Context, LanguageOfAudio
from .text_encoders import build_gpt2

_INIT_STD = 0.02  # GPT-2's


class Translator(nn.Module):
    """Reads sources of several widths as one sequence and continues it with vectors: no vocabulary, no head.

    Positions count real tokens only, so that padding a prompt to the length of its neighbours changes nothing: item k of a
    batch is the item alone. With `count_padding`, as published (spec 6.4), they count all; for a prompt by itself that is the
    same.
    """

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.config = config
        self.projections = nn.ModuleList(nn.Linear(width, config.hidden_size) for width in config.source_dims)
        self.start = nn.Parameter(torch.randn(len(config.source_dims), config.hidden_size) * _INIT_STD)
        self.end = nn.Parameter(torch.randn(len(config.source_dims), config.hidden_size) * _INIT_STD)
        self.gpt2 = build_gpt2(config)

    def build_prompt(self, sources: Sequence[Context], tokens: int | None = None) -> Context:
        """[start, projected source, end] of every source in order, [B, L, D], cut to leave room for `tokens` (spec 6.3)."""
        assert len(sources) == len(self.projections), (
            f"{len(sources)} sources for {len(self.projections)} projections"
        )
        parts, masks = [], []
        for i, (source, project) in enumerate(zip(sources, self.projections, strict=True)):
            batch = len(source.tokens)
            rows = [
                self.start[i].expand(batch, 1, -1),
                project(source.tokens),
                self.end[i].expand(batch, 1, -1),
            ]
            parts.append(torch.cat(rows, dim=1))
            masks.append(nn.functional.pad(source.mask, (1, 1), value=1))
        room = self.config.max_positions - (self.config.num_tokens if tokens is None else tokens)
        return Context(torch.cat(parts, dim=1)[:, :room], torch.cat(masks, dim=1)[:, :room])

    def generate(
        self,
        sources: Sequence[Context],
        tokens: int | None = None,
        count_padding: bool = False,
        known: LanguageOfAudio | None = None,
    ) -> LanguageOfAudio:
        """Write `tokens` vectors [B, n, D] one after the other: each is the last hidden state, fed back as it is (spec 6.4).

        known: vectors [1 or B, n, D] that stand, where their mask is 1, in the place of what would be written, and are read by
        all that follows: in-context continuation (arXiv 2308.05734, section 4.7).
        Keys and values of what was read are kept, so a step costs one token. Gradients flow through all steps where enabled.
        """

        def told(made: Tensor, place: int) -> Tensor:
            if known is None:
                return made
            at = slice(place, place + 1)
            return torch.where(known.mask[:, at, None] > 0, known.tokens[:, at].to(made), made)

        tokens = self.config.num_tokens if tokens is None else tokens
        prompt = self.build_prompt(sources, tokens)
        mask, position = (
            prompt.mask,
            _positions(torch.ones_like(prompt.mask) if count_padding else prompt.mask),
        )
        state = self.gpt2(
            inputs_embeds=prompt.tokens, attention_mask=mask, position_ids=position, use_cache=True
        )
        written = [told(state.last_hidden_state[:, -1:], 0)]
        for place in range(1, tokens):
            mask, position = nn.functional.pad(mask, (0, 1), value=1), position[:, -1:] + 1
            state = self.gpt2(
                inputs_embeds=written[-1],
                attention_mask=mask,
                position_ids=position,
                past_key_values=state.past_key_values,
                use_cache=True,
            )
            written.append(told(state.last_hidden_state, place))
        made = torch.cat(written, dim=1)
        return LanguageOfAudio(made, made.new_ones(made.shape[:2]), origin="text")

    def teacher_forced(self, sources: Sequence[Context], target: Tensor) -> Tensor:
        """The prediction [B, n, D] of each of the target's tokens [B, n, D], given the true ones before it (spec 6.6)."""
        count = target.shape[1]
        prompt = self.build_prompt(sources, count)
        mask = nn.functional.pad(prompt.mask, (0, count - 1), value=1)
        heard = torch.cat([prompt.tokens, target[:, :-1].to(prompt.tokens.dtype)], dim=1)
        state = self.gpt2(
            inputs_embeds=heard, attention_mask=mask, position_ids=_positions(mask), use_cache=False
        )
        predictions: Tensor = state.last_hidden_state[:, -count:]
        return predictions


def _positions(mask: Tensor) -> Tensor:
    """Places [B, L] of a sequence's tokens, counting only the unmasked; a masked one repeats its neighbour's, unseen."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)
