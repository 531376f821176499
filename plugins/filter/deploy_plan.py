# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: deploy_plan
short_description: What a server-side apply would change, and in whose objects
description:
  - Reads the result of M(kubernetes.core.k8s) with a list of definitions, in check mode and with differences.
  - An object that has no fields of the field manager C(exalt.caching) was made by somebody else.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: The result of the module.
    type: dict
    required: true
  definitions:
    description: The definitions that it was given.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: What would change
  ansible.builtin.debug:
    msg: "{{ (applied | exalt.caching.deploy_plan(definitions)).differences }}"
"""

RETURN = r"""
_value:
  description: C(changed), C(new) and C(foreign) (names), C(differences) (lines), C(replicas) (of each object whose number differs, before and after).
  type: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._objects import summary


def deploy_plan(result, definitions):
    diff = result.get("diff") or {}
    # of one definition the result is the task's own, whose "changed" the task may have set
    differs = result.get("method") == "create" or diff.get("before") != diff.get("after")
    outcomes = (result.get("result") or {}).get("results") or [{**result, "changed": differs}]
    try:
        return summary(definitions, outcomes)
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"deploy_plan": deploy_plan}
