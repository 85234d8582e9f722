"""The judge learns what it is shown, hears no level and keeps its mind on disk."""

import numpy as np
import pytest
import torch

from latentaudio.errors import WeightsError
from latentaudio.evaluate.mini.classifier import SPEC, Judge, load_judge, mel_of, save_judge, train
from latentaudio.evaluate.mini.prompts import of_every_kind

KINDS = ("tone", "rain", "clock")


@pytest.fixture(scope="module")
def judge():
    shown = list(of_every_kind(60, 1, 1.28, KINDS, "train"))
    labels = [KINDS.index(a.kinds[0]) for a in shown]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train([mel_of(a.truth) for a in shown], labels, KINDS, steps=30, batch=16, rate=3e-3)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unseen():
    return list(of_every_kind(18, 2, 1.28, KINDS))


def test_it_learns_from_renders_and_knows_unseen_ones(judge, unseen):
    verdict = judge.hear([a.truth for a in unseen])
    assert verdict.scores.shape == (18, 3) and verdict.embeddings.shape[0] == 18
    assert (
        np.mean([KINDS[b] == a.kinds[0] for b, a in zip(verdict.best, unseen, strict=True)]) >= 0.85
    )
    assert np.exp(verdict.scores).sum(axis=1) == pytest.approx(np.ones(18), abs=1e-4)


def test_level_is_not_heard(judge, unseen):
    loud = judge.hear([a.truth for a in unseen])
    soft = judge.hear([0.5 * a.truth for a in unseen])
    assert (loud.best == soft.best).mean() >= 0.9


def test_a_clip_is_judged_alone(judge, unseen):
    together = judge.hear([a.truth for a in unseen[:3]])
    alone = judge.hear([unseen[1].truth])
    assert np.array_equal(together.scores[1], alone.scores[0])


@pytest.mark.parametrize("seconds", [0.5, 1.28, 10.24])
def test_any_length_is_heard(judge, seconds):
    assert judge.hear([np.zeros(round(seconds * SPEC.rate), np.float32)]).scores.shape == (1, 3)


def test_it_survives_the_disk(judge, unseen, tmp_path):
    save_judge(judge, tmp_path)
    back = load_judge(tmp_path)
    assert back.kinds == KINDS
    clips = [a.truth for a in unseen[:4]]
    assert back.hear(clips).scores == pytest.approx(judge.hear(clips).scores, abs=0.05)


def test_a_missing_or_damaged_judge_says_the_way_out(tmp_path):
    with pytest.raises(WeightsError, match=r"recipes/mini/judge\.py --out"):
        load_judge(tmp_path / "none")
    save_judge(Judge(KINDS), tmp_path)
    (tmp_path / "classifier.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="train it again"):
        load_judge(tmp_path)


def test_it_is_small():
    assert sum(p.numel() for p in Judge(tuple(map(str, range(90)))).parameters()) <= 1_500_000
