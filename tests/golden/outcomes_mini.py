"""Golden outcomes of the bundled models: every method of `mini`, a sentence of `mini-speech`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from golden.common import Outcome, Value, clip_values, fresh, source_clip

from latentaudio import AudioLDM, load
from latentaudio.config.edits import InpaintOptions
from latentaudio.config.options import GenerationOptions, PromptCue
from latentaudio.config.presets import PresetName
from latentaudio.config.samplers import SamplerName
from latentaudio.editing.inputs import RequestInputs
from latentaudio.generation.resolve import resolve_request
from latentaudio.types import Step

FAST, EXACT = "auto", "fp32"
CLEAN, ORIGINAL, DIFFUSERS = "clean", "original", "diffusers"
LOA: Literal["loa"] = "loa"
CLAP: Literal["clap"] = "clap"
DDIM: SamplerName = "ddim"
DPMPP: SamplerName = "dpm++"
DISTILLED: SamplerName = "distilled"
PAPER: PresetName = "paper"
QUALITY: PresetName = "quality"
BALANCED: PresetName = "balanced"
QUICK: PresetName = "fast"
DRAFT: PresetName = "draft"

PROMPT, OTHER = "a dog barking in the rain", "a church bell ringing"
S = 1.3
TIMELINE = (
    PromptCue(start=0.0, text="light rain"),
    PromptCue(start=0.6, text="a church bell ringing"),
    PromptCue(start=0.6, text="wind", weight=0.5),
)


@cache
def model(precision: str = EXACT, reference: str = CLEAN) -> AudioLDM:
    """Load mini."""
    return load("mini", "cpu", precision, reference=reference)


@cache
def file_of_another_rate() -> Path:
    """A clip of 22.05 kHz in 24 bits."""
    path = fresh("given.wav")
    soundfile.write(path, source_clip(1.3, 22050)[0], 22050, subtype="PCM_24")
    return path


def drawn_mask_pixels(columns: int = 60) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A mask: a box in the middle and a band later."""
    mask = np.zeros((16, columns), np.uint8)
    mask[4:12, 10:25] = 255
    mask[2:5, 40:50] = 255
    return mask


def streamed(m: AudioLDM) -> Value:
    """The pieces of a stream over two windows, with a timeline."""
    cues = [PromptCue(start=0.0, text="rain"), PromptCue(start=11.0, text="a dog barking")]
    return list(m.generate_stream("rain", duration=12.0, timeline=cues, seed=3, steps=2))


def endless(m: AudioLDM) -> Value:
    """The first two pieces of an endless stream."""
    return list(islice(m.generate_stream("rain", seed=3, steps=1), 2))


def sampling_steps(m: AudioLDM, sampler: SamplerName) -> Value:
    """Every sampling step: timestep, latent, estimate of the clean latent."""
    steps: list[Step] = []
    m.generate(PROMPT, duration=S, steps=3, seed=5, sampler=sampler, on_step=steps.append)
    return [[step.index, step.total, float(step.t), step.z, step.x0] for step in steps]


def defaults(m: AudioLDM, prompts: Sequence[str]) -> Value:
    """The model's defaults in resolved requests."""
    values = []
    for request in m.resolve_requests(prompts):
        o = request.options
        sampling = [o.steps, o.guidance_scale, o.apg_eta, o.guidance_stop, o.candidates]
        values.append([o.prompt, o.duration, *sampling])
    return values


def edited(m: AudioLDM) -> Value:
    """A request of an edit, as the command line runs it."""
    inputs = RequestInputs(m.sample_rate)
    audio = inputs.load_audio(source_clip())
    edit = InpaintOptions(time_ranges=((0.2, 0.5),), source_sha256=audio.sha256)
    options = GenerationOptions(prompt=OTHER, edit=edit, steps=3, seed=4)
    return clip_values(list(m.run([resolve_request(options, m.source, inputs)])))


