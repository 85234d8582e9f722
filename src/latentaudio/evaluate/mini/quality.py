"""The bench of a model: every promise measured by a judge that is not the model and by signal analysis, renders beside it.

Knows what is measured, on how many clips, and the targets. Refuses to know models: it is handed functions that generate,
resynthesise and compare. Nothing here chooses among candidates: one clip a prompt.

Letters: N clips, T samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from procedural_audio.captions.ood_prompts import foreign_prompts, fresh
from procedural_audio.registry import find, table

from ...benchmark import process_cost
from ...errors import ConfigError, GenerationError
from ..frechet import frechet_distance
from ..report import Line, Report
from . import signal_analysis
from .attributes import QUESTIONS
from .classifier import Judge, Verdict
from .prompts import RATE, Asked, in_order, of_every_kind, render, spelling_out

Clips = list[np.ndarray]
Generate = Callable[[list[str], float, int], Clips]
"""(prompts, seconds, seed) -> one clip [T] at 16 kHz each; clip k is made with seed + k."""
Progress = Callable[[str, int, int], None]
"""(what is being done, how many are done, of how many)."""

_BATCH, _TEMPLATE_CLIPS, _TEMPLATE_DICE = 8, 12, 9
_COLD_PROMPT = "a church bell ringing in the distance"
_VOICES = frozenset(
    {"male speech", "female speech", "speech"}
)  # either passes for the other: speech need only be speech-like


@dataclass(frozen=True)
class Bench:
    """Who is examined and how thoroughly. `asked_each`: prompts per question; the judge hears at least `count` in all kinds."""

    generate: Generate
    judge: Judge
    count: int = 440
    asked_each: int = 60
    seconds: float = 5.12
    seed: int = 0
    progress: Progress = lambda what, done, total: None

    def clips(self, what: str, prompts: Sequence[str], salt: int) -> Clips:
        """One clip a prompt. A clip the model refuses to deliver (silence, not finite) counts as silence, so as wrong."""
        made: Clips = []
        for start in range(0, len(prompts), _BATCH):
            batch, seed = list(prompts[start : start + _BATCH]), self.seed + 100_000 * salt + start
            try:
                made += self.generate(batch, self.seconds, seed)
            except GenerationError:
                made += [self._alone(prompt, seed + k) for k, prompt in enumerate(batch)]
            self.progress(what, len(made), len(prompts))
        return [np.asarray(clip, np.float32) for clip in made]

    def _alone(self, prompt: str, seed: int) -> np.ndarray:
        try:
            return self.generate([prompt], self.seconds, seed)[0]
        except GenerationError:
            return np.zeros(round(self.seconds * RATE), np.float32)


def run_bench(
    bench: Bench,
    model: str,
    resynthesise: Callable[[Clips], Clips] | None = None,
    similarity: Callable[[Clips, list[str]], np.ndarray] | None = None,
    together: Generate | None = None,
    command: Sequence[str] | None = process_cost.COMMAND,
    flags: Sequence[str] = (),
) -> Report:
    """Measure everything and report. Parts that are None are left out.

    resynthesise: renders through VAE and vocoder. similarity: clips and prompts to CLAP's scores [N, N]. together: as
    `bench.generate`, in float32 and two prompts at once. command: the command line, for the cold start, with `flags` for its
    `generate`; `model` is what its `--model` understands. Raises ConfigError if the judge lacks a kind.
    """
    if bench.count < 2 or bench.asked_each < 1:
        raise ConfigError("a bench needs at least 2 clips over all kinds and 1 for each question")
    unknown = [name for name in table() if name not in bench.judge.kinds]
    if unknown:
        raise ConfigError(
            f"the judge does not know {', '.join(unknown[:5])}; train another: python recipes/mini/judge.py --out DIR"
        )
    report = Report(model)
    asked = list(of_every_kind(bench.count, bench.seed, bench.seconds))
    clips = bench.clips("every kind", [a.prompt for a in asked], 0)
    _judged(bench, report, asked, clips, resynthesise)
    _foreign(bench, report)
    for salt, name in enumerate(QUESTIONS, 2):
        _answered(bench, report, name, salt)
    _ordered(bench, report)
    if similarity:
        _retrieved(bench, report, asked, clips, similarity)
    _steady(bench, report, together)
    _timed(bench, report, model, command, flags)
    return report


def right(verdict: Verdict, kinds: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Whether the likeliest kind of each clip is the one wanted, [N]; one voice passes for the other."""
    heard_kinds = [kinds[k] for k in verdict.best]
    return np.array([h == w or {h, w} <= _VOICES for h, w in zip(heard_kinds, wanted, strict=True)])


