# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: env_file_value
short_description: A value out of a file of environment variables
description:
  - Reads what P(exalt.caching.env_file_quoted#filter) writes, and what else Docker Compose, in its file C(.env), or systemd, in an
    C(EnvironmentFile), takes for a value in one line.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: The text of the file.
    type: str
    required: true
  name:
    description: Name of the variable.
    type: str
    required: true
  kind:
    description: Who reads the file.
    type: str
    choices: [dotenv, systemd]
    required: true
"""

EXAMPLES = r"""
- name: Options of the virtual machine that Docker Compose reads
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', '.env') | exalt.caching.env_file_value('JAVA_OPTS', 'dotenv') }}"
"""

RETURN = r"""
_value:
  description: The value of the last line that sets it; empty where none does.
  type: str
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils._env_file import FORMATS, value_of


def env_file_value(text, name, kind):
    if kind not in FORMATS:
        raise AnsibleFilterError(f"env_file_value: the kind is one of {', '.join(FORMATS)}, not {kind}")
    return value_of(str(text), str(name), str(kind))


class FilterModule:
    def filters(self):
        return {"env_file_value": env_file_value}
