"""Code written for diffusers, run twice with one import changed: what comes out must be the same."""

import sys

import numpy as np
import published
import pytest
import torch
from diffusers import (
    AudioLDM2Pipeline,
    AudioLDMPipeline,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
)
from published import PROMPTS

from latentaudio.compat import pipelines
from latentaudio.errors import UsageError

PAIRS = {
    "audioldm2": (published.audioldm2, AudioLDM2Pipeline, pipelines.AudioLDM2Pipeline),
    "v1": (published.audioldm, AudioLDMPipeline, pipelines.AudioLDMPipeline),
}
SECONDS = 0.3  # 30 frames, a grid that cannot be halved


@pytest.fixture(scope="module", params=PAIRS)
def pair(request, tmp_path_factory):
    make, _, ours = PAIRS[request.param]
    theirs = make()
    folder = published.save(theirs, tmp_path_factory.mktemp("compat") / request.param)
    theirs.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    mine = ours.from_pretrained(folder, torch_dtype=torch.float32)
    for pipe in (theirs, mine):
        pipe.set_progress_bar_config(disable=True)
    return theirs, mine.to("cpu")


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    theirs = published.audioldm2()
    mine = pipelines.AudioLDM2Pipeline.from_pretrained(
        published.save(theirs, tmp_path_factory.mktemp("second") / "audioldm2")
    )
    for pipe in (theirs, mine):
        pipe.set_progress_bar_config(disable=True)
    return theirs, mine


def agree(theirs, mine):
    assert theirs.shape == mine.shape
    assert theirs.std() > 0
    assert np.abs(theirs - mine).max() < 1e-4 * theirs.std()


def both(pair, *given, **settings):
    made = []
    for pipe in pair:
        generator = torch.Generator("cpu").manual_seed(0)
        made.append(
            pipe(
                *given,
                generator=generator,
                audio_length_in_s=SECONDS,
                num_inference_steps=4,
                **settings,
            ).audios
        )
    return made


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"guidance_scale": 1.0}, {"guidance_scale": 0.5}, {"eta": 0.7}, {"negative_prompt": ["soft music"] * 3},
        {"output_type": "latent"}, {"output_type": "pt"},
    ],
    ids=str,
)  # fmt: skip
def test_a_call_gives_what_diffusers_gives(pair, settings):
    if settings.get("output_type") == "latent" and isinstance(pair[0], AudioLDMPipeline):
        settings = {}  # it has no such type
    agree(*(np.asarray(made) for made in both(pair, PROMPTS, **settings)))


@pytest.mark.parametrize(
    "kind", [DPMSolverMultistepScheduler, EulerDiscreteScheduler, PNDMScheduler, DDIMScheduler]
)
def test_schedulers_are_swapped_by_from_config(pair, kind):
    before = [pipe.scheduler for pipe in pair]
    try:
        for pipe in pair:
            pipe.scheduler = kind.from_config(pipe.scheduler.config)
        agree(*both(pair, PROMPTS))
    finally:
        for pipe, scheduler in zip(pair, before, strict=True):
            pipe.scheduler = scheduler


def test_several_waveforms_of_one_prompt_come_best_first(second):
    agree(*both(second, PROMPTS[2], num_waveforms_per_prompt=3))


def test_candidates_are_ranked_among_their_own_prompt(second):
    _, mine = second
    generator = torch.Generator().manual_seed(0)
    made = mine(
        PROMPTS[:2],
        num_waveforms_per_prompt=2,
        num_inference_steps=2,
        audio_length_in_s=0.32,
        generator=generator,
    ).audios
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4, 4, 8, 4, generator=generator)
    alone = mine(
        PROMPTS[:1],
        num_waveforms_per_prompt=2,
        num_inference_steps=2,
        audio_length_in_s=0.32,
        latents=z[:2],
    ).audios
    np.testing.assert_allclose(made[:2], alone, atol=1e-6)


