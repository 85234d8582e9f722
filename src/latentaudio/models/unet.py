"""The UNet of every model, published and new: `UNetConfig` describes its levels and contexts.

Source of formula and constants: (numerics: UNet).

It resembles the UNet of latent diffusion (arXiv 2112.10752). Below its first level it may be 1-D:
the frequency axis is then merged into channels, and the network runs over time alone.

Letters: B batch of noisy latents, C channels, T' F' latent grid (time and frequency), N tokens,
D width, E width of the time embedding. Conditioning is of k B clips: guidance needs k = 2
predictions per latent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config.architecture import UNetConfig
from ..errors import UsageError
from ..types import Conditioning, Context
from .activations import ACTIVATIONS
from .attention import KeyValue, Transformer
from .blocks import (
    Downsample,
    FrequencyMerge,
    FrequencySplit,
    PositionalEmbedding,
    ResBlock,
    TypedModuleList,
    Upsample,
    conv3,
    sinusoidal_embedding,
    zero_module,
)


@dataclass(frozen=True)
class PreparedConditioning:
    """The part of a conditioning that is the same at every sampling step.

    Attributes:
        num_clips: k B; 0 for a UNet without any conditioning.
        film: The projected FiLM vector [k B, D], or None.
        prior: The latent prior [k B, C, T', F'], or None.
        kv: Keys and values: [block of the UNet][transformer][block of the transformer], in running
            order. None: self-attention.
    """

    num_clips: int
    film: Tensor | None
    prior: Tensor | None
    kv: list[list[list[KeyValue | None]]]


class DeepCache:
    """Reuse the features below the UNet's first level between sampling steps.

    DeepCache, arXiv 2312.00858.

    One object serves one sampling run. When a batch shrinks to its last items, as when guidance
    ends, their part is used.

    Attributes:
        interval: The features are computed at every `interval`-th step.
        cached: The features of the last computation.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.cached: Tensor | None = None
        self._calls = 0

    def should_recompute(self, num_clips: int) -> bool:
        """Count one call; return whether it must compute the features for that many clips."""
        self._calls += 1
        is_due = (self._calls - 1) % self.interval == 0
        return is_due or self.cached is None or len(self.cached) < num_clips


