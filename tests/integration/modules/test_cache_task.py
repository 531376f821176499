# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_task on the real service: what a job did decides, each process is listed, and a shutdown is looked at."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest

from tests.harness.modules import run_module
from tests.harness.sequence import accepted
from tests.harness.stage import REGIONS, Stage
from tests.harness.targets import Pair
from tests.integration.modules.test_bad_input import refused

WHOLE = {"cleanup_expired": "S070", "optimize": "S074", "optimize_patterns": "S102", "optimize_memory": "S094", "optimize_schedules": "S075"}


@pytest.fixture(scope="module")
def made(fleet) -> Iterator[Pair]:
    result = Pair(fleet, ())
    try:
        yield result
    finally:
        result.close()


@pytest.fixture
def pair(made: Pair) -> Pair:
    made.renew()
    return made


@pytest.mark.operation("S070", "S074", "S075", "S094", "S102")
def test_jobs_of_the_service_as_a_whole(service, tmp_path) -> None:
    target = service()
    Stage(target).region("products")
    for task in WHOLE:
        options = {**target.args, "task": task, "store_url": f"file://{tmp_path}", "min_interval": "PT1H"}
        target.proxy.clear()
        predicted = accepted(run_module("cache_task", options, check=True))
        assert predicted["changed"] is True and target.proxy.writes() == [] and predicted["result"] is None
        real = accepted(run_module("cache_task", options))
        assert len(target.proxy.writes()) == 1 and real["result"]["answer"] is not None
        assert real["changed"] is (real["result"]["changes"] != 0)
        target.proxy.clear()
        for check in (True, False):
            again = accepted(run_module("cache_task", options, check=check))
            assert again["changed"] is False and again["diff"] == {"before": {}, "after": {}} and again["result"] == real["result"]
            assert 0 <= again["last_run"] < 3600
        assert target.proxy.records() == [], "a run that is too early asks nothing"


