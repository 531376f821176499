# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Invalidation removes what it says, wherever in the cluster that is, and nothing else."""

from __future__ import annotations

import pytest

from tests.contract.conftest import REGIONS, Api

INVALIDATE = "/api/v1/cache/invalidate"


def test_pattern_over_the_whole_cluster(api: Api) -> None:
    for region in ("users", "sessions", "users2"):
        api.region(region)
        api.fill(region, *(f"user:{number}:preferences" for number in range(30)), "user:1:cart")
    answer = api("POST", f"{INVALIDATE}/pattern", {"pattern": "user:*:preferences", "regions": ["users", "sessions"]})
    assert answer.status == 200
    assert answer.body["invalidated"] == 60
    assert answer.body["results"] == [{"region": name, "invalidated": 30} for name in ("users", "sessions")]
    assert [api.size(region) for region in ("users", "sessions", "users2")] == [1, 1, 31]
    again = api("POST", f"{INVALIDATE}/pattern", {"pattern": "user:*:preferences", "regions": ["users"]})
    assert again.body["invalidated"] == 0


def test_letters_of_a_regions_name_are_no_pattern(api: Api) -> None:
    for region in ("a*", "ab", "[a]b", "a?"):
        api.region(region)
        api.fill(region, "k")
    api("POST", f"{INVALIDATE}/pattern", {"pattern": "*", "regions": ["a*", "[a]b"]})
    assert {name: region["size"] for name, region in api.regions().items()} == {"a*": 0, "ab": 1, "[a]b": 0, "a?": 1}


def test_tags(api: Api) -> None:
    api.region("products")
    api.region("other")
    api.fill("products", "p1", "p2", tags=["category:electronics"])
    api.fill("products", "p3", tags=["brand:apple", "category:electronics"])
    api.fill("products", "p4", tags=["brand:other"])
    api.fill("other", "p1", tags=["brand:apple"])
    body = {"tags": ["category:electronics", "brand:apple"], "regions": ["products"]}
    assert api("POST", f"{INVALIDATE}/tags", body).body["invalidated"] == 3
    assert api.keys("products", "p1", "p2", "p3", "p4") == {"p4"}
    assert api.keys("other", "p1") == {"p1"}
    assert api("POST", f"{INVALIDATE}/tags", body).body["invalidated"] == 0


def test_bulk_has_a_status_for_each_item(api: Api) -> None:
    api.region("products")
    api.region("users")
    api.fill("products", "product:123", "product:456")
    api.fill("users", "user:1:cart", "user:2:cart", "user:2:name")
    answer = api("POST", f"{INVALIDATE}/bulk", {
        "invalidations": [
            {"type": "key", "region": "products", "identifier": "product:123"},
            {"type": "pattern", "region": "users", "identifier": "user:*:cart"},
            {"type": "key", "region": "absent", "identifier": "x"},
        ],
    })
    assert (answer.status, answer.body["invalidated"]) == (200, 3)
    assert [(item["status"], item["invalidated"]) for item in answer.body["results"]] == [(200, 1), (200, 2), (404, 0)]
    assert api.size("products") == 1
    assert api.keys("users", "user:1:cart", "user:2:name") == {"user:2:name"}


def test_clear(api: Api) -> None:
    api.region("products")
    api.fill("products", *(f"k{number}" for number in range(25)))
    assert api("DELETE", f"{REGIONS}/products/clear").body == {"region": "products", "invalidated": 25}
    assert api("DELETE", f"{REGIONS}/products/clear").body["invalidated"] == 0
    assert api.regions()["products"]["memoryUsage"] == 0


def test_unknown_region_removes_nothing(api: Api) -> None:
    api.region("products")
    api.fill("products", "k")
    answer = api("POST", f"{INVALIDATE}/pattern", {"pattern": "*", "regions": ["products", "absent"]})
    assert answer.status == 404
    assert api.size("products") == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("pattern", {"regions": ["products"]}), ("pattern", {"pattern": "", "regions": ["products"]}),
        ("pattern", {"pattern": "*"}), ("pattern", {"pattern": "*", "regions": []}),
        ("tags", {"tags": [], "regions": ["products"]}), ("tags", {"tags": "a", "regions": ["products"]}),
        ("bulk", {}), ("bulk", {"invalidations": []}), ("bulk", {"invalidations": ["x"]}),
        ("bulk", {"invalidations": [{"type": "magic", "region": "products", "identifier": "k"}]}),
        ("bulk", {"invalidations": [{"type": "key", "region": "products"}]}),
    ],
)
def test_invalid(api: Api, kind: str, body: object) -> None:
    answer = api("POST", f"{INVALIDATE}/{kind}", body)
    assert answer.status == 400
    assert answer.body["errors"]
