"""Code for diffusers' pipelines, run twice with one import changed: the results must agree."""

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

from latentaudio import compat
from latentaudio.errors import UsageError

PIPELINES = {
    "audioldm2": (published.audioldm2, AudioLDM2Pipeline, compat.AudioLDM2Pipeline),
    "v1": (published.audioldm, AudioLDMPipeline, compat.AudioLDMPipeline),
}
DURATION_S = 0.3  # 30 mel frames: a latent that the UNet cannot halve evenly


@pytest.fixture(scope="module", params=PIPELINES)
def pair(request, tmp_path_factory):
    make, _, our_class = PIPELINES[request.param]
    diffusers_pipe = make()
    folder = published.save(diffusers_pipe, tmp_path_factory.mktemp("compat") / request.param)
    diffusers_pipe.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    our_pipe = our_class.from_pretrained(folder, torch_dtype=torch.float32)
    for pipe in (diffusers_pipe, our_pipe):
        pipe.set_progress_bar_config(disable=True)
    return diffusers_pipe, our_pipe.to("cpu")


@pytest.fixture(scope="module")
def audioldm2_pair(tmp_path_factory):
    diffusers_pipe = published.audioldm2()
    our_pipe = compat.AudioLDM2Pipeline.from_pretrained(
        published.save(diffusers_pipe, tmp_path_factory.mktemp("second") / "audioldm2")
    )
    for pipe in (diffusers_pipe, our_pipe):
        pipe.set_progress_bar_config(disable=True)
    return diffusers_pipe, our_pipe


def assert_agree(expected, actual):
    """Assert that two results of [B, samples] agree to 1e-4 of their deviation."""
    assert expected.shape == actual.shape
    assert expected.std() > 0
    assert np.abs(expected - actual).max() < 1e-4 * expected.std()


def run_both(pair, *arguments, **settings):
    results = []
    for pipe in pair:
        generator = torch.Generator("cpu").manual_seed(0)
        results.append(
            pipe(
                *arguments,
                generator=generator,
                audio_length_in_s=DURATION_S,
                num_inference_steps=4,
                **settings,
            ).audios
        )
    return results


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.5},
        {"eta": 0.7},
        {"negative_prompt": ["soft music"] * 3},
        {"output_type": "latent"},
        {"output_type": "pt"},
    ],
    ids=str,
)
def test_calls_agree_with_diffusers(pair, settings):
    if settings.get("output_type") == "latent" and isinstance(pair[0], AudioLDMPipeline):
        settings = {}  # AudioLDMPipeline has no such output type
    assert_agree(*(np.asarray(results) for results in run_both(pair, PROMPTS, **settings)))


@pytest.mark.parametrize(
    "scheduler_class",
    [DPMSolverMultistepScheduler, EulerDiscreteScheduler, PNDMScheduler, DDIMScheduler],
)
def test_swapped_schedulers_agree_with_diffusers(pair, scheduler_class):
    before = [pipe.scheduler for pipe in pair]
    try:
        for pipe in pair:
            pipe.scheduler = scheduler_class.from_config(pipe.scheduler.config)
        assert_agree(*run_both(pair, PROMPTS))
    finally:
        for pipe, scheduler in zip(pair, before, strict=True):
            pipe.scheduler = scheduler


def test_waveforms_of_a_prompt_are_sorted_by_score(audioldm2_pair):
    assert_agree(*run_both(audioldm2_pair, PROMPTS[2], num_waveforms_per_prompt=3))


def test_candidates_are_ranked_within_their_own_prompt(audioldm2_pair):
    _, our_pipe = audioldm2_pair
    generator = torch.Generator().manual_seed(0)
    results = our_pipe(
        PROMPTS[:2],
        num_waveforms_per_prompt=2,
        num_inference_steps=2,
        audio_length_in_s=0.32,
        generator=generator,
    ).audios
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4, 4, 8, 4, generator=generator)
    alone = our_pipe(
        PROMPTS[:1],
        num_waveforms_per_prompt=2,
        num_inference_steps=2,
        audio_length_in_s=0.32,
        latents=z[:2],
    ).audios
    # a batch of another size adds in another order; a candidate of another seed differs by 0.1
    np.testing.assert_allclose(results[:2], alone, atol=1e-5)


