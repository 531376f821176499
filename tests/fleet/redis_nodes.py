# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Form a cluster of empty Redis nodes at any addresses, by Redis' own tool, and wait until all of them see it whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import redis

from tests.fleet.local.processes import FleetError


def _client(address: str, password: str) -> redis.Redis:
    host, _colon, port = address.rpartition(":")
    return redis.Redis(host, int(port), password=password, socket_timeout=3, decode_responses=True)


def lacking(address: str, password: str, size: int) -> str:
    """What this node lacks to be a part of a whole cluster of that size; nothing if it is."""
    try:
        with _client(address, password) as client:
            seen = {str(key): str(value) for key, value in client.execute_command("CLUSTER INFO").items()}
            role = client.info("replication")
    except redis.RedisError as error:
        return str(error)
    if seen.get("cluster_state") != "ok" or seen.get("cluster_known_nodes") != str(size):
        return f"cluster_state is {seen.get('cluster_state')} with {seen.get('cluster_known_nodes')} nodes"
    if role["role"] != "master" and role["master_link_status"] != "up":
        return "the link to its primary is not up"
    return ""


def answers(address: str, password: str) -> str:
    try:
        with _client(address, password) as client:
            client.ping()
    except redis.RedisError as error:
        return str(error)
    return ""


def wait(addresses: Sequence[str], check: Callable[[str], str], deadline: float) -> None:
    for address in addresses:
        while said := check(address):
            if time.monotonic() > deadline:
                raise FleetError(f"Redis at {address}: {said}")
            time.sleep(0.1)


def form(addresses: Sequence[str], password: str, tool: Callable[[Sequence[str]], object], patience: float = 40) -> None:
    """`tool` runs redis-cli with these arguments, where the nodes can be reached. Replicas go to other hosts than their primaries."""
    deadline = time.monotonic() + patience
    wait(addresses, lambda address: answers(address, password), deadline)
    tool(["--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"])
    wait_until_whole(addresses, password, deadline - time.monotonic())


def wait_until_whole(addresses: Sequence[str], password: str, patience: float = 30) -> None:
    wait(addresses, lambda address: lacking(address, password, len(addresses)), time.monotonic() + patience)
