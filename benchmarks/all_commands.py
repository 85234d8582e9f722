"""Every verb on published models of full size with random weights: seconds taken, and whether what is promised is so.

    OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE python benchmarks/reach.py [MODEL ...] --output benchmarks/reach.md

A sound of 2.56 s (a tone and noise), one step of the sampler, unguided, in bf16 where nothing else is said. A cell: seconds
that the quickest of three runs took, and what holds. length: all samples that were asked for, and finite. seed: the same one
gives the same bits, another one others. kept: outside spans and 20 ms beside them samples are the sound's to the bit; outside
bands the spectrum changed by less than a thousandth of the most. NOT: what does not hold. refused: in one line. Weights are
random but for mini's own: this tells that everything runs, not how it sounds. Folders of up to 7 GB lie in a temporary place,
one at a time.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from latentaudio import load
from latentaudio.benchmark.random_weights import write_invented
from latentaudio.config.registry import VARIANTS
from latentaudio.errors import UsageError

MODELS = (
    "mini", "audioldm-s-full-v2", "audioldm2-full", "audioldm2-full-large-1150k", "audioldm2-speech-gigaspeech", "audioldm_48k",
)  # fmt: skip
SECONDS, FADE, ROOM = 2.56, 0.02, 12e9
ALSO_FP32 = ("generate", "inpaint, time")
HOW = {"steps": 1, "guidance": 1.0, "candidates": 1}


def asked(model, sound, said):
    """(verb, how it is called with a seed, seconds asked, spans (s) that may change, bands (Hz) that may)."""
    free = {"steps": 1, "candidates": 1}  # without a prompt nothing is guided
    mask = np.zeros((8, 256), np.uint8)
    mask[:, 100:150] = 255
    cues = [{"text": "a dog"}, {"text": "rain", "at": 1.28}]
    rate, top = model.sample_rate, model.sample_rate / 2
    yield (
        "generate",
        lambda s: model.generate("a dog", seconds=SECONDS, seed=s, **HOW, **said),
        SECONDS,
        None,
        None,
    )
    yield (
        "cues",
        lambda s: model.generate(cues=cues, seconds=SECONDS, seed=s, **HOW),
        SECONDS,
        None,
        None,
    )
    yield (
        "morph",
        lambda s: model.morph("a dog", "rain", seconds=SECONDS, seed=s, **HOW),
        SECONDS,
        None,
        None,
    )
    yield (
        "sound by clap",
        lambda s: model.generate(sound=sound, by="clap", seed=s, **HOW),
        SECONDS,
        None,
        None,
    )
    yield (
        "transfer",
        lambda s: model.transfer(sound, "a dog", strength=1.0, seed=s, **HOW, **said),
        SECONDS,
        None,
        None,
    )
    yield "vary", lambda s: model.vary(sound, amount=1.0, seed=s, **free), SECONDS, None, None
    yield (
        "inpaint, time",
        lambda s: model.inpaint(sound, "rain", times=[(1, 1.5)], seed=s, **HOW),
        SECONDS,
        [(1, 1.5)],
        None,
    )
    bands = [(1500.0, 4000.0)]
    yield (
        "inpaint, band",
        lambda s: model.inpaint(sound, "rain", bands=bands, seed=s, **HOW),
        SECONDS,
        None,
        bands,
    )
    yield (
        "inpaint, mask",
        lambda s: model.inpaint(sound, mask=mask, seed=s, **free),
        SECONDS,
        [(1, 1.5)],
        None,
    )
    yield (
        "upsample",
        lambda s: model.upsample(sound, cutoff=3000.0, seed=s, **free),
        SECONDS,
        None,
        [(3000.0, top)],
    )
    put = round(0.3 * rate) / rate
    ends = [(0, put), (put + SECONDS, SECONDS + 0.6)]
    yield (
        "extend",
        lambda s: model.extend(sound, "rain", left=0.3, right=0.3, seed=s, **HOW),
        SECONDS + 0.6,
        ends,
        None,
    )
    yield "loop", lambda s: model.loop(sound, seam=0.5, seed=s, **free), SECONDS, "loop", None


def kept(clip, sound, rate, spans, bands):
    """Whether outside spans and their fades samples, or outside bands the spectrum, are the sound's."""
    if bands:
        level, hertz = (
            np.abs(np.fft.rfft(clip[0] - sound[0])),
            np.fft.rfftfreq(clip.shape[1], 1 / rate),
        )
        inside = np.any([(hertz >= low) & (hertz <= high) for low, high in bands], axis=0)
        return bool(level[~inside].max() < 1e-3 * level.max())
    if (
        spans == "loop"
    ):  # cut within 10 ms of its old beginning: the middle is there, at one of those places
        edge, near = round(0.3 * rate), round(0.01 * rate)
        middle = sound[0, edge:-edge]
        return any(
            np.array_equal(clip[0, at : at + len(middle)], middle)
            for at in range(edge - near, edge + near + 1)
        )
    before = round(spans[0][1] * rate) if spans[0][0] == 0 else 0
    whole = np.zeros_like(clip)
    whole[:, before : before + sound.shape[1]] = sound
    t = (np.arange(clip.shape[1]) + 0.5) / rate
    free = np.any([(t > first - FADE) & (t < last + FADE) for first, last in spans], axis=0)
    return bool(np.array_equal(clip[:, ~free], whole[:, ~free]))