def _judged(
    bench: Bench,
    report: Report,
    asked: list[Asked],
    clips: Clips,
    resynthesise: Callable[[Clips], Clips] | None,
) -> None:
    """Top-1 over all kinds, and distances of the clips from renders that are not their own."""
    judge, wanted = bench.judge, [a.kinds[0] for a in asked]
    truths = [a.truth for a in asked]
    bench.progress("judging", 0, 3)
    own, renders = judge.hear(clips), judge.hear(truths)
    others = judge.hear(
        [a.truth for a in of_every_kind(bench.count, bench.seed + 1_000_000, bench.seconds)]
    )
    good = right(own, judge.kinds, wanted)
    report.kinds = {
        kind: float(good[[w == kind for w in wanted]].mean()) for kind in dict.fromkeys(wanted)
    }
    missed = Counter(
        (w, judge.kinds[b]) for w, b, g in zip(wanted, own.best, good, strict=True) if not g
    )
    report.mistakes = [(*pair, times) for pair, times in missed.most_common()]
    name, share = report.worst
    ceiling = float(right(renders, judge.kinds, wanted).mean())
    add = report.lines.append
    add(
        Line(
            "judge top-1",
            float(good.mean()),
            "%",
            len(clips),
            bench.seed,
            0.9,
            False,
            ceiling,
            f"worst: {name} {share:.0%}",
        )
    )
    halves = frechet_distance(renders.embeddings, others.embeddings)
    distance = frechet_distance(own.embeddings, others.embeddings)
    note = f"{distance:.2f} to renders, {halves:.2f} between halves of renders"
    add(Line("Frechet ratio", distance / halves, "x", len(clips), bench.seed, 2.5, True, 1.0, note))
    if resynthesise:
        again = judge.hear(resynthesise(truths))
        distance = frechet_distance(again.embeddings, others.embeddings)
        note = f"through VAE and vocoder; the judge names {right(again, judge.kinds, wanted).mean():.1%} of them"
        add(
            Line(
                "resynthesis ratio",
                distance / halves,
                "x",
                len(clips),
                bench.seed,
                1.3,
                True,
                1.0,
                note,
            )
        )


def _foreign(bench: Bench, report: Report) -> None:
    """Prompts in wordings the grammar never makes; a prompt whose kind the table no longer has is left out."""
    pairs = [(kind, prompt) for kind, prompt in foreign_prompts() if kind in table()]
    clips = bench.clips("foreign wording", [prompt for _, prompt in pairs], 1)
    good = right(bench.judge.hear(clips), bench.judge.kinds, [kind for kind, _ in pairs])
    wrong = ", ".join(kind for (kind, _), g in zip(pairs, good, strict=True) if not g)
    new = np.array([fresh(*pair) for pair in pairs])
    note = f"{good[new].mean():.0%} of the {new.sum()} unlike any wording taught; wrong: {wrong or 'none'}"
    report.lines.append(
        Line("foreign wording", float(good.mean()), "%", len(clips), bench.seed, 0.6, note=note)
    )


def _answered(bench: Bench, report: Report, name: str, salt: int) -> None:
    """One question of `checks`: the share of clips, and of renders, that keep the promise."""
    question = QUESTIONS[name]
    asked = list(spelling_out(question, bench.asked_each, bench.seed, bench.seconds))
    clips = bench.clips(name, [a.prompt for a in asked], salt)

    def share(sounds: Clips) -> float:
        return float(
            np.mean(
                [
                    question.right(s, RATE, a.kinds[0], a.facts)
                    for s, a in zip(sounds, asked, strict=True)
                ]
            )
        )

    ceiling, note = share([a.truth for a in asked]), f"{len({a.kinds[0] for a in asked})} kinds"
    report.lines.append(
        Line(name, share(clips), "%", len(clips), bench.seed, question.target, False, ceiling, note)
    )


