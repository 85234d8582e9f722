"""The HTTP application: routes, errors, headers. It computes nothing itself."""

from __future__ import annotations

import gzip
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..audio.io import software
from . import file_routes, job_routes, stream_routes
from .access import Access, caller_of
from .bodies import BodyGuard
from .doors import DOORS
from .job_routes import CallerDependency, ManagerDependency
from .jobs import JobManager
from .metrics import CONTENT_TYPE, Metrics
from .problems import Problem, error_responses, problem_of
from .schemas import GenerationRequest, Health, LimitsInfo, Model, ModelList
from .stream_schema import StreamRequest

LOGGER = logging.getLogger("latentaudio.serve")
PAGE_FOLDER = Path(__file__).parent / "page"
PAGE_FILE = "index.html"
PAGE_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
"""Files of the page that are served, by extension."""
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_REF = "#/components/schemas/{model}"
_OPEN_API_VERSION = "1"
_PARAMETER = re.compile(r"\{[^}]*\}")


def create_app(manager: JobManager, api_keys: Sequence[str] = ()) -> FastAPI:
    """Return the application over some jobs.

    Args:
        manager: The jobs; the application starts and stops them.
        api_keys: Keys of which each request needs one; none: everybody may use the server.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await manager.start()
        yield
        await manager.stop()

    app = FastAPI(
        title="latentaudio",
        version=_OPEN_API_VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.manager = manager
    app.state.access = Access(api_keys)
    app.include_router(job_routes.router)
    app.include_router(file_routes.router)
    app.include_router(stream_routes.router)
    for door in DOORS:
        app.include_router(door.router)
    _add_own_routes(app, manager)
    _add_model_routes(app)
    _add_errors(app)
    app.add_middleware(Observer, metrics=manager.metrics)
    app.add_middleware(BodyGuard, limits=manager.limits)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _add_own_routes(app: FastAPI, manager: JobManager) -> None:
    """Add health, metrics and the page."""

    @app.get("/health", tags=["server"], summary="Whether the server runs")
    async def health() -> Health:
        return Health(status="ok", version=software())

    @app.get(
        "/ready",
        tags=["server"],
        summary="Whether requests are answered at once",
        responses={
            503: {"model": Health, "description": "Warming up, draining, or without a model."}
        },
    )
    async def ready() -> Response:
        status = "ready"
        if manager.is_draining:
            status = "draining"
        elif manager.has_failed:
            status = "the warm-up failed; the log has the reason"
        elif not manager.is_ready:
            status = "warming up"
        body = Health(status=status, version=software()).model_dump()
        return JSONResponse(body, 200 if status == "ready" else 503)

    @app.get(
        "/metrics",
        tags=["server"],
        summary="Counters for Prometheus",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **error_responses("unauthorized"),
        },
        dependencies=[Depends(caller_of)],
    )
    async def metrics() -> Response:
        manager.metrics.queue.set(manager.num_unfinished)
        return Response(manager.metrics.render(), media_type=CONTENT_TYPE)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return _page_file(request, PAGE_FILE)

    @app.get("/static/{name}", include_in_schema=False)
    async def static(request: Request, name: str) -> Response:
        return _page_file(request, name)


def _add_model_routes(app: FastAPI) -> None:
    """Add models and limits."""

    @app.get(
        "/v1/models", tags=["models"], summary="Models", responses=error_responses("unauthorized")
    )
    async def models(_: CallerDependency, manager: ManagerDependency) -> ModelList:
        return ModelList(data=[manager.pool.describe(name) for name in manager.pool.sources])

    @app.get(
        "/v1/models/{model:path}",
        tags=["models"],
        summary="One model",
        responses=error_responses("unauthorized", "not_found"),
    )
    async def model(model: str, _: CallerDependency, manager: ManagerDependency) -> Model:
        if model not in manager.pool.sources:
            raise Problem("not_found", f"there is no model {model!r:.60} here")
        return manager.pool.describe(model)

    @app.get(
        "/v1/limits", tags=["models"], summary="Limits", responses=error_responses("unauthorized")
    )
    async def limits(_: CallerDependency, manager: ManagerDependency) -> LimitsInfo:
        return manager.limits.to_wire()


def _page_file(request: Request, name: str) -> Response:
    """Return a file of the page."""
    available = {}
    if PAGE_FOLDER.is_dir():
        available = {path.name: path for path in PAGE_FOLDER.iterdir() if path.is_file()}
    path = available.get(name)
    if path is None or path.suffix not in PAGE_TYPES:
        raise Problem("not_found", "there is no such page; the interface is at /openapi.json")
    data = path.read_bytes()
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_POLICY,
        "Vary": "Accept-Encoding",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        data = gzip.compress(data, mtime=0)
        headers["Content-Encoding"] = "gzip"
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers["ETag"] = tag
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=PAGE_TYPES[path.suffix], headers=headers)


def _add_errors(app: FastAPI) -> None:
    """Let every error have a body in words, in the form of the door it came through."""

    def answer(request: Request, problem: Problem) -> Response:
        body: object = problem.body.model_dump()
        for door in DOORS:
            if request.url.path == door.path:
                body = door.error_body(problem)
        return JSONResponse(body, problem.status, headers=problem.headers)

    async def on_problem(request: Request, error: Exception) -> Response:
        return answer(request, problem_of(error))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_json")
        headers = {name: each for name, each in (error.headers or {}).items() if name != "Allow"}
        problem = Problem(code, f"{request.method} {request.url.path[:100]}: {error.detail}")
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods_of(app, request.url.path))
        problem.headers = headers
        return answer(request, problem)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = str(first["loc"][-1]) if first["loc"] else None
        message = f"{place}: {first['msg']}"
        return answer(request, Problem("invalid_request", message, place))

    async def on_bug(request: Request, error: Exception) -> Response:
        return answer(request, problem_of(error))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_bug)


def _methods_of(app: FastAPI, path: str) -> list[str]:
    """Return the methods of a path; the framework's own list has those of one route only."""
    methods = set()
    for template, operations in _openapi(app)["paths"].items():
        pattern = _PARAMETER.sub("[^/]+", template)
        if re.fullmatch(pattern, path) is not None:
            methods |= {name.upper() for name in operations}
    return sorted(methods) or ["GET"]


class Observer:
    """ASGI middleware: counts answers, and adds the headers that all of them have.

    Attributes:
        app: The application.
        metrics: Counters.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                route = getattr(scope.get("route"), "path", "none")
                self.metrics.requests.labels(route, scope["method"], message["status"]).inc()
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the schema of the interface, with the bodies that routes read themselves."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        models: list[type[BaseModel]] = [GenerationRequest, StreamRequest]
        models += [door.request_model for door in DOORS]
        _, extra = models_json_schema(
            [(model, "validation") for model in models], ref_template=_REF
        )
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(extra["$defs"])
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = schema
    return app.openapi_schema
