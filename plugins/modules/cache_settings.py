#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_settings
short_description: Declare the run-time settings of a Caching Service
description:
  - Sets connection, pool and time-outs of Redis, memory tuning, compression and the strategies of the regions to what is
    declared. Every process is read, and only sections that differ are written, whole, to the processes where they differ.
  - Settings are read from the configuration properties of each process. What these do not show, or mask, is recalled from
    the record of the last write in the store, which is void as soon as the process has started again (the metric
    C(process.start.time) or C(process.uptime) tells). What can be learned from neither is written every time, and
    RV(readable) is false.
  - Everything is checked together with what the processes have now before anything is written. Idle connections must fit
    into the total, the connection time-out into the socket time-out; O(redis_connection) and O(redis_pool) set the same
    pool and must not contradict each other.
  - Strategies change only along allowed ways. Write-behind needs O(allow_write_behind), and is refused for
    O(durable_regions).
  - Operations S023, S059, S060, S061, S103, S158, S162, S163 and S170 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  redis_connection:
    description: Basic settings of the connections to Redis.
    type: dict
    suboptions:
      max_total:
        description: Most connections of a process.
        type: int
      max_idle:
        description: Most idle connections.
        type: int
      min_idle:
        description: Idle connections that are kept ready.
        type: int
      test_on_borrow:
        description: Whether a connection is tested before use.
        type: bool
  redis_pool:
    description: Settings of the connection pool.
    type: dict
    suboptions:
      max_total:
        description: Most connections of a process.
        type: int
      max_idle:
        description: Most idle connections.
        type: int
      min_idle:
        description: Idle connections that are kept ready.
        type: int
      test_on_borrow:
        description: Whether a connection is tested before use.
        type: bool
      test_while_idle:
        description: Whether idle connections are tested.
        type: bool
      time_between_eviction_runs:
        description: How often idle connections are looked at. ISO-8601 or seconds; sent as milliseconds.
        type: str
  redis_timeouts:
    description: Time-outs towards Redis.
    type: dict
    suboptions:
      connection_timeout:
        description: Longest time to connect. ISO-8601 or seconds, at most 10 minutes; sent as milliseconds.
        type: str
      socket_timeout:
        description: Longest time for an answer. ISO-8601 or seconds, at most 10 minutes; sent as milliseconds.
        type: str
  redis_memory:
    description: Memory tuning.
    type: dict
    suboptions:
      max_memory_policy:
        description: What Redis evicts when its memory is full, such as V(allkeys-lru).
        type: str
      max_memory_samples:
        description: How many keys Redis compares for that.
        type: int
      compression_threshold:
        description: From how many bytes on values are compressed.
        type: int
  strategies:
    description: 'Strategy of each region, such as C({products: refresh-ahead}). Regions that are not named keep theirs.'
    type: dict
  compression:
    description: Compression of values.
    type: dict
    suboptions:
      enabled:
        description: Whether values are compressed at all.
        type: bool
      threshold:
        description: From how many bytes on.
        type: int
  durable_regions:
    description: Regions whose loss is data loss; they never get the strategy write-behind.
    type: list
    elements: str
    default: []
  allow_write_behind:
    description: Approves entering write-behind, and leaving it for another strategy than write-through.
    type: bool
    default: false
  max_clients:
    description: How many clients a node of Redis accepts. Refuse more connections of all processes together than this.
    type: int
  configuration_paths:
    description:
      - 'Below what the configuration properties of this service show a section, such as C({redis_pool: cache.redis.pool}).
        An empty text says that they do not show what is in force.'
      - Where it is not given, the likeliest place is taken.
    type: dict
    default: {}
  single_instance:
    description: Says that O(service_url) leads to the only process, where O(instances) are not given.
    type: bool
    default: false
  wait_timeout:
    description: How long to wait until every process shows what was written. ISO-8601 or seconds.
    type: str
    default: PT10S
