"""Files come back as they went, whole or not at all, whatever the format (oracle: soundfile, the wave module, RFC 3533)."""

import errno
import io
import re
import struct
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from latentaudio.audio import io as sound_io
from latentaudio.audio import metadata as tagging
from latentaudio.audio.io import Audio, encode, info, read, safe_name, write
from latentaudio.config.options import Options
from latentaudio.errors import DataError, UsageError

ENDINGS = [".wav", ".flac", ".ogg", ".mp3", ".opus"]
LONG = {
    "prompt": "колокол \"x\" 'y' 🎉 " + "ж" * 1900,
    "negative": "a\nb",
    "seed": "9223372036854775807",
}


def chirp(samples: int = 16000, channels: int = 1) -> np.ndarray:
    t = np.arange(samples) / 16000
    return np.stack(
        [0.4 * np.sin(2 * np.pi * (300 + 100 * c + 400 * t) * t) for c in range(channels)]
    ).astype(np.float32)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_comes_back(tmp_path, ending, channels):
    sound = chirp(16001, channels)
    path = write(tmp_path / f"clip{ending}", sound, 16000)
    found, rate = read(path, mono=False)
    assert (found.dtype, found.shape, rate) == (np.float32, sound.shape, 16000)
    exact = ending in (".wav", ".flac")
    np.testing.assert_allclose(found[:, 100:-100], sound[:, 100:-100], atol=4e-5 if exact else 0.1)
    assert np.corrcoef(found.ravel(), sound.ravel())[0, 1] > 0.99
    assert np.array_equal(read(path)[0][0], found.mean(axis=0))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("samples", [1, 1151, 8000, 16384])
