"""Text networks and CLAP: thin builders over the public classes of transformers, from our own configs.

Knows which number goes where. Refuses to know files, tokenizers and published names. Every builder works on the meta device.
No dropout anywhere: a translator that hears its own output must repeat itself, and rendered data has no end to overfit to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..config.architecture import CLAPConfig, T5Config, TranslatorConfig

if TYPE_CHECKING:
    from transformers import ClapModel, ClapTextModelWithProjection, GPT2Model, T5EncoderModel

_CLAP_WINDOW = 8
_CLAP_IMAGE = 256
_T5_END = 1
_T5_TABLE, _T5_COPY = "shared.weight", "encoder.embed_tokens.weight"


def preload_transformers() -> None:
    """Import transformers' models now: where that happens on the meta device, constants of theirs lose their values."""
    from transformers import ClapModel, ClapTextModelWithProjection, GPT2Model, T5EncoderModel  # noqa: F401


def build_t5(config: T5Config) -> T5EncoderModel:
    """FLAN-T5 encoder (spec 6.2): ids, mask [B, N] -> last_hidden_state [B, N, width].

    transformers lists its one embedding table under two names; the state has it once, as "shared.weight".
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
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            eos_token_id=_T5_END,
            pad_token_id=0,
        )
    )
    model.encoder.embed_tokens = model.shared  # transformers 5.0 forgets that on the meta device
    model.register_state_dict_post_hook(_drop_copy)
    model.register_load_state_dict_pre_hook(_restore_copy)
    return model


def _drop_copy(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    state.pop(prefix + _T5_COPY, None)


def _restore_copy(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    if prefix + _T5_TABLE in state:
        state[prefix + _T5_COPY] = state[prefix + _T5_TABLE]


def build_gpt2(config: TranslatorConfig) -> GPT2Model:
    """GPT-2 without a head (spec 6.4): inputs_embeds [B, N, width] -> last_hidden_state after ln_f.

    It never sees token ids: its table of word embeddings is there for files that hold one.
    """
    from transformers import GPT2Config, GPT2Model

    return GPT2Model(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.max_positions,
            n_embd=config.hidden_size,
            n_layer=config.num_layers,
            n_head=config.num_heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def build_clap(config: CLAPConfig) -> ClapModel | ClapTextModelWithProjection:
    """CLAP, un-fused (spec 1.4, 6.1): RoBERTa and HTSAT towers, each projected and normalised to [B, projection].

    The text tower counts positions from its padding id, which is 1 as in RoBERTa. Without depths for the audio tower, the text
    tower and its projection alone.
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
    )
    if not config.audio_depths:
        return ClapTextModelWithProjection(text)
    audio = ClapAudioConfig(
        window_size=_CLAP_WINDOW,
        spec_size=_CLAP_IMAGE,
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
        )
    )
