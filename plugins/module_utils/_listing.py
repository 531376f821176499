# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Lists as services really give them: plain, wrapped, keyed by name, in pages of several kinds. Pure functions."""

from __future__ import annotations

import re
import typing as t

from ._errors import CachingError

_ENVELOPES = ("content", "items", "data", "results", "elements", "_embedded")
_INFO = ("page", "pageable", "paging", "pagination", "meta", "pageInfo")
_PAGE_NUMBER = ("number", "page", "pageNumber", "currentPage")
_PAGE_COUNT = ("totalPages", "pages", "pageCount")
_PAGE_SIZE = ("size", "pageSize", "limit", "perPage")
_TOTAL = ("totalElements", "total", "totalItems", "totalCount")
_MORE = ("hasNext", "hasMore", "has_more", "hasNextPage")
_NEXT_IN_HEADER = re.compile(r'<([^>]*)>[^,<]*;\s*rel="?next"?(?=[\s;,]|$)', re.IGNORECASE)
_TEMPLATE = re.compile(r"\{[^{}]*\}")
_CURSORS = ("nextCursor", "next_cursor", "cursor", "nextPageToken", "continuationToken", "continue")


class Page(t.NamedTuple):
    """Objects of one answer, how to ask for what follows (a query, or a link), if anything does, and how many there are in all."""

    objects: list[dict[str, t.Any]]
    number: int | None = None
    query: dict[str, int] | None = None
    link: str | None = None
    total: int | None = None


def page(data: t.Any, name: str, first: int | None = None, headers: t.Mapping[str, str] | None = None) -> Page:
    """The list of ``name`` (as ``regions``) in an answer, whatever it is wrapped in.

    ``first`` is the number that the first page had (services count from 0 or from 1); None for the first page itself.
    ``headers`` (in lower case) tell of pages where the body is just a list: ``Link`` and ``X-Total-Count``.
    """
    if isinstance(data, list):
        told = headers or {}
        link = _NEXT_IN_HEADER.search(told.get("link", ""))
        return Page(_objects(data, name), link=link.group(1) if link else None, total=_number(dict(told), ("x-total-count",)))
    if not isinstance(data, dict):
        raise CachingError(f"the list of {name} came back {'empty' if data is None else 'as ' + type(data).__name__}, not as a list")
    found = _find(data, name)
    if found is None:
        raise CachingError(f"there is no list of {name} in the answer (it has: {', '.join(sorted(map(str, data))[:8]) or 'nothing'})")
    objects, holders = found
    return Page(_objects(objects, name), *_next(holders, first, name, len(objects)))


_Found = tuple[list[t.Any], list[dict[str, t.Any]]]


def _find(data: dict[str, t.Any], name: str) -> _Found | None:
    """The list, and the dictionaries around it, which may tell of pages."""
    near = [key for key in data if name.lower().rstrip("s") in str(key).lower()]
    for key in dict.fromkeys((name, *_ENVELOPES, *near)):
        inner = data.get(key)
        if isinstance(inner, list) or inner is None and key in data:
            return inner or [], [data]
        if isinstance(inner, dict):
            deeper = _find(inner, name) if inner else ([], [inner])
            if deeper is not None:
                return deeper[0], [data, *deeper[1]]
    lists = [value for value in data.values() if isinstance(value, list)]
    if len(lists) == 1:
        return lists[0], [data]
    if not lists and all(isinstance(value, dict) for value in data.values()):
        return [{"name": key, **value} for key, value in data.items()], []
    return ([], []) if _number(data, _TOTAL) == 0 else None


def _objects(found: list[t.Any], name: str) -> list[dict[str, t.Any]]:
    objects = [{"name": entry} if isinstance(entry, str) else entry for entry in found]
    wrong = [type(entry).__name__ for entry in objects if not isinstance(entry, dict)]
    if wrong:
        raise CachingError(f"the list of {name} holds {wrong[0]}, where objects with a name are expected")
    return objects


def _next(
    holders: list[dict[str, t.Any]], first: int | None, name: str, here: int
) -> tuple[int | None, dict[str, int] | None, str | None, int | None]:
    """Number of this page, query or link to the next, and how many objects there are in all; None for what isn't told."""
    info: dict[str, t.Any] = {}
    for holder in holders:
        info.update(holder)
        for key in _INFO:
            inner = holder.get(key)
            if isinstance(inner, dict):
                info.update(inner)
    total = _number(info, _TOTAL)
    if total is None and _number(info, _PAGE_NUMBER) is not None and (_number(info, ("count",)) or 0) > here:
        total = _number(info, ("count",))
    links = info.get("_links") or info.get("links")
    if isinstance(links, list):
        links = {entry.get("rel"): entry for entry in links if isinstance(entry, dict)}
    link = links.get("next") if isinstance(links, dict) else info.get("next")
    if isinstance(link, dict):
        link = link.get("href")
    if isinstance(link, str) and link and not link.isdigit():
        return _number(info, _PAGE_NUMBER), None, _TEMPLATE.sub("", link), total
    cursor = next((key for key in _CURSORS if info.get(key)), None)
    if cursor:
        raise CachingError(f"the list of {name} goes on behind {cursor}, a kind of pages that is not known; nothing was changed")
    number, size, following = _number(info, _PAGE_NUMBER), _number(info, _PAGE_SIZE), _number(info, ("nextPage", "next"))
    if following is not None:
        return number, {"page": following} if size is None else {"page": following, "size": size}, None, total
    start = number if first is None else first
    pages = _number(info, _PAGE_COUNT)
    if pages is None and total is not None and (size or here):
        pages = -(-total // (size or here))
    told = next((info[key] for key in _MORE if isinstance(info.get(key), bool)), None)
    if told is None and isinstance(info.get("last"), bool):
        told = not info["last"]
    more = told if told is not None else number is not None and pages is not None and number + 1 < pages + (start or 0)
    if not more:
        return number, None, None, total
    if number is None:
        raise CachingError(f"the list of {name} says that more follows, but not how to ask for it; nothing was changed")
    return number, {"page": number + 1} if size is None else {"page": number + 1, "size": size}, None, total


def _number(data: dict[str, t.Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = data.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
