"""Several processes that train one run together, started by torchrun.

    torchrun --nproc-per-node 2 -m latentaudio train RECIPE --data DATA -o RUN

Each optimizer step has `gradient_accumulation_steps` micro-batches. The processes divide them: of W
processes, number r takes the micro-batches r, r + W, ... Their gradients are added. So the recipe
alone decides what a step learns from, and the number of processes decides only how fast it is.

Only the first process writes. Numbers travel by gloo between CPUs and by NCCL between GPUs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

# Torch imports it late, and its default arguments would then hold the group for ever: the group's
# threads would still run when Python ends, and abort the process (pytorch issue 190489).
import torch.distributed.nn.functional
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from ..errors import ConfigError, TrainingError, first_line
from .recipe import Recipe

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)
"""Longest time that a process waits for another one, for example for its checkpoint."""
_BUCKET_ELEMENTS = 2**24  # gradients that are added in one message: 64 MB
_POLL_S = 0.1
_RUNNING_STATISTICS = (".running_mean", ".running_var")


def process_rank() -> int:
    """Return the number of this process among those that torchrun started, from 0."""
    return int(os.environ.get("RANK", "0")) if num_processes() > 1 else 0


def num_processes() -> int:
    """Return the number of processes that torchrun started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@dataclass
class Processes:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: Number of this process, from 0.
        count: Number W of processes.
        store: Small values that all processes can read; None: there is one process.
    """

    rank: int = 0
    count: int = 1
    store: Store | None = None
    _num_waits: int = field(default=0, init=False)

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.rank == 0

    def micro_batches(self, num_micro_batches: int) -> range:
        """Return the numbers of this process's micro-batches of a step.

        Args:
            num_micro_batches: Micro-batches of a step in all processes.
        """
        return range(self.rank, num_micro_batches, self.count)

    @contextmanager
    def first_process_first(self) -> Iterator[None]:
        """Run a block in the first process, and after it in all others.

        The first process may take hours, for example to encode clips.

        Raises:
            TrainingError: The block failed in the first process.
        """
        self._num_waits += 1
        key = f"wait{self._num_waits}"
        if self.store is None:
            yield
        elif self.is_first:
            is_done = False
            try:
                yield
                is_done = True
            finally:
                self.store.set(key, "done" if is_done else "failed")
        else:
            with connection_errors_reported():
                while not self.store.check([key]):
                    time.sleep(_POLL_S)
                has_failed = self.store.get(key) != b"done"
            if has_failed:
                raise TrainingError("the first process has stopped; its message says why")
            yield

    def largest(self, values: Sequence[float]) -> list[float]:
        """Return the largest of each number in all processes.

        Args:
            values: Numbers of this process.
        """
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        with connection_errors_reported():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        result: list[float] = tensor.tolist()
        return result

    @torch.no_grad()
    def copy_first(self, module: nn.Module) -> None:
        """Give a module the parameters and buffers that it has in the first process.

        Args:
            module: Module of the same shape in all processes.
        """
        if self.count == 1:
            return
        with connection_errors_reported():
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor.detach(), 0)

    @torch.no_grad()
    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace gradients by their sums over all processes.

        A parameter without a gradient in any process keeps none, so that the optimizer leaves it
        alone.

        Args:
            parameters: Parameters in the same order in all processes.
        """
        if self.count == 1 or not parameters:
            return
        # How many processes have a gradient of each parameter travels with the gradients.
        flags = [float(parameter.grad is not None) for parameter in parameters]
        num_gradients = torch.tensor(flags, device=parameters[0].device)
        gradients = [num_gradients]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        with connection_errors_reported():
            for bucket in _buckets(gradients):
                _sum_bucket(bucket)
        for parameter, number in zip(parameters, num_gradients.tolist(), strict=True):
            if number == 0:
                parameter.grad = None

    @torch.no_grad()
    def average_running_statistics(self, module: nn.Module) -> None:
        """Replace the running statistics of batch normalization by their mean over all processes.

        Args:
            module: Module in training.
        """
        if self.count == 1:
            return
        with connection_errors_reported():
            for name, buffer in module.named_buffers():
                if name.endswith(_RUNNING_STATISTICS):
                    dist.all_reduce(buffer, dist.ReduceOp.SUM)
                    buffer /= self.count


ALONE = Processes()


def check_number_of_processes(recipe: Recipe, count: int) -> None:
    """Raise unless the micro-batches of a step can be divided among processes.

    Args:
        recipe: Recipe of the run.
        count: Number of processes.

    Raises:
        ConfigError: There are too few micro-batches.
    """
    num_micro_batches = recipe.gradient_accumulation_steps
    if num_micro_batches < count:
        raise ConfigError(
            f"a step has {num_micro_batches} micro-batches, too few for {count} processes; "
            f"start fewer, or add --set gradient_accumulation_steps={count} and divide the "
            "batch size by as much"
        )
    if recipe.sharding == "full" and num_micro_batches % count:
        raise ConfigError(
            f"sharding: full needs gradient_accumulation_steps to be a multiple of {count} "
            f"processes, not {num_micro_batches}"
        )


@contextmanager
def joined_processes(device: torch.device) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that torchrun started, if it started this one.

    Args:
        device: Device that the recipe names. Each process gets its own GPU of it.

    Yields:
        The processes, and the device of this one.

    Raises:
        TrainingError: Another process cannot be reached.
    """
    if num_processes() == 1:
        yield ALONE, device
        return
    backend = "gloo"
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    with connection_errors_reported():
        # the addresses are in environment variables that torchrun sets
        store, rank, count = next(iter(rendezvous("env://", timeout=TIMEOUT)))
        dist.init_process_group(
            backend,
            store=PrefixStore("torch", store),
            rank=rank,
            world_size=count,
            timeout=TIMEOUT,
        )
    try:
        yield Processes(rank, count, PrefixStore("latentaudio", store)), device
    finally:
        dist.destroy_process_group()


@contextmanager
def connection_errors_reported() -> Iterator[None]:
    """Turn errors of torch.distributed in the block into one line.

    Raises:
        TrainingError: Another process has ended, or did not answer in time.
    """
    try:
        yield
    except RuntimeError as error:  # the base of all errors of torch.distributed
        raise TrainingError(
            f"another process of this training has ended or does not answer "
            f"({first_line(error)}); the same command resumes the run at its last checkpoint"
        ) from None


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield tensors in groups for one message each."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        bucket.append(tensor)
        size += tensor.numel()
        if size >= _BUCKET_ELEMENTS:
            yield bucket
            bucket = []
            size = 0
    if bucket:
        yield bucket


def _sum_bucket(gradients: list[Tensor]) -> None:
    """Replace tensors of one type by their sums over all processes, in one message."""
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat, dist.ReduceOp.SUM)
    start = 0
    for gradient in gradients:
        end = start + gradient.numel()
        gradient.copy_(flat[start:end].view_as(gradient))
        start = end
