"""Compare components and clips with diffusers and transformers, at full width, in float32.

    python benchmarks/parity.py [NAME ...] --output benchmarks/parity.md

Each model gets random weights in their classes and is saved by them. This library loads that
folder, and both get the same inputs. The difference of a component is the maximum absolute
difference, relative to the maximum of theirs. The difference of a clip is relative to the standard
deviation of theirs.

A model takes one to two minutes and 12 GB of memory and disk. Rows of models that are not named
stay in the output. Speech models generate 64 vectors of the language of audio here instead of 512,
to save time.
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

from latentaudio import AudioLDM
from latentaudio.conditioning import g2p
from latentaudio.conditioning.clap import clap_audio_embeds
from latentaudio.diffusion.sampling import noise_for
from latentaudio.loaders.resolve import resolve_model
from latentaudio.types import Conditioning, Context, Latent

MEDIUM = replace(FULL, widths=(192, 384, 576, 960))
LARGE = replace(FULL, widths=(256, 512, 768, 1280))
LARGE_CONTEXTS = (None, 768, 1024, None)
MODELS = {
    "audioldm-s-full": lambda: published.audioldm(FULL),
    "audioldm-m-full": lambda: published.audioldm(MEDIUM),
    "audioldm-l-full": lambda: published.audioldm(LARGE),
    "audioldm2-full": lambda: published.audioldm2(size=FULL),
    "audioldm2-full-large-1150k": lambda: published.audioldm2(LARGE_CONTEXTS, depth=2, size=FULL),
    "audioldm2-speech-gigaspeech": lambda: published.audioldm2(speech=True, size=FULL),
}
"""Name -> their pipeline with random weights."""

DURATION = 0.64  # s
TRANSCRIPT = "həlˈoʊ wˈɜːld!"  # phonemes
NUM_SPEECH_VECTORS = 64
MAX_COMPONENT_DIFFERENCE = 1e-5
MAX_CLIP_DIFFERENCE = 1e-4
CLIP_ROW = "full generation, DDIM 10 steps, guidance 3.5"


def difference(ours, theirs):
    """Return the maximum absolute difference, relative to the maximum of theirs."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float((ours - theirs).abs().max() / theirs.abs().max())


def compare_unet(pipe, model, generator):
    """Return the difference of the UNets."""
    z = torch.randn(2, FULL.latent, 16, 16, generator=generator)
    t = torch.tensor([3, 990])
    if model.config.unet.film_dim:
        film = torch.randn(2, 512, generator=generator)
        theirs = pipe.unet(z, t, encoder_hidden_states=None, class_labels=film).sample
        return difference(model.unet(z, t, Conditioning(film)), theirs)
    loa = torch.randn(2, 8, 768, generator=generator)
    states = torch.randn(2, 9, 1024, generator=generator)
    mask = torch.tensor([[1.0] * 9, [1.0] * 4 + [0.0] * 5])
    contexts = (Context.unmasked(loa), Context(states, mask))
    num_contexts = len(model.config.unet.cross_attention_dims)
    theirs = pipe.unet(
        z,
        t,
        encoder_hidden_states=loa,
        encoder_hidden_states_1=states,
        encoder_attention_mask_1=mask,
    ).sample
    ours = model.unet(z, t, Conditioning(contexts=contexts[:num_contexts]))
    return difference(ours, theirs)


