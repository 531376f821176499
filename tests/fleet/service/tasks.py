# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One-shot jobs of the service; each answers what it really did."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import upkeep
from .web import Service

FLUSH_LIMIT = 5.0  # seconds for accepted work to end


async def cleanup_expired(service: Service, _request: Request) -> Response:
    """Redis itself removes what expires; the books of the regions forget it now."""

    async def work() -> dict[str, Any]:
        removed = await upkeep.remove_expired(service.storage)
        return {"removed": sum(removed.values()), "regions": removed}

    return await service.answered(work)


async def optimize(service: Service, _request: Request) -> Response:
    """Expired entries and those that Redis evicted by itself leave the books."""

    async def work() -> dict[str, Any]:
        expired = await upkeep.remove_expired(service.storage)
        vanished = await upkeep.remove_vanished(service.storage)
        regions = sorted(expired.keys() | vanished.keys())
        return {"expired": sum(expired.values()), "vanished": sum(vanished.values()), "regions": regions}

    return await service.answered(work)


async def optimize_patterns(service: Service, _request: Request) -> Response:
    """Counts of use are halved: those of LFU regions, and this instance's of the most read keys."""

    async def work() -> dict[str, Any]:
        aged = await upkeep.age_usage(service.storage)
        forgotten = 0
        for meters in service.meters.regions.values():
            before = len(meters.keys)
            for key, reads in list(meters.keys.items()):
                if reads < 2:
                    del meters.keys[key]
                else:
                    meters.keys[key] = reads // 2
            forgotten += before - len(meters.keys)
        return {"regions": aged, "aged": len(aged), "forgottenKeys": forgotten}

    return await service.answered(work)


async def optimize_memory(service: Service, _request: Request) -> Response:
    """Expired entries leave, and those of regions with compression that were stored without it are compressed."""

    async def work() -> dict[str, Any]:
        await service.control.look()
        removed = await upkeep.remove_expired(service.storage)
        _entries, before = await upkeep.counted(service.storage)
        compressed, freed = await upkeep.compress(service.storage)
        _entries, after = await upkeep.counted(service.storage)
        return {"expired": sum(removed.values()), "compressed": compressed, "freedBytes": freed,
                "bytesBefore": before, "bytesAfter": after}

    return await service.answered(work)


async def flush_and_shutdown(service: Service, _request: Request) -> Response:
    """Out of service, then accepted work and warm jobs end, then the answer, then the process."""
    service.draining = True
    await asyncio.sleep(service.settings.drain)
    waiting = set(service.pending)
    unfinished: set[Any] = set()
    if waiting:
        _done, unfinished = await asyncio.wait(waiting, timeout=FLUSH_LIMIT)
    stopped = await service.jobs.stop()
    asyncio.get_running_loop().call_later(0.05, service.stop)
    return JSONResponse({
        "status": "SHUTTING_DOWN", "flushed": len(waiting) - len(unfinished), "unfinished": len(unfinished),
        "stoppedJobs": stopped,
    })
