"""Results of the benchmark of mini: what YAMNet and the classifier say of every stage.

Letters: N clips, P patches of YAMNet.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...config.stored_results import read_results
from ...fileio import atomic_write
from ..report import aligned
from .levels import LevelScore
from .report import Report


@dataclass(frozen=True)
class StageScore:
    """What is measured on the clips of one stage.

    Attributes:
        stage: which clips, such as "renders, codec".
        n: number of clips.
        top1: fraction whose best label is one of the class's labels.
        top5: fraction with a strict label among the best five.
        probability: mean probability of the best strict label.
        synthesizer: fraction of clips of other classes whose best label is "Synthesizer".
        hop_repetition: median over noise classes; see `codec_faults`. None without such clips.
        worst_repetition: largest mean of a noise class.
        worst_class: that class.
        rise_db: median of the largest rise in 10 ms.
        frechet: Fréchet distance of YAMNet's embeddings to those of other clips, on the first 64
            principal axes of these. None: the stage has nothing to be compared with.
        num_patches: patches of the clips, P.
        num_reference_patches: patches of the other clips.
        accuracy: of the classifier; None for recordings, which it does not know.
        classifier_frechet: Fréchet distance in the classifier's embedding, relative to halves.
        top5_by_class: fraction by sound class.
        settings: settings of a preset; "" else.
        seconds: median time of a clip; None if it was not generated.
    """

    stage: str
    n: int
    top1: float
    top5: float
    probability: float
    synthesizer: float
    hop_repetition: float | None
    worst_repetition: float | None
    worst_class: str
    rise_db: float
    frechet: float | None
    num_patches: int
    num_reference_patches: int
    accuracy: float | None = None
    classifier_frechet: float | None = None
    top5_by_class: dict[str, float] = field(default_factory=dict)
    settings: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Diversity:
    """How unlike clips of one prompt and several seeds are.

    Attributes:
        prompt: the text.
        class_name: its sound class.
        generated: mean over pairs of 1 - cosine of YAMNet's mean embeddings.
        renders: the same for renders of the class.
        n: number of seeds.
    """

    prompt: str
    class_name: str
    generated: float
    renders: float
    n: int


@dataclass(frozen=True)
class PairScore:
    """How often one word changes a clip as it says.

    Attributes:
        words: both words.
        hits: pairs of clips that differ by the least difference or more, in the right direction.
        n: number of pairs.
        median: median difference.
        unit: of the difference.
        least: least difference that counts.
    """

    words: str
    hits: int
    n: int
    median: float
    unit: str
    least: float


@dataclass
class YAMNetReport:
    """The results of one model.

    Attributes:
        model: name or folder of the model.
        seed: seed of prompts and clips.
        duration: of generated clips, in seconds.
        settings: what else the results depend on: hashes, numbers of clips, device.
        stages: scores of recordings, renders and generated clips.
        presets: scores of clips of each preset.
        levels: loudness, ends and gaps of generated clips.
        diversity: results for each prompt.
        pairs: results for each pair of words.
        quality: the report of `evaluate quality`, if it was computed, too.
    """

    model: str
    seed: int
    duration: float
    settings: dict[str, str | int] = field(default_factory=dict)
    stages: list[StageScore] = field(default_factory=list)
    presets: list[StageScore] = field(default_factory=list)
    levels: LevelScore | None = None
    diversity: list[Diversity] = field(default_factory=list)
    pairs: list[PairScore] = field(default_factory=list)
    quality: Report | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        record = asdict(self)
        record["quality"] = self.quality.as_dict() if self.quality else None
        return record

    def save(self, path: Path) -> None:
        """Write the results as JSON.

        Raises:
            DataError: The file cannot be written.
        """
        text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False)
        with atomic_write(path, create=False) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> YAMNetReport:
        """Read results that `save` wrote.

        Raises:
            DataError: The file cannot be read or has other content.
        """
        return read_results(path, cls, "a result of `evaluate mini --output`")

    @property
    def identity(self) -> tuple[object, ...]:
        """What two reports have in common whose parts may be joined."""
        return self.model, self.seed, self.duration, self.settings

    def save_markdown(self, path: Path, command: str) -> None:
        """Write the tables as a page.

        Args:
            path: the file.
            command: the words that made the results.

        Raises:
            DataError: The file cannot be written.
        """
        lines = [
            f"# Quality of `{self.model}`", "", "Printed by", "", f"    {command}", "",
            *self._introduction(),
        ]  # fmt: skip
        for title, note, rows in self._tables():
            lines += ["", f"## {title}", "", note, "", *_pipes(rows)]
        if self.quality is not None:
            lines += ["", "## The classifier", "", "```", str(self.quality), "```"]
        with atomic_write(path, create=False) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        """Return the tables for the terminal."""
        parts = []
        for title, _, rows in self._tables():
            parts += [title, *aligned(rows), ""]
        if self.quality is not None:
            parts.append(str(self.quality))
        return "\n".join(parts).rstrip()

    def _introduction(self) -> list[str]:
        return [
            f"Seed {self.seed}, clips of {self.duration:g} s, one for each prompt, nothing is "
            "selected among candidates.",
            "YAMNet was trained on recordings (AudioSet, 521 classes); the classifier was trained "
            "on renders.",
            *(
                ["; ".join(f"{name}: {value}" for name, value in self.settings.items()) + "."]
                if self.settings
                else []
            ),
        ]

    def _tables(self) -> list[tuple[str, str, list[tuple[str, ...]]]]:
        """Title, explanation and rows of every table that has rows."""
        tables = []
        if self.stages:
            tables.append(("YAMNet and the signal", _STAGE_NOTE, _stage_rows(self.stages)))
        if self.presets:
            tables.append(("Presets", _PRESET_NOTE, _preset_rows(self.presets)))
        if self.levels:
            tables.append(("Levels", _LEVEL_NOTE, _level_rows(self.levels)))
        if self.diversity:
            tables.append(("Diversity", _DIVERSITY_NOTE, _diversity_rows(self.diversity)))
        if self.pairs:
            tables.append(("One word", _PAIR_NOTE, _pair_rows(self.pairs)))
        if self.stages:
            tables.append(("Top-5 by class", "Fraction of the clips.", _class_rows(self.stages)))
        return tables


_STAGE_NOTE = (
    "top-1: the best label is right. top-5: a label of the class itself is among five. p: its "
    "probability. synthesizer: clips of other classes that are called so. hop repetition: of "
    "classes of noise, median and worst; noise has 0. rise: largest in 10 ms. FD: Fréchet distance "
    "to other renders (recordings: to the recordings themselves), with the number of patches on "
    "both sides; compare only rows of nearly equal numbers. classifier: its accuracy. kept: top-5 "
    "beside that of the untouched clips."
)
_PRESET_NOTE = (
    "accuracy: of the classifier. ratio: Fréchet distance in its embedding, relative to halves of "
    "the renders. seconds: median of a clip."
)
_LEVEL_NOTE = (
    "Of generated clips of all classes. offset: the largest mean (DC). ends: the largest of the "
    "first and last two samples. gap: the longest time below -60 dBFS inside a clip of a sustained "
    "class. lowered: how much quieter a word makes a prompt, median of eight."
)
_DIVERSITY_NOTE = "Mean over pairs of seeds of 1 - cosine of YAMNet's mean embeddings."
_PAIR_NOTE = "Pairs of clips of one seed whose prompts differ in one word."


def _stage_rows(stages: Sequence[StageScore]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("clips", "N", "top-1", "top-5", "p", "synthesizer", "hop repetition", "rise, dB", "FD",
         "patches", "classifier", "kept")
    ]  # fmt: skip
    untouched = {each.stage: each.top5 for each in stages}
    for each in stages:
        base = untouched.get(each.stage.partition(",")[0])
        is_untouched = "," not in each.stage
        kept_part = "-" if is_untouched or not base else f"{each.top5 / base:.2f}"
        repetition = "-"
        if each.hop_repetition is not None and each.worst_repetition is not None:
            repetition = (
                f"{each.hop_repetition:.2f}, {each.worst_repetition:.2f} {each.worst_class}"
            )
        patches = f"{each.num_patches} / {each.num_reference_patches}"
        rows.append(
            (
                each.stage, str(each.n), f"{each.top1:.0%}", f"{each.top5:.0%}",
                f"{each.probability:.2f}", f"{each.synthesizer:.0%}", repetition,
                f"{each.rise_db:.1f}", _number(each.frechet), patches, _percent(each.accuracy),
                kept_part,
            )
        )  # fmt: skip
    return rows


def _preset_rows(presets: Sequence[StageScore]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("preset", "settings", "N", "top-1", "top-5", "FD", "accuracy", "ratio", "seconds")
    ]
    for each in presets:
        seconds = "-" if each.seconds is None else f"{each.seconds:.2f}"
        ratio = "-" if each.classifier_frechet is None else f"{each.classifier_frechet:.2f}"
        rows.append(
            (
                each.stage, each.settings, str(each.n), f"{each.top1:.0%}", f"{each.top5:.0%}",
                _number(each.frechet), _percent(each.accuracy), ratio, seconds,
            )
        )  # fmt: skip
    return rows


def _level_rows(score: LevelScore) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("measure", "value"),
        ("clips", f"{score.n}, of sustained classes {score.num_sustained}"),
        ("loudness, mean and deviation", f"{score.loudness:.1f} LUFS, {score.deviation:.1f} dB"),
        ("quietest clip", f"{score.quietest:.1f} LUFS"),
        ("peak", f"{score.peak:.1f} dBFS"),
        ("offset", f"{score.offset:.0f} dBFS"),
        ("ends", f"{score.end:.0f} dBFS"),
        ("gap", f"{score.gap:.2f} s"),
    ]
    for word, decibels in score.lowered.items():
        rows.append((f"lowered by {word!r}", f"{decibels:.1f} dB"))
    return rows


def _diversity_rows(results: Sequence[Diversity]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("prompt", "generated", "renders", "ratio", "seeds")]
    for each in results:
        ratio = f"{each.generated / each.renders:.2f}" if each.renders > 0 else "-"
        rows.append(
            (each.prompt, f"{each.generated:.2f}", f"{each.renders:.2f}", ratio, str(each.n))
        )
    generated = sum(each.generated for each in results) / len(results)
    renders = sum(each.renders for each in results) / len(results)
    mean = f"{generated / renders:.2f}" if renders > 0 else "-"
    rows.append(("mean", f"{generated:.2f}", f"{renders:.2f}", mean, str(results[0].n)))
    return rows


def _pair_rows(results: Sequence[PairScore]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("words", "right", "median difference", "counts from")]
    for each in results:
        rows.append(
            (
                each.words, f"{each.hits} of {each.n}", f"{each.median:+.2f} {each.unit}",
                f"{each.least:g} {each.unit}",
            )
        )  # fmt: skip
    return rows


def _class_rows(stages: Sequence[StageScore]) -> list[tuple[str, ...]]:
    names = sorted({name for stage in stages for name in stage.top5_by_class})
    rows: list[tuple[str, ...]] = [("class", *(stage.stage for stage in stages))]
    for name in names:
        rows.append((name, *(_percent(stage.top5_by_class.get(name)) for stage in stages)))
    return rows


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _pipes(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table of Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, f"|{'---|' * len(rows[0])}")
    return lines
