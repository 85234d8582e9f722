"""States of modules in training: what learns is saved, and older states load."""

import pytest
import torch
from torch import nn

from latentaudio.train.clock import Clock
from latentaudio.train.optim import Ema, build_optimizer, learning_rate
from latentaudio.train.recipe import OptimizerOptions
from latentaudio.train.trainable import Trainable, averaged_weights


class Half(nn.Module):
    """A frozen layer, a layer in training and a buffer."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.norm = nn.BatchNorm1d(3)
        self.out = nn.Linear(3, 2)

    def forward(self, x):
        return self.out(self.norm(self.frozen(x)))


def half(seed=0):
    torch.manual_seed(seed)
    module = Half()
    trainable = Trainable(module, build_optimizer(module, OptimizerOptions()), Ema(module, 0.5))
    module(torch.randn(4, 3)).square().mean().backward()
    trainable.optimizer.step()
    trainable.ema.update(module, 0)
    return trainable


CPU = torch.device("cpu")


def test_a_state_has_what_learns_and_buffers_alone():
    state = half().state_dict()["module"]
    assert not any(name.startswith("frozen") for name in state)
    assert {"out.weight", "norm.weight", "norm.running_mean"} <= state.keys()


def test_a_state_restores_everything_but_frozen_weights():
    first, second = half(0), half(1)
    frozen = second.module.frozen.weight.clone()
    second.load_state_dict(first.state_dict(), CPU)
    torch.testing.assert_close(second.state_dict(), first.state_dict(), rtol=0, atol=0)
    assert torch.equal(second.module.frozen.weight, frozen)


def test_states_of_version_0_1_with_frozen_weights_load():
    first, second = half(0), half(1)
    state = first.state_dict() | {"module": first.module.state_dict()}
    second.load_state_dict(state, CPU)
    assert torch.equal(second.module.frozen.weight, first.module.frozen.weight)


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_other_tensors_are_an_error(change):
    state = half().state_dict()
    if change == "missing":
        del state["module"]["out.bias"]
    else:
        state["module"]["other"] = torch.zeros(2)
    with pytest.raises(ValueError, match="its tensors are not those of the module"):
        half().load_state_dict(state, CPU)


def test_averaged_weights_are_in_place_inside_the_block_alone():
    trainable = half()
    raw = {name: value.clone() for name, value in trainable.module.state_dict().items()}
    with pytest.raises(RuntimeError, match="inside"), averaged_weights({"half": trainable}):
        assert not trainable.module.training
        assert torch.equal(trainable.module.out.weight, trainable.ema.shadow["out.weight"])
        assert not torch.equal(trainable.module.out.weight, raw["out.weight"])
        raise RuntimeError("inside")
    assert trainable.module.training
    torch.testing.assert_close(trainable.module.state_dict(), raw, rtol=0, atol=0)


def test_the_rate_falls_over_the_steps_or_the_time():
    options = OptimizerOptions(lr=1.0, warmup_steps=10, final_lr_frac=0.1, anneal_over="minutes")
    assert learning_rate(5, 1000, options, 0.9) == 0.6  # the warm-up is in steps
    assert learning_rate(20, 1000, options, 1.0) == pytest.approx(0.1)
    assert learning_rate(999, 1000, options, 0.0) == pytest.approx(0.1, abs=1e-4)
    halfway = learning_rate(20, 1000, options, 0.5)
    assert halfway == pytest.approx(0.55)


def test_the_clock_counts_time_before_and_never_shows_less_than_none(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    clock = Clock(max_seconds=100, first_step=0, start=990, seconds_before=50, loop_start=995)
    assert clock.elapsed() == 60
    assert clock.fraction() == 0.6
    assert clock.seconds_per_step(5) == 1
    assert not clock.is_out_of_time(40)
    assert clock.is_out_of_time(41)
    assert clock.seconds_left(1000, 1.0) == 40
    now = 2000.0
    assert clock.seconds_left(1000, 1.0) == 0
    assert clock.fraction() == 1
