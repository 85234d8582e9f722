"""Tiny systems in the published layouts, made of diffusers' and transformers' own classes with weights of working size.

Everything is written by those libraries, so that what reads it is proved against somebody else's files.
"""

import json

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

WORDS = [
    "a",
    "dog",
    "bell",
    "rain",
    "door",
    "knocks",
    "on",
    "the",
    "wooden",
    "roof",
    "in",
    "far",
    "away",
    "music",
    "loud",
    "soft",
    "man",
    "speaks",
]
PROMPTS = ["a dog in the rain", "music", "three loud knocks on the wooden door far away"]
WIDTHS, HEADS = (32, 64), 8
TEXT = {
    "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 26, "projection_dim": 12,
}  # fmt: skip


@torch.no_grad()
def randomise(module, seed=0):
    """Weights of working size everywhere, so that no branch is hidden by a zero."""
    dice = torch.Generator().manual_seed(seed)
    for name, p in module.named_parameters():
        if p.dim() == 0:
            continue
        p.copy_(torch.randn(p.shape, generator=dice) * (p[0].numel() ** -0.5 if p.dim() > 1 else 0.1))
        if ("norm" in name.lower() or "ln_" in name) and name.endswith("weight"):
            p.add_(1.0)
    for name, b in module.named_buffers():
        if name.endswith("running_mean"):
            b.copy_(torch.randn(b.shape, generator=dice) - 20)
        elif name.endswith("running_var"):
            b.copy_(torch.rand(b.shape, generator=dice) * 100 + 50)
    return module.eval()


def words(start, pad, end, unknown):
    """A tokenizer of whole words that frames a text as `start` words `end`."""
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*sorted({start, pad, end, unknown} - {""}), *WORDS]))}
    if pad == "<pad>":  # RoBERTa's order: <s> 0, <pad> 1, </s> 2; T5's: <pad> 0, </s> 1
        special = ["<s>", "<pad>", "</s>", "<unk>"] if start else ["<pad>", "</s>", "<unk>"]
        vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    rules = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [(word, vocabulary[word]) for word in (start, end) if word]
    rules.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}".strip(), special_tokens=marks)
    return rules


def roberta():
    return RobertaTokenizerFast(tokenizer_object=words("<s>", "<pad>", "</s>", "<unk>"), model_max_length=24)


def t5_words():
    return T5TokenizerFast(tokenizer_object=words("", "<pad>", "</s>", "<unk>"), model_max_length=20, extra_ids=0)


def vae():
    return randomise(
        AutoencoderKL(
            1, 1, ("DownEncoderBlock2D",) * 3, ("UpDecoderBlock2D",) * 3, (16, 16, 32), 2, latent_channels=4, norm_num_groups=8,
            scaling_factor=0.7, sample_size=64,
        )
    )  # fmt: skip


def vocoder():
    config = SpeechT5HifiGanConfig(
        model_in_dim=16, upsample_initial_channel=32, upsample_rates=[5, 4, 2, 2, 2], upsample_kernel_sizes=[16, 16, 8, 4, 4],
        resblock_kernel_sizes=[3, 7], resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]], normalize_before=False,
    )  # fmt: skip
    return randomise(SpeechT5HifiGan(config))


def scheduler():
    return DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def shape():
    return {
        "sample_size": 16, "in_channels": 4, "out_channels": 4, "block_out_channels": WIDTHS, "norm_num_groups": 8,
        "attention_head_dim": HEADS, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }  # fmt: skip


def clap():
    audio = {
        "patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 2, 1], "num_attention_heads": [1, 2, 2, 4],
        "projection_dim": 12,
    }  # fmt: skip
    return randomise(ClapModel(ClapConfig(text_config=TEXT, audio_config=audio, projection_dim=12)))


def phoneme_symbols(folder):
    """A VitsTokenizer of the 183 symbols that takes phonemes as they are."""
    from transformers import VitsTokenizer

    from latentaudio.conditioning.phonemes import SYMBOLS

    folder.mkdir(exist_ok=True)
    places = {symbol: i for i, symbol in enumerate(SYMBOLS)}
    (folder / "vocab.json").write_text(json.dumps(places))
    return VitsTokenizer(
        str(folder / "vocab.json"), pad_token="_", unk_token="_", normalize=False, phonemize=False, add_blank=False,
        is_uroman=False, model_max_length=40,
    )  # fmt: skip


