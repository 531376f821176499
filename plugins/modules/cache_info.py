#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_info
short_description: Read what a Caching Service tells about itself
description:
  - Reads regions and their statistics; lists are read whole, whether they come plain, wrapped or in pages.
  - Operations S027, S028, S155 and S167 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  subset:
    description: What to read; each becomes a returned key of its name.
    type: list
    elements: str
    choices: [regions, region_stats]
    default: [regions]
  region:
    description: Read only this region.
    type: str
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
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 1, write: 0}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._resources import info
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    return {"changed": False, **info.read(run.service, run.params["subset"], run.params["region"])}


def main():
    run_main(work, spec(
        "service",
        subset={"type": "list", "elements": "str", "choices": sorted(info.SUBSETS), "default": ["regions"]},
        region={"type": "str"},
    ))


if __name__ == "__main__":
    main()
