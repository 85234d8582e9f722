"""The plan of a listening test: which clips are rated, at which level, under which number.

Every clip is one trial. A trial has a number that says nothing about its system. All clips get one
loudness, by a gain alone: no clip is limited, so the louder one cannot win and none is distorted.

Letters: C channels, T samples.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...audio.io import read
from ...audio.loudness import loudness
from ...audio.ops import SILENCE_PEAK, Samples
from ...errors import DataError, UsageError
from ...fileio import sha256_of_file
from ..clips import Folder, find_clips, short_names

OVERALL = "ovl"
RELEVANCE = "rel"
QUESTIONS = {
    OVERALL: "How good is the sound, whatever it is?",
    RELEVANCE: "How well does the sound fit the text?",
}
"""What listeners rate: overall quality and relevance to the text, as in both papers."""
SCALES = (5, 100)
"""Greatest rating: 5 as in AudioLDM 2's tables, 100 as in AudioLDM's."""
DEFAULT_LUFS = -23.0
"""Loudness of all clips, after EBU R 128, if no clip would be clipped."""
_MAX_PEAK = 0.89  # -1 dBFS
_MAX_NAMES = 3  # in a message

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Trial:
    """One clip to rate.

    Attributes:
        system: name of the folder, a system under test.
        clip: name of the clip.
        file: its file.
        sha256: of the file.
        gain: factor that brings it to the loudness of the test.
        caption: its text; "" without.
    """

    system: str
    clip: str
    file: Path
    sha256: str
    gain: float
    caption: str = ""

    def samples(self) -> tuple[Samples, int]:
        """Return the samples [C, T] as listeners get them, and their rate in Hz.

        Raises:
            DataError: The file cannot be read any more.
        """
        samples, rate = read(self.file, mono=False)
        return samples * np.float32(self.gain), rate


@dataclass(frozen=True)
class ListeningPlan:
    """All trials of a test, in an order that hides the systems.

    Attributes:
        trials: the trials; the number of a trial is its index.
        systems: names of the systems, in the order of the command.
        questions: names of the questions, keys of `QUESTIONS`.
        scale: greatest rating.
        lufs: loudness of all clips.
        seed: of all orders.
        warnings: what makes the test doubtful.
    """

    trials: tuple[Trial, ...]
    systems: tuple[str, ...]
    questions: tuple[str, ...]
    scale: int
    lufs: float
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of all that answers depend on: clips, systems, captions, questions, loudness."""
        lines = [f"{self.questions} {self.scale} {self.lufs:.3f}"]
        lines += sorted(
            f"{trial.system}\t{trial.clip}\t{trial.sha256}\t{trial.caption}"
            for trial in self.trials
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def order_for(self, listener: str) -> list[int]:
        """Return the numbers of all trials in the order of one listener."""
        words = hashlib.sha256(f"{self.seed}/{listener}".encode()).digest()
        rng = np.random.default_rng(list(words))
        order: list[int] = rng.permutation(len(self.trials)).tolist()
        return order


def plan_test(
    folders: Sequence[Path],
    captions: Mapping[str, tuple[str, ...]],
    *,
    scale: int = 5,
    num_clips: int | None = None,
    lufs: float = DEFAULT_LUFS,
    seed: int = 0,
    progress: Progress = lambda done, total, note: None,
) -> ListeningPlan:
    """Read all clips once, and return the plan of their test.

    Args:
        folders: one for each system; clips of one name belong together.
        captions: captions by name; of several, the first is shown. Clips without a caption in the
            list are asked with the prompt in the tags of a file.
        scale: greatest rating, one of `SCALES`.
        num_clips: number of names, drawn at random; None: all that every folder has.
        lufs: wanted loudness. Less, if a clip would be clipped.
        seed: of the draw and of all orders.
        progress: called with (done, total, note).

    Raises:
        UsageError: The folders have no clips in common, or a setting is impossible.
        DataError: A folder or a file cannot be read.
    """
    _check_settings(scale, num_clips, lufs)
    _check_apart(folders)
    found_folders = [find_clips(folder) for folder in folders]
    systems = short_names(folders)
    names, warnings = _common_names(found_folders)
    rng = np.random.default_rng(seed)
    if num_clips is not None:
        chosen = rng.permutation(len(names))[:num_clips]
        names = sorted(names[index] for index in chosen)
    trials: list[Trial] = []
    levels: list[tuple[float, float]] = []
    total = len(names) * len(systems)
    for system, folder in zip(systems, found_folders, strict=True):
        files = dict(zip(folder.names, folder.files, strict=True))
        for name in names:
            caption, level, peak = _read_clip(files[name], captions.get(name, ()))
            levels.append((level, peak))
            checksum = sha256_of_file(files[name])
            trials.append(Trial(system, name, files[name], checksum, 1.0, caption))
            progress(len(trials), total, system)
    target = _common_loudness(levels, lufs)
    trials = [_at_loudness(*pair, target) for pair in zip(trials, levels, strict=True)]
    trials = _with_captions_of_others(trials)
    warnings += _find_warnings(trials, levels)
    has_captions = all(trial.caption for trial in trials)
    questions = (OVERALL, RELEVANCE) if has_captions else (OVERALL,)
    order = rng.permutation(len(trials))
    shuffled = tuple(trials[index] for index in order)
    return ListeningPlan(shuffled, systems, questions, scale, target, seed, tuple(warnings))


def _check_settings(scale: int, num_clips: int | None, lufs: float) -> None:
    """Raise UsageError if a setting is impossible."""
    if scale not in SCALES:
        raise UsageError(f"--scale {scale} is unknown; choose 5 or 100")
    if not -70 <= lufs <= 0:
        raise UsageError(f"--lufs {lufs:g} is no loudness of clips; choose -70 to 0")
    if num_clips is not None and num_clips < 1:
        raise UsageError(f"--num-clips {num_clips} is too few; choose 1 or more")


def _check_apart(folders: Sequence[Path]) -> None:
    """Raise UsageError if a folder is named twice, or lies inside another one."""
    paths = [folder.resolve() for folder in folders]
    for index, path in enumerate(paths):
        for other in paths[index + 1 :]:
            if path == other or path in other.parents or other in path.parents:
                raise UsageError(f"{other} and {path} have files in common; name other folders")


def _common_names(folders: Sequence[Folder]) -> tuple[list[str], list[str]]:
    """Names of clips that every folder has, and a warning if there are others."""
    common = set(folders[0].names)
    for folder in folders[1:]:
        common &= set(folder.names)
    if not common:
        paths = ", ".join(str(folder.path) for folder in folders)
        raise UsageError(
            f"{paths} have no clips of the same name; give the clips of a prompt one name"
        )
    left_out = sum(len(folder.names) - len(common) for folder in folders)
    if not left_out:
        return sorted(common), []
    return sorted(common), [f"{left_out} clips are left out: they are not in every folder"]


def _read_clip(file: Path, captions: Sequence[str]) -> tuple[str, float, float]:
    """Caption, loudness in LUFS (-inf for silence) and peak of a file."""
    from ...audio.io import info

    samples, rate = read(file, mono=False)
    if not np.isfinite(samples).all():
        raise DataError(f"{file} has samples that are not finite; remove the file")
    caption = captions[0] if captions else str(info(file)["tags"].get("prompt") or "")
    peak = float(np.abs(samples).max())
    level = -math.inf if peak < SILENCE_PEAK else loudness(samples, rate)
    return caption, level, peak


def _common_loudness(levels: Sequence[tuple[float, float]], lufs: float) -> float:
    """The wanted loudness, or the highest at which no clip exceeds -1 dBFS."""
    target = lufs
    for level, peak in levels:
        if math.isfinite(level):
            target = min(target, level + 20 * math.log10(_MAX_PEAK / peak))
    return target


def _at_loudness(trial: Trial, level: tuple[float, float], target: float) -> Trial:
    """A trial with the gain that gives it the loudness; silence stays silence."""
    gain = 10 ** ((target - level[0]) / 20) if math.isfinite(level[0]) else 1.0
    return Trial(trial.system, trial.clip, trial.file, trial.sha256, gain, trial.caption)


def _with_captions_of_others(trials: Sequence[Trial]) -> list[Trial]:
    """Trials whose missing captions come from the same clip of another system.

    Raises:
        UsageError: Two systems state unlike captions of one clip.
    """
    known: dict[str, str] = {}
    for trial in trials:
        if not trial.caption:
            continue
        if known.setdefault(trial.clip, trial.caption) != trial.caption:
            raise UsageError(
                f"{trial.clip} has two texts: {known[trial.clip]!r:.80} and {trial.caption!r:.80}; "
                "add --captions FILE, or give clips of one prompt one name"
            )
    return [
        Trial(
            trial.system, trial.clip, trial.file, trial.sha256, trial.gain,
            known.get(trial.clip, ""),
        )
        for trial in trials
    ]  # fmt: skip


def _find_warnings(trials: Sequence[Trial], levels: Sequence[tuple[float, float]]) -> list[str]:
    """Warnings about silent clips and missing captions."""
    warnings = []
    silent = [
        f"{trial.system}/{trial.clip}"
        for trial, (level, _) in zip(trials, levels, strict=True)
        if not math.isfinite(level)
    ]
    if silent:
        shown = ", ".join(silent[:_MAX_NAMES])
        warnings.append(f"{len(silent)} clips are silent, such as {shown}")
    without = sum(not trial.caption for trial in trials)
    if without:
        warnings.append(
            f"{without} clips have no text, so only the quality is rated; add --captions FILE"
        )
    return warnings
