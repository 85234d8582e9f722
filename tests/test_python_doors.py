"""What Python users may pass: every door of a model takes every kind of sound, text and number."""

import copy
import pickle

import numpy as np
import pytest
import soundfile
import torch

from latentaudio import load, pipeline
from latentaudio.audio.io import Audio
from latentaudio.codec import AudioCodec
from latentaudio.config.options import GenerationOptions
from latentaudio.editing.inputs import RequestInputs
from latentaudio.errors import UsageError
from latentaudio.generation.engine import Engine

RATE = 16000
STEPS = np.random.default_rng(0).integers(-48, 49, 8000)
WAVE = (STEPS / 64).astype(np.float32)
"""Every type of number below holds these values exactly."""

SOUNDS = {
    "float32": lambda folder: WAVE,
    "one channel": lambda folder: WAVE[None],
    "float64": lambda folder: WAVE.astype(np.float64),
    "float16": lambda folder: WAVE.astype(np.float16),
    "longdouble": lambda folder: WAVE.astype(np.longdouble),
    "int8": lambda folder: (2 * STEPS).astype(np.int8),
    "uint8": lambda folder: (128 + 2 * STEPS).astype(np.uint8),
    "int16": lambda folder: (512 * STEPS).astype(np.int16),
    "int32": lambda folder: (2**25 * STEPS).astype(np.int32),
    "list": lambda folder: WAVE.tolist(),
    "list of one channel": lambda folder: (WAVE.tolist(),),
    "generator": lambda folder: iter(WAVE.tolist()),
    "tensor": lambda folder: torch.from_numpy(WAVE),
    "bf16 tensor": lambda folder: torch.from_numpy(WAVE).bfloat16(),
    "int16 tensor": lambda folder: torch.from_numpy((512 * STEPS).astype(np.int16)),
    "tensor with gradients": lambda folder: torch.from_numpy(WAVE).requires_grad_(),
    "array with an empty mask": lambda folder: np.ma.array(WAVE),
    "Audio": lambda folder: Audio(WAVE[None], RATE, GenerationOptions(prompt="a")),
    "path": lambda folder: folder / "wave.wav",
    "name": lambda folder: str(folder / "wave.wav"),
}
BAD_SOUNDS = {
    "None": None,
    "number": 5,
    "numpy number": np.float32(5),
    "bytes": b"rain",
    "mapping": {"samples": WAVE},
    "object": object(),
    "empty list": [],
    "empty array": np.zeros((1, 0)),
    "no dimension": np.array(0.5),
    "four dimensions": np.zeros((1, 1, 2, 900)),
    "NaN": np.where(STEPS == 3, np.nan, WAVE),
    "Inf": np.where(STEPS == 3, np.inf, WAVE),
    "masked": np.ma.array(WAVE, mask=STEPS == 3),
    "bool": STEPS > 0,
    "complex": WAVE + 0j,
    "complex tensor": torch.from_numpy(WAVE + 0j),
    "int64": STEPS,
    "objects": np.array([None, 1], object),
    "ragged": [[0.1, 0.2], [0.3]],
    "rate and samples": (RATE, WAVE),
    "sparse tensor": torch.from_numpy(WAVE).to_sparse(),
    "meta tensor": torch.zeros(8000, device="meta"),
}
NOT_BAD_IN = {
    "None": ("generate", "cue"),  # no audio prompt
    "ragged": ("similarity",),  # two clips
}
DOORS = {
    "generate": lambda model, sound: model.generate(audio_prompt=sound),
    "cue": lambda model, sound: model.generate(
        timeline=iter([{"audio_prompt": sound}]), duration=0.5
    ),
    "morph": lambda model, sound: model.morph(sound, "rain", duration=0.5),
    "transfer": lambda model, sound: model.transfer(sound, "rain"),
    "vary": lambda model, sound: model.vary(sound),
    "inpaint": lambda model, sound: model.inpaint(sound, time_ranges=np.array([[0.1, 0.2]])),
    "super_resolve": lambda model, sound: model.super_resolve(sound, cutoff_hz=np.float32(4000)),
    "extend": lambda model, sound: model.extend(sound, after=torch.tensor(0.2)),
    "loop": lambda model, sound: model.loop(sound, loop_seam=0.2),
    "similarity": lambda model, sound: model.similarity(sound, "rain"),
    "reconstruct": lambda model, sound: model.reconstruct(sound),
}


@pytest.fixture
def heard(monkeypatch):
    """The samples that reach a model, which does no work."""
    samples = []
    keep = RequestInputs._keep

    def record(self, path, clip):
        samples.append(clip)
        return keep(self, path, clip)

    monkeypatch.setattr(RequestInputs, "_keep", record)
    monkeypatch.setattr(Engine, "run", lambda self, requests, callbacks: iter(()))
    monkeypatch.setattr(Engine, "similarity", lambda self, clips, texts: samples.extend(clips))
    monkeypatch.setattr(AudioCodec, "reconstruct", lambda self, clip: samples.append(clip))
    return samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sounds")
    soundfile.write(path / "wave.wav", (512 * STEPS).astype(np.int16), RATE)
    return path


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", SOUNDS)
def test_every_door_takes_every_kind_of_sound(tiny, heard, folder, door, kind):
    DOORS[door](tiny, SOUNDS[kind](folder))
    assert heard
    for clip in heard:
        assert clip.dtype == np.float32
        np.testing.assert_array_equal(clip, WAVE[None])


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", BAD_SOUNDS)
def test_what_is_no_sound_is_one_line(tiny, heard, door, kind):
    if door in NOT_BAD_IN.get(kind, ()):
        pytest.skip("this is no sound but something else that the door takes")
    with pytest.raises(UsageError) as caught:
        DOORS[door](tiny, BAD_SOUNDS[kind])
    assert "\n" not in str(caught.value)
    assert not heard


