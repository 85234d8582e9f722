"""The authors' checkpoints of all thirteen published models, with names and shapes of `layouts`.

At full width each tensor is one number expanded to its shape, so that files are small and strict
loading is tested completely. At tiny widths all numbers differ, so that each of our tensors is
compared with the right part of the right original tensor.
"""

from dataclasses import replace
from pathlib import Path

import layouts
import pytest
import torch
from layouts import PUBLISHED

from latentaudio.config.architecture import AudioMAEConfig
from latentaudio.config.registry import MODELS
from latentaudio.errors import WeightsError
from latentaudio.loaders import key_mapping
from latentaudio.loaders.components import COMPONENTS, component_names
from latentaudio.loaders.layouts import LAYOUTS, ModelSource
from latentaudio.loaders.resolve import resolve_model
from latentaudio.loaders.tensor_files import Tensors


def constant_tensor(value, shape):
    """A tensor of that shape in which one stored number stands everywhere."""
    return torch.tensor(value).expand(shape)


def checkpoint(name, path):
    """Write it; {part: {our name: number}}."""
    state, dimensions, prefixes = {}, {}, layouts.prefixes(name)
    for component, table in layouts.tables(PUBLISHED[name]).items():
        leftovers = {
            inner: (shape, {})
            for inner, shape in layouts.UNUSED_IN_COMPONENTS.get(component, {}).items()
        }
        for inner, (shape, cuts) in {**table, **leftovers}.items():
            number = float(len(state) % 97 + 1)
            value = constant_tensor(
                int(number) if inner.endswith(layouts.INTEGER_TENSORS) else number, shape
            )
            state |= {home + inner: value for home in prefixes[component]}
            dimensions.setdefault(component, {}).update(dict.fromkeys(cuts, number))
            if component == "unet" and name.startswith("audioldm-"):
                state[layouts.averaged_name(inner)] = constant_tensor(99.5, shape)
    state |= {key: constant_tensor(0.5, shape) for key, shape in layouts.UNUSED_TENSORS.items()} | {
        "scale_factor": torch.tensor(0.25)
    }
    state |= {
        home + "text_branch.embeddings.position_ids": torch.arange(514)[None]
        for home in prefixes["clap"]
    }
    if not name.startswith("audioldm-"):
        state |= {
            "clap.mel_transform.spectrogram.window": torch.zeros(1),
            "clap.mel_transform.mel_scale.fb": torch.zeros(1),
        }
    if "translator" in prefixes:
        state["cond_stage_models.0.cond_stage_models.2.audiomae.model.cls_token"] = torch.zeros(
            1, 1, 768
        )
    torch.save({"state_dict": state, "epoch": 1, "global_step": 2}, path)
    assert path.stat().st_size < 8e6
    return dimensions


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_checkpoint_is_identified_and_loads(name, tmp_path):
    path = tmp_path / f"{name}.ckpt"
    dimensions = checkpoint(name, path)
    model = resolve_model(path)
    assert (model.spec.name, model.config.unet, model.config.latent_std) == (
        name,
        MODELS[name].config.unet,
        (4.0,),
    )
    for component in component_names(model.config):
        state = model.load_component(component).state_dict()
        averaged_name = component == "unet" and name.startswith("audioldm-")
        expected = (
            dict.fromkeys(dimensions[component], 99.5) if averaged_name else dimensions[component]
        )
        assert {
            k: float(v.flatten()[-1]) for k, v in state.items() if k not in layouts.OPTIONAL_TENSORS
        } == expected
        assert all(not v.any() for k, v in state.items() if k.endswith("token_type_ids"))


def test_file_names_of_the_first_release_are_recognized(tmp_path):
    path = tmp_path / "audioldm-full-s-v2.ckpt"
    checkpoint("audioldm-s-full-v2", path)
    assert resolve_model(path).spec.name == "audioldm-s-full-v2"
    path.rename(tmp_path / "mine.ckpt")
    assert resolve_model(tmp_path / "mine.ckpt").spec.name == "audioldm-s-full"
    assert (
        resolve_model(tmp_path / "mine.ckpt", architecture="audioldm-s-text-ft").spec.name
        == "audioldm-s-text-ft"
    )


