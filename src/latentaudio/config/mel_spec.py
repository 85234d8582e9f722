"""Shape of the log-mel front end. Part of `config.architecture`, which exports these names."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .ranges import require_ranges
from .validation import require_config

_MEL_BREAK_HZ = 1000.0  # Slaney's scale is linear below and logarithmic above
_MEL_BREAK = 15.0  # the same point in mels
_MEL_LOG_STEP = math.log(6.4) / 27  # natural log of the frequency ratio of one mel above it


def mel_edges(bins: int, fmin: float, fmax: float) -> tuple[float, ...]:
    """Return the corner frequencies of Slaney mel bands (Auditory Toolbox, 1998).

    Band b rises from corner b to its center, corner b + 1, and falls to corner b + 2.

    Args:
        bins: Number of mel bands.
        fmin: Lowest corner in Hz.
        fmax: Highest corner in Hz.

    Returns:
        `bins + 2` frequencies in Hz, rising.
    """

    def to_mel(hertz: float) -> float:
        if hertz < _MEL_BREAK_HZ:
            return hertz * 3 / 200
        return 15 + math.log(hertz / 1000) / _MEL_LOG_STEP

    def to_hertz(mel: float) -> float:
        if mel < _MEL_BREAK:
            return mel * 200 / 3
        return 1000 * math.exp((mel - 15) * _MEL_LOG_STEP)

    low = to_mel(fmin)
    high = to_mel(fmax)
    return tuple(to_hertz(low + (high - low) * i / (bins + 1)) for i in range(bins + 2))


@dataclass(frozen=True)
class MelSpec:
    """Log-mel front end of VAE and vocoder (numerics: mel front ends).

    A frame is ln(max(mel, floor)), mel being the Slaney filterbank of the magnitudes of an STFT.

    Attributes:
        sample_rate: Samples per second of the waveform.
        n_fft: Samples of the Hann window and of the FFT.
        hop_length: Samples between two frames.
        n_mels: Mel bands F.
        fmin: Lowest edge of the filterbank in Hz.
        fmax: Highest edge in Hz, at most half the sample rate.
        floor: Smallest magnitude before the logarithm.
    """

    sample_rate: int = 16000
    n_fft: int = 1024
    hop_length: int = 160
    n_mels: int = 64
    fmin: float = 0.0
    fmax: float = 8000.0
    floor: float = 1e-5

    def __post_init__(self) -> None:
        require_ranges(self)
        require_config(
            self.fmax <= self.sample_rate / 2,
            f"mel fmax = {self.fmax} Hz is above the Nyquist frequency; "
            f"set at most {self.sample_rate / 2:g} Hz at sample_rate = {self.sample_rate}",
        )
        require_config(
            self.hop_length <= self.n_fft,
            f"mel hop_length = {self.hop_length} exceeds n_fft; set at most {self.n_fft}",
        )
