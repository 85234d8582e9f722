"""AudioMAE against transformers' ViT-MAE, torch's pooling by hand and ViT-B's size."""

import numpy as np
import pytest
import torch
from diffusers.models.embeddings import get_2d_sincos_pos_embed
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from latentaudio.config.architecture import AudioMAEConfig
from latentaudio.models.audiomae import AudioMAE, sin_cos_table

TINY = AudioMAEConfig(
    num_frames=32,
    n_mels=32,
    patch_size=8,
    hidden_size=16,
    num_layers=3,
    num_heads=2,
    num_averaged_layers=2,
    decoder_hidden_size=8,
    decoder_num_layers=2,
    decoder_num_heads=2,
)
LONG = AudioMAEConfig(
    num_frames=64,
    n_mels=16,
    patch_size=4,
    hidden_size=16,
    num_layers=2,
    num_heads=2,
    num_averaged_layers=1,
    decoder_num_layers=0,
)
OLD_NAMES = {  # what the first releases of transformers 5 call it -> what later ones do
    "vit.encoder.layer.": "vit.layers.",
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
NAMES = {  # transformers' part of a key -> ours
    "vit.embeddings.patch_embeddings.projection": "patch_embed.proj",
    "vit.embeddings.cls_token": "cls_token",
    "vit.layers.": "blocks.",
    "vit.layernorm": "norm",
    "decoder.decoder_layers.": "decoder_blocks.",
    "decoder.": "",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.o_proj": "attn.proj",
}


def transformers_mae():
    torch.manual_seed(0)
    config = ViTMAEConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        num_channels=1,
        decoder_hidden_size=8,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        mask_ratio=0.8,
        norm_pix_loss=True,
        layer_norm_eps=1e-6,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return ViTMAEForPreTraining(config).eval()


def split(state, prefix):
    """Fused qkv of `prefix` taken apart as transformers' three projections are named."""
    names = [f"{prefix}.{n}_proj.{kind}" for n in "qkv" for kind in ("weight", "bias")]
    return {
        kind: torch.cat([state[n] for n in names if n.endswith(kind)])
        for kind in ("weight", "bias")
    }


def ours_from(theirs, config):
    state, renamed = {}, {}
    for key, value in theirs.state_dict().items():
        for old, new in OLD_NAMES.items():
            key = key.replace(old, new)
        state[key] = value
    for key, value in state.items():
        new = key.replace("vit.embeddings.position_embeddings", "pos_embed")
        for old, name in NAMES.items():
            new = new.replace(old, name)
        if "q_proj" in new:
            fused = split(state, key.split(".q_proj")[0])[key.rsplit(".", 1)[1]]
            renamed[new.replace("attention.q_proj", "attn.qkv")] = fused
        elif "k_proj" not in new and "v_proj" not in new:
            renamed[new] = value
    model = AudioMAE(config).eval()
    model.load_state_dict(renamed, strict=True)
    return model


def test_position_table_equals_diffusers():
    expected = get_2d_sincos_pos_embed(
        16, 4, base_size=4, cls_token=True, extra_tokens=1, output_type="pt"
    )
    torch.testing.assert_close(sin_cos_table((4, 4), 16)[0], expected.float(), atol=1e-6, rtol=0)


def test_masked_pretraining_equals_transformers():
    theirs = transformers_mae()
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    ours = ours_from(theirs, TINY)
    fbank = torch.randn(3, 1, 32, 32)
    noise = torch.rand(3, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = theirs(fbank, noise=noise)
        loss, prediction, mask = ours.reconstruct(fbank, 0.8, torch.Generator().manual_seed(5))
    torch.testing.assert_close(mask, expected.mask)
    assert mask.sum(dim=1).tolist() == [13, 13, 13]
    torch.testing.assert_close(prediction, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss, expected.loss, atol=1e-5, rtol=1e-5)


def test_features_are_transformers_hidden_states_normalized_and_averaged():
    theirs = transformers_mae()
    ours = ours_from(theirs, TINY)
    fbank = torch.randn(2, 1, 32, 32)
    theirs.vit.embeddings.config.mask_ratio = (
        0.0  # nothing hidden; increasing noise keeps the order
    )
    with torch.no_grad():
        noise = torch.arange(16.0).expand(2, 16)
        states = theirs.vit(fbank, noise=noise, output_hidden_states=True).hidden_states
        expected = torch.stack([theirs.vit.layernorm(h) for h in states[-2:]]).mean(0)
        actual = ours.features(fbank)
    assert actual.shape == (2, 17, 16)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_published_encoder_has_the_size_of_vit_b():
    with torch.device("meta"):
        model = AudioMAE(AudioMAEConfig(decoder_num_layers=0))
    # ViT-B/16 without its classifier has 85,798,656: three colours for our one, and its 197
    # positions learned
    assert sum(p.numel() for p in model.parameters()) == 85_798_656 - 2 * 16 * 16 * 768 - 197 * 768
    assert model.state_dict()["pos_embed"].shape == (1, 513, 768)


def test_keys_are_the_published_ones():
    keys = set(AudioMAE(LONG).state_dict())
    layers = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    kinds = ("weight", "bias")
    expected = {f"blocks.{i}.{part}.{kind}" for i in range(2) for part in layers for kind in kinds}
    assert keys == expected | {"cls_token", "pos_embed"} | {
        f"{part}.{kind}" for part in ("patch_embed.proj", "norm") for kind in kinds
    }


def test_a_short_clip_has_the_first_positions():
    model = AudioMAE(LONG).eval()
    short = torch.randn(1, 1, 32, 16)
    with torch.no_grad():
        expected = model.patch_embed(short).permute(0, 2, 3, 1).flatten(1, 2)
        actual = model.embed(short)
        long = model.embed(torch.nn.functional.pad(short, (0, 0, 0, 32)))
    torch.testing.assert_close(actual - expected, model.pos_embed[:, 1:33])
    torch.testing.assert_close(actual, long[:, :32])


@pytest.mark.parametrize(("time_pool", "freq_pool"), [(4, 4), (2, 1), (1, 1)])
def test_pooling_is_half_average_half_maximum_in_time_major_cells(time_pool, freq_pool):
    model = AudioMAE(LONG)
    features = np.random.default_rng(0).standard_normal((2, 1 + 8 * 4, 16)).astype(np.float32)
    pooled = model.pool(torch.from_numpy(features), 32, time_pool, freq_pool)
    cells = features[:, 1:].reshape(2, 8 // time_pool, time_pool, 4 // freq_pool, freq_pool, 16)
    expected = (cells.mean(axis=(2, 4)) + cells.max(axis=(2, 4))) / 2
    np.testing.assert_allclose(pooled, expected.reshape(2, -1, 16), atol=1e-6)


def test_language_of_audio_is_unmasked_and_has_its_origin():
    model = AudioMAE(LONG).eval()
    with torch.no_grad():
        loa = model.language_of_audio(torch.randn(2, 1, 32, 16), time_pool=4, freq_pool=4)
    assert (loa.tokens.shape, loa.origin) == ((2, 2, 16), "audio")
    assert loa.mask.eq(1).all()


def test_clips_that_do_not_fill_cells_are_an_error():
    model = AudioMAE(LONG)
    with pytest.raises(AssertionError, match="36 frames do not fill"):
        model.pool(torch.zeros(1, 37, 16), 36, 8, 4)
    with pytest.raises(AssertionError, match="more than 64"):
        model.embed(torch.zeros(1, 1, 68, 16))
