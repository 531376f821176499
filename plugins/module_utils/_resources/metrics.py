# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Metrics of every process (S050 to S053, S062, S064, S068, S160, S165): each by itself, and put together as their kind allows."""

from __future__ import annotations

import math
import time
import typing as t

from .. import _kpi_window
from .._errors import ApiError, CachingError, Unreachable, one_line
from .._service import Instance, Service

# The ten of the guide.
DEFAULT = (
    "cache.requests", "cache.size", "cache.gets", "redis.connections.active", "redis.connections", "redis.memory.used", "redis.memory.max",
    "jvm.memory.max", "jvm.memory.used", "jvm.gc.pause",
)
_NO_SUCH_METRIC = (404,)
_SUMMED = ("COUNT", "TOTAL", "TOTAL_TIME")
Reading = dict[str, t.Any]


def declared(given: t.Sequence[t.Mapping[str, t.Any]] | None) -> list[tuple[str, dict[str, str]]]:
    """The option ``metrics`` as names and tags."""
    if given is None:
        return [(name, {}) for name in DEFAULT]
    result = []
    for number, entry in enumerate(given):
        name = str(entry["name"]).strip()
        tags = {str(tag): str(value) for tag, value in (entry.get("tags") or {}).items()}
        odd = [text for text in (name, *tags, *tags.values()) if not text or not text.isprintable()]
        if odd or name in (".", "..") or "/" in name:
            raise CachingError(f"metrics[{number}]: {one_line(repr(name), 60)} with tags {one_line(tags, 80)} can't be a metric")
        result.append((name, tags))
    return result


def of_instance(service: Service, instance: Instance, name: str, tags: t.Mapping[str, str]) -> Reading:
    """One metric of one process: {name, measurements, available_tags, error}. Refused tokens raise."""
    reading: Reading = {"name": instance.name, "measurements": {}, "available_tags": {}, "error": ""}
    query = {"tag": [f"{tag}:{value}" for tag, value in tags.items()]} if tags else None
    try:
        answer = service.call("metric", metric=name, instance=instance, query=query, expect=_NO_SUCH_METRIC)
        if not answer.ok:
            return {**reading, "error": "the instance has no such metric" + (" with these tags" if tags else "")}
        return {**reading, **parsed(answer.json())}
    except Unreachable as error:
        return {**reading, "error": error.message}
    except ApiError as error:
        if error.status in (401, 403):
            raise
        return {**reading, "error": error.message}


def parsed(body: t.Any) -> Reading:
    """Measurements by statistic and tags by name, from Spring's answer."""
    rows = body.get("measurements") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise CachingError("the answer for a metric has no measurements")
    values = {str(row.get("statistic", "VALUE")).upper(): row.get("value") for row in rows if isinstance(row, dict)}
    tags = body.get("availableTags") or []
    return {
        "measurements": {name: value for name, value in values.items() if _finite(value)},
        "available_tags": {str(row["tag"]): list(row.get("values") or []) for row in tags if isinstance(row, dict) and "tag" in row},
    }


def _finite(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def combined(readings: t.Sequence[Reading]) -> Reading:
    """Counters and times are summed over the instances; a maximum is the greatest; of a gauge both are told, as only the
    reader knows whether each process has its own (memory of the JVM) or all tell of the same (memory of Redis)."""
    by_statistic: dict[str, list[float]] = {}
    for reading in readings:
        for statistic, value in reading["measurements"].items():
            by_statistic.setdefault(statistic, []).append(value)
    return {
        "sum": {name: sum(values) for name, values in by_statistic.items() if name in _SUMMED or name != "MAX"},
        "max": {name: max(values) for name, values in by_statistic.items() if name not in _SUMMED},
        "complete": bool(readings) and all(not reading["error"] for reading in readings),
    }


def read(service: Service, instances: t.Sequence[Instance], wanted: t.Sequence[tuple[str, dict[str, str]]]) -> list[Reading]:
    """The metrics of all instances. That one has no such metric, or does not answer, is told; that none answers is an error."""
    jobs = [(name, tags, instance) for name, tags in wanted for instance in instances]
    found = service.each(lambda job: _kept(service, job), jobs)
    result = []
    for number, (name, tags) in enumerate(wanted):
        readings = []
        for reading in found[number * len(instances) : (number + 1) * len(instances)]:
            if isinstance(reading, CachingError):
                raise reading
            readings.append(reading)
        merged: dict[str, set[str]] = {}
        for reading in readings:
            for tag, values in reading.pop("available_tags").items():
                merged.setdefault(tag, set()).update(map(str, values))
        available = {tag: sorted(values) for tag, values in merged.items()}
        result.append({"name": name, "tags": tags, "instances": readings, **combined(readings), "available_tags": available})
    rows = [reading for metric in result for reading in metric["instances"]]
    if rows and all(row["error"] and "no such metric" not in row["error"] for row in rows):
        raise CachingError(f"no instance tells its metrics: {rows[0]['name']}: {rows[0]['error']}")
    return result


def _kept(service: Service, job: tuple[str, dict[str, str], Instance]) -> Reading | CachingError:
    try:
        return of_instance(service, job[2], job[0], job[1])
    except CachingError as error:
        return error


def lookups(service: Service, instances: t.Sequence[Instance], region: str) -> dict[str, _kpi_window.Reading]:
    """Hits and misses of a region so far, by instance; what was never counted is none."""
    jobs = [("cache.gets", {"cache": region, "result": result}, instance) for instance in instances for result in ("hit", "miss")]
    found = service.each(lambda job: _kept(service, job), jobs)
    result = {}
    for place, instance in enumerate(instances):
        counters, error = {}, ""
        for name, reading in zip(("hits", "misses"), found[2 * place : 2 * place + 2]):
            if isinstance(reading, CachingError):
                raise reading
            if reading["error"] and "no such metric" not in reading["error"]:
                error = reading["error"]
            counters[name] = float(reading["measurements"].get("COUNT", 0.0))
        result[f"{place} {instance.name}"] = _kpi_window.Reading(time.time(), counters, {}, {}, {}, error)
    return result


def hit_rate(before: t.Mapping[str, _kpi_window.Reading], after: t.Mapping[str, _kpi_window.Reading]) -> tuple[float | None, int]:
    """The percentage of hits between two readings, and of how many requests; None where there were none (H16)."""
    deltas = [_kpi_window.delta(before.get(name), reading) for name, reading in after.items() if not reading.error]
    did = _kpi_window.total(delta.counters for delta in deltas if delta)
    requests = did.get("hits", 0.0) + did.get("misses", 0.0)
    return _kpi_window.rate(did.get("hits", 0.0), requests), int(requests)
