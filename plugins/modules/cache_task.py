#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_task
short_description: Run a one-shot job of a Caching Service
description:
  - Runs one of the jobs that the service offers. V(refresh) and V(flush_and_shutdown) act on a process, so they go to
    every one, and the result lists each; the others act on the service as a whole.
  - Whether something has changed is what the service says that it did. Where it tells no number, C(changed) is true.
  - With O(min_interval) a job that ran a short time ago is not run again, so that a repeated or scheduled run changes nothing.
  - V(flush_and_shutdown) ends every process that is given. It leaves out processes that are down already, which is where nobody listens at their
    address, and looks whether the others have really ended (or were started again by whoever watches them). Where a process can't be
    reached otherwise, none is ended.
  - Check mode says C(changed) unless O(min_interval) or what is down already says otherwise; what a job would find can't be
    known beforehand.
  - Operations S009, S021, S070, S074, S075, S094 and S102 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  task:
    description: The job.
    type: str
    choices: [cleanup_expired, optimize, optimize_patterns, optimize_memory, optimize_schedules, refresh, flush_and_shutdown]
    required: true
  min_interval:
    description:
      - Do nothing where the last run that this module recorded is younger than this. Needs O(store_url). ISO-8601 or seconds.
    type: str
  single_instance:
    description: Says that O(service_url) leads to the only process, where O(instances) are not given.
    type: bool
    default: false
  wait_timeout:
    description: How long a process may take from being asked to its end, for O(task=flush_and_shutdown). ISO-8601 or seconds.
    type: str
    default: PT60S
attributes:
  idempotent:
    description: A job runs each time it is asked for, unless O(min_interval) is given.
    support: partial
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
  - exalt.caching.store
"""

EXAMPLES = r"""
- name: Remove expired entries, at most once in 20 hours
  exalt.caching.cache_task:
    service_url: https://caching-service:8403
    store_url: file:///var/lib/exalt-caching
    task: cleanup_expired
    min_interval: PT20H

- name: Let every process read its configuration again
  exalt.caching.cache_task:
    instances:
      - url: https://caching-service-0:8403
      - url: https://caching-service-1:8403
    task: refresh
"""

RETURN = r"""
result:
  description: What the service said, for jobs of the service as a whole; null in check mode.
  returned: success
  type: dict
  contains:
    answer: {description: Its answer as it came., type: raw}
    changes: {description: How much it says that it changed; null where it does not tell., type: int}
  sample: {answer: {removed: 12}, changes: 12}
instances:
  description: Every process, for jobs that act on a process.
  returned: success, or partial failure
  type: list
  elements: dict
  contains:
    name: {description: Name or address of the process., type: str}
    url: {description: Its address., type: str}
    status: {description: 'Such as V(refreshed), V(shut down), V(is down already) or V(failed).', type: str}
    changed: {description: Whether something has changed there., type: bool}
    changed_keys: {description: 'For O(task=refresh), the keys that changed, where it tells them.', type: list, elements: str}
    error: {description: Why it failed; empty where it did not., type: str}
last_run:
  description: Seconds since the last run, where O(min_interval) kept the job from running; then the results are those of it.
  returned: success
  type: float
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 0, write: 1}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._resources import tasks
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    params = run.params
    store = run.store if params["store_url"] else None
    job = tasks.Task(run.service, params, store, float(parse(params["wait_timeout"], "wait_timeout")))
    changed, planned = job.plan()
    return apply(run, changed, planned, job.run)


def main():
    run_main(work, spec(
        "service", "store",
        task={"type": "str", "choices": list(tasks.TASKS), "required": True},
        min_interval={"type": "str"},
        single_instance={"type": "bool", "default": False},
        wait_timeout={"type": "str", "default": "PT60S"},
    ))


if __name__ == "__main__":
    main()
