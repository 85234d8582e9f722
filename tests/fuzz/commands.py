"""Random command lines, drawn from the table of commands and their own flags."""

import contextlib
import io
import os
import shutil
import signal
import typing
import warnings
from functools import cache
from pathlib import Path
from unittest.mock import patch

from cyclopts.argument import ArgumentCollection
from kinds import KINDS, MAX_MESSAGE_CHARS, damage, names_in

from latentaudio.cli.main import COMMANDS, app, main
from latentaudio.errors import GenerationError

ODD = (
    "", " ", "-1", "0", "1", "2", "0.5", "-0", "nan", "inf", "-inf", "1e308", "1e-308", "-1e400",
    str(2**31), str(2**63), str(2**64), "9" * 5000, "x", "\u202e", "\U0001f4a5", "\udcff", "a\nb",
    "1,2", "1-2", "2-1", "0.1-0.3", "[", "{}", "--", "-", "None", "true", "0x10", "1_000",
    "\u0663", "\uff11", "\u00bd", "~", "x" * 300, "\x1b[2J", "%s", "{0}", "a/b", "missing.wav",
)  # fmt: skip
"""Values that fit hardly any flag."""
ENDING = [command for command in COMMANDS if command.name not in ("serve", "mcp")]
"""Commands that end by themselves. tests/serve fuzzes the servers."""
GOOD = {
    "--model": ("model", "model", "model", "mini", "audioldm2", "bad", "sounds"),
    "--output": ("out.wav", "out.flac", "new/", "new", "a.wav", "out.mp3", "out.opus", "x.json"),
    "--duration": ("0.64", "0.7", "1.28"),
    "--prompt": ("a dog", "rain"),
    "--audio": ("a.wav", "a.mp3", "bad"),
    "--file": ("a.wav", "bad"),
    "--mask": ("mask.png", "bad"),
    "--timeline": ("timeline.yaml", "bad"),
    "--rows": ("rows.csv", "rows.jsonl", "rows.txt", "bad"),
    "--folder": ("new", "data"),
    "--recipe": ("recipe.yaml", "bad"),
    "--data": ("data", "bad"),
    "--init-from": ("model", "bad", "mini"),
    "--set": ("optim.lr=1e-4", "steps=nan", "a.b=[", "=", "optim=1", "steps=1e999", "options={}"),
    "--source": ("model", "diffusers", "bad", "mini"),
    "--target": ("new", "new.ckpt", "model"),
    "--layout": ("diffusers", "latentaudio", "original"),
    "--hours": ("1e-5", "-1", "nan", "x"),
    "--num-workers": ("1", "0", "-1", "x"),
    "--clips": ("2", "-1", "x"),
    "--device": ("cpu", "cuda", "x"),
    "--first": ("a dog", "a.wav", "bad"),
    "--second": ("rain", "bad"),
    "--time": ("0.1-0.3", "0.05:0.1", "9-10"),
    "--band": ("100-2000", "8000-9000"),
    "PROMPTS": ("a dog", "rain, far"),
}
"""Values that fit a flag, and files that may be damaged."""
FILES = ("rows.csv", "rows.jsonl", "rows.txt", "timeline.yaml", "recipe.yaml", "mask.png")
FOLDERS = ("model", "diffusers", "sounds")
"""Folders that no command writes into."""
STEPS_ARE_REAL_EVERY = 8
"""One of so many command lines generates; the others end where a model would be loaded."""
NOT_REAL = ("dataset", "train", "evaluate", "benchmark", "download", "listen")
ENDLESS = {"--count", "--candidates", "--duration", "--hours", "--steps", "--rounds", "--clips"}
"""Numbers of work: odd but legal ones would be minutes of it."""


def check_command(seeds, folder, rng, number):
    """Run a random command line in a folder of files; return what is wrong with its end."""
    _fill(seeds, folder, rng)
    words = draw_words(rng, number)
    before = names_in(folder)
    with contextlib.chdir(folder), patch.dict(os.environ, {"HOME": str(folder)}):
        code, stderr = _run(words, is_real=is_real(words, number))
    shown = f"{words!r:.300}"
    if code not in (0, 2):
        return f"code {code} of {shown}: {stderr:.200}"
    if "Traceback" in stderr or len(stderr) > 20 * MAX_MESSAGE_CHARS:
        return f"stderr of {shown}: {stderr:.200}"
    last = (stderr.strip().splitlines() or [""])[-1]
    if code == 2 and (not last.startswith("latentaudio: ") or len(last) > MAX_MESSAGE_CHARS + 300):
        return f"no short line of error, {len(last)} characters, of {shown}: {last:.200}"
    left = names_in(folder) - before
    if any(name.endswith((".part", ".tmp")) for name in left):
        return f"a part is left by {shown}: {sorted(left)[:3]}"
    if code == 2 and left and words[0] != "batch":
        return f"an error, but {sorted(left)[:3]} are left by {shown}"
    return None


