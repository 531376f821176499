#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_failover
short_description: Another node becomes the primary of a shard, and every node of the cluster sees it so
description:
  - Asks every node, chooses the replica that has most of the data (or takes O(node), where that loses nothing), has it take over, and
    waits until all nodes that answer see it as the primary and the shard's other nodes follow it. An C(OK) of Redis is no success.
  - While the primary works this is a graceful failover, which holds writes for some milliseconds and loses none. It is asked up to three
    times, as a replica gives it up after five seconds.
  - Where the primary has failed, the others are given the time to elect a replica by themselves. What comes then is for O(method) to say.
  - Refused, with nothing done, are a replica that does not follow its primary, is still copying, or has never had its data; one that has
    less of a failed primary's data than another; an election where too few primaries are left for it (nodes answer C(OK) there and do
    nothing); and a takeover while the primary works, without approval, or where the platform has not said who is gone.
  - Operation S089 of the operations guide; hazards H24, H25 and H26.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  node:
    description: The node that becomes the primary of its shard, V(host:port) as the nodes announce it. Nothing is done where it is already.
    type: str
  shard:
    description:
      - The shard that gets another primary. Its number from V(0) in the order of slots, a range of its slots (V(0-5460)), or the
        address of any of its nodes.
      - As it names no goal, each run with a shard whose primary works moves it.
    type: str
  method:
    description:
      - How far it may go. V(graceful) only by agreement, and by what the others elect by themselves.
      - V(force) also asks the other primaries for an election, where the primary has failed or its replica does not follow it any more.
      - V(takeover) also without an election, where too few primaries are left for one. It is refused while the primary works.
    type: str
    choices: [graceful, force, takeover]
    default: graceful
  confirmed_down:
    description: Nodes (V(host:port)) of which the platform says that they are gone. A takeover needs all primaries that do not answer here.
    type: list
    elements: str
    default: []
  approve_takeover:
    description: Somebody has decided that a takeover may be made.
    type: bool
    default: false
  debounce:
    description: How long after a first look a second one has to see the same primaries gone, before a takeover. Seconds or ISO-8601.
    type: str
    default: PT10S
  wait_timeout:
    description: Longest time until all nodes see the new primary. Seconds or ISO-8601.
    type: str
    default: PT60S
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.redis
attributes:
  idempotent:
    description: With O(node). O(shard) moves a primary that works in each run.
    support: partial
notes:
  - Needs the rules C(+cluster +info +role +ping), and C(+config|get +client|list) to know how long the votes of a former election count.
  - A node of Redis (not of Valkey 9 or newer) that was elected less than four times its node timeout ago would take the votes of then for new ones and
    lose writes, so that time is waited for; with O(wait_timeout) shorter than that it is refused.
  - A takeover acts on one shard. Once enough primaries are back by it, the others elect theirs by themselves.
"""

EXAMPLES = r"""
- name: This node is a primary, so that the host of the other can be restarted
  exalt.caching.redis_failover:
    redis_nodes: ["10.0.0.21:6379"]
    redis_password: "{{ caching_redis_password }}"
    node: 10.0.0.24:6379

- name: The shard works again, by an election if need be
  exalt.caching.redis_failover:
    redis_nodes: ["10.0.0.21:6379", "10.0.0.22:6379"]
    redis_password: "{{ caching_redis_password }}"
    shard: 0-5460
    method: force

- name: Two of three primaries are gone for good
  exalt.caching.redis_failover:
    redis_nodes: ["10.0.0.23:6379", "10.0.0.24:6379"]
    redis_password: "{{ caching_redis_password }}"
    shard: 0-5460
    method: takeover
    confirmed_down: ["10.0.0.21:6379", "10.0.0.22:6379"]
    approve_takeover: true
"""

RETURN = r"""
shard:
  description: The shard before and after (in check mode, as it will be). Each with C(primary), C(slots) and C(replicas).
  returned: success
  type: dict
  contains:
    before:
      description: As it was.
      type: dict
      sample: {primary: '10.0.0.21:6379', slots: ['0-5460'], replicas: ['10.0.0.24:6379']}
    after:
      description: As it is now.
      type: dict
      sample: {primary: '10.0.0.24:6379', slots: ['0-5460'], replicas: ['10.0.0.21:6379']}
lost_writes_possible:
  description:
    - Whether writes that the former primary had taken may be lost. Not after a graceful failover, where the former primary answered before, meanwhile
      and afterwards.
  returned: success
  type: bool
steps:
  description: What was done, or in check mode would be. C(action) is V(graceful), V(force), V(takeover), or V(wait), for the others' election of a
    replica of that node, or until that node's former votes are forgotten.
  returned: always, once the nodes were read
  type: list
  elements: dict
  sample:
    - {action: graceful, node: '10.0.0.24:6379'}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    source = run.redis
    if source is None:
        raise CachingError("redis_nodes: give at least one node as host:port")
    from ansible_collections.exalt.caching.plugins.module_utils._resources.failover import Failover  # its library is there now

    times = {name: float(parse(run.params[name], name)) for name in ("wait_timeout", "debounce")}
    failover = Failover({**run.params, **times}, source)
    planned = failover.prepare()
    return apply(run, failover.changed, planned, failover.act)


def main():
    run_main(work, spec(
        "redis",
        node={"type": "str"},
        shard={"type": "str"},
        method={"type": "str", "choices": ["graceful", "force", "takeover"], "default": "graceful"},
        confirmed_down={"type": "list", "elements": "str", "default": []},
        approve_takeover={"type": "bool", "default": False},
        debounce={"type": "str", "default": "PT10S"},
        wait_timeout={"type": "str", "default": "PT60S"},
    ), required_one_of=[("node", "shard")], mutually_exclusive=[("node", "shard")])


if __name__ == "__main__":
    main()
