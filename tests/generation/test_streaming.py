"""Streams of sounds that die away."""

import numpy as np
import pytest

from latentaudio.audio.io import Audio
from latentaudio.config.options import GenerationOptions
from latentaudio.editing.inputs import RequestInputs
from latentaudio.errors import UsageError
from latentaudio.generation.streaming import PieceStream, generate_pieces
from latentaudio.loaders.resolve import resolve_model, spec_only

RATE = 16000


class Bell:
    """An engine whose clips are a second of sound and then silence."""

    def __init__(self, system):
        self.system = system
        self.requests = []

    def run(self, requests):
        for request in requests:
            self.requests.append(request)
            samples = np.zeros((1, round(request.options.duration * RATE)), np.float32)
            samples[:, :RATE] = 0.5  # of an extension, this is the tail that it got
            yield Audio(samples, RATE, request.options)


def test_after_a_sound_that_died_away_the_stream_begins_anew(tiny):
    engine = Bell(tiny)
    options = GenerationOptions(prompt="a bell", seed=5, steps=2)
    pieces = list(generate_pieces(engine, options, 40.0, RequestInputs(RATE)))
    whole = np.concatenate(pieces, axis=1)[0]
    assert len(whole) == 40 * RATE
    fresh = [request for request in engine.requests if request.options.edit is None]
    assert len(fresh) >= 4
    assert len({request.options.seed for request in fresh}) == len(fresh)
    starts = np.flatnonzero(np.diff((np.pad(whole, 1) > 0).astype(int)) == 1)
    assert len(starts) == len(fresh)


def test_a_sound_that_goes_on_is_continued(tiny):
    engine = Bell(tiny)
    options = GenerationOptions(prompt="rain", seed=5, steps=2)
    steady = np.full((1, 30 * RATE), 0.5, np.float32)

    def run(requests):
        for request in requests:
            engine.requests.append(request)
            length = round(request.options.duration * RATE)
            yield Audio(steady[:, :length], RATE, request.options)

    engine.run = run
    list(generate_pieces(engine, options, 20.0, RequestInputs(RATE)))
    kinds = [request.options.edit_kind for request in engine.requests]
    assert kinds == ["", *["extend"] * (len(kinds) - 1)]


@pytest.mark.parametrize("settings", [{"preset": "draft"}, {"sampler": "distilled"}])
def test_a_model_whose_sampler_starts_from_noise_only_streams_nothing(settings):
    options = GenerationOptions(prompt="rain", **settings)
    with pytest.raises(UsageError, match="choose another preset or sampler"):
        PieceStream(resolve_model("mini"), options, 30.0, RequestInputs(16000))


def test_draft_streams_where_it_is_no_distilled_unet():
    options = GenerationOptions(prompt="rain", preset="draft")
    stream = PieceStream(spec_only("audioldm2-full"), options, 30.0, RequestInputs(16000))
    assert stream.next_request().options.preset == "draft"


def test_draft_of_mini_streams_with_another_sampler():
    options = GenerationOptions(prompt="rain", preset="draft", sampler="dpm++")
    stream = PieceStream(resolve_model("mini"), options, 30.0, RequestInputs(16000))
    assert stream.next_request().options.sampler == "dpm++"
