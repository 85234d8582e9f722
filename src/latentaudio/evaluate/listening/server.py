"""The server of a listening test: one page, the clips, and the answers, on 127.0.0.1 alone.

Only the standard library is used. Requests with another Host than this machine are refused, so that
no page of the internet can talk to the test.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ...audio.encoding import encode
from ...config.parsing import parse_json
from ...errors import DataError, LatentAudioError, UsageError
from .answers import MAX_LISTENER_CHARS, AnswerStore
from .plan import QUESTIONS

HOST = "127.0.0.1"
MAX_BODY_BYTES = 4096
_LOCAL_NAMES = (HOST, "localhost")
_POLICY = "default-src 'self' 'unsafe-inline' blob: data:; frame-ancestors 'none'"


class ListeningServer(ThreadingHTTPServer):
    """Serves one test.

    Attributes:
        store: the answers, and the plan of the test.
    """

    daemon_threads = True

    def __init__(self, store: AnswerStore, port: int = 0) -> None:
        """Bind the port; nothing is served before `serve_forever`.

        Args:
            store: the answers.
            port: 0: any free one.

        Raises:
            UsageError: The port cannot be used.
        """
        self.store = store
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"--port {port} cannot be used ({reason}); choose another") from None

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that closes its connection."""


class _Handler(BaseHTTPRequestHandler):
    server: ListeningServer
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds that a silent connection may stay

    def do_GET(self) -> None:
        """Answer a page, the list of trials, or a clip."""
        address = urlsplit(self.path)
        if not self._is_local():
            return
        if address.path == "/":
            page = resources.files(__package__).joinpath("page.html").read_bytes()
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", page)
        elif address.path == "/trials":
            listener = (parse_qs(address.query).get("listener") or [""])[0].strip()
            if not 0 < len(listener) <= MAX_LISTENER_CHARS:
                self._send_error(f"a name has 1 to {MAX_LISTENER_CHARS} characters")
                return
            self._send_json(trials_of(self.server.store, listener))
        elif address.path.startswith("/clips/"):
            self._send_clip(address.path.removeprefix("/clips/"))
        else:
            self._send_error("there is no such page", HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Store an answer."""
        if not self._is_local():
            return
        length = self.headers.get("Content-Length", "")
        kind = self.headers.get_content_type()
        is_short = length.isdecimal() and len(length) < 6 and int(length) <= MAX_BODY_BYTES
        # Other pages cannot send this type without the permission of the server.
        if urlsplit(self.path).path != "/answers" or kind != "application/json" or not is_short:
            self.close_connection = True
            self._send_error("an answer is a short JSON object")
            return
        try:
            answer = _read_answer(self.rfile.read(int(length)))
            self.server.store.put(**answer)
        except DataError as error:
            self._send_error(str(error), HTTPStatus.INTERNAL_SERVER_ERROR)
        except (LatentAudioError, ValueError) as error:
            self._send_error(str(error))
        else:
            self._send_json({"stored": True})

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""

    def _is_local(self) -> bool:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host in _LOCAL_NAMES:
            return True
        self.close_connection = True
        self._send_error("the test is for this machine only", HTTPStatus.FORBIDDEN)
        return False

    def _send_clip(self, name: str) -> None:
        trials = self.server.store.plan.trials
        is_number = name.isascii() and name.isdecimal() and len(name) < 9
        if not is_number or int(name) >= len(trials):
            self._send_error("there is no such clip", HTTPStatus.NOT_FOUND)
            return
        try:
            # Encoded anew: tags of the file would tell its system.
            sound = encode(*trials[int(name)].samples(), ".wav")
        except LatentAudioError as error:
            self._send_error(str(error), HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self._send(HTTPStatus.OK, "audio/wav", sound)

    def _send_json(self, record: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, "application/json", json.dumps(record).encode())

    def _send_error(self, text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        self._send_json({"error": text}, status)

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)


def trials_of(store: AnswerStore, listener: str) -> dict[str, Any]:
    """Return what the page needs: nothing in it tells the system of a clip.

    Args:
        store: the answers.
        listener: name of the person, who gets an order of their own.
    """
    plan = store.plan
    ratings = store.ratings_of(listener)
    trials = []
    for number in plan.order_for(listener):
        trial = {"number": number, "text": plan.trials[number].caption}
        trials.append({**trial, "ratings": ratings.get(number, {})})
    questions = [{"name": name, "text": QUESTIONS[name]} for name in plan.questions]
    return {"scale": plan.scale, "questions": questions, "trials": trials}


def _read_answer(body: bytes) -> dict[str, Any]:
    """The fields of an answer.

    Raises:
        ValueError: It is no such object.
    """
    answer = parse_json(body)
    kinds = {"listener": str, "number": int, "question": str, "rating": int}
    if not isinstance(answer, dict) or set(answer) != set(kinds):
        raise ValueError(f"an answer has the fields {', '.join(kinds)}")
    for name, kind in kinds.items():
        if type(answer[name]) is not kind:
            raise ValueError(f"{name} of an answer is no {kind.__name__}")
    return answer
