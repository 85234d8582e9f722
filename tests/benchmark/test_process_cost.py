"""Time and memory of commands, with commands whose cost is known."""

import sys

import pytest

from latentaudio.benchmark.process_cost import (
    measure_cold_start,
    measure_command,
    median_seconds,
)
from latentaudio.errors import DataError


def python(code):
    return (sys.executable, "-c", code)


def test_time_and_peak_memory_of_a_command_are_measured():
    cost = measure_command(
        python("import time; x = bytearray(b'1' * 300_000_000); time.sleep(0.2)")
    )
    assert 0.3 <= cost.peak_rss_gb <= 1.0 and cost.seconds >= 0.2


def test_peak_memory_is_that_of_the_command_and_not_of_earlier_ones():
    measure_command(python("x = bytearray(b'1' * 300_000_000)"))
    assert measure_command(python("pass")).peak_rss_gb < 0.1


def test_an_error_contains_the_last_line_of_stderr():
    code = "import sys; print('a\\nno such model', file=sys.stderr); sys.exit(3)"
    with pytest.raises(DataError, match="code 3: no such model"):
        measure_command(python(code))


def test_the_time_to_the_first_step_is_that_of_its_line():
    code = (
        "import sys, time; time.sleep(0.2)\n"
        "print('generating: 1 of 2', file=sys.stderr, flush=True)\n"
        "time.sleep(0.2)\nprint('generating: 2 of 2', file=sys.stderr)"
    )
    cost = measure_command(python(code))
    assert 0.2 <= cost.first_step_s <= cost.seconds - 0.2
    assert measure_command(python("pass")).first_step_s is None


def test_a_second_start_uses_what_the_first_one_kept(tiny_folder, tmp_path):
    flags = ("--steps", "1", "--device", "cpu")
    for _ in range(2):
        cost = measure_cold_start(str(tiny_folder), "a bell", 0.5, flags=flags, cache=tmp_path)
        assert 0 < cost.first_step_s < cost.seconds
    assert len(list((tmp_path / "prompts").iterdir())) == 2


def test_a_cold_start_must_write_a_file(tmp_path):
    script = tmp_path / "toy.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        "Path(sys.argv[sys.argv.index('-o') + 1]).write_bytes(b'x')\n"
    )
    command = (sys.executable, str(script))
    assert measure_cold_start("toy", "a bell", 1.0, command).seconds > 0
    with pytest.raises(DataError, match="wrote no file"):
        measure_cold_start("toy", "a bell", 1.0, python("pass"))


def test_the_first_run_is_not_counted():
    runs = []
    assert median_seconds(runs.append, 3) >= 0.0
    assert runs == [0, 1, 2, 3]