CONTEXTS = {None: None, 768: 12, 1024: 20}
SOURCES = {512: 10, 1024: 20, 192: 14}


def tiny(name):
    """A row at tiny widths, as the numbers of `layouts` and as our config."""
    n, config = PUBLISHED[name], MODELS[name].config
    items, sources = tuple(CONTEXTS[c] for c in n.contexts), tuple(SOURCES[s] for s in n.sources)
    vocoder, levels = (64, *n.vocoder[1:]), len(n.vae)
    dimensions = replace(
        n,
        vae=(8, 16, 32, 64)[:levels],
        vocoder=vocoder,
        channels=8,
        contexts=items,
        film=n.film and 10,
        projection_dim=10,
        clap_text=(22, 12, 12, 14, 18),
        clap_audio=(4, n.clap_audio[1], (1, 2, 4, 8)),
        t5=n.t5 and (30, 20, 24, 26, 3, 6),
        gpt2=n.gpt2 and (38, 12, 12, 34),
        sources=sources,
        vits=n.vits and (183, 14, 6, 18, 2, 40),
        audiomae=(16, 12, 16, 513),
    )
    components = {
        "vae": {"channels": 8, "num_groups": 4},
        "unet": {
            "channels": 8,
            "num_groups": 4,
            "contexts": items,
            "num_heads": (1, 2, 3, 5),
            "film_dim": dimensions.film,
        },
        "vocoder": {"channels": 64},
        "clap": {
            "projection_dim": 10,
            "text_hidden_size": 12,
            "text_ffn_dim": 14,
            "text_max_positions": 18,
            "vocab_size": 22,
            "audio_hidden_size": 4,
            "audio_num_heads": (1, 2, 4, 8),
        },
        "t5": {"hidden_size": 20, "head_dim": 6, "num_heads": 3, "ffn_dim": 26, "vocab_size": 30},
        "translator": {
            "hidden_size": 12,
            "max_positions": 34,
            "vocab_size": 38,
            "source_dims": sources,
        },
        "phonemes": {"hidden_size": 14, "ffn_dim": 18, "max_length": 40},
    }
    audiomae = AudioMAEConfig(hidden_size=16, num_heads=2, decoder_num_layers=0)
    changed = {
        component: replace(getattr(config, component), **change)
        for component, change in components.items()
        if getattr(config, component)
    }
    return dimensions, replace(config, **changed, audiomae=audiomae if config.translator else None)


def random_tensors(table, generator):
    """Tensors under the names of a table, no two numbers alike but in whole ones."""
    is_integer = {n: n.endswith(layouts.INTEGER_TENSORS) for n in table}
    draw = {
        True: lambda s: torch.randint(999, s, generator=generator),
        False: lambda s: torch.randn(s, generator=generator),
    }
    return {n: draw[is_integer[n]](shape) for n, (shape, _) in table.items()}


def open_in_memory(name, config, state):
    """The model of a checkpoint held in memory."""
    spec = replace(MODELS[name], config=config)
    checkpoint_tensors = Tensors({key: (state, key) for key in state}, Path("memory"))
    return ModelSource(
        "memory", Path("memory"), spec, {}, "original", checkpoint=checkpoint_tensors
    )


