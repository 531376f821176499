# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: env_file_quoted
short_description: A value as it stands in a file of environment variables
description:
  - Quotes a text so that Docker Compose, in its file C(.env), or systemd, in an C(EnvironmentFile), reads it as it is.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: The value, without line breaks.
    type: str
    required: true
  kind:
    description: Who reads the file.
    type: str
    choices: [dotenv, systemd]
    required: true
"""

EXAMPLES = r"""
- name: Options of the virtual machine for Docker Compose
  ansible.builtin.debug:
    msg: "JAVA_OPTS={{ '-Xmx1g -Xss1m' | exalt.caching.env_file_quoted('dotenv') }}"
"""

RETURN = r"""
_value:
  description: What stands after the sign of equality.
  type: str
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils._env_file import FORMATS, quoted
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def env_file_quoted(value, kind):
    if kind not in FORMATS:
        raise AnsibleFilterError(f"env_file_quoted: the kind is one of {', '.join(FORMATS)}, not {kind}")
    try:
        return quoted(str(value), str(kind))
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"env_file_quoted": env_file_quoted}
