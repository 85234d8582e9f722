"""The translator: a GPT-2 that generates the language of audio from a prompt's embeddings.

See arXiv 2308.05734.

It works on vectors: no vocabulary and no head (numerics: translator).

B batch, S sources, N tokens of a source, L length of the whole sequence, n generated tokens, D
width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config.architecture import TranslatorConfig
from ..types import Context, LanguageOfAudio
from .text_encoders import build_gpt2

INIT_STD = 0.02  # GPT-2's


class Translator(nn.Module):
    """Projects sources of several widths to one sequence and continues it with vectors.

    Positions count real tokens only, so that padding a prompt to its neighbors' length changes
    nothing: item k of a batch equals the item alone. With `count_padding`, as published, they count
    all; for a single prompt both are the same.
    """

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.config = config
        num_sources = len(config.source_dims)
        self.projections = nn.ModuleList(
            nn.Linear(width, config.hidden_size) for width in config.source_dims
        )
        self.start = nn.Parameter(torch.randn(num_sources, config.hidden_size) * INIT_STD)
        self.end = nn.Parameter(torch.randn(num_sources, config.hidden_size) * INIT_STD)
        self.gpt2 = build_gpt2(config)

    def build_prompt(self, sources: Sequence[Context], num_tokens: int | None = None) -> Context:
        """Join [start, projected source, end] of every source in order.

        Args:
            sources: S contexts, each [B, N, D of the source].
            num_tokens: Positions to leave for the generated tokens. None: as configured.

        Returns:
            Tokens [B, L, D] and mask [B, L], cut to leave room for `num_tokens`.
        """
        assert len(sources) == len(self.projections), (
            f"{len(sources)} sources for {len(self.projections)} projections"
        )
        tokens = []
        masks = []
        for i, (source, project) in enumerate(zip(sources, self.projections, strict=True)):
            batch = len(source.tokens)
            pieces = [
                self.start[i].expand(batch, 1, -1),
                project(source.tokens),
                self.end[i].expand(batch, 1, -1),
            ]
            # learned start and end vectors separate the sources
            tokens.append(torch.cat(pieces, dim=1))
            masks.append(nn.functional.pad(source.mask, (1, 1), value=1))
        num_tokens = self.config.num_tokens if num_tokens is None else num_tokens
        room = self.config.max_positions - num_tokens
        return Context(torch.cat(tokens, dim=1)[:, :room], torch.cat(masks, dim=1)[:, :room])

    def generate(
        self,
        sources: Sequence[Context],
        num_tokens: int | None = None,
        count_padding: bool = False,
        known: LanguageOfAudio | None = None,
    ) -> LanguageOfAudio:
        """Generate tokens one after the other.

        Each is the last hidden state, which is the next input.

        Keys and values are cached, so a step costs one token. Gradients flow through all steps
        where enabled.

        Args:
            sources: S contexts, each [B, N, D of the source].
            num_tokens: n. None: as configured.
            count_padding: Whether positions count padding tokens, as published.
            known: Tokens [1 or B, n, D] that replace the generated ones where their mask is 1,
                before the next step. This is in-context continuation (arXiv 2308.05734, section
                4.7).

        Returns:
            Tokens [B, n, D], all unmasked.
        """

        def replace_known(token: Tensor, position: int) -> Tensor:
            if known is None:
                return token
            current = slice(position, position + 1)
            is_known = known.mask[:, current, None] > 0
            return torch.where(is_known, known.tokens[:, current].to(token), token)

        num_tokens = self.config.num_tokens if num_tokens is None else num_tokens
        prompt = self.build_prompt(sources, num_tokens)
        mask = prompt.mask
        positions = _positions(torch.ones_like(mask) if count_padding else mask)
        # the whole prompt at once; later steps reuse its keys and values
        state = self.gpt2(
            inputs_embeds=prompt.tokens, attention_mask=mask, position_ids=positions, use_cache=True
        )
        generated = [replace_known(state.last_hidden_state[:, -1:], 0)]
        for position in range(1, num_tokens):
            # the new token counts as real
            mask = nn.functional.pad(mask, (0, 1), value=1)
            positions = positions[:, -1:] + 1
            state = self.gpt2(
                inputs_embeds=generated[-1],
                attention_mask=mask,
                position_ids=positions,
                past_key_values=state.past_key_values,
                use_cache=True,
            )
            generated.append(replace_known(state.last_hidden_state, position))
        tokens = torch.cat(generated, dim=1)
        return LanguageOfAudio(tokens, tokens.new_ones(tokens.shape[:2]), origin="text")

    def teacher_forced(self, sources: Sequence[Context], tokens: Tensor) -> Tensor:
        """Predict each token of a sequence from those before it, in one pass.

        Source of formula and constants: (numerics: training).

        Args:
            sources: the sources, as for `generate`.
            tokens: [B, n, D], mostly the true ones.

        Returns:
            The predictions [B, n, D].
        """
        count = tokens.shape[1]
        prompt = self.build_prompt(sources, count)
        mask = nn.functional.pad(prompt.mask, (0, count - 1), value=1)
        # shifted by one: token i is predicted from the tokens before i
        inputs = torch.cat([prompt.tokens, tokens[:, :-1].to(prompt.tokens.dtype)], dim=1)
        state = self.gpt2(
            inputs_embeds=inputs,
            attention_mask=mask,
            position_ids=_positions(mask),
            use_cache=False,
        )
        predictions: Tensor = state.last_hidden_state[:, -count:]
        return predictions


def _positions(mask: Tensor) -> Tensor:
    """Positions [B, L] that count the unmasked tokens only.

    A masked token repeats the position before it.
    """
    return (mask.long().cumsum(1) - 1).clamp(min=0)
