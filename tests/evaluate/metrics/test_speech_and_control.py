"""Word error rate, control of time and pitch, aesthetics: against known answers."""

import re
import sys
import types

import numpy as np
import pytest

from latentaudio.audio.io import write
from latentaudio.config.extras import install_command
from latentaudio.errors import UsageError
from latentaudio.evaluate.features import FeatureSet, feature_set
from latentaudio.evaluate.metrics import aesthetics, control, word_error_rate
from latentaudio.evaluate.metrics.base import MetricInputs
from latentaudio.evaluate.protocols import PROTOCOLS

RATE = 16000


def clips_of(folder, clips, **fields):
    """Inputs of a metric of signals from samples by name."""
    folder.mkdir(exist_ok=True)
    for name, samples in clips.items():
        write(folder / f"{name}.wav", np.asarray(samples, np.float32)[None], RATE)
    paths = [folder / f"{name}.wav" for name in clips]
    generated = FeatureSet(list(clips), lambda index: None, paths)
    return MetricInputs(generated, None, PROTOCOLS["recommended"], **fields)


def tone(hertz, duration=1.0):
    times = np.arange(round(duration * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * hertz * times)


def clicks(times, duration=2.0):
    rng = np.random.default_rng(0)
    samples = np.zeros(round(duration * RATE))
    burst = 0.5 * rng.standard_normal(1600) * np.exp(-np.arange(1600) / 200)
    for time in times:
        start = round(time * RATE)
        samples[start : start + 1600] += burst[: len(samples) - start]
    return samples.clip(-1, 1)


def test_numbers_of_the_list_are_checked(tmp_path):
    clips = {
        "a4": tone(440), "a5": tone(880), "three": clicks([0.3, 0.8, 1.5]),
        "steady": clicks(np.arange(0.1, 3.9, 0.25), 4.0), "late": clicks([1.0]),
        "silent": np.zeros(RATE), "unchecked": tone(100),
    }  # fmt: skip
    rows = {
        "a4": {"pitch_hz": "450"},
        "a5": {"pitch_hz": 440},
        "three": {"count": "3", "onset_s": "0.25"},
        "steady": {"bpm": "240", "count": "3"},
        "late": {"onset_s": 0.5, "rate_hz": ""},
        "silent": {"count": "0", "pitch_hz": "440", "rate_hz": "2", "onset_s": "0.1"},
    }
    results = {r.variant: r for r in control.compute(clips_of(tmp_path, clips, rows=rows))}
    assert results["pitch"].by_clip == {"a4": 1, "a5": 0, "silent": 0}
    assert results["rate"].by_clip == {"steady": 1, "silent": 0}
    assert results["count"].by_clip == {"three": 1, "steady": 0, "silent": 1}
    assert results["onset"].by_clip == {"three": 1, "late": 0, "silent": 0}
    assert results["pitch"].value == pytest.approx(1 / 3) and results["pitch"].n == 3
    assert "order" not in results


def test_the_order_of_two_sound_classes_is_checked(tmp_path):
    from latentaudio.evaluate.mini.prompts import order_prompts

    [prompt] = order_prompts(1, 0, 5.12)
    first, second = prompt.class_names
    rows = {
        "right": {"first": first, "second": second},
        "wrong": {"first": second, "second": first},
    }
    clips = {"right": prompt.ground_truth, "wrong": prompt.ground_truth}
    [result] = control.compute(clips_of(tmp_path, clips, rows=rows))
    assert result.variant == "order" and result.by_clip == {"right": 1, "wrong": 0}
    rows["wrong"]["first"] = "unicorn"
    with pytest.raises(UsageError, match="unicorn"):
        control.compute(clips_of(tmp_path, clips, rows=rows))


@pytest.mark.parametrize("cell", ["x", "nan", "-1", "inf", [], "9" * 400])
def test_a_cell_that_is_no_number_is_one_line(tmp_path, cell):
    inputs = clips_of(tmp_path, {"a": tone(440)}, rows={"a": {"count": cell or [1]}})
    with pytest.raises(UsageError, match="count"):
        control.compute(inputs)


@pytest.fixture
def recognizer(monkeypatch):
    """pocketsphinx and jiwer as doubles: the words are those of the clip's level."""
    heard_words = {1: "the cat sat", 2: "", 3: "a b c d e"}
    monkeypatch.setattr(
        word_error_rate, "load_recognizer",
        lambda: lambda pcm: heard_words[round(float(np.abs(pcm.astype(int)).max()) / 3276.7)],
    )  # fmt: skip
    monkeypatch.setattr(word_error_rate, "_recognizer_name", lambda: "double")

    def process_words(reference, hypothesis):
        table = np.zeros((len(reference.split()) + 1, len(hypothesis.split()) + 1), int)
        table[:, 0] = range(len(table))
        table[0] = range(table.shape[1])
        for i, a in enumerate(reference.split(), 1):
            for j, b in enumerate(hypothesis.split(), 1):
                steps = (table[i - 1, j - 1] + (a != b), table[i - 1, j] + 1, table[i, j - 1] + 1)
                table[i, j] = min(steps)
        return types.SimpleNamespace(substitutions=table[-1, -1], deletions=0, insertions=0)

    monkeypatch.setitem(sys.modules, "jiwer", types.SimpleNamespace(process_words=process_words))


def test_the_rate_is_errors_by_words_over_all_clips(tmp_path, recognizer):
    clips = {"a": [0.1] * 800, "b": [0.2] * 800, "c": [0.3] * 800}
    transcripts = {"a": "The cat sat down!", "b": "hello", "c": "A-b c; D, e"}
    [result] = word_error_rate.compute(clips_of(tmp_path, clips, transcripts=transcripts))
    assert result.value == pytest.approx(2 / 10)  # one of 4, one of 1, none of 5
    assert result.n == 3 and result.details["words"] == 10
    # the mean of value + influence is the value
    assert np.mean(list(result.by_clip.values())) == pytest.approx(2 / 10)
    assert result.interval[0] == 0.0 < result.interval[1]


def test_a_transcript_without_words_and_a_missing_package_are_one_line(monkeypatch):
    with pytest.raises(UsageError, match="no words"):
        monkeypatch.setitem(sys.modules, "jiwer", types.SimpleNamespace())
        word_error_rate.count_errors("...", "x")
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(UsageError, match=re.escape(install_command("evaluate"))):
        word_error_rate.count_errors("a", "a")
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(UsageError, match="pocketsphinx"):
        word_error_rate.load_recognizer()


def test_words_are_compared_without_case_and_punctuation():
    assert (
        word_error_rate.plain_words("It’s  DONE — half-way, 3 times.")
        == "it's done half way 3 times"
    )


def test_axes_are_means_over_clips():
    scores = np.array([[1.0, 2, 3, 4], [3, 2, 5, 8]])
    inputs = MetricInputs(feature_set(scores), feature_set(scores + 1), PROTOCOLS["recommended"])
    results = {result.variant: result for result in aesthetics.compute(inputs)}
    assert {name: result.value for name, result in results.items()} == {
        "CE": 2, "CU": 2, "PC": 4, "PQ": 6
    }  # fmt: skip
    assert results["PQ"].by_clip == {"0": 4, "1": 8} and results["PQ"].details["reference"] == 7
