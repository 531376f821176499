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
from .model import Region
from .web import Service, body_of, text_of

PAGE = 20
LIST_PATH = "/api/v1/cache/regions"


def _page(request: Request) -> tuple[int, int]:
    try:
        number, size = int(request.query_params.get("page", 0)), int(request.query_params.get("size", PAGE))
    except ValueError as error:
        raise ApiError(400, "page and size must be whole numbers") from error
    return max(number, 0), min(max(size, 1), 100)


def _arranged(service: Service, request: Request, regions: list[Region]) -> Any:
    """The list in the shape of the service's dialect."""
    if service.dialect("wrapped"):
        return {"regions": regions}
    if service.dialect("map"):
        return {region["name"]: region for region in regions}
    if not (service.dialect("paged") or service.dialect("hal")):
        return regions
    number, size = _page(request)
    pages = -(-len(regions) // size)
    content = regions[number * size:(number + 1) * size]
    last = number >= pages - 1
    if service.dialect("paged"):
        return {
            "content": content,
            "number": number,
            "size": size,
            "numberOfElements": len(content),
            "totalElements": len(regions),
            "totalPages": pages,
            "first": number == 0,
            "last": last,
            "empty": not content,
        }
    links = {"self": {"href": f"{LIST_PATH}?page={number}&size={size}"}}
    if not last:
        links["next"] = {"href": f"{LIST_PATH}?page={number + 1}&size={size}"}
    page = {"size": size, "totalElements": len(regions), "totalPages": pages, "number": number}
    return {"_embedded": {"regions": content}, "_links": links, "page": page}


async def list_regions(service: Service, request: Request) -> Response:
    dialects = service.settings.dialects
    regions = [model.answer(region, measure, dialects) for region, measure in await service.storage.regions()]
    return JSONResponse(_arranged(service, request, regions))


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
    gets = meters.hits + meters.misses
    answer: dict[str, Any] = {
        "region": region["name"],
        "maxSize": region["maxSize"],
        "hits": meters.hits,
        "misses": meters.misses,
        "hitRate": meters.hits / gets if gets else None,
        "puts": meters.puts,
        "removals": meters.removals,
        "evictions": meters.evictions,
    }
    if not service.dialect("no-counts"):
        answer |= {"size": size, "memoryUsage": memory}
    return JSONResponse(answer)
