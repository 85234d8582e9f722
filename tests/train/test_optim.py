"""Averaged weights."""

import pytest
from torch import nn

from latentaudio.train.optim import Ema


@pytest.mark.parametrize("decay", [0.9999, 0.3])
def test_decay_of_averages_rises_as_in_the_original(decay):
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = Ema(module, decay)
    nn.init.ones_(module.weight)
    expected = 0.0
    for num_updates, ramp in enumerate((2 / 11, 3 / 12, 4 / 13, 5 / 14), 1):
        average.update(module, num_updates - 1)
        expected = 1 - (1 - expected) * min(decay, ramp)
        assert average.averaged_state(module)["weight"].item() == pytest.approx(expected)
    average.update(module, 10**9)
    expected = 1 - (1 - expected) * decay
    assert average.averaged_state(module)["weight"].item() == pytest.approx(expected)
