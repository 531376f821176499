# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_parts
short_description: Endpoints of a fleet that are verified alike
description:
  - Groups the endpoints of places for M(exalt.caching.cert_info). Beside each port of Redis there is its bus.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: What P(exalt.caching.certificate_places#filter) made.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: What is looked at together
  ansible.builtin.debug:
    msg: "{{ places | exalt.caching.certificate_parts }}"
"""

RETURN = r"""
_value:
  description: Each with name, protocol, names and endpoints.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils import _cert_fleet as pure
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def certificate_parts(found):
    try:
        return pure.parts(found)
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"certificate_parts": certificate_parts}
