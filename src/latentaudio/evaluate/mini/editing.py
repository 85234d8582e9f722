"""The editing benchmark: transfer, inpainting, loops, audio prompts and long clips.

Clips and edits are compared with ground truth of the renderer, by the sound classifier, by
envelopes and by a seam detector.

Letter: N samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...generation.window_conditioning import WindowConditioner
from .classifier import SoundClassifier, log_mel_of
from .prompts import RATE, EvalPrompt, class_prompts
from .quality import is_correct
from .report import Metric, Report
from .seams import envelope_correlation, is_seam_detected
from .unfinished import ReportStore

if TYPE_CHECKING:
    from ...pipeline import AudioLDM

STATIONARY_CLASSES = (
    "rain", "wind", "sea", "fire", "stream", "hail",
    "drill", "vacuum", "fan", "engine", "airplane", "steam",
)  # fmt: skip
STRENGTHS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
TRANSFER_PROMPT = "a church bell ringing"

_GAP_S = 1.0  # length of the gap that inpainting fills
_LOOP_SEAM_S = 1.0  # length of the regenerated part of a loop
_POSITIONS_PER_CLIP = 8  # of an unedited clip, for false positives
_SLOPE_END = 0.25  # level at the end of a sloped clip: -12 dB
_LONG_CLIP_FACTOR = 2.5  # duration of a long clip, in windows of the model


@dataclass
class EditingBenchmark:
    """A model under test and the size of the test.

    Attributes:
        model: the model.
        classifier: the sound classifier.
        num_clips: clips per metric.
        duration: duration of the clips in seconds.
        seed: seed of prompts and clips.
        progress: called with (current work, number done, total).
    """

    model: AudioLDM
    classifier: SoundClassifier
    num_clips: int = 50
    duration: float = 5.12
    seed: int = 0
    progress: Callable[[str, int, int], None] = lambda work, done, total: None

    def accuracy(self, clips: list[np.ndarray], targets: list[str]) -> float:
        """Return the fraction of clips [N] that the classifier names as their target."""
        predictions = self.classifier.predict(clips)
        return float(is_correct(predictions, self.classifier.class_names, targets).mean())


def evaluate_editing(
    benchmark: EditingBenchmark, name: str, store: ReportStore | None = None
) -> Report:
    """Compute every metric of editing.

    Args:
        benchmark: the model under test and the size of the test.
        name: name of the model, for the report.
        store: the report of a stopped command, which goes on.

    Returns:
        The report.

    Raises:
        DataError: the store cannot be written.
    """
    store = store or ReportStore(name)
    parts = {
        "transfer": _measure_transfer,
        "inpainting": _measure_inpainting,
        "loops": _measure_loops,
        "audio prompts": _measure_audio_prompts,
        "window boundaries": _measure_window_boundaries,
    }
    return store.measure(benchmark, parts)


def _measure_transfer(benchmark: EditingBenchmark, report: Report) -> None:
    """Dogs become bells: target class, envelope and distance at every strength."""
    prompts = class_prompts(benchmark.num_clips, benchmark.seed, benchmark.duration, ["dog"])
    dogs = [prompt.ground_truth for prompt in prompts]
    accuracies = {}
    correlations = {}
    details = []
    for number, strength in enumerate(STRENGTHS):
        clips = []
        for k, dog in enumerate(dogs):
            done = number * len(dogs) + k
            benchmark.progress(f"transfer at {strength:g}", done, len(STRENGTHS) * len(dogs))
            [clip] = benchmark.model.transfer(
                dog, TRANSFER_PROMPT, strength=strength, seed=benchmark.seed + k, candidates=1
            )
            clips.append(clip.samples[0])
        accuracies[strength] = benchmark.accuracy(clips, ["bell"] * len(clips))
        correlations[strength] = _mean_correlation(clips, dogs)
        distance = _mean_log_mel_distance(clips, dogs)
        details.append(
            f"{strength:g}: {accuracies[strength]:.0%}/{correlations[strength]:.2f}/{distance:.2f}"
        )
    report.metrics.append(
        Metric(
            "transfer: target accuracy (strength 0.5)",
            accuracies[0.5],
            "%",
            len(dogs),
            benchmark.seed,
            target=0.6,
            note="dog to bell; accuracy/envelope correlation/log-mel distance by strength: "
            + ", ".join(details),
        )
    )
    report.metrics.append(
        Metric(
            "transfer: envelope correlation (strength 0.5)",
            correlations[0.5],
            "",
            len(dogs),
            benchmark.seed,
            target=0.5,
            note="with the source",
        )
    )


def _mean_correlation(clips: list[np.ndarray], sources: list[np.ndarray]) -> float:
    pairs = zip(clips, sources, strict=True)
    return float(np.mean([envelope_correlation(clip, source) for clip, source in pairs]))


def _mean_log_mel_distance(clips: list[np.ndarray], sources: list[np.ndarray]) -> float:
    distances = []
    for clip, source in zip(clips, sources, strict=True):
        distances.append((log_mel_of(clip) - log_mel_of(source)).abs().mean())
    return float(np.mean(distances))


def _measure_inpainting(benchmark: EditingBenchmark, report: Report) -> None:
    """A gap of one second in stationary sounds is filled; only that second is classified."""
    prompts = list(
        class_prompts(benchmark.num_clips, benchmark.seed, benchmark.duration, STATIONARY_CLASSES)
    )
    start = benchmark.duration / 2 - _GAP_S / 2
    stop = benchmark.duration / 2 + _GAP_S / 2
    gap = slice(round(start * RATE), round(stop * RATE))
    filled = []
    for k, prompt in enumerate(prompts):
        benchmark.progress("inpainting", k, len(prompts))
        source = prompt.ground_truth.copy()
        source[gap] = 0.0
        [clip] = benchmark.model.inpaint(
            source,
            prompt.prompt,
            time_ranges=[(start, stop)],
            seed=benchmark.seed + k,
            candidates=1,
        )
        filled.append(clip.samples[0][gap])
    targets = [prompt.class_names[0] for prompt in prompts]
    truths = [prompt.ground_truth[gap] for prompt in prompts]
    report.metrics.append(
        Metric(
            "inpainting accuracy (1 s gap)",
            benchmark.accuracy(filled, targets),
            "%",
            len(prompts),
            benchmark.seed,
            target=0.8,
            ceiling=benchmark.accuracy(truths, targets),
            note=f"of the filled second; {len(STATIONARY_CLASSES)} stationary classes",
        )
    )


@dataclass
class _LoopDetections:
    """Whether a seam is detected, at each kind of position, clip by clip."""

    wrap: list[bool]  # where the loop restarts
    boundaries: list[list[bool]]  # at both ends of the generated part
    cuts: list[tuple[bool, bool]]  # hard cuts: with a level difference of 12 dB, without
    unedited: list[bool]  # at random positions of ground truth


def _measure_loops(benchmark: EditingBenchmark, report: Report) -> None:
    """Seams of loops and of inpainted parts, and the detector's own recall and false positives."""
    detections = _detect_loop_seams(benchmark)
    boundaries = np.array(detections.boundaries).mean(axis=1)
    recall, recall_without_step = np.mean(detections.cuts, axis=0)
    num_clips = benchmark.num_clips
    seed = benchmark.seed
    wrap_rate = float(np.mean(detections.wrap))
    boundary_rate = float(boundaries[::2].mean())
    false_positive_rate = float(np.mean(detections.unedited))
    report.metrics += [
        Metric(
            "loop-seam detection rate",
            wrap_rate,
            "%",
            num_clips,
            seed,
            target=0.1,
            lower_is_better=True,
            note="at the point where the loop restarts",
        ),
        Metric(
            "inpaint-boundary detection rate",
            boundary_rate,
            "%",
            len(boundaries[::2]) * 2,
            seed,
            target=0.1,
            lower_is_better=True,
            note="0.5 s from the seam of the loop; "
            f"{boundaries[1::2].mean():.0%} on clips with a 12 dB level difference",
        ),
        Metric(
            "detector recall",
            float(recall),
            "%",
            num_clips,
            seed,
            target=0.8,
            note="hard cuts with a 12 dB level difference; "
            f"{recall_without_step:.0%} on cuts without, some of which are inaudible",
        ),
        Metric(
            "detector false-positive rate",
            false_positive_rate,
            "%",
            len(detections.unedited),
            seed,
            target=0.1,
            lower_is_better=True,
        ),
    ]


