"""The authors' files: a Lightning checkpoint with every component under a prefix, or one component.

A checkpoint has no config. Its model is recognized by the shapes of its UNet (numerics: published
checkpoints: layouts and key names).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..config.architecture import AudioMAEConfig, ModelConfig, UNetConfig
from ..config.audiomae import PUBLISHED_AUDIOMAE
from ..config.registry import MODELS, ModelSpec
from ..errors import DataError, UsageError, WeightsError, first_line
from ..fileio import temporary_directory
from . import diffusers_format
from .components import COMPONENTS, component_names
from .layouts import LAYOUTS, ModelSource, Progress
from .model_folder import open_component_file
from .original_buffers import checkpoint_buffers
from .tensor_files import Tensors, open_tensors
from .tokenizers import (
    HUB_FILES,
    read_tokenizer,
    text_tokenizer_names,
    tokenizer_spec,
    write_tokenizer,
)

if TYPE_CHECKING:
    from ..conditioning.tokenizer import Tokenizer

IGNORED_KEYS: tuple[tuple[str, str], ...] = (
    (r"^(betas|logvar|lvlb_weights|alphas_cumprod(_prev)?)$", "the schedule, computed"),
    (r"^(sqrt_\w+|log_one_minus_\w+|posterior_\w+)$", "the schedule, computed"),
    (r"^scale_factor$", "read as the latent's statistics"),
    (r"^model_ema\.", "averaged weights, read if the reference implementation uses them"),
    (r"^first_stage_model\.loss\.", "the VAE's discriminator"),
    (r"^(clap|cond_stage_models?(\.\d+)*)\.mel_transform\.", "CLAP's front end, unused"),
    (r"^clap\.model\.", "a second copy of CLAP, which the authors rank with"),
    (r"^cond_stage_models\.0\.cond_stage_models\.0\.model\.", "a second copy of CLAP"),
    (r"^cond_stage_models\.0\.cond_stage_models\.1\.model\.", "a second copy of T5"),
    (
        r"^cond_stage_models\.0\.cond_stage_models\.2\.",
        "AudioMAE, which the translator replaces at inference; training reads it",
    ),
    (r"^cond_stage_models\.0\.model\.", "a second copy of CLAP"),
)
"""Keys of a checkpoint outside its components that are not loaded: (pattern, reason)."""

_EMA_PREFIX = "model_ema."
_MAIN_PREFIX = "model."
"""Prefix of the raw weights, which names of averaged weights leave out."""
_AUDIOMAE_HEAD_WIDTH = 64
"""Width of an attention head of a vision transformer, 768 / 12 in the published one."""
_MAX_LISTED = 4
"""Tensors that an error lists by name."""
_UNET_PREFIX = COMPONENTS["unet"].audioldm.prefixes[0]


def open_component(checkpoint: Tensors, name: str, use_ema: bool = False) -> Tensors:
    """Return a component's tensors under their names inside of it; empty if the file has none.

    Args:
        checkpoint: The whole file.
        name: The component.
        use_ema: Return averaged weights, if the file has any for this component.

    Raises:
        WeightsError: Averaged weights are incomplete.
    """
    layout = COMPONENTS[name].audioldm
    if not layout.prefixes:
        return Tensors({}, checkpoint.source)
    prefix = layout.prefixes[0]
    for candidate in layout.prefixes:
        if any(key.startswith(candidate + layout.marker) for key in checkpoint):
            prefix = candidate
            break
    tensors = checkpoint.with_prefix(prefix)
    tensors = _drop_excluded(tensors, name)
    if use_ema and layout.has_ema:
        return _open_averaged(checkpoint, tensors, prefix) or tensors
    return tensors


def _open_averaged(checkpoint: Tensors, raw: Tensors, prefix: str) -> Tensors | None:
    """Return the averaged weights of a component, or None if the file has none."""
    names = {averaged_name(prefix + key): key for key in raw}
    averaged = frozenset(names) & frozenset(checkpoint)
    if not averaged:
        return None
    missing = sorted(key for short, key in names.items() if short not in averaged)
    if missing:
        raise WeightsError(
            f"{checkpoint.source} has averaged weights for some tensors of its UNet only; "
            f"{missing[0]} has none; use a complete checkpoint"
        )
    return checkpoint.drop(frozenset(checkpoint) - averaged).rename(names)


def averaged_name(key: str) -> str:
    """Return the name of the average of a tensor; LitEma removes the dots."""
    return _EMA_PREFIX + key.removeprefix(_MAIN_PREFIX).replace(".", "")


def prefixes(name: str, config: ModelConfig) -> tuple[str, ...]:
    """Return every prefix under which a checkpoint holds a component, copies included."""
    layout = COMPONENTS[name].audioldm
    if layout.written_prefixes is not None:
        return layout.written_prefixes(config)
    return layout.prefixes[:1]


def unexpected_keys(checkpoint: Tensors, names: Iterable[str]) -> list[str]:
    """Return the keys that belong to none of the components and have no known reason to exist.

    Args:
        checkpoint: The whole file.
        names: Components of the system.
    """
    known: list[str] = []
    for name in names:
        known += COMPONENTS[name].audioldm.prefixes
    return [
        key
        for key in checkpoint
        if not key.startswith(tuple(known))
        and not any(re.search(pattern, key) for pattern, _ in IGNORED_KEYS)
    ]


def latent_std(checkpoint: Tensors) -> tuple[float, ...] | None:
    """Return the latent's standard deviation (numerics: VAE), None without a scale factor."""
    return (1.0 / float(checkpoint["scale_factor"]),) if "scale_factor" in checkpoint else None


