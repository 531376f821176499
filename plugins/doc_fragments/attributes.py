# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and tells what it would do, without a single write.
    support: full
  diff_mode:
    description: Returns what differs, before and after.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: Where the module runs. It needs Python 3.11 or newer there, as its libraries do.
    support: full
    platforms: posix
requirements:
  - python >= 3.11
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Only reads, so check mode makes no difference.
    support: full
  diff_mode:
    description: There is nothing that could differ.
    support: N/A
  idempotent:
    description: Never changes anything.
    support: full
  platform:
    description: Where the module runs. It needs Python 3.11 or newer there, as its libraries do.
    support: full
    platforms: posix
requirements:
  - python >= 3.11
"""
