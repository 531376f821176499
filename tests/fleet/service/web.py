# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a table of routes to an application: tokens, bodies, time kept, errors."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from .audit import Audit
from .certificates import Reloaded
from .control import Control
from .database import Database
from .errors import ApiError, error_response
from .jobs import Jobs
from .local_cache import LocalCache
from .meters import Meters
from .redis_client import Redis
from .settings import Settings
from .storage import Storage

BODY_LIMIT = 16 * 1024 * 1024
ALLOWED = {"api": ("api", "admin"), "admin": ("admin",), "monitor": ("monitor", "admin")}
log = logging.getLogger("caching-service")


@dataclass(slots=True)
class Service:
    """All that a handler may need."""

    settings: Settings
    redis: Redis
    storage: Storage
    database: Database
    control: Control
    jobs: Jobs
    meters: Meters
    stop: Callable[[], None]
    audit: Audit = field(default_factory=Audit)
    local: LocalCache | None = None
    draining: bool = False
    pending: set[asyncio.Task[None]] = field(default_factory=set)
    certificates: dict[str, Reloaded] = field(default_factory=dict)  # by the property that they belong to

    @classmethod
    def create(cls, settings: Settings, stop: Callable[[], None] = lambda: None) -> Service:
        redis, meters, database = Redis(settings), Meters(), Database(settings.database)
        storage = Storage(redis, settings.namespace, settings.dialects)
        control = Control(storage, settings.dialects, settings.config)
        jobs = Jobs(storage, database, meters)
        certificates = {"spring.data.redis.ssl": redis.trust} if redis.trust else {}
        return cls(settings, redis, storage, database, control, jobs, meters, stop, certificates=certificates)

    def dialect(self, name: str) -> bool:
        return name in self.settings.dialects

    def store(self, region: str) -> Storage | LocalCache:
        """Where the entries of a region are now."""
        return self.local if self.local and self.local.covers(region) else self.storage

    def later(self, work: Coroutine[Any, Any, Any]) -> Response:
        """202 at once, the work itself 300 to 700 ms later: the dialect `accepted`."""

        async def apply() -> None:
            await asyncio.sleep(random.uniform(0.3, 0.7))
            try:
                await work
            except ApiError as error:
                log.warning("an accepted request was not applied: %s", error.message)

        task = asyncio.create_task(apply())
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)
        return JSONResponse({"status": "ACCEPTED"}, status_code=202)

    async def answered(self, work: Callable[[], Awaitable[dict[str, Any]]]) -> Response:
        """The result of the work, or as the dialect wants it: later, or without counts."""
        if self.dialect("accepted"):
            return self.later(work())  # type: ignore[arg-type]
        result = await work()
        return Response(status_code=204) if self.dialect("no-counts") else JSONResponse(result)


Handler = Callable[[Service, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    token: str  # api, admin, monitor, or empty: none is needed
    handler: Handler
    port: str = "data"  # data, management or both


def text_of(request: Request, name: str) -> str:
    """A part of the path, decoded; it may hold slashes (%2F), spaces and any letter."""
    try:
        return unquote(request.path_params[name], errors="strict")
    except UnicodeDecodeError as error:
        raise ApiError(400, f"The path's {name} is not UTF-8") from error


async def body_of(request: Request, *, optional: bool = False) -> Any:
    """The JSON body; where it is optional, none at all is an empty object."""
    if optional and not await request.body():
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, f"Content-Type '{kind}' is not supported")
    if int(request.headers.get("content-length") or 0) > BODY_LIMIT:
        raise ApiError(413, f"The request is larger than {BODY_LIMIT} bytes")
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise ApiError(400, f"JSON parse error: {error}") from error


async def object_of(request: Request, *, optional: bool = False) -> dict[str, Any]:
    body = await body_of(request, optional=optional)
    if not isinstance(body, dict):
        raise ApiError(400, "JSON parse error: an object is expected")
    return body


def _role(service: Service, request: Request) -> str:
    scheme, _space, token = request.headers.get("authorization", "").partition(" ")
    role = service.settings.tokens.get(token.strip()) if scheme.lower() == "bearer" else None
    if role is None:
        raise ApiError(401, "Full authentication is required to access this resource")
    return role


def _admit(service: Service, request: Request, route: Route) -> None:
    """Refuses who may not do this; either way it is noted."""
    principal, reason = "anonymous", ""
    try:
        if request.headers.get("authorization"):
            principal = "unknown"
        principal = _role(service, request)
        if principal not in ALLOWED[route.token]:
            raise ApiError(403, "Access Denied")
    except ApiError as error:
        reason = error.message
        raise
    finally:
        client = request.client.host if request.client else ""
        service.audit.note(principal, client, request.method, request.scope["path"], route.path, reason)


def _endpoint(service: Service, route: Route) -> Callable[[Request], Awaitable[Response]]:
    allowed = ALLOWED.get(route.token, ())
    counted = "/cache/" in route.path

    async def endpoint(request: Request) -> Response:
        began = time.perf_counter()
        try:
            if allowed:
                _admit(service, request, route)
            response = await route.handler(service, request)
        except ApiError as error:
            response = error_response(request, error)
        if counted:
            timer = service.meters.requests[(route.method, str(response.status_code))]
            timer.record(time.perf_counter() - began)
        return response

    return endpoint


class RawPaths:
    """Routes by the path as it was sent, so that %2F inside a name is no separator; handlers decode each part."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"%" in scope.get("raw_path", b""):
            scope = {**scope, "path": scope["raw_path"].decode("ascii", "replace")}
        await self.app(scope, receive, send)


def application(service: Service, routes: Iterable[Route]) -> Starlette:
    app = Starlette()
    app.router.redirect_slashes = False
    for route in routes:
        app.add_route(route.path, _endpoint(service, route), methods=[route.method])
    app.add_middleware(RawPaths)

    async def refused(request: Request, error: Exception) -> Response:
        """Unknown paths and methods; who has no token learns nothing about them."""
        assert isinstance(error, HTTPException)
        try:
            _role(service, request)
        except ApiError as refusal:
            return error_response(request, refusal)
        if error.status_code != 405:
            unknown = ApiError(error.status_code, f"No endpoint {request.method} {request.url.path}")
            return error_response(request, unknown)
        methods: set[str] = set()
        for known in app.router.routes:
            if known.matches(request.scope)[0] is not Match.NONE:
                methods |= getattr(known, "methods", None) or set()
        allow = {"Allow": ", ".join(sorted(methods))}
        return error_response(request, ApiError(405, f"Method '{request.method}' is not supported"), allow)

    async def failed(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return error_response(request, ApiError(500, "Internal Server Error"))

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, failed)
    return app
