# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key figures from two readings: resets, instances that are missing, and what is no number."""

from __future__ import annotations

import math
import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _kpi
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._kpi import THRESHOLDS, Figure, judge, thresholds, worst
from ansible_collections.exalt.caching.plugins.module_utils._kpi_window import Delta, Reading, by_region, delta, figures, finite
from hypothesis import given
from hypothesis import strategies as st

NAMES = ("requests", "request_seconds", "hits", "misses", "puts", "evictions")


def reading(at: float = 100, gauges: dict[str, float] | None = None, error: str = "", **counters: float) -> Reading:
    return Reading(at, dict(counters), gauges or {}, {}, {}, error)


def measured(pairs: dict[str, tuple[Reading | None, Reading]]) -> dict[str, Figure]:
    last = {name: second for name, (_first, second) in pairs.items()}
    return figures(last, {name: None if second.error else delta(first, second) for name, (first, second) in pairs.items()})


@pytest.mark.hazard("H16")
def test_rates_are_of_the_window_and_not_of_all_time() -> None:
    found = measured(
        {"a": (reading(hits=1000, misses=0, requests=5, request_seconds=1), reading(160, hits=1090, misses=10, requests=25, request_seconds=1.2))}
    )
    assert found["hit_rate"].value == pytest.approx(90) and found["miss_rate"].value == pytest.approx(10)
    assert found["response_time"].value == pytest.approx(10), "milliseconds"


@pytest.mark.hazard("H16")
@pytest.mark.parametrize(
    ("first", "second", "counted", "restarted"),
    [
        ({"hits": 10, "misses": 5}, {"hits": 12, "misses": 5}, {"hits": 2, "misses": 0}, False),
        ({"hits": 10, "misses": 5}, {"hits": 3, "misses": 6}, {"hits": 3, "misses": 6}, True),  # one has fallen: all begin anew
        ({"hits": 10, "misses": 5}, {"misses": 6}, {"misses": 6}, True),  # it has not counted a hit yet
        ({}, {"hits": 3}, {"hits": 3}, False),  # counted for the first time
    ],
)
def test_a_process_that_began_again_counts_with_what_it_has_done_since(
    first: dict[str, float], second: dict[str, float], counted: dict[str, float], restarted: bool
) -> None:
    found = delta(reading(**first), reading(160, **second))
    assert found == Delta(counted, {}, restarted)


def test_a_young_process_is_known_by_its_uptime_though_no_counter_has_fallen() -> None:
    found = delta(reading(hits=10), reading(160, {"uptime": 20}, hits=500))
    assert found == Delta({"hits": 500}, {}, True)
    assert delta(reading(hits=10), reading(160, {"uptime": 5000}, hits=500)) == Delta({"hits": 490}, {}, False)
    first = reading(100, {"started": 1000.5}, hits=10)
    assert delta(first, reading(160, {"started": 1031.25}, hits=500)) == Delta({"hits": 500}, {}, True)
    assert delta(first, reading(160, {"started": 1000.5}, hits=500)) == Delta({"hits": 490}, {}, False)
    down_at_first = reading(error="no connection")
    assert delta(down_at_first, reading(160, {"uptime": 20}, hits=7)) == Delta({"hits": 7}, {}, True)
    assert delta(down_at_first, reading(160, {"uptime": 5000}, hits=7)) is None, "what it did before can't be told"
    assert delta(down_at_first, reading(160, hits=7)) is None and delta(None, reading(160, {"uptime": 1}, hits=7)) is None


def test_nothing_measured_is_unknown_with_a_reason() -> None:
    quiet = measured(
        {"a": (reading(hits=5, misses=5, requests=9, request_seconds=1), reading(160, hits=5, misses=5, requests=9, request_seconds=1))}
    )
    assert quiet["hit_rate"] == Figure(None, "nothing was read from the cache in the window")
    assert quiet["response_time"] == Figure(None, "there were no requests in the window")
    bare = measured({"a": (reading(), reading(160))})
    assert {name: figure.value for name, figure in bare.items()} == dict.fromkeys(bare) and all(figure.reason for figure in bare.values())
    dead = measured({"a": (reading(error="refused"), reading(160, error="refused"))})
    assert all(figure.value is None and "a: refused" in figure.reason + figure.gap for figure in dead.values())
    assert all(kpi["state"] == "unknown" and kpi["reason"] for kpi in judge(dead, THRESHOLDS))


@pytest.mark.hazard("H22")
@pytest.mark.parametrize(
    ("used", "most", "value", "reason"), [(859, 1000, 85.9, ""), (0, 1000, 0.0, ""), (5, 0, None, "maxmemory is not set, so Redis has no limit")]
)
def test_memory(used: float, most: float, value: float | None, reason: str) -> None:
    found = measured({"a": (reading(), reading(160, {"redis_used": used, "redis_max": most}))})["memory_usage"]
    assert (found.value, found.reason) == (pytest.approx(value) if value is not None else None, reason)


def test_the_fullest_jvm_counts() -> None:
    one, other = reading(160, {"jvm_used": 10, "jvm_max": 100}), reading(160, {"jvm_used": 90, "jvm_max": 100})
    assert measured({"a": (reading(), one), "b": (reading(), other)})["jvm_memory_usage"].value == 90
    assert measured({"a": (reading(), reading(160, {"jvm_used": 10, "jvm_max": -1}))})["jvm_memory_usage"].value is None


