"""Every verb on the embedded model `mini`: samples to the bit, in float32 and in what the machine multiplies fastest.

Verbs hand most keywords on (`**wishes`) to those of `generate`; these, which a tool for renaming may not see, are: seed, steps,
sampler, eta, guidance, parallel, guidance_start, guidance_stop, rescale, reuse, preset, negative, count, candidates, cues,
crossfade, seconds, lufs, peak, stereo, rate, fade_in, fade_out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from golden.common import Outcome, Value, fresh, heard, sound

from latentaudio import AudioLDM, load
from latentaudio.config.options import Cue, EditOptions, SamplerName
from latentaudio.config.presets import PresetName
from latentaudio.types import Step

# Words that options take; strings, which no tool renames.
FAST, EXACT = "auto", "fp32"
CLEAN, ORIGINAL, DIFFUSERS = "clean", "original", "diffusers"
LOA: Literal["loa"] = "loa"
CLAP: Literal["clap"] = "clap"
DDIM: SamplerName = "ddim"
DPMPP: SamplerName = "dpm++"
LEAPS: SamplerName = "leaps"
PAPER: PresetName = "paper"
QUALITY: PresetName = "quality"
BALANCED: PresetName = "balanced"
QUICK: PresetName = "fast"
DRAFT: PresetName = "draft"

PROMPT, OTHER = "a dog barking in the rain", "a church bell ringing"
S = 1.3
SCORE = (Cue(at=0.0, text="light rain"), Cue(at=0.6, text="a church bell ringing"), Cue(at=0.6, text="wind", share=0.5))


@cache
def model(precision: str = EXACT, fidelity: str = CLEAN) -> AudioLDM:
    """mini."""
    return load("mini", "cpu", precision, fidelity=fidelity)


@cache
def file_of_another_rate() -> Path:
    """A sound of 22.05 kHz in 24 bits."""
    path = fresh("given.wav")
    soundfile.write(path, sound(1.3, 22050)[0], 22050, subtype="PCM_24")
    return path


def drawn(columns: int = 60) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A mask: a box in the middle and a band later."""
    mask = np.zeros((16, columns), np.uint8)
    mask[4:12, 10:25] = 255
    mask[2:5, 40:50] = 255
    return mask


def played(m: AudioLDM) -> Value:
    """The pieces of a sound that grows over two windows, with a score."""
    cues = [Cue(at=0.0, text="rain"), Cue(at=11.0, text="a dog barking")]
    return list(m.play("rain", seconds=12.0, cues=cues, seed=3, steps=2))


def endless(m: AudioLDM) -> Value:
    """The first two pieces of an endless sound."""
    return list(islice(m.play("rain", seed=3, steps=1), 2))


def walked(m: AudioLDM, sampler: SamplerName) -> Value:
    """Every step on the way: time, latent, estimate of the clean one."""
    seen: list[Step] = []
    m.generate(PROMPT, seconds=S, steps=3, seed=5, sampler=sampler, on_step=seen.append)
    return [[step.index, step.total, float(step.t), step.z, step.x0] for step in seen]


def asked(m: AudioLDM, prompts: Sequence[str]) -> Value:
    """Seeds and the values that a model puts where nothing was asked."""
    requests = m.requests(prompts, {})
    return [[r.prompt, r.seconds, r.steps, r.guidance, r.parallel, r.guidance_stop, r.candidates] for r in requests]


def edited(m: AudioLDM) -> Value:
    """`edit` itself, which all verbs are."""
    return heard(list(m.edit(sound(), EditOptions(verb="inpaint", times=((0.2, 0.5),)), OTHER, steps=3, seed=4)))


