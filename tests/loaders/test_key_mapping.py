"""Tensor names against diffusers, transformers and the layout tables, in both directions."""

import math
from dataclasses import replace

import layouts
import pytest
import torch
from diffusers import AudioLDM2UNet2DConditionModel, AutoencoderKL, UNet2DConditionModel
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from latentaudio.config.architecture import AudioMAEConfig
from latentaudio.config.registry import MODELS
from latentaudio.loaders import key_mapping
from latentaudio.loaders.components import COMPONENTS, build_on_meta, component_names
from latentaudio.loaders.layouts import LAYOUTS

CROSS = ("DownBlock2D", *("CrossAttnDownBlock2D",) * 3), (*("CrossAttnUpBlock2D",) * 3, "UpBlock2D")
ROWS = [
    "audioldm-s-full",
    "audioldm_16k_crossattn_t5",
    "audioldm_48k",
    "audioldm2-full",
    "audioldm2-full-large-1150k",
    "audioldm2-speech-ljspeech",
]


def meta(component, name):
    return build_on_meta(component, MODELS[name].config).state_dict()


def foreign_shapes_of(component, name, layout):
    """{their name: shape} of a part of a published model."""
    state = meta(component, name)
    refs = LAYOUTS[layout].tensor_refs(COMPONENTS[component], MODELS[name].config, state)
    return {
        n: s
        for key, value in state.items()
        for n, s in refs[key].foreign_shapes(value.shape).items()
    }


def shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    "name", ["audioldm2-full", "audioldm2-full-large-1150k", "audioldm2-speech-ljspeech"]
)
def test_unet_names_match_diffusers_audioldm2(name):
    unet = MODELS[name].config.unet
    with torch.device("meta"):
        original = AudioLDM2UNet2DConditionModel(
            in_channels=8,
            out_channels=8,
            block_out_channels=unet.widths,
            down_block_types=CROSS[0],
            up_block_types=CROSS[1],
            cross_attention_dim=[list(unet.contexts)] * 4,
            attention_head_dim=8,
            transformer_layers_per_block=unet.transformer_depth,
        )
    assert foreign_shapes_of("unet", name, "diffusers") == shapes(original)


@pytest.mark.parametrize("name", ["audioldm-s-full", "audioldm-m-full", "audioldm-l-full"])
def test_unet_names_match_diffusers_audioldm(name):
    widths = MODELS[name].config.unet.widths
    with torch.device("meta"):
        original = UNet2DConditionModel(
            in_channels=8,
            out_channels=8,
            block_out_channels=widths,
            down_block_types=CROSS[0],
            up_block_types=CROSS[1],
            cross_attention_dim=widths,
            attention_head_dim=8,
            class_embed_type="simple_projection",
            projection_class_embeddings_input_dim=512,
            class_embeddings_concat=True,
        )
    assert foreign_shapes_of("unet", name, "diffusers") == shapes(original)


@pytest.mark.parametrize("name", ["audioldm2-full", "audioldm_48k"])
def test_vae_names_match_diffusers(name):
    vae = MODELS[name].config.vae
    levels = len(vae.channel_mult)
    with torch.device("meta"):
        original = AutoencoderKL(
            1,
            1,
            ("DownEncoderBlock2D",) * levels,
            ("UpDecoderBlock2D",) * levels,
            [128 * m for m in vae.channel_mult],
            2,
            latent_channels=vae.latent_channels,
        )
    assert foreign_shapes_of("vae", name, "diffusers") == shapes(original)


def test_vocoder_names_match_transformers():
    config = MODELS["audioldm2-full"].config.vocoder
    with torch.device("meta"):
        original = SpeechT5HifiGan(
            SpeechT5HifiGanConfig(
                model_in_dim=64,
                upsample_initial_channel=1024,
                upsample_rates=list(config.upsample_rates),
                upsample_kernel_sizes=list(config.upsample_kernel_sizes),
            )
        )
    expected = {k: s for k, s in shapes(original).items() if k not in ("mean", "scale")}
    assert foreign_shapes_of("vocoder", "audioldm2-full", "diffusers") == expected


