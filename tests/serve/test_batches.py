"""Parts that share a batch: which clip and which step belongs to which."""

from types import SimpleNamespace

import pytest

from latentaudio.serve.batches import Batch
from latentaudio.serve.compute import StepDone
from latentaudio.serve.model_pool import ModelKey
from latentaudio.serve.planning import Part

KEY = ModelKey("mini")


def part(*nums_waveforms):
    requests = tuple(
        SimpleNamespace(options=SimpleNamespace(num_waveforms=number)) for number in nums_waveforms
    )
    return Part(KEY, requests, tuple(range(len(requests))))


def test_clips_belong_to_the_part_whose_request_asked_for_them():
    batch = Batch([part(2), part(1), part(3)])
    assert len(batch.joined.requests) == 3
    assert list(batch.clips()) == [(0, 0), (0, 0), (1, 0), (2, 0), (2, 0), (2, 0)]


def test_one_part_alone_keeps_its_rows():
    rows = part(1, 2)
    batch = Batch([rows])
    assert batch.joined is rows
    assert list(batch.clips()) == [(0, 0), (0, 1), (0, 1)]
    event = StepDone(7, 3, False, (b"a", b"b"))
    assert batch.step_of(event, 0) is event


@pytest.mark.parametrize(
    ("pictures", "number", "own"),
    [((b"a", b"b"), 1, (b"b",)), ((b"a",), 1, (b"a",)), ((), 1, ())],
)
def test_each_part_sees_its_share_of_a_step(pictures, number, own):
    batch = Batch([part(1), part(1)])
    assert batch.step_of(StepDone(6, 2, False, pictures), number) == StepDone(3, 2, False, own)