def test_embeddings_can_be_computed_and_passed(audioldm2_pair):
    results = [pipe.encode_prompt(PROMPTS, "cpu", 1, True) for pipe in audioldm2_pair]
    for actual, reference in zip(results[1], results[0], strict=True):
        expected = reference if reference.ndim < 3 else reference * 1.0
        if reference.shape == results[0][0].shape:  # T5's states; those of padding may differ
            expected, actual = (
                expected * results[0][1][..., None],
                actual * results[0][1][..., None],
            )
        torch.testing.assert_close(actual.float(), expected.float(), atol=1e-5, rtol=1e-5)
    halves = [tuple(x.chunk(2) for x in (e[0], e[1], e[2])) for e in results]
    clips = []
    for pipe, (states, mask, generated) in zip(audioldm2_pair, halves, strict=True):
        clips.append(
            pipe(
                prompt_embeds=states[1],
                attention_mask=mask[1],
                generated_prompt_embeds=generated[1],
                negative_prompt_embeds=states[0],
                negative_attention_mask=mask[0],
                negative_generated_prompt_embeds=generated[0],
                num_inference_steps=2,
                audio_length_in_s=DURATION_S,
                generator=torch.Generator().manual_seed(1),
            ).audios
        )
    assert_agree(*clips)


def test_old_and_new_callbacks_run_and_can_change_latents(audioldm2_pair):
    _, our_pipe = audioldm2_pair
    calls_seen, steps = [], []
    settings = {"num_inference_steps": 3, "audio_length_in_s": 0.32}
    our_pipe(
        "music",
        callback=lambda i, t, z: calls_seen.append((i, int(t), z.shape)),
        callback_steps=2,
        **settings,
    )
    assert [s[0] for s in calls_seen] == [0, 2] and calls_seen[0][2] == (1, 4, 8, 4)

    def silence(pipe, step, t, kwargs):
        steps.append(step)
        return {"latents": torch.zeros_like(kwargs["latents"])}

    results = our_pipe(
        "music", callback_on_step_end=silence, output_type="latent", **settings
    ).audios
    assert steps == [0, 1, 2] and not results.any()


@pytest.mark.parametrize(
    "scheduler_class", [PNDMScheduler, HeunDiscreteScheduler, EulerDiscreteScheduler]
)
def test_callbacks_get_the_steps_that_diffusers_reports(audioldm2_pair, scheduler_class):
    reported = []
    for pipe in audioldm2_pair:
        before, calls_seen = pipe.scheduler, []
        pipe.scheduler = scheduler_class.from_config(
            before.config,
            **{} if scheduler_class is PNDMScheduler else {"timestep_spacing": "linspace"},
        )
        callback = {
            "callback": lambda i, t, z, calls_seen=calls_seen: calls_seen.append((i, float(t)))
        }
        pipe("music", num_inference_steps=5, audio_length_in_s=0.32, **callback)
        pipe.scheduler = before
        reported.append(calls_seen)
    assert reported[0] == reported[1] and len(reported[1]) == 5
    if scheduler_class is EulerDiscreteScheduler:
        assert any(t % 1 for _, t in reported[1])


def test_a_list_of_generators_and_a_tuple_result_agree(pair):
    results = []
    for pipe in pair:
        generators = [torch.Generator().manual_seed(k) for k in range(3)]
        results.append(
            pipe(
                PROMPTS,
                generator=generators,
                num_inference_steps=2,
                audio_length_in_s=0.32,
                return_dict=False,
            )[0]
        )
    assert_agree(*results)


def test_a_component_passed_by_the_caller_is_used(audioldm2_pair, tmp_path):
    diffusers_pipe, _ = audioldm2_pair
    folder = published.save(diffusers_pipe, tmp_path / "again")
    other = published.randomize(published.audioldm2().unet, seed=5)
    our_pipe = compat.AudioLDM2Pipeline.from_pretrained(
        folder, unet=other, language_model=diffusers_pipe.language_model
    )
    diffusers_pipe = AudioLDM2Pipeline(**{**diffusers_pipe.components, "unet": other})
    for pipe in (diffusers_pipe, our_pipe):
        pipe.set_progress_bar_config(disable=True)
    assert_agree(*run_both((diffusers_pipe, our_pipe), PROMPTS))


