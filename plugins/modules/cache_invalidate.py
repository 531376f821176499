#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_invalidate
short_description: Remove entries from cache regions, counted first and within limits
description:
  - Removes entries by key, pattern or tag, or clears regions. What would go is counted first, and the whole request is
    held against O(max_entries) and O(max_percent) before anything is removed.
  - Where nothing matches, nothing is sent and nothing has changed. Afterwards the counted entries are looked for again.
  - The number that matched is what was there before. What was really removed can't be known exactly while traffic
    refills the cache, so C(removed_source) says where that number comes from.
  - With O(request_id) a repeated job removes nothing twice, and a job that died goes on where it stopped.
  - Operations S037, S038, S039 and S040 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  invalidations:
    description: What to remove, in this order. The first that fails ends the request.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description:
          - How the entries are named. V(region) clears whole regions and needs O(max_percent=100).
        type: str
        choices: [key, pattern, tags, region]
        required: true
      region:
        description: The region; or give O(invalidations[].regions).
        type: str
      regions:
        description: Several regions.
        type: list
        elements: str
      keys:
        description: Keys, for O(invalidations[].type=key).
        type: list
        elements: str
      identifier:
        description: One key (or the pattern, for O(invalidations[].type=pattern)), as the guide's bulk call names it.
        type: str
      pattern:
        description: Pattern with C(*), C(?) and C([…]), for O(invalidations[].type=pattern).
        type: str
      tags:
        description: Tags, for O(invalidations[].type=tags). An entry with any of them is meant.
        type: list
        elements: str
  max_entries:
    description: Refuse to remove more entries than this.
    type: int
    default: 1000
  max_percent:
    description:
      - Refuse to remove more than this share of a region, from 0 to 100. Explicit keys count for O(max_entries) only.
    type: float
    default: 10
  key_format:
    description:
      - How entries are named in Redis, with C({region}) and C({key}); used to count patterns where O(redis_nodes) are given.
    type: str
    default: "{region}::{key}"
  tag_format:
    description:
      - How the set with the keys of a tag is named in Redis, with C({region}) and C({tag}). Without it tags can't be counted.
    type: str
  count_timeout:
    description: Longest time for counting; what is not counted by then counts as uncounted. ISO-8601 or seconds.
    type: str
    default: PT30S
  allow_uncounted:
    description: Remove what can't be counted as well, without limits.
    type: bool
    default: false
  protected_regions:
    description: Regions that are never cleared by O(invalidations[].type=region).
    type: list
    elements: str
    default: []
  request_id:
    description:
      - Names this request, such as the deployment it belongs to. The same id again removes nothing; with another request
        it is an error. Needs O(store_url). Records live 30 days.
    type: str
  wait_timeout:
    description: How long to wait for removals that the service accepts for later (status 202). ISO-8601 or seconds.
    type: str
    default: PT30S
attributes:
  idempotent:
    description: A second run finds nothing that matches. While traffic refills the cache, only O(request_id) makes it so.
    support: partial
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
  - exalt.caching.redis
  - exalt.caching.store
"""

EXAMPLES = r"""
- name: Drop what a deployment has made stale, once
  exalt.caching.cache_invalidate:
    service_url: https://caching-service:8403
    redis_nodes: [redis-cluster-0:6379]
    store_url: file:///var/lib/exalt-caching
    request_id: deploy-4711
    invalidations:
      - {type: key, region: products, keys: ["product:1", "product:2"]}
      - {type: pattern, regions: [users, sessions], pattern: "user:*:preferences"}

- name: Clear a region of up to 50,000 entries
  exalt.caching.cache_invalidate:
    service_url: https://caching-service:8403
    max_entries: 50000
    max_percent: 100
    invalidations:
      - {type: region, region: search-results}
"""

RETURN = r"""
matched:
  description: Entries that were there before; null where some could not be counted.
  returned: always when it was counted
  type: int
