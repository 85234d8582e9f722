"""Model folders: `model.json` (shapes and card) beside one `<part>.safetensors` per part and the tokenizer.

Knows file names and strict loading. Refuses to know what a part computes. Writes are atomic; pickles are never read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..config.architecture import ModelConfig
from ..errors import DataError, WeightsError, said
from ..fileio import replacing
from .key_mapping import Slot
from .state_dict import fit
from .tensor_files import Tensors, open_tensors

MODEL_FILE = "model.json"
TOKENIZER_FILE = "tokenizer.json"
SCALE = ".scale_of_rows"


def _unet(config: ModelConfig) -> nn.Module:
    from ..models.unet import UNet

    return UNet(config.unet)


def _vae(config: ModelConfig) -> nn.Module:
    from ..models.vae import VAE

    return VAE(config.vae, config.latent_mean, config.latent_std)


def _vocoder(config: ModelConfig) -> nn.Module:
    from ..models.istft_vocoder import build_vocoder

    return build_vocoder(config.vocoder)


def _audiomae(config: ModelConfig) -> nn.Module:
    from ..models.audiomae import AudioMAE

    assert config.audiomae is not None
    return AudioMAE(config.audiomae)


def _translator(config: ModelConfig) -> nn.Module:
    from ..models.translator import Translator

    assert config.translator is not None
    return Translator(config.translator)


def _clap(config: ModelConfig) -> nn.Module:
    from ..models.text_encoders import clap

    assert config.clap is not None
    module: nn.Module = clap(config.clap)
    return module


def _t5(config: ModelConfig) -> nn.Module:
    from ..models.text_encoders import t5

    assert config.t5 is not None
    module: nn.Module = t5(config.t5)
    return module


def _phonemes(config: ModelConfig) -> nn.Module:
    from ..models.phoneme_encoder import PhonemeEncoder

    assert config.phonemes is not None
    return PhonemeEncoder(config.phonemes)


def _draft(config: ModelConfig) -> nn.Module:
    from ..models.latent_prior import Draft

    assert config.draft is not None and config.t5 is not None
    return Draft(
        config.draft, config.t5.width, config.vae.latent, config.mel.bins // config.vae.factor
    )


BUILDERS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "vae": _vae, "vocoder": _vocoder, "clap": _clap, "t5": _t5, "phonemes": _phonemes, "audiomae": _audiomae,
    "translator": _translator, "draft": _draft, "unet": _unet, "student": _unet,
}  # fmt: skip


def parts_of(config: ModelConfig) -> tuple[str, ...]:
    """Names of the parts that a system of this shape has."""
    return tuple(name for name in BUILDERS if getattr(config, name) is not None)


def build(part: str, config: ModelConfig) -> nn.Module:
    """A freshly initialised part."""
    return BUILDERS[part](config)


def blank(part: str, config: ModelConfig) -> nn.Module:
    """A part on the meta device: shapes without memory, for weights to be assigned to."""
    if part in ("clap", "t5", "translator"):
        from ..models.text_encoders import imported

        imported()
    with torch.device("meta"), _Unfilled():
        return build(part, config)


class _Unfilled(TorchFunctionMode):
    """Leaves out torch.nn.init, which on the meta device takes its time for nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def save_part(
    folder: Path,
    part: str,
    state: Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
    coarse: Collection[str] = (),
) -> None:
    """Write one part's state; floating tensors are stored as `dtype` when given, tied ones once under their first name.

    coarse: names of matrices [N, D] to store as 8-bit whole numbers, each row with a scale of its own beside them.
    """
    places = {
        (v.data_ptr(), v.shape, v.stride()): k
        for k, v in reversed(list(state.items()))
        if v.numel()
    }
    own = {
        k: v
        for k, v in state.items()
        if not v.numel() or places[v.data_ptr(), v.shape, v.stride()] == k
    }
    stored = {
        k: (v.to(dtype) if dtype and v.is_floating_point() else v).detach().cpu().contiguous()
        for k, v in own.items()
    }
    for key in own.keys() & set(coarse):
        scale = own[key].abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        stored[key], stored[key + SCALE] = (
            (own[key] / scale).round().to(torch.int8).cpu(),
            scale.cpu(),
        )
    path = folder / f"{part}.safetensors"
    with replacing(path) as temporary:
        try:
            save_file(stored, temporary)
        except SafetensorError as problem:  # how it tells of a full disk
            raise DataError(
                f"cannot write {path} ({problem}); free some space and repeat"
            ) from None
        temporary.chmod(0o644)  # safetensors leaves its files to their owner alone


def load_part(
    folder: Path, part: str, config: ModelConfig, dtype: torch.dtype | None = torch.float32
) -> nn.Module:
    """The part with the folder's weights as `dtype` or, with None, as stored, in evaluation mode; a key that differs is an
    error."""
    path = folder / f"{part}.safetensors"
    if not path.is_file():
        raise WeightsError(
            f"{folder} has no {path.name}; train that part first or name a folder that has it"
        )
    module = blank(part, config)
    places = {key: Slot((key,)) for key in module.state_dict()}
    return fit(module, open_part(path), places, dtype, f"{path} ({MODEL_FILE} says its shape)")


def open_part(path: Path) -> Tensors:
    """A file's tensors, those stored as 8-bit whole numbers multiplied by their scales."""
    theirs = open_tensors(path)
    coarse = [name.removesuffix(SCALE) for name in theirs if name.endswith(SCALE)]
    if not coarse:
        return theirs
    state = {name: theirs[name] * theirs[name + SCALE] for name in coarse}
    return theirs.without(frozenset(name + SCALE for name in coarse)).joined(
        Tensors({name: (state, name) for name in state}, path)
    )


def write_config(
    folder: Path, config: ModelConfig, name: str, card: Mapping[str, Any] | None = None
) -> None:
    """Write `model.json`: shapes, the variant's name and, if given, how the weights were made."""
    content = {"name": name, "config": asdict(config), "card": dict(card or {})}
    with replacing(folder / MODEL_FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_config(folder: Path) -> tuple[str, ModelConfig, dict[str, Any]]:
    """(variant name, shapes, card) of a model folder; a run folder's model lies in its `model` folder."""
    path = folder / MODEL_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return (
            content["name"],
            TypeAdapter(ModelConfig).validate_python(content["config"]),
            content["card"],
        )
    except FileNotFoundError:
        raise WeightsError(f"{folder} has no {MODEL_FILE}; it is not a model folder") from None
    except (ValueError, KeyError, TypeError, ValidationError) as problem:
        raise WeightsError(
            f"{path} cannot be read ({said(problem)}); take the folder from where it came from again"
        ) from None


def model_folder(path: Path) -> Path:
    """The folder that holds `model.json`: the path itself, or the `model` folder of a training run."""
    inner = path / "model"
    return inner if (inner / MODEL_FILE).is_file() else path


def copy_parts(sources: tuple[Path, ...], target: Path) -> None:
    """Bring every part and tokenizer of the sources into `target`; later sources win."""
    target.mkdir(parents=True, exist_ok=True)
    for source in map(model_folder, sources):
        if not source.is_dir():
            raise WeightsError(
                f"{source} is not a folder; --init wants model folders or run folders"
            )
        files = [
            file
            for file in (*sorted(source.glob("*.safetensors")), source / TOKENIZER_FILE)
            if file.is_file()
        ]
        if not files:
            raise WeightsError(
                f"{source} holds no part of a model; --init wants model folders or run folders"
            )
        for file in files:
            with replacing(target / file.name) as temporary:
                shutil.copyfile(file, temporary)
