"""From what a user calls a model to its parts. Knows names, folders, files and layouts; refuses to know what a model does.

A name of the table means the folder of that name inside the package or, for a published model, its files on the hub. Anything
else is a model folder, a run folder of training, a diffusers folder, a checkpoint of the authors, or a hub id; write `./mini`
for a folder that happens to be called like a model. Importing this needs no torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..config.architecture import ModelConfig
from ..config.reference import Fidelity, fidelity
from ..config.registry import VARIANTS, Variant, variant
from ..errors import UsageError, WeightsError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .tensor_files import Tensors

ASSETS = Path(__file__).parents[1] / "assets"
DIFFUSERS_HEADS = 8

Layout: TypeAlias = Literal["latentaudio", "diffusers", "original"]


@dataclass(frozen=True)
class Found:
    """A model on disk: what the user called it, where it lies and how, its row of the table with its own shapes, and its card.

    parts: files that take the place of single parts. fidelity: in whose way it computes. whole: an authors' checkpoint, opened.
    """

    source: str
    folder: Path
    variant: Variant
    card: Mapping[str, Any]
    layout: Layout = "latentaudio"
    fidelity: Fidelity = field(default_factory=lambda: fidelity("clean"))
    parts: Mapping[str, Path] = field(default_factory=dict)
    whole: Tensors | None = None

    @property
    def averaged(self) -> bool:
        """Whether averaged weights are wanted of a file that has both."""
        return self.fidelity.ema and self.variant.ema

    @property
    def config(self) -> ModelConfig:
        """Shapes of the parts."""
        return self.variant.config

    def part(
        self, name: str, dtype: torch.dtype | None = None, as_stored: bool = False
    ) -> nn.Module:
        """One part in evaluation mode, in float32, `dtype` or as it is stored. Built without memory of its own; weights of that
        type already are mapped, not copied.

        Raises WeightsError with names and shapes where a file does not fit.
        """
        import torch

        from .model_folder import load_part

        wanted = None if as_stored else dtype or torch.float32
        if name in self.parts:
            return _lone(self, name, wanted)
        if self.layout == "latentaudio":
            return load_part(self.folder, name, self.config, wanted)
        return _foreign(self, name, wanted)


def find(
    source: str | Path,
    like: str | None = None,
    how: str = "clean",
    parts: Mapping[str, str | Path] | None = None,
) -> Found:
    """The model called `source`.

    like: the row of the table that a checkpoint is, where its shapes do not tell. how: a preset of `fidelity`. parts: files to
    load single parts from. Raises UsageError listing what exists, WeightsError for what is not a model.
    """
    way, replaced = (
        fidelity(how),
        {name: Path(path).expanduser() for name, path in (parts or {}).items()},
    )
    called, place = _place(source)
    found = _recognised(called, place, None if like is None else variant(like))
    config = dressed(found.variant, found.layout, way)
    if way.name == "original" and found.variant.ema and found.layout == "diffusers":
        warnings.warn(
            f"{called} holds one set of weights, most likely raw; the authors sampled with averaged ones",
            stacklevel=3,
        )
    unknown = [name for name in replaced if getattr(config, name, None) is None]
    if unknown:
        raise UsageError(f"{called} has no part {unknown[0]!r} to replace")
    return replace(
        found, variant=replace(found.variant, config=config), fidelity=way, parts=replaced
    )


def described(name: str) -> Found:
    """A row of the table of which nothing needs to be here: for questions that shapes answer. It has no parts."""
    return Found(name, ASSETS / "mini", variant(name), {})


def _place(source: str | Path) -> tuple[str, Path]:
    """What a model is called, and the folder or file it lies in; published ones are fetched."""
    called = str(source)
    if called in VARIANTS:
        return called, ASSETS / called if size(VARIANTS[called]) else _fetched(called)
    place = Path(source).expanduser()
    if place.exists():
        return called, place
    if called.count("/") == 1 and not called.startswith((".", "/", "~")):
        try:
            return called, _fetched(called)
        except (UsageError, WeightsError) as problem:
            raise type(problem)(
                f"there is no folder {called} here, and as a hub id: {problem}"
            ) from None
    near = get_close_matches(called, VARIANTS, 1)
    hint = f"did you mean {near[0]}? There are" if near else "there are"
    raise UsageError(
        f"no model is called {called!r} and no folder or file either; {hint}: {', '.join(VARIANTS)}"
    )


def hub_of(name: str) -> tuple[str, str | None]:
    """The repository of a name of the table or a hub id, and the one file of it that is the model; None: it is a folder.

    Raises WeightsError for a model that no hub has, UsageError for what is neither.
    """
    row = VARIANTS.get(name)
    if row is None:
        if name.count("/") != 1 or name.startswith("/") or name.endswith("/"):
            raise UsageError(
                f"{name!r} is neither a model's name nor a hub id such as cvssp/audioldm2; see latentaudio models"
            )
        return name, None
    if row.hub:
        return row.hub, None
    if row.original.count("/") == 2:
        owner, repository, file = row.original.split("/")
        return f"{owner}/{repository}", file
    if row.embedded and size(row):
        raise UsageError(
            f"{name!r} is part of this installation; there is nothing to download, use it by its name"
        )
    way_out = "install latentaudio again" if row.embedded else "train it and name the run's folder"
    if row.original:
        way_out = f"get {row.original} from the authors' record on zenodo and name that file"
    raise WeightsError(f"the weights of {name!r} do not come with this installation; {way_out}")


def _fetched(name: str) -> Path:
    from .hub import fetch, fetch_file

    repository, file = hub_of(name)
    return fetch(repository) if file is None else fetch_file(repository, file)


def _recognised(called: str, place: Path, like: Variant | None) -> Found:
    """The model at a place, as it is stored."""
    from .diffusers_format import INDEX, is_diffusers
    from .model_folder import MODEL_FILE, model_folder

    if place.is_file():
        return _original(called, place, like)
    if is_diffusers(place):
        return _diffusers(called, place, like)
    if like is not None:
        raise UsageError(f"{place} says itself what model it is; leave out like (--like)")
    folder = model_folder(place)
    if not (folder / MODEL_FILE).is_file():
        raise WeightsError(
            f"{folder} holds neither {MODEL_FILE} nor {INDEX}; it is not a model folder"
        )
    from .model_folder import read_config

    name, config, card = read_config(folder)
    row = VARIANTS.get(name) or Variant(
        name, str(card.get("purpose", "")), str(card.get("licence", "unknown")), config
    )
    return Found(called, folder, replace(row, config=config), card)


def _diffusers(called: str, folder: Path, like: Variant | None) -> Found:
    from .diffusers_format import read_config

    config = read_config(folder)
    if like is not None and not _alike(like, config):
        raise UsageError(f"{folder} has not the shapes of {like.name}; leave out like (--like)")
    row = like or VARIANTS.get(called) or _row_of_hub(called, folder, config) or _of_shape(config)
    if row is None:
        row = Variant(folder.name, "a diffusers folder", "unknown", config)
    return Found(called, folder, replace(row, config=config), {}, "diffusers")


def _row_of_hub(called: str, folder: Path, config: ModelConfig) -> Variant | None:
    """The row whose hub id a folder of its shapes is called by, as clones are."""
    ends = {row.hub: row for row in VARIANTS.values() if row.hub and _alike(row, config)}
    return ends.get(called) or next(
        (row for hub, row in ends.items() if hub.split("/")[1] == folder.name), None
    )


def _of_shape(config: ModelConfig) -> Variant | None:
    """The first published row of that UNet, heads aside."""
    return next((row for row in VARIANTS.values() if row.parameters and _alike(row, config)), None)


def _alike(row: Variant, config: ModelConfig) -> bool:
    return {**vars(row.config.unet), "heads": config.unet.heads} == vars(config.unet)


def _original(called: str, file: Path, like: Variant | None) -> Found:
    from .audioldm_format import recognise, scale, strangers
    from .tensor_files import open_tensors

    whole = open_tensors(file)
    row = like or VARIANTS.get(called) or recognise(whole, file.stem)
    from .model_folder import parts_of

    config = replace(row.config, latent_std=scale(whole) or row.config.latent_std)
    strange = strangers(whole, parts_of(config))
    if strange:
        shown = ", ".join(f"{name} {list(whole.shape(name))}" for name in strange[:4])
        raise WeightsError(
            f"{file} holds {len(strange)} tensors that {row.name} has no place for, first {shown}; is it another model?"
        )
    return Found(called, file, replace(row, config=config), {}, "original", whole=whole)


def dressed(row: Variant, layout: Layout, way: Fidelity) -> ModelConfig:
    """Shapes of a model as a fidelity has it: heads, epsilon of CLAP, and how many tokens speech takes (spec 4.2, 6.1, 6.4)."""
    config, table = row.config, VARIANTS.get(row.name)
    if table is None or not table.parameters:
        return config
    levels = len(config.unet.mult)
    as_converted = layout != "diffusers" or set(config.unet.heads) == {
        DIFFUSERS_HEADS
    }  # whoever says others means them
    if way.heads == "trained" and as_converted and table.config.unet.widths == config.unet.widths:
        config = replace(config, unet=replace(config.unet, heads=table.config.unet.heads))
    elif way.heads == "stored" and layout != "diffusers":  # only its JSON states any
        config = replace(config, unet=replace(config.unet, heads=(DIFFUSERS_HEADS,) * levels))
    if config.clap and table.config.clap:
        config = replace(
            config, clap=replace(config.clap, text_eps=way.clap_eps or table.config.clap.text_eps)
        )
    same = (
        config.translator
        and table.config.translator
        and config.translator.positions == table.config.translator.positions
    )
    if same and config.translator and table.config.translator:
        written = table.config.translator
        tokens, pools = written.tokens, (written.time_pool, written.freq_pool)
        config = replace(
            config,
            translator=replace(
                config.translator, tokens=tokens, time_pool=pools[0], freq_pool=pools[1]
            ),
        )
    return config


def _foreign(found: Found, name: str, dtype: torch.dtype | None) -> nn.Module:
    """A part out of a diffusers folder or an authors' checkpoint."""
    from . import audioldm_format, diffusers_format

    if found.whole is None:
        return _fitted(
            diffusers_format.open_part(found.folder, name), name, found.config, "diffusers", dtype
        )
    return _fitted(
        audioldm_format.open_part(found.whole, name, found.averaged),
        name,
        found.config,
        "original",
        dtype,
    )


