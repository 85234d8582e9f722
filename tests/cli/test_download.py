"""`latentaudio download`."""

import json

from latentaudio.cli.main import main
from latentaudio.loaders import hub


def test_a_name_downloads_its_repository_and_reports_the_files(monkeypatch, tmp_path, capsys):
    calls = []

    def fetch(repository, patterns=None, *, to=None, progress=None):
        calls.append((repository, patterns, to))
        (to / "unet").mkdir(parents=True)
        (to / "unet" / "config.json").write_text("{}")
        return to

    monkeypatch.setattr(hub, "fetch", fetch)
    assert main(["download", "audioldm2-music-665k", "--to", str(tmp_path / "m"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["repository"], record["files"], record["bytes"]) == (
        "cvssp/audioldm2-music",
        1,
        2,
    )
    assert main(["download", "audioldm_48k", "--to", str(tmp_path / "k")]) == 0
    assert calls == [
        ("cvssp/audioldm2-music", None, tmp_path / "m"),
        ("haoheliu/audioldm_48k", ["audioldm_48k.pth"], tmp_path / "k"),
    ]


def test_a_model_on_no_hub_is_an_error_with_a_remedy(capsys):
    assert main(["download", "audioldm-s-text-ft"]) == 2
    assert "from the authors' record on zenodo" in capsys.readouterr().err
    assert main(["download", "nothing"]) == 2
    assert "'nothing' is neither a model's name nor a hub id" in capsys.readouterr().err