def test_embeddings_can_be_made_and_passed(second):
    made = [pipe.encode_prompt(PROMPTS, "cpu", 1, True) for pipe in second]
    for ours, want in zip(made[1], made[0], strict=True):
        keep = want if want.ndim < 3 else want * 1.0
        if want.shape == made[0][0].shape:  # T5's states: what is masked is nobody's business
            keep, ours = keep * made[0][1][..., None], ours * made[0][1][..., None]
        torch.testing.assert_close(ours.float(), keep.float(), atol=1e-5, rtol=1e-5)
    halves = [tuple(x.chunk(2) for x in (e[0], e[1], e[2])) for e in made]
    clips = []
    for pipe, (states, mask, written) in zip(second, halves, strict=True):
        clips.append(
            pipe(
                prompt_embeds=states[1], attention_mask=mask[1], generated_prompt_embeds=written[1],
                negative_prompt_embeds=states[0],
                negative_attention_mask=mask[0], negative_generated_prompt_embeds=written[0], num_inference_steps=2,
                audio_length_in_s=SECONDS, generator=torch.Generator().manual_seed(1),
            ).audios
        )  # fmt: skip
    agree(*clips)


def test_old_and_new_callbacks_are_called_and_may_change_latents(second):
    _, mine = second
    seen, steps = [], []
    settings = {"num_inference_steps": 3, "audio_length_in_s": 0.32}
    mine(
        "music",
        callback=lambda i, t, z: seen.append((i, int(t), z.shape)),
        callback_steps=2,
        **settings,
    )
    assert [s[0] for s in seen] == [0, 2] and seen[0][2] == (1, 4, 8, 4)

    def silence(pipe, step, t, kwargs):
        steps.append(step)
        return {"latents": torch.zeros_like(kwargs["latents"])}

    made = mine("music", callback_on_step_end=silence, output_type="latent", **settings).audios
    assert steps == [0, 1, 2] and not made.any()


@pytest.mark.parametrize("kind", [PNDMScheduler, HeunDiscreteScheduler, EulerDiscreteScheduler])
def test_callbacks_are_told_of_the_steps_that_diffusers_tells_of(second, kind):
    told = []
    for pipe in second:
        before, seen = pipe.scheduler, []
        pipe.scheduler = kind.from_config(
            before.config, **{} if kind is PNDMScheduler else {"timestep_spacing": "linspace"}
        )
        tell = {"callback": lambda i, t, z, seen=seen: seen.append((i, float(t)))}
        pipe("music", num_inference_steps=5, audio_length_in_s=0.32, **tell)
        pipe.scheduler = before
        told.append(seen)
    assert told[0] == told[1] and len(told[1]) == 5
    if kind is EulerDiscreteScheduler:
        assert any(t % 1 for _, t in told[1])


def test_generators_may_be_a_list_and_a_result_a_tuple(pair):
    made = []
    for pipe in pair:
        dice = [torch.Generator().manual_seed(k) for k in range(3)]
        made.append(
            pipe(
                PROMPTS,
                generator=dice,
                num_inference_steps=2,
                audio_length_in_s=0.32,
                return_dict=False,
            )[0]
        )
    agree(*made)


def test_a_component_of_ones_own_takes_its_place(second, tmp_path):
    theirs, _ = second
    folder = published.save(theirs, tmp_path / "again")
    other = published.randomise(published.audioldm2().unet, seed=5)
    mine = pipelines.AudioLDM2Pipeline.from_pretrained(
        folder, unet=other, language_model=theirs.language_model
    )
    theirs = AudioLDM2Pipeline(**{**theirs.components, "unet": other})
    for pipe in (theirs, mine):
        pipe.set_progress_bar_config(disable=True)
    agree(*both((theirs, mine), PROMPTS))


