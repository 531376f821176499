# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Key figures from two readings of every instance, a window apart (H16, H22). Pure functions.

Counters of a process only grow until it starts again. Where one of them has fallen, or the process is younger than the
window, all of them are counted from zero: what it has done since. So no figure is ever negative or above 100 %.
"""

from __future__ import annotations

import math
import typing as t

from ._kpi import Figure

Counters = dict[str, float]
_QUIET = "nothing was read from the cache in the window"


class Reading(t.NamedTuple):
    """What one instance told at one moment. ``at`` in seconds; ``lacks`` says why a counter or gauge is missing."""

    at: float
    counters: Counters
    gauges: Counters
    regions: dict[str, Counters]
    lacks: dict[str, str]
    error: str = ""


class Delta(t.NamedTuple):
    """What one instance did in the window."""

    counters: Counters
    regions: dict[str, Counters]
    restarted: bool


def finite(value: t.Any) -> float | None:
    """A measured number; None for NaN, infinity, texts and the like."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def delta(first: Reading | None, second: Reading) -> Delta | None:
    """Between two readings of one instance; None where that can't be told (no first reading, and no young process)."""
    uptime = second.gauges.get("uptime")
    if first is None or first.error:
        if first is None or uptime is None or uptime > second.at - first.at:
            return None
        restarted = True
    else:
        fallen = any(second.counters.get(name, 0.0) < value for name, value in first.counters.items())
        begun = [reading.gauges.get("started") for reading in (first, second)]
        again = begun[0] is not None and begun[1] is not None and abs(begun[1] - begun[0]) > 0.001
        restarted = fallen or again or (uptime is not None and uptime + 1 < second.at - first.at)
    begin = Reading(0, {}, {}, {}, {}) if restarted or first is None else first
    regions = {name: _less(now, begin.regions.get(name, {})) for name, now in second.regions.items()}
    return Delta(_less(second.counters, begin.counters), regions, restarted)


def _less(now: Counters, before: Counters) -> Counters:
    return {name: max(0.0, value - before.get(name, 0.0)) for name, value in now.items()}


def total(deltas: t.Iterable[Counters]) -> Counters:
    """The sum over instances; a name that no instance has is missing."""
    result: Counters = {}
    for counters in deltas:
        for name, value in counters.items():
            result[name] = result.get(name, 0.0) + value
    return result


def rate(part: float, whole: float) -> float | None:
    """A percentage, computed before it is rounded; None of nothing."""
    return 100.0 * part / whole if whole > 0 else None


def figures(readings: t.Mapping[str, Reading], deltas: t.Mapping[str, Delta | None]) -> dict[str, Figure]:
    """The six figures that the service itself can tell, over all its instances."""
    silent = [f"{name}: {reading.error}" for name, reading in readings.items() if reading.error]
    late = [f"{name}: it did not answer at the beginning of the window" for name, reading in readings.items()
            if not reading.error and deltas.get(name) is None]
    gap = "not measured: " + "; ".join([*silent, *late]) if silent or late else ""
    did = total(change.counters for change in deltas.values() if change)
    lacks = {name: why for reading in readings.values() for name, why in reading.lacks.items()}
    now = {name: reading for name, reading in readings.items() if not reading.error}
    found = {**_reads(did, lacks), "response_time": _response(did, lacks), "eviction_rate": _evictions(did, lacks)}
    if not any(deltas.values()):
        found = {name: Figure(None, gap or "no instance was measured") for name in found}
    found["jvm_memory_usage"] = _fullest(now, "jvm_used", "jvm_max", lacks, "the JVM tells no limit of its memory")
    result = {name: figure._replace(gap="" if figure.value is None and figure.reason == gap else gap) for name, figure in found.items()}
    result["memory_usage"] = _fullest(now, "redis_used", "redis_max", lacks, "maxmemory is not set, so Redis has no limit")
    if result["memory_usage"].value is None and not now:
        result["memory_usage"] = Figure(None, gap)
    return result


def _reads(did: Counters, lacks: t.Mapping[str, str]) -> dict[str, Figure]:
    if "hits" not in did and "misses" not in did:
        why = lacks.get("hits", "the service does not count hits and misses")
        return {"hit_rate": Figure(None, why), "miss_rate": Figure(None, why)}
    hits, misses = did.get("hits", 0.0), did.get("misses", 0.0)
    share = rate(hits, hits + misses)
    if share is None:
        return {"hit_rate": Figure(None, _QUIET), "miss_rate": Figure(None, _QUIET)}
    return {"hit_rate": Figure(share), "miss_rate": Figure(100.0 - share)}


def _response(did: Counters, lacks: t.Mapping[str, str]) -> Figure:
    if "requests" not in did or "request_seconds" not in did:
        return Figure(None, lacks.get("requests", "the service does not time its requests"))
    if did["requests"] <= 0:
        return Figure(None, "there were no requests in the window")
    return Figure(1000.0 * did["request_seconds"] / did["requests"])


def _evictions(did: Counters, lacks: t.Mapping[str, str]) -> Figure:
    """Of the entries that were written, the share that pushed another one out."""
    if "evictions" not in did or "puts" not in did:
        return Figure(None, lacks.get("evictions", "the service does not count evictions"))
    return Figure(rate(did["evictions"], max(did["puts"], did["evictions"])) or 0.0)


def _fullest(now: t.Mapping[str, Reading], used: str, limit: str, lacks: t.Mapping[str, str], unlimited: str) -> Figure:
    pairs = [(reading.gauges[used], reading.gauges[limit]) for reading in now.values() if used in reading.gauges and limit in reading.gauges]
    shares = [share for part, whole in pairs if (share := rate(part, whole)) is not None]
    if shares:
        return Figure(max(shares))
    return Figure(None, unlimited if pairs else lacks.get(used) or lacks.get(limit) or "no instance tells it")


def by_region(deltas: t.Iterable[Delta | None]) -> dict[str, dict[str, t.Any]]:
    """Hits, misses and hit rate of each region, over all instances."""
    names = {name for change in deltas if change for name in change.regions}
    result = {}
    for name in sorted(names):
        did = total(change.regions.get(name, {}) for change in deltas if change)
        hits, misses = did.get("hits", 0.0), did.get("misses", 0.0)
        result[name] = {"name": name, "hits": int(hits), "misses": int(misses), "hit_rate": rate(hits, hits + misses)}
    return result
