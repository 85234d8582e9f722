"""Differences between the reference implementations of AudioLDM, as data.

The authors' code and diffusers compute different sound from the same weights. A difference is one
field here, which is read in one place. docs/concepts/reference-modes.md explains every field
(numerics: reference differences). Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..errors import UsageError
from .presets import PresetName

ReferenceName: TypeAlias = Literal["clean", "original", "diffusers"]
UncondLOA: TypeAlias = Literal["zeros", "generate"]
MelFraming: TypeAlias = Literal["vocoder", "centered"]
CLAPPadding: TypeAlias = Literal["repeatpad", "stretch"]


@dataclass(frozen=True)
class ReferenceBehavior:
    """The implementation that is imitated when published weights are used.

    Attributes:
        name: "clean" (as trained, known mistakes repaired), "original" (the authors' code) or
            "diffusers".
        uncond_loa: Unconditional language of audio for guidance: zeros, or the translator's output
            for the empty text (numerics: guidance).
        eta: Default noise of a DDIM step (numerics: schedules and samplers).
        use_ema: Whether averaged weights are used if a file has both kinds and its authors sampled
            with them.
        attention_heads: Heads of the UNet's attention: as trained, or as the model's folder lists,
            which is 8 at every level (numerics: UNet).
        position_ids: Whether positions of the translator's sequence count real tokens only, or
            padding too (numerics: translator).
        pad_uncond: Whether the empty or negative prompt is padded to the prompt's length, which
            moves the translator's positions (numerics: guidance).
        mel_framing: Frames of mels that are re-synthesized: the vocoder's, or centered ones
            (numerics: mel front ends).
        clap_padding: A clip shorter than CLAP's ten seconds is repeated and padded, or stretched by
            the network; AudioLDM 1 always repeats (numerics: CLAP).
        clap_eps: LayerNorm epsilon of CLAP's text encoder; None is the model's own.
        clap_dropout_prob: Probability that a prompt's CLAP vector is replaced by that of the empty
            text, even when generating (numerics: CLAP).
        trim_vocoder_tail: Whether clips end at the requested duration, or keep the vocoder's extra
            samples (numerics: vocoder).
        pad_to_min_duration: Whether a clip shorter than any training clip is cut out of one of that
            length, or sampled as short as it is.
        latent_rounding: Sizes to which latents are rounded up. "unet": sizes that the UNet can
            halve, as trained. "vae": sizes that the VAE can decode. "original": the authors' sizes,
            with 2.4 % more frames than the duration needs.
        latent_mask_mode: Latent cells that an inpainting mask regenerates. "overlap": every cell
            that a time range and a frequency range overlap. "slices": the authors' slices of whole
            cells, rounded down, of a time range or a frequency range (numerics: editing masks).
        cfg_below_one: Whether a guidance scale below 1 mixes both predictions; if not, it switches
            guidance off.
        clamp_latents: Whether diverging latents of AudioLDM 1 are clamped to ±10 before decoding.
        normalize_output: Whether peaks are limited, edges faded and levels normalized by default,
            or samples stay as the vocoder made them.
        levels_sources: Whether sources of edits and audio prompts are brought to the level of the
            training clips, and results back to theirs.
        uses_windows: Whether clips longer than the training clips are sampled in windows.
        in_context_by_default: Whether edits continue the language of audio of their source if the
            request does not set `in_context`.
        preset: Default preset; None is the model's own.
    """

    name: ReferenceName
    uncond_loa: UncondLOA = "zeros"
    eta: float = 0.0
    use_ema: bool = True
    attention_heads: Literal["trained", "stored"] = "trained"
    position_ids: Literal["real", "all"] = "real"
    pad_uncond: bool = False
    mel_framing: MelFraming = "vocoder"
    clap_padding: CLAPPadding = "repeatpad"
    clap_eps: float | None = None
    clap_dropout_prob: float = 0.0
    trim_vocoder_tail: bool = True
    pad_to_min_duration: bool = True
    latent_rounding: Literal["unet", "vae", "original"] = "unet"
    latent_mask_mode: Literal["overlap", "slices"] = "overlap"
    cfg_below_one: bool = True
    clamp_latents: bool = False
    normalize_output: bool = True
    levels_sources: bool = True
    uses_windows: bool = True
    in_context_by_default: bool = True
    preset: PresetName | None = None


REFERENCES: dict[str, ReferenceBehavior] = {
    "clean": ReferenceBehavior("clean"),
    "original": ReferenceBehavior(
        "original",
        eta=1.0,
        position_ids="all",
        mel_framing="centered",
        clap_padding="stretch",
        clap_eps=1e-5,
        clap_dropout_prob=0.1,
        trim_vocoder_tail=False,
        pad_to_min_duration=False,
        latent_rounding="original",
        latent_mask_mode="slices",
        clamp_latents=True,
        normalize_output=False,
        levels_sources=False,
        uses_windows=False,
        in_context_by_default=False,
        preset="paper",
    ),
    "diffusers": ReferenceBehavior(
        "diffusers",
        uncond_loa="generate",
        use_ema=False,
        attention_heads="stored",
        position_ids="all",
        pad_uncond=True,
        clap_eps=1e-12,
        pad_to_min_duration=False,
        latent_rounding="vae",
        cfg_below_one=False,
        normalize_output=False,
        levels_sources=False,
        uses_windows=False,
        in_context_by_default=False,
        preset="paper",
    ),
}
"""Every reference by its name."""


def get_reference(name: str) -> ReferenceBehavior:
    """Return the behavior of one reference implementation.

    Args:
        name: "clean", "original" or "diffusers".

    Raises:
        UsageError: If there is no reference of that name.
    """
    if name not in REFERENCES:
        raise UsageError(f"no reference is called {name!r}; choose one of: {', '.join(REFERENCES)}")
    return REFERENCES[name]
