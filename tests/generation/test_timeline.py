"""What is heard when: shares of cells, score files, and every wrong line of one."""

import re

import numpy as np
import pytest

from latentaudio.config.options import PromptCue
from latentaudio.errors import DataError, UsageError
from latentaudio.generation.timeline import crop_cues, cue_weights, is_audio, read_timeline, rotate_cues

CELL = 0.04


def test_one_cue_is_heard_all_the_time():
    np.testing.assert_array_equal(
        cue_weights([PromptCue(text="rain")], 1.0, 4.0, 100, CELL), np.ones((1, 100))
    )


def test_cues_of_one_time_part_it_by_their_shares():
    both = cue_weights([PromptCue(text="rain", weight=3), PromptCue(text="wind", weight=1)], 1.0, 4.0, 100, CELL)
    np.testing.assert_allclose(both, np.repeat([[0.75], [0.25]], 100, axis=1))


def test_a_cue_fades_into_the_next_around_its_time():
    first, second = cue_weights([PromptCue(text="a"), PromptCue(text="b", start=2.0)], 1.0, 4.0, 100, CELL)
    middles = (np.arange(100) + 0.5) * CELL
    np.testing.assert_allclose(second, np.clip(middles - 1.5, 0, 1), atol=1e-6)
    np.testing.assert_allclose(first + second, 1.0, atol=1e-6)


def test_over_the_whole_clip_one_becomes_the_other():
    _, second = cue_weights([PromptCue(text="a"), PromptCue(text="b", start=2.0)], 4.0, 4.0, 100, CELL)
    np.testing.assert_allclose(second, (np.arange(100) + 0.5) / 100, atol=1e-6)


@pytest.mark.parametrize("crossfade", [0.0, 0.5, 3.0, 100.0])
def test_shares_add_up_to_one_and_leave_no_cue_out(crossfade):
    cues = [
        PromptCue(text="a"),
        PromptCue(text="b", start=1.0),
        PromptCue(text="c", start=1.0, weight=2),
        PromptCue(text="d", start=1.3),
        PromptCue(text="e", start=3.9),
    ]
    all_of_them = cue_weights(cues, crossfade, 4.0, 100, CELL)
    np.testing.assert_allclose(all_of_them.sum(axis=0), 1.0, atol=1e-6)
    assert (all_of_them >= 0).all() and (all_of_them.max(axis=1) > 0.3).all()


def test_a_score_file_is_cues_and_options(tmp_path):
    file = tmp_path / "score.yaml"
    file.write_text(
        "duration: 12\ncrossfade: 2\ntimeline:\n  - {start: 0, text: light rain}\n"
        "  - {start: 6, text: thunder, weight: 2}\n"
    )
    wishes = read_timeline(file)
    assert wishes == {
        "duration": 12,
        "crossfade": 2,
        "timeline": (PromptCue(text="light rain"), PromptCue(start=6, text="thunder", weight=2)),
    }
    file.write_text("- {start: 0, text: rain}\n- {start: 2, audio_prompt: dog.wav}\n")
    assert read_timeline(file)["timeline"][1].has_audio


@pytest.mark.parametrize(
    ("text", "said"),
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
def test_a_wrong_score_is_one_line(tmp_path, text, said):
    file = tmp_path / "score.yaml"
    file.write_text(text)
    with pytest.raises(DataError if "YAML" in said else UsageError, match=re.escape(said)) as told:
        read_timeline(file)
    assert "\n" not in str(told.value)


def test_a_score_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        read_timeline(tmp_path / "none.yaml")


def test_text_is_a_sound_where_it_names_a_file(tmp_path):
    (tmp_path / "dog.wav").write_bytes(b"")
    assert is_audio(str(tmp_path / "dog.wav")) and is_audio(tmp_path / "none.wav")
    assert not is_audio("a dog barking") and not is_audio("a" * 5000) and not is_audio("\0")


def test_a_sound_goes_on_in_the_next_piece():
    cues = [PromptCue(audio_prompt="a.wav"), PromptCue(start=8.0, audio_prompt="b.wav")]
    assert crop_cues(cues, 5.0, 15.0, 2.0) == [
        PromptCue(audio_prompt="a.wav", audio_prompt_offset=5.0),
        PromptCue(start=3.0, audio_prompt="b.wav"),
    ]
    assert crop_cues(cues, 10.0, 20.0, 2.0) == [
        PromptCue(audio_prompt="b.wav", audio_prompt_offset=3.0)
    ]  # heard since its fade began, at 7 s


def test_turned_by_half_the_ends_of_a_score_meet():
    cues = [PromptCue(text="a"), PromptCue(text="b", start=3.0), PromptCue(text="c", start=7.0)]
    assert [(cue.start, cue.text) for cue in rotate_cues(cues, 5.0, 10.0)] == [
        (0.0, "b"),
        (2.0, "c"),
        (5.0, "a"),
        (8.0, "b"),
    ]


@pytest.mark.parametrize("line", ["3: 4", "colour: red", "transcript: hello", "edit: {}"])
def test_what_stands_beside_a_score_is_an_option(tmp_path, line):
    file = tmp_path / "score.yaml"
    file.write_text(f"{line}\ntimeline:\n- {{start: 0, text: rain}}\n")
    with pytest.raises(UsageError, match="is not an option of timeline files"):
        read_timeline(file)


def test_long_words_are_no_sound():
    assert not is_audio("rain " * 60)
