# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions: list, create, change, delete, statistics."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import model
from .errors import ApiError, error_response
from .lists import arranged
from .web import Service, body_of, text_of

LIST_PATH = "/api/v1/cache/regions"


async def list_regions(service: Service, request: Request) -> Response:
    dialects = service.settings.dialects
    regions = [model.answer(region, measure, dialects) for region, measure in await service.storage.regions()]
    return JSONResponse(arranged(service, request, "regions", regions))


async def get_region(service: Service, request: Request) -> Response:
    region, measure = await service.storage.region(text_of(request, "region"))
    return JSONResponse(model.answer(region, measure, service.settings.dialects))


async def create_region(service: Service, request: Request) -> Response:
    dialects = service.settings.dialects
    name, fields = model.stored(await body_of(request), dialects=dialects, name=None)
    exists = ApiError(409, f"Cache region '{name}' already exists")
    if service.dialect("accepted"):
        if await service.redis.run("HEXISTS", service.storage.definitions, name):
            raise exists
        return service.later(service.storage.create(name, fields))
    region = await service.storage.create(name, fields)
    if region is None:
        raise exists
    headers = {"Location": f"{LIST_PATH}/{quote(name, safe='')}"}
    return JSONResponse(model.answer(region, (0, 0), dialects), status_code=201, headers=headers)


async def _change(service: Service, request: Request, *, merges: bool) -> Response:
    dialects = service.settings.dialects
    name, fields = model.stored(await body_of(request), dialects=dialects, name=text_of(request, "region"))
    if not merges:
        leave = ["evictionPolicy"] if "immutable" in dialects else []
        leave += ["enableCompression"] if "ignores-compression" in dialects else []
        fields = model.completed(fields, leave=tuple(leave))
    if service.dialect("accepted"):
        await service.storage.definition(name)
        return service.later(service.storage.update(name, fields))
    _before, after, measure = await service.storage.update(name, fields)
    if after is None:
        message = f"Field 'evictionPolicy' of region '{name}' cannot be changed after creation"
        return error_response(request, ApiError(409, message))
    return JSONResponse(model.answer(after, measure, dialects))


async def put_region(service: Service, request: Request) -> Response:
    return await _change(service, request, merges=service.dialect("put-merges"))


async def patch_region(service: Service, request: Request) -> Response:
    return await _change(service, request, merges=True)


async def no_region(_service: Service, request: Request) -> Response:
    """The admin path of the dialect `no-patch`: it is known, but leads nowhere."""
    raise ApiError(404, f"No static resource {request.url.path}")


async def delete_region(service: Service, request: Request) -> Response:
    name = text_of(request, "region")
    if service.dialect("accepted"):
        await service.storage.definition(name)
        return service.later(service.storage.delete(name))
    await service.storage.delete(name)
    return Response(status_code=204)


async def region_stats(service: Service, request: Request) -> Response:
    """Size and memory are the region's, over the cluster; the counters are this instance's."""
    region, (size, memory) = await service.storage.region(text_of(request, "region"))
    meters = service.meters.regions[region["name"]]
    answer: dict[str, Any] = {
        "region": region["name"],
        "maxSize": region["maxSize"],
        "hits": meters.hits,
        "misses": meters.misses,
        "hitRate": meters.hit_rate(),
        "puts": meters.puts,
        "removals": meters.removals,
        "evictions": meters.evictions,
    }
    if not service.dialect("no-counts"):
        answer |= {"size": size, "memoryUsage": memory}
    return JSONResponse(answer)
