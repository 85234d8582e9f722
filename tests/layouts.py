"""The authors' checkpoints as tables: every tensor name, its shape, and our tensors made of it.

The tables were written from a description of the published files. Nothing here imports
latentaudio, so that its key mapping is not tested against itself.

A table is {original name: (shape, {our name: cut})}; a cut makes our tensor of the original one.
"""

from dataclasses import dataclass, replace

from layout_encoders import audiomae as audiomae
from layout_encoders import clap, phonemes, t5, translator
from layout_table import Table, squeeze_conv2d


@dataclass(frozen=True)
class Dimensions:
    """Dimensions of a model; the defaults are those of audioldm2-full.

    `upsample_index` is the position of the upsampling layer in its output block.
    """

    latent: int = 8
    bins: int = 64
    vae: tuple = (128, 256, 512)
    vocoder: tuple = (
        1024,
        (16, 16, 8, 4, 4),
        (3, 7, 11),
    )  # width, kernels of the upsampling, kernels of the blocks
    channels: int = 128
    contexts: tuple = (
        None,
        768,
        1024,
    )  # of an attention site: a context's width, or None for self-attention
    depth: int = 1
    film: int | None = None
    upsample_index: int = 4
    projection_dim: int = 512
    clap_text: tuple = (
        50265,
        768,
        12,
        3072,
        514,
    )  # vocabulary, width, layers, inner width, positions
    clap_audio: tuple = (
        128,
        (2, 2, 12, 2),
        (4, 8, 16, 32),
    )  # width of a patch, blocks of each stage, heads of each stage
    t5: tuple | None = (
        32128,
        1024,
        24,
        2816,
        16,
        64,
    )  # vocabulary, width, layers, inner width, heads, width of a head
    gpt2: tuple | None = (50257, 768, 12, 1024)  # vocabulary, width, layers, positions
    sources: tuple = (512, 1024)
    vits: tuple | None = None  # symbols, width, layers, inner width, heads, length
    audiomae: tuple = (768, 12, 16, 513)  # width, blocks, side of a patch, places


TINY_CLAP_AUDIO = (96, (2, 2, 6, 2), (4, 8, 16, 32))
_V2 = Dimensions()
_S = Dimensions(
    contexts=(None,), film=512, upsample_index=2, clap_audio=TINY_CLAP_AUDIO, t5=None, gpt2=None
)
_M = replace(_S, channels=192, clap_audio=_V2.clap_audio)
_SPEECH = replace(
    _V2,
    contexts=(None, 768),
    upsample_index=3,
    t5=None,
    sources=(512, 192),
    vits=(183, 192, 6, 768, 2, 310),
)
PUBLISHED = {
    "audioldm-s-full": _S,
    "audioldm-s-full-v2": _S,
    "audioldm-s-text-ft": _S,
    "audioldm-m-full": _M,
    "audioldm-m-text-ft": _M,
    "audioldm-l-full": replace(_S, channels=256),
    "audioldm_16k_crossattn_t5": replace(_V2, contexts=(None, 1024), upsample_index=3, gpt2=None),
    "audioldm_48k": replace(
        _S,
        latent=16,
        bins=256,
        vae=(128, 256, 512, 1024),
        vocoder=(1536, (12, 10, 8, 4, 4), (3, 7, 11, 15)),
        contexts=(None, None),
        upsample_index=3,
        clap_audio=_V2.clap_audio,
    ),
    "audioldm2-full": _V2,
    "audioldm2-music-665k": _V2,
    "audioldm2-full-large-1150k": replace(
        _V2, contexts=(None, 768, 1024, None), depth=2, upsample_index=5
    ),
    "audioldm2-speech-ljspeech": _SPEECH,
    "audioldm2-speech-gigaspeech": _SPEECH,
}

INTEGER_TENSORS = ("position_ids", "relative_position_index", "num_batches_tracked")
OPTIONAL_TENSORS = ("text_model.embeddings.token_type_ids", "text_model.embeddings.position_ids")
"""Tensors of ours that the authors' files may lack."""


