"""Complete generations agree with diffusers' pipelines, from folders that diffusers wrote."""

from dataclasses import replace

import numpy as np
import published
import pytest
from diffusers import DPMSolverMultistepScheduler
from published import PROMPTS

from latentaudio import load
from latentaudio.diffusion.sampling import noise_for
from latentaudio.diffusion.schedule import Schedule
from latentaudio.errors import UsageError

DURATION_S, SEEDS = 0.32, (7, 8, 9)
KINDS = {
    "audioldm2": lambda: published.audioldm2(),
    "large": lambda: published.audioldm2((None, 16, 24, None), depth=2),
    "v1": published.audioldm,
}


class SolverAtOurTimesteps(DPMSolverMultistepScheduler):
    """diffusers' solver at our timesteps; its own rounding differs."""

    def set_timesteps(self, num_inference_steps, device=None):
        super().set_timesteps(
            timesteps=Schedule().timesteps(num_inference_steps, "log_snr"), device=device
        )


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """diffusers' pipeline, and our model of its folder."""
    pipe = KINDS[request.param]()
    pipe.set_progress_bar_config(disable=True)
    folder = published.save(pipe, tmp_path_factory.mktemp("published") / request.param)
    return pipe, load(folder, "cpu", "fp32", reference="diffusers")


def run_diffusers(pipe, prompts, latents, **settings):
    return pipe(prompts, audio_length_in_s=DURATION_S, latents=latents, **settings).audios


def run_ours(model, prompts, seed, **settings):
    options = {"duration": DURATION_S, "candidates": 1, **settings}
    requests = []
    for index, request in enumerate(model.resolve_requests(prompts, **options)):
        options_of_clip = request.options.model_copy(update={"seed": seed + index})
        requests.append(replace(request, options=options_of_clip))
    model.batch_size = len(prompts)  # one batch, as in diffusers
    return np.concatenate([clip.samples for clip in model.run(requests)])


def max_difference(actual, expected):
    """Largest difference in units of the signal's own standard deviation."""
    assert actual.shape == expected.shape
    assert expected.std() > 0
    return np.abs(actual - expected).max() / expected.std()


@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_ddim_with_guidance_agrees_for_prompts_of_different_lengths(pair, guidance):
    pipe, model = pair
    latents = noise_for(SEEDS, (4, 8, 4))
    expected = run_diffusers(
        pipe, PROMPTS, latents, num_inference_steps=10, guidance_scale=guidance
    )
    actual = run_ours(model, PROMPTS, SEEDS[0], steps=10, guidance_scale=guidance, sampler="ddim")
    assert max_difference(actual, expected) < 1e-4
    assert (
        max_difference(actual[:1], expected[1:2]) > 0.1
    )  # another prompt and other noise must differ


def test_dpm_solver_agrees(pair):
    pipe, model = pair
    before, latents = pipe.scheduler, noise_for(SEEDS, (4, 8, 4))
    pipe.scheduler = SolverAtOurTimesteps.from_config(before.config, final_sigmas_type="zero")
    try:
        expected = run_diffusers(pipe, PROMPTS, latents, num_inference_steps=10, guidance_scale=3.5)
    finally:
        pipe.scheduler = before
    actual = run_ours(model, PROMPTS, SEEDS[0], steps=10, guidance_scale=3.5, sampler="dpm++")
    assert max_difference(actual, expected) < 1e-4


def test_negative_prompts_agree(pair):
    pipe, model = pair
    latents, negative = noise_for(SEEDS, (4, 8, 4)), "soft music"
    expected = run_diffusers(
        pipe,
        PROMPTS,
        latents,
        num_inference_steps=4,
        guidance_scale=3.5,
        negative_prompt=[negative] * 3,
    )
    actual = run_ours(
        model,
        PROMPTS,
        SEEDS[0],
        steps=4,
        guidance_scale=3.5,
        sampler="ddim",
        negative_prompt=negative,
    )
    assert max_difference(actual, expected) < 1e-4


TRANSCRIPTS = ["həlˈoʊ wˈɜːld!", "ɐ mˈæn"]


@pytest.fixture(scope="module")
def speech_pair(tmp_path_factory):
    pipe = published.audioldm2((None, 16), speech=True)
    pipe.set_progress_bar_config(disable=True)
    folder = tmp_path_factory.mktemp("speech")
    pipe.tokenizer_2 = published.phoneme_symbols(folder / "symbols")
    model = load(published.save(pipe, folder / "speech"), "cpu", "fp32", reference="diffusers")
    return pipe, model


@pytest.mark.parametrize("transcript", TRANSCRIPTS)
def test_speech_agrees(speech_pair, monkeypatch, transcript):
    pipe, model = speech_pair
    monkeypatch.setattr("latentaudio.conditioning.g2p.phonemize", lambda text: text)
    latents = noise_for(SEEDS[:1], (4, 8, 4))
    expected = pipe(
        PROMPTS[0],
        transcription=transcript,
        audio_length_in_s=DURATION_S,
        latents=latents,
        num_inference_steps=10,
        guidance_scale=3.5,
        max_new_tokens=8,
    ).audios
    actual = run_ours(
        model,
        PROMPTS[:1],
        SEEDS[0],
        steps=10,
        guidance_scale=3.5,
        sampler="ddim",
        transcript=transcript,
    )
    assert max_difference(actual, expected) < 1e-4
    other = run_ours(
        model,
        PROMPTS[:1],
        SEEDS[0],
        steps=10,
        guidance_scale=3.5,
        sampler="ddim",
        transcript=TRANSCRIPTS[transcript == TRANSCRIPTS[0]],
    )
    assert max_difference(actual, other) > 1e-3


def test_transcripts_that_cannot_be_spoken_are_refused_or_warned_about(speech_pair):
    _, model = speech_pair
    with pytest.raises(UsageError, match="has no letters that can be pronounced"):
        model.resolve_requests(["a man speaks"], transcript="\u041f\u0440\u0438\u0432\u0435\u0442")
    with pytest.warns(UserWarning, match="the transcript 'one two three .* is too long"):
        requests = model.resolve_requests(
            ["a man"],
            transcript="one two three four " * 9,
            duration=0.32,
            steps=1,
            candidates=1,
        )
        next(model.run(requests))


def test_a_speech_model_needs_a_transcript(speech_pair):
    with pytest.raises(UsageError, match="is a speech model; give it a transcript"):
        speech_pair[1].generate("a man", duration=DURATION_S, steps=1)