ORIGINAL = {
    ("unet", "audioldm-s-full"): {
        "time_embed.0.weight": (512, 128),
        "time_embed.2.bias": (512,),
        "film_emb.weight": (512, 512),
        "input_blocks.0.0.weight": (128, 8, 3, 3),
        "input_blocks.3.0.op.weight": (128, 128, 3, 3),
        "input_blocks.4.0.skip_connection.weight": (256, 128, 1, 1),
        "input_blocks.4.0.emb_layers.1.weight": (256, 1024),
        "input_blocks.4.1.transformer_blocks.0.attn1.to_out.0.weight": (256, 256),
        "middle_block.2.in_layers.2.weight": (640, 640, 3, 3),
        "output_blocks.2.2.conv.weight": (640, 640, 3, 3),
        "output_blocks.11.0.out_layers.3.bias": (128,),
        "out.0.weight": (128,),
        "out.2.weight": (8, 128, 3, 3),
    },
    ("unet", "audioldm_48k"): {
        "output_blocks.2.3.conv.weight": (640, 640, 3, 3),
        "film_emb.bias": (512,),
    },
    ("unet", "audioldm_16k_crossattn_t5"): {
        "output_blocks.5.3.conv.weight": (384, 384, 3, 3),
        "input_blocks.7.2.transformer_blocks.0.attn2.to_k.weight": (384, 1024),
    },
    ("unet", "audioldm2-full"): {
        "output_blocks.8.4.conv.weight": (256, 256, 3, 3),
        "middle_block.4.out_layers.0.weight": (640,),
        "input_blocks.4.2.transformer_blocks.0.attn2.to_k.weight": (256, 768),
        "input_blocks.4.3.transformer_blocks.0.attn2.to_v.weight": (256, 1024),
        "input_blocks.10.3.transformer_blocks.0.ff.net.0.proj.weight": (5120, 640),
    },
    ("unet", "audioldm2-full-large-1150k"): {
        "output_blocks.2.5.conv.weight": (640, 640, 3, 3),
        "middle_block.4.transformer_blocks.1.attn2.to_k.weight": (640, 640),
    },
    ("unet", "audioldm2-speech-ljspeech"): {"output_blocks.2.3.conv.weight": (640, 640, 3, 3)},
    ("vae", "audioldm2-full"): {
        "encoder.down.0.downsample.conv.weight": (128, 128, 3, 3),
        "encoder.down.1.block.0.nin_shortcut.weight": (256, 128, 1, 1),
        "encoder.mid.attn_1.q.weight": (512, 512, 1, 1),
        "encoder.mid.attn_1.proj_out.bias": (512,),
        "decoder.mid.block_2.conv1.weight": (512, 512, 3, 3),
        "decoder.up.0.block.2.norm2.weight": (128,),
        "decoder.up.2.upsample.conv.weight": (512, 512, 3, 3),
        "decoder.norm_out.weight": (128,),
        "quant_conv.weight": (16, 16, 1, 1),
        "post_quant_conv.bias": (8,),
    },
    ("vocoder", "audioldm2-full"): {
        "ups.0.weight": (1024, 512, 16),
        "resblocks.14.convs2.2.weight": (32, 32, 11),
        "conv_post.bias": (1,),
    },
    ("clap", "audioldm2-full"): {
        "text_branch.encoder.layer.11.attention.self.query.weight": (768, 768),
        "text_branch.pooler.dense.bias": (768,),
        "text_branch.encoder.layer.0.attention.output.dense.weight": (768, 768),
        "text_projection.2.weight": (512, 512),
        "audio_branch.bn0.running_mean": (64,),
        "audio_branch.patch_embed.proj.weight": (128, 1, 4, 4),
        "audio_branch.layers.2.blocks.11.attn.qkv.weight": (1536, 512),
        "audio_branch.layers.0.blocks.1.attn.relative_position_bias_table": (225, 4),
        "audio_branch.layers.0.blocks.0.attn.proj.bias": (128,),
        "audio_branch.layers.0.blocks.0.norm2.weight": (128,),
        "audio_branch.layers.0.blocks.0.mlp.fc1.weight": (512, 128),
        "audio_branch.layers.0.downsample.reduction.weight": (256, 512),
        "audio_branch.norm.weight": (1024,),
        "audio_projection.0.weight": (512, 1024),
        "logit_scale_a": (),
    },
    ("translator", "audioldm2-full"): {
        "start_of_sequence_tokens.weight": (-1, 768),
        "end_of_sequence_tokens.weight": (-1, 768),
        "input_sequence_embed_linear.1.weight": (768, 1024),
        "model.wte.weight": (50257, 768),
        "model.h.11.attn.c_attn.weight": (768, 2304),
        "model.ln_f.bias": (768,),
    },
    ("t5", "audioldm2-full"): {
        "shared.weight": (32128, 1024),
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (32, 16),
        "encoder.block.23.layer.1.DenseReluDense.wi_1.weight": (2816, 1024),
        "encoder.final_layer_norm.weight": (1024,),
    },
    ("phonemes", "audioldm2-speech-ljspeech"): {
        "text_encoder.emb.weight": (183, 192),
        "text_encoder.encoder.attn_layers.5.conv_q.weight": (192, 192, 1),
        "text_encoder.encoder.attn_layers.0.conv_o.bias": (192,),
        "text_encoder.encoder.attn_layers.0.emb_rel_k": (1, 9, 96),
        "text_encoder.encoder.norm_layers_1.3.gamma": (192,),
        "text_encoder.encoder.norm_layers_2.0.beta": (192,),
        "text_encoder.encoder.ffn_layers.2.conv_1.weight": (768, 192, 3),
        "text_encoder.proj.weight": (384, 192, 1),
        "learnable_positional_embedding": (1, 192, 310),
    },
}


