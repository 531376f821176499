#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_cluster_info
short_description: What every node of a Redis Cluster says of itself and of the others
description:
  - Asks each node, not a random one, and judges the cluster by what all of them say. A node that does not answer is told
    in RV(reasons); the module fails only where none answers.
  - Flags are read exactly, so a suspected node (C(fail?)) is not a failed one, and C(nofailover) is neither. Slots without a
    working primary, replicas whose link is down or that lag, shards without a replica, and nodes that see the cluster
    otherwise than the others are told too, and replicas that an M(exalt.caching.redis_cluster) run which did not end left held.
  - Passwords, their hashes and the arguments of commands are never returned.
  - Operations S067, S087, S088, S098, S159 and S161 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  subset:
    description:
      - What to read. V(topology) and V(health) always are. Each of the others becomes a key of each node.
      - V(latency) is the round trip of C(PING) from where the module runs. V(slowlog) has the names of commands only.
        V(configuration) and V(security) need a user that may C(CONFIG GET) and C(ACL LIST).
    type: list
    elements: str
    choices: [topology, health, memory, latency, slowlog, clients, configuration, security]
    default: [topology, health]
  max_lag:
    description: Bytes that a replica may be behind its primary.
    type: int
    default: 1048576
  replicas:
    description: How many working replicas each shard needs, to be healthy; V(0) where none is wanted.
    type: int
    default: 1
  slowlog_length:
    description: How many entries of the slow log to read of each node.
    type: int
    default: 20
  latency_samples:
    description: How many round trips to measure with each node.
    type: int
    default: 10
extends_documentation_fragment:
  - exalt.caching.attributes.info
  - exalt.caching.redis
"""

EXAMPLES = r"""
- name: Is the cluster healthy, as every node sees it
  exalt.caching.redis_cluster_info:
    redis_nodes: [redis-cluster-0:6379, redis-cluster-1:6379]
  register: redis
  failed_when: redis is failed or not redis.healthy

- name: What was slow, on all nodes
  exalt.caching.redis_cluster_info:
    redis_nodes: [redis-cluster-0:6379]
    subset: [slowlog, latency, memory]
"""

RETURN = r"""
healthy:
  description: The verdict; RV(reasons) is empty.
  returned: always
  type: bool
reasons:
  description: Why the cluster is not healthy, a line each.
  returned: always
  type: list
  elements: str
  sample: ["10.0.0.24:6379 does not answer: Redis at 10.0.0.24:6379 can't be read: Connection refused"]
nodes:
  description: Every node that anybody knows, sorted by address.
  returned: success
  type: list
  elements: dict
  contains:
    address: {description: Where it says that it is., type: str}
    id: {description: Its id in the cluster., type: str}
    role: {description: primary or replica., type: str}
    primary: {description: Address of its primary, type: str}
    slots: {description: 'Its slots, as in V(0-5460).', type: list, elements: str}
    flags: {description: 'Its flags, exactly.', type: list, elements: str}
    reachable: {description: Whether it answered., type: bool}
    error: {description: Why it did not., type: str}
    cluster_state: {description: Its own cluster_state., type: str}
    version: {description: Name and version of the server., type: str}
    uptime_seconds: {description: Seconds since its process started., type: int}
    unread: {description: Subsets that could not be read of it and why., type: dict}
    memory: {description: 'used, max (0: no limit), percent (null then), policy, peak, evicted, reason.', type: dict}
    latency: {description: 'samples, connect_ms, min_ms, mean_ms, max_ms.', type: dict}
    slowlog: {description: 'id, at, milliseconds, command and client of each entry.', type: list, elements: dict}
    clients: {description: 'connected, blocked, maximum, by_user, and ages (of each connection, in seconds, oldest first).', type: dict}
    configuration: {description: 'All settings, secrets as V(******).', type: dict}
    security: {description: 'users without passwords, and findings.', type: dict}
shards:
  description: Each shard, as most nodes see it.
  returned: success
  type: list
  elements: dict
  sample:
    - {primary: '10.0.0.21:6379', slots: ['0-5461'], slot_count: 5462, moving: [],
       replicas: [{address: '10.0.0.24:6379', link: up, lag_bytes: 0}]}
"""

from ansible_collections.exalt.caching.plugins.module_utils import _cluster_health
from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

SUBSETS = ["topology", "health", "memory", "latency", "slowlog", "clients", "configuration", "security"]
BOUNDS = {"max_lag": (0, 2**50), "replicas": (0, 100), "slowlog_length": (1, 1000), "latency_samples": (1, 1000)}


def work(run):
    params = run.params
    for option, (least, most) in BOUNDS.items():
        if not least <= params[option] <= most:
            raise CachingError(f"{option}: it goes from {least} to {most}, not {params[option]}")
    source = run.redis
    if source is None:
        raise CachingError("redis_nodes: give at least one node as host:port")
    from ansible_collections.exalt.caching.plugins.module_utils._resources.redis_nodes import Nodes  # its library is there now

    cluster = Nodes(source, params["slowlog_length"], params["latency_samples"])
    cluster.look()
    reasons = _cluster_health.reasons(cluster.views, params["max_lag"], params["replicas"])
    return {
        "changed": False, "healthy": not reasons, "reasons": reasons,
        "nodes": cluster.read(params["subset"]), "shards": _cluster_health.shards(cluster.views),
    }


def main():
    run_main(work, spec(
        "redis",
        subset={"type": "list", "elements": "str", "choices": SUBSETS, "default": ["topology", "health"]},
        max_lag={"type": "int", "default": 1048576},
        replicas={"type": "int", "default": 1},
        slowlog_length={"type": "int", "default": 20},
        latency_samples={"type": "int", "default": 10},
    ))


if __name__ == "__main__":
    main()
