# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_warm_schedule on the real service."""

from __future__ import annotations

import typing as t

import pytest

from tests.harness.modules import run_module
from tests.harness.sequence import accepted, walk
from tests.harness.stage import Stage

DIALECTS = ["standard", "schedule-delete", "accepted", "accepted,schedule-delete", "paged", "wrapped", "map", "hal"]
SCHEDULE = "/admin/cache/warm/schedule"


def nightly(name: str, **fields: t.Any) -> dict[str, t.Any]:
    return {"name": name, "schedule": "0 2 * * *", "region": "products", "strategy": "popular-items", **fields}


NAMES = ["nightly-product-warm", "early birds", "größe", "a+b&c"]
FIRST = [nightly(NAMES[0]), nightly(NAMES[1], schedule="0 4 * * MON-FRI"), nightly(NAMES[2], schedule="30 5 * * *", enabled=False),
         nightly(NAMES[3], schedule="0 7 1 * *", strategy="all-items")]
CHANGED = [{"name": NAMES[0], "schedule": "0 1 * * *"}, {"name": NAMES[1], "schedule": "0 4 * * 1-5"}, {"name": NAMES[2], "enabled": True},
           {"name": NAMES[3], "strategy": "popular-items"}]
GONE = [{"name": name, "state": "absent"} for name in NAMES[1:]]


@pytest.mark.operation("S045", "S046", "S047")
@pytest.mark.hazard("H03", "H05")
def test_the_whole_life_in_the_standard_dialect(service) -> None:
    _life(service, "standard")


@pytest.mark.parametrize("dialect", DIALECTS[1:])
def test_the_whole_life_in_every_dialect(service, dialect: str) -> None:
    _life(service, dialect)


def _life(service, dialect: str) -> None:
    target = service(*dialect.split(","))
    stage = Stage(target)
    stage.region("products")
    created, modified, removed = walk("cache_warm_schedule", target, [
        ("create", {"schedules": FIRST}, True), ("modify", {"schedules": CHANGED}, True), ("remove", {"schedules": GONE}, True),
    ])
    assert created["summary"]["created"] == NAMES
    assert modified["summary"]["updated"] == [NAMES[0], NAMES[2], NAMES[3]] and modified["summary"]["unchanged"] == [NAMES[1]], "1-5 is MON-FRI"
    schedules = {schedule["name"]: schedule for schedule in modified["schedules"]}
    assert schedules[NAMES[0]] == {**schedules[NAMES[0]], "schedule": "0 1 * * *", "region": "products", "strategy": "popular-items", "enabled": True}
    by = "deleted" if "schedule-delete" in dialect else "disabled"
    assert removed["absent_by"] == dict.fromkeys(NAMES[1:], by) and removed["summary"]["deleted"] == NAMES[1:]
    now = {schedule["name"]: schedule for schedule in removed["schedules"]}
    if by == "deleted":
        assert list(now) == [NAMES[0]]
    else:
        assert [now[name]["absent_by"] for name in NAMES[1:]] == ["disabled"] * 3 and not any(now[name]["enabled"] for name in NAMES[1:])


def test_one_that_was_disabled_comes_back_and_one_is_really_deleted_when_the_service_is_said_to(service) -> None:
    target = service("schedule-delete")
    Stage(target).region("products")
    off = nightly("n", enabled=False)
    walk("cache_warm_schedule", target, [("off", {"schedules": [off]}, True)])
    gone = {"schedules": [{"name": "n", "state": "absent"}]}
    as_good = accepted(run_module("cache_warm_schedule", {**target.args, **gone}))
    assert as_good["changed"] is False and as_good["absent_by"] == {"n": "disabled"}
    really = {**gone, "endpoints": {"delete_schedule": {"token": "admin"}}}
    deleted, = walk("cache_warm_schedule", target, [("delete", really, True)])
    assert deleted["absent_by"] == {"n": "deleted"} and deleted["schedules"] == []
    standard = service()
    Stage(standard).region("products")
    walk("cache_warm_schedule", standard, [("on", {"schedules": [nightly("n")]}, True), ("off", gone, True), ("on again", {"schedules": [nightly("n")]}, True)])


