"""Convert a model from one layout into another, bit for bit, with its tokenizers and configs.

Tensors pass one component at a time. The target appears only when it is complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..conditioning.g2p import SYMBOLS
from ..config.architecture import ModelConfig
from ..errors import DataError, UsageError, first_line
from ..fileio import atomic_directory, atomic_write
from . import audioldm_format, diffusers_format
from .component_spec import TokenizerSpec
from .components import COMPONENTS, component_names
from .key_mapping import ForeignLayout, to_foreign
from .model_folder import TOKENIZER_FILE, save_component, write_config
from .resolve import Layout, ModelSource
from .tokenizers import load_tokenizer, text_tokenizer_names

FEATURE_EXTRACTOR_CONFIG = {
    "chunk_length_s": 10,
    "feature_extractor_type": "ClapFeatureExtractor",
    "feature_size": 64,
    "fft_window_size": 1024,
    "frequency_max": 14000,
    "frequency_min": 50,
    "hop_length": 480,
    "max_length_s": 10,
    "n_fft": 1024,
    "nb_frequency_bins": 513,
    "nb_max_frames": 1000,
    "nb_max_samples": 480000,
    "padding": "repeatpad",
    "padding_side": "right",
    "padding_value": 0,
    "processor_class": "ClapProcessor",
    "return_attention_mask": False,
    "sampling_rate": 48000,
    "top_db": None,
    "truncation": "rand_trunc",
}
"""CLAP's front end as transformers' ClapFeatureExtractor reads it."""
_CHECKPOINT_ENDINGS = (".ckpt", ".pth")
_MIN_VARIANCE = 1e-20
"""Floor of the posterior variance before its logarithm, as in the authors' DDPM."""

ConvertProgress: TypeAlias = Callable[[int, int], None]
"""Called with (components written, components in all)."""


def convert(
    model: ModelSource, target: Path, layout: Layout, progress: ConvertProgress | None = None
) -> None:
    """Write a model in another layout.

    Args:
        model: The model.
        target: A new folder or, for layout "original", a new .ckpt or .pth file. The folders of
            its tokenizers are written beside that file.
        layout: "latentaudio", "diffusers" or "original".
        progress: Called after every component.

    Raises:
        DataError: The target exists or cannot be written.
        UsageError: The layout cannot hold the model, or the target has the wrong ending.
    """
    if target.exists():
        raise DataError(f"{target} exists already; choose another name")
    is_file = layout == "original"
    if is_file != (target.suffix in _CHECKPOINT_ENDINGS):
        needed = "a file that ends in .ckpt or .pth" if is_file else "a folder, not a file"
        raise UsageError(f"--layout {layout} writes {needed}; {target} is not, choose another name")
    if is_file:
        _write_checkpoint(model, target, progress)
        return
    write = _write_diffusers if layout == "diffusers" else _write_latentaudio
    try:
        with atomic_directory(target) as folder:
            write(model, folder, progress)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"cannot write {target} ({error}); choose another place or free some space"
        ) from None


