"""Which encoder's output reaches which input of the UNet, for three families of models."""

from dataclasses import fields, replace

import pytest
import torch

from latentaudio import conditioning
from latentaudio.conditioning import CONDITIONERS, encode_prompts, encode_unconditional
from latentaudio.conditioning.base import Encoders
from latentaudio.conditioning.clap import clap_text_embeds
from latentaudio.conditioning.encodings import Consumers, Encoding
from latentaudio.conditioning.t5 import t5_states
from latentaudio.conditioning.tokenizer import Tokenizer, build_tokenizer
from latentaudio.config.architecture import (
    CLAPConfig,
    LatentPriorConfig,
    ModelConfig,
    T5Config,
    TranslatorConfig,
    UNetConfig,
)
from latentaudio.config.reference import REFERENCES
from latentaudio.models import text_encoders
from latentaudio.models.latent_prior import LatentPrior
from latentaudio.models.translator import Translator
from latentaudio.types import Context, LanguageOfAudio

CLAP = CLAPConfig(
    projection_dim=8,
    text_hidden_size=16,
    text_num_layers=1,
    text_num_heads=2,
    text_ffn_dim=32,
    text_max_positions=26,
    vocab_size=1200,
    text_max_length=24,
    audio_hidden_size=8,
    audio_depths=(1, 1, 1, 1),
    audio_num_heads=(1, 1, 2, 2),
)
T5 = T5Config(
    hidden_size=24,
    head_dim=8,
    num_heads=2,
    num_layers=2,
    ffn_dim=32,
    vocab_size=1200,
    max_length=24,
)
TRANSLATOR = TranslatorConfig(
    hidden_size=16, num_layers=2, num_heads=2, max_positions=64, source_dims=(8, 24)
)
TEXTS = ["a dog", "a church bell ringing at 440 Hz in the rain", "thunder"]


def system(contexts, film=None, has_translator=True):
    torch.manual_seed(0)
    rules = build_tokenizer(["dog", "bell", "rain"], 1200)
    config = ModelConfig(
        clap=CLAP,
        t5=T5,
        translator=TRANSLATOR if has_translator else None,
        unet=UNetConfig(contexts=contexts, film_dim=film),
    )
    return Encoders(
        config,
        {
            "clap": text_encoders.build_clap(CLAP).eval(),
            "t5": text_encoders.build_t5(T5).eval(),
            "translator": Translator(TRANSLATOR).eval() if has_translator else None,
        },
        {"clap": Tokenizer(rules, 24), "t5": Tokenizer(rules, 24)},
    )


@pytest.fixture(scope="module")
def audioldm2():
    return system((None, 16, 24))


