"""Audio files of every format: round trips, tags, atomic writes.

Oracles: soundfile, wave, RFC 3533.
"""

import base64
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
from PIL import Image

from latentaudio.audio import containers
from latentaudio.audio.encoding import encode
from latentaudio.audio.io import Audio, info, read, safe_name, write
from latentaudio.audio.plot import plot_image
from latentaudio.config.audio_formats import FORMATS
from latentaudio.config.edits import InpaintOptions, VaryOptions
from latentaudio.config.options import GenerationOptions, PromptCue
from latentaudio.errors import DataError, UsageError

EXTENSIONS = list(FORMATS)
LONG_TAG_CHARS = 15_000
WITH_LONG_TAGS = [
    name for name, row in FORMATS.items() if (row.max_tag_chars or LONG_TAG_CHARS) >= LONG_TAG_CHARS
]
LONG = {
    "prompt": "колокол \"x\" 'y' 🎉 " + "ж" * 1900,
    "negative_prompt": "a\nb",
    "seed": "9223372036854775807",
}


def chirp(samples: int = 16000, channels: int = 1) -> np.ndarray:
    t = np.arange(samples) / 16000
    return np.stack(
        [0.4 * np.sin(2 * np.pi * (300 + 100 * c + 400 * t) * t) for c in range(channels)]
    ).astype(np.float32)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_survive_a_round_trip(tmp_path, extension, channels):
    sound = chirp(16001, channels)
    path = write(tmp_path / f"clip{extension}", sound, 16000)
    found, rate = read(path, mono=False)
    assert (found.dtype, found.shape, rate) == (np.float32, sound.shape, 16000)
    exact = extension in (".wav", ".flac", ".aiff")
    np.testing.assert_allclose(found[:, 100:-100], sound[:, 100:-100], atol=4e-5 if exact else 0.1)
    assert np.corrcoef(found.ravel(), sound.ravel())[0, 1] > 0.99
    assert np.array_equal(read(path)[0][0], found.mean(axis=0))


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("samples", [1, 1151, 8000, 16384])
def test_number_of_samples_is_exact(extension, samples):
    frames, _ = soundfile.read(io.BytesIO(encode(chirp(samples), 16000, extension, {"a": "b"})))
    assert len(frames) == samples


@pytest.mark.parametrize(
    ("extension", "tags"),
    [
        *((name, {"prompt": "rain", "seed": "7"}) for name in EXTENSIONS),
        *((name, LONG) for name in WITH_LONG_TAGS),
    ],
)
def test_tags_survive_a_round_trip(tmp_path, extension, tags):
    path = write(tmp_path / f"clip{extension}", chirp(5000), 16000, tags)
    found = info(path)
    assert found["tags"] == tags
    assert (found["sample_rate"], found["channels"]) == (16000, 1)
    assert (found["samples"], found["duration"]) == (5000, 0.3125)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_tags_of_other_programs_and_missing_tags(tmp_path, extension):
    assert info(write(tmp_path / f"bare{extension}", chirp(), 16000))["tags"] == {}
    path = tmp_path / f"foreign{extension}"
    row = FORMATS[extension]
    with soundfile.SoundFile(path, "w", 16000, 1, row.subtypes[0], format=row.container) as file:
        file.title, file.comment = "a song", "[1, 2]"
        file.write(chirp()[0])
    assert info(path)["tags"] == {"comment": "[1, 2]"}


def test_wav_is_16_bit_pcm(tmp_path):
    path = write(
        tmp_path / "clip.wav", np.array([0.0, 0.5, -1.0, 1.0, 7.0], np.float32), 16000, LONG
    )
    with wave.open(str(path)) as file:
        assert (file.getsampwidth(), file.getnchannels(), file.getframerate()) == (2, 1, 16000)
        found = struct.unpack("<5h", file.readframes(5))
    assert found == pytest.approx([0, 16384, -32768, 32767, 32767], abs=1)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_equal_samples_and_tags_give_equal_bytes(extension):
    tags = LONG if extension in WITH_LONG_TAGS else {"prompt": "rain"}
    first = encode(chirp(), 16000, extension, tags)
    time.sleep(0.01)
    assert encode(chirp(), 16000, extension, tags) == first


def test_ogg_pages_have_valid_checksums():
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


def test_deterministic_ogg_changes_serial_and_checksum_only():
    buffer = io.BytesIO()
    soundfile.write(buffer, chirp()[0], 16000, format="OGG", subtype="VORBIS")
    before, after = buffer.getvalue(), containers.deterministic_ogg(buffer.getvalue())
    starts = [match.start() for match in re.finditer(b"OggS", before)]
    allowed = {start + offset for start in starts for offset in (*range(14, 18), *range(22, 26))}
    assert {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b} <= allowed
    np.testing.assert_array_equal(
        soundfile.read(io.BytesIO(after))[0], soundfile.read(io.BytesIO(before))[0]
    )


