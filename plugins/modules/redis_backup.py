#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup
short_description: A verified backup of a Redis Cluster exists
description:
  - Takes one snapshot of each shard, all at once, from a replica that is in sync, and writes it to the store in one pass - from the
    replication stream through zstd and, where it is asked for, age - in constant memory and without a file in between.
  - All 16,384 slots are in it exactly once, or there is no backup. It is refused while slots migrate. A shard whose node changed
    its role while it was read is taken again.
  - The manifest is written last and is signed. Without it there is no backup, so a run that fails or is killed leaves none; the next
    run removes what was left. Objects are never changed after they are written.
  - No tool can take all shards of a cluster at the same instant. RV(backup.skew_ms) is the time between the first and the last
    snapshot; O(quiesce) narrows it.
  - The user needs C(+psync +replconf +info +cluster|nodes +cluster|info), with Valkey 9 C(+cluster|getslotmigrations) too,
    C(+client|pause +client|unpause) for O(quiesce), and C(+config|get +acl|list +module|list) for the settings and users of the
    nodes, which are kept beside the data (passwords only with O(encrypt_to)).
  - Operations S104, S105, S106, S107, S108 and S109 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  cluster:
    description: Name of the cluster in the store.
    type: str
    required: true
  max_age:
    description:
      - Nothing is done when a verified backup of the kind V(regular) is younger than this. V(PT0S) takes one now. ISO-8601 or seconds.
    type: str
    default: PT0S
  kind:
    description: What it is for. Only V(regular) ones count as the newest, and for O(max_age).
    type: str
    choices: [regular, safety, drill]
    default: regular
  read_from:
    description:
      - Which node of a shard is read. V(replicas) and V(any) take a replica that is in sync, and the primary where there is none;
        V(replicas) warns then. V(primaries) takes primaries only.
    type: str
    choices: [replicas, primaries, any]
    default: replicas
  max_lag:
    description: How long a replica may take to reach where its primary is now. ISO-8601 or seconds.
    type: str
    default: PT10S
  parallel:
    description: How many shards at once. V(0) is all of them, which keeps RV(backup.skew_ms) small; V(1) needs the least memory for forks.
    type: int
    default: 0
  compression_level:
    description: Level of zstd, from 1 to 19. Higher ones than 1 cost more than they save.
    type: int
    default: 1
  encrypt_to:
    description: Recipients of age (C(age1...)) or SSH public keys that can decrypt the backup. Empty, it is not encrypted.
    type: list
    elements: str
    default: []
  signing_key:
    description: Key of the manifest's signature (HMAC-SHA256). Keep it outside of the store.
    type: str
  previous_signing_keys:
    description: Keys that were O(signing_key) before. What was signed with one of them is good, too; nothing is signed with them any more.
    type: list
    elements: str
    default: []
  quiesce:
    description:
      - Hold writes at all primaries until every snapshot has begun, but never longer than this (at most 30 seconds). The nodes let go
        by themselves then, even if this run is killed. The nodes write a file of their own first. ISO-8601 or seconds.
    type: str
    default: PT0S
  verify:
    description: Read every object back and compare it. A backup that was not verified counts neither as the newest nor for O(max_age).
    type: bool
    default: true
  bandwidth_limit:
    description: Bytes a second for each shard; V(0) is no limit.
    type: int
    default: 0
  uncompressed_source:
    description:
      - Switch C(rdbcompression) off at the nodes that are read while the backup runs, which halves their work and makes what is stored
        smaller. It is put back at the end; after a crash, by the next backup. Needs C(+config|set).
    type: bool
    default: false
  job_id:
    description: Kept in the manifest, such as the number of the AWX job.
    type: str
  lock:
    description:
      - The lock that the operation holds, as M(exalt.caching.operation_lock) took it in the same store. It is looked at before
        each step, and renewed while the module works, so that an operation that lasts longer than its O(lock.ttl) keeps it. Where
        it was lost to another run, the module ends and says to whom.
    type: dict
    suboptions:
      name:
        description: The fleet.
        type: str
        required: true
      scope:
        description: What is locked.
        type: str
        choices: [content, topology]
        default: topology
      token:
        description: The token that taking it returned. Zero is no lock.
        type: int
        required: true
      ttl:
        description: How long it is held without being renewed. ISO-8601 or seconds.
        type: str
        default: PT15M
  progress_path:
    description:
      - A file, where this module runs, that gets a line of JSON at each step, with C(done) and C(rate) in bytes and C(status), the
        shards under way.
    type: path
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.redis
  - exalt.caching.store
