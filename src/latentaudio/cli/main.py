"""The command `latentaudio`: the table of commands, and the exit code of every ending.

Exit codes: 0 done, 1 a bug, 2 an error that the user can fix, 130 Ctrl-C, 143 SIGTERM. An error is
one line. Each command is imported when it is called.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cyclopts import App, CycloptsError, Group, Parameter

from procedural_audio.errors import RenderError

from ..errors import LatentAudioError, UsageError
from ..fileio import user_path
from ..interrupts import Terminated, received_signal
from . import console
from .audioldm_flags import LEGACY_FLAGS, translate_legacy_flags
from .process_settings import prepare_process

HelpFormat: TypeAlias = Literal["plaintext", "markdown"]

GENERATE = Group("Generate", sort_key=1)
EDIT = Group("Edit", sort_key=2)
FILES = Group("Files", sort_key=3)
MODELS = Group("Models", sort_key=4)
TRAINING = Group("Training", sort_key=5)
MEASURE = Group("Measure", sort_key=6)
SERVE = Group("Serve", sort_key=7)
SYSTEM = Group("System", sort_key=8)

_ERRORS_OF_NAMES = (
    errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EPERM,
    errno.EROFS,
)  # fmt: skip
"""Errors of the system about a path that the user has typed."""


@dataclass(frozen=True)
class Command:
    """One row of the table of commands.

    Attributes:
        name: The word that users type.
        module: Its file in this package; the function or App in it has the same name.
        panel: Its panel in --help.
        purpose: One line for --help.
        help_format: "markdown" if its help texts are in a docstring, whose lines it joins; it is
            slower. An App sets its own.
    """

    name: str
    module: str
    panel: Group
    purpose: str
    help_format: HelpFormat | None = None


COMMANDS = (
    Command("generate", "generate", GENERATE, "Generate audio files from prompts."),
    Command("morph", "morph", GENERATE, "Generate a clip that turns from one sound to another."),
    Command("stream", "stream", GENERATE, "Generate a clip of any length; play it as it grows."),
    Command("batch", "batch", GENERATE, "Generate one clip for each row of a list; resumable."),
    Command("transfer", "transfer", EDIT, "Turn a clip into the sound that a prompt describes."),
    Command("vary", "vary", EDIT, "Generate variations of a clip."),
    Command("inpaint", "inpaint", EDIT, "Regenerate time ranges or frequency bands of a clip."),
    Command("super-resolve", "super_resolve", EDIT, "Regenerate everything above a frequency."),
    Command("extend", "extend", EDIT, "Generate audio before or after a clip."),
    Command("loop", "loop", EDIT, "Make a clip repeat without an audible seam."),
    Command("info", "info", FILES, "Show the format of a file and the options that made it."),
    Command("reproduce", "reproduce", FILES, "Generate a file again from its tags and compare."),
    Command("models", "models", MODELS, "List models, licenses and limits; or show one model."),
    Command("download", "download", MODELS, "Download the files of a model."),
    Command("convert", "convert", MODELS, "Write a model in another layout."),
    Command("export", "export", MODELS, "Write a model as ONNX files for other programs."),
    Command("dataset", "dataset", TRAINING, "Make captioned audio to train on."),
    Command("finetune", "finetune", TRAINING, "Teach a model your own sounds.", "markdown"),
    Command("train", "train", TRAINING, "Train one component of a model.", "markdown"),
    Command("evaluate", "evaluate", MEASURE, "Measure clips, or the quality of a model."),
    Command("listen", "listen", MEASURE, "Rate clips blindly in the browser.", "markdown"),
    Command("benchmark", "benchmark", MEASURE, "Measure speed and memory.", "markdown"),
    Command("serve", "serve", SERVE, "Serve models to browsers and programs."),
    Command("mcp", "mcp", SERVE, "Let agents generate and edit sounds (Model Context Protocol)."),
    Command("cache", "cache", SYSTEM, "Show or delete what is kept for faster starts."),
    Command("doctor", "doctor", SYSTEM, "Show versions, hardware and folders."),
)
"""Every command. To add one, add a file and a row."""


def build_app() -> App:
    """Return the command line; it imports no command."""
    app = App(
        name="latentaudio",
        help="Text-to-audio generation with AudioLDM and AudioLDM 2.",
        help_format="plaintext",
        help_epilogue="Errors are one line, with exit code 2. Add --debug for the traceback.",
        default_parameter=Parameter(negative=()),
        suppress_keyboard_interrupt=False,
        version=console.version,
    )
    for flag in ("--help", "--version"):
        app[flag].group = SYSTEM
    for position, command in enumerate(COMMANDS):
        settings = {"help_format": command.help_format} if command.help_format else {}
        app.command(
            f"latentaudio.cli.{command.module}:{command.module}",
            name=command.name,
            group=command.panel,
            help=command.purpose,
            sort_key=position,
            **settings,
        )
    return app


app = build_app()


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        tokens: Its words; None: those of this process.

    Returns:
        The exit code.
    """
    if tokens is None:
        prepare_process()
    console.escape_unencodable()
    warnings.showwarning = lambda message, *_: console.print_error(str(message))
    words = list(sys.argv[1:] if tokens is None else tokens)
    is_debug = "--debug" in words
    words = [_with_home(word) for word in words if word != "--debug"]
    try:
        flags = {word.partition("=")[0] for word in words}
        if words[:1] == ["generate"] and flags & LEGACY_FLAGS.keys():
            words = ["generate", *translate_legacy_flags(words[1:])]
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except BrokenPipeError:  # the reader of stdout is gone, as `| head` is; nothing can be printed
        _discard_stdout()
        return 0
    except KeyboardInterrupt as stop:
        return _report_stop(str(stop), isinstance(stop, Terminated))
    except Exception as error:
        number = None if tokens is not None else received_signal()
        if number is not None:  # a library has made another exception of it
            return _report_stop("", number == signal.SIGTERM)
        if is_debug:
            raise
        return _report(error, words[0] if words else "")
    return 0


