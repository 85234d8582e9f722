"""Time of the stages of a clip, for this library and for diffusers, with random weights.

Every round times each implementation once, so that other load on the machine affects all of them. A
result is the median of the rounds.

"clip, 10 DDIM steps" is the same work for all: DDIM, guidance and decoding for a prompt
that is encoded already. "clip, 200 DDIM steps" is the usual clip of diffusers. Its time is the sum
of text encoding, the clip of 10 steps, and 190 times the single step of the same round. A preset is
a full clip of this library with prompts encoded anew, in the format that `load` picks. It is
compared with the 200 steps of diffusers; most of the gain comes from fewer steps of another
sampler.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ..config.instruction_sets import held_set
from ..config.presets import PresetName
from ..config.registry import get_model_spec
from ..device import fast_dtype, pick_device
from ..loaders.prepared import FOLDER as PREPARED_FOLDER
from ..loaders.prepared import prepared_files
from .implementations import (
    PROMPT,
    Implementation,
    LatentAudioImplementation,
    latent_shape,
    random_conditioning,
)
from .process_cost import measure_cold_start
from .random_weights import write_random_model
from .results import (
    BASELINE,
    FULL_CLIP,
    FULL_CLIP_STEPS,
    SHORT_CLIP,
    SHORT_CLIP_STEPS,
    LatencyResults,
    preset_stage,
)

STAGES = {
    "text encoding": "encode_text",
    "language of audio": "generate_loa",
    "denoising step": "denoise_step",
    "VAE decoding": "decode_latent",
    "vocoder": "vocode",
}
"""Name in the table -> method of `Implementation`."""

_MATMUL_SIZE = 2048
_MATMUL_RUNS = 10  # the fastest counts
_CPU_FEATURES = ("avx_vnni", "avx512f", "avx512_bf16", "amx_bf16")

Progress = Callable[[int, int, str], None]
"""(number done, total, current work)."""


def time_call(work: Callable[[], object], device: str = "cpu") -> float:
    """Return the time of a call in seconds; on a GPU, by the GPU's own clock.

    Args:
        work: called once.
        device: cpu or cuda.

    Returns:
        Seconds.
    """
    if device.startswith("cuda"):
        start_event = torch.cuda.Event(enable_timing=True)
        stop_event = torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize(device)
        start_event.record()
        work()
        stop_event.record()
        stop_event.synchronize()
        return float(start_event.elapsed_time(stop_event)) / 1e3
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def matmul_gflops(dtype: torch.dtype, device: str = "cpu", size: int = _MATMUL_SIZE) -> float:
    """Return the speed of a product of square matrices in GFLOP/s, the best of ten runs.

    Args:
        dtype: type of the matrices.
        device: cpu or cuda.
        size: rows of a matrix.

    Returns:
        GFLOP/s.
    """
    a = torch.randn(size, size, device=device).to(dtype)
    b = torch.randn(size, size, device=device).to(dtype)
    with torch.inference_mode():
        fastest = min(time_call(lambda: a @ b, device) for _ in range(_MATMUL_RUNS))
    return 2 * size**3 / fastest / 1e9


def count_step_gflop(model: str, batch_size: int, num_frames: int) -> float:
    """Return the work of a guided denoising step in GFLOP, both halves of the guidance included.

    Args:
        model: name of the model in the registry.
        batch_size: clips at once.
        num_frames: latent frames of the clip.

    Returns:
        GFLOP, as torch counts them on the meta device.
    """
    from torch.utils.flop_counter import FlopCounterMode

    from ..models.unet import UNet

    config = get_model_spec(model).config
    with torch.device("meta"):
        unet = UNet(config.unet).eval()
        z = torch.zeros(latent_shape(config, 2 * batch_size, num_frames))
        cond = unet.prepare(random_conditioning(config, z))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            unet(z, torch.zeros(2 * batch_size), cond)
    return float(counter.get_total_flops()) / 1e9


def measure_latency(
    model: str,
    duration: float = 10.24,
    batch_size: int = 1,
    presets: Sequence[PresetName] = ("quality", "balanced", "fast", "draft"),
    rounds: int = 3,
    use_baseline: bool = True,
    device: str = "cpu",
    progress: Progress = lambda done, total, work: None,
) -> LatencyResults:
    """Time a model with random weights.

    Args:
        model: name of the model in the registry.
        duration: duration of the clips in seconds.
        batch_size: clips at once.
        presets: presets to time full clips with.
        rounds: number of measurements of each stage.
        use_baseline: also time diffusers.
        device: cpu, cuda or auto.
        progress: called with (number done, total, current work).

    Returns:
        The times.
    """
    device = str(pick_device(device))
    results = LatencyResults(model, duration, batch_size, machine=describe_machine(device))
    results.matmul_gflops = {
        "fp32": matmul_gflops(torch.float32, device),
        "bf16": matmul_gflops(torch.bfloat16, device),
    }
    fp32 = LatentAudioImplementation(model, "fp32", batch_size, duration, device)
    fastest = LatentAudioImplementation(model, "bf16", batch_size, duration, device)
    results.step_gflop = count_step_gflop(model, batch_size, fp32.num_frames)
    implementations: list[Implementation] = [fp32, fastest]
    if device == "cpu" and fast_dtype(torch.device(device), "auto") is None:
        fastest = fp32  # bf16 would be emulated
    if device.startswith("cuda"):
        fastest = LatentAudioImplementation(model, "bf16", batch_size, duration, device, True)
        implementations.append(fastest)
    if use_baseline:
        from .baselines import DiffusersImplementation

        num_tokens = len(PROMPT.split()) + 2  # about one per word, start and end
        config = fp32.model.config
        baseline = DiffusersImplementation(config, batch_size, fp32.num_frames, num_tokens, device)
        implementations.insert(0, baseline)
    num_stages = len(STAGES) + 1
    total = num_stages + rounds * len(presets)
    for done, stage in enumerate((*STAGES, SHORT_CLIP), 1):
        _time_stage(results, implementations, stage, rounds, device)
        progress(done, total, stage)
    for k in range(rounds):
        for done, preset in enumerate(presets, num_stages + 1 + k * len(presets)):
            seconds = time_call(partial(fastest.generate_with_preset, preset), device)
            results.add(fastest.name, preset_stage(preset), seconds)
            progress(done, total, preset_stage(preset))
    if use_baseline:
        _add_baseline_full_clip(results, rounds)
    return results


def _time_stage(
    results: LatencyResults,
    implementations: Sequence[Implementation],
    stage: str,
    rounds: int,
    device: str,
) -> None:
    """Time a stage of every implementation, in turn."""
    calls: dict[str, Callable[[], None]] = {}
    for implementation in implementations:
        if stage == SHORT_CLIP:
            calls[implementation.name] = partial(implementation.generate_clip, SHORT_CLIP_STEPS)
        else:
            calls[implementation.name] = getattr(implementation, STAGES[stage])
    for call in calls.values():  # not timed: allocates memory and packs weights
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            results.add(name, stage, time_call(call, device))


def _add_baseline_full_clip(results: LatencyResults, rounds: int) -> None:
    """The usual clip of diffusers, from the parts of the same round."""
    seconds = results.seconds[BASELINE]
    for k in range(rounds):
        steps = (FULL_CLIP_STEPS - SHORT_CLIP_STEPS) * seconds["denoising step"][k]
        text = seconds["text encoding"][k] + seconds["language of audio"][k]
        results.add(BASELINE, FULL_CLIP, seconds[SHORT_CLIP][k] + (steps + text))


def add_cold_starts(
    results: LatencyResults, presets: Sequence[PresetName], device: str = "cpu"
) -> None:
    """Measure `generate` twice in new processes, with a float32 model folder written for it.

    The second one finds converted weights and the encoded prompt of the first one.

    Args:
        results: gets the costs.
        presets: presets to measure.
        device: cpu, cuda or auto.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary, results.model)
        write_random_model(folder, results.model)
        for preset in presets:
            flags = ("--preset", preset, "--device", device)
            cache = Path(temporary, f"cache-{preset}")
            for starts in (results.cold_start, results.second_start):
                starts[preset] = measure_cold_start(
                    str(folder), PROMPT, results.duration, flags=flags, cache=cache
                )
            files = [*prepared_files(folder), *cache.rglob("*.safetensors")]
            results.kept_bytes = sum(file.stat().st_size for file in files)
            shutil.rmtree(folder / PREPARED_FOLDER, ignore_errors=True)


def describe_machine(device: str) -> str:
    """Return processor, threads, instructions and version of torch, for a table."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.is_file() else ""
    features = " ".join(name for name in _CPU_FEATURES if name in flags) or "no AVX-512"
    limit = held_set(os.environ)
    if limit:
        features = f"held to {limit}, has {features}"
    return f"CPU, {torch.get_num_threads()} threads, {features}, torch {torch.__version__}"
