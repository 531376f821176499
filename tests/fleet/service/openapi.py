# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of the API, made from the table of routes and the shapes of the requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .web import Handler, Route, Service

PATH = "/v3/api-docs"
Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_BOOL: Schema = {"type": "boolean"}
_DURATION: Schema = {"type": ["string", "number"]}
_TEXTS: Schema = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
_REGIONS: Schema = {"type": "array", "items": {"type": "string", "minLength": 1}}


def _whole(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _object(fields: dict[str, Schema], *required: str) -> Schema:
    return {"type": "object", "properties": fields, "required": list(required)}


_REGION: dict[str, Schema] = {
    "name": _TEXT, "defaultTtl": _DURATION, "maxSize": _whole(1, 2**31 - 1),
    "evictionPolicy": {"enum": ["LRU", "LFU", "FIFO"]}, "enableCompression": _BOOL, "enableEncryption": _BOOL,
    "description": {"type": "string", "maxLength": 1000}, "replicationFactor": _whole(1, 10),
}
_SCHEDULE: dict[str, Schema] = {
    "name": _TEXT, "schedule": {"type": "string", "pattern": r"^[0-5]?[0-9] ([01]?[0-9]|2[0-3]|\*) \* \* [0-7]$"},
    "region": {"type": "string", "pattern": "^[a-z]+$"}, "strategy": {"enum": ["popular-items", "all-items"]},
    "enabled": _BOOL,
}
_POOL: dict[str, Schema] = {
    "maxTotal": _whole(1, 10_000), "maxIdle": _whole(0, 10_000), "minIdle": _whole(0, 10_000),
    "testOnBorrow": _BOOL, "testWhileIdle": _BOOL, "timeBetweenEvictionRuns": _whole(-1, 86_400_000),
}
_ITEM = _object({"type": {"enum": ["key", "pattern", "tags", "region"]}, "region": _TEXT, "identifier": _TEXT},
                "type", "region")
_STRATEGY: Schema = {"enum": ["refresh-ahead", "write-through", "cache-aside", "write-behind"]}
# (method, end of the path) -> the shape of the request's body, and whether there must be one.
BODIES: dict[tuple[str, str], tuple[Schema, bool]] = {
    ("POST", "/cache/regions"): (_object(_REGION, "name"), True),
    ("PUT", "/regions/{region}"): (_object(_REGION), True),
    ("PATCH", "/regions/{region}"): (_object(_REGION), True),
    ("POST", "/keys/batch"): (_object({"keys": {**_TEXTS, "maxItems": 1000}}, "keys"), True),
    ("PUT", "/keys/{key}"): (_object({"value": {}, "ttl": _DURATION, "tags": _TEXTS}, "value"), True),
    ("POST", "/invalidate/pattern"): (_object({"pattern": _TEXT, "regions": _TEXTS}, "pattern", "regions"), True),
    ("POST", "/invalidate/tags"): (_object({"tags": _TEXTS, "regions": _TEXTS}, "tags", "regions"), True),
    ("POST", "/invalidate/bulk"): (
        _object({"invalidations": {"type": "array", "items": _ITEM, "minItems": 1}}, "invalidations"), True),
    ("POST", "/warm/{region}"): (_object({
        "strategy": _SCHEDULE["strategy"], "concurrency": _whole(1, 100), "batchSize": _whole(1, 10_000),
        "maxItems": _whole(0, 100_000_000), "dataSource": {"enum": ["database"]}, "query": _TEXT}), False),
    ("POST", "/warm/schedule"): (_object(_SCHEDULE, "name", "schedule", "region"), True),
    ("PUT", "/warm/schedule/{name}"): (_object(_SCHEDULE), True),
    ("PUT", "/redis/connection"): (_object({name: _POOL[name] for name in list(_POOL)[:4]}), True),
    ("PUT", "/redis/pool-config"): (_object(_POOL), True),
    ("PUT", "/redis/connection-config"): (
        _object({"connectionTimeout": _whole(1, 600_000), "socketTimeout": _whole(1, 600_000)}), True),
    ("PUT", "/redis/optimize-memory"): (_object({
        "maxMemoryPolicy": {"enum": ["noeviction", "allkeys-lru", "allkeys-lfu", "volatile-ttl"]},
        "maxMemorySamples": _whole(1, 100), "compressionThreshold": _whole(0, 1 << 30)}), True),
    ("PUT", "/cache/strategies"): ({"type": "object", "additionalProperties": _STRATEGY}, True),
    ("PUT", "/cache/compression"): (_object({"enabled": _BOOL, "threshold": _whole(0, 1 << 30)}), True),
    ("PUT", "/features/{name}"): (
        _object({"enabled": _BOOL, "regions": _REGIONS, "rolloutPercentage": _whole(0, 100)}), True),
    ("POST", "/local-cache-mode"): (
        _object({"regions": _REGIONS, "reason": {"type": "string", "maxLength": 1000}}), False),
}
ERROR: Schema = {
    "type": "object",
    "required": ["timestamp", "status", "error", "message", "path"],
    "properties": {"timestamp": {"type": "string", "format": "date-time"}, "status": {"type": "integer"},
                   "error": _TEXT, "message": _TEXT, "path": _TEXT, "errors": {"type": "array"}},
}


def _success(route: Route) -> dict[str, Any]:
    done = {"description": "done"}
    shown = done if route.method == "HEAD" else {**done, "content": {"application/json": {"schema": {}}}}
    return {"200": shown, "201": shown, "202": shown, "204": done}


def _operation(route: Route) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    refused = {"description": "refused"} if route.method == "HEAD" else {"description": "refused", "content": error}
    names = re.findall(r"\{(\w+)\}", route.path)
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}-{route.method}-{route.path}",
        "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                       for name in names],
        "responses": {**_success(route), **dict.fromkeys(("400", "401", "403", "404", "405", "409", "413", "415", "422",
                                                         "503"), refused)},
        "security": [{"bearer": []}] if route.token else [],
    }
    for (method, end), (schema, required) in BODIES.items():
        if route.method == method and route.path.endswith(end):
            operation["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    return operation


def document(routes: Iterable[Route]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Caching Service", "version": "1.0.0"},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def handler(routes: Callable[[], list[Route]]) -> Handler:
    async def describe(_service: Service, _request: Request) -> Response:
        return JSONResponse(document(routes()))

    return describe
