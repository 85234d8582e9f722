"""Pairs are two clips of one sound each, in the order that their caption says."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from latentaudio.data.concat_augment import LINKS, Pairs, linked
from latentaudio.data.manifest import Clip
from latentaudio.data.pre_encoded import INDEX, Encoded
from procedural_audio.captions.grammar import FRAMES


@pytest.fixture
def pairs(tmp_path):
    """Ten clips of 128 mel frames, whose latents are full of their number, and two of 256."""
    for frames, count in ((128, 10), (256, 2)):
        numbers = torch.arange(float(count))[:, None, None, None]
        save_file(
            {"latent": numbers.expand(-1, 3, frames // 8, 2).contiguous()},
            tmp_path / f"frames_{frames}.safetensors",
        )
    buckets = [{"frames": 128, "count": 10}, {"frames": 256, "count": 2}]
    (tmp_path / INDEX).write_text(json.dumps({"captions": 1, "buckets": buckets}))

    def clip(number: int) -> Clip:
        relation = {"relation": "then"} if number == 4 else {}
        return Clip(Path("x"), (f"Sound {number} plays.", f"A {number}"), 16000, 1, relation)

    return Pairs(
        Encoded(tmp_path), {128: [clip(i) for i in range(10)], 256: [clip(i) for i in range(2)]}
    )


def test_the_first_named_is_heard_first(pairs):
    latent, captions = pairs.draw(0, 5, 256, 200)
    assert latent.shape == (200, 3, 32, 2)
    assert torch.equal(latent[:, :, :16], latent[:, :1, :1, :1].expand(-1, 3, 16, 2))
    for z, caption in zip(latent[:, 0, :, 0].int().tolist(), captions, strict=True):
        texts = [(f"sound {z[end]} plays", f"a {z[end]}") for end in (0, -1)]
        assert caption in {
            link.format(a=a, b=b) for link in LINKS for a in texts[0] for b in texts[1]
        }
    assert {4} == set(range(10)) - set(latent[:, 0, 0, 0].int().tolist())  # which is a pair itself
    assert len({caption.split()[-2] for caption in captions}) > 1


def test_a_draw_repeats_and_the_next_differs(pairs):
    one, again, other = (pairs.draw(0, position, 256, 4) for position in (1, 1, 2))
    assert torch.equal(one[0], again[0]) and one[1] == again[1]
    assert one[1] != other[1]


def test_nothing_is_half_as_long_as_the_shortest(pairs):
    assert pairs.lengths == [256]
    assert pairs.draw(0, 0, 128, 4) is None


def test_sentences_become_parts_of_one():
    assert (
        linked("A dog barks.", "The sea", "first {a}, then {b}")
        == "first a dog barks, then the sea"
    )


def test_links_are_those_of_training_captions():
    test = {
        frame.replace("{a.thing} {a.doing}", "{a}").replace("{b.thing} {b.doing}", "{b}")
        for frame in FRAMES["test"]["then"]
    }
    train = {
        frame.replace("{a.thing} {a.doing}", "{a}").replace("{b.thing} {b.doing}", "{b}")
        for frame in FRAMES["train"]["then"]
    }
    assert {frame for frame in train if "bare" not in frame} <= set(LINKS)
    assert not set(LINKS) & test


def test_no_link_says_the_opposite_of_another():
    assert not set(LINKS) & {
        link.replace("{a}", "{x}").replace("{b}", "{a}").replace("{x}", "{b}") for link in LINKS
    }