def _fitted(
    theirs: Tensors, name: str, config: ModelConfig, layout: Layout, dtype: torch.dtype | None
) -> nn.Module:
    from .key_mapping import Slot, slots
    from .model_folder import blank
    from .state_dict import fit

    module = blank(name, config)
    keys = list(module.state_dict())
    places = (
        {key: Slot((key,)) for key in keys}
        if layout == "latentaudio"
        else slots(name, config, keys, layout)
    )
    return fit(module, theirs, places, dtype, f"{theirs.source} ({name})")


def fitted(state: Mapping[str, torch.Tensor], name: str, config: ModelConfig) -> nn.Module:
    """A part with the state of one of diffusers' or transformers' modules, in float32."""
    import torch

    from .tensor_files import Tensors

    theirs = Tensors({key: (state, key) for key in state}, Path(f"the {name} given"))
    return _fitted(theirs, name, config, "diffusers", torch.float32)


def _lone(found: Found, name: str, dtype: torch.dtype | None) -> nn.Module:
    """A part from a file or folder of its own, in whichever layout most of its names are."""
    from . import audioldm_format, diffusers_format
    from .key_mapping import slots
    from .model_folder import blank, open_part

    path, config = found.parts[name], found.config
    if path.is_dir():
        theirs = (
            diffusers_format.open_part(path, name)
            if diffusers_format.is_whole(path, name)
            else diffusers_format.open_component(path)
        )
    else:
        theirs = open_part(path)
    inside = audioldm_format.open_part(theirs, name, found.averaged)
    theirs = inside if inside else theirs
    keys = list(blank(name, config).state_dict())
    names: dict[Layout, set[str]] = {"latentaudio": set(keys)}
    for layout in ("diffusers", "original"):
        names[layout] = {
            n for slot in slots(name, config, keys, layout).values() for n in slot.names
        }
    best = max(names, key=lambda layout: len(names[layout] & set(theirs)))
    return _fitted(theirs, name, config, best, dtype)


def size(row: Variant) -> int:
    """Bytes of the weights that a row of the table has in this installation; 0 means that they cannot be loaded."""
    return sum(file.stat().st_size for file in (ASSETS / row.name).glob("*.safetensors"))