def test_counts_are_exact(ending, samples):
    frames, _ = soundfile.read(io.BytesIO(encode(chirp(samples), 16000, ending, {"a": "b"})))
    assert len(frames) == samples


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("tags", [{"prompt": "rain", "seed": "7"}, LONG], ids=["short", "long"])
def test_tags_come_back(tmp_path, ending, tags):
    path = write(tmp_path / f"clip{ending}", chirp(5000), 16000, tags)
    found = info(path)
    assert found["tags"] == tags
    assert (found["rate"], found["channels"], found["samples"], found["seconds"]) == (
        16000,
        1,
        5000,
        0.3125,
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_foreign_and_missing_tags(tmp_path, ending):
    assert info(write(tmp_path / f"bare{ending}", chirp(), 16000))["tags"] == {}
    path = tmp_path / f"foreign{ending}"
    container, subtype = sound_io.FORMATS[ending]
    with soundfile.SoundFile(path, "w", 16000, 1, subtype, format=container) as file:
        file.title, file.comment = "a song", "[1, 2]"
        file.write(chirp()[0])
    assert info(path)["tags"] == {"comment": "[1, 2]"}


def test_wav_is_plain_16_bit_pcm_that_anyone_reads(tmp_path):
    path = write(
        tmp_path / "clip.wav", np.array([0.0, 0.5, -1.0, 1.0, 7.0], np.float32), 16000, LONG
    )
    with wave.open(str(path)) as file:
        assert (file.getsampwidth(), file.getnchannels(), file.getframerate()) == (2, 1, 16000)
        found = struct.unpack("<5h", file.readframes(5))
    assert found == pytest.approx([0, 16384, -32768, 32767, 32767], abs=1)


@pytest.mark.parametrize("ending", ENDINGS)
def test_same_sound_same_bytes(ending):
    first = encode(chirp(), 16000, ending, LONG)
    time.sleep(0.01)
    assert encode(chirp(), 16000, ending, LONG) == first


def test_ogg_pages_carry_valid_checksums():
    """Bit-by-bit CRC of RFC 3533: polynomial 0x04c11db7, no inversion, checksum field zero."""
    page = bytearray(
        encode(chirp(2000), 16000, ".ogg")[:58]
    )  # the first page: 28 bytes of header, 30 of identification
    claimed, page[22:26] = bytes(page[22:26]), bytes(4)
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    assert struct.unpack("<I", claimed) == (crc,)


def test_steady_ogg_changes_serial_and_checksum_only():
    buffer = io.BytesIO()
    soundfile.write(buffer, chirp()[0], 16000, format="OGG", subtype="VORBIS")
    before, after = buffer.getvalue(), tagging.steady_ogg(buffer.getvalue())
    starts = [match.start() for match in re.finditer(b"OggS", before)]
    allowed = {start + offset for start in starts for offset in (*range(14, 18), *range(22, 26))}
    assert {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b} <= allowed
    np.testing.assert_array_equal(
        soundfile.read(io.BytesIO(after))[0], soundfile.read(io.BytesIO(before))[0]
    )


def test_read_resamples_and_averages(tmp_path):
    path = write(tmp_path / "clip.wav", chirp(16000, 2), 16000)
    found, rate = read(path, rate=48000)
    assert (found.shape, rate) == ((1, 48000), 48000)
    np.testing.assert_allclose(
        found[0, 300:-300:3], chirp(16000, 2).mean(axis=0)[100:-100], atol=1e-3
    )


def test_audio_saves_its_own_story(tmp_path):
    options = Options(prompt="a bell", seconds=1, seed=7)
    clip = Audio(chirp(), 16000, options, score=0.51234, notes={"licence": "Apache-2.0"})
    assert (clip.seed, clip.seconds) == (7, 1.0)
    tags = info(clip.save(tmp_path / "bell.flac"))["tags"]
    assert Options.from_tags(tags) == options
    assert (tags["made"], tags["score"], tags["licence"]) == (
        "AI generated",
        "0.5123",
        "Apache-2.0",
    )
    assert tags["software"].startswith("latentaudio ")
    assert info(clip.save(tmp_path / "bare.flac", tagged=False))["tags"] == {}
    assert "audio/wav;base64,UklGR" in clip._repr_html_()


def test_unknown_endings_list_the_known():
    for name in ("clip.aiff", "clip"):
        with pytest.raises(UsageError, match=r"end the name in \.wav, \.flac, \.ogg, \.mp3"):
            write(name, chirp(), 16000)


def test_rates_a_format_cannot_hold_name_the_way_out():
    with pytest.raises(UsageError, match=r"MP3 cannot hold 1 channels at 96000 Hz .*; use \.wav"):
        encode(chirp(), 96000, ".mp3")


def test_opus_has_five_rates_and_others_say_that_they_were_resampled(tmp_path):
    for rate in (8000, 12000, 16000, 24000, 48000):
        assert info(write(tmp_path / "x.opus", chirp(), rate, {"a": "b"}))["tags"] == {"a": "b"}
        assert soundfile.info(tmp_path / "x.opus").samplerate == rate
    for tags, said in (({}, ""), ({"derived": "stereo"}, "stereo; ")):
        found = info(write(tmp_path / "x.opus", chirp(22050, 2), 22050, tags))
        assert (found["rate"], found["channels"], found["samples"]) == (48000, 2, 48000)
        assert found["tags"]["derived"] == f"{said}48000 Hz by resampling from 22050 Hz, for Opus"
    with soundfile.SoundFile(tmp_path / "x.opus") as file:
        assert (file.format, file.subtype) == ("OGG", "OPUS")


def test_files_that_are_no_sound(tmp_path):
    (tmp_path / "noise.wav").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "empty.wav").write_bytes(encode(np.zeros((1, 0), np.float32), 16000, ".wav"))
    (tmp_path / "half.flac").write_bytes(encode(chirp(), 16000, ".flac")[:6000] + bytes(99))
    (tmp_path / "listed.txt").write_text("rain\n")
    for name in ("half.flac", "listed.txt"):
        with pytest.raises(DataError, match=r"cannot read .* as sound"):
            read(tmp_path / name)
    for name, line in (
        ("noise.wav", "cannot read .* as sound"),
        ("gone.wav", "no sound file"),
        ("empty.wav", "no samples"),
    ):
        with pytest.raises(DataError, match=line) as refusal:
            read(tmp_path / name)
        assert "\n" not in str(refusal.value)
    with pytest.raises(DataError, match="no sound file"):
        info(tmp_path)


