"""What the vocoder stage measures on real audio, and its losses of the sources."""

import pytest
import torch

from latentaudio.audio.mel import vae_mel
from latentaudio.config.architecture import MelSpec, VocoderConfig
from latentaudio.models.harmonics import MIN_PITCH, PITCHES_PER_OCTAVE
from latentaudio.models.oscillators import MelAnalyzer
from latentaudio.models.vocoders import build_vocoder
from latentaudio.train.stages.pitch_analysis import estimate_pitch, harmonicity
from latentaudio.train.stages.source_losses import (
    attack_proximity,
    deterministic_in_noise,
    harmonics_without_pitch,
    noise_in_tones,
    pitch_cross_entropy,
    transience,
)
from latentaudio.train.stages.spectral_losses import RESOLUTIONS, spectral_distances

SPEC = MelSpec()
HOP, RATE = 160, 16000
CONFIG = VocoderConfig(
    kind="istft", channels=16, ffn_dim=32, num_layers=1, attack_n_fft=256, use_harmonics=True
)
ANALYZER = MelAnalyzer(CONFIG)
NOISE = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))


def harmonic_tone(hertz):
    """One second of harmonics that fall by 6 dB per octave."""
    n = torch.arange(RATE)
    tone = torch.zeros(RATE)
    for number in range(1, int(7000 / hertz)):
        tone += 0.1 * torch.sin(2 * torch.pi * hertz * number * n / RATE) / number
    return tone[None]


@pytest.fixture(scope="module")
def log_mel():
    return vae_mel(NOISE, SPEC)


@pytest.fixture(scope="module")
def controls(log_mel):
    """What an untrained vocoder plays for noise."""
    torch.manual_seed(0)
    with torch.no_grad():
        return build_vocoder(CONFIG).predict_controls(log_mel[:, 0])


def test_an_onset_is_an_attack_and_steady_noise_is_not(log_mel):
    late = NOISE * (torch.arange(RATE) >= 8000)
    proximity = attack_proximity(vae_mel(late, SPEC))
    assert proximity.shape == (1, 100)
    assert proximity[0, 46:52].min() == 1
    assert proximity[0, :40].max() == 0 and proximity[0, 70:].max() < 0.1
    assert attack_proximity(log_mel).max() < 0.1


def test_a_click_is_transient_and_noise_is_not():
    click = torch.zeros(1, RATE)
    click[0, 8000] = 1
    transient = transience(click + 1e-4 * NOISE, ANALYZER, HOP)
    assert transient.shape == (1, 100, 64)
    assert transient[0, 49:51].min() == 1
    assert transience(NOISE, ANALYZER, HOP).mean() < 0.1


@pytest.mark.parametrize("hertz", [61.0, 110.0, 233.1, 523.3, 987.8])
def test_the_pitch_of_a_harmonic_tone_is_estimated(hertz):
    tone = harmonic_tone(hertz)
    index, confidence = estimate_pitch(tone, RATE, HOP)
    pitch = MIN_PITCH * 2 ** (index[0, 20:80] / PITCHES_PER_OCTAVE)
    assert (pitch / hertz).log2().abs().max() < 0.2 / 12
    assert confidence[0, 20:80].min() > 0.8
    harmonic = harmonicity(tone, index, confidence, ANALYZER, HOP)[0, 20:80]
    assert harmonic[:, ANALYZER.centers < 6000].mean() > 0.8


def test_noise_has_no_pitch():
    index, confidence = estimate_pitch(NOISE, RATE, HOP)
    assert confidence.max() < 0.2
    assert harmonicity(NOISE, index, confidence, ANALYZER, HOP).mean() < 0.05


def test_frames_and_sines_cost_where_the_sound_is_steady_noise(controls, log_mel):
    zeros = torch.zeros(1, 100, 64)
    level = deterministic_in_noise(controls, log_mel, ANALYZER, zeros + 1, zeros)
    louder = controls._replace(coherent=2 * controls.coherent)
    assert deterministic_in_noise(louder, log_mel, ANALYZER, zeros + 1, zeros) > level > 0
    # in a transient they are free, and in a tone sines are
    assert deterministic_in_noise(controls, log_mel, ANALYZER, zeros + 1, zeros + 1) == 0
    silent = controls._replace(amplitude=0 * controls.amplitude)
    in_a_tone = deterministic_in_noise(controls, log_mel, ANALYZER, zeros, zeros)
    assert in_a_tone == deterministic_in_noise(silent, log_mel, ANALYZER, zeros, zeros) > 0


def test_noise_costs_where_the_sound_is_tonal(controls, log_mel):
    zeros = torch.zeros(1, 100, 64)
    assert noise_in_tones(controls, log_mel, ANALYZER, zeros) == 0
    assert noise_in_tones(controls, log_mel, ANALYZER, zeros + 1) > 0.5


def test_harmonics_cost_where_there_is_no_pitch(controls, log_mel):
    confidence = torch.ones(1, 100)
    harmonics = controls.harmonics
    assert harmonics_without_pitch(harmonics, log_mel, ANALYZER, confidence) == 0
    assert harmonics_without_pitch(harmonics, log_mel, ANALYZER, 0 * confidence) > 0


def test_the_true_pitch_has_the_least_cross_entropy():
    index, confidence = torch.full((1, 100), 30.0), torch.ones(1, 100)
    candidates = torch.arange(108)
    losses = []
    for best in (30, 31, 40):
        scores = 10.0 * (candidates == best).expand(1, 100, -1)
        losses.append(pitch_cross_entropy(scores, index, confidence))
    assert losses == sorted(losses) and len(set(losses)) == 3
    assert pitch_cross_entropy(scores, index, 0 * confidence) == 0


def test_the_energy_distance_is_least_for_sounds_as_random_as_the_real_one():
    generator = torch.Generator().manual_seed(1)
    first, second, real = 0.1 * torch.randn(3, 4, 8000, generator=generator)
    weights = torch.ones(4, 50)

    def energy(first, second):
        distances = spectral_distances(
            first, second, real, RATE, weights, len(RESOLUTIONS), torch.Generator()
        )
        return distances, distances.mel - distances.mel_repulsion / 2

    random, random_energy = energy(first, second)
    fixed, fixed_energy = energy(first, first)
    assert fixed.mel_repulsion == fixed.magnitude_repulsion == 0
    assert random.mel_repulsion.item() == pytest.approx(random.mel.item(), rel=0.02)
    assert random_energy < 0.6 * fixed_energy


def test_attacks_raise_the_distances_of_short_windows_only():
    generator = torch.Generator().manual_seed(1)
    first, second, real = 0.1 * torch.randn(3, 1, 8000, generator=generator)

    def mel_distance(weight, seed):
        weights = torch.full((1, 50), weight)
        draw = torch.Generator().manual_seed(seed)
        return spectral_distances(first, second, real, RATE, weights, 1, draw).mel.item()

    ratios = {round(mel_distance(5.0, seed) / mel_distance(1.0, seed), 3) for seed in range(12)}
    assert ratios == {1.0, 5.0}
