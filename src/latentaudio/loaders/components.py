"""The table of components: every network that a system can consist of, and where files keep it.

`COMPONENTS` is the only list of components in the package. To add one, write its module in
`models/`, a field of `ModelConfig` with its dimensions, and a row here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config.architecture import ModelConfig
from . import builders, diffusers_configs, key_rules
from . import transformers_configs as encoder_configs
from .component_spec import (
    AudioLDMPlace,
    ComponentSpec,
    DiffusersFolder,
    DiffusersPlace,
    Role,
    State,
    TokenizerSpec,
)

if TYPE_CHECKING:
    from torch import nn

# Details of the foreign layouts that are not names of tensors.


def _finish_vocoder_diffusers(state: State, config: ModelConfig) -> State:
    """Add the mel statistics that SpeechT5HifiGan has and published models do not use."""
    import torch

    n_mels = config.vocoder.n_mels
    return {"mean": torch.zeros(n_mels), "scale": torch.ones(n_mels), **state}


def _finish_clap_diffusers(state: State, config: ModelConfig) -> State:
    """Keep the text tower alone for AudioLDM 1, whose folders hold ClapTextModelWithProjection."""
    if not config.unet.is_audioldm1:
        return state
    return {name: value for name, value in state.items() if name.startswith("text_")}


def _finish_clap_original(state: State, config: ModelConfig) -> State:
    """Return CLAP without the zeros that the authors' classes compute."""
    return {key: value for key, value in state.items() if not key.endswith("token_type_ids")}


def _finish_t5_original(state: State, config: ModelConfig) -> State:
    """Add the second name of the word table, which T5 ties to the first."""
    return {**state, "encoder.embed_tokens.weight": state["shared.weight"]}


def _clap_prefixes(config: ModelConfig) -> tuple[str, ...]:
    """Return where the authors keep CLAP: beside the one that conditions, one that ranks."""
    if config.unet.is_audioldm1:
        return ("cond_stage_model.model.",)
    if config.translator is not None:
        return ("clap.model.", "cond_stage_models.0.cond_stage_models.0.model.")
    if config.unet.film_dim is not None:
        return ("clap.model.", "cond_stage_models.0.model.")
    return ("clap.model.",)


def _t5_prefixes(config: ModelConfig) -> tuple[str, ...]:
    """Return where the authors keep T5: with a translator, a second copy is inside of it."""
    if config.translator is None:
        return ("cond_stage_models.0.model.",)
    return ("cond_stage_models.1.model.", "cond_stage_models.0.cond_stage_models.1.model.")


def _clap_length(config: ModelConfig) -> int:
    return config.clap.text_max_length if config.clap else 0


def _t5_length(config: ModelConfig) -> int:
    return config.t5.max_length if config.t5 else 0


def _phonemes_length(config: ModelConfig) -> int:
    return config.phonemes.max_length if config.phonemes else 0


_POSITIONS = "learnable_positional_embedding$"
"""The one tensor of diffusers' projection_model that belongs to the phoneme encoder."""

