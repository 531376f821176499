# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_files
short_description: Files of a fleet by section, without what would stand in clear
description:
  - Sorts the files of a fleet on Docker Compose or on hosts with systemd into the sections of a backup.
  - Where they will not be encrypted, files of secrets, and those that seem to have a secret in clear, are left out and named.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: The files, each with C(name), C(node), C(path), C(mode) and C(section), one of V(configmaps), V(secrets) and V(workloads).
    type: list
    elements: dict
    required: true
  found:
    description: By node and path what was read, C(content) in base64; a file without it is not there.
    type: dict
    required: true
  encrypted:
    description: Whether they will be encrypted.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Files without secrets
  ansible.builtin.debug:
    msg: "{{ (files | exalt.caching.fleet_files(read)).left_out }}"
"""

RETURN = r"""
_value:
  description: C(configmaps), C(secrets) and C(workloads), each with C(items), or empty; and C(left_out), names.
  type: dict
"""

import base64

from ansible_collections.exalt.caching.plugins.module_utils import _files as pure


def fleet_files(files, found, encrypted=False):
    there = []
    for one in files:
        content = found[one["node"]][one["path"]].get("content")
        if content is not None:
            there.append({**one, "text": base64.b64decode(content).decode("utf-8", "replace")})
    return pure.by_section(there, bool(encrypted))


class FilterModule:
    def filters(self):
        return {"fleet_files": fleet_files}
