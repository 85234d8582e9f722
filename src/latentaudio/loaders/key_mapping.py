"""Names of tensors: ours, diffusers' and the authors', one ordered table per family, read in both directions.

Knows names, and how one tensor is another one squeezed, cut or stacked. Refuses to know files and networks. Every row renames
our names; the way back is the inverse of the whole map, so that nothing can be renamed in one direction only.
Sources: spec sections 2, 3, 4.5, 6.7 and 11.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ..config.architecture import ModelConfig

Foreign: TypeAlias = Literal["diffusers", "original"]
Rule: TypeAlias = tuple[str, str, str]
"""(pattern in our name, diffusers' words, the authors' words); a row works on what the rows before it have left."""

SEQUENCE_ROWS = (
    32  # of the authors' tables of start and end vectors; only the first ones are ever read
)


@dataclass(frozen=True)
class Slot:
    """Where one of our tensors lies among theirs.

    kind: "whole" the same tensor; "square" / "column" theirs has two axes / one axis of size 1 behind; "third" ours is the
    place-th third of theirs; "rows" ours are the first rows of theirs; "stack" ours is a row from each of `names`.
    """

    names: tuple[str, ...]
    kind: Literal["whole", "square", "column", "third", "rows", "stack"] = "whole"
    place: int = 0

    def read(self, get: Callable[[str], Tensor], rows: int) -> Tensor:
        """Our tensor out of theirs; `rows` is our first axis."""
        if self.kind == "stack":
            return torch.stack([get(name) for name in self.names])
        theirs = get(self.names[0])
        match self.kind:
            case "square":
                return theirs.flatten(1) if theirs.ndim == 4 else theirs
            case "column":
                return theirs.squeeze(-1) if theirs.ndim == 3 else theirs
            case "third":
                return theirs.chunk(3)[self.place]
            case "rows":
                return theirs[:rows]
        return theirs

    def shapes(self, ours: torch.Size) -> dict[str, tuple[int, ...]]:
        """What their tensors must measure for ours to measure `ours`; -1: anything."""
        own = tuple(ours)
        match self.kind:
            case "square":
                return {self.names[0]: (*own, 1, 1)}
            case "column":
                return {self.names[0]: (*own, 1)}
            case "third":
                return {self.names[0]: (3 * own[0], *own[1:])}
            case "rows":
                return {self.names[0]: (-1, *own[1:])}
            case "stack":
                return dict.fromkeys(self.names, own[1:])
        return {self.names[0]: own}


def write(slots: Mapping[str, Slot], state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Their (name, tensor) pairs made of our state; the inverse of `Slot.read` for every tensor."""
    thirds: dict[str, dict[int, Tensor]] = {}
    for ours, slot in slots.items():
        value, name = state[ours], slot.names[0]
        match slot.kind:
            case "whole":
                yield name, value
            case "square":
                yield name, value[..., None, None]
            case "column":
                yield name, value[..., None]
            case "rows":
                yield (
                    name,
                    torch.cat(
                        [value, value.new_zeros(SEQUENCE_ROWS - len(value), *value.shape[1:])]
                    ),
                )
            case "stack":
                yield from zip(slot.names, value.unbind(), strict=True)
            case "third":
                parts = thirds.setdefault(name, {})
                parts[slot.place] = value
                if len(parts) == 3:
                    yield name, torch.cat([parts[place] for place in range(3)])


def slots(part: str, config: ModelConfig, keys: Iterable[str], layout: Foreign) -> dict[str, Slot]:
    """Where each of a part's tensors lies in a layout. `keys`: of the part's own state."""
    column = 1 if layout == "diffusers" else 2
    rules = [(re.compile(rule[0]), rule[column]) for rule in FAMILIES[part](config)]
    special = SPECIAL.get((part, layout), _whole)
    found = {}
    for key in keys:
        name = key
        for pattern, words in rules:
            if pattern.search(name):
                name = pattern.sub(words, name)
        found[key] = special(key, name, config)
    return found


def _whole(key: str, name: str, config: ModelConfig) -> Slot:
    return Slot((name,))


def _vae_original(key: str, name: str, config: ModelConfig) -> Slot:
    return Slot((name,), "square" if ".attention." in key and key.endswith("weight") else "whole")


def _clap_original(key: str, name: str, config: ModelConfig) -> Slot:
    fused = re.fullmatch(r"(audio_branch.*attn\.)(query|key|value)\.(weight|bias)", name)
    if fused is None:
        return Slot((name,))
    return Slot((f"{fused[1]}qkv.{fused[3]}",), "third", ("query", "key", "value").index(fused[2]))


def _phonemes_original(key: str, name: str, config: ModelConfig) -> Slot:
    return Slot((name,), "column" if re.search(r"conv_[qkvo]\.weight$", name) else "whole")


