#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_info
short_description: Read what a Caching Service tells about itself
description:
  - Reads by subset whatever can be read; lists are read whole, whether they come plain, wrapped or in pages.
  - Secrets are taken out of configuration, analytics and security, by the names that they stand under and where they hide
    in a text, such as the password in a URL.
  - Metrics are those of each process; the sums and maxima over all of them are returned, too.
  - Operations S020, S024, S027, S028, S032, S035, S036, S043, S046, S050 to S053, S055, S056, S062, S064, S068, S099,
    S132 to S136, S153 to S155, S160, S165 and S167 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  subset:
    description: What to read; each becomes a returned key of its name.
    type: list
    elements: str
    choices: [analytics, configuration, entries, features, metrics, region_stats, regions, schedules, security, warming]
    default: [regions]
  region:
    description: Read only this region, its warm-ups and its schedules. The region of O(entry_keys).
    type: str
  entry_keys:
    description: The entries to read, for O(subset=entries). Reading counts as hits and misses.
    type: list
    elements: str
    default: []
  exists_only:
    description: Only tell whether the entries are there. That counts as neither hit nor miss.
    type: bool
    default: false
  metrics:
    description:
      - The metrics to read, for O(subset=metrics). By default the ten of the operations guide, which are C(cache.requests),
        C(cache.size), C(cache.gets), C(redis.connections.active), C(redis.connections), C(redis.memory.used),
        C(redis.memory.max), C(jvm.memory.max), C(jvm.memory.used) and C(jvm.gc.pause).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the metric.
        type: str
        required: true
      tags:
        description: Tags that narrow it, such as C(cache) and C(result).
        type: dict
        default: {}
  single_instance:
    description:
      - Says that O(service_url) leads to the only process of the service. Metrics belong to a process, so without it they
        need O(instances), and a warning says that O(subset=configuration) is that of one process behind a load balancer.
    type: bool
    default: false
extends_documentation_fragment:
  - exalt.caching.attributes.info
  - exalt.caching.service
"""

EXAMPLES = r"""
- name: All regions with their settings and sizes
  exalt.caching.cache_info:
    service_url: https://caching-service:8403
    subset: [regions, region_stats]
  register: cache

- name: Hits of a region, over all processes
  exalt.caching.cache_info:
    instances: "{{ caching_instances }}"
    subset: [metrics]
    metrics:
      - {name: cache.gets, tags: {cache: products, result: hit}}
  register: hits

- name: Whether an entry is there
  exalt.caching.cache_info:
    service_url: https://caching-service:8403
    subset: [entries]
    region: products
    entry_keys: ["product:123"]
    exists_only: true

- name: The regions that live less than an hour
  ansible.builtin.debug:
    msg: "{{ cache.regions | selectattr('default_ttl', 'match', 'PT[0-9]+M') | map(attribute='name') }}"
"""

RETURN = r"""
regions:
  description: The regions, sorted by name, in the words of M(exalt.caching.cache_region).
  returned: when in O(subset)
  type: list
  elements: dict
  sample:
    - {name: products, default_ttl: PT2H, max_size: 150000, eviction_policy: LRU, enable_compression: false,
       enable_encryption: false, extra: {}, size: 1204, memory_usage: 581632}
region_stats:
  description: The statistics of each region by its name, as the service gives them.
  returned: when in O(subset)
  type: dict
  sample: {products: {hits: 5012, misses: 230, size: 1204}}
entries:
  description: The entries of O(entry_keys), in that order. With O(exists_only) just C(key) and C(exists).
  returned: when in O(subset)
  type: list
  elements: dict
  sample:
    - {key: "product:123", exists: true, value: {id: 123}, size: 10, ttl_left: PT59M, tags: null,
       digest: 41f0b0a14e1c2d8f6f2b2e3c1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d}
warming:
  description: The warm-ups that the service lists.
  returned: when in O(subset)
  type: list
  elements: dict
  sample:
    - {region: products, status: RUNNING, state: running, strategy: popular-items, total: 10000, loaded: 4000, failed: 0,
       started_at: "2026-01-01T02:00:00Z", finished_at: null, message: ""}
features:
  description: The feature flags, sorted by name, in the words of M(exalt.caching.cache_feature).
  returned: when in O(subset)
  type: list
  elements: dict
  sample: [{name: cache-compression, enabled: true, regions: [], rollout_percentage: 100}]
schedules:
  description: The warm schedules, sorted by name, in the words of M(exalt.caching.cache_warm_schedule).
  returned: when in O(subset)
  type: list
  elements: dict
  sample:
    - {name: nightly-product-warm, schedule: "0 1 * * *", region: products, strategy: popular-items, enabled: true, state: present}
configuration:
  description: The configuration properties of each process, without secrets, or why they can't be read.
  returned: when in O(subset)
  type: list
  elements: dict
  sample:
    - {name: caching-service-1, properties: {contexts: {application: {beans: {}}}}, error: ""}
metrics:
  description:
    - Each metric by instance. C(sum) adds up counters, times and gauges; C(max) is the greatest of gauges and maxima. Which
      of them means something for a gauge depends on whether each process has its own (C(jvm.memory.used)) or all tell of
      the same (C(redis.memory.used)). C(complete) is false where an instance is missing.
  returned: when in O(subset)
  type: list
  elements: dict
  sample:
    - {name: cache.gets, tags: {cache: products}, instances: [{name: pod-a, measurements: {COUNT: 12.0}, error: ""}],
       sum: {COUNT: 12.0}, max: {}, complete: true, available_tags: {result: [hit, miss]}}
analytics:
  description:
    - Top regions, recommendations, performance issues, hit rate by region and access patterns as the service gives them.
      What it does not have is null, and C(unavailable) says why.
  returned: when in O(subset)
  type: dict
  sample: {top_regions: [], recommendations: [], performance_issues: [], hit_rate_by_region: {products: 0.91},
           access_patterns: [], unavailable: {}}
security:
  description: Authentication events, access patterns, use of API keys, TLS and encryption, as the service gives them.
  returned: when in O(subset)
  type: dict
  sample: {auth_events: {events: []}, access_patterns: {patterns: []}, api_key_usage: [], tls_status: {}, encryption_status: {},
           unavailable: {}}
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 1, write: 0}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._resources import info
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

METRIC = {"name": {"type": "str", "required": True}, "tags": {"type": "dict", "default": {}}}


def work(run):
    if "configuration" in run.params["subset"] and not run.service.instances and not run.params["single_instance"]:
        run.warn("only service_url is known: behind a load balancer this is the configuration of one process; give instances")
    return {"changed": False, **info.read(run.service, run.params["subset"], run.params)}


def main():
    run_main(work, spec(
        "service",
        subset={"type": "list", "elements": "str", "choices": sorted(info.SUBSETS), "default": ["regions"]},
        region={"type": "str"},
        entry_keys={"type": "list", "elements": "str", "default": [], "no_log": False},
        exists_only={"type": "bool", "default": False},
        metrics={"type": "list", "elements": "dict", "options": METRIC},
        single_instance={"type": "bool", "default": False},
    ))


if __name__ == "__main__":
    main()
