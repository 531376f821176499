# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health that follows the real parts: every primary of Redis, the database file, the disk, this instance's state."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .database import DatabaseAway
from .errors import ApiError
from .web import Handler, Service

DISK_THRESHOLD = 10 * 1024 * 1024
_SEVERITY = ("DOWN", "OUT_OF_SERVICE", "UP")
Component = dict[str, Any]


async def _redis(service: Service) -> Component:
    try:
        return {"status": "UP", "details": await asyncio.wait_for(service.redis.check(), 2.0)}
    except TimeoutError:
        return {"status": "DOWN", "details": {"error": "no answer within 2 s"}}
    except ApiError as error:
        return {"status": "DOWN", "details": {"error": error.message}}


async def _database(service: Service) -> Component:
    try:
        await asyncio.to_thread(service.database.check)
    except DatabaseAway as error:
        return {"status": "DOWN", "details": {"error": str(error)}}
    return {"status": "UP", "details": {"database": "SQLite", "validationQuery": "SELECT count(*) FROM sqlite_master"}}


async def _disk(service: Service) -> Component:
    path = os.path.dirname(os.path.abspath(service.settings.database)) if service.settings.database else os.getcwd()
    try:
        total, _used, free = shutil.disk_usage(path)
    except OSError as error:
        return {"status": "DOWN", "details": {"path": path, "exists": False, "error": str(error)}}
    details = {"total": total, "free": free, "threshold": DISK_THRESHOLD, "path": path, "exists": True}
    return {"status": "UP" if free >= DISK_THRESHOLD else "DOWN", "details": details}


async def _liveness(_service: Service) -> Component:
    return {"status": "UP"}


async def _readiness(service: Service) -> Component:
    return {"status": "OUT_OF_SERVICE" if service.draining else "UP"}


COMPONENTS = {
    "database": _database,
    "diskSpace": _disk,
    "livenessState": _liveness,
    "readinessState": _readiness,
    "redis": _redis,
}


def _response(body: Component) -> Response:
    return JSONResponse(body, status_code=200 if body["status"] == "UP" else 503)


async def health(service: Service, _request: Request) -> Response:
    answers = await asyncio.gather(*(check(service) for check in COMPONENTS.values()))
    components = dict(zip(COMPONENTS, answers, strict=True))
    judged = dict(components)
    if service.local:  # Redis is not needed for as long as this lasts; its component says how it really is
        components["localCache"] = {"status": "UP", "details": service.local.describe()}
        del judged["redis"]
    status = min((part["status"] for part in judged.values()), key=_SEVERITY.index)
    return _response({"status": status, "components": components, "groups": ["liveness", "readiness"]})


def component(name: str) -> Handler:
    """The handler that shows one component."""
    check = COMPONENTS[name]

    async def handler(service: Service, _request: Request) -> Response:
        return _response(await check(service))

    return handler
