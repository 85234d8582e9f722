"""Whole files or none."""

import os
import subprocess
import sys

import pytest

from latentaudio.errors import DataError
from latentaudio.fileio import filling, replacing


def test_a_file_appears_whole_and_only_at_the_end(tmp_path):
    target = tmp_path / "new" / "file"
    with replacing(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("problem", [KeyboardInterrupt, ValueError])
def test_what_was_there_survives_a_failure(tmp_path, problem):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(problem), replacing(target) as temporary:
        temporary.write_text("half")
        raise problem
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_the_system_says_against_writing_becomes_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "below", tmp_path / "none" / "below"):
        with (
            pytest.raises(DataError, match="choose another place"),
            replacing(target, create=False),
        ):
            pass
    with pytest.raises(DataError, match="No space left"), replacing(tmp_path / "full"):
        raise OSError(28, "No space left on device")


def test_a_folder_appears_whole_and_sweeps_what_the_dead_left(tmp_path):
    target = tmp_path / "folder"
    died = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / f".folder.{died.stdout.strip()}.part").mkdir()
    (tmp_path / f".folder.{os.getppid()}.part").mkdir()
    with filling(target) as temporary:
        (temporary / "a").write_text("a")
        assert not target.exists()
    assert {p.name for p in tmp_path.iterdir()} == {f".folder.{os.getppid()}.part", "folder"}
    with pytest.raises(FileExistsError), filling(target) as temporary:
        (temporary / "a").write_text("b")
    assert (target / "a").read_text() == "a"
