#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_entry
short_description: Entries of a cache region that are there with a value, or are gone
description:
  - Reads all declared entries in few requests, compares them by value and by the time that they have left, writes only
    what differs, and reads it back.
  - Values never appear in results, differences or messages; a digest and a size stand for them. Ansible itself shows the
    options of a task at high verbosity, so a task with secret values still needs C(no_log).
  - Reading entries counts as hits and misses in the service's own metrics.
  - Operations S032, S033, S034, S035 and S036 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  region:
    description: The region of the entries. It must be there.
    type: str
    required: true
  entries:
    description: The entries. Other entries of the region are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      key:
        description: Key of the entry; any text without control characters.
        type: str
        required: true
      value:
        description: What is kept under the key; anything that JSON can hold but null. Needed unless the entry is absent.
        type: raw
      ttl:
        description:
          - How long the entry lives from when it is written, such as V(PT4H), or seconds. Without it a new value lives
            as long as the region says, and the time that an entry has left is not looked at.
        type: str
      tags:
        description: Tags of the entry. Without it, tags that the service shows are kept.
        type: list
        elements: str
      state:
        description: Whether the entry is there.
        type: str
        choices: [present, absent]
        default: present
  ttl_tolerance:
    description:
      - How far the time that an entry has left may be from its O(entries[].ttl) before it is written again, as a share
        of it (V(10%)) or a duration (V(PT1M)). Never less than 5 seconds.
      - With V(100%) an entry with the right value is only written again once it is gone.
      - Where the service does not tell the time left, only values are compared.
    type: str
    default: 10%
  wait_timeout:
    description: How long to wait for writes that the service accepts for later (status 202). ISO-8601 or seconds.
    type: str
    default: PT30S
attributes:
  idempotent:
    description: A second run within O(ttl_tolerance) changes nothing; later, entries with a declared lifetime are renewed.
    support: partial
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
"""

EXAMPLES = r"""
- name: An entry that lives four hours, and one that is gone
  exalt.caching.cache_entry:
    service_url: https://caching-service:8403
    region: products
    entries:
      - key: product:456
        value: {id: 456, name: Premium Product, price: 199.99}
        ttl: PT4H
        tags: [premium]
      - {key: "product:789", state: absent}

- name: Seed a region once, and write an entry again only when it has expired
  exalt.caching.cache_entry:
    service_url: https://caching-service:8403
    region: settings
    entries: "{{ seed | dict2items }}"
    ttl_tolerance: 100%
"""

RETURN = r"""
entries:
  description: The declared entries as they are now. The digest is the SHA-256 of the value's canonical JSON.
  returned: success
  type: list
  elements: dict
  sample:
    - {key: "product:456", state: present, size: 49, ttl_left: PT3H59M59S,
       digest: 0d1d4a0e7b7a2b3c1a3cf6f0f1d0a0e5a4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9}
summary:
  description: Keys by what was done (or would be, in check mode).
  returned: success, or when a part failed
  type: dict
  sample: {created: ["product:456"], updated: [], deleted: ["product:789"], unchanged: []}
failures:
  description: What was not done, and why.
  returned: when a part failed
  type: list
  elements: dict
requests:
  description: Requests that were sent, repeats included. Reading many entries counts as reading.
  returned: always
  type: dict
  sample: {read: 3, write: 2}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._reconcile import Wanted, reconcile
from ansible_collections.exalt.caching.plugins.module_utils._resources.entries import Entries, declared
from ansible_collections.exalt.caching.plugins.module_utils._resources.regions import check_name
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

ENTRY = {
    "key": {"type": "str", "required": True, "no_log": False},
    "value": {"type": "raw"},
    "ttl": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def work(run):
    params = run.params
    region = check_name(params["region"], "region")
    present, absent = declared(params["entries"])
    wait_timeout = float(parse(params["wait_timeout"], "wait_timeout"))
    entries = Entries(run.service, region, present, absent, params["ttl_tolerance"])
    result = reconcile(run, entries, Wanted(entries.wanted(), absent), wait_timeout)
    objects = result.pop("objects")
    return {**result, "entries": entries.results(objects)}


def main():
    run_main(work, spec(
        "service",
        region={"type": "str", "required": True},
        entries={"type": "list", "elements": "dict", "default": [], "options": ENTRY},
        ttl_tolerance={"type": "str", "default": "10%"},
        wait_timeout={"type": "str", "default": "PT30S"},
    ))


if __name__ == "__main__":
    main()
