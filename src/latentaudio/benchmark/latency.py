"""The parts of a clip against the clock, this product and diffusers in turn, with random weights of published shapes.

Knows sides, clocks and tables. Refuses to know how either side computes. Every round times each side once, so that what the
machine does meanwhile befalls both; a cell is the median of the rounds, and the least and the most of them.

"clip of 10 steps" is the same work on all sides: DDIM, guidance, decoding, of a prompt that was read. "200 steps" is diffusers'
usual clip: reading the prompt, that clip, and 190 times the single step of the same round. A preset is our whole clip in bf16,
prompts read anew, and held against those 200 steps: fewer steps of another sampler is most of what it gains.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import torch
from torch import Tensor

from ..conditioning.base import clap_vectors, t5_states
from ..config.registry import variant
from ..device import pick_device
from ..diffusion.guidance import Guidance, guided
from ..diffusion.samplers import ddim
from ..diffusion.schedule import Schedule
from ..fileio import replacing
from ..pipeline import AudioLDM
from ..types import Conditioning, Context, Latent
from .process_cost import Cost, cold_clip
from .random_weights import invent, write_invented

PARTS = ("text", "loa", "step", "decode", "vocode")
PROMPT = "A dog barks twice in the distance while heavy rain falls on a tin roof and wind blows"
_TRIAL, _USUAL = 10, 200  # steps of DDIM


class Side(Protocol):
    """Whoever is timed: each call is one piece of work of a clip."""

    name: str

    def text(self) -> None:
        """Prompt and empty prompt to states."""

    def loa(self) -> None:
        """States to language of audio."""

    def step(self) -> None:
        """One guided step."""

    def decode(self) -> None:
        """Latent to mel."""

    def vocode(self) -> None:
        """Mel to samples."""

    def clip(self, steps: int) -> None:
        """A clip of so many steps of DDIM, from noise to samples."""


class Ours:
    """This product in one precision, "fp32" or "bf16"; on a GPU also with its UNet as a CUDA graph."""

    def __init__(
        self,
        model: str,
        precision: str,
        batch: int,
        seconds: float,
        device: str = "cpu",
        graphs: bool = False,
    ) -> None:
        self.name = f"latentaudio {precision}" + (", graphs" if graphs else "")
        self.system = system = AudioLDM(invent(model), device, precision)
        system.parts.graphs = graphs
        if system.device.type != "cpu":  # there, clips are made one by one, whatever is asked
            system.batch = batch
        config, factor = system.config, system.config.vae.factor
        self.rows = system.codec.frames(seconds) // factor
        generator = torch.Generator().manual_seed(0)
        self.z = torch.randn(
            (batch, config.vae.latent, self.rows, config.mel.bins // factor), generator=generator
        ).to(system.device)
        self.prompts, self.batch, self.seconds = [PROMPT] * batch, batch, seconds
        film = torch.randn(batch, config.unet.film).to(system.device) if config.unet.film else None
        contexts = tuple(
            Context.full(torch.randn(batch, 20, width).to(system.device))
            for width in config.unet.heard
        )
        draft = torch.zeros_like(self.z) if config.unet.draft else None
        self.heard = Conditioning(film, contexts, draft)
        self._mel: Tensor | None = None
        with torch.inference_mode():
            schedule = Schedule(config.schedule)
            self.denoise = guided(
                system.network(),
                self.heard,
                self.heard.map(torch.zeros_like),
                Guidance(3.5),
                schedule,
            )

    @torch.inference_mode()
    def text(self) -> None:
        """See `Side`."""
        for texts in (self.prompts, [""] * self.batch):
            if self.system.config.clap is not None:
                clap_vectors(self.system.text, texts)
            if self.system.config.t5 is not None:
                t5_states(self.system.text, texts)

    @torch.inference_mode()
    def loa(self) -> None:
        """See `Side`."""
        translator, written = self.system.text.translator, self.system.config.translator
        if translator is None or written is None:
            return
        first, second = written.sources
        sources = [
            Context.full(torch.zeros(self.batch, n, w).to(self.z))
            for n, w in ((1, first), (20, second))
        ]
        for _ in range(2):
            translator.generate(sources, written.tokens)

    @torch.inference_mode()
    def step(self) -> None:
        """See `Side`."""
        self.denoise(self.z, torch.full((self.batch,), 500, device=self.z.device))

    @torch.inference_mode()
    def decode(self) -> None:
        """See `Side`."""
        self._mel = self.system.vae.decode(Latent(self.z))

    @torch.inference_mode()
    def vocode(self) -> None:
        """See `Side`."""
        assert self._mel is not None, "decode comes first"
        self.system.vocoder(self._mel.float())

    @torch.inference_mode()
    def clip(self, steps: int) -> None:
        """See `Side`."""
        *_, last = ddim(self.denoise, self.z, Schedule(self.system.config.schedule), steps)
        self.system.codec.sound(last.z)

    def whole(self, preset: str) -> None:
        """What a user gets of a preset, prompt and empty prompt read anew."""
        self.system.parts.changes += 1
        self.system.generate(self.prompts, seconds=self.seconds, preset=preset, seed=0)  # type: ignore[arg-type]


@dataclass
class Times:
    """Seconds by side and piece of work, a value a round; and what the machine is."""

    model: str
    seconds: float
    batch: int
    taken: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    gigaflops: float = 0.0
    cold: dict[str, Cost] = field(default_factory=dict)
    machine: str = ""

    def of(self, side: str, work: str) -> float:
        """Median seconds."""
        return statistics.median(self.taken[side][work])

    def add(self, side: str, work: str, seconds: float) -> None:
        """One more round."""
        self.taken.setdefault(side, {}).setdefault(work, []).append(seconds)


def clock(work: Callable[[], object], device: str = "cpu") -> float:
    """Seconds that a piece of work takes; on a GPU between two events of its own clock."""
    if device.startswith("cuda"):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        first.record()
        work()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last)) / 1e3
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def matrix_rate(dtype: torch.dtype, device: str = "cpu", size: int = 2048) -> float:
    """GFLOP/s of the best of ten products of square matrices."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    with torch.inference_mode():
        return 2 * size**3 / min(clock(lambda: a @ b, device) for _ in range(10)) / 1e9


