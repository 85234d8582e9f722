"""Encoding of files: rounding, subtypes, dither, titles, and loops. Oracles: soundfile, wave."""

import io
import struct
import wave

import numpy as np
import pytest
import soundfile

from latentaudio.audio import encoding
from latentaudio.audio.encoding import encode
from latentaudio.audio.io import Audio, info
from latentaudio.audio.loudness import true_peaks
from latentaudio.audio.ops import resample_loop
from latentaudio.audio.postprocess import postprocess
from latentaudio.config.audio_formats import FORMATS
from latentaudio.config.edits import LoopOptions
from latentaudio.config.options import GenerationOptions
from latentaudio.errors import UsageError

PCM = [
    (extension, subtype, bits)
    for extension, row in FORMATS.items()
    for subtype, bits in (("PCM_16", 16), ("PCM_24", 24))
    if subtype in row.subtypes
]
SUBTYPES = [(extension, name) for extension, row in FORMATS.items() for name in row.subtypes]
RATE = 16000


def decoded(data):
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float64", always_2d=True)
    return samples.T


@pytest.mark.parametrize(("extension", "subtype", "bits"), PCM)
def test_every_whole_number_format_rounds_to_the_nearest_step(extension, subtype, bits):
    full_scale = 2 ** (bits - 1)
    steps = np.array([-1.0, -0.6, -0.4, 0.0, 0.4, 0.6, 1.0, 2.5, 3.5], np.float32)
    samples = np.concatenate([steps / full_scale, [-1.5, 1.5]]).astype(np.float32)
    expected = [-1, -1, 0, 0, 0, 1, 1, 2, 4, -full_scale, full_scale - 1]
    found = decoded(encode(samples, RATE, extension, subtype=subtype))[0] * full_scale
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("extension", [row for row, name, _ in PCM if name == "PCM_16"])
def test_silence_stays_silence(extension):
    assert not decoded(encode(np.zeros(100, np.float32), RATE, extension)).any()


@pytest.mark.parametrize(("extension", "subtype"), SUBTYPES)
def test_every_subtype_is_written(tmp_path, extension, subtype):
    samples = 0.1 * np.random.default_rng(0).standard_normal((1, 4000)).astype(np.float32)
    path = tmp_path / f"clip{extension}"
    path.write_bytes(encode(samples, RATE, extension, {"prompt": "rain"}, subtype=subtype.lower()))
    facts = info(path)
    assert facts["subtype"] == subtype
    assert facts["tags"] == {"prompt": "rain"}


def test_a_format_without_the_subtype_names_those_that_it_has():
    with pytest.raises(
        UsageError, match=r"\.flac has no subtype FLOAT; choose from PCM_16, PCM_24"
    ):
        encode(np.zeros(10, np.float32), RATE, ".flac", subtype="FLOAT")


def test_dither_keeps_the_mean_of_a_sound_below_one_step():
    quiet = np.full(40_000, 0.25 / 2**15, np.float32)
    found = decoded(encode(quiet, RATE, ".wav", dither=True))[0] * 2**15
    assert set(np.unique(found)) <= {-1.0, 0.0, 1.0}
    assert found.mean() == pytest.approx(0.25, abs=0.01)
    assert encode(quiet, RATE, ".wav", dither=True) == encode(quiet, RATE, ".wav", dither=True)


@pytest.mark.parametrize("extension", FORMATS)
def test_the_prompt_is_the_title_that_players_show(extension):
    data = encode(np.zeros(4000, np.float32), RATE, extension, {"prompt": "a dog\nbarking"})
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert file.title == "a dog barking"


def loop_options(**values):
    edit = LoopOptions(loop_seam=0.2, source_path="x.wav", source_sha256="0" * 64)
    return GenerationOptions(prompt="a", duration=1.0, edit=edit, **values)


def circle(length=RATE):
    """A sound whose end goes on at its beginning, but does not begin or end with 0."""
    t = np.arange(length) / length
    tone = 0.5 * np.cos(2 * np.pi * 700 * t) + 0.3 * np.cos(2 * np.pi * 3001 * t + 1)
    return tone[None].astype(np.float32)


