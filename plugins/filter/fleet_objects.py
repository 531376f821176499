# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_objects
short_description: The Kubernetes objects of a fleet, as somebody would write them
description:
  - Takes the objects of a namespace and keeps the Deployment, the StatefulSet, what their pods mention (ConfigMaps, Secrets, the ServiceAccount)
    and what selects them (Services, budgets, policies), without status and what the server adds.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: Objects as the API server gives them.
    type: list
    elements: dict
    required: true
  encrypted:
    description: Whether they will be encrypted. Otherwise Secrets, and what seems to have a secret in clear, are left out.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: What belongs to the fleet
  ansible.builtin.debug:
    msg: "{{ (found.resources | exalt.caching.fleet_objects).workloads }}"
"""

RETURN = r"""
_value:
  description: C(configmaps), C(secrets) and C(workloads), each a List that kubectl can apply, or empty; C(left_out), names; and
    C(mentioned), kind and name of what the pods need.
  type: dict
"""

from ansible_collections.exalt.caching.plugins.module_utils import _objects


def fleet_objects(found, encrypted=False):
    objects = [one for one in found if isinstance(one, dict)]
    workloads = [one for one in objects if one["kind"] in ("Deployment", "StatefulSet")]
    return {**_objects.belonging(objects, bool(encrypted)), "mentioned": _objects.mentioned(workloads)}


class FilterModule:
    def filters(self):
        return {"fleet_objects": fleet_objects}
