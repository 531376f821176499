# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Warming a region (S041 to S044, S157): started once or joined, followed to its end, stopped with the reason."""

from __future__ import annotations

import time
import typing as t

from .._duration import parse
from .._errors import CachingError, Unreachable
from .._progress import Progress
from .._service import Instance, Service
from .._wait import Deadline
from . import health, metrics, warm_jobs, warm_query
from .regions import Regions, check_name
from .warm_jobs import Job

_BODY = {"concurrency": "concurrency", "batch_size": "batchSize", "max_items": "maxItems", "data_source": "dataSource"}
_APPEARS = 5.0
_Results = dict[str, t.Any]


class Plan(t.NamedTuple):
    """What is to be done. ``follow``: there is something to wait for though nothing is changed."""

    changed: bool
    planned: _Results
    act: t.Callable[[], _Results]
    follow: bool = False


class Warming:
    """One warm-up of one region, as declared."""

    def __init__(self, service: Service, params: t.Mapping[str, t.Any], warn: t.Callable[[str], None]) -> None:
        self.service = service
        self.warn = warn
        self.region = check_name(params["region"], "region")
        self.state = params["state"]
        self.strategy = params["strategy"]
        self.max_age = float(parse(params["max_age"], "max_age"))
        self.wait_timeout = float(parse(params["wait_timeout"], "wait_timeout"))
        self.window = float(parse(params["hit_rate_window"], "hit_rate_window"))
        self.target: float | None = params["until_hit_rate"]
        self.body = _body(params)
        self.progress_path = params["progress_path"]
        if self.target is not None and not (1 < self.target <= 100 and self.state == "warmed"):
            raise CachingError("until_hit_rate: it is a percentage such as 85 (more than 1, at most 100), and goes with state warmed")
        if not 0 < self.window <= 3600:
            raise CachingError("hit_rate_window: it must be more than 0 seconds and at most an hour")
        self.measured: list[Instance] = service.every_process(params["single_instance"]) if self.target is not None else []
        self.old: Job | None = None
        self.changed = False
        self.joined = False
        self.progress = Progress(None, "", warn)
        self._looked = 0.0

    def look(self) -> Job | None:
        jobs = [warm_jobs.parsed(answer) for answer in self.service.listing("warming_status", "jobs")]
        return warm_jobs.pick(jobs, self.region)

    def plan(self) -> Plan:
        """Look at what runs and what ran, and refuse what must not be begun."""
        job = self.old = self.look()
        if self.state == "cancelled":
            if job is None or not job.running:
                return Plan(False, self._planned(job), dict)
            return Plan(True, self._planned(job, "running", "cancelled"), self._cancel)
        if job is not None and job.running:
            if warm_jobs.conflicts(job, self.strategy):
                raise CachingError(f"another warm-up of {self.region} runs, with the strategy {job.strategy} instead of {self.strategy} ({job}): "
                                   "wait for it, or cancel it with state: cancelled; nothing was changed")
            self.joined = True
            return Plan(False, self._planned(job), self._follow, self.state == "warmed")
        if self.max_age and warm_jobs.young(job, self.strategy, self.max_age, time.time()):
            return Plan(False, self._planned(job), dict)
        if self.max_age and job is not None and job.state == warm_jobs.COMPLETED and job.ended is None:
            self.warn("the service does not tell when a warm-up ended, so max_age can't be kept: the region is warmed again")
        self._check_region()
        if why := self._database_down():
            raise CachingError(f"{why}, so there is nothing to warm {self.region} from; nothing was started")
        before = "never warmed" if job is None else f"{job.state} {warm_jobs.iso(job.ended) or ''}".strip()
        return Plan(True, self._planned(job, before, self.state), self._start)

    def _planned(self, job: Job | None, before: str = "", after: str = "") -> _Results:
        diff = {"before": {self.region: before} if after else {}, "after": {self.region: after} if after else {}}
        return {**self._results(job), "diff": diff}

    def _results(self, job: Job | None) -> _Results:
        return {"job": warm_jobs.shown(job), "loaded": job.loaded if job else None, "progress": self.progress.steps, "joined": self.joined}

    def _failure(self, text: str, job: Job | None) -> CachingError:
        return CachingError(text, changed=self.changed, **self._results(job))

    def _check_region(self) -> None:
        known = Regions(self.service).read()
        if self.region not in known:
            raise CachingError(f"region: there is no region {self.region} (the service has {', '.join(sorted(known)[:10]) or 'none'}); nothing was started")

    def _start(self) -> _Results:
        """A warm-up that runs already (409) is joined."""
        try:
            answer = self.service.call("warm_region", self.body, region=self.region, expect=(409,))
        except Unreachable as error:
            job = self._after(error)
            self.changed = True
            self.warn(f"the answer to the start of the warm-up got lost ({error.message}), but it is there: {job}")
        else:
            self.joined = answer.status == 409
            self.changed = not self.joined
        if self.state == "started":
            return {**self._results(self._appeared()), **self._outcome()}
        return self._follow()

    def _outcome(self) -> _Results:
        return {"changed": self.changed, **({} if self.changed else {"diff": {"before": {}, "after": {}}})}

    def _after(self, error: Unreachable) -> Job:
        job = self.look() if error.sent else None
        if job is None or not warm_jobs.is_new(job, self.old):
            raise error
        return job

    def _appeared(self) -> Job:
        """The warm-up that was started, as soon as it is listed."""
        deadline = Deadline(_APPEARS)
        while True:
            last_look = deadline.over
            job = self.look()
            if job is not None and (self.joined or warm_jobs.is_new(job, self.old) or last_look and job.began is None and job.ended is None):
                if job.state == warm_jobs.FAILED:
                    raise self._ended(job)
                return job
            if last_look:
                raise self._failure(f"the service accepted the warm-up of {self.region}, but after {_APPEARS:g} s does not list it", job)
            deadline.pause(0.2)

    def _follow(self) -> _Results:
        deadline = Deadline(self.wait_timeout)
        self.progress = Progress(self.progress_path, f"region {self.region}", self.warn)
        try:
            job = self._to_the_end(deadline)
            rate = self._until_hit_rate(job, deadline) if self.target is not None else {}
        except CachingError as error:
            raise CachingError(error.message, **{"changed": self.changed, "progress": self.progress.steps, **error.results}) from None
        finally:
            self.progress.close()
        return {**self._results(job), **rate, **self._outcome()}

    def _to_the_end(self, deadline: Deadline) -> Job:
        job = self._appeared()
        pause = 0.1
        while job.running:
            last_look = deadline.over
            self.progress.step(job.loaded or 0, job.total, job.status)
            if why := self._database_down():
                raise self._stopped(why, job)
            if last_look:
                raise self._failure(
                    f"the warm-up of {self.region} did not end within {self.wait_timeout:g} s; last seen: {job}. "
                    "It goes on: another run joins it, state: cancelled ends it", job)
            deadline.pause(pause)
            pause = min(1.0, pause * 1.4)
            job = self._next(job)
        self.progress.step(job.loaded or 0, job.total, job.status)
        if job.state != warm_jobs.COMPLETED:
            raise self._ended(job)
        if job.failed:
            self.warn(f"{job.failed} items of {self.region} could not be loaded{': ' + job.message if job.message else ''}")
        return job

    def _next(self, job: Job) -> Job:
        """The same warm-up now. One that is not listed any more has ended in a way that nobody tells."""
        now = self.look()
        if now is None:
            whole = job.total is not None and job.loaded == job.total
            return job._replace(state=warm_jobs.COMPLETED if whole else warm_jobs.UNKNOWN, status="NOT LISTED ANY MORE")
        return now

    def _ended(self, job: Job) -> CachingError:
        reason = job.message or self._database_down(again=True) or "the service gives no reason"
        how = {warm_jobs.FAILED: "failed", warm_jobs.CANCELLED: "was cancelled by somebody else"}.get(job.state, "ended in an unknown way")
        return self._failure(f"the warm-up of {self.region} {how} ({job}): {reason}", job)

    def _stopped(self, why: str, job: Job) -> CachingError:
        """Loading from a database that is away only makes it worse: the warm-up is cancelled."""
        try:
            gone = self.service.call("cancel_warming", region=self.region, expect=(404, 405, 501)).ok
        except CachingError:
            gone = False
        self.changed = self.changed or gone
        job = self.look() or job
        if job.state == warm_jobs.COMPLETED:
            return self._failure(f"{why}; the warm-up of {self.region} had just ended ({job})", job)
        how = "was cancelled" if gone else "goes on, as it could not be cancelled"
        return self._failure(f"{why}; the warm-up of {self.region} {how} ({job})", job)

    def _database_down(self, again: bool = False) -> str:
        """Why nothing can be loaded, at most one look a second. A database that the service does not tell of is not down."""
        if not again and time.monotonic() - self._looked < 1.0:
            return ""
        self._looked = time.monotonic()
        try:
            answer = self.service.call("database_health", expect=(401, 403, 404, 405, 503), passing=())
            status, why = health.status_of(answer.json())
        except CachingError:
            return ""
        return f"the database is {status}{f' ({why})' if why else ''}" if status in ("DOWN", "OUT_OF_SERVICE") and answer.status in (200, 503) else ""

    def _cancel(self) -> _Results:
        answer = self.service.call("cancel_warming", region=self.region, expect=(404,))
        self.changed = answer.ok
        deadline = Deadline(self.wait_timeout)
        while True:
            last_look = deadline.over
            job = self.look()
            if job is None or not job.running:
                return {**self._results(job), "changed": self.changed}
            if last_look:
                raise self._failure(f"the warm-up of {self.region} still runs {self.wait_timeout:g} s after it was cancelled: {job}", job)
            deadline.pause(0.2)

    def _until_hit_rate(self, job: Job, deadline: Deadline) -> _Results:
        """Measure windows until one reaches the rate. Where nobody reads, what was loaded has to do."""
        target = 0.0 if self.target is None else self.target
        while True:
            last_look = deadline.over
            before = metrics.lookups(self.service, self.measured, self.region)
            time.sleep(self.window)
            rate, requests = metrics.hit_rate(before, metrics.lookups(self.service, self.measured, self.region))
            if rate is None:
                return self._by_what_was_loaded(job)
            found = {"hit_rate": round(rate, 2), "hit_rate_source": "measured"}
            if rate >= target:
                return found
            if last_look or deadline.over:
                raise CachingError(
                    f"the hit rate of {self.region} did not reach {target:g} % within {self.wait_timeout:g} s; in the last window of "
                    f"{self.window:g} s it was {rate:.1f} % of {requests} requests", **self._results(job), **found)

    def _by_what_was_loaded(self, job: Job) -> _Results:
        share = 100.0 * (job.loaded or 0) / job.total if job.total else None
        told = f"{job.loaded} of {job.total} items were loaded" if job.total else f"{job.loaded or 'an unknown number of'} items were loaded"
        found = {"hit_rate": None, "hit_rate_source": "loaded"}
        if share is None and not job.loaded or share is not None and self.target is not None and share < self.target:
            raise CachingError(f"the hit rate of {self.region} can't be measured, as nobody read it for {self.window:g} s, and {told}: "
                               f"too few for until_hit_rate {self.target:g}", **self._results(job), **found)
        self.warn(f"nobody read {self.region} for {self.window:g} s, so its hit rate is not measured; {told}")
        return found


def _body(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is sent to start it."""
    if not params["strategy"].strip():
        raise CachingError("strategy: it is empty")
    for option in ("batch_size", "max_items"):
        if params[option] is not None and params[option] < 1:
            raise CachingError(f"{option}: it must be 1 or more, not {params[option]}")
    body = {"strategy": params["strategy"], **{wire: params[option] for option, wire in _BODY.items() if params[option] is not None}}
    if params["query"] is not None:
        body["query"] = warm_query.check(params["query"], params["allow_query"])
    return body
