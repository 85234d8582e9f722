"""A few of the kills of `training_kills.py`."""

import warnings

from training_kills import KINDS, run_all

KILLS = dict.fromkeys(KINDS, 2) | {"two processes": 1}


def test_killed_trainings_resume_to_the_bit(tmp_path, monkeypatch, record_property):
    from conftest import TINY

    from latentaudio.config import registry

    monkeypatch.setitem(registry.MODELS, "mini", registry.MODELS["mini"])
    with warnings.catch_warnings():
        outcomes = run_all(tmp_path / "work", KILLS, seed=1, report=lambda line: None)
    assert registry.MODELS["mini"].config == TINY
    assert [outcome.problems for outcome in outcomes.values()] == [[]] * len(KINDS)
    assert all(outcomes[name].kills >= number for name, number in KILLS.items())
    record_property("trainings killed", sum(outcome.kills for outcome in outcomes.values()))