def test_names_of_methods_that_change_no_sound_are_there(second):
    theirs, mine = second
    for name in ("enable_model_cpu_offload", "enable_sequential_cpu_offload", "enable_vae_slicing", "disable_vae_slicing",
                 "enable_attention_slicing"):  # fmt: skip
        getattr(mine, name)()
    assert mine.unet is mine.model.unet and mine.text_encoder is mine.model.text.clap
    assert mine.vocoder.config.sampling_rate == theirs.vocoder.config.sampling_rate
    assert mine.vae_scale_factor == theirs.vae_scale_factor and mine.dtype == torch.float32
    assert {"unet", "vae", "scheduler"} <= mine.components.keys()
    for name in ("safety_checker", "enable_nonsense"):
        with pytest.raises(AttributeError, match=f"has no '{name}'"):
            getattr(mine, name)


def test_a_component_that_is_set_is_computed_with(second, tmp_path):
    theirs, _ = second
    mine = pipelines.AudioLDM2Pipeline.from_pretrained(published.save(theirs, tmp_path / "set"))
    mine.set_progress_bar_config(disable=True)
    other = published.randomise(published.audioldm2().unet, seed=9)
    mine.unet = other
    agree(*both((AudioLDM2Pipeline(**{**theirs.components, "unet": other}), mine), PROMPTS))
    with pytest.raises(UsageError, match="the unet is yours"):
        mine.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    asked = []
    mine.unet.register_forward_pre_hook(lambda *_: asked.append(1))
    mine.unet = torch.compile(mine.unet, backend="eager")
    both((mine,), PROMPTS)
    assert asked


def test_subclasses_types_and_words_behind_to(second, tmp_path):
    class Mine(pipelines.AudioLDM2Pipeline):
        pass

    folder = published.save(second[0], tmp_path / "sub")
    pipe = Mine.from_pretrained(folder)
    assert pipe.to("cpu", silence_dtype_warnings=True).to(torch.float64).dtype == torch.float32
    assert pipe.to(dtype=torch.float16).dtype == torch.bfloat16
    with pytest.raises(UsageError, match="revision= is not supported"):
        Mine.from_pretrained(folder, revision="old")


def test_saving_keeps_the_scheduler_and_writes_over(second, tmp_path):
    theirs, _ = second
    mine = pipelines.AudioLDM2Pipeline.from_pretrained(published.save(theirs, tmp_path / "from"))
    mine.scheduler = EulerDiscreteScheduler.from_config(mine.scheduler.config)
    for _ in range(2):
        mine.save_pretrained(tmp_path / "saved")
    opened = AudioLDM2Pipeline.from_pretrained(tmp_path / "saved", tokenizer_2=theirs.tokenizer_2)
    assert type(opened.scheduler) is EulerDiscreteScheduler


def test_a_folder_is_sampled_by_the_scheduler_that_it_names(second, tmp_path, monkeypatch):
    theirs, mine = second
    folder = published.save(theirs, tmp_path / "euler")
    euler = EulerDiscreteScheduler.from_config(mine.scheduler.config)
    euler.save_pretrained(folder / "scheduler")
    opened = pipelines.AudioLDM2Pipeline.from_pretrained(folder)
    assert type(opened.scheduler) is EulerDiscreteScheduler
    assert all(
        opened.scheduler.config[name] == value
        for name, value in euler.config.items()
        if name[0] != "_"
    )
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(
        UsageError, match="wants the EulerDiscreteScheduler of diffusers; pip install diffusers"
    ):
        pipelines.AudioLDM2Pipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def speakers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speakers")
    theirs = published.audioldm2((None, 16), speech=True)
    mine = pipelines.AudioLDM2Pipeline.from_pretrained(published.save(theirs, folder / "speech"))
    theirs.tokenizer_2 = published.phoneme_symbols(folder / "symbols")
    for pipe in (theirs, mine):
        pipe.set_progress_bar_config(disable=True)
    return theirs, mine


