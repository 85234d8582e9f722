"""Files of the hub, from a small hub of our own on this machine: what arrives, what is asked for, and every line of failure."""

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
from latentaudio.loaders import hub
from latentaudio.loaders.hub import check_snapshot, fetch, fetch_file, default_files, verify

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
NEEDED = [
    "model_index.json",
    "unet/config.json",
    "unet/empty.txt",
    "unet/model.safetensors",
    "vae/model.bin",
]
LARGE = (".safetensors", ".bin", ".ckpt")
Asked = namedtuple("Asked", "method path range token")


class Hub(ThreadingHTTPServer):
    """The endpoints that are called, and ways to fail. cut: bytes of a file after which the line breaks; short: bytes of it
    that are sent as if they were all; wrong: names whose content is another; refuse: {part of a path: (status, X-Error-Code)};
    store: where else large files lie.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.log, self.cut, self.short, self.wrong, self.refuse, self.store = (
            [],
            {},
            {},
            set(),
            {},
            "",
        )
        self.url = f"http://127.0.0.1:{self.server_port}"

    def files(self):
        """What was asked for of files, with where from."""
        return [
            (asked.path.split(COMMIT + "/")[1], asked.range)
            for asked in self.log
            if "/resolve/" in asked.path
        ]


class Answer(BaseHTTPRequestHandler):
    """One request."""

    def log_message(self, *args):
        """Silence."""

    def do_GET(self):
        hub, name = self.server, self.path.removeprefix(f"/o/r/resolve/{COMMIT}/")
        hub.log.append(
            Asked(self.command, self.path, self.headers["Range"], self.headers["Authorization"])
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
        rows = []
        for name, content in FILES.items():
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            row = {"rfilename": name, "size": len(content), "blobId": git}
            if name.endswith(LARGE):
                row["lfs"] = {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 130,
                }
            rows.append(row)
        return json.dumps({"id": "o/r", "sha": COMMIT, "siblings": rows}).encode()

    def file(self, name):
        hub, content = self.server, FILES[name]
        if name in hub.wrong:
            content = content[:-1] + b"?"
        content = content[: hub.short.get(name, len(content))]
        start = int(self.headers["Range"][6:-1]) if self.headers["Range"] else 0
        if start and start >= len(content):
            self.answer(416, b"")
            return
        more = (
            {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        )
        self.answer(
            206 if start else 200, content[start:], more, hub.cut.get(name, len(content)) - start
        )

    def answer(self, status, body, more=None, sent=None):
        self.send_response(status)
        for key, value in {
            "Content-Length": str(len(body)),
            "X-Repo-Commit": COMMIT,
            **(more or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[: max(sent, 0)] if sent is not None else body)


@pytest.fixture(scope="module", autouse=True)
def no_open_line():
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
    """A hub, which is the hub, an empty cache, and no patience."""
    for name in [
        name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")
    ]:
        monkeypatch.delenv(name)
    # else the library asks its own hub, once a day, which programs are agents, to name them in the user agent
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_HUB_OFFLINE", False
    )  # read once, from whoever runs this
    monkeypatch.setattr(hub, "PAUSES_S", (0.0, 0.0))
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield server


@pytest.fixture
def home(tmp_path):
    return tmp_path / "cache" / "models--o--r"


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def only(*names):
    return {name: FILES[name] for name in names}


def line(kind, call):
    """The one line that a call fails with."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def closed():
    """The address of a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_only_the_needed_files_come_and_only_once(server, home):
    seen = []
    folder = fetch("o/r", progress=lambda done, total: seen.append((done, total)))
    assert folder == home / "snapshots" / COMMIT
    assert tree(folder) == only(*NEEDED)
    # an empty file needs no request
    assert server.files() == [(name, None) for name in NEEDED if FILES[name]]
    total = sum(len(FILES[name]) for name in NEEDED)
    assert seen[0] == (0, total) and seen[-1] == (total, total) and seen == sorted(seen)
    server.log.clear()
    assert fetch("o/r") == folder
    assert [asked.path for asked in server.log] == ["/api/models/o/r/revision/main?blobs=true"]
    assert not list(home.rglob("*.part")) and not list(home.rglob("*.lock"))


def test_the_library_reads_the_cache_as_its_own(server, home):
    folder = fetch("o/r")
    found = huggingface_hub.try_to_load_from_cache(
        "o/r", "unet/model.safetensors", cache_dir=home.parent
    )
    assert found == str(folder / "unet/model.safetensors")
    [repo] = huggingface_hub.scan_cache_dir(home.parent).repos
    assert (repo.repo_id, repo.nb_files, list(repo.refs)) == ("o/r", len(NEEDED), ["main"])
    assert not huggingface_hub.scan_cache_dir(home.parent).warnings
    blobs = {path.name for path in (home / "blobs").iterdir()}
    assert hashlib.sha256(WEIGHTS).hexdigest() in blobs and all(
        (folder / name).is_symlink() for name in NEEDED
    )


def test_a_lone_file_in_the_cache_costs_no_request(server):
    path = fetch_file("o/r", "big.ckpt")
    assert path.read_bytes() == FILES["big.ckpt"] and server.files() == [("big.ckpt", None)]
    server.log.clear()
    assert fetch_file("o/r", "big.ckpt") == path and not server.log


def test_patterns_and_revision(server, home, tmp_path):
    folder = fetch("o/r", ["*.md", "nothing", "vae/*"], revision=COMMIT)
    assert tree(folder) == only("README.md", "vae/model.bin")
    assert not (home / "refs").exists()


def test_into_a_folder(server, tmp_path):
    to = tmp_path / "a" / "folder"
    assert fetch("o/r", to=to) == to
    assert tree(to) == only(*NEEDED) and [path.name for path in to.parent.iterdir()] == ["folder"]
    assert not (tmp_path / "cache").exists()
    (to / "unet/model.safetensors").write_bytes(b"x" + WEIGHTS[1:])
    (to / "model_index.json").write_bytes(FILES["model_index.json"].replace(b"U", b"V"))
    (to / "mine.txt").write_text("stays")
    server.log.clear()
    fetch("o/r", to=to)
    assert server.files() == [("model_index.json", None), ("unet/model.safetensors", None)]
    assert tree(to) == {**only(*NEEDED), "mine.txt": b"stays"}


def test_into_a_folder_from_the_cache(server, tmp_path, monkeypatch):
    fetch("o/r")
    server.log.clear()
    fetch("o/r", to=tmp_path / "first")
    assert not server.files()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server.log.clear()
    fetch("o/r", to=tmp_path / "second")
    assert not server.log and tree(tmp_path / "first") == tree(tmp_path / "second") == only(*NEEDED)
    link = fetch("o/r") / "model_index.json"
    link.resolve().write_bytes(FILES["model_index.json"].replace(b"U", b"V"))
    said = line(WeightsError, lambda: fetch("o/r", to=tmp_path / "third"))
    assert (
        said == f"{link} was damaged and is removed; download it again"
        and not (tmp_path / "third").exists()
    )


def test_a_file_for_a_folder_is_refused(server, tmp_path):
    (tmp_path / "file").write_text("mine")
    said = line(DataError, lambda: fetch("o/r", to=tmp_path / "file"))
    assert said == f"{tmp_path / 'file'} is a file; choose another folder"
    assert not server.files() and (tmp_path / "file").read_text() == "mine"


def test_one_break_goes_on_within_the_call(server):
    server.cut["big.ckpt"] = 1000
    heal = server.files

    def then():
        del server.cut["big.ckpt"]

    path = fetch_file(
        "o/r",
        "big.ckpt",
        progress=lambda done, total: then() if done == 1000 and server.cut else None,
    )
    assert path.read_bytes() == FILES["big.ckpt"] and heal() == [
        ("big.ckpt", None),
        ("big.ckpt", "bytes=1000-"),
    ]


@pytest.mark.parametrize("to", [None, "out"])
def test_a_second_call_goes_on_where_the_first_broke_off(server, home, tmp_path, to):
    half, total, to = len(WEIGHTS) // 2, len(WEIGHTS), to and tmp_path / to
    server.cut["unet/model.safetensors"] = half
    said = line(WeightsError, lambda: fetch("o/r", to=to))
    assert said.startswith(f"unet/model.safetensors of o/r breaks off at {half} of {total} bytes (")
    assert said.endswith("); they are kept, run it again to go on")
    assert (
        server.files()[3:] == [("unet/model.safetensors", f"bytes={half}-")] * 3
    )  # a first break, then each of 2 pauses and no more
    assert not (home / "snapshots").exists() and not (tmp_path / "out").exists()
    server.cut.clear()
    server.log.clear()
    assert tree(fetch("o/r", to=to)) == only(*NEEDED)
    assert server.files() == [("unet/model.safetensors", f"bytes={half}-"), ("vae/model.bin", None)]
    assert not [
        path for path in tmp_path.rglob("*") if "part" in path.name or "fetching" in path.name
    ]


def test_a_line_that_always_breaks_after_a_little_still_ends(server):
    class Few(dict):
        def get(self, name, otherwise):
            self[name] = self.setdefault(name, 0) + 60_000
            return self[name]

    server.cut = Few()
    assert fetch_file("o/r", "big.ckpt").read_bytes() == FILES["big.ckpt"]
    assert [start for _, start in server.files()] == [
        None,
        "bytes=60000-",
        "bytes=120000-",
        "bytes=180000-",
    ]


@pytest.mark.parametrize("name", ["big.ckpt", "model_index.json"])
@pytest.mark.parametrize("to", [None, "out"])
def test_other_content_is_removed(server, tmp_path, to, name):
    server.wrong.add(name)
    said = line(WeightsError, lambda: fetch_file("o/r", name, to=to and tmp_path / to))
    assert said == f"{name} of o/r arrived damaged and was removed; download it again"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    server.wrong.clear()
    assert fetch_file("o/r", name, to=to and tmp_path / to).read_bytes() == FILES[name]


def test_truncated_content(server, home):
    server.short["big.ckpt"] = 500
    said = line(WeightsError, lambda: fetch_file("o/r", "big.ckpt"))
    assert said.startswith(
        f"big.ckpt of o/r breaks off at 500 of {len(FILES['big.ckpt'])} bytes (status 416); they are kept, "
    )
    assert not (home / "snapshots").exists()


def test_a_truncated_file_of_the_cache_comes_anew(server):
    folder = fetch("o/r")
    (folder / "vae/model.bin").resolve().write_bytes(b"half")
    assert tree(fetch("o/r")) == only(*NEEDED)


def test_verify(tmp_path):
    path, sha256 = tmp_path / "x.bin", hashlib.sha256(b"whole").hexdigest()
    assert (
        line(WeightsError, lambda: verify(path, 5, None)) == f"{path} is missing; download it again"
    )
    path.write_bytes(b"who")
    assert (
        line(WeightsError, lambda: verify(path, 5, sha256))
        == f"{path} is truncated: 3 of 5 bytes; download it again"
    )
    assert (
        line(WeightsError, lambda: verify(path, 2, None))
        == f"{path} is too long: 3 of 2 bytes; download it again"
    )
    path.write_bytes(b"whale")
    other = hashlib.sha256(b"whale").hexdigest()
    said = line(WeightsError, lambda: verify(path, 5, sha256))
    assert (
        said == f"{path} is damaged: its hash is {other[:12]}, not {sha256[:12]}; download it again"
    )
    git = "f7742124594c9265a83df1848b91770860f307ff"
    assert f"not {git[:12]}; download" in line(WeightsError, lambda: verify(path, 5, git))
    path.write_bytes(b"whole")
    verify(path, 5, sha256)
    verify(path, 5, git)
    verify(path, None, None)


@pytest.mark.parametrize("name", ["vae/model.bin", "model_index.json"])
def test_check_removes_what_the_disk_has_damaged(server, name):
    folder = fetch("o/r")
    check_snapshot(folder)
    link = folder / name
    blob = link.resolve()
    blob.write_bytes(b"?" + blob.read_bytes()[1:])
    assert (
        line(WeightsError, lambda: check_snapshot(folder))
        == f"{link} was damaged and is removed; download it again"
    )
    assert not link.exists() and not blob.exists()
    assert tree(fetch("o/r")) == only(*NEEDED)


TOKEN = "set HF_TOKEN to a token that may read it"


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((401, "RepoNotFound"), UsageError, f"there is no repository o/r at URL, or it is private; check the name or {TOKEN}"),
        ((404, "RepoNotFound"), UsageError, f"there is no repository o/r at URL, or it is private; check the name or {TOKEN}"),
        ((401, None), WeightsError, f"URL does not let you read o/r (status 401); {TOKEN}"),
        ((403, "GatedRepo"), WeightsError, f"o/r is gated; accept its terms at URL/o/r, then {TOKEN}"),
        ((403, None), WeightsError, f"URL does not let you read o/r (status 403); {TOKEN}"),
        ((404, "RevisionNotFound"), UsageError, "o/r has no revision 'main'; look at URL/o/r"),
        ((404, None), UsageError, "URL has no o/r, or has lost a file of it; check the name or HF_ENDPOINT"),
        ((200, None), WeightsError, "URL does not answer as a hub does; check HF_ENDPOINT and the proxy"),
        (
            (503, None), WeightsError,
            "o/r is not in CACHE and URL is out of reach (status 503); try again later or name a folder with its files",
        ),
    ],
)  # fmt: skip
def test_refusals(server, home, answer, kind, said):
    server.refuse["/api/"] = answer
    assert line(kind, lambda: fetch("o/r")) == said.replace("URL", server.url).replace(
        "CACHE", str(home.parent)
    )
    assert not home.exists()
    server.refuse.clear()
    folder = fetch("o/r")
    server.refuse["/api/"] = answer
    assert fetch("o/r") == folder


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(401, None, WeightsError), (403, None, WeightsError), (404, "EntryNotFound", UsageError)],
)
def test_refusals_of_a_file(server, home, status, code, kind):
    server.refuse["big.ckpt"] = (status, code)
    said = line(kind, lambda: fetch_file("o/r", "big.ckpt"))
    lost = f"{server.url} has no o/r, or has lost a file of it; check the name or HF_ENDPOINT"
    assert said == (
        lost
        if status == 404
        else f"{server.url} does not let you read o/r (status {status}); {TOKEN}"
    )
    assert len(server.files()) == 1 and not (home / "snapshots").exists()


def test_no_such_file(server):
    said = line(UsageError, lambda: fetch_file("o/r", "large.ckpt"))
    assert said == f"o/r has no large.ckpt; it has: {', '.join(FILES)}"
    assert not server.files()


@pytest.mark.parametrize("name", ["o//r", "o/r/x", "../r", "-/r"])
def test_no_hub_id(server, name):
    assert (
        line(UsageError, lambda: fetch(name))
        == f"{name!r} is no hub id; they look like owner/repository"
    )


@pytest.mark.parametrize(
    "name", ["../evil.bin", "/evil.bin", "a/../../evil.bin", "..\\evil.bin", "c:evil.bin"]
)
def test_names_that_leave_the_folder_are_refused(server, monkeypatch, home, name):
    monkeypatch.setitem(FILES, name, b"evil")
    assert (
        line(WeightsError, lambda: fetch("o/r"))
        == f"{server.url} does not answer as a hub does; check HF_ENDPOINT and the proxy"
    )
    assert not home.exists()


def test_a_full_disk_while_writing(server, home):
    """The system itself says ENOSPC: the part is a link to /dev/full, which takes nothing, whoever runs this. (A small tmpfs
    needs root, RLIMIT_FSIZE is another error.)"""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    part = home / "blobs" / f".{hashlib.sha256(FILES['big.ckpt']).hexdigest()}.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    said = line(DataError, lambda: fetch_file("o/r", "big.ckpt"))
    assert (
        said
        == "cannot write o/r (the disk is full); free some or choose another place (--to, HF_HOME); what has arrived is kept"
    )
    assert not (home / "snapshots").exists()
    part.unlink()
    assert fetch_file("o/r", "big.ckpt").read_bytes() == FILES["big.ckpt"]


def test_too_small_a_disk_is_told_before_the_first_byte(server, home, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 100))
    said = line(DataError, lambda: fetch("o/r"))
    assert (
        said
        == f"o/r takes 0.00 GB more and {home / 'blobs'} has 0.00; free some or choose another place (--to, HF_HOME)"
    )
    assert not server.files()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_cache_that_cannot_be_written_to(server, home):
    home.parent.mkdir()
    home.parent.chmod(0o500)
    said = line(DataError, lambda: fetch("o/r"))
    assert said.startswith(f"cannot write o/r ({os.strerror(errno.EACCES)}); free some")


def test_no_network(server, home, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", closed())
    url = os.environ["HF_ENDPOINT"]
    said = line(WeightsError, lambda: fetch("o/r"))
    assert said.startswith(f"o/r is not in {home.parent} and {url} is out of reach (")
    assert said.endswith("Connection refused); try again later or name a folder with its files")
    assert not home.exists()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    folder = fetch("o/r")
    monkeypatch.setenv("HF_ENDPOINT", url)
    assert fetch("o/r") == folder and tree(folder) == only(*NEEDED)


def test_offline(server, home, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = line(WeightsError, lambda: fetch("o/r"))
    assert (
        said
        == f"o/r is not in {home.parent} and HF_HUB_OFFLINE is set; unset it or name a folder with its files"
    )
    assert not server.log
    monkeypatch.delenv("HF_HUB_OFFLINE")
    folder = fetch("o/r")
    server.log.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch("o/r") == folder and not server.log


def test_the_token_is_sent(server, monkeypatch):
    fetch("o/r")
    assert {asked.token for asked in server.log} == {"Bearer hf_secret"}


def test_a_store_elsewhere_gets_the_range_but_not_the_token(server):
    with serving() as store:
        server.store, store.cut["big.ckpt"] = store.url, 700
        line(WeightsError, lambda: fetch_file("o/r", "big.ckpt"))
        store.cut.clear()
        assert fetch_file("o/r", "big.ckpt").read_bytes() == FILES["big.ckpt"]
        assert store.files() == [("big.ckpt", None)] + [("big.ckpt", "bytes=700-")] * 4
        assert {asked.token for asked in store.log} == {None}
        huggingface_hub.close_session()


def test_the_environment_of_a_new_process(server, tmp_path):
    code = (
        "import sys; from latentaudio.loaders.hub import fetch_file\n"
        "assert not {'torch', 'huggingface_hub'} & set(sys.modules)\n"
        "print(fetch_file('o/r', 'big.ckpt')); assert 'torch' not in sys.modules"
    )
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_CACHE"} | {
        "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    for offline in ("0", "1"):
        environment["HF_HUB_OFFLINE"] = offline
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(
            tmp_path / "hf/hub/models--o--r/snapshots" / COMMIT / "big.ckpt"
        )
        assert not done.stderr
    assert len(server.log) == 2


@pytest.mark.parametrize("to", [None, "out"])
def test_four_at_once_share_one_transfer(server, tmp_path, to):
    errors, folders = [], []

    def one():
        try:
            folders.append(fetch("o/r", to=to and tmp_path / to))
        except Exception as problem:
            errors.append(problem)

    threads = [threading.Thread(target=one) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not errors
    assert sorted(server.files()) == sorted((name, None) for name in NEEDED if FILES[name])
    assert len(folders) == 4 and tree(folders[0]) == only(*NEEDED)
    assert [path.name for path in tmp_path.iterdir()] == [to or "cache"]


def test_files_of_one_folder_fetched_at_once(server, tmp_path):
    server.cut["big.ckpt"] = 700
    line(WeightsError, lambda: fetch_file("o/r", "big.ckpt", to=tmp_path / "out"))
    server.cut.clear()
    server.log.clear()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: fetch_file("o/r", name, to=tmp_path / "out"), [*FILES, *FILES]))
    assert tree(tmp_path / "out") == FILES and [path.name for path in tmp_path.iterdir()] == ["out"]
    wanted = {name: "bytes=700-" if name == "big.ckpt" else None for name in FILES if FILES[name]}
    assert sorted(server.files(), key=str) == sorted(wanted.items(), key=str)


def test_needed():
    everything = [
        "README.md", ".gitattributes", "model_index.json", "cat.png", "v1.ckpt", "requirements.txt",
        "text_encoder/config.json", "text_encoder/model.safetensors", "text_encoder/pytorch_model.bin",
        "text_encoder/model.fp16.safetensors", "text_encoder/flax_model.msgpack", "text_encoder/model.onnx",
        "tokenizer/merges.txt", "tokenizer_2/spiece.model",
        "vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.fp16.safetensors",
        "vocoder/model.fp16.safetensors", "vocoder/model.fp16.bin", "vocoder/model.non_ema.safetensors",
        "unet/model-00001-of-00002.safetensors", "unet/model-00002-of-00002.safetensors", "unet/model.safetensors.index.json",
        "unet/model.fp16-00001-of-00002.safetensors", "unet/model.safetensors.index.fp16.json",
        "unet/pytorch_model-00001-of-00001.bin", "unet/pytorch_model.bin.index.json",
    ]  # fmt: skip
    assert default_files(everything) == [
        "model_index.json", "requirements.txt", "text_encoder/config.json", "text_encoder/model.safetensors",
        "tokenizer/merges.txt", "tokenizer_2/spiece.model", "vae/diffusion_pytorch_model.bin", "vocoder/model.fp16.safetensors",
        "unet/model-00001-of-00002.safetensors", "unet/model-00002-of-00002.safetensors", "unet/model.safetensors.index.json",
    ]  # fmt: skip
    assert default_files([]) == []


def test_download(server, capsys, tmp_path, home):
    total = sum(len(FILES[name]) for name in NEEDED)
    download("o/r", json=True)
    facts = json.loads(capsys.readouterr().out)
    folder = str(home / "snapshots" / COMMIT)
    assert facts == {
        "name": "o/r",
        "repository": "o/r",
        "folder": folder,
        "files": len(NEEDED),
        "bytes": total,
    }
    download("o/r", to=tmp_path / "out")
    assert (
        capsys.readouterr().out
        == f"{tmp_path / 'out'}  {len(NEEDED)} files, {total / 1e6:.0f} MB\n"
    )
    download("o/r", quiet=True)
    assert capsys.readouterr() == ("", "")
