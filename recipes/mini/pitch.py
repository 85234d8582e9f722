"""Teach the pitch reader of a vocoder's harmonics before the vocoder: log-mels in, SWIPE' of the sounds as truth.

    python recipes/mini/pitch.py runs/pitch.safetensors --data data/train --data data/music --clips 1500 --steps 700 --seed 1

Half of the mels are blurred over time, as those of a VAE are; a little noise is added to all.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import avg_pool2d

from latentaudio.audio.mel import vae_mel
from latentaudio.configs import MelSpec
from latentaudio.data.dataset import crops, dice, draw
from latentaudio.data.manifest import read_manifest
from latentaudio.nn.harmonics import STEPS, WIDTH, HarmonicControls, PitchReader, pitches
from latentaudio.train.stages.pitches import mistaken, pitch_of

FRAMES, BATCH = 256, 12

if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("target", type=Path)
    words.add_argument("--data", type=Path, action="append", required=True)
    words.add_argument("--clips", type=int, default=1500)
    words.add_argument("--steps", type=int, default=700)
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    spec, clips, began = MelSpec(), read_manifest(*given.data), time.monotonic()
    mels, places, sures = [], [], []
    for number in range(given.clips // 20):
        sound = crops(clips, draw(len(clips), 20, given.seed, number), spec.rate, FRAMES * spec.hop, dice(given.seed, number))
        place, sure = pitch_of(sound, spec.rate, spec.hop)
        mels.append(vae_mel(sound, spec)[:, 0])
        places.append(place)
        sures.append(sure)
    mel, place, sure = torch.cat(mels), torch.cat(places), torch.cat(sures)
    sys.stdout.write(f"{len(mel)} crops, {float(sure.mean()):.2f} pitched, {time.monotonic() - began:.0f} s\n")
    kept, reader = len(mel) - 60, PitchReader(spec.bins, WIDTH, len(pitches()))
    optim = torch.optim.AdamW(reader.parameters(), lr=2e-3)
    for step in range(given.steps + 1):
        if step % 100 == 0:
            with torch.no_grad():
                scores = reader(mel[kept:])
                tell = HarmonicControls(scores, scores, scores)
                near = (scores.argmax(2) - place[kept:]).abs() < STEPS / 12
                right = (near * sure[kept:]).sum() / sure[kept:].sum()
                lost = float(mistaken(tell, place[kept:], sure[kept:]))
                sys.stdout.write(f"{step}: {lost:.3f}, within a semitone {float(right):.3f}\n")
        chosen = torch.randint(kept, (BATCH,))
        seen = mel[chosen]
        blurred = avg_pool2d(seen[:, None], (7, 1), 1, (3, 0), count_include_pad=False)[:, 0]
        seen = torch.where(torch.rand(BATCH, 1, 1) < 0.5, blurred, seen) + 0.15 * torch.randn_like(seen)
        for group in optim.param_groups:
            group["lr"] = 2e-3 * min(1, (given.steps - step) / (0.5 * given.steps) + 0.02)
        scores = reader(seen)
        mistaken(HarmonicControls(scores, scores, scores), place[chosen], sure[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optim.step()
        optim.zero_grad()
    save_file({f"harmonics.reader.{key}": value for key, value in reader.state_dict().items()}, given.target)