def test_diffusers_attributes_and_noop_methods_exist(audioldm2_pair):
    diffusers_pipe, our_pipe = audioldm2_pair
    for name in (
        "enable_model_cpu_offload",
        "enable_sequential_cpu_offload",
        "enable_vae_slicing",
        "disable_vae_slicing",
        "enable_attention_slicing",
    ):
        getattr(our_pipe, name)()
    assert type(our_pipe.unet) is type(diffusers_pipe.unet)
    assert our_pipe.vocoder.config.sampling_rate == diffusers_pipe.vocoder.config.sampling_rate
    assert (
        our_pipe.vae_scale_factor == diffusers_pipe.vae_scale_factor
        and our_pipe.dtype == torch.float32
    )
    assert {"unet", "vae", "scheduler"} <= our_pipe.components.keys()
    for name in ("safety_checker", "enable_nonsense"):
        with pytest.raises(AttributeError, match=f"has no '{name}'"):
            getattr(our_pipe, name)


def test_a_component_that_is_set_is_used(audioldm2_pair, tmp_path):
    diffusers_pipe, _ = audioldm2_pair
    our_pipe = compat.AudioLDM2Pipeline.from_pretrained(
        published.save(diffusers_pipe, tmp_path / "set")
    )
    our_pipe.set_progress_bar_config(disable=True)
    other = published.randomize(published.audioldm2().unet, seed=9)
    our_pipe.unet = other
    assert_agree(
        *run_both(
            (AudioLDM2Pipeline(**{**diffusers_pipe.components, "unet": other}), our_pipe), PROMPTS
        )
    )
    our_pipe.save_pretrained(tmp_path / "saved")
    saved = compat.AudioLDM2Pipeline.from_pretrained(tmp_path / "saved")
    saved.set_progress_bar_config(disable=True)
    assert_agree(*run_both((our_pipe, saved), PROMPTS))
    our_pipe.unet = torch.compile(our_pipe.unet)
    network = our_pipe.system.components["unet"]
    assert isinstance(network, type(torch.compile(other)))  # ours, compiled as theirs was
    with torch.compiler.set_stance("force_eager"):  # the module that `compile` returns, no tracing
        run_both((our_pipe,), PROMPTS)


def test_subclasses_and_arguments_of_to_work(audioldm2_pair, tmp_path):
    class Subclass(compat.AudioLDM2Pipeline):
        pass

    folder = published.save(audioldm2_pair[0], tmp_path / "sub")
    pipe = Subclass.from_pretrained(folder)
    assert pipe.to("cpu", silence_dtype_warnings=True).to(torch.float64).dtype == torch.float64
    assert pipe.to(dtype=torch.float16).dtype == torch.float16
    # as in diffusers, a folder has no revisions
    assert isinstance(Subclass.from_pretrained(folder, revision="old"), Subclass)


def test_saving_keeps_the_scheduler_and_overwrites(audioldm2_pair, tmp_path):
    diffusers_pipe, _ = audioldm2_pair
    our_pipe = compat.AudioLDM2Pipeline.from_pretrained(
        published.save(diffusers_pipe, tmp_path / "from")
    )
    our_pipe.scheduler = EulerDiscreteScheduler.from_config(our_pipe.scheduler.config)
    for _ in range(2):
        our_pipe.save_pretrained(tmp_path / "saved")
    opened = AudioLDM2Pipeline.from_pretrained(
        tmp_path / "saved", tokenizer_2=diffusers_pipe.tokenizer_2
    )
    assert type(opened.scheduler) is EulerDiscreteScheduler


def test_the_scheduler_of_the_folder_is_used(audioldm2_pair, tmp_path, monkeypatch):
    diffusers_pipe, our_pipe = audioldm2_pair
    folder = published.save(diffusers_pipe, tmp_path / "euler")
    euler = EulerDiscreteScheduler.from_config(our_pipe.scheduler.config)
    euler.save_pretrained(folder / "scheduler")
    opened = compat.AudioLDM2Pipeline.from_pretrained(folder)
    assert type(opened.scheduler) is EulerDiscreteScheduler
    assert all(
        opened.scheduler.config[name] == value
        for name, value in euler.config.items()
        if name[0] != "_"
    )
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(
        UsageError, match="needs the EulerDiscreteScheduler of diffusers; pip install diffusers"
    ):
        compat.AudioLDM2Pipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def speech_pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speakers")
    diffusers_pipe = published.audioldm2((None, 16), speech=True)
    our_pipe = compat.AudioLDM2Pipeline.from_pretrained(
        published.save(diffusers_pipe, folder / "speech")
    )
    diffusers_pipe.tokenizer_2 = published.phoneme_symbols(folder / "symbols")
    for pipe in (diffusers_pipe, our_pipe):
        pipe.set_progress_bar_config(disable=True)
    return diffusers_pipe, our_pipe


