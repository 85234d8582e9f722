"""Which part of the text side reaches which entrance of the UNet, for three families of systems."""

from dataclasses import replace

import pytest
import torch

from latentaudio.conditioning.base import (
    TextParts,
    clap_vectors,
    encode_nulls,
    encode_prompts,
    t5_states,
)
from latentaudio.conditioning.tokenizer import Tokenizer, build
from latentaudio.config.architecture import (
    CLAPConfig,
    DraftConfig,
    ModelConfig,
    T5Config,
    TranslatorConfig,
    UNetConfig,
)
from latentaudio.config.reference import FIDELITIES
from latentaudio.models import text_encoders
from latentaudio.models.latent_prior import Draft
from latentaudio.models.translator import Translator
from latentaudio.types import LanguageOfAudio

CLAP = CLAPConfig(
    projection=8, text_width=16, text_layers=1, text_heads=2, text_hidden=32, text_positions=26, vocabulary=1200,
    text_length=24, audio_width=8, audio_depths=(1, 1, 1, 1), audio_heads=(1, 1, 2, 2),
)  # fmt: skip
T5 = T5Config(width=24, head_width=8, heads=2, layers=2, hidden=32, vocabulary=1200, length=24)
WRITER = TranslatorConfig(width=16, layers=2, heads=2, positions=64, sources=(8, 24))
TEXTS = ["a dog", "a church bell ringing at 440 Hz in the rain", "thunder"]


def system(contexts, film=None, writer=True):
    torch.manual_seed(0)
    rules = build(["dog", "bell", "rain"], 1200)
    config = ModelConfig(
        clap=CLAP,
        t5=T5,
        translator=WRITER if writer else None,
        unet=UNetConfig(contexts=contexts, film=film),
    )
    return TextParts(
        config,
        {
            "clap": text_encoders.clap(CLAP).eval(),
            "t5": text_encoders.t5(T5).eval(),
            "translator": Translator(WRITER).eval() if writer else None,
        },
        Tokenizer(rules, 24),
        Tokenizer(rules, 24),
    )


@pytest.fixture(scope="module")
def audioldm2():
    return system((None, 16, 24))


def test_audioldm1_hears_only_claps_vector():
    parts = system((None, None), film=8)
    heard = encode_prompts(parts, TEXTS, 8)
    assert heard.contexts == ()
    torch.testing.assert_close(heard.film, clap_vectors(parts, TEXTS))
    torch.testing.assert_close(heard.film.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(encode_nulls(parts, 2, 8).film, clap_vectors(parts, ["", ""]))


def test_the_t5_model_hears_only_states():
    parts = system((None, 24), writer=False)
    heard, null = encode_prompts(parts, TEXTS, 8), encode_nulls(parts, 1, 8)
    assert heard.film is None
    [states] = heard.contexts
    assert states.tokens.shape[2] == 24
    assert (
        states.mask.sum(1).long().tolist()
        == Tokenizer(parts.t5_tokens.rules, 24)(TEXTS)[1].sum(1).tolist()
    )
    torch.testing.assert_close(null.contexts[0].tokens, t5_states(parts, [""]).tokens)


@torch.no_grad()
def test_a_draft_is_drawn_of_every_text_that_says_something(audioldm2):
    torch.manual_seed(0)
    shape = DraftConfig(width=16, layers=1, heads=2, beats=4)
    draft = Draft(shape, text=24, latent=3, bins=2)
    torch.nn.init.normal_(draft.out.weight)
    config = replace(audioldm2.config, draft=shape, unet=replace(audioldm2.config.unet, draft=True))
    parts = replace(audioldm2, config=config, modules={**audioldm2.modules, "draft": draft})
    heard, null = (
        encode_prompts(parts, TEXTS[:2], 8, 5),
        encode_nulls(parts, 2, 8, 5, negative=["", "hiss"]),
    )
    torch.testing.assert_close(heard.draft, draft(t5_states(parts, TEXTS[:2]), 5))
    assert heard.draft.shape == (2, 3, 5, 2)
    assert not null.draft[0].any()
    torch.testing.assert_close(
        null.draft[1:], draft(t5_states(parts, ["hiss"]), 5), atol=1e-5, rtol=0
    )
    assert encode_prompts(audioldm2, TEXTS[:1], 8, 5).draft is None


@torch.no_grad()
def test_audioldm2_hears_what_the_translator_writes_from_both_and_the_states(audioldm2):
    heard = encode_prompts(audioldm2, TEXTS[:1], 6)
    vector, states = clap_vectors(audioldm2, TEXTS[:1]), t5_states(audioldm2, TEXTS[:1])
    sequence = audioldm2.translator.sequence(
        (type(states)(vector[:, None], torch.ones(1, 1)), states), 6
    ).tokens
    first = audioldm2.translator.gpt2(inputs_embeds=sequence).last_hidden_state[:, -1]
    loa, context = heard.contexts
    assert isinstance(loa, LanguageOfAudio)
    assert loa.tokens.shape == (1, 6, 16)
    torch.testing.assert_close(loa.tokens[:, 0], first, atol=1e-5, rtol=0)
    torch.testing.assert_close(context.tokens, states.tokens)
    assert not heard.contexts[0].tokens.requires_grad


def test_an_item_of_a_batch_is_the_item_alone(audioldm2):
    together = encode_prompts(audioldm2, TEXTS, 8)
    for k, prompt in enumerate(TEXTS):
        alone = encode_prompts(audioldm2, [prompt], 8)
        for many, single in zip(together.contexts, alone.contexts, strict=True):
            real = int(single.mask.sum())
            torch.testing.assert_close(
                many.tokens[k, :real], single.tokens[0, :real], atol=1e-5, rtol=0
            )
            assert many.mask[k].sum() == real


def test_nulls_of_both_families(audioldm2):
    zeros = encode_nulls(audioldm2, 2, 8)
    written = encode_nulls(replace(audioldm2, fidelity=FIDELITIES["diffusers"]), 2, 8)
    empty = encode_prompts(audioldm2, ["", ""], 8)
    assert not zeros.contexts[0].tokens.any()
    assert zeros.contexts[0].mask.all()
    torch.testing.assert_close(written.contexts[0].tokens, empty.contexts[0].tokens)
    torch.testing.assert_close(zeros.contexts[1].tokens, empty.contexts[1].tokens)


def test_a_negative_prompt_is_written_even_where_the_empty_one_is_zeros(audioldm2):
    null = encode_nulls(audioldm2, 2, 8, negative=["", "hiss"])
    asked = encode_prompts(audioldm2, ["", "hiss"], 8)
    assert not null.contexts[0].tokens[0].any()
    torch.testing.assert_close(null.contexts[0].tokens[1], asked.contexts[0].tokens[1])
    torch.testing.assert_close(null.contexts[1].tokens, asked.contexts[1].tokens)
