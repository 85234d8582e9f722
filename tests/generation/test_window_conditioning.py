"""What windows hear: cues over time, sounds in the place of words, and a sound that goes on."""

import numpy as np
import pytest
import torch

from latentaudio import load
from latentaudio.conditioning import encode
from latentaudio.conditioning.base import AudioPrompt, EncoderInputs
from latentaudio.conditioning.language_of_audio import encode_language_of_audio
from latentaudio.config.options import PromptCue, GenerationOptions
from latentaudio.diffusion.guidance import compose_weighted
from latentaudio.errors import UsageError
from latentaudio.generation.window_conditioning import smooth_latent
from latentaudio.types import Conditioning, Context, LanguageOfAudio, WeightedConditioning

RATE = 16000
QUICK = {"steps": 2, "seed": 3, "candidates": 1}


@pytest.fixture(scope="module")
def sound():
    t = np.arange(2 * RATE) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)[None]


def last(model, *prompt, **wishes):
    """The latent that a walk ends with."""
    steps = []
    model.generate(*prompt, **{**QUICK, **wishes}, on_step=steps.append)
    return steps[-1].z


def test_voices_are_mixed_by_their_shares():
    zero = Conditioning()
    shares = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
    voices = [
        WeightedConditioning(Conditioning(torch.full((1, 1), k)), zero, share)
        for k, share in zip((1.0, 3.0), shares, strict=True)
    ]
    one = lambda heard, null: lambda z, t: torch.ones_like(z) * heard.film  # noqa: E731
    mixed = compose_weighted(one, voices)(torch.zeros(1, 2, 3, 4), torch.zeros(1))
    torch.testing.assert_close(
        mixed, torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1).expand(1, 2, 3, 4)
    )


def test_the_same_cue_twice_is_that_prompt(tiny):
    alone = last(tiny, "a dog", duration=2.0)
    twice = last(tiny, timeline=[{"text": "a dog"}, {"text": "a dog", "start": 1.0}], duration=2.0)
    torch.testing.assert_close(alone, twice, atol=1e-5, rtol=1e-5)


def test_a_clip_begins_as_its_first_cue_and_ends_as_its_last(tiny):
    a, b = (last(tiny, text, duration=2.0, steps=1, guidance_scale=1.0) for text in ("a dog", "rain"))
    both = last(
        tiny,
        timeline=[{"text": "a dog"}, {"text": "rain", "start": 1.0}],
        crossfade=0.5,
        duration=2.0,
        steps=1,
        guidance_scale=1.0,
    )
    torch.testing.assert_close(
        both[:, :, :9], a[:, :, :9]
    )  # cells of 80 ms, and a fade from 0.75 to 1.25 s
    torch.testing.assert_close(both[:, :, 16:], b[:, :, 16:])
    assert (a - b).abs().max() > 1e-3


def test_windows_of_a_long_clip_hear_their_own_cues_only(tiny):
    request = GenerationOptions(
        prompt="", duration=30.0, timeline=[PromptCue(text="a dog"), PromptCue(text="rain", start=15.0)], **QUICK
    )
    [request] = tiny.resolve_requests([""], duration=30.0, timeline=request.timeline, **QUICK)
    [windows] = tiny.conditioner.encode_windows([[request]])
    counts = [len(voices) for voices in windows]
    assert counts[0] == counts[-1] == 1 and max(counts) == 2
    assert windows[0][0].cond is not windows[-1][0].heard
    for voices in windows:
        if len(voices) == 2:
            torch.testing.assert_close(
                sum(v.weight for v in voices), torch.ones_like(voices[0].weight)
            )


def test_a_sound_is_heard_by_its_language_of_audio(tiny, sound):
    given = AudioPrompt("x", "loa", sound[0], RATE)
    [heard] = encode(tiny.text_encoders, [EncoderInputs(("a dog",), 2, 50, audio_prompt=given)])
    expected = encode_language_of_audio(tiny.text_encoders, given, 2)
    torch.testing.assert_close(heard.contexts[0].tokens, expected.tokens)
    [words] = encode(tiny.text_encoders, [EncoderInputs(("a dog",), 2, 50)])
    torch.testing.assert_close(heard.contexts[1].tokens, words.contexts[1].tokens)
    [half] = encode(
        tiny.text_encoders, [EncoderInputs(("a dog",), 2, 50, audio_prompt=AudioPrompt("x", "loa", sound[0], RATE, 0.5))]
    )
    torch.testing.assert_close(
        half.contexts[0].tokens, (expected.tokens + words.contexts[0].tokens) / 2
    )


