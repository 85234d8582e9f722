"""Comparison of two results: paired tests by clip, and refusal of unlike settings."""

import numpy as np
import pytest
import scipy.stats

from latentaudio.errors import DataError, UsageError
from latentaudio.evaluate.compare import compare_evaluations, paired_test, table
from latentaudio.evaluate.protocols import PROTOCOLS
from latentaudio.evaluate.report import ClipSet, Evaluation, Value, load_evaluation

RNG = np.random.default_rng(0)
FIRST = RNG.standard_normal(40)


def result(numbers, protocol="recommended", reference="r", **changes):
    settings = {"weights_sha256": "w", "candidates": 1, "backbone": "tiny", **changes}
    value = Value(
        metric="kl",
        title="KL divergence",
        variant="softmax",
        value=float(np.mean(numbers)),
        n=len(numbers),
        is_lower_better=True,
        protocol=protocol,
        by_clip={f"clip{k}": float(x) for k, x in enumerate(numbers)},
        **settings,
    )
    return Evaluation(
        software="test",
        protocol=PROTOCOLS[protocol].as_dict(),
        generated=ClipSet(path="a", n=40),
        reference=ClipSet(path="b", n=40, sha256=reference),
        values=(value,),
    )


def test_a_difference_that_every_clip_shows_is_certain():
    [difference] = compare_evaluations(result(FIRST), result(FIRST - 0.5 + 0.01 * FIRST))
    assert difference.difference == pytest.approx(-0.5, abs=0.02)
    low, high = difference.interval
    assert low < difference.difference < high < 0
    assert difference.p_value < 0.001 and difference.better == "second" and difference.n == 40
    assert "second" in table([difference]).splitlines()[1]


def test_noise_is_no_difference_and_clips_pair_by_name():
    other = FIRST + RNG.standard_normal(40)
    evaluation = result(other)
    shuffled = dict(reversed(list(evaluation.values[0].by_clip.items())))
    value = evaluation.values[0].model_copy(update={"by_clip": shuffled})
    [difference] = compare_evaluations(
        result(FIRST), evaluation.model_copy(update={"values": (value,)})
    )
    expected = scipy.stats.ttest_rel(other, FIRST)
    assert difference.interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-9)
    assert difference.p_value == pytest.approx(expected.pvalue, abs=0.02)
    assert difference.better == ""


def test_few_clips_get_the_exact_probability():
    assert paired_test(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "mini"}, "unlike protocols .*recommended and mini"),
        ({"reference": "other"}, "unlike reference clips"),
        ({"weights_sha256": "x"}, "unlike weights"),
        ({"candidates": 3}, "unlike numbers of candidates"),
        ({"prompts_sha256": "x"}, "unlike lists of prompts"),
        ({"sample_rate": 8000}, "unlike sample rates"),
        ({"resampler": "x"}, "unlike resamplers"),
        ({"backbone": "other"}, "no metric in common"),
    ],
)
def test_unlike_results_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        compare_evaluations(result(FIRST), result(FIRST, **changes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a result"),
        (b"[]", "is not a result"),
        (b'{"format": "latentaudio evaluation", "schema_version": 99}', "schema version 99"),
        (b'{"format": "latentaudio evaluation", "schema_version": 1}', "damaged: software"),
        (b"\xff\xfe", "is not a result"),
        (b"[" * 100000, "is not a result"),
    ],
)
def test_a_file_that_is_no_result_is_one_line(content, message, tmp_path):
    file = tmp_path / "result.json"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_evaluation(file)


def test_numbers_that_are_not_finite_are_not_read(tmp_path):
    evaluation = result(FIRST)
    evaluation.save(tmp_path / "result.json")
    text = (tmp_path / "result.json").read_text().replace('"clip3":', '"clip3": NaN, "x":')
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(DataError, match="finite"):
        load_evaluation(tmp_path / "result.json")
