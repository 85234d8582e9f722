"""Errors that tell a caller what to change.

RenderError
└── OutputError  the output folder cannot be written, or a worker process died

Every message is one line: what is wrong, the value, what to do.
"""

from __future__ import annotations


class RenderError(ValueError):
    """An argument that cannot be rendered: a bad number, or an unknown name."""


class OutputError(RenderError):
    """An output folder that cannot be written, or a worker process that died."""