class ResAttentionBlock(nn.Module):
    """A residual block and the transformers behind it.

    One for each context, none on levels without attention.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        config: UNetConfig,
        level: int,
        has_attention: bool = True,
    ) -> None:
        super().__init__()
        embedding_dim = 4 * config.channels * (1 if config.film_dim is None else 2)
        is_1d = config.is_1d(level)
        self.res = ResBlock(
            in_channels,
            out_channels,
            config.num_groups,
            config.norm_eps,
            embedding_dim,
            is_1d,
            config.activation,
        )
        contexts = config.contexts if has_attention and config.attention[level] else ()
        num_heads = config.num_heads[level]
        self.transformers = TypedModuleList[Transformer](
            Transformer(
                out_channels, num_heads, context_dim, config.depths[level], config.num_groups
            )
            for context_dim in contexts
        )

    def project_kv(self, contexts: tuple[Context, ...]) -> list[list[KeyValue | None]]:
        """Keys and values: the k-th transformer that takes a context gets the k-th context."""
        # self-attention takes none
        remaining = iter(contexts)
        result = []
        for transformer in self.transformers:
            context = None if transformer.context_dim is None else next(remaining)
            result.append(transformer.project_kv(context))
        return result

    def forward(self, h: Tensor, embedding: Tensor, kv: list[list[KeyValue | None]]) -> Tensor:
        """h [B, C, T', F'] -> [B, C', T', F'], or [k B, ...] from the first context on.

        embedding: [B or k B, E].
        """
        h = self.res(h, embedding[: h.shape[0]])
        for transformer, transformer_kv in zip(self.transformers, kv, strict=True):
            first = transformer_kv[0]
            if first is not None:
                h = _repeat_batch(h, first.keys.shape[0])
            h = transformer(h, transformer_kv)
        return h


class UNetStage(nn.Module):
    """The blocks of one level and the step to the next level, None at the end."""

    def __init__(
        self,
        blocks: Iterable[ResAttentionBlock],
        step: Downsample | Upsample | FrequencyMerge | FrequencySplit | None,
    ) -> None:
        super().__init__()
        self.blocks = TypedModuleList[ResAttentionBlock](blocks)
        self.step = step


def _down_step(config: UNetConfig, level: int) -> Downsample | FrequencyMerge | None:
    """The step from a level to the next deeper one."""
    if level == len(config.channel_mult) - 1:
        return None
    if config.merge_frequency_bins is not None and level == 0:
        return FrequencyMerge(
            config.widths[0],
            config.widths[1],
            config.merge_frequency_bins,
            config.num_uniform_frequencies,
        )
    return Downsample(config.widths[level], asymmetric_padding=False, is_1d=config.is_1d(level))


def _up_step(config: UNetConfig, level: int) -> Upsample | FrequencySplit | None:
    """The step from a level to the next shallower one."""
    if level == 0:
        return None
    if config.merge_frequency_bins is not None and level == 1:
        return FrequencySplit(config.widths[1], config.widths[0], config.merge_frequency_bins)
    return Upsample(config.widths[level], config.is_1d(level))


class UNet(nn.Module):
    """Predicts noise, v or x0 from a noisy latent, its timestep and a conditioning.

    Each block and each downsampling stores a skip connection. Each block of the upsampling part
    takes one, in reverse order.
    """

    float_layers = ("conv_in", "conv_out")

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.is_transposed = False
        self.activate = ACTIVATIONS[config.activation]
        name = config.embedding_activation
        self.activate_embedding = None if name is None else ACTIVATIONS[name]
        base = config.channels
        self.time_in = nn.Linear(base, 4 * base)
        self.time_out = nn.Linear(4 * base, 4 * base)
        self.film = None if config.film_dim is None else nn.Linear(config.film_dim, 4 * base)
        if self.film is not None:
            # CLAP vectors have unit length, so weights of unit size give activations of unit size
            nn.init.normal_(self.film.weight)
        self.context_positions = None
        if config.num_position_frequencies:
            self.context_positions = TypedModuleList[PositionalEmbedding](
                PositionalEmbedding(width, config.num_position_frequencies)
                for width in config.cross_attention_dims
            )
        self.conv_in = conv3(config.latent_channels * (2 if config.use_prior else 1), base)
        self._build_levels()
        out_channels = config.widths[0]
        self.norm_out = nn.GroupNorm(config.num_groups, out_channels, config.norm_eps)
        self.conv_out = zero_module(conv3(out_channels, config.latent_channels))

    def _build_levels(self) -> None:
        """Make `down`, `middle` and `up`, counting the channels of the skip connections."""
        config = self.config
        width = config.channels
        skips = [width]
        self.down = TypedModuleList[UNetStage]()
        for level, out in enumerate(config.widths):
            blocks = []
            for in_channels in [width] + [out] * (config.res_blocks[level] - 1):
                blocks.append(ResAttentionBlock(in_channels, out, config, level))
            width = out
            skips += [out] * config.res_blocks[level]
            down_step = _down_step(config, level)
            if down_step is not None:
                width = down_step.conv.out_channels
                skips.append(width)
            self.down.append(UNetStage(blocks, down_step))
        deepest = len(config.channel_mult) - 1
        self.middle = TypedModuleList[ResAttentionBlock](
            [
                ResAttentionBlock(width, width, config, deepest),
                ResAttentionBlock(width, width, config, deepest, has_attention=False),
            ]
        )
        self.up = TypedModuleList[UNetStage]()
        for level, out in reversed(list(enumerate(config.widths))):
            inputs = [width + skips.pop()]
            for _ in range(config.res_blocks[level]):
                inputs.append(out + skips.pop())
            # before the blocks: the order of construction is the order of the initial weights'
            # random draws
            up_step = _up_step(config, level)
            # the next level up gets the step's channels
            width = out if up_step is None else up_step.conv.out_channels
            blocks = [ResAttentionBlock(channels, out, config, level) for channels in inputs]
            self.up.append(UNetStage(blocks, up_step))

    def blocks(self) -> Iterator[ResAttentionBlock]:
        """All blocks, in the order they run."""
        for stage in self.down:
            yield from stage.blocks
        yield from self.middle
        for stage in self.up:
            yield from stage.blocks

    def prepare_for_packing(self) -> None:
        """Transpose time and frequency from now on.

        oneDNN is faster when the longer axis, time, is the innermost.

        Attention ignores the order of cells. Everything else is symmetric in both axes but the
        kernels, which are transposed.
        """
        if self.config.merge_frequency_bins is not None or self.is_transposed:
            return
        self.is_transposed = True
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                is_symmetric = (
                    layer.stride[0] == layer.stride[1] and layer.padding[0] == layer.padding[1]
                )
                assert is_symmetric, f"{layer} treats time and frequency differently"
                layer.weight.data = layer.weight.data.transpose(2, 3)

    def prepare(self, conditioning: Conditioning) -> PreparedConditioning:
        """Compute the part of the work that is the same at every step.

        `forward` takes the result as conditioning.

        Args:
            conditioning: film [B, D]; prior [B, C, T', F']; contexts of tokens [B, N, D] and mask
                [B, N], one for each number in `config.contexts`. A fully masked context contributes
                zeros.

        Returns:
            The projected FiLM vector, the prior, and keys and values of all contexts.
        """
        self._check_conditioning(conditioning)
        conditioning = conditioning.map(lambda value: value.to(self.norm_out.weight.dtype))
        film = None if self.film is None else self.film(conditioning.film)
        contexts = list(conditioning.contexts)
        if self.context_positions is not None:
            for i, embed in enumerate(self.context_positions):
                contexts[i] = Context(embed(contexts[i].tokens), contexts[i].mask)
        contexts = [_unmask_empty_rows(context) for context in contexts]
        tensors = (conditioning.film, conditioning.prior, *(c.tokens for c in contexts))
        num_clips = next((value.shape[0] for value in tensors if value is not None), 0)
        kv = [block.project_kv(tuple(contexts)) for block in self.blocks()]
        return PreparedConditioning(num_clips, film, conditioning.prior, kv)

    def _check_conditioning(self, conditioning: Conditioning) -> None:
        """Fail if the conditioning lacks an input that the config requires, or has another one."""
        widths = tuple(context.tokens.shape[-1] for context in conditioning.contexts)
        assert widths == self.config.cross_attention_dims, (
            f"UNet needs contexts of width {self.config.cross_attention_dims}, not {widths}"
        )
        assert (self.film is None) == (conditioning.film is None), (
            "a FiLM vector is needed if and only if config.film_dim is set"
        )
        assert self.config.use_prior == (conditioning.prior is not None), (
            "a prior is needed if and only if config.use_prior is set"
        )

    def _check_latent(self, z: Tensor) -> None:
        """Fail if the latent's frequency axis is not the one that this UNet merges."""
        bins = self.config.merge_frequency_bins
        if bins is not None and z.shape[3] != bins:
            raise UsageError(
                f"latent has {z.shape[3]} frequency bins; this UNet merges {bins} of them"
            )

    def embed(self, t: Tensor, film: Tensor | None) -> Tensor:
        """Timesteps t [B] and the projected FiLM vector -> activated embedding [B, E]."""
        # computed in float32, then cast
        config = self.config
        features = sinusoidal_embedding(
            t, config.channels, config.freq_shift, config.cosine_first
        ).to(self.time_in.weight.dtype)
        time = self.time_out(self.activate(self.time_in(features)))
        embedding = time if film is None else torch.cat([time, film], dim=1)
        if self.activate_embedding is not None:
            embedding = self.activate_embedding(embedding)
        return self.activate(embedding)

    def forward(
        self,
        z: Tensor,
        t: Tensor,
        conditioning: Conditioning | PreparedConditioning,
        deep_cache: DeepCache | None = None,
    ) -> Tensor:
        """Predict from a noisy latent.

        The authors trained on T' and F' that are multiples of `config.downsampling`. Other sizes
        are halved with rounding and restored when the latent is upsampled, as diffusers does.

        Args:
            z: Noisy latent [B, C, T', F'].
            t: Timesteps [B], 0 to 999, may be fractional.
            conditioning: Of k B clips, for each z k times over. Work that does not depend on it is
                done once per z, up to the first block that uses it.
            deep_cache: Reuses deep features between steps; one object per sampling run. None:
                computes all.

        Returns:
            Prediction [k B, C, T', F'].

        Raises:
            UsageError: F' is not `config.merge_frequency_bins`, for a UNet that merges frequencies.
        """
        self._check_latent(z)
        prepared = conditioning
        if isinstance(prepared, Conditioning):
            prepared = self.prepare(prepared)
        # the sampler computes in float32, the network in its own dtype
        z = z.to(self.norm_out.weight.dtype)
        # shapes, not len(): an exported graph keeps them open
        num_clips = max(z.shape[0], prepared.num_clips)
        embedding = self.embed(t.repeat(num_clips // z.shape[0]), prepared.film)
        h = self._first_features(z, prepared, num_clips)
        skips = [h]
        first, *_ = self.down
        *_, last = self.up
        # the first level always runs; the levels below it run at the steps that the cache selects
        kv = iter(prepared.kv)
        for block in first.blocks:
            h = block(h, embedding, next(kv))
            skips.append(h)
        if deep_cache is None or deep_cache.should_recompute(num_clips):
            if first.step is not None:
                skips.append(first.step(h))
            h = self._inner_levels(skips, embedding, kv)
            if deep_cache is not None:
                deep_cache.cached = h
        else:
            assert deep_cache.cached is not None
            h = deep_cache.cached[-num_clips:]
        # its keys and values are the last ones, also where the inner levels did not run
        kv = iter(prepared.kv[-len(last.blocks) :])
        for block in last.blocks:
            h = block(_concat_skip(h, skips.pop()), embedding, next(kv))
        out: Tensor = self.conv_out(self.activate(self.norm_out(h)))
        return out.transpose(2, 3) if self.is_transposed else out

    def _first_features(self, z: Tensor, prepared: PreparedConditioning, num_clips: int) -> Tensor:
        """Output of the first convolution, [B or k B, C, T', F'], or transposed."""
        if self.film is not None or self.config.use_prior:
            z = _repeat_batch(z, num_clips)  # these inputs differ between clips from the start
        if prepared.prior is not None:
            z = torch.cat([z, prepared.prior.to(z)], dim=1)
        out: Tensor = self.conv_in(z.transpose(2, 3) if self.is_transposed else z)
        return out

    def _inner_levels(
        self, skips: list[Tensor], embedding: Tensor, kv: Iterator[list[list[KeyValue | None]]]
    ) -> Tensor:
        """All but the first level's own blocks: last skip -> input of the first level going up."""
        h = skips[-1]
        for stage in list(self.down)[1:]:
            for block in stage.blocks:
                h = block(h, embedding, next(kv))
                skips.append(h)
            if stage.step is not None:
                h = stage.step(h)
                skips.append(h)
        for block in self.middle:
            h = block(h, embedding, next(kv))
        for stage in list(self.up)[:-1]:
            for block in stage.blocks:
                h = block(_concat_skip(h, skips.pop()), embedding, next(kv))
            if isinstance(stage.step, Upsample):
                # to the size that was halved, which may have been odd
                h = stage.step(h, (skips[-1].shape[2], skips[-1].shape[3]))
            elif stage.step is not None:
                h = stage.step(h)
        return h


def _repeat_batch(x: Tensor, count: int) -> Tensor:
    """x [B, ...] repeated to `count`, a multiple of B, in its memory layout."""
    return x if x.shape[0] == count else torch.cat([x] * (count // x.shape[0]))


def _concat_skip(h: Tensor, skip: Tensor) -> Tensor:
    """h [B, C, ...] and a skip joined along C; the one with the smaller batch is repeated."""
    count = max(h.shape[0], skip.shape[0])
    return torch.cat([_repeat_batch(h, count), _repeat_batch(skip, count)], dim=1)


def _unmask_empty_rows(context: Context) -> Context:
    """The same context, where rows without a single token hold unmasked zeros.

    A softmax over nothing would be NaN.

    Zero tokens contribute zeros, because the projections to keys and values have no bias.
    """
    empty = ~context.mask.bool().any(dim=1, keepdim=True)
    return Context(context.tokens.masked_fill(empty[..., None], 0.0), context.mask.bool() | empty)
