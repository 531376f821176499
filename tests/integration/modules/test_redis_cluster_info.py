# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_cluster_info on the real cluster, through proxies that see every command."""

from __future__ import annotations

import contextlib
import json
import typing as t
from collections.abc import Iterator

import pytest
import redis

from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_proxy import RedisProxies
from tests.harness.sequence import accepted

ALL = ["topology", "health", "memory", "latency", "slowlog", "clients", "configuration", "security"]


@pytest.fixture
def recorded(fleet) -> Iterator[RedisProxies]:
    found = RedisProxies(_nodes(fleet))
    yield found
    found.close()


def _nodes(fleet) -> list[str]:
    with contextlib.closing(fleet.redis()) as client:
        return sorted(f"{node.host}:{node.port}" for node in client.get_nodes())


def look(fleet, proxies: RedisProxies | None = None, check: bool = False, **options: t.Any) -> ModuleResult:
    args = dict(fleet.redis_args)
    if proxies:
        args |= {"redis_address_map": proxies.address_map, "redis_nodes": list(proxies.address_map)}
    return run_module("redis_cluster_info", {**args, **options}, check=check)


@pytest.mark.operation("S067", "S087", "S088", "S098", "S159", "S161")
@pytest.mark.hazard("H25", "H58", "H61")
def test_every_node_is_asked_and_no_secret_comes_back(fleet, recorded) -> None:
    nodes = _nodes(fleet)
    result = accepted(look(fleet, recorded, subset=ALL, latency_samples=3))
    assert result["healthy"] is True and result["reasons"] == [] and result["changed"] is False
    assert [node["address"] for node in result["nodes"]] == nodes
    assert sorted(node["role"] for node in result["nodes"]) == ["primary"] * 3 + ["replica"] * 3
    assert sum(shard["slot_count"] for shard in result["shards"]) == 16384 and all(len(shard["replicas"]) == 1 for shard in result["shards"])
    for node in result["nodes"]:
        assert node["reachable"] and node["unread"] == {} and node["cluster_state"] == "ok"
        assert node["latency"]["samples"] == 3 and 0 < node["latency"]["min_ms"] <= node["latency"]["mean_ms"] <= node["latency"]["max_ms"]
        assert node["memory"]["max"] > node["memory"]["used"] > 0 and node["clients"]["connected"] > 0
        assert node["configuration"]["requirepass"] == "******" and node["configuration"]["masterauth"] == "******"
        assert {user["name"] for user in node["security"]["users"]} >= {"default", "caching-service"}
        assert not [line for line in node["security"]["findings"] if "password" in line]
    for secret in ("redis_password", "redis_service_password", "redis_observer_password"):
        assert fleet.state.secret(secret) not in result.stdout
    for command in ("CLUSTER NODES", "CLUSTER INFO", "INFO", "SLOWLOG GET", "CONFIG GET", "ACL LIST"):
        assert {record["node"] for record in recorded.records() if record["path"] == command} == set(nodes), command
    assert len([record for record in recorded.records() if record["path"] == "PING"]) == 6 * 4
    assert look(fleet, recorded, check=True)["healthy"] is True


@pytest.mark.operation("S098")
def test_the_slow_log_shows_commands_without_their_arguments(fleet, recorded) -> None:
    host, _colon, port = _nodes(fleet)[0].partition(":")
    client = redis.Redis(host=host, port=int(port), password=fleet.state.secret("redis_password"))
    before = client.config_get("slowlog-log-slower-than")["slowlog-log-slower-than"]
    try:
        client.config_set("slowlog-log-slower-than", 0)
        with contextlib.suppress(redis.RedisError):
            client.execute_command("ECHO", "canary-argument")
        client.config_set("slowlog-log-slower-than", before)
        result = accepted(look(fleet, recorded, subset=["slowlog"], slowlog_length=100))
    finally:
        client.config_set("slowlog-log-slower-than", before)
        client.close()
    entries = result["nodes"][0]["slowlog"]
    assert "ECHO" in [entry["command"] for entry in entries] and "canary-argument" not in result.stdout
    assert all(entry["milliseconds"] >= 0 and entry["at"].endswith("Z") for entry in entries)


def test_a_node_that_is_down_is_told_and_not_fatal(fleet, recorded) -> None:
    gone = _nodes(fleet)[-1]
    recorded.stop(gone)
    result = accepted(look(fleet, recorded, subset=["memory"]))
    assert (
        result["healthy"] is False and result["reasons"][0].startswith(f"{gone} does not answer:") and "Connection refused" in result["reasons"][0]
    )
    down = next(node for node in result["nodes"] if node["address"] == gone)
    assert down["reachable"] is False and down["memory"] is None and down["unread"] == {"memory": "the node does not answer"}


@pytest.mark.hazard("H58")
def test_what_a_user_may_not_read_is_said(fleet) -> None:
    options = {"redis_username": "observer", "redis_password": fleet.state.secret("redis_observer_password")}
    result = accepted(look(fleet, subset=["security", "configuration", "memory"], **options))
    assert all("may not do this" in node["unread"]["security"] and node["security"] is None for node in result["nodes"])
    assert all(node["configuration"]["requirepass"] == "******" for node in result["nodes"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"redis_nodes": []}, "redis_nodes: give at least one node"),
        ({"redis_nodes": ["nonsense"]}, "redis_nodes: 'nonsense' is not host:port"),
        ({"redis_nodes": ["127.0.0.1:1"]}, "no node of Redis answers; 127.0.0.1:1"),
        ({"redis_password": "wrong"}, "does not accept the user or password"),
        ({"redis_username": "nobody"}, "does not accept the user or password"),
        ({"subset": ["all"]}, "subset"),
        ({"max_lag": -1}, "max_lag: it goes from 0"),
        ({"slowlog_length": 0}, "slowlog_length: it goes from 1 to 1000"),
        ({"latency_samples": 10**9}, "latency_samples: it goes from 1 to 1000"),
        ({"redis_timeout": "soon"}, "redis_timeout: 'soon' is not a duration"),
        ({"redis_address_map": {"x": "y"}}, "redis_address_map: 'x' is not host:port"),
        ({"redis_tls": True, "redis_ca_path": "/nonesuch/ca.pem"}, "redis_ca_path: there is no file /nonesuch/ca.pem"),
    ],
)
def test_bad_input_is_one_clear_line(fleet, options: dict[str, t.Any], told: str) -> None:
    result = look(fleet, **options)
    assert result["failed"] and not result.crashed and told in result["msg"] and "\n" not in result["msg"], result
    assert "internal error" not in result["msg"] and fleet.state.secret("redis_password") not in json.dumps(dict(result)) and result.seconds < 20
