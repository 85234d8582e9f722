"""Formats of the audio files that are written. Needs no torch.

To add a format that libsndfile writes, add a row to `FORMATS`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AudioFormat:
    """A format that clips are written in.

    Attributes:
        container: libsndfile's name of the container.
        subtypes: libsndfile's names of the sample encodings; the first is the usual one.
        max_tag_chars: Longest tags that libsndfile can write; None: any length. Longer ones it
            drops (WAV), or it writes a file that no program opens (Opus, AIFF).
        sample_rates: Sample rates in Hz that the encoding supports; None: any.
    """

    container: str
    subtypes: tuple[str, ...]
    max_tag_chars: int | None = None
    sample_rates: tuple[int, ...] | None = None


FORMATS: dict[str, AudioFormat] = {
    ".wav": AudioFormat("WAV", ("PCM_16", "PCM_24", "FLOAT"), max_tag_chars=48_000),
    ".flac": AudioFormat("FLAC", ("PCM_16", "PCM_24")),
    ".ogg": AudioFormat("OGG", ("VORBIS",)),
    ".mp3": AudioFormat("MP3", ("MPEG_LAYER_III",)),
    ".aiff": AudioFormat("AIFF", ("PCM_16", "PCM_24", "FLOAT"), max_tag_chars=8_000),
    ".opus": AudioFormat(
        "OGG", ("OPUS",), max_tag_chars=48_000, sample_rates=(8000, 12000, 16000, 24000, 48000)
    ),
}
"""Every format by its file extension."""
