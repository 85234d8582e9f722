"""Tiny models in the published layouts, made of diffusers' and transformers' own classes.

Those libraries write the folders, so that tests read files that this package did not write.
"""

import json
from dataclasses import dataclass, replace

import torch
from diffusers import (
    AudioLDM2Pipeline,
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AudioLDMPipeline,
    AutoencoderKL,
    DDIMScheduler,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    ClapTextModelWithProjection,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaTokenizerFast,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
    VitsConfig,
    VitsModel,
)

WORDS = "a dog bell rain door knocks on the wooden roof in far away music loud soft man speaks"
VOCABULARY = WORDS.split()
PROMPTS = ["a dog in the rain", "music", "three loud knocks on the wooden door far away"]


@dataclass(frozen=True)
class Size:
    """The dimensions of a model: a tiny one, or the published ones."""

    widths: tuple = (32, 64)
    groups: int = 8
    latent: int = 4
    vae: tuple = (16, 16, 32)
    scale: float = 0.7
    bins: int = 16
    vocoder: int = 32
    vocoder_kernels: tuple = (3, 7)
    projection: int = 12
    text: tuple = (64, 16, 2, 2, 32, 26)  # vocabulary, width, layers, heads, inner width, positions
    audio: tuple = (8, (1, 1, 2, 1), (1, 2, 2, 4))  # patch width, depths, heads
    t5: tuple = (64, 24, 8, 32, 2, 2)  # vocabulary, width, head width, inner width, layers, heads
    gpt2: tuple = (9, 96, 16, 2, 2)  # vocabulary, positions, width, layers, heads
    vits: tuple = (24, 2, 2, 32)  # width, layers, heads, inner width
    phonemes: int = 40
    tokens: int = 8
    clips: int = 24

    @property
    def clap_text_config(self):
        return dict(
            zip(
                (
                    "vocab_size",
                    "hidden_size",
                    "num_hidden_layers",
                    "num_attention_heads",
                    "intermediate_size",
                    "max_position_embeddings",
                ),
                self.text,
                strict=True,
            )
        ) | {"projection_dim": self.projection}


TINY = Size()
FULL = Size(
    widths=(128, 256, 384, 640),
    groups=32,
    latent=8,
    vae=(128, 256, 512),
    scale=0.4110932946205139,
    bins=64,
    vocoder=1024,
    vocoder_kernels=(3, 7, 11),
    projection=512,
    text=(50265, 768, 12, 12, 3072, 514),
    audio=(128, (2, 2, 12, 2), (4, 8, 16, 32)),
    t5=(32128, 1024, 64, 2816, 24, 16),
    gpt2=(50257, 1024, 768, 12, 12),
    vits=(192, 6, 2, 768),
    phonemes=310,
    clips=512,
)
NUM_HEADS = 8