_GENERATE: dict[str, Outcome] = {
    "dpmpp-4-steps": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=4, seed=1, sampler=DPMPP)
    ),
    "ddim-4-steps": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=4, seed=1, sampler=DDIM)
    ),
    "ddim-fresh-noise": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=4, seed=1, sampler=DDIM, eta=0.7)
    ),
    "leaps": lambda: clip_values(model().generate(PROMPT, duration=S, seed=1, sampler=DISTILLED)),
    "usual": lambda: clip_values(model().generate(PROMPT, duration=S, seed=1)),
    "negative-prompt": lambda: clip_values(
        model().generate(PROMPT, negative_prompt="music", duration=S, steps=3, seed=1)
    ),
    "without-guidance": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=3, seed=1, guidance_scale=1.0)
    ),
    "weak-guidance": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=3, seed=1, guidance_scale=0.5)
    ),
    "parallel-guidance": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=3, seed=1, guidance_scale=5.0, apg_eta=1.0)
    ),
    "half-parallel-guidance": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=3, seed=1, guidance_scale=5.0, apg_eta=0.5)
    ),
    "rescaled-guidance": lambda: clip_values(
        model().generate(
            PROMPT, duration=S, steps=3, seed=1, guidance_scale=6.0, guidance_rescale=0.7
        )
    ),
    "guidance-interval": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=4, seed=1, guidance_start=0.2, guidance_stop=0.6)
    ),
    "reuse-2": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=4, seed=1, cache_interval=2)
    ),
    "candidates-2": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=3, seed=1, candidates=2)
    ),
    "count-2": lambda: clip_values(
        model().generate(PROMPT, duration=S, steps=3, seed=1, num_waveforms=2)
    ),
    "list-of-prompts": lambda: clip_values(
        model().generate([PROMPT, OTHER, "three knocks"], duration=S, steps=2, seed=1)
    ),
    "shorter-than-trained": lambda: clip_values(
        model().generate(OTHER, duration=0.5, steps=3, seed=2)
    ),
    "window-of-8-s": lambda: clip_values(model().generate(OTHER, duration=8.0, steps=2, seed=2)),
    "two-windows-of-13-s": lambda: clip_values(
        model().generate(OTHER, duration=13.0, steps=1, seed=2)
    ),
    "numbers-in-words": lambda: clip_values(
        model().generate("a tone at 440 Hz, 3 times", duration=S, steps=3, seed=2)
    ),
    "loop": lambda: clip_values(
        model().generate("rain", duration=S, steps=3, seed=2, loop_seam=0.4)
    ),
    "stereo": lambda: clip_values(
        model().generate("rain", duration=S, steps=3, seed=2, stereo_width=0.6)
    ),
    "loop-in-stereo": lambda: clip_values(
        model().generate("rain", duration=S, steps=2, seed=2, loop_seam=0.4, stereo_width=0.5)
    ),
    "loudness": lambda: clip_values(
        model().generate(OTHER, duration=S, steps=3, seed=2, lufs=-18.0)
    ),
    "peak": lambda: clip_values(
        model().generate(OTHER, duration=S, steps=3, seed=2, true_peak=-6.0)
    ),
    "trim-and-fades": lambda: clip_values(
        model().generate(
            OTHER, duration=S, steps=3, seed=2, trim_silence=True, fade_in=0.1, fade_out=0.3
        )
    ),
    "rate-44100": lambda: clip_values(
        model().generate(OTHER, duration=S, steps=3, seed=2, sample_rate=44100)
    ),
    "whole-finish": lambda: clip_values(
        model().generate(
            OTHER,
            duration=S,
            steps=2,
            seed=2,
            stereo_width=0.4,
            trim_silence=True,
            sample_rate=48000,
            fade_in=0.05,
            fade_out=0.1,
            lufs=-16.0,
            true_peak=-2.0,
        )
    ),
    "score": lambda: clip_values(
        model().generate(timeline=TIMELINE, crossfade=0.4, duration=S, steps=3, seed=2)
    ),
    "score-over-a-prompt": lambda: clip_values(
        model().generate(
            "wind",
            timeline=[PromptCue(start=0.0), PromptCue(start=0.5, text="a bell")],
            duration=S,
            steps=3,
            seed=2,
        )
    ),
    "score-in-a-loop": lambda: clip_values(
        model().generate(
            timeline=TIMELINE, crossfade=0.2, duration=S, steps=2, seed=2, loop_seam=0.4
        )
    ),
    "sound-as-prompt-by-loa": lambda: clip_values(
        model().generate(audio_prompt=source_clip(), audio_prompt_mode=LOA, steps=3, seed=2)
    ),
    "sound-and-words-by-loa": lambda: clip_values(
        model().generate(
            OTHER,
            audio_prompt=source_clip(),
            audio_prompt_mode=LOA,
            audio_prompt_weight=0.5,
            steps=3,
            seed=2,
        )
    ),
    "sound-as-prompt-by-clap": lambda: clip_values(
        model().generate(
            audio_prompt=source_clip(), audio_prompt_mode=CLAP, duration=S, steps=3, seed=2
        )
    ),
    "sound-and-words-by-clap": lambda: clip_values(
        model().generate(
            OTHER,
            audio_prompt=source_clip(),
            audio_prompt_mode=CLAP,
            audio_prompt_weight=0.6,
            steps=3,
            seed=2,
        )
    ),
    "sound-file-as-prompt": lambda: clip_values(
        model().generate(audio_prompt=file_of_another_rate(), duration=S, steps=2, seed=2)
    ),
    "walk-of-dpmpp": lambda: sampling_steps(model(), DPMPP),
    "walk-of-ddim": lambda: sampling_steps(model(), DDIM),
    "defaults": lambda: defaults(model(), [PROMPT, OTHER]),
}

