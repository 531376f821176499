# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warm schedules: what the guide sends, and that they fire, once for all instances."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from tests.contract.conftest import Api, Start, wait_until
from tests.fleet.service import cron, schedules, settings, web
from tests.harness.targets import Service

SCHEDULE = "/admin/cache/warm/schedule"
# Word for word from the operations guide
NIGHTLY = {
    "name": "nightly-product-warm",
    "schedule": "0 2 * * *",
    "region": "products",
    "strategy": "popular-items",
    "enabled": True,
}
EARLIER = {"schedule": "0 1 * * *", "enabled": True}
MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)


def test_create_list_and_change(api: Api) -> None:
    created = api("POST", SCHEDULE, NIGHTLY)
    assert (created.status, {field: created.body[field] for field in NIGHTLY}) == (201, NIGHTLY)
    assert created.body["timeZone"] == "UTC"
    assert api("POST", SCHEDULE, NIGHTLY).status == 409
    changed = api.done("PUT", f"{SCHEDULE}/{NIGHTLY['name']}", EARLIER)
    assert {field: changed[field] for field in NIGHTLY} == {**NIGHTLY, **EARLIER}
    assert api.done("GET", f"{SCHEDULE}s") == [changed]
    assert changed["nextRun"][11:16] == "01:00"
    stopped = api.done("PUT", f"{SCHEDULE}/{NIGHTLY['name']}", {"enabled": False})
    assert (stopped["schedule"], stopped["enabled"], stopped["nextRun"]) == ("0 1 * * *", False, None)


def test_delete(make_api: Callable[..., Api]) -> None:
    refused = make_api()
    refused.done("POST", SCHEDULE, NIGHTLY)
    answer = refused("DELETE", f"{SCHEDULE}/{NIGHTLY['name']}")
    assert (answer.status, answer.headers["Allow"]) == (405, "PUT")
    api = make_api("schedule-delete")
    api.done("POST", SCHEDULE, NIGHTLY)
    assert api("DELETE", f"{SCHEDULE}/{NIGHTLY['name']}").status == 204
    assert api("DELETE", f"{SCHEDULE}/{NIGHTLY['name']}").status == 404
    assert api.done("GET", f"{SCHEDULE}s") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", None), ("schedule", None), ("schedule", "0 2 * *"), ("schedule", "60 * * * *"),
     ("schedule", "* 24 * * *"), ("schedule", "0 0 0 * *"), ("schedule", "*/0 * * * *"), ("schedule", "5-1 * * * *"),
     ("schedule", "@daily"), ("schedule", "0 2 * * * *"), ("schedule", 5), ("region", ""), ("strategy", "some"),
     ("enabled", "yes")],
)
def test_invalid_schedules(standing: Api, field: str, value: object) -> None:
    answer = standing("POST", SCHEDULE, {**NIGHTLY, field: value})
    assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (400, [field])


@pytest.mark.parametrize(
    ("expression", "following"),
    [("0 2 * * *", "2026-11-24 02:00"), ("* * * * *", "2026-11-23 12:01"),
     ("*/15 9-17 * * MON-FRI", "2026-11-23 12:15"),
     ("30 12 29 2 *", "2028-02-29 12:30"), ("0 0 13 * 5", "2026-11-27 00:00"), ("0 0 * * 7", "2026-11-29 00:00"),
     ("5,35 12 * DEC *", "2026-12-01 12:05"), ("0 0 30 2 *", None)],
)
def test_the_next_time(expression: str, following: str | None) -> None:
    found = cron.parse(expression).following(MONDAY)
    assert (found and f"{found:%Y-%m-%d %H:%M}") == following
    assert found is None or cron.parse(expression).matches(found)


