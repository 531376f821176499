# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Lists as services really give them: plain, wrapped, keyed by name, in pages of several kinds. Pure functions."""

from __future__ import annotations

import typing as t

from ._errors import CachingError

_ENVELOPES = ("content", "items", "data", "results", "elements", "_embedded")
_PAGE_NUMBER = ("number", "page", "pageNumber", "currentPage")
_PAGE_COUNT = ("totalPages", "pages", "pageCount")
_PAGE_SIZE = ("size", "pageSize", "limit")
_TOTAL = ("totalElements", "total", "totalItems", "totalCount")


class Page(t.NamedTuple):
    """Objects of one answer, and how to ask for what follows (a query, or a link), if anything does."""

    objects: list[dict[str, t.Any]]
    number: int | None = None
    query: dict[str, int] | None = None
    link: str | None = None


def page(data: t.Any, name: str, first: int | None = None) -> Page:
    """The list of ``name`` (as ``regions``) in an answer, whatever it is wrapped in.

    ``first`` is the number that the first page had (services count from 0 or from 1); None for the first page itself.
    """
    if isinstance(data, list):
        return Page(_objects(data, name))
    if not isinstance(data, dict):
        raise CachingError(f"the list of {name} came back as {type(data).__name__}, not as a list")
    found = _find(data, name)
    if found is None:
        raise CachingError(f"there is no list of {name} in the answer (it has: {', '.join(sorted(map(str, data))[:8]) or 'nothing'})")
    return Page(_objects(found, name), *_next(data, first))


def _find(data: dict[str, t.Any], name: str) -> list[t.Any] | None:
    for key in (name, *_ENVELOPES):
        inner = data.get(key)
        if isinstance(inner, list):
            return inner
        if isinstance(inner, dict):
            return _find(inner, name) if inner else []
    lists = [value for value in data.values() if isinstance(value, list)]
    if len(lists) == 1:
        return lists[0]
    if not lists and all(isinstance(value, dict) for value in data.values()):
        return [{"name": key, **value} for key, value in data.items()]
    return [] if _number(data, _TOTAL) == 0 else None


def _objects(found: list[t.Any], name: str) -> list[dict[str, t.Any]]:
    objects = [{"name": entry} if isinstance(entry, str) else entry for entry in found]
    wrong = [type(entry).__name__ for entry in objects if not isinstance(entry, dict)]
    if wrong:
        raise CachingError(f"the list of {name} holds {wrong[0]}, where objects with a name are expected")
    return objects


def _next(data: dict[str, t.Any], first: int | None) -> tuple[int | None, dict[str, int] | None, str | None]:
    links = data.get("_links") or data.get("links")
    link = links.get("next") if isinstance(links, dict) else data.get("next")
    if isinstance(link, dict):
        link = link.get("href")
    if isinstance(link, str) and link:
        return None, None, link
    inner = data.get("page")
    info = {**data, **inner} if isinstance(inner, dict) else data
    number = _number(info, _PAGE_NUMBER)
    pages = _number(info, _PAGE_COUNT)
    if number is None:
        return None, None, None
    start = number if first is None else first
    told = next((value for value in (info.get("hasNext"), info.get("last")) if isinstance(value, bool)), None)
    if told is None:
        more = pages is not None and number + 1 < pages + start
    else:
        more = told if isinstance(info.get("hasNext"), bool) else not told
    size = _number(info, _PAGE_SIZE)
    query = {"page": number + 1} if size is None else {"page": number + 1, "size": size}
    return number, query if more else None, None


def _number(data: dict[str, t.Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = data.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
