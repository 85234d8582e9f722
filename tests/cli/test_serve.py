"""Flags of `latentaudio serve` that are refused before anything is loaded, and its keys."""

import pytest

from latentaudio.cli.main import main
from latentaudio.cli.serve import read_keys
from latentaudio.errors import DataError, UsageError
from latentaudio.serve.network import KEY_VARIABLE


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-queue", "0"], "--max-queue 0 must be a number from 1"),
        (["--max-upload", "nan"], "--max-upload nan must be a number"),
        (["--model", "nothing-of-that-name"], "nothing-of-that-name"),
        (["--adapter", "nowhere"], "nowhere"),
        (["--port", "99999"], "cannot listen"),
        (["--api-key-file", "missing.txt"], "cannot read missing.txt"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(words, message, capsys, tiny_folder, tmp_path):
    store = ["--store", str(tmp_path / "store")]
    assert main(["serve", "--model", str(tiny_folder), *store, *words]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert message in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2"])
def test_no_key_no_network(host, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert main(["serve", "--host", host, "--store", str(tmp_path / "store")]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert KEY_VARIABLE in line
    assert not (tmp_path / "store").exists()


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, " one, two,,")
    assert read_keys(None) == ["one", "two"]
    monkeypatch.delenv(KEY_VARIABLE)
    assert read_keys(None) == []
    file = tmp_path / "keys"
    file.write_text("three\n\n four\n")
    assert read_keys(file) == ["three", "four"]
    file.write_text("\n")
    with pytest.raises(UsageError, match="has no key"):
        read_keys(file)
    with pytest.raises(DataError):
        read_keys(tmp_path / "missing")
