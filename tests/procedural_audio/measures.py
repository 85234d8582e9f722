"""How the tests listen: onsets, rates, pitches and colours measured from samples alone."""

import librosa
import numpy as np
from scipy.signal import butter, sosfilt

from procedural_audio.synth import Stage

RATE = 16000


def play(kind, seed, seconds=5.12, rate=RATE):
    return kind.play(Stage(np.random.default_rng([7, seed]), rate, seconds))


def level(x, hop=80, low=None):
    """Root mean square of each 5 ms, of what lies above `low` Hz."""
    if low:
        x = sosfilt(butter(4, low, "highpass", fs=RATE, output="sos"), x)
    return np.sqrt(np.mean(x[: len(x) // hop * hop].reshape(-1, hop) ** 2, axis=1))


def onsets(x, rise=2.0, low=None, rest=0.15, floor=0.05):
    """Seconds at which the level jumps above `rise` times what it was in the 30 ms before."""
    e = level(x, low=low)
    before = np.array([e[max(0, i - 6) : i].max(initial=0.0) for i in range(len(e))])
    found = []
    for i in np.flatnonzero((e > rise * before) & (e > floor * e.max())):
        if not found or i * 0.005 - found[-1] > rest:
            found.append(i * 0.005)
    return np.array(found)


def stretches(x, silence=0.05, floor=0.02):
    """Seconds at which sound begins after at least `silence` seconds below `floor` of the peak."""
    loud = np.flatnonzero(level(x) > floor * level(x).max())
    return loud[np.r_[True, np.diff(loud) > silence / 0.005]] * 0.005


def envelope_rate(x, rate_hz, smooth=0.0, low=None):
    """The repetition rate nearest `rate_hz`, within a third of it, at which the envelope best agrees with itself."""
    e = level(x, hop=40, low=low)
    if smooth:
        width = max(1, round(smooth * 400))
        e = np.convolve(e, np.hanning(width + 2), "same")
    e = np.log(e + 0.02 * e.max())
    e -= e.mean()
    padded = np.fft.rfft(e, 2 * len(e))
    agree = np.fft.irfft(np.abs(padded) ** 2)[: len(e)] / (len(e) - np.arange(len(e)))
    lags = np.arange(int(300 / rate_hz), min(int(600 / rate_hz) + 2, len(e) - 2))
    k = lags[np.argmax(agree[lags])]
    left, mid, right = agree[k - 1 : k + 2]
    return 400 / (k + 0.5 * (left - right) / (left - 2 * mid + right))


def strongest(x):
    """Frequency in Hz of the strongest spectral line, to a fraction of a bin."""
    spectrum = np.log(np.abs(np.fft.rfft(x * np.hanning(len(x)))) + 1e-12)
    k = int(np.argmax(spectrum[1:-1])) + 1
    left, mid, right = spectrum[k - 1 : k + 2]
    return (k + 0.5 * (left - right) / (left - 2 * mid + right)) * RATE / len(x)


def track(x, low, high, frame=2048):
    """librosa's pitch in Hz where the sound is loud, every 16 ms."""
    hertz = librosa.yin(x, fmin=low, fmax=high, sr=RATE, frame_length=frame, hop_length=256)
    loud = librosa.feature.rms(y=x, frame_length=frame, hop_length=256)[0][: len(hertz)]
    return hertz[loud > 0.4 * loud.max()]


def centroid(x):
    """Centre of gravity of the power spectrum, Hz."""
    power = np.abs(np.fft.rfft(x)) ** 2
    return float(np.sum(power * np.fft.rfftfreq(len(x), 1 / RATE)) / power.sum())


def cents(a, b):
    return 1200 * np.log2(np.asarray(a) / b)
