#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_feature
short_description: Declare the feature flags of a Caching Service
description:
  - Sets feature flags to what is declared of them. One request reads all flags, one request for each difference writes,
    one more reads back.
  - What is not declared of a flag stays as it is, whether the service's PUT merges or replaces. Flags that are not
    declared are left alone; the service has no call that removes one.
  - The role C(cache) has the entry point C(rollout), which raises O(features[].rollout_percentage) step by step.
  - The flag C(cache-compression) is the master switch of compression; M(exalt.caching.cache_settings) sets its threshold,
    and M(exalt.caching.cache_region) which regions take part.
  - Operations S024, S025 and S026 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  features:
    description: The flags. Without any, the flags are only read.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the flag. A service that knows it not may create it, or refuse it.
        type: str
        required: true
      enabled:
        description: Whether it is on.
        type: bool
      regions:
        description: The regions for which it is on; an empty list means no limit to some. They must exist.
        type: list
        elements: str
      rollout_percentage:
        description: The share of traffic for which it is on, from 0 to 100.
        type: int
  wait_timeout:
    description: How long to wait for writes that the service accepts for later (status 202). ISO-8601 or seconds.
    type: str
    default: PT30S
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
"""

EXAMPLES = r"""
- name: Compression on, write-through for a quarter of two regions
  exalt.caching.cache_feature:
    service_url: https://caching-service:8403
    features:
      - name: cache-compression
        enabled: true
      - name: write-through
        enabled: true
        regions: [products, users]
        rollout_percentage: 25
"""

RETURN = r"""
features:
  description: All flags as read back after the changes (in check mode, as they would be), sorted by name.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the flag., type: str}
    enabled: {description: Whether it is on., type: bool}
    regions: {description: The regions for which it is on; null where the service does not tell., type: list, elements: str}
    rollout_percentage: {description: Share of traffic; null where the service does not tell., type: int}
  sample:
    - {name: write-through, enabled: true, regions: [products, users], rollout_percentage: 25}
summary:
  description: Names of declared flags by what happened to them. Nothing is ever deleted.
  returned: always when the flags could be read
  type: dict
  contains:
    created: {description: Created., type: list, elements: str}
    updated: {description: Updated., type: list, elements: str}
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
  sample: {read: 2, write: 1}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._reconcile import Wanted, reconcile
from ansible_collections.exalt.caching.plugins.module_utils._resources import features
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

FEATURE = {
    "name": {"type": "str", "required": True},
    "enabled": {"type": "bool"},
    "regions": {"type": "list", "elements": "str"},
    "rollout_percentage": {"type": "int"},
}


def work(run):
    wanted = Wanted(features.declared(run.params["features"]))
    result = reconcile(run, features.Features(run.service), wanted, float(parse(run.params["wait_timeout"], "wait_timeout")))
    objects = result.pop("objects")
    return {**result, "features": [features.shown(name, objects[name]) for name in sorted(objects)]}


def main():
    run_main(work, spec(
        "service",
        features={"type": "list", "elements": "dict", "default": [], "options": FEATURE},
        wait_timeout={"type": "str", "default": "PT30S"},
    ))


if __name__ == "__main__":
    main()
