"""What a run needs before it begins: parameters, memory by part, operations and time of a step.

The losses and their gradients run once on the meta device, which has shapes and no numbers. Every
allocation is counted as it is made and freed. The time on this machine is measured on real steps
(`step_time`), that on another machine is computed from its data sheet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ..config.audiomae import training_config
from ..config.registry import get_model_spec
from ..data.manifest import DataSources, read_manifest
from ..device import fast_dtype, pick_device
from ..errors import UsageError
from ..models.checkpointing import checkpoint_activations
from .encode_plan import bucket_by_length
from .memory_counter import EmulatedKernels, LiveMemory
from .recipe import Recipe
from .skeleton import MAX_FRAMES, build_skeleton
from .stages.base import Batch, Stage
from .step_time import Timer, clips_per_batch, seconds_per_step
from .trainable import enable_gradients_of

PROCESS_BYTES = 550_000_000
"""Python, torch and transformers without any tensor, measured on Linux."""
UTILIZATION = 0.35
"""Assumed share of a machine's multiplications per second that a large training reaches."""
MAX_MEASURED_BYTES = 4e9
"""Memory of a step above which no step is run to measure its time."""
_ADAM_MOMENTS = 2
_FLOAT_BYTES = 4
_MATMUL_SIDE = 768
_MATMUL_SECONDS = 0.2


@dataclass(frozen=True)
class Machine:
    """Speed and memory of a device.

    Attributes:
        name: Name to show.
        flops_per_second: Operations per second of large matrix products.
        memory_bytes: Memory; None: unknown.
    """

    name: str
    flops_per_second: float
    memory_bytes: float | None = None


MACHINES: dict[str, Machine] = {
    "rtx-3060": Machine("NVIDIA RTX 3060", 51e12, 12e9),
    "rtx-3090": Machine("NVIDIA RTX 3090", 71e12, 24e9),
    "rtx-4090": Machine("NVIDIA RTX 4090", 165e12, 24e9),
    "a100": Machine("NVIDIA A100", 312e12, 80e9),
    "h100": Machine("NVIDIA H100", 989e12, 80e9),
}
"""Machines for `--machine`: dense bfloat16 products with float32 sums, from the data sheets."""


@dataclass(frozen=True)
class Estimate:
    """Needs of a run.

    Attributes:
        num_trained: Parameters that learn.
        num_frozen: Parameters that are only used.
        memory: Bytes by part. Their sum is the peak of a step.
        activation_bytes: Activations alone. They are freed while the gradients are computed.
        flops: Operations of a step; a multiplication with its addition counts two.
        clips_per_step: Clips of a step.
        steps: Steps of the run.
        machine: The machine that the times are for.
        data_clips: Clips of the data; None: no data was named.
        data_seconds: Their duration.
        measured_seconds: Time of a step, if it was measured.
    """

    num_trained: int
    num_frozen: int
    memory: dict[str, int]
    activation_bytes: int
    flops: int
    clips_per_step: int
    steps: int
    machine: Machine
    data_clips: int | None = None
    data_seconds: float = 0.0
    measured_seconds: float | None = None

    @property
    def peak_bytes(self) -> int:
        """Peak of the memory in a step."""
        return sum(self.memory.values())

    @property
    def seconds_per_step(self) -> float:
        """Time of a step, measured or guessed."""
        if self.measured_seconds is not None:
            return self.measured_seconds
        return self.flops / (UTILIZATION * self.machine.flops_per_second)

    def lines(self) -> list[str]:
        """Return the estimate as lines of text."""
        lines = [
            f"parameters   {self.num_trained:,} learn, {self.num_frozen:,} frozen",
            f"memory       {_gb(self.peak_bytes)} in a step",
        ]
        for part, size in self.memory.items():
            lines.append(f"  {part:<23} {_gb(size)}")
        lines.append(f"  (activations alone      {_gb(self.activation_bytes)})")
        capacity = self.machine.memory_bytes
        if capacity is not None and self.peak_bytes > capacity:
            lines.append(
                f"             more than the {_gb(capacity)} of {self.machine.name}: halve the "
                "batch and double gradient_accumulation_steps, or set activation_checkpointing"
            )
        seconds = self.seconds_per_step
        lines.append(
            f"step         {self.clips_per_step} clips, {self.flops / 1e12:.3g} TFLOP, "
            f"about {_duration(seconds)} on {self.machine.name}"
        )
        lines.append(f"run          {self.steps:,} steps, about {_duration(seconds * self.steps)}")
        if self.data_clips:
            steps = self.data_clips / self.clips_per_step
            epochs = self.steps / steps
            lines.append(
                f"data         {self.data_clips:,} clips, {_duration(self.data_seconds)} of sound: "
                f"about {_duration(seconds * steps)} for all of them once, {epochs:.3g} times in "
                "the run"
            )
        return lines


