# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_entry on the real service."""

from __future__ import annotations

import json
import time
import typing as t
from urllib.parse import quote

import pytest

from tests.harness.modules import run_module
from tests.harness.sequence import accepted, walk
from tests.harness.stage import REGIONS, Stage

DIALECTS = ["standard", "seconds", "lists-need-admin", "accepted", "paged,no-patch"]
ADMIN_LISTS = {"list_regions": {"token": "admin"}}
CANARY = "canary-7f3a91"
KEYS = ["product:456", "größe/ß", "a+b&c=d?e#f%", "日本語 1"]
VALUES: list[t.Any] = [{"id": 456, "name": CANARY, "price": 199.99}, [1, 2.5, None, {"a": CANARY}], f"text {CANARY}", 17]
FIRST = [{"key": key, "value": value, "ttl": "PT4H"} for key, value in zip(KEYS, VALUES)]
CHANGED = [{**FIRST[0], "value": {"price": 200, "id": 456}}, {**FIRST[1], "ttl": "PT30M"}, FIRST[2], {"key": KEYS[3], "value": 18}]
GONE = [{"key": key, "state": "absent"} for key in KEYS[1:]]


def stored(stage: Stage, region: str, key: str) -> t.Any:
    answer = stage.send("GET", f"{REGIONS}/{quote(region, safe='')}/keys/{quote(key, safe='')}")
    return json.loads(answer.data) if answer.status == 200 else None


@pytest.mark.operation("S033", "S034", "S036")
@pytest.mark.hazard("H03", "H05")
def test_the_whole_life_in_the_standard_dialect(service) -> None:
    _life(service, "standard")


@pytest.mark.parametrize("dialect", DIALECTS[1:])
def test_the_whole_life_in_every_dialect(service, dialect: str) -> None:
    _life(service, dialect)


def _life(service, dialect: str) -> None:
    target = service(*dialect.split(","))
    stage = Stage(target)
    stage.region("search results")
    options = {"region": "search results", "endpoints": ADMIN_LISTS if "admin" in dialect else {}}
    created, modified, removed = walk("cache_entry", target, [
        ("create", {**options, "entries": FIRST}, True), ("modify", {**options, "entries": CHANGED}, True), ("remove", {**options, "entries": GONE}, True),
    ])
    assert created["summary"]["created"] == KEYS and created["requests"]["write"] == len(KEYS)
    assert modified["summary"]["updated"] == [KEYS[0], KEYS[1], KEYS[3]] and modified["summary"]["unchanged"] == [KEYS[2]]
    assert [entry["state"] for entry in removed["entries"]] == ["absent"] * 3
    assert CANARY not in created.stdout + modified.stdout + removed.stdout, "no value is ever shown"
    assert stored(stage, "search results", KEYS[0])["value"] == {"price": 200, "id": 456} and stored(stage, "search results", KEYS[1]) is None


def test_values_are_compared_by_meaning_and_told_by_digest(service) -> None:
    target = service()
    Stage(target).region("x")
    entry = {"key": "k", "value": {"b": 1.0, "a": "ß"}}
    first = accepted(run_module("cache_entry", {**target.args, "region": "x", "entries": [entry]}))
    assert first["entries"][0]["size"] == len('{"a":"ß","b":1}'.encode()) and len(first["entries"][0]["digest"]) == 64
    again = accepted(run_module("cache_entry", {**target.args, "region": "x", "entries": [{"key": "k", "value": {"a": "ß", "b": 1}}]}))
    assert again["changed"] is False and again["entries"][0]["digest"] == first["entries"][0]["digest"]
    assert accepted(run_module("cache_entry", {**target.args, "region": "x", "entries": [{"key": "k", "value": {"a": "ß", "b": "1"}}]}))["changed"]