@pytest.mark.parametrize(("puts", "evictions", "value"), [(100, 5, 5.0), (100, 0, 0.0), (0, 0, 0.0), (0, 7, 100.0), (5, 50, 100.0)])
def test_evictions_are_a_share_of_what_was_written(puts: float, evictions: float, value: float) -> None:
    found = measured({"a": (reading(puts=1, evictions=1), reading(160, puts=1 + puts, evictions=1 + evictions))})
    assert found["eviction_rate"].value == pytest.approx(value)


def test_a_missing_instance_can_hide_no_trouble_and_leaves_nothing_ok() -> None:
    def states(hits: float, misses: float) -> tuple[str, str]:
        pairs = {"a": (reading(hits=0, misses=0), reading(160, hits=hits, misses=misses)), "b": (reading(), reading(160, error="no answer"))}
        kpi = next(kpi for kpi in judge(measured(pairs), THRESHOLDS) if kpi["name"] == "hit_rate")
        return kpi["state"], kpi["reason"]

    assert states(99, 1) == ("unknown", "not measured: b: no answer")
    assert states(50, 50)[0] == "critical" and "b: no answer" in states(50, 50)[1]


@given(
    st.lists(
        st.tuples(st.sampled_from(["grow", "reset", "gone", "new"]), st.lists(st.integers(0, 10**6), min_size=12, max_size=12)),
        min_size=1,
        max_size=4,
    )
)
def test_no_figure_is_ever_negative_or_above_a_hundred(instances: list[tuple[str, list[int]]]) -> None:
    pairs: dict[str, tuple[Reading | None, Reading]] = {}
    for number, (kind, values) in enumerate(instances):
        before = dict(zip(NAMES, map(float, values[:6])))
        after = {name: value + (before[name] if kind == "grow" else 0) for name, value in zip(NAMES, map(float, values[6:]))}
        first = None if kind == "new" else reading(**before)
        pairs[f"i{number}"] = (first, reading(160, error="gone") if kind == "gone" else reading(160, **after))
    for name, figure in measured(pairs).items():
        if figure.value is not None:
            assert figure.value >= 0 and math.isfinite(figure.value)
            assert name == "response_time" or figure.value <= 100
    found = measured(pairs)
    if found["hit_rate"].value is not None:
        assert found["hit_rate"].value + (found["miss_rate"].value or 0) == pytest.approx(100)


@pytest.mark.parametrize("value", [math.nan, math.inf, "NaN", "5", None, True, [], {}])
def test_what_is_no_number_is_none(value: t.Any) -> None:
    assert finite(value) is None


def test_regions_over_all_instances() -> None:
    deltas: list[Delta | None] = [
        Delta({}, {"x": {"hits": 3, "misses": 1}}, False),
        None,
        Delta({}, {"x": {"hits": 5, "misses": 1}, "y": {"hits": 0, "misses": 0}}, False),
    ]
    assert by_region(deltas) == {
        "x": {"name": "x", "hits": 8, "misses": 2, "hit_rate": 80.0},
        "y": {"name": "y", "hits": 0, "misses": 0, "hit_rate": None},
    }


@pytest.mark.parametrize(
    ("states", "unknown_counts", "verdict"),
    [
        (["ok", "unknown"], False, "ok"),
        (["ok", "unknown"], True, "unknown"),
        (["below_target", "unknown"], True, "unknown"),
        (["unknown", "warning", "ok"], True, "warning"),
        (["critical", "warning"], False, "critical"),
        (["unknown"], False, "unknown"),
        ([], False, "unknown"),
    ],
)
def test_verdict(states: list[str], unknown_counts: bool, verdict: str) -> None:
    assert worst(states, unknown_counts) == verdict


def test_thresholds_of_the_user() -> None:
    limits = thresholds({"hit_rate": {"target": 95, "warning": "90"}})
    assert limits["hit_rate"][:3] == (95, 90, 70) and limits["miss_rate"] == THRESHOLDS["miss_rate"]
    for wrong, told in (
        ({"hits": {"target": 1}}, "there is no figure 'hits'"),
        ({"hit_rate": 5}, "takes target, warning and critical"),
        ({"hit_rate": {"goal": 1}}, "takes target"),
        ({"hit_rate": {"target": 60}}, "must fall for hit_rate, not 60, 80, 70"),
        ({"cpu_usage": {"target": 99}}, "must rise for cpu_usage"),
        ({"cpu_usage": {"target": "much"}}, "must be a number from 0"),
        ({"cpu_usage": {"target": -1}}, "must be a number from 0"),
    ):
        with pytest.raises(CachingError) as error:
            thresholds(wrong)
        assert told in error.value.message


def test_measurements_of_the_platform() -> None:
    assert _kpi.measured({"cpu_usage": "41.5", "disk_io": None}) == {
        "cpu_usage": Figure(41.5),
        "disk_io": Figure(None, "the platform did not measure it"),
    }
    for wrong in ({"cpu": 5}, {"cpu_usage": True}, {"cpu_usage": "NaN"}, {"cpu_usage": -1}, {"cpu_usage": [1]}):
        with pytest.raises(CachingError):
            _kpi.measured(wrong)
