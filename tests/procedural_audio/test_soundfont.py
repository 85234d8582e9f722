"""A soundfont plays the notes: exact pitches, equal samples, and a corpus that names its source.

The soundfont of these tests is written here: one sine that loops, for every key and program 0.
"""

import json
import struct

import numpy as np
import pytest

from procedural_audio import soundfont as module
from procedural_audio.corpus import render_corpus
from procedural_audio.errors import RenderError
from procedural_audio.music import drums, voices
from procedural_audio.soundfont import open_soundfont
from procedural_audio.synth import RenderContext

RATE = 44100
PERIOD = 100  # samples of one period of the sine, so its pitch is 441 Hz


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def bag(*rows):
    return b"".join(struct.pack("<HH", *row) for row in rows)


def write_soundfont(path, banks=(0, 128)):
    """One preset in each bank, made of one looped sample with root key 69."""
    sine = np.round(20000 * np.sin(2 * np.pi * np.arange(20 * PERIOD) / PERIOD)).astype("<i2")
    name = b"sine".ljust(20, b"\0")
    end = b"end".ljust(20, b"\0")
    presets = [
        struct.pack("<20sHHHIII", name, 0, bank, index, 0, 0, 0) for index, bank in enumerate(banks)
    ]
    presets.append(struct.pack("<20sHHHIII", end, 0, 0, len(banks), 0, 0, 0))
    generators = [(41, 0)] * len(banks)  # the instrument
    header = (0, len(sine), PERIOD, 19 * PERIOD, RATE, 69, 0, 0, 1)
    samples = struct.pack("<20sIIIIIBbHH", name, *header)
    samples += struct.pack("<20sIIIIIBbHH", end, *([0] * 9))
    parts = (
        (b"phdr", b"".join(presets)),
        (b"pbag", bag(*[(index, 0) for index in range(len(banks) + 1)])),
        (b"pmod", b"\0" * 10),
        (b"pgen", bag(*generators, (0, 0))),
        (b"inst", struct.pack("<20sH", name, 0) + struct.pack("<20sH", end, 1)),
        (b"ibag", bag((0, 0), (2, 0))),
        (b"imod", b"\0" * 10),
        (b"igen", bag((54, 1), (53, 0), (0, 0))),  # loop, sample
        (b"shdr", samples),
    )
    info = chunk(b"ifil", struct.pack("<HH", 2, 1)) + chunk(b"INAM", b"sine\0\0")
    body = b"sfbk" + chunk(b"LIST", b"INFO" + info)
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", sine.tobytes() + b"\0" * 92))
    body += chunk(b"LIST", b"pdta" + b"".join(chunk(*part) for part in parts))
    path.write_bytes(chunk(b"RIFF", body))
    return path


@pytest.fixture
def soundfont(tmp_path):
    pytest.importorskip("tinysoundfont")
    return open_soundfont(write_soundfont(tmp_path / "sine.sf2"))


def test_a_note_has_the_pitch_of_its_key(soundfont):
    for key in (57, 69, 81):
        note = soundfont.render_note(0, 0, key, 0.9, 1.0, 16000)[:16000]
        spectrum = np.abs(np.fft.rfft(note * np.hanning(len(note))))
        assert spectrum.argmax() == pytest.approx(441 * 2 ** ((key - 69) / 12), rel=0.005)


def test_a_note_does_not_depend_on_the_notes_before_it(soundfont):
    first = soundfont.render_note(0, 0, 60, 0.8, 0.3, 16000)
    soundfont.render_note(0, 0, 72, 1.0, 0.5, 16000)
    module._render_note.cache_clear()
    np.testing.assert_array_equal(soundfont.render_note(0, 0, 60, 0.8, 0.3, 16000), first)


def test_a_corpus_names_the_soundfont_and_the_source_of_each_clip(soundfont, tmp_path):
    for name in ("first", "second"):
        render_corpus(
            tmp_path / name,
            hours=0.001,
            classes=["tone", "bongos"],
            durations=[0.6],
            duration_weights=[1.0],
            num_workers=1,
            soundfont=soundfont.path,
        )
    rows = (tmp_path / "first" / "metadata.jsonl").read_text()
    assert rows == (tmp_path / "second" / "metadata.jsonl").read_text()
    sources = {"tone": "synthesis", "bongos": "soundfont"}
    for row in map(json.loads, rows.splitlines()):
        assert row["sources"] == [sources[kind] for kind in row["kinds"]]
    record = json.loads((tmp_path / "first" / "corpus.json").read_text())["soundfont"]
    assert record["file"] == "sine.sf2" and record["sha256"] == soundfont.sha256
    assert record["player"].startswith("tinysoundfont ")


def test_an_instrument_without_a_soundfont_is_synthesized():
    ctx = RenderContext(np.random.default_rng(1), 16000, 1.0)
    tone = voices.build_instrument("flute", ctx).render_tone(440.0, 0.5, 1.0)
    assert np.abs(tone).max() > 0.1


def test_every_instrument_and_every_drum_has_a_note_of_general_midi():
    assert set(voices.PATCHES) == set(voices.SYNTHESIZED)
    drums_of_styles = {drum for style in drums.STYLES.values() for drum in style.bar}
    assert drums_of_styles <= set(voices.DRUM_KEYS)


def test_a_soundfont_that_cannot_be_played_is_one_clear_line(tmp_path, monkeypatch):
    pytest.importorskip("tinysoundfont")
    with pytest.raises(RenderError, match="is not a file"):
        open_soundfont(tmp_path / "missing.sf2")
    (tmp_path / "text.sf2").write_text("not a soundfont")
    with pytest.raises(RenderError, match="cannot be played"):
        open_soundfont(tmp_path / "text.sf2")


def test_a_missing_player_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(RenderError, match="pip install --no-deps tinysoundfont"):
        open_soundfont(tmp_path / "any.sf2")