def _ordered(bench: Bench, report: Report) -> None:
    """Two sounds, one after the other, told apart by templates of their kinds made from renders."""
    asked = list(in_order(bench.asked_each, bench.seed, bench.seconds))
    clips = bench.clips("order", [a.prompt for a in asked], 9)
    cast = {kind for a in asked for kind in a.kinds}
    shapes = {kind: template_of(kind) for kind in sorted(cast)}

    def share(sounds: Clips) -> float:
        pairs = [[shapes[kind] for kind in a.kinds] for a in asked]
        return float(
            np.mean(
                [
                    signal_analysis.comes_first(s, RATE, *pair)
                    for s, pair in zip(sounds, pairs, strict=True)
                ]
            )
        )

    report.lines.append(
        Line(
            "order",
            share(clips),
            "%",
            len(clips),
            bench.seed,
            0.6,
            False,
            share([a.truth for a in asked]),
        )
    )


def template_of(kind: str) -> np.ndarray:
    """Typical spectral shapes of a kind, from a few renders of its own."""
    cast = find([kind])[0]
    return signal_analysis.template(
        [render(cast, 2.56, _TEMPLATE_DICE, i)[0] for i in range(_TEMPLATE_CLIPS)], RATE
    )


def _retrieved(
    bench: Bench,
    report: Report,
    asked: list[Asked],
    clips: Clips,
    similarity: Callable[[Clips, list[str]], np.ndarray],
) -> None:
    """Whether a clip's own prompt scores highest among one prompt per kind."""
    size = min(len(asked), len(table()))
    prompts = [a.prompt for a in asked[:size]]

    def share(sounds: Clips) -> float:
        return float((similarity(sounds, prompts).argmax(axis=1) == np.arange(size)).mean())

    ceiling, note = share([a.truth for a in asked[:size]]), f"chance {1 / size:.1%}"
    report.lines.append(
        Line("CLAP R@1", share(clips[:size]), "%", size, bench.seed, None, False, ceiling, note)
    )


def _steady(bench: Bench, report: Report, together: Generate | None) -> None:
    """The promise that a seed is a sound: again, beside another prompt, and computed in one batch with it."""

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.abs(one - other).max())

    bench.progress("seeds", 0, 1)
    add, seed, pair = report.lines.append, bench.seed, ["rain on a roof", _COLD_PROMPT]
    alone, again = (bench.generate(pair[1:], bench.seconds, seed + 1)[0] for _ in range(2))
    add(Line("same seed, difference", apart(alone, again), "", 2, seed, 0.0, True))
    add(
        Line(
            "list or alone, difference",
            apart(alone, bench.generate(pair, bench.seconds, seed)[1]),
            "",
            2,
            seed,
            1e-5,
            True,
        )
    )
    if together:
        alone, both = (
            together(pair[1:], bench.seconds, seed + 1)[0],
            together(pair, bench.seconds, seed)[1],
        )
        note = "float32; a CPU computes the clips of a list one by one"
        add(
            Line(
                "one batch or alone, difference",
                apart(alone, both),
                "",
                2,
                seed,
                None,
                True,
                note=note,
            )
        )


def _timed(
    bench: Bench, report: Report, model: str, command: Sequence[str] | None, flags: Sequence[str]
) -> None:
    """Speed and memory."""
    bench.progress("speed", 0, 4)
    longest, add, seed = 10.24, report.lines.append, bench.seed
    warm = process_cost.median_seconds(
        lambda k: bench.generate([_COLD_PROMPT], longest, seed + k), 5
    )
    add(Line("warm 10.24 s clip", warm, "s", 5, seed, 3.0, True))
    if command is None:
        return
    bench.progress("cold start", 1, 4)
    cold = process_cost.cold_clip(model, _COLD_PROMPT, longest, command, flags)
    add(Line("cold shell to file", cold.seconds, "s", 1, 0, 10.0, True, note="10.24 s clip"))
    add(Line("peak memory", cold.gigabytes, "GB", 1, 0, 1.2, True))
    bench.progress("--help", 3, 4)
    add(Line("--help", process_cost.help_seconds(command=command), "s", 5, 0, 0.5, True))
