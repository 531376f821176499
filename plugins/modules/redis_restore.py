#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_restore
short_description: The data of a backup into a live Redis Cluster of any shape, whole or by key pattern, or one shard's file onto this host
description:
  - Check mode is the plan. It reads everything that the run would read, makes every check, and tells what would be written,
    where, how long it takes by earlier runs, and what would be lost.
  - Nothing is written before all of it is green. That is the signature, every digest, decryption, the structure of every
    file, versions and flavour (never into a server that does not know the backup's RDB version), memory, the health of the
    cluster, O(confirm), and a verified safety backup of what the target holds.
  - With O(mode=replay) each key goes by C(RESTORE), with its expiry, to the node that owns its slot now. The number of
    shards does not matter, slots may move and nodes may fail over meanwhile. What a primary that was lost had not passed on
    is sent again.
  - A restore that was cut off is finished by running it again with the same options within a day. It takes the same backup,
    and its way back is the safety backup of the first run. Where that backup is gone meanwhile, a run with O(flush) begins anew, and
    any other says how to go on.
  - While the service goes on writing, its keys and those of the backup mix. Bring it into local-cache mode before, and clear
    its own caches after (the role recovery does).
  - Operations S116, S118, S122 and S124 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  cluster:
    description: Name of the cluster in the store.
    type: str
    required: true
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
    description: Keys that were O(signing_key) before. What was signed with one of them is good, too; nothing is signed with them any more.
    type: list
    elements: str
    default: []
  identities:
    description: Age identities that can decrypt the backup.
    type: list
    elements: str
  mode:
    description:
      - V(replay) writes the keys into the live cluster.
      - V(file) puts the verified RDB of O(slots) at O(path) on the host where this module runs. Redis must not run then, and
        must not load an append-only file instead. Owner and mode are those of the file that is replaced; a new one belongs to
        the owner of its folder, with mode 0600. What a killed run left beside it is written over by the next one.
    type: str
    choices: [replay, file]
    default: replay
  patterns:
    description: Only keys that match one of these, as C(KEYS) would match them. Functions are left out then. Empty takes all. Not with O(mode=file).
    type: list
    elements: str
    default: []
  on_conflict:
    description:
      - What happens with keys that are at the target already. With V(fail) nothing is written where there is one.
      - V(skip) leaves them as they are. V(replace) replaces them, and needs O(confirm). Not with O(mode=file).
    type: str
    choices: [fail, skip, replace]
    default: fail
  flush:
    description: Empty the target first, functions too. What is written meanwhile by others is replaced. Needs O(confirm). Not with O(mode=file).
    type: bool
    default: false
  confirm:
    description: The name of the cluster once more, for whatever destroys data.
    type: str
  safety_backup:
    description: Back up the target first, where it holds keys, in the same catalogue with the kind V(safety).
    type: bool
    default: true
  encrypt_to:
    description: Age recipients for the safety backup.
    type: list
    elements: str
    default: []
  slots:
    description: The slots of the shard for O(mode=file), as the backup names them, such as V(0-5460).
    type: str
  path:
    description: Where O(mode=file) puts the RDB.
    type: path
  scratch:
    description:
      - Into a server of its own, which this module starts on the host where it runs and ends afterwards. It proves that the backup can
        be restored. Nobody else writes to that server, so nothing may differ, and keys that expire meanwhile are counted.
      - It listens on the loopback address with a password of its own. What a run that was killed has left is removed by the next one of
        the same user.
      - Check mode starts no server. It tells which backup it is, and checks the program and the identities.
    type: dict
    suboptions:
      server:
        description: The server program; by default V(valkey-server) or V(redis-server) on C(PATH).
        type: path
      port:
        description: Its port. Zero is any that is free.
        type: int
        default: 0
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
    description: A file, where this module runs, that gets a line of JSON at each step.
    type: path
  wait_timeout:
    description: How long to wait for a primary that is away, such as during a failover. ISO-8601 or seconds.
    type: str
    default: PT60S
attributes:
  idempotent:
    description: O(mode=file) changes nothing where the very file is there. A replay writes again.
    support: partial
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.redis
  - exalt.caching.store
"""

EXAMPLES = r"""
- name: What a restore would do
  exalt.caching.redis_restore:
    cluster: production-eu
    redis_nodes: [redis-cluster-0:6379]
    store_url: s3://exalt-cache-backups/production-eu
    flush: true
    confirm: production-eu
  check_mode: true
  register: planned

- name: The whole cluster as it was last night
  exalt.caching.redis_restore:
    cluster: production-eu
    redis_nodes: [redis-cluster-0:6379]
    store_url: s3://exalt-cache-backups/production-eu
    signing_key: "{{ caching_signing_key }}"
    identities: "{{ caching_identities }}"
    id: "2026-11-20T06:00:00Z"
    flush: true
    confirm: production-eu

- name: Only the products that are gone
  exalt.caching.redis_restore:
    cluster: production-eu
    redis_nodes: [redis-cluster-0:6379]
    store_url: s3://exalt-cache-backups/production-eu
    patterns: ["product:*"]
    on_conflict: skip

- name: The file of one shard, for a node that is stopped
  exalt.caching.redis_restore:
    cluster: production-eu
    store_url: s3://exalt-cache-backups/production-eu
    mode: file
    slots: 0-5460
    path: /var/lib/redis/dump.rdb
"""

RETURN = r"""
plan:
  description: What is done, or in check mode would be; also where a check is not green.
  returned: when the backup and the target could be read
  type: dict
  contains:
    backup: {description: Id of the backup., type: str}
    taken: {description: When it was taken., type: str}
    mode: {description: replay or file., type: str}
    key_count: {description: Keys of it that are wanted., type: int}
    bytes: {description: Bytes of their values., type: int}
    functions: {description: Libraries of functions., type: int}
    patterns: {description: The patterns., type: list, elements: str}
    sources: {description: The shards of the backup., type: list, elements: str}
    into: {description: 'Each primary of the target: node, key_count (before), share (of the slots).', type: list, elements: dict}
    seconds: {description: How long it takes by earlier restores; null where there was none., type: float}
    rate_known_from: {description: What that estimate rests on., type: str}
    at_target: {description: Keys that are at the target., type: int}
    present: {description: Keys of the backup that are at the target; null where they were not looked for., type: int}
    skipped_count: {description: Keys that would be left as they are (O(on_conflict=skip)); null where they were not looked for., type: int}
    expired: {description: Keys of the backup whose time is over; null where it was not read., type: int}
    encrypted: {description: Whether the backup is encrypted (O(scratch) only)., type: bool}
    stored_bytes: {description: Bytes that it takes in the store (O(scratch) only)., type: int}
    lost: {description: Keys of the target that are lost., type: int}
    resumes: {description: Whether it goes on with a restore that was cut off., type: bool}
    safety_backup: {description: 'Its id, V(taken first), or null.', type: str}
problems:
  description: Why nothing was written, or why what was written is not as it should be.
  returned: on failure
  type: list
  elements: str
restored:
  description: What was written.
  returned: after a replay
  type: dict
  contains:
    key_count: {description: Keys., type: int}
    bytes: {description: Bytes of their values., type: int}
    seconds: {description: How long it took., type: float}
    keys_per_second: {description: How fast., type: int}
expired:
  description: Keys of the backup whose time was over.
  returned: after a replay
  type: int
skipped_count:
  description: Keys that were left as they are (O(on_conflict=skip)).
  returned: after a replay
  type: int
functions:
  description: Libraries of functions that were not there before.
  returned: after a replay
  type: int
passes:
  description: How often the backup was gone through; more than once where primaries were lost on the way.
  returned: after a replay
  type: int
safety_backup:
  description: Id of the backup of the target that was taken first; the way back.
  returned: after a replay
  type: str
verified:
  description:
    - Whether slots, key counts and a sample of the keys were looked at afterwards and are right. With O(mode=file) whether the
      file at O(path) was read back and is that of the backup. Never in check mode, where nothing was written.
  returned: always
  type: bool
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import LOCK, spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    params = run.params = {**run.params, "lock": run.lock, "wait_timeout": float(parse(run.params["wait_timeout"], "wait_timeout"))}
    if params["scratch"] is not None:
        from ansible_collections.exalt.caching.plugins.module_utils._resources import scratch_restore

        job = scratch_restore.Scratch(params, run.store, run.warn, run.command)
        job.prepare()
        return apply(run, True, {"plan": job.plan, "diff": job.diff, "verified": False}, job.act)
    if params["mode"] == "file":
        from ansible_collections.exalt.caching.plugins.module_utils._resources import restore_file

        job = restore_file.File(params, run.store, run.warn)
        job.prepare()
        return apply(run, job.changed, {"plan": job.plan, "diff": job.diff, "verified": not job.changed}, job.act)
    cluster = run.redis
    if cluster is None:
        raise CachingError("redis_nodes: give at least one node as host:port")
    from ansible_collections.exalt.caching.plugins.module_utils._resources import restore, restore_set  # their libraries are there now

    job = restore.Restore(params, cluster, run.store, run.warn, lambda: restore_set.safety(params, cluster, run.store, run.warn))
    job.prepare()
    return apply(run, True, {"plan": job.plan, "diff": job.diff, "verified": False}, job.act)


def main():
    run_main(work, spec(
        "redis", "store",
        cluster={"type": "str", "required": True},
        id={"type": "str", "default": "newest"},
        signing_key={"type": "str", "no_log": True},
        previous_signing_keys={"type": "list", "elements": "str", "default": [], "no_log": True},
        identities={"type": "list", "elements": "str", "no_log": True},
        mode={"type": "str", "choices": ["replay", "file"], "default": "replay"},
        patterns={"type": "list", "elements": "str", "default": []},
        on_conflict={"type": "str", "choices": ["fail", "skip", "replace"], "default": "fail"},
        flush={"type": "bool", "default": False},
        confirm={"type": "str"},
        safety_backup={"type": "bool", "default": True},
        encrypt_to={"type": "list", "elements": "str", "default": []},
        slots={"type": "str"},
        path={"type": "path"},
        scratch={"type": "dict", "options": {"server": {"type": "path"}, "port": {"type": "int", "default": 0}}},
        lock=LOCK,
        progress_path={"type": "path"},
        wait_timeout={"type": "str", "default": "PT60S"},
    ), required_if=[("mode", "file", ("slots", "path"))])


if __name__ == "__main__":
    main()
