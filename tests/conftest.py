"""A whole AudioLDM 2 of a few thousand random weights, in a model folder: every room of the real one, in milliseconds."""

from dataclasses import replace

import pytest
import torch

from latentaudio.conditioning.tokenizer import build
from latentaudio.config.architecture import (
    AudioMAEConfig,
    CLAPConfig,
    DraftConfig,
    ModelConfig,
    ScheduleConfig,
    T5Config,
    TranslatorConfig,
    UNetConfig,
    VAEConfig,
    VocoderConfig,
)
from latentaudio.loaders import model_folder as folders

WORDS = 1200
TINY = ModelConfig(
    vae=VAEConfig(channels=8, mult=(1, 1, 2, 2), latent=4, res_blocks=1, groups=4),
    unet=UNetConfig(
        latent=4, channels=16, mult=(1, 2), res_blocks=1, attention=(False, True), contexts=(None, 16, 24), heads=(1, 2),
        groups=4, order=4, draft=True,
    ),
    vocoder=VocoderConfig(kind="istft", channels=16, hidden=32, layers=2),
    schedule=ScheduleConfig(prediction="v"),
    clap=CLAPConfig(
        projection=8, text_width=16, text_layers=1, text_heads=2, text_hidden=32, text_positions=26, vocabulary=WORDS,
        text_length=24, audio_width=8, audio_depths=(1, 1, 1, 1), audio_heads=(1, 1, 2, 2),
    ),
    t5=T5Config(width=24, head_width=8, heads=2, layers=2, hidden=32, vocabulary=WORDS, length=24),
    draft=DraftConfig(width=16, layers=1, heads=2, beats=4, order=4),
    translator=TranslatorConfig(width=16, layers=2, heads=2, positions=64, sources=(8, 24), tokens=8),
    audiomae=AudioMAEConfig(width=16, depth=1, heads=2, decoder_width=16, decoder_depth=1, decoder_heads=2, average_last=1),
)  # fmt: skip
TINY_FILM = replace(
    TINY,
    unet=replace(TINY.unet, contexts=(None,), film=8, draft=False),
    t5=None,
    draft=None,
    translator=None,
    audiomae=None,
)


def write_model(folder, config, name):
    """A model folder of random weights in which no branch is silent."""
    folder.mkdir(parents=True)
    dice = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    folders.write_config(folder, config, name, {"made": "by dice"})
    for part in folders.parts_of(config):
        state = folders.build(part, config).state_dict()
        for key, value in state.items():
            if value.is_floating_point() and value.ndim > 1 and not value.any():
                state[key] = torch.randn(value.shape, generator=dice) * value[0].numel() ** -0.5
        folders.save_part(folder, part, state)
    build(["dog", "bell", "rain", "door"], WORDS).save(str(folder / folders.TOKENIZER_FILE))
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Model folder of a tiny AudioLDM 2 that says it is a mini."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny", TINY, "mini")


@pytest.fixture(scope="session")
def film_folder(tmp_path_factory):
    """Model folder of a tiny AudioLDM 1."""
    return write_model(tmp_path_factory.mktemp("models") / "film", TINY_FILM, "mini-film")


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    """The tiny AudioLDM 2, loaded."""
    from latentaudio import load

    return load(tiny_folder, device="cpu", precision="fp32")
