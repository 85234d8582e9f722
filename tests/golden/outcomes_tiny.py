"""Every published layout, tiny and of known weights: each fidelity's sound, edits, and the way through all formats.

A tiny model has the rooms and switches of its row of the table and widths of a few channels. It lies in this project's own
format and goes to the authors' and to diffusers' from there. Folders that diffusers itself wrote come from `published`.
Names of tensors count in the formats of others, and do not in ours (`Nameless`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Literal

import published
import torch
from golden.common import (
    Nameless,
    Outcome,
    Value,
    fingerprint,
    fresh,
    heard,
    in_table,
    sound,
    states_in,
    tensors_of,
    write_tiny,
)
from safetensors.torch import load_file

from latentaudio import AudioLDM
from latentaudio.compat.pipelines import AudioLDM2Pipeline, AudioLDMPipeline
from latentaudio.config.architecture import CLAPConfig, ModelConfig, PhonemesConfig, T5Config
from latentaudio.config.options import Cue, SamplerName
from latentaudio.config.registry import VARIANTS, Variant
from latentaudio.loaders.convert import convert
from latentaudio.loaders.model_folder import parts_of
from latentaudio.loaders.resolve import Found, Layout, find

# Words that options take; strings, which no tool renames.
CLEAN, ORIGINAL, DIFFUSERS = "clean", "original", "diffusers"
FIDELITIES = (CLEAN, ORIGINAL, DIFFUSERS)
OURS: Layout = "latentaudio"
AUTHORS: Layout = "original"
THEIRS: Layout = "diffusers"
CLAP: Literal["clap"] = "clap"
DDIM: SamplerName = "ddim"
EXACT = "fp32"

ROWS = tuple(VARIANTS)
EACH = (
    "audioldm-s-full", "audioldm_16k_crossattn_t5", "audioldm_48k", "audioldm2-full", "audioldm2-full-large-1150k",
    "audioldm2-speech-gigaspeech",
)  # fmt: skip
"""One row of every published shape, widths aside."""
PROMPT, OTHER, SAID = "a dog barking in the rain", "a church bell", "Hello, how are you?"
S = 0.7
PROJECTION, STATES, PHONEMES, LOA_WIDTH = 16, 24, 24, 16


def tiny_of(config: ModelConfig) -> ModelConfig:
    """A system of the same rooms, switches and rates, a thousand times smaller."""
    second = PHONEMES if config.phonemes is not None else STATES
    across = tuple({None: None, 768: LOA_WIDTH, 192: LOA_WIDTH, 1024: STATES, 256: STATES}[w] for w in config.unet.contexts)
    own = config.vocoder.kind == "istft"
    if own:
        film = None if config.unet.film is None else PROJECTION
        unet = replace(config.unet, latent=4, channels=16, heads=(2, 4), groups=4, contexts=across, order=4, beats=4, film=film)
        vae = replace(config.vae, channels=8, mult=(1, 1, 2, 2), latent=4, res_blocks=1, groups=4)
        vocoder = replace(config.vocoder, channels=16, hidden=32, layers=2, reach=20)
    else:
        unet = replace(
            config.unet, latent=4, channels=16, mult=(1, 2), attention=(False, True), heads=(2, 4), contexts=across, groups=8,
            res_blocks=1, film=None if config.unet.film is None else PROJECTION,
        )  # fmt: skip
        vae = replace(config.vae, channels=8, latent=4, res_blocks=2, groups=4)
        vocoder = replace(config.vocoder, bins=64, channels=32, block_kernels=(3, 7))
    eps = config.clap.text_eps if config.clap is not None else 1e-12
    clap = CLAPConfig(
        projection=PROJECTION, text_width=16, text_layers=2, text_heads=2, text_hidden=32, text_positions=34, vocabulary=1200,
        text_length=32, text_eps=eps, audio_width=8, audio_depths=(1, 1, 1, 1), audio_heads=(1, 1, 2, 2),
    )  # fmt: skip
    t5 = T5Config(width=STATES, head_width=8, heads=2, layers=2, hidden=32, vocabulary=1200, length=32)
    spoken = PhonemesConfig(width=PHONEMES, layers=2, heads=2, hidden=32, length=40)
    written = config.translator
    if written is not None:
        tokens = 16 if config.phonemes is not None else 8
        written = replace(
            written, width=LOA_WIDTH, layers=2, heads=2, positions=160, sources=(PROJECTION, second), tokens=tokens
        )
        written = replace(written, vocabulary=9 if written.vocabulary > 1 else 1)
    ear = config.audiomae
    if ear is not None:
        ear = replace(ear, width=16, depth=2, heads=2, decoder_width=16, decoder_depth=0, decoder_heads=2, average_last=1)
    draft = None if config.draft is None else replace(config.draft, width=16, layers=1, heads=2, beats=4, order=4)
    return replace(
        config, mel=replace(config.mel, bins=64), vae=vae, unet=unet, vocoder=vocoder, clap=clap,
        t5=None if config.t5 is None else t5,
        phonemes=None if config.phonemes is None else spoken, translator=written, audiomae=ear, draft=draft,
    )  # fmt: skip


@cache
def folder_of(name: str) -> Path:
    """The tiny model of a row of the table, in our own format."""
    return write_tiny(fresh("tiny"), tiny_of(VARIANTS[name].config), name)


@cache
def model_of(name: str, fidelity: str) -> AudioLDM:
    """The same, in a fidelity's way."""
    return AudioLDM(find(folder_of(name), how=fidelity), "cpu", EXACT)


