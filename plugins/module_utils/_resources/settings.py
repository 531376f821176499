# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Run-time settings of the service (S023, S059 to S061, S158, S162, S163, S170), read of every process and written to it."""

from __future__ import annotations

import typing as t

from .._errors import ApiError, CachingError, Unreachable, one_line
from .._reconcile import Change, Object
from .._service import Instance, Service
from .features import Features
from .processes import NO_SUCH_CALL, UNKNOWN, PerProcess, Records, problem
from .regions import Regions
from .settings_model import (
    KINDS, SECTIONS, TWINS, contradiction, declared, dissent, flattened, nested, not_persistent, place, strategy_refusal, told, wire,
)


class Settings:
    """The settings of one run."""

    def __init__(self, service: Service, instances: t.Sequence[Instance], params: t.Mapping[str, t.Any], records: Records) -> None:
        self.service = service
        self.params = params
        self.paths = params["configuration_paths"]
        if unknown := sorted(set(self.paths) - set(SECTIONS)):
            raise CachingError(f"configuration_paths: there is no section {unknown[0]}; the sections are {', '.join(SECTIONS)}")
        if other := next((name for name, path in self.paths.items() if not isinstance(path, str)), None):
            raise CachingError(f"configuration_paths: the path of {other} must be a text such as cache.redis.pool, not {one_line(repr(self.paths[other]), 60)}")
        self.want = declared(params)
        twins = {TWINS[name] for name in self.want if name in TWINS} - set(self.want)  # they follow what is declared
        self._fields = {name: kind for name, kind in KINDS.items() if name not in twins}
        self._fields.update({name: "text" for name in self.want if name.startswith("strategies.")})
        self.resource = PerProcess(service, instances, self._fields, self.want, records, self._look, self._act, self._guard)
        self._files: dict[str, Object] = {}
        self._shown: set[str] = set()

    def _look(self, instance: Instance, once: bool) -> Object:
        answer = self.service.call("read_configuration", instance=instance, expect=NO_SUCH_CALL, once=once)
        body = answer.json() if answer.ok else None
        flat = flattened(body)
        self._files[instance.name] = told(flattened(body, "inputs"), self.paths, flat)
        found = told(flat, self.paths)
        strategies = {name: value for name, value in found.items() if name.startswith("strategies.")}
        self._shown.update(strategies.values())
        self._fields.update({name: "text" for name in strategies})
        if place("strategies", flat, self.paths):  # the service shows its map: a region that is not in it has none
            found.update({name: "" for name in self.want if name.startswith("strategies.") and name not in found})
        return found

    def _guard(self, changes: list[Change]) -> None:
        for change in changes:
            touched = change.fields
            if broken := dissent(self.want, touched) or contradiction(change.after, touched) or self._too_many(touched):
                raise CachingError(f"{broken}; nothing was changed")
        moved = {name: change for change in changes for name in change.fields if name.startswith("strategies.")}
        for name, change in moved.items():
            durable, approved = self.params["durable_regions"], self.params["allow_write_behind"]
            if refusal := strategy_refusal(name, change.have.get(name), change.want[name], self._shown, durable, approved):
                raise CachingError(f"{refusal}; nothing was changed")
        if moved:
            known = Regions(self.service).read()
            missing = sorted({name.removeprefix("strategies.") for name in moved} - set(known))
            if missing:
                raise CachingError(
                    f"strategies: there is no region {', '.join(missing[:5])} (the service has {', '.join(sorted(known)[:10]) or 'none'}); nothing was changed"
                )

    def _too_many(self, touched: t.Collection[str]) -> str:
        """The pools of all processes together must fit into what one node of Redis accepts (H15)."""
        limit, processes = self.params["max_clients"], len(self.resource.instances)
        for name in ("redis_connection.max_total", "redis_pool.max_total"):
            if limit is not None and name in touched and self.want[name] * processes > limit:
                return f"{name} {self.want[name]} on each of {processes} instances is more than max_clients {limit} of a node of Redis"
        return ""

    def _act(self, instance: Instance, change: Change) -> bool:
        """The sections that differ, each whole: a PUT may reset what it is not told (H14). Twins say the same in both."""
        once = instance.name in self.resource.silent
        known = {**change.have, **{TWINS[name]: value for name, value in self.want.items() if name in TWINS}, **self.want}
        for section, about in SECTIONS.items():
            if not any(name.startswith(f"{section}.") for name in change.fields):
                continue
            whole = {name: value for name, value in known.items() if name.startswith(f"{section}.") and value not in (None, "", UNKNOWN)}
            body = wire(section, {name.partition(".")[2]: value for name, value in whole.items()})
            self.service.call(about.endpoint, body, instance=instance, once=once)
        return True

    def warnings(self) -> list[str]:
        """Contradictions between compression here, its feature flag (S025) and the regions."""
        enabled = self.want.get("compression.enabled")
        texts = []
        if enabled is False and self.want.get("compression.threshold") is not None:
            texts.append("compression.threshold means nothing while compression.enabled is false")
        if enabled is None:
            return texts
        try:
            flag = Features(self.service).read().get("cache-compression", {}).get("enabled")
            if enabled and flag is False:
                texts.append("compression.enabled is true, but the feature flag cache-compression is off: nothing is compressed")
            if not enabled:
                regions = [name for name, entry in Regions(self.service).read().items() if entry.get("enable_compression")]
                if regions:
                    texts.append(f"compression.enabled is false, but enable_compression is set for {', '.join(sorted(regions)[:8])}: it has no effect")
        except (ApiError, Unreachable):
            pass  # a service without flags, or tokens without that right: there is nothing to compare with
        return texts

    def results(self, objects: t.Mapping[str, Object]) -> dict[str, t.Any]:
        """What the module returns of the processes."""
        known = {name: {field: value for field, value in entry.items() if value not in ("", UNKNOWN)} for name, entry in objects.items()}
        unreadable = self.resource.unreadable
        instances = [
            {"name": name, "settings": nested(known.get(name, {})), "readable": name in unreadable and not unreadable[name],
             "error": problem(self.resource, name)}
            for name in self.resource.instances
        ]
        files = list(self._files.values())
        lost = sorted({name for found in files or [{}] for name in not_persistent(self.want, found)})
        first = next(iter(known.values()), {})
        alike = {field: value for field, value in first.items() if all(entry.get(field) == value for entry in known.values())}
        return {
            "settings": nested(alike), "instances": instances,
            "readable": all(instance["readable"] for instance in instances), "not_persistent": lost,
        }
