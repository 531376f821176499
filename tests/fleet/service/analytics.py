# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the counters of this process say: top regions, hit rates, patterns of access, problems, recommendations."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .errors import ApiError, timestamp
from .meters import RegionMeters
from .web import Service

HIT_RATE, ENOUGH = 0.7, 20  # a hit rate is judged from this many reads on
EVICTED, FILLED, SLOW, MEMORY = 0.1, 0.9, 0.025, 0.85
Row = dict[str, Any]
Sized = list[tuple[str, RegionMeters, int, int, int]]  # name, counters, entries, bytes, maximum size


async def _regions(service: Service) -> Sized:
    meters = service.meters.regions
    return [(str(region["name"]), meters.get(str(region["name"])) or RegionMeters(), size, memory, region["maxSize"])
            for region, (size, memory) in await service.storage.regions()]


def _top(regions: Sized, limit: int) -> list[Row]:
    rows: list[Row] = [
        {"region": name, "requests": one.gets + one.puts + one.removals, "hits": one.hits, "misses": one.misses,
         "hitRate": one.hit_rate(), "size": size, "memoryUsage": memory}
        for name, one, size, memory, _most in regions
    ]
    return sorted(rows, key=lambda row: (-row["requests"], -row["size"], row["region"]))[:limit]


def _advice(regions: Sized) -> list[Row]:
    found: list[Row] = []

    def say(region: str, kind: str, priority: str, measured: float | None, message: str) -> None:
        found.append({"region": region, "type": kind, "priority": priority, "measured": measured, "message": message})

    for name, one, size, _memory, most in regions:
        rate = one.hit_rate()
        if rate is not None and rate < HIT_RATE and one.gets >= ENOUGH:
            say(name, "low-hit-rate", "high", rate, "warm the region, or raise its time to live")
        if size >= most * FILLED:
            say(name, "nearly-full", "medium", size / most, "raise maxSize")
        if one.puts >= ENOUGH and one.evictions > one.puts * EVICTED:
            say(name, "evictions", "high", one.evictions / one.puts, "raise maxSize, or cache less")
        if size and not one.gets and one.puts >= ENOUGH:
            say(name, "never-read", "low", 0.0, "nothing was read from it since this instance started")
    return found


async def _issues(service: Service) -> list[Row]:
    found: list[Row] = []

    def say(kind: str, severity: str, measured: float, limit: float, message: str) -> None:
        found.append({"type": kind, "severity": severity, "measured": measured, "limit": limit, "message": message})

    broken = total = 0
    for (method, status), timer in sorted(service.meters.requests.items()):
        total += timer.number
        broken += timer.number if status.startswith("5") else 0
        mean = timer.total / timer.number if timer.number else 0.0
        if mean > SLOW and timer.number >= ENOUGH:
            say("slow-requests", "warning", mean, SLOW, f"{method} with status {status} takes long on average")
    if broken:
        say("server-errors", "critical", broken / total, 0.0, f"{broken} requests ended with a server error")
    try:
        began = time.perf_counter()
        await service.redis.check()
        if (took := time.perf_counter() - began) > SLOW:
            say("slow-redis", "warning", took, SLOW, "Redis answers slowly")
        used, allowed = await service.redis.memory()
        if allowed and used > allowed * MEMORY:
            say("redis-memory", "critical", used / allowed, MEMORY, "Redis is nearly full")
    except ApiError as error:
        say("redis", "critical", 1.0, 0.0, error.message)
    return found


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "10")
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= 1000:
        raise ApiError(400, "limit must be a whole number from 1 to 1000")
    return int(text)


async def top_regions(service: Service, request: Request) -> Response:
    limit = _limit(request)
    return JSONResponse(_top(await _regions(service), limit))


async def recommendations(service: Service, _request: Request) -> Response:
    return JSONResponse(_advice(await _regions(service)))


async def performance_issues(service: Service, _request: Request) -> Response:
    return JSONResponse({"issues": await _issues(service), "checkedAt": timestamp()})


async def hit_rate_by_region(service: Service, _request: Request) -> Response:
    rows = [{"region": name, "hits": one.hits, "misses": one.misses, "hitRate": one.hit_rate()}
            for name, one, _size, _memory, _most in await _regions(service)]
    return JSONResponse(rows)


def _kind(reads: int, writes: int) -> str:
    if not reads + writes:
        return "idle"
    share = reads / (reads + writes)
    return "read-heavy" if share > 0.8 else "write-heavy" if share < 0.5 else "balanced"


async def access_patterns(service: Service, _request: Request) -> Response:
    seconds = max(time.time() - service.meters.started, 1.0)
    rows = []
    for name, one, _size, _memory, _most in await _regions(service):
        writes = one.puts + one.removals
        rows.append({
            "region": name, "reads": one.gets, "writes": writes, "pattern": _kind(one.gets, writes),
            "requestsPerSecond": (one.gets + writes) / seconds,
            "hotKeys": [{"key": key, "reads": reads} for key, reads in one.keys.most_common(5)],
        })
    return JSONResponse({"since": _since(service.meters.started), "patterns": rows})


def _since(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


async def weekly_report(service: Service, _request: Request) -> Response:
    """A week at most; the counters begin with the process."""
    regions = await _regions(service)
    week = (datetime.now(timezone.utc) - timedelta(days=7)).timestamp()
    hits, misses = (sum(getattr(one, field) for _name, one, *_sizes in regions) for field in ("hits", "misses"))
    return JSONResponse({
        "type": "weekly",
        "generatedAt": timestamp(),
        "period": {"from": _since(max(week, service.meters.started)), "to": timestamp()},
        "cacheMetrics": {
            "requests": sum(timer.number for timer in service.meters.requests.values()),
            "hits": hits,
            "misses": misses,
            "hitRate": hits / (hits + misses) if hits + misses else None,
            "evictions": sum(one.evictions for _name, one, *_sizes in regions),
            "totalSize": sum(size for _name, _one, size, *_rest in regions),
            "memoryUsage": sum(memory for _name, _one, _size, memory, _most in regions),
        },
        "topRegions": _top(regions, 10),
        "recommendations": _advice(regions),
        "performanceIssues": await _issues(service),
    })