def own(m: AudioLDM) -> Value:
    """The clip of a prompt, or of a voice that says something."""
    speaks = SAID if m.config.phonemes is not None else None
    return heard(m.generate(PROMPT, transcript=speaks, seconds=S, steps=3, seed=1, candidates=1))


def guided(m: AudioLDM) -> Value:
    """Two clips with the second sampler, something to avoid, and the better of two candidates of each."""
    speaks = SAID if m.config.phonemes is not None else None
    chances = 2 if m.config.ranks else 1
    return heard(
        m.generate(
            PROMPT, negative="music", transcript=speaks, seconds=S, steps=2, seed=1, count=2, candidates=chances,
            sampler=DDIM, rescale=0.3,
        )
    )  # fmt: skip


def transferred(m: AudioLDM) -> Value:
    """A sound made into another."""
    given = sound(S, m.sample_rate)
    if m.config.phonemes is not None:
        return heard(m.transfer(given, OTHER, transcript=SAID, strength=0.6, steps=3, seed=1, candidates=1))
    return heard(m.transfer(given, OTHER, strength=0.6, steps=3, seed=1, candidates=1))


def filled_times(m: AudioLDM) -> Value:
    """A sound with two spans made anew."""
    times = [(0.1, 0.2), (0.4, 0.5)]
    return heard(m.inpaint(sound(S, m.sample_rate), OTHER, times=times, steps=2, seed=1, candidates=1))


def filled_bands(m: AudioLDM) -> Value:
    """A sound with a band made anew."""
    return heard(m.inpaint(sound(S, m.sample_rate), OTHER, bands=[(1500.0, 4000.0)], steps=2, seed=1, candidates=1))


def extended(m: AudioLDM) -> Value:
    """A sound made longer at both ends."""
    return heard(m.extend(sound(S, m.sample_rate), OTHER, left=0.1, right=0.2, steps=2, seed=1, candidates=1))


def scored(m: AudioLDM) -> Value:
    """Two cues, the second of which sounds like a sound where the model can hear one."""
    hears = m.config.ranks and (m.config.unet.film is not None or m.config.translator is not None)
    cues = [Cue(at=0.0, text=PROMPT), Cue(at=0.3, text=OTHER)]
    first = m.generate(cues=cues, crossfade=0.2, seconds=S, steps=2, seed=1, candidates=1)
    if not hears:
        return heard(first)
    return heard([*first, *m.generate(PROMPT, sound=sound(S), by=CLAP, weight=0.5, seconds=S, steps=2, seed=1, candidates=1)])