_GENERATE: dict[str, Outcome] = {
    "dpmpp-4-steps": lambda: heard(model().generate(PROMPT, seconds=S, steps=4, seed=1, sampler=DPMPP)),
    "ddim-4-steps": lambda: heard(model().generate(PROMPT, seconds=S, steps=4, seed=1, sampler=DDIM)),
    "ddim-fresh-noise": lambda: heard(model().generate(PROMPT, seconds=S, steps=4, seed=1, sampler=DDIM, eta=0.7)),
    "leaps": lambda: heard(model().generate(PROMPT, seconds=S, seed=1, sampler=LEAPS)),
    "usual": lambda: heard(model().generate(PROMPT, seconds=S, seed=1)),
    "negative-prompt": lambda: heard(model().generate(PROMPT, negative="music", seconds=S, steps=3, seed=1)),
    "without-guidance": lambda: heard(model().generate(PROMPT, seconds=S, steps=3, seed=1, guidance=1.0)),
    "weak-guidance": lambda: heard(model().generate(PROMPT, seconds=S, steps=3, seed=1, guidance=0.5)),
    "parallel-guidance": lambda: heard(model().generate(PROMPT, seconds=S, steps=3, seed=1, guidance=5.0, parallel=1.0)),
    "half-parallel-guidance": lambda: heard(model().generate(PROMPT, seconds=S, steps=3, seed=1, guidance=5.0, parallel=0.5)),
    "rescaled-guidance": lambda: heard(model().generate(PROMPT, seconds=S, steps=3, seed=1, guidance=6.0, rescale=0.7)),
    "guidance-interval": lambda: heard(
        model().generate(PROMPT, seconds=S, steps=4, seed=1, guidance_start=0.2, guidance_stop=0.6)
    ),
    "reuse-2": lambda: heard(model().generate(PROMPT, seconds=S, steps=4, seed=1, reuse=2)),
    "candidates-2": lambda: heard(model().generate(PROMPT, seconds=S, steps=3, seed=1, candidates=2)),
    "count-2": lambda: heard(model().generate(PROMPT, seconds=S, steps=3, seed=1, count=2)),
    "list-of-prompts": lambda: heard(model().generate([PROMPT, OTHER, "three knocks"], seconds=S, steps=2, seed=1)),
    "shorter-than-trained": lambda: heard(model().generate(OTHER, seconds=0.5, steps=3, seed=2)),
    "window-of-8-s": lambda: heard(model().generate(OTHER, seconds=8.0, steps=2, seed=2)),
    "two-windows-of-13-s": lambda: heard(model().generate(OTHER, seconds=13.0, steps=1, seed=2)),
    "numbers-in-words": lambda: heard(model().generate("a tone at 440 Hz, 3 times", seconds=S, steps=3, seed=2)),
    "loop": lambda: heard(model().generate("rain", seconds=S, steps=3, seed=2, loop=0.4)),
    "stereo": lambda: heard(model().generate("rain", seconds=S, steps=3, seed=2, stereo=0.6)),
    "loop-in-stereo": lambda: heard(model().generate("rain", seconds=S, steps=2, seed=2, loop=0.4, stereo=0.5)),
    "loudness": lambda: heard(model().generate(OTHER, seconds=S, steps=3, seed=2, lufs=-18.0)),
    "peak": lambda: heard(model().generate(OTHER, seconds=S, steps=3, seed=2, peak=-6.0)),
    "trim-and-fades": lambda: heard(
        model().generate(OTHER, seconds=S, steps=3, seed=2, trim=True, fade_in=0.1, fade_out=0.3)
    ),
    "rate-44100": lambda: heard(model().generate(OTHER, seconds=S, steps=3, seed=2, rate=44100)),
    "whole-finish": lambda: heard(
        model().generate(
            OTHER, seconds=S, steps=2, seed=2, stereo=0.4, trim=True, rate=48000, fade_in=0.05, fade_out=0.1,
            lufs=-16.0, peak=-2.0,
        )
    ),
    "score": lambda: heard(model().generate(cues=SCORE, crossfade=0.4, seconds=S, steps=3, seed=2)),
    "score-over-a-prompt": lambda: heard(
        model().generate("wind", cues=[Cue(at=0.0), Cue(at=0.5, text="a bell")], seconds=S, steps=3, seed=2)
    ),
    "score-in-a-loop": lambda: heard(model().generate(cues=SCORE, crossfade=0.2, seconds=S, steps=2, seed=2, loop=0.4)),
    "sound-as-prompt-by-loa": lambda: heard(model().generate(sound=sound(), by=LOA, steps=3, seed=2)),
    "sound-and-words-by-loa": lambda: heard(model().generate(OTHER, sound=sound(), by=LOA, weight=0.5, steps=3, seed=2)),
    "sound-as-prompt-by-clap": lambda: heard(model().generate(sound=sound(), by=CLAP, seconds=S, steps=3, seed=2)),
    "sound-and-words-by-clap": lambda: heard(model().generate(OTHER, sound=sound(), by=CLAP, weight=0.6, steps=3, seed=2)),
    "sound-file-as-prompt": lambda: heard(model().generate(sound=file_of_another_rate(), seconds=S, steps=2, seed=2)),
    "walk-of-dpmpp": lambda: walked(model(), DPMPP),
    "walk-of-ddim": lambda: walked(model(), DDIM),
    "defaults": lambda: asked(model(), [PROMPT, OTHER]),
}  # fmt: skip