def test_a_sound_takes_the_place_of_claps_reading(film_folder, sound):
    model = load(film_folder, "cpu", "fp32")
    [words] = encode(model.text_encoders, [EncoderInputs(("a dog",), 0)])
    [heard] = encode(
        model.text_encoders, [EncoderInputs(("a dog",), 0, audio_prompt=AudioPrompt("x", "clap", sound[0], RATE))]
    )
    [none] = encode(
        model.text_encoders, [EncoderInputs(("a dog",), 0, audio_prompt=AudioPrompt("x", "clap", sound[0], RATE, 0.0))]
    )
    torch.testing.assert_close(none.film, words.film)
    torch.testing.assert_close(heard.film.norm(dim=-1), torch.ones(1))
    likeness = model.similarity([sound], ["a dog"])[0, 0]
    torch.testing.assert_close(
        float((heard.film * words.film).sum()), float(likeness), atol=1e-5, rtol=1e-4
    )


def test_what_is_told_stands_and_is_read_by_what_follows(tiny):
    translator, dice = tiny.components["translator"], torch.Generator().manual_seed(0)
    sources = tuple(
        Context.unmasked(torch.randn(1, n, w, generator=dice)) for n, w in ((1, 8), (5, 24))
    )
    free = translator.generate(sources, 6)
    told = LanguageOfAudio(
        torch.randn(1, 6, 16, generator=dice), torch.tensor([[1.0, 1.0, 0, 0, 0, 0]]), "audio"
    )
    made = translator.generate(sources, 6, known=told)
    torch.testing.assert_close(made.tokens[:, :2], told.tokens[:, :2])
    assert (made.tokens[:, 2:] - free.tokens[:, 2:]).abs().max() > 1e-4
    # with its own words told, it writes what it would have written
    same = LanguageOfAudio(free.tokens, torch.tensor([[1.0, 1.0, 1.0, 0, 0, 0]]), "audio")
    torch.testing.assert_close(
        translator.generate(sources, 6, known=same).tokens, free.tokens, atol=1e-5, rtol=1e-5
    )
    # the teacher reads the same: the third vector after two told ones
    torch.testing.assert_close(
        made.tokens[:, 2],
        translator.teacher_forced(sources, told.tokens[:, :3])[:, 2],
        atol=1e-5,
        rtol=1e-5,
    )


def test_an_extension_is_told_what_the_sound_says(tiny, sound, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "latentaudio.generation.window_conditioning.encode",
        lambda parts, rs: seen.extend(rs) or encode(parts, rs),
    )
    long = np.tile(sound, 2)
    tiny.extend(long, "a dog", after=1.5, **QUICK)
    [heard] = [r for r in seen if r.audio_prompt]
    assert heard.audio_prompt.known_mask == (
        True,
        True,
        True,
        False,
        False,
    )  # 1.28 s each; 4 s are three whole ones
    seen.clear()
    tiny.extend(long, "a dog", after=1.6, in_context=False, **QUICK)
    assert not [r for r in seen if r.audio_prompt]


def test_a_cues_sound_begins_where_it_is_first_heard(tiny, sound, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "latentaudio.generation.window_conditioning.encode",
        lambda parts, rs: seen.extend(rs) or encode(parts, rs),
    )
    cues = [{"text": "a dog"}, {"start": 1.2, "audio_prompt": np.concatenate([sound, 0.5 * sound], axis=1)}]
    requests = tiny.resolve_requests([""], timeline=cues, crossfade=0.8, duration=2.0, **QUICK)
    [windows] = tiny.conditioner.encode_windows([requests])
    [[_, second]] = windows
    [heard] = [reading.audio_prompt for reading in seen if reading.audio_prompt is not None]
    assert all(
        r.audio_prompt is None or not r.audio_prompt.samples.size for r in tiny.conditioner._cache
    )  # keys hold no sound
    first = int(np.flatnonzero(second.weight.numpy())[0])
    assert first == 10  # of cells of 80 ms: 0.8 s, where the fade begins
    np.testing.assert_array_equal(
        heard.samples[first * 1280 : first * 1280 + 8000], sound[0, :8000]
    )


def test_a_latent_without_detail_keeps_what_is_steady():
    steady = torch.randn(1, 2, 1, 4).expand(1, 2, 40, 4)
    torch.testing.assert_close(smooth_latent(steady), steady)
    blip = torch.zeros(1, 1, 41, 1)
    blip[0, 0, 20] = 1.0
    out = smooth_latent(blip)
    assert out.sum() == pytest.approx(1.0) and out[0, 0, 20] == out.max() == pytest.approx(
        1 / 3
    )  # 1, 3, 4, 3, 1 of 12


def test_a_clip_like_a_sound_is_as_long_as_it(tiny, sound):
    [clip] = tiny.generate(audio_prompt=sound[:, :20000], **QUICK)
    assert clip.samples.shape == (1, 20000)
    [again] = tiny.generate(audio_prompt=sound[:, :20000], **QUICK)
    np.testing.assert_array_equal(clip.samples, again.samples)
    [other] = tiny.generate(audio_prompt=sound[:, 300:20300] * 0.1, **QUICK)
    assert np.abs(clip.samples - other.samples).max() > 1e-3
    assert [cue.audio_prompt_mode for cue in clip.options.timeline] == ["loa"]


