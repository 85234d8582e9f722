"""The builders make networks of the published sizes."""

import pytest
import torch

from latentaudio.config.architecture import CLAPConfig, T5Config, TranslatorConfig
from latentaudio.models import text_encoders


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("build", "config", "parameters"),
    [
        (text_encoders.build_t5, T5Config(), 341_231_104),
        (
            text_encoders.build_gpt2,
            TranslatorConfig(),
            124_439_808 - 50_256 * 768,  # all but the unused word table
        ),
        (text_encoders.build_clap, CLAPConfig(), 193_913_882),
        (
            text_encoders.build_clap,
            CLAPConfig(audio_hidden_size=96, audio_depths=(2, 2, 6, 2)),
            153_492_890,
        ),
    ],
)
def test_published_parameter_counts_on_meta(build, config, parameters):
    with torch.device("meta"):
        module = build(config)
    assert count(module) == parameters
    assert all(p.is_meta for p in module.parameters())


def test_clap_text_tower_ignores_padding_of_id_one():
    config = CLAPConfig(
        projection_dim=8,
        text_hidden_size=16,
        text_num_layers=1,
        text_num_heads=2,
        text_ffn_dim=32,
        text_max_positions=12,
        vocab_size=20,
        text_max_length=10,
        audio_hidden_size=8,
        audio_depths=(1, 1, 1, 1),
        audio_num_heads=(1, 1, 2, 2),
    )
    model = text_encoders.build_clap(config).eval()
    ids = torch.tensor([[0, 7, 9, 2]])
    padded = torch.nn.functional.pad(ids, (0, 3), value=1)
    alone = model.get_text_features(
        input_ids=ids, attention_mask=torch.ones_like(ids)
    ).pooler_output
    with_padding = model.get_text_features(
        input_ids=padded, attention_mask=(padded != 1).long()
    ).pooler_output
    torch.testing.assert_close(alone, with_padding, atol=1e-6, rtol=0)
    torch.testing.assert_close(alone.norm(dim=-1), torch.ones(1))


def test_t5_has_its_embedding_table_once_in_files_and_in_memory():
    config = T5Config(
        hidden_size=16,
        head_dim=8,
        num_heads=2,
        num_layers=1,
        ffn_dim=16,
        vocab_size=30,
        max_length=8,
    )
    first, second = text_encoders.build_t5(config).eval(), text_encoders.build_t5(config).eval()
    state = {f"inner.{k}": v.clone() + 0.1 for k, v in first.state_dict().items()}
    assert sum(v.shape == (30, 16) for v in state.values()) == 1
    outer = torch.nn.ModuleDict({"inner": second})
    assert set(outer.state_dict()) == set(state)
    outer.load_state_dict(state, strict=True, assign=True)
    assert (
        second.encoder.embed_tokens.weight.data_ptr()
        == second.shared.weight.data_ptr()
        == state["inner.shared.weight"].data_ptr()
    )
    ids = torch.tensor([[3, 4, 5]])
    assert not torch.allclose(
        first(input_ids=ids).last_hidden_state, second(input_ids=ids).last_hidden_state
    )
    first.load_state_dict(second.state_dict())
    torch.testing.assert_close(
        first(input_ids=ids).last_hidden_state, second(input_ids=ids).last_hidden_state
    )
