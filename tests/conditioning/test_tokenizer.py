"""Numbers and notes become one token each; all other text has word pieces."""

import librosa
import pytest

from latentaudio.conditioning.base import EncoderInputs
from latentaudio.conditioning.numbers import NOTE, number_token, number_tokens, replace_numbers
from latentaudio.conditioning.tokenizer import PAD_ID, Tokenizer, build_tokenizer
from latentaudio.errors import WeightsError
from latentaudio.generation.system import MAX_UNREAD_SHARE
from latentaudio.loaders.resolve import ASSETS

A4 = number_token(440)


@pytest.fixture(scope="module")
def rules():
    return build_tokenizer(["dog", "bark", "##ing", "a", "bell", "at", "hz", "note"], 1300)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a bell at 440 Hz", f"a bell at {A4} hz"),
        ("A bell at 440hz.", f"a bell at {A4} hz."),
        ("0.44 kHz", f"{A4} hz"),
        ("tuned to A4", f"tuned to {A4} {NOTE}"),
        ("barks 3 times", "barks [i3] times"),
        ("three dogs, 49 cats", "three dogs, [i49] cats"),
        ("1,200 hz", f"{number_token(1200)} hz"),
        ("2.5 seconds", f"{number_token(2.5)} seconds"),
        ("an mp3 of a v8", "an mp3 of a v8"),
        pytest.param("9" * 400, number_token(float("inf")), id="no float holds it"),
        ("[i3] forged", "(i3) forged"),
        ("", ""),
    ],
)
def test_numbers_and_notes_are_replaced_by_tokens(text, written):
    assert replace_numbers(text) == written


@pytest.mark.parametrize(
    ("note", "name"),
    [("c#5", "C#5"), ("Db5", "Db5"), ("f sharp 3", "F#3"), ("E flat 2", "Eb2"), ("b♭3", "Bb3")],
)
def test_a_note_shares_the_token_of_its_frequency(note, name):
    token = number_token(librosa.note_to_hz(name), exact=False)
    assert replace_numbers(f"on {note} now") == f"on {token} {NOTE} now"


def test_grid_is_within_one_percent_and_monotonic():
    value = number_tokens()
    for number in (0.3, 2.5, 50, 55.5, 441.7, 999, 4186, 16000):
        assert abs(value[number_token(number)] / number - 1) < 0.0075
    assert value[number_token(17.0)] == 17
    grid = [v for k, v in value.items() if k.startswith("[n")]
    assert grid == sorted(grid)


def test_no_text_in_latin_letters_is_unknown(rules):
    row = rules.encode("Zyxqwérty barking & 'dog' (#5)")
    assert "[UNK]" not in row.tokens
    assert row.tokens[0] == "[START]"
    assert row.tokens[-1] == "[END]"
    assert row.tokens[row.tokens.index("bark") :][:2] == ["bark", "##ing"]


def test_rows_are_padded_or_cut_and_keep_their_end_token(rules, tmp_path):
    rules.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(tmp_path / "tokenizer.json", max_length=6)
    ids, mask = tokenizer(["dog", "dog " * 4000, ""])
    end = rules.token_to_id("[END]")
    assert ids.shape == mask.shape == (3, 6)
    assert mask.sum(1).tolist() == [3, 6, 2]
    assert [int(row[n - 1]) for row, n in zip(ids, mask.sum(1), strict=True)] == [end] * 3
    assert (ids[mask == 0] == PAD_ID).all()
    assert tokenizer(["dog"])[0].shape == (1, 3)
    assert tokenizer(["dog"], length=6)[0].shape == (1, 6)


def test_a_note_and_its_frequency_have_the_same_id(rules):
    tokenizer = Tokenizer(rules, 16)
    ids, _ = tokenizer(["bell A4", "bell 440"])
    assert ids[0, 2] == ids[1, 2] == rules.token_to_id(A4)


def test_a_tokenizer_without_number_tokens_gets_the_unchanged_text():
    from tokenizers import Tokenizer as Rules
    from tokenizers import models, pre_tokenizers

    rules = Rules(models.WordLevel({"<unk>": 0, "<pad>": 1, "A4": 2, "440": 3}, unk_token="<unk>"))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    assert Tokenizer(rules, 8)(["A4 440"])[0].tolist() == [[2, 3]]


def test_a_damaged_file_is_an_error(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match="not a readable tokenizer"):
        Tokenizer.from_file(tmp_path / "tokenizer.json", 8)


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        ("a dog barking in the rain", True),
        ("café, naïve – “quoted” xylophone zzzyx", True),
        ("48 kHz, 3 knocks!", True),
        ("", True),
        ("a dog 🐕", True),
        ("下雨的声音", False),
        ("собака лает", False),
        ("كلب ينبح", False),
        ("🔥🔥", False),
        ("ｒａｉｎ", False),
    ],
)
def test_mini_knows_which_prompts_it_cannot_read(text, is_read):
    tokenizer = Tokenizer.from_file(ASSETS / "mini" / "tokenizer.json", 64)
    assert (tokenizer.unread_share(text) <= MAX_UNREAD_SHARE) == is_read


def test_a_prompt_in_unknown_letters_warns_once_in_one_line(tiny):
    inputs = EncoderInputs(("собака лает", "a dog"), num_loa_tokens=8)
    with pytest.warns(UserWarning, match="reads English only.*'собака лает'") as warned:
        tiny._warn_of_unread_texts([inputs, inputs])
    assert len(warned) == 1
