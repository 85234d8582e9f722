"""A quick part of the golden outcomes; `record.py --check` compares all of them.

On the machine that recorded them, results must be equal bit for bit. On others, their statistics
must agree within a tolerance.
"""

from collections.abc import Iterator

import pytest
import torch
from golden import record
from golden.outcomes import OUTCOMES

QUICK = (
    "schedule/mini",
    "schedule/noising",
    "schedule/samplers",
    "schedule/guidance",
    "front-end/mels",
    "codec/mini-latent",
    "codec/mini-sound-of-noise",
    "words/token-ids",
    "words/heard-by-mini",
    "words/lexicon-sentences",
    "rank/similarity",
    "finish/all",
    "finish/masks",
    "files/encode.wav",
    "memory/audioldm2-full/gigabytes",
    "memory/audioldm2-full/numbers",
    "models/told",
    "listen/bell",
    "judge/renders",
    "render/dog",
    "corpus/item/seed-0-index-0",
    "ask/in-order",
    "mini/generate/dpmpp-4-steps",
    "mini/generate/ddim-fresh-noise",
    "mini/generate/score",
    "mini/generate/sound-as-prompt-by-loa",
    "mini/edit/transfer",
    "mini/edit/inpaint-without-words",
    "mini/edit/loop",
    "mini/preset/draft",
    "mini/bf16/generate",
    "mini/original/inpaint-times",
    "tiny/audioldm2-full/clean/generate",
    "tiny/audioldm-s-full/original/two-of-four",
    "tiny/audioldm_48k/clean/extend",
    "tiny/audioldm2-speech-gigaspeech/diffusers/transfer",
    "formats/audioldm2-full/loaded",
    "of-diffusers/audioldm/clean",
    "train/learning-rates",
    "train/vae/two-steps",
    "train/diffusion/resumed",
    "stored/score.flac/replayed",
    "stored/batch/goes-on",
)
"""A few of every area, together about 40 s of one core."""


@pytest.fixture(scope="module")
def recorded() -> Iterator[dict[str, object]]:
    """The record, with one thread while outcomes are computed."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield record.load_record()
    torch.set_num_threads(num_threads)


def test_every_outcome_is_recorded(recorded):
    assert set(recorded["outcomes"]) == set(OUTCOMES)


@pytest.mark.golden
@pytest.mark.parametrize("name", QUICK)
def test_an_outcome_is_as_recorded(recorded, name):
    is_same_machine = recorded["machine"] == record.machine()
    if name.startswith("mini/bf16/") and not is_same_machine:
        pytest.skip("whether bf16 is the fastest type depends on the machine")
    outcome = record.compute(name)
    comparison = record.compare(recorded["outcomes"][name], outcome)
    message = outcome.get("trace", f"{name} is now {outcome.get('summary')}")
    assert comparison == "same" or (comparison == "near" and not is_same_machine), message