@torch.no_grad()
def randomize(module, seed=0):
    """Set random weights everywhere, so that no zero hides a mistake in a branch."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in module.named_parameters():
        if p.dim() == 0:
            continue
        p.copy_(
            torch.randn(p.shape, generator=generator)
            * (p[0].numel() ** -0.5 if p.dim() > 1 else 0.1)
        )
        if ("norm" in name.lower() or "ln_" in name) and name.endswith("weight"):
            p.add_(1.0)
    for name, b in module.named_buffers():
        if name.endswith("running_mean"):
            b.copy_(torch.randn(b.shape, generator=generator) - 20)
        elif name.endswith("running_var"):
            b.copy_(torch.rand(b.shape, generator=generator) * 100 + 50)
    return module.eval()


def word_tokenizer(start, pad, end, unknown):
    """A tokenizer with one token per word, between `start` and `end`."""
    vocabulary = {
        word: i
        for i, word in enumerate(
            dict.fromkeys([*sorted({start, pad, end, unknown} - {""}), *VOCABULARY])
        )
    }
    if pad == "<pad>":  # RoBERTa's order: <s> 0, <pad> 1, </s> 2; T5's: <pad> 0, </s> 1
        special = ["<s>", "<pad>", "</s>", "<unk>"] if start else ["<pad>", "</s>", "<unk>"]
        vocabulary = {word: i for i, word in enumerate([*special, *VOCABULARY])}
    rules = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    special_tokens = [(word, vocabulary[word]) for word in (start, end) if word]
    rules.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}".strip(), special_tokens=special_tokens
    )
    return rules


def roberta_tokenizer(size=TINY):
    return RobertaTokenizerFast(
        tokenizer_object=word_tokenizer("<s>", "<pad>", "</s>", "<unk>"),
        model_max_length=size.clips,
    )


def t5_tokenizer():
    return T5TokenizerFast(
        tokenizer_object=word_tokenizer("", "<pad>", "</s>", "<unk>"),
        model_max_length=20,
        extra_ids=0,
    )


def vae(size=TINY):
    return randomize(
        AutoencoderKL(
            1,
            1,
            ("DownEncoderBlock2D",) * 3,
            ("UpDecoderBlock2D",) * 3,
            size.vae,
            2,
            latent_channels=size.latent,
            norm_num_groups=size.groups,
            scaling_factor=size.scale,
            sample_size=64,
        )
    )


def vocoder(size=TINY):
    config = SpeechT5HifiGanConfig(
        model_in_dim=size.bins,
        upsample_initial_channel=size.vocoder,
        upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4],
        resblock_kernel_sizes=list(size.vocoder_kernels),
        resblock_dilation_sizes=[[1, 3, 5]] * len(size.vocoder_kernels),
        normalize_before=False,
    )
    return randomize(SpeechT5HifiGan(config))


def scheduler():
    return DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def unet_shape(size=TINY):
    levels = len(size.widths)
    return {
        "sample_size": 16,
        "in_channels": size.latent,
        "out_channels": size.latent,
        "block_out_channels": size.widths,
        "norm_num_groups": size.groups,
        "attention_head_dim": NUM_HEADS,
        "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * (levels - 1)),
        "up_block_types": (*("CrossAttnUpBlock2D",) * (levels - 1), "UpBlock2D"),
    }


def clap(size=TINY):
    width, depths, heads = size.audio
    audio = {
        "patch_embeds_hidden_size": width,
        "hidden_size": 8 * width,
        "depths": list(depths),
        "num_attention_heads": list(heads),
        "projection_dim": size.projection,
    }
    return randomize(
        ClapModel(
            ClapConfig(
                text_config=size.clap_text_config,
                audio_config=audio,
                projection_dim=size.projection,
            )
        )
    )


def phoneme_symbols(folder, size=TINY):
    """A VitsTokenizer of the 183 symbols that does not phonemize."""
    from transformers import VitsTokenizer

    from latentaudio.conditioning.g2p import SYMBOLS

    folder.mkdir(exist_ok=True)
    ids = {symbol: i for i, symbol in enumerate(SYMBOLS)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    return VitsTokenizer(
        str(folder / "vocab.json"),
        pad_token="_",
        unk_token="_",
        normalize=False,
        phonemize=False,
        add_blank=False,
        is_uroman=False,
        model_max_length=size.phonemes,
    )


def vits(size=TINY):
    width, layers, heads, inner = size.vits
    config_values = VitsConfig(
        vocab_size=183,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        ffn_dim=inner,
        window_size=4,
        flow_size=width,
        spectrogram_bins=9,
        prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
        upsample_initial_channel=16,
        upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        duration_predictor_num_flows=1,
        duration_predictor_flow_bins=2,
        depth_separable_channels=2,
    )
    return randomize(VitsModel(config_values))


def t5(size=TINY):
    vocabulary, width, head, inner, layers, heads = size.t5
    return randomize(
        T5EncoderModel(
            T5Config(
                vocab_size=vocabulary,
                d_model=width,
                d_kv=head,
                d_ff=inner,
                num_layers=layers,
                num_heads=heads,
                feed_forward_proj="gated-gelu",
            )
        )
    )


def gpt2(size=TINY):
    vocabulary, positions, width, layers, heads = size.gpt2
    config_values = GPT2Config(
        vocab_size=vocabulary, n_positions=positions, n_embd=width, n_layer=layers, n_head=heads
    )
    module = GPT2LMHeadModel(config_values)
    module.config.max_new_tokens = size.tokens
    return randomize(module)


def audioldm2(contexts=None, depth=1, speech=False, size=TINY):
    """An AudioLDM2Pipeline; its language model has the class that current diffusers needs."""
    loa, second = size.gpt2[2], size.vits[0] if speech else size.t5[1]
    contexts = contexts or ((None, loa) if speech else (None, loa, second))
    extra = (
        {"use_learned_position_embedding": True, "max_seq_length": size.phonemes} if speech else {}
    )
    return AudioLDM2Pipeline(
        vae=vae(size),
        text_encoder=clap(size),
        text_encoder_2=vits(size) if speech else t5(size),
        projection_model=randomize(AudioLDM2ProjectionModel(size.projection, second, loa, **extra)),
        language_model=gpt2(size),
        tokenizer=roberta_tokenizer(size),
        tokenizer_2=t5_tokenizer(),
        feature_extractor=ClapFeatureExtractor(
            truncation="rand_trunc", frequency_min=50, frequency_max=14000
        ),
        unet=randomize(
            AudioLDM2UNet2DConditionModel(
                **unet_shape(size),
                cross_attention_dim=[list(contexts)] * len(size.widths),
                transformer_layers_per_block=depth,
            )
        ),
        scheduler=scheduler(),
        vocoder=vocoder(size),
    )


def audioldm(size=TINY):
    """An AudioLDMPipeline."""
    film = {
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": size.projection,
    }
    return AudioLDMPipeline(
        vae=vae(size),
        text_encoder=randomize(
            ClapTextModelWithProjection(ClapTextConfig(**size.clap_text_config))
        ),
        tokenizer=roberta_tokenizer(size),
        unet=randomize(
            UNet2DConditionModel(
                **unet_shape(size),
                **film,
                class_embeddings_concat=True,
                cross_attention_dim=size.widths,
            )
        ),
        scheduler=scheduler(),
        vocoder=vocoder(size),
    )


def save(pipe, folder):
    """Write a folder as on the hub, where the language model's config has max_new_tokens."""
    pipe.save_pretrained(folder)
    config = folder / "language_model" / "config.json"
    if config.is_file():
        config.write_text(json.dumps({**json.loads(config.read_text()), "max_new_tokens": 8}))
    return folder


