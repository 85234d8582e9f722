"""Downloads from a small hub server on this machine: files, requests, and every error message."""

import errno
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest

from latentaudio.cli.download import download
from latentaudio.errors import DataError, UsageError, WeightsError
from latentaudio.loaders import hub_download
from latentaudio.loaders.hub import check_snapshot, default_files, fetch, fetch_file
from latentaudio.loaders.hub_download import verify

COMMIT = "c8e7e189" * 5
WEIGHTS = bytes(range(256)) * 800
FILES = {
    "model_index.json": b'{"unet": ["diffusers", "U"]}',
    "unet/config.json": b"{}",
    "unet/empty.txt": b"",
    "unet/model.safetensors": WEIGHTS,
    "unet/model.bin": WEIGHTS[::-1],
    "vae/model.bin": WEIGHTS[5:],
    "README.md": b"read me",
    "big.ckpt": WEIGHTS[9:],
}
DEFAULT_FILES = [
    "model_index.json",
    "unet/config.json",
    "unet/empty.txt",
    "unet/model.safetensors",
    "vae/model.bin",
]
LARGE = (".safetensors", ".bin", ".ckpt")
LoggedRequest = namedtuple("LoggedRequest", "method path range token")


class Hub(ThreadingHTTPServer):
    """A server with the endpoints that are called, and ways to fail.

    Attributes:
        log: All requests.
        cut: {file: bytes after which the connection breaks}.
        short: {file: bytes that are sent as if they were all}.
        wrong: Files with another content.
        refuse: {part of a path: (status, X-Error-Code)}.
        store: Address that files are redirected to.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.log = []
        self.cut = {}
        self.short = {}
        self.wrong = set()
        self.refuse = {}
        self.store = ""
        self.url = f"http://127.0.0.1:{self.server_port}"

    def files(self):
        """The files that were requested, each with its range header."""
        return [
            (request.path.split(COMMIT + "/")[1], request.range)
            for request in self.log
            if "/resolve/" in request.path
        ]


class Answer(BaseHTTPRequestHandler):
    """The handler of one request."""

    def log_message(self, *args):
        """Print nothing."""

    def do_GET(self):
        hub, name = self.server, self.path.removeprefix(f"/o/r/resolve/{COMMIT}/")
        hub.log.append(
            LoggedRequest(
                self.command, self.path, self.headers["Range"], self.headers["Authorization"]
            )
        )
        refused = next((answer for part, answer in hub.refuse.items() if part in self.path), None)
        if refused:
            self.answer(refused[0], b"", {"X-Error-Code": refused[1]} if refused[1] else {})
        elif self.path in [
            f"/api/models/o/r/revision/{revision}?blobs=true" for revision in ("main", COMMIT)
        ]:
            self.answer(200, self.listing())
        elif name in FILES and hub.store:
            self.answer(302, b"", {"Location": f"{hub.store}{self.path}"})
        elif name in FILES:
            self.file(name)
        else:
            self.answer(
                404,
                b"",
                {"X-Error-Code": "EntryNotFound" if "/resolve/" in self.path else "RepoNotFound"},
            )

    def listing(self):
        entries = []
        for name, content in FILES.items():
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry = {"rfilename": name, "size": len(content), "blobId": git}
            if name.endswith(LARGE):
                entry["lfs"] = {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 130,
                }
            entries.append(entry)
        return json.dumps({"id": "o/r", "sha": COMMIT, "siblings": entries}).encode()

    def file(self, name):
        hub, content = self.server, FILES[name]
        if name in hub.wrong:
            content = content[:-1] + b"?"
        content = content[: hub.short.get(name, len(content))]
        start = int(self.headers["Range"][6:-1]) if self.headers["Range"] else 0
        if start and start >= len(content):
            self.answer(416, b"")
            return
        headers = (
            {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        )
        self.answer(
            206 if start else 200, content[start:], headers, hub.cut.get(name, len(content)) - start
        )

    def answer(self, status, body, headers=None, sent=None):
        self.send_response(status)
        for key, value in {
            "Content-Length": str(len(body)),
            "X-Repo-Commit": COMMIT,
            **(headers or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[: max(sent, 0)] if sent is not None else body)


@pytest.fixture(scope="module", autouse=True)
def close_http_session():
    yield
    huggingface_hub.close_session()


@contextmanager
def serving():
    with Hub() as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A running hub server, an empty cache, and no pauses between retries."""
    for name in [
        name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")
    ]:
        monkeypatch.delenv(name)
    # otherwise the library sends a request of its own once a day, for its user agent
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_HUB_OFFLINE", False
    )  # the library reads the environment once
    monkeypatch.setattr(hub_download, "PAUSES_S", (0.0, 0.0))
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield server


