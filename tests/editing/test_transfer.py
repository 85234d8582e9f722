"""Transfers and variations: strength sets where sampling starts, seeds reproduce them."""

import numpy as np
import pytest
from clips import QUICK

from latentaudio.audio.ops import limit_peak
from latentaudio.config.registry import MODELS
from latentaudio.editing.edits.transfer import shift_strength
from latentaudio.errors import UsageError


def test_strength_0_returns_the_source_through_the_codec(tiny, source):
    [clip] = tiny.transfer(source, "a dog", strength=0.0, **QUICK)
    gain = tiny.codec.source_gain(source)
    [wave] = tiny.codec.decode(tiny.codec.encode(gain * source, tiny.codec.num_frames(2.0)))
    np.testing.assert_array_equal(clip.samples, limit_peak(wave[:, : source.shape[1]] / gain, 1.0))


def test_strength_1_equals_generation(tiny, source):
    latents = []
    options = {**QUICK, "on_step": lambda step: latents.append(step.z)}
    tiny.transfer(source, "a dog", strength=1.0, **options)
    tiny.generate("a dog", duration=2.0, **options)
    np.testing.assert_array_equal(latents[3].numpy(), latents[7].numpy())


def test_published_models_do_not_shift_the_strength():
    shift = MODELS["audioldm2-full"].strength_shift
    assert [shift_strength(strength, shift) for strength in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]
    assert shift_strength(0.0, 3.0) == 0.0
    assert shift_strength(1.0, 3.0) == 1.0


@pytest.mark.parametrize("sampler", ["dpm++", "ddim"])
def test_more_strength_runs_more_steps_and_changes_more(tiny, source, sampler):
    [reconstructed] = tiny.transfer(source, "a dog", strength=0.0, **QUICK)
    num_steps = []
    differences = []
    # 3 s / (1 + 2 s), the shift of models like mini
    for strength, shifted in ((0.25, 0.5), (0.5, 0.75), (0.75, 0.9), (1.0, 1.0)):
        steps = []
        options = {**QUICK, "steps": 20, "sampler": sampler, "on_step": steps.append}
        [clip] = tiny.transfer(source, "a dog", strength=strength, **options)
        num_steps.append(len(steps))
        assert steps[0].t == round(1000 * shifted) - 1 or strength == 1.0
        assert all(step.t < 1000 * shifted for step in steps)
        assert steps[-1].index == 19
        differences.append(float(np.abs(clip.samples - reconstructed.samples).mean()))
    assert num_steps == sorted(set(num_steps))
    assert num_steps[-1] == 20
    assert differences[0] < differences[-1]


@pytest.mark.parametrize("sampler", ["dpm++", "ddim"])
def test_strengths_differ_at_few_steps(tiny, source, sampler):
    results = []
    for strength in (0.3, 0.4, 0.5, 0.9, 1.0):
        steps = []
        options = {**QUICK, "sampler": sampler, "on_step": steps.append}
        tiny.transfer(source, "a dog", strength=strength, **options)
        results.append((steps[0].t, round(float(steps[-1].z.std()), 6)))
    assert len(set(results)) == 5


def test_a_transfer_needs_a_prompt(tiny, source):
    with pytest.raises(UsageError, match="transfer needs a prompt"):
        tiny.transfer(source, " ", **QUICK)


def test_a_generated_clip_can_be_edited(tiny):
    [clip] = tiny.generate("a dog", duration=1.0, **QUICK)
    [edited] = tiny.vary(clip, strength=0.3, **QUICK)
    assert edited.samples.shape == clip.samples.shape


def test_variations_differ_and_their_seeds_reproduce_them(tiny, source):
    first, second = tiny.vary(source, strength=0.5, num_waveforms=2, **QUICK)
    assert np.abs(first.samples - second.samples).max() > 1e-3
    [again] = tiny.vary(source, strength=0.5, **{**QUICK, "seed": second.seed})
    np.testing.assert_array_equal(again.samples, second.samples)