def unet(n):
    """The UNet."""
    t, embedding = Table(), 4 * n.channels * (2 if n.film else 1)
    widths = [n.channels * m for m in (1, 2, 3, 5)]
    t.layer("time_embed.0", "time_in", 4 * n.channels, n.channels)
    t.layer("time_embed.2", "time_out", 4 * n.channels, 4 * n.channels)
    if n.film:
        t.layer("film_emb", "film", 4 * n.channels, n.film)
    t.layer("input_blocks.0.0", "conv_in", n.channels, n.latent, 3, 3)
    width, number, skips = n.channels, 0, [n.channels]
    for level, level_width in enumerate(widths):
        for site in range(2):
            number += 1
            _block(
                t,
                f"input_blocks.{number}.0",
                f"down.{level}.blocks.{site}.res",
                width,
                level_width,
                embedding,
            )
            _transformers(
                t, f"input_blocks.{number}", f"down.{level}.blocks.{site}", level_width, n, level
            )
            width = level_width
            skips.append(level_width)
        if level < 3:
            number += 1
            t.layer(
                f"input_blocks.{number}.0.op",
                f"down.{level}.step.conv",
                level_width,
                level_width,
                3,
                3,
            )
            skips.append(level_width)
    assert number == 11
    _block(t, "middle_block.0", "middle.0.res", width, width, embedding)
    _transformers(t, "middle_block", "middle.0", width, n, 3)
    _block(t, f"middle_block.{n.upsample_index}", "middle.1.res", width, width, embedding)
    for number in range(12):
        level, up, site = 3 - number // 3, number // 3, number % 3
        level_width, original, ours = (
            widths[level],
            f"output_blocks.{number}",
            f"up.{up}.blocks.{site}",
        )
        _block(t, f"{original}.0", f"{ours}.res", width + skips.pop(), level_width, embedding)
        _transformers(t, original, ours, level_width, n, level)
        width = level_width
        if number in (2, 5, 8):
            t.layer(
                f"{original}.{n.upsample_index}.conv",
                f"up.{up}.step.conv",
                level_width,
                level_width,
                3,
                3,
            )
    t.layer("out.0", "norm_out", n.channels)
    t.layer("out.2", "conv_out", n.latent, n.channels, 3, 3)
    return t


def _block(t, original, ours, inp, out, embedding):
    t.layer(f"{original}.in_layers.0", f"{ours}.norm1", inp)
    t.layer(f"{original}.in_layers.2", f"{ours}.conv1", out, inp, 3, 3)
    t.layer(f"{original}.emb_layers.1", f"{ours}.embed", out, embedding)
    t.layer(f"{original}.out_layers.0", f"{ours}.norm2", out)
    t.layer(f"{original}.out_layers.3", f"{ours}.conv2", out, out, 3, 3)
    if inp != out:
        t.layer(f"{original}.skip_connection", f"{ours}.shortcut", out, inp, 1, 1)


def _transformers(t, original, ours, width, n, level):
    for j, context in enumerate(n.contexts if level else ()):
        a, b = f"{original}.{j + 1}", f"{ours}.transformers.{j}"
        t.layer(f"{a}.norm", f"{b}.norm", width)
        t.layer(f"{a}.proj_in", f"{b}.proj_in", width, width, 1, 1)
        t.layer(f"{a}.proj_out", f"{b}.proj_out", width, width, 1, 1)
        for d in range(n.depth):
            x, y = f"{a}.transformer_blocks.{d}", f"{b}.blocks.{d}"
            for attention, key_width in (("attn1", width), ("attn2", context or width)):
                t.layer(f"{x}.{attention}.to_q", f"{y}.{attention}.to_q", width, width, bias=None)
                t.layer(
                    f"{x}.{attention}.to_k", f"{y}.{attention}.to_k", width, key_width, bias=None
                )
                t.layer(
                    f"{x}.{attention}.to_v", f"{y}.{attention}.to_v", width, key_width, bias=None
                )
                t.layer(f"{x}.{attention}.to_out.0", f"{y}.{attention}.to_out", width, width)
            t.layer(f"{x}.ff.net.0.proj", f"{y}.ff_in", 8 * width, width)
            t.layer(f"{x}.ff.net.2", f"{y}.ff_out", width, 4 * width)
            for norm in ("norm1", "norm2", "norm3"):
                t.layer(f"{x}.{norm}", f"{y}.{norm}", width)


