# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Invalidation: a whole region, by pattern, by tags, in bulk. Answers count what was really removed."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .errors import ApiError, Problems
from .web import Service, body_of, text_of

BULK_TYPES = ("key", "pattern", "tags", "tag", "region")


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) and item for item in value)


async def _remove(service: Service, region: str, kind: str, what: Any) -> int:
    storage = service.store(region)
    await storage.definition(region)
    if kind == "key":
        removed = await storage.remove(region, [what])
    elif kind in ("tags", "tag"):
        removed = await storage.remove_tagged(region, what if isinstance(what, list) else [what])
    else:
        removed = await storage.remove_matching(region, what if kind == "pattern" else "*")
    service.meters.regions[region].removals += removed
    return removed


async def clear_region(service: Service, request: Request) -> Response:
    region = text_of(request, "region")
    await service.store(region).definition(region)

    async def work() -> dict[str, Any]:
        return {"region": region, "invalidated": await _remove(service, region, "region", None)}

    return await service.answered(work)


async def _over_regions(service: Service, request: Request, field: str) -> Response:
    body = await body_of(request)
    if not isinstance(body, dict):
        raise ApiError(400, "JSON parse error: an object is expected")
    what, regions = body.get(field), body.get("regions")
    problems = Problems("invalidationRequest")
    if field == "pattern" and (not isinstance(what, str) or not what):
        problems.add(field, "must not be blank", what)
    if field == "tags" and not _texts(what):
        problems.add(field, "must be a list of tags", what)
    if not _texts(regions):
        problems.add("regions", "must be a list of regions", regions)
    problems.check()
    names = list(dict.fromkeys(regions or []))
    for name in names:  # all are known before anything is removed
        await service.store(name).definition(name)

    async def work() -> dict[str, Any]:
        results = [{"region": name, "invalidated": await _remove(service, name, field, what)} for name in names]
        return {"invalidated": sum(int(result["invalidated"]) for result in results), "results": results}

    return await service.answered(work)


async def invalidate_pattern(service: Service, request: Request) -> Response:
    return await _over_regions(service, request, "pattern")


async def invalidate_tags(service: Service, request: Request) -> Response:
    return await _over_regions(service, request, "tags")


async def _item(service: Service, item: dict[str, Any]) -> dict[str, Any]:
    """One item of a bulk request: its own status, a failure of one doesn't stop the others."""
    result = {name: item.get(name) for name in ("type", "region", "identifier")}
    try:
        removed = await _remove(service, item["region"], item["type"], item.get("identifier"))
    except ApiError as error:
        return result | {"status": error.status, "invalidated": 0, "message": error.message}
    return result | {"status": 200, "invalidated": removed}


async def invalidate_bulk(service: Service, request: Request) -> Response:
    body = await body_of(request)
    items = body.get("invalidations") if isinstance(body, dict) else None
    problems = Problems("bulkInvalidationRequest")
    if not isinstance(items, list) or not items:
        problems.add("invalidations", "must be a list of invalidations", items)
    for index, item in enumerate(items if isinstance(items, list) else []):
        field = f"invalidations[{index}]"
        if not isinstance(item, dict):
            problems.add(field, "must be an object", item)
            continue
        if item.get("type") not in BULK_TYPES:
            problems.add(f"{field}.type", f"must be one of {', '.join(BULK_TYPES)}", item.get("type"))
        if not isinstance(item.get("region"), str):
            problems.add(f"{field}.region", "must not be blank", item.get("region"))
        what = item.get("identifier")
        texts = item.get("type") == "tags" and _texts(what)
        if item.get("type") != "region" and not texts and (not isinstance(what, str) or not what):
            problems.add(f"{field}.identifier", "must not be blank", what)
    problems.check()
    assert isinstance(items, list)

    async def work() -> dict[str, Any]:
        results = [await _item(service, item) for item in items]
        return {"invalidated": sum(result["invalidated"] for result in results), "results": results}

    return await service.answered(work)
