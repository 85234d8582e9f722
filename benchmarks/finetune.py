"""How well an adapter of mini makes its new sound, and what mini forgets.

    latentaudio dataset render data/demo --demo lora
    latentaudio finetune data/demo -o runs/bullroarer
    python benchmarks/finetune.py runs/bullroarer --clips 30 --old-clips 88

New sound: the share of prompts with the trigger word in which an analysis of the signal finds a
bullroarer, a narrow band of noise that swings by more than an octave at a steady 0.8 to 2.8 turns a
second. The limits are chosen on renders: 24 of 24 of the demo with another seed, 0 of 176 of a
corpus of mini's 88 classes.
Old sounds: the share of held-out prompts of mini's classes in which the classifier names the class.
Both without the adapter, then with each weight.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from latentaudio import load
from latentaudio.evaluate.mini.classifier import load_classifier
from latentaudio.evaluate.mini.prompts import class_prompts
from latentaudio.evaluate.mini.quality import is_correct
from procedural_audio.demo import TRIGGER

CLASSIFIER = Path(__file__).resolve().parent / "classifier"
DURATION_S = 5.12
SEED = 4242
_FRAME = 1024
_HOP = 320
_MIN_SWING_OCTAVES = 1.2
_MIN_REGULARITY = 0.4
_MAX_WIDTH_OCTAVES = 0.3
_VERBS = ("whirling", "spinning", "swinging", "turning", "roaring", "humming")
_PLACES = ("", " slowly", " fast", " in the air", " outdoors")


def new_prompts(count: int) -> list[str]:
    """Return prompts with the trigger; some words are in no caption of the training."""
    prompts = []
    for index in range(count):
        verb = _VERBS[index % len(_VERBS)]
        place = _PLACES[index // len(_VERBS) % len(_PLACES)]
        prompts.append(f"{TRIGGER}, a bullroarer {verb}{place}")
    return prompts


def measure_swing(samples: np.ndarray, sample_rate: int) -> tuple[float, float, float]:
    """Return swing of the spectral center in octaves, its regularity, and the width in octaves.

    The regularity is the share of the swing's power within 0.35 Hz of its strongest rate.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_FRAME))) ** 2
    frequencies = np.fft.rfftfreq(_FRAME, 1 / sample_rate)
    is_used = (frequencies > 100) & (frequencies < 7000)
    power = power[:, is_used]
    octaves = np.log2(frequencies[is_used])
    energy = power.sum(axis=1)
    weights = power / np.maximum(energy[:, None], 1e-12)
    center = weights @ octaves
    width = np.sqrt((weights * (octaves - center[:, None]) ** 2).sum(axis=1))
    is_audible = energy > 1e-4 * energy.max()
    center = np.where(is_audible, center, np.median(center[is_audible]))
    center = np.convolve(np.pad(center, 2, mode="edge"), np.ones(5) / 5, "valid")
    swing = center - center.mean()
    spectrum = np.abs(np.fft.rfft(swing * np.hanning(len(swing)), 8 * len(swing))) ** 2
    rates = np.fft.rfftfreq(8 * len(swing), _HOP / sample_rate)
    band = (rates > 0.8) & (rates < 2.8)
    strongest = rates[band][spectrum[band].argmax()]
    near = np.abs(rates - strongest) < 0.35
    total = spectrum[(rates > 0.3) & (rates < 12)].sum()
    regularity = spectrum[near].sum() / max(total, 1e-12)
    return 2 * np.sqrt(2) * swing.std(), regularity, float(np.average(width, weights=energy))


def is_bullroarer(samples: np.ndarray, sample_rate: int) -> bool:
    """Return whether a clip [N] is a band of noise that swings regularly."""
    swing, regularity, width = measure_swing(samples, sample_rate)
    is_swinging = swing > _MIN_SWING_OCTAVES and regularity > _MIN_REGULARITY
    return bool(is_swinging and width < _MAX_WIDTH_OCTAVES)


def main() -> None:
    """Print one row for the base model and for each weight."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adapters", nargs="*")
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0])
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--old-clips", type=int, default=88)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--preset")
    parser.add_argument("--details", action="store_true", help="print each clip's measures")
    flags = parser.parse_args()
    model = load("mini", device="cpu")
    settings = {"duration": DURATION_S, "candidates": 1, "seed": SEED}
    settings |= {"preset": flags.preset} if flags.preset else {"steps": flags.steps}
    classifier = load_classifier(CLASSIFIER)
    old = list(class_prompts(flags.old_clips, SEED, DURATION_S)) if flags.old_clips else []
    new = new_prompts(flags.clips)

    def measure(name: str, weight: float) -> None:
        start = time.process_time()
        clips = [clip.samples.mean(axis=0) for clip in model.generate(new, **settings)]
        found = [is_bullroarer(clip, model.sample_rate) for clip in clips]
        swings = np.median([measure_swing(clip, model.sample_rate) for clip in clips], axis=0)
        if flags.details:
            for prompt, clip in zip(new, clips, strict=True):
                print(prompt, np.round(measure_swing(clip, model.sample_rate), 2), flush=True)
        row = f"| {name} | {weight:g} | {sum(found)} of {len(found)} | {swings.round(2)} |"
        if old:
            others = model.generate([each.prompt for each in old], **settings)
            predictions = classifier.predict([clip.samples.mean(axis=0) for clip in others])
            targets = [each.class_names[0] for each in old]
            correct = is_correct(predictions, classifier.class_names, targets)
            row += f" {correct.sum()} of {len(correct)} |"
        print(f"{row} {time.process_time() - start:.0f} |", flush=True)

    print("| adapter | weight | new sound found | swing, regularity, width | old | CPU s |")
    print("|---|---|---|---|---|---|", flush=True)
    if not flags.adapters:
        measure("none", 0.0)
    for place in flags.adapters:
        name = model.load_adapter(place)
        for weight in flags.weights:
            model.set_adapters(name, weight)
            measure(name, weight)
        model.unload_adapter()


if __name__ == "__main__":
    main()
