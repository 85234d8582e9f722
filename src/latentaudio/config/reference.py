"""Where the authors' code and diffusers compute different sound from the same weights, as data. Torch-free.

Knows the differences and three presets of them; a difference is a field that one room reads. Refuses to know how to compute.
`docs/fidelity.md` explains every row in two lines. Sources: spec sections 4.2, 5, 6.4, 8.2, 9 and 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..errors import UsageError

PresetName: TypeAlias = Literal["clean", "original", "diffusers"]
NullLOA: TypeAlias = Literal["zeros", "generate"]


@dataclass(frozen=True)
class Fidelity:
    """One way of computing with published weights.

    null_loa: the language of audio that guidance steers away from where nothing is said: zeros, or what the translator writes
    for the empty text (spec 5.4).
    eta: DDIM's fresh noise where nobody asks for another (spec 5.2).
    ema: averaged weights where a file has both and its authors sampled with them (spec 5.5).
    heads: of the UNet's attention: as trained, or as the model's folder says, which is 8 at every level (spec 4.2).
    positions: places of the translator's sequence count real tokens only, or padding too (spec 6.4).
    pad_null: the empty or negative text is padded to the prompt's length, which moves the translator's places (spec 5.4).
    framing: of mels read to be sounded again: the vocoder's, or centred frames (spec 1.1).
    ear: a clip shorter than CLAP's ten seconds is tiled to them, or stretched by the network; AudioLDM 1 tiles (spec 1.4).
    clap_eps: LayerNorm epsilon of CLAP's text tower; None: the model's own (spec 6.1).
    clap_null: chance that a prompt's CLAP vector is replaced by that of the empty text, even when generating (spec 5.6).
    trim: clips end where they were asked to; False leaves the vocoder's extra samples (spec 3).
    lengthen: a clip shorter than any that was trained is cut out of one as long as those; False samples it as short as it is.
    grid: latents are sampled on grids the UNet can halve, as trained, or on the shortest that the VAE can decode; the authors
    take 2.4 % more cells than the seconds have (spec 8.4).
    mask: cells of a latent that are made anew: all that a span and a band touch, or the authors' slices of whole cells, rounded
    down, any one of which suffices (spec 8.2).
    weak: guidance below 1 mixes the two predictions; False takes it as none (spec 5.4).
    clamp: AudioLDM 1's latents that run away are clamped to +-10 before decoding (spec 5.5).
    finish: peaks are limited and edges faded, or samples stay as the vocoder made them.
    """

    name: PresetName
    null_loa: NullLOA = "zeros"
    eta: float = 0.0
    ema: bool = True
    heads: Literal["trained", "stored"] = "trained"
    positions: Literal["real", "all"] = "real"
    pad_null: bool = False
    framing: Literal["vocoder", "centred"] = "vocoder"
    ear: Literal["tile", "stretch"] = "tile"
    clap_eps: float | None = None
    clap_null: float = 0.0
    trim: bool = True
    lengthen: bool = True
    grid: Literal["unet", "vae", "authors"] = "unet"
    mask: Literal["touched", "slices"] = "touched"
    weak: bool = True
    clamp: bool = False
    finish: bool = True


FIDELITIES: dict[str, Fidelity] = {
    "clean": Fidelity("clean"),
    "original": Fidelity(
        "original", eta=1.0, positions="all", framing="centred", ear="stretch", clap_eps=1e-5, clap_null=0.1, trim=False,
        lengthen=False, grid="authors", mask="slices", clamp=True, finish=False,
    ),
    "diffusers": Fidelity(
        "diffusers", null_loa="generate", ema=False, heads="stored", positions="all", pad_null=True, clap_eps=1e-12,
        lengthen=False, grid="vae", weak=False, finish=False,
    ),
}  # fmt: skip


def fidelity(name: str) -> Fidelity:
    """The preset of that name; raises `UsageError` listing what exists."""
    if name not in FIDELITIES:
        raise UsageError(f"no fidelity is called {name!r}; there are: {', '.join(FIDELITIES)}")
    return FIDELITIES[name]
