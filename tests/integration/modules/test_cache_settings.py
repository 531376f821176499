# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_settings on real processes: read of every one, only what differs is written, and what can't be read is said."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator

import pytest

from tests.harness.modules import run_module
from tests.harness.sequence import accepted, walk
from tests.harness.stage import Stage
from tests.harness.targets import Pair
from tests.integration.modules.test_bad_input import refused

ONE = {"single_instance": True}
DIALECTS = ["standard", "local-settings", "put-merges", "leaky-configprops", "accepted", "accepted,put-merges"]
CONNECTION = {"max_total": 300, "max_idle": 100, "min_idle": 20, "test_on_borrow": True}
POOL = {"max_total": 300, "max_idle": 100, "min_idle": 20, "test_on_borrow": True, "test_while_idle": True, "time_between_eviction_runs": "PT30S"}
TIMEOUTS = {"connection_timeout": "PT10S", "socket_timeout": 15}
MEMORY = {"max_memory_policy": "allkeys-lru", "max_memory_samples": 10, "compression_threshold": 1024}
COMPRESSION = {"enabled": True, "threshold": 1024}
STRATEGIES = {"products": "refresh-ahead", "sessions": "write-through", "search": "cache-aside"}
ALL = {"redis_connection": CONNECTION, "redis_pool": POOL, "redis_timeouts": TIMEOUTS, "redis_memory": MEMORY, "compression": COMPRESSION,
       "strategies": STRATEGIES}
LESS = {"redis_pool": {"max_total": 500, "max_idle": 150}, "strategies": {"products": "cache-aside"}, "compression": {"threshold": 2048}}


@pytest.fixture(scope="module")
def made(fleet) -> Iterator[dict[str, Pair]]:
    pairs = {dialect: Pair(fleet, dialect.split(",")) for dialect in ("local-settings", "local-settings,hidden-settings")}
    try:
        yield pairs
    finally:
        for pair in pairs.values():
            pair.close()


@pytest.fixture
def pair(made: dict[str, Pair]) -> Pair:
    """Two processes that show their settings, each its own."""
    return fresh(made["local-settings"])


@pytest.fixture
def hidden(made: dict[str, Pair]) -> Pair:
    """Two processes that do not show their settings."""
    return fresh(made["local-settings,hidden-settings"])


def fresh(pair: Pair) -> Pair:
    for member in pair.members:
        member.stop()
    pair.renew()
    regions(pair.first)
    return pair


def regions(target) -> Stage:
    stage = Stage(target)
    for name in ("products", "sessions", "search"):
        stage.region(name)
    return stage


@pytest.mark.operation("S023", "S059", "S060", "S061", "S158", "S162", "S163", "S170")
@pytest.mark.hazard("H05", "H14", "H15")
def test_the_whole_life_in_the_standard_dialect(service) -> None:
    _life(service, "standard")


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "standard"])
def test_the_whole_life_in_every_dialect(service, dialect: str) -> None:
    _life(service, dialect)


def _life(service, dialect: str) -> None:
    target = service(*dialect.split(","))
    target.stop()
    target.renew()
    regions(target)
    first, second = walk("cache_settings", target, [("all", {**ONE, **ALL}, True), ("some", {**ONE, **LESS}, True)])
    assert first["readable"] is True and second["readable"] is True
    now = second["settings"]
    assert now["redis_pool"]["max_total"] == 500 and now["redis_pool"]["min_idle"] == 20, "what was not declared is kept"
    assert now["redis_pool"]["time_between_eviction_runs"] == "PT30S" and now["redis_timeouts"] == {"connection_timeout": "PT10S", "socket_timeout": "PT15S"}
    assert now["strategies"] == {**STRATEGIES, "products": "cache-aside"}
    assert now["compression"] == {"enabled": True, "threshold": 2048}


def test_only_sections_that_differ_are_written_whole(service) -> None:
    target = service()
    regions(target)
    accepted(run_module("cache_settings", {**target.args, **ONE, **ALL}))
    target.proxy.clear()
    accepted(run_module("cache_settings", {**target.args, **ONE, **ALL, "redis_timeouts": {"connection_timeout": 5, "socket_timeout": "PT6S"}}))
    assert [record["path"] for record in target.proxy.writes()] == ["/admin/redis/connection-config"]


@pytest.mark.hazard("H02")
def test_every_process_is_read_and_only_those_that_differ_are_written(pair: Pair) -> None:
    accepted(run_module("cache_settings", {**pair.first.args, **ONE, "redis_pool": {"max_total": 77, "max_idle": 7, "min_idle": 1}}))
    for member in pair.members:
        member.proxy.clear()
    options = {**pair.args, "redis_pool": {"max_total": 77, "max_idle": 7, "min_idle": 1}}
    predicted = accepted(run_module("cache_settings", options, check=True))
    assert pair.writes() == [[], []]
    real = accepted(run_module("cache_settings", options))
    assert predicted["changed"] is real["changed"] is True and predicted["diff"] == real["diff"]
    assert pair.writes() == [[], ["PUT /admin/redis/pool-config"]]
    assert real["summary"]["updated"] == ["two"] and real["summary"]["unchanged"] == ["one"]
    assert accepted(run_module("cache_settings", options))["changed"] is False


