# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`redis_failover` on scratch clusters: runs that are recorded, refusals, and replicas that lose their primary."""

from __future__ import annotations

import contextlib
import time
import typing as t
from collections.abc import Iterator

from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_proxy import RedisProxies
from tests.harness.scratch import Node, Scratch
from tests.harness.sequence import accepted


def run(cluster: Scratch, check: bool = False, **options: t.Any) -> ModuleResult:
    return run_module("redis_failover", {**cluster.args, "wait_timeout": "PT30S", **options}, check=check)


def recorded(cluster: Scratch, check: bool = False, **options: t.Any) -> tuple[ModuleResult, set[str]]:
    """A run past recording proxies, and the commands that it sent that do not just read."""
    proxies = RedisProxies([node.address for node in cluster.nodes])
    try:
        done = run(cluster, check, redis_address_map=proxies.address_map, **options)
        sent = {record["path"] for record in proxies.records()}
        return done, proxies.changing() if sent else sent
    finally:
        proxies.close()


def refused(cluster: Scratch, text: str, check: bool = False, **options: t.Any) -> ModuleResult:
    """One clear line, and nothing sent that writes."""
    answer, sent = recorded(cluster, check, **options)
    assert answer.get("failed") and not answer.crashed and text in answer["msg"] and "\n" not in answer["msg"], answer
    assert not answer.get("changed") and not sent, sent
    return answer


def actions(result: t.Mapping[str, t.Any]) -> list[tuple[str, str]]:
    return [(step["action"], step["node"]) for step in result["steps"]]


def healthy(cluster: Scratch, primary: Node | None = None, patience: float = 0.0) -> None:
    """All nodes agree, replicas follow with all their data, and `primary` owns slots: at once, or in so many seconds."""
    end = time.monotonic() + patience
    while not (found := accepted(run_module("redis_cluster_info", cluster.args)))["healthy"] and time.monotonic() < end:
        time.sleep(0.2)
    assert found["healthy"], found["reasons"]
    assert primary is None or primary.address in [row["primary"] for row in found["shards"] if row["slots"]]


@contextlib.contextmanager
def loose(cluster: Scratch, replica: Node) -> Iterator[None]:
    """A replica whose primary does not let it in any more, while everybody sees everybody."""
    client = cluster.client(replica)
    port = client.info("replication")["master_port"]
    (primary,) = [node for node in cluster.nodes if node.port == port]
    client.config_set("masterauth", "wrong")
    try:
        cluster.client(primary).execute_command("CLIENT KILL TYPE replica")
        cluster.until(lambda: client.info("replication")["master_link_status"] == "down", "its link is not down")
        yield
    finally:
        client.config_set("masterauth", "")
        cluster.until(cluster.whole, "it does not follow again")


@contextlib.contextmanager
def away(cluster: Scratch, node: Node) -> Iterator[RedisProxies]:
    """A module that goes through these proxies does not reach this node."""
    proxies = RedisProxies([one.address for one in cluster.nodes])
    try:
        proxies.stop(node.address)
        yield proxies
    finally:
        proxies.close()