_EDITS: dict[str, Outcome] = {
    "transfer": lambda: heard(model().transfer(sound(), OTHER, strength=0.5, steps=4, seed=1)),
    "transfer-whole": lambda: heard(model().transfer(sound(), OTHER, strength=1.0, steps=3, seed=1, sampler=DDIM)),
    "transfer-nothing": lambda: heard(model().transfer(sound(), OTHER, strength=0.0, steps=3, seed=1)),
    "transfer-candidates-2": lambda: heard(model().transfer(sound(), OTHER, strength=0.6, steps=3, seed=1, candidates=2)),
    "vary": lambda: heard(model().vary(sound(), steps=4, seed=1)),
    "vary-with-words-count-2": lambda: heard(model().vary(sound(), OTHER, amount=0.6, steps=3, seed=1, count=2)),
    "inpaint-times": lambda: heard(model().inpaint(sound(), OTHER, times=[(0.2, 0.4), (0.8, 1.0)], steps=3, seed=1)),
    "inpaint-without-words": lambda: heard(model().inpaint(sound(), times=[(0.4, 0.8)], steps=3, seed=1)),
    "inpaint-without-context": lambda: heard(
        model().inpaint(sound(), OTHER, times=[(0.4, 0.8)], context=False, steps=3, seed=1)
    ),
    "inpaint-bands": lambda: heard(model().inpaint(sound(), OTHER, bands=[(1500.0, 4000.0)], steps=3, seed=1)),
    "inpaint-bands-in-times": lambda: heard(
        model().inpaint(sound(), OTHER, times=[(0.3, 0.9)], bands=[(1000.0, 3000.0)], steps=3, seed=1)
    ),
    "inpaint-mask": lambda: heard(model().inpaint(sound(), OTHER, mask=drawn(), steps=3, seed=1)),
    "inpaint-ddim": lambda: heard(model().inpaint(sound(), OTHER, times=[(0.4, 0.8)], steps=3, seed=1, sampler=DDIM, eta=0.5)),
    "inpaint-long": lambda: heard(model().inpaint(sound(11.0), "rain", times=[(5.0, 6.0)], steps=1, seed=1)),
    "inpaint-file": lambda: heard(model().inpaint(file_of_another_rate(), OTHER, times=[(0.4, 0.8)], steps=3, seed=1)),
    "upsample": lambda: heard(model().upsample(sound(), OTHER, cutoff=3000.0, steps=3, seed=1)),
    "upsample-without-words": lambda: heard(model().upsample(sound(), cutoff=4000.0, steps=2, seed=1)),
    "extend-right": lambda: heard(model().extend(sound(), OTHER, right=0.6, steps=3, seed=1)),
    "extend-both-without-context": lambda: heard(
        model().extend(sound(), OTHER, left=0.3, right=0.3, context=False, steps=3, seed=1)
    ),
    "loop": lambda: heard(model().loop(sound(), "rain", seam=0.4, steps=3, seed=1)),
    "edit-itself": lambda: edited(model()),
    "edit-with-score": lambda: heard(
        model().extend(sound(), cues=[Cue(at=0.0, text="rain"), Cue(at=1.0, text="a bell")], right=0.6, steps=2, seed=1)
    ),
    "edit-in-stereo-with-loudness": lambda: heard(
        model().inpaint(sound(), OTHER, times=[(0.4, 0.8)], steps=2, seed=1, stereo=0.5, lufs=-20.0)
    ),
    "morph-words": lambda: heard(model().morph("a dog barking", "rain", seconds=S, steps=3, seed=1)),
    "morph-words-into-a-sound": lambda: heard(model().morph("a dog barking", sound(), seconds=S, steps=2, seed=1)),
    "play": lambda: played(model()),
    "play-endless": lambda: endless(model()),
    "resynthesis": lambda: model().resynthesise(sound()),
    "similarity": lambda: model().similarity([sound(), sound(0.6, seed=3)], [PROMPT, OTHER, "rain"]),
}

