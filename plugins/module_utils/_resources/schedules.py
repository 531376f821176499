# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Warm schedules (S045 to S047): how they are read and written, and what to look at before they run at night."""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta

from .. import _cron
from .._errors import CachingError, one_line
from .._fields import canonical, same
from .._reconcile import Change, Object
from .._service import Service, segment
from .regions import Regions, check_name

FIELDS = {"schedule": "text", "region": "text", "strategy": "text", "enabled": "boolean"}
_WIRE = {
    "schedule": ("schedule", "cron", "cronExpression", "expression"), "region": ("region", "regionName", "cacheName"),
    "strategy": ("strategy", "warmStrategy"), "enabled": ("enabled", "active"),
}
_NAMES = ("name", "scheduleName", "id")
_ZONES = ("timezone", "timeZone", "zone")
_NO_SUCH_CALL = (404, 405, 501)
_MOST_TOLD = 5


def declared(schedules: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[dict[str, Object], list[str]]:
    """The option ``schedules``: objects by name, and the names that must be absent."""
    present: dict[str, Object] = {}
    absent: list[str] = []
    for given in schedules:
        name = _name(given["name"])
        if name in present or name in absent:
            raise CachingError(f"schedules: {name} is declared twice")
        if given.get("state") == "absent":
            absent.append(name)
            continue
        want = {field: given[field] for field in FIELDS if given.get(field) is not None}
        if "schedule" in want:
            want["schedule"] = _cron.check(want["schedule"], f"schedules: schedule of {name}")
        if "region" in want:
            check_name(want["region"], f"schedules: region of {name}")
        if not want.get("strategy", "x").strip():
            raise CachingError(f"schedules: strategy of {name} is empty")
        present[name] = want
    return present, absent


def _name(name: str) -> str:
    try:
        segment(name)
    except (CachingError, UnicodeEncodeError):
        raise CachingError(f"schedules: {one_line(ascii(name), 60)} can't be the name of a schedule") from None
    if not name.strip() or any(ord(character) < 32 for character in name) or len(name) > 256:
        raise CachingError(f"schedules: {one_line(ascii(name), 60)} can't be the name of a schedule")
    return name


def parsed(answer: t.Mapping[str, t.Any]) -> tuple[str, Object]:
    """A schedule of the service in the options' words, with the time zone that it tells."""
    name = next((answer[key] for key in _NAMES if isinstance(answer.get(key), str)), None)
    if name is None:
        raise CachingError(f"the list of schedules holds one without a name: {one_line(answer, 120)}")
    found = {field: next((answer[key] for key in keys if answer.get(key) is not None), None) for field, keys in _WIRE.items()}
    entry: Object = {field: canonical(kind, found[field]) for field, kind in FIELDS.items()}
    if entry["schedule"] is not None:
        entry["schedule"] = _cron.normal(entry["schedule"])
    return name, {**entry, "_zone": next((answer[key] for key in _ZONES if isinstance(answer.get(key), str)), None)}


class Schedules:
    """The warm schedules of a service, for the reconciler.

    Where the service can't delete, a schedule that is disabled is as good as absent; ``deletes`` says that it can.
    """

    kind = "schedule"
    fields: t.Mapping[str, str] = FIELDS

    def __init__(
        self, service: Service, present: dict[str, Object], absent: t.Sequence[str], *, purge: bool = False, purge_limit: int = 5, deletes: bool = False
    ) -> None:
        self.service = service
        self.concurrency = service.concurrency
        self.present = present
        self.absent = absent
        self.purge = purge
        self.purge_limit = purge_limit
        self.deletes = deletes
        self.disabled: dict[str, Object] = {}
        self.absent_by: dict[str, str] = {}
        self._deletes_not = False

    def read(self) -> dict[str, Object]:
        self.disabled = {}
        found = dict(parsed(answer) for answer in self.service.listing("list_schedules", "schedules"))
        for name, entry in found.items():
            want = self.present.get(name)
            if want and entry["schedule"] and "schedule" in want and _cron.same(entry["schedule"], want["schedule"]):
                entry["schedule"] = want["schedule"]
            unwanted = name in self.absent or self.purge and want is None
            if unwanted and same("boolean", entry["enabled"], False) and (self._deletes_not or not self.deletes):
                self.disabled[name] = entry
                self.absent_by[name] = "disabled"
        return {name: entry for name, entry in found.items() if name not in self.disabled}

    def guard(self, changes: list[Change]) -> None:
        purged = [change.name for change in changes if change.action == "delete" and change.name not in self.absent]
        if len(purged) > self.purge_limit:
            raise CachingError(
                f"purge would remove {len(purged)} schedules that are not declared ({', '.join(purged[:8])}{', …' * (len(purged) > 8)}), "
                f"more than purge_limit {self.purge_limit}; nothing was changed"
            )
        for change in changes:
            lacks = [field for field in ("schedule", "region", "strategy") if not change.want.get(field)]
            if change.action == "create" and lacks:
                raise CachingError(f"schedules: {change.name} is not there yet, so it needs {' and '.join(lacks)}; nothing was changed")
        named = {change.want["region"]: change.name for change in changes if "region" in change.fields}
        known = Regions(self.service).read() if named else {}
        missing = sorted(set(named) - set(known))
        if missing:
            raise CachingError(
                f"schedules: {named[missing[0]]} warms {', '.join(missing[:5])}, but there is no such region "
                f"(the service has {', '.join(sorted(known)[:10]) or 'none'}); nothing was changed"
            )

    def write(self, change: Change) -> bool:
        if change.action == "create":
            return self.service.call("create_schedule", {"name": change.name, **change.want}).status == 202
        if change.action == "delete":
            return self._remove(change)
        return self.service.call("update_schedule", _whole(change.after), name=change.name).status == 202

    def _remove(self, change: Change) -> bool:
        if not self._deletes_not:
            answer = self.service.call("delete_schedule", name=change.name, expect=_NO_SUCH_CALL)
            if answer.ok:
                self.absent_by[change.name] = "deleted"
                return answer.status == 202
            self._deletes_not = True
        answer = self.service.call("update_schedule", _whole({**change.have, "enabled": False}), name=change.name, expect=(404,))
        return answer.status == 202

    def results(self, objects: t.Mapping[str, Object]) -> list[dict[str, t.Any]]:
        """The schedules as they are now; those that are absent because they are disabled say so."""
        rows = [shown(name, entry) for name, entry in objects.items()]
        rows += [{**shown(name, entry), "state": "absent", "absent_by": "disabled"} for name, entry in self.disabled.items()]
        return sorted(rows, key=lambda row: str(row["name"]))


def _whole(entry: t.Mapping[str, t.Any]) -> Object:
    """What a PUT sends: everything, as it may reset what it is not told (H14)."""
    return {field: entry[field] for field in FIELDS if entry.get(field) is not None}


def shown(name: str, entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A schedule as modules return it."""
    told = {"timezone": entry["_zone"]} if entry.get("_zone") else {}
    return {"name": name, **{field: entry.get(field) for field in FIELDS}, **told, "state": "present"}


def findings(objects: t.Mapping[str, Object], window: timedelta, timezone: str | None, begin: datetime) -> list[str]:
    """What is allowed, but will hardly be meant: warm-ups of a region that meet, and times that a changed clock skips or repeats."""
    enabled = {name: entry for name, entry in sorted(objects.items()) if entry.get("enabled") and _fits(entry.get("schedule"))}
    by_region: dict[str, list[str]] = {}
    for name, entry in enabled.items():
        by_region.setdefault(str(entry.get("region")), []).append(name)
    told = []
    for region, names in by_region.items():
        met = _cron.meetings({name: enabled[name]["schedule"] for name in names}, window, begin)
        for (name, other), moments in list(met.items())[:_MOST_TOLD]:
            one, two = (moment.strftime("%a %H:%M") for moment in moments)
            told.append(f"schedules {name} and {other} both warm {region} at nearly the same time ({one} and {two})")
        if len(met) > _MOST_TOLD:
            told.append(f"at least {len(met) - _MOST_TOLD} more pairs of schedules of {region} are as near")
    zones = sorted({str(entry["_zone"]) for entry in enabled.values() if entry.get("_zone")} - {timezone})
    if timezone and zones:
        told.append(f"timezone is {timezone}, but the service reads schedules in {', '.join(zones)}")
    for change in _cron.clock_changes(timezone, begin) if timezone else []:
        for name, entry in enabled.items():
            if start := _cron.touched(entry["schedule"], change):
                what = "does not exist" if change.gap else "comes twice"
                told.append(f"schedule {name} starts at {start:%H:%M}, which {what} on {start:%Y-%m-%d} in {timezone}")
    return told


def _fits(expression: t.Any) -> bool:
    try:
        return bool(_cron.check(expression, ""))
    except CachingError:
        return False
