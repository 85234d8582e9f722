"""Components under diffusers' names: which of ours each is, how to replace it, and schedulers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import UsageError, WeightsError
from ..generation.system import System
from ..loaders.components import COMPONENTS
from ..loaders.diffusers_configs import scheduler_config
from ..loaders.diffusers_settings import SCHEDULER, UNET_CONFIG, read_json
from ..loaders.resolve import component_from_state

_GPT2_OUTPUT_LAYER = "lm_head.weight"
"""Tensor of GPT2LMHeadModel that GPT2Model does not have."""
_AUDIOLDM1_LATENT_FRAMES = 128
_AUDIOLDM2_LATENT_FRAMES = 256


def _module_folders() -> dict[str, tuple[str, ...]]:
    """Return {diffusers' name of a module: the components that it can be}."""
    folders: dict[str, tuple[str, ...]] = {}
    for name, spec in COMPONENTS.items():
        for part in spec.diffusers.folders:
            if part.is_module:
                folders[part.name] = (*folders.get(part.name, ()), name)
    return folders


def _tokenizer_folders() -> dict[str, str]:
    """Return {diffusers' name of a text tokenizer: the component that uses it}."""
    folders = {}
    for name, spec in COMPONENTS.items():
        if spec.tokenizer is not None and spec.tokenizer.hub_id:
            folders[spec.tokenizer.folder] = name
    return folders


MODULES = _module_folders()
TOKENIZERS = _tokenizer_folders()


class DDIMScheduler:
    """The scheduler of the published folders; this package's own sampler does its work.

    Attributes:
        config: Content of scheduler_config.json.
        order: Order of the solver.
        init_noise_sigma: Standard deviation of the first noise.
    """

    order = 1

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.init_noise_sigma = 1.0


def component_name(system: System, module: str) -> str:
    """Return our name of one of diffusers' modules; of two encoders the one the model has.

    Args:
        system: The model.
        module: A key of `MODULES`.
    """
    for name in MODULES[module]:
        if COMPONENTS[name].is_present(system.config):
            return name
    return MODULES[module][0]


def get_component(system: System, module: str) -> Any:
    """Return the network of one of diffusers' modules, or None if the model has none."""
    return system.components.unpacked(component_name(system, module))


def replace_component(system: System, module: str, state: Mapping[str, Tensor]) -> None:
    """Compute with the weights of a module of diffusers or transformers from now on.

    Args:
        system: The model.
        module: A key of `MODULES`.
        state: The state dict of the caller's module.

    Raises:
        WeightsError: It does not match the model.
        UsageError: The model has no such module, or cannot take another one.
    """
    name = component_name(system, module)
    spec = COMPONENTS[name]
    folders = spec.diffusers.folders
    [part] = [folder for folder in folders if folder.name == module]
    can_replace = len(folders) == 1 or bool(part.submodule)
    if not spec.is_present(system.config) or not can_replace:
        raise UsageError(f"this model cannot take another {module}; leave out {module}=")
    if not part.submodule:
        system.components.replace(name, component_from_state(state, name, system.config))
        return
    component = system.components[name]
    own = {}
    for key, value in state.items():
        if key != _GPT2_OUTPUT_LAYER:
            own[key.removeprefix(part.strip_prefix)] = value
    try:
        component.get_submodule(part.submodule).load_state_dict(own)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(
            f"the {module} passed does not match the model: {reason}; pass one of its shapes"
        ) from None
    system.components.replace(name, component)


def load_scheduler(system: System) -> Any:
    """Return the scheduler that a model's folder names.

    Returns:
        A `DDIMScheduler`, or for another class an object of diffusers, which must be installed.

    Raises:
        UsageError: diffusers is missing, or it has no such class.
    """
    file = system.source.path / SCHEDULER
    config = read_json(file) if file.is_file() else scheduler_config(system.config)
    class_name = config.get("_class_name", DDIMScheduler.__name__)
    if class_name == DDIMScheduler.__name__:
        return DDIMScheduler(config)
    try:
        import diffusers
    except ImportError:
        raise UsageError(
            f"{file.parent} needs the {class_name} of diffusers; pip install diffusers, or pass "
            f"scheduler="
        ) from None
    scheduler_class = getattr(diffusers, str(class_name), None)
    if scheduler_class is None:
        raise UsageError(
            f"{file.parent} needs a {class_name}, which the installed diffusers does not have; "
            f"pass scheduler="
        )
    return scheduler_class.from_config(config)


def default_latent_frames(system: System) -> int:
    """Return the default length of latents, from the folder's UNet or as published."""
    is_audioldm1 = system.config.unet.is_audioldm1
    published = _AUDIOLDM1_LATENT_FRAMES if is_audioldm1 else _AUDIOLDM2_LATENT_FRAMES
    file = system.source.path / UNET_CONFIG
    if not file.is_file():
        return published
    return int(read_json(file).get("sample_size") or published)
