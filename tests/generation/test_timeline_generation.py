"""Clips of timelines and audio prompts, loops, stereo and streams."""

import numpy as np
import pytest

from latentaudio.config.options import GenerationOptions
from latentaudio.errors import UsageError

RATE = 16000
QUICK = {"steps": 2, "seed": 3, "candidates": 1}


@pytest.fixture(scope="module")
def tone():
    t = np.arange(2 * RATE) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)[None]


def test_a_clip_is_as_long_as_its_audio_prompt(tiny, tone):
    [clip] = tiny.generate(audio_prompt=tone[:, :20000], **QUICK)
    assert clip.samples.shape == (1, 20000)
    [again] = tiny.generate(audio_prompt=tone[:, :20000], **QUICK)
    np.testing.assert_array_equal(clip.samples, again.samples)
    [other] = tiny.generate(audio_prompt=tone[:, 300:20300] * 0.1, **QUICK)
    assert np.abs(clip.samples - other.samples).max() > 1e-3
    assert [cue.audio_prompt_mode for cue in clip.options.timeline] == ["loa"]


def test_tags_reproduce_a_timeline(tiny):
    cues = [{"text": "a dog"}, {"text": "rain", "start": 0.5}]
    [clip] = tiny.generate(timeline=cues, duration=1.0, **QUICK)
    request = GenerationOptions.from_tags(clip.tags)
    assert request.timeline == clip.options.timeline
    [again] = tiny.run([request])
    np.testing.assert_array_equal(clip.samples, again.samples)


def test_a_morph_takes_audio_or_text(tiny, tone):
    [clip] = tiny.morph(tone, "a dog", duration=1.0, **QUICK)
    assert clip.duration == 1.0
    assert [cue.has_audio for cue in clip.options.timeline] == [True, False]
    assert clip.options.crossfade == 1.0


@pytest.mark.parametrize(
    ("cues", "message"),
    [
        ([{"text": "a", "start": 1.0}], "let one start at 0"),
        ([{"text": "a"}, {"text": "b", "start": 9.0}], "after the end"),
        ([{"text": ""}], "prompt is empty"),
        ([{"text": "a", "weight": 0}], "weight"),
        ([{"text": "a", "audio_prompt_weight": 2}], "weight"),
        ([{"text": "a" * 3000}], "text"),
    ],
)
def test_wrong_cues_are_errors_of_one_line(tiny, cues, message):
    with pytest.raises(UsageError, match=message) as error:
        tiny.generate(timeline=cues, duration=2.0, **QUICK)
    assert "\n" not in str(error.value)


def test_the_ends_of_a_loop_meet(tiny, monkeypatch):
    decode = tiny.codec.decode
    monkeypatch.setattr(tiny.codec, "decode", lambda z: [0.2 * wave for wave in decode(z)])
    [clip] = tiny.generate("a dog", duration=2.0, loop_seam=0.5, **QUICK)
    steps = np.abs(np.diff(np.concatenate([clip.samples[0], clip.samples[0, :1]])))
    assert clip.samples.shape == (1, 2 * RATE)
    assert steps[-1] <= np.median(steps)
    with pytest.raises(UsageError, match="loop_seam = 1 s; set above"):
        tiny.generate("a dog", duration=1.0, loop_seam=1.0, **QUICK)


def test_second_passes_have_the_conditions_of_the_clip(tiny, tone):
    [clip] = tiny.generate(audio_prompt=tone, stereo_width=0.5, **QUICK)  # without text
    assert clip.samples.shape[0] == 2
    [clip] = tiny.inpaint(tone, time_ranges=[(0.5, 1.0)], stereo_width=0.5, **QUICK)
    assert clip.samples.shape[0] == 2
    cues = [
        {"text": "a dog " * 150},
        {"text": "rain " * 180, "start": 0.7},
        {"text": "a bell " * 128, "start": 1.4},
    ]
    options = {"duration": 2.0, "stereo_width": 0.5, "loop_seam": 0.5, **QUICK}
    with pytest.warns(UserWarning, match="uses only its beginning"):
        [clip] = tiny.generate(timeline=cues, **options)
    assert clip.samples.shape == (2, 2 * RATE)


@pytest.mark.parametrize(
    "option",
    [{"num_waveforms": 2}, {"sample_rate": 8000}, {"stereo_width": 0.5}, {"sampler": "distilled"}],
)
def test_streams_reject_options_of_whole_clips(tiny, option):
    with pytest.raises(UsageError, match=r"leave it out|choose dpm"):
        tiny.generate_stream("a dog", duration=1.0, **option)