def test_embeddings_of_speech_can_be_computed_and_passed(speech_pair, monkeypatch):
    monkeypatch.setattr("latentaudio.conditioning.g2p.phonemize", lambda text: text)
    transcripts = ["həlˈoʊ wˈɜːld!", "ɐ mˈæn"]
    with torch.no_grad():
        results = [
            pipe.encode_prompt(
                PROMPTS[:2], "cpu", 1, True, transcription=transcripts, max_new_tokens=8
            )
            for pipe in speech_pair
        ]
    (states, mask, generated), (our_states, our_mask, our_generated) = results
    assert_agree(generated.numpy(), our_generated.numpy())
    assert torch.equal(mask.float(), our_mask.float())
    positions = (
        speech_pair[0].projection_model.learnable_positional_embedding.detach().mT
    )  # diffusers adds them later
    assert_agree(
        (states * mask[..., None]).numpy(), ((our_states - positions) * our_mask[..., None]).numpy()
    )
    clips = []
    for pipe in speech_pair:
        halves = [x.chunk(2) for x in results[0]]
        arguments = {
            f"{sign}{name}": half[k]
            for k, sign in ((1, ""), (0, "negative_"))
            for name, half in zip(
                ("prompt_embeds", "attention_mask", "generated_prompt_embeds"), halves, strict=True
            )
        }
        generators = torch.Generator().manual_seed(3)
        clips.append(
            pipe(
                **arguments,
                transcription=transcripts,
                num_inference_steps=2,
                audio_length_in_s=DURATION_S,
                generator=generators,
            ).audios
        )
    assert_agree(*clips)


def test_a_speech_model_needs_transcriptions(speech_pair):
    _, our_pipe = speech_pair
    assert type(our_pipe.text_encoder_2).__name__ == "VitsModel"
    for transcripts in (None, ["hello"]):
        with pytest.raises(UsageError, match="with a text for each of 2 prompts"):
            our_pipe(["a man", "a woman"], transcription=transcripts)


def test_a_saved_pipeline_opens_again_with_the_same_sound(pair, tmp_path):
    _, our_pipe = pair
    our_pipe.save_pretrained(tmp_path / "saved")
    reopened = type(our_pipe).from_pretrained(tmp_path / "saved")
    reopened.set_progress_bar_config(disable=True)
    first, second = run_both((our_pipe, reopened), PROMPTS)
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pass either prompt or prompt_embeds"),
        ({"prompt": "a dog", "negative_prompt": ["a", "b"]}, "must be a text if prompt is a text"),
        ({"prompt": ["a dog"], "negative_prompt": ["a", "b"]}, "2 negative prompts for 1 prompts"),
        ({"prompt": "a dog", "audio_length_in_s": 0.01}, "too short; it must be 0.04 or more"),
        ({"prompt": ["a dog"] * 2, "generator": [torch.Generator()]}, "1 generators for 2 clips"),
        ({"prompt": 3}, "a text or a list of texts"),
        ({"prompt": []}, "a text or a list of texts"),
        ({"prompt": "a dog", "callback_steps": 0}, "callback_steps = 0"),
        ({"prompt": "a dog", "audio_length_in_s": float("nan")}, "must be finite numbers"),
        (
            {"prompt": "a dog", "latents": torch.zeros(1, 4, 8, 5), "audio_length_in_s": 0.32},
            r"must be \[1, 4, 8, 4\]",
        ),
        (
            {"prompt": "a dog", "output_type": "mp3", "audio_length_in_s": 0.32},
            "choose np, pt or latent",
        ),
        ({"prompt_embeds": torch.zeros(1, 3, 24)}, "belong together; pass both"),
    ],
)
def test_impossible_arguments_are_refused(audioldm2_pair, arguments, message):
    with pytest.raises(UsageError, match=message):
        audioldm2_pair[1](num_inference_steps=1, **arguments)


def test_a_model_of_the_other_pipeline_is_refused(pair):
    other = (
        compat.AudioLDMPipeline
        if isinstance(pair[1], compat.AudioLDM2Pipeline)
        else compat.AudioLDM2Pipeline
    )
    with pytest.raises(UsageError, match="use that class"):
        other.from_pretrained(pair[1].system.source.path)