def test_read_resamples_and_averages(tmp_path):
    path = write(tmp_path / "clip.wav", chirp(16000, 2), 16000)
    found, rate = read(path, sample_rate=48000)
    assert (found.shape, rate) == ((1, 48000), 48000)
    np.testing.assert_allclose(
        found[0, 300:-300:3], chirp(16000, 2).mean(axis=0)[100:-100], atol=1e-3
    )


def test_a_saved_clip_carries_its_request_and_tags(tmp_path):
    options = GenerationOptions(prompt="a bell", duration=1, seed=7)
    clip = Audio(chirp(), 16000, options, score=0.51234, extra_tags={"license": "Apache-2.0"})
    assert (clip.seed, clip.duration) == (7, 1.0)
    tags = info(clip.save(tmp_path / "bell.flac"))["tags"]
    assert GenerationOptions.from_tags(tags) == options
    assert (tags["made"], tags["score"], tags["license"]) == (
        "AI generated",
        "0.5123",
        "Apache-2.0",
    )
    assert tags["software"].startswith("latentaudio ")
    assert info(clip.save(tmp_path / "bare.flac", with_tags=False))["tags"] == {}


def test_a_clip_plays_and_shows_its_spectrogram_in_a_notebook():
    clip = Audio(chirp(channels=2), 16000, GenerationOptions(prompt='a <bell> & "rain"'))
    page = clip._repr_html_()
    sound = re.search(r'<audio controls src="data:audio/wav;base64,([^"]+)">', page)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound[1])))
    assert rate == 16000
    np.testing.assert_allclose(samples.T, clip.samples, atol=4e-5)
    image = re.search(r'<img alt="spectrogram" src="data:image/png;base64,([^"]+)"', page)
    with Image.open(io.BytesIO(base64.b64decode(image[1]))) as found:
        assert np.array_equal(np.asarray(found), np.asarray(plot_image(clip.samples, 16000)))
    assert 'title="a &lt;bell&gt; &amp; &quot;rain&quot;"' in page


def test_unknown_extension_lists_the_known_ones():
    for name in ("clip.xyz", "clip"):
        with pytest.raises(UsageError, match=r"end the name in \.wav, \.flac, \.ogg, \.mp3"):
            write(name, chirp(), 16000)


def test_a_rate_that_a_format_lacks_is_an_error():
    with pytest.raises(UsageError, match=r"MP3 cannot hold 1 channels at 96000 Hz .*; use \.wav"):
        encode(chirp(), 96000, ".mp3")


def test_opus_resamples_rates_it_lacks_and_tags_it(tmp_path):
    for rate in (8000, 12000, 16000, 24000, 48000):
        assert info(write(tmp_path / "x.opus", chirp(), rate, {"a": "b"}))["tags"] == {"a": "b"}
        assert soundfile.info(tmp_path / "x.opus").samplerate == rate
    for tags, said in (({}, ""), ({"derived": "stereo"}, "stereo; ")):
        found = info(write(tmp_path / "x.opus", chirp(22050, 2), 22050, tags))
        assert (found["sample_rate"], found["channels"], found["samples"]) == (48000, 2, 48000)
        assert found["tags"]["derived"] == f"{said}48000 Hz by resampling from 22050 Hz, for Opus"
    with soundfile.SoundFile(tmp_path / "x.opus") as file:
        assert (file.format, file.subtype) == ("OGG", "OPUS")


def test_files_that_are_not_audio(tmp_path):
    (tmp_path / "noise.wav").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "empty.wav").write_bytes(encode(np.zeros((1, 0), np.float32), 16000, ".wav"))
    (tmp_path / "half.flac").write_bytes(encode(chirp(), 16000, ".flac")[:6000] + bytes(99))
    (tmp_path / "listed.txt").write_text("rain\n")
    for name in ("half.flac", "listed.txt"):
        with pytest.raises(DataError, match=r"cannot read .* as audio"):
            read(tmp_path / name)
    for name, line in (
        ("noise.wav", "cannot read .* as audio"),
        ("gone.wav", "no audio file"),
        ("empty.wav", "no samples"),
    ):
        with pytest.raises(DataError, match=line) as refusal:
            read(tmp_path / name)
        assert "\n" not in str(refusal.value)
    with pytest.raises(DataError, match="no audio file"):
        info(tmp_path)


