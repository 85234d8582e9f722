"""The body of a request for a stream, as a pydantic model. Torch-free."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, create_model

from ..config.option_table import CLIP_ONLY_OPTIONS
from .schemas import RAW_FORMAT, WireModel, option_fields

STREAM_FORMATS = ("wav", RAW_FORMAT)
NOT_FOR_STREAMS = frozenset({*CLIP_ONLY_OPTIONS, "duration", "edit", "morph"})
_FIELDS = option_fields()

_FIELDS = {name: _FIELDS[name] for name in _FIELDS if name not in NOT_FOR_STREAMS}
_FIELDS["duration"] = (
    float | None,
    Field(None, description="Length in seconds. Default: as long as allowed.", gt=0.1),
)
_FIELDS["format"] = (
    Literal[STREAM_FORMATS],
    Field("wav", description="wav, or pcm: 16 bits without a header."),
)

StreamRequest: Any = create_model(
    "StreamRequest",
    __base__=WireModel,
    __doc__="A request for a clip of any length, which is sent while it is generated.",
    **_FIELDS,
)
"""The body of `POST /v1/audio/stream`."""
