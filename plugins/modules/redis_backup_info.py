#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup_info
short_description: The backups of a Redis Cluster in the store, verified as deep as is asked for
description:
  - Lists the backups. One that is incomplete, that was changed, that is of another cluster or id, or that says it is of the future
    stands in RV(problems) with the reason; it is never verified and never the newest.
  - Without O(verify) a backup counts as verified if it was read back when it was taken, and all its objects are still there in their
    sizes. What happened to them since is seen by reading them.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  cluster:
    description: Name of the cluster in the store.
    type: str
    required: true
  id:
    description: Only this one; V(newest) is the newest verified one of the kind regular.
    type: str
  verify:
    description:
      - V(none) lists, V(objects) reads every object and compares its digest, V(structure) also decrypts, decompresses and reads every
        record of the RDB, its checksum and its counts, V(load) also loads it into a scratch server.
      - Without O(identities) an encrypted backup can be verified up to V(objects); RV(not_done) tells it.
    type: str
    choices: [none, objects, structure, load]
    default: none
  redis_server_path:
    description:
      - A server program, on the host where this module runs, for O(verify=load). It gets no network, and a folder that is removed. It
        must be of the flavour of the cluster, and not older.
    type: path
  signing_key:
    description: Key of the manifests' signatures. Without it they are believed; with it, unsigned ones are a problem.
    type: str
  previous_signing_keys:
    description: Keys that were O(signing_key) before. What was signed with one of them is good, too; nothing is signed with them any more.
    type: list
    elements: str
    default: []
  identities:
    description: Private keys of age (C(AGE-SECRET-KEY-...)) or SSH that can decrypt the backups.
    type: list
    elements: str
    default: []
  max_age:
    description: How old the newest verified regular backup may be; older ones are told in RV(problems). ISO-8601 or seconds.
    type: str
  fail_if_older:
    description: Fail where it is older than O(max_age), or there is none.
    type: bool
    default: false
extends_documentation_fragment:
  - exalt.caching.attributes.info
  - exalt.caching.store
requirements:
  - anycrc >= 2.1
  - zstandard >= 0.23
  - pyrage >= 1.2 (for O(identities))
"""

EXAMPLES = r"""
- name: Is there a verified backup of today
  exalt.caching.redis_backup_info:
    cluster: production-eu
    store_url: s3://exalt-cache-backups/production-eu
    signing_key: "{{ backup_signing_key }}"
    max_age: P1D
    fail_if_older: true

- name: Read the newest one to its last byte
  exalt.caching.redis_backup_info:
    cluster: production-eu
    store_url: s3://exalt-cache-backups/production-eu
    signing_key: "{{ backup_signing_key }}"
    id: newest
    verify: structure
"""

RETURN = r"""
backups:
  description: Each backup, the newest first, with what M(exalt.caching.redis_backup) returns of it.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Its id., type: str}
    verified: {description: Whether it counts., type: bool}
    level: {description: 'How deep it was verified: objects, checksums, structure or load; null where it was not.', type: str}
    signature: {description: 'good, unchecked (no key is given) or none.', type: str}
    held: {description: Whether M(exalt.caching.redis_backup_prune) holds it., type: bool}
    age: {description: Seconds since it began., type: float}
    problem: {description: Why it does not count., type: str}
newest_verified:
  description: Id of the newest verified regular backup; null where there is none.
  returned: success
  type: str
age:
  description: Seconds since it began; null where there is none.
  returned: success
  type: float
fresh:
  description: Whether it is younger than O(max_age); null where that is not given.
  returned: success
  type: bool
problems:
  description: What does not count, with the reason, a line each.
  returned: success
  type: list
  elements: str
not_done:
  description: What was asked for and could not be done, by id.
  returned: success
  type: dict
running:
  description: Ids of backups that are being taken now.
  returned: success
  type: list
  elements: str
metrics:
  description: Gauges by their names.
  returned: success
  type: dict
  sample: {exalt_cache_backup_age_seconds: 3600.0, exalt_cache_backup_sets: 14, exalt_cache_backup_problems: 0}
"""

from ansible_collections.exalt.caching.plugins.module_utils import _pack, _redis, _stream
from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

LIBRARIES = {"zstandard": _pack.ZSTANDARD_ERROR, "anycrc": _stream.ANYCRC_ERROR, "redis": _redis.REDIS_ERROR}


def work(run):
    params = run.params
    missing = [name for name, error in LIBRARIES.items() if error]
    if missing:
        raise CachingError(f"the host where the module runs needs the Python library {missing[0]}")
    from ansible_collections.exalt.caching.plugins.module_utils._resources.backup_info import Survey  # its libraries are there now
    from ansible_collections.exalt.caching.plugins.module_utils._resources.catalogue import Catalogue

    if not params["signing_key"]:
        run.warn("signing_key is not given: manifests are believed, whoever wrote them")
    catalogue = Catalogue.of(run.store, params)
    survey = Survey(params, catalogue, run.command)
    survey.look()
    return {"changed": False, **survey.results()}


def main():
    run_main(work, spec(
        "store",
        cluster={"type": "str", "required": True},
        id={"type": "str"},
        verify={"type": "str", "choices": ["none", "objects", "structure", "load"], "default": "none"},
        redis_server_path={"type": "path"},
        signing_key={"type": "str", "no_log": True},
        previous_signing_keys={"type": "list", "elements": "str", "default": [], "no_log": True},
        identities={"type": "list", "elements": "str", "default": [], "no_log": True},
        max_age={"type": "str"},
        fail_if_older={"type": "bool", "default": False},
    ))


if __name__ == "__main__":
    main()
