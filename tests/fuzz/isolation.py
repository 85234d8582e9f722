"""Cases run in child processes that may hang, die or take too much memory.

A child tells its parent which case it runs. The parent kills one that hangs, notes what happened,
and goes on with the next case in another child.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

MAX_CPU_S = 10.0
MAX_WALL_S = 600.0
"""For code that no signal stops; the limit of 10 s is for the processor."""
MIN_CPU_S = 0.1
"""A case that uses less of the processor in `MAX_WALL_S` waits for something. One that uses more
is slow because the machine is busy."""
MAX_BYTES = 2 * 2**30
CASES_PER_CHILD = 400


class TooSlowError(BaseException):
    """A case has used too much processor time."""


def run_cases(cases, check, on_failure):
    """Call `check(case)` for every case; it returns what is wrong, or None.

    Args:
        cases: The cases.
        check: A function that is called in a child process.
        on_failure: Called in this process with (case, what is wrong).
    """
    position = 0
    while position < len(cases):
        position = _run_child(cases, position, check, on_failure)


def _run_child(cases, first, check, on_failure):
    """Run cases from `first` on in one child; return the place of the next."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    end = min(first + CASES_PER_CHILD, len(cases))
    child = context.Process(target=_work, args=(cases, first, end, check, writer), daemon=True)
    child.start()
    writer.close()
    position = first
    try:
        while position < end:
            if not _arrives(reader, child.pid):
                on_failure(cases[position], f"hangs for {MAX_WALL_S:g} s")
                return position + 1
            reason = reader.recv()
            if reason is not None:
                on_failure(cases[position], reason)
            position += 1
    except EOFError:
        child.join()
        on_failure(cases[position], f"the process ended with {child.exitcode}")
        return position + 1
    finally:
        child.kill()
        child.join()
    return position


def _arrives(reader, child):
    """Wait for the outcome of a case; return whether it comes."""
    start = _cpu_seconds(child)
    before = start
    while not reader.poll(MAX_WALL_S):
        now = _cpu_seconds(child)
        if now - before < MIN_CPU_S or now - start > 3 * MAX_CPU_S:
            return False
        before = now
    return True


def _cpu_seconds(child):
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work(cases, first, end, check, writer):
    signal.signal(signal.SIGPROF, _raise_too_slow)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # Rust prints its panics
    limit = _virtual_bytes() + MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for case in cases[first:end]:
        writer.send(_outcome(case, check))
    writer.close()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(0)


def _outcome(case, check):
    start = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_PROF, 2 * MAX_CPU_S)
        reason = check(case)
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error!s:.150} at {place.filename}:{place.lineno}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - start
    if reason is None and seconds > MAX_CPU_S:
        return f"takes {seconds:.0f} s"
    return reason


def _raise_too_slow(number, frame):
    raise TooSlowError(f"more than {2 * MAX_CPU_S:g} s, in {frame.f_code.co_qualname}")


def _virtual_bytes():
    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: PTH123, SIM115
    return pages * resource.getpagesize()