def test_embeddings_of_speech_can_be_made_and_passed(speakers, monkeypatch):
    monkeypatch.setattr("latentaudio.conditioning.g2p.phonemes", lambda text: text)
    said = ["həlˈoʊ wˈɜːld!", "ɐ mˈæn"]
    with torch.no_grad():
        made = [
            pipe.encode_prompt(PROMPTS[:2], "cpu", 1, True, transcription=said, max_new_tokens=8)
            for pipe in speakers
        ]
    (states, mask, written), (our_states, our_mask, our_written) = made
    agree(written.numpy(), our_written.numpy())
    assert torch.equal(mask.float(), our_mask.float())
    places = (
        speakers[0].projection_model.learnable_positional_embedding.detach().mT
    )  # theirs are added later
    agree((states * mask[..., None]).numpy(), ((our_states - places) * our_mask[..., None]).numpy())
    clips = []
    for pipe in speakers:
        halves = [x.chunk(2) for x in made[0]]
        given = {
            f"{sign}{name}": half[k]
            for k, sign in ((1, ""), (0, "negative_"))
            for name, half in zip(
                ("prompt_embeds", "attention_mask", "generated_prompt_embeds"), halves, strict=True
            )
        }
        dice = torch.Generator().manual_seed(3)
        clips.append(
            pipe(
                **given,
                transcription=said,
                num_inference_steps=2,
                audio_length_in_s=SECONDS,
                generator=dice,
            ).audios
        )
    agree(*clips)


def test_speech_wants_something_to_say(speakers):
    _, mine = speakers
    assert mine.text_encoder_2 is mine.model.text.phonemes is not None
    for said in (None, ["hello"]):
        with pytest.raises(UsageError, match="give transcription= for each of 2 prompts"):
            mine(["a man", "a woman"], transcription=said)


def test_save_pretrained_writes_what_opens_again(pair, tmp_path):
    _, mine = pair
    mine.save_pretrained(tmp_path / "saved")
    again = type(mine).from_pretrained(tmp_path / "saved")
    again.set_progress_bar_config(disable=True)
    first, second = both((mine, again), PROMPTS)
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "pass either prompt or prompt_embeds"),
        ({"prompt": "a dog", "negative_prompt": ["a", "b"]}, "must be a text where prompt is"),
        ({"prompt": ["a dog"], "negative_prompt": ["a", "b"]}, "2 negative prompts for 1 prompts"),
        ({"prompt": "a dog", "audio_length_in_s": 0.01}, "too short; ask for 0.04 or more"),
        ({"prompt": ["a dog"] * 2, "generator": [torch.Generator()]}, "1 generators for 2 clips"),
        ({"prompt": 3}, "a text or a list of texts"),
        ({"prompt": []}, "a text or a list of texts"),
        ({"prompt": "a dog", "callback_steps": 0}, "callback_steps = 0"),
        ({"prompt": "a dog", "audio_length_in_s": float("nan")}, "must be numbers that are finite"),
        (
            {"prompt": "a dog", "latents": torch.zeros(1, 4, 9, 4), "audio_length_in_s": 0.32},
            r"must be \[1, 4, 8, 4\]",
        ),
        (
            {"prompt": "a dog", "output_type": "mp3", "audio_length_in_s": 0.32},
            "choose np, pt or latent",
        ),
        ({"prompt_embeds": torch.zeros(1, 3, 24)}, "go together; pass both"),
    ],
)
def test_refusals(second, given, line):
    with pytest.raises(UsageError, match=line):
        second[1](num_inference_steps=1, **given)


def test_a_model_of_the_other_kind_is_refused(pair):
    other = (
        pipelines.AudioLDMPipeline
        if isinstance(pair[1], pipelines.AudioLDM2Pipeline)
        else pipelines.AudioLDM2Pipeline
    )
    with pytest.raises(UsageError, match="use that class"):
        other.from_pretrained(pair[1].model.found.folder)
