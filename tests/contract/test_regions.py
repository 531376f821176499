# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions, with the guide's own bodies."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.contract.conftest import REGIONS, Api

SEARCH = {
    "name": "search-results",
    "defaultTtl": "PT15M",
    "maxSize": 25000,
    "evictionPolicy": "LFU",
    "enableCompression": True,
    "enableEncryption": False,
}
PRODUCTS = {"defaultTtl": "PT3H", "maxSize": 200000, "evictionPolicy": "LRU"}


def test_create(api: Api) -> None:
    answer = api("POST", REGIONS, SEARCH)
    assert answer.status == 201
    assert answer.headers["Location"] == f"{REGIONS}/search-results"
    assert answer.body.items() >= SEARCH.items()
    assert (answer.body["size"], answer.body["memoryUsage"]) == (0, 0)
    assert api("GET", REGIONS, token="api").body == [answer.body]
    assert api("POST", REGIONS, SEARCH).status == 409


def test_put_replaces(api: Api) -> None:
    api.region("products", description="goods", replicationFactor=2, enableCompression=True)
    answer = api("PUT", f"{REGIONS}/products", PRODUCTS)
    assert answer.status == 200
    found = api.regions()["products"]
    assert found == answer.body
    assert (found["defaultTtl"], found["maxSize"], found["evictionPolicy"]) == ("PT180M", 200000, "LRU")
    assert (found["description"], found["replicationFactor"], found["enableCompression"]) == ("", 1, False)
    assert found["updatedAt"] >= found["createdAt"]


def test_admin_put_replaces_too(api: Api) -> None:
    api.region("products", defaultTtl="PT3H")
    assert api("PUT", "/admin/cache/regions/products", {"maxSize": 50000}).status == 200
    found = api.regions()["products"]
    assert (found["maxSize"], found["defaultTtl"]) == (50000, "PT60M")


def test_admin_patch_merges(api: Api) -> None:
    api.region("products", description="goods", enableCompression=True)
    body = {"defaultTtl": "PT2H", "maxSize": 150000, "evictionPolicy": "LRU"}
    assert api("PATCH", "/admin/cache/regions/products", body).status == 200
    found = api.regions()["products"]
    assert (found["defaultTtl"], found["maxSize"]) == ("PT120M", 150000)
    assert (found["description"], found["enableCompression"]) == ("goods", True)


def test_read_only_unknown_and_null_fields_are_ignored(api: Api) -> None:
    created = api.region("products", size=5, createdAt="x", colour="red", maxSize=None)
    assert created["size"] == 0
    assert created["maxSize"] == 10000
    assert "colour" not in created
    assert api("PUT", f"{REGIONS}/products", created).status == 200


def test_name_in_the_body_must_be_that_of_the_path(api: Api) -> None:
    api.region("products")
    assert api("PUT", f"{REGIONS}/products", {"name": "users"}).status == 400


def test_delete(api: Api) -> None:
    api.region("old-region")
    api.fill("old-region", "a", "b", tags=["t"])
    assert api("DELETE", f"{REGIONS}/old-region").status == 204
    assert api("DELETE", f"{REGIONS}/old-region").status == 404
    assert api.regions() == {}
    api.region("old-region")
    assert api.keys("old-region", "a", "b") == set()
    assert api.regions()["old-region"]["memoryUsage"] == 0


def test_stats(api: Api) -> None:
    api.region("counted", maxSize=50)
    api.fill("counted", "a", "b")
    for key in ("a", "a", "a", "c"):
        api("GET", f"{REGIONS}/counted/keys/{key}", token="api")
    stats = api("GET", f"{REGIONS}/counted/stats", token="api").body
    assert {name: stats[name] for name in ("region", "size", "maxSize", "hits", "misses", "hitRate", "puts")} == {
        "region": "counted", "size": 2, "maxSize": 50, "hits": 3, "misses": 1, "hitRate": 0.75, "puts": 2,
    }
    assert stats["memoryUsage"] == api.regions()["counted"]["memoryUsage"] > 0


NAMES = ("two words", "a/b", "a%2Fb", "Größe", "商品", "a?b#c", "[x]*", "a:b", "{x}", "a+b", ".")


@pytest.mark.parametrize("name", NAMES)
def test_names(api: Api, name: str) -> None:
    path = f"{REGIONS}/{quote(name, safe='').replace('.', '%2E')}"
    api.region(name)
    assert list(api.regions()) == [name]
    assert api("PUT", path, {"maxSize": 7}).body["maxSize"] == 7
    assert api("PUT", f"{path}/keys/{quote('k/1 ü', safe='')}", {"value": 1}).status == 200
    assert api("GET", f"{path}/keys/{quote('k/1 ü', safe='')}").body["key"] == "k/1 ü"
    assert api("DELETE", f"{path}/clear").body["invalidated"] == 1
    assert api("DELETE", path).status == 204


def test_path_that_is_not_utf8(api: Api) -> None:
    assert api("PUT", f"{REGIONS}/%FF", {}).status == 400