def through(m: AudioLDM) -> Value:
    """A sound's latent, and the sound once through VAE and vocoder."""
    given = sound(S, m.sample_rate)
    return [m.codec.latent(given), m.resynthesise(given)]


VERBS: dict[str, Callable[[AudioLDM], Value]] = {
    "transfer": transferred,
    "inpaint-times": filled_times,
    "inpaint-bands": filled_bands,
    "extend": extended,
    "resynthesis": through,
}


def _of(do: Callable[[AudioLDM], Value], name: str, fidelity: str) -> Value:
    return do(model_of(name, fidelity))


def stored_weights(name: str) -> Value:
    """What the tiny model is made of. If this alone differs, layers are made in another order, and all that follows differs."""
    return states_in(folder_of(name))


def named_tensors(files: list[Path], home: Path) -> str:
    """SHA-256 over file, name, dtype, shape and bytes of all tensors, sorted: of formats whose names are those of others."""
    lines = []
    for file in files:
        state = torch.load(file, weights_only=True)["state_dict"] if file.suffix == ".ckpt" else load_file(file)
        lines += [f"{file.relative_to(home)} {key} {fingerprint(value)}" for key, value in state.items()]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() + f" of {len(lines)}"


def jsons(folder: Path) -> Value:
    """All JSON files of a folder, with sorted keys, under their places."""
    found = sorted(folder.rglob("*.json"))
    texts = [json.dumps(json.loads(file.read_text()), sort_keys=True) for file in found]
    return [[str(file.relative_to(folder)), text] for file, text in zip(found, texts, strict=True)]


def own_row(name: str) -> Variant:
    """A row of the tiny model's shapes, by which a lone checkpoint is known."""
    row = VARIANTS[name]
    return replace(row, name="tiny-published", config=tiny_of(row.config), parameters=1, ema=False, original="tiny.ckpt")


def states(found: Found) -> Nameless:
    """All tensors of a model as it loads."""
    return Nameless(
        tuple(t for part in parts_of(found.config) for t in tensors_of(found.part(part, as_stored=True).state_dict()))
    )


def first_kind(name: str) -> bool:
    """Whether a row is AudioLDM 1's."""
    return VARIANTS[name].config.unet.first_kind


@cache
def converted(name: str) -> Path:
    """A folder with the tiny model in the authors' format, in diffusers', and in ours again: each made of the one before.

    AudioLDM 1's go back from the authors': what is written for diffusers lacks the CLAP that hears, though its
    config says it has one.
    """
    home = fresh("formats")
    home.mkdir()
    with in_table(own_row(name)):
        convert(find(folder_of(name), how=DIFFUSERS), home / "authors" / "tiny-published.ckpt", AUTHORS)
        checkpoint = find(home / "authors" / "tiny-published.ckpt", like="tiny-published", how=DIFFUSERS)
        convert(checkpoint, home / "diffusers", THEIRS)
        whole = checkpoint if first_kind(name) else find(home / "diffusers", how=DIFFUSERS)
        convert(whole, home / "ours", OURS)
    return home


def authors_format(name: str) -> Value:
    """Names, shapes and bytes of the authors' checkpoint, and the tokenizers beside it."""
    home = converted(name) / "authors"
    return [named_tensors([home / "tiny-published.ckpt"], home), jsons(home)]


def diffusers_format(name: str) -> Value:
    """Names, shapes and bytes of diffusers' files, and their configs."""
    home = converted(name) / "diffusers"
    return [named_tensors(sorted(home.rglob("*.safetensors")), home), jsons(home)]


def back_again(name: str) -> Value:
    """Our format, made of theirs."""
    return states_in(converted(name) / "ours")


