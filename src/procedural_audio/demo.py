"""Small demonstration data: clips of a sound that no class of the corpus has.

They are for the tutorial of fine-tuning: a model that knows every class of `registry` has never
heard a bullroarer. A bullroarer is a piece of wood that is whirled on a string. Its roar rises and
falls once per turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from .errors import OutputError, RenderError
from .output_folder import new_folder
from .sound_class import Annotations, Take
from .synth import Array, RenderContext, normalize_peak

NUM_CLIPS = 24
DURATION_S = 5.12
SAMPLE_RATE = 16000
TRIGGER = "zorla"
"""Word that begins every caption; no caption of the corpus has it."""
_FRAME_S = 0.01  # in which the filter is constant
_FAST_HZ = 1.9  # turns per second, from which a caption may say that it is fast
_SLOW_HZ = 1.4


@dataclass(frozen=True)
class Demo:
    """A set of demonstration clips.

    Attributes:
        trigger: Word that begins every caption.
        render: Renders one take.
        describe: Returns the caption of a take, without the trigger.
    """

    trigger: str
    render: Callable[[RenderContext], Take]
    describe: Callable[[Annotations, np.random.Generator], str]


def bullroarer(ctx: RenderContext) -> Take:
    """Render a bullroarer: a narrow band of noise that sweeps up and down with every turn."""
    rate = ctx.log_triangular(1.05, 2.4)
    center = ctx.log_triangular(550, 1000)
    octaves = ctx.triangular(1.0, 1.5)  # from the center to the highest frequency
    turns = rate * ctx.time_axis(ctx.duration) + ctx.rng.random()
    swing = np.sin(2 * np.pi * turns)
    samples = _swept_noise(ctx, center * 2.0 ** (octaves * swing))
    samples *= 0.6 + 0.4 * swing  # louder where it approaches
    return Take(normalize_peak(samples), {"rate_hz": rate})


def _swept_noise(ctx: RenderContext, frequency: Array) -> Array:
    """Noise in a narrow band around a frequency that changes with time, in Hz."""
    count = len(frequency)
    length = 2 * ctx.to_samples(_FRAME_S)
    window = np.hanning(length)
    size = 8 * length
    bins = np.fft.rfftfreq(size, 1 / ctx.sample_rate)
    out = np.zeros(count + size)
    noise = ctx.rng.standard_normal(count + size)
    for start in range(0, count, length // 2):
        center = frequency[min(start, count - 1)]
        # a resonance of half an octave, on a logarithmic axis
        band = np.exp(-0.5 * (np.log2(np.maximum(bins, 1.0) / center) / 0.22) ** 2)
        band /= np.sqrt(center)  # the same loudness in all bands
        block = np.fft.irfft(np.fft.rfft(noise[start : start + length] * window, size) * band, size)
        out[start : start + size] += block
    return out[:count]


def describe_bullroarer(annotations: Annotations, rng: np.random.Generator) -> str:
    """Return a caption of a bullroarer.

    Args:
        annotations: Annotations of the take.
        rng: Source of the choice among sentences.
    """
    rate = annotations["rate_hz"]
    manner = ""
    if rate > _FAST_HZ:
        manner = "fast"
    elif rate < _SLOW_HZ:
        manner = "slowly"
    verb = ("whirling", "spinning", "swinging")[int(rng.integers(3))]
    place = ("", "", " in the air", " on a string")[int(rng.integers(4))]
    return f"a bullroarer {verb} {manner}".rstrip() + place


DEMOS: Mapping[str, Demo] = {"lora": Demo(TRIGGER, bullroarer, describe_bullroarer)}
"""Demonstration data by name."""


def render_demo(folder: str | Path, name: str = "lora", seed: int = 0) -> Path:
    """Render demonstration clips into a folder, with captions in `metadata.jsonl`.

    Args:
        folder: Folder to write. It must be new or empty.
        name: A key of `DEMOS`.
        seed: Whole number from 0 up.

    Returns:
        Absolute path of the folder.

    Raises:
        RenderError: There is no such demonstration data, or the seed is negative.
        OutputError: The folder cannot be written.
    """
    if name not in DEMOS:
        raise RenderError(f"there is no demo '{name}': choose {', '.join(DEMOS)}")
    if seed < 0:
        raise RenderError(f"seed is {seed}: use a whole number from 0 up")
    demo = DEMOS[name]
    num_bytes = round(NUM_CLIPS * DURATION_S * SAMPLE_RATE * 2)
    with new_folder(Path(folder), num_bytes) as output:
        lines = []
        for index in range(NUM_CLIPS):
            rng = np.random.default_rng([seed, index])
            take = demo.render(RenderContext(rng, SAMPLE_RATE, DURATION_S))
            file_name = f"{index:02d}.flac"
            try:
                soundfile.write(output.temporary / file_name, take.samples, SAMPLE_RATE)
            except soundfile.LibsndfileError as error:
                raise OutputError(
                    f"cannot write {file_name} ({error}): free disk space, or choose another folder"
                ) from error
            caption = f"{demo.trigger}, {demo.describe(take.annotations, rng)}"
            record = {"file_name": file_name, "text": caption}
            lines.append(json.dumps(record))
        text = "\n".join(lines) + "\n"
        (output.temporary / "metadata.jsonl").write_text(text, encoding="utf-8")
        return output.target
