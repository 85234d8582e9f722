"""Golden outcomes of every published architecture, tiny and with fixed weights.

A tiny model has the layers and switches of its row of the model table, and a few channels. It is
stored in this project's format and converted to the authors' and to diffusers' from there. Folders
that diffusers itself wrote come from `published`. Names of tensors count in the formats of others,
and not in ours (`Nameless`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import published
import torch
from golden.common import (
    Nameless,
    Outcome,
    Value,
    clip_values,
    fingerprint,
    fresh,
    in_model_table,
    source_clip,
    states_in,
    tensors_of,
    write_tiny,
)
from safetensors.torch import load_file

from latentaudio import AudioLDM
from latentaudio.compat import AudioLDM2Pipeline, AudioLDMPipeline
from latentaudio.config.architecture import CLAPConfig, ModelConfig, PhonemesConfig, T5Config
from latentaudio.config.options import PromptCue
from latentaudio.config.registry import MODELS, ModelSpec
from latentaudio.config.samplers import SamplerName
from latentaudio.loaders.components import component_names
from latentaudio.loaders.convert import convert
from latentaudio.loaders.layouts import LayoutName, ModelSource
from latentaudio.loaders.resolve import resolve_model

CLEAN, ORIGINAL, DIFFUSERS = "clean", "original", "diffusers"
REFERENCES = (CLEAN, ORIGINAL, DIFFUSERS)
OURS: LayoutName = "latentaudio"
AUTHORS: LayoutName = "original"
THEIRS: LayoutName = "diffusers"
CLAP: Literal["clap"] = "clap"
DDIM: SamplerName = "ddim"
EXACT = "fp32"

NAMES = tuple(MODELS)
EACH = (
    "audioldm-s-full",
    "audioldm_16k_crossattn_t5",
    "audioldm_48k",
    "audioldm2-full",
    "audioldm2-full-large-1150k",
    "audioldm2-speech-gigaspeech",
)
"""One model of every published architecture, widths aside."""
PROMPT = "a dog barking in the rain"
OTHER = "a church bell"
TRANSCRIPT = "Hello, how are you?"
S = 0.7
PROJECTION_DIM = 16
T5_WIDTH = 24
PHONEMES_WIDTH = 24
LOA_WIDTH = 16
TINY_WIDTHS = {
    None: None,
    768: LOA_WIDTH,
    192: LOA_WIDTH,
    1024: T5_WIDTH,
    256: T5_WIDTH,
}
"""Width of a context to its width in the tiny model."""


def tiny_config(config: ModelConfig) -> ModelConfig:
    """A system with the same layers, switches and rates, a thousand times smaller."""
    film_dim = None if config.unet.film_dim is None else PROJECTION_DIM
    contexts = tuple(TINY_WIDTHS[width] for width in config.unet.contexts)
    if config.vocoder.kind == "istft":
        unet = replace(
            config.unet,
            latent_channels=4,
            channels=16,
            num_heads=(2, 4),
            num_groups=4,
            contexts=contexts,
            num_position_frequencies=4,
            num_uniform_frequencies=4,
            film_dim=film_dim,
        )
        vae = replace(
            config.vae,
            channels=8,
            channel_mult=(1, 1, 2, 2),
            latent_channels=4,
            num_res_blocks=1,
            num_groups=4,
        )
        vocoder = replace(
            config.vocoder,
            channels=16,
            ffn_dim=32,
            num_layers=2,
            pitch_smoothing_frames=20,
            attack_n_fft=0,
            use_harmonics=False,
        )
    else:
        unet = replace(
            config.unet,
            latent_channels=4,
            channels=16,
            channel_mult=(1, 2),
            attention=(False, True),
            num_heads=(2, 4),
            contexts=contexts,
            num_groups=8,
            num_res_blocks=1,
            film_dim=film_dim,
        )
        vae = replace(config.vae, channels=8, latent_channels=4, num_res_blocks=2, num_groups=4)
        vocoder = replace(config.vocoder, n_mels=64, channels=32, resblock_kernel_sizes=(3, 7))
    return replace(
        config,
        mel=replace(config.mel, n_mels=64),
        vae=vae,
        unet=unet,
        vocoder=vocoder,
        **tiny_encoders(config),
    )


def tiny_encoders(config: ModelConfig) -> dict[str, Any]:
    """The encoders of `tiny_config`, by field of `ModelConfig`."""
    is_speech = config.phonemes is not None
    eps = config.clap.text_layer_norm_eps if config.clap is not None else 1e-12
    clap = CLAPConfig(
        projection_dim=PROJECTION_DIM,
        text_hidden_size=16,
        text_num_layers=2,
        text_num_heads=2,
        text_ffn_dim=32,
        text_max_positions=34,
        vocab_size=1200,
        text_max_length=32,
        text_layer_norm_eps=eps,
        audio_hidden_size=8,
        audio_depths=(1, 1, 1, 1),
        audio_num_heads=(1, 1, 2, 2),
    )
    t5 = T5Config(
        hidden_size=T5_WIDTH,
        head_dim=8,
        num_heads=2,
        num_layers=2,
        ffn_dim=32,
        vocab_size=1200,
        max_length=32,
    )
    phonemes = PhonemesConfig(
        hidden_size=PHONEMES_WIDTH, num_layers=2, num_heads=2, ffn_dim=32, max_length=40
    )
    translator = config.translator
    if translator is not None:
        translator = replace(
            translator,
            hidden_size=LOA_WIDTH,
            num_layers=2,
            num_heads=2,
            max_positions=160,
            source_dims=(PROJECTION_DIM, PHONEMES_WIDTH if is_speech else T5_WIDTH),
            num_tokens=16 if is_speech else 8,
            vocab_size=9 if translator.vocab_size > 1 else 1,
        )
    audiomae = config.audiomae
    if audiomae is not None:
        audiomae = replace(
            audiomae,
            hidden_size=16,
            num_layers=2,
            num_heads=2,
            decoder_hidden_size=16,
            decoder_num_layers=0,
            decoder_num_heads=2,
            num_averaged_layers=1,
        )
    prior = config.latent_prior
    if prior is not None:
        prior = replace(
            prior,
            hidden_size=16,
            num_layers=1,
            num_heads=2,
            num_uniform_frequencies=4,
            num_position_frequencies=4,
        )
    return {
        "clap": clap,
        "t5": None if config.t5 is None else t5,
        "phonemes": phonemes if is_speech else None,
        "translator": translator,
        "audiomae": audiomae,
        "latent_prior": prior,
    }


@cache
def folder_of(name: str) -> Path:
    """The tiny model of a row of the model table, in our own format."""
    return write_tiny(fresh("tiny"), tiny_config(MODELS[name].config), name)


@cache
def model_of(name: str, reference: str) -> AudioLDM:
    """The same, loaded with a reference."""
    return AudioLDM(resolve_model(folder_of(name), reference=reference), "cpu", EXACT)


def speech_options(m: AudioLDM) -> dict[str, str]:
    """The transcript that a speech model needs."""
    return {} if m.config.phonemes is None else {"transcript": TRANSCRIPT}


def generated(m: AudioLDM) -> Value:
    """The clip of a prompt, or of a prompt and a transcript."""
    return clip_values(
        m.generate(PROMPT, duration=S, steps=3, seed=1, candidates=1, **speech_options(m))
    )


def guided(m: AudioLDM) -> Value:
    """Two clips by DDIM with a negative prompt, each the better of two candidates."""
    return clip_values(
        m.generate(
            PROMPT,
            negative_prompt="music",
            duration=S,
            steps=2,
            seed=1,
            num_waveforms=2,
            candidates=2 if m.config.can_rank else 1,
            sampler=DDIM,
            guidance_rescale=0.3,
            **speech_options(m),
        )
    )


def transferred(m: AudioLDM) -> Value:
    """A clip turned into another sound."""
    options = {"strength": 0.6, "steps": 3, "seed": 1, "candidates": 1, **speech_options(m)}
    return clip_values(m.transfer(source_clip(S, m.sample_rate), OTHER, **options))


def inpainted_times(m: AudioLDM) -> Value:
    """A clip with two time ranges regenerated."""
    ranges = [(0.1, 0.2), (0.4, 0.5)]
    options = {"steps": 2, "seed": 1, "candidates": 1}
    return clip_values(
        m.inpaint(source_clip(S, m.sample_rate), OTHER, time_ranges=ranges, **options)
    )


def inpainted_bands(m: AudioLDM) -> Value:
    """A clip with a frequency range regenerated."""
    ranges = [(1500.0, 4000.0)]
    options = {"steps": 2, "seed": 1, "candidates": 1}
    return clip_values(
        m.inpaint(source_clip(S, m.sample_rate), OTHER, frequency_ranges=ranges, **options)
    )


def extended(m: AudioLDM) -> Value:
    """A clip extended at both ends."""
    options = {"before": 0.1, "after": 0.2, "steps": 2, "seed": 1, "candidates": 1}
    return clip_values(m.extend(source_clip(S, m.sample_rate), OTHER, **options))


def timeline_and_audio_prompt(m: AudioLDM) -> Value:
    """A timeline of two cues and, if the model can read one, an audio prompt."""
    reads_clap = m.config.unet.film_dim is not None or m.config.translator is not None
    cues = [PromptCue(start=0.0, text=PROMPT), PromptCue(start=0.3, text=OTHER)]
    options = {"duration": S, "steps": 2, "seed": 1, "candidates": 1}
    clips = m.generate(timeline=cues, crossfade=0.2, **options)
    if m.config.can_rank and reads_clap:
        clips += m.generate(
            PROMPT,
            audio_prompt=source_clip(S),
            audio_prompt_mode=CLAP,
            audio_prompt_weight=0.5,
            **options,
        )
    return clip_values(clips)


def encoded_and_decoded(m: AudioLDM) -> Value:
    """The latent of a clip, and the clip through VAE and vocoder."""
    samples = source_clip(S, m.sample_rate)
    return [m.codec.encode(samples), m.reconstruct(samples)]


METHODS: dict[str, Callable[[AudioLDM], Value]] = {
    "transfer": transferred,
    "inpaint-times": inpainted_times,
    "inpaint-bands": inpainted_bands,
    "extend": extended,
    "resynthesis": encoded_and_decoded,
}


def _run(method: Callable[[AudioLDM], Value], name: str, reference: str) -> Value:
    return method(model_of(name, reference))


def stored_weights(name: str) -> Value:
    """Weights of the tiny model. If they differ, layers are built in another order."""
    return states_in(folder_of(name))


def named_tensors(files: list[Path], folder: Path) -> str:
    """SHA-256 of file, name, type, shape and bytes of all tensors, sorted; of foreign formats."""
    lines = []
    for file in files:
        if file.suffix == ".ckpt":
            state = torch.load(file, weights_only=True)["state_dict"]
        else:
            state = load_file(file)
        for key, value in state.items():
            lines.append(f"{file.relative_to(folder)} {key} {fingerprint(value)}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() + f" of {len(lines)}"


def jsons(folder: Path) -> Value:
    """All JSON files of a folder, with sorted keys, under their paths."""
    values = []
    for file in sorted(folder.rglob("*.json")):
        text = json.dumps(json.loads(file.read_text()), sort_keys=True)
        values.append([str(file.relative_to(folder)), text])
    return values


def tiny_spec(name: str) -> ModelSpec:
    """A row of the model table with the tiny model's shapes, by which its checkpoint is found."""
    return replace(
        MODELS[name],
        name="tiny-published",
        config=tiny_config(MODELS[name].config),
        unet_parameters=1,
        use_ema=False,
        original_checkpoint="tiny.ckpt",
    )


