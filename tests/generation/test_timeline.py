"""What is heard when: shares of cells, score files, and every wrong line of one."""

import re

import numpy as np
import pytest

from latentaudio.config.options import Cue
from latentaudio.errors import DataError, UsageError
from latentaudio.generation.timeline import is_sound, read_score, shares, turned, within

CELL = 0.04


def test_one_cue_is_heard_all_the_time():
    np.testing.assert_array_equal(
        shares([Cue(text="rain")], 1.0, 4.0, 100, CELL), np.ones((1, 100))
    )


def test_cues_of_one_time_part_it_by_their_shares():
    both = shares([Cue(text="rain", share=3), Cue(text="wind", share=1)], 1.0, 4.0, 100, CELL)
    np.testing.assert_allclose(both, np.repeat([[0.75], [0.25]], 100, axis=1))


def test_a_cue_fades_into_the_next_around_its_time():
    first, second = shares([Cue(text="a"), Cue(text="b", at=2.0)], 1.0, 4.0, 100, CELL)
    middles = (np.arange(100) + 0.5) * CELL
    np.testing.assert_allclose(second, np.clip(middles - 1.5, 0, 1), atol=1e-6)
    np.testing.assert_allclose(first + second, 1.0, atol=1e-6)


def test_over_the_whole_clip_one_becomes_the_other():
    _, second = shares([Cue(text="a"), Cue(text="b", at=2.0)], 4.0, 4.0, 100, CELL)
    np.testing.assert_allclose(second, (np.arange(100) + 0.5) / 100, atol=1e-6)


@pytest.mark.parametrize("crossfade", [0.0, 0.5, 3.0, 100.0])
def test_shares_add_up_to_one_and_leave_no_cue_out(crossfade):
    cues = [
        Cue(text="a"),
        Cue(text="b", at=1.0),
        Cue(text="c", at=1.0, share=2),
        Cue(text="d", at=1.3),
        Cue(text="e", at=3.9),
    ]
    all_of_them = shares(cues, crossfade, 4.0, 100, CELL)
    np.testing.assert_allclose(all_of_them.sum(axis=0), 1.0, atol=1e-6)
    assert (all_of_them >= 0).all() and (all_of_them.max(axis=1) > 0.3).all()


def test_a_score_file_is_cues_and_options(tmp_path):
    file = tmp_path / "score.yaml"
    file.write_text(
        "seconds: 12\ncrossfade: 2\nscore:\n  - {at: 0, text: light rain}\n  - {at: 6, text: thunder, share: 2}\n"
    )
    wishes = read_score(file)
    assert wishes == {
        "seconds": 12,
        "crossfade": 2,
        "cues": (Cue(text="light rain"), Cue(at=6, text="thunder", share=2)),
    }
    file.write_text("- {at: 0, text: rain}\n- {at: 2, sound: dog.wav}\n")
    assert read_score(file)["cues"][1].sounding


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no score"),
        ("score: []", "holds no score"),
        ("just words", "holds no score"),
        ("- {at: 0, text: [}", "is no YAML"),
        ("- rain", "write it as {at: 0"),
        ("- {at: -1, text: rain}", "cue 1: at = -1"),
        ("- {at: 0, words: rain}", "cue 1: there is no option 'words'"),
        ("- {at: 0}", "cue 1 says nothing"),
        ("- {at: 2, text: rain}\n- {at: 1, text: wind}", "put them in order"),
        ("- {at: soon, text: rain}", "cue 1: at = 'soon' must be a number"),
    ],
)
def test_a_wrong_score_is_one_line(tmp_path, text, said):
    file = tmp_path / "score.yaml"
    file.write_text(text)
    with pytest.raises(DataError if "YAML" in said else UsageError, match=re.escape(said)) as told:
        read_score(file)
    assert "\n" not in str(told.value)


def test_a_score_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        read_score(tmp_path / "none.yaml")


def test_text_is_a_sound_where_it_names_a_file(tmp_path):
    (tmp_path / "dog.wav").write_bytes(b"")
    assert is_sound(str(tmp_path / "dog.wav")) and is_sound(tmp_path / "none.wav")
    assert not is_sound("a dog barking") and not is_sound("a" * 5000) and not is_sound("\0")


def test_a_sound_goes_on_in_the_next_piece():
    cues = [Cue(sound="a.wav"), Cue(at=8.0, sound="b.wav")]
    assert within(cues, 5.0, 15.0, 2.0) == [
        Cue(sound="a.wav", since=5.0),
        Cue(at=3.0, sound="b.wav"),
    ]
    assert within(cues, 10.0, 20.0, 2.0) == [
        Cue(sound="b.wav", since=3.0)
    ]  # heard since its fade began, at 7 s


def test_turned_by_half_the_ends_of_a_score_meet():
    cues = [Cue(text="a"), Cue(text="b", at=3.0), Cue(text="c", at=7.0)]
    assert [(cue.at, cue.text) for cue in turned(cues, 5.0, 10.0)] == [
        (0.0, "b"),
        (2.0, "c"),
        (5.0, "a"),
        (8.0, "b"),
    ]


@pytest.mark.parametrize("line", ["3: 4", "colour: red", "cues: []", "edit: {}"])
def test_what_stands_beside_a_score_is_an_option(tmp_path, line):
    file = tmp_path / "score.yaml"
    file.write_text(f"{line}\nscore:\n- {{at: 0, text: rain}}\n")
    with pytest.raises(UsageError, match="is no option that stands beside a score"):
        read_score(file)


def test_long_words_are_no_sound():
    assert not is_sound("rain " * 60)
