"""Golden outcomes of functions: front ends, schedules, codec, text, files, memory, analysis.

The names of outcomes are those of version 0.1, under which golden.json holds them.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from golden.common import RATE, ROOT, Nameless, Outcome, Value, source_clip, tensors_of
from golden.outcomes_mini import LOA, TIMELINE, drawn_mask_pixels, model
from golden.outcomes_tiny import tiny_config

from latentaudio import AudioLDM
from latentaudio.audio.io import encode as encode_file
from latentaudio.audio.io import safe_name
from latentaudio.audio.loudness import (
    limit_true_peak,
    loudness,
    normalize_loudness,
    true_peaks,
)
from latentaudio.audio.mel import clap_mel, filterbank, kaldi_fbank, vae_mel
from latentaudio.audio.ops import bandpass_gains, fade_edges, limit_peak, resample, stft_filter
from latentaudio.audio.plot import plot_image
from latentaudio.audio.postprocess import fade, to_stereo, trim_silence
from latentaudio.cli.models import models
from latentaudio.conditioning import encode_prompts, encode_unconditional, g2p
from latentaudio.conditioning.base import AudioPrompt
from latentaudio.conditioning.language_of_audio import encode_language_of_audio
from latentaudio.conditioning.numbers import replace_numbers
from latentaudio.config.architecture import Prediction, ScheduleConfig, mel_edges
from latentaudio.config.options import GenerationOptions
from latentaudio.config.reference import CLAPPadding, MelFraming
from latentaudio.config.registry import MODELS
from latentaudio.diffusion.guidance import Guidance
from latentaudio.diffusion.samplers.ddim import ddim
from latentaudio.diffusion.samplers.distilled import distilled
from latentaudio.diffusion.samplers.dpmpp_2m import dpmpp_2m
from latentaudio.diffusion.sampling import Noise
from latentaudio.diffusion.schedule import Schedule, Spacing
from latentaudio.editing import drawn_mask
from latentaudio.editing.inputs import RequestInputs
from latentaudio.evaluate.metrics.frechet import frechet_distance
from latentaudio.evaluate.mini.classifier import load_classifier, log_mel_of, train_classifier
from latentaudio.evaluate.mini.prompts import render_class
from latentaudio.evaluate.mini.signal_analysis import (
    comes_first,
    fit_template,
    fundamental,
    onsets,
    partials,
    period,
    spectral_shapes,
    strongest_partial,
)
from latentaudio.generation.memory import num_parameters
from latentaudio.generation.resolve import resolve_request
from latentaudio.generation.timeline import crop_cues, cue_weights, rotate_cues
from latentaudio.loaders.components import component_names
from latentaudio.loaders.resolve import spec_only
from latentaudio.models.tiling import apply_overlapping, window_starts
from latentaudio.types import Conditioning
from procedural_audio.captions.sentences import SENTENCES
from procedural_audio.registry import get_registry

SPACINGS: tuple[Spacing, ...] = ("leading", "trailing", "log_snr")
CENTERED: MelFraming = "centered"
STRETCH: CLAPPadding = "stretch"
PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v", "x0")
FORMATS = (".wav", ".flac", ".ogg", ".mp3", ".opus")
ANALYZED = (
    "bell", "dog", "clock", "siren", "knock", "violin", "rain", "organ", "alarm", "footsteps",
)  # fmt: skip
TEXTS = (
    "a dog barking in the rain",
    "three loud knocks on a wooden door",
    "a tone at 440 Hz",
    "a violin playing A4",
    "120 bpm drums",
    "Rain, then thunder!",
    "",
    "a bell ringing every 2.5 seconds",
    "ÄÖÜ naïve café 2,000 hz",
    "glockenspiel xylophone zither",
)
_48K = MODELS["audioldm_48k"].config.mel


@cache
def rendered_clip(class_name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A render of a sound class, [T] at 16 kHz."""
    return render_class(get_registry()[class_name], 5.12, 4, 0)[0]


def schedule_of(name: str) -> Value:
    """The forward process of a model and its timesteps."""
    schedule = Schedule(MODELS[name].config.schedule)
    timesteps = []
    for steps in (1, 2, 5, 10, 25, 200, 1000):
        timesteps += [schedule.timesteps(steps, spacing) for spacing in SPACINGS]
    return [schedule.betas, schedule.alphas_cumprod, schedule.half_log_snr, timesteps]


