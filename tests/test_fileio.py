"""Atomic writes: files and folders appear completely or not at all."""

import os
import subprocess
import sys

import pytest

from latentaudio.errors import DataError, UsageError
from latentaudio.fileio import (
    atomic_directory,
    atomic_write,
    created_folder,
    emptied_if_refused,
    is_new_or_empty,
    locked,
    temporary_directory,
)


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


@pytest.fixture
def ended_process():
    """Number of a process that has ended."""
    program = "import os; print(os.getpid())"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


WRITES = {
    "atomic_write": lambda folder: atomic_write(folder / "new"),
    "atomic_directory": lambda folder: atomic_directory(folder / "new"),
    "temporary_directory": temporary_directory,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_killed_processes_left_is_deleted_at_the_first_write(tmp_path, ended_process, write):
    with write(tmp_path) as temporary:
        own = temporary.name.split(".")
    others = tmp_path / "others"
    others.mkdir()
    left = [".".join([*own[:2], ended_process, *own[3:]]), f".{'0' * 16}.part"]
    kept = [
        ".".join([*own[:2], str(os.getppid()), *own[3:]]),  # of a process that runs
        ".".join([*own[:2], ended_process, "00000000", "part"]),  # of another machine
        ".weights.part",  # of a download that can be resumed
    ]
    for name in (*left, *kept):
        (others / name).mkdir()
    (others / left[0] / "half").write_text("half")
    with write(others) as temporary:
        remaining = {path.name for path in others.iterdir()}
    assert remaining - {temporary.name} == set(kept)


def test_a_folder_appears_completely(tmp_path):
    target = tmp_path / "folder"
    with atomic_directory(target) as temporary:
        (temporary / "a").write_text("a")
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(FileExistsError), atomic_directory(target) as temporary:
        (temporary / "a").write_text("b")
    assert (target / "a").read_text() == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("error", [UsageError, KeyboardInterrupt, OSError])
def test_a_block_that_fails_removes_only_the_empty_folders_that_it_made(tmp_path, error):
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(error), created_folder(own / "a" / "b"):
        assert (own / "a" / "b").is_dir()
        raise error
    assert list(tmp_path.rglob("*")) == [own]
    with pytest.raises(error), created_folder(own / "a" / "b"):
        (own / "a" / "kept").touch()
        raise error
    assert sorted(path.name for path in own.rglob("*")) == ["a", "kept"]
    with pytest.raises(error), created_folder(own):
        raise error
    assert own.is_dir()


@pytest.mark.parametrize(
    ("error", "has_result", "stays"),
    [(UsageError, False, False), (UsageError, True, True), (KeyboardInterrupt, False, True)],
)
def test_a_refusal_deletes_what_has_no_result_yet(tmp_path, error, has_result, stays):
    assert is_new_or_empty(tmp_path)
    with pytest.raises(error), emptied_if_refused(tmp_path, lambda: has_result):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "weights").touch()
        (tmp_path / "log").touch()
        raise error
    assert any(tmp_path.iterdir()) == stays
    assert is_new_or_empty(tmp_path) != stays


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    file = tmp_path / "file" / ".lock"
    with pytest.raises(DataError, match="choose another folder"), locked(file, "written it"):
        pass
