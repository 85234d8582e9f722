"""The benchmark of edits of recordings reports what the model returns and what YAMNet finds."""

from types import SimpleNamespace

import numpy as np
import pytest

from latentaudio.evaluate.mini.recording_edits import (
    RecordingEdits,
    evaluate_recording_edits,
    level_db,
    steady_recordings,
)
from latentaudio.evaluate.mini.unfinished import ReportStore

RATE = 16000


def noise(seconds, level=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(round(seconds * RATE)) * level).astype(np.float32)


class FakeModel:
    """Fills holes and extensions with noise of a given level; transfers by strength."""

    def __init__(self, level=0.1):
        self.level = level
        self.sources = []

    def _result(self, samples):
        return [SimpleNamespace(samples=np.asarray(samples, np.float32)[None])]

    def inpaint(self, source, prompt, time_ranges, **options):
        [(start, stop)] = time_ranges
        hole = slice(round(start * RATE), round(stop * RATE))
        assert not source[hole].any()
        filled = source.copy()
        filled[hole] = noise(stop - start, self.level, seed=5)
        return self._result(filled)

    def extend(self, source, prompt, after, **options):
        return self._result(np.concatenate([source, noise(after, self.level, seed=6)]))

    def super_resolve(self, source, prompt, cutoff_hz, **options):
        self.sources.append(source)
        return self._result(source)

    def transfer(self, source, prompt, strength, **options):
        return self._result(source if strength < 0.5 else source * 2)

    def generate(self, audio_prompt, audio_prompt_mode, **options):
        return self._result(np.zeros_like(audio_prompt))


class FakeYAMNet:
    """Finds rain in sounds below 0.15 RMS, a bell in louder ones, nothing in silence."""

    labels = {"rain": {}, "bell": {}}  # noqa: RUF012

    def recognize(self, samples, name):
        level = float(np.sqrt(np.mean(np.square(samples))))
        found = "" if level == 0 else "rain" if level < 0.15 else "bell"
        return SimpleNamespace(is_top5=found == name)


def measure(model):
    recordings = [("rain", noise(5.5, seed=k)) for k in range(3)]
    benchmark = RecordingEdits(model, FakeYAMNet(), recordings)
    report = evaluate_recording_edits(benchmark, ReportStore("fake"))
    return {metric.name: metric for metric in report.metrics}


def test_a_right_level_passes_and_a_wrong_one_fails():
    right = measure(FakeModel())
    wrong = measure(FakeModel(level=0.2))
    for name in ("hole of 1 s: difference of level, dB", "extension: difference of level, dB"):
        assert right[name].value < 0.3
        assert right[name].result == "pass"
        assert wrong[name].value == pytest.approx(6.02, abs=0.3)
        assert wrong[name].result == "fail"
    ends = "hole of 1 s: ends detected"
    assert right[ends].n == 6
    assert right[ends].value < 0.5 < wrong[ends].value


def test_the_upper_band_is_removed_before_it_is_regenerated():
    model = FakeModel()
    metrics = measure(model)
    spectrum = np.abs(np.fft.rfft(model.sources[0]))
    hertz = np.fft.rfftfreq(len(model.sources[0]), 1 / RATE)
    assert spectrum[hertz > 5000].max() < 0.01 * spectrum[hertz < 3500].mean()
    assert metrics["super-resolution: difference of level, dB"].value > 12


def test_yamnet_names_transfers_and_audio_prompts():
    metrics = measure(FakeModel())
    assert metrics["transfer at 0.3: kind of the source among five"].value == 1.0
    assert metrics["transfer at 0.7: bell among five"].value == 1.0
    prompt = metrics["audio prompt: kind among five"]
    assert prompt.value == 0.0
    assert prompt.ceiling == 1.0
    assert prompt.result == "fail"


def test_steady_recordings_are_long_even_and_not_silent():
    rising = noise(4.0) * np.linspace(0.1, 1, 4 * RATE, dtype=np.float32)
    clips = [("short", noise(2.0)), ("rising", rising), ("quiet", noise(4.0, 1e-5)),
             ("rain", noise(8.0))]  # fmt: skip
    [(name, clip)] = steady_recordings(clips)
    assert name == "rain"
    assert len(clip) == round(5.12 * RATE)
    assert level_db(clip) == pytest.approx(-20, abs=0.2)
