#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup_prune
short_description: Retention of the backups of a Redis Cluster
description:
  - Keeps what the policy says and removes the rest. The newest regular backup that verifies now always stays, and so do as many as
    O(minimum_redundancy) says; they are read back for that. What is held stays. What can't be verified, or claims to be of the
    future, fills no place of the policy, and is left to people.
  - Each kind (regular, safety, drill) is counted for itself; its newest one stays.
  - What runs that failed or were killed have left is removed, unfinished uploads too, but nothing of a run that lives.
  - Check mode lists exactly what the run removes.
  - Operation S110 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  cluster:
    description: Name of the cluster in the store.
    type: str
    required: true
  signing_key:
    description: Key of the manifests' signatures. Without it they are believed.
    type: str
  previous_signing_keys:
    description: Keys that were O(signing_key) before. What was signed with one of them is good, too; nothing is signed with them any more.
    type: list
    elements: str
    default: []
  keep_last:
    description: Keep so many of the newest.
    type: int
    default: 0
  keep_hourly:
    description: Keep the newest of each of so many hours (UTC) that have one.
    type: int
    default: 0
  keep_daily:
    description: Keep the newest of each of so many days (UTC) that have one.
    type: int
    default: 0
  keep_weekly:
    description: Keep the newest of each of so many weeks (ISO, UTC) that have one.
    type: int
    default: 0
  keep_monthly:
    description: Keep the newest of each of so many months (UTC) that have one.
    type: int
    default: 0
  keep_within:
    description: Keep everything that is younger. ISO-8601 or seconds.
    type: str
  minimum_redundancy:
    description: How many regular backups that verify now have to stay, whatever the policy says; at least 1.
    type: int
    default: 1
  hold:
    description: Ids of backups that are never removed until they are in O(release).
    type: list
    elements: str
    default: []
  release:
    description: Ids of backups that are no longer held.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.store
requirements:
  - anycrc >= 2.1
  - zstandard >= 0.23
"""

EXAMPLES = r"""
- name: Two weeks of days, eight weeks, a year of months
  exalt.caching.redis_backup_prune:
    cluster: production-eu
    store_url: s3://exalt-cache-backups/production-eu
    signing_key: "{{ backup_signing_key }}"
    keep_daily: 14
    keep_weekly: 8
    keep_monthly: 12
    minimum_redundancy: 2
"""

RETURN = r"""
kept:
  description: Ids that stay, the newest first.
  returned: success
  type: list
  elements: str
removed:
  description: Ids that were removed; in check mode, that would be.
  returned: success
  type: list
  elements: str
reasons:
  description: For each id why it is kept; empty for what is removed.
  returned: success
  type: dict
  sample: {20261125T030000Z-5f0c2a9e: the newest that verifies; keep_daily (1 of 14)}
problems:
  description: Backups that count for nothing, with the reason.
  returned: success
  type: list
  elements: str
leftovers:
  description: Objects and unfinished uploads of dead runs that were removed.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.exalt.caching.plugins.module_utils import _pack, _stream
from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources.catalogue import Catalogue
from ansible_collections.exalt.caching.plugins.module_utils._resources.pruning import Pruning
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    if _pack.ZSTANDARD_ERROR or _stream.ANYCRC_ERROR:
        raise CachingError("verifying needs the Python libraries zstandard and anycrc on the host where the module runs")
    params = run.params
    if not params["signing_key"]:
        run.warn("signing_key is not given: manifests are believed, whoever wrote them")
    pruning = Pruning(params, Catalogue.of(run.store, params))
    pruning.look()

    def act():
        pruning.act()
        return {}

    return apply(run, pruning.changes, pruning.results, act)


def main():
    counts = {f"keep_{name}": {"type": "int", "default": 0} for name in ("last", "hourly", "daily", "weekly", "monthly")}
    run_main(work, spec(
        "store",
        cluster={"type": "str", "required": True},
        signing_key={"type": "str", "no_log": True},
        previous_signing_keys={"type": "list", "elements": "str", "default": [], "no_log": True},
        keep_within={"type": "str"},
        minimum_redundancy={"type": "int", "default": 1},
        hold={"type": "list", "elements": "str", "default": []},
        release={"type": "list", "elements": "str", "default": []},
        **counts,
    ))


if __name__ == "__main__":
    main()
