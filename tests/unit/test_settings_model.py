# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Truth tables of the pure parts of run-time settings: what can't be meant, how strategies may change, where values are found."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import settings_model as model

POOL = {"max_total": 500, "max_idle": 100, "min_idle": 50}


@pytest.mark.parametrize("params, told", [
    ({"redis_pool": {"max_total": 0}}, "redis_pool.max_total: it must be at least 1, not 0"),
    ({"redis_pool": {"min_idle": -1}}, "redis_pool.min_idle: it must be at least 0, not -1"),
    ({"redis_timeouts": {"connection_timeout": "10000"}}, "10000 milliseconds are PT10S"),
    ({"redis_timeouts": {"connection_timeout": "0"}}, "it must be more than 0"),
    ({"redis_timeouts": {"socket_timeout": "soon"}}, "redis_timeouts.socket_timeout: 'soon' is not a duration"),
    ({"redis_timeouts": {"socket_timeout": "PT0.0005S"}}, "finer than a millisecond"),
    ({"redis_pool": {"time_between_eviction_runs": "P2D"}}, "longer than a day"),
    ({"redis_memory": {"max_memory_policy": "largest"}}, "'largest' is no policy of Redis"),
    ({"redis_memory": {"max_memory_samples": 0}}, "max_memory_samples: it must be at least 1"),
    ({"strategies": {"products": 5}}, "strategies.products: 5 is no strategy"),
    ({"strategies": {"products": " "}}, "strategies.products: ' ' is no strategy"),
])
def test_values_that_can_not_be_meant(params: dict[str, t.Any], told: str) -> None:
    with pytest.raises(CachingError) as caught:
        model.declared(params)
    assert told in caught.value.message


@pytest.mark.parametrize("known, touched, told", [
    ({"redis_pool.max_total": 10, "redis_pool.max_idle": 20}, "redis_pool.max_idle", "redis_pool.max_idle 20 is more than redis_pool.max_total 10"),
    ({"redis_pool.max_total": 10, "redis_pool.max_idle": 20}, "redis_pool.test_on_borrow", ""),
    ({"redis_pool.max_total": "unknown", "redis_pool.max_idle": 20}, "redis_pool.max_idle", ""),
    ({"redis_pool.max_total": -1, "redis_pool.max_idle": 20}, "redis_pool.max_idle", ""),
    ({"redis_pool.max_idle": 10, "redis_pool.min_idle": 20}, "redis_pool.max_idle", "redis_pool.min_idle 20 is more than redis_pool.max_idle 10"),
    ({"redis_connection.max_total": 10, "redis_connection.min_idle": 20},
     "redis_connection.max_total", "min_idle 20 is more than redis_connection.max_total 10"),
    ({"redis_pool.max_total": 10, "redis_connection.max_idle": 20}, "redis_pool.max_total", ""),
    ({"redis_timeouts.connection_timeout": "PT15S", "redis_timeouts.socket_timeout": "PT10S"},
     "redis_timeouts.socket_timeout", "connection_timeout PT15S is more"),
    ({"redis_timeouts.connection_timeout": "PT10S", "redis_timeouts.socket_timeout": "PT10S"}, "redis_timeouts.socket_timeout", ""),
])
def test_what_contradicts_what_there_is(known: dict[str, t.Any], touched: str, told: str) -> None:
    found = model.contradiction(known, [touched])
    assert told in found and bool(told) is bool(found)


@pytest.mark.parametrize("want, touched, told", [
    ({"redis_connection.max_total": 300, "redis_pool.max_total": 500},
     "redis_pool.max_total", "redis_connection.max_total says 300 and redis_pool.max_total says 500"),
    ({"redis_connection.max_total": 300, "redis_pool.max_total": 300}, "redis_pool.max_total", ""),
    ({"redis_connection.max_total": 300, "redis_pool.max_total": 500},
     "redis_pool.max_idle", ""),
    ({"compression.threshold": 5, "redis_memory.compression_threshold": 6}, "compression.threshold", "compression.threshold says 5"),
    ({"redis_connection.max_total": 300}, "redis_connection.max_total", ""),
])
def test_what_is_said_twice(want: dict[str, t.Any], touched: str, told: str) -> None:
    found = model.dissent(want, [touched])
    assert told in found and bool(told) is bool(found)


def test_declared_settings_have_one_form() -> None:
    assert model.declared({
        "redis_connection": dict(POOL), "redis_pool": {**POOL, "time_between_eviction_runs": 30, "test_on_borrow": None},
        "redis_memory": {"max_memory_policy": "ALLKEYS_LRU"}, "strategies": {"a.b": "Refresh-Ahead"}, "redis_timeouts": None,
    }) == {
        **{f"redis_connection.{name}": value for name, value in POOL.items()}, **{f"redis_pool.{name}": value for name, value in POOL.items()},
        "redis_pool.time_between_eviction_runs": "PT30S", "redis_memory.max_memory_policy": "allkeys-lru", "strategies.a.b": "refresh-ahead",
    }


