"""Commands that are stopped at random moments: nothing that was finished is lost.

python tests/fuzz/interruptions.py --num 30 --seed 1
python tests/fuzz/interruptions.py --only batch:KILL:7 train:INT:3 --seed 1

A command is stopped by Ctrl-C, SIGTERM or kill -9, and then run again in the same folder. Of ten
runs nine are forked from this process, which has imported everything, so that signals arrive while
the command works. The tenth is a new process, in which most arrive during imports.

Moments and limits are in seconds of the processor, so that a busy machine changes neither.
"""

import argparse
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest.mock import patch

os.environ.pop("HF_HUB_OFFLINE", None)  # the library reads it when it is imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import conftest  # noqa: E402
from hub_server import Answer, Hub  # noqa: E402
from operations import COMMANDS, OPERATIONS, hidden_files, make_inputs  # noqa: E402

from latentaudio.__main__ import run as run_command_line  # noqa: E402
from latentaudio.config import registry  # noqa: E402

SIGNALS = {"INT": 130, "TERM": 143, "KILL": -9}
"""Signals with the exit code after each."""
NEW_PROCESS_EVERY = 10
MAX_STOP_S = 2.0
MAX_RUN_S = 3600.0
"""For commands that hang: a very busy machine needs minutes for what takes seconds."""
GROUP_END_S = 10.0
"""Time for other processes of a command to end after it."""
KEPT_NAMES = re.compile(r"\.lock|\.untrained|\.[0-9a-f]{32}\.lock")
"""Hidden files that may stay: locks, and the mark of a run folder without a checkpoint."""
PROGRESS_LINE = re.compile(r"[\w ,]+: \d+ of \d+")
"""Line of a slow command, every half minute."""
POLL_S = 0.003
CHUNK_BYTES = 2048
CHUNK_PAUSE_S = 0.002


class SlowAnswer(Answer):
    """Files of the hub come in small pieces, so that signals arrive between them."""

    def answer(self, status, body, headers=None, sent=None):
        super().answer(status, body, headers, sent=0)
        for start in range(0, len(body), CHUNK_BYTES):
            self.wfile.write(body[start : start + CHUNK_BYTES])
            time.sleep(CHUNK_PAUSE_S)


class SlowHub(Hub):
    """A hub whose readers may leave at any time."""

    def __init__(self):
        super().__init__()
        self.RequestHandlerClass = SlowAnswer

    def handle_error(self, request, client_address):
        """Print nothing."""


@dataclass
class End:
    """How a command ended.

    Attributes:
        code: Exit code, negative for a signal.
        stderr: What it printed there.
        seconds: Processor time, or duration of one that starts other processes.
        stop_s: Processor time or duration, the shorter, from the signal to its end.
        survivors: Processes that it left.
    """

    code: int
    stderr: str
    seconds: float
    stop_s: float = 0.0
    survivors: tuple[int, ...] = ()


def start_new(words, stderr):
    """Start a command line in a new process and a group of its own; return its number."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); " \
        "from latentaudio.__main__ import run; run()"  # fmt: skip
    with Path(os.devnull).open("wb") as null:
        child = subprocess.Popen(
            [sys.executable, "-c", code, *words], stdout=null, stderr=stderr, process_group=0
        )
    return child.pid


def start_forked(words, stderr):
    """Start a command line in a fork of this process; return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(stderr.fileno(), 2)
        sys.argv = ["latentaudio", *words]
        run_command_line()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.stderr.flush()
        _modules_file().write_text("\n".join(sys.modules))
        os._exit(code)


def _modules_file():
    """File with the names of the modules that a forked command has imported."""
    return Path(os.environ["HOME"], "modules")


def _import_modules():
    """Import what the last forked command has, so that the next ones begin their work at once."""
    for name in _modules_file().read_text().splitlines():
        with suppress(Exception):  # parts of libraries that are no modules of their own
            importlib.import_module(name)


def run(start, words, number=None, moment_s=0.0, is_wall_clock=False):
    """Run a command line; send it a signal after some time, if it still runs."""
    with Path(os.environ["HOME"], "stderr").open("w+b") as stderr:
        begin = time.monotonic()
        child = start([str(word) for word in words], stderr)
        watch = threading.Timer(MAX_RUN_S, os.kill, (child, signal.SIGKILL))
        watch.start()
        if number is not None:
            used = _wait_until(child, begin, moment_s, is_wall_clock)
            sent = time.monotonic()
            _send(child, number)
        _, status, usage = os.wait4(child, 0)
        end = time.monotonic()
        watch.cancel()
        survivors = _wait_for_group(child)
        stderr.seek(0)
        text = stderr.read().decode(errors="replace")
    total = usage.ru_utime + usage.ru_stime
    stop_s = 0.0 if number is None else min(end - sent, total - used)
    seconds = end - begin if is_wall_clock else total
    return End(os.waitstatus_to_exitcode(status), text, seconds, stop_s, survivors)