@pytest.mark.parametrize("odd", [b"", b"LIST\3\0\0\0abc\0"])
def test_what_a_wav_promises_is_told_from_what_there_is(odd):
    data = encode(chirp(1000), 16000, ".wav")
    place = data.index(b"data")
    data = data[:place] + odd + data[place:]
    assert tagging.riff_data(io.BytesIO(data)) == (2000, 2000)
    assert tagging.riff_data(io.BytesIO(data[:-500])) == (1500, 2000)
    assert tagging.riff_data(io.BytesIO(data + b"more")) == (2000, 2000)
    assert tagging.riff_data(io.BytesIO(b"no RIFF")) == (0, 0)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("gone/clip.wav", "file/clip.wav"):
        with pytest.raises(DataError, match=r"no folder .*; create it"):
            write(tmp_path / place, chirp(), 16000)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(DataError, match=r"cannot write .*folder.wav \(Is a directory\)"):
        write(tmp_path / "folder.wav", chirp(), 16000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.wav"]


@pytest.mark.parametrize(
    "problem", [OSError(errno.EACCES, "Permission denied"), OSError(errno.ENOSPC, "No space left")]
)
def test_failed_writes_leave_the_old_file_and_nothing_else(tmp_path, monkeypatch, problem):
    path = write(tmp_path / "clip.wav", chirp(), 16000)
    before = path.read_bytes()

    def fail(self: Path, data: bytes) -> None:
        with self.open("wb") as file:
            file.write(data[:10])
        raise problem

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(DataError, match=rf"cannot write .*clip.wav \({problem.strerror}\)"):
        write(path, -chirp(), 16000)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_ctrl_c_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write(tmp_path / "clip.wav", chirp(), 16000)
    before = path.read_bytes()

    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(path, -chirp(), 16000)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a church bell ringing in the distance", "a_church_bell_ringing_in_the_distance"),
        ("../../etc/passwd", "etc_passwd"),
        ('a/b\\c:d*e?f"g<h>i|j\0k\n', "a_b_c_d_e_f_g_h_i_j_k"),
        ("con", "con_"),
        ("Lpt1", "Lpt1_"),
        ("...", "sound"),
        ("--help", "help"),
        ("Колокол, 12-й удар!", "Колокол_12-й_удар"),
    ],
)
def test_safe_names(prompt, name):
    assert safe_name(prompt) == name


@given(st.text())
def test_safe_names_are_short_and_stay_themselves(prompt):
    name = safe_name(prompt)
    assert 0 < len(name.encode()) <= 101
    assert not re.search(r'[\x00-\x1f/\\:*?"<>|. ]', name)
    assert safe_name(name).rstrip("_") == name.rstrip("_")


@pytest.mark.parametrize("ending", [".wav", ".opus"])
def test_tags_that_have_no_room_are_left_out_with_a_line(tmp_path, ending):
    sound = np.full((1, 16000), 0.1, np.float32)
    with pytest.warns(UserWarning, match="no room for tags"):
        write(tmp_path / f"a{ending}", sound, 16000, {"prompt": "a" * 60_000})
    found = info(tmp_path / f"a{ending}")
    assert found["tags"].get("prompt") is None and found["seconds"] == pytest.approx(1.0, abs=0.02)
    write(tmp_path / f"b{ending}", sound, 16000, {"prompt": "a" * 47_000})
    assert len(info(tmp_path / f"b{ending}")["tags"]["prompt"]) == 47_000
