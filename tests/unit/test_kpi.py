# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide's nine key figures as data, and how a value is judged."""

from __future__ import annotations

import math

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._kpi import THRESHOLDS, state
from hypothesis import given
from hypothesis import strategies as st

# metric: target, warning, critical, as the guide's two tables have them
CACHE = {"hit_rate": (85, 80, 70), "miss_rate": (15, 20, 30), "response_time": (5, 10, 25), "memory_usage": (80, 85, 95), "eviction_rate": (5, 10, 20)}
SYSTEM = {"cpu_usage": (70, 80, 90), "jvm_memory_usage": (80, 85, 95), "network_io": (70, 80, 90), "disk_io": (50, 70, 85)}


@pytest.mark.operation("S048", "S049")
def test_thresholds_are_those_of_the_guide() -> None:
    assert {name: (limit.target, limit.warning, limit.critical) for name, limit in THRESHOLDS.items()} == {**CACHE, **SYSTEM}
    assert [name for name, limit in THRESHOLDS.items() if limit.high] == ["hit_rate"]


@pytest.mark.hazard("H22")
@pytest.mark.parametrize(("name", "value", "wanted"), [
    ("hit_rate", 85.01, "ok"), ("hit_rate", 85, "below_target"), ("hit_rate", 80, "below_target"), ("hit_rate", 79.99, "warning"),
    ("hit_rate", 70, "warning"), ("hit_rate", 69.99, "critical"), ("memory_usage", 79.9, "ok"), ("memory_usage", 80, "below_target"),
    ("memory_usage", 85, "below_target"), ("memory_usage", 85.9, "warning"), ("memory_usage", 95, "warning"), ("memory_usage", 95.1, "critical"),
    ("response_time", 4.99, "ok"), ("response_time", 25.1, "critical"), ("cpu_usage", None, "unknown"), ("cpu_usage", math.nan, "unknown"),
    ("cpu_usage", math.inf, "unknown"),
])
def test_every_state(name: str, value: float | None, wanted: str) -> None:
    assert state(value, THRESHOLDS[name]) == wanted


@given(st.sampled_from(sorted(THRESHOLDS)), st.floats(0, 1000), st.floats(0, 1000))
def test_a_worse_value_never_has_a_better_state(name: str, one: float, other: float) -> None:
    order = ["ok", "below_target", "warning", "critical"]
    better, worse = sorted((one, other), reverse=THRESHOLDS[name].high)
    assert order.index(state(better, THRESHOLDS[name])) <= order.index(state(worse, THRESHOLDS[name]))
