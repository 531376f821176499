# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of a region: get, set, delete, exists, get many."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import durations
from .database import DatabaseAway
from .errors import ApiError, Problems, timestamp
from .storage import Entry
from .web import Service, body_of, text_of

BATCH_LIMIT = 1000


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _ttl(service: Service, milliseconds: int) -> int | float | str:
    if service.dialect("seconds"):
        return durations.to_seconds(milliseconds)
    return f"PT{durations.to_seconds(milliseconds)}S"


def _answer(service: Service, key: str, entry: Entry) -> dict[str, Any]:
    return {"key": key, "value": entry.value, "ttl": _ttl(service, entry.ttl_ms), "storedBytes": entry.stored_bytes}


async def get_entry(service: Service, request: Request) -> Response:
    region, key = text_of(request, "region"), text_of(request, "key")
    entry = (await service.store(region).get(region, [key])).get(key)
    service.meters.regions[region].read(key, found=entry is not None)
    if entry is None:
        raise ApiError(404, f"Key '{key}' does not exist in region '{region}'")
    return JSONResponse(_answer(service, key, entry))


async def has_entry(service: Service, request: Request) -> Response:
    region = text_of(request, "region")
    there = await service.store(region).exists(region, text_of(request, "key"))
    return Response(status_code=200 if there else 404)


async def _write_through(service: Service, region: str, key: str, value: Any) -> None:
    try:
        await asyncio.to_thread(service.database.write, region, key, json.dumps(value), timestamp())
    except DatabaseAway as error:
        await service.store(region).remove(region, [key])
        raise ApiError(503, f"The database is away: {error}") from error


async def put_entry(service: Service, request: Request) -> Response:
    region, key = text_of(request, "region"), text_of(request, "key")
    body = await body_of(request)
    problems = Problems("cacheEntry")
    if not isinstance(body, dict) or "value" not in body:
        raise ApiError(400, "JSON parse error: an object with 'value' is expected")
    ttl, tags = body.get("ttl"), body.get("tags") or []
    milliseconds = None if ttl is None else durations.parse(ttl)
    if ttl is not None and milliseconds is None:
        problems.add("ttl", "must be an ISO-8601 duration longer than zero", ttl)
    if not _texts(tags):
        problems.add("tags", "must be a list of texts", tags)
    problems.check()
    store = service.store(region)
    lifetime, evicted = await store.put(region, key, body["value"], milliseconds, tags)
    if service.control.writes_through(region, key):
        await _write_through(service, region, key, body["value"])
    meters = service.meters.regions[region]
    meters.puts += 1
    meters.evictions += evicted
    return JSONResponse({"key": key, "region": region, "ttl": _ttl(service, lifetime), "evicted": evicted})


async def delete_entry(service: Service, request: Request) -> Response:
    region, key = text_of(request, "region"), text_of(request, "key")
    store = service.store(region)
    await store.definition(region)
    if not await store.remove(region, [key]):
        raise ApiError(404, f"Key '{key}' does not exist in region '{region}'")
    service.meters.regions[region].removals += 1
    return Response(status_code=204)


async def get_entries(service: Service, request: Request) -> Response:
    """The values of those keys that exist, and the names of those that don't."""
    region = text_of(request, "region")
    body = await body_of(request)
    keys = body.get("keys") if isinstance(body, dict) else None
    problems = Problems("batchRequest")
    if not _texts(keys) or not keys or len(keys) > BATCH_LIMIT:
        problems.add("keys", f"must be a list of 1 to {BATCH_LIMIT} keys", keys)
    problems.check()
    assert keys is not None
    wanted = list(dict.fromkeys(keys))
    found = await service.store(region).get(region, wanted)
    for key in wanted:
        service.meters.regions[region].read(key, found=key in found)
    return JSONResponse(
        {
            "region": region,
            "entries": [_answer(service, key, entry) for key, entry in found.items()],
            "missing": [key for key in wanted if key not in found],
        }
    )
