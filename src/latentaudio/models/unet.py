"""The one UNet (spec 4): every published model and every new one is a row of `UNetConfig`.

Knows the order of blocks and the routing of contexts. Refuses to know schedules, guidance and prompts.
Letters: B batch, C channels, N tokens, D width; T' and F' are the latent grid, time and frequency.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.architecture import UNetConfig
from ..errors import UsageError
from ..types import Conditioning, Context
from .blocks import (
    Downsample,
    FrequencyMerge,
    KeyValue,
    PositionalEmbedding,
    ResBlock,
    TypedModuleList,
    Transformer,
    FrequencySplit,
    Upsample,
    conv3,
    sinusoidal_embedding,
    zero_module,
)

EPS = 1e-5


@dataclass(frozen=True)
class PreparedConditioning:
    """A conditioning as the UNet uses it, the same at every step: FiLM vector (projected), draft, keys and values.

    count: of how many clips; 0 where nothing is heard.
    """

    num_clips: int
    film: Tensor | None
    draft: Tensor | None
    kv: list[list[list[KeyValue | None]]]
    """One list per site in running order; in it one per transformer; in it one entry per block of that transformer."""


class DeepCache:
    """What lies below the UNet's first level, computed anew at every `every`-th step only (DeepCache, arXiv 2312.00858).

    Of a batch that shrank to its last items, as when guidance ends, theirs is used.
    """

    def __init__(self, every: int) -> None:
        self.every, self.calls, self.kept = every, 0, cast("Tensor | None", None)

    def due(self, count: int) -> bool:
        """Whether it is to be computed at this call, for a batch of `count`."""
        self.calls += 1
        return (self.calls - 1) % self.every == 0 or self.kept is None or len(self.kept) < count


class ResAttentionBlock(nn.Module):
    """A residual block and the transformers that follow it, which is none at all on levels without attention."""

    def __init__(
        self, inp: int, out: int, config: UNetConfig, level: int, plain: bool = False
    ) -> None:
        super().__init__()
        embedding = 4 * config.channels * (1 if config.film_dim is None else 2)
        self.res = ResBlock(inp, out, config.num_groups, EPS, embedding, config.is_1d(level))
        contexts = () if plain or not config.attention[level] else config.contexts
        heads = config.num_heads[level]
        self.transformers = TypedModuleList[Transformer](
            Transformer(out, heads, c, config.transformer_depth, config.num_groups) for c in contexts
        )

    def project_kv(self, contexts: tuple[Context, ...]) -> list[list[KeyValue | None]]:
        """The k-th transformer that wants a context gets the k-th context."""
        rest = iter(contexts)
        return [t.project_kv(None if t.context is None else next(rest)) for t in self.transformers]

    def forward(self, h: Tensor, embedding: Tensor, seen: list[list[KeyValue | None]]) -> Tensor:
        """h [B, C, T', F'] -> [B, C', T', F'], or [k B, ...] where it meets keys of k B clips; embedding [B or k B, E]."""
        h = self.res(h, embedding[: len(h)])
        for transformer, keys in zip(self.transformers, seen, strict=True):
            h = transformer(h if keys[0] is None else _times(h, len(keys[0].keys)), keys)
        return h


class UNetStage(nn.Module):
    """The sites of one grid and the step to the next grid, None where there is no next."""

    def __init__(
        self, sites: Iterable[ResAttentionBlock], step: Downsample | Upsample | FrequencyMerge | FrequencySplit | None
    ) -> None:
        super().__init__()
        self.sites = TypedModuleList[ResAttentionBlock](sites)
        self.step = step


def _smaller(config: UNetConfig, level: int) -> Downsample | FrequencyMerge | None:
    """The step from a level to the next deeper one."""
    if level == len(config.channel_mult) - 1:
        return None
    if config.merge_frequency_bins is not None and level == 0:
        return FrequencyMerge(config.widths[0], config.widths[1], config.merge_frequency_bins, config.num_uniform_frequencies)
    return Downsample(config.widths[level], lopsided=False, line=config.is_1d(level))


def _larger(config: UNetConfig, level: int) -> Upsample | FrequencySplit | None:
    """The step from a level to the next shallower one."""
    if level == 0:
        return None
    if config.merge_frequency_bins is not None and level == 1:
        return FrequencySplit(config.widths[1], config.widths[0], config.merge_frequency_bins)
    return Upsample(config.widths[level], config.is_1d(level))


class UNet(nn.Module):
    """Predicts from a noisy latent, its time step and what was asked for. Built by the level table of its config.

    Each site and each downward step on the way down leaves a skip; each site on the way up takes one, last left first.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.is_transposed = False
        base, deepest, widths = config.channels, len(config.channel_mult) - 1, config.widths
        self.time_in = nn.Linear(base, 4 * base)
        self.time_out = nn.Linear(4 * base, 4 * base)
        self.film = None if config.film_dim is None else nn.Linear(config.film_dim, 4 * base)
        if self.film is not None:
            nn.init.normal_(
                self.film.weight
            )  # CLAP's vectors have unit length: unit weights make activations of unit size
        self.orders = (
            TypedModuleList[PositionalEmbedding](PositionalEmbedding(width, config.num_position_frequencies) for width in config.cross_attention_dims)
            if config.num_position_frequencies
            else None
        )
        self.conv_in = conv3(config.latent_channels * (2 if config.use_prior else 1), base)
        width, skips = base, [base]
        self.down = TypedModuleList[UNetStage]()
        for i, out in enumerate(widths):
            sites = [ResAttentionBlock(inp, out, config, i) for inp in [width] + [out] * (config.num_res_blocks - 1)]
            step, width = _smaller(config, i), out
            skips += [out] * config.num_res_blocks
            if step is not None:
                width = step.conv.out_channels
                skips.append(width)
            self.down.append(UNetStage(sites, step))
        self.middle = TypedModuleList[ResAttentionBlock](
            [ResAttentionBlock(width, width, config, deepest), ResAttentionBlock(width, width, config, deepest, plain=True)]
        )
        self.up = TypedModuleList[UNetStage]()
        for i, out in reversed(list(enumerate(widths))):
            inputs = [width + skips.pop()] + [out + skips.pop() for _ in range(config.num_res_blocks)]
            back = _larger(config, i)
            width = out if back is None else back.conv.out_channels
            self.up.append(UNetStage((ResAttentionBlock(inp, out, config, i) for inp in inputs), back))
        self.norm_out = nn.GroupNorm(config.num_groups, width, EPS)
        self.conv_out = zero_module(conv3(width, config.latent_channels))

    def sites(self) -> Iterator[ResAttentionBlock]:
        """All sites in the order they run."""
        for level in self.down:
            yield from level.sites
        yield from self.middle
        for level in self.up:
            yield from level.sites

    def prepare_for_packing(self) -> None:
        """Work on planes that lie on their side from now on: oneDNN walks along the second axis, and F' is short.

        Attention has no order of cells, and everything else is the same both ways but kernels, which are turned too.
        """
        if self.config.merge_frequency_bins is None and not self.is_transposed:
            self.is_transposed = True
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    assert (
                        layer.stride[0] == layer.stride[1] and layer.padding[0] == layer.padding[1]
                    ), f"{layer} has a side"
                    layer.weight.data = layer.weight.data.transpose(2, 3)

    def prepare(self, conditioning: Conditioning) -> PreparedConditioning:
        """The part of the work that no step changes; `forward` takes the result in the place of the conditioning.

        film [B, D]; draft [B, C, T', F']; contexts: tokens [B, N, D] and mask [B, N], one per number in `config.contexts`. A
        context masked whole contributes zeros: its tokens become zeros (keys and values have no bias), then safe to look at.
        """
        given = tuple(context.tokens.shape[-1] for context in conditioning.contexts)
        assert given == self.config.cross_attention_dims, (
            f"UNet wants contexts {self.config.cross_attention_dims} wide, conditioning has {given}"
        )
        assert (self.film is None) == (conditioning.film is None), (
            "a FiLM vector is given if and only if config.film is set"
        )
        assert self.config.use_prior == (conditioning.prior is not None), (
            "a draft is given if and only if config.draft is set"
        )
        conditioning = conditioning.map(lambda value: value.to(self.norm_out.weight.dtype))
        film = None if self.film is None else self.film(conditioning.film)
        contexts = conditioning.contexts
        if self.orders is not None:
            contexts = tuple(
                Context(f(c.tokens), c.mask) for f, c in zip(self.orders, contexts, strict=True)
            )
        contexts = tuple(_safe(context) for context in contexts)
        told = (conditioning.film, conditioning.prior, *(c.tokens for c in contexts))
        count = next((len(value) for value in told if value is not None), 0)
        return PreparedConditioning(
            count, film, conditioning.prior, [site.project_kv(contexts) for site in self.sites()]
        )

    def embed(self, t: Tensor, film: Tensor | None) -> Tensor:
        """Time step t [B] and projected FiLM vector -> activated embedding [B, E] for every residual block."""
        wave = sinusoidal_embedding(t, self.config.channels).to(self.time_in.weight.dtype)
        time = self.time_out(F.silu(self.time_in(wave)))
        return F.silu(time if film is None else torch.cat([time, film], dim=1))

    def forward(
        self, z: Tensor, t: Tensor, conditioning: Conditioning | PreparedConditioning, deep: DeepCache | None = None
    ) -> Tensor:
        """Noisy latent z [B, C, T', F'] and step t [B] (0..999, may be fractional) -> prediction [k B, C, T', F'].

        The conditioning is of k B clips, k for each z (guidance asks for two), z for z k times over: what does not depend on it
        is computed once, up to the first site that hears them. deep: see there; one object for one walk from noise to sound.

        The authors trained on T' and F' that are multiples of `config.factor`; on others every grid is brought back to the
        size it was halved from, as diffusers does. UsageError where a UNet with a line gets another F' than `config.line`.
        """
        if self.config.merge_frequency_bins is not None and z.shape[3] != self.config.merge_frequency_bins:
            raise UsageError(
                f"latent has {z.shape[3]} frequency cells; this UNet folds {self.config.merge_frequency_bins}"
            )
        heard = (
            self.prepare(conditioning) if isinstance(conditioning, Conditioning) else conditioning
        )
        z, count = z.to(self.norm_out.weight.dtype), max(len(z), heard.num_clips)
        embedding = self.embed(t.repeat(count // len(z)), heard.film)
        if self.film is not None or self.config.use_prior:
            z = _times(z, count)
        z = z if heard.draft is None else torch.cat([z, heard.draft.to(z)], dim=1)
        h = self.conv_in(z.transpose(2, 3) if self.is_transposed else z)
        skips, first, last = [h], cast(UNetStage, self.down[0]), cast(UNetStage, self.up[-1])
        seen = iter(heard.kv)
        for site in first.sites:
            h = site(h, embedding, next(seen))
            skips.append(h)
        if deep is None or deep.due(count):
            if first.step is not None:
                skips.append(first.step(h))
            h = self._deeper(skips, embedding, seen)
            if deep is not None:
                deep.kept = h
        else:
            assert deep.kept is not None
            h = deep.kept[-count:]
        seen = iter(heard.kv[-len(last.sites) :])
        for site in last.sites:
            h = site(_beside(h, skips.pop()), embedding, next(seen))
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out.transpose(2, 3) if self.is_transposed else out

    def _deeper(
        self, skips: list[Tensor], embedding: Tensor, seen: Iterator[list[list[KeyValue | None]]]
    ) -> Tensor:
        """All but the first level's own sites: from what it hands down (the last skip) to what it is handed back."""
        h = skips[-1]
        for level in list(self.down)[1:]:
            for site in level.sites:
                h = site(h, embedding, next(seen))
                skips.append(h)
            if level.step is not None:
                h = level.step(h)
                skips.append(h)
        for site in self.middle:
            h = site(h, embedding, next(seen))
        for level in list(self.up)[:-1]:
            for site in level.sites:
                h = site(_beside(h, skips.pop()), embedding, next(seen))
            if isinstance(level.step, Upsample):
                h = level.step(h, (skips[-1].shape[2], skips[-1].shape[3]))
            elif level.step is not None:
                h = level.step(h)
        return h


def _times(x: Tensor, count: int) -> Tensor:
    """x [B, ...] repeated to `count`, a multiple of B, in the layout it has."""
    return x if len(x) == count else torch.cat([x] * (count // len(x)))


def _beside(h: Tensor, skip: Tensor) -> Tensor:
    """h [B, C, ...] and a skip along C, whichever has fewer clips repeated."""
    count = max(len(h), len(skip))
    return torch.cat([_times(h, count), _times(skip, count)], dim=1)


def _safe(context: Context) -> Context:
    """The same context where rows without a single token to look at hold zeros, all to be looked at (no softmax of nothing)."""
    empty = ~context.mask.bool().any(dim=1, keepdim=True)
    return Context(context.tokens.masked_fill(empty[..., None], 0.0), context.mask.bool() | empty)
