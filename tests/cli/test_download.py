"""`latentaudio download`."""

import json

from latentaudio.cli.main import main
from latentaudio.loaders import hub


def test_a_name_fetches_its_repository_and_tells_what_came(monkeypatch, tmp_path, capsys):
    asked = []

    def fetch(repository, patterns=None, *, to=None, progress=None):
        asked.append((repository, patterns, to))
        (to / "unet").mkdir(parents=True)
        (to / "unet" / "config.json").write_text("{}")
        return to

    monkeypatch.setattr(hub, "fetch", fetch)
    assert main(["download", "audioldm2-music-665k", "--to", str(tmp_path / "m"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["repository"], told["files"], told["bytes"]) == ("cvssp/audioldm2-music", 1, 2)
    assert main(["download", "audioldm_48k", "--to", str(tmp_path / "k")]) == 0
    assert asked == [
        ("cvssp/audioldm2-music", None, tmp_path / "m"), ("haoheliu/audioldm_48k", ["audioldm_48k.pth"], tmp_path / "k"),
    ]  # fmt: skip


def test_what_no_hub_has_says_where_it_is(capsys):
    assert main(["download", "audioldm-s-text-ft"]) == 2
    assert "from the authors' record on zenodo" in capsys.readouterr().err
    assert main(["download", "nothing"]) == 2
    assert "'nothing' is neither a model's name nor a hub id" in capsys.readouterr().err
