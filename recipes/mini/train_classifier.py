"""Train the sound classifier of the benchmark on renders, and measure it on held-out renders.

    python recipes/mini/train_classifier.py --output runs/classifier               # 8 minutes
    python recipes/mini/train_classifier.py --output runs/classifier --attributes
    python recipes/mini/train_classifier.py --output runs/classifier --model runs/joint

`--soundfont` plays the instruments of every second render. `--attributes` also prints how often the
signal analysis agrees with the renderer. `--model` also runs `latentaudio evaluate` on a model. A
classifier that is in the folder already is not trained again; remove it to train another one.
"""

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from latentaudio.evaluate.mini.attributes import ATTRIBUTE_CHECKS, AttributeCheck
from latentaudio.evaluate.mini.classifier import (
    SoundClassifier,
    load_classifier,
    log_mel_of,
    save_classifier,
    train_classifier,
)
from latentaudio.evaluate.mini.prompts import RATE, attribute_prompts, render_class
from procedural_audio.registry import get_registry
from procedural_audio.soundfont import Soundfont, open_soundfont

DURATIONS = (1.28, 2.56, 5.12, 10.24)  # s
DURATION_PROBABILITIES = (0.15, 0.45, 0.3, 0.1)
TEST_RENDERS_PER_CLASS = 20
ATTRIBUTE_DURATION = 5.12  # s
MEL_FRAMES_PER_HOUR = 360_000

# Second number of a seed: apart from each other, from every corpus and from the benchmark.
SEED_TRAINING = 21
SEED_TEST = 22


def log(line: str) -> None:
    """Print a line to stderr."""
    sys.stderr.write(line + "\n")


def render_log_mel(seed: int, purpose: int, soundfont: Soundfont | None, index: int) -> np.ndarray:
    """Return the log-mel [L, F] in half precision of render `index`.

    Its class has the number `index` modulo the number of classes. The soundfont, if there is one,
    plays the instruments of every second render of a class.
    """
    classes = tuple(get_registry().values())
    rng = np.random.default_rng([seed, purpose, index, 1])
    duration = float(rng.choice(DURATIONS, p=DURATION_PROBABILITIES))
    sound_class = classes[index % len(classes)]
    played_by = soundfont if index // len(classes) % 2 else None
    samples, _, _ = render_class(sound_class, duration, seed, purpose, index, soundfont=played_by)
    return log_mel_of(samples).numpy()


def render_log_mels(
    count: int, seed: int, purpose: int, soundfont: Soundfont | None
) -> list[torch.Tensor]:
    """Return `count` log-mels, rendered on all cores."""
    render = partial(render_log_mel, seed, purpose, soundfont)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        return list(map(torch.from_numpy, pool.map(render, range(count), chunksize=32)))


def held_out_accuracy(classifier: SoundClassifier, seed: int, soundfont: Soundfont | None) -> float:
    """Return top-1 accuracy on held-out renders; print the classes below 95 %."""
    names = classifier.class_names
    mels = render_log_mels(TEST_RENDERS_PER_CLASS * len(names), seed, SEED_TEST, soundfont)
    predicted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with torch.inference_mode():
        for index, mel in enumerate(mels):
            logits, _ = classifier(mel.float()[None, None])
            predicted[names[index % len(names)]][names[int(logits.argmax())]] += 1
    num_correct = 0
    for target, counts in predicted.items():
        num_correct += counts[target]
        if counts[target] < 0.95 * TEST_RENDERS_PER_CLASS:
            wrong = ", ".join(f"{name} {n}" for name, n in counts.most_common() if name != target)
            log(f"  {target}: {counts[target]} of {TEST_RENDERS_PER_CLASS}; also as {wrong}")
    return num_correct / len(mels)


def log_attribute_accuracy(check: AttributeCheck, seed: int) -> None:
    """Print how often an attribute check is right on renders, and the classes below 90 %."""
    correct: defaultdict[str, list[bool]] = defaultdict(list)
    count = TEST_RENDERS_PER_CLASS * len(check.class_names)
    for prompt in attribute_prompts(check, count, seed, ATTRIBUTE_DURATION):
        name = prompt.class_names[0]
        is_right = check.is_satisfied(prompt.ground_truth, RATE, name, prompt.annotations)
        correct[name].append(is_right)
    total = np.concatenate(list(correct.values()))
    weak = []
    for name, values in correct.items():
        if np.mean(values) < 0.9:
            weak.append(f"{name} {np.mean(values):.0%}")
    log(
        f"{check.name}: {total.mean():.1%} of {len(total)} renders, {len(correct)} classes; "
        f"below 90 %: {', '.join(weak) or 'none'}"
    )


def train_and_save(
    output: Path, renders_per_class: int, steps: int, seed: int, soundfont: Soundfont | None
) -> None:
    """Render, train, measure on held-out renders, and save."""
    start = time.perf_counter()
    names = tuple(get_registry())
    mels = render_log_mels(renders_per_class * len(names), seed, SEED_TRAINING, soundfont)
    hours = sum(map(len, mels)) / MEL_FRAMES_PER_HOUR
    log(f"{len(mels)} renders, {hours:.1f} h, in {time.perf_counter() - start:.0f} s")
    labels = [index % len(names) for index in range(len(mels))]

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 50 == 0:
            seconds = time.perf_counter() - start
            log(f"step {step} of {steps}, loss {loss:.3f}, {seconds:.0f} s")

    classifier = train_classifier(mels, labels, names, steps, seed=seed, progress=progress)
    accuracy = held_out_accuracy(classifier, seed, soundfont)
    training = {
        "clips": len(mels),
        "steps": steps,
        "seed": seed,
        "seconds": round(time.perf_counter() - start),
        "held_out_top1": accuracy,
        "held_out_clips": TEST_RENDERS_PER_CLASS * len(names),
    }
    save_classifier(classifier, output, training)
    log(f"top-1 accuracy on {training['held_out_clips']} held-out renders: {accuracy:.1%}")


def main() -> None:
    """Train or load the classifier, then do what the flags ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the classifier")
    parser.add_argument("--renders-per-class", type=int, default=150)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--soundfont", help="plays half of the instruments")
    parser.add_argument("--attributes", action="store_true")
    parser.add_argument("--model", help="name or folder of a model to evaluate")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    soundfont = open_soundfont(flags.soundfont) if flags.soundfont else None
    if (flags.output / "classifier.json").exists():
        accuracy = held_out_accuracy(load_classifier(flags.output), flags.seed + 1, soundfont)
        log(f"top-1 accuracy on held-out renders: {accuracy:.1%}")
    else:
        train_and_save(flags.output, flags.renders_per_class, flags.steps, flags.seed, soundfont)
    if flags.attributes:
        for check in ATTRIBUTE_CHECKS.values():
            log_attribute_accuracy(check, flags.seed)
    if flags.model:
        from latentaudio.cli.evaluate import quality

        quality(flags.model, classifier=flags.output)


if __name__ == "__main__":
    main()
