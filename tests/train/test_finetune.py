"""`train.finetune`: clips of sounds that a model knows, and the command that is printed."""

import shlex

import numpy as np
import pytest
import soundfile

from latentaudio.data.manifest import read_manifest
from latentaudio.train.finetune import (
    OLD_CLIPS_SEED,
    example_command,
    make_old_clips,
    old_prompts,
    prepare,
)

RATE = 16000
CAPTION = 'the "door" isn\'t $HOME'


@pytest.fixture
def plan_for(tmp_path):
    """Return the plan of a fine-tuning of a model, with four old clips."""
    data = tmp_path / "data"
    data.mkdir()
    noise = np.random.default_rng(0).normal(scale=0.1, size=RATE)
    soundfile.write(data / "door.wav", noise, RATE)
    (data / "door.txt").write_text(CAPTION)

    def plan(model="audioldm2-full"):
        return prepare([str(data)], tmp_path / "my runs" / "door", model, num_old_clips=4)

    return plan


class Generator:
    """Makes noise of each seed; it is stopped before a clip."""

    def __init__(self, stops_at=None):
        self.calls = []
        self.stops_at = stops_at

    def __call__(self, prompts, duration, seed):
        self.calls.append((list(prompts), seed))
        for index in range(len(prompts)):
            if seed + index - OLD_CLIPS_SEED == self.stops_at:
                raise KeyboardInterrupt
            noise = np.random.default_rng(seed + index).normal(scale=0.1, size=(1, RATE))
            yield noise.astype(np.float32), RATE


def test_old_clips_of_a_stopped_command_are_kept(plan_for):
    plan = plan_for()
    prompts = old_prompts(4)
    with pytest.raises(KeyboardInterrupt):
        make_old_clips(plan, Generator(stops_at=3))
    assert not plan.old_clips.exists()
    generator = Generator()
    ticks = []
    make_old_clips(plan, generator, lambda *tick: ticks.append(tick))
    assert generator.calls == [(prompts[3:], OLD_CLIPS_SEED + 3)]
    assert ticks == [(4, 4)]
    clips = read_manifest(plan.old_clips)
    assert [clip.captions for clip in clips] == [(prompt,) for prompt in prompts]
    for index, clip in enumerate(clips):
        expected = np.random.default_rng(OLD_CLIPS_SEED + index).normal(scale=0.1, size=RATE)
        samples, _ = soundfile.read(clip.path)
        np.testing.assert_allclose(samples, expected, atol=1e-4)
    make_old_clips(plan, None)  # they are there
    assert [path.name for path in plan.old_clips.parent.iterdir()] == ["old_clips"]


def test_old_clips_of_another_model_are_not_used(plan_for):
    with pytest.raises(KeyboardInterrupt):
        make_old_clips(plan_for(), Generator(stops_at=2))
    plan = plan_for("audioldm-s-full")
    generator = Generator()
    make_old_clips(plan, generator)
    assert generator.calls == [(old_prompts(4), OLD_CLIPS_SEED)]
    assert [path.name for path in plan.old_clips.parent.iterdir()] == ["old_clips"]


def test_the_printed_command_is_quoted_for_a_shell(plan_for, tmp_path):
    output = tmp_path / "my runs" / "door"
    command = example_command(plan_for(), output, output / "adapter.safetensors")
    expected = ["latentaudio", "generate", CAPTION, "--adapter", str(output)]
    assert shlex.split(command) == expected
    output.mkdir(parents=True)
    assert shlex.split(example_command(plan_for(), output, output))[3] == "--model"
