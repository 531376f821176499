# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local-cache mode of this process: entering it, and, where the dialect has it, telling of it and leaving it."""

from __future__ import annotations

import contextlib

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .errors import Problems, Unavailable, timestamp
from .local_cache import LocalCache
from .web import Service, object_of


def _state(service: Service) -> Response:
    return JSONResponse(service.local.describe() if service.local else {"mode": "normal"})


async def enter(service: Service, request: Request) -> Response:
    """For some regions, or all; entering twice keeps what is there."""
    body = await object_of(request, optional=True)
    regions, reason = body.get("regions") or [], body.get("reason") or ""
    problems = Problems("localCacheMode")
    if not isinstance(regions, list) or not all(isinstance(region, str) and region for region in regions):
        problems.add("regions", "must be a list of regions", regions)
    if not isinstance(reason, str) or len(reason) > 1000:
        problems.add("reason", "must be a text of at most 1000 characters", reason)
    problems.check()
    if service.local:
        service.local.regions = frozenset(regions)
        service.local.reason = reason or service.local.reason
        return _state(service)
    known = None
    with contextlib.suppress(Unavailable):
        known = {str(region["name"]): region for region in await service.storage.known()}
    service.local = LocalCache(timestamp(), reason, frozenset(regions), known)
    return _state(service)


async def tell(service: Service, _request: Request) -> Response:
    return _state(service)


async def leave(service: Service, _request: Request) -> Response:
    """Back to Redis; what was written meanwhile is gone, as Redis may hold newer entries."""
    service.local = None
    return _state(service)