def _translator_diffusers(key: str, name: str, config: ModelConfig) -> Slot:
    if key in ("start", "end"):
        assert config.translator is not None
        stem = "sos_embed" if key == "start" else "eos_embed"
        ends = ["" if i == 0 else f"_{i}" for i in range(len(config.translator.sources))]
        return Slot(tuple(f"projection_model/{stem}{end}" for end in ends), "stack")
    return Slot((name,))


def _translator_original(key: str, name: str, config: ModelConfig) -> Slot:
    return Slot((name,), "rows" if key in ("start", "end") else "whole")


SPECIAL: dict[tuple[str, Foreign], Callable[[str, str, ModelConfig], Slot]] = {
    ("vae", "original"): _vae_original,
    ("clap", "original"): _clap_original,
    ("phonemes", "original"): _phonemes_original,
    ("translator", "diffusers"): _translator_diffusers,
    ("translator", "original"): _translator_original,
}

_UNET_LEAVES: list[Rule] = [
    (r"^time_in\.", "time_embedding.linear_1.", "time_embed.0."),
    (r"^time_out\.", "time_embedding.linear_2.", "time_embed.2."),
    (r"^film\.", "class_embedding.", "film_emb."),
    (r"^conv_in\.", "conv_in.", "input_blocks.0.0."),
    (r"^norm_out\.", "conv_norm_out.", "out.0."),
    (r"^conv_out\.", "conv_out.", "out.2."),
    (r"\.res\.norm1\.", ".res.norm1.", ".res.in_layers.0."),
    (r"\.res\.conv1\.", ".res.conv1.", ".res.in_layers.2."),
    (r"\.res\.embed\.", ".res.time_emb_proj.", ".res.emb_layers.1."),
    (r"\.res\.norm2\.", ".res.norm2.", ".res.out_layers.0."),
    (r"\.res\.conv2\.", ".res.conv2.", ".res.out_layers.3."),
    (r"\.res\.shortcut\.", ".res.conv_shortcut.", ".res.skip_connection."),
    *[(ours, theirs, theirs) for ours, theirs in (
        (r"\.blocks\.", ".transformer_blocks."), (r"\.to_out\.", ".to_out.0."), (r"\.ff_in\.", ".ff.net.0.proj."),
        (r"\.ff_out\.", ".ff.net.2."),
    )],
]  # fmt: skip


def _unet(config: ModelConfig) -> list[Rule]:
    """The leaves, then every place of every site: theirs are counted through (spec 4.5)."""
    unet, levels = config.unet, len(config.unet.mult)
    per_level, each = unet.res_blocks + 1, len(unet.contexts)
    places: list[Rule] = []
    for level in range(levels):
        for site in range(unet.res_blocks):
            places += _site(
                f"down.{level}.sites.{site}",
                f"down_blocks.{level}",
                site,
                each,
                per_level * level + 1 + site,
                "input",
            )
        step = f"input_blocks.{per_level * (level + 1)}.0.op."
        places.append(
            (rf"^down\.{level}\.step\.conv\.", f"down_blocks.{level}.downsamplers.0.conv.", step)
        )
        for site in range(per_level):
            places += _site(
                f"up.{level}.sites.{site}",
                f"up_blocks.{level}",
                site,
                each,
                per_level * level + site,
                "output",
            )
        behind = 1 + (each if unet.attention[levels - 1 - level] else 0)
        step = f"output_blocks.{per_level * level + unet.res_blocks}.{behind}.conv."
        places.append(
            (rf"^up\.{level}\.step\.conv\.", f"up_blocks.{level}.upsamplers.0.conv.", step)
        )
    places += [
        (r"^middle\.0\.res\.", "mid_block.resnets.0.", "middle_block.0."),
        (r"^middle\.1\.res\.", "mid_block.resnets.1.", f"middle_block.{1 + each}."),
    ]
    places += [
        (
            rf"^middle\.0\.transformers\.{j}\.",
            f"mid_block.attentions.{j}.",
            f"middle_block.{1 + j}.",
        )
        for j in range(each)
    ]
    return [*_UNET_LEAVES, *places]


def _site(ours: str, block: str, site: int, each: int, number: int, way: str) -> list[Rule]:
    here = re.escape(ours)
    rows = [(rf"^{here}\.res\.", f"{block}.resnets.{site}.", f"{way}_blocks.{number}.0.")]
    for j in range(each):
        flat = f"{block}.attentions.{site * each + j}."
        rows.append((rf"^{here}\.transformers\.{j}\.", flat, f"{way}_blocks.{number}.{1 + j}."))
    return rows


