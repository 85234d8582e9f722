"""Functions of numbers: front ends, schedules, guidance, codecs, words, ranking, finish, files, memory, judges and analysis."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from golden.common import RATE, ROOT, Nameless, Outcome, Value, sound, tensors_of
from golden.outcomes_mini import LOA, SCORE, drawn, model
from golden.outcomes_tiny import tiny_of

from latentaudio import AudioLDM
from latentaudio.editing import drawn_mask
from latentaudio.audio.postprocess import faded, levelled, limited, trimmed, true_peaks, widened
from latentaudio.audio.io import encode as encode_file
from latentaudio.audio.io import safe_name
from latentaudio.audio.mel import Ear, Framing, clap_mel, filterbank, kaldi_fbank, vae_mel
from latentaudio.audio.ops import fade_edges, limit_peak, loudness, passing, resample, shaped, to_loudness
from latentaudio.audio.plot import picture
from latentaudio.cli.models import models
from latentaudio.conditioning import g2p
from latentaudio.conditioning.base import Sounding, encode_nulls, encode_prompts, language_of_sound
from latentaudio.conditioning.tokenizer import quantities
from latentaudio.config.architecture import Prediction, ScheduleConfig, mel_edges
from procedural_audio.captions.sentences import SENTENCES
from procedural_audio.registry import table
from latentaudio.diffusion.guidance import Guidance
from latentaudio.diffusion.samplers import Noise, ddim, dpmpp_2m, leaps
from latentaudio.diffusion.schedule import Schedule, Spacing
from latentaudio.evaluate.frechet import frechet_distance
from latentaudio.evaluate.mini.signal_analysis import comes_first, fundamental, onsets, partials, period, strongest_partial, template, tints
from latentaudio.evaluate.mini.classifier import load_judge, mel_of
from latentaudio.evaluate.mini.classifier import train as train_judge
from latentaudio.evaluate.mini.prompts import render
from latentaudio.generation.memory import numbers_of
from latentaudio.models.tiling import blended, starts
from latentaudio.config.options import Options
from latentaudio.generation.timeline import shares, turned, within
from latentaudio.types import Conditioning
from latentaudio.config.registry import VARIANTS
from latentaudio.loaders.model_folder import parts_of
from latentaudio.loaders.resolve import described

# Words that functions take; strings, which no tool renames.
SPACINGS: tuple[Spacing, ...] = ("leading", "trailing", "log_snr")
CENTRED: Framing = "centred"
STRETCH: Ear = "stretch"
PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v", "x0")
FORMATS = (".wav", ".flac", ".ogg", ".mp3", ".opus")
LISTENED = ("bell", "dog", "clock", "siren", "knock", "violin", "rain", "organ", "alarm", "footsteps")
TEXTS = (
    "a dog barking in the rain", "three loud knocks on a wooden door", "a tone at 440 Hz", "a violin playing A4",
    "120 bpm drums",
    "Rain, then thunder!", "", "a bell ringing every 2.5 seconds", "ÄÖÜ naïve café 2,000 hz", "glockenspiel xylophone zither",
)  # fmt: skip
_48K = VARIANTS["audioldm_48k"].config.mel


@cache
def clip_of(kind: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A render of a kind, [T] at 16 kHz."""
    return render(table()[kind], 5.12, 4, 0)[0]


def schedule_of(name: str) -> Value:
    """The forward process of a row and the times it is gone back at."""
    schedule = Schedule(VARIANTS[name].config.schedule)
    times = [schedule.timesteps(steps, spacing) for steps in (1, 2, 5, 10, 25, 200, 1000) for spacing in SPACINGS]
    return [schedule.betas, schedule.alphas_cumprod, schedule.log_snr, times]


def noising() -> Value:
    """Noised latents, targets and losses' weights of every prediction."""
    x0, noise, t = (
        torch.randn(3, 2, 8, 4, generator=torch.Generator().manual_seed(0)),
        Noise([1, 2, 3])((2, 8, 4)),
        [5, 500, 990],
    )
    steps, found = torch.tensor(t), []
    for prediction in PREDICTIONS:
        schedule = Schedule(ScheduleConfig(prediction=prediction))
        z, target = schedule.q_sample(x0, noise, steps), schedule.target(x0, noise, steps)
        found += [z, target, *schedule.split(z, steps, target), schedule.weight(steps), schedule.weight(steps, 5.0)]
    return found


def sampling() -> Value:
    """Samplers over a network that is one line of arithmetic."""
    schedule, found, dice = Schedule(), [], Noise([3, 4])
    z = dice((2, 8, 4))
    for steps in (
        ddim(lambda x, t: torch.sin(3 * x), z, schedule, 5),
        ddim(lambda x, t: torch.sin(3 * x), z, schedule, 5, 1.0, dice, start=2),
        dpmpp_2m(lambda x, t: torch.sin(3 * x), z, schedule, 5),
        dpmpp_2m(lambda x, t: torch.sin(3 * x), z, schedule, 6, spacing=SPACINGS[1], start=1),
        leaps(lambda x, t: torch.sin(3 * x), z, schedule, (999, 749, 249)),
    ):
        found += [[step.t, step.z, step.x0] for step in steps]
    return found