def audioldm2(contexts=(None, 16, 24), depth=1, speech=False):
    """An AudioLDM2Pipeline whose language model is of the class with which it still runs."""
    second = 24
    if speech:
        numbers = VitsConfig(
            vocab_size=183, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, window_size=4,
            flow_size=24, spectrogram_bins=9, prior_encoder_num_flows=1, prior_encoder_num_wavenet_layers=1,
            posterior_encoder_num_wavenet_layers=1, upsample_initial_channel=16, upsample_rates=[2, 2],
            upsample_kernel_sizes=[4, 4], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]],
            duration_predictor_num_flows=1, duration_predictor_flow_bins=2, depth_separable_channels=2,
        )  # fmt: skip
        encoder = randomise(VitsModel(numbers))
    else:
        encoder = randomise(
            T5EncoderModel(
                T5Config(vocab_size=64, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu")
            )
        )
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_positions=96, n_embd=16, n_layer=2, n_head=2))
    gpt2.config.max_new_tokens = 8
    extra = {"use_learned_position_embedding": True, "max_seq_length": 40} if speech else {}
    return AudioLDM2Pipeline(
        vae=vae(), text_encoder=clap(), text_encoder_2=encoder,
        projection_model=randomise(AudioLDM2ProjectionModel(12, second, 16, **extra)), language_model=randomise(gpt2),
        tokenizer=roberta(), tokenizer_2=t5_words(),
        feature_extractor=ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50, frequency_max=14000),
        unet=randomise(
            AudioLDM2UNet2DConditionModel(
                **shape(), cross_attention_dim=[list(contexts)] * 2, transformer_layers_per_block=depth
            )
        ),
        scheduler=scheduler(), vocoder=vocoder(),
    )  # fmt: skip


def audioldm():
    """An AudioLDMPipeline."""
    film = {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 12}
    return AudioLDMPipeline(
        vae=vae(), text_encoder=randomise(ClapTextModelWithProjection(ClapTextConfig(**TEXT))), tokenizer=roberta(),
        unet=randomise(
            UNet2DConditionModel(**shape(), **film, class_embeddings_concat=True, cross_attention_dim=WIDTHS)
        ),
        scheduler=scheduler(), vocoder=vocoder(),
    )  # fmt: skip


def save(pipe, folder):
    """A folder as the hub has it: the language model says that it is a GPT2Model and how much it writes."""
    pipe.save_pretrained(folder)
    config = folder / "language_model" / "config.json"
    if config.is_file():
        config.write_text(json.dumps({**json.loads(config.read_text()), "max_new_tokens": 8}))
    return folder


def authors(found, path, extra=True):
    """An authors' checkpoint of a tiny system, with the leftovers theirs have."""
    from latentaudio.weights.convert import convert

    convert(found, path, "original")
    if extra:
        content = torch.load(path, weights_only=True)
        state = content["state_dict"]
        for prefix in ("clap.model.", "cond_stage_model.model."):
            if f"{prefix}logit_scale_a" in state or any(k.startswith(prefix) for k in state):
                state[f"{prefix}text_branch.embeddings.position_ids"] = torch.arange(26)[None]
                state[f"{prefix}text_transform.sequential.0.weight"] = torch.zeros(12, 12)
                state[f"{prefix}audio_branch.spectrogram_extractor.stft.conv_real.weight"] = torch.zeros(3, 1, 4)
                state[f"{prefix}audio_branch.tscam_conv.weight"] = torch.zeros(2, 2, 2, 3)
        state["model_ema.decay"], state["model_ema.num_updates"] = torch.tensor(0.9999), torch.tensor(5)
        for key in [k for k in state if k.startswith("model.diffusion_model.")]:
            state["model_ema." + key.removeprefix("model.").replace(".", "")] = state[key] * 1.01
        torch.save({**content, "epoch": 3, "pytorch-lightning_version": "1.0"}, path)
    return path
