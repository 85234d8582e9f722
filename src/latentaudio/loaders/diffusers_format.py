"""Folders as diffusers lays them out: `model_index.json` and one folder per component (spec 11.4).

Knows which component is which of our parts, and every component's config.json in both directions. Refuses to know the names of
tensors (`keymap`) and what anything computes. Does not need diffusers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config.architecture import (
    CLAPConfig,
    MelSpec,
    ModelConfig,
    PhonemesConfig,
    Prediction,
    ScheduleConfig,
    T5Config,
    TranslatorConfig,
    UNetConfig,
    VAEConfig,
    VocoderConfig,
)
from ..errors import WeightsError
from .tensor_files import PICKLED, Tensors, open_tensors

INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"
COMPONENTS = {
    "unet": "unet",
    "vae": "vae",
    "vocoder": "vocoder",
    "clap": "text_encoder",
    "t5": "text_encoder_2",
}
"""Our part -> the folder that alone holds it; translator and phonemes lie in two each."""
TOKENIZERS = {"clap": "tokenizer", "t5": "tokenizer_2"}
POSITIONS = "learnable_positional_embedding"

# what transformers fills in where a CLAP's config.json says nothing
_CLAP_TEXT = {
    "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "max_position_embeddings": 514, "layer_norm_eps": 1e-12,
}  # fmt: skip
_CLAP_AUDIO = {
    "patch_size": 4, "patch_embeds_hidden_size": 96, "depths": [2, 2, 6, 2], "num_attention_heads": [4, 8, 16, 32]
}  # fmt: skip


def is_diffusers(folder: Path) -> bool:
    """Whether a folder is laid out like this."""
    return (folder / INDEX).is_file()


def read_json(path: Path) -> dict[str, Any]:
    """A component's config; raises WeightsError where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(content, dict)
        return content
    except FileNotFoundError:
        raise WeightsError(
            f"there is no {path}; the folder is not complete, download it again"
        ) from None
    except (ValueError, AssertionError):
        raise WeightsError(f"{path} is damaged; download it again") from None


def read_config(folder: Path) -> ModelConfig:
    """Shapes of the system in a folder; heads are those its JSON states."""
    index = read_json(folder / INDEX)

    def part(name: str) -> dict[str, Any]:
        return read_json(folder / name / "config.json")

    def has(name: str) -> bool:
        return isinstance(index.get(name), list) and index[name][-1] is not None

    try:
        vocoder = part("vocoder")
        speaks = has("text_encoder_2") and part("text_encoder_2").get("model_type") == "vits"
        projection = part("projection_model") if has("projection_model") else None
        vae = part("vae")
        second = part("text_encoder_2") if has("text_encoder_2") else None
        return ModelConfig(
            mel=_mel(vocoder),
            vae=VAEConfig(
                vae["block_out_channels"][0], _multiples(vae), vae["latent_channels"], vae["layers_per_block"],
                vae.get("norm_num_groups", 32),
            ),
            unet=_unet(part("unet")),
            vocoder=_vocoder(vocoder),
            schedule=_schedule(read_json(folder / SCHEDULER)),
            clap=_clap(part("text_encoder")) if has("text_encoder") else None,
            t5=_t5(second) if second and not speaks else None,
            phonemes=_phonemes(second, projection or {}) if second and speaks else None,
            translator=_translator(part("language_model"), projection) if projection else None,
            latent_std=(1 / vae.get("scaling_factor", 0.18215),),
        )  # fmt: skip
    except KeyError as problem:
        raise WeightsError(
            f"a config.json in {folder} lacks {problem}; download it again"
        ) from None
    except (TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError) as problem:
        raise WeightsError(
            f"a config.json in {folder} says what cannot be ({problem}); download it again"
        ) from None


def open_part(folder: Path, part: str) -> Tensors:
    """The tensors of one part, named as in `keymap`."""
    if part in COMPONENTS:
        return open_component(folder / COMPONENTS[part])
    projection = open_component(folder / "projection_model")
    positions = {POSITIONS: f"projection_model/{POSITIONS}"}
    if part == "phonemes":  # the rest of VITS is not used
        second = open_component(folder / "text_encoder_2").under("text_encoder.")
        others = frozenset(projection) - positions.keys()
        return second.named({k: f"text_encoder_2/text_encoder.{k}" for k in second}).joined(
            projection.without(others).named(positions)
        )
    rest = projection.without(frozenset(positions))
    language = open_component(folder / "language_model")
    language = language.named({k: k.removeprefix("transformer.") for k in language})
    return rest.named({k: f"projection_model/{k}" for k in rest}).joined(
        language.named({k: f"language_model/{k}" for k in language})
    )


