"""Names of the tags in audio files, and those that version 0.1 wrote.

A file stores the options of its clip as text. `GenerationOptions.from_tags` accepts both
generations of names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from .parsing import parse_json

TAGS_OF_0_1 = {
    "negative": "negative_prompt",
    "seconds": "duration",
    "guidance": "guidance_scale",
    "parallel": "apg_eta",
    "rescale": "guidance_rescale",
    "reuse": "cache_interval",
    "count": "num_waveforms",
    "loop": "loop_seam",
    "peak": "true_peak",
    "trim": "trim_silence",
    "stereo": "stereo_width",
    "rate": "sample_rate",
    "cues": "timeline",
    "fidelity": "reference",
    "licence": "license",
}
"""Tag of version 0.1 to tag of today; names that are missing here never changed."""

_CUE_OF_0_1 = {
    "at": "start",
    "share": "weight",
    "sound": "audio_prompt",
    "samples": "audio_prompt_sha256",
    "by": "audio_prompt_mode",
    "since": "audio_prompt_offset",
    "weight": "audio_prompt_weight",
}
_EDIT_OF_0_1 = {
    "verb": "kind",
    "sound": "source_path",
    "samples": "source_sha256",
    "times": "time_ranges",
    "bands": "frequency_ranges",
    "pixels": "mask_sha256",
    "cutoff": "cutoff_hz",
    "left": "before",
    "right": "after",
    "seam": "loop_seam",
    "context": "in_context",
}
_KINDS_OF_0_1 = {"upsample": "super_resolve"}
_SAMPLERS_OF_0_1 = {"leaps": "distilled"}
_EDIT_STRENGTH_OF_0_1 = 1.0  # default of a transfer's and a variation's strength in files of 0.1


def upgrade_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return a file's tags under today's names; tags of today and of other programs are unchanged.

    Raises:
        UsageError: If a tag with nested options is damaged.
    """
    upgraded: dict[str, str] = {}
    for name, value in tags.items():
        try:
            upgraded[TAGS_OF_0_1.get(name, name)] = _upgrade_value(name, value)
        except (TypeError, AttributeError):  # JSON of another shape
            raise UsageError(
                f"the tag {name!r} is not one that latentaudio writes; "
                "this file cannot be reproduced"
            ) from None
    return upgraded


def _upgrade_value(name: str, value: str) -> str:
    """The value of a tag, with today's names inside of it."""
    if name == "cues":
        cues = [_renamed(cue, _CUE_OF_0_1) for cue in load_json_tag(name, value)]
        return json.dumps(cues, ensure_ascii=False)
    if name == "edit":
        return json.dumps(_upgrade_edit(load_json_tag(name, value)), ensure_ascii=False)
    if name == "sampler":
        return _SAMPLERS_OF_0_1.get(value, value)
    return value


def load_json_tag(name: str, value: str) -> Any:
    """Return the object in a tag; `UsageError` if it is damaged."""
    try:
        return parse_json(value)
    except ValueError:
        raise UsageError(
            f"the tag {name!r} is not valid JSON; this file cannot be reproduced"
        ) from None


def _upgrade_edit(edit: dict[str, Any]) -> dict[str, Any]:
    """An edit's options under today's names."""
    if "verb" not in edit:
        return edit
    upgraded = _renamed(edit, _EDIT_OF_0_1)
    kind = upgraded["kind"] = _KINDS_OF_0_1.get(upgraded["kind"], upgraded["kind"])
    if kind in ("transfer", "vary"):  # 0.1 left out what was the default then
        upgraded.setdefault("strength", _EDIT_STRENGTH_OF_0_1)
    elif kind == "loop":
        upgraded.setdefault("loop_seam", 0.0)
    return upgraded


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The same values under new keys."""
    return {names.get(name, name): value for name, value in values.items()}
