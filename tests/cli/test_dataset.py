"""`latentaudio corpus render`: the flags reach the renderer, and its refusals reach the user."""

import json

import soundfile

from latentaudio.cli.main import main


def test_a_small_corpus(tmp_path, capsys):
    tokens = [
        "--hours",
        "0.0008",
        "--seed",
        "3",
        "--kinds",
        "bell",
        "dog",
        "--seconds",
        "0.7",
        "0.9",
        "--workers",
        "1",
    ]
    assert (
        main(
            [
                "corpus",
                "render",
                str(tmp_path / "c"),
                *tokens,
                "--split",
                "test",
                "--file-type",
                "wav",
                "--json",
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    lines = [
        json.loads(line) for line in (tmp_path / "c" / "metadata.jsonl").read_text().splitlines()
    ]
    assert told["clips"] == len(lines) >= 4
    assert {line["seconds"] for line in lines} <= {0.7, 0.9}
    assert {kind for line in lines for kind in line["kinds"][:1]} <= {"bell", "dog"}
    about = json.loads((tmp_path / "c" / "corpus.json").read_text())
    assert (about["seed"], about["split"], about["weights"]) == (3, "test", [1.0, 1.0])
    assert soundfile.info(tmp_path / "c" / lines[0]["file_name"]).format == "WAV"


def test_refusals(tmp_path, capsys):
    assert (
        main(["corpus", "render", str(tmp_path / "c"), "--hours", "1", "--kinds", "unicorn"]) == 2
    )
    assert "unknown kind 'unicorn'" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    assert main(["corpus", "render", str(tmp_path / "full"), "--hours", "1"]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]