def test_a_section_goes_out_in_the_words_of_the_guide() -> None:
    values = {"connection_timeout": "PT10S", "socket_timeout": "PT1.5S"}
    assert model.wire("redis_timeouts", values) == {"connectionTimeout": 10000, "socketTimeout": 1500}
    assert model.wire("strategies", {"products": "read-through"}) == {"products": "read-through"}


@pytest.mark.parametrize("have, want, durable, approved, told", [
    ("cache-aside", "refresh-ahead", (), False, ""),
    (None, "cache-aside", (), False, ""),
    ("unknown", "write-through", (), False, ""),
    ("cache-aside", "write-behind", (), False, "allow_write_behind: true approves it"),
    (None, "write-behind", (), False, "allow_write_behind: true approves it"),
    ("cache-aside", "write-behind", (), True, ""),
    ("cache-aside", "write-behind", ("products",), True, "products is durable"),
    ("cache-aside", "write-behind", ("users",), True, ""),
    ("write-behind", "write-through", (), False, ""),
    ("write-behind", "cache-aside", (), False, "go by write-through"),
    ("write-behind", "cache-aside", (), True, ""),
    ("cache-aside", "refresh-ahed", (), True, "did you mean refresh-ahead?"),
    ("cache-aside", "house", (), True, "the known ones are cache-aside"),
    ("cache-aside", "near-cache", (), False, ""),
])
def test_how_a_strategy_may_change(have: str | None, want: str, durable: tuple[str, ...], approved: bool, told: str) -> None:
    refusal = model.strategy_refusal("strategies.products", have, want, {"near-cache"}, durable, approved)
    assert told in refusal and bool(told) is bool(refusal)


def properties(**beans: tuple[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    return {"contexts": {"app": {"beans": {name: {"prefix": prefix, "properties": values, "inputs": {}} for name, (prefix, values) in beans.items()}}}}


def test_settings_are_found_in_configuration_properties() -> None:
    body = properties(
        one=("cache.redis.pool", {"maxTotal": 500, "max-idle": "100", "testOnBorrow": True, "timeBetweenEvictionRuns": 30000}),
        two=("caching", {"redis": {"connection": {"maxTotal": 300}, "timeouts": {"connectionTimeout": "PT10S", "socketTimeout": 15000}},
                         "strategies": {"products": "REFRESH_AHEAD", "a.b": "cache-aside"}, "compression": {"enabled": False, "threshold": 1024}}),
        three=("server", {"compression": {"enabled": True}}),
        four=("spring.datasource.hikari", {"timeouts": {"connectionTimeout": 1}, "pool": {"maxTotal": 7}}),
        five=("spring.data.redis.lettuce.pool", {"maxIdle": 8, "maxActive": 8}),
    )
    assert model.told(model.flattened(body), {}) == {
        "redis_pool.max_total": 500, "redis_pool.max_idle": 100, "redis_pool.test_on_borrow": True, "redis_pool.time_between_eviction_runs": "PT30S",
        "redis_connection.max_total": 300, "redis_timeouts.connection_timeout": "PT10S", "redis_timeouts.socket_timeout": "PT15S",
        "strategies.products": "refresh-ahead", "strategies.a.b": "cache-aside", "compression.enabled": False, "compression.threshold": 1024,
    }
    given = {"redis_pool": "spring.data.redis.lettuce.pool", "compression": "", "redis_connection": "", "redis_timeouts": "", "strategies": ""}
    assert model.told(model.flattened(body), given) == {"redis_pool.max_idle": 8}


@pytest.mark.parametrize("body", [
    None, {}, {"contexts": None}, {"contexts": {"app": {"beans": {"x": None}}}}, [],
    properties(x=("cache.redis.pool", {"maxTotal": "******", "maxIdle": None})),
])
def test_what_is_masked_or_missing_is_not_told(body: t.Any) -> None:
    assert model.told(model.flattened(body), {}) == {}


def test_an_empty_map_of_strategies_is_shown() -> None:
    flat = model.flattened(properties(x=("cache", {"strategies": {}})))
    assert model.told(flat, {}) == {} and model.place("strategies", flat, {}) == ("cache", "strategies")


def test_what_the_files_hold() -> None:
    body = properties(x=("cache.redis.pool", {"maxTotal": 500, "maxIdle": 100}))
    bean = body["contexts"]["app"]["beans"]["x"]
    bean["inputs"] = {"maxTotal": {"value": "500", "origin": "class path resource [application.yml] - 3:5"}, "maxIdle": {"value": 8, "origin": "file"}}
    files = model.told(model.flattened(body, "inputs"), {}, model.flattened(body))
    assert model.not_persistent({"redis_pool.max_total": 500, "redis_pool.max_idle": 100, "redis_pool.min_idle": 1}, files) == [
        "redis_pool.max_idle", "redis_pool.min_idle"]
