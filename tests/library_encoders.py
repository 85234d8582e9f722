"""CLAP, T5, GPT-2 and VITS of transformers beside ours; see library_bench."""

import torch
import transformers
from library_bench import Bench, build_transformers, load_ours, random, system
from published import TINY

from latentaudio.config.architecture import (
    CLAPMelSpec,
    TranslatorConfig,
)
from latentaudio.loaders import transformers_configs
from latentaudio.loaders import transformers_keys as keys

# CLAP

_CLAP_TEXT = dict(TINY.clap_text_config)
_CLAP_AUDIO = {
    "patch_embeds_hidden_size": 8,
    "hidden_size": 16,
    "depths": [1, 2],
    "num_attention_heads": [1, 2],
    "spec_size": 32,
    "num_mel_bins": 8,
    "window_size": 4,
}
_IDS = torch.tensor([[0, 5, 9, 1, 7, 2, 1, 1]])
_MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0]])
_TEXT_CHANGES = {
    "num_attention_heads": [4],
    "hidden_size": [32],
    "hidden_act": ["relu", "quick_gelu"],
    "projection_hidden_act": ["gelu"],
    "layer_norm_eps": [0.02],
    "pad_token_id": [0, 3],
    "type_vocab_size": [2],
    "max_position_embeddings": [40],
    "bos_token_id": [4],
    "eos_token_id": [4],
}


def _library_clap(model):
    text = model.get_text_features(input_ids=_IDS, attention_mask=_MASK).pooler_output
    audio = model.config.audio_config
    mel = random(1, 1, 30, audio.num_mel_bins, seed=8)
    mel = mel.expand(-1, audio.patch_embed_input_channels, -1, -1)
    return [text, model.get_audio_features(input_features=mel).pooler_output]


def _ours_clap(settings, state):
    config = transformers_configs.read_clap(settings, 512, CLAPMelSpec())
    model = load_ours("clap", system(clap=config), state)
    if not config.audio_depths:
        return [model(input_ids=_IDS, attention_mask=_MASK).text_embeds]
    text = model.get_text_features(input_ids=_IDS, attention_mask=_MASK).pooler_output
    mel = random(1, 1, 30, config.mel.n_mels, seed=8).expand(-1, config.audio_channels, -1, -1)
    return [text, model.get_audio_features(input_features=mel).pooler_output]


def _build_clap(arguments):
    return build_transformers(transformers.ClapModel, transformers.ClapConfig)(arguments)


_CLAP = {"text_config": _CLAP_TEXT, "audio_config": _CLAP_AUDIO, "projection_dim": 12}
CLAP = Bench(
    keys.CLAP,
    _CLAP,
    _build_clap,
    _library_clap,
    _ours_clap,
    changes={"projection_hidden_act": ["gelu"], "projection_dim": [16]},
    # other benches walk the towers; the others are derived from them
    cannot_change=frozenset({"text_config", "audio_config", "hidden_size", "num_hidden_layers"}),
)
CLAP_TEXT_TOWER = Bench(
    keys.CLAP.nested["text_config"],
    _CLAP,
    _build_clap,
    _library_clap,
    _ours_clap,
    nested="text_config",
    file_rows=keys.CLAP,
    changes=_TEXT_CHANGES,
)
CLAP_AUDIO_TOWER = Bench(
    keys.CLAP.nested["audio_config"],
    _CLAP,
    _build_clap,
    _library_clap,
    _ours_clap,
    nested="audio_config",
    file_rows=keys.CLAP,
    changes={
        "window_size": [2],
        "num_mel_bins": [16, 4],
        "spec_size": [64],
        "hidden_act": ["relu"],
        "layer_norm_eps": [0.02],
        "patch_size": [{"patch_size": 2, "patch_stride": [2, 2]}, {"patch_size": 2}, 8],
        "patch_stride": [[2, 2], 2],
        "hidden_size": [24],
        "depths": [[2, 1]],
        "num_attention_heads": [[2, 4]],
        "patch_embeds_hidden_size": [{"patch_embeds_hidden_size": 16, "hidden_size": 32}, 16],
        "patch_embed_input_channels": [4],
        "fusion_type": ["channel_map"],
        "mlp_ratio": [2.0],
        "projection_hidden_act": ["gelu"],
        "drop_path_rate": [0.1],
        "attention_probs_dropout_prob": [0.1],
    },
)
CLAP_TEXT = Bench(
    keys.CLAP_TEXT,
    _CLAP_TEXT,
    build_transformers(transformers.ClapTextModelWithProjection, transformers.ClapTextConfig),
    lambda model: [model(input_ids=_IDS, attention_mask=_MASK).text_embeds],
    _ours_clap,
    changes=_TEXT_CHANGES,
)

# T5, GPT-2, VITS


def _ours_t5(settings, state):
    module = load_ours("t5", system(t5=transformers_configs.read_t5(settings, 128)), state)
    return [module(input_ids=_LONG_IDS, attention_mask=_LONG_MASK).last_hidden_state]


