#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_data_info
short_description: Whether a backup can be restored from files into a Redis Cluster in place, and which file goes to which node
description:
  - Makes every check before a node is stopped (role recovery does the rest), and tells all that is in the way at once. Nothing is touched.
  - The backup is chosen and read whole, with its signature, digests, decryption and structure, and every key is of the slots of its file.
  - Each file goes to the primary that owns exactly its slots now, by ranges and never by numbers, also after nodes have changed their roles.
    Another layout is refused; M(exalt.caching.redis_restore) with its O(exalt.caching.redis_restore#module:mode=replay) fits any.
  - Every node answers and agrees with the others, knows the version of the files, and has the memory.
  - Operations S116 and S118 of the operations guide; hazards H38 and H43.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  cluster:
    description: Name of the cluster in the store. Needed without O(loaded) and O(only_count).
    type: str
  id:
    description:
      - Which backup. V(newest) is the newest verified regular one, a time (V(2026-11-20T03:00:00Z)) the newest verified
        regular one that was taken before it, anything else is an id, of any kind.
    type: str
    default: newest
  signing_key:
    description: The key that backups are signed with. Without it the signature can't be checked, which a warning tells.
    type: str
  previous_signing_keys:
    description: Keys that were O(signing_key) before. What was signed with one of them is good, too.
    type: list
    elements: str
    default: []
  identities:
    description: Age identities that can decrypt the backup.
    type: list
    elements: str
  loaded:
    description:
      - Afterwards, when the nodes have started on their files. Waits until each range of slots has its owner among O(redis_nodes) and that
        has ended loading, and compares the keys that it has found in its file. Nothing else is looked at then; no store is needed.
      - It is right until the node starts again.
    type: list
    elements: dict
    suboptions:
      slots:
        description: A range as RV(plan.shards) names it.
        type: str
        required: true
      key_count:
        description: Keys of its file.
        type: int
        required: true
  only_count:
    description: Only wait until each of O(redis_nodes) has ended loading, and count the keys of all primaries, in RV(key_count).
    type: bool
    default: false
  wait_timeout:
    description: How long to wait for O(loaded) and O(only_count). ISO-8601 or seconds.
    type: str
    default: PT5M
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.redis
  - exalt.caching.store
notes:
  - Needs the rules C(+config|get +cluster|nodes +cluster|info +info), and Redis 7.0 or newer, or Valkey.
"""

EXAMPLES = r"""
- name: Can last night's backup be put under the nodes?
  exalt.caching.redis_data_info:
    cluster: production-eu
    redis_nodes: ["10.0.0.21:6379"]
    store_url: s3://exalt-cache-backups/production-eu
    signing_key: "{{ caching_signing_key }}"
    id: "2026-11-20T06:00:00Z"
  register: planned
"""

RETURN = r"""
plan:
  description: What would be done; also where something is in the way.
  returned: when the nodes could be read
  type: dict
  contains:
    backup: {description: Id of the backup., type: str}
    taken: {description: When it was taken., type: str}
    key_count: {description: Its keys., type: int}
    bytes: {description: Bytes of its files., type: int}
    at_target: {description: Keys that the cluster has now., type: int}
    shards: {description: 'Each file: slots, node (its owner), replicas, key_count, bytes, sha256.', type: list, elements: dict}
    nodes:
      description: 'Each node: address, directory, dbfilename, appendonly, appenddirname, appendfilename, save, key_count.'
      type: list
      elements: dict
loaded:
  description: 'For each range of O(loaded): slots, node, loaded (keys), expired (keys whose time was over already).'
  returned: with O(loaded)
  type: list
  elements: dict
key_count:
  description: Keys of all primaries.
  returned: with O(only_count)
  type: int
problems:
  description: What is in the way, or is not as it should be.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    source = run.redis
    if source is None:
        raise CachingError("redis_nodes: give at least one node as host:port")
    if run.params["loaded"]:
        from ansible_collections.exalt.caching.plugins.module_utils._resources.data_loaded import Loaded  # its library is there now

        patience = float(parse(run.params["wait_timeout"], "wait_timeout"))
        return {"changed": False, "loaded": Loaded(source, run.params["loaded"]).wait(patience), "problems": []}
    if run.params["only_count"]:
        from ansible_collections.exalt.caching.plugins.module_utils._resources.data_loaded import counted

        return {"changed": False, "key_count": counted(source, float(parse(run.params["wait_timeout"], "wait_timeout"))), "problems": []}
    if not run.params["cluster"]:
        raise CachingError("cluster: give the name of the cluster in the store")
    from ansible_collections.exalt.caching.plugins.module_utils._resources.data_info import DataInfo  # its libraries are there now

    return {"changed": False, **DataInfo(run.params, source, run.store, run.warn).look()}


def main():
    run_main(work, spec(
        "redis", "store",
        cluster={"type": "str"},
        id={"type": "str", "default": "newest"},
        signing_key={"type": "str", "no_log": True},
        previous_signing_keys={"type": "list", "elements": "str", "default": [], "no_log": True},
        identities={"type": "list", "elements": "str", "no_log": True},
        loaded={"type": "list", "elements": "dict", "options": {
            "slots": {"type": "str", "required": True}, "key_count": {"type": "int", "required": True}}},
        only_count={"type": "bool", "default": False},
        wait_timeout={"type": "str", "default": "PT5M"},
    ))


if __name__ == "__main__":
    main()
