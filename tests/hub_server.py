"""A small hub server on this machine, with ways to fail, and functions for its tests."""

import hashlib
import json
import socket
import threading
from collections import namedtuple
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

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
