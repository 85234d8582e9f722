"""Lists on disk, clips in them, and values that are remembered between runs."""

import sqlite3
import threading
import tracemalloc
from pathlib import Path

import pytest

from latentaudio.data import remembered
from latentaudio.data.clip import Clip
from latentaudio.data.clip_list import ClipList
from latentaudio.data.disk_list import DiskList
from latentaudio.data.remembered import MISSING, Remembered
from latentaudio.errors import DataError


def clip(name, **record):
    return Clip(Path(name), (f"a {name}", "a sound"), 16000, 8000, record)


def test_values_come_back_in_order_while_more_are_added():
    values = DiskList(lambda value: value, lambda value: value, ["one", 2])
    values.append({"three": [None, float("inf"), "\udcff"]})
    assert list(values) == ["one", 2, {"three": [None, float("inf"), "\udcff"]}]
    values.append(4)
    assert values[-1] == 4
    assert values[1:3] == (2, {"three": [None, float("inf"), "\udcff"]})
    assert len(values) == 4
    with pytest.raises(IndexError):
        values[4]


def test_threads_read_the_values_that_they_ask_for():
    values = DiskList(lambda value: value, lambda value: value, range(1000))
    wrong = []

    def read(start):
        wrong.extend(i for i in range(start, 1000, 4) if values[i] != i)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_clip_comes_back_with_all_fields():
    clips = ClipList()
    whole = Clip(Path("a\udcff.tar"), ("x",), 44100, 7, {"transcript": "hi", "n": 1}, 512, 99, "b")
    clips.add(whole)
    assert vars(clips[0]) == vars(whole)


def test_repeats_are_one_object_and_equal_clips_are_not():
    clips = ClipList()
    clips.add(clip("a"), 3)
    clips.add(clip("a"))
    clips.add(clip("b"), 2)
    assert len(clips) == 6
    assert clips.num_distinct == 3
    assert [number for _, number in clips.each_once()] == [3, 1, 2]
    same = [clips[i] is clips[i + 1] for i in range(5)]
    assert same == [True, True, False, False, True]
    assert clips == (*[clip("a")] * 4, *[clip("b")] * 2)


def test_a_filter_asks_once_for_each_clip_and_leaves_the_list_alone():
    clips = ClipList()
    for name in "abc":
        clips.add(clip(name), 2)
    asked = []

    def keep(each):
        asked.append(each.path.name)
        return each.path.name != "b"

    kept = clips.filtered(keep)
    assert asked == ["a", "b", "c"]
    assert [each.path.name for each in kept] == ["a", "a", "c", "c"]
    assert len(clips) == 6


def test_a_clip_needs_a_few_bytes_of_memory(tmp_path):
    clips = ClipList()
    values = Remembered(tmp_path / "values.sqlite")
    tracemalloc.start()
    for number in range(4000):
        clips.add(clip(f"{number}.wav", text="a caption of some length" * 4))
        values.set(f"{number}.wav", [number, "0" * 64])
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(clips) < 40  # 8 and 4 for a clip, and what lists keep in reserve


def test_values_are_remembered_by_another_object(tmp_path):
    path = tmp_path / "folder" / "values.sqlite"
    first = Remembered(path)
    assert first.get("key") is MISSING
    first.set("key", [1, "a"])
    first.set("none", None)
    assert first.get("key") == [1, "a"]
    assert not path.exists()  # nothing is written before `save`
    first.save()
    second = Remembered(path)
    assert second.get("key") == [1, "a"]
    assert second.get("none") is None
    assert second.get("other") is MISSING
    second.set("key", 2)
    second.save()
    assert first.get("key") == 2


def test_two_processes_keep_the_values_of_both(tmp_path):
    first, second = (Remembered(tmp_path / "values.sqlite") for _ in range(2))
    first.set("a", 1)
    second.set("b", 2)
    first.save()
    second.save()
    assert [Remembered(first.path).get(key) for key in "ab"] == [1, 2]


@pytest.mark.parametrize("damage", [b"", b"{", b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_file_is_written_anew(tmp_path, damage):
    path = tmp_path / "values.sqlite"
    path.write_bytes(damage)
    values = Remembered(path)
    assert values.get("key") is MISSING
    values.set("key", 1)
    values.save()
    assert Remembered(path).get("key") == 1


def test_a_table_of_another_program_is_an_error(tmp_path):
    path = tmp_path / "values.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE remembered (other TEXT)")
    connection.close()
    values = Remembered(path)
    assert values.get("key") is MISSING
    values.set("key", 1)
    with pytest.raises(DataError, match=r"cannot write .*values\.sqlite"):
        values.save()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    values = Remembered(tmp_path / "file" / "values.sqlite")
    values.set("key", 1)
    with pytest.raises(DataError, match="choose another place"):
        values.save()


def test_values_that_cannot_be_written_raise_at_the_end_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "_MAX_NEW", 3)
    (tmp_path / "file").write_text("")
    values = Remembered(tmp_path / "file" / "values.sqlite")
    for number in range(6):  # the last one fills memory, too
        values.set(str(number), number)
    with pytest.raises(DataError, match="choose another place"):
        values.save()
    values.save()  # nothing is left to write
