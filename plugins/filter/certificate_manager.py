# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_manager
short_description: What cert-manager is to keep, and how far it is
description:
  - Of the places with the provider C(cert-manager), the Certificates as they are declared, held against those that are there.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: The Certificates of the namespace.
    type: list
    elements: dict
    required: true
  places:
    description: What P(exalt.caching.certificate_places#filter) made.
    type: list
    elements: dict
    required: true
  requests:
    description: The CertificateRequests of the namespace, whose words say why something is not issued.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: What is not ready yet, and why
  ansible.builtin.debug:
    msg: "{{ (seen.resources | exalt.caching.certificate_manager(places)).waiting }}"
"""

RETURN = r"""
_value:
  description: C(objects) (definitions), C(doubled) and C(waiting) (lines), and C(marks) (by names, the fingerprints that were read).
  type: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils import _cert_manager as pure
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def certificate_manager(found, places, requests=()):
    try:
        wanted = pure.objects(places)
        return {"objects": wanted, "doubled": pure.doubled(found, wanted), "marks": pure.marks(found), "waiting": pure.waiting(found, wanted, requests)}
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"certificate_manager": certificate_manager}
