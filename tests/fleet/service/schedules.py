# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warm schedules: list, create, change; they fire at their minute (UTC), on one instance of all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from datetime import datetime, timedelta, timezone
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import cron, model
from .errors import ApiError, Problems, timestamp
from .jobs import Plan
from .lists import arranged
from .warming import STRATEGIES
from .web import Service, object_of, text_of

FIELDS = ("name", "schedule", "region", "strategy", "enabled")
TICK = 0.5
SPREAD = 10  # minutes between two schedules that would begin together
log = logging.getLogger("caching-service")
Schedule = dict[str, Any]


def now(service: Service) -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=service.settings.clock_offset)


def shown(service: Service, schedule: Schedule) -> Schedule:
    following = cron.parse(schedule["schedule"]).following(now(service)) if schedule["enabled"] else None
    moment = following.isoformat(timespec="milliseconds") if following else None
    return {**schedule, "timeZone": "UTC", "nextRun": moment}


async def stored(service: Service) -> list[Schedule]:
    found = await service.redis.run("HVALS", service.storage.schedules)
    return sorted((json.loads(text) for text in found), key=lambda schedule: str(schedule["name"]))


async def _keep(service: Service, schedule: Schedule) -> None:
    await service.redis.run("HSET", service.storage.schedules, schedule["name"], json.dumps(schedule))


async def _known(service: Service, name: str) -> Schedule:
    text = await service.redis.run("HGET", service.storage.schedules, name)
    if text is None:
        raise ApiError(404, f"Warm schedule '{name}' does not exist")
    result: Schedule = json.loads(text)
    return result


def _checked(body: dict[str, Any], *, name: str | None) -> Schedule:
    """The fields that the request sets; null counts as left out. `name` is the path's, None on creation."""
    given = {field: body[field] for field in FIELDS if body.get(field) is not None}
    problems = Problems("warmSchedule")
    if name is None:
        model.check_name(given.get("name"), problems)
        for field in ("schedule", "region"):
            if field not in given:
                problems.add(field, "must not be blank", None)
    elif given.setdefault("name", name) != name:
        problems.add("name", "must be the schedule's name in the path", given["name"])
    if "schedule" in given:
        try:
            if not isinstance(given["schedule"], str):
                raise ValueError("it is no text")
            cron.parse(given["schedule"])
        except ValueError as error:
            problems.add("schedule", f"must be a cron expression of five fields: {error}", given["schedule"])
    if "region" in given and (not isinstance(given["region"], str) or not given["region"].strip()):
        problems.add("region", "must not be blank", given["region"])
    if given.get("strategy", STRATEGIES[0]) not in STRATEGIES:
        problems.add("strategy", f"must be one of {', '.join(STRATEGIES)}", given["strategy"])
    if not isinstance(given.get("enabled", True), bool):
        problems.add("enabled", "must be true or false", given["enabled"])
    problems.check()
    return given


async def list_schedules(service: Service, request: Request) -> Response:
    found = [shown(service, schedule) for schedule in await stored(service)]
    return JSONResponse(arranged(service, request, "schedules", found))


async def create(service: Service, request: Request) -> Response:
    given = _checked(await object_of(request), name=None)
    moment = timestamp()
    schedule = {
        "strategy": STRATEGIES[0], "enabled": True, **given,
        "createdAt": moment, "updatedAt": moment, "lastRun": None, "lastMessage": None,
    }
    exists = ApiError(409, f"Warm schedule '{schedule['name']}' already exists")
    if service.dialect("accepted"):
        if await service.redis.run("HEXISTS", service.storage.schedules, schedule["name"]):
            raise exists
        return service.later(_keep(service, schedule))
    text = json.dumps(schedule)
    if not await service.redis.run("HSETNX", service.storage.schedules, schedule["name"], text):
        raise exists
    return JSONResponse(shown(service, schedule), status_code=201)


async def update(service: Service, request: Request) -> Response:
    """The fields that are given; the others stay, in every dialect."""
    name = text_of(request, "name")
    given = _checked(await object_of(request), name=name)
    schedule = {**await _known(service, name), **given, "updatedAt": timestamp()}
    if service.dialect("accepted"):
        return service.later(_keep(service, schedule))
    await _keep(service, schedule)
    return JSONResponse(shown(service, schedule))


async def delete(service: Service, request: Request) -> Response:
    name = text_of(request, "name")
    await _known(service, name)
    work = service.redis.run("HDEL", service.storage.schedules, name)
    if service.dialect("accepted"):
        return service.later(work)
    await work
    return Response(status_code=204)


def _spread(found: list[Schedule]) -> list[tuple[Schedule, str]]:
    """The schedules that begin at the same fixed minute as an earlier one, each with a later minute that is free."""
    taken: set[tuple[str, ...]] = set()
    moved = []
    for schedule in found:
        minute, *rest = schedule["schedule"].split()
        if not schedule["enabled"] or not minute.isdigit():
            continue
        tries = [str((int(minute) + step) % 60) for step in range(0, 60, SPREAD)]
        free = next((one for one in tries if (one, *rest) not in taken), minute)
        taken.add((free, *rest))
        if free != str(int(minute)):
            moved.append((schedule, " ".join((free, *rest))))
    return moved


async def optimize(service: Service, _request: Request) -> Response:
    async def work() -> dict[str, Any]:
        found = await stored(service)
        changed = []
        for schedule, after in _spread(found):
            changed.append({"name": schedule["name"], "field": "schedule", "before": schedule["schedule"],
                            "after": after, "reason": "begins together with another schedule"})
            await _keep(service, {**schedule, "schedule": after, "updatedAt": timestamp()})
        return {"examined": len(found), "changed": changed}

    return await service.answered(work)


# Time passes


async def fire(service: Service, moment: datetime) -> list[str]:
    """Starts what is due in this minute and no other instance has started; the names."""
    fired = []
    for schedule in await stored(service):
        if not schedule["enabled"] or not cron.parse(schedule["schedule"]).matches(moment):
            continue
        once = f"{service.storage.schedules}:fired:{schedule['name']}:{moment:%Y%m%d%H%M}"
        if not await service.redis.run("SET", once, service.settings.port, "NX", "EX", 180):
            continue
        fired.append(str(schedule["name"]))
        try:
            await service.storage.definition(schedule["region"])
            job = await service.jobs.start(Plan(schedule["region"], schedule["strategy"]))
            message = "started" if job else "not started: warming of this region was already running"
        except ApiError as error:
            message = f"not started: {error.message}"
        now_kept = await _known(service, str(schedule["name"]))
        await _keep(service, {**now_kept, "lastRun": timestamp(), "lastMessage": message})
    return fired


async def fire_forever(service: Service) -> None:
    last = now(service).replace(second=0, microsecond=0)
    while True:
        await asyncio.sleep(TICK)
        minute = now(service).replace(second=0, microsecond=0)
        if minute == last or service.draining:
            continue
        last = minute
        try:
            await fire(service, minute)
        except ApiError as error:
            log.warning("schedules of %s did not fire: %s", minute, error.message)


async def follow_forever(service: Service) -> None:
    """Settings that other instances have written, within a second."""
    while True:
        with contextlib.suppress(ApiError):
            await service.control.look()
        await asyncio.sleep(TICK)
