"""The translator against recomputation, transformers' GPT-2, and diffusers' projection."""

import pytest
import torch

from latentaudio.config.architecture import TranslatorConfig
from latentaudio.models.translator import Translator
from latentaudio.types import Context

CONFIG = TranslatorConfig(
    hidden_size=32, num_layers=2, num_heads=4, max_positions=64, source_dims=(12, 20), num_tokens=5
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = Translator(CONFIG).eval()
    for p in model.parameters():
        p.data += 0.2 * torch.randn_like(p)
    return model


def prompts(batch=3, length=9, real=(9, 4, 6)):
    generator = torch.Generator().manual_seed(1)
    words = torch.randn(batch, length, 20, generator=generator)
    mask = (torch.arange(length) < torch.tensor(real)[:, None]).float()
    return Context.unmasked(torch.randn(batch, 1, 12, generator=generator)), Context(words, mask)


def one(sources, k):
    """Item k without its padding."""
    clap, words = sources
    real = int(words.mask[k].sum())
    return Context.unmasked(clap.tokens[k : k + 1]), Context.unmasked(
        words.tokens[k : k + 1, :real]
    )


@torch.no_grad()
def test_prompt_equals_diffusers_projection(model):
    diffusers = pytest.importorskip("diffusers.pipelines.audioldm2.modeling_audioldm2")
    theirs = diffusers.AudioLDM2ProjectionModel(
        text_encoder_dim=12, text_encoder_1_dim=20, langauge_model_dim=32
    )
    names = {"projection": model.projections[0], "projection_1": model.projections[1]}
    for name, linear in names.items():
        getattr(theirs, name).load_state_dict(linear.state_dict())
    for i, suffix in enumerate(("", "_1")):
        getattr(theirs, f"sos_embed{suffix}").data = model.start[i]
        getattr(theirs, f"eos_embed{suffix}").data = model.end[i]
    clap, words = prompts()
    want = theirs(clap.tokens, words.tokens, clap.mask.long(), words.mask.long())
    got = model.build_prompt((clap, words))
    torch.testing.assert_close(got.tokens, want.hidden_states)
    assert torch.equal(got.mask.long(), want.attention_mask)


@torch.no_grad()
def test_generate_equals_recomputation_without_a_cache(model):
    sources = one(prompts(), 0)
    inputs = model.build_prompt(sources).tokens
    for _ in range(CONFIG.num_tokens):
        state = model.gpt2(inputs_embeds=inputs, use_cache=False).last_hidden_state[:, -1:]
        inputs = torch.cat([inputs, state], dim=1)
    loa = model.generate(sources)
    torch.testing.assert_close(loa.tokens, inputs[:, -CONFIG.num_tokens :], atol=1e-5, rtol=0)
    assert (loa.origin, loa.mask.shape, bool(loa.mask.all())) == ("text", (1, 5), True)


@torch.no_grad()
def test_batch_item_equals_itself_alone(model):
    sources, target = prompts(), torch.randn(3, 5, 32)
    generated, forced = model.generate(sources, 5).tokens, model.teacher_forced(sources, target)
    for k in range(3):
        torch.testing.assert_close(
            generated[k : k + 1], model.generate(one(sources, k), 5).tokens, atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            forced[k : k + 1],
            model.teacher_forced(one(sources, k), target[k : k + 1]),
            atol=1e-5,
            rtol=0,
        )
    assert (generated[0] - generated[1]).abs().max() > 0.01


@torch.no_grad()
def test_teacher_forcing_with_generated_tokens_predicts_them(model):
    sources = prompts()
    generated = model.generate(sources, 4).tokens
    torch.testing.assert_close(
        model.teacher_forced(sources, generated), generated, atol=1e-5, rtol=0
    )
    changed = generated.clone()
    changed[:, 2, 0] += 5
    torch.testing.assert_close(
        model.teacher_forced(sources, changed)[:, :3], generated[:, :3], atol=1e-5, rtol=0
    )  # later tokens have no effect
    assert (model.teacher_forced(sources, changed)[:, 3] - generated[:, 3]).abs().max() > 0.01


def test_gradients_flow_through_every_step(model):
    clap, words = prompts()
    words = Context(words.tokens.requires_grad_(), words.mask)
    model.generate((clap, words), 5).tokens[:, -1].square().sum().backward()
    assert words.tokens.grad[0].abs().sum(-1).min() > 0
    assert words.tokens.grad[1, 4:].abs().max() == 0  # padding has no effect
    assert model.start.grad.abs().sum() > 0
    model.zero_grad()


@torch.no_grad()
def test_a_long_prompt_is_cut_to_leave_room_for_the_tokens(model):
    clap, words = prompts(1, 200, (200,))
    assert model.build_prompt((clap, words)).tokens.shape[1] == 64 - 5
    assert model.generate((clap, words), 7).tokens.shape == (1, 7, 32)
    assert model.teacher_forced((clap, words), torch.randn(1, 7, 32)).shape == (1, 7, 32)