def noising() -> Value:
    """Noised latents, targets and loss weights of every prediction."""
    x0 = torch.randn(3, 2, 8, 4, generator=torch.Generator().manual_seed(0))
    noise = Noise([1, 2, 3])((2, 8, 4))
    t = torch.tensor([5, 500, 990])
    values = []
    for prediction in PREDICTIONS:
        schedule = Schedule(ScheduleConfig(prediction=prediction))
        z = schedule.q_sample(x0, noise, t)
        target = schedule.training_target(x0, noise, t)
        values += [z, target, *schedule.to_x0_and_eps(z, t, target)]
        values += [schedule.loss_weight(t), schedule.loss_weight(t, 5.0)]
    return values


def sampling() -> Value:
    """Samplers over a network that is one line of arithmetic."""
    schedule = Schedule()
    noise = Noise([3, 4])
    z = noise((2, 8, 4))
    # the samplers of 0.1 were called with a number of steps and a spacing, which gave these
    leading = schedule.timesteps(5, "leading")
    log_snr = schedule.timesteps(5, "log_snr")
    trailing = schedule.timesteps(6, "trailing")
    values = []
    for steps in (
        ddim(lambda x, t: torch.sin(3 * x), z, schedule, leading),
        ddim(lambda x, t: torch.sin(3 * x), z, schedule, leading, 1.0, noise, start=2),
        dpmpp_2m(lambda x, t: torch.sin(3 * x), z, schedule, log_snr),
        dpmpp_2m(lambda x, t: torch.sin(3 * x), z, schedule, trailing, start=1),
        distilled(lambda x, t: torch.sin(3 * x), z, schedule, (999, 749, 249)),
    ):
        values += [[step.t, step.z, step.x0] for step in steps]
    return values


def guiding() -> Value:
    """Guided predictions of every kind."""
    cond, uncond, x0 = torch.randn(3, 2, 4, 8, 4, generator=torch.Generator().manual_seed(1))
    guidances = (
        Guidance(3.0),
        Guidance(3.0, apg_eta=0.0),
        Guidance(3.0, apg_eta=0.3, rescale=0.7),
        Guidance(0.5, rescale=1.0),
    )
    return [guidance.combine(cond, uncond, x0) for guidance in guidances]


def front_ends() -> Value:
    """Every mel of a clip."""
    low = torch.from_numpy(source_clip())
    high = torch.from_numpy(source_clip(0.6, 48000))
    spec = MODELS["mini"].config.mel
    return [
        vae_mel(low, spec),
        vae_mel(low, spec, CENTERED),
        vae_mel(high, _48K),
        vae_mel(high, _48K, CENTERED),
        clap_mel(high),
        clap_mel(high, STRETCH),
        kaldi_fbank(low, 256),
        kaldi_fbank(low, 64),
    ]


def filters() -> Value:
    """Mel filters and their corners."""
    specs = (MODELS["mini"].config.mel, _48K)
    banks = [filterbank(s.sample_rate, s.n_fft, s.n_mels, s.fmin, s.fmax) for s in specs]
    return [*banks, list(mel_edges(64, 0.0, 8000.0)), list(mel_edges(256, 20.0, 24000.0))]


def conditioning_values(conditioning: Conditioning) -> Value:
    """All inputs of a UNet, in order."""
    contexts = [[context.tokens, context.mask] for context in conditioning.contexts]
    return [conditioning.film, conditioning.prior, *contexts]


def token_ids() -> Value:
    """Ids and masks of ten texts for CLAP and T5, and the texts with numbers replaced."""
    encoders = model().encoders
    replaced = [replace_numbers(text) for text in TEXTS]
    return [
        list(encoders.tokenizers["clap"](TEXTS)),
        list(encoders.tokenizers["t5"](TEXTS)),
        replaced,
    ]


def phoneme_ids() -> Value:
    """Phonemes of ten sentences, and their ids."""
    lines = (*SENTENCES[:9], "Dr. Smith paid £3.50 -- “wow”, naïve!")
    values = []
    for line in lines:
        values.append([g2p.clean_text(line), g2p.phonemize(line), g2p.transcript_to_ids(line, 120)])
    return values


def analyzed(class_name: str) -> Value:
    """All that signal analysis measures of a render."""
    clip = rendered_clip(class_name)
    shapes, levels = spectral_shapes(clip, RATE)
    return [
        strongest_partial(clip, RATE),
        fundamental(clip, RATE),
        period(clip, RATE),
        period(clip, RATE, use_onsets=False),
        onsets(clip, RATE),
        [list(partial_) for partial_ in partials(clip, RATE)],
        shapes,
        levels,
    ]


def order_of_two() -> Value:
    """Templates of two sound classes, and which of them comes first."""
    bell = fit_template([rendered_clip("bell")], RATE)
    dog = fit_template([rendered_clip("dog")], RATE)
    both = np.concatenate([rendered_clip("bell")[: 2 * RATE], rendered_clip("dog")[: 2 * RATE]])
    return [bell, dog, comes_first(both, RATE, bell, dog), comes_first(both, RATE, dog, bell)]


