# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warming a region now: start, status, cancel."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .errors import ApiError, Problems
from .jobs import Plan
from .lists import arranged
from .web import Service, object_of, text_of

STRATEGIES = ("popular-items", "all-items")
NUMBERS = {"concurrency": (4, 100), "batchSize": (100, 10_000), "maxItems": (0, 100_000_000)}  # default, highest


def _one_select(query: str) -> bool:
    words = query.split(None, 1)
    return bool(words) and words[0].upper() == "SELECT" and ";" not in query and "--" not in query


def plan_of(region: str, body: dict[str, Any]) -> Plan:
    problems = Problems("warmRequest")
    strategy = body.get("strategy") or STRATEGIES[0]
    if strategy not in STRATEGIES:
        problems.add("strategy", f"must be one of {', '.join(STRATEGIES)}", strategy)
    numbers = {}
    for name, (default, highest) in NUMBERS.items():
        value = default if body.get(name) is None else body[name]
        if isinstance(value, bool) or not isinstance(value, int) or not (0 if default == 0 else 1) <= value <= highest:
            problems.add(name, f"must be a whole number up to {highest}", value)
        numbers[name] = value
    if body.get("dataSource") not in (None, "database"):
        problems.add("dataSource", "must be 'database'", body["dataSource"])
    query = body.get("query") or ""
    if query and (not isinstance(query, str) or not _one_select(query)):
        problems.add("query", "must be a single SELECT", query)
    problems.check()
    return Plan(region, strategy, numbers["concurrency"], numbers["batchSize"], numbers["maxItems"], query)


async def start(service: Service, request: Request) -> Response:
    plan = plan_of(text_of(request, "region"), await object_of(request, optional=True))
    await service.storage.definition(plan.region)
    busy = ApiError(409, f"Warming of region '{plan.region}' is already running")
    if service.dialect("accepted"):
        return service.later(service.jobs.start(plan))
    job = await service.jobs.start(plan)
    if job is None:
        raise busy
    return JSONResponse(job, status_code=202)


async def status(service: Service, request: Request) -> Response:
    """The last job of every region."""
    return JSONResponse(arranged(service, request, "jobs", await service.jobs.all(), key="region"))


async def cancel(service: Service, request: Request) -> Response:
    region = text_of(request, "region")
    if service.dialect("accepted"):
        return service.later(service.jobs.cancel(region))
    job = await service.jobs.cancel(region)
    if job is None:
        raise ApiError(404, f"No warming of region '{region}' is running")
    return JSONResponse(job)
