# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The guide's nine key figures and their thresholds (S048, S049), and how a value is judged. Data and pure functions.

``target`` is what good means; between it and ``warning`` a value is below target. All are percentages, but for the
response time in milliseconds.
"""

from __future__ import annotations

import math
import typing as t

from ._errors import CachingError, one_line


class Threshold(t.NamedTuple):
    """``high``: whether more is better."""

    target: float
    warning: float
    critical: float
    unit: str
    high: bool = False


THRESHOLDS: dict[str, Threshold] = {
    "hit_rate": Threshold(85, 80, 70, "percent", high=True),
    "miss_rate": Threshold(15, 20, 30, "percent"),
    "response_time": Threshold(5, 10, 25, "milliseconds"),
    "memory_usage": Threshold(80, 85, 95, "percent"),
    "eviction_rate": Threshold(5, 10, 20, "percent"),
    "cpu_usage": Threshold(70, 80, 90, "percent"),
    "jvm_memory_usage": Threshold(80, 85, 95, "percent"),
    "network_io": Threshold(70, 80, 90, "percent"),
    "disk_io": Threshold(50, 70, 85, "percent"),
}


def state(value: float | None, threshold: Threshold) -> str:
    """ok, below_target, warning, critical, or unknown for what was not measured. The limits are exclusive, as in the guide."""
    if value is None or not math.isfinite(value):
        return "unknown"
    sign = -1 if threshold.high else 1
    measured = sign * value
    if measured > sign * threshold.critical:
        return "critical"
    if measured > sign * threshold.warning:
        return "warning"
    return "ok" if measured < sign * threshold.target else "below_target"


STATES = ("ok", "below_target", "unknown", "warning", "critical")
_PARTS = ("target", "warning", "critical")


class Figure(t.NamedTuple):
    """A value that was measured, or None with the reason. ``gap``: what is missing from a value that was measured in part."""

    value: float | None
    reason: str = ""
    gap: str = ""


def thresholds(overrides: t.Mapping[str, t.Any]) -> dict[str, Threshold]:
    """The guide's thresholds with those that the user sets, as in ``{hit_rate: {target: 90}}``."""
    result = dict(THRESHOLDS)
    for name, given in overrides.items():
        known = _known("thresholds", name)
        if not isinstance(given, dict) or not given or not set(given) <= set(_PARTS):
            raise CachingError(f"thresholds: {known} takes target, warning and critical, as in {{target: 90}}")
        limit = result[known]
        target, warning, critical = (number(given.get(part, now), f"thresholds: {part} of {known}") for part, now in zip(_PARTS, limit[:3]))
        limit = Threshold(target, warning, critical, limit.unit, limit.high)
        ordered = sorted(limit[:3], reverse=limit.high)
        if ordered != list(limit[:3]):
            order = "target, warning and critical must fall" if limit.high else "target, warning and critical must rise"
            raise CachingError(f"thresholds: {order} for {known}, not {limit.target:g}, {limit.warning:g}, {limit.critical:g}")
        result[known] = limit
    return result


def measured(given: t.Mapping[str, t.Any]) -> dict[str, Figure]:
    """What the platform has measured, as figures; null is what it could not measure."""
    result = {}
    for name, value in given.items():
        known = _known("measurements", name)
        result[known] = Figure(None, "the platform did not measure it") if value is None else Figure(number(value, f"measurements: {known}"))
    return result


def _known(option: str, name: t.Any) -> str:
    if name not in THRESHOLDS:
        raise CachingError(f"{option}: there is no figure {one_line(repr(name), 60)}; the nine are {', '.join(THRESHOLDS)}")
    return str(name)


def number(value: t.Any, what: str) -> float:
    """A number from an option, where surveys give texts; a percentage or milliseconds, so never negative."""
    try:
        found = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except ValueError:
        found = math.nan
    if not math.isfinite(found) or found < 0:
        raise CachingError(f"{what} must be a number from 0, not {one_line(repr(value), 60)}")
    return found


def judge(figures: t.Mapping[str, Figure], limits: t.Mapping[str, Threshold]) -> list[dict[str, t.Any]]:
    """Each of the nine with its state. What was measured in part can be bad, but not good: then it is unknown."""
    result = []
    for name, limit in limits.items():
        figure = figures.get(name, Figure(None, "not measured: give measurements or prometheus_url"))
        value = figure.value if figure.value is not None and math.isfinite(figure.value) else None
        found = state(value, limit)
        if figure.gap and found in ("ok", "below_target"):
            found = "unknown"
        result.append({
            "name": name, "value": None if value is None else round(value, 3), "unit": limit.unit, "state": found,
            "target": limit.target, "warning": limit.warning, "critical": limit.critical,
            "reason": "; ".join(part for part in (figure.reason, figure.gap) if part) or told(name, value, found, limit),
        })
    return result


def told(name: str, value: float | None, found: str, limit: Threshold) -> str:
    """A state in one line; nothing where all is well."""
    if found == "ok":
        return ""
    if value is None or found == "unknown":
        return "it is not a number" if value is None else "not known"
    unit = " ms" if limit.unit == "milliseconds" else " %"
    bound = {"below_target": limit.target, "warning": limit.warning, "critical": limit.critical}[found]
    side = ("at or below" if found == "below_target" else "below") if limit.high else ("at or above" if found == "below_target" else "above")
    return f"{value:.4g}{unit} is {side} {bound:g}{unit}"


def worst(states: t.Iterable[str], unknown_counts: bool) -> str:
    """The worst of the states. Unknown ones are left out unless they count, or unless there is nothing else."""
    found = list(states)
    judged = [one for one in found if unknown_counts or one != "unknown"]
    return max(judged, key=STATES.index) if judged else "unknown"
