"""The builders make the published networks: their parameter counts (spec 6) are the oracle."""

import pytest
import torch

from latentaudio.configs import CLAPConfig, T5Config, TranslatorConfig
from latentaudio.nn import text


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("build", "config", "parameters"),
    [
        (text.t5, T5Config(), 341_231_104),
        (text.gpt2, TranslatorConfig(), 124_439_808 - 50_256 * 768),  # all but the unused word table
        (text.clap, CLAPConfig(), 193_913_882),
        (text.clap, CLAPConfig(audio_width=96, audio_depths=(2, 2, 6, 2)), 153_492_890),
    ],
)
def test_published_parameter_counts_on_meta(build, config, parameters):
    with torch.device("meta"):
        module = build(config)
    assert count(module) == parameters
    assert all(p.is_meta for p in module.parameters())


def test_clap_text_tower_ignores_padding_of_id_one():
    config = CLAPConfig(
        projection=8, text_width=16, text_layers=1, text_heads=2, text_hidden=32, text_positions=12, vocabulary=20,
        text_length=10, audio_width=8, audio_depths=(1, 1, 1, 1), audio_heads=(1, 1, 2, 2),
    )  # fmt: skip
    model = text.clap(config).eval()
    ids = torch.tensor([[0, 7, 9, 2]])
    padded = torch.nn.functional.pad(ids, (0, 3), value=1)
    alone = model.get_text_features(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output
    beside = model.get_text_features(input_ids=padded, attention_mask=(padded != 1).long()).pooler_output
    torch.testing.assert_close(alone, beside, atol=1e-6, rtol=0)
    torch.testing.assert_close(alone.norm(dim=-1), torch.ones(1))