def step_at_seam(samples):
    """The largest second difference across the wrap, in units of the largest elsewhere."""
    around = np.abs(np.diff(np.concatenate([samples, samples], axis=-1), n=2, axis=-1))
    length = samples.shape[-1]
    return around[..., length - 4 : length + 2].max() / around[..., 100 : length - 100].max()


CHANGES = {
    "nothing": {},
    "48 kHz": {"sample_rate": 48000},
    "44.1 kHz": {"sample_rate": 44100},
    "true peak": {"true_peak": -12.0},
    "loudness and 48 kHz": {"sample_rate": 48000, "lufs": -16.0},
    "stereo": {"stereo_width": 0.8},
    "stereo at 44.1 kHz, limited": {"stereo_width": 0.8, "sample_rate": 44100, "true_peak": -9.0},
}


@pytest.mark.parametrize("values", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("extension", [".wav", ".flac"])
def test_a_loop_has_no_step_at_its_seam_in_the_file(values, extension):
    options = loop_options(**values)
    side = np.roll(circle(), 4001, axis=-1) if options.stereo_width else None
    samples, rate, _ = postprocess(circle(), RATE, options, side)
    found = decoded(encode(samples, rate, extension, is_loop=True))
    assert found.shape[-1] == rate
    assert step_at_seam(found) < 1.05


def test_a_loop_is_resampled_alike_from_every_beginning():
    noise = 0.1 * np.random.default_rng(1).standard_normal((1, 2205)).astype(np.float32)
    turned = resample_loop(np.roll(noise, 700, axis=-1), 22050, 44100)
    np.testing.assert_allclose(
        turned, np.roll(resample_loop(noise, 22050, 44100), 1400, axis=-1), atol=1e-6
    )


def test_opus_resamples_a_loop_as_a_loop(tmp_path, monkeypatch):
    rate = 22050
    clip = Audio(circle(rate), rate, loop_options())
    with soundfile.SoundFile(clip.save(tmp_path / "loop.opus")) as file:
        assert (file.samplerate, file.frames) == (48000, 48000)
    written = []
    monkeypatch.setattr(encoding, "resample_loop", lambda *_: written.append(_) or circle(48000))
    clip.save(tmp_path / "again.opus")
    assert [call[1:] for call in written] == [(rate, 48000)]


def test_the_limiter_of_a_loop_turns_down_beyond_the_seam():
    samples = 0.2 * circle()
    samples[:, :3] = 0.9
    limited, _, _ = postprocess(samples, RATE, loop_options(true_peak=-6.0))
    gain = limited[0] / samples[0]
    assert gain[-10:].max() < 0.9 < gain[RATE // 2 - 10 : RATE // 2 + 10].min()
    doubled = np.concatenate([limited, limited], axis=-1)
    assert true_peaks(doubled, RATE).max() <= 10 ** (-6.0 / 20) * 1.001


def smpl_chunk(data):
    place = data.index(b"smpl")
    size = struct.unpack("<I", data[place + 4 : place + 8])[0]
    return struct.unpack(f"<{size // 4}I", data[place + 8 : place + 8 + size])


def test_a_loop_in_wav_names_its_loop_points(tmp_path):
    clip = Audio(circle(), RATE, loop_options())
    path = clip.save(tmp_path / "loop.wav")
    data = path.read_bytes()
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    values = smpl_chunk(data)
    assert values[2] == 62500  # nanoseconds of a sample
    assert values[7] == 1  # loops
    assert values[11:13] == (0, RATE - 1)
    with wave.open(str(path)) as file:
        assert file.getnframes() == RATE
    assert info(path)["tags"] == clip.tags
    line = Audio(circle(), RATE, GenerationOptions(prompt="a", duration=1.0))
    assert b"smpl" not in line.save(tmp_path / "line.wav").read_bytes()
