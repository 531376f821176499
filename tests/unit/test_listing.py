# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The truth table of lists: plain, wrapped, keyed, in pages of every kind."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._listing import page
from hypothesis import given
from hypothesis import strategies as st

A, B = {"name": "a"}, {"name": "b"}


@pytest.mark.parametrize("data", [
    [A, B], {"regions": [A, B]}, {"content": [A, B]}, {"data": {"regions": [A, B]}}, {"_embedded": {"regionList": [A, B]}},
    {"items": [A, B], "total": 2}, {"a": {"x": 1}, "b": {}}, {"whatever": [A, B]}, ["a", "b"],
    {"regions": {"a": {}, "b": {}}},
    {"cacheRegions": [A, B], "warnings": []}, {"data": {"ttl": 1}, "a": {}, "b": {}}, {"content": [A, B], "number": 0, "totalPages": 1, "last": True},
])
def test_every_wrapping(data: t.Any) -> None:
    found = page(data, "regions")
    assert [entry["name"] for entry in found.objects if entry["name"] != "data"] == ["a", "b"]
    assert found.query is None and found.link is None


@pytest.mark.parametrize("data", [[], {}, {"regions": []}, {"content": [], "totalElements": 0}, {"totalElements": 0}, {"_embedded": {}}])
def test_nothing_there(data: t.Any) -> None:
    assert page(data, "regions").objects == []


@pytest.mark.parametrize(("data", "first", "query"), [
    ({"content": [A], "number": 0, "size": 1, "totalPages": 2, "last": False}, None, {"page": 1, "size": 1}),
    ({"content": [A], "number": 1, "size": 1, "totalPages": 2, "last": True}, 0, None),
    ({"content": [A], "page": {"number": 0, "size": 20, "totalPages": 3}}, None, {"page": 1, "size": 20}),
    ({"content": [A], "page": {"number": 2, "size": 20, "totalPages": 3}}, 0, None),
    ({"regions": [A], "page": 1, "totalPages": 2}, None, {"page": 2}),
    ({"regions": [A], "page": 2, "totalPages": 2}, 1, None),
    ({"regions": [A], "page": 0, "hasNext": True}, None, {"page": 1}),
    ({"regions": [A], "page": 3, "hasNext": False}, 0, None),
    ({"regions": [A], "page": 0, "size": 1, "total": 2}, None, {"page": 1, "size": 1}),
    ({"content": [A], "number": 0, "size": 1, "totalElements": 2}, None, {"page": 1, "size": 1}),
    ({"data": {"content": [A], "number": 0, "totalPages": 2, "last": False}}, None, {"page": 1}),
    ({"content": [A], "pageable": {"pageNumber": 0}, "totalPages": 2, "last": False}, None, {"page": 1}),
    ({"regions": [A], "page": 0, "hasMore": True}, None, {"page": 1}),
    ({"regions": [A], "nextPage": 1}, None, {"page": 1}),
    ({"regions": [A], "page": 1, "nextPage": None}, 0, None), ({"regions": [A], "page": "0", "totalPages": "2"}, None, {"page": 1}),
    ({"regions": [A], "page": 0, "count": 2}, None, {"page": 1}), ({"regions": [A], "page": 0, "count": 1}, None, None),
])
def test_pages_counted_from_zero_or_one(data: t.Any, first: int | None, query: t.Any) -> None:
    assert page(data, "regions", first).query == query


def test_a_link_leads_on() -> None:
    assert page({"_embedded": {"regions": [A]}, "_links": {"next": {"href": "http://x/regions?page=1"}}}, "regions").link == "http://x/regions?page=1"


@pytest.mark.parametrize(("data", "headers", "link"), [
    ({"regions": [A], "links": [{"rel": "self", "href": "/r"}, {"rel": "next", "href": "/r?page=1"}]}, {}, "/r?page=1"),
    ({"regions": [A], "_links": {"next": {"href": "/r?page=1{&sort}", "templated": True}}}, {}, "/r?page=1"),
    ([A], {"link": '<http://x/r?page=1>; rel="next",<http://x/r?page=4>; rel="last"'}, "http://x/r?page=1"),
    ([A], {"link": "</r?page=0>; rel=first, </r?page=2>; rel=next"}, "/r?page=2"),
    ([A], {"link": '<http://x/r?page=4>; rel="last",<http://x/r?page=3>; rel="prev"'}, None), ([A], {}, None),
])
def test_links_of_every_kind(data: t.Any, headers: dict[str, str], link: str | None) -> None:
    assert page(data, "regions", None, headers).link == link


def test_a_page_behind_a_link_has_its_number_too() -> None:
    """The last one has no link, and must not be taken for the first of pages that count from there."""
    first = {"_embedded": {"regions": [A]}, "_links": {"next": {"href": "/r?page=1"}}, "page": {"number": 0, "totalPages": 2}}
    last = {"_embedded": {"regions": [B]}, "_links": {}, "page": {"number": 1, "totalPages": 2}}
    assert page(last, "regions", page(first, "regions").number).query is None
    assert page([A], "regions", None, {"x-total-count": "2"}).total == 2


@pytest.mark.parametrize("data", [
    None, 5, "text", [5], [[A]],
    {"regions": [A], "nextCursor": "x"}, {"regions": [A], "hasMore": True}, {"regions": 5}, {"error": "no", "status": 1}, {"regions": [None]},
])
def test_what_is_no_list_is_refused(data: t.Any) -> None:
    with pytest.raises(CachingError):
        page(data, "regions")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["regions", "content", "page", "number", "_links", "next", "x"]), inner),
)


@given(JSON)
def test_any_json_is_a_list_or_a_clear_refusal(data: t.Any) -> None:
    try:
        assert all(isinstance(entry, dict) for entry in page(data, "regions").objects)
    except CachingError as error:
        assert "\n" not in error.message