def write_checkpoint(model, path, extra=True):
    """Write a tiny checkpoint of the authors; `extra`: with the unused tensors of real ones."""
    from latentaudio.loaders.convert import convert

    convert(model, path, "original")
    if extra:
        content = torch.load(path, weights_only=True)
        state = content["state_dict"]
        for prefix in ("clap.model.", "cond_stage_model.model."):
            if f"{prefix}logit_scale_a" in state or any(k.startswith(prefix) for k in state):
                state[f"{prefix}text_branch.embeddings.position_ids"] = torch.arange(26)[None]
                state[f"{prefix}text_transform.sequential.0.weight"] = torch.zeros(12, 12)
                state[f"{prefix}audio_branch.spectrogram_extractor.stft.conv_real.weight"] = (
                    torch.zeros(3, 1, 4)
                )
                state[f"{prefix}audio_branch.tscam_conv.weight"] = torch.zeros(2, 2, 2, 3)
        state["model_ema.decay"], state["model_ema.num_updates"] = (
            torch.tensor(0.9999),
            torch.tensor(5),
        )
        for key in [k for k in state if k.startswith("model.diffusion_model.")]:
            state["model_ema." + key.removeprefix("model.").replace(".", "")] = state[key] * 1.01
        torch.save({**content, "epoch": 3, "pytorch-lightning_version": "1.0"}, path)
    return path


def write_unpublished(folder, name):
    """Write a tiny model folder of a published model for which diffusers has no pipeline."""
    from latentaudio.config.registry import MODELS
    from latentaudio.loaders.components import build_component
    from latentaudio.loaders.convert import convert
    from latentaudio.loaders.model_folder import save_component, write_config
    from latentaudio.loaders.resolve import resolve_model

    base = resolve_model(save(audioldm2(), folder / "base"))
    convert(base, folder / "ours", "latentaudio")
    published, config = MODELS[name].config, base.config
    film = config.clap.projection_dim if published.unet.film_dim else None
    t5_width = config.t5.hidden_size
    contexts = tuple(None if width is None else t5_width for width in published.unet.contexts)
    unet = replace(config.unet, contexts=contexts, film_dim=film)
    config = replace(config, unet=unet, translator=None, t5=config.t5 if published.t5 else None)
    if published.mel.sample_rate == 48000:
        config_values = {
            key: getattr(published.vocoder, key)
            for key in (
                "upsample_rates",
                "upsample_kernel_sizes",
                "n_fft",
                "hop_length",
                "sample_rate",
                "fmin",
                "fmax",
            )
        }
        mel = replace(published.mel, n_mels=config.mel.n_mels)
        config = replace(config, mel=mel, vocoder=replace(config.vocoder, **config_values))
    write_config(folder / "ours", config, "tiny-published", {})
    for part in ("unet", "vocoder"):
        save_component(folder / "ours", part, randomize(build_component(part, config)).state_dict())
    return folder / "ours"