def test_purge_within_its_limit(service) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products")
    for number in range(4):
        stage.call("POST", SCHEDULE, nightly(f"s{number}", schedule=f"0 {number} * * *"))
    options = {"schedules": [{"name": "s0"}], "purge": True}
    refused = run_module("cache_warm_schedule", {**target.args, **options, "purge_limit": 2})
    assert refused["failed"]
    assert "purge would remove 3 schedules that are not declared (s1, s2, s3), more than purge_limit 2; nothing was changed" in refused["msg"]
    assert target.proxy.writes() == []
    purged, = walk("cache_warm_schedule", target, [("purge", options, True)])
    assert purged["summary"] == {"created": [], "updated": [], "deleted": ["s1", "s2", "s3"], "unchanged": ["s0"]}


def test_what_will_hardly_be_meant_is_warned_of(service) -> None:
    target = service()
    Stage(target).region("products")
    close = [nightly("a"), nightly("b", schedule="5 2 * * 0"), nightly("c", schedule="30 2 * * *")]
    told = str(accepted(run_module("cache_warm_schedule", {**target.args, "schedules": close, "timezone": "Europe/Berlin"}, check=True))["warnings"])
    assert "schedules a and b both warm products at nearly the same time (Sun 02:00 and Sun 02:05)" in told
    assert "schedule c starts at 02:30, which does not exist on " in told and "which comes twice on " in told
    assert "warnings" not in accepted(run_module("cache_warm_schedule", {**target.args, "schedules": close, "overlap_window": 0}, check=True))


def test_a_partial_failure_is_told_and_a_second_run_completes(service) -> None:
    target = service()
    Stage(target).region("products")
    wanted = [nightly(f"s{number}", schedule=f"0 {number} * * *") for number in range(4)]
    target.proxy.break_with({"method": "POST", "nth": 2, "status": 500, "body": "boom"})
    result = run_module("cache_warm_schedule", {**target.args, "schedules": wanted, "concurrency": 1})
    assert result["failed"] and result["changed"] is True and [failure["name"] for failure in result["failures"]] == ["s1"] and "boom" in result["msg"]
    target.proxy.break_with()
    assert accepted(run_module("cache_warm_schedule", {**target.args, "schedules": wanted}))["summary"]["created"] == ["s1"]


BAD: list[tuple[str, dict[str, t.Any], str]] = [
    ("no-name", {"schedules": [{"schedule": "0 2 * * *"}]}, "missing required arguments: name"),
    ("name-dots", {"schedules": [nightly("..")]}, "'..' can't be the name of a schedule"),
    ("name-empty", {"schedules": [nightly(" ")]}, "can't be the name of a schedule"),
    ("name-lines", {"schedules": [nightly("a\nb")]}, "can't be the name of a schedule"),
    ("twice", {"schedules": [nightly("n"), {"name": "n", "state": "absent"}]}, "schedules: n is declared twice"),
    ("four-fields", {"schedules": [nightly("n", schedule="0 2 * *")]}, "schedule of n: '0 2 * *' has 4 fields; a cron expression here has five"),
    ("six-fields", {"schedules": [nightly("n", schedule="0 0 2 * * *")]}, "has 6 fields"),
    ("macro", {"schedules": [nightly("n", schedule="@daily")]}, "has 1 field;"),
    ("minute", {"schedules": [nightly("n", schedule="60 2 * * *")]}, "'60 2 * * *' is not a cron expression (bad minute)"),
    ("never", {"schedules": [nightly("n", schedule="0 2 30 2 *")]}, "is not a cron expression (bad day-of-month)"),
    ("no-region", {"schedules": [{"name": "n", "schedule": "0 2 * * *"}]}, "n is not there yet, so it needs region and strategy; nothing was changed"),
    ("region", {"schedules": [nightly("n", region="nope")]}, "n warms nope, but there is no such region (the service has products); nothing was changed"),
    ("strategy", {"schedules": [nightly("n", strategy=" ")]}, "strategy of n is empty"),
    ("purge-limit", {"purge": True, "purge_limit": -1}, "purge_limit can't be negative"),
    ("zone", {"timezone": "Mars/Base"}, "timezone: 'Mars/Base' is not a time zone such as Europe/Berlin"),
    ("zone-path", {"timezone": "../../etc/passwd"}, "is not a time zone"),
    ("window", {"overlap_window": "some"}, "overlap_window: 'some' is not a duration"),
    ("enabled", {"schedules": [nightly("n", enabled="perhaps")]}, "enabled"),
]


@pytest.mark.parametrize(("options", "told"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_bad_options(service, options: dict[str, t.Any], told: str) -> None:
    target = service()
    Stage(target).region("products")
    result = run_module("cache_warm_schedule", {**target.args, **options})
    assert result.get("failed") and not result.crashed and told in result["msg"] and "\n" not in result["msg"], result
    assert result.get("changed", False) is False and target.proxy.writes() == []
