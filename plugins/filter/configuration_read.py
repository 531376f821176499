# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: configuration_read
short_description: Which processes have not read a configuration
description:
  - Compares what M(exalt.caching.cache_info) with the subset C(configuration) tells of each process with an application.yml.
  - A key that a process does not tell is not compared.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: The list C(configuration) of the module.
    type: list
    elements: dict
    required: true
  text:
    description: The application.yml.
    type: str
    required: true
  compared:
    description: The keys that are compared.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Who did not read it
  ansible.builtin.debug:
    msg: "{{ told.configuration | exalt.caching.configuration_read(text, ['cache.redis.pool.maxTotal']) }}"
"""

RETURN = r"""
_value:
  description: Names of processes, with the reason.
  type: list
  elements: str
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.filter.configuration_plan import parsed
from ansible_collections.exalt.caching.plugins.module_utils import _configuration as pure
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def configuration_read(told, text, compared):
    try:
        return pure.unread(told, parsed(text), compared)
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"configuration_read": configuration_read}
