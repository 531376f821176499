# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists in the shape that the service's dialect has for them: of regions, warm jobs, schedules and flags."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from .errors import ApiError
from .web import Service

PAGE = 20


def _page(request: Request) -> tuple[int, int]:
    try:
        number, size = int(request.query_params.get("page", 0)), int(request.query_params.get("size", PAGE))
    except ValueError as error:
        raise ApiError(400, "page and size must be whole numbers") from error
    return min(max(number, 0), 2**31), min(max(size, 1), 100)


def arranged(service: Service, request: Request, name: str, found: list[dict[str, Any]], key: str = "name") -> Any:
    """`name` is what a wrapping object calls the list, `key` the field that a map is made by."""
    if service.dialect("wrapped"):
        return {name: found}
    if service.dialect("map"):
        return {item[key]: item for item in found}
    if not (service.dialect("paged") or service.dialect("hal")):
        return found
    number, size = _page(request)
    pages = -(-len(found) // size)
    content = found[number * size:(number + 1) * size]
    last = number >= pages - 1
    if service.dialect("paged"):
        return {
            "content": content,
            "number": number,
            "size": size,
            "numberOfElements": len(content),
            "totalElements": len(found),
            "totalPages": pages,
            "first": number == 0,
            "last": last,
            "empty": not content,
        }
    path = request.scope["path"]
    links = {"self": {"href": f"{path}?page={number}&size={size}"}}
    if not last:
        links["next"] = {"href": f"{path}?page={number + 1}&size={size}"}
    page = {"size": size, "totalElements": len(found), "totalPages": pages, "number": number}
    return {"_embedded": {name: content}, "_links": links, "page": page}