def is_real(words, number):
    """Whether a command line really generates."""
    return number % STEPS_ARE_REAL_EVERY == 0 and words[0] not in NOT_REAL


def draw_words(rng, number):
    """Return the words of a command line: often nearly right, sometimes noise."""
    command = rng.choice(ENDING).name
    words = [command]
    subcommands = [name for name in app[command] if not name.startswith("-")]
    if subcommands:
        words.append(rng.choice(subcommands))
    arguments = _arguments(*words)
    for argument in arguments:
        if argument.parse and argument.required and rng.random() < 0.93:
            words.append(_value(argument, argument.names[0], rng, number))
        elif argument.names == ("PROMPTS",) and rng.random() < 0.8:
            words.append(_value(argument, "PROMPTS", rng, number))
    words += _flags(arguments, rng, number)
    if rng.random() < 0.05:
        words.insert(rng.randint(1, len(words)), rng.choice(ODD))
    if command == "stream":
        words += ["--output", "streamed.wav", "--duration", "0.7"]
    if command not in NOT_REAL and rng.random() < 0.9:
        names = {name for argument in arguments for name in argument.names}
        words += ["--model", "model"] if "--model" in names and "--model" not in words else []
        words += ["--steps", "1"] if "--steps" in names and "--steps" not in words else []
    return words


@cache
def _arguments(*names):
    """Return the arguments of a command; to collect them takes longer than to run most lines."""
    command = app
    for name in names:
        command = command[name]
    return command.assemble_argument_collection()


def _flags(arguments: ArgumentCollection, rng, number):
    named = [argument for argument in arguments if argument.names[0].startswith("--")]
    words = []
    for argument in rng.choices(named, k=rng.randint(0, 4)):
        name = rng.choice(argument.names)
        words.append(name)
        is_switch = argument.hint is bool or bool in typing.get_args(argument.hint)
        if not is_switch and rng.random() < 0.95:
            words.append(_value(argument, name, rng, number))
    return words


def _value(argument, name, rng, number):
    """Return a value for a flag: half of the time one that may fit."""
    fitting = list(GOOD.get(argument.names[0], GOOD.get(name, ())))
    for hint in (argument.hint, *typing.get_args(argument.hint)):
        if typing.get_origin(hint) is typing.Literal:
            fitting += typing.get_args(hint)
    if fitting and (rng.random() < 0.7 or set(argument.names) & ENDLESS):
        return rng.choice(fitting)
    if set(argument.names) & ENDLESS:
        return rng.choice(("1", "2", "0", "-1", "nan", "x", "", "9" * 5000))
    return rng.choice(ODD)


def _fill(seeds, folder, rng):
    """Put whole files into a folder, and one damaged file or folder called "bad"."""
    for name in (*FILES, "sounds/a.wav", "sounds/a.mp3"):
        shutil.copy(seeds / name, folder / Path(name).name)
    for name in FOLDERS:
        (folder / name).symlink_to(seeds / name)
    shutil.copytree(seeds / "data", folder / "data")
    kind = KINDS[rng.choice(list(KINDS))]
    aside = folder / "aside"
    aside.mkdir()
    damage(kind, seeds, aside, rng).rename(folder / "bad")
    shutil.rmtree(aside)


def _run(words, is_real):
    """Return the exit code and stderr of a command line."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    errors = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(errors))
        stack.enter_context(warnings.catch_warnings())
        if not is_real:
            for place in ("latentaudio.pipeline.load", "latentaudio.train.loop.build_stage"):
                stack.enter_context(patch(place, _stop))
            latency = "latentaudio.benchmark.latency"
            stack.enter_context(patch(f"{latency}.LatentAudioImplementation", _stop))
            stack.enter_context(patch(f"{latency}.matmul_gflops", lambda *_: 1.0))
            # it would serve until Ctrl-C
            server = "latentaudio.evaluate.listening.server.ListeningServer"
            stack.enter_context(patch(server, _stop))
        try:
            code = main(words)
        except SystemExit as error:
            code = error.code or 0
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return code, errors.getvalue()


def _stop(*_, **__):
    raise GenerationError("the work would begin here")