def _vae(config: ModelConfig) -> list[Rule]:
    top = len(config.vae.mult) - 1
    ups = [(rf"\.up\.{i}\.", f".up_blocks.{i}.", f".UP.{top - i}.") for i in range(top + 1)]
    return [
        (r"^quant\.", "quant_conv.", "quant_conv."),
        (r"^post_quant\.", "post_quant_conv.", "post_quant_conv."),
        (r"\.shortcut\.", ".conv_shortcut.", ".nin_shortcut."),
        (r"\.norm_out\.", ".conv_norm_out.", ".norm_out."),
        (r"\.middle\.0\.", ".mid_block.resnets.0.", ".mid.block_1."),
        (r"\.middle\.2\.", ".mid_block.resnets.1.", ".mid.block_2."),
        (r"\.middle\.1\.norm\.", ".mid_block.attentions.0.group_norm.", ".mid.attn_1.norm."),
        (
            r"\.middle\.1\.attention\.to_out\.",
            ".mid_block.attentions.0.to_out.0.",
            ".mid.attn_1.proj_out.",
        ),
        (
            r"\.middle\.1\.attention\.to_([qkv])\.",
            r".mid_block.attentions.0.to_\1.",
            r".mid.attn_1.\1.",
        ),
        (r"\.blocks\.", ".resnets.", ".block."),
        *ups,
        (r"\.UP\.", ".up_blocks.", ".up."),
        (r"\.down\.", ".down_blocks.", ".down."),
        (r"^(encoder.*)\.step\.", r"\1.downsamplers.0.", r"\1.downsample."),
        (r"^(decoder.*)\.step\.", r"\1.upsamplers.0.", r"\1.upsample."),
    ]


def _vocoder(config: ModelConfig) -> list[Rule]:
    return [(r"^ups\.", "upsampler.", "ups.")]


def _clap(config: ModelConfig) -> list[Rule]:
    audio = r"^(audio_model.*)"

    def only(words: str, original: str) -> Rule:
        return rf"{audio}\.{words}\.", rf"\1.{words}.".replace("\\.", "."), rf"\1.{original}."

    return [
        only(r"attention\.self", "attn"),
        only(r"attention\.output\.dense", "attn.proj"),
        only(r"intermediate\.dense", "mlp.fc1"),
        only(r"output\.dense", "mlp.fc2"),
        only("layernorm_before", "norm1"),
        only("layernorm_after", "norm2"),
        only("batch_norm", "bn0"),
        (r"_projection\.linear1\.", "_projection.linear1.", "_projection.0."),
        (r"_projection\.linear2\.", "_projection.linear2.", "_projection.2."),
        (r"^text_model\.", "text_model.", "text_branch."),
        (r"^audio_model\.audio_encoder\.", "audio_model.audio_encoder.", "audio_branch."),
    ]


def _t5(config: ModelConfig) -> list[Rule]:
    return []


def _translator(config: ModelConfig) -> list[Rule]:
    return [
        (r"^projections\.0\.", "projection_model/projection.", "input_sequence_embed_linear.0."),
        (
            r"^projections\.(\d+)\.",
            r"projection_model/projection_\1.",
            r"input_sequence_embed_linear.\1.",
        ),
        (r"^gpt2\.", "language_model/", "model."),
        (r"^start$", "start", "start_of_sequence_tokens.weight"),
        (r"^end$", "end", "end_of_sequence_tokens.weight"),
    ]


def _phonemes(config: ModelConfig) -> list[Rule]:
    layer = r"^encoder\.layers\.(\d+)\."
    return [
        (r"^positional$", "projection_model/learnable_positional_embedding", "learnable_positional_embedding"),
        *((layer + rf"attention\.{x}_proj\.", rf"encoder.layers.\1.attention.{x}_proj.", rf"encoder.attn_layers.\1.conv_{o}.")
          for x, o in (("q", "q"), ("k", "k"), ("v", "v"), ("out", "o"))),
        (layer + r"attention\.emb", r"encoder.layers.\1.attention.emb", r"encoder.attn_layers.\1.emb"),
        (layer + r"layer_norm\.weight", r"encoder.layers.\1.layer_norm.weight", r"encoder.norm_layers_1.\1.gamma"),
        (layer + r"layer_norm\.bias", r"encoder.layers.\1.layer_norm.bias", r"encoder.norm_layers_1.\1.beta"),
        (layer + r"final_layer_norm\.weight", r"encoder.layers.\1.final_layer_norm.weight", r"encoder.norm_layers_2.\1.gamma"),
        (layer + r"final_layer_norm\.bias", r"encoder.layers.\1.final_layer_norm.bias", r"encoder.norm_layers_2.\1.beta"),
        (layer + r"feed_forward\.", r"encoder.layers.\1.feed_forward.", r"encoder.ffn_layers.\1."),
        (r"^embed_tokens\.", "embed_tokens.", "emb."),
        (r"^project\.", "project.", "proj."),
        (r"^(embed_tokens|emb|encoder|project|proj)\.", r"text_encoder_2/text_encoder.\1.", r"text_encoder.\1."),
    ]  # fmt: skip


def _audiomae(config: ModelConfig) -> list[Rule]:
    return []


FAMILIES: dict[str, Callable[[ModelConfig], list[Rule]]] = {
    "unet": _unet, "student": _unet, "vae": _vae, "vocoder": _vocoder, "clap": _clap, "t5": _t5, "translator": _translator,
    "phonemes": _phonemes, "audiomae": _audiomae,
}  # fmt: skip
