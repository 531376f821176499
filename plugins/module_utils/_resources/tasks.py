# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The service's one-shot jobs (S009, S021, S070, S074, S075, S094, S102): which there are, and what they say that they did."""

from __future__ import annotations

import datetime
import json
import re
import typing as t

from .._duration import parse
from .._errors import CachingError, Unreachable
from .._reconcile import Object
from .._service import Instance, Service
from .._store import Store
from .._wait import Deadline, wait_for
from .processes import NO_SUCH_CALL, started

TASKS = {
    "cleanup_expired": "clear_expired",
    "optimize": "optimize_caches",
    "optimize_patterns": "optimize_patterns",
    "optimize_memory": "optimize_memory",
    "optimize_schedules": "optimize_warm_schedules",
    "refresh": "refresh",
    "flush_and_shutdown": "flush_and_shutdown",
}
PER_PROCESS = ("refresh", "flush_and_shutdown")
_DONE = re.compile(
    r"remov|delet|clean|clear|expir|evict|freed|reclaim|releas|optimi[sz]ed|chang|updat|adjust|reschedul|applied|affect|compress|trimm|"
    r"moved|migrat|vanish|aged|forgot|dropp|purg|count$",
    re.IGNORECASE,
)
_SEEN = re.compile(r"before|after|remain|durat|millis|seconds|time|at$|ms$|scann|check|examin|total|limit|threshold|next", re.IGNORECASE)
_VOLATILE = re.compile(r"(last|next|previous)|(at|time)$|^(status|id|version)$", re.IGNORECASE)
_NO_PROCESS = (502, 504)    # what a proxy says in place of a process that is gone
_NOTHING: Object = {"before": {}, "after": {}}


def changes(body: t.Any) -> int | None:
    """How much a job says that it changed, or None where it tells no number of that kind."""
    if isinstance(body, bool) or body is None:
        return None
    if isinstance(body, int):
        return abs(body)
    if isinstance(body, list):
        return len(body)
    if not isinstance(body, dict):
        return None
    found = [
        number for name, value in body.items()
        if not _SEEN.search(str(name)) and (_DONE.search(str(name)) or isinstance(value, dict)) and (number := changes(value)) is not None
    ]
    return sum(found) if found else None


