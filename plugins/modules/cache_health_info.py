#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_health_info
short_description: Judge, and wait for, the health of a Caching Service
description:
  - Asks every instance for its health and judges it by the overall status. A service that is DOWN though a component is
    UP is not healthy.
  - Fails when the service is not healthy, and says which instance and component were last seen how.
  - Operations S007 and S014 to S019 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  components:
    description:
      - Components that must be UP as well, each asked by its own endpoint, such as V(liveness), V(readiness), V(redis),
        V(database) or V(diskSpace). V(tls) is the health by each instance's C(tls_url), whose certificate is verified on the way.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: How long to wait until the service is healthy. With V(PT0S) it is judged at once. ISO-8601 or seconds.
    type: str
    default: PT0S
  stable_for:
    description:
      - Once it is healthy, how long it has to stay so, looked at twice a second. An instance that is ready and not ready in turns
        passes a single look. ISO-8601 or seconds.
    type: str
    default: PT0S
  require_all:
    description: Whether all instances must be healthy, or one is enough.
    type: bool
    default: true
  single_instance:
    description:
      - O(service_url) leads to the only process there is, so that O(instances) is not missed. Else a warning says that
        behind a load balancer only one process was asked.
    type: bool
    default: false
extends_documentation_fragment:
  - exalt.caching.attributes.info
  - exalt.caching.service
"""

EXAMPLES = r"""
- name: Wait until each instance and what it needs is up
  exalt.caching.cache_health_info:
    instances:
      - url: https://10.0.0.11:8403
      - url: https://10.0.0.12:8403
      - url: https://10.0.0.13:8403
    components: [readiness, redis, database]
    wait_timeout: PT2M
"""

RETURN = r"""
healthy:
  description: The verdict.
  returned: always
  type: bool
instances:
  description: Every instance as it was last seen.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: Name of the instance., type: str}
    url: {description: Where it was asked., type: str}
    status: {description: 'UP, DOWN, OUT_OF_SERVICE, UNKNOWN, or UNREACHABLE where no answer came.', type: str}
    components: {description: Status of each component that it told of; MISSING where it has none of that name., type: dict}
    error: {description: The reason that it gave., type: str}
reasons:
  description: Why instances are not healthy, a line each. Not empty either where one healthy instance was enough.
  returned: always
  type: list
  elements: str
  sample: ["caching-service-2: status DOWN, redis DOWN, redis: connection refused"]
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 3, write: 0}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import health
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    params = run.params
    timeout = float(parse(params["wait_timeout"], "wait_timeout"))
    if not run.service.instances and not params["single_instance"]:
        run.warn("only service_url is known: behind a load balancer this is the health of one process; give instances")
    stable = float(parse(params["stable_for"], "stable_for"))
    healthy, reports, reasons = health.judge(run.service, params["components"], timeout, params["require_all"], stable)
    result = {"healthy": healthy, "instances": reports, "reasons": reasons}
    if not healthy:
        waited = f" after {timeout:g} s" if timeout else ""
        raise CachingError(f"the service is not healthy{waited}; last seen: {'; '.join(reasons)}", **result)
    return {"changed": False, **result}


def main():
    run_main(work, spec(
        "service",
        components={"type": "list", "elements": "str", "default": []},
        wait_timeout={"type": "str", "default": "PT0S"},
        stable_for={"type": "str", "default": "PT0S"},
        require_all={"type": "bool", "default": True},
        single_instance={"type": "bool", "default": False},
    ))


if __name__ == "__main__":
    main()