def classified() -> Value:
    """Predictions of the stored classifier for renders."""
    classifier = load_classifier(ROOT / "benchmarks" / "classifier")
    predictions = classifier.predict([rendered_clip(name) for name in ANALYZED[:4]])
    return [predictions.log_probs, predictions.embeddings, predictions.best]


def trained_classifier() -> Value:
    """A classifier after three steps."""
    mels = [log_mel_of(rendered_clip(name)) for name in ANALYZED[:4]]
    losses: list[float] = []
    classifier = train_classifier(
        mels,
        [0, 1, 2, 3],
        ANALYZED[:4],
        steps=3,
        batch_size=4,
        progress=lambda step, steps, loss: losses.append(loss),
    )
    return [Nameless(tuple(tensors_of(classifier.state_dict()))), losses]


def distances() -> Value:
    """Frechet distances of clouds."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal((60, 12))
    second = rng.standard_normal((50, 12)) * 1.3 + 0.2
    return [
        frechet_distance(first, second),
        frechet_distance(first, first),
        frechet_distance(first.astype(np.float32), second[:5]),
    ]


def memory_of(name: str) -> Value:
    """Estimated memory in GB of a model, with and without `low_memory`."""
    config = MODELS[name].config
    transcript = {} if config.phonemes is None else {"transcript": "Hello."}
    requests = (
        GenerationOptions(prompt="rain", duration=2.56, candidates=1, **transcript),
        GenerationOptions(prompt="rain", **transcript),
        GenerationOptions(prompt="rain", num_waveforms=4, **transcript),
    )
    values = []
    for precision in ("fp32", "bf16"):
        for low_memory in (True, False):
            m = AudioLDM(spec_only(name), "cpu", precision, low_memory)
            for options in requests:
                request = resolve_request(options, m.source, RequestInputs(m.sample_rate))
                values.append(m.estimate_memory([request]).required_gb)
    return values


def sizes_of(name: str) -> Value:
    """Number of parameters of every component, of the tiny model too."""
    full = MODELS[name].config
    values = []
    for config in (full, tiny_config(full)):
        values.append(sorted(num_parameters(part, config) for part in component_names(config)))
    return values


DESCRIPTIONS_OF_0_1 = {
    "mini": "sound effects, music and speech-like sounds on any machine; ships with the package",
    "mini-film": "AudioLDM 1 in miniature: train it with recipes/mini/film.yaml",
    "audioldm-s-full": "effects and music, small",
    "audioldm-m-full": "the same, medium",
    "audioldm-l-full": "the same, large",
    "audioldm-s-text-ft": "audioldm-s-full, finetuned on text",
    "audioldm-m-text-ft": "audioldm-m-full, finetuned on text",
    "audioldm_16k_crossattn_t5": "sound effects; reads the prompt by FLAN-T5 alone",
}
"""Texts of the model table that the redesign replaced; they are put back before hashing."""


def model_table() -> Value:
    """The values of `latentaudio models --json`, sorted: numbers, files and defaults."""
    with redirect_stdout(io.StringIO()) as out:
        models(json=True)
    rows = []
    for line in out.getvalue().splitlines():
        record = json.loads(line)
        del record["num_parameters"]  # 0.1 had no total, and no sizes of its own models
        if not MODELS[record["name"]].is_published:
            record["unet_parameters"] = 0
        record["description"] = DESCRIPTIONS_OF_0_1.get(record["name"], record["description"])
        rows.append(sorted(json.dumps(value) for value in record.values()))
    return rows


def postprocessing() -> Value:
    """Post-processing of clips."""
    clip = source_clip()
    wide = to_stereo(clip, source_clip(seed=7), RATE, 0.7)
    # 0.1 had a function for this, which nothing called
    gain = 10.0 ** ((-14.0 - loudness(clip, RATE)) / 20.0)
    gained = limit_peak((clip * gain).astype(np.float32))
    gains = bandpass_gains([(500.0, 2000.0), (4000.0, 8000.0)], RATE)
    return [
        wide,
        trim_silence(np.pad(clip, ((0, 0), (3000, 2000))), RATE),
        fade(clip, RATE, 0.2, 0.3),
        normalize_loudness(wide, RATE, -16.0, -1.0),
        limit_true_peak(clip, RATE, -12.0),
        true_peaks(clip, RATE),
        loudness(clip, RATE),
        loudness(wide, RATE),
        limit_peak(3 * clip),
        gained,
        fade_edges(clip, RATE),
        resample(clip, RATE, 44100),
        resample(clip, RATE, 8000),
        stft_filter(clip, gains),
    ]


def masks() -> Value:
    """A drawn mask, read back."""
    pixels = drawn_mask.load_mask(drawn_mask.mask_to_string(drawn_mask_pixels()))
    return [
        pixels,
        drawn_mask.sha256_of_mask(pixels),
        [list(time_range) for time_range in drawn_mask.time_ranges(pixels, 1.3)],
        drawn_mask.stft_gains(pixels, 8000.0, RATE),
    ]


def timelines() -> Value:
    """Weights of cues over time."""
    cues = [*TIMELINE]
    moved = []
    for part in (crop_cues(cues, 0.4, 1.0, 0.4), rotate_cues(cues, 0.5, 1.3)):
        moved.append([[cue.start, cue.text, cue.audio_prompt_offset] for cue in part])
    weights = [cue_weights(cues, 0.4, 1.3, 32, 0.04), cue_weights(cues, 5.0, 2.0, 50, 0.04)]
    return [*weights, moved]


def plotted() -> Value:
    """Pixels of a clip's plot, above the axis with the system's letters."""
    samples = source_clip()
    log_mel = vae_mel(torch.from_numpy(samples), MODELS["mini"].config.mel)[0, 0].numpy()
    return np.asarray(plot_image(samples, RATE, log_mel))[:410]


@torch.inference_mode()
def language_of_audio() -> Value:
    """The language of audio of a clip."""
    prompt = AudioPrompt("given", LOA, source_clip()[0], RATE)
    loa = encode_language_of_audio(model().encoders, prompt, 8)
    assert loa is not None
    return [loa.tokens, loa.mask]


def noise_and_tiles() -> Value:
    """Noise by seed, and a long tensor in overlapping chunks."""
    x = Noise([9])((2, 50, 3))
    chunked = apply_overlapping(lambda chunk: 2 * chunk, x, 20, 5)
    return [Noise([0, 1, 2**40])((2, 3)), window_starts(100, 30, 8), chunked]


@torch.inference_mode()
def encoded_texts(is_unconditional: bool) -> Value:
    """Conditioning of mini's UNet for prompts, or for none."""
    encoders = model().encoders
    if is_unconditional:
        negative_prompts = ["", "music"]
        return conditioning_values(
            encode_unconditional(encoders, 2, 8, 32, negative_prompts=negative_prompts)
        )
    return conditioning_values(encode_prompts(encoders, TEXTS[:4], 8, 32))