def compare_decoders(pipe, model, generator):
    """Yield (component, difference) of VAE and vocoder."""
    mel = torch.randn(1, 1, 64, FULL.bins, generator=generator) * 3 - 5
    theirs = pipe.vae.encode(mel).latent_dist
    ours = model.vae.encode(mel)
    yield "VAE encode, mean", difference(ours.mean, theirs.mean)
    yield "VAE encode, logvar", difference(ours.logvar, theirs.logvar)
    z = torch.randn(1, FULL.latent, 16, FULL.bins // 4, generator=generator)
    theirs = pipe.vae.decode(z / pipe.vae.config.scaling_factor).sample
    yield "VAE decode", difference(model.vae.decode(Latent(z)), theirs)
    theirs = pipe.vocoder(mel.squeeze(1))
    yield "HiFi-GAN", difference(model.vocoder(mel)[:, 0], theirs)


def compare_encoders(pipe, model, generator):
    """Yield (component, difference) of text encoders and translator."""
    encoders = model.encoders
    ids = torch.randint(4, 1000, (2, 12), generator=generator)
    mask = torch.tensor([[1] * 12, [1] * 7 + [0] * 5])
    inputs = {"input_ids": ids, "attention_mask": mask}
    if model.config.unet.film_dim:
        ours = encoders.clap(**inputs).text_embeds
        yield "CLAP text", difference(ours, pipe.text_encoder(**inputs).text_embeds)
        return
    ours = encoders.clap.get_text_features(**inputs).pooler_output
    theirs = pipe.text_encoder.get_text_features(**inputs).pooler_output
    yield "CLAP text", difference(ours, theirs)
    mel = torch.randn(1, 1, 1001, 64, generator=generator) * 10 - 40
    theirs = pipe.text_encoder.get_audio_features(
        input_features=mel, is_longer=torch.zeros(1, 1, dtype=torch.bool)
    ).pooler_output
    yield "CLAP audio", difference(clap_audio_embeds(encoders.clap, mel), theirs)
    clap_embeds = torch.randn(1, 1, 512, generator=generator)
    if encoders.phonemes is None:
        theirs = pipe.text_encoder_2(**inputs).last_hidden_state
        ours = encoders.t5(**inputs).last_hidden_state
        yield "T5", difference(ours * mask[..., None], theirs * mask[..., None])
        states = theirs[:1]
        mask = mask[:1]
        context = Context(states, mask.float())
    else:
        ids = torch.tensor([g2p.transcript_to_ids(TRANSCRIPT, 310)[0].tolist()])
        mask = (ids != 0).long()
        states = pipe.text_encoder_2.text_encoder(
            ids, attention_mask=mask, padding_mask=mask.unsqueeze(-1)
        )[0]
        positions = pipe.projection_model.learnable_positional_embedding.permute(0, 2, 1)
        yield "phoneme encoder", difference(encoders.phonemes(ids).tokens, states + positions)
        context = Context(states + positions, mask.float())
    sources = (Context.unmasked(clap_embeds), context)
    yield from compare_translators(pipe, encoders.translator, sources, states, mask)


def compare_translators(pipe, translator, sources, states, mask):
    """Yield (component, difference) of the projection and of GPT-2."""
    clap_embeds = sources[0].tokens
    projected = pipe.projection_model(clap_embeds, states, torch.ones(1, 1), mask)
    ours = translator.build_prompt(sources).tokens
    yield "projection", difference(ours, projected.hidden_states)
    theirs = pipe.generate_language_model(
        projected.hidden_states, attention_mask=projected.attention_mask, max_new_tokens=8
    )
    yield "GPT-2 loop", difference(translator.generate(sources, 8, True).tokens, theirs)


def compare_clips(pipe, model):
    """Return the difference of generated clips."""
    is_speech = model.config.phonemes is not None
    count = 1 if is_speech else 3
    prompts = PROMPTS[:count]
    theirs_only = {}
    ours_only = {}
    if is_speech:
        g2p.phonemize = lambda text: text
        theirs_only = {"transcription": TRANSCRIPT, "max_new_tokens": NUM_SPEECH_VECTORS}
        ours_only = {"transcript": TRANSCRIPT}
    theirs = pipe(
        prompts if count > 1 else prompts[0],
        latents=noise_for(range(7, 7 + count), (FULL.latent, 16, 16)),
        num_inference_steps=10,
        guidance_scale=3.5,
        audio_length_in_s=DURATION,
        **theirs_only,
    ).audios
    model.batch_size = count
    clips = model.generate(
        prompts,
        duration=DURATION,
        steps=10,
        guidance_scale=3.5,
        sampler="ddim",
        candidates=1,
        seed=7,
        **ours_only,
    )
    ours = torch.from_numpy(np.concatenate([clip.samples for clip in clips]))
    theirs = torch.from_numpy(theirs)
    return float((ours - theirs).abs().max() / theirs.std())


def load_ours(folder):
    """Load a folder that diffusers saved; a speech model gets a shorter language of audio."""
    source = resolve_model(folder, reference="diffusers")
    config = source.config
    if config.phonemes is not None:
        translator = replace(config.translator, num_tokens=NUM_SPEECH_VECTORS)
        config = replace(config, translator=translator)
    source = replace(source, spec=replace(source.spec, config=config))
    return AudioLDM(source, "cpu", "fp32")


@torch.no_grad()
def compare_model(name, folder):
    """Yield (row, difference, maximum) of a model that is written to `folder`."""
    pipe = MODELS[name]()
    pipe.set_progress_bar_config(disable=True)
    if "speech" in name:
        pipe.tokenizer_2 = published.phoneme_symbols(folder, FULL)
    published.save(pipe, folder / name)
    model = load_ours(folder / name)
    assert model.source.spec.name.startswith(name[:10]), model.source.spec.name
    generator = torch.Generator().manual_seed(0)
    yield "UNet", compare_unet(pipe, model, generator), MAX_COMPONENT_DIFFERENCE
    for compare in (compare_decoders, compare_encoders):
        for component, value in compare(pipe, model, generator):
            yield component, value, MAX_COMPONENT_DIFFERENCE
    yield CLIP_ROW, compare_clips(pipe, model), MAX_CLIP_DIFFERENCE


def stored_rows(output, names):
    """Return the rows of an earlier output, without those of the named models."""
    rows = []
    for line in output.read_text(encoding="utf-8").splitlines():
        if line.startswith("| audioldm") and line.split(" ")[1] not in names:
            rows.append(line)
    return rows


def main():
    """Compare the named models, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--output", type=Path)
    flags = parser.parse_args()
    rows = []
    num_failed = 0
    if flags.output and flags.output.is_file():
        rows = stored_rows(flags.output, flags.names)
    for name in flags.names:
        start = time.monotonic()
        folder = Path(tempfile.mkdtemp())
        try:
            for row, value, maximum in compare_model(name, folder):
                rows.append(f"| {name} | {row} | {value:.1e} | <= {maximum:.0e} |")
                num_failed += value > maximum
                print(rows[-1], flush=True)
        finally:
            shutil.rmtree(folder)
            gc.collect()
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    if flags.output:
        libraries = ("torch", "transformers", "diffusers")
        versions = ", ".join(f"{library} {version(library)}" for library in libraries)
        header = ["| model | component | difference | target |", "|---|---|---|---|"]
        table = "\n".join([*header, *rows])
        introduction = (__doc__ or "").strip()
        text = f"# Parity at full width\n\n{introduction}\n\n{versions}\n\n{table}\n"
        flags.output.write_text(text, encoding="utf-8")
    sys.exit(num_failed > 0)


if __name__ == "__main__":
    main()
