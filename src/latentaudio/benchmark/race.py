"""A race of implementations: a guided step, decoding, memory, and the time to the first step.

Every variant of every rival runs in a process of its own, since their pools of threads would
disturb each other, and since memory can only be told apart by process. In each round every process
computes once, in turn, so that other load on the machine affects all of them. A result is the
median of the rounds.

All compute the same step: both halves of guidance, then DDIM. Weights are random. Rivals that read
our networks get the same weights, so the distance of their predictions from ours in float32 is that
of their arithmetic. Conversion is not timed.

Whole clips are calculated: the number of steps times the median step, and decoding. Texts are not
encoded.
"""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from ..backends.graphs import conditioning_tensors
from ..config.instruction_sets import held_set
from ..config.parsing import parse_json
from ..config.rivals import OURS, RIVALS
from ..diffusion.schedule import Schedule
from ..errors import DataError
from ..types import cat_conditionings
from .implementations import GUIDANCE_SCALE, latent_shape, random_conditioning
from .latency import describe_machine
from .random_weights import random_model
from .results import RaceEntry, RaceResults
from .rivals import get_rival
from .rivals.base import Problem

Progress = Callable[[int, int, str], None]
"""(number done, total, current work)."""

_T = 500  # any: the cost of a step does not depend on it
_NEXT_T = 480
_REFERENCE = (OURS, "float32")


def convert(
    model: str, duration: float, rivals: Sequence[str], folder: Path, progress: Progress
) -> None:
    """Write the files that the rivals read; files that exist stay.

    Args:
        model: name of the model in the registry.
        duration: duration of the clip in seconds.
        rivals: rows of `RIVALS`.
        folder: a folder for this model and this duration.
        progress: called before each conversion.
    """
    source = random_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    problem = _make_problem(model, duration)
    problem.save(folder)
    for done, name in enumerate(rivals):
        progress(done, len(rivals), f"{name}: conversion")
        with _silenced():
            get_rival(name).convert(source, problem, folder)


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep converters from printing; their warnings are for their developers."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def measure_race(
    model: str,
    duration: float,
    rivals: Sequence[str],
    rounds: int,
    folder: Path,
    progress: Progress = lambda done, total, work: None,
) -> RaceResults:
    """Race implementations whose files `convert` has written.

    Args:
        model: name of the model in the registry.
        duration: duration of the clip in seconds.
        rivals: rows of `RIVALS`.
        rounds: number of measurements.
        folder: the folder with the files.
        progress: called with (number done, total, current work).

    Returns:
        The results.

    Raises:
        DataError: a rival fails; the message has its last line.
    """
    has_decoder = Problem.load(folder).has_decoder
    variants = [(name, variant) for name in rivals for variant in RIVALS[name].variants]
    total = len(variants) + rounds
    results = RaceResults(
        model, duration, describe_machine("cpu"), held_set(os.environ), rounds, has_decoder
    )
    with ExitStack() as stack:
        racers: list[_Process] = []
        for done, (name, variant) in enumerate(variants):
            progress(done, total, f"{name} {variant}: first step")
            racer = stack.enter_context(_started(name, variant, folder))
            if any(racer.description == other.description for other in racers):
                racer.stop()  # on this processor it is the same as another one
                continue
            racers.append(racer)
        entries = [racer.to_entry(folder) for racer in racers]
        if has_decoder:
            _decode(racers, entries)
        for done in range(rounds):
            progress(len(variants) + done, total, f"round {done + 1}")
            for racer, entry in zip(racers, entries, strict=True):
                entry.step_s.append(racer.ask("step")["seconds"])
        for racer, entry in zip(racers, entries, strict=True):
            entry.peak_rss_gb = racer.ask("describe")["peak_rss_gb"]
    progress(total, total, "")
    results.entries = entries
    _add_distances(results, racers)
    return results


def _decode(racers: Sequence[_Process], entries: Sequence[RaceEntry]) -> None:
    """Time decoding once: for a published model it takes as long as several steps."""
    for is_timed in (False, True):  # the first call allocates memory and packs weights
        for racer, entry in zip(racers, entries, strict=True):
            seconds = racer.ask("decode")["seconds"]
            entry.decode_s = seconds if is_timed else None


def _make_problem(model: str, duration: float) -> Problem:
    """A step in the middle of the sampling, with random inputs."""
    source = random_model(model)
    config = source.config
    frame_rate = config.mel.sample_rate / config.mel.hop_length
    multiple = config.vae.downsampling * config.unet.downsampling
    num_frames = multiple * max(1, -(-round(duration * frame_rate) // multiple))
    shape = latent_shape(config, 1, num_frames // config.vae.downsampling)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        z = torch.randn(shape)
        cond = random_conditioning(config, z)
        uncond = random_conditioning(config, z)
    both = cat_conditionings(uncond, cond)
    schedule = Schedule(config.schedule)
    return Problem(
        model=model,
        z=z.numpy(),
        t=_T,
        conditioning={name: tensor.numpy() for name, tensor in conditioning_tensors(both).items()},
        guidance_scale=GUIDANCE_SCALE,
        alphas=(*schedule.alpha_sigma(_T), *schedule.alpha_sigma(_NEXT_T)),
        prediction=config.schedule.prediction,
        # other vocoders use Fourier transforms, which converters do not know
        has_decoder=config.vocoder.kind == "hifigan",
    )


class _Process:
    """A running worker.

    Attributes:
        first_step_s: seconds from the start of the process to the end of its first step.
        description: library and number format.
        predictions: file with its predictions.
    """

    def __init__(
        self, name: str, variant: str, process: subprocess.Popen[str], errors: IO[bytes]
    ) -> None:
        self.name = name
        self.variant = variant
        self._process = process
        self._errors = errors
        self.first_step_s = 0.0
        self.description = ""
        self.predictions = Path()

    def ask(self, word: str) -> dict[str, Any]:
        """Return the answer to a word.

        Raises:
            DataError: the worker has failed.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise DataError(f"{self.name} {self.variant} failed in {word}: {self._last_line()}")
        answer: dict[str, Any] = parse_json(line)
        return answer

    def _last_line(self) -> str:
        """Return the last line of its errors, or its exit code."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def to_entry(self, folder: Path) -> RaceEntry:
        """Return its row, without times of rounds."""
        size = get_rival(self.name).size(folder, self.variant)
        label = f"{self.name} {self.variant}"
        return RaceEntry(label, self.description, self.first_step_s, size / 1e9)


@contextmanager
def _started(name: str, variant: str, folder: Path) -> Iterator[_Process]:
    """Start a worker, run its first step, and end it with the block."""
    command = [sys.executable, "-m", "latentaudio.benchmark.worker", name, variant, str(folder)]
    command.append(str(torch.get_num_threads()))
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        with process:
            worker = _Process(name, variant, process, errors)
            try:
                worker.ask("step")
                worker.first_step_s = time.perf_counter() - start
                answer = worker.ask("describe")
                worker.description = answer["description"]
                worker.predictions = Path(answer["predictions"])
                yield worker
            finally:
                worker.stop()


def _add_distances(results: RaceResults, racers: Sequence[_Process]) -> None:
    """Compare predictions with ours in float32, where weights are the same."""
    files = {(racer.name, racer.variant): racer.predictions for racer in racers}
    target = np.load(files[_REFERENCE], allow_pickle=False)
    for racer, entry in zip(racers, results.entries, strict=True):
        if not RIVALS[racer.name].needs_pipeline:
            prediction = np.load(racer.predictions, allow_pickle=False)
            norm = np.linalg.norm(target)
            entry.distance = float(np.linalg.norm(prediction - target) / norm)
