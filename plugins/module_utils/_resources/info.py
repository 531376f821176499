# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Everything that can be read of the service, by subset."""

from __future__ import annotations

import typing as t
from decimal import Decimal

from .. import _redact
from .._duration import to_iso
from .._errors import ApiError, CachingError, one_line
from .._reconcile import Object
from .._service import Service
from . import entries, features, metrics, schedules, warm_jobs
from .entries import Reader as EntryReader
from .regions import Regions, check_name, shown

# returned key: endpoint
ANALYTICS = {
    "top_regions": "top_regions", "recommendations": "recommendations", "performance_issues": "performance_issues",
    "hit_rate_by_region": "hit_rate_by_region", "access_patterns": "access_patterns",
}
SECURITY = {
    "auth_events": "auth_events", "access_patterns": "security_access_patterns", "api_key_usage": "api_key_usage",
    "tls_status": "tls_status", "encryption_status": "encryption_status",
}
_NO_SUCH_CALL = (404, 405, 501)
_Params = t.Mapping[str, t.Any]


class Reader:
    """The subsets of one run; the list of regions is read once, whatever needs it."""

    def __init__(self, service: Service, params: _Params) -> None:
        self.service = service
        self.region: str | None = params["region"]
        self.exists_only: bool = params["exists_only"]
        self.keys = [entries.check_key(key, "entry_keys") for key in dict.fromkeys(params["entry_keys"])]
        self.metrics_wanted = metrics.declared(params["metrics"])
        self.single_instance: bool = params["single_instance"]
        self._found: dict[str, Object] | None = None

    def _regions(self) -> dict[str, Object]:
        if self._found is None:
            found = Regions(self.service).read()
            if self.region is not None:
                if self.region not in found:
                    known = ", ".join(sorted(found)[:10]) or "none"
                    raise CachingError(f"region: there is no region {one_line(repr(self.region), 60)}; the service has {known}")
                found = {self.region: found[self.region]}
            self._found = found
        return self._found

    def regions(self) -> t.Any:
        return [shown(name, entry) for name, entry in sorted(self._regions().items())]

    def region_stats(self) -> t.Any:
        """One request for each region (S028)."""
        names = sorted(self._regions())
        return dict(zip(names, self.service.each(lambda name: self.service.call("region_stats", region=name).json(), names)))

    def entries(self) -> t.Any:
        """One entry by itself, more of them in one request (S032, S036); or only whether they are there (S035)."""
        if self.region is None or not self.keys:
            raise CachingError("entries: give region and entry_keys")
        reader = EntryReader(self.service, check_name(self.region, "region"))
        if self.exists_only:
            there = [self._exists(reader, key) for key in self.keys[:1]] + self.service.each(lambda key: self._exists(reader, key), self.keys[1:])
            refused = [found for found in there if isinstance(found, CachingError)]
            if refused:
                raise refused[0]
            if not any(there):
                reader.check_region()
            return [{"key": key, "exists": found} for key, found in zip(self.keys, there)]
        found = reader.many(self.keys) if len(self.keys) > 1 else {key: one for key in self.keys if (one := reader.one(key))}
        if not found:
            reader.check_region()
        return [_entry(key, found.get(key)) for key in self.keys]

    def _exists(self, reader: EntryReader, key: str) -> bool | CachingError:
        try:
            return reader.exists(key)
        except CachingError as error:
            return error

    def warming(self) -> t.Any:
        jobs = [warm_jobs.parsed(answer) for answer in self.service.listing("warming_status", "jobs")]
        return [warm_jobs.shown(job) for job in jobs if self.region in (None, job.region)]

    def features(self) -> t.Any:
        return [features.shown(name, entry) for name, entry in sorted(features.Features(self.service).read().items())]

    def schedules(self) -> t.Any:
        found = sorted(schedules.Schedules(self.service, {}, []).read().items())
        return [schedules.shown(name, entry) for name, entry in found if self.region in (None, entry["region"])]

    def configuration(self) -> t.Any:
        """Of every process that is known, without secrets (H04)."""
        places = self.service.processes

        def one(number: int) -> dict[str, t.Any]:
            told: dict[str, t.Any] = {"name": places[number].name, "properties": None, "error": ""}
            try:
                return {**told, "properties": _redact.redacted(self.service.call("read_configuration", instance=places[number]).json())}
            except CachingError as error:
                return {**told, "error": error.message}

        found = self.service.each(one, range(len(places)))
        if all(row["error"] for row in found):
            raise CachingError(found[0]["error"])
        return found

    def metrics(self) -> t.Any:
        return metrics.read(self.service, self.service.every_process(self.single_instance), self.metrics_wanted)

    def analytics(self) -> t.Any:
        return self._parts(ANALYTICS)

    def security(self) -> t.Any:
        return self._parts(SECURITY)

    def _parts(self, parts: t.Mapping[str, str]) -> dict[str, t.Any]:
        """Each as the service gives it, without secrets; null, and the reason under C(unavailable), for what it does not have."""
        def one(endpoint: str) -> tuple[t.Any, str] | CachingError:
            try:
                return _redact.redacted(self.service.call(endpoint).json()), ""
            except ApiError as error:
                return (None, error.message) if error.status in _NO_SUCH_CALL else error
            except CachingError as error:
                return error

        told: dict[str, t.Any] = {}
        missing: dict[str, str] = {}
        for name, found in zip(parts, self.service.each(one, list(parts.values()))):
            if isinstance(found, CachingError):
                raise found
            told[name] = found[0]
            if found[1]:
                missing[name] = found[1]
        return {**told, "unavailable": missing}


def _entry(key: str, entry: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    if entry is None:
        return {"key": key, "exists": False, "value": None, "digest": None, "size": None, "ttl_left": None, "tags": None}
    digest, size = entries.fingerprint(entry["value"])
    left = None if entry["left"] is None else to_iso(Decimal(int(entry["left"])))
    return {"key": key, "exists": True, "value": entry["value"], "digest": digest, "size": size, "ttl_left": left, "tags": entry["tags"]}


SUBSETS: dict[str, t.Callable[[Reader], t.Any]] = {
    "regions": Reader.regions, "region_stats": Reader.region_stats, "entries": Reader.entries, "warming": Reader.warming,
    "features": Reader.features, "schedules": Reader.schedules, "configuration": Reader.configuration, "metrics": Reader.metrics,
    "analytics": Reader.analytics, "security": Reader.security,
}


def read(service: Service, subset: t.Sequence[str], params: _Params) -> dict[str, t.Any]:
    """The named subsets, a key each."""
    reader = Reader(service, params)
    return {name: SUBSETS[name](reader) for name in dict.fromkeys(subset)}