TEXTS = {
    "str": lambda: "rain",
    "numpy str": lambda: np.str_("rain"),
    "list": lambda: ["rain", "wind"],
    "tuple": lambda: ("rain", "wind"),
    "generator": lambda: (text for text in ("rain", "wind")),
    "array": lambda: np.array(["rain", "wind"]),
    "array of objects": lambda: np.array(["rain", "wind"], object),
}
BAD_TEXTS = {
    "None": lambda: None,
    "number": lambda: 5,
    "bytes": lambda: b"rain",
    "mapping": lambda: {"rain": 1},
    "empty list": list,
    "empty generator": lambda: iter(()),
    "empty array": lambda: np.array([]),
    "numbers": lambda: [1, 2],
    "array of numbers": lambda: np.zeros(2),
    "two dimensions": lambda: np.array([["rain"]]),
    "masked": lambda: np.ma.array(["rain", "wind"], mask=[0, 1]),
}
TEXT_DOORS = {
    "generate": lambda model, texts: model.generate(texts, duration=0.5),
    "resolve_requests": lambda model, texts: model.resolve_requests(texts, duration=0.5),
    "transfer": lambda model, texts: model.transfer(WAVE, texts),
    "vary": lambda model, texts: model.vary(WAVE, texts),
    "extend": lambda model, texts: model.extend(WAVE, texts, after=0.2),
    "similarity": lambda model, texts: model.similarity(WAVE, texts),
}


@pytest.mark.parametrize("door", TEXT_DOORS)
@pytest.mark.parametrize("kind", TEXTS)
def test_every_door_takes_one_text_or_several(tiny, monkeypatch, door, kind):
    texts = []

    def run(self, requests, callbacks):
        texts.extend(request.options.prompt for request in requests)
        return iter(())

    monkeypatch.setattr(Engine, "run", run)
    monkeypatch.setattr(Engine, "similarity", lambda self, clips, given: texts.extend(given))
    result = TEXT_DOORS[door](tiny, TEXTS[kind]())
    if door == "resolve_requests":
        texts.extend(request.options.prompt for request in result)
    assert texts == (["rain"] if kind in ("str", "numpy str") else ["rain", "wind"])
    assert all(type(text) is str for text in texts)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_stream_takes_one_text_of_every_kind(tiny, monkeypatch, kind):
    monkeypatch.setattr(pipeline, "generate_pieces", lambda _, request, *__: request)
    if "str" not in kind:
        with pytest.raises(UsageError, match="a stream has one prompt, not 2; give timeline="):
            tiny.generate_stream(TEXTS[kind]())
    texts = TEXTS[kind]() if "str" in kind else np.array(["rain"])
    assert tiny.generate_stream(texts).prompt == "rain"


@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_a_stream_of_no_text_is_one_line(tiny, kind):
    with pytest.raises(UsageError) as caught:
        tiny.generate_stream(BAD_TEXTS[kind]())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("door", TEXT_DOORS)
@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_what_is_no_text_is_one_line(tiny, heard, door, kind):
    with pytest.raises(UsageError) as caught:
        TEXT_DOORS[door](tiny, BAD_TEXTS[kind]())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make", [np.int64, np.float32, np.array, torch.tensor, lambda n: torch.tensor(n).bfloat16()]
)
def test_numbers_of_numpy_and_torch_are_numbers(make):
    given = GenerationOptions(prompt="a", steps=make(4), duration=make(2), seed=make(7))
    assert given == GenerationOptions(prompt="a", steps=4, duration=2.0, seed=7)
    assert type(given.seed) is int


@pytest.mark.parametrize(
    "value",
    [np.nan, np.float32(np.inf), np.ma.masked, np.array([1, 2]), torch.zeros(2, 2), 1j, object()],
)
def test_what_is_no_number_is_one_line(value):
    with pytest.raises(UsageError, match="duration") as caught:
        GenerationOptions(prompt="a", duration=value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeline", 5),
        ("timeline", [{1: 2}]),
        ("timeline", ["rain"]),
        ("timeline", {"start": 0}),
        ("duration", "long"),
        ("nothing", 1),
    ],
)
def test_a_wrong_option_is_a_value_error_of_one_line(tiny, name, value):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        tiny.generate("rain", **{name: value})
    assert isinstance(caught.value, UsageError)


def test_a_device_of_torch_is_a_device(tiny_folder):
    assert load(tiny_folder, torch.device("cpu")).device == torch.device("cpu")
    with pytest.raises(UsageError, match="'meta' is not available"):
        load(tiny_folder, torch.device("meta"))


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_model_says_why_it_cannot_be_copied(tiny, duplicate):
    with pytest.raises(UsageError, match=r"cannot be pickled or copied .*latentaudio\.load\("):
        duplicate(tiny)


def test_clips_can_be_compared():
    first = Audio(WAVE[None], RATE, GenerationOptions(prompt="a"))
    assert first == Audio(WAVE[None].copy(), RATE, GenerationOptions(prompt="a"))
    assert first != Audio(-WAVE[None], RATE, GenerationOptions(prompt="a"))
    assert first != Audio(WAVE[None], RATE, GenerationOptions(prompt="b"))
    assert first != "a"
    assert first in [first]
