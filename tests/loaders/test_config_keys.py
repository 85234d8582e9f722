"""Every key of every configuration file of diffusers and transformers, against the libraries."""

import copy
import inspect
import json
import sys
from collections import Counter

import library_components as benches
import pytest
import torch
import transformers
from diffusers import (
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    UNet2DConditionModel,
)

from latentaudio.errors import LatentAudioError, WeightsError
from latentaudio.loaders import diffusers_keys, transformers_keys
from latentaudio.loaders.config_keys import read_settings

TOLERANCE = 1e-5
SCHEDULERS = (
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
)
BENCHES = {
    "unet of AudioLDM 1": benches.UNET_1,
    "unet of AudioLDM 2": benches.UNET_2,
    "vae": benches.VAE,
    "vocoder": benches.VOCODER,
    "clap": benches.CLAP,
    "clap's text tower": benches.CLAP_TEXT_TOWER,
    "clap's audio tower": benches.CLAP_AUDIO_TOWER,
    "clap's text tower alone": benches.CLAP_TEXT,
    "clap's front end": benches.FRONT_END,
    "t5": benches.T5,
    "gpt2": benches.GPT2,
    "vits": benches.VITS,
    "DDIMScheduler": benches.DDIM,
    **{library.__name__: benches.scheduler_bench(library) for library in SCHEDULERS},
}
DIFFUSERS_CLASSES = [
    (diffusers_keys.UNET, UNet2DConditionModel),
    (diffusers_keys.AUDIOLDM2_UNET, AudioLDM2UNet2DConditionModel),
    (diffusers_keys.VAE, AutoencoderKL),
    (diffusers_keys.PROJECTION, AudioLDM2ProjectionModel),
    (diffusers_keys.SCHEDULERS["DDIMScheduler"], DDIMScheduler),
    *[(diffusers_keys.SCHEDULERS[library.__name__], library) for library in SCHEDULERS],
]
TRANSFORMERS_CLASSES = [
    (transformers_keys.VOCODER, transformers.SpeechT5HifiGanConfig),
    (transformers_keys.CLAP, transformers.ClapConfig),
    (transformers_keys.CLAP_TEXT, transformers.ClapTextConfig),
    (transformers_keys.CLAP.nested["audio_config"], transformers.ClapAudioConfig),
    (transformers_keys.T5, transformers.T5Config),
    (transformers_keys.GPT2, transformers.GPT2Config),
    (transformers_keys.VITS, transformers.VitsConfig),
    (transformers_keys.FEATURE_EXTRACTOR, transformers.ClapFeatureExtractor),
]
DERIVED = {"dense_act_fn", "is_gated_act", "text_config", "audio_config"}
"""Keys whose default the library computes from others."""
COMMON_CHANGES = {
    "architectures": [["Other"]],
    "model_type": [],  # the class writes its own
    "dtype": ["float32"],
    "id2label": [{"0": "x", "1": "y"}],
    "label2id": [{"x": 0, "y": 1}],
    "problem_type": ["regression"],
    "num_decoder_layers": [1],
}


def test_tables_have_the_keys_and_defaults_of_the_installed_libraries():
    wrong = []
    for rows, library in DIFFUSERS_CLASSES:
        defaults = {}
        for name, parameter in inspect.signature(library.__init__).parameters.items():
            is_required = parameter.default is inspect.Parameter.empty
            defaults[name] = None if is_required else parameter.default
        defaults.pop("self")
        wrong += differences(rows, defaults)
    for rows, library in TRANSFORMERS_CLASSES:
        defaults = library().to_dict()
        wrong += differences(
            rows, {k: v for k, v in defaults.items() if k[0] != "_" and k != "transformers_version"}
        )
    assert not wrong, "\n".join(wrong)


def differences(rows, defaults):
    defaults = json.loads(json.dumps(defaults, default=str))
    for name in sorted(set(rows.keys) ^ set(defaults)):
        yield f"{rows.name} {name}: {'unknown' if name in defaults else 'no longer a key'}"
    for name, key in rows.keys.items():
        if key.kind != "ignored" and name in defaults and name not in DERIVED:
            is_own_beta = rows.name == "HeunDiscreteScheduler" and name.startswith("beta_")
            if key.default != defaults[name] and not is_own_beta:
                yield f"{rows.name} {name}: {key.default!r}, the library has {defaults[name]!r}"


def other_values(bench, name, value):
    """Other legal values of a key: those of the bench, or one derived from its value."""
    if name in bench.changes:
        return bench.changes[name]
    if name in COMMON_CHANGES:
        return COMMON_CHANGES[name]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value * 0.5]
    raise AssertionError(f"{bench.rows.name} {name} = {value!r} needs another legal value")


def changed(bench, arguments, name, value):
    """Arguments or a file's content with a key changed, or several at once."""
    result = copy.deepcopy(arguments)
    inner = result[bench.nested] if bench.nested else result
    inner.update(
        value if isinstance(value, dict) and set(value) & set(bench.rows.keys) else {name: value}
    )
    return result


def refusal(bench, content, state):
    """The message of our refusal, or our outputs."""
    try:
        return None, benches.open_ours(bench, content, state)
    except LatentAudioError as error:
        return str(error), None


def walk(bench, name, value, content):
    """What becomes of one value: 'refused' or 'equal'; anything else is a fault."""
    row = bench.rows.keys[name]
    changed_content = changed(bench, content, name, value)
    if row.kind == "fixed" and is_refused(bench, changed_content):
        message, _ = refusal(bench, changed_content, None)
        return "refused" if f"{name} = " in message else f"refused without its name: {message}"
    try:
        library, own_content, state = bench.build(changed(bench, bench.base, name, value))
    except Exception as error:
        is_ours = is_refused(bench, changed_content)
        return "refused" if is_ours else f"the library refuses it, and we do not: {error}"
    message, ours = refusal(bench, own_content, state)
    if message is not None:
        return "refused" if name in message else f"refused without its name: {message}"
    try:
        theirs = bench.run_library(library)
    except Exception as error:
        return f"the library cannot run it, and we do: {error}"
    for a, b in zip(theirs, ours, strict=True):
        if a.shape != b.shape:
            return f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
        if (difference := float((a - b).abs().max())) > TOLERANCE * max(1.0, float(a.abs().max())):
            return f"differs by {difference:g}"
    return "equal"


def is_refused(bench, content):
    try:
        read_settings(content, bench.file_rows or bench.rows, "config.json")
    except WeightsError:
        return True
    return False


@pytest.mark.parametrize("name", BENCHES)
@torch.no_grad()
def test_no_key_differs_in_silence(name):
    bench = BENCHES[name]
    _, content, _ = bench.build(bench.base)
    own = content[bench.nested] if bench.nested else content
    counts, wrong = Counter(), []
    for key, row in bench.rows.keys.items():
        if key in bench.cannot_change:
            continue
        counts[f"{row.kind} keys"] += 1
        for value in other_values(bench, key, own[key]):
            verdict = walk(bench, key, value, content)
            counts[verdict] += verdict in ("refused", "equal")
            if verdict not in ("refused", "equal"):
                wrong.append(f"{key} = {value!r} ({row.kind}): {verdict}")
    sys.stdout.write(f"{bench.rows.name}: {dict(counts)}\n")
    assert not wrong, "\n".join(wrong)
    assert counts["equal"]