def build_system(name):
    """(config, {component: (table, tensors)}, checkpoint); tensors not to be read are NaN."""
    dimensions, config = tiny(name)
    tables, prefixes, generator = (
        layouts.tables(dimensions),
        layouts.prefixes(name),
        torch.Generator().manual_seed(0),
    )
    if dimensions.gpt2:
        tables["audiomae"] = layouts.audiomae(dimensions)
        prefixes = {
            **prefixes,
            "audiomae": ["cond_stage_models.0.cond_stage_models.2.audiomae.model."],
        }
    components = {
        component: (table, random_tensors(table, generator)) for component, table in tables.items()
    }
    state = {}
    for component, (_, original) in components.items():
        first, *copies = prefixes[component]
        for inner, value in original.items():
            not_read = (
                torch.full_like(value, -1)
                if inner.endswith(layouts.INTEGER_TENSORS)
                else value * torch.nan
            )
            raw_value, averaged_value = (
                (not_read, value)
                if component == "unet" and name.startswith("audioldm-")
                else (value, not_read)
            )
            state[first + inner] = raw_value
            state |= {copy_prefix + inner: not_read for copy_prefix in copies}
            if component == "unet":
                state[layouts.averaged_name(inner)] = averaged_value
        state |= {
            home + inner: torch.tensor(torch.nan)
            for home in prefixes[component]
            for inner in layouts.UNUSED_IN_COMPONENTS.get(component, {})
        }
    return (
        config,
        components,
        state | {key: torch.tensor(torch.nan) for key in layouts.UNUSED_TENSORS},
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_tensor_is_the_right_part_of_the_original(name):
    config, components, state = build_system(name)
    model = open_in_memory(name, config, state)
    assert set(components) == set(component_names(config))
    for component, (table, original) in components.items():
        ours = model.load_component(component).state_dict()
        expected = {
            key: cut(original[n]) for n, (_, cuts) in table.items() for key, cut in cuts.items()
        }
        assert set(ours) - set(layouts.OPTIONAL_TENSORS) == set(expected)
        for key, value in expected.items():
            assert ours[key].shape == value.shape and torch.equal(ours[key], value), (
                f"{component} {key}"
            )
        converted = dict(
            key_mapping.to_foreign(
                LAYOUTS["original"].tensor_refs(COMPONENTS[component], config, ours), ours
            )
        )
        for n, value in original.items():
            rows = (
                len(config.translator.source_dims)
                if n.endswith("of_sequence_tokens.weight")
                else None
            )
            returned = converted.pop(n)
            assert returned.shape == value.shape and torch.equal(
                returned[:rows] if rows else returned, value[:rows] if rows else value
            ), n
        assert all(n.endswith(("position_ids", "token_type_ids")) for n in converted)


@torch.no_grad()
def test_clap_attention_computes_the_same_as_the_fused_matrix():
    """Query, key and value of CLAP's audio attention are thirds of the authors' fused matrix."""
    name = "audioldm2-full"
    config, components, state = build_system(name)
    original = components["clap"][1]
    block = (
        open_in_memory(name, config, state)
        .load_component("clap")
        .audio_model.audio_encoder.layers[2]
        .blocks[0]
        .attention.self
    )
    x = torch.randn(1, 64, 16, generator=torch.Generator().manual_seed(1))
    fused = (
        x @ original["audio_branch.layers.2.blocks.0.attn.qkv.weight"].T
        + original["audio_branch.layers.2.blocks.0.attn.qkv.bias"]
    )
    q, k, v = fused.view(1, 64, 3, 4, 4).permute(
        2, 0, 3, 1, 4
    )  # as Swin's code has it: three, heads, width of a head
    table = original["audio_branch.layers.2.blocks.0.attn.relative_position_bias_table"]
    index = original["audio_branch.layers.2.blocks.0.attn.relative_position_index"] % 225
    block.relative_position_index.copy_(index)
    scores = q @ k.transpose(2, 3) / 2 + table[index].permute(2, 0, 1)
    expected = (scores.softmax(3) @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(block(x)[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("component", "missing_key"),
    [
        ("unet", "input_blocks.4.1.proj_in.bias"),
        ("vae", "quant_conv.bias"),
        ("clap", "logit_scale_t"),
    ],
)
def test_a_checkpoint_without_one_tensor_is_refused(component, missing_key):
    config, _, state = build_system("audioldm2-full")
    del state[layouts.prefixes("audioldm2-full")[component][0] + missing_key]
    with pytest.raises(WeightsError, match=f"missing: {missing_key}"):
        open_in_memory("audioldm2-full", config, state).load_component(component)
