"""Authors' checkpoints of all thirteen names: the keys and shapes of `layouts`, which was written from the spec alone.

At full width each tensor is one number over its shape: such a file is small, yet strict loading is put to the real test. At
tiny widths every number is another one, so that each of our tensors is seen to be the right cut of the right one of theirs.
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
from latentaudio.loaders.resolve import ModelSource, resolve_model
from latentaudio.loaders.tensor_files import Tensors


def spread(value, shape):
    """A tensor of that shape in which one stored number stands everywhere."""
    return torch.tensor(value).expand(shape)


def checkpoint(name, path):
    """Write it; {part: {our name: number}}."""
    state, numbers, homes = {}, {}, layouts.homes(name)
    for part, table in layouts.tables(PUBLISHED[name]).items():
        leftovers = {inner: (shape, {}) for inner, shape in layouts.OF_PARTS.get(part, {}).items()}
        for inner, (shape, cuts) in {**table, **leftovers}.items():
            number = float(len(state) % 97 + 1)
            value = spread(int(number) if inner.endswith(layouts.WHOLE_NUMBERS) else number, shape)
            state |= {home + inner: value for home in homes[part]}
            numbers.setdefault(part, {}).update(dict.fromkeys(cuts, number))
            if part == "unet" and name.startswith("audioldm-"):
                state[layouts.averaged(inner)] = spread(99.5, shape)
    state |= {key: spread(0.5, shape) for key, shape in layouts.LEFTOVERS.items()} | {
        "scale_factor": torch.tensor(0.25)
    }
    state |= {
        home + "text_branch.embeddings.position_ids": torch.arange(514)[None]
        for home in homes["clap"]
    }
    if not name.startswith("audioldm-"):
        state |= {
            "clap.mel_transform.spectrogram.window": torch.zeros(1),
            "clap.mel_transform.mel_scale.fb": torch.zeros(1),
        }
    if "translator" in homes:
        state["cond_stage_models.0.cond_stage_models.2.audiomae.model.cls_token"] = torch.zeros(
            1, 1, 768
        )
    torch.save({"state_dict": state, "epoch": 1, "global_step": 2}, path)
    assert path.stat().st_size < 8e6
    return numbers


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_checkpoint_is_recognised_and_fits(name, tmp_path):
    path = tmp_path / f"{name}.ckpt"
    numbers = checkpoint(name, path)
    found = resolve_model(path)
    assert (found.spec.name, found.config.unet, found.config.latent_std) == (
        name,
        MODELS[name].config.unet,
        (4.0,),
    )
    for part in component_names(found.config):
        state = found.load_component(part).state_dict()
        averaged = part == "unet" and name.startswith("audioldm-")
        wanted = dict.fromkeys(numbers[part], 99.5) if averaged else numbers[part]
        assert {
            k: float(v.flatten()[-1]) for k, v in state.items() if k not in layouts.MISSING
        } == wanted
        assert all(not v.any() for k, v in state.items() if k.endswith("token_type_ids"))


def test_names_of_the_first_files_are_understood(tmp_path):
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
    items, sources = tuple(CONTEXTS[c] for c in n.items), tuple(SOURCES[s] for s in n.sources)
    vocoder, levels = (64, *n.vocoder[1:]), len(n.vae)
    numbers = replace(
        n,
        vae=(8, 16, 32, 64)[:levels],
        vocoder=vocoder,
        channels=8,
        items=items,
        film=n.film and 10,
        joint=10,
        words=(22, 12, 12, 14, 18),
        ear=(4, n.ear[1], (1, 2, 4, 8)),
        t5=n.t5 and (30, 20, 24, 26, 3, 6),
        gpt2=n.gpt2 and (38, 12, 12, 34),
        sources=sources,
        vits=n.vits and (183, 14, 6, 18, 2, 40),
        mae=(16, 12, 16, 513),
    )
    parts = {
        "vae": {"channels": 8, "num_groups": 4},
        "unet": {
            "channels": 8,
            "num_groups": 4,
            "contexts": items,
            "num_heads": (1, 2, 3, 5),
            "film_dim": numbers.film,
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
    made = {
        part: replace(getattr(config, part), **change)
        for part, change in parts.items()
        if getattr(config, part)
    }
    return numbers, replace(config, **made, audiomae=audiomae if config.translator else None)


def drawn(table, dice):
    """Tensors under the names of a table, no two numbers alike but in whole ones."""
    kinds = {n: n.endswith(layouts.WHOLE_NUMBERS) for n in table}
    draw = {
        True: lambda s: torch.randint(999, s, generator=dice),
        False: lambda s: torch.randn(s, generator=dice),
    }
    return {n: draw[kinds[n]](shape) for n, (shape, _) in table.items()}


def opened(name, config, state):
    """The model of a checkpoint held in memory."""
    row = replace(MODELS[name], config=config)
    whole = Tensors({key: (state, key) for key in state}, Path("memory"))
    return ModelSource("memory", Path("memory"), row, {}, "original", checkpoint=whole)


def system(name):
    """(config, {part: (table, tensors)}, checkpoint): whatever should not be read is not a number."""
    numbers, config = tiny(name)
    tables, homes, dice = (
        layouts.tables(numbers),
        layouts.homes(name),
        torch.Generator().manual_seed(0),
    )
    if numbers.gpt2:
        tables["audiomae"] = layouts.audiomae(numbers)
        homes = {**homes, "audiomae": ["cond_stage_models.0.cond_stage_models.2.audiomae.model."]}
    parts = {part: (table, drawn(table, dice)) for part, table in tables.items()}
    state = {}
    for part, (_, theirs) in parts.items():
        first, *copies = homes[part]
        for inner, value in theirs.items():
            nothing = (
                torch.full_like(value, -1)
                if inner.endswith(layouts.WHOLE_NUMBERS)
                else value * torch.nan
            )
            kept, twin = (
                (nothing, value)
                if part == "unet" and name.startswith("audioldm-")
                else (value, nothing)
            )
            state[first + inner] = kept
            state |= {copy + inner: nothing for copy in copies}
            if part == "unet":
                state[layouts.averaged(inner)] = twin
        state |= {
            home + inner: torch.tensor(torch.nan)
            for home in homes[part]
            for inner in layouts.OF_PARTS.get(part, {})
        }
    return config, parts, state | {key: torch.tensor(torch.nan) for key in layouts.LEFTOVERS}


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_of_our_tensors_is_the_right_cut_of_theirs(name):
    config, parts, state = system(name)
    found = opened(name, config, state)
    assert set(parts) == set(component_names(config))
    for part, (table, theirs) in parts.items():
        ours = found.load_component(part).state_dict()
        wanted = {
            key: cut(theirs[n]) for n, (_, cuts) in table.items() for key, cut in cuts.items()
        }
        assert set(ours) - set(layouts.MISSING) == set(wanted)
        for key, value in wanted.items():
            assert ours[key].shape == value.shape and torch.equal(ours[key], value), f"{part} {key}"
        written = dict(
            key_mapping.to_foreign(COMPONENTS[part].tensor_refs(config, ours, "original"), ours)
        )
        for n, value in theirs.items():
            rows = (
                len(config.translator.source_dims)
                if n.endswith("of_sequence_tokens.weight")
                else None
            )
            back = written.pop(n)
            assert back.shape == value.shape and torch.equal(
                back[:rows] if rows else back, value[:rows] if rows else value
            ), n
        assert all(n.endswith(("position_ids", "token_type_ids")) for n in written)


@torch.no_grad()
def test_what_is_computed_in_one_of_the_authors_fused_matrices():
    """CLAP's hearing: attention's query, key and value of a block are x W' + b of the authors' thirds, scores as they stand."""
    name = "audioldm2-full"
    config, parts, state = system(name)
    theirs = parts["clap"][1]
    block = (
        opened(name, config, state)
        .load_component("clap")
        .audio_model.audio_encoder.layers[2]
        .blocks[0]
        .attention.self
    )
    x = torch.randn(1, 64, 16, generator=torch.Generator().manual_seed(1))
    fused = (
        x @ theirs["audio_branch.layers.2.blocks.0.attn.qkv.weight"].T
        + theirs["audio_branch.layers.2.blocks.0.attn.qkv.bias"]
    )
    q, k, v = fused.view(1, 64, 3, 4, 4).permute(
        2, 0, 3, 1, 4
    )  # as Swin's code has it: three, heads, width of a head
    table = theirs["audio_branch.layers.2.blocks.0.attn.relative_position_bias_table"]
    index = theirs["audio_branch.layers.2.blocks.0.attn.relative_position_index"] % 225
    block.relative_position_index.copy_(index)
    scores = q @ k.transpose(2, 3) / 2 + table[index].permute(2, 0, 1)
    want = (scores.softmax(3) @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(block(x)[0], want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("part", "lacking"),
    [
        ("unet", "input_blocks.4.1.proj_in.bias"),
        ("vae", "quant_conv.bias"),
        ("clap", "logit_scale_t"),
    ],
)
def test_a_checkpoint_that_lacks_one_tensor_is_refused(part, lacking):
    config, _, state = system("audioldm2-full")
    del state[layouts.homes("audioldm2-full")[part][0] + lacking]
    with pytest.raises(WeightsError, match=f"missing: {lacking}"):
        opened("audioldm2-full", config, state).load_component(part)