def _wait_until(child, begin, moment_s, is_wall_clock):
    """Wait until a process has run so long, or has ended; return its processor time."""
    while True:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        past = time.monotonic() - begin if is_wall_clock else used
        if past >= moment_s or fields[0] == "Z":
            return used
        time.sleep(POLL_S)


def _send(child, number):
    """Send a signal: Ctrl-C goes to all processes of a command, as in a terminal."""
    try:
        if number == signal.SIGINT:
            os.killpg(child, number)
        else:
            os.kill(child, number)
    except ProcessLookupError:
        pass  # it has ended, and was not waited for yet


def _wait_for_group(group):
    """Return the processes of a group that are left after a short time; they are killed."""
    end = time.monotonic() + GROUP_END_S
    while time.monotonic() < end:
        if not _members(group):
            return ()
        time.sleep(0.02)
    members = tuple(_members(group))
    for member in members:
        os.kill(member, signal.SIGKILL)
    return members


def _members(group):
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            members.append(int(folder.name))
    return members


@dataclass
class Reference:
    """An uninterrupted run.

    Attributes:
        finished: What `Operation.finished` returns after it.
        results: What `Operation.results` returns after it.
        seconds: Its time.
    """

    finished: dict
    results: dict
    seconds: float


def starter(operation, number):
    """Return how a run of a number is started."""
    is_new = operation.needs_new_process or (number + 1) % NEW_PROCESS_EVERY == 0
    return start_new if is_new and not operation.needs_fork else start_forked


def measure(operation, start, inputs, folder):
    """Run a command without a signal; the second run shows the time without imports."""
    if start is start_forked:
        warm = folder / "warm"
        warm.mkdir(parents=True)
        run(start, operation.words(inputs, warm))
        _import_modules()
    folder = folder / "measured"
    folder.mkdir(parents=True)
    words = operation.words(inputs, folder)
    end = run(start, words, is_wall_clock=operation.needs_new_process)
    assert end.code == 0, end.stderr
    return Reference(operation.finished(folder), operation.results(folder), end.seconds)


def interrupt(operation, reference, inputs, folder, name, number, rng):
    """Stop a command, run it again; return (what is wrong or None, its end)."""
    start = starter(operation, number)
    moment_s = rng.uniform(0, reference.seconds)
    words = operation.words(inputs, folder)
    signal_number = getattr(signal, f"SIG{name}")
    end = run(start, words, signal_number, moment_s, operation.needs_new_process)
    try:
        _check_end(end, name)
        finished = operation.finished(folder)
        _check_finished(operation, reference, finished, end)
        if name != "KILL" or end.code == 0:
            _check_hidden(folder, operation.keeps_when_stopped)
        before = _identities(folder, finished)
        again_start = start_new if operation.needs_new_process else start_forked
        again = run(again_start, operation.words(inputs, folder))
        is_refused = again.code == 2 and "exist" in again.stderr and not operation.is_resumed
        assert again.code == 0 or (is_refused and finished), (
            f"the same command ends with {again.code}: {again.stderr[-300:]}"
        )
        if again.code == 0:
            _check_again(operation, reference, folder)
        left = operation.finished(folder)
        lost = [name for name in finished if name not in left]
        assert not lost or operation.replaces_finished, f"{lost[:3]} are lost"
        if operation.is_resumed:
            assert before.items() <= _identities(folder, finished).items(), "files are made again"
    except AssertionError as error:
        return f"after {moment_s:.2f} s: {error}", end
    return None, end


def _check_end(end, name):
    assert not end.survivors, f"processes {end.survivors} are left"
    if end.code == 0:
        return
    assert end.code == SIGNALS[name], f"code {end.code}: {end.stderr[-600:]}"
    if name == "KILL":
        return
    lines = [line for line in end.stderr.splitlines() if not PROGRESS_LINE.match(line)]
    assert len(lines) == 1, f"{len(lines)} lines: {end.stderr[-1500:]}"
    assert lines[0].startswith("latentaudio: stopped"), lines[0]
    assert end.stop_s <= MAX_STOP_S, f"it goes on for {end.stop_s:.1f} s"