def frame_counts() -> Value:
    """Mel frames of durations."""
    durations = (0.1, 0.5, 1.28, 1.3, 5.0, 10.24, 61.7)
    return [model().codec.num_frames(duration) for duration in durations]


def similarities() -> Value:
    """CLAP similarities of clips and texts."""
    clips = [source_clip(), rendered_clip("bell")[None], rendered_clip("dog")]
    return model().similarity(clips, TEXTS[:4])


def file_names() -> Value:
    """File names of prompts."""
    return [safe_name(text) for text in (*TEXTS, "con", "a/b\\c: d?" * 30)]


OUTCOMES: dict[str, Outcome] = {
    **{f"schedule/{name}": partial(schedule_of, name) for name in MODELS},
    "schedule/noising": noising,
    "schedule/samplers": sampling,
    "schedule/guidance": guiding,
    "schedule/noise-and-tiles": noise_and_tiles,
    "front-end/mels": front_ends,
    "front-end/filters": filters,
    "codec/mini-latent": lambda: model().codec.encode(source_clip()),
    "codec/mini-latent-of-12-s": lambda: model().codec.encode(source_clip(12.0)),
    "codec/mini-sound-of-noise": lambda: model().codec.decode(Noise([5])((16, 32, 8))),
    "codec/frames": frame_counts,
    "words/token-ids": token_ids,
    "words/phonemes": phoneme_ids,
    "words/heard-by-mini": lambda: encoded_texts(False),
    "words/nothing-heard-by-mini": lambda: encoded_texts(True),
    "words/language-of-audio-of-a-sound": language_of_audio,
    "words/file-names": file_names,
    "rank/similarity": similarities,
    "finish/all": postprocessing,
    "finish/masks": masks,
    "finish/scores": timelines,
    "finish/picture": plotted,
    **{
        f"files/encode{ending}": partial(encode_file, source_clip(), RATE, ending)
        for ending in FORMATS
    },
    **{f"memory/{name}/gigabytes": partial(memory_of, name) for name in MODELS},
    **{f"memory/{name}/numbers": partial(sizes_of, name) for name in MODELS},
    "models/told": model_table,
    **{f"listen/{name}": partial(analyzed, name) for name in ANALYZED},
    "listen/order-of-two": order_of_two,
    "judge/renders": classified,
    "judge/taught": trained_classifier,
    "judge/frechet": distances,
}