attributes:
  idempotent:
    description: A second run changes nothing where the settings can be read, or O(store_url) is given.
    support: partial
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
  - exalt.caching.store
"""

EXAMPLES = r"""
- name: Pool, time-outs and strategies on every process
  exalt.caching.cache_settings:
    instances:
      - url: https://caching-service-0:8403
      - url: https://caching-service-1:8403
      - url: https://caching-service-2:8403
    redis_pool:
      max_total: 500
      max_idle: 100
      min_idle: 50
      time_between_eviction_runs: PT30S
    redis_timeouts:
      connection_timeout: PT10S
      socket_timeout: PT15S
    strategies:
      products: refresh-ahead
      sessions: write-through
      search: cache-aside
"""

RETURN = r"""
settings:
  description: The settings that all processes have alike, by section, as far as they are known (in check mode, as they would be).
  returned: when the settings could be read
  type: dict
  sample: {redis_pool: {max_total: 500, max_idle: 100}, strategies: {products: refresh-ahead}}
readable:
  description: Whether every process shows every declared setting.
  returned: when the settings could be read
  type: bool
not_persistent:
  description:
    - Declared settings that the configuration files of the service do not hold, as far as its configuration properties
      show what these say. Nothing tells that they outlive a restart.
  returned: when the settings could be read
  type: list
  elements: str
  sample: [redis_pool.max_total]
instances:
  description: Every process.
  returned: when the settings could be read
  type: list
  elements: dict
  contains:
    name: {description: Name or address of the process., type: str}
    settings: {description: Its settings by section., type: dict}
    readable: {description: Whether it shows every declared setting., type: bool}
    error: {description: Why it is not as declared; empty where it is., type: str}
summary:
  description: Names of processes by what happened to them.
  returned: when the settings could be read
  type: dict
  contains:
    created: {description: Always empty., type: list, elements: str}
    updated: {description: Written to., type: list, elements: str}
    deleted: {description: Always empty., type: list, elements: str}
    unchanged: {description: Already as declared., type: list, elements: str}
failures:
  description: What could not be done, each with name, action and error.
  returned: on partial failure
  type: list
  elements: dict
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 6, write: 3}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._resources import processes, settings
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

POOL = {"max_total": {"type": "int"}, "max_idle": {"type": "int"}, "min_idle": {"type": "int"}, "test_on_borrow": {"type": "bool"}}
MORE_POOL = {"test_while_idle": {"type": "bool"}, "time_between_eviction_runs": {"type": "str"}}
MEMORY = {"max_memory_policy": {"type": "str"}, "max_memory_samples": {"type": "int"}, "compression_threshold": {"type": "int"}}


def work(run):
    params = run.params
    wait_timeout = float(parse(params["wait_timeout"], "wait_timeout"))
    instances = run.service.every_process(params["single_instance"])
    records = processes.Records(run.service, run.store if params["store_url"] else None, "settings")
    job = settings.Settings(run.service, instances, params, records)
    result = processes.reconciled(run, job.resource, job.results, wait_timeout)
    for text in job.warnings():
        run.warn(text)
    return result


def main():
    run_main(work, spec(
        "service", "store",
        redis_connection={"type": "dict", "options": POOL},
        redis_pool={"type": "dict", "options": {**POOL, **MORE_POOL}},
        redis_timeouts={"type": "dict", "options": {"connection_timeout": {"type": "str"}, "socket_timeout": {"type": "str"}}},
        redis_memory={"type": "dict", "options": MEMORY},
        strategies={"type": "dict"},
        compression={"type": "dict", "options": {"enabled": {"type": "bool"}, "threshold": {"type": "int"}}},
        durable_regions={"type": "list", "elements": "str", "default": []},
        allow_write_behind={"type": "bool", "default": False},
        max_clients={"type": "int"},
        configuration_paths={"type": "dict", "default": {}},
        single_instance={"type": "bool", "default": False},
        wait_timeout={"type": "str", "default": "PT10S"},
    ))


if __name__ == "__main__":
    main()
