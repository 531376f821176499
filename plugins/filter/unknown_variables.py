# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_variables
short_description: Variables of a host that are mistyped ones of this collection
description:
  - Ansible takes a variable that nobody reads without a word. Of the names that begin with C(caching_) and are not known, this
    returns one line for each that is almost a known one, and says of the others in a warning that nothing reads them.
  - A name that continues a known one (C(caching_regions_europe)) is taken for a part that the inventory builds that one from.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
positional: known
options:
  _input:
    description: Names of variables.
    type: list
    elements: str
    required: true
  known:
    description: Names, or regular expressions of whole names, that are known.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Nothing mistyped
  ansible.builtin.assert:
    that: hostvars[inventory_hostname] | list | exalt.caching.unknown_variables(['caching_regions', 'caching_verb_.*']) | length == 0
"""

RETURN = r"""
_value:
  description: 'One line for each: what is not a variable, and which one is meant.'
  type: list
  elements: str
"""

import difflib
import re

from ansible.utils.display import Display

_BEGIN = "caching_"
_ALMOST = 0.8   # difflib's ratio: two letters swapped, left out, or more
_LETTERS = 2    # as many more or fewer are a slip; others are a name of their own


def unknown_variables(names, known):
    own = {name.removeprefix(_BEGIN) for name in known if name.isidentifier()}
    pattern = re.compile("|".join(f"(?:{name})" for name in known))
    slips, strangers = [], []
    for name in sorted({str(name) for name in names if str(name).startswith(_BEGIN)}):
        if pattern.fullmatch(name) or any(name.startswith(f"{one}_") for one in known):
            continue
        rest = name.removeprefix(_BEGIN)
        meant = difflib.get_close_matches(rest, own, 1, _ALMOST)
        told = f"{name} is not a variable of exalt.caching" + (f"; did you mean {_BEGIN}{meant[0]}?" if meant else "")
        slip = meant and abs(len(meant[0]) - len(rest)) <= _LETTERS
        (slips if slip else strangers).append(told)
    if strangers:
        Display().warning("; ".join(strangers[:5]) + (f"; and {len(strangers) - 5} more" if len(strangers) > 5 else ""))
    return slips


class FilterModule:
    def filters(self):
        return {"unknown_variables": unknown_variables}