def vae(n):
    """The VAE. The original `decoder.up.0` is the finest level, ours is the coarsest."""
    t, top = Table(), len(n.vae) - 1
    t.layer("encoder.conv_in", "encoder.conv_in", n.vae[0], 1, 3, 3)
    t.layer("decoder.conv_in", "decoder.conv_in", n.vae[top], n.latent, 3, 3)
    for level, width in enumerate(n.vae):
        original, ours, before = (
            f"encoder.down.{level}",
            f"encoder.down.{level}",
            n.vae[max(level - 1, 0)],
        )
        for b in range(2):
            _plain(
                t, f"{original}.block.{b}", f"{ours}.blocks.{b}", before if b == 0 else width, width
            )
        if level < top:
            t.layer(f"{original}.downsample.conv", f"{ours}.step.conv", width, width, 3, 3)
        original, ours, before = (
            f"decoder.up.{level}",
            f"decoder.up.{top - level}",
            n.vae[min(level + 1, top)],
        )
        for b in range(3):
            _plain(
                t, f"{original}.block.{b}", f"{ours}.blocks.{b}", before if b == 0 else width, width
            )
        if level > 0:
            t.layer(f"{original}.upsample.conv", f"{ours}.step.conv", width, width, 3, 3)
    for half in ("encoder", "decoder"):
        width, a, b = n.vae[top], f"{half}.mid.attn_1", f"{half}.middle.1"
        _plain(t, f"{half}.mid.block_1", f"{half}.middle.0", width, width)
        t.layer(f"{a}.norm", f"{b}.norm", width)
        t.layer(f"{a}.q", f"{b}.attention.to_q", width, width, 1, 1, cut=squeeze_conv2d)
        t.layer(f"{a}.k", f"{b}.attention.to_k", width, width, 1, 1, cut=squeeze_conv2d)
        t.layer(f"{a}.v", f"{b}.attention.to_v", width, width, 1, 1, cut=squeeze_conv2d)
        t.layer(f"{a}.proj_out", f"{b}.attention.to_out", width, width, 1, 1, cut=squeeze_conv2d)
        _plain(t, f"{half}.mid.block_2", f"{half}.middle.2", width, width)
    t.layer("encoder.norm_out", "encoder.norm_out", n.vae[top])
    t.layer("encoder.conv_out", "encoder.conv_out", 2 * n.latent, n.vae[top], 3, 3)
    t.layer("decoder.norm_out", "decoder.norm_out", n.vae[0])
    t.layer("decoder.conv_out", "decoder.conv_out", 1, n.vae[0], 3, 3)
    t.layer("quant_conv", "quant_conv", 2 * n.latent, 2 * n.latent, 1, 1)
    t.layer("post_quant_conv", "post_quant_conv", n.latent, n.latent, 1, 1)
    return t


def _plain(t, original, ours, inp, out):
    t.layer(f"{original}.norm1", f"{ours}.norm1", inp)
    t.layer(f"{original}.conv1", f"{ours}.conv1", out, inp, 3, 3)
    t.layer(f"{original}.norm2", f"{ours}.norm2", out)
    t.layer(f"{original}.conv2", f"{ours}.conv2", out, out, 3, 3)
    if inp != out:
        t.layer(f"{original}.nin_shortcut", f"{ours}.shortcut", out, inp, 1, 1)


