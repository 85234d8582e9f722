"""`Engine.run_steps`: a run can be paused between two steps, and others may run meanwhile."""

import numpy as np
import pytest

from latentaudio.audio.io import Audio
from latentaudio.generation.engine import Engine, Progress

REQUESTS = {
    "plain": {"prompt": "dog", "duration": 1.0, "seed": 3},
    "candidates": {"prompt": "bell", "duration": 1.0, "seed": 5, "candidates": 2},
    "several": {"prompt": "rain", "duration": 2.0, "seed": 7, "num_waveforms": 2},
    "loop and stereo": {
        "prompt": "door",
        "duration": 1.0,
        "seed": 9,
        "loop_seam": 0.3,
        "stereo_width": 0.5,
    },
    "cached features": {"prompt": "dog", "duration": 1.0, "seed": 4, "cache_interval": 2},
    "fresh noise": {"prompt": "dog", "duration": 1.0, "seed": 4, "sampler": "ddim", "eta": 1.0},
}


def resolve(model, name):
    options = {"steps": 3, **REQUESTS[name]}
    return model.resolve_requests([options.pop("prompt")], **options)


@pytest.mark.parametrize("name", REQUESTS)
def test_clips_are_those_of_run(tiny, name):
    requests = resolve(tiny, name)
    alone = list(Engine(tiny).run(requests))
    events = list(Engine(tiny).run_steps(requests))
    clips = [event for event in events if isinstance(event, Audio)]
    assert clips == alone
    counts = [e.num_done for e in events if isinstance(e, Progress) and not e.is_second_pass]
    total = sum(request.options.steps * request.options.num_seeds for request in requests)
    assert counts == list(range(1, total + 1))


def test_runs_that_take_turns_give_what_each_gives_alone(tiny):
    alone = {name: list(Engine(tiny).run(resolve(tiny, name))) for name in REQUESTS}
    running = {name: Engine(tiny).run_steps(resolve(tiny, name)) for name in REQUESTS}
    clips = {name: [] for name in REQUESTS}
    rng = np.random.default_rng(0)
    while running:
        name = rng.choice(sorted(running))
        event = next(running[name], None)
        if event is None:
            del running[name]
        elif isinstance(event, Audio):
            clips[name].append(event)
    assert clips == alone


def test_steps_of_second_passes_are_told_apart(tiny):
    events = list(Engine(tiny).run_steps(resolve(tiny, "loop and stereo")))
    second = [isinstance(event, Progress) and event.is_second_pass for event in events]
    assert second == [*sorted(second[:-1]), False]  # first pass, second passes, the clip
    assert sum(second) > 3


def test_a_run_that_is_closed_leaves_the_model_as_it_was(tiny):
    requests = resolve(tiny, "loop and stereo")
    alone = list(Engine(tiny).run(requests))
    for num_events in (1, 2, 5):
        run = Engine(tiny).run_steps(requests)
        for _ in range(num_events):
            next(run)
        run.close()
    assert list(Engine(tiny).run(requests)) == alone
