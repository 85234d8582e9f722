"""Estimates the memory of a request, and reports when memory does not suffice.

Nothing is loaded for an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from ..config.architecture import ModelConfig
from ..config.backends import BACKENDS
from ..config.options import GenerationOptions
from ..config.samplers import SAMPLERS
from ..errors import GenerationError, is_out_of_memory
from ..loaders.component_store import GENERATION_COMPONENTS, ComponentStore
from ..loaders.components import COMPONENTS, build_on_meta, component_names

PROCESS_GB = 0.3
"""Python and its libraries."""
KERNELS_GB = 0.25
"""Memory that oneDNN allocates for every new shape."""
CONVERSION_BYTES_PER_WEIGHT = 12
"""Memory for each weight of a network while it is converted for a backend."""
NUM_PLANES = 12
"""Activations of the VAE's widest plane that are in memory at once while decoding."""
NUM_WAVEFORM_COPIES = 3
"""Copies of the samples, and mels of a fraction of their size."""
_ADVICE = "use bf16, one candidate, a shorter clip, or a smaller model"


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory that a request takes, and the memory that is there.

    Attributes:
        required_gb: Peak of the process in GB (10^9 bytes), within a third.
        available_gb: Free memory and what the process holds already; None if unknown.
    """

    required_gb: float
    available_gb: float | None

    @property
    def fits(self) -> bool:
        """Whether the memory suffices, as far as it is known."""
        return self.available_gb is None or self.required_gb <= self.available_gb

    def __str__(self) -> str:
        text = f"this takes about {self.required_gb:.1f} GB of memory"
        if self.available_gb is not None:
            text += f"; {self.available_gb:.1f} GB are available"
        return text if self.fits else f"{text}: {_ADVICE}"


def estimate_memory(
    components: ComponentStore, options: GenerationOptions, window_frames: int, batch_size: int = 1
) -> MemoryEstimate:
    """Estimate the memory of a complete request (measured in benchmarks/memory.md).

    Weights count once: those that are used as they are stored are memory-mapped, and the system
    may drop and read them again.

    Args:
        components: The components of the model.
        options: Complete options.
        window_frames: Mel frames of one window.
        batch_size: Clips that are denoised together.

    Returns:
        The estimate, of the device's memory.
    """
    text_gb, generation_gb, clap_gb = _component_sizes(components, options)
    ranking_gb = clap_gb if options.candidates > 1 else 0.0
    activations_gb, samples_gb, process_gb = _sizes_beside_weights(
        components, options, window_frames, batch_size
    )
    if components.low_memory:
        # one text encoder is in memory at a time; all are unloaded before the UNet is loaded
        encoding_gb = max(text_gb, default=0.0)
        peak_gb = max(encoding_gb, generation_gb + ranking_gb + activations_gb)
    else:
        peak_gb = sum(text_gb) + generation_gb + activations_gb
    peak_gb += samples_gb
    peak_gb += process_gb
    return MemoryEstimate(peak_gb, available_memory(components.device))


def has_ample_memory(
    components: ComponentStore, options: GenerationOptions, window_frames: int, batch_size: int = 1
) -> bool:
    """Return whether memory suffices even if all weights of a published model are in it at once.

    An estimate builds the text encoders, whose library takes seconds to import. This does not.

    Args:
        components: The components of the model.
        options: Complete options.
        window_frames: Mel frames of one window.
        batch_size: Clips that are denoised together.
    """
    weights_bytes = components.source.spec.weights_bytes
    available_gb = available_memory(components.device)
    if not weights_bytes or available_gb is None:
        return False
    sizes = _sizes_beside_weights(components, options, window_frames, batch_size)
    return weights_bytes / 1e9 + sum(sizes) <= available_gb


def _sizes_beside_weights(
    components: ComponentStore, options: GenerationOptions, window_frames: int, batch_size: int
) -> tuple[float, float, float]:
    """Return GB of the activations, of the samples, and of libraries and kernels."""
    config = components.source.config
    num_frames = options.duration * config.mel.sample_rate / config.mel.hop_length
    plane = min(window_frames, num_frames) * config.mel.n_mels * config.vae.channels
    batch_size = min(batch_size, options.num_waveforms * options.candidates)
    item_bytes = components.dtype_of("vae").itemsize
    activations_gb = batch_size * NUM_PLANES * plane * item_bytes / 1e9
    num_samples = options.duration * config.mel.sample_rate
    samples_gb = NUM_WAVEFORM_COPIES * 4 * batch_size * num_samples / 1e9
    process_gb = PROCESS_GB + KERNELS_GB if components.device.type == "cpu" else 0.0
    return activations_gb, samples_gb, process_gb


def _component_sizes(
    components: ComponentStore, options: GenerationOptions
) -> tuple[list[float], float, float]:
    """Return GB of each text component, of all generation components, and of CLAP."""
    config = components.source.config
    is_distilled = SAMPLERS[options.sampler].is_distilled
    unused = {"unet" if is_distilled else "distilled_unet"}
    modes = {cue.audio_prompt_mode for cue in options.timeline}
    continues_loa = options.edit is not None and options.edit.continues_source
    if "loa" not in modes and not continues_loa:
        unused.add("audiomae")
    text_gb: list[float] = []
    generation_gb = 0.0
    clap_gb = 0.0
    for name in component_names(config):
        weight_bytes = components.dtype_of(name).itemsize
        if COMPONENTS[name].role == "denoise":
            weight_bytes = BACKENDS[components.backend].bytes_per_weight or weight_bytes
            if name not in unused and components.is_conversion_needed(name):
                weight_bytes = max(weight_bytes, CONVERSION_BYTES_PER_WEIGHT)
        size = num_parameters(name, config) * weight_bytes / 1e9
        if name == "clap":
            clap_gb = size
        if name in unused:
            continue
        if name in GENERATION_COMPONENTS:
            generation_gb += size
        else:
            text_gb.append(size)
    return text_gb, generation_gb, clap_gb


@cache
def num_parameters(name: str, config: ModelConfig) -> int:
    """Return the number of parameters of a component."""
    return sum(weight.numel() for weight in build_on_meta(name, config).parameters())


def available_memory(device: torch.device) -> float | None:
    """Return GB that this process can have: free memory and what it holds; None if unknown."""
    if device.type == "cuda":
        free_bytes = torch.cuda.mem_get_info(device)[0]
        return (free_bytes + torch.cuda.memory_reserved(device)) / 1e9
    available_kb = _read_kilobytes("/proc/meminfo", "MemAvailable:")
    held_kb = _read_kilobytes("/proc/self/status", "RssAnon:")
    if device.type != "cpu" or available_kb is None or held_kb is None:
        return None
    return min(available_kb / 1e6, _cgroup_headroom(Path("/sys/fs/cgroup"))) + held_kb / 1e6


def _read_kilobytes(file: str, name: str) -> int | None:
    """Return the number in a line of a Linux status file; None if there is no such file or line."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(name):
            return int(line.split()[1])
    return None


def _cgroup_headroom(group: Path) -> float:
    """Return GB that a container's limit leaves (cgroup v2, without cached files), or infinity."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        cached = int(stat.get("file", 0)) - int(stat.get("shmem", 0))
        return max(0.0, (limit - used + cached) / 1e9)
    except (OSError, ValueError):  # no such files, or "max"
        return float("inf")


@contextmanager
def raise_on_oom() -> Iterator[None]:
    """Raise GenerationError if memory does not suffice inside the block."""
    try:
        yield
    except Exception as error:  # of any kind: that of ONNX Runtime is no RuntimeError
        if not isinstance(error, torch.OutOfMemoryError) and not is_out_of_memory(error):
            raise
        raise GenerationError(f"memory does not suffice; {_ADVICE}") from None