def test_changed_is_what_the_service_did(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("short")
    first = accepted(run_module("cache_task", {**target.args, "task": "cleanup_expired"}))
    for key in ("a", "b"):
        stage.call("PUT", f"{REGIONS}/short/keys/{key}", {"value": 1, "ttl": "PT1H"})
    second = accepted(run_module("cache_task", {**target.args, "task": "cleanup_expired"}))
    assert first["changed"] is second["changed"] is False and second["result"]["changes"] == 0, "nothing had expired"


@pytest.mark.operation("S075")
def test_what_became_of_the_schedules_is_shown(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products")
    for name in ("one", "two"):
        stage.call("POST", "/admin/cache/warm/schedule", {"name": name, "schedule": "0 1 * * *", "region": "products", "strategy": "popular-items"})
    result = accepted(run_module("cache_task", {**target.args, "task": "optimize_schedules"}))
    differ = sorted({*result["diff"]["before"], *result["diff"]["after"]})
    assert result["changed"] is bool(differ) and result["result"]["changes"] == len(differ)
    again = accepted(run_module("cache_task", {**target.args, "task": "optimize_schedules"}))
    assert again["changed"] is False and again["diff"] == {"before": {}, "after": {}}


@pytest.mark.operation("S021")
@pytest.mark.hazard("H02")
def test_refresh_goes_to_every_process(pair: Pair) -> None:
    options = {**pair.args, "task": "refresh"}
    predicted = accepted(run_module("cache_task", options, check=True))
    assert predicted["changed"] is True and pair.writes() == [[], []]
    result = accepted(run_module("cache_task", options))
    assert [(entry["name"], entry["status"]) for entry in result["instances"]] == [("one", "refreshed"), ("two", "refreshed")]
    assert pair.writes() == [["POST /actuator/refresh"]] * 2
    assert result["changed"] is any(entry["changed"] for entry in result["instances"])


@pytest.mark.hazard("H02", "H03")
def test_a_frozen_process_does_not_hold_up_the_others(pair: Pair) -> None:
    with pair.second.frozen():
        result = run_module("cache_task", {**pair.args, "task": "refresh", "timeout": 1, "retries": 1})
    assert result["failed"] and "refresh failed on 1 of 2 instances: two: " in result["msg"] and result.seconds < 20
    assert [entry["status"] for entry in result["instances"]] == ["refreshed", "failed"]
    assert result["changed"] is True, "what a silent process did is not known"


def test_a_refused_process_is_told_with_the_reason(pair: Pair) -> None:
    pair.second.proxy.break_with({"method": "POST", "path": "refresh", "status": 500, "body": "boom"})
    result = run_module("cache_task", {**pair.args, "task": "refresh"})
    assert result["failed"] and "two: POST " in result["msg"] and "500 Internal Server Error: boom" in result["msg"]


@pytest.mark.operation("S009")
@pytest.mark.hazard("H02", "H09", "H11")
def test_flush_and_shutdown_ends_every_process(fleet) -> None:
    """Processes of its own: they are gone afterwards."""
    group = Pair(fleet, ())
    try:
        options = {**group.args, "task": "flush_and_shutdown", "timeout": "PT10S"}
        group.second.stop()
        predicted = accepted(run_module("cache_task", options, check=True))
        assert predicted["changed"] is True and group.writes() == [[], []] and group.first.process.poll() is None
        group.second.start()
        result = accepted(run_module("cache_task", options))
        assert [entry["status"] for entry in result["instances"]] == ["shut down", "shut down"] and result["changed"] is True
        assert [member.process.wait(10) for member in group.members] == [0, 0]
        direct = [{"name": name, "url": member.direct_url, "management_url": member.direct_url} for name, member in zip(("one", "two"), group.members)]
        for check in (True, False):
            again = accepted(run_module("cache_task", {**options, "instances": direct}, check=check))
            assert again["changed"] is False and [entry["status"] for entry in again["instances"]] == ["is down already"] * 2
    finally:
        group.close()


def test_who_can_not_be_reached_is_not_taken_for_down(pair: Pair) -> None:
    """Nobody is ended then, as what it holds would be lost; an address where nobody listens is that of a process that is down."""
    away = {"name": "away", "url": "http://nobody.invalid:8403", "management_url": "http://nobody.invalid:8404"}
    for check in (True, False):
        result = run_module("cache_task", {**pair.args, "task": "flush_and_shutdown", "instances": [*pair.args["instances"], away]}, check=check)
        assert result["failed"] and result["msg"].startswith("away: whether it runs can't be seen, so no instance was ended: "), result
        assert "\n" not in result["msg"] and not result.get("changed") and pair.writes() == [[], []]


BAD: dict[str, tuple[dict[str, t.Any], str]] = {
    "none": ({}, "missing required arguments: task"),
    "unknown": ({"task": "defragment"}, "value of task must be one of"),
    "no-store": ({"task": "optimize", "min_interval": "PT1H"}, "min_interval: needs store_url"),
    "interval": ({"task": "optimize", "min_interval": "often", "store_url": "file:///tmp/x"}, "min_interval: 'often' is not a duration"),
    "bad-store": ({"task": "optimize", "min_interval": "PT1H", "store_url": "ftp://x"}, "is not a store"),
    "no-instances": ({"task": "refresh"}, "instances: this acts on each process of the service"),
    "shutdown-no-instances": ({"task": "flush_and_shutdown"}, "instances: this acts on each process"),
    "wait": ({"task": "optimize", "wait_timeout": "soon"}, "wait_timeout: 'soon' is not a duration"),
    "list": ({"task": ["optimize"]}, "task"),
    "endpoints": ({"task": "optimize", "endpoints": {"optimise": {"path": "/x"}}}, "there is no endpoint 'optimise'"),
}


def test_bad_input_is_one_clear_line_and_nothing_is_written(service) -> None:
    target = service()
    for options, told in BAD.values():
        target.proxy.clear()
        refused(target, "cache_task", options, told)


def test_a_refused_token_is_told(service) -> None:
    target = service()
    result = run_module("cache_task", {**target.args, "admin_token": "wrong", "task": "optimize"})
    assert result["failed"] and "is admin_token right for this service?" in result["msg"] and result.get("changed", False) is False