@pytest.mark.parametrize(("component", "name"), ORIGINAL)
def test_original_names_match_known_examples(component, name):
    model = foreign_shapes_of(component, name, "original")
    assert {key: model.get(key) for key in ORIGINAL[component, name]} == ORIGINAL[component, name]


@pytest.mark.parametrize("name", layouts.PUBLISHED)
def test_original_names_and_shapes_match_the_layout_tables_exactly(name):
    """Against tables written from the spec without a look at ours."""
    config, tables = MODELS[name].config, layouts.tables(layouts.PUBLISHED[name])
    assert set(tables) == set(component_names(config))
    for component, table in tables.items():
        state = meta(component, name)
        refs = LAYOUTS["original"].tensor_refs(
            COMPONENTS[component], config, [k for k in state if k not in layouts.OPTIONAL_TENSORS]
        )
        mapped = {
            n: s
            for key, ref in refs.items()
            for n, s in ref.foreign_shapes(state[key].shape).items()
        }
        assert {n: tuple(32 if x == -1 else x for x in s) for n, s in mapped.items()} == {
            n: s for n, (s, _) in table.items()
        }


def test_every_published_model_has_a_layout_table():
    assert set(layouts.PUBLISHED) == {spec.name for spec in MODELS.values() if spec.is_published}


def test_audiomae_is_mapped_without_its_decoder():
    config = replace(MODELS["audioldm2-full"].config, audiomae=AudioMAEConfig(decoder_num_layers=0))
    state = build_on_meta("audiomae", config).state_dict()
    refs = LAYOUTS["original"].tensor_refs(COMPONENTS["audiomae"], config, state)
    mapped = {
        n: s for key, ref in refs.items() for n, s in ref.foreign_shapes(state[key].shape).items()
    }
    assert mapped == {n: s for n, (s, _) in layouts.audiomae(layouts.Dimensions()).items()}


def weigh(table, begins=""):
    """(numbers, tensors) of a table under a prefix, buffers aside."""
    still = ("running_mean", "running_var", *layouts.INTEGER_TENSORS)
    model = [
        math.prod(s)
        for n, (s, _) in table.items()
        if n.startswith(begins) and not n.endswith(still)
    ]
    return sum(model), len(model)


UNETS = {
    "audioldm-s-full": 185_036_552,
    "audioldm-m-full": 415_954_568,
    "audioldm-l-full": 739_139_080,
    "audioldm_16k_crossattn_t5": 265_531_016,
    "audioldm_48k": 262_699_152,
    "audioldm2-full": 346_943_496,
    "audioldm2-full-large-1150k": 718_012_296,
    "audioldm2-speech-ljspeech": 261_926_536,
}


