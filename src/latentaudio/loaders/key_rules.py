"""Tensor names of every component: ours, diffusers' and the authors'.

See (numerics: published checkpoints: layouts and key names).

Each `*_rules` function returns the ordered renaming rules of one network family. The functions
`store_*` return which tensors a layout stores in another form.
"""

from __future__ import annotations

import re

from ..config.architecture import ModelConfig
from .key_mapping import Rule, TensorRef

_UNET_LEAVES: list[Rule] = [
    (r"^time_in\.", "time_embedding.linear_1.", "time_embed.0."),
    (r"^time_out\.", "time_embedding.linear_2.", "time_embed.2."),
    (r"^film\.", "class_embedding.", "film_emb."),
    (r"^conv_in\.", "conv_in.", "input_blocks.0.0."),
    (r"^norm_out\.", "conv_norm_out.", "out.0."),
    (r"^conv_out\.", "conv_out.", "out.2."),
    (r"\.res\.norm1\.", ".res.norm1.", ".res.in_layers.0."),
    (r"\.res\.conv1\.", ".res.conv1.", ".res.in_layers.2."),
    (r"\.res\.embed\.", ".res.time_emb_proj.", ".res.emb_layers.1."),
    (r"\.res\.norm2\.", ".res.norm2.", ".res.out_layers.0."),
    (r"\.res\.conv2\.", ".res.conv2.", ".res.out_layers.3."),
    (r"\.res\.shortcut\.", ".res.conv_shortcut.", ".res.skip_connection."),
    (
        r"(\.transformers\.\d+)\.blocks\.",
        r"\1.transformer_blocks.",
        r"\1.transformer_blocks.",
    ),
    (r"\.to_out\.", ".to_out.0.", ".to_out.0."),
    (r"\.ff_in\.", ".ff.net.0.proj.", ".ff.net.0.proj."),
    (r"\.ff_out\.", ".ff.net.2.", ".ff.net.2."),
]


def unet_rules(config: ModelConfig) -> list[Rule]:
    """Return the UNet's rules: layers inside a block first, then the position of every block.

    Both foreign layouts number blocks in one running count over the levels (numerics: UNet).
    """
    unet = config.unet
    num_levels = len(unet.channel_mult)
    num_transformers = len(unet.contexts)
    rules = list(_UNET_LEAVES)
    down_number = 1
    up_number = 0
    for level in range(num_levels):
        num_blocks = unet.res_blocks[level]
        for block in range(num_blocks):
            number = down_number + block
            rules += _block_rules(config, "down", level, block, f"input_blocks.{number}")
        down_number += num_blocks + 1
        original = f"input_blocks.{down_number - 1}.0.op."
        diffusers = f"down_blocks.{level}.downsamplers.0.conv."
        rules.append((rf"^down\.{level}\.step\.conv\.", diffusers, original))
        num_blocks = unet.res_blocks[num_levels - 1 - level] + 1
        for block in range(num_blocks):
            number = up_number + block
            rules += _block_rules(config, "up", level, block, f"output_blocks.{number}")
        # the authors' upsampling follows the transformers of the level's last block
        has_attention = unet.attention[num_levels - 1 - level]
        index = 1 + (num_transformers if has_attention else 0)
        up_number += num_blocks
        original = f"output_blocks.{up_number - 1}.{index}.conv."
        diffusers = f"up_blocks.{level}.upsamplers.0.conv."
        rules.append((rf"^up\.{level}\.step\.conv\.", diffusers, original))
    last = f"middle_block.{1 + num_transformers}."
    rules.append((r"^middle\.0\.res\.", "mid_block.resnets.0.", "middle_block.0."))
    rules.append((r"^middle\.1\.res\.", "mid_block.resnets.1.", last))
    for index in range(num_transformers):
        pattern = rf"^middle\.0\.transformers\.{index}\."
        rules.append((pattern, f"mid_block.attentions.{index}.", f"middle_block.{1 + index}."))
    return rules


