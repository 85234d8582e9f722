"""Sound sources of an STFT vocoder: a mel analyzer without learned parts, noise, and oscillators.

A convolutional vocoder turns a constant mel into a constant frame, so its output repeats every hop.
At 16 kHz and hop 160 a steady note can then only consist of multiples of 100 Hz, and steady noise
buzzes. Oscillators that continue their phase from frame to frame, and real noise, avoid that. The
network only sets their levels.

B batch, T frames, F mel bins (bands), K STFT bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.architecture import VocoderConfig, mel_edges

OSCILLATOR_BLOCK = 32
"""Frames of sines that are computed at once: they fit into the CPU cache (four times as fast), and
memory stays flat."""

FILTER_ROUNDS = 6
"""Rounds of the bilateral filter that stabilizes pitch."""

POOL_FRAMES = 4
"""Frames that are pooled to one neighbor of that filter."""

SAME_NOTE_LOG_RATIO = 0.03
"""Natural logarithm of a ratio of frequencies within one note (half a semitone)."""

MAX_LOG_GAIN = 5.0
"""Upper limit of a learned gain's natural logarithm, so that a bad training step cannot produce
extreme levels."""

_FILTER_BANDS = 16  # bands that are filtered at once, to stay in the CPU cache
_FILTER_POOLED_FRAMES = 64  # pooled frames that are filtered at once, likewise
_REASSIGN_WINDOW = 2048  # samples


class MelAnalyzer(nn.Module):
    """Computes spectral envelope and tones of a mel with area-normalized Slaney bands.

    The mel is linear, not its logarithm (numerics: mel front ends).

    Attributes:
        sample_rate: In Hz.
        n_fft: Size of the STFT.
        centers: Center frequency of each band [F] in Hz.
        half_widths: Half of each band's width [F] in Hz.
        triangles: [F, K], each band's triangle over the STFT bins with peak 1; outside the
            outermost centers it stays 1.
    """

    centers: Tensor
    half_widths: Tensor
    triangles: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.sample_rate = config.sample_rate
        self.n_fft = config.n_fft
        edges = torch.tensor(
            mel_edges(config.n_mels, config.fmin, config.fmax), dtype=torch.float64, device="cpu"
        )
        low, center, high = edges[:-2], edges[1:-1], edges[2:]
        num_bins = config.n_fft // 2 + 1
        grid = torch.linspace(
            0, config.sample_rate / 2, num_bins, dtype=torch.float64, device="cpu"
        )[:, None]
        rising = (grid - low) / (center - low)
        falling = (high - grid) / (high - center)
        triangles = torch.minimum(rising, falling).clamp(min=0)
        # outside the outermost centers the envelope is constant
        triangles[grid[:, 0] < center[0], 0] = 1
        triangles[grid[:, 0] > center[-1], -1] = 1
        self.register_buffer("centers", center.float(), persistent=False)
        self.register_buffer("half_widths", ((high - low) / 2).float(), persistent=False)
        self.register_buffer("triangles", triangles.T.float().contiguous(), persistent=False)

    def envelope(self, mel: Tensor) -> Tensor:
        """mel [B, T, F] -> the STFT magnitude [B, T, K] of the smoothest spectrum with this mel.

        A band's weights sum to the reciprocal of the bin spacing, so mel times spacing is the mean
        magnitude around its center.
        """
        return (mel * (self.sample_rate / self.n_fft)) @ self.triangles

    def estimate_tones(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate, for each band b, the sine that would explain bands b - 1 to b + 1.

        Neighboring triangles interpolate linearly, so the centroid of the un-normalized bands is
        that of the spectrum itself, hence a single sine's frequency. The magnitudes of a sine's
        main lobe sum to amplitude * n_fft / 2.

        Args:
            mel: [B, T, F].

        Returns:
            Frequency in Hz and amplitude, each [B, T, F].
        """
        weight = mel * self.half_widths
        total = 3 * F.avg_pool1d(weight, 3, 1, 1)
        moment = 3 * F.avg_pool1d(weight * self.centers, 3, 1, 1)
        return moment / total, total / (self.n_fft / 2)

    def reassigned_frequencies(
        self, samples: Tensor, hop: int, window: int = _REASSIGN_WINDOW
    ) -> tuple[Tensor, Tensor]:
        """Measure the frequency of each band in real audio, and how tonal the band is.

        The frequency is a power-weighted mean, over a triangle around the band's center, of the
        STFT's reassigned frequencies (Auger and Flandrin 1995, equation 3.13). Those of a single
        sine equal its frequency at every bin that it reaches.

        Args:
            samples: [B, T hop].
            hop: Samples per frame.
            window: Samples of the analysis window.

        Returns:
            Frequency in Hz [B, T, F], and tonality [B, T, F]. Tonality is 1 for a single tone. It
            is 0 if the deviation of the frequencies reaches a third of the band's half width.
        """
        n = torch.arange(window, device=samples.device, dtype=samples.dtype)
        hann = torch.hann_window(window, device=samples.device, dtype=samples.dtype)
        slope = (math.pi / window) * torch.sin(2 * math.pi * n / window)  # of the Hann window
        padded = F.pad(samples, ((window - hop) // 2,) * 2)
        plain, sloped = (
            torch.stft(padded, window, hop, window=w, center=False, return_complex=True).transpose(
                1, 2
            )
            for w in (hann, slope)
        )
        power = plain.abs().square()
        bins = torch.arange(window // 2 + 1, device=samples.device, dtype=samples.dtype)
        grid = bins * (self.sample_rate / window)
        # reassignment: the ratio of both STFTs gives each bin's distance to the true frequency
        shift = (sloped * plain.conj()).imag / (power + 1e-12)
        reassigned = grid - (self.sample_rate / (2 * math.pi)) * shift
        low = self.centers - self.half_widths
        high = self.centers + self.half_widths
        triangles = (1 - (grid[:, None] - self.centers).abs() / self.half_widths).clamp(min=0)
        total = power @ triangles + 1e-9
        mean = (((power * reassigned) @ triangles) / total).clamp(low, high)
        variance = ((power * reassigned.square()) @ triangles) / total - mean.square()
        spread = variance.clamp(min=0).sqrt()
        return mean, (1 - 3 * spread / self.half_widths).clamp(min=0)


def exponential_gain(control: Tensor, initial_log_gain: float) -> Tensor:
    """Return a factor of e^initial_log_gain at control 0, which grows up to e^MAX_LOG_GAIN."""
    return (control + initial_log_gain).clamp(max=MAX_LOG_GAIN).exp()


def noise_stft(noise: Tensor, hop: int, window: Tensor) -> Tensor:
    """Return the STFT [B, T, K], of mean magnitude 1, of normal noise [B, (T - 1) hop + n_fft].

    `window` is [n_fft].
    """
    n_fft = window.shape[0]
    spectrum = torch.stft(
        noise, n_fft, hop, window=window, center=False, return_complex=True
    ).transpose(1, 2)
    # a complex normal variable's mean magnitude is sqrt(pi / 4) sigma
    return spectrum / (window.square().sum() * math.pi / 4).sqrt()


def oscillator_bank(
    frequency: Tensor,
    amplitude: Tensor,
    hop: int,
    phase: Tensor | None = None,
    before: int = 0,
    behind: int = 0,
) -> Tensor:
    """Sum F sines of gliding frequency and amplitude.

    Both are linear between frame borders, where they have the mean of the two frames; the phase is
    the exact integral.

    Args:
        frequency: [B, T, F], in cycles per sample.
        amplitude: [B, T, F].
        hop: Samples per frame.
        phase: [B, F], in cycles at the beginning; replaced in place by the phase at the end. None:
            zero.
        before: 1 if the first frame is a neighbor only, which makes no samples; else 0.
        behind: The same for the last frame.

    Returns:
        Samples [B, (T - before - behind) hop].
    """
    current = slice(before, frequency.shape[1] + 1 - behind)
    pitch = at_borders(frequency)[:, current]
    level = at_borders(amplitude)[:, current]
    start = _start_phases(pitch, hop, phase)
    n = torch.arange(hop, device=frequency.device, dtype=frequency.dtype)
    per_frame = (start, pitch[:, :-1], pitch[:, 1:], level[:, :-1], level[:, 1:])
    blocks = (torch.split(value, OSCILLATOR_BLOCK, dim=1) for value in per_frame)
    output = pitch.new_empty(*start.shape[:2], hop)
    for index, (block_start, rate, next_rate, gain, next_gain) in enumerate(
        zip(*blocks, strict=True)
    ):
        # phase(n) = start + rate n + (next_rate - rate) / (2 hop) n^2
        phase = torch.addcmul(block_start[..., None], rate[..., None], n)
        phase = torch.addcmul(phase, ((next_rate - rate) / (2 * hop))[..., None], n * n)
        # gain(n) = gain + (next_gain - gain) / hop n: two sums over bands in one matrix product
        ramp = torch.stack([gain, (next_gain - gain) / hop], dim=2)
        constant, growing = (ramp @ torch.sin(2 * math.pi * phase)).unbind(2)
        output[:, index * OSCILLATOR_BLOCK : (index + 1) * OSCILLATOR_BLOCK] = (
            constant + growing * n
        )
    return output.flatten(1)


def stabilize_pitch(frequency: Tensor, loudness: Tensor, reach: int, reference: Tensor) -> Tensor:
    """Hold wavering frequencies at one pitch; do not change jumps and glides.

    Several rounds of a bilateral filter (Tomasi and Manduchi 1998; repeated, it is a mean shift).
    Each frequency becomes the weighted geometric mean of its band within `reach` frames. Near, loud
    and similar frames have the largest weights. The frames across a jump are not similar. A glide
    is symmetric around each of its frames but the last. A frequency that would move far stays.
    Neighbors are pooled by 4 frames.

    Args:
        frequency: [B, T, F] in Hz.
        loudness: [B, T, F], the weight of each frame.
        reach: Frames to either side.
        reference: [F], a frequency in Hz near those of each band.

    Returns:
        Frequencies [B, T, F] in Hz.
    """
    blocks = [torch.split(value, _FILTER_BANDS, dim=-1) for value in (frequency, loudness)]
    references = torch.split(reference, _FILTER_BANDS)
    results = []
    for pitch, level, near in zip(*blocks, references, strict=True):
        results.append(_stabilize_bands(pitch, level, reach, near))
    return torch.cat(results, dim=2)


def log_ratio(frequency: Tensor, reference: Tensor) -> Tensor:
    """Return ln(frequency / reference), [B, T, F].

    It is small. In float32 the logarithm of the frequency itself has an error of 5e-7, by which
    sines would be out of phase after some seconds.
    """
    return (frequency.clamp_min(1.0) / reference).log()


def _stabilize_bands(frequency: Tensor, loudness: Tensor, reach: int, reference: Tensor) -> Tensor:
    """`stabilize_pitch` of some bands."""
    num_frames = frequency.shape[1]
    arms = -(-reach // POOL_FRAMES)  # pooled frames to either side
    spare = -num_frames % POOL_FRAMES
    original = log_ratio(frequency, reference)
    pitch = F.pad(original.transpose(1, 2), (0, spare), mode="replicate")
    pitch = pitch.unflatten(2, (-1, POOL_FRAMES))
    weight = F.pad(loudness.transpose(1, 2), (0, spare)).unflatten(2, (-1, POOL_FRAMES))
    total = weight.sum(3)
    window = torch.hann_window(2 * arms + 3, periodic=False, device=pitch.device, dtype=pitch.dtype)
    nearness = window[1:-1]

    def neighbors(value: Tensor) -> Tensor:
        return F.pad(value, (arms, arms)).unfold(2, 2 * arms + 1, 1)

    for _ in range(FILTER_ROUNDS):
        pooled = (pitch * weight).sum(3) / total.clamp_min(1e-20)
        inputs = (pitch, neighbors(pooled), neighbors(total))
        blocks = (torch.split(value, _FILTER_POOLED_FRAMES, dim=2) for value in inputs)
        pitch = pitch.new_empty(pitch.shape)
        for index, (block, others, levels) in enumerate(zip(*blocks, strict=True)):
            position = slice(index * _FILTER_POOLED_FRAMES, (index + 1) * _FILTER_POOLED_FRAMES)
            pitch[:, :, position] = bilateral_step(block, others, levels * nearness)
    moved = pitch.flatten(2)[..., :num_frames].transpose(1, 2) - original
    # the further a frequency would move, the less of the move is applied
    limit = torch.exp(-0.5 * (moved / (2 * SAME_NOTE_LOG_RATIO)).square())
    return frequency * torch.exp(moved * limit)


def bilateral_step(pitch: Tensor, others: Tensor, weights: Tensor) -> Tensor:
    """Log-pitches [B, F, T, G] -> mean of neighbors [B, F, T, A] by weight and similarity."""
    others = others[..., None, :]
    similarity = torch.exp(-0.5 * ((others - pitch[..., None]) / SAME_NOTE_LOG_RATIO).square())
    weights = weights[..., None, :] * similarity
    total = weights.sum(-1)
    mean = (weights * others).sum(-1) / total.clamp_min(1e-12)
    return torch.where(total > 1e-12, mean, pitch)


def at_borders(x: Tensor) -> Tensor:
    """[B, T, F] at frames -> [B, T + 1, F] at their borders."""
    x = torch.cat([x[:, :1], x, x[:, -1:]], dim=1)
    return (x[:, 1:] + x[:, :-1]).mul_(0.5)


def _start_phases(pitch: Tensor, hop: int, phase: Tensor | None) -> Tensor:
    """Pitches [B, T + 1, F] at frame borders -> phases [B, T, F] in cycles at frame starts."""
    # whole cycles change nothing and would use up the mantissa
    cycles = (pitch[:, 1:] + pitch[:, :-1]).mul_(hop / 2).remainder_(1)
    ends = cycles.cumsum(1)
    if phase is not None:
        ends += phase[:, None]
        phase.copy_(ends[:, -1].remainder(1))
    return ends.sub_(cycles)