def is_whole(folder: Path, part: str) -> bool:
    """Whether a folder has below it the folder or folders of components that hold a part."""
    rest = {
        "translator": ("language_model", "projection_model"),
        "phonemes": ("text_encoder_2", "projection_model"),
    }
    return all(
        (folder / home).is_dir()
        for home in (rest[part] if part in rest else (COMPONENTS.get(part, part),))
    )


def open_component(folder: Path) -> Tensors:
    """Whatever weights a component's folder has; .safetensors before the others, one precision."""
    stems = ("model", "diffusion_pytorch_model", "pytorch_model")
    for ending in (".safetensors", *PICKLED):
        for stem in stems:
            for file in (folder / f"{stem}{ending}", folder / f"{stem}{ending}.index.json"):
                if file.is_file():
                    return _old_names(open_tensors(file))
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return _old_names(open_tensors(found[0]))
    raise WeightsError(f"{folder} holds no weights; the folder is not complete, download it again")


def _old_names(tensors: Tensors) -> Tensors:
    """Today's names of the VAE's attention, which diffusers once called otherwise."""
    ends = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    change = {}
    for name in tensors:
        words = name.split(".")
        if (
            "mid_block" in words
            and "attentions" in words
            and words[-2] in ends
            and words[-3] == "0"
        ):
            change[name] = ".".join([*words[:-2], ends[words[-2]], words[-1]])
    return tensors.named(change) if change else tensors


def index(config: ModelConfig) -> dict[str, Any]:
    """`model_index.json` of a system: which class of which library opens each component."""
    first = config.unet.first_kind
    found: dict[str, Any] = {
        "_class_name": "AudioLDMPipeline" if first else "AudioLDM2Pipeline",
        "_diffusers_version": "0.20.0",
    }
    found["scheduler"] = ["diffusers", "DDIMScheduler"]
    found["unet"] = [
        "diffusers",
        "UNet2DConditionModel" if first else "AudioLDM2UNet2DConditionModel",
    ]
    found["vae"], found["vocoder"] = (
        ["diffusers", "AutoencoderKL"],
        ["transformers", "SpeechT5HifiGan"],
    )
    if config.clap is not None:
        found["text_encoder"] = [
            "transformers",
            "ClapTextModelWithProjection" if first else "ClapModel",
        ]
        found["tokenizer"] = ["transformers", "RobertaTokenizerFast"]
    if config.t5 is not None:
        found["text_encoder_2"], found["tokenizer_2"] = (
            ["transformers", "T5EncoderModel"],
            ["transformers", "T5TokenizerFast"],
        )
    if config.phonemes is not None:
        found["text_encoder_2"], found["tokenizer_2"] = (
            ["transformers", "VitsModel"],
            ["transformers", "VitsTokenizer"],
        )
    if config.translator is not None:
        found["language_model"] = ["transformers", "GPT2Model"]
        found["projection_model"] = ["audioldm2", "AudioLDM2ProjectionModel"]
    if not first:
        found["feature_extractor"] = ["transformers", "ClapFeatureExtractor"]
    return found