def test_audioldm1_gets_claps_vector_only():
    encoders = system((None, None), film=8)
    cond = encode_prompts(encoders, TEXTS, 8)
    assert cond.contexts == ()
    torch.testing.assert_close(cond.film, clap_text_embeds(encoders, TEXTS))
    torch.testing.assert_close(cond.film.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(
        encode_unconditional(encoders, 2, 8).film, clap_text_embeds(encoders, ["", ""])
    )


def test_the_t5_model_gets_t5_states_only():
    encoders = system((None, 24), has_translator=False)
    cond, uncond = encode_prompts(encoders, TEXTS, 8), encode_unconditional(encoders, 1, 8)
    assert cond.film is None
    [states] = cond.contexts
    assert states.tokens.shape[2] == 24
    assert (
        states.mask.sum(1).long().tolist()
        == Tokenizer(encoders.tokenizers["t5"].rules, 24)(TEXTS)[1].sum(1).tolist()
    )
    torch.testing.assert_close(uncond.contexts[0].tokens, t5_states(encoders, [""]).tokens)


@torch.no_grad()
def test_the_latent_prior_is_predicted_for_every_text_that_is_not_empty(audioldm2):
    torch.manual_seed(0)
    prior_config = LatentPriorConfig(
        hidden_size=16, num_layers=1, num_heads=2, num_uniform_frequencies=4
    )
    prior = LatentPrior(prior_config, text_dim=24, latent_channels=3, num_bins=2)
    torch.nn.init.normal_(prior.out.weight)
    config = replace(
        audioldm2.config,
        latent_prior=prior_config,
        unet=replace(audioldm2.config.unet, use_prior=True),
    )
    encoders = replace(
        audioldm2, config=config, components={**audioldm2.components, "latent_prior": prior}
    )
    cond, uncond = (
        encode_prompts(encoders, TEXTS[:2], 8, 5),
        encode_unconditional(encoders, 2, 8, 5, negative_prompts=["", "hiss"]),
    )
    torch.testing.assert_close(cond.prior, prior(t5_states(encoders, TEXTS[:2]), 5))
    assert cond.prior.shape == (2, 3, 5, 2)
    assert not uncond.prior[0].any()
    torch.testing.assert_close(
        uncond.prior[1:], prior(t5_states(encoders, ["hiss"]), 5), atol=1e-5, rtol=0
    )
    assert encode_prompts(audioldm2, TEXTS[:1], 8, 5).prior is None


@torch.no_grad()
def test_audioldm2_gets_the_translators_tokens_and_t5_states(audioldm2):
    cond = encode_prompts(audioldm2, TEXTS[:1], 6)
    vector, states = clap_text_embeds(audioldm2, TEXTS[:1]), t5_states(audioldm2, TEXTS[:1])
    sequence = audioldm2.translator.build_prompt(
        (type(states)(vector[:, None], torch.ones(1, 1)), states), 6
    ).tokens
    first = audioldm2.translator.gpt2(inputs_embeds=sequence).last_hidden_state[:, -1]
    loa, context = cond.contexts
    assert isinstance(loa, LanguageOfAudio)
    assert loa.tokens.shape == (1, 6, 16)
    torch.testing.assert_close(loa.tokens[:, 0], first, atol=1e-5, rtol=0)
    torch.testing.assert_close(context.tokens, states.tokens)
    assert not cond.contexts[0].tokens.requires_grad


def test_batch_item_equals_itself_alone(audioldm2):
    batched = encode_prompts(audioldm2, TEXTS, 8)
    for k, prompt in enumerate(TEXTS):
        alone = encode_prompts(audioldm2, [prompt], 8)
        for batch, single in zip(batched.contexts, alone.contexts, strict=True):
            real = int(single.mask.sum())
            torch.testing.assert_close(
                batch.tokens[k, :real], single.tokens[0, :real], atol=1e-5, rtol=0
            )
            assert batch.mask[k].sum() == real


def test_unconditional_language_of_audio_is_zeros_or_generated(audioldm2):
    zeros = encode_unconditional(audioldm2, 2, 8)
    generated = encode_unconditional(replace(audioldm2, reference=REFERENCES["diffusers"]), 2, 8)
    empty = encode_prompts(audioldm2, ["", ""], 8)
    assert not zeros.contexts[0].tokens.any()
    assert zeros.contexts[0].mask.all()
    torch.testing.assert_close(generated.contexts[0].tokens, empty.contexts[0].tokens)
    torch.testing.assert_close(zeros.contexts[1].tokens, empty.contexts[1].tokens)


def test_a_negative_prompt_keeps_its_language_of_audio(audioldm2):
    uncond = encode_unconditional(audioldm2, 2, 8, negative_prompts=["", "hiss"])
    prompted = encode_prompts(audioldm2, ["", "hiss"], 8)
    assert not uncond.contexts[0].tokens[0].any()
    torch.testing.assert_close(uncond.contexts[0].tokens[1], prompted.contexts[0].tokens[1])
    torch.testing.assert_close(uncond.contexts[1].tokens, prompted.contexts[1].tokens)


class ImageConditioner:
    """A new kind of conditioner: one token for each clip."""

    name = "image"
    components = ("image_encoder",)
    frozen_components = ()
    consumers = Consumers(context_position=2)

    def is_used_by(self, config):
        return 5 in config.unet.cross_attention_dims

    def encode(self, encoders, inputs, encodings):
        assert all({"clap", "t5", "language_of_audio"} <= set(previous) for previous in encodings)
        encoder = encoders.components.get("image_encoder")
        return [Encoding(context=encoder(len(batch.texts))) for batch in inputs]


def test_a_new_conditioner_is_one_class_and_one_row(audioldm2, monkeypatch):
    monkeypatch.setattr(conditioning, "CONDITIONERS", (*CONDITIONERS, ImageConditioner()))
    unet = replace(audioldm2.config.unet, contexts=(None, 16, 24, 5))
    components = {
        **audioldm2.components,
        "image_encoder": lambda count: Context.unmasked(torch.ones(count, 1, 5)),
    }
    encoders = replace(
        audioldm2, config=replace(audioldm2.config, unet=unet), components=components
    )
    loa, t5, image = encode_prompts(encoders, TEXTS, 8).contexts
    assert (loa.tokens.shape[2], t5.tokens.shape[2]) == (16, 24)
    assert torch.equal(image.tokens, torch.ones(3, 1, 5))
    assert len(encode_prompts(audioldm2, TEXTS, 8).contexts) == 2


def test_names_and_components_of_the_conditioners_are_unique_and_exist():
    names = [conditioner.name for conditioner in CONDITIONERS]
    assert len(set(names)) == len(names)
    configs = {field.name for field in fields(ModelConfig)}
    for conditioner in CONDITIONERS:
        assert set(conditioner.components) <= configs
