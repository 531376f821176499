# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.fleet.kubernetes up|down|status|build`"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fleet.images.archive import ImageError
from tests.fleet.images.build import build as build_images
from tests.fleet.kubernetes import lifecycle
from tests.fleet.kubernetes.layout import state
from tests.fleet.kubernetes.programs import programs
from tests.fleet.local.processes import FleetError


def up() -> int:
    started = time.monotonic()
    fresh = lifecycle.up()
    print(f"fleet: started in {time.monotonic() - started:.1f} s" if fresh else "fleet: is running already")
    print(f"  inventory  {state().inventory}")
    print(f"  kubectl    export KUBECONFIG={state().kubeconfig()}")
    print(f"  try        .venv/bin/ansible-playbook exalt.caching.status -i {state().inventory}")
    print("  stop       make fleet-down PLATFORM=kubernetes")
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
        print(f"  {name:<34} {address:<26} {seen}")
    return 0 if all(seen == "ready" for _name, _address, seen in rows) else 1


def build() -> int:
    started = time.monotonic()
    programs()
    build_images()
    print(f"fleet: all that it needs is in the cache after {time.monotonic() - started:.0f} s")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fleet.kubernetes", description="The trial fleet on Kubernetes.")
    parser.add_argument("command", choices=("up", "down", "status", "build"))
    command = parser.parse_args().command
    try:
        return {"up": up, "down": down, "status": status, "build": build}[command]()
    except (FleetError, ImageError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
