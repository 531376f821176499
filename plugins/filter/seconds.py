# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: seconds
short_description: A duration in seconds
description:
  - Takes ISO-8601 durations (V(PT2H), V(P30D); months and years are refused) and numbers of seconds.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: The duration.
    type: str
    required: true
  name:
    description: The variable that an error names.
    type: str
    default: duration
"""

EXAMPLES = r"""
- name: Two hours
  ansible.builtin.debug:
    msg: "{{ 'PT2H' | exalt.caching.seconds }}"
"""

RETURN = r"""
_value:
  description: Seconds.
  type: float
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def seconds(value, name="duration"):
    try:
        return float(parse(value, name))
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"seconds": seconds}
