"""Golden outcomes of files of version 0.1: they are read and reproduced, and a batch resumes.

That version wrote the folder `files`, by `COMMANDS` and `BATCH` under its flags. Only samples and
requests count; names of tags and text of messages may change.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

from golden.common import GOLDEN, Outcome, Value, fresh

from latentaudio.audio.io import info, read
from latentaudio.cli.main import main
from latentaudio.cli.reproduce import reproduce
from latentaudio.config.edits import ContextEditOptions, InpaintOptions
from latentaudio.config.options import GenerationOptions

FILES = GOLDEN / "files"
STORED = (
    "score.flac",
    "edit.wav",
    "finish.ogg",
    "batch/bark.ogg",
    "batch/rain_on_a_roof.ogg",
)
RUNTIME = ["--precision", "fp32", "--device", "cpu", "--quiet"]
BATCH = (
    "batch", "list.csv", "batch", "--steps", "2", "--duration", "1.3", "--seed", "40",
    "--format", "ogg",
)  # fmt: skip
"""The command that made the batch, in today's flags."""
COMMANDS = (
    (
        "generate", "--timeline", "timeline.yaml", "--duration", "1.3", "--steps", "3",
        "--seed", "7", "-o", "score.flac",
    ),
    (
        "inpaint", "given.wav", "a church bell ringing", "--time", "0.3:0.6", "--steps", "3",
        "--seed", "8", "-o", "edit.wav",
    ),
    (
        "generate", "a dog barking", "--candidates", "2", "--duration", "1.3", "--steps", "2",
        "--seed", "9", "--stereo-width", "0.5", "--lufs", "-20", "--fade-out", "0.1",
        "-o", "finish.ogg",
    ),
)  # fmt: skip
"""The commands that made the first three files, in today's flags."""
TIMELINE = """timeline:
- {start: 0, text: light rain}
- {start: 0.6, text: a church bell ringing}
crossfade: 0.4
"""
"""The file `score.yaml` under today's names."""


def stored(name: str) -> Value:
    """Samples of a stored file."""
    samples, rate = read(FILES / name, mono=False)
    return [samples, rate]


def request_of(name: str) -> Value:
    """The request in its tags."""
    o = GenerationOptions.from_tags(info(FILES / name)["tags"])
    edit = None
    if o.edit is not None:
        assert isinstance(o.edit, InpaintOptions) and isinstance(o.edit, ContextEditOptions)
        ranges = [list(time_range) for time_range in o.edit.time_ranges]
        edit = [o.edit.kind, o.edit.source_path, o.edit.source_sha256, ranges, o.edit.in_context]
    cues = [[cue.start, cue.text, cue.weight] for cue in o.timeline]
    return [
        *[o.prompt, o.model, o.duration, o.seed, o.steps, o.guidance_scale, o.sampler],
        *[o.crossfade, o.stereo_width, o.lufs, o.fade_out, o.candidates, cues, edit],
    ]


def reproduced(name: str) -> Value:
    """Samples that `reproduce` generates from it, called where the file was made."""
    out = fresh(f"reproduced{Path(name).suffix}")
    os.chdir(FILES)
    reproduce(Path(name), output=str(out), quiet=True)
    samples, rate = read(out, mono=False)
    return [samples, rate]


def batch_resumes() -> Value:
    """The batch's command again in a copy of its folder, and again without one of the files.

    First nothing is generated, then that file alone.
    """
    folder = fresh("copy")
    shutil.copytree(FILES, folder)
    os.chdir(folder)
    manifest = folder / "batch" / "manifest.jsonl"
    before = len(manifest.read_text().splitlines())
    first = main([*BATCH, *RUNTIME])
    between = len(manifest.read_text().splitlines())
    (folder / "batch" / "bark.ogg").unlink()
    second = main([*BATCH, *RUNTIME])
    after = len(manifest.read_text().splitlines())
    samples, rate = read(folder / "batch" / "bark.ogg", mono=False)
    return [first, second, between - before, after - between, samples, rate]


def by_command_line() -> Value:
    """The first three files, made again by the command line."""
    folder = fresh("again")
    folder.mkdir(parents=True)
    shutil.copyfile(FILES / "given.wav", folder / "given.wav")
    (folder / "timeline.yaml").write_text(TIMELINE)
    os.chdir(folder)
    codes = [main([*command, *RUNTIME]) for command in COMMANDS]
    return [codes, [[*read(folder / name, mono=False)] for name in STORED[:3]]]


OUTCOMES: dict[str, Outcome] = {
    **{f"stored/{name}/samples": partial(stored, name) for name in STORED},
    **{f"stored/{name}/asked-for": partial(request_of, name) for name in STORED},
    **{f"stored/{name}/replayed": partial(reproduced, name) for name in STORED},
    "stored/batch/goes-on": batch_resumes,
    "stored/command-line": by_command_line,
}
