"""The tables of keys of transformers' classes: vocoder, encoders, front end, tokenizers."""

from __future__ import annotations

from typing import Any

from .config_keys import (
    COUNT,
    COUNT_OR_NULL,
    COUNTS,
    FLAG,
    INDEX,
    LISTS_OF_COUNTS,
    NUMBER,
    POSITIVE,
    Key,
    KeyTable,
    Rule,
    Settings,
    equals_key,
    fixed,
    held_to,
    honored,
    ignored,
    one_of,
    table,
)

_TRAINING = "training alone"
_OUTPUT = "form of a forward pass' output"
_LABELS = "names of classes and tokens, which no encoder reads"
_GENERATION = "generation of words, which AudioLDM does not do"
_FIRST_WEIGHTS = "fresh weights, which the file replaces"
_VOCODER = "VITS' decoder, flows and duration predictor, which AudioLDM 2 does not use"

_COMMON: dict[str, Key] = {
    **ignored("name of the class", "architectures", "model_type"),
    **ignored("type of the stored weights, which the file itself states", "dtype"),
    **ignored(_OUTPUT, "output_hidden_states", "output_attentions", "return_dict"),
    **ignored("splits work, with the same result", "chunk_size_feed_forward"),
    **ignored("form of the class, not of the network", "is_encoder_decoder"),
    **ignored(_LABELS, "id2label", "label2id", "problem_type"),
}
"""Keys of every class of transformers."""