def _check_finished(operation, reference, finished, end):
    if operation.is_whole and finished:
        assert finished == reference.finished, f"not all is there: {list(finished)[:5]}"
    for name, data in finished.items():
        if operation.replaces_finished:
            continue
        whole = reference.finished.get(name)
        assert whole is not None, f"{name} is no result"
        is_equal = whole.startswith(data) if operation.is_growing else whole == data
        assert is_equal, f"{name} has another content"
    assert end.code or finished, "code 0, but nothing is finished"


def _check_again(operation, reference, folder):
    results = operation.results(folder)
    assert results.keys() == reference.results.keys(), f"other results: {list(results)[:5]}"
    for name, data in results.items():
        assert data == reference.results[name], f"{name} has another content after the resume"
    _check_hidden(folder, ())


def _check_hidden(folder, kept):
    hidden = []
    for name in hidden_files(folder):
        is_kept = KEPT_NAMES.fullmatch(Path(name).name) or any(part in name for part in kept)
        if not is_kept:
            hidden.append(name)
    assert not hidden, f"hidden files are left: {hidden[:4]}"


def _identities(folder, finished):
    """Return number and time of the files that are finished, by name."""
    found = {}
    for path in folder.rglob("*"):
        if path.name in finished or str(path.relative_to(folder)) in finished:
            state = path.stat()
            found[str(path)] = (state.st_ino, state.st_mtime_ns)
    return found


@contextmanager
def environment(folder):
    """Serve the hub, and use a folder as home, for all processes that are started."""
    (folder / "home").mkdir()
    with SlowHub() as hub:
        os.environ.update(
            HOME=str(folder / "home"), HF_HOME=str(folder / "home"), HF_ENDPOINT=hub.url
        )
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        mini = replace(registry.MODELS["mini"], config=conftest.TINY)
        with patch.dict(registry.MODELS, {"mini": mini}):
            yield
        hub.shutdown()


def run_cases(cases, folder, seed, on_result):
    """Interrupt commands; `on_result` gets (case, what is wrong or None, end)."""
    references = {}
    with environment(folder):
        inputs = make_inputs(folder / "inputs")
        for case in cases:
            verb, name, number = case
            operation = OPERATIONS[verb]
            start = starter(operation, number)
            key = (verb, start.__name__)
            if key not in references:
                place = folder / "references" / "_".join(key)
                references[key] = measure(operation, start, inputs, place)
            rng = Random(f"{seed}/{verb}/{name}/{number}")
            with TemporaryDirectory(dir=folder) as place:
                reason, end = interrupt(
                    operation, references[key], inputs, Path(place), name, number, rng
                )
            on_result(case, reason, end)


def echo(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_table(ends, failed):
    """Print a row of each command: runs, those stopped while they ran, the longest stop."""
    names = list(SIGNALS)
    echo("| command | " + " | ".join(names) + " | stopped while it ran | longest stop | failed |")
    echo("|---" * (len(names) + 4) + "|")
    for verb in OPERATIONS:
        of_verb = {name: ends[verb, name] for name in names}
        if not any(of_verb.values()):
            continue
        everything = [end for name in names for end in of_verb[name]]
        stopped = [end for end in everything if end.code]
        longest = max((end.stop_s for end in stopped), default=0.0)
        counts = " | ".join(str(len(of_verb[name])) for name in names)
        echo(f"| {verb} | {counts} | {len(stopped)} | {longest:.2f} s | {failed[verb]} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=30, help="runs for each command and signal")
    parser.add_argument("--first", type=int, default=0, help="first run, to go on with others")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--only", nargs="+", help="cases, as COMMAND:SIGNAL:NUMBER")
    parser.add_argument("--log", type=Path, help="file that gets a line of JSON for each run")
    options = parser.parse_args()
    cases = [
        (COMMANDS[command][number % len(COMMANDS[command])], name, number)
        for number in range(options.first, options.num)
        for command in options.commands
        for name in SIGNALS
    ]
    if options.only:
        cases = []
        for text in options.only:
            verb, name, number = text.split(":")
            cases.append((verb, name, int(number)))
    ends = defaultdict(list)
    failed = Counter()

    def report(case, reason, end):
        verb, name, number = case
        ends[verb, name].append(end)
        if options.log:
            with options.log.open("a") as log:
                log.write(json.dumps([*case, reason, end.code, end.stop_s, end.seconds]) + "\n")
        if reason is not None:
            failed[verb] += 1
            echo(f'--only "{verb}:{name}:{number}" --seed {options.seed}: {reason}')

    with TemporaryDirectory() as folder:
        run_cases(cases, Path(folder), options.seed, report)
    print_table(ends, failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