def guiding() -> Value:
    """Guided predictions of every kind."""
    with_, without, x0 = torch.randn(3, 2, 4, 8, 4, generator=torch.Generator().manual_seed(1))
    ways = (Guidance(3.0), Guidance(3.0, parallel=0.0), Guidance(3.0, parallel=0.3, rescale=0.7), Guidance(0.5, rescale=1.0))
    return [way.mix(with_, without, x0) for way in ways]


def front_ends() -> Value:
    """Every mel of a sound."""
    low, high = torch.from_numpy(sound()), torch.from_numpy(sound(0.6, 48000))
    return [
        vae_mel(low, VARIANTS["mini"].config.mel), vae_mel(low, VARIANTS["mini"].config.mel, CENTRED), vae_mel(high, _48K),
        vae_mel(high, _48K, CENTRED), clap_mel(high), clap_mel(high, STRETCH), kaldi_fbank(low, 256), kaldi_fbank(low, 64),
    ]  # fmt: skip


def filters() -> Value:
    """Mel filters and their corners."""
    spec = VARIANTS["mini"].config.mel
    banks = [filterbank(s.rate, s.n_fft, s.bins, s.fmin, s.fmax) for s in (spec, _48K)]
    return [*banks, list(mel_edges(64, 0.0, 8000.0)), list(mel_edges(256, 20.0, 24000.0))]


def said(heard: Conditioning) -> Value:
    """What a UNet hears, in order."""
    return [heard.film, heard.draft, *([context.tokens, context.mask] for context in heard.contexts)]


def token_ids() -> Value:
    """Ids and masks of ten texts, as CLAP and as T5 get them, and the words they are made of."""
    text = model().text
    assert text.clap_tokens is not None and text.t5_tokens is not None
    return [list(text.clap_tokens(TEXTS)), list(text.t5_tokens(TEXTS)), [quantities(one) for one in TEXTS]]


def spoken() -> Value:
    """Phonemes of ten sentences, and their ids."""
    lines = (*SENTENCES[:9], "Dr. Smith paid £3.50 -- “wow”, naïve!")
    return [[g2p.spelled(line), g2p.phonemes(line), g2p.encode(line, 120)] for line in lines]


def by_ear(kind: str) -> Value:
    """All that signal analysis tells of a render."""
    clip = clip_of(kind)
    shapes, loud = tints(clip, RATE)
    return [
        strongest_partial(clip, RATE), fundamental(clip, RATE), period(clip, RATE), period(clip, RATE, rises=False),
        onsets(clip, RATE), [list(one) for one in partials(clip, RATE)], shapes, loud,
    ]  # fmt: skip


def order_of_two() -> Value:
    """Typical shapes of two kinds, and which comes first."""
    bell, dog = template([clip_of("bell")], RATE), template([clip_of("dog")], RATE)
    both = np.concatenate([clip_of("bell")[: 2 * RATE], clip_of("dog")[: 2 * RATE]])
    return [bell, dog, comes_first(both, RATE, bell, dog), comes_first(both, RATE, dog, bell)]


def judged() -> Value:
    """What the stored judge says of renders."""
    verdict = load_judge(ROOT / "benchmarks" / "judge").hear([clip_of(kind) for kind in LISTENED[:4]])
    return [verdict.scores, verdict.embeddings, verdict.best]


def judge_taught() -> Value:
    """A judge after three steps."""
    mels, losses = [mel_of(clip_of(kind)) for kind in LISTENED[:4]], []
    judge = train_judge(
        mels, [0, 1, 2, 3], LISTENED[:4], steps=3, batch=4, progress=lambda step, steps, loss: losses.append(loss)
    )  # fmt: skip
    return [Nameless(tuple(tensors_of(judge.state_dict()))), losses]


def distances() -> Value:
    """Frechet distances of clouds."""
    dice = np.random.default_rng(0)
    one, other = dice.standard_normal((60, 12)), dice.standard_normal((50, 12)) * 1.3 + 0.2
    return [frechet_distance(one, other), frechet_distance(one, one), frechet_distance(one.astype(np.float32), other[:5])]


def memory_of(name: str) -> Value:
    """About how many gigabytes a row of the table takes, lean and not."""
    short, usual, several = (
        Options(prompt="rain", seconds=2.56, candidates=1),
        Options(prompt="rain"),
        Options(prompt="rain", count=4),
    )
    requests = (short, usual, several)
    if VARIANTS[name].config.phonemes is not None:
        requests = tuple(one.replaced(transcript="Hello.") for one in requests)
    found = []
    for precision in ("fp32", "bf16"):
        for lean in (True, False):
            m = AudioLDM(described(name), "cpu", precision, lean)
            found += [m.need([one]).gigabytes for one in requests]
    return found


def sizes_of(name: str) -> Value:
    """Numbers of every part, as shapes tell: of the tiny model too."""
    whole, tiny = VARIANTS[name].config, tiny_of(VARIANTS[name].config)
    return [sorted(numbers_of(part, config) for part in parts_of(config)) for config in (whole, tiny)]


