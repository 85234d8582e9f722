"""Files of users, written before the redesign (`make_files`): they are read, replayed, and a batch goes on where it stood.

Only what is heard counts, and what was asked for; names of tags and the letters of lines may change.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

from golden.common import GOLDEN, Outcome, Value, fresh

from latentaudio.audio.io import info, read
from latentaudio.cli.main import main
from latentaudio.cli.reproduce import replay
from latentaudio.config.options import Options

FILES = GOLDEN / "files"
STORED = ("score.flac", "edit.wav", "finish.ogg", "batch/bark.ogg", "batch/rain_on_a_roof.ogg")
AGAIN = ["batch", "list.csv", "batch", "--steps", "2", "--seconds", "1.3", "--seed", "40", "--format", "ogg"]
MORE = ["--precision", "fp32", "--device", "cpu", "--quiet"]
"""The command that made the batch, as users have it in their notes."""


def stored(name: str) -> Value:
    """Samples of a stored file."""
    samples, rate = read(FILES / name, mono=False)
    return [samples, rate]


def asked_for(name: str) -> Value:
    """What its tags say was asked for."""
    options = Options.from_tags(info(FILES / name)["tags"])
    edit = options.edit
    cues = [[cue.at, cue.text, cue.share] for cue in options.cues]
    done = None if edit is None else [edit.verb, edit.sound, edit.samples, [list(span) for span in edit.times], edit.context]
    return [
        options.prompt, options.model, options.seconds, options.seed, options.steps, options.guidance, options.sampler,
        options.crossfade, options.stereo, options.lufs, options.fade_out, options.candidates, cues, done,
    ]  # fmt: skip


def replayed(name: str) -> Value:
    """Samples of what `replay` makes of it, called where the file was made."""
    out = fresh(f"again{Path(name).suffix}")
    os.chdir(FILES)
    replay(Path(name), output=str(out), quiet=True)
    samples, rate = read(out, mono=False)
    return [samples, rate]


def batch_goes_on() -> Value:
    """The batch's command again in a copy of its folder: nothing is made anew. Then without one file: that alone is."""
    home = fresh("copy")
    shutil.copytree(FILES, home)
    os.chdir(home)
    before = len((home / "batch" / "manifest.jsonl").read_text().splitlines())
    first = main([*AGAIN, *MORE])
    between = len((home / "batch" / "manifest.jsonl").read_text().splitlines())
    (home / "batch" / "bark.ogg").unlink()
    second = main([*AGAIN, *MORE])
    after = len((home / "batch" / "manifest.jsonl").read_text().splitlines())
    samples, rate = read(home / "batch" / "bark.ogg", mono=False)
    return [first, second, between - before, after - between, samples, rate]


def by_command_line() -> Value:
    """A score and an edit by the command line, as it was when the files were made."""
    from golden.make_files import HOW, MADE

    home = fresh("anew")
    home.mkdir(parents=True)
    for name in ("given.wav", "score.yaml"):
        shutil.copyfile(FILES / name, home / name)
    os.chdir(home)
    codes = [main([*tokens, *HOW]) for tokens in MADE[:3]]
    return [codes, [[*read(home / name, mono=False)] for name in STORED[:3]]]


OUTCOMES: dict[str, Outcome] = {
    **{f"stored/{name}/samples": partial(stored, name) for name in STORED},
    **{f"stored/{name}/asked-for": partial(asked_for, name) for name in STORED},
    **{f"stored/{name}/replayed": partial(replayed, name) for name in STORED},
    "stored/batch/goes-on": batch_goes_on,
    "stored/command-line": by_command_line,
}
