"""Edits of recordings: holes, extensions, upper bands, transfer and audio prompts.

No clip here was rendered, and YAMNet, which names the results, was trained on recordings. The
prompt of a recording is the name of its kind.

Letter: N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from .prompts import RATE
from .report import Metric, Report
from .seams import is_seam_detected
from .unfinished import ReportStore
from .yamnet_classifier import YAMNetClassifier

if TYPE_CHECKING:
    from ...pipeline import AudioLDM

Clip = NDArray[np.float32]
Recording = tuple[str, Clip]

TARGET_PROMPT = "a church bell ringing"
TARGET_KIND = "bell"
WEAK_STRENGTH = 0.3
STRONG_STRENGTH = 0.7
CUTOFF_HZ = 4000.0

_HOLE_S = 1.0
_CLIP_S = 5.12  # longest part of a recording that is used
_SHORTEST_S = 3.0  # of a recording with a hole or an extension
_STEADY_DB = 6.0  # largest difference of the seconds of a steady recording
_SILENCE_DB = -60.0
_HIGH_BAND_DB = -40.0  # least level over the cutoff, relative to all, of what is super-resolved
_POSITIONS_PER_CLIP = 4  # of an unedited recording, for false positives
_EDGE_S = 0.5  # nothing is detected nearer to the ends


@dataclass(frozen=True)
class RecordingEdits:
    """A model under test, recordings and the network that names results.

    Attributes:
        model: the model.
        yamnet: YAMNet with the labels of every kind.
        recordings: (kind, samples [N] at 16 kHz). The model was not trained on them.
        num_clips: most recordings per metric.
        seed: of the clips.
        progress: called with (current work, number done, total).
    """

    model: AudioLDM
    yamnet: YAMNetClassifier
    recordings: Sequence[Recording]
    num_clips: int = 50
    seed: int = 0
    progress: Callable[[str, int, int], None] = lambda work, done, total: None


def evaluate_recording_edits(benchmark: RecordingEdits, store: ReportStore) -> Report:
    """Compute every metric of edits of recordings.

    Args:
        benchmark: the model under test and the recordings.
        store: a new report, or that of a stopped command.

    Returns:
        The report.

    Raises:
        DataError: the store cannot be written.
    """
    parts = {
        "holes": _measure_holes,
        "extensions": _measure_extensions,
        "upper band": _measure_upper_band,
        "transfer": _measure_transfer,
        "audio prompts": _measure_audio_prompts,
    }
    return store.measure(benchmark, parts)


def level_db(samples: NDArray[np.floating]) -> float:
    """Return the RMS level of samples in dB, at least -120."""
    return float(20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64))) + 1e-6))


def steady_recordings(recordings: Sequence[Recording]) -> list[Recording]:
    """Return recordings of 3 s or more whose seconds differ by at most 6 dB, cut to 5.12 s."""
    steady = []
    for name, samples in recordings:
        clip = samples[: round(_CLIP_S * RATE)]
        if len(clip) < _SHORTEST_S * RATE:
            continue
        levels = [level_db(second) for second in _seconds(clip)]
        if min(levels) > _SILENCE_DB and max(levels) - min(levels) <= _STEADY_DB:
            steady.append((name, clip))
    return steady


def _seconds(clip: Clip) -> list[Clip]:
    """Whole seconds of a clip [N]."""
    return list(clip[: len(clip) // RATE * RATE].reshape(-1, RATE))


def _measure_holes(benchmark: RecordingEdits, report: Report) -> None:
    """A second of a steady recording is removed and filled."""
    clips = steady_recordings(benchmark.recordings)[: benchmark.num_clips]
    differences = []
    detected: list[bool] = []
    unedited: list[bool] = []
    rng = np.random.default_rng(benchmark.seed)
    for k, (name, clip) in enumerate(clips):
        benchmark.progress("holes", k, len(clips))
        first = (len(clip) - RATE) // 2
        hole = slice(first, first + round(_HOLE_S * RATE))
        source = clip.copy()
        source[hole] = 0.0
        [filled] = benchmark.model.inpaint(
            source,
            name,
            time_ranges=[(hole.start / RATE, hole.stop / RATE)],
            seed=benchmark.seed + k,
            candidates=1,
        )
        samples = filled.samples[0]
        beside = np.concatenate([clip[: hole.start], clip[hole.stop :]])
        differences.append(abs(level_db(samples[hole]) - level_db(beside)))
        detected += [is_seam_detected(samples, edge) for edge in (hole.start, hole.stop)]
        edge = round(_EDGE_S * RATE)
        for position in rng.integers(edge, len(clip) - edge, _POSITIONS_PER_CLIP):
            unedited.append(is_seam_detected(clip, int(position)))
    note = "steady recordings; "
    _add_level(benchmark, report, "hole of 1 s: difference of level", differences, note)
    report.metrics.append(
        Metric(
            "hole of 1 s: ends detected",
            _mean(detected),
            "%",
            len(detected),
            benchmark.seed,
            target=0.15,
            lower_is_better=True,
            note=f"{_mean(unedited):.0%} of {len(unedited)} places of the recordings themselves",
        )
    )


def _measure_extensions(benchmark: RecordingEdits, report: Report) -> None:
    """The first three seconds of a steady recording go on for two seconds."""
    clips = steady_recordings(benchmark.recordings)[: benchmark.num_clips]
    differences = []
    border = round(_SHORTEST_S * RATE)
    for k, (name, clip) in enumerate(clips):
        benchmark.progress("extensions", k, len(clips))
        source = clip[:border]
        [longer] = benchmark.model.extend(
            source, name, after=2.0, seed=benchmark.seed + k, candidates=1
        )
        differences.append(abs(level_db(longer.samples[0][border:]) - level_db(source)))
    note = "2 s after 3 s of steady recordings; "
    _add_level(benchmark, report, "extension: difference of level", differences, note)


def _measure_upper_band(benchmark: RecordingEdits, report: Report) -> None:
    """Recordings lose all above 4 kHz; super-resolution makes it anew."""
    low_pass = scipy.signal.butter(8, CUTOFF_HZ, "lowpass", fs=RATE, output="sos")
    high_pass = scipy.signal.butter(8, CUTOFF_HZ, "highpass", fs=RATE, output="sos")
    clips = []
    for name, samples in benchmark.recordings:
        clip = samples[: round(_CLIP_S * RATE)]
        high = level_db(scipy.signal.sosfilt(high_pass, clip))
        if len(clip) >= RATE and high > max(_SILENCE_DB, level_db(clip) + _HIGH_BAND_DB):
            clips.append((name, clip, high))
    clips = clips[: benchmark.num_clips]
    differences = []
    for k, (name, clip, high) in enumerate(clips):
        benchmark.progress("upper band", k, len(clips))
        source = scipy.signal.sosfiltfilt(low_pass, clip).astype(np.float32)
        [result] = benchmark.model.super_resolve(
            source, name, cutoff_hz=CUTOFF_HZ, seed=benchmark.seed + k, candidates=1
        )
        differences.append(abs(level_db(scipy.signal.sosfilt(high_pass, result.samples[0])) - high))
    note = f"above {CUTOFF_HZ:g} Hz; "
    _add_level(benchmark, report, "super-resolution: difference of level", differences, note, 4.0)


def _measure_transfer(benchmark: RecordingEdits, report: Report) -> None:
    """Recordings become bells: the source at a small strength, the bell at a large one."""
    known = _known(benchmark)
    before = _mean([_is_found(benchmark, clip, name) for name, clip in known])
    for strength, target in ((WEAK_STRENGTH, 0.6), (STRONG_STRENGTH, 0.5)):
        is_found = []
        for k, (name, clip) in enumerate(known):
            benchmark.progress(f"transfer at {strength:g}", k, len(known))
            [result] = benchmark.model.transfer(
                clip, TARGET_PROMPT, strength=strength, seed=benchmark.seed + k, candidates=1
            )
            kind = name if strength == WEAK_STRENGTH else TARGET_KIND
            is_found.append(_is_found(benchmark, result.samples[0], kind))
        sought = "kind of the source" if strength == WEAK_STRENGTH else "bell"
        report.metrics.append(
            Metric(
                f"transfer at {strength:g}: {sought} among five",
                _mean(is_found),
                "%",
                len(is_found),
                benchmark.seed,
                target=target,
                ceiling=before if strength == WEAK_STRENGTH else None,
                note=f"recordings to {TARGET_PROMPT!r}, by YAMNet",
            )
        )


def _measure_audio_prompts(benchmark: RecordingEdits, report: Report) -> None:
    """Clips generated from a recording alone, without text."""
    known = _known(benchmark)
    is_found = []
    for k, (name, clip) in enumerate(known):
        benchmark.progress("audio prompts", k, len(known))
        [result] = benchmark.model.generate(
            audio_prompt=clip, audio_prompt_mode="loa", seed=benchmark.seed + k, candidates=1
        )
        is_found.append(_is_found(benchmark, result.samples[0], name))
    report.metrics.append(
        Metric(
            "audio prompt: kind among five",
            _mean(is_found),
            "%",
            len(is_found),
            benchmark.seed,
            target=0.6,
            ceiling=_mean([_is_found(benchmark, clip, name) for name, clip in known]),
            note="no text, by YAMNet",
        )
    )


def _known(benchmark: RecordingEdits) -> list[Recording]:
    """Recordings of kinds that YAMNet has a label for, cut to 5.12 s, some of every kind first."""
    seen: dict[str, int] = {}
    ranked = []
    for name, samples in benchmark.recordings:
        if name in benchmark.yamnet.labels and len(samples) >= RATE // 2:
            ranked.append((seen.get(name, 0), name, samples[: round(_CLIP_S * RATE)]))
            seen[name] = seen.get(name, 0) + 1
    ranked.sort(key=lambda row: row[0])
    return [(name, clip) for _, name, clip in ranked[: benchmark.num_clips]]


def _is_found(benchmark: RecordingEdits, samples: Clip, name: str) -> bool:
    """Whether a label of the kind is among YAMNet's five best."""
    return benchmark.yamnet.recognize(np.asarray(samples, np.float32), name).is_top5


def _add_level(
    benchmark: RecordingEdits,
    report: Report,
    name: str,
    differences: Sequence[float],
    note: str,
    target: float = 2.0,
) -> None:
    """Add a median difference of levels in dB."""
    if not differences:
        return
    report.metrics.append(
        Metric(
            f"{name}, dB",
            float(np.median(differences)),
            "",
            len(differences),
            benchmark.seed,
            target=target,
            lower_is_better=True,
            note=f"{note}median; {np.mean(np.array(differences) <= target):.0%} within {target:g}",
        )
    )


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else 0.0
