"""Measure what presets cost and what quality they give, on the same held-out prompts and noise.

    python benchmarks/presets.py [PRESET ...] --clips 176 --output benchmarks/presets.md

"accuracy" is the top-1 accuracy of the sound classifier. "Fréchet ratio" is the distance of the
clips to ground truth, relative to the distance of two halves of ground truth. It uses fewer clips
than `latentaudio evaluate quality` and cannot be compared with it. "seconds" is the median time of
a clip of 5.12 s. benchmarks/distance.py measures how far presets end from 200 steps of the same
noise.
"""

import argparse
import statistics
import time
from pathlib import Path

from latentaudio import load
from latentaudio.config.presets import PRESETS
from latentaudio.evaluate.metrics.frechet import frechet_distance
from latentaudio.evaluate.mini.classifier import load_classifier
from latentaudio.evaluate.mini.prompts import class_prompts
from latentaudio.evaluate.mini.quality import is_correct

SEED = 0
OTHER_SEED = 1_000_000  # of the second half of ground truth
DURATION = 5.12  # s


def generate_clips(model, prompts, preset):
    """Return (samples of every prompt, median seconds of a clip)."""
    clips = []
    seconds = []
    for seed, prompt in enumerate(prompts):
        start = time.perf_counter()
        [clip] = model.generate(prompt, duration=DURATION, seed=seed, preset=preset, candidates=1)
        seconds.append(time.perf_counter() - start)
        clips.append(clip.samples[0])
    return clips, statistics.median(seconds)


def describe_settings(model, prompt, preset):
    """Return the sampler, steps, guidance and cache interval of a preset."""
    [request] = model.resolve_requests([prompt], preset=preset)
    options = request.options
    return (
        f"{options.sampler}, {options.steps} steps, guided until {options.guidance_stop:g}, "
        f"cache interval {options.cache_interval}"
    )


def main():
    """Measure every preset, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("presets", nargs="*", default=list(PRESETS))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--clips", type=int, default=176)
    parser.add_argument("--classifier", type=Path, default=Path(__file__).parent / "classifier")
    parser.add_argument("--output", type=Path)
    flags = parser.parse_args()
    classifier = load_classifier(flags.classifier)
    prompts = list(class_prompts(flags.clips, SEED, DURATION))
    targets = [prompt.class_names[0] for prompt in prompts]
    texts = [prompt.prompt for prompt in prompts]
    truths = classifier.predict([prompt.ground_truth for prompt in prompts])
    others = list(class_prompts(flags.clips, OTHER_SEED, DURATION))
    reference = classifier.predict([prompt.ground_truth for prompt in others])
    split_half = frechet_distance(truths.embeddings, reference.embeddings)
    lines = ["| preset | settings | accuracy | Fréchet ratio | seconds |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for preset in flags.presets:
        model = load(flags.model)  # a new one, without cached text embeddings
        clips, seconds = generate_clips(model, texts, preset)
        predictions = classifier.predict(clips)
        settings = describe_settings(model, texts[0], preset)
        accuracy = is_correct(predictions, classifier.class_names, targets).mean()
        ratio = frechet_distance(predictions.embeddings, reference.embeddings) / split_half
        lines.append(f"| {preset} | {settings} | {accuracy:.1%} | {ratio:.2f} | {seconds:.2f} |")
        print(lines[-1], flush=True)
    if flags.output:
        introduction = f"{(__doc__ or '').strip()}\n\n{flags.clips} clips of {flags.model}."
        table = "\n".join(lines)
        flags.output.write_text(f"# Presets\n\n{introduction}\n\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