def loaded_everywhere(name: str) -> Value:
    """States as all three formats load, and a clip of each."""
    home, made = converted(name), []
    with in_table(own_row(name)):
        for place, like in (("authors/tiny-published.ckpt", "tiny-published"), ("ours", None), ("diffusers", None)):
            if place == "diffusers" and first_kind(name):
                continue
            found = find(home / place, like=like)
            made += [states(found), own(AudioLDM(found, "cpu", EXACT))]
    return made


KINDS: dict[str, Callable[[Path], Path]] = {
    "audioldm": lambda home: published.save(published.audioldm(), home),
    "audioldm2": lambda home: published.save(published.audioldm2(), home),
    "audioldm2-large": lambda home: published.save(published.audioldm2((None, 16, 24, None), depth=2), home),
    "audioldm2-speech": lambda home: published.save(published.audioldm2((None, 16), speech=True), home),
}
"""Folders as diffusers' own classes write them."""


@cache
def written(kind: str) -> Path:
    """The folder of a kind."""
    return KINDS[kind](fresh(kind))


@cache
def from_diffusers(kind: str, fidelity: str) -> AudioLDM:
    """Its model."""
    return AudioLDM(find(written(kind), how=fidelity), "cpu", EXACT)


def of_diffusers(kind: str, fidelity: str) -> Value:
    """States, a clip and an edit of a folder of diffusers."""
    m = from_diffusers(kind, fidelity)
    return [states(m.found), own(m), guided(m), filled_times(m)]


def drop_in_first() -> Value:
    """diffusers' first pipeline in our hands."""
    pipe = AudioLDMPipeline.from_pretrained(written("audioldm"))
    dice = torch.Generator("cpu").manual_seed(0)
    return pipe("a dog in the rain", audio_length_in_s=0.64, num_inference_steps=3, generator=dice, eta=0.5).audios


def drop_in_second() -> Value:
    """diffusers' second pipeline in our hands, two waveforms ranked."""
    pipe = AudioLDM2Pipeline.from_pretrained(written("audioldm2"))
    dice = torch.Generator("cpu").manual_seed(0)
    return pipe(
        "a dog in the rain", negative_prompt="music", audio_length_in_s=0.64, num_inference_steps=3, generator=dice,
        num_waveforms_per_prompt=2,
    ).audios  # fmt: skip


OUTCOMES: dict[str, Outcome] = {
    **{f"tiny/{name}/weights": partial(stored_weights, name) for name in ROWS},
    **{f"tiny/{name}/{way}/generate": partial(_of, own, name, way) for name in ROWS for way in FIDELITIES},
    **{f"tiny/{name}/{way}/two-of-four": partial(_of, guided, name, way) for name in EACH for way in FIDELITIES},
    **{
        f"tiny/{name}/{way}/{verb}": partial(_of, do, name, way)
        for name in EACH
        for way in FIDELITIES
        for verb, do in VERBS.items()
    },
    **{
        f"tiny/{name}/clean/{verb}": partial(_of, do, name, CLEAN)
        for name in ("mini", "mini-film")
        for verb, do in VERBS.items()
    },
    **{
        f"tiny/{name}/clean/score-and-sound-as-prompt": partial(_of, scored, name, CLEAN)
        for name in (*EACH[:-1], "mini", "mini-film")
    },
    **{f"formats/{name}/authors": partial(authors_format, name) for name in EACH},
    **{f"formats/{name}/diffusers": partial(diffusers_format, name) for name in EACH},
    **{f"formats/{name}/back-again": partial(back_again, name) for name in EACH},
    **{f"formats/{name}/loaded": partial(loaded_everywhere, name) for name in EACH},
    **{f"of-diffusers/{kind}/{way}": partial(of_diffusers, kind, way) for kind in KINDS for way in FIDELITIES},
    "of-diffusers/drop-in/AudioLDMPipeline": drop_in_first,
    "of-diffusers/drop-in/AudioLDM2Pipeline": drop_in_second,
}
