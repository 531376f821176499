# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actuator's metrics of this process. The jvm.* names tell of Python's process."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .errors import ApiError
from .meters import Reading, Timer, merge
from .web import Service, text_of

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def _value(name: str, description: str, unit: str | None, value: float) -> Reading:
    return Reading(name, description, unit, [({}, [("VALUE", value)])])


async def _requests(service: Service) -> Reading:
    rows = [
        ({"method": method, "status": status}, timer.measurements())
        for (method, status), timer in service.meters.requests.items()
    ]
    return Reading("cache.requests", "Requests to the cache API", "seconds", rows or [({}, Timer().measurements())])


async def _gets(service: Service) -> Reading:
    rows: list[tuple[dict[str, str], list[tuple[str, float]]]] = []
    for region, meters in service.meters.regions.items():
        rows.append(({"cache": region, "result": "hit"}, [("COUNT", meters.hits)]))
        rows.append(({"cache": region, "result": "miss"}, [("COUNT", meters.misses)]))
    return Reading("cache.gets", "Reads of entries", None, rows or [({}, [("COUNT", 0)])])


async def _size(service: Service) -> Reading:
    regions = await service.storage.regions()
    rows = [({"cache": str(region["name"])}, [("VALUE", float(size))]) for region, (size, _memory) in regions]
    return Reading("cache.size", "Entries in each region", None, rows or [({}, [("VALUE", 0.0)])])


async def _connections_active(service: Service) -> Reading:
    return _value("redis.connections.active", "Connections in use", None, service.redis.connections()[0])


async def _connections(service: Service) -> Reading:
    return _value("redis.connections", "Open connections", None, service.redis.connections()[1])


async def _redis_used(service: Service) -> Reading:
    used = (await service.redis.memory())[0]
    return _value("redis.memory.used", "Memory used by all primaries", "bytes", used)


async def _redis_max(service: Service) -> Reading:
    allowed = (await service.redis.memory())[1]
    return _value("redis.memory.max", "maxmemory of all primaries; 0 is no limit", "bytes", allowed)


async def _memory_used(_service: Service) -> Reading:
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    return _value("jvm.memory.used", "Resident memory of the process", "bytes", resident)


async def _memory_max(_service: Service) -> Reading:
    limit = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    try:
        limit = min(limit, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        pass  # no control group, or no limit in it
    return _value("jvm.memory.max", "Memory that the process may use", "bytes", limit)


async def _pauses(service: Service) -> Reading:
    timer = merge([service.meters.pauses])
    return Reading("jvm.gc.pause", "Pauses of the garbage collector", "seconds", [({}, timer.measurements())])


async def _started(service: Service) -> Reading:
    return _value("process.start.time", "When this process started, since 1970", "seconds", service.meters.started)


METRICS: dict[str, Callable[[Service], Awaitable[Reading]]] = {
    "cache.gets": _gets,
    "cache.requests": _requests,
    "cache.size": _size,
    "jvm.gc.pause": _pauses,
    "jvm.memory.max": _memory_max,
    "jvm.memory.used": _memory_used,
    "process.start.time": _started,
    "redis.connections": _connections,
    "redis.connections.active": _connections_active,
    "redis.memory.max": _redis_max,
    "redis.memory.used": _redis_used,
}


async def list_metrics(_service: Service, _request: Request) -> Response:
    return JSONResponse({"names": sorted(METRICS)})


async def get_metric(service: Service, request: Request) -> Response:
    name = text_of(request, "name")
    wanted = []
    for text in request.query_params.getlist("tag"):
        tag, colon, value = text.partition(":")
        if not colon:
            raise ApiError(400, f"Each tag parameter must be in the form 'key:value' but was: {text}")
        wanted.append((tag, value))
    reader = METRICS.get(name)
    answer = (await reader(service)).answer(wanted) if reader else None
    if answer is None:
        raise ApiError(404, f"No metric '{name}' with these tags")
    return JSONResponse(answer)
