"""Transcripts become the ids that the published speech models were trained with."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from latentaudio.conditioning.g2p import (
    END,
    SYMBOLS,
    ascii_text,
    clean_text,
    fits,
    phonemize,
    transcript_to_ids,
)
from latentaudio.errors import UsageError
from procedural_audio.captions.sentences import SENTENCES
from procedural_audio.sources.speech import Speaker, synthesize

IPA = """
0251 0250 0252 00E6 0253 0299 03B2 0254 0255 00E7 0257 0256 00F0 02A4 0259 0258 025A 025B 025C 025D
025E 025F 0284 0261 0260 0262 029B 0266 0267 0127 0265 029C 0268 026A 029D 026D 026C 026B 026E 029F
0271 026F 0270 014B 0273 0272 0274 00F8 0275 0278 03B8 0153 0276 0298 0279 027A 027E 027B 0280 0281
027D 0282 0283 0288 02A7 0289 028A 028B 2C71 028C 0263 0264 028D 03C7 028E 028F 0291 0290 0292 0294
02A1 0295 02A2 01C0 01C1 01C2 01C3 02C8 02CC 02D0 02D1 02BC 02B4 02B0 02B1 02B2 02B7 02E0 02E4 02DE
2193 2191 2192 2197 2198 0027 0329 0027 1D7B
"""


def test_the_symbol_table_is_the_published_one():
    assert len(SYMBOLS) == 183
    assert SYMBOLS[:17] == (
        "_",
        ";",
        ":",
        ",",
        ".",
        "!",
        "?",
        "¡",
        "¿",
        "—",
        "…",
        '"',
        "«",
        "»",
        "“",
        "”",
        " ",
    )
    assert "".join(SYMBOLS[17:69]) == "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert SYMBOLS[69:178] == tuple(chr(int(point, 16)) for point in IPA.split())
    assert SYMBOLS[178:] == ("\u266a", "\u260e", "\u2612", "\u261d", "\u26a0")


@pytest.mark.parametrize(
    ("symbol", "number"),
    [
        ("_", 0),
        (" ", 16),
        ("A", 17),
        ("a", 43),
        ("ɑ", 69),
        ("'", 176),
        ("ᵻ", 177),
        ("♪", 178),
        ("☒", 180),
        (END, 182),
        ("字", 0),
    ],
)
def test_symbols_have_their_published_ids(monkeypatch, symbol, number):
    monkeypatch.setattr("latentaudio.conditioning.g2p.phonemize", lambda text: text)
    assert transcript_to_ids(symbol, 3).tolist() == [[number, 182, 0]]


@pytest.mark.parametrize(
    ("text", "ascii"),
    [
        ("<b>so</b> <i>it is</i>", "so it is"),
        ("“Don’t” – ‘no’ — yes…", "\"Don't\" - 'no' -- yes..."),
        ("¿Qué? ¡Straße, Æther, smørrebrød!", "?Que? !Strasse, AEther, smorrebrod!"),
        (" naïve\tcafé \n½\0 x ", "naive cafe 1/2 x"),
        ("字", ""),
    ],
)
def test_text_becomes_ascii(text, ascii):
    assert ascii_text(text) == ascii


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Dr. Smith and MRS. Jones", "doctor smith and misess jones"),
        (
            "St. Co. Jr. Maj. Gen. Drs. Rev. Lt.",
            "saint company junior major general doctors reverend lieutenant",
        ),
        (
            "Hon. Sgt. Capt. Esq. Ltd. Col. Ft.",
            "honorable sergeant captain esquire limited colonel fort",
        ),
        ("Mr Post, the last.", "mr post, the last."),
    ],
)
def test_abbreviations_are_written_out(text, written):
    assert clean_text(text) == written


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("hello world", "həlˈoʊ wˈɜːld"),
        ("Hello, world!", "həlˈoʊ, wˈɜːld!"),
        ('"Hello": world?!  Hello.', '"həlˈoʊ": wˈɜːld?! həlˈoʊ.'),
        ("(hello) - world", "həlˈoʊ wˈɜːld"),
        ("Mr. World", "mˈɪstɚ wˈɜːld"),
        ("...", "..."),
        ("", ""),
    ],
)
def test_text_becomes_phonemes_and_punctuation_stays(text, spoken):
    assert phonemize(text) == spoken


def test_a_text_of_many_clauses_is_converted_to_its_end():
    assert phonemize("word " * 400) == " ".join(["wˈɜːd"] * 400)


def test_every_phoneme_of_english_has_a_symbol():
    assert not set("".join(phonemize(text) for text in SENTENCES)) - set(SYMBOLS[1:])


def test_ids_end_with_the_end_symbol_and_zeros():
    ids = transcript_to_ids("hello", 12)
    assert ids.dtype == torch.int64
    assert ids.shape == (1, 12)
    assert [SYMBOLS[i] for i in ids[0]] == [*"həlˈoʊ", END, *"_____"]
    assert transcript_to_ids("", 4).tolist() == [[182, 0, 0, 0]]


def test_a_long_transcript_is_cut_and_loses_its_end_symbol():
    assert [SYMBOLS[i] for i in transcript_to_ids("hello", 6)[0]] == [*"həlˈoʊ"]
    assert [SYMBOLS[i] for i in transcript_to_ids("hello", 3)[0]] == [*"həl"]
    assert (fits("hello", 6), fits("hello", 7), fits("", 1)) == (False, True, True)


def test_without_espeak_the_error_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UsageError) as problem:
        transcript_to_ids("hello", 9)
    assert str(problem.value) == "speech needs espeak-ng; pip install espeakng-loader"
    assert transcript_to_ids("", 2).tolist() == [[182, 0]]  # an empty text needs no espeak-ng


def test_phonemes_and_rendered_speech_work_in_one_process():
    speaker = Speaker("en-gb-scotland+f2", 160, 50, 50)
    spoken, first = phonemize("hello world"), synthesize("hello world", speaker, 16000)
    for _ in range(2):
        assert phonemize("hello world") == spoken
        np.testing.assert_array_equal(synthesize("hello world", speaker, 16000), first)


def test_threads_have_no_effect_on_each_other():
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(phonemize, SENTENCES[:40])) == [
            phonemize(text) for text in SENTENCES[:40]
        ]


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("1,000", "one thousand"),
        ("2,500", "two thousand five hundred"),
        ("3.5", "three point five"),
    ],
)
def test_a_comma_or_point_between_digits_belongs_to_the_number(written, spoken):
    # stress and spaces differ
    first, second = (re.sub("[ˈˌ ]", "", phonemize(text)) for text in (written, spoken))
    assert first == second


def test_other_commas_and_points_stay_punctuation():
    assert phonemize("1, 2.") == f"{phonemize('1')}, {phonemize('2')}."
