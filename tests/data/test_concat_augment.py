"""Concatenated pairs are two clips, in the order that their caption names."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from latentaudio.data.concat_augment import CONJUNCTIONS, ConcatPairs, join_captions
from latentaudio.data.manifest import Clip
from latentaudio.data.pre_encoded import FORMAT_VERSION, INDEX_FILE, PreEncodedDataset
from procedural_audio.captions.grammar import FRAMES


def clip(number: int) -> Clip:
    record = {"relation": "then"} if number == 4 else {}
    captions = (f"Sound {number} plays.", f"A {number}")
    return Clip(Path("x"), captions, 16000, 1, record)


@pytest.fixture
def pairs(tmp_path):
    """Ten clips of 128 mel frames, whose latents are full of their number, and two of 256."""
    for num_frames, num_clips in ((128, 10), (256, 2)):
        numbers = torch.arange(float(num_clips))[:, None, None, None]
        save_file(
            {"latent": numbers.expand(-1, 3, num_frames // 8, 2).contiguous()},
            tmp_path / f"frames_{num_frames}.safetensors",
        )
    buckets = [{"frames": 128, "count": 10}, {"frames": 256, "count": 2}]
    index = {"format": FORMAT_VERSION, "captions": 1, "buckets": buckets}
    (tmp_path / INDEX_FILE).write_text(json.dumps(index))
    clips = {128: [clip(i) for i in range(10)], 256: [clip(i) for i in range(2)]}
    return ConcatPairs(PreEncodedDataset(tmp_path), clips)


def test_the_clip_named_first_comes_first(pairs):
    latent, captions = pairs.batch(0, 5, 256, 200)
    assert latent.shape == (200, 3, 32, 2)
    assert torch.equal(latent[:, :, :16], latent[:, :1, :1, :1].expand(-1, 3, 16, 2))
    for z, caption in zip(latent[:, 0, :, 0].int().tolist(), captions, strict=True):
        first = (f"sound {z[0]} plays", f"a {z[0]}")
        second = (f"sound {z[-1]} plays", f"a {z[-1]}")
        expected = set()
        for conjunction in CONJUNCTIONS:
            for a in first:
                expected |= {conjunction.format(a=a, b=b) for b in second}
        assert caption in expected
    used = set(latent[:, 0, 0, 0].int().tolist())
    assert set(range(10)) - used == {4}  # clip 4 is a pair already
    assert len({caption.split()[-2] for caption in captions}) > 1


def test_a_batch_repeats_and_the_next_one_differs(pairs):
    first = pairs.batch(0, 1, 256, 4)
    repeated = pairs.batch(0, 1, 256, 4)
    following = pairs.batch(0, 2, 256, 4)
    assert torch.equal(first[0], repeated[0]) and first[1] == repeated[1]
    assert first[1] != following[1]


def test_no_pair_has_the_length_of_the_shortest_clips(pairs):
    assert pairs.lengths == [256]
    assert pairs.batch(0, 0, 128, 4) is None


def test_sentences_become_clauses_of_one_sentence():
    joined = join_captions("A dog barks.", "The sea", "first {a}, then {b}")
    assert joined == "first a dog barks, then the sea"


def conjunctions_of(split: str) -> set[str]:
    result = set()
    for frame in FRAMES[split]["then"]:
        for name in "ab":
            frame = frame.replace(f"{{{name}.subject}} {{{name}.predicate}}", f"{{{name}}}")
            frame = frame.replace(
                f"{{{name}.subject}} {{{name}.be}} {{{name}.predicate}}", f"{{{name}}}"
            )
            frame = frame.replace(f"{{{name}.be}}", "is")
        result.add(frame)
    return result


def test_conjunctions_are_those_of_training_captions():
    train = {frame for frame in conjunctions_of("train") if "bare" not in frame}
    assert train <= set(CONJUNCTIONS)
    assert not set(CONJUNCTIONS) & conjunctions_of("test")


def test_no_conjunction_is_the_reverse_of_another():
    reversed_conjunctions = set()
    for conjunction in CONJUNCTIONS:
        swapped = conjunction.replace("{a}", "{x}").replace("{b}", "{a}").replace("{x}", "{b}")
        reversed_conjunctions.add(swapped)
    assert not set(CONJUNCTIONS) & reversed_conjunctions
