# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: files_plan
short_description: Which files of a deployment would change, and whose they are
description:
  - Compares declared files with what M(ansible.builtin.slurp) has read of them.
  - A file whose first lines do not have the collection's mark was made by somebody else.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: The files, each with C(name) and C(text), and C(secret) where only the names of its lines may be shown.
    type: list
    elements: dict
    required: true
  results:
    description: The results of the module, one for each file; one without C(content) is not there.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: What would change
  ansible.builtin.debug:
    msg: "{{ (files | exalt.caching.files_plan(read.results)).differences }}"
"""

RETURN = r"""
_value:
  description: C(changed) and C(foreign) (names), C(places) (numbers of the files that differ), C(differences) (lines).
  type: dict
"""

import base64

from ansible_collections.exalt.caching.plugins.module_utils import _files as pure


def files_plan(files, results):
    wanted = [pure.Wanted(str(one["name"]), str(one["text"]), bool(one.get("secret"))) for one in files]
    present = [base64.b64decode(one["content"]).decode("utf-8", "replace") if "content" in one else None for one in results]
    return pure.plan(wanted, present)


class FilterModule:
    def filters(self):
        return {"files_plan": files_plan}
