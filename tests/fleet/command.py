# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `up`, `down`, `status` and `build` of a trial fleet; `build` makes what it needs and starts nothing."""

from __future__ import annotations

import argparse
import sys
import time
import typing as t
from pathlib import Path

from tests.fleet.local.processes import FleetError


class Lifecycle(t.Protocol):
    """What a trial fleet can do."""

    def build(self) -> object: ...
    def up(self) -> bool: ...
    def down(self) -> bool: ...
    def report(self) -> list[tuple[str, str, str]]: ...


def up(fleet: Lifecycle, inventory: Path, platform: str) -> int:
    started = time.monotonic()
    fresh = fleet.up()
    print(f"fleet: started in {time.monotonic() - started:.1f} s" if fresh else "fleet: is running already")
    print(f"  inventory  {inventory}")
    print(f"  try        .venv/bin/ansible-playbook exalt.caching.status -i {inventory}")
    print(f"  stop       make fleet-down PLATFORM={platform}")
    return 0


def down(fleet: Lifecycle) -> int:
    print("fleet: stopped, nothing left" if fleet.down() else "fleet: is not running")
    return 0


def status(fleet: Lifecycle) -> int:
    rows = fleet.report()
    if not rows:
        print("fleet: is not running")
        return 3
    for name, place, seen in rows:
        print(f"  {name:<36} {place:<30} {seen}")
    return 0 if all(seen in ("running", "running, healthy", "active") for _name, _place, seen in rows) else 1


def main(platform: str, fleet: Lifecycle, inventory: Path) -> int:
    parser = argparse.ArgumentParser(prog=f"tests.fleet.{platform}", description=f"The trial fleet on {platform}.")
    parser.add_argument("command", choices=("up", "down", "status", "build"))
    try:
        match parser.parse_args().command:
            case "up":
                return up(fleet, inventory, platform)
            case "down":
                return down(fleet)
            case "build":
                fleet.build()
                return 0
            case _:
                return status(fleet)
    except FleetError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