_LONG_IDS = torch.randint(2, 30, (1, 150), generator=torch.Generator().manual_seed(3))
_LONG_MASK = torch.ones(1, 150, dtype=torch.long)
_FEED_FORWARDS = ("relu", "gated-relu", "gated-silu", "silu", "gelu")
T5 = Bench(
    keys.T5,
    {
        "vocab_size": 64,
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
    },
    build_transformers(transformers.T5EncoderModel, transformers.T5Config),
    lambda model: [model(input_ids=_LONG_IDS, attention_mask=_LONG_MASK).last_hidden_state],
    _ours_t5,
    changes={
        "feed_forward_proj": list(_FEED_FORWARDS),
        "dense_act_fn": ["relu"],
        "is_gated_act": [False],
        "layer_norm_epsilon": [0.05],
        "relative_attention_max_distance": [20],
        "relative_attention_num_buckets": [16],
    },
)


def _ours_gpt2(settings, state):
    projection = {"text_encoder_dim": 5, "text_encoder_1_dim": 6}
    config = transformers_configs.read_translator(settings, projection)
    width = config.hidden_size
    names = {f"language_model/{key.removeprefix('transformer.')}": state[key] for key in state}
    for name, size in (("projection", 5), ("projection_1", 6)):
        names[f"projection_model/{name}.weight"] = torch.zeros(width, size)
        names[f"projection_model/{name}.bias"] = torch.zeros(width)
    for name in ("sos_embed", "eos_embed", "sos_embed_1", "eos_embed_1"):
        names[f"projection_model/{name}"] = torch.zeros(width)
    module = load_ours("translator", system(translator=config), names)
    assert isinstance(config, TranslatorConfig)
    return [module.gpt2(inputs_embeds=random(1, 9, width, seed=7)).last_hidden_state]


def _library_gpt2(model):
    embeds = random(1, 9, model.config.n_embd, seed=7)
    return [model(inputs_embeds=embeds, output_hidden_states=True).hidden_states[-1]]


GPT2 = Bench(
    keys.GPT2,
    {"vocab_size": 9, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2},
    build_transformers(transformers.GPT2LMHeadModel, transformers.GPT2Config),
    _library_gpt2,
    _ours_gpt2,
    changes={
        "n_inner": [40],
        "n_head": [4],
        "n_embd": [32],
        "n_positions": [40],
        "activation_function": ["relu", "gelu"],
        "layer_norm_epsilon": [0.05],
        "vocab_size": [11],
        "summary_type": ["mean"],
        "summary_activation": ["tanh"],
        "bos_token_id": [3],
        "eos_token_id": [3],
        "pad_token_id": [3],
    },
)


def _vits_settings(width):
    positions = torch.zeros(1, width, 40)
    return {"projection_model/learnable_positional_embedding": positions}


def _ours_vits(settings, state):
    config = transformers_configs.read_phonemes(settings, {"max_seq_length": 40})
    names = {
        f"text_encoder_2/{key}": value
        for key, value in state.items()
        if key.startswith("text_encoder.")
    }
    names |= _vits_settings(config.hidden_size)
    module = load_ours("phonemes", system(phonemes=config), names)
    return [module(_PHONEMES).tokens * (_PHONEMES != 0)[..., None]]


_PHONEMES = torch.tensor([[3, 5, 9, 4, 7, 2, 0, 0]])


def _library_vits(model):
    mask = (_PHONEMES != 0).float()
    states = model.text_encoder(
        input_ids=_PHONEMES, padding_mask=mask[..., None], attention_mask=mask
    ).last_hidden_state
    return [states * mask[..., None]]


VITS = Bench(
    keys.VITS,
    {
        "vocab_size": 30,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "flow_size": 24,
        "spectrogram_bins": 9,
        "prior_encoder_num_flows": 1,
        "prior_encoder_num_wavenet_layers": 1,
        "posterior_encoder_num_wavenet_layers": 1,
        "upsample_initial_channel": 16,
        "upsample_rates": [2, 2],
        "upsample_kernel_sizes": [4, 4],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1]],
        "duration_predictor_num_flows": 1,
        "duration_predictor_flow_bins": 2,
        "depth_separable_channels": 2,
    },
    build_transformers(transformers.VitsModel, transformers.VitsConfig),
    _library_vits,
    _ours_vits,
    changes={
        "hidden_act": ["gelu", "silu", "tanh"],
        "layer_norm_eps": [0.05],
        "num_attention_heads": [4],
        "hidden_size": [{"hidden_size": 32, "flow_size": 32}, 32],
        "flow_size": [32],
        "window_size": [2],
        "ffn_kernel_size": [5],
        "upsample_rates": [[2, 4]],
        "upsample_kernel_sizes": [[6, 4]],
        "upsample_initial_channel": [8],
        "resblock_kernel_sizes": [[5]],
        "resblock_dilation_sizes": [[[3]]],
        "num_speakers": [{"num_speakers": 3, "speaker_embedding_size": 4}],
        "speaker_embedding_size": [4],
        "wavenet_kernel_size": [7],
        "pad_token_id": [3],
        "duration_predictor_kernel_size": [5],
        "depth_separable_num_layers": [2],
    },
)