def _block_rules(
    config: ModelConfig, direction: str, level: int, index: int, original: str
) -> list[Rule]:
    """Return the rules of one ResBlock and the transformers behind it."""
    own = rf"^{direction}\.{level}\.blocks\.{index}"
    level_name = f"{direction}_blocks.{level}"
    rules = [(rf"{own}\.res\.", f"{level_name}.resnets.{index}.", f"{original}.0.")]
    num_transformers = len(config.unet.contexts)
    for i in range(num_transformers):
        attention = f"{level_name}.attentions.{index * num_transformers + i}."
        rules.append((rf"{own}\.transformers\.{i}\.", attention, f"{original}.{1 + i}."))
    return rules


def vae_rules(config: ModelConfig) -> list[Rule]:
    """Return the VAE's rules. The authors count the decoder's levels from the other end."""
    top = len(config.vae.channel_mult) - 1
    ups = [(rf"\.up\.{i}\.", f".up_blocks.{i}.", f".UP.{top - i}.") for i in range(top + 1)]
    attention = ".mid_block.attentions.0"
    return [
        (r"\.shortcut\.", ".conv_shortcut.", ".nin_shortcut."),
        (r"\.norm_out\.", ".conv_norm_out.", ".norm_out."),
        (r"\.middle\.0\.", ".mid_block.resnets.0.", ".mid.block_1."),
        (r"\.middle\.2\.", ".mid_block.resnets.1.", ".mid.block_2."),
        (r"\.middle\.1\.norm\.", f"{attention}.group_norm.", ".mid.attn_1.norm."),
        (r"\.middle\.1\.attention\.to_out\.", f"{attention}.to_out.0.", ".mid.attn_1.proj_out."),
        (r"\.middle\.1\.attention\.to_([qkv])\.", rf"{attention}.to_\1.", r".mid.attn_1.\1."),
        (r"\.blocks\.", ".resnets.", ".block."),
        *ups,
        # "UP" marks a level that is renumbered already, so that no later rule renumbers it again
        (r"\.UP\.", ".up_blocks.", ".up."),
        (r"\.down\.", ".down_blocks.", ".down."),
        (r"^(encoder.*)\.step\.", r"\1.downsamplers.0.", r"\1.downsample."),
        (r"^(decoder.*)\.step\.", r"\1.upsamplers.0.", r"\1.upsample."),
    ]


def vocoder_rules(config: ModelConfig) -> list[Rule]:
    """Return the rules of HiFi-GAN."""
    return [(r"^ups\.", "upsampler.", "ups.")]


def clap_rules(config: ModelConfig) -> list[Rule]:
    """Return CLAP's rules: ours are the names of transformers, the authors' are those of laion."""
    audio = r"^(audio_model.*)"

    def rename_audio(words: str, original: str) -> Rule:
        return rf"{audio}\.{words}\.", rf"\1.{words}.".replace("\\.", "."), rf"\1.{original}."

    return [
        rename_audio(r"attention\.self", "attn"),
        rename_audio(r"attention\.output\.dense", "attn.proj"),
        rename_audio(r"intermediate\.dense", "mlp.fc1"),
        rename_audio(r"output\.dense", "mlp.fc2"),
        rename_audio("layernorm_before", "norm1"),
        rename_audio("layernorm_after", "norm2"),
        rename_audio("batch_norm", "bn0"),
        (r"_projection\.linear1\.", "_projection.linear1.", "_projection.0."),
        (r"_projection\.linear2\.", "_projection.linear2.", "_projection.2."),
        (r"^text_model\.", "text_model.", "text_branch."),
        (r"^audio_model\.audio_encoder\.", "audio_model.audio_encoder.", "audio_branch."),
    ]