def states(source: ModelSource) -> Nameless:
    """All tensors of a model as it loads."""
    tensors: list[torch.Tensor] = []
    for name in component_names(source.config):
        tensors += tensors_of(source.load_component(name, as_stored=True).state_dict())
    return Nameless(tuple(tensors))


def is_audioldm1(name: str) -> bool:
    """Whether a model is an AudioLDM 1."""
    return MODELS[name].config.unet.is_audioldm1


@cache
def converted(name: str) -> Path:
    """A folder with the tiny model in the authors' format, in diffusers' and again in ours.

    Each is converted from the one before. AudioLDM 1's in our format comes from the authors':
    diffusers' layout has no audio encoder of CLAP, though its config names one.
    """
    folder = fresh("formats")
    folder.mkdir()
    authors = folder / "authors" / "tiny-published.ckpt"
    with in_model_table(tiny_spec(name)):
        convert(resolve_model(folder_of(name), reference=DIFFUSERS), authors, AUTHORS)
        complete = resolve_model(authors, architecture="tiny-published", reference=DIFFUSERS)
        convert(complete, folder / "diffusers", THEIRS)
        if not is_audioldm1(name):
            complete = resolve_model(folder / "diffusers", reference=DIFFUSERS)
        convert(complete, folder / "ours", OURS)
    return folder


