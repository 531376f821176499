# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The guide's nine key figures and their thresholds (S048, S049), and how a value is judged. Data and a pure function.

``target`` is what good means; between it and ``warning`` a value is below target. All are percentages, but for the
response time in milliseconds.
"""

from __future__ import annotations

import math
import typing as t


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
