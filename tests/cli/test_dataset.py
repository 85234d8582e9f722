"""`latentaudio dataset`: flags reach the renderer; check and shard say and write what is there."""

import json

import numpy as np
import pytest
import soundfile

from latentaudio.cli.main import main
from latentaudio.data.dataset import read_window
from latentaudio.data.manifest import read_manifest

RENDER = ["dataset", "render"]


def test_flags_reach_the_corpus(tmp_path, capsys):
    folder = tmp_path / "c"
    flags = ["--hours", "0.0008", "--seed", "3", "--classes", "bell", "dog"]
    flags += ["--durations", "0.7", "0.9", "--num-workers", "1"]
    flags += ["--split", "test", "--file-type", "wav", "--json"]
    assert main([*RENDER, str(folder), *flags]) == 0
    summary = json.loads(capsys.readouterr().out)
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    assert summary["clips"] == len(lines) >= 4
    assert {line["seconds"] for line in lines} <= {0.7, 0.9}
    assert {name for line in lines for name in line["kinds"][:1]} <= {"bell", "dog"}
    corpus = json.loads((folder / "corpus.json").read_text())
    assert (corpus["seed"], corpus["split"], corpus["weights"]) == (3, "test", [1.0, 1.0])
    assert soundfile.info(folder / lines[0]["file_name"]).format == "WAV"


def test_errors_are_one_line_with_exit_code_2(tmp_path, capsys):
    assert main([*RENDER, str(tmp_path / "c"), "--hours", "1", "--classes", "unicorn"]) == 2
    message = capsys.readouterr().err
    assert "unknown sound class 'unicorn'" in message and message.count("\n") == 1
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    assert main([*RENDER, str(tmp_path / "full"), "--hours", "1"]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


@pytest.fixture
def sounds(tmp_path):
    """Two sounds with captions, one of them repeated, and a silent one."""
    folder = tmp_path / "sounds"
    for name in ("3_door/creak", "dog", "nothing"):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).normal(scale=0.1, size=12000)
        soundfile.write(path, np.zeros(12000) if name == "nothing" else noise, 16000)
        path.with_suffix(".txt").write_text(f"{name[-3:]}\nanother")
    return folder


def test_check_prints_what_training_leaves_out(sounds, capsys):
    assert main(["dataset", "check", str(sounds)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "2 sounds (4 with repeats), 0.0 min, read as sidecar"
    assert second.startswith("1 silent sound, left out: ") and "nothing.wav" in second
    assert main(["dataset", "check", str(sounds), "--json", "--strict"]) == 2
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert (report["sounds"], report["clips"], report["minutes"]) == (2, 4, 0.025)
    assert report["problems"]["silent"]["count"] == 1
    assert "1 problems in all" in output.err and output.err.count("\n") == 1


def test_check_fails_if_nothing_can_be_used(sounds, capsys):
    for name in ("3_door/creak", "dog"):
        (sounds / f"{name}.wav").write_bytes(b"")
    assert main(["dataset", "check", str(sounds), "--quiet"]) == 2
    assert "no sound can be trained on" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:1 silent sound")
def test_shards_are_equal_to_the_byte_and_hold_all_that_is_known(sounds, tmp_path, capsys):
    command = ["dataset", "shard", str(sounds), "--max-megabytes", "0.03", "-o"]
    assert main([*command, str(tmp_path / "a")]) == 0
    assert "2 clips in 2 tars" in capsys.readouterr().out
    for path in sounds.rglob("*.wav"):
        path.touch()
    assert main([*command, str(tmp_path / "b"), "--json"]) == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["shard-00000.tar", "shard-00001.tar"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with pytest.warns(UserWarning, match="silent"):
        before = read_manifest(sounds)
    after = read_manifest(tmp_path / "a")
    assert [clip.captions for clip in after] == [clip.captions for clip in before]
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(read_window(old, 16000, 12000, 0), read_window(new, 16000, 12000, 0))


def test_shard_counts_sounds_that_are_read_one_by_one(tmp_path, capsys):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(50):
        noise = np.random.default_rng(number).normal(scale=0.1, size=3200)
        soundfile.write(folder / f"{number}.wav", noise, 16000)
        (folder / f"{number}.txt").write_text(f"sound {number}")
    assert main(["dataset", "shard", str(folder), "-o", str(tmp_path / "tars")]) == 0
    assert "50 clips in 1 tars" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:1 silent sound")
def test_shard_leaves_nothing_half_written(sounds, tmp_path, monkeypatch, capsys):
    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tarfile.TarFile.addfile", full_disk)
    assert main(["dataset", "shard", str(sounds), "-o", str(tmp_path / "a")]) == 2
    assert "No space left" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sounds"]
    monkeypatch.undo()
    assert main(["dataset", "shard", str(sounds), "-o", str(sounds)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    command = ["dataset", "shard", str(sounds), "-o", str(tmp_path / "a")]
    assert main([*command, "--max-megabytes", "nan"]) == 2
