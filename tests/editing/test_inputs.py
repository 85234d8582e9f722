"""Sources and masks as files: decoded once, found again by their checksums."""

import numpy as np
import pytest
import soundfile
from clips import QUICK, RATE, half_mask
from PIL import Image

from latentaudio.audio import io
from latentaudio.audio.io import info
from latentaudio.cli.main import main
from latentaudio.config.options import GenerationOptions
from latentaudio.editing import drawn_mask, inputs
from latentaudio.errors import DataError, UsageError


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are decoded as audio or as a mask."""
    names = []

    def counted(function):
        def wrapper(path, *arguments):
            names.append(str(path))
            return function(path, *arguments)

        return wrapper

    monkeypatch.setattr(inputs, "read", counted(io.read))
    monkeypatch.setattr(drawn_mask, "load_mask", counted(drawn_mask.load_mask))
    return names


@pytest.fixture
def mask_file(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(half_mask()).save(path)
    return path


def test_an_edit_decodes_its_source_and_its_mask_once(tiny, source_file, mask_file, decoded):
    clips = tiny.inpaint(source_file, "a dog", mask=mask_file, num_waveforms=2, **QUICK)
    assert len(clips) == 2
    assert decoded == [str(source_file), str(mask_file)]


def test_an_edit_of_the_command_line_decodes_them_once(
    tiny_folder, source_file, mask_file, decoded, tmp_path, capsys
):
    command = ["inpaint", str(source_file), "a dog", "--mask", str(mask_file)]
    flags = ["--model", str(tiny_folder), "--steps", "2", "--precision", "fp32", "--quiet"]
    assert main([*command, *flags, "-o", str(tmp_path / "out.wav")]) == 0, capsys.readouterr().err
    assert decoded == [str(source_file), str(mask_file)]


def test_tags_reproduce_an_edit_and_a_changed_source_is_an_error(tiny, source, source_file):
    path = source_file
    [clip] = tiny.inpaint(path, "a dog", time_ranges=[(0.5, 0.8)], **QUICK)
    saved = clip.save(path.with_name("edited.flac"))
    request = GenerationOptions.from_tags(info(saved)["tags"])
    assert request.edit.kind == "inpaint"
    assert request.edit.source_path == str(path)
    assert request.edit.time_ranges == ((0.5, 0.8),)
    [again] = tiny.run([request])
    np.testing.assert_array_equal(again.samples, clip.samples)
    soundfile.write(path, 0.5 * source[0], RATE, subtype="FLOAT")
    with pytest.raises(UsageError, match="has changed since this clip was made"):
        tiny.run([request])


def test_tags_reproduce_a_mask_and_a_changed_mask_is_an_error(tiny, source_file, mask_file):
    array = np.random.default_rng(0).random((64, 200)) > 0.2
    for mask in (mask_file, array):
        [clip] = tiny.inpaint(source_file, "a dog", mask=mask, **QUICK)
        saved = clip.save(source_file.with_name("edited.wav"))
        request = GenerationOptions.from_tags(info(saved)["tags"])
        [again] = tiny.run([request])
        np.testing.assert_array_equal(again.samples, clip.samples)
        assert mask is array or request.edit.mask == str(mask_file)
    [clip] = tiny.inpaint(source_file, "a dog", mask=mask_file, **QUICK)
    request = GenerationOptions.from_tags(clip.tags)
    Image.fromarray(half_mask()[::-1]).save(mask_file)
    with pytest.raises(UsageError, match="has changed since this edit was made"):
        tiny.run([request])
    mask_file.unlink()
    with pytest.raises(DataError, match=r"mask\.png"):
        tiny.run([request])


def test_equal_audio_in_two_files_keeps_the_name_of_each(source, source_file, tmp_path):
    copy = tmp_path / "copy.wav"
    copy.write_bytes(source_file.read_bytes())
    decoded_inputs = inputs.RequestInputs(RATE)
    assert decoded_inputs.load_audio(source).path == ""
    assert decoded_inputs.load_audio(source_file).path == str(source_file)
    assert decoded_inputs.load_audio(copy).path == str(copy)


def test_files_of_any_rate_and_number_of_channels(tiny, source, tmp_path):
    soundfile.write(tmp_path / "many.wav", np.tile(source.T, (1, 8)), RATE)
    soundfile.write(tmp_path / "fast.flac", np.repeat(source[0], 12), 192000)
    message = r"many\.wav has 8 channels; they are mixed down to mono"
    with pytest.warns(UserWarning, match=message) as warned:
        [clip] = tiny.vary(tmp_path / "many.wav", strength=0.3, **QUICK)
    assert clip.samples.shape == (1, 2 * RATE)
    assert len(warned) == 1
    [clip] = tiny.vary(tmp_path / "fast.flac", strength=0.3, **QUICK)
    assert clip.samples.shape == (1, 2 * RATE)


def test_a_truncated_file_is_edited_up_to_its_end(tiny, source, tmp_path):
    soundfile.write(tmp_path / "whole.wav", source[0], RATE)
    data = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(data[: 44 + 2 * RATE])
    message = r"half\.wav is truncated: it has 1 of 2 s"
    with pytest.warns(UserWarning, match=message) as warned:
        [clip] = tiny.inpaint(tmp_path / "half.wav", time_ranges=[(0.4, 0.6)], **QUICK)
    assert clip.samples.shape == (1, RATE)
    assert len(warned) == 1


def test_a_file_that_ffmpeg_wrote_into_a_pipe(tiny, source, tmp_path):
    soundfile.write(tmp_path / "whole.wav", source[0], RATE)
    data = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "piped.wav").write_bytes(data[:40] + b"\xff" * 4 + data[44:])
    [clip] = tiny.inpaint(tmp_path / "piped.wav", time_ranges=[(0.4, 0.6)], **QUICK)
    assert clip.samples.shape == (1, 2 * RATE)
