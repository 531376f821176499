# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warm jobs: read from the database in batches, some at a time, and put into a region.

A job's state is in Redis, so that each instance can tell of it and cancel it; the instance that took it runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import scripts
from .books import now_ms
from .database import Database, DatabaseAway, Selection
from .errors import ApiError, Unavailable, timestamp
from .meters import Meters
from .storage import Storage

ACTIVE = ("QUEUED", "RUNNING")
BEAT = 0.2  # seconds between two reports of a running job
SILENCE = 5000  # milliseconds without a report after which its instance counts as dead
PATIENCE = 30.0  # seconds to tell of a job's end while Redis is away
SHOWN = ("region", "strategy", "status", "total", "loaded", "failed", "startedAt", "finishedAt", "message")


@dataclass(frozen=True, slots=True)
class Plan:
    region: str
    strategy: str = "popular-items"
    concurrency: int = 4
    batch_size: int = 100
    max_items: int = 0  # 0: no limit
    query: str = ""


@dataclass(slots=True)
class _Progress:
    total: int = 0
    loaded: int = 0
    failed: int = 0
    stopped: bool = False


def singular(region: str) -> str:
    """`products` → `product`, `categories` → `category`: what keys of a region begin with."""
    return f"{region[:-3]}y" if region.endswith("ies") else region.removesuffix("s")


def shown(job: dict[str, Any]) -> dict[str, Any]:
    """The job as the service tells of it."""
    result = {name: job.get(name) for name in SHOWN}
    if job["status"] in ACTIVE and now_ms() - job["beat"] >= SILENCE:
        result |= {"status": "FAILED", "message": "the instance that ran it has ended"}
    return result


class Jobs:
    def __init__(self, storage: Storage, database: Database, meters: Meters) -> None:
        self.storage, self.database, self.meters = storage, database, meters
        self.running: dict[str, asyncio.Task[None]] = {}

    async def all(self) -> list[dict[str, Any]]:
        found = await self.storage.redis.run("HVALS", self.storage.jobs)
        return sorted((shown(json.loads(text)) for text in found), key=lambda job: str(job["region"]))

    async def _script(self, script: str, *arguments: Any) -> Any:
        return await self.storage.redis.run("EVAL", script, 1, self.storage.jobs, *arguments)

    async def start(self, plan: Plan) -> dict[str, Any] | None:
        """The queued job; None if one of that region is active."""
        job = {
            "id": secrets.token_hex(8), "region": plan.region, "strategy": plan.strategy, "status": "QUEUED",
            "total": 0, "loaded": 0, "failed": 0, "startedAt": timestamp(), "finishedAt": None, "message": None,
            "beat": now_ms(),
        }
        if not await self._script(scripts.CLAIM_JOB, plan.region, json.dumps(job), now_ms(), SILENCE):
            return None
        task = asyncio.create_task(self._run(plan, str(job["id"])))
        self.running[str(job["id"])] = task
        task.add_done_callback(lambda _task: self.running.pop(str(job["id"]), None))
        return shown(job)

    async def cancel(self, region: str) -> dict[str, Any] | None:
        """The cancelled job; None if none of that region is active."""
        changes = {"status": "CANCELLED", "finishedAt": timestamp(), "message": "cancelled on request"}
        text = await self._script(scripts.CANCEL_JOB, region, now_ms(), SILENCE, json.dumps(changes))
        return shown(json.loads(text)) if text else None

    async def stop(self) -> int:
        """Ends the jobs of this process; how many there were."""
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=3)
        return len(tasks)

    # A job at work

    async def _run(self, plan: Plan, job_id: str) -> None:
        progress = _Progress()
        status, patience = "FAILED", 1.0
        message: str | None = "the instance was stopped"
        try:
            status, message = await self._warm(plan, job_id, progress)
            patience = PATIENCE
        finally:
            await self._finish(plan, job_id, progress, status, message, patience)

    async def _finish(
        self, plan: Plan, job_id: str, progress: _Progress, status: str, message: str | None, patience: float
    ) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while True:
                    with contextlib.suppress(Unavailable):
                        await self._report(plan, job_id, progress, status, message, timestamp())
                        return
                    await asyncio.sleep(0.5)

    async def _report(
        self, plan: Plan, job_id: str, progress: _Progress, status: str = "RUNNING", message: str | None = None,
        finished: str | None = None,
    ) -> None:
        changes = {"status": status, "total": progress.total, "loaded": progress.loaded, "failed": progress.failed,
                   "beat": now_ms(), "finishedAt": finished, "message": message}
        answer = await self._script(scripts.REPORT_JOB, plan.region, job_id, json.dumps(changes))
        progress.stopped = answer.decode() not in ACTIVE

    async def _warm(self, plan: Plan, job_id: str, progress: _Progress) -> tuple[str, str | None]:
        """Status and message at the end."""
        selection = Selection.of(plan.region, plan.strategy, plan.query)
        try:
            region = await self.storage.definition(plan.region)
            there = await asyncio.to_thread(self.database.amount, selection)
            progress.total = min(there, region["maxSize"], plan.max_items or there)
            await self._report(plan, job_id, progress)
            offsets = iter(range(0, progress.total, plan.batch_size))
            workers = [asyncio.create_task(self._work(plan, selection, offsets, progress))
                       for _worker in range(plan.concurrency)]
            try:
                await self._watch(plan, job_id, progress, workers)
            finally:  # a batch that was begun is finished, so that the count is true
                progress.stopped = True
                await asyncio.gather(*workers, return_exceptions=True)
        except DatabaseAway as error:
            return "FAILED", f"the database can't be read: {error}"
        except ApiError as error:
            return "FAILED", error.message
        if progress.failed:
            return "FAILED" if not progress.loaded else "COMPLETED", f"{progress.failed} rows have no id"
        return "COMPLETED", None

    async def _watch(
        self, plan: Plan, job_id: str, progress: _Progress, workers: list[asyncio.Task[None]]
    ) -> None:
        """Tells of the progress until all are done or one has failed or the job was cancelled."""
        waiting = set(workers)
        while waiting and not progress.stopped:
            done, waiting = await asyncio.wait(waiting, timeout=BEAT, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
            if waiting:
                with contextlib.suppress(Unavailable):  # the workers will find out
                    await self._report(plan, job_id, progress)

    async def _work(self, plan: Plan, selection: Selection, offsets: Iterator[int], progress: _Progress) -> None:
        meters = self.meters.regions[plan.region]
        for offset in offsets:
            if progress.stopped:
                return
            size = min(plan.batch_size, progress.total - offset)
            rows = await asyncio.to_thread(self.database.batch, selection, size, offset)
            values = {f"{singular(plan.region)}:{row['id']}": row for row in rows if row.get("id") is not None}
            if values:
                meters.evictions += await self.storage.put_many(plan.region, values)
                meters.puts += len(values)
            progress.loaded += len(values)
            progress.failed += len(rows) - len(values)
