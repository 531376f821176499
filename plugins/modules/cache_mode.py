#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_mode
short_description: Enter or leave the local-cache mode on every process of a Caching Service
description:
  - In local-cache mode a process serves from its own memory while Redis is away. The mode belongs to the process, so every
    one is asked, written to and listed.
  - One process that does not answer does not hold up the others. The result is then failed, with the true C(changed) and
    with what every other process did.
  - In which mode a process is comes from the service where it tells (a call of its own, else its health), else from the
    record of the last change in the store, else it is unknown and the mode is set anew. A process that has started again
    since its record is in the normal mode.
  - The operations guide has no call that leaves the mode. The endpoint C(leave_local_cache_mode) is tried; where the
    service lacks it too, the module fails, and restarting the processes one after the other is the way out.
  - Operation S091 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  state:
    description: The mode in which every process is to be.
    type: str
    choices: [normal, local_cache]
    required: true
  regions:
    description: The regions for which it holds; all where it is not given. Sent to the service, which may not know of it.
    type: list
    elements: str
  reason:
    description: Why, in one line. Sent to the service and kept in the record.
    type: str
  expires_after:
    description:
      - When the mode is to end. A service does not end it by itself, so O(expiry_enforced_by) and O(store_url) are needed.
        ISO-8601 or seconds.
    type: str
  expiry_enforced_by:
    description: Name of the scheduled run that ends the mode at its time.
    type: str
  single_instance:
    description: Says that O(service_url) leads to the only process, where O(instances) are not given.
    type: bool
    default: false
  wait_timeout:
    description: How long to wait for what the service accepts for later (status 202). ISO-8601 or seconds.
    type: str
    default: PT30S
attributes:
  idempotent:
    description: A second run changes nothing where the mode can be read, or O(store_url) is given.
    support: partial
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
  - exalt.caching.store
"""

EXAMPLES = r"""
- name: Serve from memory while Redis is away
  exalt.caching.cache_mode:
    instances:
      - url: https://caching-service-0:8403
      - url: https://caching-service-1:8403
    state: local_cache
    reason: Redis Cluster is down, incident 4711

- name: Back to normal
  exalt.caching.cache_mode:
    instances:
      - url: https://caching-service-0:8403
      - url: https://caching-service-1:8403
    state: normal
"""

RETURN = r"""
instances:
  description: Every process.
  returned: when the processes were asked
  type: list
  elements: dict
  contains:
    name: {description: Name or address of the process., type: str}
    url: {description: Its address., type: str}
    mode: {description: 'V(normal), V(local_cache) or V(unknown) (in check mode, as it would be).', type: str}
    was: {description: 'The mode before, as the service told it.', type: str}
    readable: {description: Whether the process itself tells its mode., type: bool}
    error: {description: Why it is not as wanted; empty where it is., type: str}
  sample:
    - {name: caching-service-0, url: 'https://caching-service-0:8403', mode: local_cache, was: normal, readable: true, error: ''}
enforced_by:
  description: Who ends the mode at its time; null where nobody does.
  returned: when the processes were asked
  type: str
summary:
  description: Names of processes by what happened to them.
  returned: when the processes were asked
  type: dict
  contains:
    created: {description: Always empty., type: list, elements: str}
    updated: {description: The mode was set., type: list, elements: str}
    deleted: {description: Always empty., type: list, elements: str}
    unchanged: {description: Already in this mode., type: list, elements: str}
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
from ansible_collections.exalt.caching.plugins.module_utils._resources import mode, processes
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    params = run.params
    wait_timeout = float(parse(params["wait_timeout"], "wait_timeout"))
    instances = run.service.every_process(params["single_instance"])
    records = processes.Records(run.service, run.store if params["store_url"] else None, "mode", {"mode": "normal"})
    job = mode.Mode(run.service, instances, params, records)
    return processes.reconciled(run, job.resource, job.results, wait_timeout)


def main():
    run_main(work, spec(
        "service", "store",
        state={"type": "str", "choices": ["normal", "local_cache"], "required": True},
        regions={"type": "list", "elements": "str"},
        reason={"type": "str"},
        expires_after={"type": "str"},
        expiry_enforced_by={"type": "str"},
        single_instance={"type": "bool", "default": False},
        wait_timeout={"type": "str", "default": "PT30S"},
    ))


if __name__ == "__main__":
    main()
