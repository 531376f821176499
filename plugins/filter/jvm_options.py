# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: jvm_options
short_description: Options of a Java virtual machine, checked
description:
  - Fails with one line where Java 17 would refuse an option, where options are doubled or exclude each other, or where the heap does
    not fit the container.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: One text of options, or a list of them.
    type: raw
    required: true
  limit:
    description: Memory of the container, as a number of bytes or such as V(2Gi). Without it the size of the heap is not compared.
    type: raw
  quotes:
    description:
      - Whether who takes the text reads quotes in it, as systemd does. An option with a blank stands in them then.
      - Elsewhere such an option is refused.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: A heap of 1.5 GiB in a container of 2 GiB
  ansible.builtin.debug:
    msg: "{{ '-Xmx1536m -XX:+UseG1GC' | exalt.caching.jvm_options(limit='2Gi') }}"
"""

RETURN = r"""
_value:
  description: The options as one text.
  type: str
"""

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._jvm import checked, joined, memory_of


def jvm_options(options, limit=None, quotes=True):
    known = memory_of(str(limit)) if limit else None
    if limit and known is None:
        raise AnsibleFilterError(f"caching_jvm_memory_limit: '{limit}' is no amount of memory such as 2Gi")
    try:
        if isinstance(options, str) and options.lstrip().startswith("["):      # a list, as a survey or -e gives it
            options = yaml.safe_load(options)
        return joined(checked(options, known), bool(quotes))
    except yaml.YAMLError:
        raise AnsibleFilterError("caching_jvm begins as a list and is none: give one text, or a list as JSON") from None
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    def filters(self):
        return {"jvm_options": jvm_options}
