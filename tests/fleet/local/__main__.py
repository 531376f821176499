# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.fleet.local up|down|status`"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fleet.local import lifecycle
from tests.fleet.local.layout import state
from tests.fleet.local.processes import FleetError


def up() -> int:
    started = time.monotonic()
    fresh = lifecycle.up()
    print(f"fleet: started in {time.monotonic() - started:.1f} s" if fresh else "fleet: is running already")
    print(f"  inventory  {state().inventory}")
    print(f"  try        .venv/bin/ansible-playbook exalt.caching.status -i {state().inventory}")
    print("  stop       make fleet-down")
    return 0


def down() -> int:
    print("fleet: stopped, nothing left" if lifecycle.down() else "fleet: is not running")
    return 0


def status() -> int:
    rows = lifecycle.report()
    if not rows:
        print("fleet: is not running")
        return 3
    for name, address, seen in rows:
        print(f"  {name:<18} {address:<26} {seen}")
    return 0 if all(seen.startswith("RUNNING") and "not" not in seen for _name, _address, seen in rows) else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fleet.local", description="The trial fleet on this machine.")
    parser.add_argument("command", choices=("up", "down", "status"))
    command = parser.parse_args().command
    try:
        return {"up": up, "down": down, "status": status}[command]()
    except FleetError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