@pytest.mark.hazard("H02", "H03")
def test_a_frozen_process_does_not_hold_up_the_others(pair: Pair) -> None:
    options = {**pair.args, "redis_pool": {"max_total": 66, "max_idle": 6, "min_idle": 1}, "timeout": 1, "retries": 1, "wait_timeout": 2}
    with pair.second.frozen():
        result = run_module("cache_settings", options)
    assert result["failed"] and result["changed"] is True and result.seconds < 25, result
    assert [bool(entry["error"]) for entry in result["instances"]] == [False, True] and "two (update): " in result["msg"]
    accepted(run_module("cache_settings", options))
    assert accepted(run_module("cache_settings", options))["changed"] is False


def test_what_can_not_be_read_is_written_and_said(hidden: Pair) -> None:
    options = {**hidden.args, "redis_timeouts": TIMEOUTS}
    for run in range(2):
        result = accepted(run_module("cache_settings", options))
        assert result["changed"] is True and result["readable"] is False, run
        assert [entry["readable"] for entry in result["instances"]] == [False, False]
        assert result["not_persistent"] == ["redis_timeouts.connection_timeout", "redis_timeouts.socket_timeout"]


def test_the_record_of_the_last_write_stands_until_a_process_starts_again(hidden: Pair, tmp_path) -> None:
    options = {**hidden.args, "redis_timeouts": TIMEOUTS, "store_url": f"file://{tmp_path}"}
    predicted = accepted(run_module("cache_settings", options, check=True))
    assert predicted["changed"] is True and hidden.writes() == [[], []] and not list(tmp_path.iterdir())
    first = accepted(run_module("cache_settings", options))
    assert first["changed"] is True and first["readable"] is False and first["diff"] == predicted["diff"]
    again = accepted(run_module("cache_settings", options))
    assert again["changed"] is False and again["readable"] is False and again["settings"]["redis_timeouts"]["socket_timeout"] == "PT15S"
    hidden.second.stop()
    hidden.second.start()
    after = accepted(run_module("cache_settings", options))
    assert after["summary"]["updated"] == ["two"] and after["summary"]["unchanged"] == ["one"]


def test_a_damaged_record_counts_as_none(hidden: Pair, tmp_path) -> None:
    options = {**hidden.args, "redis_timeouts": TIMEOUTS, "store_url": f"file://{tmp_path}"}
    accepted(run_module("cache_settings", options))
    paths = sorted((tmp_path / "settings").iterdir())
    for path, content in zip(paths, ("{broken", json.dumps({"recorded": 5, "process_started": 1}))):
        path.write_text(content)
    assert accepted(run_module("cache_settings", options))["summary"]["updated"] == ["one", "two"]


def test_secrets_of_the_configuration_never_come_back(service, fleet) -> None:
    target = service("leaky-configprops")
    regions(target)
    result = accepted(run_module("cache_settings", {**target.args, **ONE, **LESS}, verbosity=4))
    for secret in (*target.tokens.values(), fleet.state.secret("redis_service_password")):
        assert secret not in result.stdout + result.stderr


@pytest.mark.operation("S061", "S103")
@pytest.mark.hazard("H30c")
def test_strategies_change_only_along_allowed_ways(service) -> None:
    target = service()
    regions(target)
    base = {**target.args, **ONE}
    accepted(run_module("cache_settings", {**base, "strategies": STRATEGIES}))
    target.proxy.clear()
    behind = {**base, "strategies": {"products": "write-behind"}}
    for options, told in [
        (behind, "strategies.products: write-behind loses what is not written yet when a process dies; allow_write_behind: true approves it"),
        ({**behind, "allow_write_behind": True, "durable_regions": ["products"]}, "products is durable"),
        ({**base, "strategies": {"nowhere": "cache-aside"}}, "strategies: there is no region nowhere"),
        ({**base, "strategies": {"products": "read-trough"}}, "did you mean read-through?"),
    ]:
        for check in (True, False):
            result = run_module("cache_settings", options, check=check)
            assert result["failed"] and told in result["msg"] and "nothing was changed" in result["msg"], result
    assert target.proxy.writes() == []
    accepted(run_module("cache_settings", {**behind, "allow_write_behind": True}))
    assert "go by write-through" in run_module("cache_settings", {**base, "strategies": {"products": "cache-aside"}})["msg"]
    for strategy in ("write-through", "cache-aside"):
        assert accepted(run_module("cache_settings", {**base, "strategies": {"products": strategy}}))["settings"]["strategies"]["products"] == strategy


