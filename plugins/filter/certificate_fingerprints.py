# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_fingerprints
short_description: SHA-256 fingerprints of certificates
description:
  - Of every certificate in a text (PEM), in the order in which they stand there. What is no certificate is passed over.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: The text.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Who is trusted
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', 'ca.crt') | exalt.caching.certificate_fingerprints }}"
"""

RETURN = r"""
_value:
  description: Fingerprints in hexadecimal.
  type: list
  elements: str
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils import _cert_fleet as pure
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def certificate_fingerprints(found):
    try:
        return list(pure.roots(found))
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"certificate_fingerprints": certificate_fingerprints}
