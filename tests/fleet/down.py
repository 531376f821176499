# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stops every trial fleet that runs: `make fleet-down` without PLATFORM."""

from __future__ import annotations

import subprocess
import sys

from tests.fleet import paths


def platforms() -> list[str]:
    return sorted(found.parent.name for found in (paths.ROOT / "tests/fleet").glob("*/lifecycle.py"))


def main() -> int:
    """One that was never started is left alone by its own `down`, which needs nothing then. A failure does not keep the others up."""
    worst = 0
    for platform in platforms():
        ended = subprocess.run([sys.executable, "-m", f"tests.fleet.{platform}", "down"], cwd=paths.ROOT, capture_output=True, text=True, check=False)
        for line in (ended.stdout + ended.stderr).splitlines():
            print(f"{platform}: {line.removeprefix('fleet: ')}", file=sys.stderr if ended.returncode else sys.stdout)
        worst = max(worst, ended.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
