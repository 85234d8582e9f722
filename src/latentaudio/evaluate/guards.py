"""Checks before and after the measurement: what makes an evaluation wrong or doubtful.

What cannot be right is an error. What can be right is a warning, which the result repeats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import UsageError
from .clip_facts import ClipFacts
from .report import Subset

MAX_NAMES = 3  # in a message
_DURATION_RATIO = 1.1  # of two medians
_CANDIDATES_TAG = "candidates"


def check_folders(reference: Path | None, generated: Path) -> None:
    """Check that two folders have no files in common.

    Raises:
        UsageError: They are one folder, or one lies inside the other.
    """
    if reference is None or not (reference.exists() and generated.exists()):
        return
    first = reference.resolve()
    second = generated.resolve()
    if first == second:
        raise UsageError(f"--reference and --generated are the same folder {generated}")
    for inner, outer in ((first, second), (second, first)):
        if outer in inner.parents:
            raise UsageError(
                f"{inner} lies inside {outer}: its clips would count on both sides; "
                "move one of the folders"
            )


def find_silence(label: str, names: Sequence[str], facts: Sequence[ClipFacts]) -> list[str]:
    """Return a warning if clips are silent: distances and KL rate silence too well.

    Args:
        label: which clips, such as "generated".
        names: of the clips.
        facts: about the clips.
    """
    silent = [name for name, each in zip(names, facts, strict=True) if each.is_silent]
    if not silent:
        return []
    return [
        f"{len(silent)} of {len(names)} {label} clips are silent ({_shown(silent)}); "
        "distances and KL rate silence too well"
    ]


def find_duplicates(label: str, names: Sequence[str], hashes: Sequence[str]) -> list[str]:
    """Return a warning if several clips of a folder are the same file."""
    counts = Counter(hashes)
    copies = [name for name, each in zip(names, hashes, strict=True) if counts[each] > 1]
    if not copies:
        return []
    return [f"{len(copies)} {label} clips are copies of each other ({_shown(copies)})"]


def find_leaks(
    names: Sequence[str], generated: Sequence[str], reference: Sequence[str]
) -> list[str]:
    """Return a warning if generated files are also reference files, byte for byte."""
    known = set(reference)
    leaks = [name for name, each in zip(names, generated, strict=True) if each in known]
    if not leaks:
        return []
    return [f"{len(leaks)} generated files are also reference files ({_shown(leaks)})"]


def find_missing(subset: Subset | None) -> list[str]:
    """Return a warning if folders lack clips of the subset."""
    if subset is None or not subset.missing:
        return []
    return [
        f"{len(subset.missing)} of {subset.n} clips of the subset are missing "
        f"({_shown(subset.missing)})"
    ]


def find_differences(generated: Sequence[ClipFacts], reference: Sequence[ClipFacts]) -> list[str]:
    """Return warnings if the two sets have other durations, rates or levels of silence."""
    warnings = []
    durations = []
    rates = []
    for facts in (generated, reference):
        durations.append(float(np.median([each.duration for each in facts])))
        rates.append(sorted({each.sample_rate for each in facts}))
    if max(durations) > _DURATION_RATIO * min(durations):
        warnings.append(
            f"generated clips have {durations[0]:.4g} s and reference clips {durations[1]:.4g} s "
            "(medians); the length moves every number"
        )
    if rates[0] != rates[1]:
        texts = [", ".join(map(str, each)) for each in rates]
        warnings.append(
            f"generated clips have {texts[0]} Hz and reference clips {texts[1]} Hz; "
            "a lower rate lacks high frequencies"
        )
    return warnings


def find_mixed_requests(facts: Sequence[ClipFacts]) -> list[str]:
    """Return a warning if clips were not all generated in the same way."""
    warnings = []
    for tag in ("model", "steps", "guidance_scale", _CANDIDATES_TAG):
        values = sorted({each.tags[tag] for each in facts if tag in each.tags})
        if len(values) > 1:
            warnings.append(f"the generated clips have several values of {tag}: {_shown(values)}")
    return warnings


def find_candidates(candidates: int | None, ranker: str | None) -> list[str]:
    """Return a note if the clips are the best of several: they are not the model's usual ones."""
    if candidates is None or candidates < 2:
        return []
    by = f", ranked by {ranker}" if ranker else ""
    return [f"each clip is the best of {candidates} candidates{by}"]


def check_ranker(
    ranker: str | None,
    scorer: str,
    sha256: str,
    find_sha256: Callable[[str], str | None],
    is_allowed: bool,
) -> list[str]:
    """Check that clips are not rated by the network that selected them, whatever its path.

    Args:
        ranker: the network that ranked candidates; None if none did.
        scorer: the network that rates.
        sha256: hash of its weights.
        find_sha256: returns the hash of a ranker's weights, or None.
        is_allowed: whether the user has asked for it.

    Returns:
        A warning if it is so, and allowed, or if it is not known.

    Raises:
        UsageError: It is so, and not allowed.
    """
    if ranker is None:
        return []
    ranker_sha256 = sha256 if ranker == scorer else find_sha256(ranker)
    if ranker_sha256 is None:
        return [
            f"the weights of {ranker}, which ranked the candidates, are not on this machine; "
            f"if {scorer} has the same weights, the score is too good"
        ]
    if ranker_sha256 != sha256:
        return []
    if not is_allowed:
        raise UsageError(
            f"{scorer} has ranked the candidates and would rate them, too, which is too good; "
            "choose another --backbone, or add --allow-same-ranker"
        )
    return [f"{scorer} has ranked the candidates and rates them, too; the score is too good"]


def check_pairs(alone: Sequence[str], num_pairs: int, missing_captions: Sequence[str] = ()) -> str:
    """Return why metrics of pairs cannot be measured; "" if they can.

    Args:
        alone: generated names without a reference clip.
        num_pairs: number of pairs.
        missing_captions: generated names without a caption.
    """
    if missing_captions:
        return f"{len(missing_captions)} clips have no caption ({_shown(missing_captions)})"
    if alone:
        return (
            f"{len(alone)} of {len(alone) + num_pairs} generated clips have no reference clip of "
            f"the same name ({_shown(alone)})"
        )
    return ""


def common_tag(facts: Sequence[ClipFacts], tag: str) -> str | None:
    """Return the value of a tag that all clips have; None if they differ or lack it."""
    values = {each.tags.get(tag) for each in facts}
    return values.pop() if len(values) == 1 else None


def _shown(names: Sequence[str] | Mapping[str, object]) -> str:
    """Some names, for a message."""
    shown = ", ".join(list(names)[:MAX_NAMES])
    return f"{shown}, ..." if len(names) > MAX_NAMES else shown
