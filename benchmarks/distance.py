"""How far presets end from 200 steps of DDIM in float32, of the same noise.

    python benchmarks/distance.py [--models mini audioldm2-full] --output benchmarks/distance.md

Of the last latent, in units of its length, and of the mel it decodes to, in dB on average; medians over four prompts of 5.12 s,
of audioldm2-full one. That has random weights: its figures tell of arithmetic alone, and its network is less smooth than a
learnt one.
"exact" is DPM-Solver++ with 200 steps, nearer to the curve than DDIM's 200: no figure below its own means anything.
"""

import argparse
from pathlib import Path
from statistics import median

import torch

from latentaudio import load
from latentaudio.benchmark.random_weights import invent
from latentaudio.config.registry import VARIANTS
from latentaudio.pipeline import AudioLDM
from latentaudio.types import Latent

PROMPTS = (
    "a church bell ringing",
    "rain on a tin roof",
    "a dog barks three times",
    "footsteps on gravel",
)
SECONDS = 5.12
DECIBELS = 20 / torch.log(torch.tensor(10.0)).item()  # of a natural logarithm of amplitude
ROWS = {
    "exact": ("fp32", {"preset": "paper", "sampler": "dpm++"}),
    "exact, guided to t = 240": (
        "fp32",
        {"preset": "paper", "sampler": "dpm++", "guidance_stop": 0.76},
    ),
    "paper in bf16": ("bf16", {"preset": "paper"}),
    "quality": ("auto", {"preset": "quality"}),
    "balanced": ("auto", {"preset": "balanced"}),
    "fast": ("auto", {"preset": "fast"}),
    "draft": ("auto", {"preset": "draft"}),
}


def system(name: str, precision: str) -> AudioLDM:
    """A model by name, or its shapes with random weights where it has none here."""
    return (
        load(name, precision=precision)
        if VARIANTS[name].embedded
        else AudioLDM(invent(name), precision=precision)
    )


@torch.inference_mode()
def ends(
    model: AudioLDM, wishes: dict, prompts: tuple[str, ...]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(last latent, its mel) of every prompt."""
    last = []
    for k, prompt in enumerate(prompts):
        kept = []
        model.generate(
            prompt,
            seconds=SECONDS,
            seed=k,
            candidates=1,
            on_step=lambda step, kept=kept: kept.append(step.z),
            **wishes,
        )
        last.append((kept[-1], model.vae.decode(Latent(kept[-1])).float()))
    return last


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--models", nargs="+", default=["mini", "audioldm2-full"])
    words.add_argument("--output", type=Path)
    given = words.parse_args()
    lines = ["| model | way | latent | mel, dB |", "|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for name in given.models:
        prompts = PROMPTS if VARIANTS[name].embedded else PROMPTS[:1]
        truth = ends(system(name, "fp32"), {"preset": "paper"}, prompts)
        for way, (precision, wishes) in ROWS.items():
            made = ends(system(name, precision), wishes, prompts)
            apart = [
                float((z - want).norm() / want.norm())
                for (z, _), (want, _) in zip(made, truth, strict=True)
            ]
            mels = [
                DECIBELS * float((mel - want).abs().mean())
                for (_, mel), (_, want) in zip(made, truth, strict=True)
            ]
            lines.append(f"| {name} | {way} | {median(apart):.3f} | {median(mels):.2f} |")
            print(lines[-1], flush=True)
    if given.output:
        given.output.write_text(
            f"# Distance\n\n{(__doc__ or '').strip()}\n\n" + "\n".join(lines) + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