@pytest.fixture
def repo_cache(tmp_path):
    return tmp_path / "cache" / "models--o--r"


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def contents_of(*names):
    return {name: FILES[name] for name in names}


def error_line(kind, call):
    """Return the message of the error that a call raises; it must be one line."""
    with pytest.raises(kind) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def closed_port_url():
    """Return the address of a port without a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_only_default_files_are_downloaded_and_only_once(server, repo_cache):
    reports = []
    folder = fetch("o/r", progress=lambda completed, total: reports.append((completed, total)))
    assert folder == repo_cache / "snapshots" / COMMIT
    assert tree(folder) == contents_of(*DEFAULT_FILES)
    # an empty file needs no request
    assert server.files() == [(name, None) for name in DEFAULT_FILES if FILES[name]]
    total = sum(len(FILES[name]) for name in DEFAULT_FILES)
    assert reports[0] == (0, total) and reports[-1] == (total, total) and reports == sorted(reports)
    server.log.clear()
    assert fetch("o/r") == folder
    assert [request.path for request in server.log] == ["/api/models/o/r/revision/main?blobs=true"]
    assert not list(repo_cache.rglob("*.part")) and not list(repo_cache.rglob("*.lock"))


def test_huggingface_hub_reads_the_cache_as_its_own(server, repo_cache):
    folder = fetch("o/r")
    path = huggingface_hub.try_to_load_from_cache(
        "o/r", "unet/model.safetensors", cache_dir=repo_cache.parent
    )
    assert path == str(folder / "unet/model.safetensors")
    [repo] = huggingface_hub.scan_cache_dir(repo_cache.parent).repos
    assert (repo.repo_id, repo.nb_files, list(repo.refs)) == ("o/r", len(DEFAULT_FILES), ["main"])
    assert not huggingface_hub.scan_cache_dir(repo_cache.parent).warnings
    blobs = {path.name for path in (repo_cache / "blobs").iterdir()}
    assert hashlib.sha256(WEIGHTS).hexdigest() in blobs and all(
        (folder / name).is_symlink() for name in DEFAULT_FILES
    )


def test_a_cached_file_needs_no_request(server):
    path = fetch_file("o/r", "big.ckpt")
    assert path.read_bytes() == FILES["big.ckpt"] and server.files() == [("big.ckpt", None)]
    server.log.clear()
    assert fetch_file("o/r", "big.ckpt") == path and not server.log


def test_patterns_and_revision_select_files(server, repo_cache, tmp_path):
    folder = fetch("o/r", ["*.md", "nothing", "vae/*"], revision=COMMIT)
    assert tree(folder) == contents_of("README.md", "vae/model.bin")
    assert not (repo_cache / "refs").exists()


def test_files_are_downloaded_into_a_folder(server, tmp_path):
    to = tmp_path / "a" / "folder"
    assert fetch("o/r", to=to) == to
    assert tree(to) == contents_of(*DEFAULT_FILES) and [
        path.name for path in to.parent.iterdir()
    ] == ["folder"]
    assert not (tmp_path / "cache").exists()
    (to / "unet/model.safetensors").write_bytes(b"x" + WEIGHTS[1:])
    (to / "model_index.json").write_bytes(FILES["model_index.json"].replace(b"U", b"V"))
    (to / "mine.txt").write_text("stays")
    server.log.clear()
    fetch("o/r", to=to)
    assert server.files() == [("model_index.json", None), ("unet/model.safetensors", None)]
    assert tree(to) == {**contents_of(*DEFAULT_FILES), "mine.txt": b"stays"}


def test_a_folder_is_filled_from_the_cache(server, tmp_path, monkeypatch):
    fetch("o/r")
    server.log.clear()
    fetch("o/r", to=tmp_path / "first")
    assert not server.files()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server.log.clear()
    fetch("o/r", to=tmp_path / "second")
    assert not server.log and tree(tmp_path / "first") == tree(tmp_path / "second") == contents_of(
        *DEFAULT_FILES
    )
    link = fetch("o/r") / "model_index.json"
    link.resolve().write_bytes(FILES["model_index.json"].replace(b"U", b"V"))
    message = error_line(WeightsError, lambda: fetch("o/r", to=tmp_path / "third"))
    assert (
        message == f"{link} was damaged and is removed; download it again"
        and not (tmp_path / "third").exists()
    )


def test_a_file_as_target_folder_is_refused(server, tmp_path):
    (tmp_path / "file").write_text("mine")
    message = error_line(DataError, lambda: fetch("o/r", to=tmp_path / "file"))
    assert message == f"{tmp_path / 'file'} is a file; choose another folder"
    assert not server.files() and (tmp_path / "file").read_text() == "mine"


def test_an_interrupted_transfer_resumes_within_the_call(server):
    server.cut["big.ckpt"] = 1000
    logged_files = server.files

    def repair():
        del server.cut["big.ckpt"]

    path = fetch_file(
        "o/r",
        "big.ckpt",
        progress=lambda completed, total: repair() if completed == 1000 and server.cut else None,
    )
    assert path.read_bytes() == FILES["big.ckpt"] and logged_files() == [
        ("big.ckpt", None),
        ("big.ckpt", "bytes=1000-"),
    ]


@pytest.mark.parametrize("to", [None, "out"])
def test_a_second_call_resumes_where_the_first_stopped(server, repo_cache, tmp_path, to):
    half, total, to = len(WEIGHTS) // 2, len(WEIGHTS), to and tmp_path / to
    server.cut["unet/model.safetensors"] = half
    message = error_line(WeightsError, lambda: fetch("o/r", to=to))
    assert message.startswith(
        f"unet/model.safetensors of o/r breaks off at {half} of {total} bytes ("
    )
    assert message.endswith("); they are kept, run it again to go on")
    assert (
        server.files()[3:] == [("unet/model.safetensors", f"bytes={half}-")] * 3
    )  # the first break, then one retry after each of 2 pauses
    assert not (repo_cache / "snapshots").exists() and not (tmp_path / "out").exists()
    server.cut.clear()
    server.log.clear()
    assert tree(fetch("o/r", to=to)) == contents_of(*DEFAULT_FILES)
    assert server.files() == [("unet/model.safetensors", f"bytes={half}-"), ("vae/model.bin", None)]
    assert not [
        path for path in tmp_path.rglob("*") if "part" in path.name or "fetching" in path.name
    ]


def test_a_connection_that_keeps_breaking_still_completes(server):
    class GrowingCut(dict):
        def get(self, name, otherwise):
            self[name] = self.setdefault(name, 0) + 60_000
            return self[name]

    server.cut = GrowingCut()
    assert fetch_file("o/r", "big.ckpt").read_bytes() == FILES["big.ckpt"]
    assert [start for _, start in server.files()] == [
        None,
        "bytes=60000-",
        "bytes=120000-",
        "bytes=180000-",
    ]


@pytest.mark.parametrize("name", ["big.ckpt", "model_index.json"])
@pytest.mark.parametrize("to", [None, "out"])
def test_a_file_with_other_content_is_removed(server, tmp_path, to, name):
    server.wrong.add(name)
    message = error_line(WeightsError, lambda: fetch_file("o/r", name, to=to and tmp_path / to))
    assert message == f"{name} of o/r arrived damaged and was removed; download it again"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    server.wrong.clear()
    assert fetch_file("o/r", name, to=to and tmp_path / to).read_bytes() == FILES[name]


def test_truncated_content_is_refused(server, repo_cache):
    server.short["big.ckpt"] = 500
    message = error_line(WeightsError, lambda: fetch_file("o/r", "big.ckpt"))
    assert message.startswith(
        f"big.ckpt of o/r breaks off at 500 of {len(FILES['big.ckpt'])} bytes (status 416); "
        f"they are kept, "
    )
    assert not (repo_cache / "snapshots").exists()


def test_a_truncated_file_in_the_cache_is_downloaded_again(server):
    folder = fetch("o/r")
    (folder / "vae/model.bin").resolve().write_bytes(b"half")
    assert tree(fetch("o/r")) == contents_of(*DEFAULT_FILES)


def test_verify_checks_size_and_hash(tmp_path):
    path, sha256 = tmp_path / "x.bin", hashlib.sha256(b"whole").hexdigest()
    assert (
        error_line(WeightsError, lambda: verify(path, 5, None))
        == f"{path} is missing; download it again"
    )
    path.write_bytes(b"who")
    assert (
        error_line(WeightsError, lambda: verify(path, 5, sha256))
        == f"{path} is truncated: 3 of 5 bytes; download it again"
    )
    assert (
        error_line(WeightsError, lambda: verify(path, 2, None))
        == f"{path} is too long: 3 of 2 bytes; download it again"
    )
    path.write_bytes(b"whale")
    other = hashlib.sha256(b"whale").hexdigest()
    message = error_line(WeightsError, lambda: verify(path, 5, sha256))
    assert (
        message
        == f"{path} is damaged: its hash is {other[:12]}, not {sha256[:12]}; download it again"
    )
    git = "f7742124594c9265a83df1848b91770860f307ff"
    assert f"not {git[:12]}; download" in error_line(WeightsError, lambda: verify(path, 5, git))
    path.write_bytes(b"whole")
    verify(path, 5, sha256)
    verify(path, 5, git)
    verify(path, None, None)


@pytest.mark.parametrize("name", ["vae/model.bin", "model_index.json"])
def test_check_snapshot_removes_a_damaged_file(server, name):
    folder = fetch("o/r")
    check_snapshot(folder)
    link = folder / name
    blob = link.resolve()
    blob.write_bytes(b"?" + blob.read_bytes()[1:])
    assert (
        error_line(WeightsError, lambda: check_snapshot(folder))
        == f"{link} was damaged and is removed; download it again"
    )
    assert not link.exists() and not blob.exists()
    assert tree(fetch("o/r")) == contents_of(*DEFAULT_FILES)


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


def test_the_token_is_sent_to_the_hub(server, monkeypatch):
    fetch("o/r")
    assert {request.token for request in server.log} == {"Bearer hf_secret"}


def test_a_redirected_download_gets_the_range_but_not_the_token(server):
    with serving() as store:
        server.store, store.cut["big.ckpt"] = store.url, 700
        error_line(WeightsError, lambda: fetch_file("o/r", "big.ckpt"))
        store.cut.clear()
        assert fetch_file("o/r", "big.ckpt").read_bytes() == FILES["big.ckpt"]
        assert store.files() == [("big.ckpt", None)] + [("big.ckpt", "bytes=700-")] * 4
        assert {request.token for request in store.log} == {None}
        huggingface_hub.close_session()


def test_a_new_process_reads_the_environment_and_imports_no_torch(server, tmp_path):
    code = (
        "import sys; from latentaudio.loaders.hub import fetch_file\n"
        "assert not {'torch', 'huggingface_hub'} & set(sys.modules)\n"
        "print(fetch_file('o/r', 'big.ckpt')); assert 'torch' not in sys.modules"
    )
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_CACHE"} | {
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    for offline in ("0", "1"):
        environment["HF_HUB_OFFLINE"] = offline
        completed = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert completed.stdout.strip() == str(
            tmp_path / "hf/hub/models--o--r/snapshots" / COMMIT / "big.ckpt"
        )
        assert not completed.stderr
    assert len(server.log) == 2


@pytest.mark.parametrize("to", [None, "out"])
def test_four_threads_share_one_transfer(server, tmp_path, to):
    errors, folders = [], []

    def one():
        try:
            folders.append(fetch("o/r", to=to and tmp_path / to))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not errors
    assert sorted(server.files()) == sorted((name, None) for name in DEFAULT_FILES if FILES[name])
    assert len(folders) == 4 and tree(folders[0]) == contents_of(*DEFAULT_FILES)
    assert [path.name for path in tmp_path.iterdir()] == [to or "cache"]


def test_files_of_one_folder_are_fetched_concurrently(server, tmp_path):
    server.cut["big.ckpt"] = 700
    error_line(WeightsError, lambda: fetch_file("o/r", "big.ckpt", to=tmp_path / "out"))
    server.cut.clear()
    server.log.clear()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: fetch_file("o/r", name, to=tmp_path / "out"), [*FILES, *FILES]))
    assert tree(tmp_path / "out") == FILES and [path.name for path in tmp_path.iterdir()] == ["out"]
    expected = {name: "bytes=700-" if name == "big.ckpt" else None for name in FILES if FILES[name]}
    assert sorted(server.files(), key=str) == sorted(expected.items(), key=str)


def test_default_files_prefer_plain_safetensors():
    names = [
        "README.md",
        ".gitattributes",
        "model_index.json",
        "cat.png",
        "v1.ckpt",
        "requirements.txt",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder/pytorch_model.bin",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/flax_model.msgpack",
        "text_encoder/model.onnx",
        "tokenizer/merges.txt",
        "tokenizer_2/spiece.model",
        "vae/diffusion_pytorch_model.bin",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "vocoder/model.fp16.safetensors",
        "vocoder/model.fp16.bin",
        "vocoder/model.non_ema.safetensors",
        "unet/model-00001-of-00002.safetensors",
        "unet/model-00002-of-00002.safetensors",
        "unet/model.safetensors.index.json",
        "unet/model.fp16-00001-of-00002.safetensors",
        "unet/model.safetensors.index.fp16.json",
        "unet/pytorch_model-00001-of-00001.bin",
        "unet/pytorch_model.bin.index.json",
    ]
    assert default_files(names) == [
        "model_index.json",
        "requirements.txt",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer_2/spiece.model",
        "vae/diffusion_pytorch_model.bin",
        "vocoder/model.fp16.safetensors",
        "unet/model-00001-of-00002.safetensors",
        "unet/model-00002-of-00002.safetensors",
        "unet/model.safetensors.index.json",
    ]
    assert default_files([]) == []


def test_the_download_command_reports_folder_and_size(server, capsys, tmp_path, repo_cache):
    total = sum(len(FILES[name]) for name in DEFAULT_FILES)
    download("o/r", json=True)
    facts = json.loads(capsys.readouterr().out)
    folder = str(repo_cache / "snapshots" / COMMIT)
    assert facts == {
        "name": "o/r",
        "repository": "o/r",
        "folder": folder,
        "files": len(DEFAULT_FILES),
        "bytes": total,
    }
    download("o/r", to=tmp_path / "out")
    assert (
        capsys.readouterr().out
        == f"{tmp_path / 'out'}  {len(DEFAULT_FILES)} files, {total / 1e6:.0f} MB\n"
    )
    download("o/r", quiet=True)
    assert capsys.readouterr() == ("", "")
