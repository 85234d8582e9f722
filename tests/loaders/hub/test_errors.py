"""Every error message of a download from a small hub server on this machine."""

import errno
import hashlib
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from hub_server import (
    DEFAULT_FILES,
    FILES,
    Answer,
    closed_port_url,
    contents_of,
    error_line,
    tree,
)

from latentaudio.errors import DataError, UsageError, WeightsError
from latentaudio.loaders.hub import fetch, fetch_file

TOKEN = "set HF_TOKEN to a token that may read it"


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            (401, "RepoNotFound"),
            UsageError,
            f"URL has no repository o/r, or it is private; check the name or {TOKEN}",
        ),
        (
            (404, "RepoNotFound"),
            UsageError,
            f"URL has no repository o/r, or it is private; check the name or {TOKEN}",
        ),
        ((401, None), WeightsError, f"URL does not let you read o/r (status 401); {TOKEN}"),
        (
            (403, "GatedRepo"),
            WeightsError,
            f"o/r is gated; accept its terms at URL/o/r, then {TOKEN}",
        ),
        ((403, None), WeightsError, f"URL does not let you read o/r (status 403); {TOKEN}"),
        ((404, "RevisionNotFound"), UsageError, "o/r has no revision 'main'; see URL/o/r"),
        (
            (404, None),
            UsageError,
            "URL has no o/r, or has lost a file of it; check the name or HF_ENDPOINT",
        ),
        (
            (200, None),
            WeightsError,
            "URL does not answer like a hub; check HF_ENDPOINT and the proxy",
        ),
        (
            (503, None),
            WeightsError,
            "o/r must be downloaded (it is not in CACHE), but URL cannot be reached (status 503); "
            "check the internet connection, or name a folder with its files",
        ),
    ],
)
def test_http_errors_of_the_listing_are_explained(server, repo_cache, answer, kind, message):
    server.refuse["/api/"] = answer
    assert error_line(kind, lambda: fetch("o/r")) == message.replace("URL", server.url).replace(
        "CACHE", str(repo_cache.parent)
    )
    assert not repo_cache.exists()
    server.refuse.clear()
    folder = fetch("o/r")
    server.refuse["/api/"] = answer
    assert fetch("o/r") == folder


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(401, None, WeightsError), (403, None, WeightsError), (404, "EntryNotFound", UsageError)],
)
def test_http_errors_of_a_file_are_explained(server, repo_cache, status, code, kind):
    server.refuse["big.ckpt"] = (status, code)
    message = error_line(kind, lambda: fetch_file("o/r", "big.ckpt"))
    lost = f"{server.url} has no o/r, or has lost a file of it; check the name or HF_ENDPOINT"
    assert message == (
        lost
        if status == 404
        else f"{server.url} does not let you read o/r (status {status}); {TOKEN}"
    )
    assert len(server.files()) == 1 and not (repo_cache / "snapshots").exists()


def test_a_missing_file_lists_the_files_there_are(server):
    message = error_line(UsageError, lambda: fetch_file("o/r", "large.ckpt"))
    assert message == f"o/r has no large.ckpt; it has: {', '.join(FILES)}"
    assert not server.files()


@pytest.mark.parametrize("name", ["o//r", "o/r/x", "../r", "-/r"])
def test_an_invalid_hub_id_is_refused(server, name):
    assert (
        error_line(UsageError, lambda: fetch(name))
        == f"{name!r} is not a hub id; write owner/repository"
    )


@pytest.mark.parametrize(
    "name", ["../evil.bin", "/evil.bin", "a/../../evil.bin", "..\\evil.bin", "c:evil.bin"]
)
def test_names_that_leave_the_folder_are_refused(server, monkeypatch, repo_cache, name):
    monkeypatch.setitem(FILES, name, b"evil")
    assert (
        error_line(WeightsError, lambda: fetch("o/r"))
        == f"{server.url} does not answer like a hub; check HF_ENDPOINT and the proxy"
    )
    assert not repo_cache.exists()


def test_a_full_disk_while_writing_keeps_the_partial_file(server, repo_cache):
    """The partial file is a link to /dev/full, so that the system itself raises ENOSPC.

    A small tmpfs would need root, and RLIMIT_FSIZE raises another error.
    """
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    part = repo_cache / "blobs" / f".{hashlib.sha256(FILES['big.ckpt']).hexdigest()}.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    message = error_line(DataError, lambda: fetch_file("o/r", "big.ckpt"))
    assert message == (
        "cannot write o/r (the disk is full); free some space or choose another place (--to, "
        "HF_HOME); the bytes that have arrived are kept"
    )
    assert not (repo_cache / "snapshots").exists()
    part.unlink()
    assert fetch_file("o/r", "big.ckpt").read_bytes() == FILES["big.ckpt"]


def test_missing_disk_space_is_reported_before_the_first_byte(server, repo_cache, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 100))
    message = error_line(DataError, lambda: fetch("o/r"))
    assert message == (
        f"o/r takes 0.00 GB more and {repo_cache / 'blobs'} has 0.00; free some space or choose "
        f"another place (--to, HF_HOME)"
    )
    assert not server.files()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_an_unwritable_cache_is_reported(server, repo_cache):
    repo_cache.parent.mkdir()
    repo_cache.parent.chmod(0o500)
    message = error_line(DataError, lambda: fetch("o/r"))
    assert message.startswith(f"cannot write o/r ({os.strerror(errno.EACCES)}); free some")


def test_without_a_network_the_cache_is_used(server, repo_cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", closed_port_url())
    url = os.environ["HF_ENDPOINT"]
    message = error_line(WeightsError, lambda: fetch("o/r"))
    missing = f"o/r must be downloaded (it is not in {repo_cache.parent}), but "
    remedy = "check the internet connection, or name a folder with its files"
    assert message.startswith(f"{missing}{url} cannot be reached (")
    assert message.endswith(f"Connection refused); {remedy}")
    assert not repo_cache.exists()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    folder = fetch("o/r")
    monkeypatch.setenv("HF_ENDPOINT", url)
    assert fetch("o/r") == folder and tree(folder) == contents_of(*DEFAULT_FILES)


def test_offline_mode_sends_no_request(server, repo_cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = error_line(WeightsError, lambda: fetch("o/r"))
    assert (
        message
        == f"o/r must be downloaded (it is not in {repo_cache.parent}), but HF_HUB_OFFLINE is set; "
        f"unset it, or name a folder with its files"
    )
    assert not server.log
    monkeypatch.delenv("HF_HUB_OFFLINE")
    folder = fetch("o/r")
    server.log.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch("o/r") == folder and not server.log


@pytest.mark.parametrize("size", ["1e999", "-1", "1.5", "null", '"5"', "1" + "0" * 400, "NaN"])
def test_sizes_that_no_file_has_are_not_believed(server, monkeypatch, tmp_path, size):
    listing = Answer.listing(None).replace(b'"size": 204800', f'"size": {size}'.encode())
    monkeypatch.setattr(Answer, "listing", lambda self: listing)
    message = error_line(WeightsError, lambda: fetch("o/r", to=tmp_path / "new"))
    assert message.startswith(f"{server.url} does not answer like a hub")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"\xff\xfe", b"../../..", b"", b"\0", b"x" * 9999])
def test_a_damaged_ref_of_the_cache_is_none(server, repo_cache, content):
    fetch("o/r")
    (repo_cache / "refs" / "main").write_bytes(content)
    message = error_line(WeightsError, lambda: fetch("o/r", is_offline=True))
    assert message.startswith("o/r must be downloaded")
    assert tree(fetch("o/r")) == contents_of(*DEFAULT_FILES)
