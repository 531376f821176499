# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_invalidate on the real service and its real Redis Cluster: counted, limited, once, and truly gone."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.harness.modules import run_module
from tests.harness.sequence import accepted, walk
from tests.harness.stage import Stage

ADMIN_LISTS = {"list_regions": {"token": "admin"}, "region_stats": {"token": "admin"}}
DIALECTS = {"standard": {}, "paged": {}, "hal": {}, "accepted": {}, "no-counts": {}, "lists-need-admin": {"endpoints": ADMIN_LISTS}, "map": {}}
KEYS = {"type": "key", "region": "products", "keys": ["product:1", "product:2", "not there"]}
PATTERN = {"type": "pattern", "regions": ["users", "a*b"], "pattern": "user:*:cart"}
TAGS = {"type": "tags", "regions": ["products"], "tags": ["seasonal", "none such"]}
REGION = {"type": "region", "region": "users"}
FREE = {"max_percent": 100}


def fill(stage: Stage) -> None:
    for region in ("products", "users", "a*b", "aXb"):
        stage.region(region)
    stage.entries("products", [f"product:{number}" for number in range(10)])
    stage.entries("products", ["s1", "s2"], tags=["seasonal"])
    for region in ("users", "a*b", "aXb"):
        stage.entries(region, ["user:1:cart", "user:2:cart", "user:1:name"])


@pytest.mark.operation("S037", "S038", "S039", "S040")
def test_every_type_in_the_standard_dialect(service) -> None:
    _every_type(service, "standard")


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "standard"])
def test_every_type_in_every_dialect(service, dialect: str) -> None:
    _every_type(service, dialect)


def _every_type(service, dialect: str) -> None:
    target = service(dialect)
    stage = Stage(target)
    options = {**target.redis_args, **FREE, **DIALECTS[dialect]}
    results = walk("cache_invalidate", target, [
        (name, {**options, "invalidations": [item]}, True) for name, item in (("key", KEYS), ("pattern", PATTERN), ("tags", TAGS), ("region", REGION))
    ], before=lambda name: fill(stage))
    assert [result["matched"] for result in results] == [2, 4, 2, 3]
    assert [result["removed"] for result in results] == [2, 4, 2, 3]
    source = "counted" if dialect in ("no-counts", "accepted") else "service"
    assert {result["removed_source"] for result in results} == {source}
    assert all(result["results"][0]["status"] == "removed" and result["results"][0]["remaining"] == 0 for result in results)
    assert stage.there("products", "product:5") and stage.there("a*b", "user:1:name") and not stage.there("users", "user:1:name")
    assert stage.there("aXb", "user:1:cart"), "the star in a region's name is no wildcard"


def test_several_at_once_and_the_guides_words(service) -> None:
    target = service()
    stage = Stage(target)
    fill(stage)
    result = accepted(run_module("cache_invalidate", {**target.args, **target.redis_args, **FREE, "invalidations": [
        {"type": "key", "region": "products", "identifier": "product:3"}, {"type": "pattern", "region": "users", "identifier": "user:*:cart"}, TAGS]}))
    assert [item["removed"] for item in result["results"]] == [1, 2, 2] and result["removed"] == 5
    assert result["diff"]["before"] == {"1: key product:3 of products": 1, "2: pattern user:*:cart of users": 2, "3: tags seasonal, none such of products": 2}