@pytest.mark.parametrize("odd", [b"", b"LIST\3\0\0\0abc\0"])
def test_truncated_wav_data_is_measured(odd):
    data = encode(chirp(1000), 16000, ".wav")
    place = data.index(b"data")
    data = data[:place] + odd + data[place:]
    assert containers.data_sizes(io.BytesIO(data)) == (2000, 2000)
    assert containers.data_sizes(io.BytesIO(data[:-500])) == (1500, 2000)
    assert containers.data_sizes(io.BytesIO(data + b"more")) == (2000, 2000)
    assert containers.data_sizes(io.BytesIO(b"no RIFF")) == (0, 0)


def test_unwritable_targets(tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("gone/clip.wav", "file/clip.wav"):
        with pytest.raises(DataError, match=r"no folder .*; create it"):
            write(tmp_path / place, chirp(), 16000)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(DataError, match=r"cannot write .*folder.wav \(Is a directory\)"):
        write(tmp_path / "folder.wav", chirp(), 16000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.wav"]


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "Permission denied"), OSError(errno.ENOSPC, "No space left")]
)
def test_failed_writes_leave_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = write(tmp_path / "clip.wav", chirp(), 16000)
    before = path.read_bytes()

    def fail(self: Path, data: bytes) -> None:
        with self.open("wb") as file:
            file.write(data[:10])
        raise error

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(DataError, match=rf"cannot write .*clip.wav \({error.strerror}\)"):
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
def test_safe_names_are_short_and_stable(prompt):
    name = safe_name(prompt)
    assert 0 < len(name.encode()) <= 101
    assert not re.search(r'[\x00-\x1f/\\:*?"<>|. ]', name)
    assert safe_name(name).rstrip("_") == name.rstrip("_")


@pytest.mark.parametrize("extension", [".wav", ".opus", ".aiff"])
def test_tags_that_are_too_long_are_left_out_with_a_warning(tmp_path, extension):
    sound = np.full((1, 16000), 0.1, np.float32)
    with pytest.warns(UserWarning, match="they are left out, use .flac, .ogg, .mp3"):
        write(tmp_path / f"a{extension}", sound, 16000, {"prompt": "a" * 60_000})
    found = info(tmp_path / f"a{extension}")
    assert found["tags"].get("prompt") is None and found["duration"] == pytest.approx(1.0, abs=0.02)
    longest = FORMATS[extension].max_tag_chars - 1000
    write(tmp_path / f"b{extension}", sound, 16000, {"prompt": "a" * longest})
    assert len(info(tmp_path / f"b{extension}")["tags"]["prompt"]) == longest


@pytest.mark.parametrize("kind", ["source", "mask", "audio prompt", "link"])
def test_saving_never_replaces_what_the_clip_was_made_from(tmp_path, kind):
    file = tmp_path / "mine.wav"
    file.write_bytes(b"mine")
    (tmp_path / "link.wav").symlink_to(file)
    options = {
        "source": GenerationOptions(prompt="a", edit=VaryOptions(source_path=str(file))),
        "link": GenerationOptions(prompt="a", edit=VaryOptions(source_path=str(file))),
        "mask": GenerationOptions(prompt="a", edit=InpaintOptions(mask=str(file))),
        "audio prompt": GenerationOptions(prompt="", timeline=(PromptCue(audio_prompt=str(file)),)),
    }[kind]
    drawn = InpaintOptions(source_path=str(file), mask="data:image/png;base64," + "A" * 5000)
    assert GenerationOptions(prompt="a", edit=drawn).input_files == [str(file)]
    clip = Audio(np.zeros((1, 8), np.float32), 16000, options)
    with pytest.raises(UsageError, match="is a file that the clip was made from"):
        clip.save(tmp_path / "link.wav" if kind == "link" else file)
    assert file.read_bytes() == b"mine"


def test_saving_replaces_other_files_as_open_does(tmp_path, monkeypatch):
    clip = Audio(np.zeros((1, 8), np.float32), 16000, GenerationOptions(prompt="a"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert clip.save("~/bell.wav") == tmp_path / "bell.wav"
    assert info("~/bell.wav")["samples"] == read("~/bell.wav")[0].shape[1] == 8
    monkeypatch.chdir(tmp_path)
    assert clip.save("~nobody.wav").is_file()
    (tmp_path / "bell.wav").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"bell\.wav exists"):
        clip.save(tmp_path / "bell.wav", overwrite=False)
    assert (tmp_path / "bell.wav").read_bytes() == b"mine"
    clip.save(tmp_path / "bell.wav")
    assert info(tmp_path / "bell.wav")["tags"]["prompt"] == "a"