def test_layout_tables_have_the_published_sizes():
    """Sections 0, 2, 3, 4.5, 6: so the tables themselves are held to something."""
    changed = {name: layouts.tables(dimensions) for name, dimensions in layouts.PUBLISHED.items()}
    assert {name: weigh(changed[name]["unet"])[0] for name in UNETS} == UNETS
    tensors = {"audioldm-s-full": 690, "audioldm2-full": 1520, "audioldm2-full-large-1150k": 3216}
    assert {name: weigh(changed[name]["unet"])[1] for name in tensors} == tensors
    base, speech, high = (
        changed[n] for n in ("audioldm2-full", "audioldm2-speech-ljspeech", "audioldm_48k")
    )
    assert weigh(base["vae"]) == (55_376_873, 204) and weigh(high["vae"])[0] == 223_535_569
    assert (weigh(base["vocoder"])[0], weigh(high["vocoder"])[0]) == (55_264_897, 190_281_889)
    assert (weigh(base["clap"])[0], weigh(changed["audioldm-s-full"]["clap"])[0]) == (
        193_913_882,
        153_492_890,
    )
    branches = {
        "text_branch.": 124_645_632,
        "audio_branch.": 67_824_408,
        "text_projection.": 656_384,
        "audio_proj": 787_456,
    }
    assert {branch: weigh(base["clap"], branch)[0] for branch in branches} == branches
    assert (weigh(base["t5"])[0], weigh(base["translator"], "model.")[0]) == (
        341_231_104,
        124_439_808,
    )
    unread = 2 * 30 * 768  # rows of the tables of start and end
    assert (
        weigh(base["translator"], "start")[0] + weigh(base["translator"], "end")[0] - unread
        == 4 * 768
    )
    assert weigh(base["translator"], "input")[0] + 4 * 768 == 1_184_256
    assert weigh(speech["translator"], "input")[0] + 4 * 768 + 192 * 310 == 604_800
    assert (
        weigh(
            speech["phonemes"],
            "text_encoder.",
        )[0]
        == 6_327_744
    )


@pytest.mark.parametrize("layout", ["diffusers", "original"])
@pytest.mark.parametrize("name", ROWS)
def test_reading_inverts_writing_bit_for_bit(name, layout):
    """At the published structure, tiny widths: tensors of the real names, shrunk."""
    config = MODELS[name].config
    generator = torch.Generator().manual_seed(0)
    for component in ("unet", "vae", "vocoder", "clap", "translator", "phonemes", "t5"):
        if getattr(config, component) is None:
            continue
        state = {
            k: torch.randn([min(n, 3) for n in v.shape], generator=generator)
            for k, v in meta(component, name).items()
        }
        refs = LAYOUTS[layout].tensor_refs(COMPONENTS[component], config, state)
        original = dict(key_mapping.to_foreign(refs, state))
        assert len(original) == len({n for ref in refs.values() for n in ref.names})
        for key, ref in refs.items():
            assert torch.equal(
                ref.read(original.__getitem__, len(state[key]) if state[key].ndim else 0),
                state[key],
            ), key


def test_only_fused_tensors_share_a_name():
    for component, name in ORIGINAL:
        config = MODELS[name].config
        for layout in ("diffusers", "original"):
            refs = LAYOUTS[layout].tensor_refs(COMPONENTS[component], config, meta(component, name))
            checkpoint_tensors = [ref.names[0] for ref in refs.values() if ref.kind != "third"]
            assert len(checkpoint_tensors) == len(set(checkpoint_tensors))


def test_a_clap_text_tower_alone_is_mapped():
    config = replace(
        MODELS["audioldm-s-full"].config,
        clap=replace(MODELS["audioldm-s-full"].config.clap, audio_depths=()),
    )
    keys = list(build_on_meta("clap", config).state_dict())
    refs = LAYOUTS["diffusers"].tensor_refs(COMPONENTS["clap"], config, keys)
    assert {ref.names[0] for ref in refs.values()} == set(keys)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("down.1.sites.0.res.conv1.weight", "down.1.blocks.0.res.conv1.weight"),
        (
            "up.0.sites.2.transformers.0.blocks.0.norm1.bias",
            "up.0.blocks.2.transformers.0.blocks.0.norm1.bias",
        ),
        ("down.0.step.beats.weight", "down.0.step.uniform_proj.weight"),
        ("orders.1.waves.weight", "context_positions.1.proj.weight"),
        ("beats.weight", "uniform_proj.weight"),
        ("order.waves.weight", "text_positions.proj.weight"),
        ("quant.bias", "quant_conv.bias"),
        ("post_quant.weight", "post_quant_conv.weight"),
        ("critics.3.convs.0.bias", "discriminators.3.convs.0.bias"),
        ("middle.0.res.norm1.weight", "middle.0.res.norm1.weight"),
    ],
)
def test_tensor_names_of_version_0_1_become_todays(old, new):
    assert key_mapping.current_key(old) == new
    assert key_mapping.current_key(new) == new
