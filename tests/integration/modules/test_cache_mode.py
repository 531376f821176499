# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_mode on real processes: every one is asked, written to and listed, whatever the others do."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable, Iterator

import pytest

from tests.harness.modules import ModuleResult, run_module
from tests.harness.sequence import accepted
from tests.harness.targets import Pair
from tests.integration.modules.test_bad_input import refused

PATH = "/admin/emergency/local-cache-mode"
FIXED: dict[str, t.Any] = {"diff": {"before": {}, "after": {}}, "changed": False}


@pytest.fixture(scope="module")
def pairs(fleet) -> Iterator[Callable[..., Pair]]:
    """Two processes of each dialect, in the normal mode."""
    made: dict[tuple[str, ...], Pair] = {}

    def make(*dialects: str) -> Pair:
        if dialects not in made:
            made[dialects] = Pair(fleet, dialects)
        pair = made[dialects]
        for member in pair.members:
            if member.process.poll() is None:
                member.stop()
        pair.renew()
        return pair

    try:
        yield make
    finally:
        for pair in made.values():
            pair.close()


def modes(result: ModuleResult) -> list[str]:
    return [entry["mode"] for entry in result["instances"]]


def both(pair: Pair, options: dict[str, t.Any], changes: bool) -> ModuleResult:
    """Check mode writes nothing and predicts; then for real."""
    for member in pair.members:
        member.proxy.clear()
    predicted = accepted(run_module("cache_mode", {**pair.args, **options}, check=True))
    assert pair.writes() == [[], []]
    real = accepted(run_module("cache_mode", {**pair.args, **options}))
    assert predicted["changed"] is real["changed"] is changes and predicted["diff"] == real["diff"]
    assert all(bool(writes) is changes for writes in pair.writes())
    return real


@pytest.mark.operation("S091")
@pytest.mark.hazard("H02", "H29")
def test_entering_and_leaving_where_the_service_tells(pairs) -> None:
    pair = pairs("leave-mode", "mode-readable")
    assert modes(both(pair, {"state": "normal"}, False)) == ["normal", "normal"]
    entered = both(pair, {"state": "local_cache", "reason": "Redis is away"}, True)
    assert modes(entered) == ["local_cache", "local_cache"] and [entry["was"] for entry in entered["instances"]] == ["normal", "normal"]
    assert all(entry["readable"] for entry in entered["instances"]) and entered["summary"]["updated"] == ["one", "two"]
    assert pair.writes() == [[f"POST {PATH}"]] * 2
    both(pair, {"state": "local_cache", "reason": "Redis is away"}, False)
    assert modes(both(pair, {"state": "normal"}, True)) == ["normal", "normal"]
    assert pair.writes() == [[f"DELETE {PATH}"]] * 2
    both(pair, {"state": "normal"}, False)


def test_where_only_the_health_tells_the_store_knows_the_rest(pairs, tmp_path) -> None:
    """The health of this dialect has a component for the mode while it lasts, and says nothing in the normal one; a start ends the mode."""
    pair = pairs("leave-mode")
    store = {"store_url": f"file://{tmp_path}"}
    entered = both(pair, {"state": "local_cache"}, True)
    assert modes(entered) == ["local_cache", "local_cache"] and all(entry["readable"] for entry in entered["instances"])
    both(pair, {"state": "local_cache"}, False)
    left = both(pair, {"state": "normal", **store}, True)
    assert modes(left) == ["normal", "normal"] and not any(entry["readable"] for entry in left["instances"])
    both(pair, {"state": "normal", **store}, False)
    assert accepted(run_module("cache_mode", {**pair.args, "state": "normal"}))["changed"] is True, "unknown without the record"
    pair.second.stop()
    pair.second.start()
    both(pair, {"state": "normal", **store}, False)
    both(pair, {"state": "local_cache", **store}, True)
    for member in pair.members:
        member.stop()
        member.start()
    both(pair, {"state": "normal", **store}, False)
    both(pair, {"state": "local_cache", **store}, True)


def test_a_mode_for_some_regions(pairs) -> None:
    pair = pairs("leave-mode", "mode-readable")
    both(pair, {"state": "local_cache", "regions": ["b", "a"]}, True)
    both(pair, {"state": "local_cache", "regions": ["a", "b"]}, False)
    both(pair, {"state": "local_cache", "regions": ["a"]}, True)


def test_only_the_process_that_differs_is_written_to(pairs) -> None:
    pair = pairs("leave-mode", "mode-readable")
    accepted(run_module("cache_mode", {**pair.first.args, "single_instance": True, "state": "local_cache"}))
    for member in pair.members:
        member.proxy.clear()
    result = accepted(run_module("cache_mode", {**pair.args, "state": "local_cache"}))
    assert result["summary"] == {"created": [], "updated": ["two"], "deleted": [], "unchanged": ["one"]}
    assert pair.writes() == [[], [f"POST {PATH}"]]


