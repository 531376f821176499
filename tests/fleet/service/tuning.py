# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run-time settings: the Redis connection, pool, time-outs and memory, strategies of regions, compression."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .control import DEFAULTS, STRATEGIES
from .errors import ApiError, Problems, not_found
from .web import Handler, Service, object_of

POLICIES = ("noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
            "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl")
LIMITS = {
    "maxTotal": (1, 10_000), "maxIdle": (0, 10_000), "minIdle": (0, 10_000), "maxMemorySamples": (1, 100),
    "timeBetweenEvictionRuns": (-1, 86_400_000), "connectionTimeout": (1, 600_000), "socketTimeout": (1, 600_000),
    "threshold": (0, 1 << 30), "compressionThreshold": (0, 1 << 30),
}
POOL = ("maxTotal", "maxIdle", "minIdle", "testOnBorrow", "testWhileIdle", "timeBetweenEvictionRuns")
# What each endpoint sets: the request's field, and the setting's name. Some settings have two endpoints.
CONNECTION = {field: f"redis.pool.{field}" for field in POOL[:4]}
POOL_CONFIG = {field: f"redis.pool.{field}" for field in POOL}
TIMEOUTS = {field: f"redis.timeouts.{field}" for field in ("connectionTimeout", "socketTimeout")}
MEMORY = {
    "maxMemoryPolicy": "redis.memory.maxMemoryPolicy",
    "maxMemorySamples": "redis.memory.maxMemorySamples",
    "compressionThreshold": "compression.threshold",
}
COMPRESSION = {"enabled": "compression.enabled", "threshold": "compression.threshold"}


def _check(field: str, setting: str, value: object, problems: Problems) -> None:
    if isinstance(DEFAULTS[setting], bool):
        if not isinstance(value, bool):
            problems.add(field, "must be true or false", value)
    elif field == "maxMemoryPolicy":
        if value not in POLICIES:
            problems.add(field, f"must be one of {', '.join(POLICIES)}", value)
    else:
        low, high = LIMITS[field]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            problems.add(field, f"must be a whole number from {low} to {high}", value)


def _check_pool(service: Service, changes: dict[str, Any], problems: Problems) -> None:
    names = [f"redis.pool.{field}" for field in ("minIdle", "maxIdle", "maxTotal")]
    low, middle, high = (
        service.control.value(name) if name not in changes
        else DEFAULTS[name] if changes[name] is None else changes[name]
        for name in names
    )
    if not low <= middle <= high:
        problems.add("maxIdle", "must not be less than minIdle or more than maxTotal", middle)


async def _written(service: Service, work: Coroutine[Any, Any, dict[str, Any]]) -> Response:
    if service.dialect("accepted"):
        return service.later(work)
    result = await work
    return Response(status_code=204) if service.dialect("hidden-settings") else JSONResponse(result)


def section(fields: dict[str, str]) -> Handler:
    """The handler that sets these; what a request leaves out goes back to its default, but for `put-merges`."""

    async def handler(service: Service, request: Request) -> Response:
        body = await object_of(request)
        await service.control.look()
        problems = Problems("settings", 422)
        changes: dict[str, Any] = {}
        for field, setting in fields.items():
            if body.get(field) is not None:
                _check(field, setting, body[field], problems)
                changes[setting] = body[field]
            elif not service.dialect("put-merges"):
                changes[setting] = None
        problems.check()
        if "maxTotal" in fields:
            _check_pool(service, changes, problems)
            problems.check()
        written = {f"setting:{name}": value for name, value in changes.items()}

        async def work() -> dict[str, Any]:
            await service.control.write(written)
            result = {field: service.control.value(setting) for field, setting in fields.items()}
            return result | await _configure_redis(service) if fields is MEMORY else result

        return await _written(service, work())

    return handler


async def _configure_redis(service: Service) -> dict[str, Any]:
    """Sets the nodes' memory policy where the service's user may do that; otherwise it is only kept."""
    value = service.control.value
    if service.control.alone:
        return {"appliedToRedis": False, "reason": "settings are this process's own"}
    try:
        for node in service.redis.cluster.get_nodes():
            await service.redis.bounded(node.execute_command(
                "CONFIG", "SET", "maxmemory-policy", value("redis.memory.maxMemoryPolicy"),
                "maxmemory-samples", value("redis.memory.maxMemorySamples"),
            ))
    except (ApiError, RedisError) as error:
        return {"appliedToRedis": False, "reason": str(error)}
    return {"appliedToRedis": True, "reason": None}


async def put_strategies(service: Service, request: Request) -> Response:
    """The regions that are given; the others keep their strategy, in every dialect."""
    body = await object_of(request)
    problems = Problems("strategies", 422)
    for region, strategy in body.items():
        if strategy not in STRATEGIES:
            problems.add(region, f"must be one of {', '.join(STRATEGIES)}", strategy)
    problems.check()
    known = {region["name"] for region in await service.storage.known()}
    for region in body:
        if region not in known:
            raise not_found(region)

    async def work() -> dict[str, Any]:
        await service.control.write({f"strategy:{region}": strategy for region, strategy in body.items()})
        return dict(service.control.strategies())

    return await _written(service, work())
