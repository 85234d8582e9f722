"""A small part of `run.py`, with one seed; every kind of file and the table of commands."""

from kinds import KINDS
from run import make_cases, run

FILES_PER_KIND = 1
NUM_COMMANDS = 40


def test_damaged_files_and_odd_command_lines_end_in_one_line(tmp_path, record_property):
    cases = make_cases(FILES_PER_KIND * len(KINDS), NUM_COMMANDS, list(KINDS))
    failures = []
    run(cases, tmp_path / "seeds", 1, lambda *failure: failures.append(failure))
    assert failures == []
    record_property("fuzzed files and command lines", len(cases))