def estimate_run(
    recipe: Recipe,
    data: DataSources = (),
    machine: str | None = None,
    timer: Timer = time.perf_counter,
) -> Estimate:
    """Return what a run needs. Nothing is trained, written or downloaded.

    Args:
        recipe: Recipe of the run.
        data: Data sets of captioned audio; empty: without times for the data.
        machine: A key of `MACHINES`; None: this machine, whose speed is measured.
        timer: Clock of that measurement.

    Raises:
        ConfigError: The recipe is wrong, or its stage cannot be estimated.
        UsageError: There is no such machine.
    """
    if machine is not None and machine not in MACHINES:
        raise UsageError(f"--machine {machine!r} is not known; choose {', '.join(MACHINES)}")
    clips = read_manifest(*data) if data else ()
    device = torch.device("cuda") if machine is not None else pick_device(recipe.device)
    dtype = _computing_dtype(recipe, device, is_here=machine is None)
    config = training_config(get_model_spec(recipe.model).config)
    clip_frames = max(bucket_by_length(clips, config), default=MAX_FRAMES)
    stage = build_skeleton(recipe, config, clip_frames=clip_frames)
    stage.step = recipe.steps  # discriminators have begun
    step = measure_step(stage, device.type, dtype)
    num_micro_batches = recipe.gradient_accumulation_steps
    measured = None
    speed = MACHINES[machine] if machine is not None else measure_machine(device, dtype)
    if machine is None and sum(step.memory.values()) <= MAX_MEASURED_BYTES:
        measured = seconds_per_step(recipe, config, device, clip_frames, timer)
    return Estimate(
        num_trained=step.num_trained,
        num_frozen=step.num_frozen,
        memory=step.memory,
        activation_bytes=step.activation_bytes,
        flops=num_micro_batches * step.flops,
        clips_per_step=num_micro_batches * clips_per_batch(recipe, clip_frames),
        steps=recipe.steps,
        machine=speed,
        data_clips=len(clips) if data else None,
        data_seconds=sum(clip.duration for clip in clips),
        measured_seconds=measured,
    )


def _computing_dtype(recipe: Recipe, device: torch.device, is_here: bool) -> torch.dtype | None:
    """The type of autocast; None: float32."""
    if is_here:
        return fast_dtype(device, recipe.precision)
    return None if recipe.precision == "fp32" else torch.bfloat16


def measure_machine(device: torch.device, dtype: torch.dtype | None) -> Machine:
    """Return the speed of this machine in large matrix products, measured for a moment.

    Args:
        device: The device.
        dtype: Type of the numbers; None: float32.
    """
    side = _MATMUL_SIDE if device.type == "cpu" else 4 * _MATMUL_SIDE
    matrix = torch.ones(side, side, device=device, dtype=dtype or torch.float32)
    (matrix @ matrix).sum().item()
    start = time.monotonic()
    count = 0
    while time.monotonic() - start < _MATMUL_SECONDS:
        (matrix @ matrix)[0, 0].item()
        count += 1
    seconds = time.monotonic() - start
    return Machine("this machine", count * 2 * side**3 / seconds)


@dataclass(frozen=True)
class StepNeeds:
    """Parameters, bytes by part and operations of the losses of one micro-batch."""

    num_trained: int
    num_frozen: int
    memory: dict[str, int]
    activation_bytes: int
    flops: int