def vocoder(n):
    """The vocoder, without weight norm."""
    t, (width, kernels, blocks) = Table(), n.vocoder
    t.layer("conv_pre", "conv_pre", width, n.bins, 7)
    for i, kernel in enumerate(kernels):
        t.layer(f"ups.{i}", f"ups.{i}", width, width // 2, kernel, bias=1)
        width //= 2
        for j, size in enumerate(blocks):
            for conv in (f"{convs}.{k}" for convs in ("convs1", "convs2") for k in range(3)):
                name = f"resblocks.{i * len(blocks) + j}.{conv}"
                t.layer(name, name, width, width, size)
    t.layer("conv_post", "conv_post", 1, width, 7)
    return t


def tables(n):
    """{part: its table} of a system."""
    components = {"unet": unet(n), "vae": vae(n), "vocoder": vocoder(n), "clap": clap(n)}
    components |= {"t5": t5(n)} if n.t5 else {}
    components |= {"translator": translator(n)} if n.gpt2 else {}
    return components | ({"phonemes": phonemes(n)} if n.vits else {})


_AUDIOLDM1_PREFIXES = {
    "unet": ["model.diffusion_model."],
    "vae": ["first_stage_model."],
    "vocoder": ["first_stage_model.vocoder."],
    "clap": ["cond_stage_model.model."],
}
_AUDIOLDM2_PREFIXES = {
    **_AUDIOLDM1_PREFIXES,
    "clap": ["cond_stage_models.0.cond_stage_models.0.model.", "clap.model."],
    "translator": ["cond_stage_models.0."],
}
_PREFIXES = {
    "audioldm-": _AUDIOLDM1_PREFIXES,
    "audioldm_48k": {**_AUDIOLDM1_PREFIXES, "clap": ["cond_stage_models.0.model.", "clap.model."]},
    "audioldm_16k": {
        **_AUDIOLDM1_PREFIXES,
        "clap": ["clap.model."],
        "t5": ["cond_stage_models.0.model."],
    },
    "audioldm2-speech": {
        **_AUDIOLDM2_PREFIXES,
        "phonemes": ["cond_stage_models.0.cond_stage_models.1."],
    },
    "audioldm2-": {
        **_AUDIOLDM2_PREFIXES,
        "t5": ["cond_stage_models.1.model.", "cond_stage_models.0.cond_stage_models.1.model."],
    },
}


def prefixes(name):
    """{part: the prefixes under which its copies lie}; the first is read.

    Of two CLAPs that is the one that conditions, of two T5s the outer one, which converters take .
    """
    return next(table for prefix, table in _PREFIXES.items() if name.startswith(prefix))


UNUSED_TENSORS = {
    "betas": (1000,),
    "alphas_cumprod": (1000,),
    "alphas_cumprod_prev": (1000,),
    "sqrt_alphas_cumprod": (1000,),
    "sqrt_one_minus_alphas_cumprod": (1000,),
    "log_one_minus_alphas_cumprod": (1000,),
    "sqrt_recip_alphas_cumprod": (1000,),
    "sqrt_recipm1_alphas_cumprod": (1000,),
    "posterior_variance": (1000,),
    "posterior_log_variance_clipped": (1000,),
    "posterior_mean_coef1": (1000,),
    "posterior_mean_coef2": (1000,),
    "logvar": (1000,),
    "model_ema.decay": (),
    "model_ema.num_updates": (),
}
"""Of a checkpoint, what no part is made of."""
UNUSED_IN_COMPONENTS = {
    "clap": {
        "text_transform.sequential.0.weight": (512, 512),
        "audio_transform.sequential.3.bias": (512,),
        "audio_branch.spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
        "audio_branch.spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024),
        "audio_branch.logmel_extractor.melW": (513, 64),
        "audio_branch.tscam_conv.weight": (527, 1024, 2, 3),
        "audio_branch.head.bias": (527,),
        "audio_branch.layers.0.blocks.1.attn_mask": (64, 64, 64),
    },
    "t5": {"encoder.embed_tokens.weight": (32128, 1024)},
    "vae": {"loss.logvar": (), "loss.discriminator.main.0.weight": (64, 1, 4, 4)},
    "audiomae": {
        "mask_token": (1, 1, 512),
        "decoder_pos_embed": (1, 513, 512),
        "decoder_embed.weight": (512, 768),
        "decoder_blocks.0.attn.qkv.weight": (1536, 512),
        "decoder_norm.bias": (512,),
        "decoder_pred.bias": (256,),
    },
}
"""Of parts, what nobody loads: with one example of each family of names."""


def averaged_name(name):
    """Where the averaged twin of a tensor of the UNet lies."""
    return "model_ema." + ("diffusion_model." + name).replace(".", "")
