"""The table of models against the counts of parameters and tensors that spec sections 0 to 6 state, on the meta device."""

import pytest
import torch

from latentaudio.config.reference import FIDELITIES, fidelity
from latentaudio.config.registry import VARIANTS, variant
from latentaudio.errors import UsageError
from latentaudio.loaders.model_folder import blank, parts_of
from latentaudio.models.text_encoders import clap

UNETS = {
    "audioldm-s-full": 185_036_552, "audioldm-s-full-v2": 185_036_552, "audioldm-s-text-ft": 185_036_552,
    "audioldm-m-full": 415_954_568, "audioldm-m-text-ft": 415_954_568, "audioldm-l-full": 739_139_080,
    "audioldm_16k_crossattn_t5": 265_531_016, "audioldm_48k": 262_699_152, "audioldm2-full": 346_943_496,
    "audioldm2-music-665k": 346_943_496, "audioldm2-full-large-1150k": 718_012_296,
    "audioldm2-speech-gigaspeech": 261_926_536, "audioldm2-speech-ljspeech": 261_926_536,
}  # fmt: skip
TENSORS = {
    "audioldm-s-full": 690, "audioldm2-full": 1520, "audioldm2-full-large-1150k": 3216,
}  # fmt: skip
TINY, BASE = 153_492_890, 193_913_882
CLAPS = {name: TINY if name.startswith(("audioldm-s", "audioldm-l")) else BASE for name in UNETS}


def on_meta(part, name):
    return blank(part, VARIANTS[name].config)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_thirteen_published_names_and_our_own():
    assert list(VARIANTS) == ["mini", "mini-film", *sorted(UNETS, key=list(VARIANTS).index)]
    assert set(VARIANTS) == {"mini", "mini-film", *UNETS}


@pytest.mark.parametrize("name", UNETS)
def test_unets_have_the_published_counts(name):
    unet = on_meta("unet", name)
    assert parameters(unet) == UNETS[name] == VARIANTS[name].parameters
    assert len(unet.state_dict()) == TENSORS.get(name, len(unet.state_dict()))


@pytest.mark.parametrize(
    "name", ["audioldm-s-full", "audioldm-m-full", "audioldm_48k", "audioldm2-full"]
)
def test_claps_have_the_published_counts(name):
    assert parameters(on_meta("clap", name)) == CLAPS[name]


def test_a_text_tower_alone_has_the_published_count():
    from dataclasses import replace

    with torch.device("meta"):
        assert (
            parameters(clap(replace(VARIANTS["audioldm-s-full"].config.clap, audio_depths=())))
            == 125_302_016
        )


@pytest.mark.parametrize(
    ("part", "name", "count"),
    [
        ("vae", "audioldm2-full", 55_376_873), ("vae", "audioldm_48k", 223_535_569), ("vocoder", "audioldm2-full", 55_264_897),
        ("vocoder", "audioldm_48k", 190_281_889), ("t5", "audioldm2-full", 341_231_104),
        ("translator", "audioldm2-full", 124_439_808 + 1_184_256),
        ("translator", "audioldm2-speech-ljspeech", 124_439_808 + 604_800 - 192 * 310),
        ("phonemes", "audioldm2-speech-ljspeech", 6_327_744 + 192 * 310),
    ],
)  # fmt: skip
def test_other_parts_have_the_published_counts(part, name, count):
    assert parameters(on_meta(part, name)) == count


def test_what_a_system_is_made_of():
    names = {name: parts_of(VARIANTS[name].config) for name in UNETS}
    assert names["audioldm-s-full"] == names["audioldm_48k"] == ("vae", "vocoder", "clap", "unet")
    assert names["audioldm_16k_crossattn_t5"] == ("vae", "vocoder", "clap", "t5", "unet")
    assert names["audioldm2-full"] == ("vae", "vocoder", "clap", "t5", "translator", "unet")
    assert names["audioldm2-speech-ljspeech"] == (
        "vae",
        "vocoder",
        "clap",
        "phonemes",
        "translator",
        "unet",
    )


def test_heads_are_those_the_authors_trained():
    heads = {name: VARIANTS[name].config.unet for name in UNETS}
    for name, unet in heads.items():
        width = 64 if name == "audioldm-l-full" else 32
        assert [w // h for w, h in zip(unet.widths, unet.heads, strict=True)] == [width] * 4, name


def test_rows_say_where_they_come_from():
    for name in UNETS:
        row = VARIANTS[name]
        assert row.licence and row.purpose and row.original
        assert (row.guidance, row.candidates) == (2.5 if row.ema else 3.5, 3)
    assert VARIANTS["audioldm2-full"].hub == "cvssp/audioldm2"
    with pytest.raises(UsageError, match="no model is called 'audioldm3'"):
        variant("audioldm3")


def test_presets_of_fidelity_are_told_apart():
    assert (
        [f.name for f in FIDELITIES.values()]
        == list(FIDELITIES)
        == ["clean", "original", "diffusers"]
    )
    clean, original, diffusers = FIDELITIES.values()
    assert (clean.eta, original.eta, diffusers.eta) == (0.0, 1.0, 0.0)
    assert (clean.null_loa, original.null_loa, diffusers.null_loa) == ("zeros", "zeros", "generate")
    assert (clean.clap_null, original.clap_null) == (0.0, 0.1)
    with pytest.raises(UsageError, match="clean, original, diffusers"):
        fidelity("exact")