class Task:
    """One job of one run."""

    def __init__(self, service: Service, params: t.Mapping[str, t.Any], store: Store | None, wait_timeout: float) -> None:
        self.service = service
        self.task: str = params["task"]
        self.store = store
        self.wait_timeout = wait_timeout
        self.min_interval = None if params["min_interval"] is None else float(parse(params["min_interval"], "min_interval"))
        if self.min_interval is not None and store is None:
            raise CachingError("min_interval: needs store_url, where the time of the last run is kept")
        self.instances: list[Instance] = service.every_process(params["single_instance"]) if self.task in PER_PROCESS else []
        self.schedules: dict[str, Object] = {}

    def plan(self) -> tuple[bool, Object]:
        """Whether there is anything to do, and what is known of it beforehand."""
        last = self._last()
        if last is not None:
            age, recorded = last
            return False, {"diff": _NOTHING, "last_run": round(age, 1), "instances": [], "result": None, **recorded}
        planned: Object = {"diff": {"before": {}, "after": {self.task: "runs"}}, "last_run": None, "instances": [], "result": None}
        if self.task == "flush_and_shutdown":
            up = self.service.each(self._runs, self.instances)
            planned["instances"] = [
                _entry(instance, "to be shut down" if running else "is down already") for instance, running in zip(self.instances, up)
            ]
            self.instances = [instance for instance, running in zip(self.instances, up) if running]
            if not self.instances:
                return False, {**planned, "diff": _NOTHING}
        return True, planned

    def run(self) -> Object:
        """Do it; what is returned stands over what was planned."""
        results = self._each_process() if self.task in PER_PROCESS else self._once()
        if self.store and self.min_interval is not None:
            finished = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            kept = {name: results[name] for name in ("instances", "result") if name in results}
            self.store.put(f"tasks/{self.task}", json.dumps({"finished": finished, "returned": kept}).encode())
        return results

    def _last(self) -> tuple[float, Object] | None:
        """Age and results of the last run, where it is younger than ``min_interval`` by the store's own clock."""
        if self.store is None or self.min_interval is None:
            return None
        age = next((entry.age for entry in self.store.entries("tasks") if entry.name == f"tasks/{self.task}"), None)
        content = self.store.get(f"tasks/{self.task}") if age is not None and age < self.min_interval else None
        if age is None or content is None:
            return None
        try:
            returned = json.loads(content)["returned"]
        except (ValueError, KeyError, TypeError):
            return None
        return (age, returned) if isinstance(returned, dict) else None

    def _once(self) -> Object:
        """A job of the service as a whole; any process does it for all."""
        before = self._schedules() if self.task == "optimize_schedules" else {}
        answer = self.service.call(TASKS[self.task], passing=(429, 503))
        body = answer.json() if "json" in answer.headers.get("content-type", "") else None
        number = changes(body)
        diff: Object = {"before": {}, "after": {self.task: "runs"}}
        if self.task == "optimize_schedules" and answer.status != 202:
            after = self._schedules()
            differ = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
            diff = {side: {name: found[name] for name in differ if name in found} for side, found in (("before", before), ("after", after))}
            number = len(differ)
        changed = number is None or number > 0 or answer.status == 202
        return {"changed": changed, "result": {"answer": body, "changes": number}, "diff": diff if changed else _NOTHING}

    def _schedules(self) -> dict[str, Object]:
        found = {}
        for entry in self.service.listing("list_schedules", "schedules"):
            name = next((str(entry[word]) for word in ("name", "id") if entry.get(word) is not None), "")
            found[name] = {field: value for field, value in entry.items() if not _VOLATILE.search(field)}
        return found

    def _each_process(self) -> Object:
        act = self._refresh if self.task == "refresh" else self._shut_down
        entries = self.service.each(act, self.instances)
        failed = [entry for entry in entries if entry["error"]]
        changed = any(entry["changed"] for entry in entries)
        results = {"changed": changed, "instances": entries, "diff": {"before": {}, "after": {self.task: "runs"}} if changed else _NOTHING}
        if failed:
            told = "; ".join(f"{entry['name']}: {entry['error']}" for entry in failed[:3])
            more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
            raise CachingError(f"{self.task} failed on {len(failed)} of {len(entries)} instances: {told}{more}", **results)
        return results

    def _refresh(self, instance: Instance) -> Object:
        """Which keys changed in the configuration of a process, as it tells."""
        try:
            body = self.service.call("refresh", instance=instance, repeatable=True).json()
        except CachingError as error:
            return {**_entry(instance, "failed"), "error": error.message, "changed": error.may_have_acted}
        number = changes(body)
        keys = [str(key) for key in body] if isinstance(body, list) else None
        return {**_entry(instance, "refreshed"), "changed": number is None or number > 0, "changed_keys": keys}

    def _runs(self, instance: Instance) -> bool:
        """Whether there is a process. Only where nobody listens there is none: one that can't be reached may be full of what is to be flushed."""
        try:
            return self._is_up(instance, ending=False)
        except Unreachable as error:
            raise CachingError(f"{instance.name}: whether it runs can't be seen, so no instance was ended: {error.message}") from None

    def _is_up(self, instance: Instance, silence: bool = True, ending: bool = True) -> bool:
        """A process that refuses connections is down; one that accepts them and does not answer is as ``silence`` says. Where it is not
        ``ending``, with which its address may go, one that can't be reached is an error."""
        try:
            answer = self.service.call("liveness", instance=instance, expect=(*NO_SUCH_CALL, *_NO_PROCESS, 503), passing=(), once=True)
        except Unreachable as error:
            if not error.passing or not (ending or error.sent or error.refused):
                raise
            return error.sent and silence
        return answer.status not in _NO_PROCESS

    def _shut_down(self, instance: Instance) -> Object:
        deadline = Deadline(self.wait_timeout)
        begun = started(self.service, instance, once=True)
        answered, seen = False, "it was not asked"
        try:
            self.service.call("flush_and_shutdown", instance=instance, passing=())
            answered = True
        except Unreachable as error:  # it may have gone before its answer was out: what is there decides
            if not error.sent:
                return {**_entry(instance, "failed"), "error": error.message}
            seen = error.message
        except CachingError as error:
            return {**_entry(instance, "failed"), "error": error.message, "changed": error.may_have_acted}

        def gone() -> tuple[bool, str]:
            if not self._is_up(instance, silence=not answered):
                return True, "down"
            now = started(self.service, instance, once=True)
            again = begun is not None and now is not None and not now.same(begun)
            return again, "it is up, started again" if again else "it is still up"

        try:
            wait_for(gone, deadline.left, f"the end of {instance.name}")
        except CachingError as error:
            return {**_entry(instance, "failed"), "error": error.message if answered else f"{seen}; {error.message}", "changed": True}
        return {**_entry(instance, "shut down"), "changed": True}


def _entry(instance: Instance, status: str) -> Object:
    return {"name": instance.name, "url": instance.service, "status": status, "changed": False, "error": "", "changed_keys": None}
