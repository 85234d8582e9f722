"""Files that version 0.1 wrote are read under today's names."""

import json

import pytest

from latentaudio.config.edits import (
    ExtendOptions,
    InpaintOptions,
    LoopOptions,
    SuperResolveOptions,
    TransferOptions,
    VaryOptions,
)
from latentaudio.config.options import GenerationOptions, PromptCue
from latentaudio.config.tags import TAGS_OF_0_1, upgrade_tags
from latentaudio.errors import UsageError


def test_every_option_of_0_1_is_read():
    tags = {
        "prompt": "rain",
        "negative": "wind",
        "transcript": "hello",
        "seconds": "2.5",
        "seed": "7",
        "model": "mini",
        "preset": "fast",
        "steps": "10",
        "guidance": "2.0",
        "parallel": "0.25",
        "guidance_start": "0.1",
        "guidance_stop": "0.9",
        "rescale": "0.5",
        "sampler": "leaps",
        "reuse": "2",
        "eta": "0.0",
        "candidates": "3",
        "count": "4",
        "crossfade": "0.5",
        "loop": "1.5",
        "lufs": "-20.0",
        "peak": "-2.0",
        "trim": "True",
        "fade_in": "0.1",
        "fade_out": "0.2",
        "stereo": "0.75",
        "rate": "44100",
    }
    assert GenerationOptions.from_tags(tags) == GenerationOptions(
        prompt="rain",
        negative_prompt="wind",
        transcript="hello",
        duration=2.5,
        seed=7,
        model="mini",
        preset="fast",
        steps=10,
        guidance_scale=2.0,
        apg_eta=0.25,
        guidance_start=0.1,
        guidance_stop=0.9,
        guidance_rescale=0.5,
        sampler="distilled",
        cache_interval=2,
        eta=0.0,
        candidates=3,
        num_waveforms=4,
        crossfade=0.5,
        loop_seam=1.5,
        lufs=-20.0,
        true_peak=-2.0,
        trim_silence=True,
        fade_in=0.1,
        fade_out=0.2,
        stereo_width=0.75,
        sample_rate=44100,
    )


def test_timelines_of_0_1_are_read():
    cues = [
        {"text": "rain", "share": 2.0},
        {
            "at": 1.5,
            "sound": "bell.wav",
            "samples": "00",
            "by": "clap",
            "since": 0.5,
            "weight": 0.25,
        },
    ]
    options = GenerationOptions.from_tags({"prompt": "", "cues": json.dumps(cues)})
    assert options.timeline == (
        PromptCue(text="rain", weight=2.0),
        PromptCue(
            start=1.5,
            audio_prompt="bell.wav",
            audio_prompt_sha256="00",
            audio_prompt_mode="clap",
            audio_prompt_offset=0.5,
            audio_prompt_weight=0.25,
        ),
    )


@pytest.mark.parametrize(
    ("old", "edit"),
    [
        ({"verb": "transfer", "strength": 0.3}, TransferOptions(strength=0.3)),
        ({"verb": "transfer"}, TransferOptions(strength=1.0)),
        ({"verb": "vary", "strength": 0.4}, VaryOptions(strength=0.4)),
        ({"verb": "vary"}, VaryOptions(strength=1.0)),
        (
            {"verb": "inpaint", "times": [[0.5, 1.0]], "bands": [[100, 200]], "context": False},
            InpaintOptions(
                time_ranges=((0.5, 1.0),), frequency_ranges=((100, 200),), in_context=False
            ),
        ),
        (
            {"verb": "inpaint", "mask": "a.png", "pixels": "11"},
            InpaintOptions(mask="a.png", mask_sha256="11"),
        ),
        ({"verb": "upsample", "cutoff": 3500.0}, SuperResolveOptions(cutoff_hz=3500.0)),
        ({"verb": "extend", "left": 0.5, "right": 1.5}, ExtendOptions(before=0.5, after=1.5)),
        ({"verb": "loop", "seam": 2.0}, LoopOptions(loop_seam=2.0)),
    ],
)
def test_edits_of_0_1_are_read(old, edit):
    tags = {"prompt": "", "edit": json.dumps({**old, "sound": "a.wav", "samples": "00"})}
    expected = edit.model_copy(update={"source_path": "a.wav", "source_sha256": "00"})
    assert GenerationOptions.from_tags(tags).edit == expected


def test_tags_beside_the_options_are_renamed_too():
    old = {"fidelity": "original", "licence": "CC0-1.0", "software": "latentaudio 0.1.0"}
    assert upgrade_tags(old) == {
        "reference": "original",
        "license": "CC0-1.0",
        "software": "latentaudio 0.1.0",
    }


def test_tags_of_today_are_unchanged():
    tags = GenerationOptions(
        prompt="rain", timeline=(PromptCue(text="a", weight=2.0),), edit=VaryOptions(strength=0.5)
    ).to_tags()
    assert upgrade_tags(tags) == tags
    assert set(TAGS_OF_0_1.values()) - {"reference", "license"} <= set(
        GenerationOptions.model_fields
    )
    assert not set(TAGS_OF_0_1) & set(GenerationOptions.model_fields)


def test_a_damaged_tag_is_an_error():
    with pytest.raises(UsageError, match="the tag 'edit' is not valid JSON"):
        GenerationOptions.from_tags({"prompt": "", "edit": "{kind"})
