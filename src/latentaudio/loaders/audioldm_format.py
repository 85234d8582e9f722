"""The authors' files: one Lightning checkpoint that holds every part under a prefix (spec 11.2), or a part by itself.

Knows prefixes, which keys of a checkpoint belong to nobody and why, and how shapes tell what a file is. Refuses to know the
names of tensors inside a part (`keymap`).
"""

from __future__ import annotations

import re

from ..config.architecture import ModelConfig, UNetConfig
from ..config.registry import VARIANTS, Variant
from ..errors import WeightsError
from .tensor_files import Tensors

UNET = "model.diffusion_model."
LOA = "cond_stage_models.0."
PREFIXES: dict[str, tuple[str, ...]] = {
    "unet": (UNET,),
    "vocoder": ("first_stage_model.vocoder.",),
    "vae": ("first_stage_model.",),
    "clap": (
        "cond_stage_model.model.",
        "cond_stage_models.0.cond_stage_models.0.model.",
        "cond_stage_models.0.model.",
        "clap.model.",
    ),
    "t5": (
        "cond_stage_models.1.model.",
        "cond_stage_models.0.cond_stage_models.1.model.",
        "cond_stage_models.0.model.",
    ),
    "translator": (LOA,),
    "phonemes": ("cond_stage_models.0.cond_stage_models.1.",),
    "audiomae": ("cond_stage_models.0.cond_stage_models.2.audiomae.model.",),
}
"""Where a part lies; the first prefix under which the checkpoint has it. Of two CLAPs the one that conditions is read."""
_MARKS = {"clap": "text_branch."}
_ELSEWHERE = {"vae": r"^(vocoder\.|loss\.)", "translator": r"^cond_stage_models\."}

NOBODYS: tuple[tuple[str, str], ...] = (
    (
        r"^(betas|alphas_cumprod(_prev)?|sqrt_\w+|log_one_minus_\w+|posterior_\w+|lvlb_weights|logvar)$",
        "the schedule, computed",
    ),
    (r"^scale_factor$", "read as the latent's statistics"),
    (r"^model_ema\.", "averaged weights, read where they are wanted"),
    (r"^first_stage_model\.loss\.", "the VAE's discriminator"),
    (r"^clap\.mel_transform\.", "an unused front end"),
    (r"^clap\.model\.", "a second copy of CLAP, which the authors rank with"),
    (r"^cond_stage_models\.0\.cond_stage_models\.0\.model\.", "a second copy of CLAP"),
    (r"^cond_stage_models\.0\.cond_stage_models\.1\.model\.", "a second copy of T5"),
    (
        r"^cond_stage_models\.0\.cond_stage_models\.2\.",
        "AudioMAE, whose work the translator does when generating",
    ),
    (r"^cond_stage_models\.0\.model\.", "a second copy of CLAP"),
)
"""Keys of a checkpoint outside its parts: (pattern, reason)."""


def open_part(whole: Tensors, part: str, ema: bool = False) -> Tensors:
    """One part's tensors under the names inside it; the UNet's averaged ones with `ema`, if the file has any."""
    mark = _MARKS.get(part, "")
    prefix = next(
        (p for p in PREFIXES[part] if any(name.startswith(p + mark) for name in whole)),
        PREFIXES[part][0],
    )
    found = whole.under(prefix)
    elsewhere = _ELSEWHERE.get(part)
    if elsewhere:
        found = found.without(frozenset(name for name in found if re.match(elsewhere, name)))
    if part == "unet" and ema:
        short = {
            f"model_ema.{(UNET + name).removeprefix('model.').replace('.', '')}": name
            for name in found
        }
        averaged = frozenset(short) & frozenset(whole)
        if averaged:
            missing = sorted(name for key, name in short.items() if key not in averaged)
            if missing:
                raise WeightsError(
                    f"{whole.source} has averaged weights for a part of its UNet only; {missing[0]} has none"
                )
            return whole.without(frozenset(whole) - averaged).named(short)
    return found


