"""Pipelines made of components of diffusers: the drop-in follows every change of them."""

import shutil
import warnings
from copy import deepcopy

import numpy as np
import published
import pytest
import torch
from diffusers import AudioLDMPipeline, DDIMScheduler
from safetensors.torch import load_file, save_file

from latentaudio import compat
from latentaudio.errors import UsageError, WeightsError
from latentaudio.loaders.hub_repository import HubRepository

PROMPT = "a dog in the rain"
SETTINGS = {"num_inference_steps": 2, "audio_length_in_s": 0.16}


def make_quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sound(pipe, **settings):
    generator = torch.Generator().manual_seed(0)
    return pipe(**{"prompt": PROMPT, "generator": generator, **SETTINGS, **settings}).audios


def assert_agree(expected, actual):
    assert expected.shape == actual.shape
    assert expected.std() > 0
    assert np.abs(expected - actual).max() < 1e-4 * expected.std()


@pytest.fixture
def theirs():
    with torch.no_grad():
        pipe = make_quiet(published.audioldm())
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    return pipe


@pytest.fixture
def folder(theirs, tmp_path):
    return published.save(theirs, tmp_path / "model")


def test_a_pipeline_of_components_agrees_with_diffusers_before_and_after_changes(theirs):
    ours = make_quiet(compat.AudioLDMPipeline(**theirs.components))
    assert ours.components.keys() == theirs.components.keys()
    assert all(ours.components[name] is value for name, value in theirs.components.items())
    before = sound(ours)
    assert_agree(sound(theirs), before)
    with torch.no_grad():
        ours.unet.conv_out.weight.mul_(0.5)  # in place, in the module that both pipelines share
    assert_agree(sound(theirs), sound(ours))
    assert np.abs(sound(ours) - before).max() > 1e-3 * before.std()
    with torch.no_grad():
        other = published.randomize(deepcopy(theirs.vae), seed=7)
    theirs.vae = ours.vae = other
    assert_agree(sound(theirs), sound(ours))


def test_components_of_audioldm2_make_a_pipeline_and_pass_from_pipe_to_pipe():
    with torch.no_grad():
        theirs = make_quiet(published.audioldm2())
    ours = make_quiet(compat.AudioLDM2Pipeline.from_pipe(theirs))
    assert_agree(sound(theirs), sound(ours))
    again = make_quiet(compat.AudioLDM2Pipeline.from_pipe(ours))
    assert again.unet is theirs.unet
    assert again.config.vocoder == ("transformers", "SpeechT5HifiGan")
    embeds, mask, generated = ours.encode_prompt([PROMPT], "cpu", 1, False)
    ones = torch.ones(1, 1, dtype=mask.dtype)
    projected = ours.projection_model(torch.zeros(1, 1, 12), embeds, ones, mask)
    with pytest.raises(AttributeError, match="no 'nonsense'"):
        _ = ours.config.nonsense
    appended = ours.generate_language_model(projected.hidden_states, 3)
    assert appended.shape == (1, 3, generated.shape[2])


def test_modules_of_a_folder_are_those_of_diffusers_and_outlive_it(theirs, folder):
    ours = make_quiet(compat.AudioLDMPipeline.from_pretrained(folder))
    shutil.rmtree(folder)
    expected = sound(theirs)
    assert_agree(expected, sound(ours))
    latent = ours.vae.encode(torch.zeros(1, 1, 16, 16)).latent_dist.mode()
    assert latent.shape[1] == ours.vae.config.latent_channels
    assert torch.equal(ours.unet.conv_out.weight, theirs.unet.conv_out.weight)
    ours.scheduler.set_timesteps(4)
    assert_agree(expected, sound(ours))  # looking at modules changes nothing
    with torch.no_grad():
        ours.unet.conv_out.weight.mul_(0.5)
        theirs.unet.conv_out.weight.mul_(0.5)
    assert_agree(sound(theirs), sound(ours))


@pytest.fixture
def variants(folder):
    """A folder whose UNet has three kinds of weights: all, half and a third of them."""
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    for variant, divisor in (("fp16", 2), ("bf16", 3)):
        changed = {key: value / divisor for key, value in state.items()}
        save_file(changed, file.with_name(f"diffusion_pytorch_model.{variant}.safetensors"))
    return folder


@pytest.mark.parametrize(("variant", "divisor"), [(None, 1), ("fp16", 2), ("bf16", 3)])
def test_a_variant_is_read_beside_plain_weights(variants, theirs, variant, divisor):
    ours = compat.AudioLDMPipeline.from_pretrained(variants, variant=variant)
    weight = theirs.unet.conv_out.weight.detach()
    assert torch.equal(ours.unet.conv_out.weight, weight / divisor)
    assert torch.equal(ours.system.components.unpacked("unet").conv_out.weight, weight / divisor)


def test_a_missing_variant_is_an_error_that_lists_those_that_exist(variants):
    message = r"`variant=bogus`.*its variants: bf16, fp16"
    with pytest.raises(ValueError, match=message):
        compat.AudioLDMPipeline.from_pretrained(variants, variant="bogus")


