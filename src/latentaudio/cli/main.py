"""The command `latentaudio`: the table of verbs, and how any ending becomes one line and an exit code.

0 done, 1 a bug of ours, 2 something the user can put right, 130 Ctrl-C. Refuses to know a verb from inside: each is imported
when it is called.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from procedural_audio.errors import RenderError

from ..errors import LatentAudioError
from . import console
from .audioldm_flags import translated

VERBS = {
    "generate": "Turn prompts into sound files; what is not given is the model's own default.",
    "play": "Make a sound of any length, heard while it grows.",
    "morph": "Make a sound that begins as one thing and ends as another.",
    "transfer": "Make a sound into what a prompt says.",
    "vary": "Make sounds like a sound.",
    "inpaint": "Make parts of a sound anew.",
    "upsample": "Give a sound the heights it lacks.",
    "extend": "Make a sound longer, before or behind.",
    "loop": "Make a sound go round without a seam.",
    "batch": "Make a clip of every row of a list; the same command goes on where it stopped.",
    "replay": "Make a file's clip again from its tags, and compare.",
    "info": "Tell what a sound file is and how it was made.",
    "models": "List the models, their licences and limits.",
    "download": "Fetch a model's files.",
    "convert": "Write a model in another layout.",
    "dataset": "Make captioned audio to train on.",
    "train": "Train one part of a model by a recipe.",
    "evaluate": "Measure the quality of a model.",
    "benchmark": "Measure speed and memory of models.",
    "doctor": "Show versions, hardware and folders.",
}
HOMES = dict.fromkeys(("transfer", "vary", "inpaint", "upsample", "extend", "loop"), "edit") | {
    "morph": "generate",
    "play": "stream",
    "replay": "reproduce",
}
"""Verbs that do not live in a file of their own name."""

app = App(
    name="latentaudio",
    help="Text becomes sound: AudioLDM and AudioLDM 2.",
    help_epilogue="A wrong input gets one line and exit code 2. Add --debug to any command to see the traceback of an error.",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
    version=console.version,
)
for place, (verb, purpose) in enumerate(VERBS.items()):
    app.command(
        f"latentaudio.cli.{HOMES.get(verb, verb)}:{verb}", name=verb, help=purpose, sort_key=place
    )


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code."""
    console.any_letter()
    warnings.showwarning = lambda message, *_: console.complain(str(message))
    given = list(sys.argv[1:] if tokens is None else tokens)
    debug = "--debug" in given
    tokens = [token for token in given if token != "--debug"]
    try:
        if tokens[:1] == ["generate"]:
            tokens = ["generate", *translated(tokens[1:])]
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except (LatentAudioError, RenderError, CycloptsError) as problem:
        if debug:
            raise
        said = str(problem).strip()
        whole = said.removesuffix(".") if not said.endswith("...") else said
        console.complain(f"{whole}; see --help" if isinstance(problem, CycloptsError) else said)
        return 2
    except KeyboardInterrupt:
        console.complain("stopped; nothing is half-written")
        return 130
    except (
        BrokenPipeError
    ):  # the reader of our output has left, as `| head` does; nothing more can be written there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as problem:
        if debug:
            raise
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
            console.complain(
                f"no space left for {problem.filename or 'what is printed'}; free some"
            )
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 2
        console.complain(
            f"unexpected {type(problem).__name__}: {problem}; add --debug to see where, and please report it"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
