"""How the clips were generated: what the user says, completed by the tags of the files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import UsageError, WeightsError
from ..loaders.resolve import find_local
from .backbones import get_backbone
from .clip_facts import ClipFacts
from .guards import common_tag


@dataclass(frozen=True)
class Statement:
    """What the user says about the generation; tags of the files fill the gaps.

    Attributes:
        candidates: clips per prompt among which the best was taken.
        ranker: the network that ranked them.
        guidance_scale: strength of the guidance.
        steps: sampling steps.
        seed: seed of the first clip.
    """

    candidates: int | None = None
    ranker: str | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    seed: int | None = None


def complete_statement(statement: Statement, facts: Sequence[ClipFacts]) -> Statement:
    """Fill what the user has not said from the tags of the generated files.

    Args:
        statement: what the user says.
        facts: about the generated clips.
    """
    candidates = _number(common_tag(facts, "candidates"))
    guidance = _number(common_tag(facts, "guidance_scale"))
    steps = _number(common_tag(facts, "steps"))
    seeds = [_number(each.tags.get("seed")) for each in facts]
    known = [seed for seed in seeds if seed is not None]
    model = common_tag(facts, "model")
    if statement.candidates is None and candidates is not None:
        statement = replace(statement, candidates=int(candidates))
    if statement.guidance_scale is None:
        statement = replace(statement, guidance_scale=guidance)
    if statement.steps is None and steps is not None:
        statement = replace(statement, steps=int(steps))
    if statement.seed is None and len(known) == len(seeds):
        statement = replace(statement, seed=int(min(known)))
    if statement.ranker is None and model and (statement.candidates or 1) > 1:
        # this package ranks with the model's own CLAP
        statement = replace(statement, ranker="mini-clap" if model == "mini" else f"clap={model}")
    return statement


def _number(text: str | None) -> float | None:
    """A finite number of a tag; None if it is none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def network_label(name: str, weights: Mapping[str, Path]) -> str:
    """Return the name of a backbone, with its weights if the user names them.

    Args:
        name: the backbone.
        weights: paths by name of the backbone.
    """
    return f"{name}={weights[name]}" if name in weights else name


def sha256_of_ranker(ranker: str) -> str | None:
    """Return the hash of the weights of the network that ranked candidates.

    Args:
        ranker: its label, such as mini-clap or clap=PATH.

    Returns:
        The hash; None if the network or its weights are not on this machine.
    """
    name, _, model = ranker.partition("=")
    try:
        spec = get_backbone(name)
        weights = find_local(model) if model else None
        if model and weights is None:
            return None
        return spec.load(weights).weights_sha256
    except (UsageError, WeightsError):
        return None
