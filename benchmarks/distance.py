"""Measure how far each preset ends from 200 steps of DDIM in float32, from the same noise.

    python benchmarks/distance.py [--models mini audioldm2-full] --output benchmarks/distance.md

Then let YAMNet and the classifier of sounds recognize what mini makes with settings that are fast.

"latent" is the distance of the final latents, relative to the norm of the reference. "mel" is the
mean absolute difference of the decoded log-mels in dB. Both are medians over four prompts of
5.12 s, for audioldm2-full one prompt. audioldm2-full has random weights: its figures show rounding
and step size alone, and its network is less smooth than a trained one.

"reference" is DPM-Solver++ with 200 steps, which is nearer to the exact solution than DDIM with
200. A figure below that row means nothing.

"top-5" and "classifier" are the shares of clips whose sound YAMNet names among five and the
classifier names first: one prompt of 5.12 s of each sound class. Needs the extra `evaluate`.
"""

import argparse
from pathlib import Path
from statistics import median

import numpy as np
import torch

from latentaudio import load
from latentaudio.benchmark.random_weights import random_model
from latentaudio.config.registry import MODELS
from latentaudio.evaluate.mini.classifier import load_classifier
from latentaudio.evaluate.mini.prompts import class_prompts
from latentaudio.evaluate.mini.quality import is_correct
from latentaudio.evaluate.mini.yamnet_classifier import YAMNetClassifier
from latentaudio.pipeline import AudioLDM
from latentaudio.types import Latent
from procedural_audio.registry import get_registry

PROMPTS = (
    "a church bell ringing",
    "rain on a tin roof",
    "a dog barks three times",
    "footsteps on gravel",
)
DURATION = 5.12  # s
CLASSIFIER = Path("benchmarks/classifier")
DB_PER_NAT = 20 / torch.log(torch.tensor(10.0)).item()  # of a natural logarithm of amplitude
SETTINGS = {
    "reference": ("fp32", {"preset": "paper", "sampler": "dpm++"}),
    "reference, guided to t = 240": (
        "fp32",
        {"preset": "paper", "sampler": "dpm++", "guidance_stop": 0.76},
    ),
    "paper in bf16": ("bf16", {"preset": "paper"}),
    "quality": ("auto", {"preset": "quality"}),
    "quality in int8": ("int8", {"preset": "quality"}),
    "quality, guided every second step": ("auto", {"preset": "quality", "guidance_interval": 2}),
    "balanced": ("auto", {"preset": "balanced"}),
    "fast": ("auto", {"preset": "fast"}),
    "draft": ("auto", {"preset": "draft"}),
}
"""Row of the table -> precision and options."""


def load_or_random(name: str, precision: str) -> AudioLDM:
    """Load a model; one that is not bundled gets random weights."""
    if MODELS[name].bundled:
        return load(name, precision=precision)
    return AudioLDM(random_model(name), precision=precision)


@torch.inference_mode()
def final_latents(model: AudioLDM, options: dict, prompts: tuple[str, ...]) -> list[tuple]:
    """Return (final latent, its log-mel) of every prompt."""
    results = []
    for seed, prompt in enumerate(prompts):
        latents = []

        def on_step(step, latents=latents):
            latents.append(step.z)

        model.generate(
            prompt, duration=DURATION, seed=seed, candidates=1, on_step=on_step, **options
        )
        mel = model.vae.decode(Latent(latents[-1])).float()
        results.append((latents[-1], mel))
    return results


def measure(model: AudioLDM, options: dict, prompts: tuple[str, ...], targets: list[tuple]):
    """Return the median distances of latents (relative) and of mels (dB)."""
    latent_distances = []
    mel_distances = []
    results = final_latents(model, options, prompts)
    for (z, mel), (target_z, target_mel) in zip(results, targets, strict=True):
        latent_distances.append(float((z - target_z).norm() / target_z.norm()))
        mel_distances.append(DB_PER_NAT * float((mel - target_mel).abs().mean()))
    return median(latent_distances), median(mel_distances)


class Judges:
    """YAMNet and the classifier, and one prompt of each sound class."""

    def __init__(self) -> None:
        self.yamnet = YAMNetClassifier()
        self.classifier = load_classifier(CLASSIFIER)
        self.prompts = list(class_prompts(len(get_registry()), 0, DURATION))

    def shares(self, model: AudioLDM, options: dict) -> tuple[float, float]:
        """Return the shares of clips that YAMNet and the classifier recognize."""
        names = [prompt.class_names[0] for prompt in self.prompts]
        clips = []
        for seed, prompt in enumerate(self.prompts):
            [clip] = model.generate(
                prompt.prompt, duration=DURATION, seed=seed, candidates=1, **options
            )
            clips.append(np.asarray(clip.samples[0], np.float32))
        hits = []
        for samples, name in zip(clips, names, strict=True):
            hits.append(self.yamnet.recognize(samples, name).is_top5)
        predictions = self.classifier.predict(clips)
        correct = is_correct(predictions, self.classifier.class_names, names)
        return float(np.mean(hits)), float(np.mean(correct))


def main() -> None:
    """Measure every preset of every model, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["mini", "audioldm2-full"])
    parser.add_argument("--output", type=Path)
    flags = parser.parse_args()
    lines = [
        "| model | settings | latent | mel, dB | top-5 | classifier |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    judges = Judges()
    for name in flags.models:
        prompts = PROMPTS if MODELS[name].bundled else PROMPTS[:1]
        targets = final_latents(load_or_random(name, "fp32"), {"preset": "paper"}, prompts)
        for row, (precision, options) in SETTINGS.items():
            model = load_or_random(name, precision)
            latent_distance, mel_distance = measure(model, options, prompts, targets)
            shares = ""
            if MODELS[name].bundled and options["preset"] != "paper":  # 200 steps take long
                top5, accuracy = judges.shares(model, options)
                shares = f"{top5:.0%} | {accuracy:.0%}"
            lines.append(
                f"| {name} | {row} | {latent_distance:.3f} | {mel_distance:.2f} "
                f"| {shares or '- | -'} |"
            )
            print(lines[-1], flush=True)
    if flags.output:
        introduction = (__doc__ or "").strip()
        table = "\n".join(lines)
        flags.output.write_text(f"# Distance\n\n{introduction}\n\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
