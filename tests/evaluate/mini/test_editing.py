"""The editing benchmark calls every edit and reports what the classifier and detector return."""

from types import SimpleNamespace

import numpy as np

from latentaudio.evaluate.mini import editing
from latentaudio.evaluate.mini.classifier import Predictions
from latentaudio.evaluate.mini.editing import EditingBenchmark, evaluate_editing

RATE = 16000


class FakeClassifier:
    """Predicts a bell for loud clips, and the stationary classes in turn for all others."""

    class_names = ("bell", *editing.STATIONARY_CLASSES)

    def __init__(self):
        self.lengths = []

    def predict(self, clips):
        self.lengths.append([len(clip) for clip in clips])
        log_probs = np.zeros((len(clips), len(self.class_names)))
        for k, clip in enumerate(clips):
            log_probs[k, 0 if np.abs(clip).max() > 1.5 else 1 + k] = 1.0
        return Predictions(log_probs, np.zeros((len(clips), 1)))


class FakeModel:
    """Transfers loudly from half strength on; returns gaps and loops unchanged."""

    max_duration = 4.0
    config = SimpleNamespace(
        vae=SimpleNamespace(downsampling=4), mel=SimpleNamespace(hop_length=160)
    )
    codec = SimpleNamespace(num_frames=lambda duration: round(duration * 100), max_window=100)

    def __init__(self):
        self.calls = []

    def generate(self, prompt="", audio_prompt=None, duration=None, **options):
        self.calls.append("generate")
        samples = self._long_clip(duration, 3.0) if audio_prompt is None else audio_prompt[None]
        return [SimpleNamespace(samples=samples)]

    def generate_stream(self, prompt, duration, seed):
        yield self._long_clip(duration, 0.0)

    def _long_clip(self, duration, step):
        """Noise whose level changes at the start of the second window."""
        rng = np.random.default_rng(0)
        samples = rng.standard_normal((1, round(duration * RATE))).astype(np.float32) * 0.01
        samples[:, 75 * 640 : 100 * 640] *= 1.0 + step
        return samples

    def _edited(self, samples, call):
        self.calls.append(call)
        return [SimpleNamespace(samples=np.asarray(samples)[None])]

    def transfer(self, audio, prompt, strength, **options):
        edited = np.full_like(audio, 2.0) if strength >= 0.5 else audio
        return self._edited(edited, "transfer")

    def inpaint(self, audio, prompt, time_ranges, **options):
        [(start, stop)] = time_ranges
        gap = slice(round(start * RATE), round(stop * RATE))
        assert not audio[gap].any() and audio[: gap.start].any()
        return self._edited(audio, "inpaint")

    def loop(self, audio, prompt, loop_seam, **options):
        return self._edited(audio, "loop")


def test_every_metric_measures_its_edit():
    classifier = FakeClassifier()
    model = FakeModel()
    ticks = []
    benchmark = EditingBenchmark(
        model,
        classifier,
        num_clips=2,
        duration=4.0,
        progress=lambda work, done, total: ticks.append((work, done, total)),
    )
    report = evaluate_editing(benchmark, "fake")
    assert set(model.calls) == {"transfer", "inpaint", "loop", "generate"}

    transfer = report.metric("transfer: target accuracy (strength 0.5)")
    assert transfer.value == 1.0
    assert "0.25: 0%/1.00/0.00" in transfer.note

    inpainting = report.metric("inpainting accuracy (1 s gap)")
    assert (inpainting.value, inpainting.ceiling) == (1.0, 1.0)
    assert [RATE] * 2 in classifier.lengths

    assert report.metric("window-boundary detection rate (batch)").value == 0.5
    assert report.metric("window-boundary detection rate (streaming)").value < 0.5
    assert "audio prompt 1.00" in report.metric("audio-prompt accuracy").note

    for name, lower_is_better in (
        ("loop-seam detection rate", True),
        ("inpaint-boundary detection rate", True),
        ("detector recall", False),
        ("detector false-positive rate", True),
    ):
        metric = report.metric(name)
        assert 0.0 <= metric.value <= 1.0
        assert metric.lower_is_better is lower_is_better and metric.target is not None
    assert report.metric("detector recall").value == 1.0
    assert all(done < total for _, done, total in ticks)