_ROWS = (
    ComponentSpec(
        "vae",
        "decode",
        builders.build_vae,
        key_rules.vae_rules,
        DiffusersPlace(
            (
                DiffusersFolder(
                    "vae",
                    "diffusers",
                    "AutoencoderKL",
                    diffusers_configs.vae_config,
                    file_stem="diffusion_pytorch_model",
                ),
            )
        ),
        AudioLDMPlace(
            ("first_stage_model.",),
            exclude=r"^(vocoder\.|loss\.)",
            storage=key_rules.store_vae_original,
        ),
    ),
    ComponentSpec(
        "vocoder",
        "decode",
        builders.build_vocoder,
        key_rules.vocoder_rules,
        DiffusersPlace(
            (
                DiffusersFolder(
                    "vocoder",
                    "transformers",
                    "SpeechT5HifiGan",
                    encoder_configs.vocoder_config,
                ),
            ),
            finish=_finish_vocoder_diffusers,
        ),
        AudioLDMPlace(("first_stage_model.vocoder.",)),
    ),
    ComponentSpec(
        "clap",
        "text",
        builders.build_clap,
        key_rules.clap_rules,
        DiffusersPlace(
            (
                DiffusersFolder(
                    "text_encoder",
                    "transformers",
                    "ClapModel",
                    encoder_configs.clap_config,
                    audioldm1_class_name="ClapTextModelWithProjection",
                ),
            ),
            finish=_finish_clap_diffusers,
        ),
        AudioLDMPlace(
            # the CLAP that conditions comes first; the last one ranks candidates
            (
                "cond_stage_model.model.",
                "cond_stage_models.0.cond_stage_models.0.model.",
                "cond_stage_models.0.model.",
                "clap.model.",
            ),
            marker="text_branch.",
            written_prefixes=_clap_prefixes,
            storage=key_rules.store_clap_original,
            finish=_finish_clap_original,
        ),
        TokenizerSpec(
            "tokenizer",
            "RobertaTokenizerFast",
            _clap_length,
            {
                "pad_token": "<pad>",
                "eos_token": "</s>",
                "unk_token": "<unk>",
                "bos_token": "<s>",
                "cls_token": "<s>",
                "sep_token": "</s>",
                "mask_token": "<mask>",
            },
            hub_id="FacebookAI/roberta-base",
        ),
        uses_transformers=True,
    ),
    ComponentSpec(
        "t5",
        "text",
        builders.build_t5,
        key_rules.unchanged_rules,
        DiffusersPlace(
            (
                DiffusersFolder(
                    "text_encoder_2",
                    "transformers",
                    "T5EncoderModel",
                    encoder_configs.t5_config,
                ),
            )
        ),
        AudioLDMPlace(
            (
                "cond_stage_models.1.model.",
                "cond_stage_models.0.cond_stage_models.1.model.",
                "cond_stage_models.0.model.",
            ),
            written_prefixes=_t5_prefixes,
            finish=_finish_t5_original,
        ),
        TokenizerSpec(
            "tokenizer_2",
            "T5TokenizerFast",
            _t5_length,
            {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
            hub_id="google/flan-t5-large",
        ),
        uses_transformers=True,
    ),
    ComponentSpec(
        "phonemes",
        "text",
        builders.build_phonemes,
        key_rules.phonemes_rules,
        DiffusersPlace(
            (
                DiffusersFolder(
                    "text_encoder_2",
                    "transformers",
                    "VitsModel",
                    encoder_configs.phonemes_config,
                    keys=r"^text_encoder\.",
                ),
                DiffusersFolder(
                    "projection_model",
                    "audioldm2",
                    "AudioLDM2ProjectionModel",
                    diffusers_configs.projection_config,
                    file_stem="diffusion_pytorch_model",
                    keys=f"^{_POSITIONS}",
                    is_module=False,
                ),
            )
        ),
        AudioLDMPlace(
            ("cond_stage_models.0.cond_stage_models.1.",),
            storage=key_rules.store_phonemes_original,
        ),
        TokenizerSpec(
            "tokenizer_2", "VitsTokenizer", _phonemes_length, {"pad_token": "_", "unk_token": "_"}
        ),
    ),
    ComponentSpec(
        "audiomae",
        "text",
        builders.build_audiomae,
        key_rules.unchanged_rules,
        audioldm=AudioLDMPlace(("cond_stage_models.0.cond_stage_models.2.audiomae.model.",)),
    ),
    ComponentSpec(
        "translator",
        "text",
        builders.build_translator,
        key_rules.translator_rules,
        DiffusersPlace(
            (
                DiffusersFolder(
                    "projection_model",
                    "audioldm2",
                    "AudioLDM2ProjectionModel",
                    diffusers_configs.projection_config,
                    file_stem="diffusion_pytorch_model",
                    keys=f"^(?!{_POSITIONS})",
                    is_module=False,
                ),
                DiffusersFolder(
                    "language_model",
                    "transformers",
                    "GPT2Model",
                    encoder_configs.translator_config,
                    strip_prefix="transformer.",
                    submodule="gpt2",
                ),
            ),
            storage=key_rules.store_translator_diffusers,
        ),
        AudioLDMPlace(
            ("cond_stage_models.0.",),
            exclude=r"^cond_stage_models\.",
            storage=key_rules.store_translator_original,
        ),
        uses_transformers=True,
    ),
    ComponentSpec("latent_prior", "text", builders.build_latent_prior),
    ComponentSpec(
        "unet",
        "denoise",
        builders.build_unet,
        key_rules.unet_rules,
        DiffusersPlace(
            (
                DiffusersFolder(
                    "unet",
                    "diffusers",
                    "AudioLDM2UNet2DConditionModel",
                    diffusers_configs.unet_config,
                    audioldm1_class_name="UNet2DConditionModel",
                    file_stem="diffusion_pytorch_model",
                ),
            )
        ),
        AudioLDMPlace(("model.diffusion_model.",), has_ema=True),
    ),
    ComponentSpec("distilled_unet", "denoise", builders.build_unet, key_rules.unet_rules),
)

COMPONENTS: dict[str, ComponentSpec] = {spec.name: spec for spec in _ROWS}
"""Every component by name, in the order in which files are written."""


def component_names(config: ModelConfig) -> tuple[str, ...]:
    """Return the names of the components that a system has."""
    return tuple(name for name, spec in COMPONENTS.items() if spec.is_present(config))


def names_with_role(*roles: Role) -> tuple[str, ...]:
    """Return the names of all components with one of the roles."""
    return tuple(name for name, spec in COMPONENTS.items() if spec.role in roles)


def build_component(name: str, config: ModelConfig) -> nn.Module:
    """Return a component with fresh weights."""
    with builders.refused_dimensions_reported():
        return COMPONENTS[name].build(config)


def build_on_meta(name: str, config: ModelConfig) -> nn.Module:
    """Return a component on the meta device: shapes without memory, to assign weights to."""
    spec = COMPONENTS[name]
    return builders.build_on_meta(spec.build, config, spec.uses_transformers)
