# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: configuration_pending
short_description: What running processes have not read of their configuration yet
description:
  - Compares what is in force with what each process found when it started, by the versions that P(exalt.caching.configuration_plan#filter) keeps.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description:
      - What there is now, C(text), C(jvm) and C(revisions), all as text.
      - C(written), if it is there, says of other things that processes read when they start when they were written, by their names.
    type: dict
    required: true
  members:
    description: The processes, C(name), C(started) (ISO-8601 in UTC), and C(created) where one keeps its options over a new start, as a container does.
    type: list
    elements: dict
    required: true
  live:
    description: Patterns of the keys that a refresh applies.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: What waits for the next start
  ansible.builtin.debug:
    msg: "{{ present | exalt.caching.configuration_pending(caching_members, live=['cache.*']) }}"
"""

RETURN = r"""
_value:
  description: A line for each key.
  type: list
  elements: str
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.filter.configuration_plan import parsed
from ansible_collections.exalt.caching.plugins.module_utils import _configuration as pure
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def configuration_pending(present, members, live=()):
    """Lines: what each running process has not read yet."""
    try:
        revisions = pure.noted(pure.read_revisions(present.get("revisions", "")), present["text"], present["jvm"])
        waiting = {}
        for member in members:
            started = member.get("started")
            made = pure.at_start(revisions, str(member.get("created") or started)) if started else None
            if made is not None and made.jvm != present["jvm"]:
                waiting.setdefault(pure.JVM, []).append(member["name"])
            then = pure.at_start(revisions, str(started)) if started else None
            if then is None or then is revisions[0]:
                continue
            found = pure.differences(parsed(then.text), parsed(present["text"]))
            for key in (key for key in found if not pure.is_live(key, live)):
                waiting.setdefault(key, []).append(member["name"])
        for name, written in (present.get("written") or {}).items():
            if late := pure.before(members, str(written)):
                waiting[name] = late
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None
    return [f"{key} is pending until {', '.join(names)} start anew" for key, names in sorted(waiting.items())]


class FilterModule:
    def filters(self):
        return {"configuration_pending": configuration_pending}