_OLDER: dict[str, Key] = {
    "pruned_heads": fixed(None, None, {}),
    "is_decoder": fixed(False),
    "add_cross_attention": fixed(False),
    "position_embedding_type": fixed("absolute"),
    **ignored("type of the stored weights, which the file itself states", "torch_dtype"),
    **ignored(_OUTPUT, "use_cache", "output_scores", "return_dict_in_generate", "output_past"),
    **ignored(
        _LABELS,
        *("num_labels", "finetuning_task", "task_specific_params", "tokenizer_class", "prefix"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id"),
        *("decoder_start_token_id", "name_or_path"),
    ),
    **ignored(
        _GENERATION,
        *("max_length", "min_length", "do_sample", "early_stopping", "num_beams"),
        *("num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p", "typical_p"),
        *("repetition_penalty", "length_penalty", "no_repeat_ngram_size"),
        *("encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences"),
        *("forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values"),
        *("exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens"),
    ),
    **ignored(
        "other frameworks and ways to run",
        *("torchscript", "use_bfloat16", "tf_legacy_loss", "gradient_checkpointing"),
        "attn_implementation",
    ),
    **ignored(_TRAINING, "classifier_dropout"),
    **ignored(
        "links that the classes of AudioLDM do not have",
        *("tie_word_embeddings", "tie_encoder_decoder", "cross_attention_hidden_size"),
    ),
    **ignored(_FIRST_WEIGHTS, "initializer_range", "initializer_factor"),
}
"""Keys that older versions of transformers wrote into every file, or into those of one class."""


def _class_table(
    name: str,
    keys: dict[str, Key],
    extra: dict[str, Key] | None = None,
    nested: dict[str, KeyTable] | None = None,
) -> KeyTable:
    own = {**_COMMON, **keys}
    older = {key: row for key, row in _OLDER.items() if key not in own}
    return table(name, own, {**older, **(extra or {})}, nested)


_EQUAL_DILATIONS = Rule(
    "the same list for every kernel",
    lambda value, settings: (
        LISTS_OF_COUNTS.accepts(value, settings)
        and all(sizes == value[0] for sizes in value)
        and len(value) == len(settings["resblock_kernel_sizes"])
    ),
)

VOCODER = _class_table(
    "SpeechT5HifiGan",
    {
        "model_in_dim": honored(80, "vocoder.n_mels", COUNT),
        "sampling_rate": honored(16000, "vocoder.sample_rate", COUNT),
        "upsample_initial_channel": honored(512, "vocoder.channels", COUNT),
        "upsample_rates": honored([4, 4, 4, 4], "vocoder.upsample_rates", COUNTS),
        "upsample_kernel_sizes": honored([8] * 4, "vocoder.upsample_kernel_sizes", COUNTS),
        "resblock_kernel_sizes": honored([3, 7, 11], "vocoder.resblock_kernel_sizes", COUNTS),
        "resblock_dilation_sizes": honored(
            [[1, 3, 5]] * 3, "vocoder.resblock_dilations", _EQUAL_DILATIONS
        ),
        "leaky_relu_slope": honored(0.1, "vocoder.leaky_relu_slope", NUMBER),
        "normalize_before": honored(True, "vocoder.has_mel_statistics", FLAG),
        **ignored(_FIRST_WEIGHTS, "initializer_range"),
    },
)

TRANSFORMERS_ACTIVATIONS = (
    *("gelu", "relu", "silu", "swish", "selu", "gelu_new", "quick_gelu", "gelu_fast"),
    *("tanh", "sigmoid"),
)
"""Names of activations that transformers has and that files may name."""
_ACTIVATION = Rule(
    "gelu, relu, silu, selu, gelu_new, quick_gelu, gelu_fast, tanh or sigmoid",
    lambda value, _: value in TRANSFORMERS_ACTIVATIONS,
)
_OF_CONVERSION = ignored(
    "a key of the conversion script that no class reads",
    *("fusion_hidden_size", "fusion_num_hidden_layers", "projection_hidden_size"),
    *("enable_patch_fusion", "intermediate_size"),
)
_CLAP_TEXT = _class_table(
    "ClapTextModelWithProjection",
    {
        "vocab_size": honored(50265, "clap.vocab_size", COUNT),
        "hidden_size": honored(768, "clap.text_hidden_size", COUNT),
        "num_hidden_layers": honored(12, "clap.text_num_layers", COUNT),
        "num_attention_heads": honored(12, "clap.text_num_heads", COUNT),
        "intermediate_size": honored(3072, "clap.text_ffn_dim", COUNT),
        "max_position_embeddings": honored(514, "clap.text_max_positions", COUNT),
        "layer_norm_eps": honored(1e-12, "clap.text_layer_norm_eps", POSITIVE),
        "projection_dim": honored(512, "clap.projection_dim", COUNT),
        "hidden_act": honored("gelu", "clap.text_activation", _ACTIVATION),
        "projection_hidden_act": honored("relu", "clap.projection_activation", _ACTIVATION),
        "pad_token_id": honored(1, "clap.text_pad_id", INDEX),
        "type_vocab_size": fixed(1),
        **ignored(_TRAINING, "hidden_dropout_prob", "attention_probs_dropout_prob"),
        **ignored(_FIRST_WEIGHTS, "initializer_factor"),
        **ignored(_LABELS, "bos_token_id", "eos_token_id"),
    },
    {key: row for key, row in _OF_CONVERSION.items() if key != "intermediate_size"},
)

_PATCH = Rule(
    "a whole number or two equal ones",
    lambda value, settings: (
        COUNT.accepts(value, settings)
        or (COUNTS.accepts(value, settings) and len(value) == 2 and value[0] == value[1])
    ),
)
_STRIDE = Rule(
    "equal to patch_size",
    lambda value, settings: first_number(value) == first_number(settings["patch_size"]),
)


def _are_enough_bins(value: Any, settings: Settings) -> bool:
    smallest = first_number(settings["patch_size"]) * 2 ** (len(settings["depths"]) - 1)
    return COUNT.accepts(value, settings) and bool(value >= smallest)


_MEL_BINS = Rule("patch_size, doubled with every stage but the first, or more", _are_enough_bins)
_AUDIO_WIDTH = Rule(
    "patch_embeds_hidden_size, doubled with every stage but the first",
    lambda value, settings: (
        value == settings["patch_embeds_hidden_size"] * 2 ** (len(settings["depths"]) - 1)
    ),
)


def first_number(value: Any) -> Any:
    """Return a number, or the first one of a list."""
    return value[0] if isinstance(value, list) else value


_CLAP_AUDIO = _class_table(
    "ClapAudioModel",
    {
        "window_size": honored(8, "clap.audio_window_size", COUNT),
        "num_mel_bins": honored(64, "clap.mel.n_mels", _MEL_BINS),
        "spec_size": honored(256, "clap.audio_image_size", COUNT),
        "hidden_act": honored("gelu", "clap.audio_activation", _ACTIVATION),
        "patch_size": honored(4, "clap.audio_patch_size", _PATCH),
        "patch_stride": held_to([4, 4], _STRIDE),
        "hidden_size": held_to(768, _AUDIO_WIDTH),
        "depths": honored([2, 2, 6, 2], "clap.audio_depths", COUNTS),
        "num_attention_heads": honored([4, 8, 16, 32], "clap.audio_num_heads", COUNTS),
        "patch_embeds_hidden_size": honored(96, "clap.audio_hidden_size", COUNT),
        "patch_embed_input_channels": honored(1, "clap.audio_channels", one_of(1, 4)),
        "layer_norm_eps": honored(1e-5, "clap.audio_layer_norm_eps", POSITIVE),
        "enable_fusion": fixed(False),
        "flatten_patch_embeds": fixed(True),
        "enable_patch_layer_norm": fixed(True),
        "qkv_bias": honored(True, "clap.audio_has_qkv_bias", FLAG),
        "mlp_ratio": honored(4.0, "clap.audio_mlp_ratio", POSITIVE),
        **ignored("belongs to enable_fusion, which must be false", "fusion_type", "aff_block_r"),
        **ignored(_TRAINING, "hidden_dropout_prob", "attention_probs_dropout_prob"),
        **ignored(_TRAINING, "drop_path_rate"),
        **ignored("CLAP's own value of the same name replaces it", "projection_dim"),
        **ignored("CLAP's own value of the same name replaces it", "projection_hidden_act"),
        **ignored("the class counts depths", "num_hidden_layers"),
        **ignored("a classifier that CLAP does not have", "num_classes"),
        **ignored(_FIRST_WEIGHTS, "initializer_factor"),
    },
    _OF_CONVERSION,
)

CLAP_TEXT = _CLAP_TEXT
CLAP = _class_table(
    "ClapModel",
    {
        "text_config": honored({}, "clap"),
        "audio_config": honored({}, "clap"),
        "projection_dim": honored(512, "clap.projection_dim", COUNT),
        "projection_hidden_act": honored("relu", "clap.projection_activation", _ACTIVATION),
        **ignored("a value that the weights contain", "logit_scale_init_value"),
        **ignored("derived from both towers", "hidden_size", "num_hidden_layers"),
        **ignored(_FIRST_WEIGHTS, "initializer_factor"),
    },
    {
        **ignored("a key of older versions", "text_config_dict", "audio_config_dict"),
        **_OF_CONVERSION,
    },
    {"text_config": _CLAP_TEXT, "audio_config": _CLAP_AUDIO},
)

_FEED_FORWARD = Rule(
    "gelu, relu, silu or gelu_new, or one of them behind gated-",
    lambda value, _: (
        isinstance(value, str) and value.removeprefix("gated-") in TRANSFORMERS_ACTIVATIONS
    ),
)


def _is_act_of_projection(value: Any, settings: Settings) -> bool:
    projection = settings["feed_forward_proj"]
    implied = "gelu_new" if projection == "gated-gelu" else str(projection).split("-")[-1]
    return value is None or value == implied


def _is_gate_of_projection(value: Any, settings: Settings) -> bool:
    return value is None or value == str(settings["feed_forward_proj"]).startswith("gated-")


_IMPLIED_ACT = Rule("the activation that feed_forward_proj names", _is_act_of_projection)
_IMPLIED_GATE = Rule("true if feed_forward_proj begins with gated-", _is_gate_of_projection)

T5 = _class_table(
    "T5EncoderModel",
    {
        "vocab_size": honored(32128, "t5.vocab_size", COUNT),
        "d_model": honored(512, "t5.hidden_size", COUNT),
        "d_kv": honored(64, "t5.head_dim", COUNT),
        "d_ff": honored(2048, "t5.ffn_dim", COUNT),
        "num_layers": honored(6, "t5.num_layers", COUNT),
        "num_heads": honored(8, "t5.num_heads", COUNT),
        "relative_attention_num_buckets": honored(32, "t5.num_buckets", COUNT),
        "relative_attention_max_distance": honored(128, "t5.max_distance", COUNT),
        "layer_norm_epsilon": honored(1e-6, "t5.layer_norm_eps", POSITIVE),
        "feed_forward_proj": honored("relu", "t5.feed_forward", _FEED_FORWARD),
        "dense_act_fn": held_to(None, _IMPLIED_ACT),
        "is_gated_act": held_to(None, _IMPLIED_GATE),
        "is_decoder": fixed(False),
        **ignored(_TRAINING, "dropout_rate", "classifier_dropout"),
        **ignored("T5's decoder, which is not used", "num_decoder_layers", "scale_decoder_outputs"),
        **ignored("links that the encoder does not have", "tie_word_embeddings"),
        **ignored(_OUTPUT, "use_cache"),
        **ignored("padding is masked, whatever its token", "pad_token_id"),
        **ignored(_LABELS, "eos_token_id"),
        **ignored(_FIRST_WEIGHTS, "initializer_factor"),
    },
    ignored("a limit of older versions that no class reads", "n_positions"),
)

_GPT2_EXTRA: dict[str, Key] = {
    "max_new_tokens": honored(8, "translator.num_tokens", COUNT_OR_NULL),
    **ignored("a second name of n_positions", "n_ctx"),
}
GPT2 = _class_table(
    "GPT2Model",
    {
        "vocab_size": honored(50257, "translator.vocab_size", COUNT),
        "n_positions": honored(1024, "translator.max_positions", COUNT),
        "n_embd": honored(768, "translator.hidden_size", COUNT),
        "n_layer": honored(12, "translator.num_layers", COUNT),
        "n_head": honored(12, "translator.num_heads", COUNT),
        "n_inner": honored(None, "translator.ffn_dim", COUNT_OR_NULL),
        "activation_function": honored("gelu_new", "translator.activation", _ACTIVATION),
        "layer_norm_epsilon": honored(1e-5, "translator.layer_norm_eps", POSITIVE),
        "scale_attn_weights": honored(True, "translator.scale_attention", FLAG),
        "scale_attn_by_inverse_layer_idx": honored(
            False, "translator.scale_attention_by_layer", FLAG
        ),
        "add_cross_attention": fixed(False),
        **ignored("changes the precision of 16-bit types alone", "reorder_and_upcast_attn"),
        **ignored(_TRAINING, "resid_pdrop", "embd_pdrop", "attn_pdrop", "summary_first_dropout"),
        **ignored(
            "a head that AudioLDM 2 does not use",
            *("summary_type", "summary_use_proj", "summary_activation"),
            *("summary_proj_to_labels", "tie_word_embeddings"),
        ),
        **ignored(_OUTPUT, "use_cache"),
        **ignored("tokens of words, which are never read", "bos_token_id", "eos_token_id"),
        **ignored("tokens of words, which are never read", "pad_token_id"),
        **ignored(_FIRST_WEIGHTS, "initializer_range"),
    },
    _GPT2_EXTRA,
)

VITS = _class_table(
    "VitsModel",
    {
        "vocab_size": honored(38, "phonemes.vocab_size", COUNT),
        "hidden_size": honored(192, "phonemes.hidden_size", COUNT),
        "num_hidden_layers": honored(6, "phonemes.num_layers", COUNT),
        "num_attention_heads": honored(2, "phonemes.num_heads", COUNT),
        "window_size": honored(4, "phonemes.window_size", COUNT),
        "ffn_dim": honored(768, "phonemes.ffn_dim", COUNT),
        "ffn_kernel_size": honored(3, "phonemes.kernel_size", COUNT),
        "hidden_act": honored("relu", "phonemes.activation", one_of("relu", "gelu", "silu")),
        "layer_norm_eps": honored(1e-5, "phonemes.layer_norm_eps", POSITIVE),
        "flow_size": held_to(192, equals_key("hidden_size")),
        "use_bias": fixed(True),
        **ignored(_TRAINING, "layerdrop", "hidden_dropout", "attention_dropout"),
        **ignored(_TRAINING, "activation_dropout"),
        **ignored(_FIRST_WEIGHTS, "initializer_range"),
        **ignored("the mask is counted from ids other than 0", "pad_token_id"),
        **ignored(
            _VOCODER,
            *("num_speakers", "spectrogram_bins", "use_stochastic_duration_prediction"),
            *("speaker_embedding_size", "upsample_initial_channel", "upsample_rates"),
            *("upsample_kernel_sizes", "resblock_kernel_sizes", "resblock_dilation_sizes"),
            *("leaky_relu_slope", "depth_separable_channels", "depth_separable_num_layers"),
            *("duration_predictor_flow_bins", "duration_predictor_tail_bound"),
            *("duration_predictor_kernel_size", "duration_predictor_dropout"),
            *("duration_predictor_num_flows", "duration_predictor_filter_channels"),
            *("prior_encoder_num_flows", "prior_encoder_num_wavenet_layers"),
            *("posterior_encoder_num_wavenet_layers", "wavenet_kernel_size"),
            *("wavenet_dilation_rate", "wavenet_dropout", "speaking_rate", "noise_scale"),
            *("noise_scale_duration", "sampling_rate"),
        ),
    },
)

FEATURE_EXTRACTOR = KeyTable(
    "ClapFeatureExtractor",
    {
        "feature_size": honored(64, "clap.mel.n_mels", COUNT),
        "sampling_rate": fixed(48000),
        "hop_length": honored(480, "clap.mel.hop_length", COUNT),
        "max_length_s": honored(10, "clap.mel.duration_s", POSITIVE),
        "fft_window_size": honored(1024, "clap.mel.n_fft", COUNT),
        "frequency_min": honored(0, "clap.mel.fmin", NUMBER),
        "frequency_max": honored(14000, "clap.mel.fmax", POSITIVE),
        "truncation": honored("fusion", "clap.mel.is_fusion", one_of("fusion", "rand_trunc")),
        "padding": honored("repeatpad", "clap.mel.padding", one_of("repeatpad", "repeat", "pad")),
        **ignored("silence is 0 in the class, whatever the file says", "padding_value"),
        **ignored("sounds are padded at their end in the class", "padding_side"),
        **ignored("a mask that CLAP does not read", "return_attention_mask"),
        **ignored("a limit that the class does not apply", "top_db"),
        **ignored("derived from other keys", "nb_frequency_bins", "nb_max_samples"),
        **ignored("name of the class", "feature_extractor_type"),
    },
    {
        **ignored("name of the class", "processor_class"),
        **ignored("derived from other keys", "chunk_length_s", "n_fft", "nb_max_frames"),
    },
    {},
    accepts_unknown=True,
)

_TOKENIZER: dict[str, Key] = {
    "model_max_length": honored(10**30, "text_max_length", COUNT),
    "padding_side": fixed("right"),
    "truncation_side": fixed("right"),
    **ignored("name of the class", "tokenizer_class", "processor_class", "backend", "name_or_path"),
    **ignored("decoding of tokens, which AudioLDM does not do", "clean_up_tokenization_spaces"),
    **ignored("decoding of tokens, which AudioLDM does not do", "errors", "trim_offsets"),
    **ignored("stands in tokenizer.json", "added_tokens_decoder", "additional_special_tokens"),
    **ignored("stands in tokenizer.json", "extra_special_tokens", "split_special_tokens"),
    **ignored("stands in tokenizer.json", "vocab_file", "merges_file", "tokenizer_file"),
    **ignored("stands in tokenizer.json", "special_tokens_map_file", "sp_model_kwargs", "legacy"),
    **ignored("inputs of a model, which its component decides", "model_input_names"),
    **ignored("stands in tokenizer.json", "is_local", "add_bos_token", "add_eos_token"),
    **ignored(
        "stands in tokenizer.json",
        *("bos_token", "eos_token", "sep_token", "cls_token", "unk_token", "pad_token"),
        *("mask_token", "extra_ids", "vocab", "merges", "max_length", "stride"),
        *("truncation_strategy", "pad_to_multiple_of", "pad_token_type_id", "local_files_only"),
        *("use_fast", "from_slow", "additional_special_tokens_ids", "trust_remote_code"),
    ),
}
ROBERTA_TOKENIZER = KeyTable(
    "RobertaTokenizer",
    {**_TOKENIZER, "add_prefix_space": fixed(False)},
    {},
    {},
    accepts_unknown=True,
)
T5_TOKENIZER = KeyTable(
    "T5Tokenizer",
    {**_TOKENIZER, **ignored("stands in tokenizer.json", "add_prefix_space")},
    {},
    {},
    accepts_unknown=True,
)
_SPELLING = "transcripts are spelled by this package, as the authors do"
VITS_TOKENIZER = KeyTable(
    "VitsTokenizer",
    {
        **_TOKENIZER,
        **ignored(_SPELLING, "language", "add_blank", "normalize", "phonemize", "is_uroman"),
        **ignored("the projection model says it", "model_max_length"),
    },
    {},
    {},
    accepts_unknown=True,
)
