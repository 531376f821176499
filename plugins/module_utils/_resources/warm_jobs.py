# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Warm-ups as services tell of them (S043): one form for many, and which of them is meant. Pure functions."""

from __future__ import annotations

import typing as t
from datetime import datetime, timezone

from .._errors import CachingError, one_line

RUNNING, COMPLETED, FAILED, CANCELLED, UNKNOWN = "running", "completed", "failed", "cancelled", "unknown"
_WORDS = {
    RUNNING: "QUEUED PENDING SUBMITTED ACCEPTED STARTING STARTED RUNNING ACTIVE PROCESSING WARMING IN_PROGRESS INPROGRESS CANCELLING",
    COMPLETED: "COMPLETED COMPLETE SUCCEEDED SUCCESS SUCCESSFUL DONE FINISHED",
    FAILED: "FAILED FAILURE ERROR ERRORED", CANCELLED: "CANCELLED CANCELED STOPPED ABORTED INTERRUPTED",
}
_STATES = {word: state for state, words in _WORDS.items() for word in words.split()}
_REGIONS = ("region", "regionName", "cacheName", "cache", "name")
_TOTAL = ("total", "totalItems", "totalCount", "itemsTotal")
_LOADED = ("loaded", "loadedItems", "itemsLoaded", "processed", "processedItems", "warmed", "done", "completedItems")
_FAILED = ("failed", "failedItems", "errors", "failures")
_BEGAN = ("startedAt", "startTime", "started", "start")
_ENDED = ("finishedAt", "completedAt", "endTime", "endedAt", "finished", "end")
_REASON = ("message", "error", "reason", "errorMessage")


class Job(t.NamedTuple):
    """A warm-up. ``state`` is one of five words, ``status`` the service's own; times are seconds since 1970."""

    region: str
    state: str
    status: str
    strategy: str | None
    total: int | None
    loaded: int | None
    failed: int | None
    began: float | None
    ended: float | None
    message: str
    identity: str

    @property
    def running(self) -> bool:
        return self.state == RUNNING

    def __str__(self) -> str:
        of = f" of {self.total}" if self.total is not None else ""
        return f"{self.status}, {'an unknown number' if self.loaded is None else self.loaded}{of} items"


def parsed(answer: t.Mapping[str, t.Any]) -> Job:
    """A warm-up out of the service's list."""
    region = _first(answer, _REGIONS, str)
    if region is None:
        raise CachingError(f"the list of warm-ups holds one without a region: {one_line(answer, 120)}")
    word = one_line(_first(answer, ("status", "state", "phase"), str) or "UNKNOWN", 40)
    ended = moment(_first(answer, _ENDED, object))
    state = _STATES.get(word.upper().replace("-", "_").replace(" ", "_"), UNKNOWN if ended is not None else RUNNING)
    began = moment(_first(answer, _BEGAN, object))
    name = _first(answer, ("id", "jobId", "taskId"), object)
    return Job(
        region, state, word, _first(answer, ("strategy", "warmStrategy"), str), _number(answer, _TOTAL), _number(answer, _LOADED),
        _number(answer, _FAILED), began, ended, one_line(_first(answer, _REASON, str) or "", 200), str(name if name is not None else began),
    )


def _first(answer: t.Mapping[str, t.Any], names: t.Sequence[str], kind: type) -> t.Any:
    return next((answer[name] for name in names if answer.get(name) is not None and isinstance(answer[name], kind)), None)


def _number(answer: t.Mapping[str, t.Any], names: t.Sequence[str]) -> int | None:
    return next((int(answer[name]) for name in names if isinstance(answer.get(name), (int, float)) and not isinstance(answer[name], bool)), None)


def moment(value: t.Any) -> float | None:
    """A point in time in seconds since 1970: ISO-8601 (UTC where it names no zone), seconds or milliseconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) / 1000 if value > 1e11 else float(value)
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()


def pick(jobs: t.Sequence[Job], region: str) -> Job | None:
    """The warm-up of a region that counts: the one that runs, else the last."""
    mine = [job for job in jobs if job.region == region]
    running = [job for job in mine if job.running]
    return max(running or mine, key=lambda job: job.began or job.ended or 0.0, default=None)


def is_new(job: Job, old: Job | None) -> bool:
    """Whether ``job`` is another one than ``old``, or the same gone on."""
    return old is None or job != old


def young(job: Job | None, strategy: str, max_age: float, now: float) -> bool:
    """Whether a warm-up of this strategy was completed less than ``max_age`` seconds ago."""
    if job is None or job.state != COMPLETED or job.ended is None or conflicts(job, strategy):
        return False
    return now - job.ended < max_age


def conflicts(job: Job, strategy: str) -> bool:
    """Whether it is of another strategy than the declared one. What is not told is no conflict."""
    return job.strategy is not None and job.strategy.strip().lower().replace("_", "-") != strategy.strip().lower().replace("_", "-")


def shown(job: Job | None) -> dict[str, t.Any] | None:
    """A warm-up as modules return it."""
    if job is None:
        return None
    return {
        "region": job.region, "status": job.status, "state": job.state, "strategy": job.strategy, "total": job.total, "loaded": job.loaded,
        "failed": job.failed, "started_at": iso(job.began), "finished_at": iso(job.ended), "message": job.message,
    }


def iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