removed:
  description: Entries that were removed; null where it is not known. Always 0 in check mode and for a replayed request.
  returned: always when it was counted
  type: int
removed_source:
  description:
    - V(service) when the service told it, V(counted) when entries were counted before and after, V(unknown) otherwise.
  returned: always when it was counted
  type: str
results:
  description: Each invalidation as declared, and what became of it.
  returned: always when it was counted
  type: list
  elements: dict
  contains:
    type: {description: How the entries are named., type: str}
    regions: {description: The regions., type: list, elements: str}
    key_names: {description: 'The keys, for type V(key).', type: list, elements: str}
    pattern: {description: 'The pattern, for type V(pattern).', type: str}
    tags: {description: 'The tags, for type V(tags).', type: list, elements: str}
    matched: {description: Entries that were there before; null where they could not be counted., type: int}
    removed: {description: Entries that were removed; null where it is not known., type: int}
    removed_source: {description: Where that number comes from., type: str}
    remaining: {description: 'Entries of those that are there now (kept, or written again); null where it is not known.', type: int}
    status: {description: 'removed, unchanged, removed earlier (by a run with the same id), failed, or not tried.', type: str}
    error: {description: Why it failed., type: str}
  sample:
    - {type: pattern, regions: [products], pattern: "product:*", matched: 40, removed: 40, removed_source: service,
       remaining: 0, status: removed}
replayed:
  description: Whether this request id was finished before; then RV(results) are those of that run.
  returned: success
  type: bool
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 3, write: 1}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import invalidation, invalidation_items
from ansible_collections.exalt.caching.plugins.module_utils._resources.request_record import RequestRecord
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

ITEM = {
    "type": {"type": "str", "choices": ["key", "pattern", "tags", "region"], "required": True},
    "region": {"type": "str"},
    "regions": {"type": "list", "elements": "str"},
    "keys": {"type": "list", "elements": "str", "no_log": False},
    "identifier": {"type": "str"},
    "pattern": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
}


def work(run):
    params = run.params
    if params["max_entries"] < 0 or not 0 <= params["max_percent"] <= 100:
        raise CachingError("max_entries can't be negative, and max_percent goes from 0 to 100")
    wait_timeout = float(parse(params["wait_timeout"], "wait_timeout"))
    items = invalidation_items.declared(params["invalidations"])
    record = None
    if params["request_id"] is not None:
        record = RequestRecord(run.store, params["request_id"], [item.request() for item in items])
        if (recorded := record.finished()) is not None:
            return {**recorded, "changed": False, "removed": 0, "replayed": True, "diff": {"before": {}, "after": {}}}
    job = invalidation.Invalidation(run.service, run.redis, items, params, float(parse(params["count_timeout"], "count_timeout")))
    job.count()
    refused = job.refusals(params["max_entries"], params["max_percent"], params["allow_uncounted"], params["protected_regions"])
    if refused:
        raise CachingError("; ".join(refused) + "; nothing was removed", **invalidation_items.report(items))
    planned = {**invalidation_items.report(items), "diff": invalidation_items.diff(items), "replayed": False}
    return apply(run, any(item.matched != 0 for item in items), planned, lambda: job.run(record, wait_timeout, run.warn), always=record is not None)


def main():
    run_main(work, spec(
        "service", "redis", "store",
        invalidations={"type": "list", "elements": "dict", "default": [], "options": ITEM},
        max_entries={"type": "int", "default": 1000},
        max_percent={"type": "float", "default": 10},
        key_format={"type": "str", "default": "{region}::{key}", "no_log": False},
        tag_format={"type": "str"},
        count_timeout={"type": "str", "default": "PT30S"},
        allow_uncounted={"type": "bool", "default": False},
        protected_regions={"type": "list", "elements": "str", "default": []},
        request_id={"type": "str"},
        wait_timeout={"type": "str", "default": "PT30S"},
    ))


if __name__ == "__main__":
    main()
