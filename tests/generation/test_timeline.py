"""Weights of cues over time, and timeline files with every error that one can have."""

import re

import numpy as np
import pytest

from latentaudio.config.options import PromptCue
from latentaudio.errors import DataError, UsageError
from latentaudio.generation.timeline import (
    crop_cues,
    cue_weights,
    is_audio,
    read_timeline,
    rotate_cues,
)

FRAME_S = 0.04


def test_one_cue_has_all_the_weight():
    weights = cue_weights([PromptCue(text="rain")], 1.0, 4.0, 100, FRAME_S)
    np.testing.assert_array_equal(weights, np.ones((1, 100)))


def test_cues_with_the_same_start_divide_it_by_weight():
    cues = [PromptCue(text="rain", weight=3), PromptCue(text="wind", weight=1)]
    weights = cue_weights(cues, 1.0, 4.0, 100, FRAME_S)
    np.testing.assert_allclose(weights, np.repeat([[0.75], [0.25]], 100, axis=1))


def test_a_cue_fades_into_the_next_around_its_start():
    cues = [PromptCue(text="a"), PromptCue(text="b", start=2.0)]
    first, second = cue_weights(cues, 1.0, 4.0, 100, FRAME_S)
    centers = (np.arange(100) + 0.5) * FRAME_S
    np.testing.assert_allclose(second, np.clip(centers - 1.5, 0, 1), atol=1e-6)
    np.testing.assert_allclose(first + second, 1.0, atol=1e-6)


def test_a_crossfade_can_fill_the_clip():
    cues = [PromptCue(text="a"), PromptCue(text="b", start=2.0)]
    _, second = cue_weights(cues, 4.0, 4.0, 100, FRAME_S)
    np.testing.assert_allclose(second, (np.arange(100) + 0.5) / 100, atol=1e-6)


@pytest.mark.parametrize("crossfade", [0.0, 0.5, 3.0, 100.0])
def test_weights_add_up_to_one_and_every_cue_has_some(crossfade):
    cues = [
        PromptCue(text="a"),
        PromptCue(text="b", start=1.0),
        PromptCue(text="c", start=1.0, weight=2),
        PromptCue(text="d", start=1.3),
        PromptCue(text="e", start=3.9),
    ]
    weights = cue_weights(cues, crossfade, 4.0, 100, FRAME_S)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, atol=1e-6)
    assert (weights >= 0).all()
    assert (weights.max(axis=1) > 0.3).all()


def test_a_timeline_file_has_cues_and_options(tmp_path):
    file = tmp_path / "timeline.yaml"
    file.write_text(
        "duration: 12\ncrossfade: 2\ntimeline:\n  - {start: 0, text: light rain}\n"
        "  - {start: 6, text: thunder, weight: 2}\n"
    )
    assert read_timeline(file) == {
        "duration": 12,
        "crossfade": 2,
        "timeline": (PromptCue(text="light rain"), PromptCue(start=6, text="thunder", weight=2)),
    }
    file.write_text("- {start: 0, text: rain}\n- {start: 2, audio_prompt: dog.wav}\n")
    assert read_timeline(file)["timeline"][1].has_audio


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no timeline"),
        ("timeline: []", "has no timeline"),
        ("just words", "has no timeline"),
        ("- {start: 0, text: [}", "is not valid YAML"),
        ("- rain", "write it like - {start: 0"),
        ("- {start: -1, text: rain}", "cue 1: start = -1"),
        ("- {start: 0, words: rain}", "cue 1: there is no option 'words'"),
        ("- {start: 0}", "cue 1 is empty"),
        ("- {start: 2, text: rain}\n- {start: 1, text: wind}", "put the cues in order"),
        ("- {start: soon, text: rain}", "cue 1: start = 'soon' must be a number"),
    ],
)
def test_a_wrong_timeline_file_is_an_error_of_one_line(tmp_path, text, message):
    file = tmp_path / "timeline.yaml"
    file.write_text(text)
    error_type = DataError if "YAML" in message else UsageError
    with pytest.raises(error_type, match=re.escape(message)) as error:
        read_timeline(file)
    assert "\n" not in str(error.value)


def test_a_missing_timeline_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        read_timeline(tmp_path / "none.yaml")


def test_text_is_audio_if_it_names_a_file(tmp_path):
    (tmp_path / "dog.wav").write_bytes(b"")
    assert is_audio(str(tmp_path / "dog.wav"))
    assert is_audio(tmp_path / "none.wav")
    for text in ("a dog barking", "a" * 5000, "\0", "rain " * 60):
        assert not is_audio(text)


def test_an_audio_prompt_continues_in_the_next_piece():
    cues = [PromptCue(audio_prompt="a.wav"), PromptCue(start=8.0, audio_prompt="b.wav")]
    assert crop_cues(cues, 5.0, 15.0, 2.0) == [
        PromptCue(audio_prompt="a.wav", audio_prompt_offset=5.0),
        PromptCue(start=3.0, audio_prompt="b.wav"),
    ]
    # the second has been fading in since 7 s
    assert crop_cues(cues, 10.0, 20.0, 2.0) == [
        PromptCue(audio_prompt="b.wav", audio_prompt_offset=3.0)
    ]


def test_the_ends_of_a_rotated_timeline_meet():
    cues = [PromptCue(text="a"), PromptCue(text="b", start=3.0), PromptCue(text="c", start=7.0)]
    assert [(cue.start, cue.text) for cue in rotate_cues(cues, 5.0, 10.0)] == [
        (0.0, "b"),
        (2.0, "c"),
        (5.0, "a"),
        (8.0, "b"),
    ]


@pytest.mark.parametrize("line", ["3: 4", "colour: red", "transcript: hello", "edit: {}"])
def test_other_keys_of_a_timeline_file_are_errors(tmp_path, line):
    file = tmp_path / "timeline.yaml"
    file.write_text(f"{line}\ntimeline:\n- {{start: 0, text: rain}}\n")
    with pytest.raises(UsageError, match="is not an option of timeline files"):
        read_timeline(file)
