"""Word error rate of speech: pocketsphinx recognizes the words, jiwer counts the errors.

Both packages belong to the extra `evaluate`. pocketsphinx carries its model of American English and
needs no network. It is weak beside recognizers of today: it compares systems, and its number for
true recordings stands beside (as `true clips`, with --reference).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...audio.io import read
from ...config.extras import install_command
from ...errors import DataError, UsageError
from .base import (
    Measurement,
    MetricInputs,
    MetricSpec,
    normal_interval,
    pseudo_values,
    variance_of_mean,
)

RATE = 16000
INSTALL = install_command("evaluate")
Recognizer = Callable[[NDArray[np.int16]], str]
"""Samples [T] at 16 kHz -> words."""


def compute(inputs: MetricInputs) -> list[Measurement]:
    """Return errors divided by words, over all clips.

    Raises:
        UsageError: A package is missing, or a transcript has no words.
    """
    recognize = load_recognizer()
    counts = _count_errors(inputs.generated.names, inputs.generated.paths, inputs, recognize)
    value, influences = rate_of(counts)
    details: dict[str, Any] = {"recognizer": _recognizer_name(), "words": int(counts[:, 1].sum())}
    if inputs.reference is not None:
        names = [name for name in inputs.reference.names if name in inputs.transcripts]
        files = dict(zip(inputs.reference.names, inputs.reference.paths, strict=True))
        if names:
            of_reference = _count_errors(names, [files[n] for n in names], inputs, recognize)
            details["reference"] = rate_of(of_reference)[0]
    return [
        Measurement(
            value,
            len(counts),
            interval=normal_interval(value, variance_of_mean(influences), lowest=0.0),
            details=details,
            by_clip=pseudo_values(inputs.generated.names, value, influences),
        )
    ]


def load_recognizer() -> Recognizer:
    """Return pocketsphinx with its own model.

    Raises:
        UsageError: The package is missing.
    """
    try:
        from pocketsphinx import Decoder
    except ImportError:
        raise UsageError(f"the word error rate needs pocketsphinx: {INSTALL}") from None
    decoder = Decoder(samprate=RATE, loglevel="FATAL")

    def recognize(samples: NDArray[np.int16]) -> str:
        decoder.start_utt()
        decoder.process_raw(samples.tobytes(), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return str(hypothesis.hypstr) if hypothesis is not None else ""

    return recognize


def count_errors(transcript: str, recognized: str) -> tuple[int, int]:
    """Return the number of errors and the number of words of a transcript.

    Case, punctuation and hyphens do not count.

    Raises:
        UsageError: jiwer is missing, or the transcript has no words.
    """
    try:
        import jiwer
    except ImportError:
        raise UsageError(f"the word error rate needs jiwer: {INSTALL}") from None
    words = plain_words(transcript)
    if not words:
        raise UsageError(f"the transcript {transcript!r:.60} has no words; remove the clip")
    # jiwer refuses an empty hypothesis in no version, but an empty reference.
    result = jiwer.process_words(words, plain_words(recognized))
    return result.substitutions + result.deletions + result.insertions, len(words.split())


def plain_words(text: str) -> str:
    """Return the words of a text in lower case with one space between them."""
    letters = []
    for letter in text.lower().replace("’", "'"):
        letters.append(letter if letter.isalnum() or letter == "'" else " ")
    return " ".join("".join(letters).split())


def rate_of(counts: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return errors / words, and the influence of each clip on it (delta method of a ratio).

    Args:
        counts: errors and words of each clip, [N, 2].
    """
    value = float(counts[:, 0].sum() / counts[:, 1].sum())
    return value, (counts[:, 0] - value * counts[:, 1]) / counts[:, 1].mean()


def _count_errors(
    names: Sequence[str], paths: Sequence[Path], inputs: MetricInputs, recognize: Recognizer
) -> NDArray[np.float64]:
    """Errors and words of clips, [N, 2]."""
    transcripts: Mapping[str, str] = inputs.transcripts
    counts = []
    for name, path in zip(names, paths, strict=True):
        samples, _ = read(path, RATE)
        if not np.isfinite(samples).all():
            raise DataError(f"{path} has samples that are not finite; remove the file")
        pcm = np.clip(np.round(samples[0] * 32767), -32768, 32767).astype(np.int16)
        counts.append(count_errors(transcripts[name], recognize(pcm)))
    return np.array(counts, np.float64)


def _recognizer_name() -> str:
    from importlib.metadata import version

    return f"pocketsphinx {version('pocketsphinx')} en-us, jiwer {version('jiwer')}"


SPEC = MetricSpec("wer", "Word error rate", compute, ("audio", "transcripts"))