def test_a_schedule_fires_at_its_minute(member: Start) -> None:
    """The clock of two instances is set to shortly before a minute: one of them starts the job."""
    ahead = 52 - time.time() % 60
    members = [member("--clock-offset", str(ahead))[1] for _number in range(2)]
    one = members[0]
    one.region("products")
    one.done("POST", SCHEDULE, {**NIGHTLY, "schedule": "* * * * *"})
    one.done("POST", SCHEDULE, {**NIGHTLY, "name": "off", "schedule": "* * * * *", "enabled": False})

    def ran() -> bool:
        return bool({told["name"]: told["lastRun"] for told in one.done("GET", f"{SCHEDULE}s")}[NIGHTLY["name"]])

    assert wait_until(ran, 62)
    told = {schedule["name"]: schedule for schedule in members[1].done("GET", f"{SCHEDULE}s")}
    assert (told[NIGHTLY["name"]]["lastMessage"], told["off"]["lastRun"]) == ("started", None)
    assert [job["region"] for job in one.done("GET", "/api/v1/cache/warm/status")] == ["products"]


def test_one_instance_of_many_fires(service: Callable[..., Service]) -> None:
    target = service()
    api = Api(target.url, target.tokens)
    api.region("categories")
    for name, schedule, region in (("due", "0 12 * * *", "categories"), ("later", "1 12 * * *", "categories"),
                                   ("lost", "0 12 * * *", "absent")):
        api.done("POST", SCHEDULE, {"name": name, "schedule": schedule, "region": region})
    found = settings.load(
        ["--redis", ",".join(target.fleet.facts["redis_nodes"]), "--namespace", target.namespace],
        {"API_TOKEN": "a", "ADMIN_TOKEN": "b", "MONITOR_TOKEN": "c", "REDIS_USERNAME": "caching-service",
         "REDIS_PASSWORD": target.fleet.state.secret("redis_service_password")},
    )
    assert found

    async def minute() -> list[list[str]]:
        instances = [web.Service.create(found) for _number in range(4)]
        fired = await asyncio.gather(*(schedules.fire(one, MONDAY) for one in instances))
        again = await asyncio.gather(*(schedules.fire(one, MONDAY + timedelta(seconds=20)) for one in instances))
        for one in instances:
            await one.jobs.stop()
            await one.redis.close()
        return [*fired, *again]

    assert sorted(name for names in asyncio.run(minute()) for name in names) == ["due", "lost"]
    told = {schedule["name"]: schedule["lastMessage"] for schedule in api.done("GET", f"{SCHEDULE}s")}
    assert told == {"due": "started", "later": None, "lost": "not started: Cache region 'absent' does not exist"}


def test_optimize_spreads_what_begins_together(api: Api) -> None:
    for name, schedule, enabled in (("a", "0 2 * * *", True), ("b", "0 2 * * *", True), ("c", "0 3 * * *", True),
                                    ("d", "0 2 * * *", False), ("e", "00 2 * * *", True), ("f", "*/5 * * * *", True)):
        api.done("POST", SCHEDULE, {"name": name, "schedule": schedule, "region": "x", "enabled": enabled})
    answer = api.done("POST", "/admin/cache/warm/optimize-schedules")
    assert answer["examined"] == 6
    assert {one["name"]: (one["before"], one["after"]) for one in answer["changed"]} == {
        "b": ("0 2 * * *", "10 2 * * *"), "e": ("00 2 * * *", "20 2 * * *")}
    assert {one["name"]: one["schedule"] for one in api.done("GET", f"{SCHEDULE}s")}["e"] == "20 2 * * *"
    assert api.done("POST", "/admin/cache/warm/optimize-schedules")["changed"] == []


def test_dialects(make_api: Callable[..., Api]) -> None:
    assert make_api("paged").done("GET", f"{SCHEDULE}s")["totalElements"] == 0
    wrapped = make_api("wrapped")
    wrapped.done("POST", SCHEDULE, NIGHTLY)
    assert wrapped.done("GET", f"{SCHEDULE}s")["schedules"][0]["name"] == NIGHTLY["name"]
    accepted = make_api("accepted")
    assert accepted("POST", SCHEDULE, NIGHTLY).status == 202
    assert accepted.done("GET", f"{SCHEDULE}s") == []
    assert wait_until(lambda: len(accepted.done("GET", f"{SCHEDULE}s")) == 1)
    assert accepted("POST", SCHEDULE, NIGHTLY).status == 409
