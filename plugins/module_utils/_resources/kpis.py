# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Key figures of the running service: metrics of every instance read twice (S050 to S053, S062 to S064, S068, S160, S165)."""

from __future__ import annotations

import time
import typing as t
from urllib.parse import quote

from .. import _kpi, _kpi_window
from .._errors import CachingError, one_line
from .._http import check_url
from .._kpi_window import Counters, Delta, Reading, finite
from .._service import Instance, Service
from .regions import Regions

# What is read of Prometheus for the figures of the system; {window} becomes the window, as in 60s.
QUERIES = {
    "cpu_usage": "100 * max(process_cpu_usage)",
    "network_io": "100 * max(rate(node_network_transmit_bytes_total{device!=\"lo\"}[{window}]) / (node_network_speed_bytes{device!=\"lo\"} > 0))",
    "disk_io": "100 * max(rate(node_disk_io_time_seconds_total[{window}]))",
}
_GAUGES = {
    "redis_used": "redis.memory.used", "redis_max": "redis.memory.max", "connections": "redis.connections",
    "connections_active": "redis.connections.active", "entries": "cache.size",
}
_SECONDS = {"seconds": 1.0, "milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9}
_Metric = dict[str, t.Any]


class Window:
    """Two readings of each instance and what lies between them."""

    def __init__(self, service: Service, instances: t.Sequence[Instance], region_limit: int) -> None:
        self.service = service
        self.instances = instances
        self.region_limit = region_limit
        self.regions_reason = ""
        self.first: dict[str, Reading] = {}
        self.last: dict[str, Reading] = {}
        self._silent: set[str] = set()
        self._names: list[str] | None = None
        self._names_error = ""

    def read(self) -> dict[str, Reading]:
        """One reading of each instance."""
        found = self.service.each(self._one, self.instances)
        result = dict(zip((instance.name for instance in self.instances), found))
        self._silent = {name for name, reading in result.items() if reading.error}
        self.first = self.first or result
        self.last = result
        return result

    def measure(self, seconds: float) -> None:
        """Both readings, so many seconds apart."""
        begin = time.monotonic()
        self.read()
        time.sleep(max(0.0, seconds - (time.monotonic() - begin)))
        self.read()

    @property
    def deltas(self) -> dict[str, Delta | None]:
        return {name: None if reading.error else _kpi_window.delta(self.first.get(name), reading) for name, reading in self.last.items()}

    @property
    def seconds(self) -> float:
        """How far apart the readings were."""
        return max((reading.at - self.first[name].at for name, reading in self.last.items() if name in self.first), default=0.0)

    def _one(self, instance: Instance) -> Reading:
        reading = Reading(time.time(), {}, {}, {}, {})
        once = instance.name in self._silent
        steps = [self._requests, self._counters, self._gauges]
        try:
            # requests are read last at first, and first at last: so those that are sent here are not counted
            for step in steps if self.first else reversed(steps):
                step(instance, reading, once)
                once = False
        except CachingError as error:
            return reading._replace(error=error.message)
        return reading

    def _metric(self, instance: Instance, name: str, tags: t.Sequence[str] = (), once: bool = False) -> _Metric | None:
        """One metric; None where the instance has none of that name with these tags."""
        answer = self.service.call("metric", metric=name, instance=instance, expect=(404,), once=once, query={"tag": list(tags)} if tags else None)
        found = answer.json() if answer.ok else None
        if found is not None and not isinstance(found, dict):
            raise CachingError(f"{answer.method} {answer.url} answered with something that is no metric")
        return found

    def _requests(self, instance: Instance, reading: Reading, once: bool) -> None:
        requests = self._metric(instance, "cache.requests", once=once)
        if requests is None:
            reading.lacks["requests"] = "the service has no metric cache.requests"
        else:
            _put(reading.counters, "requests", statistic(requests, "COUNT"))
            seconds = statistic(requests, "TOTAL_TIME")
            _put(reading.counters, "request_seconds", None if seconds is None else seconds * _SECONDS.get(str(requests.get("baseUnit")), 1.0))

    def _counters(self, instance: Instance, reading: Reading, once: bool) -> None:
        pauses = self._metric(instance, "jvm.gc.pause", once=once)
        _put(reading.counters, "gc_pauses", statistic(pauses, "COUNT"))
        _put(reading.counters, "gc_seconds", statistic(pauses, "TOTAL_TIME"))
        gets = self._metric(instance, "cache.gets")
        results = tag_values(gets, "result")
        if gets is None:
            reading.lacks["hits"] = "the service has no metric cache.gets"
        elif not results and statistic(gets, "COUNT"):
            reading.lacks["hits"] = "the metric cache.gets does not tell hits and misses apart (it has no tag result)"
        else:
            for name, result in (("hits", "hit"), ("misses", "miss")):
                found = self._metric(instance, "cache.gets", [f"result:{result}"]) if result in results else None
                reading.counters[name] = statistic(found, "COUNT") or 0.0
        self._by_region(instance, reading, tag_values(gets, "cache"))
        self._evictions(instance, reading)

    def _by_region(self, instance: Instance, reading: Reading, names: t.Sequence[str]) -> None:
        if len(names) > self.region_limit:
            self.regions_reason = f"{len(names)} regions are more than region_limit {self.region_limit}"
            return
        for name in names if "hits" in reading.counters else ():
            counts: Counters = {}
            for key, result in (("hits", "hit"), ("misses", "miss")):
                found = self._metric(instance, "cache.gets", [f"cache:{name}", f"result:{result}"])
                counts[key] = statistic(found, "COUNT") or 0.0
            reading.regions[name] = counts

    def _evictions(self, instance: Instance, reading: Reading) -> None:
        """By the usual metrics; where the service lacks them, by the statistics of its regions (S028)."""
        puts, evictions = self._metric(instance, "cache.puts"), self._metric(instance, "cache.evictions")
        if puts is not None and evictions is not None:
            _put(reading.counters, "puts", statistic(puts, "COUNT"))
            _put(reading.counters, "evictions", statistic(evictions, "COUNT"))
            return
        names = self._region_names()
        if names is None or len(names) > self.region_limit:
            why = self._names_error or "there are more regions than region_limit"
            reading.lacks["evictions"] = f"the service has no metric cache.evictions, and its regions can't tell instead: {why}"
            return
        counts: Counters = {}
        for name in names:
            answer = self.service.call("region_stats", region=name, instance=instance, expect=(404,))
            told = answer.json() if answer.ok else None
            for key in ("puts", "evictions"):
                value = finite(told.get(key)) if isinstance(told, dict) else None
                if value is not None:
                    counts[key] = counts.get(key, 0.0) + value
        if names and not {"puts", "evictions"} <= counts.keys():
            reading.lacks["evictions"] = "neither a metric cache.evictions nor the statistics of the regions tell evictions and puts"
            return
        reading.counters.update({"puts": 0.0, "evictions": 0.0, **counts})

    def _region_names(self) -> list[str] | None:
        if self._names is None and not self._names_error:
            try:
                self._names = sorted(Regions(self.service).read())
            except CachingError as error:
                self._names_error = error.message
        return self._names

    def _gauges(self, instance: Instance, reading: Reading, once: bool) -> None:
        for name, metric in _GAUGES.items():
            found = statistic(self._metric(instance, metric, once=once), "VALUE")
            once = False
            _put(reading.gauges, name, found)
            if found is None:
                reading.lacks[name] = f"the service has no metric {metric}"
        used = self._metric(instance, "jvm.memory.used")
        heap = ["area:heap"] if "heap" in tag_values(used, "area") else []
        for name, metric in (("jvm_used", "jvm.memory.used"), ("jvm_max", "jvm.memory.max")):
            found = statistic(used if name == "jvm_used" and not heap else self._metric(instance, metric, heap), "VALUE")
            _put(reading.gauges, name, found)
            if found is None:
                reading.lacks[name] = f"the service has no metric {metric}"
        for name, metric in (("uptime", "process.uptime"), ("started", "process.start.time")):
            _put(reading.gauges, name, statistic(self._metric(instance, metric), "VALUE"))


def statistic(metric: _Metric | None, name: str) -> float | None:
    """One statistic of a metric; NaN and the like are none."""
    rows = (metric or {}).get("measurements")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and str(row.get("statistic")).upper() == name:
            return finite(row.get("value"))
    return None


def tag_values(metric: _Metric | None, tag: str) -> list[str]:
    rows = (metric or {}).get("availableTags")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("tag") == tag and isinstance(row.get("values"), list):
            return [str(value) for value in row["values"]]
    return []


def _put(counters: Counters, name: str, value: float | None) -> None:
    if value is not None:
        counters[name] = value


def prometheus(service: Service, url: str, queries: t.Mapping[str, t.Any], window: float) -> dict[str, _kpi.Figure]:
    """The figures that a Prometheus server tells; no token goes there."""
    base = check_url(url, "prometheus_url")
    wanted = {**QUERIES, **{str(name): str(query) for name, query in queries.items()}}
    unknown = sorted(set(wanted) - set(_kpi.THRESHOLDS))
    if unknown:
        raise CachingError(f"prometheus_queries: there is no figure {unknown[0]}; the nine are {', '.join(_kpi.THRESHOLDS)}")

    def ask(name: str) -> _kpi.Figure:
        query = wanted[name].replace("{window}", f"{max(1, round(window))}s")
        try:
            answer = service.http.send("GET", [f"{base}/api/v1/query?query={quote(query, safe='')}"], headers={"Accept": "application/json"})
            told = answer.json()
        except CachingError as error:
            return _kpi.Figure(None, error.message)
        if not answer.ok or not isinstance(told, dict) or told.get("status") != "success":
            reason = one_line(told.get("error", "no reason given"), 120) if isinstance(told, dict) else "no reason given"
            return _kpi.Figure(None, f"Prometheus answered {answer.status}: {reason}")
        values = samples(told.get("data"))
        return _kpi.Figure(max(values)) if values else _kpi.Figure(None, "Prometheus has no value for it")

    names = list(wanted)
    return dict(zip(names, service.each(ask, names)))


def samples(data: t.Any) -> list[float]:
    """The values of an answer of Prometheus: a scalar or an instant vector."""
    if not isinstance(data, dict):
        return []
    found = data.get("result")
    rows = found if isinstance(found, list) else []
    pairs = [rows] if data.get("resultType") == "scalar" else [row.get("value") for row in rows if isinstance(row, dict)]
    values = []
    for pair in pairs:
        try:
            value = finite(float(pair[1])) if isinstance(pair, list) else None
        except (TypeError, ValueError, IndexError):
            continue
        if value is not None:
            values.append(value)
    return values


def result(window: Window, others: t.Mapping[str, _kpi.Figure], limits: t.Mapping[str, _kpi.Threshold], unknown_counts: bool) -> dict[str, t.Any]:
    """What a module returns: the nine figures, the verdict, regions and instances."""
    deltas = window.deltas
    kpis = _kpi.judge({**_kpi_window.figures(window.last, deltas), **others}, limits)
    limit = limits["hit_rate"]
    regions = []
    for region in _kpi_window.by_region(list(deltas.values())).values():
        share = region["hit_rate"]
        regions.append({**region, "hit_rate": None if share is None else round(share, 3), "state": _kpi.state(share, limit)})
    instances = [
        {"name": instance.name, "url": instance.service, "measured": deltas.get(instance.name) is not None,
         "restarted": bool((change := deltas.get(instance.name)) and change.restarted), "error": window.last[instance.name].error}
        for instance in window.instances
    ]
    counted = _kpi_window.total(change.counters for change in deltas.values() if change)
    return {
        "kpis": kpis, "verdict": _kpi.worst((kpi["state"] for kpi in kpis), unknown_counts),
        "regions": regions, "regions_reason": window.regions_reason, "instances": instances,
        "window_seconds": round(window.seconds, 3),
        "counted": {name: int(counted[name]) for name in ("requests", "hits", "misses", "puts", "evictions") if name in counted},
    }


def failure(kpis: t.Sequence[dict[str, t.Any]], fail_on: str, unknown_counts: bool) -> str:
    """Why these figures are a failure, in one line; empty where they are none."""
    bad = {"never": (), "warning": ("warning", "critical"), "critical": ("critical",)}[fail_on]
    told = [f"{kpi['name']} is {kpi['state']}: {kpi['reason']}" for kpi in kpis if kpi["state"] in bad]
    if unknown_counts and fail_on != "never":
        told += [f"{kpi['name']} is unknown: {kpi['reason']}" for kpi in kpis if kpi["state"] == "unknown"]
    return "; ".join(told)
