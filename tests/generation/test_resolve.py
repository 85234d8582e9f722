"""Seeds of several requests, and what is resolved once."""

import pytest

from latentaudio.config.options import MAX_SEED, GenerationOptions, make_requests
from latentaudio.editing.inputs import RequestInputs
from latentaudio.errors import UsageError
from latentaudio.generation.resolve import resolve_requests


@pytest.fixture
def resolve(tiny):
    def resolve(requests):
        return resolve_requests(requests, tiny.source, RequestInputs(tiny.sample_rate))

    return resolve


def seeds(requests):
    return [request.options.seed for request in requests]


def test_a_request_without_a_seed_follows_all_candidates_of_the_one_before(resolve):
    requests = [
        GenerationOptions(prompt="a dog", seed=5, candidates=3),
        GenerationOptions(prompt="a bell"),
        GenerationOptions(prompt="rain", candidates=2, num_waveforms=2),
        GenerationOptions(prompt="a door"),
    ]
    assert seeds(resolve(requests)) == [5, 8, 9, 13]


def test_a_request_with_a_seed_keeps_it(resolve):
    requests = [
        GenerationOptions(prompt="a dog", seed=5),
        GenerationOptions(prompt="a bell", seed=3),
        GenerationOptions(prompt="rain"),
    ]
    assert seeds(resolve(requests)) == [5, 3, 4]


def test_the_first_seed_follows_the_last(resolve):
    requests = make_requests(["a dog", "a bell"], {"seed": MAX_SEED - 1, "num_waveforms": 2})
    [first, second] = resolve(requests)
    assert seeds([first, second]) == [MAX_SEED - 1, 1]
    assert seeds(first.candidates()) == [MAX_SEED - 1, 0]


def test_a_resolved_request_is_returned_as_it_is(resolve):
    [request] = resolve([GenerationOptions(prompt="a dog", seed=1)])
    [again] = resolve([request])
    assert again is request


def test_without_a_prompt_there_is_no_request():
    with pytest.raises(UsageError, match="there is no prompt; give at least one"):
        make_requests([], {})
