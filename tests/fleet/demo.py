# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: start the local fleet, bring it to its declared state twice, and say what was done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fleet import paths
from tests.fleet.local import lifecycle
from tests.fleet.local.processes import FleetError

INVENTORY = paths.ROOT / "inventories" / "local"
RECAP = re.compile(r"^\S+\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class DemoError(Exception):
    """A reason, in one line, why the demo stopped."""


def heading(text: str) -> None:
    print(f"\n==> {text}", flush=True)


def site() -> tuple[int, float]:
    """One run of the playbook site, shown as it goes; how many changes it made and how long it took."""
    started = time.monotonic()
    changed: int | None = None
    colour = {"ANSIBLE_FORCE_COLOR": "true"} if sys.stdout.isatty() and "NO_COLOR" not in os.environ else {}
    command = [Path(sys.executable).parent / "ansible-playbook", "exalt.caching.site", "-i", INVENTORY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          cwd=paths.ROOT, env={**os.environ, **colour}) as run:
        for line in run.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            recap = RECAP.match(COLOUR.sub("", line))
            changed = int(recap.group(2)) if recap else changed
    if run.returncode or changed is None:
        raise DemoError(f"ansible-playbook exalt.caching.site ended with {run.returncode}")
    return changed, time.monotonic() - started


def table(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _text in rows)
    print("\n" + "-" * 78)
    for name, text in rows:
        print(f"  {name:<{width}}  {text}")
    print("-" * 78)


def demo() -> None:
    heading("Starting a fleet on this machine: three service instances on a Redis Cluster of six nodes")
    started = time.monotonic()
    fresh = lifecycle.up()
    fleet = f"started in {time.monotonic() - started:.1f} s" if fresh else "was running already"
    print(f"    {fleet}")
    heading("Bringing it to the state declared in inventories/local (first run)")
    first, first_seconds = site()
    heading("The same again: nothing is left to do (second run)")
    second, second_seconds = site()
    if second:
        raise DemoError(f"the second run made {second} changes, expected none")
    table([
        ("fleet", f"{fleet}: 3 service instances, 6 Redis nodes"),
        ("first run", f"changed={first} in {first_seconds:.1f} s"),
        ("second run", f"changed={second} in {second_seconds:.1f} s"),
        ("declared in", "inventories/local/group_vars/caching_fleet/desired.yml"),
        ("look", "make fleet-status"),
        ("try", ".venv/bin/ansible-playbook exalt.caching.status -i inventories/local"),
        ("stop", "make fleet-down"),
    ])


def main() -> int:
    try:
        demo()
    except (DemoError, FleetError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