def audiomae_config(checkpoint: Tensors) -> AudioMAEConfig | None:
    """Return the shapes of the AudioMAE that a checkpoint holds, or None without one.

    The authors' files have the AudioMAE of the training. Generation does without it.

    Args:
        checkpoint: The whole file, or the file of an AudioMAE alone.
    """
    tensors = open_component(checkpoint, "audiomae") or checkpoint
    if "cls_token" not in tensors or "patch_embed.proj.weight" not in tensors:
        return None
    width = tensors.shape("cls_token")[-1]
    layers = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    return replace(
        PUBLISHED_AUDIOMAE,
        hidden_size=width,
        num_layers=len(layers),
        num_heads=max(1, width // _AUDIOMAE_HEAD_WIDTH),
        patch_size=tensors.shape("patch_embed.proj.weight")[-1],
    )


def find_spec(checkpoint: Tensors, file_stem: str) -> ModelSpec:
    """Return the published model whose UNet has a checkpoint's shapes.

    Args:
        checkpoint: The whole file.
        file_stem: Its file name, which decides between models of the same shapes.

    Raises:
        WeightsError: No published model has these shapes.
    """
    signature = unet_signature(checkpoint)
    matching = [
        spec
        for spec in MODELS.values()
        if spec.is_published and _signature(spec.config.unet) == signature
    ]
    if not matching:
        raise WeightsError(
            f"{checkpoint.source} has the shapes of no published model (UNet: {signature}); name "
            f"the model with architecture= (--architecture)"
        )
    # the first files were named -full-s and -full-l
    name = file_stem.replace("-full-s", "-s-full").replace("-full-l", "-l-full")
    named = [spec for spec in matching if spec.name in (file_stem, name)]
    if not named:
        named = [spec for spec in matching if spec.name in name]
    return max(named, key=lambda spec: len(spec.name)) if named else matching[0]


def can_store(config: ModelConfig) -> bool:
    """Return whether a checkpoint can hold a model; without a config, its shapes must be known."""
    return any(
        spec.is_published and _signature(spec.config.unet) == _signature(config.unet)
        for spec in MODELS.values()
    )


def unet_signature(checkpoint: Tensors) -> tuple[object, ...]:
    """Return the shapes that distinguish UNets.

    Returns:
        (base width, latent channels, whether it has FiLM, contexts, depth of transformers).

    Raises:
        WeightsError: The file has no UNet.
    """
    key = f"{_UNET_PREFIX}input_blocks.0.0.weight"
    if key not in checkpoint:
        raise WeightsError(
            f"{checkpoint.source} has no UNet ({key}), so it is a single component; load a "
            f"complete model with components= naming this file"
        )
    channels, latent_channels = checkpoint.shape(key)[:2]
    middle = f"{_UNET_PREFIX}middle_block."
    inside = [name.removeprefix(middle) for name in checkpoint if name.startswith(middle)]
    # the middle block is a ResBlock, the transformers, a ResBlock
    transformers = sorted({int(name.split(".")[0]) for name in inside})[1:-1]
    contexts: list[int | None] = []
    for index in transformers:
        block = f"{middle}{index}.transformer_blocks.0."
        width = checkpoint.shape(f"{block}attn1.to_k.weight")[1]
        context = checkpoint.shape(f"{block}attn2.to_k.weight")[1]
        contexts.append(None if context == width else context)
    first = "1.transformer_blocks."
    depth = len({name.split(".")[2] for name in inside if name.startswith(first)})
    has_film = f"{_UNET_PREFIX}film_emb.weight" in checkpoint
    return channels, latent_channels, has_film, tuple(contexts), depth


def _signature(unet: UNetConfig) -> tuple[object, ...]:
    has_film = unet.film_dim is not None
    return unet.channels, unet.latent_channels, has_film, unet.contexts, unet.transformer_depth


# The functions of `layouts.LayoutFile`.


def detect(path: Path) -> bool:
    """Return whether a path is a file."""
    return path.is_file()


def identify(name: str, path: Path, architecture: ModelSpec | None) -> ModelSource:
    """Return the model of a checkpoint.

    Args:
        name: The model as the user named it.
        path: The file.
        architecture: The published model that it is; None: it is found by its shapes.

    Raises:
        WeightsError: The file is damaged, or no published model has its tensors.
    """
    checkpoint = open_tensors(path)
    spec = architecture or MODELS.get(name) or find_spec(checkpoint, path.stem)
    config = replace(spec.config, latent_std=latent_std(checkpoint) or spec.config.latent_std)
    if config.clap and not _has_audio_tower(checkpoint):
        # made of a diffusers folder of AudioLDM 1, which has CLAP's text tower alone
        config = replace(config, clap=replace(config.clap, audio_depths=()))
    unexpected = unexpected_keys(checkpoint, component_names(config))
    if unexpected:
        listed = [f"{key} {list(checkpoint.shape(key))}" for key in unexpected[:_MAX_LISTED]]
        raise WeightsError(
            f"{path} has {len(unexpected)} tensors that {spec.name} does not have, first "
            f"{', '.join(listed)}; name the model with architecture= (--architecture)"
        )
    return ModelSource(
        name, path, replace(spec, config=config), {}, "original", checkpoint=checkpoint
    )


def _has_audio_tower(checkpoint: Tensors) -> bool:
    """Return whether a checkpoint has CLAP's audio encoder, or no CLAP at all."""
    names = list(open_component(checkpoint, "clap"))
    return not names or any(name.startswith("audio_branch.") for name in names)


def open_model_component(model: ModelSource, name: str) -> Tensors:
    """Return the tensors of one component of a checkpoint."""
    assert model.checkpoint is not None
    return open_component(model.checkpoint, name, model.use_ema)


def open_part(path: Path, name: str, use_ema: bool) -> Tensors | None:
    """Return a component's tensors from a file: a checkpoint, or the component alone.

    None: the path is a folder.
    """
    if path.is_dir():
        return None
    tensors = open_component_file(path)
    return open_component(tensors, name, use_ema) or _drop_excluded(tensors, name)


def _drop_excluded(tensors: Tensors, name: str) -> Tensors:
    """Return a component's tensors without those of others that its file has beside it."""
    pattern = COMPONENTS[name].audioldm.exclude
    if not pattern:
        return tensors
    return tensors.drop(frozenset(key for key in tensors if re.match(pattern, key)))


def open_tokenizer(path: Path, name: str, config: ModelConfig) -> Tokenizer:
    """Return the tokenizer of the folder beside a checkpoint, or of the hub."""
    spec = tokenizer_spec(name)
    folder = path.parent / spec.folder
    if not folder.is_dir():
        from .hub import fetch

        folder = fetch(spec.hub_id, HUB_FILES)
    return read_tokenizer(folder, spec.max_length(config))


def check_storable(config: ModelConfig) -> None:
    """Check that a checkpoint can hold a system.

    Raises:
        UsageError: It has parts that the authors' classes lack, or shapes of no published model.
    """
    diffusers_format.check_storable(config)
    if not can_store(config):
        raise UsageError(
            "a checkpoint has no config, and no published model has these shapes; convert the "
            "model to --layout diffusers"
        )


def missing_parts(config: ModelConfig) -> tuple[str, ...]:
    """Return what the authors' classes have beside the tensors that `write` can know.

    Generation reads none of them.
    """
    missing = []
    if config.clap is not None:
        missing.append("CLAP's classifier and training projections")
        if not config.clap.audio_depths:
            missing.append("CLAP's audio encoder")
    if config.translator is not None and config.audiomae is None:
        missing.append("AudioMAE")
    return tuple(missing)


def write(model: ModelSource, target: Path, progress: Progress | None) -> None:
    """Write a checkpoint, and the folders of its tokenizers beside it.

    Args:
        model: The model.
        target: The file.
        progress: Called after every component.

    Raises:
        DataError: Another model's tokenizers are beside the file.
        OSError: The file cannot be written.
    """
    with temporary_directory(target.parent) as staging:
        for name in text_tokenizer_names(model.config):
            write_tokenizer(model, name, staging)
        subfolders = [path.name for path in sorted(staging.iterdir())]
        for subfolder in subfolders:
            existing = target.parent / subfolder
            if existing.exists() and _contents(existing) != _contents(staging / subfolder):
                raise DataError(
                    f"{existing} is of another model; write the checkpoint into a folder of its own"
                )
        state_dict = dict(_checkpoint_tensors(model, progress))
        try:
            torch.save({"state_dict": state_dict, "global_step": 0}, target)
        except RuntimeError as error:  # raised for a full disk, too
            raise OSError(first_line(error)) from None
        for subfolder in subfolders:
            if not (target.parent / subfolder).exists():
                (staging / subfolder).rename(target.parent / subfolder)


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def _checkpoint_tensors(
    model: ModelSource, progress: Progress | None
) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of an authors' checkpoint, copies and buffers included."""
    for name, state in model.stored_states(progress):
        original = LAYOUTS["original"].to_foreign(COMPONENTS[name], state, model.config)
        for prefix in prefixes(name, model.config):
            for key, value in original.items():
                yield prefix + key, value
                if COMPONENTS[name].audioldm.has_ema:
                    yield averaged_name(prefix + key), value
    yield "scale_factor", torch.tensor(1 / model.config.latent_std[0])
    yield from checkpoint_buffers(model.config)