attributes:
  idempotent:
    support: partial
    details: With O(max_age) a second run changes nothing; with V(PT0S) each run takes another backup.
requirements:
  - anycrc >= 2.1
  - zstandard >= 0.23
  - pyrage >= 1.2 (for O(encrypt_to))
"""

EXAMPLES = r"""
- name: A verified backup that is not older than six hours
  exalt.caching.redis_backup:
    cluster: production-eu
    redis_nodes: [redis-cluster-0:6379, redis-cluster-1:6379]
    store_url: s3://exalt-cache-backups/production-eu
    max_age: PT6H
    encrypt_to: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
    signing_key: "{{ backup_signing_key }}"
"""

RETURN = r"""
backup:
  description: The backup that was taken, or the one that is young enough; in check mode, what would be read.
  returned: success
  type: dict
  contains:
    id: {description: Its id., type: str, sample: 20261125T030000Z-5f0c2a9e}
    kind: {description: 'regular, safety or drill.', type: str}
    started: {description: When it began (UTC)., type: str}
    seconds: {description: Until the manifest was written., type: float}
    verify_seconds: {description: How long reading it back took., type: float}
    bytes: {description: What came from the nodes., type: int}
    stored_bytes: {description: What was stored., type: int}
    key_count: {description: 'Keys, counted in the stream, those that have expired and are not deleted yet too.', type: int}
    skew_ms: {description: Time between the first and the last snapshot., type: int}
    paused_ms: {description: How long writes were held., type: int}
    encrypted: {description: Whether it is., type: bool}
    shards:
      description: Each shard.
      type: list
      elements: dict
      sample:
        - {slots: 0-5460, node: '10.0.0.24:6379', role: replica, key_count: 40000, expiring: 0, rdb_version: 80, bytes: 12000000,
           stored_bytes: 4000000, sha256: 9f86d0..., object: shard-00000-05460.rdb.zst}
    verified: {description: Whether every object was read back and is what was written., type: bool}
    plan: {description: 'In check mode: slots, node and role of what would be read.', type: list, elements: dict}
summary:
  description: What was taken by this run.
  returned: success
  type: dict
  sample: {taken: [20261125T030000Z-5f0c2a9e]}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import LOCK, spec
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._progress import Progress
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    source = run.redis
    if source is None:
        raise CachingError("redis_nodes: give at least one node as host:port")
    from ansible_collections.exalt.caching.plugins.module_utils import _backup_plan
    from ansible_collections.exalt.caching.plugins.module_utils._resources.backup import Backup, result  # its library is there now

    backup = Backup(run.params, source, run.store, run.warn)
    recent = backup.recent()
    if recent:
        return {"changed": False, "backup": result(recent.manifest, True), "summary": {"taken": []}, "diff": backup.diff()}
    backup.prepare()

    def act():
        progress = Progress(run.params["progress_path"], "backup", run.warn)
        try:
            taken = backup.take(progress)
            return {"backup": taken, "summary": {"taken": [taken["id"]]}}
        finally:
            progress.close()

    planned = {
        "backup": {"kind": run.params["kind"], "plan": _backup_plan.shown(backup.plan)},
        "summary": {"taken": [f"one ({run.params['kind']})"]},
        "diff": backup.diff(),
    }
    return apply(run, True, planned, act)


def main():
    run_main(work, spec(
        "redis", "store",
        cluster={"type": "str", "required": True},
        max_age={"type": "str", "default": "PT0S"},
        kind={"type": "str", "choices": ["regular", "safety", "drill"], "default": "regular"},
        read_from={"type": "str", "choices": ["replicas", "primaries", "any"], "default": "replicas"},
        max_lag={"type": "str", "default": "PT10S"},
        parallel={"type": "int", "default": 0},
        compression_level={"type": "int", "default": 1},
        encrypt_to={"type": "list", "elements": "str", "default": []},
        signing_key={"type": "str", "no_log": True},
        previous_signing_keys={"type": "list", "elements": "str", "default": [], "no_log": True},
        quiesce={"type": "str", "default": "PT0S"},
        verify={"type": "bool", "default": True},
        bandwidth_limit={"type": "int", "default": 0},
        uncompressed_source={"type": "bool", "default": False},
        job_id={"type": "str"},
        lock=LOCK,
        progress_path={"type": "path"},
    ))


if __name__ == "__main__":
    main()
