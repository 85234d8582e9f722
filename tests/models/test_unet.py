"""The UNet against diffusers' UNets of AudioLDM 2 and AudioLDM and their published shapes."""

import re
from dataclasses import replace

import pytest
import torch
from diffusers import AudioLDM2UNet2DConditionModel, UNet2DConditionModel
from torch.nn.functional import conv2d

from latentaudio.config.architecture import UNetConfig
from latentaudio.errors import ConfigError, UsageError
from latentaudio.models.unet import UNet
from latentaudio.types import Conditioning, Context, cat_conditionings

SHAPE = {
    "channels": 16,
    "channel_mult": (1, 2, 3),
    "attention": (False, True, True),
    "num_groups": 8,
    "latent_channels": 4,
}
FROM_DIFFUSERS = [
    (r"time_embedding\.linear_1", "time_in"),
    (r"time_embedding\.linear_2", "time_out"),
    ("class_embedding", "film"),
    ("conv_norm_out", "norm_out"),
    (r"mid_block\.resnets\.(\d)", r"middle.\1.res"),
    (r"mid_block\.attentions", "middle.0.transformers"),
    (r"(down|up)_blocks\.(\d)\.resnets\.(\d)", r"\1.\2.blocks.\3.res"),
    (r"(down|up)_blocks\.(\d)\.(?:down|up)samplers\.0", r"\1.\2.step"),
    (r"\.transformer_blocks\.", ".blocks."),
    (r"ff\.net\.0\.proj", "ff_in"),
    (r"ff\.net\.2", "ff_out"),
    (r"to_out\.0", "to_out"),
    ("time_emb_proj", "embed"),
    ("conv_shortcut", "shortcut"),
]


def renamed(name, per_block):
    def attention(match):
        block, transformer = divmod(int(match[3]), per_block)
        return f"{match[1]}.{match[2]}.blocks.{block}.transformers.{transformer}"

    for old, new in [*FROM_DIFFUSERS, (r"(down|up)_blocks\.(\d)\.attentions\.(\d+)", attention)]:
        name = re.sub(old, new, name)
    return name


@torch.no_grad()
def randomize(module):
    """Weights of working size everywhere, so that no branch is hidden by a zero."""
    torch.manual_seed(0)
    for name, p in module.named_parameters():
        p.normal_(0.0, p[0].numel() ** -0.5 if p.dim() > 1 else 0.2)
        if "norm" in name and name.endswith("weight"):
            p.add_(1.0)
    return module.eval()


def twin(theirs, config):
    """Our UNet with the weights of diffusers'."""
    ours = UNet(config)
    ours.load_state_dict(
        {renamed(k, len(config.contexts)): v for k, v in randomize(theirs).state_dict().items()}
    )
    return ours.eval()