def _load_states(
    model: ModelSource, progress: ConvertProgress | None
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield each component's name and state with the types of its file, one at a time."""
    names = component_names(model.config)
    for completed, name in enumerate(names, 1):
        yield name, dict(model.load_component(name, as_stored=True).state_dict())
        if progress is not None:
            progress(completed, len(names))


def _to_foreign(
    name: str, state: dict[str, Tensor], config: ModelConfig, layout: ForeignLayout
) -> dict[str, Tensor]:
    """Return a component's state with the names and forms of another layout."""
    spec = COMPONENTS[name]
    finish = spec.diffusers.finish if layout == "diffusers" else spec.audioldm.finish
    return finish(dict(to_foreign(spec.tensor_refs(config, state, layout), state)), config)


def _write_latentaudio(model: ModelSource, folder: Path, progress: ConvertProgress | None) -> None:
    """Fill a model folder."""
    card = {
        "description": model.spec.description,
        "license": model.spec.license,
        "converted": f"from {Path(model.name).name}",
    }
    write_config(folder, model.config, model.spec.name, card)
    for name, state in _load_states(model, progress):
        save_component(folder, name, state)
    for name in text_tokenizer_names(model.config):
        _untruncated_tokenizer(model, name).save(str(folder / f"{name}.{TOKENIZER_FILE}"))


def _write_diffusers(model: ModelSource, folder: Path, progress: ConvertProgress | None) -> None:
    """Fill a folder in diffusers' layout."""
    config = model.config
    source = model.path if model.layout == "diffusers" else None
    for file, content in diffusers_format.component_configs(config).items():
        if source is not None and file == diffusers_format.UNET_CONFIG:
            # the default duration, which our dimensions do not contain
            stored = diffusers_format.read_json(source / file)
            content["sample_size"] = stored.get("sample_size", content["sample_size"])
        _write_json(folder / file, content)
    if source is not None:
        scheduler = diffusers_format.SCHEDULER
        shutil.copyfile(source / scheduler, folder / scheduler)
    _write_json(folder / diffusers_format.INDEX, diffusers_format.model_index(config))
    tensors: dict[str, dict[str, Tensor]] = {}
    stems: dict[str, str] = {}
    for name, state in _load_states(model, progress):
        folders = COMPONENTS[name].diffusers.folders
        if not folders:
            continue
        stems.update({part.name: part.file_stem for part in folders})
        for key, value in _to_foreign(name, state, config, "diffusers").items():
            subfolder, _, inner = key.rpartition("/")
            tensors.setdefault(subfolder or folders[0].name, {})[inner] = value
    for subfolder, state in tensors.items():
        path = folder / subfolder / f"{stems[subfolder]}.safetensors"
        path.parent.mkdir(exist_ok=True)
        contiguous = {key: value.contiguous() for key, value in state.items()}
        save_file(contiguous, path, {"format": "pt"})
        path.chmod(0o644)
    for name in component_names(config):
        _write_tokenizer(model, name, folder)
    if config.clap is not None:
        _write_json(folder / "feature_extractor/preprocessor_config.json", FEATURE_EXTRACTOR_CONFIG)


def _write_checkpoint(model: ModelSource, target: Path, progress: ConvertProgress | None) -> None:
    """Write a checkpoint of the authors, and the folders of its tokenizers beside it."""
    config = model.config
    diffusers_format.check_exportable(config)
    if not audioldm_format.can_store(config):
        raise UsageError(
            "a checkpoint has no config, and no published model has these shapes; convert the "
            "model to --layout diffusers"
        )
    names = text_tokenizer_names(config)
    with (
        atomic_write(target) as temporary,
        TemporaryDirectory(dir=target.parent, prefix=".tokenizers") as staging,
    ):
        for name in names:
            _write_tokenizer(model, name, Path(staging))
        subfolders = [path.name for path in sorted(Path(staging).iterdir())]
        for subfolder in subfolders:
            existing = target.parent / subfolder
            if existing.exists() and _contents(existing) != _contents(Path(staging, subfolder)):
                raise DataError(
                    f"{existing} is of another model; write {target.name} into a folder of its own"
                )
        state_dict = dict(_checkpoint_tensors(model, progress))
        try:
            torch.save({"state_dict": state_dict, "global_step": 0}, temporary)
        except RuntimeError as error:  # raised for a full disk, too
            raise DataError(
                f"cannot write {target} ({first_line(error)}); choose another place"
            ) from None
        for subfolder in subfolders:
            if not (target.parent / subfolder).exists():
                Path(staging, subfolder).rename(target.parent / subfolder)


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def _checkpoint_tensors(
    model: ModelSource, progress: ConvertProgress | None
) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of an authors' checkpoint, copies and buffers included."""
    for name, state in _load_states(model, progress):
        original = _to_foreign(name, state, model.config, "original")
        for prefix in audioldm_format.prefixes(name, model.config):
            for key, value in original.items():
                yield prefix + key, value
    yield "scale_factor", torch.tensor(1 / model.config.latent_std[0])
    yield from _schedule_buffers(model.config)


def _schedule_buffers(config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Yield the buffers that Lightning keeps of the forward process (DDPM, arXiv 2006.11239)."""
    schedule = config.schedule
    num_steps = schedule.num_train_timesteps
    first = schedule.beta_start**0.5
    last = schedule.beta_end**0.5
    betas = torch.linspace(first, last, num_steps, dtype=torch.float64) ** 2
    alphas_bar = torch.cumprod(1 - betas, 0)
    previous = torch.cat([alphas_bar.new_ones(1), alphas_bar[:-1]])
    variance = betas * (1 - previous) / (1 - alphas_bar)
    buffers = {
        "betas": betas,
        "alphas_cumprod": alphas_bar,
        "alphas_cumprod_prev": previous,
        "sqrt_alphas_cumprod": alphas_bar.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - alphas_bar).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - alphas_bar).log(),
        "sqrt_recip_alphas_cumprod": alphas_bar.rsqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / alphas_bar - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=_MIN_VARIANCE).log(),
        "posterior_mean_coef1": betas * previous.sqrt() / (1 - alphas_bar),
        "posterior_mean_coef2": (1 - previous) * (1 - betas).sqrt() / (1 - alphas_bar),
    }
    for name, value in buffers.items():
        yield name, value.float()
    yield "logvar", torch.zeros(num_steps)


def _untruncated_tokenizer(model: ModelSource, name: str) -> Any:
    """Return a component's tokenizer of the tokenizers library, without a maximum length."""
    rules = load_tokenizer(model.path, model.layout, name, model.config).rules
    rules.no_truncation()
    return rules


def _write_tokenizer(model: ModelSource, name: str, folder: Path) -> None:
    """Write the subfolder of a component's tokenizer, if it has one.

    It is a copy of the source's own subfolder, or it is made of the source's rules.
    """
    tokenizer = COMPONENTS[name].tokenizer
    if tokenizer is None:
        return
    subfolder = folder / tokenizer.folder
    if _copy_tokenizer(model, tokenizer, subfolder):
        return
    subfolder.mkdir(parents=True, exist_ok=True)
    tokenizer_config = {
        "tokenizer_class": tokenizer.class_name,
        "model_max_length": tokenizer.max_length(model.config),
        **tokenizer.special_tokens,
    }
    if tokenizer.hub_id:
        _untruncated_tokenizer(model, name).save(str(subfolder / TOKENIZER_FILE))
    else:
        # a table of phonemes; transformers must not phonemize them again
        _write_json(subfolder / "vocab.json", {symbol: i for i, symbol in enumerate(SYMBOLS)})
        for switch in ("add_blank", "is_uroman", "normalize", "phonemize"):
            tokenizer_config[switch] = False
    _write_json(subfolder / "tokenizer_config.json", tokenizer_config)


def _copy_tokenizer(model: ModelSource, tokenizer: TokenizerSpec, subfolder: Path) -> bool:
    """Copy the source's own folder of a tokenizer; return whether it has one."""
    if model.layout == "latentaudio":
        return False
    folder = model.path if model.layout == "diffusers" else model.path.parent
    own = folder / tokenizer.folder
    if own.is_dir() and own.resolve() != subfolder.resolve():
        shutil.copytree(own, subfolder, dirs_exist_ok=True)
    return own.is_dir()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
