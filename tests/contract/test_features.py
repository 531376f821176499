# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Feature flags: listed, set, and what the guide's flags do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import REGIONS, Api, Start, entry, wait_until

FEATURES = "/admin/features"
# Word for word from the operations guide
COMPRESSION = {"enabled": True}
WRITE_THROUGH = {"enabled": True, "regions": ["products", "users"], "rolloutPercentage": 25}


def flags(api: Api) -> dict[str, dict[str, Any]]:
    return {flag["name"]: flag for flag in api.done("GET", FEATURES)}


def test_the_guide_s_flags(api: Api) -> None:
    assert flags(api).keys() == {"cache-compression", "write-through"}
    answer = api.done("PUT", f"{FEATURES}/cache-compression", COMPRESSION)
    assert answer == {"name": "cache-compression", "enabled": True, "regions": [], "rolloutPercentage": 100}
    answer = api.done("PUT", f"{FEATURES}/write-through", WRITE_THROUGH)
    assert answer == {"name": "write-through", **WRITE_THROUGH} == flags(api)["write-through"]


def test_put_replaces_or_merges(make_api: Callable[..., Api]) -> None:
    for dialects, regions in (((), []), (("put-merges",), ["products", "users"])):
        api = make_api(*dialects)
        api.done("PUT", f"{FEATURES}/write-through", WRITE_THROUGH)
        answer = api.done("PUT", f"{FEATURES}/write-through", {"rolloutPercentage": 50})
        assert (answer["enabled"], answer["regions"], answer["rolloutPercentage"]) == (True, regions, 50)


def test_unknown_flags(make_api: Callable[..., Api]) -> None:
    api = make_api()
    assert api.done("PUT", f"{FEATURES}/new%20one", {"enabled": True})["name"] == "new one"
    assert flags(api)["new one"]["enabled"] is True
    fixed = make_api("fixed-features")
    assert fixed("PUT", f"{FEATURES}/new", {"enabled": True}).status == 404
    assert fixed("PUT", f"{FEATURES}/write-through", {"enabled": True}).status == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [("enabled", "yes"), ("regions", "products"), ("regions", [""]), ("rolloutPercentage", 101),
     ("rolloutPercentage", -1), ("rolloutPercentage", 2.5)],
)
def test_invalid_flags(standing: Api, field: str, value: object) -> None:
    answer = standing("PUT", f"{FEATURES}/write-through", {"enabled": True, field: value})
    assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (400, [field])


def test_shapes(make_api: Callable[..., Api]) -> None:
    listed = make_api("map", "seconds", "lower-case-enums").done("GET", FEATURES)
    assert listed["cache-compression"]["rolloutPercentage"] == 100
    nulls = make_api("null-fields").done("GET", FEATURES)
    absent = make_api("absent-fields").done("GET", FEATURES)
    assert [flag["regions"] for flag in nulls] == [None, None]
    assert not any("regions" in flag for flag in absent)


def stored(api: Api, region: str, number: int) -> list[bool]:
    """Whether each entry was compressed."""
    keys = [f"k{index}" for index in range(number)]
    for key in keys:
        api.done("PUT", entry(region, key), {"value": "abc " * 100}, token="api")
    found = api.done("POST", f"{REGIONS}/{region}/keys/batch", {"keys": keys})["entries"]
    return [one["storedBytes"] < 100 for one in found]


def test_compression_acts_by_region_and_share(api: Api) -> None:
    for region in ("a", "b"):
        api.region(region, enableCompression=True)
    path = f"{FEATURES}/cache-compression"
    api.done("PUT", path, {"enabled": False})
    assert not any(stored(api, "a", 5))
    api.done("PUT", path, {"enabled": True, "regions": ["a"]})
    assert all(stored(api, "a", 5))
    assert not any(stored(api, "b", 5))
    api.done("PUT", path, {"enabled": True, "rolloutPercentage": 25})
    quarter = stored(api, "a", 200)
    assert 25 < sum(quarter) < 75
    api.done("PUT", path, {"enabled": True, "rolloutPercentage": 50})
    half = stored(api, "a", 200)
    assert all(after for before, after in zip(quarter, half, strict=True) if before)
    assert 70 < sum(half) < 130


def test_all_instances_follow_at_once(member: Start) -> None:
    one, other = member()[1], member()[1]
    one.region("a", enableCompression=True)
    for on in (False, True, False):
        one.done("PUT", f"{FEATURES}/cache-compression", {"enabled": on})
        assert flags(other)["cache-compression"]["enabled"] is on
        assert stored(other, "a", 1) == [on]


def test_write_through_writes_to_the_database(member: Start, tmp_path: Path) -> None:
    path = tmp_path / "data.sqlite"
    _process, one = member("--database", str(path))
    one.region("products")
    one.region("other")
    one.done("PUT", f"{FEATURES}/write-through", {**WRITE_THROUGH, "rolloutPercentage": 100})
    for region in ("products", "other"):
        one.fill(region, "k")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT region, key, value FROM written_through").fetchall() == [
            ("products", "k", '{"id": "k"}')]
    path.unlink()
    assert one("PUT", entry("products", "k2"), {"value": 1}, token="api").status == 503
    assert wait_until(lambda: not one.keys("products", "k2"))