@pytest.mark.hazard("H29")
def test_where_there_is_no_way_back_the_remedy_is_told(pairs) -> None:
    pair = pairs()
    accepted(run_module("cache_mode", {**pair.args, "state": "local_cache"}))
    result = run_module("cache_mode", {**pair.args, "state": "normal"})
    assert result["failed"] and result["changed"] is False and modes(result) == ["local_cache", "local_cache"]
    assert "restart its processes one after the other, or name its own call in endpoints.leave_local_cache_mode" in result["msg"]
    for member in pair.members:
        member.stop()
        member.start()
        member.proxy.clear()
    told = run_module("cache_mode", {**pair.args, "state": "normal"})
    assert told["failed"] and modes(told) == ["unknown", "unknown"], "a restart was the way back, but this service tells nothing of it"


@pytest.mark.hazard("H02", "H29")
def test_a_frozen_process_does_not_hold_up_the_others(pairs) -> None:
    pair = pairs("leave-mode", "mode-readable")
    quick = {**pair.args, "timeout": 1, "retries": 1, "state": "local_cache", "wait_timeout": 2}
    with pair.second.frozen():
        result = run_module("cache_mode", quick)
    assert result["failed"] and result["changed"] is True and result.seconds < 20, result
    assert modes(result) == ["local_cache", "unknown"] and "no complete answer within 1 s" in result["instances"][1]["error"]
    assert [failure["name"] for failure in result["failures"]] == ["two"]
    later = accepted(run_module("cache_mode", quick))
    assert later["changed"] is True or modes(later) == ["local_cache", "local_cache"]
    assert accepted(run_module("cache_mode", quick))["changed"] is False


def test_a_process_that_is_down_is_told(pairs) -> None:
    pair = pairs("leave-mode", "mode-readable")
    dead = [*pair.args["instances"], {"name": "three", "url": "http://127.0.0.1:9", "management_url": "http://127.0.0.1:9"}]
    result = run_module("cache_mode", {**pair.args, "instances": dead, "state": "local_cache", "retries": 0})
    assert result["failed"] and result["changed"] is True and modes(result) == ["local_cache", "local_cache", "unknown"]
    assert "three (update): " in result["msg"] and "Connection refused" in result["msg"]


def test_an_expiry_is_kept_where_the_run_that_ends_it_looks(pairs, tmp_path) -> None:
    pair = pairs("leave-mode", "mode-readable")
    options = {"state": "local_cache", "reason": "incident 4711", "expires_after": "PT2H", "expiry_enforced_by": "incident", "store_url": f"file://{tmp_path}"}
    entered = both(pair, options, True)
    assert entered["enforced_by"] == "incident"
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "mode").iterdir())]
    assert [record["instance"] for record in records] == ["one", "two"]
    for record in records:
        assert record["recorded"]["mode"] == "local_cache" and record["recorded"]["reason"] == "incident 4711"
        assert record["recorded"]["enforced_by"] == "incident" and record["recorded"]["expires_at"].endswith("+00:00")
    both(pair, options, False)
    for member in pair.members:
        member.proxy.clear()
    longer = accepted(run_module("cache_mode", {**pair.args, **options, "expires_after": "PT3H"}))
    assert longer["changed"] is True and pair.writes() == [[], []], "the mode is as wanted: only the record is new"
    accepted(run_module("cache_mode", {**pair.args, "state": "normal", "store_url": f"file://{tmp_path}"}))


BAD: dict[str, tuple[dict[str, t.Any], str]] = {
    "no-state": ({"single_instance": True}, "missing required arguments: state"),
    "state": ({"state": "fallback", "single_instance": True}, "value of state must be one of: normal, local_cache"),
    "no-instances": ({"state": "local_cache"}, "instances: this acts on each process of the service"),
    "same-name": ({"state": "local_cache", "instances": [{"name": "a", "url": "http://127.0.0.1:9"}, {"name": "a", "url": "http://127.0.0.1:8"}]},
                  "instances: two of them have the same name"),
    "nobody-ends-it": ({"state": "local_cache", "single_instance": True, "expires_after": "PT1H"}, "expiry_enforced_by names the scheduled run"),
    "no-store": ({"state": "local_cache", "single_instance": True, "expires_after": "PT1H", "expiry_enforced_by": "incident"},
                 "expires_after: needs store_url"),
    "expiry": ({"state": "local_cache", "single_instance": True, "expires_after": "later", "expiry_enforced_by": "incident", "store_url": "file:///tmp/x"},
               "expires_after: 'later' is not a duration"),
    "no-time": ({"state": "local_cache", "single_instance": True, "expires_after": 0, "expiry_enforced_by": "incident", "store_url": "file:///tmp/x"},
                "expires_after: it must be more than 0 seconds"),
    "normal-expiry": ({"state": "normal", "single_instance": True, "expires_after": "PT1H"}, "belong to state local_cache"),
    "normal-regions": ({"state": "normal", "single_instance": True, "regions": ["a"]}, "belong to state local_cache"),
    "reason": ({"state": "local_cache", "single_instance": True, "reason": "two\nlines"}, "reason: give one line"),
    "region": ({"state": "local_cache", "single_instance": True, "regions": [".."]}, "regions: '..' can't be the name of a region"),
    "wait": ({"state": "local_cache", "single_instance": True, "wait_timeout": "P1Y"}, "wait_timeout: 'P1Y' is not a duration"),
}


def test_bad_input_is_one_clear_line_and_nothing_is_written(service) -> None:
    target = service()
    for options, told in BAD.values():
        target.proxy.clear()
        refused(target, "cache_mode", options, told)
