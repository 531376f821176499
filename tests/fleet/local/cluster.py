# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Form a Redis Cluster of nodes that are empty: those of the local fleet, or others."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import redis

from tests.fleet.local.layout import BUS_PORT, CLUSTER_SLOTS, NODES, REDIS_PORT, Node
from tests.fleet.local.processes import FleetError

Clients = dict[str, redis.Redis]
Nodes = tuple[Node, ...]
Options = Mapping[str, Any]     # of redis-py, for TLS


def connect(password: str, nodes: Nodes = NODES, options: Options = MappingProxyType({})) -> Clients:
    return {
        node.name: redis.Redis(node.host, REDIS_PORT, password=password, socket_timeout=3, decode_responses=True, **options)
        for node in nodes
    }


def wait(what: str, reached: Callable[[], bool], deadline: float) -> None:
    while True:
        try:
            if reached():
                return
            seen = "not yet"
        except redis.RedisError as error:
            seen = str(error)
        if time.monotonic() > deadline:
            raise FleetError(f"{what}: {seen}")
        time.sleep(0.02)


def info(client: redis.Redis) -> dict[str, str]:
    return {str(key): str(value) for key, value in client.execute_command("CLUSTER INFO").items()}


def ready(client: redis.Redis, size: int) -> bool:
    """The node sees the whole cluster, and has its data if it follows another."""
    seen, role = info(client), client.info("replication")
    complete = seen.get("cluster_state") == "ok" and seen.get("cluster_known_nodes") == str(size)
    failing = seen.get("cluster_slots_pfail") != "0" or seen.get("cluster_slots_fail") != "0"
    return complete and not failing and (role["role"] == "master" or role["master_link_status"] == "up")


def all_ready(clients: Clients, deadline: float) -> None:
    for name, client in clients.items():
        wait(f"{name} does not see the whole cluster", functools.partial(ready, client, len(clients)), deadline)


def wait_until_whole(password: str, patience: float, options: Options) -> None:
    clients = connect(password, options=options)
    try:
        all_ready(clients, time.monotonic() + patience)
    finally:
        for client in clients.values():
            client.close()


def form(password: str, patience: float = 15.0, nodes: Nodes = NODES, options: Options = MappingProxyType({})) -> None:
    deadline = time.monotonic() + patience
    clients = connect(password, nodes, options)
    primaries, replicas = [node for node in nodes if not node.primary], [node for node in nodes if node.primary]
    try:
        for node in nodes:
            wait(f"{node.name} does not answer on {node.address}", clients[node.name].ping, deadline)
        for epoch, (node, first) in enumerate(zip(primaries, range(0, CLUSTER_SLOTS, CLUSTER_SLOTS // 3 + 1)), 1):
            last = min(first + CLUSTER_SLOTS // 3, CLUSTER_SLOTS - 1)
            clients[node.name].execute_command("CLUSTER SET-CONFIG-EPOCH", epoch)
            clients[node.name].execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        for node, other in itertools.combinations(nodes, 2):
            clients[node.name].execute_command("CLUSTER MEET", other.host, REDIS_PORT, BUS_PORT)
        ids = {name: str(client.execute_command("CLUSTER MYID")) for name, client in clients.items()}

        def follow(node: Node) -> bool:
            return bool(clients[node.name].execute_command("CLUSTER REPLICATE", ids[node.primary]))

        for node in replicas:
            wait(f"{node.name} can't follow {node.primary}", functools.partial(follow, node), deadline)
        all_ready(clients, deadline)
    finally:
        for client in clients.values():
            client.close()
