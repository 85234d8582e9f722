"""Train the pitch estimator of a vocoder's harmonics alone, with SWIPE' on the audio as target.

    python recipes/mini/train_pitch_estimator.py runs/pitch.safetensors \\
        --data data/train data/music --clips 1500 --steps 700 --seed 1

Half of the mels are blurred over time, as those of a VAE are. All get a little noise.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from latentaudio.audio.mel import vae_mel
from latentaudio.config.model_shapes import MINI
from latentaudio.data.dataset import batch_indices, read_crops, seeded_generator
from latentaudio.data.manifest import read_manifest
from latentaudio.models.harmonics import (
    PITCH_ESTIMATOR_CHANNELS,
    PITCHES_PER_OCTAVE,
    PitchEstimator,
    candidate_pitches,
)
from latentaudio.train.stages.pitch_analysis import estimate_pitch
from latentaudio.train.stages.source_losses import pitch_cross_entropy

CROP_FRAMES = 256
READ_BATCH = 20
BATCH_SIZE = 12
NUM_TEST_CROPS = 60
LEARNING_RATE = 2e-3
BLUR_FRAMES = 7
NOISE_STD = 0.15
PREFIX = "harmonics.pitch_estimator."


def read_examples(folders: list[Path], num_clips: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-mels [N, T, F], pitch indices [N, T] and confidences [N, T]."""
    spec = MINI.mel
    clips = read_manifest(*folders)
    mels, indices, confidences = [], [], []
    for position in range(num_clips // READ_BATCH):
        chosen = batch_indices(len(clips), READ_BATCH, seed, position)
        num_samples = CROP_FRAMES * spec.hop_length
        generator = seeded_generator(seed, position)
        samples = read_crops(clips, chosen, spec.sample_rate, num_samples, generator)
        index, confidence = estimate_pitch(samples, spec.sample_rate, spec.hop_length)
        mels.append(vae_mel(samples, spec)[:, 0])
        indices.append(index)
        confidences.append(confidence)
    return torch.cat(mels), torch.cat(indices), torch.cat(confidences)


@torch.no_grad()
def test_line(estimator: PitchEstimator, mel: Tensor, index: Tensor, confidence: Tensor) -> str:
    """Return loss and accuracy on held-out crops."""
    scores = estimator(mel)
    is_near = (scores.argmax(2) - index).abs() < PITCHES_PER_OCTAVE / 12
    accuracy = float((is_near * confidence).sum() / confidence.sum())
    loss = float(pitch_cross_entropy(scores, index, confidence))
    return f"loss {loss:.3f}, within a semitone {accuracy:.1%}"


def augment(mel: Tensor) -> Tensor:
    """Blur half of the log-mels [B, T, F], and add noise."""
    pad = BLUR_FRAMES // 2
    blurred = avg_pool2d(mel[:, None], (BLUR_FRAMES, 1), 1, (pad, 0), count_include_pad=False)
    is_blurred = torch.rand(len(mel), 1, 1) < 0.5
    return torch.where(is_blurred, blurred[:, 0], mel) + NOISE_STD * torch.randn_like(mel)


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path, help="file to write")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data sets")
    parser.add_argument("--clips", type=int, default=1500, help="number of crops")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(flags.seed)
    start = time.monotonic()
    mel, index, confidence = read_examples(flags.data, flags.clips, flags.seed)
    seconds = time.monotonic() - start
    sys.stdout.write(
        f"{len(mel)} crops, {float(confidence.mean()):.0%} with pitch, {seconds:.0f} s\n"
    )
    num_train = len(mel) - NUM_TEST_CROPS
    estimator = PitchEstimator(MINI.mel.n_mels, PITCH_ESTIMATOR_CHANNELS, len(candidate_pitches()))
    optimizer = torch.optim.AdamW(estimator.parameters(), lr=LEARNING_RATE)
    for step in range(flags.steps + 1):
        if step % 100 == 0:
            test = (tensor[num_train:] for tensor in (mel, index, confidence))
            sys.stdout.write(f"{step}: {test_line(estimator, *test)}\n")
        chosen = torch.randint(num_train, (BATCH_SIZE,))
        scores = estimator(augment(mel[chosen]))
        # constant, then linear to zero in the second half
        remaining = (flags.steps - step) / (0.5 * flags.steps) + 0.02
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, remaining)
        pitch_cross_entropy(scores, index[chosen], confidence[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(estimator.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    state = {f"{PREFIX}{key}": value for key, value in estimator.state_dict().items()}
    save_file(state, flags.target)


if __name__ == "__main__":
    main()
