"""Conditioning of windows: cues over time, audio prompts, and in-context continuation."""

import numpy as np
import pytest
import torch

from latentaudio import load
from latentaudio.conditioning import encode
from latentaudio.conditioning.base import AudioPrompt, EncoderInputs
from latentaudio.conditioning.language_of_audio import encode_language_of_audio
from latentaudio.config.options import PromptCue
from latentaudio.diffusion.guidance import compose_weighted
from latentaudio.generation.window_conditioning import WindowConditioner, smooth_latent
from latentaudio.types import Conditioning, Context, LanguageOfAudio, WeightedConditioning

RATE = 16000
QUICK = {"steps": 2, "seed": 3, "candidates": 1}


@pytest.fixture(scope="module")
def tone():
    t = np.arange(2 * RATE) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)[None]


@pytest.fixture
def encoded(monkeypatch):
    """All encoder inputs that are encoded."""
    inputs = []

    def recorded(encoders, batch):
        inputs.extend(batch)
        return encode(encoders, batch)

    monkeypatch.setattr("latentaudio.generation.system.encode", recorded)
    return inputs


def last_latent(model, *prompt, **options):
    """Return the latent of the last sampling step."""
    steps = []
    model.generate(*prompt, **{**QUICK, **options}, on_step=steps.append)
    return steps[-1].z


def test_prompts_are_mixed_by_weight():
    weights = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
    prompts = []
    for value, weight in zip((1.0, 3.0), weights, strict=True):
        cond = Conditioning(torch.full((1, 1), value))
        prompts.append(WeightedConditioning(cond, Conditioning(), weight))

    def make_denoiser(cond, uncond):
        return lambda z, t: torch.ones_like(z) * cond.film

    mixed = compose_weighted(make_denoiser, prompts)(torch.zeros(1, 2, 3, 4), torch.zeros(1))
    expected = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1).expand(1, 2, 3, 4)
    torch.testing.assert_close(mixed, expected)


def test_the_same_cue_twice_equals_the_prompt(tiny):
    cues = [{"text": "a dog"}, {"text": "a dog", "start": 1.0}]
    alone = last_latent(tiny, "a dog", duration=2.0)
    twice = last_latent(tiny, timeline=cues, duration=2.0)
    torch.testing.assert_close(alone, twice, atol=1e-5, rtol=1e-5)


def test_a_clip_begins_with_its_first_cue_and_ends_with_its_last(tiny):
    options = {"duration": 2.0, "steps": 1, "guidance_scale": 1.0}
    first = last_latent(tiny, "a dog", **options)
    last = last_latent(tiny, "rain", **options)
    cues = [{"text": "a dog"}, {"text": "rain", "start": 1.0}]
    both = last_latent(tiny, timeline=cues, crossfade=0.5, **options)
    # frames of 80 ms, and a crossfade from 0.75 to 1.25 s
    torch.testing.assert_close(both[:, :, :9], first[:, :, :9])
    torch.testing.assert_close(both[:, :, 16:], last[:, :, 16:])
    assert (first - last).abs().max() > 1e-3


def test_windows_of_a_long_clip_have_their_own_cues(tiny):
    cues = [PromptCue(text="a dog"), PromptCue(text="rain", start=15.0)]
    requests = tiny.resolve_requests([""], duration=30.0, timeline=cues, **QUICK)
    [windows] = WindowConditioner(tiny).encode_windows([requests])
    counts = [len(prompts) for prompts in windows]
    assert counts[0] == counts[-1] == 1
    assert max(counts) == 2
    assert windows[0][0].cond is not windows[-1][0].cond
    for prompts in windows:
        if len(prompts) == 2:
            total = prompts[0].weight + prompts[1].weight
            torch.testing.assert_close(total, torch.ones_like(total))


def test_an_audio_prompt_replaces_the_language_of_audio(tiny, tone):
    def encode_with(audio_prompt):
        inputs = EncoderInputs(("a dog",), 2, 50, audio_prompt=audio_prompt)
        return encode(tiny.encoders, [inputs])[0]

    audio_prompt = AudioPrompt("x", "loa", tone[0], RATE)
    by_audio = encode_with(audio_prompt)
    by_text = encode_with(None)
    expected = encode_language_of_audio(tiny.encoders, audio_prompt, 2)
    torch.testing.assert_close(by_audio.contexts[0].tokens, expected.tokens)
    torch.testing.assert_close(by_audio.contexts[1].tokens, by_text.contexts[1].tokens)
    half = encode_with(AudioPrompt("x", "loa", tone[0], RATE, 0.5))
    mean = (expected.tokens + by_text.contexts[0].tokens) / 2
    torch.testing.assert_close(half.contexts[0].tokens, mean)


def test_an_audio_prompt_replaces_the_clap_embedding(film_folder, tone):
    model = load(film_folder, "cpu", "fp32")

    def film(audio_prompt):
        inputs = EncoderInputs(("a dog",), 0, audio_prompt=audio_prompt)
        return encode(model.encoders, [inputs])[0].film

    by_text = film(None)
    by_audio = film(AudioPrompt("x", "clap", tone[0], RATE))
    torch.testing.assert_close(film(AudioPrompt("x", "clap", tone[0], RATE, 0.0)), by_text)
    torch.testing.assert_close(by_audio.norm(dim=-1), torch.ones(1))
    similarity = float(model.similarity([tone], ["a dog"])[0, 0])
    assert float((by_audio * by_text).sum()) == pytest.approx(similarity, abs=1e-5, rel=1e-4)


