#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_cluster
short_description: A Redis Cluster formed of its nodes, joined by new ones, and healed after addresses changed
description:
  - Asks every node that is declared, and does what is missing. Blank nodes become a cluster, blank nodes beside a cluster
    become replicas in it, and nodes that lost each other because addresses changed meet again. A replica that knows where its
    primary is, and looks for its data where it was, follows it anew (Redis 7 never does so by itself).
  - It never resets, empties or forgets a node, moves no slots, and moves no replica that follows a primary already.
  - Nothing is written where a node does not answer, holds keys and is not part of the cluster, or belongs to another one;
    where slots have no owner while there are keys; where the nodes are too few or an address is there twice; and where the
    cluster has a working node that is not declared. One that is gone and not declared is only a warning.
  - While nodes that lost each other meet, every replica is held, so that none has itself elected with what data it has;
    C(cluster-replica-no-failover) is V(yes) there, and the process title ends in C(caching-healing), by which the next run knows it.
    All are released once every node says that all is well. After a run that failed or was killed in between, no replica takes
    over by itself until it is run again.
  - Nodes are not brought together where a primary came back with less than half of the keys of its replica, or a replica that took
    over has less than half of what its former primary has, as one would copy the other.
  - It warns where a replica is in the location of its primary, and where so many primaries are in one location that without it no
    majority is left, as no replica takes over then, although there are locations enough to spread them.
  - There is no memory between runs, so a run that was killed is finished by running it again.
  - It ends when each node says that the cluster is ok, sees all the others, and every replica has its primary's data.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  nodes:
    description: Every node of the cluster.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: Where the other nodes reach it, V(host:port). A name is resolved where the module runs.
        type: str
        required: true
      shard:
        description:
          - Name of its shard. When the cluster is formed, the first node of each shard becomes its primary; a node that joins
            follows the primary of the shard's other nodes. Without it, shards are chosen.
        type: str
      location:
        description: Where it runs (host, zone). Primaries are spread over locations, and replicas go to another than their primary's.
        type: str
  replicas:
    description: How many replicas each shard has at least. Without shards, so many primaries are chosen that it comes out.
    type: int
    default: 1
  state:
    description: The cluster is as declared.
    type: str
    choices: [formed]
    default: formed
  wait_timeout:
    description:
      - Longest time until it is. Seconds or ISO-8601. Nodes that still load their data, or do not listen yet, are waited for; not in check mode.
    type: str
    default: PT60S
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.redis
notes:
  - O(redis_nodes) is not needed here. O(redis_address_map) says where the addresses of O(nodes) are reached from the module.
  - Nodes whose connections to each other come from another address than their own (NAT, several networks) need
    C(cluster-announce-ip), or they never agree on where they are.
  - Needs Redis 7 or newer, or Valkey. To heal, the user needs C(CONFIG GET) and C(CONFIG SET) beside C(CLUSTER) and C(INFO).
"""

EXAMPLES = r"""
- name: Six nodes on three hosts are a cluster
  exalt.caching.redis_cluster:
    nodes:
      - {address: 10.0.0.21:6379, location: redis-1}
      - {address: 10.0.0.22:6379, location: redis-2}
      - {address: 10.0.0.23:6379, location: redis-3}
      - {address: 10.0.0.21:6380, location: redis-1}
      - {address: 10.0.0.22:6380, location: redis-2}
      - {address: 10.0.0.23:6380, location: redis-3}
    replicas: 1
    redis_password: "{{ caching_redis_password }}"
"""

RETURN = r"""
topology:
  description: The shards, by what their nodes say; in check mode as they will be.
  returned: success
  type: list
  elements: dict
  sample:
    - {primary: '10.0.0.21:6379', slots: ['0-5460'], slot_count: 5461, replicas: ['10.0.0.22:6380']}
steps:
  description:
    - What was done, or in check mode would be, in order. C(action) is one of C(hold) (a replica is not to be elected),
      C(set_epoch), C(add_slots), C(meet), C(replicate) and C(release) (it may be elected again).
    - Nodes that still do not see each other after a while meet directly, and replicas that then look for their primary where it was
      follow it anew; such steps are not told in check mode.
  returned: always, once the nodes were read
  type: list
  elements: dict
  sample:
    - {action: meet, node: '10.0.0.21:6379', target: '10.0.0.22:6379'}
    - {action: replicate, node: '10.0.0.22:6380', target: '10.0.0.21:6379'}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    timeout = float(parse(run.params["wait_timeout"], "wait_timeout"))
    addresses = [node["address"] for node in run.params["nodes"]]
    run.params = {**run.params, "wait_timeout": timeout, "redis_nodes": addresses}
    if not 0 <= run.params["replicas"] <= 10:
        raise CachingError(f"replicas: it goes from 0 to 10, not {run.params['replicas']}")
    source = run.redis
    if source is None:
        raise CachingError("nodes: name every node of the cluster")
    from ansible_collections.exalt.caching.plugins.module_utils._resources.cluster import Cluster  # its library is there now

    cluster = Cluster(run.params, source, run.warn, waits=run.waits)
    planned = cluster.prepare()
    return apply(run, bool(cluster.steps), planned, cluster.act, always=True)


def main():
    run_main(work, spec(
        "redis",
        nodes={"type": "list", "elements": "dict", "required": True, "options": {
            "address": {"type": "str", "required": True}, "shard": {"type": "str"}, "location": {"type": "str"},
        }},
        replicas={"type": "int", "default": 1},
        state={"type": "str", "choices": ["formed"], "default": "formed"},
        wait_timeout={"type": "str", "default": "PT60S"},
    ))


if __name__ == "__main__":
    main()