_EDITS: dict[str, Outcome] = {
    "transfer": lambda: clip_values(
        model().transfer(source_clip(), OTHER, strength=0.5, steps=4, seed=1)
    ),
    "transfer-whole": lambda: clip_values(
        model().transfer(source_clip(), OTHER, strength=1.0, steps=3, seed=1, sampler=DDIM)
    ),
    "transfer-nothing": lambda: clip_values(
        model().transfer(source_clip(), OTHER, strength=0.0, steps=3, seed=1)
    ),
    "transfer-candidates-2": lambda: clip_values(
        model().transfer(source_clip(), OTHER, strength=0.6, steps=3, seed=1, candidates=2)
    ),
    "vary": lambda: clip_values(model().vary(source_clip(), steps=4, seed=1)),
    "vary-with-words-count-2": lambda: clip_values(
        model().vary(source_clip(), OTHER, strength=0.6, steps=3, seed=1, num_waveforms=2)
    ),
    "inpaint-times": lambda: clip_values(
        model().inpaint(source_clip(), OTHER, time_ranges=[(0.2, 0.4), (0.8, 1.0)], steps=3, seed=1)
    ),
    "inpaint-without-words": lambda: clip_values(
        model().inpaint(source_clip(), time_ranges=[(0.4, 0.8)], steps=3, seed=1)
    ),
    "inpaint-without-context": lambda: clip_values(
        model().inpaint(
            source_clip(), OTHER, time_ranges=[(0.4, 0.8)], in_context=False, steps=3, seed=1
        )
    ),
    "inpaint-bands": lambda: clip_values(
        model().inpaint(source_clip(), OTHER, frequency_ranges=[(1500.0, 4000.0)], steps=3, seed=1)
    ),
    "inpaint-bands-in-times": lambda: clip_values(
        model().inpaint(
            source_clip(),
            OTHER,
            time_ranges=[(0.3, 0.9)],
            frequency_ranges=[(1000.0, 3000.0)],
            steps=3,
            seed=1,
        )
    ),
    "inpaint-mask": lambda: clip_values(
        model().inpaint(source_clip(), OTHER, mask=drawn_mask_pixels(), steps=3, seed=1)
    ),
    "inpaint-ddim": lambda: clip_values(
        model().inpaint(
            source_clip(), OTHER, time_ranges=[(0.4, 0.8)], steps=3, seed=1, sampler=DDIM, eta=0.5
        )
    ),
    "inpaint-long": lambda: clip_values(
        model().inpaint(source_clip(11.0), "rain", time_ranges=[(5.0, 6.0)], steps=1, seed=1)
    ),
    "inpaint-file": lambda: clip_values(
        model().inpaint(file_of_another_rate(), OTHER, time_ranges=[(0.4, 0.8)], steps=3, seed=1)
    ),
    "upsample": lambda: clip_values(
        model().super_resolve(source_clip(), OTHER, cutoff_hz=3000.0, steps=3, seed=1)
    ),
    "upsample-without-words": lambda: clip_values(
        model().super_resolve(source_clip(), cutoff_hz=4000.0, steps=2, seed=1)
    ),
    "extend-right": lambda: clip_values(
        model().extend(source_clip(), OTHER, after=0.6, steps=3, seed=1)
    ),
    "extend-both-without-context": lambda: clip_values(
        model().extend(
            source_clip(), OTHER, before=0.3, after=0.3, in_context=False, steps=3, seed=1
        )
    ),
    "loop": lambda: clip_values(
        model().loop(source_clip(), "rain", loop_seam=0.4, steps=3, seed=1)
    ),
    "edit-itself": lambda: edited(model()),
    "edit-with-score": lambda: clip_values(
        model().extend(
            source_clip(),
            timeline=[PromptCue(start=0.0, text="rain"), PromptCue(start=1.0, text="a bell")],
            after=0.6,
            steps=2,
            seed=1,
        )
    ),
    "edit-in-stereo-with-loudness": lambda: clip_values(
        model().inpaint(
            source_clip(),
            OTHER,
            time_ranges=[(0.4, 0.8)],
            steps=2,
            seed=1,
            stereo_width=0.5,
            lufs=-20.0,
        )
    ),
    "morph-words": lambda: clip_values(
        model().morph("a dog barking", "rain", duration=S, steps=3, seed=1)
    ),
    "morph-words-into-a-sound": lambda: clip_values(
        model().morph("a dog barking", source_clip(), duration=S, steps=2, seed=1)
    ),
    "play": lambda: streamed(model()),
    "play-endless": lambda: endless(model()),
    "resynthesis": lambda: model().reconstruct(source_clip()),
    "similarity": lambda: model().similarity(
        [source_clip(), source_clip(0.6, seed=3)], [PROMPT, OTHER, "rain"]
    ),
}

