"""The command that installs an extra fits the way in which the package was installed."""

import importlib.metadata
import json
from types import SimpleNamespace

import pytest

from latentaudio.config import extras
from latentaudio.config.extras import install_command


@pytest.fixture
def installed(monkeypatch):
    """Return a function that pretends an installation with some record of its origin."""

    def pretend(record):
        text = None if record is None else json.dumps(record)
        found = SimpleNamespace(read_text=lambda _name: text)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: found)

    return pretend


def test_from_a_registry(installed):
    installed(None)
    assert install_command("serve") == "pip install 'latentaudio[serve]'"


@pytest.mark.parametrize("is_editable", [False, True])
def test_from_a_folder(installed, tmp_path, is_editable):
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    url = folder.as_uri()
    installed({"url": url, "dir_info": {"editable": is_editable}})
    flag = "-e " if is_editable else ""
    assert install_command("mcp") == f"pip install {flag}'{folder}[mcp]'"
    (folder / "constraints.txt").touch()
    command = install_command("mcp")
    assert command == f"pip install -c '{folder}/constraints.txt' {flag}'{folder}[mcp]'"


def test_from_a_folder_that_is_gone_or_a_repository(installed, tmp_path):
    for url in ((tmp_path / "gone").as_uri(), "https://example.org/latentaudio.git"):
        installed({"url": url})
        assert install_command("serve") == "pip install 'latentaudio[serve]'"


def test_from_the_source_alone(monkeypatch, tmp_path):
    def fail(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", fail)
    place = tmp_path / "src/latentaudio/config/extras.py"
    monkeypatch.setattr(extras, "__file__", str(place))
    assert install_command("serve") == "pip install 'latentaudio[serve]'"
    (tmp_path / "pyproject.toml").touch()
    assert install_command("serve") == f"pip install -e '{tmp_path.resolve()}[serve]'"
