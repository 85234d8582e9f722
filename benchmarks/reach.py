"""Every verb on published models of full size with random weights: seconds taken, and whether what is promised is so.

    OMP_NUM_THREADS=2 python benchmarks/reach.py [MODEL ...] --output benchmarks/reach.md

A sound of 2.56 s (a tone and noise), a step of the sampler, unguided, in float32 and bf16; folders of up to 7 GB are written
to a temporary place, one after the other. Each cell: seconds of the first of three runs; kept: samples outside spans and their
20 ms are the sound's to the bit, or outside bands no more than a thousandth of the spectrum changed; length: samples as asked;
seed: the same gives the same bits and another gives others. "no" says that the model refuses, in one line. Weights are random:
this tells that everything runs, not how it sounds.
"""

import argparse
import gc
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latentaudio import load
from latentaudio.errors import UsageError
from latentaudio.evaluate.invented import write_invented

MODELS = (
    "audioldm-s-full-v2", "audioldm2-full", "audioldm2-full-large-1150k", "audioldm2-speech-gigaspeech", "audioldm_48k",
)  # fmt: skip
SECONDS, FADE, ROOM = 2.56, 0.02, 12e9
HOW = {"steps": 1, "guidance": 1.0, "candidates": 1}


def asked(model, sound, said):
    """(verb, how it is called, seconds asked, spans (s) that change, bands (Hz) that change, samples put before)."""
    free = {"steps": 1, "candidates": 1}  # without a prompt nothing is guided
    mask = np.zeros((8, 256), np.uint8)
    mask[:, 100:150] = 255
    cues = [{"text": "a dog"}, {"text": "rain", "at": 1.28}]
    rate, top = model.sample_rate, model.sample_rate / 2
    yield "generate", lambda s: model.generate("a dog", seconds=SECONDS, seed=s, **HOW, **said), SECONDS, None, None
    yield "cues", lambda s: model.generate(cues=cues, seconds=SECONDS, seed=s, **HOW), SECONDS, None, None
    yield "morph", lambda s: model.morph("a dog", "rain", seconds=SECONDS, seed=s, **HOW), SECONDS, None, None
    yield "sound by clap", lambda s: model.generate(sound=sound, by="clap", seed=s, **HOW), SECONDS, None, None
    yield "transfer", lambda s: model.transfer(sound, "a dog", strength=1.0, seed=s, **HOW, **said), SECONDS, None, None
    yield "vary", lambda s: model.vary(sound, amount=1.0, seed=s, **free), SECONDS, None, None
    yield "inpaint, time", lambda s: model.inpaint(sound, "rain", times=[(1, 1.5)], seed=s, **HOW), SECONDS, [(1, 1.5)], None
    bands = [(1500.0, 4000.0)]
    yield "inpaint, band", lambda s: model.inpaint(sound, "rain", bands=bands, seed=s, **HOW), SECONDS, None, bands
    yield "inpaint, mask", lambda s: model.inpaint(sound, mask=mask, seed=s, **free), SECONDS, [(1, 1.5)], None
    yield "upsample", lambda s: model.upsample(sound, cutoff=3000.0, seed=s, **free), SECONDS, None, [(3000.0, top)]
    put = round(0.3 * rate) / rate
    ends = [(0, put), (put + SECONDS, SECONDS + 0.6)]
    yield "extend", lambda s: model.extend(sound, "rain", left=0.3, right=0.3, seed=s, **HOW), SECONDS + 0.6, ends, None
    yield "loop", lambda s: model.loop(sound, seam=0.5, seed=s, **free), SECONDS, "loop", None


def kept(clip, sound, rate, spans, bands):
    """Whether outside spans and their fades samples, or outside bands the spectrum, are the sound's."""
    if bands:
        level, hertz = np.abs(np.fft.rfft(clip[0] - sound[0])), np.fft.rfftfreq(clip.shape[1], 1 / rate)
        inside = np.any([(hertz >= low) & (hertz <= high) for low, high in bands], axis=0)
        return bool(level[~inside].max() < 1e-3 * level.max())
    if spans == "loop":  # cut within 10 ms of its old beginning: the middle is there, at one of those places
        edge, near = round(0.3 * rate), round(0.01 * rate)
        middle = sound[0, edge:-edge]
        return any(np.array_equal(clip[0, at : at + len(middle)], middle) for at in range(edge - near, edge + near + 1))
    before = round(spans[0][1] * rate) if spans[0][0] == 0 else 0
    whole = np.zeros_like(clip)
    whole[:, before : before + sound.shape[1]] = sound
    t = (np.arange(clip.shape[1]) + 0.5) / rate
    free = np.any([(t > first - FADE) & (t < last + FADE) for first, last in spans], axis=0)
    return bool(np.array_equal(clip[:, ~free], whole[:, ~free]))


def cells(folder: Path, precision: str) -> Iterator[tuple[str, str]]:
    """(verb, what became of it)."""
    model = load(folder, "cpu", precision, lean=True)
    rate = model.sample_rate
    t = np.arange(round(SECONDS * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    sound = (0.2 * np.sin(2 * np.pi * 440 * t) + 0.02 * noise).astype(np.float32)[None]
    loud = model.codec.sound  # random vocoders shout; turned down nothing is cut off
    model.codec.sound = lambda z: [0.2 * wave / max(1.0, np.abs(wave).max()) for wave in loud(z)]
    said = {"transcript": "wish you have a good day"} if model.config.phonemes else {}
    for verb, make, seconds, spans, bands in asked(model, sound, said):
        began = time.perf_counter()
        try:
            [clip] = make(1)
        except UsageError as problem:
            assert "\n" not in str(problem)
            yield verb, "no"
            continue
        taken = time.perf_counter() - began
        [again], [other] = make(1), make(2)
        good = {
            "length": clip.samples.shape == (1, round(seconds * rate)) and bool(np.isfinite(clip.samples).all()),
            "seed": np.array_equal(clip.samples, again.samples) and not np.array_equal(clip.samples, other.samples),
        }
        if spans or bands:
            good["kept"] = kept(clip.samples, sound, rate, spans, bands)
        wrong = [name for name, yes in good.items() if not yes]
        yield verb, f"{taken:.1f} s, {', '.join(sorted(good))}" + (f"; WRONG: {', '.join(wrong)}" if wrong else "")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("models", nargs="*", default=MODELS)
    words.add_argument("--output", type=Path)
    given = words.parse_args()
    columns: dict[str, dict[str, str]] = {}
    for name in given.models:
        with tempfile.TemporaryDirectory() as place:
            assert shutil.disk_usage(place).free > ROOM, f"{place} has too little room"
            write_invented(Path(place, name), name)
            for precision in ("fp32", "bf16"):
                columns[f"{name}, {precision}"] = column = {}
                for verb, told in cells(Path(place, name), precision):
                    column[verb] = told
                    print(f"{name}, {precision}, {verb}: {told}", flush=True)
                gc.collect()
    lines = [f"| model | {' | '.join(next(iter(columns.values())))} |"]
    lines.append("|---" * lines[0].count(" | ") + "|---|")
    lines += [f"| {name} | {' | '.join(column.values())} |" for name, column in columns.items()]
    print("\n".join(lines))
    if given.output:
        text = f"# Every verb on models of full size\n\n{(__doc__ or '').strip()}\n\n"
        given.output.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
