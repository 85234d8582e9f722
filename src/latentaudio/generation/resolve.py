"""What was asked of one model, made whole: its own defaults, a preset's, and one line where it cannot be done.

Knows options, rows of the table and what their values mean together. Refuses to know how anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from ..conditioning import g2p
from ..config.architecture import ModelConfig
from ..config.options import Ear, Options
from ..config.presets import PRESETS, PresetName
from ..config.registry import SPEAKER
from ..errors import UsageError
from ..loaders.resolve import Found

SEEDS = 2**63


def hears(config: ModelConfig) -> bool:
    """Whether a system has what hears the language of audio, and writes it."""
    return config.audiomae is not None and config.translator is not None


def completed(request: Options, found: Found) -> Options:
    """A request with every value that was not given. Raises UsageError for what this model cannot do."""
    row, config = found.variant, found.config
    if (
        request.edit is not None
        and request.edit.context is None
        and request.edit.verb in ("inpaint", "extend", "loop")
    ):
        on = hears(config) and found.fidelity.name == "clean"
        request = request.replaced(edit=request.edit.model_copy(update={"context": on}))
    asked = request.model_fields_set
    usual: PresetName = row.preset if found.fidelity.name == "clean" else "paper"
    preset = request.preset if "preset" in asked else usual
    defaults = {name: getattr(row, name) for name in Options.model_fields if hasattr(row, name)}
    # a student takes its own steps, avoids nothing and begins in noise
    alone = (
        not asked & {"sampler", "steps", "guidance", "negative"}
        and request.edit is None
        and len(request.cues) < 2
    )
    defaults |= PRESETS[preset].of(config, alone) | {"preset": preset}
    if (request.sampler if "sampler" in asked else defaults["sampler"]) == "ddim":
        defaults["eta"] = found.fidelity.eta
    if not config.ranks or not request.worded:
        defaults["candidates"] = 1
    if not request.guidable:  # nothing to be guided towards
        defaults["guidance"] = 1.0
    if (
        config.student is not None
        and (request.sampler if "sampler" in asked else defaults["sampler"]) == "leaps"
    ):
        defaults |= {"steps": len(config.student.stops), "guidance": 1.0}
    usual_way: Ear = "loa" if hears(config) else "clap"
    cues = tuple(
        cue.model_copy(update={"by": cue.by or usual_way}) if cue.sounding else cue
        for cue in request.cues
    )
    done = request.completed(defaults).replaced(model=found.source, cues=cues)
    _check(done, found)
    return done


def _check(done: Options, found: Found) -> None:
    row, config = found.variant, found.config
    if done.sampler == "leaps":
        _check_leaps(done, found)
    if (
        done.edit is not None
        and done.edit.verb == "transfer"
        and not (done.worded or done.transcript)
    ):
        raise UsageError("transfer into what? Say what to hear instead, or use vary")
    if done.edit is not None and done.edit.context and not hears(config):
        raise UsageError(
            f"{row.name} has no AudioMAE, by which the language of audio goes on from a sound; leave out context"
        )
    if done.transcript and config.phonemes is None:
        raise UsageError(
            f"{row.name} does not speak; for a transcript load a model of speech, such as {SPEAKER}"
        )
    if config.phonemes is not None and not (done.transcript or done.edit or done.cues):
        raise UsageError(f"{row.name} speaks; say what, as transcript (--transcript)")
    if done.transcript and not g2p.spelled(done.transcript):
        raise UsageError(
            f"transcript = {done.transcript[:40]!r} has nothing to say in English; write it in Latin letters"
        )
    if done.candidates > 1 and not config.ranks:
        raise UsageError(
            f"{row.name} has no CLAP that hears, to choose among candidates; ask for one candidate"
        )
    if done.cues:
        _check_cues(done, found)
    if (not done.worded and done.candidates > 1) or (
        not done.guidable and (done.guidance > 1 or done.negative)
    ):
        raise UsageError(
            "without a prompt nothing can be chosen, guided or avoided; say one, or leave out candidates, guidance and negative"
        )
    if done.seconds > row.longest and (
        found.fidelity.name != "clean" or config.phonemes is not None
    ):
        raise UsageError(
            f"seconds = {done.seconds:g} is longer than {row.name} can; ask for at most {row.longest:g}"
        )


def _check_cues(done: Options, found: Found) -> None:
    name, config, ways = (
        found.variant.name,
        found.config,
        {cue.by for cue in done.cues if cue.sounding},
    )
    if config.phonemes is not None:
        raise UsageError(
            f"{name} speaks, and hears neither sounds nor scores; choose another model"
        )
    if "loa" in ways and not hears(config):
        raise UsageError(
            f"{name} has no AudioMAE, by which a sound's language of audio is heard; choose clap"
        )
    if "clap" in ways and not (
        config.ranks and (config.unet.film is not None or config.translator is not None)
    ):
        raise UsageError(f"{name} has no CLAP that hears sounds; choose another model")
    if done.sampler == "leaps" and len(done.cues) > 1:
        raise UsageError(
            "a student takes leaps to one prompt only; for several cues choose sampler dpm++ or ddim"
        )
    if (last := max(cue.at for cue in done.cues)) >= done.seconds:
        raise UsageError(
            f"a cue at {last:g} s lies behind the end, {done.seconds:g} s; ask for more seconds"
        )
    if min(cue.at for cue in done.cues) > 0.0:
        raise UsageError("the first cue begins after 0 s; let one begin at 0")


def _check_leaps(done: Options, found: Found) -> None:
    name, student = found.variant.name, found.config.student
    if student is None:
        raise UsageError(f"{name} has no student that takes leaps; choose sampler dpm++ or ddim")
    if done.steps != len(student.stops) or done.guidance != 1.0 or done.negative:
        raise UsageError(
            f"the student of {name} takes {len(student.stops)} steps, unguided; leave out steps, guidance and negative"
        )


def other_side(done: Options) -> dict[str, Any]:
    """Wishes of the pass that varies a clip for its stereo: as itself was made, but by a seed that no neighbour has.

    A student cannot vary; there the preset's other settings are taken.
    """
    how = {
        "negative",
        "steps",
        "guidance",
        "parallel",
        "guidance_start",
        "guidance_stop",
        "rescale",
        "sampler",
        "reuse",
        "eta",
    }
    own = {"preset", "transcript", "crossfade"} | (how if done.sampler != "leaps" else set())
    if not (
        done.worded or done.transcript or done.cues
    ):  # an edit without words, which its own sound may have guided
        own -= {"guidance", "negative"}
    return {
        **done.model_dump(include=own),
        "cues": done.cues,
        "candidates": 1,
        "seed": (done.seed + SEEDS // 2) % SEEDS,
    }


def tries(request: Options) -> Iterator[Options]:
    """One request per candidate of every clip, complete by itself: what the file will say made it."""
    for k in range(request.count * request.candidates):
        yield request.replaced(seed=(request.seed + k) % SEEDS, count=1, candidates=1)


def batches(asked: Sequence[Options], size: int) -> Iterator[list[Options]]:
    """Neighbours that differ in prompt, negative and seed only, at most `size` together."""
    for _, alike in groupby(
        asked,
        lambda one: one.replaced(
            prompt="-" if one.prompt.strip() or one.cues else "~", negative="", seed=0
        ),
    ):
        while batch := list(islice(alike, size)):
            yield batch
