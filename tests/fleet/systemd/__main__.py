# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.fleet.systemd up|down|status`"""

from __future__ import annotations

import sys

from tests.fleet import command
from tests.fleet.systemd import lifecycle
from tests.fleet.systemd.layout import state

if __name__ == "__main__":
    sys.exit(command.main("systemd", lifecycle, state().inventory))