def test_cues_come_back_from_tags(tiny):
    [clip] = tiny.generate(
        timeline=[{"text": "a dog"}, {"text": "rain", "start": 0.5}], duration=1.0, **QUICK
    )
    request = GenerationOptions.from_tags(clip.tags)
    assert request.timeline == clip.options.timeline
    [again] = tiny.stream([request])
    np.testing.assert_array_equal(clip.samples, again.samples)


def test_two_sounds_become_each_other(tiny, sound):
    [clip] = tiny.morph(sound, "a dog", duration=1.0, **QUICK)
    assert clip.duration == 1.0 and [cue.has_audio for cue in clip.options.timeline] == [True, False]
    assert clip.options.crossfade == 1.0


@pytest.mark.parametrize(
    ("cues", "said"),
    [
        ([{"text": "a", "start": 1.0}], "let one start at 0"),
        ([{"text": "a"}, {"text": "b", "start": 9.0}], "after the end"),
        ([{"text": ""}], "prompt is empty"),
        ([{"text": "a", "weight": 0}], "weight"),
        ([{"text": "a", "audio_prompt_weight": 2}], "weight"),
        ([{"text": "a" * 3000}], "text"),
    ],
)
def test_nonsense_cues_are_one_line(tiny, cues, said):
    with pytest.raises(UsageError, match=said) as told:
        tiny.generate(timeline=cues, duration=2.0, **QUICK)
    assert "\n" not in str(told.value)


def test_a_loop_of_a_prompt_meets_itself(tiny, monkeypatch):
    loud = tiny.codec.decode
    monkeypatch.setattr(tiny.codec, "decode", lambda z: [0.2 * wave for wave in loud(z)])
    [clip] = tiny.generate("a dog", duration=2.0, loop_seam=0.5, **QUICK)
    steps = np.abs(np.diff(np.concatenate([clip.samples[0], clip.samples[0, :1]])))
    assert clip.samples.shape == (1, 2 * RATE) and steps[-1] <= np.median(steps)
    with pytest.raises(UsageError, match="loop_seam = 1 s; set above"):
        tiny.generate("a dog", duration=1.0, loop_seam=1.0, **QUICK)


def test_what_is_heard_depends_on_nothing_made_before(tiny_folder, sound):
    """Two holes in one token of the language of audio: the second's clip is what it is alone."""
    long = np.tile(sound, 2)
    fresh, used = load(tiny_folder, "cpu", "fp32"), load(tiny_folder, "cpu", "fp32")
    used.inpaint(long, time_ranges=[(1.4, 1.6)], **QUICK)
    [alone], [after] = (model.inpaint(long, time_ranges=[(1.8, 2.4)], **QUICK) for model in (fresh, used))
    np.testing.assert_array_equal(alone.samples, after.samples)


def test_second_passes_hear_what_the_clip_heard(tiny, sound, monkeypatch):
    [clip] = tiny.generate(audio_prompt=sound, stereo_width=0.5, **QUICK)  # without a word
    assert clip.samples.shape[0] == 2
    [clip] = tiny.inpaint(sound, time_ranges=[(0.5, 1.0)], stereo_width=0.5, **QUICK)
    assert clip.samples.shape[0] == 2
    cues = [
        {"text": "a dog " * 150},
        {"text": "rain " * 180, "start": 0.7},
        {"text": "a bell " * 128, "start": 1.4},
    ]
    with pytest.warns(UserWarning, match="uses only its beginning"):
        [clip] = tiny.generate(timeline=cues, duration=2.0, stereo_width=0.5, loop_seam=0.5, **QUICK)
    assert clip.samples.shape == (2, 2 * RATE)


@pytest.mark.parametrize(
    ("seconds", "at"), [(43.0, 30.0), (48.5, 18.0), (49.5, 13.0), (24.5, 17.5)]
)
def test_scores_of_round_numbers_share_every_window(tiny, seconds, at):
    request = {
        "timeline": [PromptCue(text="a dog"), PromptCue(text="rain", start=at)],
        "crossfade": 0.2,
        "duration": seconds,
    }
    [windows] = tiny.conditioner.encode_windows([tiny.resolve_requests([""], **{**QUICK, **request})])
    for voices in windows:
        assert (
            all(voice.weight is not None for voice in voices)
            if len(voices) > 1
            else voices[0].weight is None
        )


def test_a_share_too_small_is_not_heard(tiny):
    tiny.generate(timeline=[{"text": "a dog"}, {"text": "rain", "weight": 1e-8}], duration=1.0, **QUICK)


def test_what_grows_has_no_whole(tiny):
    for wish in ({"num_waveforms": 2}, {"sample_rate": 8000}, {"stereo_width": 0.5}, {"sampler": "lcm"}):
        with pytest.raises(UsageError, match=r"leave out|choose another"):
            tiny.generate_stream("a dog", duration=1.0, **wish)
