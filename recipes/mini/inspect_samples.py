"""Inspect a model in training: classifier accuracy of one clip per class, and spectrograms.

    python recipes/mini/inspect_samples.py runs/unet --plots plots/          # 90 s on two cores
    python recipes/mini/inspect_samples.py runs/unet --from 999 666 475 242

`--from t` starts from the true latent noised to timestep t instead of from pure noise. Classes that
are then still wrong were lost below t. A plot shows ground truth above the generated clip.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import latentaudio
from latentaudio.audio.mel import vae_mel
from latentaudio.conditioning import encode_prompts, encode_unconditional
from latentaudio.config.architecture import MelSpec
from latentaudio.diffusion.guidance import Guidance, cfg_denoiser
from latentaudio.diffusion.samplers.dpmpp_2m import dpmpp_2m
from latentaudio.diffusion.sampling import noise_for
from latentaudio.diffusion.schedule import Schedule
from latentaudio.evaluate.mini.classifier import load_classifier
from latentaudio.evaluate.mini.prompts import EvalPrompt, class_prompts
from latentaudio.evaluate.mini.quality import is_correct
from latentaudio.generation.denoise import PreparedUNet
from latentaudio.generation.window_conditioning import WindowConditioner
from latentaudio.train.logger import mel_to_image
from latentaudio.types import Latent
from procedural_audio.registry import get_registry

ROOT = Path(__file__).parent.parent.parent
BATCH_SIZE = 8
SEED = 5
DURATION = 5.12  # s
SPACING = "log_snr"


@torch.inference_mode()
def generate_from(
    model: latentaudio.AudioLDM,
    prompts: Sequence[EvalPrompt],
    start: int,
    num_steps: int,
    guidance_scale: float,
) -> list[np.ndarray]:
    """Return one clip [T] per prompt, from the true latent noised to timestep `start`."""
    schedule = Schedule(model.config.schedule)
    timesteps = schedule.timesteps(num_steps, SPACING)
    first = next(index for index, t in enumerate(timesteps) if t <= start)
    guidance = Guidance(guidance_scale)
    conditioner = WindowConditioner(model)
    clips = []
    for k in range(0, len(prompts), BATCH_SIZE):
        batch = prompts[k : k + BATCH_SIZE]
        truths = np.stack([prompt.ground_truth for prompt in batch])
        mels = vae_mel(torch.tensor(truths), model.config.mel)
        latents = model.vae.normalize(model.vae.encode(mels).mode()).z
        z = noise_for(range(k, k + len(batch)), latents.shape[1:])
        if first:
            t = torch.full((len(batch),), timesteps[first])
            z = schedule.q_sample(latents, z, t)
        num_frames = latents.shape[2]
        num_tokens = conditioner.num_loa_tokens(num_frames * model.config.vae.downsampling)
        encoders = model.encoders
        texts = [prompt.prompt for prompt in batch]
        cond = encode_prompts(encoders, texts, num_tokens, num_frames)
        empty = [""] * len(batch)
        unet = PreparedUNet(model.components)
        uncond = encode_unconditional(encoders, len(batch), num_tokens, num_frames, empty)
        denoise = cfg_denoiser(unet, cond, uncond, guidance, schedule)
        *_, last = dpmpp_2m(denoise, z, schedule, timesteps, start=first)
        samples = model.vocoder(model.vae.decode(Latent(last.z)).float())
        clips += list(samples[:, 0].float().numpy())
    return clips


def save_plots(
    folder: Path, prompts: Sequence[EvalPrompt], clips: Sequence[np.ndarray], spec: MelSpec
) -> None:
    """Write one image per clip: ground truth above the generated clip."""
    folder.mkdir(parents=True, exist_ok=True)
    for prompt, clip in zip(prompts, clips, strict=True):
        truth = prompt.ground_truth
        pair = np.stack([truth, clip[: len(truth)]])
        mels = vae_mel(torch.tensor(pair), spec)[:, 0]
        image = Image.fromarray(mel_to_image(torch.cat(list(mels))))
        image.save(folder / f"{prompt.class_names[0]}.png")


def main() -> None:
    """Generate, classify and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="name or folder of a model, or a run folder")
    parser.add_argument("--clips", type=int, default=len(get_registry()))
    parser.add_argument("--from", dest="starts", type=int, nargs="+", default=[999])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance-scale", type=float, default=3.0)
    parser.add_argument("--classifier", type=Path, default=ROOT / "benchmarks" / "classifier")
    parser.add_argument("--plots", type=Path, help="folder for the spectrograms")
    flags = parser.parse_args()
    if min(flags.starts) < 0:
        parser.error("--from: choose timesteps from 0 to 999")
    classifier = load_classifier(flags.classifier)
    model = latentaudio.load(flags.model)
    prompts = list(class_prompts(flags.clips, SEED, DURATION))
    targets = [prompt.class_names[0] for prompt in prompts]
    for start in flags.starts:
        clips = generate_from(model, prompts, start, flags.steps, flags.guidance_scale)
        predictions = classifier.predict(clips)
        correct = is_correct(predictions, classifier.class_names, targets)
        sys.stdout.write(
            f"from t = {start}: classifier top-1 accuracy {correct.mean():.1%} of {len(prompts)}\n"
        )
    confusions = []
    for target, index, is_right in zip(targets, predictions.best, correct, strict=True):
        if not is_right:
            confusions.append(f"{target} as {classifier.class_names[index]}")
    sys.stdout.write(f"confusions (prompted as predicted): {', '.join(confusions)}\n")
    if flags.plots is not None:
        save_plots(flags.plots, prompts, clips, model.config.mel)


if __name__ == "__main__":
    main()
