"""T5, GPT-2 and CLAP: builders over the public classes of transformers.

Every builder works on the meta device. Dropout is 0 everywhere: the translator is trained on its
own output, which has to be reproducible, and rendered training data is unlimited.

B batch, N tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..config.architecture import CLAPConfig, T5Config, TranslatorConfig

if TYPE_CHECKING:
    from transformers import ClapModel, ClapTextModelWithProjection, GPT2Model, T5EncoderModel

_T5_END_ID = 1
_T5_TABLE = "shared.weight"
_T5_COPY = "encoder.embed_tokens.weight"


def preload_transformers() -> None:
    """Import transformers' models now.

    An import on the meta device would lose the values of their constants.
    """
    from transformers import (  # noqa: F401
        ClapModel,
        ClapTextModelWithProjection,
        GPT2Model,
        T5EncoderModel,
    )


def build_t5(config: T5Config) -> T5EncoderModel:
    """Build a FLAN-T5 encoder: ids, mask [B, N] -> last_hidden_state [B, N, hidden_size].

    Source of formula and constants: (numerics: T5).

    transformers lists its one embedding table under two names; the state dict has it once, as
    "shared.weight".
    """
    from transformers import T5Config as Numbers
    from transformers import T5EncoderModel

    model = T5EncoderModel(
        Numbers(
            vocab_size=config.vocab_size,
            d_model=config.hidden_size,
            d_kv=config.head_dim,
            d_ff=config.ffn_dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            feed_forward_proj=config.feed_forward,
            relative_attention_num_buckets=config.num_buckets,
            relative_attention_max_distance=config.max_distance,
            layer_norm_epsilon=config.layer_norm_eps,
            dropout_rate=0.0,
            eos_token_id=_T5_END_ID,
            pad_token_id=0,
        )
    )
    model.encoder.embed_tokens = model.shared  # transformers 5.0 drops this link on the meta device
    model.register_state_dict_post_hook(_drop_copy)
    model.register_load_state_dict_pre_hook(_restore_copy)
    return model


def _drop_copy(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    state.pop(prefix + _T5_COPY, None)


def _restore_copy(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    if prefix + _T5_TABLE in state:
        state[prefix + _T5_COPY] = state[prefix + _T5_TABLE]


def build_gpt2(config: TranslatorConfig) -> GPT2Model:
    """Build a GPT-2 without a head: inputs_embeds [B, N, hidden_size] -> last_hidden_state.

    Source of formula and constants: (numerics: translator).

    It never reads token ids. Its table of word embeddings exists because published files contain
    one.
    """
    from transformers import GPT2Config, GPT2Model

    return GPT2Model(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.max_positions,
            n_embd=config.hidden_size,
            n_layer=config.num_layers,
            n_head=config.num_heads,
            n_inner=config.ffn_dim,
            activation_function=config.activation,
            layer_norm_epsilon=config.layer_norm_eps,
            scale_attn_weights=config.scale_attention,
            scale_attn_by_inverse_layer_idx=config.scale_attention_by_layer,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def build_clap(config: CLAPConfig) -> ClapModel | ClapTextModelWithProjection:
    """Build CLAP without feature fusion.

    RoBERTa and HTSAT towers, each projected to [B, projection_dim] (numerics: CLAP). Without
    `audio_depths`, only the text tower and its projection are built.
    """
    from transformers import (
        ClapAudioConfig,
        ClapConfig,
        ClapModel,
        ClapTextConfig,
        ClapTextModelWithProjection,
    )

    text = ClapTextConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.text_hidden_size,
        num_hidden_layers=config.text_num_layers,
        num_attention_heads=config.text_num_heads,
        intermediate_size=config.text_ffn_dim,
        max_position_embeddings=config.text_max_positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        projection_dim=config.projection_dim,
        layer_norm_eps=config.text_layer_norm_eps,
        hidden_act=config.text_activation,
        projection_hidden_act=config.projection_activation,
        pad_token_id=config.text_pad_id,
    )
    if not config.audio_depths:
        return ClapTextModelWithProjection(text)
    audio = ClapAudioConfig(
        window_size=config.audio_window_size,
        spec_size=config.audio_image_size,
        num_mel_bins=config.mel.n_mels,
        hidden_act=config.audio_activation,
        layer_norm_eps=config.audio_layer_norm_eps,
        patch_embed_input_channels=config.audio_channels,
        mlp_ratio=config.audio_mlp_ratio,
        qkv_bias=config.audio_has_qkv_bias,
        patch_embeds_hidden_size=config.audio_hidden_size,
        hidden_size=config.audio_hidden_size * 2 ** (len(config.audio_depths) - 1),
        depths=list(config.audio_depths),
        num_attention_heads=list(config.audio_num_heads),
        patch_size=config.audio_patch_size,
        patch_stride=[config.audio_patch_size, config.audio_patch_size],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        drop_path_rate=0.0,
        projection_dim=config.projection_dim,
    )
    return ClapModel(
        ClapConfig(
            text_config=text.to_dict(),
            audio_config=audio.to_dict(),
            projection_dim=config.projection_dim,
            projection_hidden_act=config.projection_activation,
        )
    )