def told_of_models() -> Value:
    """What `latentaudio models --json` says of each model: values alone, sorted."""
    with redirect_stdout(io.StringIO()) as out:
        models(json=True)
    return [sorted(json.dumps(value) for value in json.loads(line).values()) for line in out.getvalue().splitlines()]


def finishing() -> Value:
    """What is done to clips once they are made."""
    clip, side = sound(), sound(seed=7)
    wide = widened(clip, side, RATE, 0.7)
    return [
        wide, trimmed(np.pad(clip, ((0, 0), (3000, 2000))), RATE), faded(clip, RATE, 0.2, 0.3),
        levelled(wide, RATE, -16.0, -1.0),
        limited(clip, RATE, -12.0), true_peaks(clip, RATE), loudness(clip, RATE), loudness(wide, RATE), limit_peak(3 * clip),
        to_loudness(clip, RATE, -14.0), fade_edges(clip, RATE), resample(clip, RATE, 44100), resample(clip, RATE, 8000),
        shaped(clip, passing([(500.0, 2000.0), (4000.0, 8000.0)], RATE)),
    ]  # fmt: skip


def masks() -> Value:
    """What a drawn mask says."""
    pixels = drawn_mask.pixels(drawn_mask.named(drawn()))
    return [
        pixels,
        drawn_mask.checksum(pixels),
        [list(s) for s in drawn_mask.spans(pixels, 1.3)],
        drawn_mask.gains(pixels, 8000.0, RATE),
    ]


def scores() -> Value:
    """Shares of cues over time."""
    cues = [*SCORE]
    cut = [[[cue.at, cue.text, cue.since] for cue in part] for part in (within(cues, 0.4, 1.0, 0.4), turned(cues, 0.5, 1.3))]
    return [shares(cues, 0.4, 1.3, 32, 0.04), shares(cues, 5.0, 2.0, 50, 0.04), cut]


def pictured() -> Value:
    """Pixels of a clip's picture, above where the system's letters stand."""
    mel = vae_mel(torch.from_numpy(sound()), VARIANTS["mini"].config.mel)[0, 0].numpy()
    return np.asarray(picture(sound(), RATE, mel))[:410]


@torch.inference_mode()
def heard_by_audiomae() -> Value:
    """The language of audio of a sound."""
    heard = language_of_sound(model().text, Sounding("given", LOA, sound()[0], RATE), 8)
    assert heard is not None
    return [heard.tokens, heard.mask]


def noise_and_tiles() -> Value:
    """Noise by seed, and long things piece by piece."""
    x = Noise([9])((2, 50, 3))
    return [Noise([0, 1, 2**40])((2, 3)), starts(100, 30, 8), blended(lambda piece: 2 * piece, x, 20, 5)]


@torch.inference_mode()
def encoded_texts(null: bool) -> Value:
    """What mini's UNet hears of prompts, or of nothing."""
    text = model().text
    return said(encode_nulls(text, 2, 8, 32, negative=["", "music"]) if null else encode_prompts(text, TEXTS[:4], 8, 32))


OUTCOMES: dict[str, Outcome] = {
    **{f"schedule/{name}": partial(schedule_of, name) for name in VARIANTS},
    "schedule/noising": noising,
    "schedule/samplers": sampling,
    "schedule/guidance": guiding,
    "schedule/noise-and-tiles": noise_and_tiles,
    "front-end/mels": front_ends,
    "front-end/filters": filters,
    "codec/mini-latent": lambda: model().codec.latent(sound()),
    "codec/mini-latent-of-12-s": lambda: model().codec.latent(sound(12.0)),
    "codec/mini-sound-of-noise": lambda: model().codec.sound(Noise([5])((16, 32, 8))),
    "codec/frames": lambda: [model().codec.frames(seconds) for seconds in (0.1, 0.5, 1.28, 1.3, 5.0, 10.24, 61.7)],
    "words/token-ids": token_ids,
    "words/phonemes": spoken,
    "words/heard-by-mini": lambda: encoded_texts(False),
    "words/nothing-heard-by-mini": lambda: encoded_texts(True),
    "words/language-of-audio-of-a-sound": heard_by_audiomae,
    "words/file-names": lambda: [safe_name(text) for text in (*TEXTS, "con", "a/b\\c: d?" * 30)],
    "rank/similarity": lambda: model().similarity([sound(), clip_of("bell")[None], clip_of("dog")], TEXTS[:4]),
    "finish/all": finishing,
    "finish/masks": masks,
    "finish/scores": scores,
    "finish/picture": pictured,
    **{f"files/encode{ending}": partial(encode_file, sound(), RATE, ending) for ending in FORMATS},
    **{f"memory/{name}/gigabytes": partial(memory_of, name) for name in VARIANTS},
    **{f"memory/{name}/numbers": partial(sizes_of, name) for name in VARIANTS},
    "models/told": told_of_models,
    **{f"listen/{kind}": partial(by_ear, kind) for kind in LISTENED},
    "listen/order-of-two": order_of_two,
    "judge/renders": judged,
    "judge/taught": judge_taught,
    "judge/frechet": distances,
}