def translator_rules(config: ModelConfig) -> list[Rule]:
    """Return the rules of GPT-2 and its projections, which diffusers keeps in two folders."""
    diffusers = "projection_model/projection"
    original = "input_sequence_embed_linear"
    return [
        (r"^projections\.0\.", f"{diffusers}.", f"{original}.0."),
        (r"^projections\.(\d+)\.", rf"{diffusers}_\1.", rf"{original}.\1."),
        (r"^gpt2\.", "language_model/", "model."),
        (r"^start$", "start", "start_of_sequence_tokens.weight"),
        (r"^end$", "end", "end_of_sequence_tokens.weight"),
    ]


def phonemes_rules(config: ModelConfig) -> list[Rule]:
    """Return the rules of the phoneme encoder, which diffusers keeps in two folders."""
    rules: list[Rule] = []
    positions = "learnable_positional_embedding"
    rules.append((r"^positional$", f"projection_model/{positions}", positions))
    for own, original in (
        (r"attention.q_proj.", r"attn_layers.\1.conv_q."),
        (r"attention.k_proj.", r"attn_layers.\1.conv_k."),
        (r"attention.v_proj.", r"attn_layers.\1.conv_v."),
        (r"attention.out_proj.", r"attn_layers.\1.conv_o."),
        (r"attention.emb", r"attn_layers.\1.emb"),
        (r"layer_norm.weight", r"norm_layers_1.\1.gamma"),
        (r"layer_norm.bias", r"norm_layers_1.\1.beta"),
        (r"final_layer_norm.weight", r"norm_layers_2.\1.gamma"),
        (r"final_layer_norm.bias", r"norm_layers_2.\1.beta"),
        (r"feed_forward.", r"ffn_layers.\1."),
    ):
        pattern = r"^encoder\.layers\.(\d+)\." + re.escape(own)
        rules.append((pattern, rf"encoder.layers.\1.{own}", f"encoder.{original}"))
    rules.append((r"^embed_tokens\.", "embed_tokens.", "emb."))
    rules.append((r"^project\.", "project.", "proj."))
    # at last, the whole encoder goes below a prefix
    top = r"^(embed_tokens|emb|encoder|project|proj)\."
    rules.append((top, r"text_encoder_2/text_encoder.\1.", r"text_encoder.\1."))
    return rules


def unchanged_rules(config: ModelConfig) -> list[Rule]:
    """Return no rules: both foreign layouts use our names."""
    return []


def store_vae_original(key: str, name: str, config: ModelConfig) -> TensorRef:
    """Return how the authors store a tensor of the VAE: attention is made of 1x1 convolutions."""
    is_projection = ".attention." in key and key.endswith("weight")
    return TensorRef((name,), "conv2d" if is_projection else "same")


def store_clap_original(key: str, name: str, config: ModelConfig) -> TensorRef:
    """Return how laion's CLAP stores a tensor: query, key and value of the audio tower are one."""
    match = re.fullmatch(r"(audio_branch.*attn\.)(query|key|value)\.(weight|bias)", name)
    if match is None:
        return TensorRef((name,))
    third = ("query", "key", "value").index(match[2])
    return TensorRef((f"{match[1]}qkv.{match[3]}",), "third", third)


def store_phonemes_original(key: str, name: str, config: ModelConfig) -> TensorRef:
    """Return how the authors store a phoneme encoder's tensor: attention is 1-D convolutions."""
    is_projection = re.search(r"conv_[qkvo]\.weight$", name) is not None
    return TensorRef((name,), "conv1d" if is_projection else "same")


def store_translator_diffusers(key: str, name: str, config: ModelConfig) -> TensorRef:
    """Return how diffusers stores a translator's tensor: one start and end vector per source."""
    if key not in ("start", "end"):
        return TensorRef((name,))
    assert config.translator is not None
    stem = "projection_model/sos_embed" if key == "start" else "projection_model/eos_embed"
    num_sources = len(config.translator.source_dims)
    return TensorRef((stem, *(f"{stem}_{i}" for i in range(1, num_sources))), "stack")


def store_translator_original(key: str, name: str, config: ModelConfig) -> TensorRef:
    """Return how the authors store a translator's tensor: tables of 32 start and end vectors."""
    return TensorRef((name,), "first_rows" if key in ("start", "end") else "same")
