"""Components under diffusers' names: which part of a model each is, how another takes its place, and schedulers.

Knows diffusers' names of components. Refuses to know calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import UsageError, WeightsError
from ..loaders.diffusers_configs import scheduler as usual_scheduler
from ..loaders.diffusers_format import COMPONENTS as FOLDERS
from ..loaders.diffusers_format import SCHEDULER, TOKENIZERS, read_json
from ..loaders.resolve import fitted
from ..pipeline import AudioLDM

COMPONENTS = {home: part for part, home in FOLDERS.items()} | {"language_model": "translator"}
"""diffusers' name of a component -> our part."""
TOKENS = {home: f"{part}_tokens" for part, home in TOKENIZERS.items()}


class DDIM:
    """The scheduler of the converted folders: `config` is theirs, and this package's own sampler does its work."""

    order = 1

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.init_noise_sigma = 1.0


def part_of(model: AudioLDM, component: str) -> str:
    """Our name of a component; of the second text encoder the one that this model has."""
    return (
        "phonemes"
        if component == "text_encoder_2" and model.config.phonemes
        else COMPONENTS[component]
    )


def component(model: AudioLDM, name: str) -> Any:
    """The module of a component, None where the model has none."""
    return model.parts.plain(part_of(model, name))


def put(model: AudioLDM, name: str, state: Mapping[str, Tensor]) -> None:
    """A component of diffusers or transformers in the place of the folder's; raises WeightsError where it does not fit."""
    part = part_of(model, name)
    if part == "translator" and (translator := model.text.translator) is not None:
        own = {
            key.removeprefix("transformer."): value
            for key, value in state.items()
            if key != "lm_head.weight"
        }
        try:
            translator.gpt2.load_state_dict(own)
        except RuntimeError as problem:
            raise WeightsError(
                f"the language_model given does not fit: {str(problem).splitlines()[-1].strip()}"
            ) from None
        model.parts.put(part, translator)
    elif part != "phonemes" and getattr(model.config, part) is not None:
        model.parts.put(part, fitted(state, part, model.config))
    else:
        raise UsageError(f"a {name} of one's own is not supported by this model")


def scheduler(model: AudioLDM) -> Any:
    """The scheduler that a model's folder names: `DDIM`, or an object of diffusers for its others, which must be installed."""
    file = model.found.folder / SCHEDULER
    config = read_json(file) if file.is_file() else usual_scheduler(model.config)
    kind = config.get("_class_name", "DDIMScheduler")
    if kind == "DDIMScheduler":
        return DDIM(config)
    try:
        import diffusers
    except ImportError:
        raise UsageError(
            f"{file.parent} wants the {kind} of diffusers; pip install diffusers, or pass scheduler="
        ) from None
    known = getattr(diffusers, str(kind), None)
    if known is None:
        raise UsageError(
            f"{file.parent} wants a {kind}, which this diffusers does not have; pass scheduler="
        )
    return known.from_config(config)


def usual_cells(model: AudioLDM) -> int:
    """Latent cells in time that the folder's UNet says are usual; where it says nothing, what converted folders say."""
    file = model.found.folder / "unet" / "config.json"
    usual = 128 if model.config.unet.first_kind else 256
    return int(read_json(file).get("sample_size") or usual) if file.is_file() else usual
