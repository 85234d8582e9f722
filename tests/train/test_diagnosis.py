"""Trainings that cannot go on end with one line that says why and what to change."""

import math

import pytest
import torch

from latentaudio.errors import TrainingError
from latentaudio.train.diagnosis import (
    MAX_SKIPPED_UPDATES,
    WINDOW_STEPS,
    DivergenceMonitor,
    memory_errors_reported,
)
from latentaudio.train.stages.likeness import largest_likeness, warn_of_copies

CLIPS = ("dog.wav", "cat.wav", "rain.wav", "sea.wav", "wind.wav")


def test_a_loss_that_is_not_finite_names_itself_and_the_clips(tmp_path):
    (tmp_path / "checkpoints" / "step_00000500").mkdir(parents=True)
    monitor = DivergenceMonitor(tmp_path)
    monitor.check_losses(501, {"vae/l1": 0.5}, lambda: CLIPS)
    with pytest.raises(TrainingError) as caught:
        monitor.check_losses(502, {"vae/l1": 0.5, "vae/kl": math.nan}, lambda: CLIPS)
    message = str(caught.value)
    assert message.startswith("step 502: the loss vae/kl became nan on dog.wav, cat.wav, rain.wav")
    assert "and 2 more clips" in message
    assert "lower optim.lr" in message
    assert message.endswith("the last checkpoint is of step 500")


def test_gradients_that_are_not_finite_may_pass_but_not_for_ever(tmp_path):
    monitor = DivergenceMonitor(tmp_path)
    for _ in range(3):
        for step in range(MAX_SKIPPED_UPDATES - 1):
            monitor.check_gradients(step, "vae", math.inf)
        monitor.check_gradients(MAX_SKIPPED_UPDATES, "vae", 1.0)
    for step in range(MAX_SKIPPED_UPDATES - 1):
        monitor.check_gradients(step, "vae", math.nan)
    with pytest.raises(TrainingError, match="gradients of vae were not finite for 10 updates"):
        monitor.check_gradients(99, "vae", math.nan)


def test_losses_that_grow_far_above_their_least_are_a_divergence(tmp_path):
    monitor = DivergenceMonitor(tmp_path)
    for step in range(2 * WINDOW_STEPS):
        monitor.check_growth(step, {"a": 1.0, "b": -0.5 + step % 2})
    for step in range(WINDOW_STEPS):
        monitor.check_growth(step, {"a": 20.0, "b": 0.0})
    with pytest.raises(TrainingError, match=r"diverges.*there is no checkpoint yet"):
        for step in range(WINDOW_STEPS):
            monitor.check_growth(step, {"a": 1000.0, "b": 0.0})


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_too_little_memory_names_the_setting_to_change(tmp_path, error):
    with (
        pytest.raises(TrainingError, match=r"out of memory; lower options\.frames_per"),
        memory_errors_reported(tmp_path, ("options.frames_per_batch",)),
    ):
        raise error


def test_previews_that_repeat_their_clips_are_told():
    torch.manual_seed(0)
    target = torch.randn(3, 4, 8, 2)
    assert largest_likeness(target, torch.randn(3, 4, 8, 2)) < 0.5
    copied = torch.randn(3, 4, 8, 2)
    copied[1] = target[1] + 0.05 * torch.randn(4, 8, 2)
    likeness = largest_likeness(target, copied)
    assert likeness > 0.97
    with pytest.warns(UserWarning, match="step 7: a preview is nearly the same as its training"):
        assert warn_of_copies(7, likeness)
    assert not warn_of_copies(8, 0.5)


def test_other_errors_pass(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"), memory_errors_reported(tmp_path, ("a",)):
        raise RuntimeError("shapes do not match")