def authors_format(name: str) -> Value:
    """Names, shapes and bytes of the authors' checkpoint, and the tokenizers beside it."""
    folder = converted(name) / "authors"
    return [named_tensors([folder / "tiny-published.ckpt"], folder), jsons(folder)]


def diffusers_format(name: str) -> Value:
    """Names, shapes and bytes of diffusers' files, and their configs."""
    folder = converted(name) / "diffusers"
    return [named_tensors(sorted(folder.rglob("*.safetensors")), folder), jsons(folder)]


def back_again(name: str) -> Value:
    """Our format, converted from theirs."""
    return states_in(converted(name) / "ours")


def loaded_everywhere(name: str) -> Value:
    """States as all three formats load, and a clip of each."""
    paths = ["authors/tiny-published.ckpt", "ours"]
    if not is_audioldm1(name):
        paths.append("diffusers")
    folder = converted(name)
    values = []
    with in_model_table(tiny_spec(name)):
        for path in paths:
            architecture = "tiny-published" if path.endswith(".ckpt") else None
            source = resolve_model(folder / path, architecture)
            values += [states(source), generated(AudioLDM(source, "cpu", EXACT))]
    return values


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "audioldm": lambda folder: published.save(published.audioldm(), folder),
    "audioldm2": lambda folder: published.save(published.audioldm2(), folder),
    "audioldm2-large": lambda folder: published.save(
        published.audioldm2((None, 16, 24, None), depth=2), folder
    ),
    "audioldm2-speech": lambda folder: published.save(
        published.audioldm2((None, 16), speech=True), folder
    ),
}
"""Folders as diffusers' own classes write them."""


