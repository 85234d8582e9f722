"""Measure training steps of audioldm2-full's UNet, beside a plain loop over diffusers' UNet.

    python benchmarks/training.py [--batches 1 4] --output benchmarks/training.md

The plain loop is a script of ours: `AudioLDM2UNet2DConditionModel` under autocast in bfloat16, the
mean squared error, and `torch.optim.AdamW`. Ours is the stage `diffusion` with the optimizer of the
training loop. Both have the same shapes, the same constant weights, clips of 10.24 s and no
averaged weights. Every case runs in a process of its own, in turn, with one thread. Times are
seconds of the processor, so that other programs do not count. The peak is the process's own.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

MODEL = "audioldm2-full"
NUM_STEPS = 2  # beside one to warm up
TEXT_TOKENS = 32
DIFFUSERS_UNET = {
    "sample_size": 64,
    "in_channels": 8,
    "out_channels": 8,
    "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
    "up_block_types": (*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
    "block_out_channels": (128, 256, 384, 640),
    "cross_attention_dim": [[None, 768, 1024]] * 4,
}
CASES = {
    "diffusers, plain loop": {},
    "ours": {"channels_last": True},
    "ours, checkpointing": {"channels_last": True, "activation_checkpointing": True},
    "ours, LoRA": {"channels_last": True, "adapter": {"rank": 16}},
    "ours, LoRA, checkpointing": {
        "channels_last": True,
        "adapter": {"rank": 16},
        "activation_checkpointing": True,
    },
}


def peak_gb() -> float:
    """Peak memory of this process in GB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e9
    raise KeyError("VmHWM")


def fill(module: nn.Module) -> nn.Module:
    """Give a module of the meta device weights, without the time of random numbers."""
    module.to_empty(device="cpu")
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.01)
    return module.train()


def plain_step(batch_size: int):
    """Return a step of the plain loop."""
    from diffusers import AudioLDM2UNet2DConditionModel

    with torch.device("meta"):
        unet = AudioLDM2UNet2DConditionModel(**DIFFUSERS_UNET)
    fill(unet)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-5)
    latent = torch.randn(batch_size, 8, 256, 16)
    loa = torch.randn(batch_size, 8, 768)
    text = torch.randn(batch_size, TEXT_TOKENS, 1024)
    mask = torch.ones(batch_size, TEXT_TOKENS)

    def step() -> None:
        noise = torch.randn_like(latent)
        timesteps = torch.randint(1000, (batch_size,))
        with torch.autocast("cpu", torch.bfloat16):
            prediction = unet(
                latent + noise,
                timesteps,
                encoder_hidden_states=loa,
                encoder_hidden_states_1=text,
                encoder_attention_mask_1=mask,
            ).sample
            loss = nn.functional.mse_loss(prediction.float(), noise)
        loss.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def our_step(batch_size: int, changes: dict):
    """Return a step of the stage `diffusion`."""
    from latentaudio.config.audiomae import training_config
    from latentaudio.config.registry import get_model_spec
    from latentaudio.train.optim import optimizer_step
    from latentaudio.train.recipe import Recipe
    from latentaudio.train.skeleton import build_skeleton
    from latentaudio.train.trainable import build_trainables

    recipe = Recipe(
        stage="diffusion",
        model=MODEL,
        steps=100,
        precision="bf16",
        ema_decay=0.0,
        options={"frames_per_batch": 1024 * batch_size, "snr_gamma": None},
        **changes,
    )
    stage = build_skeleton(recipe, training_config(get_model_spec(MODEL).config))
    fill(stage.unet)
    stage.is_meta = False
    [(name, trainable)] = build_trainables(stage, recipe).items()
    batch = stage.batch(0)

    def step() -> None:
        generator = torch.Generator().manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            losses = stage.losses(batch, name, generator)
        sum(losses.values()).backward()
        optimizer_step(trainable.optimizer, trainable.module, 1e-5, 1.0)

    return step


def run_case(case: str, batch_size: int) -> None:
    """Print seconds of the processor per step and the peak memory of one case."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    is_plain = case.startswith("diffusers")
    step = plain_step(batch_size) if is_plain else our_step(batch_size, CASES[case])
    step()
    seconds = []
    for _ in range(NUM_STEPS):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    print(json.dumps({"seconds": min(seconds), "peak_gb": peak_gb()}))


def table(batches: list[int], cases: list[str]):
    """Yield the rows of the table."""
    yield "batch", "case", "s a step", "steps a second", "peak", "peak, relative"
    for batch_size in batches:
        plain = None
        for case in cases:
            command = [sys.executable, __file__, "--case", case, "--batches", str(batch_size)]
            output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            result = json.loads(output.splitlines()[-1])
            plain = plain or result
            speed = plain["seconds"] / result["seconds"]
            memory = result["peak_gb"] / plain["peak_gb"]
            yield (
                str(batch_size),
                case,
                f"{result['seconds']:.1f}",
                f"{speed:.2f} x",
                f"{result['peak_gb']:.2f} GB",
                f"{memory:.2f} x",
            )


def main() -> None:
    """Run all cases, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.case:
        run_case(arguments.case, arguments.batches[0])
        return
    lines = [f"# Training steps of {MODEL}", "", __doc__.split("\n\n", 2)[2].strip(), ""]
    for index, row in enumerate(table(arguments.batches, arguments.cases)):
        lines.append("| " + " | ".join(row) + " |")
        print(lines[-1], flush=True)
        if index == 0:
            lines.append("|---" * len(row) + "|")
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
