# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What each process of the service keeps for itself (H02): read of every process, else recalled, else unknown.

A record in the store holds what was last written to a process. It is void as soon as the process has started again, and
where the service does not tell when its processes started there is none.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import typing as t

from .._errors import ApiError, CachingError, Unreachable
from .._reconcile import Change, Mode, Object, Wanted, reconcile
from .._service import Instance, Service
from .._store import Store

UNKNOWN = "unknown"
NO_SUCH_CALL = (404, 405, 501)
_ODD = re.compile(r"[^A-Za-z0-9_.-]+")


class Start(t.NamedTuple):
    """When a process started, in seconds: of its own clock, or ours minus its uptime, which is not ``exact``."""

    at: float
    exact: bool

    def same(self, other: "Start") -> bool:
        return abs(self.at - other.at) < (0.001 if self.exact and other.exact else 1.0)


def started(service: Service, instance: Instance, once: bool = False) -> Start | None:
    """When a process started; None where the service does not tell."""
    for metric in ("process.start.time", "process.uptime"):
        try:
            answer = service.call("metric", instance=instance, metric=metric, expect=NO_SUCH_CALL, passing=(), once=once)
            found = answer.json() if answer.ok else None
        except (ApiError, Unreachable):
            return None
        values = [row.get("value") for row in found.get("measurements") or [] if isinstance(row, dict)] if isinstance(found, dict) else []
        if values and isinstance(values[0], (int, float)) and not isinstance(values[0], bool):
            exact = metric == "process.start.time"
            return Start(float(values[0]) if exact else time.time() - values[0], exact)
    return None


class Records:
    """What was last written to each process, in ``<kind>/<process>`` of the store; without a store nothing is recalled.

    ``fresh``: what a process is when it has started again since its record, as far as that is known.
    """

    def __init__(self, service: Service, store: Store | None, kind: str, fresh: Object | None = None) -> None:
        self.service = service
        self.store = store
        self.kind = kind
        self.fresh: Object = fresh or {}

    def recall(self, instance: Instance) -> Object:
        """The values of the record; if the process has started again since, they are void."""
        content = self.store.get(self._name(instance)) if self.store else None
        try:
            found = json.loads(content) if content else {}
            begun, values = found.get("process_started"), found.get("recorded")
            exact = found.get("process_started_exact") is True
        except (ValueError, AttributeError):
            return {}
        if not isinstance(begun, (int, float)) or not isinstance(values, dict):
            return {}
        now = started(self.service, instance)
        if now is None:
            return {}
        return values if now.same(Start(begun, exact)) else dict(self.fresh)

    def remember(self, instance: Instance, values: Object) -> None:
        begun = started(self.service, instance) if self.store else None
        if self.store and begun is not None:
            record = {"instance": instance.name, "url": instance.service, "process_started": begun.at,
                      "process_started_exact": begun.exact, "recorded": values}
            self.store.put(self._name(instance), json.dumps(record).encode())

    def _name(self, instance: Instance) -> str:
        digest = hashlib.sha256(f"{instance.name} {instance.service}".encode()).hexdigest()[:12]
        return f"{self.kind}/{_ODD.sub('-', instance.name)[:60]}-{digest}"


class PerProcess:
    """Every process of the service as one object, for the reconciler.

    ``look`` reads what a process tells (a field that it does not tell is missing), ``act`` writes to one and returns True
    where that is applied later. What a process that answers does not tell is what was acknowledged in this run, else what
    the records hold, else unknown; of a process that does not answer everything is unknown. ``about``: what a record holds
    beside the fields. ``passing``: a process tells this state only while it is in it.
    """

    kind = "instance"

    def __init__(
        self, service: Service, instances: t.Sequence[Instance], fields: t.Mapping[str, str], wanted: Object, records: Records,
        look: t.Callable[[Instance, bool], Object], act: t.Callable[[Instance, Change], bool],
        guard: t.Callable[[list[Change]], None] = lambda changes: None, about: t.Callable[[], Object] = dict, passing: bool = False,
    ) -> None:
        self.service = service
        self.concurrency = service.concurrency
        self.fields: t.Mapping[str, str] = fields
        self.guard = guard
        self.instances = {instance.name: instance for instance in instances}
        if len(self.instances) < len(instances):
            raise CachingError("instances: two of them have the same name")
        self.silent: dict[str, str] = {}
        self.unreadable: dict[str, set[str]] = {}
        self.last: dict[str, Object] = {}
        self.errors: dict[str, str] = {}
        self._wanted = wanted
        self._records = records
        self._look = look
        self._act = act
        self._about = about
        self._passing = passing
        self._recalled: dict[str, Object] = {}
        self._acknowledged: dict[str, Object] = {}

    def wanted(self) -> dict[str, Object]:
        return {name: dict(self._wanted) for name in self.instances}

    def read(self) -> dict[str, Object]:
        names = list(self.instances)
        self.last = dict(zip(names, self.service.each(self._read_one, names)))
        return self.last

    def _read_one(self, name: str) -> Object:
        instance = self.instances[name]
        try:
            told = self._look(instance, name in self.silent)
            self.silent.pop(name, None)
        except (ApiError, Unreachable) as error:
            if isinstance(error, ApiError) and error.status < 500:
                raise
            self.silent[name] = error.message
            return {field: UNKNOWN if field in self._wanted else None for field in self.fields}
        missing = {field for field in self._wanted if told.get(field) is None}
        self.unreadable[name] = missing
        if missing and name not in self._recalled:
            self._recalled[name] = self._records.recall(instance)
        known = {**self._recalled.get(name, {}), **self._acknowledged.get(name, {})}
        return {**told, **{field: known.get(field, UNKNOWN) for field in missing}}

    def found(self, names: list[str]) -> None:
        """Those that are as wanted already. What a process tells in ``passing`` is recorded, as it may not be told any more later."""
        for name in names if self._passing else []:
            instance = self.instances[name]
            if name in self.silent or self.unreadable.get(name):
                continue
            recorded = self._records.recall(instance)
            if any(recorded.get(field) != value for field, value in self._wanted.items()):
                self._records.remember(instance, {**self._wanted, **self._about()})

    def write(self, change: Change) -> bool:
        instance = self.instances[change.name]
        later = self._act(instance, change)
        values = {field: value for field, value in change.after.items() if field in self.fields and value is not None and value != UNKNOWN}
        self._acknowledged[change.name] = values
        self._records.remember(instance, {**values, **self._about()})
        return later


def reconciled(run: Mode, resource: PerProcess, results: t.Callable[[dict[str, Object]], Object], wait_timeout: float) -> Object:
    """Bring every process to what is wanted; ``results`` makes of the processes what the module returns, after a failure too."""
    try:
        result = reconcile(run, resource, Wanted(resource.wanted()), wait_timeout, resource.found)
    except CachingError as error:
        if resource.last:
            resource.errors.update({failure["name"]: failure["error"] for failure in error.results.get("failures", [])})
            error.results.update(results(resource.last))
        raise
    objects = result.pop("objects")
    return {**result, **results(objects)}


def problem(resource: PerProcess, name: str) -> str:
    """Why a process is not as wanted, or nothing."""
    return resource.errors.get(name) or resource.silent.get(name, "")
