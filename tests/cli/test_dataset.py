"""`latentaudio dataset render`: the flags reach the renderer, and its errors reach the user."""

import json

import soundfile

from latentaudio.cli.main import main

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
