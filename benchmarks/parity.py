"""Parity at full published width: our parts and whole generations against diffusers and transformers, random weights, float32.

    python benchmarks/parity.py [NAME ...] --output benchmarks/parity.md

Each system is made by their classes, saved by them, loaded by us from that folder, and both are asked the same. A part's row is
the largest difference over the largest value of theirs; a generation's row is the largest difference over their signal's
deviation. Takes a minute or two and 12 GB of memory and disk a system; rows of systems not asked for stay in the output. Speech
writes 64 vectors here, not 512, which take longer than all else together.
"""

import argparse
import gc
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import published
from published import FULL, PROMPTS

from latentaudio import load
from latentaudio.conditioning import g2p
from latentaudio.conditioning.base import clap_audio_vectors
from latentaudio.diffusion.samplers import noise_for
from latentaudio.types import Conditioning, Context, Latent

M = replace(FULL, widths=(192, 384, 576, 960))
L = replace(FULL, widths=(256, 512, 768, 1280))
SYSTEMS = {
    "audioldm-s-full": lambda: published.audioldm(FULL), "audioldm-m-full": lambda: published.audioldm(M),
    "audioldm-l-full": lambda: published.audioldm(L), "audioldm2-full": lambda: published.audioldm2(size=FULL),
    "audioldm2-full-large-1150k": lambda: published.audioldm2((None, 768, 1024, None), depth=2, size=FULL),
    "audioldm2-speech-gigaspeech": lambda: published.audioldm2(speech=True, size=FULL),
}  # fmt: skip
SECONDS, SAID, VECTORS = 0.64, "həlˈoʊ wˈɜːld!", 64


def apart(ours, theirs):
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float((ours - theirs).abs().max() / theirs.abs().max())