def flops_of_step(model: str, batch: int, rows: int) -> float:
    """GFLOP of a guided step of so many latent rows, both halves counted whole, as torch counts them on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode

    from ..models.unet import UNet

    config = variant(model).config
    with torch.device("meta"):
        unet = UNet(config.unet).eval()
        contexts = tuple(
            Context.full(torch.zeros(2 * batch, 20, width)) for width in config.unet.heard
        )
        film = torch.zeros(2 * batch, config.unet.film) if config.unet.film else None
        z = torch.zeros(2 * batch, config.unet.latent, rows, config.mel.bins // config.vae.factor)
        draft = torch.zeros_like(z) if config.unet.draft else None
        heard = unet.prepare(Conditioning(film, contexts, draft))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            unet(z, torch.zeros(2 * batch), heard)
    return float(counter.get_total_flops()) / 1e9


def race(
    model: str,
    seconds: float = 10.24,
    batch: int = 1,
    presets: Sequence[str] = ("quality", "balanced", "fast", "draft"),
    rounds: int = 3,
    rival: bool = True,
    device: str = "cpu",
    told: Callable[[int, int, str], None] = lambda done, total, work: None,
) -> Times:
    """Time a model with random weights, and diffusers beside it where `rival`; `told` hears of every piece of work done."""
    device = str(pick_device(device))
    found = Times(model, seconds, batch, machine=_machine(device))
    found.rates = {
        name: matrix_rate(kind, device)
        for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    slow, fast = (Ours(model, precision, batch, seconds, device) for precision in ("fp32", "bf16"))
    found.gigaflops = flops_of_step(model, batch, slow.rows)
    sides: list[Side] = [slow, fast]
    if device.startswith("cuda"):
        fast = Ours(model, "bf16", batch, seconds, device, graphs=True)
        sides.append(fast)
    if rival:
        from .baselines import Diffusers

        theirs = Diffusers(slow.system.config, batch, slow.rows, len(PROMPT.split()) + 2, device)
        sides.insert(0, theirs)
    trial, total = f"clip of {_TRIAL} steps", len(PARTS) + 1 + rounds * len(presets)
    for work in (*PARTS, trial):
        jobs = {
            side.name: partial(side.clip, _TRIAL) if work == trial else getattr(side, work)
            for side in sides
        }
        for job in jobs.values():  # once without the clock: memory, layouts of weights
            job()
        for _ in range(rounds):
            for name, job in jobs.items():
                found.add(name, work, clock(job, device))
        told(len(found.taken[fast.name]), total, work)
    for k in range(rounds):
        for done, preset in enumerate(presets, len(PARTS) + 2 + k * len(presets)):
            found.add(fast.name, preset, clock(partial(fast.whole, preset), device))
            told(done, total, preset)
        if rival:
            once = {
                work: times[k] for work, times in found.taken[theirs.name].items() if k < len(times)
            }
            rest = (_USUAL - _TRIAL) * once["step"] + once["text"] + once["loa"]
            found.add(theirs.name, f"{_USUAL} steps", once[trial] + rest)
    return found


def from_cold(times: Times, presets: Sequence[str], device: str = "cpu") -> None:
    """Add what a shell command costs from its first line to the file, with a float32 model folder written for it."""
    with TemporaryDirectory() as place:
        folder = Path(place, times.model)
        write_invented(folder, times.model)
        for preset in presets:
            times.cold[preset] = cold_clip(
                str(folder), PROMPT, times.seconds, more=("--preset", preset, "--device", device)
            )


def _machine(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    fast = [name for name in ("avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"CPU, {torch.get_num_threads()} threads, {' '.join(fast) or 'no AVX-512'}, torch {torch.__version__}"


def table(times: Times) -> str:
    """Markdown: a row for each piece of work, a column for each side, and how many times diffusers' time each is."""
    sides = list(times.taken)
    works = list(dict.fromkeys(work for side in sides for work in times.taken[side]))
    first = sides[0] if sides[0] == "diffusers" else ""
    head = f"### {times.model}, {times.seconds:g} s, batch {times.batch}\n\n{times.machine}. "
    head += f"A guided step is {times.gigaflops:.0f} GFLOP, both halves counted whole; matrix products reach "
    head += (
        f"{times.rates['fp32']:.0f} GFLOP/s in float32 and {times.rates['bf16']:.0f} in bf16.\n\n"
    )
    lines = [
        f"| work | {' | '.join(sides)} |{' times diffusers |' if first else ''}",
        f"|---|{'---|' * (len(sides) + bool(first))}",
    ]
    for work in works:
        cells = [_cell(times.taken[side].get(work)) for side in sides]
        lines.append(
            f"| {work} | {' | '.join(cells)} |"
            + (f" {_ratios(times, work, sides)} |" if first else "")
        )
    for preset, cost in times.cold.items():
        lines.append(
            f"\nFrom the shell, {preset}: {cost.seconds:.3g} s to the file, {cost.gigabytes:.2f} GB at the fullest."
        )
    for precision in ("fp32", "bf16"):
        share = (
            times.gigaflops / times.of(f"latentaudio {precision}", "step") / times.rates[precision]
        )
        lines.append(f"\nA step in {precision} runs at {share:.0%} of the rate of matrix products.")
    return head + "\n".join(lines) + "\n"


def _cell(taken: list[float] | None) -> str:
    if not taken:
        return ""
    return f"{statistics.median(taken):.3g} s ({min(taken):.3g} to {max(taken):.3g})"


def _ratios(times: Times, work: str, sides: Sequence[str]) -> str:
    """How many times diffusers' time is ours; a preset is held against their 200 steps."""
    theirs = work if work in times.taken["diffusers"] else f"{_USUAL} steps"
    ratios = [
        times.of("diffusers", theirs) / times.of(side, work)
        for side in sides[1:]
        if work in times.taken[side]
    ]
    return ", ".join(f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}" for ratio in ratios)


def save(times: Sequence[Times], file: Path) -> None:
    """All numbers as JSON, and the tables beside it as Markdown."""
    with replacing(file) as temporary:
        temporary.write_text(
            json.dumps([asdict(one) for one in times], indent=1) + "\n", encoding="utf-8"
        )
    with replacing(file.with_suffix(".md")) as temporary:
        temporary.write_text(
            "# Speed\n\n" + "\n".join(table(one) for one in times), encoding="utf-8"
        )
