#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: operation_lock
short_description: Let one operation at a time change a fleet
description:
  - Takes, renews and releases a lock that lives in the store, so that runs on different hosts, by AWX or by hand, see each other.
  - A lock that is not renewed within its O(ttl) can be taken by somebody else. Whoever held it learns that when it renews or
    releases. All times are those of the store's clock.
  - Each holding has a token, a number that only grows. Redis can't check it, so between the last look at the lock and the end of a
    step another run may have taken it over, if the step lasts longer than what was left of O(ttl). Choose O(ttl) longer than the
    longest step, or renew between steps.
  - Check mode takes nothing and fails on nothing; it shows the holder.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  name:
    description: The fleet.
    type: str
    required: true
  scope:
    description:
      - What is locked. V(content) is for what changes the content of the cache, V(topology) for backups, updates, restarts, restores
        and rotations. Neither waits for the other.
    type: str
    choices: [content, topology]
    default: content
  state:
    description: V(held) takes it, or renews it where O(token) is given; V(renewed) renews; V(released) gives it back.
    type: str
    choices: [held, renewed, released]
    default: held
  owner:
    description: Who takes it, as others will read it. The host and process where it is not given.
    type: str
  ttl:
    description: How long it is held without being renewed. ISO-8601 or seconds.
    type: str
    default: PT15M
  token:
    description: The RV(token) that taking it returned.
    type: int
  wait_timeout:
    description: How long to wait while somebody else holds it. ISO-8601 or seconds.
    type: str
    default: PT0S
attributes:
  idempotent:
    description: Taking it a second time without O(token) waits for the first holder, as it may be another run.
    support: partial
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.store
"""

EXAMPLES = r"""
- name: Change a fleet under the lock
  block:
    - name: Take the lock
      exalt.caching.operation_lock:
        store_url: s3://exalt-cache-backups/production-eu
        name: production-eu
        owner: "deploy {{ lookup('ansible.builtin.env', 'JOB_ID') }}"
        wait_timeout: PT2M
      register: lock

    - name: Change something
      ansible.builtin.debug:

  always:
    - name: Release the lock
      exalt.caching.operation_lock:
        store_url: s3://exalt-cache-backups/production-eu
        name: production-eu
        state: released
        token: "{{ lock.token }}"
      when: lock.token is defined
"""

RETURN = r"""
token:
  description: The fencing number of the holding; to be given to renew and to release it. Zero where it is not held by this run.
  returned: success
  type: int
  sample: 42
holder:
  description: Who holds the lock now; null where nobody does.
  returned: always, where the store could be read
  type: dict
  contains:
    owner: {description: As it was given., type: str}
    token: {description: Its fencing number., type: int}
    since: {description: When it was taken., type: str}
    until: {description: 'When it can be taken by others, if it is not renewed.', type: str}
    expired: {description: Whether that time is over., type: bool}
ttl:
  description: Seconds for which it is held without being renewed.
  returned: success
  type: float
acquired:
  description: Whether this task took the lock.
  returned: success
  type: bool
lost:
  description: True where the lock was lost to somebody else, or is not held any more.
  returned: failure
  type: bool
"""

import os
import socket

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._resources import operation_lock
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    params = dict(run.params)
    params["owner"] = params["owner"] or f"{socket.gethostname()} (process {os.getppid()})"
    job = operation_lock.Job(run.store, params)
    changed, planned = job.plan()
    return apply(run, changed, planned, job.act)


def main():
    run_main(work, spec(
        "store",
        name={"type": "str", "required": True},
        scope={"type": "str", "choices": ["content", "topology"], "default": "content"},
        state={"type": "str", "choices": ["held", "renewed", "released"], "default": "held"},
        owner={"type": "str"},
        ttl={"type": "str", "default": "PT15M"},
        token={"type": "int", "no_log": False},
        wait_timeout={"type": "str", "default": "PT0S"},
    ), required_if=[("state", "renewed", ["token"]), ("state", "released", ["token"])])


if __name__ == "__main__":
    main()