def test_limits_hold_for_the_whole_request_before_anything_is_removed(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("big")
    stage.region("small")
    stage.entries("big", [f"k{number}" for number in range(60)])
    stage.entries("small", [f"k{number}" for number in range(4)])

    def refused(text: str, *items: dict[str, object], **options: object) -> None:
        target.proxy.clear()
        for check in (True, False):
            result = run_module("cache_invalidate", {**target.args, **target.redis_args, "invalidations": list(items), **options}, check=check)
            assert result["failed"] and text in result["msg"] and "nothing was removed" in result["msg"], result
        assert target.proxy.writes() == []

    key = {"type": "key", "region": "small", "keys": ["k1"]}
    refused("10 of 60 entries of big match (16.7 %), more than max_percent 10", key, {"type": "pattern", "region": "big", "pattern": "k1?"})
    refused("12 entries match, more than max_entries 11", key, {"type": "pattern", "region": "big", "pattern": "k1*"}, max_entries=11, max_percent=50)
    refused("clearing a region needs max_percent 100, not 99", {"type": "region", "region": "small"}, max_percent=99)
    refused("60 entries match, more than max_entries 59", {"type": "region", "region": "big"}, max_percent=100, max_entries=59)
    refused("small is protected: it is never cleared", {"type": "region", "region": "small"}, max_percent=100, protected_regions=["small"])
    refused("2 entries match, more than max_entries 1", {"type": "key", "region": "small", "keys": ["k1", "k2"]}, max_entries=1)
    refused("there is no region nowhere", key, {"type": "region", "region": "nowhere"}, max_percent=100)
    two = {"type": "pattern", "region": "big", "pattern": "k1"}, {"type": "pattern", "region": "big", "pattern": "k2*"}
    refused("12 of 60 entries of big match (20.0 %)", *two, max_percent=19)
    assert stage.there("small", "k1")
    accepted(run_module("cache_invalidate", {**target.args, **target.redis_args, "invalidations": [key]}))
    assert not stage.there("small", "k1"), "explicit keys count for max_entries only"


def test_what_cant_be_counted_is_refused(service) -> None:
    target = service()
    stage = Stage(target)
    fill(stage)
    pattern = {"type": "pattern", "region": "users", "pattern": "user:*:cart"}
    cases = [
        ({"invalidations": [pattern]}, "redis_nodes are not given"),
        ({"invalidations": [TAGS]}, "tag_format is not given"),
        ({**target.redis_args, "tag_format": None, "invalidations": [TAGS]}, "tag_format is not given"),
        ({**target.redis_args, "key_format": "other:{region}:{key}", "invalidations": [pattern]}, "no key in Redis is named other:{region}:{key}"),
    ]
    for options, text in cases:
        result = run_module("cache_invalidate", {**target.args, **FREE, **options})
        assert result["failed"] and text in result["msg"], result
    assert stage.there("users", "user:1:cart")
    free = {**target.args, "invalidations": [pattern], "allow_uncounted": True}
    check = accepted(run_module("cache_invalidate", free, check=True))
    assert check["changed"] is True and check["matched"] is None
    done = accepted(run_module("cache_invalidate", free))
    assert (done["changed"], done["matched"], done["removed"], done["removed_source"]) == (True, None, 2, "service")


def test_a_service_that_tells_nothing_and_can_not_be_counted(service) -> None:
    target = service("no-counts")
    stage = Stage(target)
    fill(stage)
    result = accepted(run_module("cache_invalidate", {**target.args, "invalidations": [PATTERN], "allow_uncounted": True}))
    assert (result["changed"], result["removed"], result["removed_source"]) == (True, None, "unknown")


def test_success_that_removed_nothing_is_an_error(service) -> None:
    target = service()
    stage = Stage(target)
    fill(stage)
    target.proxy.break_with({"method": "POST", "path": "invalidate", "status": 200, "body": "{}"})
    result = run_module("cache_invalidate", {**target.args, **target.redis_args, **FREE, "invalidations": [PATTERN]})
    assert result["failed"] and result["changed"] is False and "none of 4 entries is gone" in result["msg"]


def test_the_first_failure_ends_the_request_and_tells_what_is_done(service) -> None:
    target = service()
    stage = Stage(target)
    fill(stage)
    target.proxy.break_with({"method": "POST", "path": "invalidate/pattern", "status": 500, "body": "boom"})
    result = run_module("cache_invalidate", {**target.args, **target.redis_args, **FREE, "invalidations": [KEYS, PATTERN, TAGS]})
    assert result["failed"] and result["changed"] is True
    assert [item["status"] for item in result["results"]] == ["removed", "failed", "not tried"] and "boom" in result["msg"]
    assert not stage.there("products", "product:1") and stage.there("products", "s1")


def test_the_same_request_id_removes_nothing_twice(service, tmp_path) -> None:
    target = service()
    stage = Stage(target)
    fill(stage)
    options = {**target.args, **target.redis_args, **FREE, "invalidations": [KEYS, TAGS], "request_id": "deploy-4711", "store_url": f"file://{tmp_path}/store"}
    assert accepted(run_module("cache_invalidate", options, check=True))["changed"] is True
    assert not (tmp_path / "store").exists(), "check mode records nothing"
    first = accepted(run_module("cache_invalidate", options))
    assert (first["removed"], first["replayed"]) == (4, False)
    fill(stage)
    target.proxy.clear()
    again = accepted(run_module("cache_invalidate", options))
    assert (again["changed"], again["removed"], again["replayed"], again["matched"]) == (False, 0, True, 4)
    assert again["results"] == first["results"] and target.proxy.records() == []
    other = run_module("cache_invalidate", {**options, "invalidations": [KEYS]})
    assert other["failed"] and "was used for another request" in other["msg"]


def test_a_run_that_died_is_taken_up_after_its_lease(service, tmp_path) -> None:
    """The first item is done and recorded, then the run dies; the next goes on with the second."""
    target = service()
    stage = Stage(target)
    fill(stage)
    folder = tmp_path / "requests" / "r1"
    options = {**target.args, **target.redis_args, **FREE, "invalidations": [KEYS, TAGS], "request_id": "r1", "store_url": f"file://{tmp_path}"}
    target.proxy.break_with({"path": "invalidate/tags", "status": 500, "body": "dies here"})
    assert run_module("cache_invalidate", options)["failed"]
    assert sorted(os.listdir(folder)) == ["part-0", "released-0", "started"]
    (folder / "released-0").unlink()  # as if it had been killed
    target.proxy.break_with()
    busy = run_module("cache_invalidate", options)
    assert busy["failed"] and "another run works on r1" in busy["msg"] and busy.get("changed", False) is False
    past = time.time() - 121
    for name in os.listdir(folder):
        os.utime(folder / name, (past, past))
    fill(stage)
    target.proxy.clear()
    result = accepted(run_module("cache_invalidate", options))
    assert [item["status"] for item in result["results"]] == ["removed earlier", "removed"]
    assert [record["path"] for record in target.proxy.writes()] == ["/api/v1/cache/invalidate/tags"]
    assert json.loads((folder / "finished").read_text())["removed"] == 4


def test_a_run_that_failed_can_be_repeated_at_once(service, tmp_path) -> None:
    target = service()
    stage = Stage(target)
    fill(stage)
    options = {**target.args, **target.redis_args, **FREE, "invalidations": [KEYS, TAGS], "request_id": "r3", "store_url": f"file://{tmp_path}"}
    target.proxy.break_with({"path": "invalidate/tags", "first": 1, "status": 500, "body": "once"})
    assert run_module("cache_invalidate", options)["failed"]
    result = accepted(run_module("cache_invalidate", options))
    assert [item["status"] for item in result["results"]] == ["removed earlier", "removed"]


def test_a_claim_that_nothing_bears_out_is_told(service) -> None:
    """It may have been written again since, so it is a warning; what is only accepted and not done is an error."""
    target = service()
    stage = Stage(target)
    fill(stage)
    target.proxy.break_with({"method": "POST", "path": "invalidate", "status": 200, "body": '{"removed": 4}'})
    result = accepted(run_module("cache_invalidate", {**target.args, **target.redis_args, **FREE, "invalidations": [PATTERN]}))
    assert result["results"][0]["remaining"] == 4 and "or never removed" in str(result["warnings"])
    target.proxy.break_with({"method": "POST", "path": "invalidate", "status": 202, "body": "{}"})
    late = run_module("cache_invalidate", {**target.args, **target.redis_args, **FREE, "invalidations": [PATTERN], "wait_timeout": 0.5})
    assert late["failed"] and "4 of 4 entries are still there after 0.5 s" in late["msg"]


def test_a_pattern_can_not_clear_a_protected_region(service) -> None:
    target = service()
    stage = Stage(target)
    fill(stage)
    everything = {**target.args, **target.redis_args, **FREE, "protected_regions": ["users"]}
    for pattern in ("*", "user:*"):
        result = run_module("cache_invalidate", {**everything, "invalidations": [{"type": "pattern", "region": "users", "pattern": pattern}]})
        assert result["failed"] and "users is protected: it is never cleared" in result["msg"]
    accepted(run_module("cache_invalidate", {**everything, "invalidations": [{"type": "pattern", "region": "users", "pattern": "user:*:cart"}]}))


def test_nothing_that_matches_is_recorded_too(service, tmp_path) -> None:
    target = service()
    stage = Stage(target)
    stage.region("users")
    options = {**target.args, **target.redis_args, **FREE, "invalidations": [{"type": "pattern", "region": "users", "pattern": "x*"}],
               "request_id": "r2", "store_url": f"file://{tmp_path}"}
    assert accepted(run_module("cache_invalidate", options))["changed"] is False
    stage.entries("users", ["x1"])
    assert accepted(run_module("cache_invalidate", options))["replayed"] is True and stage.there("users", "x1")


def test_what_two_items_match_counts_once(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("users")
    stage.entries("users", [f"{kind}{number}" for kind in "ab" for number in range(4)])
    items = [{"type": "pattern", "region": "users", "pattern": pattern} for pattern in ("a*", "?1", "a1")]
    options = {**target.args, **target.redis_args, "invalidations": items, "max_entries": 5, "max_percent": 62.5}
    result = accepted(run_module("cache_invalidate", options))
    assert [item["matched"] for item in result["results"]] == [4, 1, 0] and (result["matched"], result["removed"]) == (5, 5)
    assert len(target.proxy.writes()) == 2


def test_patterns_together_can_not_clear_a_protected_region(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("users")
    stage.entries("users", ["a1", "b1"])
    items = [{"type": "pattern", "region": "users", "pattern": pattern} for pattern in ("a*", "b*")]
    result = run_module("cache_invalidate", {**target.args, **target.redis_args, **FREE, "protected_regions": ["users"], "invalidations": items})
    assert result["failed"] and "users is protected: it is never cleared" in result["msg"] and target.proxy.writes() == []


def test_a_record_that_can_not_be_written_hides_nothing(service, tmp_path) -> None:
    """What was removed is told, although the store fails behind it."""
    target = service()
    stage = Stage(target)
    fill(stage)
    folder = tmp_path / "requests" / "r4"
    (folder / "part-0").mkdir(parents=True)
    options = {**target.args, **target.redis_args, **FREE, "invalidations": [KEYS], "request_id": "r4", "store_url": f"file://{tmp_path}"}
    result = run_module("cache_invalidate", options)
    assert result["failed"] and result["changed"] is True and result["removed"] == result["matched"] and "can't write to the store" in result["msg"]


def test_a_run_that_died_is_taken_up_by_one_only(service, tmp_path) -> None:
    from concurrent.futures import ThreadPoolExecutor
    target = service()
    stage = Stage(target)
    fill(stage)
    options = {**target.args, **target.redis_args, **FREE, "invalidations": [TAGS], "request_id": "r5", "store_url": f"file://{tmp_path}"}
    target.proxy.break_with({"path": "invalidate/tags", "first": 1, "status": 500, "body": "once"}, {"path": "invalidate/tags", "delay": 1})
    assert run_module("cache_invalidate", options)["failed"]
    target.proxy.clear()
    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(lambda _number: run_module("cache_invalidate", options), range(3)))
    losers = [result["msg"] for result in results if result.get("failed")]
    assert len(target.proxy.writes()) == 1 and len(losers) == 2 and all("another run works on r5" in message for message in losers), losers
