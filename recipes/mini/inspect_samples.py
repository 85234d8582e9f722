"""A quick look at a model in training: the judge's verdict on one clip a kind, and pictures of truth beside what was made.

    python recipes/mini/look.py runs/unet --pictures look/           # a minute and a half on two cores
    python recipes/mini/look.py runs/unet --from 999 666 475 242     # where in the schedule knowledge is missing

`--from t` starts at the true latent noised to step t instead of at noise: what the judge then misses was lost below t.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import latentaudio
from latentaudio.audio.mel import vae_mel
from latentaudio.conditioning.base import encode_nulls, encode_prompts
from latentaudio.diffusion.guidance import Guidance, guided
from latentaudio.diffusion.samplers import dpmpp_2m, noise_for
from latentaudio.diffusion.schedule import Schedule
from latentaudio.evaluate.mini.classifier import load_judge
from latentaudio.evaluate.mini.prompts import Asked, of_every_kind
from latentaudio.evaluate.mini.quality import right
from latentaudio.train.logger import spectrogram
from latentaudio.types import Latent
from procedural_audio.registry import table

ROOT = Path(__file__).parent.parent.parent
BATCH, SEED, SECONDS, SPACING = 8, 5, 5.12, "log_snr"


@torch.inference_mode()
def clips(
    model: latentaudio.AudioLDM, asked: list[Asked], start: int, steps: int, guidance: float
) -> list[np.ndarray]:
    """One clip [T] a prompt, from the true latent noised to step `start`."""
    config, schedule, made = model.config, Schedule(model.config.schedule), []
    times = schedule.timesteps(steps, SPACING)
    first = next(i for i, t in enumerate(times) if t <= start)
    for k in range(0, len(asked), BATCH):
        batch = asked[k : k + BATCH]
        mels = vae_mel(torch.tensor(np.stack([a.truth for a in batch])), config.mel)
        truth = model.vae.latent(model.vae.encode(mels).mode()).z
        noise = noise_for(range(k, k + len(batch)), truth.shape[1:])
        z = (
            schedule.q_sample(truth, noise, torch.full((len(batch),), times[first]))
            if first
            else noise
        )
        tokens = model._tokens(truth.shape[2] * config.vae.factor)
        heard = encode_prompts(model.text, [a.prompt for a in batch], tokens, truth.shape[2])
        null = encode_nulls(model.text, len(batch), tokens, truth.shape[2], [""] * len(batch))
        denoise = guided(model.network(), heard, null, Guidance(guidance), schedule)
        *_, last = dpmpp_2m(denoise, z, schedule, steps, start=first)
        made += list(model.vocoder(model.vae.decode(Latent(last.z)).float())[:, 0].float().numpy())
    return made


def main() -> None:
    """See the file's docstring."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("model")
    words.add_argument("--clips", type=int, default=len(table()))
    words.add_argument("--from", dest="starts", type=int, nargs="+", default=[999])
    words.add_argument("--steps", type=int, default=25)
    words.add_argument("--guidance", type=float, default=3.0)
    words.add_argument("--judge", type=Path, default=ROOT / "benchmarks" / "judge")
    words.add_argument("--pictures", type=Path)
    given = words.parse_args()
    if min(given.starts) < 0:
        words.error("--from wants steps from 0 to 999")
    judge, model = load_judge(given.judge), latentaudio.load(given.model)
    asked = list(of_every_kind(given.clips, SEED, SECONDS))
    wanted = [a.kinds[0] for a in asked]
    for start in given.starts:
        made = clips(model, asked, start, given.steps, given.guidance)
        verdict = judge.hear(made)
        good = right(verdict, judge.kinds, wanted)
        sys.stdout.write(f"from t = {start}: the judge names {good.mean():.1%} of {len(asked)}\n")
    missed = [
        f"{w} for {judge.kinds[b]}"
        for w, b, g in zip(wanted, verdict.best, good, strict=True)
        if not g
    ]
    sys.stdout.write(f"mistaken: {', '.join(missed)}\n")
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
        for kind, truth, clip in zip(wanted, (a.truth for a in asked), made, strict=True):
            pair = vae_mel(torch.tensor(np.stack([truth, clip[: len(truth)]])), model.config.mel)[
                :, 0
            ]
            Image.fromarray(spectrogram(torch.cat(list(pair)))).save(given.pictures / f"{kind}.png")


if __name__ == "__main__":
    main()
