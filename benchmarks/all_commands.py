"""Run every command on models of full size with random weights, and check what it promises.

    OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE \\
        python benchmarks/all_commands.py [MODEL ...] --output benchmarks/all_commands.md

The source is a tone with noise of 2.56 s. Every command runs with one sampling step, without
guidance, in bf16 unless stated otherwise. A cell has the seconds of the fastest of three runs, and
the promises that hold:

* length: the clip has all its samples, and all are finite.
* seed: the same seed gives the same bits, another seed gives other ones.
* unchanged: outside the edited time ranges and 20 ms beside them, the samples are those of the
  source, bit for bit. Outside the edited frequency ranges the spectrum changed by less than a
  thousandth of its greatest change.

NOT marks a promise that does not hold. "rejected" means an error of one line. Only `mini` has its
own weights: the table shows that everything runs, not how it sounds. Model folders of up to 7 GB
are written to a temporary place, one at a time.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from latentaudio import load
from latentaudio.benchmark.random_weights import write_random_model
from latentaudio.config.registry import MODELS
from latentaudio.errors import UsageError

DEFAULT_MODELS = (
    "mini",
    "audioldm-s-full-v2",
    "audioldm2-full",
    "audioldm2-full-large-1150k",
    "audioldm2-speech-gigaspeech",
    "audioldm_48k",
)
DURATION = 2.56  # s, of the source
CROSSFADE = 0.02  # s, beside an edited time range
MIN_FREE_BYTES = 12e9
ALSO_FP32 = ("generate", "inpaint, time")
WITH_PROMPT = {"steps": 1, "guidance_scale": 1.0, "candidates": 1}
WITHOUT_PROMPT = {"steps": 1, "candidates": 1}  # nothing is guided without a prompt
TITLE = "# All commands on models of full size"
LOOP_SEAM = 0.5  # s
EXTENSION = 0.3  # s, at each end


@dataclass(frozen=True)
class Case:
    """A command and what it promises.

    Attributes:
        name: row of the table.
        run: seed -> clips.
        duration: duration of the clip in seconds.
        time_ranges: edited time ranges in seconds.
        frequency_ranges: edited frequency ranges in Hz.
        is_loop: the clip is a loop: only its middle is unchanged.
    """

    name: str
    run: Callable[[int], list]
    duration: float = DURATION
    time_ranges: list[tuple[float, float]] = field(default_factory=list)
    frequency_ranges: list[tuple[float, float]] = field(default_factory=list)
    is_loop: bool = False


def generation_cases(model, source, speech) -> Iterator[Case]:
    """Commands that do not keep samples of the source."""
    cues = [{"text": "a dog"}, {"text": "rain", "start": DURATION / 2}]
    options = {**WITH_PROMPT, "duration": DURATION}
    yield Case("generate", lambda seed: model.generate("a dog", seed=seed, **options, **speech))
    yield Case("timeline", lambda seed: model.generate(timeline=cues, seed=seed, **options))
    yield Case("morph", lambda seed: model.morph("a dog", "rain", seed=seed, **options))
    yield Case(
        "audio prompt, clap",
        lambda seed: model.generate(
            audio_prompt=source, audio_prompt_mode="clap", seed=seed, **WITH_PROMPT
        ),
    )
    yield Case(
        "transfer",
        lambda seed: model.transfer(
            source, "a dog", strength=1.0, seed=seed, **WITH_PROMPT, **speech
        ),
    )
    yield Case("vary", lambda seed: model.vary(source, strength=1.0, seed=seed, **WITHOUT_PROMPT))


def editing_cases(model, source) -> Iterator[Case]:
    """Commands that keep a part of the source."""
    gap = [(1.0, 1.5)]
    band = [(1500.0, 4000.0)]
    nyquist = model.sample_rate / 2
    mask = np.zeros((8, 256), np.uint8)
    mask[:, 100:150] = 255  # 1 to 1.5 s, all frequencies
    start = round(EXTENSION * model.sample_rate) / model.sample_rate
    extended = DURATION + 2 * EXTENSION
    yield Case(
        "inpaint, time",
        lambda seed: model.inpaint(source, "rain", time_ranges=gap, seed=seed, **WITH_PROMPT),
        time_ranges=gap,
    )
    yield Case(
        "inpaint, band",
        lambda seed: model.inpaint(source, "rain", frequency_ranges=band, seed=seed, **WITH_PROMPT),
        frequency_ranges=band,
    )
    yield Case(
        "inpaint, mask",
        lambda seed: model.inpaint(source, mask=mask, seed=seed, **WITHOUT_PROMPT),
        time_ranges=gap,
    )
    yield Case(
        "super-resolve",
        lambda seed: model.super_resolve(source, cutoff_hz=3000.0, seed=seed, **WITHOUT_PROMPT),
        frequency_ranges=[(3000.0, nyquist)],
    )
    yield Case(
        "extend",
        lambda seed: model.extend(
            source, "rain", before=EXTENSION, after=EXTENSION, seed=seed, **WITH_PROMPT
        ),
        duration=extended,
        time_ranges=[(0.0, start), (start + DURATION, extended)],
    )
    yield Case(
        "loop",
        lambda seed: model.loop(source, loop_seam=LOOP_SEAM, seed=seed, **WITHOUT_PROMPT),
        is_loop=True,
    )


def is_unchanged(case: Case, clip, source, rate) -> bool:
    """Whether a clip [1, N] has the samples, or the spectrum, of the source where it must."""
    if case.frequency_ranges:
        change = np.abs(np.fft.rfft(clip[0] - source[0]))
        hertz = np.fft.rfftfreq(clip.shape[1], 1 / rate)
        edited = np.zeros(len(hertz), bool)
        for low, high in case.frequency_ranges:
            edited |= (hertz >= low) & (hertz <= high)
        return bool(change[~edited].max() < 1e-3 * change.max())
    if case.is_loop:
        return contains_middle(clip[0], source[0], rate)
    first_start, first_stop = case.time_ranges[0]
    offset = round(first_stop * rate) if first_start == 0 else 0
    expected = np.zeros_like(clip)
    expected[:, offset : offset + source.shape[1]] = source
    t = (np.arange(clip.shape[1]) + 0.5) / rate
    edited = np.zeros(len(t), bool)
    for start, stop in case.time_ranges:
        edited |= (t > start - CROSSFADE) & (t < stop + CROSSFADE)
    return bool(np.array_equal(clip[:, ~edited], expected[:, ~edited]))


def contains_middle(loop, source, rate) -> bool:
    """Whether a loop has the middle of its source, up to 10 ms earlier or later."""
    edge = round(0.3 * rate)
    tolerance = round(0.01 * rate)
    middle = source[edge:-edge]
    for start in range(edge - tolerance, edge + tolerance + 1):
        if np.array_equal(loop[start : start + len(middle)], middle):
            return True
    return False


def run_case(case: Case, source, rate) -> str:
    """Run a command three times and return its cell."""
    clips = []
    seconds = []
    try:
        for seed in (1, 1, 2):
            start = time.perf_counter()
            clips += [clip.samples for clip in case.run(seed)]
            seconds.append(time.perf_counter() - start)
    except UsageError as error:
        assert "\n" not in str(error)
        return "rejected"
    promises = {}
    if case.time_ranges or case.frequency_ranges or case.is_loop:
        promises["unchanged"] = is_unchanged(case, clips[0], source, rate)
    shape = (1, round(case.duration * rate))
    promises["length"] = all(clip.shape == shape and np.isfinite(clip).all() for clip in clips)
    same, other = clips[1:]
    promises["seed"] = np.array_equal(clips[0], same) and not np.array_equal(clips[0], other)
    cells = [f"{min(seconds):.1f} s"]
    cells += [name if holds else f"NOT {name}" for name, holds in promises.items()]
    return ", ".join(cells)


def run_model(source_name: Path | str, precision: str) -> Iterator[tuple[str, str]]:
    """Yield (row, cell) of every command of a model."""
    model = load(source_name, "cpu", precision)
    rate = model.sample_rate
    t = np.arange(round(DURATION * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    source = (0.2 * np.sin(2 * np.pi * 440 * t) + 0.02 * noise).astype(np.float32)[None]
    decode = model.codec.decode

    def decode_quietly(z):
        # Random vocoders are very loud; without clipping the promises can be compared.
        return [0.2 * wave / max(1.0, np.abs(wave).max()) for wave in decode(z)]

    model.codec.decode = decode_quietly
    speech = {"transcript": "wish you have a good day"} if model.config.phonemes else {}
    cases = [*generation_cases(model, source, speech), *editing_cases(model, source)]
    for case in cases:
        if precision == "bf16":
            yield case.name, run_case(case, source, rate)
        elif case.name in ALSO_FP32:
            yield f"{case.name}, float32", run_case(case, source, rate)


def main() -> None:
    """Run all commands of all models, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=DEFAULT_MODELS)
    parser.add_argument("--output", type=Path)
    flags = parser.parse_args()
    rows: dict[str, list[str]] = {}
    for name in flags.models:
        with tempfile.TemporaryDirectory() as temporary:
            assert shutil.disk_usage(temporary).free > MIN_FREE_BYTES, f"{temporary} is too full"
            source = name if MODELS[name].bundled else Path(temporary, name)
            if isinstance(source, Path):
                write_random_model(source, name)
            for precision in ("bf16", "fp32"):
                for row, cell in run_model(source, precision):
                    rows.setdefault(row, []).append(cell)
                    print(f"{name}: {row}: {cell}", flush=True)
    lines = [f"| | {' | '.join(flags.models)} |", "|---" * (1 + len(flags.models)) + "|"]
    lines += [f"| {row} | {' | '.join(cells)} |" for row, cells in rows.items()]
    table = "\n".join(lines)
    print(table)
    if flags.output:
        introduction = (__doc__ or "").strip()
        text = f"{TITLE}\n\n{introduction}\n\n{table}\n"
        flags.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