_PRESETS: dict[str, Outcome] = {
    "paper-8-steps": lambda: clip_values(
        model().generate(PROMPT, duration=S, seed=6, preset=PAPER, steps=8)
    ),
    "quality": lambda: clip_values(model().generate(PROMPT, duration=S, seed=6, preset=QUALITY)),
    "balanced": lambda: clip_values(model().generate(PROMPT, duration=S, seed=6, preset=BALANCED)),
    "fast": lambda: clip_values(model().generate(PROMPT, duration=S, seed=6, preset=QUICK)),
    "draft": lambda: clip_values(model().generate(PROMPT, duration=S, seed=6, preset=DRAFT)),
    "draft-of-an-edit": lambda: clip_values(
        model().transfer(source_clip(), OTHER, seed=6, preset=DRAFT)
    ),
}


_CORE: dict[str, Callable[[AudioLDM], Value]] = {
    "generate": lambda m: clip_values(
        m.generate(PROMPT, duration=S, steps=3, seed=1, sampler=DPMPP)
    ),
    "generate-ddim": lambda m: clip_values(
        m.generate(PROMPT, duration=S, steps=3, seed=1, sampler=DDIM)
    ),
    "generate-sound-as-prompt": lambda m: clip_values(
        m.generate(OTHER, audio_prompt=source_clip(), audio_prompt_weight=0.5, steps=2, seed=1)
    ),
    "generate-score": lambda m: clip_values(
        m.generate(timeline=TIMELINE, duration=S, steps=2, seed=1)
    ),
    "transfer": lambda m: clip_values(m.transfer(source_clip(), OTHER, steps=3, seed=1)),
    "inpaint-times": lambda m: clip_values(
        m.inpaint(source_clip(), OTHER, time_ranges=[(0.4, 0.8)], steps=3, seed=1)
    ),
    "inpaint-bands": lambda m: clip_values(
        m.inpaint(source_clip(), OTHER, frequency_ranges=[(1500.0, 4000.0)], steps=2, seed=1)
    ),
    "extend": lambda m: clip_values(m.extend(source_clip(), OTHER, after=0.4, steps=2, seed=1)),
    "loop": lambda m: clip_values(m.loop(source_clip(), OTHER, loop_seam=0.4, steps=2, seed=1)),
    "resynthesis": lambda m: m.reconstruct(source_clip()),
}
"""The most important methods, for other precisions and references."""


def _run(method: Callable[[AudioLDM], Value], precision: str, reference: str) -> Value:
    return method(model(precision, reference))


OUTCOMES: dict[str, Outcome] = {
    **{f"mini/generate/{name}": outcome for name, outcome in _GENERATE.items()},
    **{f"mini/edit/{name}": outcome for name, outcome in _EDITS.items()},
    **{f"mini/preset/{name}": outcome for name, outcome in _PRESETS.items()},
    **{f"mini/bf16/{name}": partial(_run, method, FAST, CLEAN) for name, method in _CORE.items()},
    "mini/bf16/draft": lambda: clip_values(
        model(FAST).generate(PROMPT, duration=S, seed=1, preset=DRAFT)
    ),
    "mini/bf16/candidates-2": lambda: clip_values(
        model(FAST).generate(PROMPT, duration=S, steps=2, seed=1, candidates=2)
    ),
    **{
        f"mini/original/{name}": partial(_run, method, EXACT, ORIGINAL)
        for name, method in _CORE.items()
    },
    **{
        f"mini/diffusers/{name}": partial(_run, method, EXACT, DIFFUSERS)
        for name, method in _CORE.items()
    },
    "mini-speech/generate": lambda: clip_values(
        load("mini-speech", "cpu", EXACT).generate(
            "a woman is speaking",
            transcript="the dog is in the garden",
            duration=2.56,
            steps=3,
            seed=1,
        )
    ),
}
