"""Limits of the server, and the check of a request against them."""

from __future__ import annotations

from dataclasses import dataclass

from ..config.option_table import MAX_PROMPT_CHARS
from ..config.options import GenerationOptions
from ..editing.drawn_mask import MAX_PIXELS
from .problems import Problem
from .schemas import FORMAT_NAMES, LimitsInfo


@dataclass(frozen=True)
class Limits:
    """Most that one request may ask for, and most that the server keeps.

    Attributes:
        max_prompt_chars: Characters of a prompt or transcript.
        max_duration_s: Seconds of one clip.
        max_candidates: Candidates of one clip.
        max_clips: Clips of one request.
        max_steps: Sampling steps of one clip.
        max_upload_bytes: Bytes of a file or of a multipart body.
        max_json_bytes: Bytes of a JSON body.
        max_source_duration_s: Seconds of an uploaded sound.
        max_source_samples: Samples of all channels of an uploaded sound.
        max_mask_pixels: Pixels of an image.
        max_queue: Requests that wait or run.
        max_streams: Streams that are sent at the same time.
        max_stream_s: Seconds of a stream.
        max_files: Uploaded files of one client.
        max_jobs: Ended jobs that are kept.
        max_stored_bytes: Bytes of all clips and files that are kept. Files have half of it, so that
            they cannot take the place of all clips.
        file_lifetime_s: Seconds after the last use of an uploaded file until it is deleted.
        body_timeout_s: Seconds in which a body must arrive.
    """

    max_prompt_chars: int = MAX_PROMPT_CHARS
    max_duration_s: float = 120.0
    max_candidates: int = 8
    max_clips: int = 64
    max_steps: int = 250
    max_upload_bytes: int = 64 * 2**20
    max_json_bytes: int = 4 * 2**20
    max_source_duration_s: float = 600.0
    max_source_samples: int = 2**27
    max_mask_pixels: int = MAX_PIXELS
    max_queue: int = 256
    max_streams: int = 16
    max_stream_s: float = 3600.0
    max_files: int = 200
    max_jobs: int = 1000
    max_stored_bytes: int = 4 * 2**30
    file_lifetime_s: float = 3600.0
    body_timeout_s: float = 60.0

    @property
    def max_uploads_bytes(self) -> int:
        """Bytes of all uploaded files."""
        return self.max_stored_bytes // 2

    def to_wire(self) -> LimitsInfo:
        """Return what clients are told."""
        names = LimitsInfo.model_fields.keys() - {"formats"}
        values = {name: getattr(self, name) for name in names}
        return LimitsInfo(**values, formats=list(FORMAT_NAMES))

    def check(self, options: GenerationOptions) -> None:
        """Raise Problem if a resolved request asks for too much.

        Args:
            options: The options of one row, all of them set.
        """
        texts = [options.prompt, options.negative_prompt, options.transcript]
        texts += [cue.text for cue in options.timeline]
        checks = (
            ("prompt", max(len(text) for text in texts), self.max_prompt_chars, "characters"),
            ("duration", options.duration, self.max_duration_s, "s"),
            ("candidates", options.candidates, self.max_candidates, "candidates"),
            ("num_waveforms", options.num_waveforms, self.max_clips, "clips"),
            ("steps", options.steps, self.max_steps, "steps"),
        )
        for name, value, limit, unit in checks:
            if value > limit:
                raise Problem(
                    "invalid_request",
                    f"{name}: {value:g} {unit}; this server allows {limit:g}",
                    name,
                )
