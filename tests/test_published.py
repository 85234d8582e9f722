"""Whole generations against diffusers' pipelines with the same weights, from folders that those wrote."""

import numpy as np
import published
import pytest
from diffusers import DPMSolverMultistepScheduler
from published import PROMPTS

from latentaudio import load
from latentaudio.diffusion.samplers import noise_for
from latentaudio.diffusion.schedule import Schedule
from latentaudio.errors import UsageError

SECONDS, SEEDS = 0.32, (7, 8, 9)
KINDS = {
    "audioldm2": lambda: published.audioldm2(),
    "large": lambda: published.audioldm2((None, 16, 24, None), depth=2),
    "v1": published.audioldm,
}


class AtOurTimes(DPMSolverMultistepScheduler):
    """Diffusers' solver at the times we choose: they space the noise levels by their own rounding."""

    def set_timesteps(self, num_inference_steps, device=None):
        super().set_timesteps(
            timesteps=Schedule().timesteps(num_inference_steps, "log_snr"), device=device
        )


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """(diffusers' pipeline, our model of its folder)."""
    pipe = KINDS[request.param]()
    pipe.set_progress_bar_config(disable=True)
    folder = published.save(pipe, tmp_path_factory.mktemp("published") / request.param)
    return pipe, load(folder, "cpu", "fp32", reference="diffusers")


def theirs(pipe, prompts, latents, **settings):
    return pipe(prompts, audio_length_in_s=SECONDS, latents=latents, **settings).audios


def ours(model, prompts, seed, **settings):
    asked = [
        o.replace(seed=seed + k)
        for k, o in enumerate(
            model.resolve_requests(prompts, **{"duration": SECONDS, "candidates": 1, **settings})
        )
    ]
    model.batch_size = len(prompts)  # together, as diffusers has them
    return np.concatenate([clip.samples for clip in model.stream(asked)])


def apart(got, want):
    """Largest difference in units of the signal's own standard deviation."""
    assert got.shape == want.shape
    assert want.std() > 0
    return np.abs(got - want).max() / want.std()


@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_ddim_and_guidance_agree_for_prompts_of_different_lengths(pair, guidance):
    pipe, model = pair
    latents = noise_for(SEEDS, (4, 8, 4))
    want = theirs(pipe, PROMPTS, latents, num_inference_steps=10, guidance_scale=guidance)
    got = ours(model, PROMPTS, SEEDS[0], steps=10, guidance_scale=guidance, sampler="ddim")
    assert apart(got, want) < 1e-4
    assert (
        apart(got[:1], want[1:2]) > 0.1
    )  # it can fail: another prompt and other noise are another sound


def test_dpm_solver_agrees(pair):
    pipe, model = pair
    before, latents = pipe.scheduler, noise_for(SEEDS, (4, 8, 4))
    pipe.scheduler = AtOurTimes.from_config(before.config, final_sigmas_type="zero")
    try:
        want = theirs(pipe, PROMPTS, latents, num_inference_steps=10, guidance_scale=3.5)
    finally:
        pipe.scheduler = before
    got = ours(model, PROMPTS, SEEDS[0], steps=10, guidance_scale=3.5, sampler="dpm++")
    assert apart(got, want) < 1e-4


def test_negative_prompts_agree(pair):
    pipe, model = pair
    latents, negative = noise_for(SEEDS, (4, 8, 4)), "soft music"
    want = theirs(
        pipe,
        PROMPTS,
        latents,
        num_inference_steps=4,
        guidance_scale=3.5,
        negative_prompt=[negative] * 3,
    )
    got = ours(
        model,
        PROMPTS,
        SEEDS[0],
        steps=4,
        guidance_scale=3.5,
        sampler="ddim",
        negative_prompt=negative,
    )
    assert apart(got, want) < 1e-4


SAID = ["həlˈoʊ wˈɜːld!", "ɐ mˈæn"]


@pytest.fixture(scope="module")
def speakers(tmp_path_factory):
    pipe = published.audioldm2((None, 16), speech=True)
    pipe.set_progress_bar_config(disable=True)
    folder = tmp_path_factory.mktemp("speech")
    pipe.tokenizer_2 = published.phoneme_symbols(folder / "symbols")
    model = load(published.save(pipe, folder / "speech"), "cpu", "fp32", reference="diffusers")
    return pipe, model


@pytest.mark.parametrize("said", SAID)
def test_speech_agrees(speakers, monkeypatch, said):
    pipe, model = speakers
    monkeypatch.setattr("latentaudio.conditioning.g2p.phonemize", lambda text: text)
    latents = noise_for(SEEDS[:1], (4, 8, 4))
    want = pipe(
        PROMPTS[0],
        transcription=said,
        audio_length_in_s=SECONDS,
        latents=latents,
        num_inference_steps=10,
        guidance_scale=3.5,
        max_new_tokens=8,
    ).audios
    got = ours(
        model, PROMPTS[:1], SEEDS[0], steps=10, guidance_scale=3.5, sampler="ddim", transcript=said
    )
    assert apart(got, want) < 1e-4
    other = ours(
        model,
        PROMPTS[:1],
        SEEDS[0],
        steps=10,
        guidance_scale=3.5,
        sampler="ddim",
        transcript=SAID[said == SAID[0]],
    )
    assert apart(got, other) > 1e-3


def test_transcripts_that_cannot_be_said(speakers):
    _, model = speakers
    with pytest.raises(UsageError, match="nothing to say in English"):
        model.resolve_requests(
            ["a man speaks"], **{"transcript": "\u041f\u0440\u0438\u0432\u0435\u0442"}
        )
    with pytest.warns(UserWarning, match="says only the beginning of 'one two three"):
        asked = {
            "transcript": "one two three four " * 9,
            "duration": 0.32,
            "steps": 1,
            "candidates": 1,
        }
        next(model.stream(model.resolve_requests(["a man"], asked)))


def test_a_model_that_speaks_wants_to_know_what(speakers):
    with pytest.raises(UsageError, match="speaks; say what"):
        speakers[1].generate("a man", duration=SECONDS, steps=1)