_PRESETS: dict[str, Outcome] = {
    "paper-8-steps": lambda: heard(model().generate(PROMPT, seconds=S, seed=6, preset=PAPER, steps=8)),
    "quality": lambda: heard(model().generate(PROMPT, seconds=S, seed=6, preset=QUALITY)),
    "balanced": lambda: heard(model().generate(PROMPT, seconds=S, seed=6, preset=BALANCED)),
    "fast": lambda: heard(model().generate(PROMPT, seconds=S, seed=6, preset=QUICK)),
    "draft": lambda: heard(model().generate(PROMPT, seconds=S, seed=6, preset=DRAFT)),
    "draft-of-an-edit": lambda: heard(model().transfer(sound(), OTHER, seed=6, preset=DRAFT)),
}


_CORE: dict[str, Callable[[AudioLDM], Value]] = {
    "generate": lambda m: heard(m.generate(PROMPT, seconds=S, steps=3, seed=1, sampler=DPMPP)),
    "generate-ddim": lambda m: heard(m.generate(PROMPT, seconds=S, steps=3, seed=1, sampler=DDIM)),
    "generate-sound-as-prompt": lambda m: heard(m.generate(OTHER, sound=sound(), weight=0.5, steps=2, seed=1)),
    "generate-score": lambda m: heard(m.generate(cues=SCORE, seconds=S, steps=2, seed=1)),
    "transfer": lambda m: heard(m.transfer(sound(), OTHER, steps=3, seed=1)),
    "inpaint-times": lambda m: heard(m.inpaint(sound(), OTHER, times=[(0.4, 0.8)], steps=3, seed=1)),
    "inpaint-bands": lambda m: heard(m.inpaint(sound(), OTHER, bands=[(1500.0, 4000.0)], steps=2, seed=1)),
    "extend": lambda m: heard(m.extend(sound(), OTHER, right=0.4, steps=2, seed=1)),
    "loop": lambda m: heard(m.loop(sound(), OTHER, seam=0.4, steps=2, seed=1)),
    "resynthesis": lambda m: m.resynthesise(sound()),
}
"""The core of the verbs, for other precisions and fidelities."""


def _as(do: Callable[[AudioLDM], Value], precision: str, fidelity: str) -> Value:
    return do(model(precision, fidelity))


OUTCOMES: dict[str, Outcome] = {
    **{f"mini/generate/{name}": outcome for name, outcome in _GENERATE.items()},
    **{f"mini/edit/{name}": outcome for name, outcome in _EDITS.items()},
    **{f"mini/preset/{name}": outcome for name, outcome in _PRESETS.items()},
    **{f"mini/bf16/{name}": partial(_as, do, FAST, CLEAN) for name, do in _CORE.items()},
    "mini/bf16/draft": lambda: heard(model(FAST).generate(PROMPT, seconds=S, seed=1, preset=DRAFT)),
    "mini/bf16/candidates-2": lambda: heard(model(FAST).generate(PROMPT, seconds=S, steps=2, seed=1, candidates=2)),
    **{f"mini/original/{name}": partial(_as, do, EXACT, ORIGINAL) for name, do in _CORE.items()},
    **{f"mini/diffusers/{name}": partial(_as, do, EXACT, DIFFUSERS) for name, do in _CORE.items()},
}