def told(make, seconds, rate, stays) -> str:
    """A cell. stays: whether a clip [1, N] kept what it should; None: nothing is kept."""
    clips, times = [], []
    try:
        for seed in (1, 1, 2):
            began = time.perf_counter()
            clips += [clip.samples for clip in make(seed)]
            times.append(time.perf_counter() - began)
    except UsageError as problem:
        assert "\n" not in str(problem)
        return "refused"
    good = {} if stays is None else {"kept": stays(clips[0])}
    good["length"] = all(
        clip.shape == (1, round(seconds * rate)) and np.isfinite(clip).all() for clip in clips
    )
    good["seed"] = np.array_equal(clips[0], clips[1]) and not np.array_equal(clips[0], clips[2])
    return ", ".join(
        [f"{min(times):.1f} s", *(name if yes else f"NOT {name}" for name, yes in good.items())]
    )


def cells(source: Path | str, precision: str) -> Iterator[tuple[str, str]]:
    """(verb, what became of it)."""
    model = load(source, "cpu", precision)
    rate = model.sample_rate
    t = np.arange(round(SECONDS * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    sound = (0.2 * np.sin(2 * np.pi * 440 * t) + 0.02 * noise).astype(np.float32)[None]
    loud = model.codec.sound  # random vocoders shout; turned down nothing is cut off
    model.codec.sound = lambda z: [0.2 * wave / max(1.0, np.abs(wave).max()) for wave in loud(z)]
    said = {"transcript": "wish you have a good day"} if model.config.phonemes else {}
    for verb, make, seconds, spans, bands in asked(model, sound, said):
        if precision == "bf16" or verb in ALSO_FP32:
            stays = (
                partial(kept, sound=sound, rate=rate, spans=spans, bands=bands)
                if spans or bands
                else None
            )
            yield (
                verb if precision == "bf16" else f"{verb}, float32",
                told(make, seconds, rate, stays),
            )


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("models", nargs="*", default=MODELS)
    words.add_argument("--output", type=Path)
    given = words.parse_args()
    rows: dict[str, list[str]] = {}
    for name in given.models:
        with tempfile.TemporaryDirectory() as place:
            assert shutil.disk_usage(place).free > ROOM, f"{place} has too little room"
            source = name if VARIANTS[name].embedded else Path(place, name)
            if isinstance(source, Path):
                write_invented(source, name)
            for verb, cell in chain.from_iterable(
                cells(source, precision) for precision in ("bf16", "fp32")
            ):
                rows.setdefault(verb, []).append(cell)
                print(f"{name}: {verb}: {cell}", flush=True)
    lines = [f"| | {' | '.join(given.models)} |", "|---" * (1 + len(given.models)) + "|"]
    lines += [f"| {verb} | {' | '.join(row)} |" for verb, row in rows.items()]
    print("\n".join(lines))
    if given.output:
        text = f"# Every verb on models of full size\n\n{(__doc__ or '').strip()}\n\n"
        given.output.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
