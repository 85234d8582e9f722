"""The dimensions of the system in a diffusers folder, read from its configuration files.

Every key of every file is honored, refused or known to be without effect (`config_keys`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..conditioning.g2p import SYMBOLS
from ..config.architecture import CLAPConfig, CLAPMelSpec, ModelConfig
from ..config.parsing import parse_json, read_bounded
from ..errors import WeightsError
from . import transformers_configs as encoders
from .config_keys import KeyTable, read_settings
from .diffusers_configs import read_schedule, read_unet, read_vae
from .diffusers_keys import AUDIOLDM2_UNET, PROJECTION, UNET, VAE, scheduler_table
from .transformers_keys import (
    CLAP,
    CLAP_TEXT,
    FEATURE_EXTRACTOR,
    GPT2,
    ROBERTA_TOKENIZER,
    T5,
    T5_TOKENIZER,
    VITS,
    VITS_TOKENIZER,
    VOCODER,
)

INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"
UNET_CONFIG = "unet/config.json"
_NO_LIMIT = 1 << 16
"""Longest text, in tokens, of a tokenizer that states none or more."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file.

    Raises:
        WeightsError: It is missing or damaged.
    """
    try:
        content = parse_json(read_bounded(path))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing; download the folder again") from None
    except ValueError:
        raise WeightsError(f"{path} is damaged; download it again") from None
    return content


def read_config(folder: Path) -> ModelConfig:
    """Return the dimensions of the system in a folder; numbers of heads are those of its JSON.

    Raises:
        WeightsError: A file is missing or damaged, or a value of it is none that AudioLDM has.
    """
    try:
        return _read_config(_ConfigFiles(folder, read_json(folder / INDEX)))
    except (TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(
            f"a config.json in {folder} has an impossible value ({error}); "
            f"download the folder again"
        ) from None


@dataclass(frozen=True)
class _ConfigFiles:
    """The configuration files of a folder.

    Attributes:
        folder: The folder.
        index: Content of `model_index.json`.
    """

    folder: Path
    index: Mapping[str, Any]

    def class_name(self, component: str) -> str:
        """Return the class of a component, or an empty text if the folder has none."""
        entry = self.index.get(component)
        return str(entry[-1]) if isinstance(entry, list) and entry and entry[-1] else ""

    def read(self, file: str, rows: KeyTable) -> dict[str, Any]:
        """Return the checked settings of a file."""
        path = self.folder / file
        return read_settings(read_json(path), rows, str(path))

    def read_optional(self, file: str, rows: KeyTable) -> dict[str, Any] | None:
        """Return the checked settings of a file, or None if it is missing."""
        return self.read(file, rows) if (self.folder / file).is_file() else None


def _read_config(files: _ConfigFiles) -> ModelConfig:
    vocoder = files.read("vocoder/config.json", VOCODER)
    vae = files.read("vae/config.json", VAE)
    is_audioldm1 = files.class_name("unet") == UNET.name
    unet = files.read(UNET_CONFIG, UNET if is_audioldm1 else AUDIOLDM2_UNET)
    projection = None
    translator = None
    if files.class_name("projection_model"):
        projection = files.read("projection_model/config.json", PROJECTION)
        language_model = files.read("language_model/config.json", GPT2)
        translator = encoders.read_translator(language_model, projection)
    class_name = str(read_json(files.folder / SCHEDULER).get("_class_name", "DDIMScheduler"))
    return ModelConfig(
        mel=encoders.read_mel(vocoder),
        vae=read_vae(vae),
        unet=read_unet(unet, str(files.folder / UNET_CONFIG), is_audioldm1),
        vocoder=encoders.read_vocoder(vocoder),
        schedule=read_schedule(files.read(SCHEDULER, scheduler_table(class_name))),
        clap=_read_clap(files),
        **_read_second_encoder(files, projection),
        translator=translator,
        latent_std=(1 / vae["scaling_factor"],),
    )


def _read_clap(files: _ConfigFiles) -> CLAPConfig | None:
    if not files.class_name("text_encoder"):
        return None
    path = files.folder / "text_encoder/config.json"
    rows = CLAP if "text_config" in read_json(path) else CLAP_TEXT
    settings = files.read("text_encoder/config.json", rows)
    front_end = files.read_optional("feature_extractor/preprocessor_config.json", FEATURE_EXTRACTOR)
    mel = encoders.read_feature_extractor(front_end) if front_end else CLAPMelSpec()
    clap = encoders.read_clap(settings, _max_length(files, "tokenizer", ROBERTA_TOKENIZER), mel)
    if front_end and clap.audio_depths:
        _check_front_end(clap, mel, path)
    return clap


def _check_front_end(clap: CLAPConfig, mel: CLAPMelSpec, path: Path) -> None:
    """Raise WeightsError for a front end that does not make what CLAP's audio encoder reads."""
    if mel.n_mels != clap.mel.n_mels or mel.is_fusion != (clap.audio_channels == 4):
        raise WeightsError(
            f"{path} has num_mel_bins = {clap.mel.n_mels} and patch_embed_input_channels = "
            f"{clap.audio_channels}, but preprocessor_config.json has feature_size = {mel.n_mels} "
            f"and truncation = {'fusion' if mel.is_fusion else 'rand_trunc'!r}; "
            f"fusion goes with 4 channels, rand_trunc with 1; correct one of the files"
        )


def _read_second_encoder(files: _ConfigFiles, projection: dict[str, Any] | None) -> dict[str, Any]:
    """Return {field of `ModelConfig`: dimensions} of T5 or the phoneme encoder."""
    if not files.class_name("text_encoder_2"):
        return {}
    file = "text_encoder_2/config.json"
    if read_json(files.folder / file).get("model_type") == "vits":
        files.read_optional("tokenizer_2/tokenizer_config.json", VITS_TOKENIZER)
        _check_symbols(files.folder / "tokenizer_2/vocab.json")
        return {"phonemes": encoders.read_phonemes(files.read(file, VITS), projection or {})}
    max_length = _max_length(files, "tokenizer_2", T5_TOKENIZER)
    return {"t5": encoders.read_t5(files.read(file, T5), max_length)}


def _max_length(files: _ConfigFiles, tokenizer: str, rows: KeyTable) -> int:
    settings = files.read_optional(f"{tokenizer}/tokenizer_config.json", rows)
    return min(int(settings["model_max_length"]), _NO_LIMIT) if settings else _NO_LIMIT


def _check_symbols(path: Path) -> None:
    """Raise WeightsError for a complete table of phonemes in another order than the authors'.

    A published folder has a table that is too small; the authors' own table replaces it.
    """
    if not path.is_file():
        return
    symbols = read_json(path)
    own = {symbol: index for index, symbol in enumerate(SYMBOLS)}  # one of two apostrophes
    if len(symbols) == len(own) and symbols != own:
        raise WeightsError(
            f"{path} has the symbols in another order than the authors' table; "
            f"transcripts cannot be spelled with it, use another model"
        )