def _detect_loop_seams(benchmark: EditingBenchmark) -> _LoopDetections:
    """Make loops, of which every second source falls by 12 dB, and run the detector on them."""
    detections = _LoopDetections([], [], [], [])
    rng = np.random.default_rng(benchmark.seed)
    prompts = class_prompts(
        benchmark.num_clips, benchmark.seed + 1, benchmark.duration, STATIONARY_CLASSES
    )
    offset = round(_LOOP_SEAM_S / 2 * RATE)
    for k, prompt in enumerate(prompts):
        benchmark.progress("loops", k, benchmark.num_clips)
        truth = prompt.ground_truth
        half = len(truth) // 2
        sloped = truth * np.geomspace(1.0, _SLOPE_END, len(truth))
        source = (sloped if k % 2 else truth).astype(np.float32)
        [loop] = benchmark.model.loop(
            source, prompt.prompt, loop_seam=_LOOP_SEAM_S, seed=benchmark.seed + k, candidates=1
        )
        # Rotated by half of its length, a loop has its wrap-around point in the middle.
        rotated = np.roll(loop.samples[0], half)
        before = is_seam_detected(rotated, half - offset)
        after = is_seam_detected(rotated, half + offset)
        detections.wrap.append(is_seam_detected(rotated, half))
        detections.boundaries.append([before, after])
        cut_with_step = is_seam_detected(np.roll(sloped, half), half)
        cut_without_step = is_seam_detected(np.roll(truth, half), half)
        detections.cuts.append((cut_with_step, cut_without_step))
        for position in rng.integers(RATE, len(truth) - RATE, _POSITIONS_PER_CLIP):
            detections.unedited.append(is_seam_detected(truth, int(position)))
    return detections