def test_time_left_is_held_against_the_tolerance(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("x")
    stage.call("PUT", f"{REGIONS}/x/keys/k", {"value": 1, "ttl": "PT50M"})

    def changed(ttl: t.Any, tolerance: str | None = None) -> bool:
        options = {"region": "x", "entries": [{"key": "k", "value": 1, "ttl": ttl}], **({"ttl_tolerance": tolerance} if tolerance else {})}
        return accepted(run_module("cache_entry", {**target.args, **options}, check=True))["changed"]

    assert [changed("PT50M"), changed("3000"), changed("PT52M"), changed("PT1H"), changed("PT40M")] == [False, False, False, True, True]
    assert [changed("PT1H", "PT11M"), changed("PT1H", "100%"), changed("P1D", "100%"), changed("PT51M", "PT5S")] == [False, False, False, True]
    result = run_module("cache_entry", {**target.args, "region": "x", "entries": [{"key": "k", "value": 1, "ttl": "PT2H"}]}, check=True)
    assert result["diff"]["before"]["k"]["ttl"] == "less than PT1H48M" and result["diff"]["after"]["k"]["ttl"] == "PT2H"


def test_tags_are_written_and_a_service_without_many_keys_at_once_is_read_one_by_one(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("x")
    target.proxy.break_with({"path": "/keys/batch$", "status": 405})
    entries = [{"key": f"k{number}", "value": number, "tags": ["odd"] if number % 2 else ["even"]} for number in range(6)]
    options = {**target.args, "region": "x", "entries": entries}
    result = accepted(run_module("cache_entry", options))
    assert len(result["summary"]["created"]) == 6
    again = accepted(run_module("cache_entry", options))
    assert again["changed"] is False and again["requests"] == {"read": 7, "write": 0}
    stage.call("POST", "/api/v1/cache/invalidate/tags", {"tags": ["odd"], "regions": ["x"]})
    assert [stage.there("x", f"k{number}") for number in range(6)] == [True, False] * 3


def test_a_lifetime_that_the_service_does_not_tell_is_not_compared(service) -> None:
    target = service()
    Stage(target).region("x")
    body = json.dumps({"entries": [{"key": "k", "value": 1}]})
    target.proxy.break_with({"path": "/keys/batch$", "status": 200, "body": body, "headers": {"Content-Type": "application/json"}})
    result = accepted(run_module("cache_entry", {**target.args, "region": "x", "entries": [{"key": "k", "value": 1, "ttl": "PT9H"}]}))
    assert result["changed"] is False and "does not show ttl of a key" in str(result["warnings"])
    assert result["entries"] == [{**result["entries"][0], "ttl_left": None, "state": "present"}]


def test_an_answer_that_was_lost_and_one_that_lies(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("x")
    options = {**target.args, "region": "x", "entries": [{"key": "k", "value": CANARY}]}
    target.proxy.break_with({"method": "PUT", "status": 200, "body": "{}"})
    result = run_module("cache_entry", options)
    assert result["failed"] and result["changed"] is False and "k (create): answered with success, but the key is not there" in result["msg"]
    assert CANARY not in result.stdout
    target.proxy.break_with({"method": "PUT", "first": 1, "reset": True, "forward": True})
    assert accepted(run_module("cache_entry", options))["changed"] is True and stage.there("x", "k")


def test_two_thousand_entries(service) -> None:
    target = service()
    Stage(target).region("big", maxSize=100000)
    entries = [{"key": f"product:{number}", "value": {"id": number, "name": "x" * 40}, "ttl": "PT2H"} for number in range(2000)]
    options = {**target.args, "region": "big", "entries": entries}
    begin = time.monotonic()
    first = accepted(run_module("cache_entry", options, diff=False))
    middle = time.monotonic()
    again = accepted(run_module("cache_entry", options, diff=False))
    assert len(first["summary"]["created"]) == 2000 and first["requests"]["write"] == 2000
    assert again["changed"] is False and again["requests"] == {"read": 10, "write": 0}
    assert middle - begin < 90 and time.monotonic() - middle < 30, (middle - begin, time.monotonic() - middle)


ENTRY = {"key": "k", "value": 1}
BAD: list[tuple[str, dict[str, t.Any], str]] = [
    ("no-region", {"entries": [ENTRY]}, "missing required arguments: region"),
    ("region-dots", {"region": ".."}, "'..' can't be the name of a region"),
    ("region-unknown", {"region": "nope", "entries": [ENTRY]}, "there is no region 'nope'; the service has x; nothing was changed"),
    ("no-key", {"region": "x", "entries": [{"value": 1}]}, "missing required arguments: key"),
    ("key-empty", {"region": "x", "entries": [{"key": " ", "value": 1}]}, "entries[0].key: ' ' can't be the key of an entry"),
    ("key-lines", {"region": "x", "entries": [{"key": "a\nb", "value": 1}]}, "can't be the key of an entry"),
    ("key-dots", {"region": "x", "entries": [{"key": "..", "value": 1}]}, "can't be the key of an entry"),
    ("key-surrogate", {"region": "x", "entries": [{"key": "\ud800", "value": 1}]}, "is not valid UTF-8"),
    ("no-value", {"region": "x", "entries": [{"key": "k"}]}, "entries[0] (k): give its value (state: absent removes it)"),
    ("twice", {"region": "x", "entries": [ENTRY, {"key": "k", "state": "absent"}]}, "entries: k is declared twice"),
    ("ttl", {"region": "x", "entries": [{**ENTRY, "ttl": "soon"}]}, "entries[0] (k): ttl: 'soon' is not a duration"),
    ("ttl-none", {"region": "x", "entries": [{**ENTRY, "ttl": 0}]}, "a ttl of nothing would be gone at once"),
    ("ttl-month", {"region": "x", "entries": [{**ENTRY, "ttl": "P1M"}]}, "months and years have no fixed length"),
    ("tag-empty", {"region": "x", "entries": [{**ENTRY, "tags": [""]}]}, "an empty tag can't be meant"),
    ("tolerance", {"region": "x", "ttl_tolerance": "much"}, "ttl_tolerance: 'much' is not a duration"),
    ("tolerance-percent", {"region": "x", "ttl_tolerance": "101%"}, "ttl_tolerance: 101% is more than 100 %"),
    ("state", {"region": "x", "entries": [{**ENTRY, "state": "gone"}]}, "present, absent"),
]


@pytest.mark.parametrize(("options", "told"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_bad_options(service, options: dict[str, t.Any], told: str) -> None:
    target = service()
    Stage(target).region("x")
    result = run_module("cache_entry", {**target.args, **options})
    assert result.get("failed") and not result.crashed and told in result["msg"] and "\n" not in result["msg"], result
    assert result.get("changed", False) is False and target.proxy.writes() == []
