"""Post-processing of a generated clip: stereo, trimming, resampling, fades, loudness, true peak.

Letters: C channels, N samples.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..config.options import GenerationOptions
from .loudness import limit_true_peak, loudness, normalize_loudness
from .ops import Samples, as_loop, cut_loop, limit_peak, resample, resample_loop

_Channel: TypeAlias = NDArray[np.float64]

_DEFAULT_TRUE_PEAK = -1.0  # dBTP, the ceiling if only a loudness is asked for
_REPORTED_ERROR_LU = 0.5  # distance from the target loudness that is noted in the file
_STEREO_HIGH_PASS_HZ = 200.0  # below, hearing does not localize, and one channel keeps its weight
_STEREO_WINDOW_S = 0.05  # over which mid and side are compared
_MAX_SIDE_GAIN = 4.0  # of a side that is quieter than mid
_SILENCE_RATIO = 1e-3  # of the peak: -60 dB
_TRIM_MARGIN_S = 0.01  # kept beside the audible part


def postprocess(
    samples: Samples,
    sample_rate: int,
    options: GenerationOptions,
    side: Samples | None = None,
) -> tuple[Samples, int, dict[str, str]]:
    """Apply the post-processing options of a request.

    Without any of them the samples are returned unchanged. Without a ceiling (`true_peak`, or
    `lufs`, whose ceiling is -1 dBTP), a clip that exceeds 1 is scaled down. The end and the
    beginning of a loop are processed as neighbors.

    Args:
        samples: [1, N].
        sample_rate: Their rate in Hz.
        options: The request.
        side: A variation of the clip, [1, N], that becomes the difference of two channels (see
            `to_stereo`); None: mono.

    Returns:
        Samples [C, N'], their rate, and tags that describe the processing.
    """
    out = samples
    derived = []
    tags: dict[str, str] = {}
    is_loop = options.loop_seam_duration > 0
    target_rate = options.sample_rate or sample_rate
    if side is not None:
        make_stereo = _loop_to_stereo if is_loop else to_stereo
        out = make_stereo(out, side, sample_rate, options.stereo_width)
        derived.append(
            "stereo: a variation of the clip is the difference of the channels, "
            f"width {options.stereo_width:g}"
        )
    if options.trim_silence:
        out = trim_silence(out, sample_rate)
    if target_rate != sample_rate:
        if is_loop:
            out = resample_loop(out, sample_rate, target_rate)
        else:
            length = _resampled_length(out.shape[1], sample_rate, target_rate, options.duration)
            out = resample(out, sample_rate, target_rate, length)
        derived.append(f"{target_rate} Hz by resampling from {sample_rate} Hz")
    out = fade(out, target_rate, options.fade_in, options.fade_out)
    ceiling = options.true_peak
    if options.lufs is not None:
        ceiling = _DEFAULT_TRUE_PEAK if ceiling is None else ceiling
        out = normalize_loudness(out, target_rate, options.lufs, ceiling, is_loop)
        reached = loudness(out, target_rate)
        if abs(reached - options.lufs) > _REPORTED_ERROR_LU:
            tags["loudness"] = f"{reached:.1f} LUFS, limited by the ceiling of {ceiling:g} dBTP"
    elif ceiling is not None:
        out = limit_true_peak(out, target_rate, ceiling, is_loop)
    if derived:
        tags["derived"] = "; ".join(derived)
    return limit_peak(out, 1.0), target_rate, tags


def _resampled_length(length: int, sample_rate: int, target_rate: int, duration: float) -> int:
    """Return the samples of a clip at another rate, from its duration in seconds if it has that.

    A length at the lower rate is rounded: 3.3333333 s at 16 kHz, at 48 kHz, would lack a sample. A
    clip that was trimmed has another length than its duration. One that repeats keeps its period.
    """
    if length == round(duration * sample_rate):
        return round(duration * target_rate)
    return round(length * target_rate / sample_rate)


def to_stereo(mid: Samples, side: Samples, sample_rate: int, width: float) -> Samples:
    """Return left and right, mid plus and minus `width` times the side, so that their mean is mid.

    Only the side above 200 Hz is used. From moment to moment it is made orthogonal to mid and as
    strong as mid. Both channels have the same energy, and at width 1 they have nothing in common
    above 200 Hz.

    Args:
        mid: [1, N].
        side: [1, N].
        sample_rate: Samples per second.
        width: 0 (mono) to 1.

    Returns:
        [2, N].
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import butter, sosfiltfilt

    def local_product(first: _Channel, second: _Channel) -> _Channel:
        window = round(_STEREO_WINDOW_S * sample_rate)
        mean: _Channel = uniform_filter1d(first * second, window)
        return mean + 1e-12

    high_pass = butter(2, _STEREO_HIGH_PASS_HZ, "highpass", fs=sample_rate, output="sos")
    high_mid = sosfiltfilt(high_pass, np.asarray(mid[0], np.float64))
    difference = sosfiltfilt(high_pass, np.asarray(side[0], np.float64))
    full_mid = mid[0].astype(np.float64)
    difference -= local_product(high_mid, difference) / local_product(high_mid, high_mid) * high_mid
    level = np.sqrt(local_product(high_mid, high_mid) / local_product(difference, difference))
    difference *= np.minimum(level, _MAX_SIDE_GAIN)
    # The local steps leave a little correlation over the whole clip, which would move it to a side.
    difference -= high_mid * (difference @ full_mid) / max(float(high_mid @ full_mid), 1e-12)
    energy = float(high_mid @ high_mid) / max(float(difference @ difference), 1e-12)
    difference *= width * math.sqrt(energy)
    return np.stack([full_mid + difference, full_mid - difference]).astype(np.float32)


def _loop_to_stereo(mid: Samples, side: Samples, sample_rate: int, width: float) -> Samples:
    """`to_stereo` of a clip that repeats."""
    padded = to_stereo(as_loop(mid, sample_rate), as_loop(side, sample_rate), sample_rate, width)
    return cut_loop(padded, sample_rate)


def trim_silence(samples: Samples, sample_rate: int) -> Samples:
    """Cut off both ends of samples [C, N] that are below -60 dB of the peak, except for 10 ms."""
    level = np.abs(samples).max(axis=0)
    audible = np.flatnonzero(level > _SILENCE_RATIO * level.max(initial=0.0))
    if audible.size == 0:
        return samples
    margin = round(_TRIM_MARGIN_S * sample_rate)
    return samples[:, max(0, int(audible[0]) - margin) : int(audible[-1]) + 1 + margin]


def fade(samples: Samples, sample_rate: int, fade_in: float, fade_out: float) -> Samples:
    """Fade samples [C, N] in and out by half a raised cosine of that many seconds each."""
    out = samples
    for duration, direction in ((fade_in, 1), (fade_out, -1)):
        length = min(round(duration * sample_rate), out.shape[1])
        if length:
            gain = np.ones(out.shape[1], np.float32)
            gain[:length] = 0.5 - 0.5 * np.cos(np.pi * np.arange(length) / length)
            out = out * gain[::direction]
    return out