def _with_home(word: str) -> str:
    """Return a word with the home folder for `~/`, which shells leave in --flag=~/name."""
    flag, sign, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return flag + sign + (str(user_path(value)) if value.startswith("~/") else value)


def _report_stop(message: str, is_sigterm: bool) -> int:
    """Print a line about a stop and return the exit code."""
    console.print_error(message or "stopped; finished files are complete")
    return 143 if is_sigterm else 130


def _with_flags(message: str) -> str:
    """Return a message that names flags, such as --loop-seam, not the keywords of Python."""
    from ..config.option_table import EDIT_OPTIONS, OPTIONS

    flags = {"time_ranges": "--time", "frequency_ranges": "--band"}
    for name in (*OPTIONS, *EDIT_OPTIONS):
        if "_" in name:
            flags[name] = f"--{name.replace('_', '-')}"
    names = "|".join(flags)
    # A name in quotes or in a path is a word of the user.
    pattern = rf"(?<![\w'\"/.-])(?:{names})(?![\w'\"/-])"
    return re.sub(pattern, lambda match: flags[match[0]], message)


def _report(error: Exception, command: str) -> int:
    """Print an error as one line and return the exit code."""
    if isinstance(error, UsageError) and command != "batch":  # a list has columns, not flags
        console.print_error(_with_flags(str(error)))
        return 2
    if isinstance(error, LatentAudioError | RenderError):
        console.print_error(str(error))
        return 2
    if isinstance(error, CycloptsError):
        text = str(error).strip()
        is_cut = text.endswith("...")
        console.print_error(f"{text if is_cut else text.removesuffix('.')}; see --help")
        return 2
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        console.print_error(f"no space left for {error.filename or 'the output'}; free some")
        _discard_stdout()
        return 2
    if isinstance(error, OSError) and error.errno in _ERRORS_OF_NAMES and error.filename:
        console.print_error(
            f"cannot use {error.filename} ({error.strerror}); check its name and permissions"
        )
        return 2
    console.print_error(
        f"unexpected {type(error).__name__}: {error}; "
        "add --debug for the traceback, and please report it"
    )
    return 1


def _discard_stdout() -> None:
    """Send what is still buffered nowhere, so that Python can exit without another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