def homes(part: str, config: ModelConfig) -> tuple[str, ...]:
    """Every prefix under which a checkpoint holds a part, copies included (spec 11.2)."""
    if part == "clap":
        if config.unet.first_kind:
            return ("cond_stage_model.model.",)
        if config.translator is not None:
            return ("clap.model.", "cond_stage_models.0.cond_stage_models.0.model.")
        return (
            ("clap.model.", "cond_stage_models.0.model.")
            if config.unet.film is not None
            else ("clap.model.",)
        )
    if part == "t5":
        inner = ("cond_stage_models.1.model.", "cond_stage_models.0.cond_stage_models.1.model.")
        return inner if config.translator is not None else ("cond_stage_models.0.model.",)
    return PREFIXES[part][:1]


def strangers(whole: Tensors, parts: tuple[str, ...]) -> list[str]:
    """Keys that belong to no part of the system and have no known reason to be there."""
    prefixes = tuple(prefix for part in parts for prefix in PREFIXES[part])
    return [
        n
        for n in whole
        if not n.startswith(prefixes) and not any(re.search(pattern, n) for pattern, _ in NOBODYS)
    ]


def scale(whole: Tensors) -> tuple[float, ...] | None:
    """The latent's standard deviation, if the checkpoint states its scale factor (spec 2)."""
    return (1.0 / float(whole["scale_factor"]),) if "scale_factor" in whole else None


def recognise(whole: Tensors, called: str) -> Variant:
    """The row of the table that a checkpoint's shapes fit; of several, the one its file is called after.

    Raises WeightsError where nothing fits; then `like` says what it is.
    """
    shapes = unet_shapes(whole)
    fitting = [
        row for row in VARIANTS.values() if row.parameters and _shapes(row.config.unet) == shapes
    ]
    if not fitting:
        raise WeightsError(
            f"{whole.source} is no checkpoint of a published model (UNet: {shapes}); say which (like, --like)"
        )
    plain = called.replace("-full-s", "-s-full").replace(
        "-full-l", "-l-full"
    )  # names of the first files
    named = [row for row in fitting if row.name in (called, plain)] or [
        row for row in fitting if row.name in plain
    ]
    return max(named, key=lambda row: len(row.name)) if named else fitting[0]


def sayable(config: ModelConfig) -> bool:
    """Whether a checkpoint can hold a model: its shapes must be a published one's, for the file has no config to say them."""
    return any(
        row.parameters and _shapes(row.config.unet) == _shapes(config.unet)
        for row in VARIANTS.values()
    )


def unet_shapes(whole: Tensors) -> tuple[object, ...]:
    """What tells one UNet from another: base width, latent channels, FiLM or not, contexts, depth."""
    key = f"{UNET}input_blocks.0.0.weight"
    if key not in whole:
        raise WeightsError(
            f"{whole.source} has no UNet ({key}); it is a part: put it into a whole model (parts)"
        )
    channels, latent = whole.shape(key)[:2]
    site = f"{UNET}middle_block."
    places = sorted({int(n.removeprefix(site).split(".")[0]) for n in whole if n.startswith(site)})[
        1:-1
    ]
    contexts: list[int | None] = []
    for place in places:
        block = f"{site}{place}.transformer_blocks.0."
        width, context = (
            whole.shape(f"{block}attn1.to_k.weight")[1],
            whole.shape(f"{block}attn2.to_k.weight")[1],
        )
        contexts.append(None if context == width else context)
    depth = len(
        {
            n.split("transformer_blocks.")[1].split(".")[0]
            for n in whole
            if n.startswith(f"{site}1.transformer_blocks.")
        }
    )
    return channels, latent, f"{UNET}film_emb.weight" in whole, tuple(contexts), depth


def _shapes(unet: UNetConfig) -> tuple[object, ...]:
    return unet.channels, unet.latent, unet.film is not None, unet.contexts, unet.depth
