"""Measurements for the tests: onsets, rates, pitches and brightness, from samples alone."""

import librosa
import numpy as np
from scipy.signal import butter, sosfilt

from procedural_audio.synth import RenderContext

RATE = 16000


def render(sound_class, seed, duration=5.12, sample_rate=RATE):
    """A take of a sound class."""
    return sound_class.render(
        RenderContext(np.random.default_rng([7, seed]), sample_rate, duration)
    )


def level(x, hop=80, low=None):
    """Root mean square of every frame (5 ms by default), of the part above `low` Hz."""
    if low:
        x = sosfilt(butter(4, low, "highpass", fs=RATE, output="sos"), x)
    return np.sqrt(np.mean(x[: len(x) // hop * hop].reshape(-1, hop) ** 2, axis=1))


def onsets(x, rise=2.0, low=None, rest=0.15, floor=0.05):
    """Seconds at which the level exceeds `rise` times its maximum in the 30 ms before."""
    levels = level(x, low=low)
    before = np.array([levels[max(0, i - 6) : i].max(initial=0.0) for i in range(len(levels))])
    times = []
    for i in np.flatnonzero((levels > rise * before) & (levels > floor * levels.max())):
        if not times or i * 0.005 - times[-1] > rest:
            times.append(i * 0.005)
    return np.array(times)


def sound_starts(x, silence=0.05, floor=0.02):
    """Seconds at which sound starts after at least `silence` seconds below `floor` of the peak."""
    loud = np.flatnonzero(level(x) > floor * level(x).max())
    return loud[np.r_[True, np.diff(loud) > silence / 0.005]] * 0.005


def _parabolic_peak(curve, k):
    """Position of a maximum near index `k`, to a fraction of an index."""
    left, mid, right = curve[k - 1 : k + 2]
    return k + 0.5 * (left - right) / (left - 2 * mid + right)


def envelope_rate(x, rate_hz, smooth=0.0, low=None):
    """The repetition rate within a third of `rate_hz` with the highest envelope autocorrelation."""
    envelope = level(x, hop=40, low=low)
    if smooth:
        width = max(1, round(smooth * 400))
        envelope = np.convolve(envelope, np.hanning(width + 2), "same")
    envelope = np.log(envelope + 0.02 * envelope.max())
    envelope -= envelope.mean()
    n = len(envelope)
    power = np.abs(np.fft.rfft(envelope, 2 * n)) ** 2
    autocorrelation = np.fft.irfft(power)[:n] / (n - np.arange(n))
    lags = np.arange(int(300 / rate_hz), min(int(600 / rate_hz) + 2, n - 2))
    best = lags[np.argmax(autocorrelation[lags])]
    return 400 / _parabolic_peak(autocorrelation, best)


def strongest_frequency(x):
    """Frequency in Hz of the strongest spectral line, to a fraction of a bin."""
    spectrum = np.log(np.abs(np.fft.rfft(x * np.hanning(len(x)))) + 1e-12)
    k = int(np.argmax(spectrum[1:-1])) + 1
    return _parabolic_peak(spectrum, k) * RATE / len(x)


def pitch_track(x, low, high, frame=2048):
    """Pitch in Hz by librosa's YIN every 16 ms, where the sound is loud."""
    pitches = librosa.yin(x, fmin=low, fmax=high, sr=RATE, frame_length=frame, hop_length=256)
    rms = librosa.feature.rms(y=x, frame_length=frame, hop_length=256)[0][: len(pitches)]
    return pitches[rms > 0.4 * rms.max()]


def centroid(x):
    """Centroid of the power spectrum in Hz."""
    power = np.abs(np.fft.rfft(x)) ** 2
    return float(np.sum(power * np.fft.rfftfreq(len(x), 1 / RATE)) / power.sum())


def cents(a, b):
    """Interval from b to a in cents."""
    return 1200 * np.log2(np.asarray(a) / b)