@pytest.mark.parametrize(
    "settings", [{}, {"variant": "fp16"}, {"safe_serialization": False}], ids=str
)
def test_a_saved_pipeline_of_components_opens_here_and_in_diffusers(theirs, tmp_path, settings):
    ours = make_quiet(compat.AudioLDMPipeline(**theirs.components))
    ours.save_pretrained(tmp_path / "saved", **settings)
    variant = {key: value for key, value in settings.items() if key == "variant"}
    opened = make_quiet(compat.AudioLDMPipeline.from_pretrained(tmp_path / "saved", **variant))
    assert_agree(sound(theirs), sound(opened))
    reopened = AudioLDMPipeline.from_pretrained(tmp_path / "saved", **variant)
    for name in ("unet", "vae", "vocoder", "text_encoder"):
        expected = getattr(theirs, name).state_dict()
        for key, value in getattr(reopened, name).state_dict().items():
            assert torch.equal(value, expected[key]), f"{name} {key}"


def test_types_of_components_are_those_that_were_asked_for(folder, theirs):
    types = {"vae": torch.bfloat16, "default": torch.float16}
    ours = compat.AudioLDMPipeline.from_pretrained(folder, torch_dtype=types)
    assert (ours.vae.dtype, ours.unet.dtype, ours.dtype) == (
        torch.bfloat16,
        torch.float16,
        torch.float16,
    )
    half = make_quiet(compat.AudioLDMPipeline.from_pretrained(folder, dtype=torch.float16))
    both = np.corrcoef(sound(theirs).ravel(), sound(half).ravel())
    assert both[0, 1] > 0.9999
    theirs.to(torch.float32)
    moved = compat.AudioLDMPipeline(**theirs.components).to(torch.float16)
    assert moved.unet is theirs.unet and theirs.unet.dtype == torch.float16


def test_a_pipeline_without_text_encoder_takes_embeddings(folder, theirs):
    ours = make_quiet(
        compat.AudioLDMPipeline.from_pretrained(folder, text_encoder=None, tokenizer=None)
    )
    assert ours.text_encoder is None
    generator = torch.Generator().manual_seed(3)
    embeds, negative = torch.nn.functional.normalize(
        torch.randn(2, 1, 12, generator=generator), dim=-1
    )
    given = {"prompt": None, "prompt_embeds": embeds, "negative_prompt_embeds": negative}
    assert_agree(sound(theirs, **given), sound(ours, **given))


def test_results_are_mappings_and_latents_may_be_longer(folder):
    ours = make_quiet(compat.AudioLDMPipeline.from_pretrained(folder))
    latents = ours.prepare_latents(1, 4, 32, generator=torch.Generator().manual_seed(0))
    result = ours(PROMPT, latents=latents, **SETTINGS)
    assert list(result.keys()) == ["audios"] and result["audios"] is result[0] is result.audios
    assert result.to_tuple() == (result.audios,)
    assert result.audios.shape == (1, 2560)
    mel = torch.zeros(1, 1, 8, ours.vocoder.config.model_in_dim)
    waveform = ours.mel_spectrogram_to_waveform(mel)
    torch.testing.assert_close(waveform, ours.vocoder(mel[:, 0]), atol=1e-5, rtol=1e-4)


def test_local_files_only_does_not_ask_the_hub(monkeypatch, tmp_path):
    def list_files(repository):
        raise AssertionError("the hub was asked")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(HubRepository, "list_files", list_files)
    with pytest.raises(WeightsError, match=rf"not in {tmp_path}.*local_files_only is set"):
        compat.AudioLDMPipeline.from_pretrained(
            "owner/model", local_files_only=True, cache_dir=tmp_path
        )


def test_errors_of_arguments_are_value_errors_too(folder):
    ours = compat.AudioLDMPipeline.from_pretrained(folder)
    with pytest.raises(ValueError, match="pass either prompt or prompt_embeds") as caught:
        ours()
    assert isinstance(caught.value, UsageError)
    with pytest.raises(ValueError, match="use that class"):
        compat.AudioLDM2Pipeline.from_pretrained(folder)


def test_loading_writes_the_lines_of_diffusers_to_its_log(theirs, folder, caplog):
    with caplog.at_level("INFO", "diffusers.pipelines.pipeline_utils"):
        compat.AudioLDMPipeline.from_pretrained(folder, vae=theirs.vae)
    lines = [record.getMessage() for record in caplog.records]
    for name, value in theirs.components.items():
        line = f"Loaded {name} as {type(value).__name__} from `{name}` subfolder of {folder}."
        assert (line in lines) == (name != "vae")


@pytest.mark.parametrize("name", ["unet", "vae", "vocoder"])
def test_a_pipeline_that_lacks_a_component_names_it(theirs, name):
    ours = make_quiet(compat.AudioLDMPipeline(**{**theirs.components, name: None}))
    with pytest.raises(UsageError, match=f"made without {name}=; pass each of them"):
        ours(PROMPT)


def test_unknown_keywords_are_named_and_those_of_diffusers_accepted(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compat.AudioLDMPipeline.from_pretrained(folder, low_cpu_mem_usage=True, revision="main")
    with pytest.warns(UserWarning, match="from_pretrained does not know token, vea, and ignores"):
        compat.AudioLDMPipeline.from_pretrained(folder, vea=None, token="x")