def sound_parts(pipe, model, dice):
    mel = torch.randn(1, 1, 64, FULL.bins, generator=dice) * 3 - 5
    want, got = pipe.vae.encode(mel).latent_dist, model.vae.encode(mel)
    yield "VAE encode, mean", apart(got.mean, want.mean)
    yield "VAE encode, logvar", apart(got.logvar, want.logvar)
    z = torch.randn(1, FULL.latent, 16, FULL.bins // 4, generator=dice)
    yield (
        "VAE decode",
        apart(
            model.vae.decode(Latent(z)), pipe.vae.decode(z / pipe.vae.config.scaling_factor).sample
        ),
    )
    yield "HiFi-GAN", apart(model.vocoder(mel)[:, 0], pipe.vocoder(mel.squeeze(1)))


def unet(pipe, model, dice):
    z, t = torch.randn(2, FULL.latent, 16, 16, generator=dice), torch.tensor([3, 990])
    if model.config.unet.film:
        film = torch.randn(2, 512, generator=dice)
        want = pipe.unet(z, t, encoder_hidden_states=None, class_labels=film).sample
        return apart(model.unet(z, t, Conditioning(film)), want)
    loa, states = torch.randn(2, 8, 768, generator=dice), torch.randn(2, 9, 1024, generator=dice)
    mask = torch.tensor([[1.0] * 9, [1.0] * 4 + [0.0] * 5])
    contexts = (Context.full(loa), Context(states, mask))[: len(model.config.unet.heard)]
    want = pipe.unet(
        z,
        t,
        encoder_hidden_states=loa,
        encoder_hidden_states_1=states,
        encoder_attention_mask_1=mask,
    ).sample
    return apart(model.unet(z, t, Conditioning(contexts=contexts)), want)


def text_parts(pipe, model, dice):
    ids = torch.randint(4, 1000, (2, 12), generator=dice)
    mask = torch.tensor([[1] * 12, [1] * 7 + [0] * 5])
    text = model.text
    rows = {"input_ids": ids, "attention_mask": mask}
    if model.config.unet.film:
        yield (
            "CLAP text",
            apart(text.clap(**rows).text_embeds, pipe.text_encoder(**rows).text_embeds),
        )
        return
    got, want = (
        clap.get_text_features(**rows).pooler_output for clap in (text.clap, pipe.text_encoder)
    )
    yield "CLAP text", apart(got, want)
    mel = torch.randn(1, 1, 1001, 64, generator=dice) * 10 - 40
    want = pipe.text_encoder.get_audio_features(
        input_features=mel, is_longer=torch.zeros(1, 1, dtype=torch.bool)
    ).pooler_output
    yield "CLAP audio", apart(clap_audio_vectors(text.clap, mel), want)
    vectors = torch.randn(1, 1, 512, generator=dice)
    if text.phonemes is not None:
        tokens = torch.tensor([g2p.encode(SAID, 310)[0].tolist()])
        seen = (tokens != 0).long()
        want = pipe.text_encoder_2.text_encoder(
            tokens, attention_mask=seen, padding_mask=seen.unsqueeze(-1)
        )[0]
        got = text.phonemes(tokens)
        positions = pipe.projection_model.learnable_positional_embedding.permute(0, 2, 1)
        yield "phoneme encoder", apart(got.tokens, want + positions)
        states, seen = want, seen
        ours = Context(want + positions, seen.float())
    else:
        want = pipe.text_encoder_2(**rows).last_hidden_state
        got = text.t5(**rows).last_hidden_state
        yield "T5", apart(got * mask[..., None], want * mask[..., None])
        states, seen = want[:1], mask[:1]
        ours = Context(states, seen.float())
    projected = pipe.projection_model(vectors, states, torch.ones(1, 1), seen)
    mine = text.translator.sequence((Context.full(vectors), ours))
    yield "projection", apart(mine.tokens, projected.hidden_states)
    written = pipe.generate_language_model(
        projected.hidden_states, attention_mask=projected.attention_mask, max_new_tokens=8
    )
    yield (
        "GPT-2 loop",
        apart(text.translator.generate((Context.full(vectors), ours), 8, True).tokens, written),
    )


def generation(pipe, model):
    count = 1 if model.config.phonemes else 3
    latents = noise_for(range(7, 7 + count), (FULL.latent, 16, 16))
    said = {}
    if model.config.phonemes:
        model.config = replace(
            model.config, translator=replace(model.config.translator, tokens=VECTORS)
        )
        said = {"transcription": SAID, "max_new_tokens": VECTORS}
    settings = {"num_inference_steps": 10, "guidance_scale": 3.5, "audio_length_in_s": SECONDS}
    want = pipe(
        PROMPTS[:count] if count > 1 else PROMPTS[0], latents=latents, **settings, **said
    ).audios
    wishes = {
        "seconds": SECONDS,
        "steps": 10,
        "guidance": 3.5,
        "sampler": "ddim",
        "candidates": 1,
        "seed": 7,
    }
    if said:
        g2p.phonemes = lambda text: text
        wishes["transcript"] = SAID
    asked = [o.replaced(seed=7 + k) for k, o in enumerate(model.requests(PROMPTS[:count], wishes))]
    model.batch = count
    got = torch.from_numpy(np.concatenate([clip.samples for clip in model.stream(asked)]))
    want = torch.from_numpy(want)
    return float((got - want).abs().max() / want.std())


@torch.no_grad()
def rows(name, folder):
    pipe = SYSTEMS[name]()
    pipe.set_progress_bar_config(disable=True)
    if "speech" in name:
        pipe.tokenizer_2 = published.phoneme_symbols(folder, FULL)
    published.save(pipe, folder / name)
    model = load(folder / name, "cpu", "fp32", fidelity="diffusers")
    assert model.found.variant.name.startswith(name[:10]), model.found.variant.name
    dice = torch.Generator().manual_seed(0)
    yield "UNet", unet(pipe, model, dice), 1e-5
    for part, value in (*sound_parts(pipe, model, dice), *text_parts(pipe, model, dice)):
        yield part, value, 1e-5
    yield "whole generation, DDIM 10 steps, guidance 3.5", generation(pipe, model), 1e-4


def main():
    words = argparse.ArgumentParser()
    words.add_argument("names", nargs="*", default=list(SYSTEMS))
    words.add_argument("--output", type=Path)
    given = words.parse_args()
    lines, failed = [], 0
    if given.output and given.output.is_file():
        kept = [
            line for line in given.output.read_text().splitlines() if line.startswith("| audioldm")
        ]
        lines = [line for line in kept if line.split(" ")[1] not in given.names]
    for name in given.names:
        began, folder = time.monotonic(), Path(tempfile.mkdtemp())
        try:
            for part, value, wanted in rows(name, folder):
                lines.append(f"| {name} | {part} | {value:.1e} | {wanted:.0e} |")
                failed += value > wanted
                print(lines[-1], flush=True)
        finally:
            shutil.rmtree(folder)
            gc.collect()
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    if given.output:
        head = (__doc__ or "").strip()
        versions = ", ".join(
            f"{name} {version(name)}" for name in ("torch", "transformers", "diffusers")
        )
        table = "\n".join(["| system | part | difference | wanted |", "|---|---|---|---|", *lines])
        given.output.write_text(f"# Parity at full width\n\n{head}\n\n{versions}\n\n{table}\n")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
