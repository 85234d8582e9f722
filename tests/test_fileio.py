"""Atomic writes: files and folders appear completely or not at all."""

import os
import subprocess
import sys

import pytest

from latentaudio.errors import DataError
from latentaudio.fileio import atomic_directory, atomic_write


def test_a_file_appears_completely_at_the_end(tmp_path):
    target = tmp_path / "new" / "file"
    with atomic_write(target) as temporary:
        temporary.write_text("partial")
        assert not target.exists()
        temporary.write_text("complete")
    assert target.read_text() == "complete"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(error), atomic_write(target) as temporary:
        temporary.write_text("partial")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_of_the_system_becomes_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "below", tmp_path / "none" / "below"):
        with (
            pytest.raises(DataError, match="choose another place"),
            atomic_write(target, create=False),
        ):
            pass
    with pytest.raises(DataError, match="No space left"), atomic_write(tmp_path / "full"):
        raise OSError(28, "No space left on device")


def test_a_folder_appears_completely_and_abandoned_ones_are_deleted(tmp_path):
    target = tmp_path / "folder"
    killed = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / f".folder.{killed.stdout.strip()}.part").mkdir()
    (tmp_path / f".folder.{os.getppid()}.part").mkdir()
    with atomic_directory(target) as temporary:
        (temporary / "a").write_text("a")
        assert not target.exists()
    remaining = {path.name for path in tmp_path.iterdir()}
    assert remaining == {f".folder.{os.getppid()}.part", "folder"}
    with pytest.raises(FileExistsError), atomic_directory(target) as temporary:
        (temporary / "a").write_text("b")
    assert (target / "a").read_text() == "a"
