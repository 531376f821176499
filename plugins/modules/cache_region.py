#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_region
short_description: Declare the regions of a Caching Service
description:
  - Creates, updates and deletes cache regions so that they are as declared. One request reads all regions, one request
    for each difference writes, one more reads back.
  - Values are compared by meaning. V(PT2H), V(PT120M) and V(7200) are the same duration, V(lru) and V(LRU) the same policy.
  - Fields that are not declared are never reset, whether the service's PUT merges or replaces.
  - A field that the service never shows (or shows as null in all regions) is sent when something else changes or the
    region is created, but can't be compared; a warning says so.
  - Everything is checked against the limits before anything is changed.
  - Operations S022, S027, S029, S030, S031, S155, S156, S167 and S169 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  regions:
    description: The regions. What is not given of a region stays as it is.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the region. Spaces, slashes and letters of any language are encoded.
        type: str
        required: true
      default_ttl:
        description: How long entries live that are set without a TTL. An ISO-8601 duration such as V(PT2H), or seconds.
        type: str
      max_size:
        description: The number of entries at which the service begins to evict.
        type: int
      eviction_policy:
        description: Which entries go first when the region is full, such as V(LRU) or V(LFU); as the service names them.
        type: str
      enable_compression:
        description: Whether values are compressed.
        type: bool
      enable_encryption:
        description: Whether values are encrypted.
        type: bool
      extra:
        description: Fields of this service that the guide lacks, by their names on the wire; sent and compared as given.
        type: dict
        default: {}
      protected:
        description: A protected region is never deleted, recreated, cleared or shrunk.
        type: bool
        default: false
      priority:
        description: Which regions suffer first in an incident; the lowest first. Never sent to the service.
        type: int
        default: 50
      durable:
        description: Losing its entries is losing data. Never sent to the service.
        type: bool
        default: false
      state:
        description: Whether the region exists.
        type: str
        choices: [present, absent]
        default: present
  purge:
    description: Delete regions that are not declared, within O(purge_limit) and O(delete_limit).
    type: bool
    default: false
  purge_limit:
    description: Refuse to delete more undeclared regions than this.
    type: int
    default: 5
  delete_limit:
    description:
      - Refuse to delete a region that holds more entries than this; V(0) deletes only empty ones, V(-1) sets no limit.
      - Holds for O(regions[].state=absent), O(purge) and O(on_immutable=recreate). Where the service doesn't tell the
        number of entries, nothing is deleted unless there is no limit.
    type: int
    default: 0
  on_immutable:
    description:
      - What to do when the service answers that a field can't change.
      - V(recreate) deletes the region (within O(delete_limit)) and creates it with all its settings.
    type: str
    choices: [fail, recreate]
    default: fail
  wait_timeout:
    description: How long to wait for writes that the service accepts for later (status 202). ISO-8601 or seconds.
    type: str
    default: PT30S
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
"""

EXAMPLES = r"""
- name: Two regions as they should be
  exalt.caching.cache_region:
    service_url: https://caching-service:8403
    regions:
      - name: products
        default_ttl: PT2H
        max_size: 150000
        eviction_policy: LRU
        protected: true
      - name: search-results
        default_ttl: PT15M
        max_size: 25000
        eviction_policy: LFU
        enable_compression: true

- name: Remove a region that may hold up to a thousand entries
  exalt.caching.cache_region:
    service_url: https://caching-service:8403
    delete_limit: 1000
    regions:
      - name: old-region
        state: absent
"""

RETURN = r"""
regions:
  description: All regions as read back after the changes (in check mode, as they would be), sorted by name.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the region., type: str}
    default_ttl: {description: ISO-8601 duration., type: str}
    max_size: {description: Entries., type: int}
    eviction_policy: {description: In upper case., type: str}
    enable_compression: {description: Whether values are compressed; null where the service does not tell., type: bool}
    enable_encryption: {description: Whether values are encrypted; null where the service does not tell., type: bool}
    extra: {description: Further fields of this service., type: dict}
    size: {description: Number of entries; volatile; null where the service does not tell., type: int}
    memory_usage: {description: As the service tells it; volatile., type: raw}
  sample:
    - {name: products, default_ttl: PT2H, max_size: 150000, eviction_policy: LRU, enable_compression: false,
       enable_encryption: false, extra: {}, size: 1204, memory_usage: 581632}
summary:
  description: Names of regions by what happened to them; RV(summary.unchanged) holds declared ones only.
  returned: always when the regions could be read
  type: dict
  contains:
    created: {description: Created., type: list, elements: str}
    updated: {description: Updated or recreated., type: list, elements: str}
    deleted: {description: Deleted., type: list, elements: str}
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
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._reconcile import Wanted, reconcile
from ansible_collections.exalt.caching.plugins.module_utils._resources import regions
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

REGION = {
    "name": {"type": "str", "required": True},
    "default_ttl": {"type": "str"},
    "max_size": {"type": "int"},
    "eviction_policy": {"type": "str"},
    "enable_compression": {"type": "bool"},
    "enable_encryption": {"type": "bool"},
    "extra": {"type": "dict", "default": {}},
    "protected": {"type": "bool", "default": False},
    "priority": {"type": "int", "default": 50},
    "durable": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def work(run):
    params = run.params
    if params["purge_limit"] < 0 or params["delete_limit"] < -1:
        raise CachingError("purge_limit can't be negative, and delete_limit only -1 (no limit)")
    present, absent, protected = regions.declared(params["regions"])
    resource = regions.Regions(
        run.service, protected=protected, declared=present, declared_names={*present, *absent}, purge_limit=params["purge_limit"],
        delete_limit=params["delete_limit"], recreate=params["on_immutable"] == "recreate",
    )
    result = reconcile(run, resource, Wanted(present, absent, params["purge"]), float(parse(params["wait_timeout"], "wait_timeout")))
    objects = result.pop("objects")
    return {**result, "regions": [regions.shown(name, objects[name]) for name in sorted(objects)]}


def main():
    run_main(work, spec(
        "service",
        regions={"type": "list", "elements": "dict", "default": [], "options": REGION},
        purge={"type": "bool", "default": False},
        purge_limit={"type": "int", "default": 5},
        delete_limit={"type": "int", "default": 0},
        on_immutable={"type": "str", "choices": ["fail", "recreate"], "default": "fail"},
        wait_timeout={"type": "str", "default": "PT30S"},
    ))


if __name__ == "__main__":
    main()