def their_shape(heads):
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    }
    width = {
        "block_out_channels": (16, 32, 48),
        "norm_num_groups": 8,
        "in_channels": 4,
        "out_channels": 4,
    }
    return {**blocks, **width, "attention_head_dim": heads}


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(1)
    loa = Context(
        torch.randn(3, 5, 24), torch.tensor([[1.0] * 5, [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    )
    t5 = Context(
        torch.randn(3, 7, 40),
        torch.tensor([[1.0] * 7, [1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0]]),
    )
    return torch.randn(3, 4, 8, 4), torch.tensor([0, 500, 999]), Conditioning(contexts=(loa, t5))


@pytest.fixture(scope="module")
def unet():
    return randomize(UNet(UNetConfig(**SHAPE, num_heads=(2, 4, 6), contexts=(None, 24, 40))))


def close(got, want):
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5 * want.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("heads", [(8, 8, 8), (2, 4, 6)])
@pytest.mark.parametrize(
    ("contexts", "depth"), [((None, 24, 40), 1), ((None, 24, 40, None), 2), ((None, 24), 1)]
)
def test_agrees_with_diffusers_audioldm2(batch, heads, contexts, depth):
    z, t, conditioning = batch
    theirs = AudioLDM2UNet2DConditionModel(
        **their_shape(heads),
        cross_attention_dim=[list(contexts)] * 3,
        transformer_layers_per_block=depth,
    )
    ours = twin(
        theirs, UNetConfig(**SHAPE, num_heads=heads, contexts=contexts, transformer_depth=depth)
    )
    requested = Conditioning(
        contexts=conditioning.contexts[: len(ours.config.contexts) - contexts.count(None)]
    )
    states = dict(
        zip(
            ("encoder_hidden_states", "encoder_hidden_states_1"),
            (c.tokens for c in requested.contexts),
            strict=False,
        )
    )
    masks = dict(
        zip(
            ("encoder_attention_mask", "encoder_attention_mask_1"),
            (c.mask for c in requested.contexts),
            strict=False,
        )
    )
    close(ours(z, t, requested), theirs(z, t, **states, **masks).sample)


@torch.no_grad()
def test_agrees_with_diffusers_audioldm(batch):
    z, t, _ = batch
    film = {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 20}
    shape = their_shape((2, 4, 6))
    theirs = UNet2DConditionModel(
        **shape, **film, class_embeddings_concat=True, cross_attention_dim=(16, 32, 48)
    )
    ours = twin(theirs, UNetConfig(**SHAPE, num_heads=(2, 4, 6), film_dim=20))
    clap = torch.randn(3, 20)
    close(
        ours(z, t, Conditioning(clap)),
        theirs(z, t, encoder_hidden_states=None, class_labels=clap).sample,
    )


@torch.no_grad()
def test_every_batch_item_equals_itself_alone(unet, batch):
    z, t, conditioning = batch
    batched = unet(z, t, conditioning)
    for k in range(3):
        close(
            batched[k : k + 1],
            unet(z[k : k + 1], t[k : k + 1], conditioning.map(lambda x, k=k: x[k : k + 1])),
        )


@torch.no_grad()
def test_masked_tokens_and_padding_have_no_effect(unet, batch):
    z, t, conditioning = batch
    changed = tuple(
        Context(c.tokens + 9 * (1 - c.mask)[..., None], c.mask).padded(11)
        for c in conditioning.contexts
    )
    close(unet(z, t, Conditioning(contexts=changed)), unet(z, t, conditioning))
    stacked = unet(
        z.repeat(2, 1, 1, 1),
        t.repeat(2),
        cat_conditionings(conditioning, Conditioning(contexts=changed)),
    )
    close(stacked[3:], unet(z, t, conditioning))


def test_a_fully_masked_context_counts_as_zeros(unet, batch):
    z, t, conditioning = batch
    loa, t5 = conditioning.contexts
    keep = torch.tensor([0.0, 1.0, 1.0])[:, None]
    requested = Conditioning(contexts=(Context(loa.tokens, loa.mask * keep), t5))
    zeros = Conditioning(contexts=(Context(loa.tokens * keep[..., None], loa.mask), t5))
    close(unet(z, t, requested), unet(z, t, zeros))
    unet.zero_grad()
    unet(z, t, requested).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in unet.parameters())


@torch.no_grad()
def test_a_prepared_conditioning_serves_every_step(unet, batch):
    z, t, conditioning = batch
    prepared = unet.prepare(conditioning)
    for time in (t, t.float() - 0.5):
        assert torch.equal(unet(z, time, prepared), unet(z, time, conditioning))
    assert torch.equal(unet(z, t.float(), prepared), unet(z, t, prepared))
    assert not torch.allclose(unet(z, t.float() - 0.5, prepared), unet(z, t, prepared))


@pytest.mark.parametrize("film", [None, 20])
def test_gradients_reach_every_parameter(batch, film):
    z, t, conditioning = batch
    unet = randomize(
        UNet(UNetConfig(**SHAPE, num_heads=(2, 4, 6), contexts=(None, 24, 40), film_dim=film))
    )
    requested = Conditioning(None if film is None else torch.randn(3, film), conditioning.contexts)
    unet(z, t, requested).square().mean().backward()
    assert not [
        name for name, p in unet.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-9
    ]


def test_a_first_level_wider_than_the_base_follows_the_ldm_skeleton():
    config = UNetConfig(
        latent_channels=4,
        channels=16,
        channel_mult=(2, 3),
        attention=(False, True),
        num_heads=(2, 4),
        num_groups=8,
    )
    unet = UNet(config)
    assert (unet.conv_in.out_channels, unet.conv_out.in_channels, unet.time_in.in_features) == (
        16,
        32,
        16,
    )
    # On the way up each block takes one skip: two of the deep level, the step down; two of the
    # first level, conv_in.
    inputs = [block.res.conv1.in_channels for stage in unet.up for block in stage.blocks]
    assert inputs == [48 + 48, 48 + 48, 48 + 32, 48 + 32, 32 + 32, 32 + 16]
    assert not unet(
        torch.randn(1, 4, 4, 2), torch.tensor([5]), Conditioning()
    ).any()  # starts silent


@torch.no_grad()
@pytest.mark.parametrize("grid", [(6, 4), (7, 5), (250, 16)])
def test_a_grid_that_cannot_be_halved_agrees_with_diffusers(grid):
    theirs = AudioLDM2UNet2DConditionModel(
        **their_shape((2, 4, 6)), cross_attention_dim=[[None, 24, 40]] * 3
    )
    ours = twin(theirs, UNetConfig(**SHAPE, num_heads=(2, 4, 6), contexts=(None, 24, 40)))
    generator = torch.Generator().manual_seed(3)
    z, loa, t5 = (
        torch.randn(shape, generator=generator) for shape in ((1, 4, *grid), (1, 5, 24), (1, 7, 40))
    )
    want = theirs(
        z, torch.tensor([500]), encoder_hidden_states=loa, encoder_hidden_states_1=t5
    ).sample
    close(
        ours(
            z,
            torch.tensor([500]),
            Conditioning(contexts=(Context.unmasked(loa), Context.unmasked(t5))),
        ),
        want,
    )


@torch.no_grad()
def test_a_prior_is_concatenated_to_the_noisy_latent(batch):
    """The first convolution over both is the sum of one over each, since conv2d is linear."""
    z, t, conditioning = batch
    with_prior = randomize(
        UNet(replace(UNetConfig(**SHAPE, num_heads=(2, 4, 8), contexts=(24, 40)), use_prior=True))
    )
    prior = torch.randn_like(z)
    output = with_prior(z, t, replace(conditioning, prior=prior))
    plain, state = UNet(replace(with_prior.config, use_prior=False)), with_prior.state_dict()
    own, others = state["conv_in.weight"].chunk(2, dim=1)
    plain.load_state_dict(state | {"conv_in.weight": own})
    plain.conv_in.register_forward_hook(
        lambda conv, given, out: out + conv2d(prior, others, padding=1)
    )
    close(output, plain(z, t, conditioning))
    with pytest.raises(AssertionError, match="a prior is needed if and only if"):
        with_prior(z, t, conditioning)
    none = replace(conditioning, prior=torch.zeros_like(prior))
    both = with_prior(
        z.repeat(2, 1, 1, 1),
        t.repeat(2),
        cat_conditionings(none, replace(conditioning, prior=prior)),
    )
    close(both[3:], output)


@torch.no_grad()
def test_context_tokens_may_have_position_embeddings(batch):
    """Reversing a context changes something only with position embeddings.

    Each context has its own.
    """
    z, t, conditioning = batch
    full = [Context.unmasked(c.tokens) for c in conditioning.contexts]
    for num_frequencies, same in ((0, True), (4, False)):
        unet = randomize(
            UNet(
                UNetConfig(
                    **SHAPE,
                    num_heads=(2, 4, 6),
                    contexts=(24, 40),
                    num_position_frequencies=num_frequencies,
                )
            )
        )
        output = unet(z, t, Conditioning(None, tuple(full)))
        for k in range(2):
            reversed_contexts = [
                Context.unmasked(c.tokens.flip(1)) if i == k else c for i, c in enumerate(full)
            ]
            assert (
                torch.allclose(
                    unet(z, t, Conditioning(None, tuple(reversed_contexts))), output, atol=1e-5
                )
                == same
            )


ONE_D = UNetConfig(
    **SHAPE | {"channel_mult": (1, 2), "attention": (False, True)},
    num_heads=(2, 4),
    contexts=(24, 40),
    film_dim=20,
    merge_frequency_bins=4,
    num_uniform_frequencies=3,
    num_position_frequencies=5,
)


@pytest.fixture(scope="module")
def unet_1d(batch):
    z, t, conditioning = batch
    return randomize(UNet(ONE_D)), z, t, Conditioning(torch.randn(3, 20), conditioning.contexts)


@torch.no_grad()
def test_a_1d_level_gets_the_whole_spectrum_of_every_frame(unet_1d):
    unet, z, t, conditioning = unet_1d
    shapes = []
    for stage in unet.down:
        stage.blocks[0].register_forward_hook(
            lambda block, inputs, out: shapes.append(tuple(out.shape))
        )
    out = unet(z, t, conditioning)
    assert out.shape == z.shape
    assert shapes == [(3, 16, 8, 4), (3, 32, 8, 1)]
    assert unet.config.downsampling == 1 and unet(z[:, :, :7], t, conditioning).shape == (
        3,
        4,
        7,
        4,
    )  # time is never halved


@torch.no_grad()
def test_every_batch_item_of_a_1d_unet_equals_itself_alone(unet_1d):
    unet, z, t, conditioning = unet_1d
    contexts = tuple(Context(c.tokens[1:2], c.mask[1:2]) for c in conditioning.contexts)
    close(
        unet(z[1:2], t[1:2], Conditioning(conditioning.film[1:2], contexts)),
        unet(z, t, conditioning)[1:2],
    )


def test_gradients_reach_every_parameter_of_a_1d_unet(unet_1d):
    unet, z, t, conditioning = unet_1d
    unet(z, t, conditioning).square().mean().backward()
    assert not [
        name for name, p in unet.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-9
    ]


def test_a_deeper_1d_unet_is_halved_in_time_alone(unet_1d):
    _, z, t, conditioning = unet_1d
    unet = randomize(
        UNet(
            UNetConfig(
                **SHAPE, num_heads=(2, 4, 6), contexts=(24, 40), film_dim=20, merge_frequency_bins=4
            )
        )
    )
    assert unet(z, t, conditioning).shape == z.shape
    assert (unet.config.downsampling, unet.down[1].step.conv.stride, unet.up[0].step.scale) == (
        2,
        (2, 1),
        (2, 1),
    )
    assert unet(z[:, :, :7], t, conditioning).shape == z[:, :, :7].shape
    with pytest.raises(UsageError, match="8 frequency bins; this UNet merges 4"):
        unet(torch.cat([z, z], dim=3), t, conditioning)


def test_a_1d_unet_needs_a_2d_level():
    with pytest.raises(ConfigError, match="merge_frequency_bins needs two levels or more"):
        UNetConfig(channel_mult=(1,), attention=(True,), num_heads=(4,), merge_frequency_bins=8)