def measure_step(stage: Stage, device_type: str, dtype: torch.dtype | None) -> StepNeeds:
    """Run the losses of a stage and their gradients on the meta device.

    Args:
        stage: Result of `build_skeleton`.
        device_type: Device that the step is measured for, such as "cpu".
        dtype: Type of autocast; None: float32.
    """
    trained = list(_parameters(stage.trainables.values(), requires_grad=True))
    frozen = list(_parameters([*stage.trainables.values(), *stage.frozen.values()], False))
    kernels = EmulatedKernels(device_type, dtype)
    if stage.recipe.activation_checkpointing:
        for module in stage.trainables.values():
            checkpoint_activations(module, kernels.second_run)
    batch = stage.batch(0)
    peak = 0
    activations = 0
    flops = 0
    parameters = {}
    for name, module in stage.trainables.items():
        parameters[name] = list(_parameters([module], requires_grad=True))
    for name in stage.trainables:
        enable_gradients_of(name, parameters)
        counter = FlopCounterMode(display=False)
        kernels.flops = 0
        live = LiveMemory([*stage.trainables.values(), *stage.frozen.values(), batch])
        if stage.recipe.activation_checkpointing:
            # the counter of operations keeps the tensors of second runs
            _run_losses(stage, name, batch, kernels, [counter])
            attention_flops = kernels.flops
            for parameter in trained:
                parameter.grad = None
            _run_losses(stage, name, batch, kernels, [live])
        else:
            _run_losses(stage, name, batch, kernels, [counter, live])
            attention_flops = kernels.flops
        peak = max(peak, live.peak)
        activations = max(activations, live.at_backward)
        flops += counter.get_total_flops() + attention_flops
        for parameter in trained:
            parameter.grad = None
    for parameter in trained:
        parameter.requires_grad_(True)
    num_trained = sum(parameter.numel() for parameter in trained)
    return StepNeeds(
        num_trained,
        sum(parameter.numel() for parameter in frozen),
        {
            "weights that learn": _num_bytes(trained),
            "frozen weights": _num_bytes(frozen),
            "averaged weights": _num_bytes(trained) if stage.recipe.ema_decay > 0 else 0,
            "moments of AdamW": _ADAM_MOMENTS * _FLOAT_BYTES * num_trained,
            "gradients, activations": peak,
            "batch": _batch_bytes(batch),
            "program": PROCESS_BYTES,
        },
        activations,
        flops,
    )


def _run_losses(
    stage: Stage,
    name: str,
    batch: Batch,
    kernels: EmulatedKernels,
    counters: Sequence[LiveMemory | FlopCounterMode],
) -> None:
    """Run losses and gradients of one trainable, and count what they allocate and compute."""
    for module in stage.trainables.values():
        module.train()
    with ExitStack() as stack:
        for counter in counters:
            stack.enter_context(counter)
        stack.enter_context(kernels)
        is_autocast = kernels.dtype is not None
        stack.enter_context(torch.autocast("cpu", torch.bfloat16, enabled=is_autocast))
        losses = stage.losses(batch, name, Generator())
        total = stage.total_loss(losses)
        kernels.copies.clear()
        for counter in counters:
            if isinstance(counter, LiveMemory):
                counter.at_backward = counter.live
        total.backward()
        del losses, total


def _parameters(modules: Iterable[nn.Module], requires_grad: bool) -> Iterable[nn.Parameter]:
    """Parameters of modules, each once."""
    seen: set[int] = set()
    for module in modules:
        for parameter in module.parameters():
            if parameter.requires_grad == requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _batch_bytes(batch: Any) -> int:
    return _num_bytes(value for value in tree_leaves(batch) if isinstance(value, Tensor))


def _gb(size: float) -> str:
    return f"{size / 1e9:7.2f} GB"


def _duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for limit, unit in ((120, 1), (7200, 60), (172_800, 3600)):
        if seconds < limit:
            return f"{seconds / unit:.3g} {_UNITS[unit]}"
    return f"{seconds / 86_400:.3g} days"


_UNITS = {1: "s", 60: "min", 3600: "h"}
