"""Transfer and variation: SDEdit from the noised clip (arXiv 2108.01073)."""

from __future__ import annotations

from ...codec import AudioCodec
from ...config.architecture import MelSpec
from ...config.edits import TransferOptions, VaryOptions
from ...types import LatentEdit
from ..base import EditPlan, EditSource


def validate(edit: TransferOptions | VaryOptions, source: EditSource, mel: MelSpec) -> None:
    """Do nothing: every strength fits every source."""


def plan(edit: TransferOptions | VaryOptions, source: EditSource, codec: AudioCodec) -> EditPlan:
    """Start from the noised latent of the source; nothing of it is kept as it is."""
    sample_rate = codec.config.mel.sample_rate
    num_frames = codec.num_frames(source.duration(sample_rate))
    strength = shift_strength(edit.strength, codec.source.spec.strength_shift)
    gain = codec.source_gain(source.audio.samples)
    init = codec.encode(gain * source.audio.samples, num_frames)
    return EditPlan(LatentEdit(init, strength), lambda waveform: waveform / gain)


def shift_strength(strength: float, shift: float) -> float:
    """Map a strength to the fraction of the diffusion process it re-runs.

    s' = shift s / (1 + (shift - 1) s). Models whose latents change little at half the noise level
    have a shift above 1 (`ModelSpec.strength_shift`).
    """
    return shift * strength / (1.0 + (shift - 1.0) * strength)