def test_the_translator_continues_known_tokens(tiny):
    translator = tiny.components["translator"]
    generator = torch.Generator().manual_seed(0)
    sources = []
    for length, width in ((1, 8), (5, 24)):
        sources.append(Context.unmasked(torch.randn(1, length, width, generator=generator)))
    sources = tuple(sources)
    free = translator.generate(sources, 6)
    known_mask = torch.tensor([[1.0, 1.0, 0, 0, 0, 0]])
    known = LanguageOfAudio(torch.randn(1, 6, 16, generator=generator), known_mask, "audio")
    continued = translator.generate(sources, 6, known=known)
    torch.testing.assert_close(continued.tokens[:, :2], known.tokens[:, :2])
    assert (continued.tokens[:, 2:] - free.tokens[:, 2:]).abs().max() > 1e-4
    # its own first tokens give the same sequence again
    own_mask = torch.tensor([[1.0, 1.0, 1.0, 0, 0, 0]])
    own = LanguageOfAudio(free.tokens, own_mask, "audio")
    again = translator.generate(sources, 6, known=own).tokens
    torch.testing.assert_close(again, free.tokens, atol=1e-5, rtol=1e-5)
    # teacher forcing gives the same third token after the two known ones
    forced = translator.teacher_forced(sources, known.tokens[:, :3])
    torch.testing.assert_close(continued.tokens[:, 2], forced[:, 2], atol=1e-5, rtol=1e-5)


def test_an_extension_continues_the_whole_tokens_of_its_source(tiny, tone, encoded):
    source = np.tile(tone, 2)
    tiny.extend(source, "a dog", after=1.5, **QUICK)
    [inputs] = [each for each in encoded if each.audio_prompt]
    # tokens of 1.28 s; 4 s are three whole ones
    assert inputs.audio_prompt.mask == (False, False, False, True, True)
    encoded.clear()
    tiny.extend(source, "a dog", after=1.6, in_context=False, **QUICK)
    assert not [each for each in encoded if each.audio_prompt]


def test_the_audio_prompt_of_a_cue_begins_with_its_crossfade(tiny, tone, encoded):
    audio = np.concatenate([tone, 0.5 * tone], axis=1)
    cues = [{"text": "a dog"}, {"start": 1.2, "audio_prompt": audio}]
    requests = tiny.resolve_requests([""], timeline=cues, crossfade=0.8, duration=2.0, **QUICK)
    [[[_, second]]] = WindowConditioner(tiny).encode_windows([requests])
    [prompt] = [inputs.audio_prompt for inputs in encoded if inputs.audio_prompt is not None]
    first = int(np.flatnonzero(second.weight.numpy())[0])
    assert first == 10  # frames of 80 ms: 0.8 s, where the crossfade begins
    samples = prompt.samples[first * 1280 : first * 1280 + 8000]
    np.testing.assert_array_equal(samples, tiny.codec.source_gain(audio) * tone[0, :8000])


def test_the_cache_keeps_no_audio(tiny, tone):
    tiny.generate(audio_prompt=tone, **QUICK)
    for inputs in tiny._encoded:
        assert inputs.audio_prompt is None or not inputs.audio_prompt.samples.size


def test_smoothing_keeps_stationary_latents():
    stationary = torch.randn(1, 2, 1, 4).expand(1, 2, 40, 4)
    torch.testing.assert_close(smooth_latent(stationary), stationary)
    impulse = torch.zeros(1, 1, 41, 1)
    impulse[0, 0, 20] = 1.0
    smoothed = smooth_latent(impulse)
    assert smoothed.sum() == pytest.approx(1.0)
    # weights 1, 3, 4, 3, 1 of 12
    assert smoothed[0, 0, 20] == smoothed.max() == pytest.approx(1 / 3)


def test_an_edit_does_not_depend_on_earlier_ones(tiny_folder, tone):
    """Two gaps in one token of the language of audio: both edits give what they give alone."""
    source = np.tile(tone, 2)
    fresh = load(tiny_folder, "cpu", "fp32")
    used = load(tiny_folder, "cpu", "fp32")
    used.inpaint(source, time_ranges=[(1.4, 1.6)], **QUICK)
    [alone] = fresh.inpaint(source, time_ranges=[(1.8, 2.4)], **QUICK)
    [after] = used.inpaint(source, time_ranges=[(1.8, 2.4)], **QUICK)
    np.testing.assert_array_equal(alone.samples, after.samples)


@pytest.mark.parametrize(
    ("duration", "start"), [(43.0, 30.0), (48.5, 18.0), (49.5, 13.0), (24.5, 17.5)]
)
def test_every_window_has_weights_if_it_has_several_cues(tiny, duration, start):
    cues = [PromptCue(text="a dog"), PromptCue(text="rain", start=start)]
    options = {**QUICK, "timeline": cues, "crossfade": 0.2, "duration": duration}
    [windows] = WindowConditioner(tiny).encode_windows([tiny.resolve_requests([""], **options)])
    for prompts in windows:
        if len(prompts) == 1:
            assert prompts[0].weight is None
        else:
            assert all(prompt.weight is not None for prompt in prompts)


def test_a_cue_with_a_tiny_weight_is_left_out(tiny):
    cues = [{"text": "a dog"}, {"text": "rain", "weight": 1e-8}]
    tiny.generate(timeline=cues, duration=1.0, **QUICK)
    requests = tiny.resolve_requests([""], timeline=cues, duration=1.0, **QUICK)
    [[prompts]] = WindowConditioner(tiny).encode_windows([requests])
    assert len(prompts) == 1
    assert prompts[0].weight is None
