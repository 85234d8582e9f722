"""Functions of a model for the benchmarks of quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluate.mini.determinism import Generate
    from ..evaluate.mini.quality import Clips, Reconstruct, Similarity
    from ..pipeline import AudioLDM


def model_functions(
    system: AudioLDM, model: str, device: str
) -> tuple[Generate, Reconstruct, Similarity | None, Generate]:
    """Return what the quality benchmark needs of a model.

    Args:
        system: the model.
        model: its name, to load it once more in float32.
        device: of that.

    Returns:
        The model, clips through its codec, similarities of its CLAP, and the model in batches.
    """
    similarity = system.similarity if system.config.clap else None
    batched = _batched_generate_fn(model, device)
    return _generate_fn(system), _reconstruct_fn(system), similarity, batched


def _generate_fn(system: AudioLDM) -> Generate:
    """One clip per prompt, without candidates."""

    def generate(prompts: list[str], duration: float, seed: int) -> Clips:
        clips = system.generate(prompts, duration=duration, seed=seed, candidates=1)
        return [clip.samples[0] for clip in clips]

    return generate


def _batched_generate_fn(model: str, device: str) -> Generate:
    """As `_generate_fn`, in float32 and with two prompts in one batch."""
    from ..pipeline import load

    system = load(model, device, "fp32")
    system.batch_size = 2
    return _generate_fn(system)


def _reconstruct_fn(system: AudioLDM) -> Reconstruct:
    """Clips through VAE and vocoder."""

    def reconstruct(clips: Clips) -> Clips:
        return [system.reconstruct(clip)[0] for clip in clips]

    return reconstruct