def test_compression_that_contradicts_is_warned_of(service) -> None:
    target = service()
    stage = regions(target)
    stage.region("zipped", enableCompression=True)
    stage.call("PUT", "/admin/features/cache-compression", {"enabled": False})
    off = accepted(run_module("cache_settings", {**target.args, **ONE, "compression": {"enabled": False, "threshold": 5}}))
    assert any("enable_compression is set for zipped" in str(text) for text in off["warnings"]), off["warnings"]
    assert any("means nothing while compression.enabled is false" in str(text) for text in off["warnings"])
    on = accepted(run_module("cache_settings", {**target.args, **ONE, "compression": {"enabled": True}}))
    assert any("the feature flag cache-compression is off" in str(text) for text in on["warnings"]), on.get("warnings")


def test_a_section_that_is_refused_is_told_and_the_rest_is_done(pair: Pair) -> None:
    pair.second.proxy.break_with({"method": "PUT", "path": "pool-config", "status": 422, "body": "too many"})
    options = {**pair.args, "redis_pool": {"max_total": 55, "max_idle": 5, "min_idle": 1}, "wait_timeout": 1}
    result = run_module("cache_settings", options)
    assert result["failed"] and result["changed"] is True and "two (update): PUT " in result["msg"] and "too many" in result["msg"]
    pair.second.proxy.break_with()
    assert accepted(run_module("cache_settings", options))["summary"]["updated"] == ["two"]


BAD: dict[str, tuple[dict[str, t.Any], str]] = {
    "no-instances": ({"redis_pool": {"max_total": 5}}, "instances: this acts on each process of the service"),
    "unknown-word": ({**ONE, "redis_pool": {"maxTotal": 5}}, "maxTotal"),
    "unknown-section": ({**ONE, "pool": {"max_total": 5}}, "Unsupported parameters"),
    "text": ({**ONE, "redis_pool": "big"}, "dictionary requested"),
    "none": ({**ONE, "redis_pool": {"max_total": 0}}, "redis_pool.max_total: it must be at least 1, not 0"),
    "negative": ({**ONE, "redis_connection": {"min_idle": -5}}, "redis_connection.min_idle: it must be at least 0, not -5"),
    "idle-over-total": ({**ONE, "redis_pool": {"max_total": 10, "max_idle": 20, "min_idle": 1}}, "redis_pool.max_idle 20 is more than redis_pool.max_total 10"),
    "min-over-max": ({**ONE, "redis_pool": {"max_total": 90, "max_idle": 20, "min_idle": 30}}, "redis_pool.min_idle 30 is more than redis_pool.max_idle 20"),
    "two-totals": ({**ONE, "redis_connection": {"max_total": 301}, "redis_pool": {"max_total": 501}},
                   "redis_connection.max_total says 301 and redis_pool.max_total says 501"),
    "milliseconds": ({**ONE, "redis_timeouts": {"connection_timeout": 10000}}, "10000 milliseconds are PT10S"),
    "order": ({**ONE, "redis_timeouts": {"connection_timeout": 20, "socket_timeout": 10}},
              "connection_timeout PT20S is more than redis_timeouts.socket_timeout PT10S"),
    "no-time": ({**ONE, "redis_timeouts": {"connection_timeout": 0}}, "it must be more than 0"),
    "policy": ({**ONE, "redis_memory": {"max_memory_policy": "lru"}}, "'lru' is no policy of Redis"),
    "thresholds": ({**ONE, "redis_memory": {"compression_threshold": 5}, "compression": {"threshold": 6}}, "compression.threshold says 6"),
    "capacity": ({**ONE, "redis_pool": {"max_total": 5000}, "max_clients": 4000}, "is more than max_clients 4000 of a node of Redis"),
    "strategy-number": ({**ONE, "strategies": {"products": 5}}, "strategies.products: 5 is no strategy"),
    "paths": ({**ONE, "configuration_paths": {"pool": "x"}}, "configuration_paths: there is no section pool"),
    "paths-number": ({**ONE, "configuration_paths": {"redis_pool": 5}}, "configuration_paths: the path of redis_pool must be a text such as"),
    "token": ({**ONE, "monitor_token": "wrong", "redis_pool": {"max_total": 5}}, "is monitor_token right for this service?"),
    "store": ({**ONE, "store_url": "ftp://x", "redis_pool": {"max_total": 5}}, "is not a store"),
}


def test_bad_input_is_one_clear_line_and_nothing_is_written(service) -> None:
    target = service()
    regions(target)
    for options, told in BAD.values():
        target.proxy.clear()
        refused(target, "cache_settings", options, told)
