# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificates_plan
short_description: The rounds in which the certificates of a fleet change
description:
  - Nobody shows a certificate before everybody trusts who signed it, and nobody stops trusting before nobody shows it (H54). So trust is
    widened, then certificates are renewed, then trust is narrowed. Which of these are left is seen from what the places hold.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: What P(exalt.caching.certificate_places#filter) made.
    type: list
    elements: dict
    required: true
  looks:
    description: What M(exalt.caching.cert_rotate) told of each, in the same order.
    type: list
    elements: dict
    required: true
  chain:
    description: The root of the own authority (PEM), alone or behind what it has signed; empty where it is still to be made.
    type: str
    required: true
  trusted:
    description: Further roots that are trusted (PEM).
    type: list
    elements: str
    default: []
  until:
    description: The last round of this run; V(rolled_back) where the looks are for going back, and nothing else is done.
    type: str
    choices: [trusted, renewed, narrowed, rolled_back]
    default: narrowed
  now:
    description: The time (UTC), in ISO-8601.
    type: str
    required: true
  marks:
    description: Of places that cert-manager keeps, what was read of them (P(exalt.caching.certificate_manager#filter)).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: What is to be done
  ansible.builtin.debug:
    msg: "{{ (places | exalt.caching.certificates_plan(looks.results, authority, [], 'narrowed', '2026-11-28T00:00:00Z')).told }}"
"""

RETURN = r"""
_value:
  description: rounds (each with name, places, trusted and told), told, summary, renewed, roots, serving, expired (ends by names), versions,
    refused (names of places whose present certificate clients refuse) and fingerprints (of what each place is to show).
  type: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils import _cert_fleet as pure
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def certificates_plan(found, looks, chain, trusted, until, now, marks=None):
    try:
        return pure.plan(found, looks, chain, trusted, until, now, marks)
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"certificates_plan": certificates_plan}
