# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_places
short_description: Where the certificates of a fleet are kept, and how they are declared
description:
  - Puts what is declared for each part of a fleet (C(caching_certificates)) to what its platform has found. What is declared and not known is refused.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: What the platform found; name, part, where (options of M(exalt.caching.cert_rotate) that say where), node, become, endpoints, names, verify.
    type: list
    elements: dict
    required: true
  declared:
    description: The variable C(caching_certificates).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Where certificates are kept
  ansible.builtin.debug:
    msg: "{{ caching_verb_places | exalt.caching.certificate_places(caching_certificates) }}"
"""

RETURN = r"""
_value:
  description: Each place with name, part, provider, node, become, endpoints, verify and options for M(exalt.caching.cert_rotate), without secrets.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils import _cert_fleet as pure
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def certificate_places(found, declared=None):
    try:
        return pure.places(found, declared)
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"certificate_places": certificate_places}