@cache
def diffusers_folder(kind: str) -> Path:
    """Write the folder of a layout."""
    return LAYOUTS[kind](fresh(kind))


@cache
def from_diffusers(kind: str, reference: str) -> AudioLDM:
    """Load it."""
    return AudioLDM(resolve_model(diffusers_folder(kind), reference=reference), "cpu", EXACT)


def of_diffusers(kind: str, reference: str) -> Value:
    """States, a clip and an edit of a folder of diffusers."""
    m = from_diffusers(kind, reference)
    return [states(m.source), generated(m), guided(m), inpainted_times(m)]


def audioldm_pipeline() -> Value:
    """The drop-in replacement of diffusers' AudioLDMPipeline."""
    pipe = AudioLDMPipeline.from_pretrained(diffusers_folder("audioldm"))
    generator = torch.Generator("cpu").manual_seed(0)
    return pipe(
        "a dog in the rain",
        audio_length_in_s=0.64,
        num_inference_steps=3,
        generator=generator,
        eta=0.5,
    ).audios


def audioldm2_pipeline() -> Value:
    """The drop-in replacement of AudioLDM2Pipeline, two waveforms ranked."""
    pipe = AudioLDM2Pipeline.from_pretrained(diffusers_folder("audioldm2"))
    generator = torch.Generator("cpu").manual_seed(0)
    return pipe(
        "a dog in the rain",
        negative_prompt="music",
        audio_length_in_s=0.64,
        num_inference_steps=3,
        generator=generator,
        num_waveforms_per_prompt=2,
    ).audios


OUTCOMES: dict[str, Outcome] = {
    **{f"tiny/{name}/weights": partial(stored_weights, name) for name in NAMES},
    **{
        f"tiny/{name}/{reference}/generate": partial(_run, generated, name, reference)
        for name in NAMES
        for reference in REFERENCES
    },
    **{
        f"tiny/{name}/{reference}/two-of-four": partial(_run, guided, name, reference)
        for name in EACH
        for reference in REFERENCES
    },
    **{
        f"tiny/{name}/{reference}/{edit}": partial(_run, method, name, reference)
        for name in EACH
        for reference in REFERENCES
        for edit, method in METHODS.items()
    },
    **{
        f"tiny/{name}/clean/{edit}": partial(_run, method, name, CLEAN)
        for name in ("mini", "mini-film")
        for edit, method in METHODS.items()
    },
    **{
        f"tiny/{name}/clean/score-and-sound-as-prompt": partial(
            _run, timeline_and_audio_prompt, name, CLEAN
        )
        for name in (*EACH[:-1], "mini", "mini-film")
    },
    **{f"formats/{name}/authors": partial(authors_format, name) for name in EACH},
    **{f"formats/{name}/diffusers": partial(diffusers_format, name) for name in EACH},
    **{f"formats/{name}/back-again": partial(back_again, name) for name in EACH},
    **{f"formats/{name}/loaded": partial(loaded_everywhere, name) for name in EACH},
    **{
        f"of-diffusers/{kind}/{reference}": partial(of_diffusers, kind, reference)
        for kind in LAYOUTS
        for reference in REFERENCES
    },
    "of-diffusers/drop-in/AudioLDMPipeline": audioldm_pipeline,
    "of-diffusers/drop-in/AudioLDM2Pipeline": audioldm2_pipeline,
}
