#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_warm
short_description: A cache region that is warmed, with progress, or whose warm-up is cancelled
description:
  - Starts a warm-up and follows it to its end; one that runs already is joined, never started twice. So a run that was
    killed is taken up by the next one.
  - With O(max_age) a region that was warmed lately stays as it is.
  - When the service says that its database is down, nothing is started, and a warm-up that runs is cancelled and the
    reason told.
  - Operations S041, S042, S043, S044 and S157 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  region:
    description: The region. It must be there.
    type: str
    required: true
  state:
    description:
      - V(warmed) waits until the warm-up has ended well. V(started) only until the service lists it.
      - V(cancelled) ends a warm-up that runs; where none does, nothing is changed.
    type: str
    choices: [warmed, started, cancelled]
    default: warmed
  max_age:
    description:
      - Nothing is started when a warm-up with the same strategy was completed less than this ago, by the time that the
        service tells (UTC where it names no zone) and the clock of the host where this module runs.
      - V(PT0S) warms again in each run.
    type: str
    default: PT0S
  strategy:
    description: What is loaded, such as V(popular-items) or V(all-items), as the service names it.
    type: str
    default: popular-items
  concurrency:
    description: How many items the service loads at a time.
    type: int
    default: 8
  batch_size:
    description: How many items the service loads in one go.
    type: int
  max_items:
    description: Load no more items than this.
    type: int
  data_source:
    description: Where the service loads from, such as V(database).
    type: str
  query:
    description:
      - Raw SQL that the service's data source runs. Needs O(allow_query=true), and must be one SELECT.
      - Whatever could begin or hide a second statement is refused wherever it stands (semicolons, comments, backslashes,
        dollar quotes), and so are words that write, such as INTO, unless they stand in quotes.
      - The check does not know the database. A user of the database that may only read is the real protection.
    type: str
  allow_query:
    description: Allow O(query).
    type: bool
    default: false
  until_hit_rate:
    description:
      - After a warm-up that this run started or joined, wait until this percentage of reads of the region are hits, over
        all processes of the service (O(instances)), in one O(hit_rate_window).
      - Where nobody reads the region in a window, the share of items that was loaded is judged instead, with a warning.
    type: float
  hit_rate_window:
    description: How long hits and misses are counted for O(until_hit_rate). ISO-8601 or seconds.
    type: str
    default: PT10S
  wait_timeout:
    description: How long to wait for the end of the warm-up, and for O(until_hit_rate). ISO-8601 or seconds.
    type: str
    default: PT30M
  progress_path:
    description:
      - A file, where this module runs, that gets a line of JSON at each step, with C(done), C(total), C(rate) (items a
        second) and C(eta) (seconds).
    type: path
  single_instance:
    description: Says that O(service_url) leads to the only process of the service. For O(until_hit_rate).
    type: bool
    default: false
attributes:
  idempotent:
    description: A second run changes nothing only with O(max_age), while a warm-up runs, or for O(state=cancelled).
    support: partial
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
"""

EXAMPLES = r"""
- name: Products are warm, and were warmed within the last six hours
  exalt.caching.cache_warm:
    service_url: https://caching-service:8403
    region: products
    strategy: popular-items
    concurrency: 10
    batch_size: 100
    max_items: 10000
    max_age: PT6H

- name: Categories from the database, by a query
  exalt.caching.cache_warm:
    service_url: https://caching-service:8403
    region: categories
    strategy: all-items
    data_source: database
    query: SELECT * FROM categories WHERE active = true
    allow_query: true

- name: Do not go on before the cache serves
  exalt.caching.cache_warm:
    instances: "{{ caching_instances }}"
    region: products
    until_hit_rate: 85
    wait_timeout: PT15M

- name: Stop it
  exalt.caching.cache_warm:
    service_url: https://caching-service:8403
    region: products
    state: cancelled
"""

RETURN = r"""
job:
  description: The warm-up that counts for the region, as the service tells of it; null where there is none.
  returned: when it was looked for
  type: dict
  sample: {region: products, status: COMPLETED, state: completed, strategy: popular-items, total: 10000, loaded: 10000, failed: 0,
           started_at: "2026-01-01T02:00:00Z", finished_at: "2026-01-01T02:00:04Z", message: ""}
loaded:
  description: How many items it has loaded; null where the service does not tell.
  returned: when it was looked for
  type: int
  sample: 10000
progress:
  description: Some of the steps that were seen; empty where nothing was waited for.
  returned: when it was looked for
  type: list
  elements: dict
  sample: [{done: 6000, total: 10000, rate: 2950.0, eta: 1.4, status: RUNNING, seconds: 2.03}]
joined:
  description: Whether a warm-up was followed that this run did not start; then nothing was changed by it.
  returned: when it was looked for
  type: bool
hit_rate:
  description: The hit rate of the region that was measured, in percent; null where nobody read it.
  returned: with O(until_hit_rate), when a warm-up was followed
  type: float
  sample: 91.4
hit_rate_source:
  description: V(measured), or V(loaded) where what was loaded had to do.
  returned: with O(until_hit_rate), when a warm-up was followed
  type: str
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 9, write: 1}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._resources.warming import Warming
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    plan = Warming(run.service, run.params, run.warn).plan()
    return apply(run, plan.changed, plan.planned, plan.act, always=plan.follow)


def main():
    run_main(work, spec(
        "service",
        region={"type": "str", "required": True},
        state={"type": "str", "choices": ["warmed", "started", "cancelled"], "default": "warmed"},
        max_age={"type": "str", "default": "PT0S"},
        strategy={"type": "str", "default": "popular-items"},
        batch_size={"type": "int"},
        max_items={"type": "int"},
        data_source={"type": "str"},
        query={"type": "str"},
        allow_query={"type": "bool", "default": False},
        until_hit_rate={"type": "float"},
        hit_rate_window={"type": "str", "default": "PT10S"},
        wait_timeout={"type": "str", "default": "PT30M"},
        progress_path={"type": "path"},
        single_instance={"type": "bool", "default": False},
    ))


if __name__ == "__main__":
    main()