def _measure_audio_prompts(benchmark: EditingBenchmark, report: Report) -> None:
    """Clips generated from an audio prompt, without text: are they of its sound class?"""
    prompts = list(class_prompts(benchmark.num_clips, benchmark.seed + 2, benchmark.duration))
    clips = []
    for k, prompt in enumerate(prompts):
        benchmark.progress("audio prompts", k, len(prompts))
        [clip] = benchmark.model.generate(
            audio_prompt=prompt.ground_truth, audio_prompt_mode="loa", seed=benchmark.seed + k
        )
        clips.append(clip.samples[0])
    targets = [prompt.class_names[0] for prompt in prompts]
    correlation = _mean_correlation(clips, [prompt.ground_truth for prompt in prompts])
    report.metrics.append(
        Metric(
            "audio-prompt accuracy",
            benchmark.accuracy(clips, targets),
            "%",
            len(prompts),
            benchmark.seed,
            target=0.8,
            note="AudioMAE features, no text; "
            f"envelope correlation with the audio prompt {correlation:.2f}",
        )
    )


def _measure_window_boundaries(benchmark: EditingBenchmark, report: Report) -> None:
    """Long clips of stationary sounds: seams detected at the borders of their windows."""
    model = benchmark.model
    duration = _LONG_CLIP_FACTOR * model.max_duration
    batch_positions = _batch_boundaries(model, duration)
    streaming_positions = [round((model.max_duration * k / 2 - 0.1) * RATE) for k in (2, 3, 4)]
    in_batch: list[bool] = []
    in_streaming: list[bool] = []
    num_clips = max(1, benchmark.num_clips // 4)
    prompts: list[EvalPrompt] = list(
        class_prompts(num_clips, benchmark.seed + 3, benchmark.duration, STATIONARY_CLASSES)
    )
    for k, prompt in enumerate(prompts):
        benchmark.progress("window boundaries", k, len(prompts))
        seed = benchmark.seed + k
        [clip] = model.generate(prompt.prompt, duration=duration, seed=seed, candidates=1)
        chunks = list(model.generate_stream(prompt.prompt, duration=duration, seed=seed))
        streamed = np.concatenate(chunks, axis=1)[0]
        in_batch += _detect_all(clip.samples[0], batch_positions)
        in_streaming += _detect_all(streamed, streaming_positions)
    for mode, detected in (("batch", in_batch), ("streaming", in_streaming)):
        report.metrics.append(
            Metric(
                f"window-boundary detection rate ({mode})",
                float(np.mean(detected)),
                "%",
                len(detected),
                benchmark.seed,
                target=0.1,
                lower_is_better=True,
                note=f"clips of {duration:g} s",
            )
        )


def _batch_boundaries(model: AudioLDM, duration: float) -> list[int]:
    """Samples at which a window of a long clip begins, and at which its crossfade ends."""
    cell = model.config.vae.downsampling * model.config.mel.hop_length
    starts = WindowConditioner(model).window_starts(model.codec.num_frames(duration))
    window = round(model.max_duration * RATE / cell)
    boundaries = []
    for start in starts[1:]:
        boundaries += [start * cell, (start + window // 4) * cell]
    return boundaries


def _detect_all(samples: np.ndarray, positions: list[int]) -> list[bool]:
    """Detections at all positions that are not too near to the end."""
    inside = [position for position in positions if position < len(samples) - RATE]
    return [is_seam_detected(samples, position) for position in inside]