def _multiples(config: Mapping[str, Any]) -> tuple[int, ...]:
    first = config["block_out_channels"][0]
    return tuple(width // first for width in config["block_out_channels"])


def _mel(vocoder: Mapping[str, Any]) -> MelSpec:
    rate, hop, bins = (
        vocoder["sampling_rate"],
        math.prod(vocoder["upsample_rates"]),
        vocoder["model_in_dim"],
    )
    if rate == 48000:
        return MelSpec(rate, 2048, hop, bins, 20.0, 24000.0)
    return MelSpec(rate, 1024, hop, bins, 0.0, rate / 2)


def _vocoder(config: Mapping[str, Any]) -> VocoderConfig:
    mel = _mel(config)
    if len({tuple(d) for d in config["resblock_dilation_sizes"]}) != 1:
        raise WeightsError(
            "this vocoder's blocks have different dilations; no model of AudioLDM has such a one"
        )
    return VocoderConfig(
        "hifigan", config["model_in_dim"], config["upsample_initial_channel"], tuple(config["upsample_rates"]),
        tuple(config["upsample_kernel_sizes"]), tuple(config["resblock_kernel_sizes"]),
        tuple(config["resblock_dilation_sizes"][0]), n_fft=mel.n_fft, hop=mel.hop, rate=mel.rate, fmin=mel.fmin, fmax=mel.fmax,
    )  # fmt: skip


def _unet(config: Mapping[str, Any]) -> UNetConfig:
    levels = len(config["block_out_channels"])
    heads = config.get("num_attention_heads") or config["attention_head_dim"]
    across = config["cross_attention_dim"]
    if config.get("class_embed_type") == "simple_projection" and not isinstance(across[0], list):
        contexts: tuple[int | None, ...] = (
            None,
        )  # diffusers calls a transformer that hears nothing as wide as its level
    else:
        contexts = tuple(across[-1] if isinstance(across[-1], list) else across)
    return UNetConfig(
        latent=config["in_channels"],
        channels=config["block_out_channels"][0],
        mult=_multiples(config),
        res_blocks=config["layers_per_block"],
        attention=tuple("CrossAttn" in kind for kind in config["down_block_types"]),
        contexts=contexts,
        heads=tuple(heads) if isinstance(heads, list) else (heads,) * levels,
        depth=config.get("transformer_layers_per_block", 1),
        film=config["projection_class_embeddings_input_dim"]
        if config.get("class_embed_type")
        else None,
        groups=config.get("norm_num_groups", 32),
    )


def _schedule(config: Mapping[str, Any]) -> ScheduleConfig:
    kinds: dict[str, Prediction] = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}
    prediction, spacing = (
        config.get("prediction_type", "epsilon"),
        config.get("beta_schedule", "scaled_linear"),
    )
    if (
        prediction not in kinds
        or spacing != "scaled_linear"
        or config.get("trained_betas") is not None
    ):
        raise WeightsError(
            f"a scheduler of {spacing} betas that predicts {prediction} is of no model of AudioLDM"
        )
    return ScheduleConfig(
        config.get("num_train_timesteps", 1000),
        config["beta_start"],
        config["beta_end"],
        kinds[prediction],
    )


def _clap(config: Mapping[str, Any]) -> CLAPConfig:
    alone = "text_config" not in config  # ClapTextModelWithProjection
    text = {**_CLAP_TEXT, **(config if alone else config["text_config"])}
    audio = {**_CLAP_AUDIO, **config.get("audio_config", {})}
    return CLAPConfig(
        config.get("projection_dim", 512), text["hidden_size"], text["num_hidden_layers"], text["num_attention_heads"],
        text["intermediate_size"], text["max_position_embeddings"], text["vocab_size"], text["max_position_embeddings"] - 2,
        text["layer_norm_eps"], audio["patch_size"], audio["patch_embeds_hidden_size"],
        () if alone else tuple(audio["depths"]), tuple(audio["num_attention_heads"]),
    )  # fmt: skip


def _t5(config: Mapping[str, Any]) -> T5Config:
    return T5Config(
        config["d_model"],
        config["d_kv"],
        config["num_heads"],
        config["num_layers"],
        config["d_ff"],
        config["vocab_size"],
    )


def _phonemes(config: Mapping[str, Any], projection: Mapping[str, Any]) -> PhonemesConfig:
    return PhonemesConfig(
        config["vocab_size"], config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"],
        config["ffn_dim"], config["ffn_kernel_size"], config["window_size"], projection.get("max_seq_length") or 310,
    )  # fmt: skip


def _translator(config: Mapping[str, Any], projection: Mapping[str, Any]) -> TranslatorConfig:
    return TranslatorConfig(
        config["n_embd"], config["n_layer"], config["n_head"], config["n_positions"],
        (projection["text_encoder_dim"], projection["text_encoder_1_dim"]), config.get("max_new_tokens") or 8,
        vocabulary=config["vocab_size"],
    )  # fmt: skip
