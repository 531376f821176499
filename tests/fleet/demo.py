# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: start the local fleet, bring it to its declared state twice, warm it, report on it, back it up, and say what was done."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import urllib3

from tests.fleet import paths
from tests.fleet.local import layout, lifecycle
from tests.fleet.local.processes import FleetError

INVENTORY = paths.ROOT / "inventories" / "local"
RECAP = re.compile(r"^\S+\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)")
DRILL = re.compile(r"drill of \S+ (\d.*? RTO [0-9.]+ s)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class DemoError(Exception):
    """A reason, in one line, why the demo stopped."""


def heading(text: str) -> None:
    print(f"\n==> {text}", flush=True)


class Ran(t.NamedTuple):
    """How many changes a playbook made, how long it took, and what it printed."""

    changed: int
    seconds: float
    text: str


def run(playbook: str, **variables: object) -> Ran:
    """One run of a playbook, shown as it goes."""
    started = time.monotonic()
    changed: int | None = None
    said: list[str] = []
    colour = {"ANSIBLE_FORCE_COLOR": "true"} if sys.stdout.isatty() and "NO_COLOR" not in os.environ else {}
    command = [Path(sys.executable).parent / "ansible-playbook", f"exalt.caching.{playbook}", "-i", INVENTORY, "-e", json.dumps(variables)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          cwd=paths.ROOT, env={**os.environ, **colour, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false"}) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            said.append(COLOUR.sub("", line))
            recap = RECAP.match(said[-1])
            changed = int(recap.group(2)) if recap else changed
    if process.returncode or changed is None:
        raise DemoError(f"ansible-playbook exalt.caching.{playbook} ended with {process.returncode}")
    return Ran(changed, time.monotonic() - started, "".join(said))


@contextlib.contextmanager
def readers() -> Iterator[None]:
    """Somebody who reads what is warm, and now and then what is not there: without reads there are no figures to show."""
    state = layout.state()
    headers = {"Authorization": f"Bearer {state.secret('api_token')}"}
    urls = [instance["url"] for instance in json.loads(state.facts.read_text(encoding="utf-8"))["instances"]]
    over = threading.Event()

    def read() -> None:
        pool = urllib3.PoolManager(retries=False, timeout=5)
        number = 0
        while not over.wait(0.005):
            number += 1
            key = f"product:{number % 2000 + 1}" if number % 12 else f"nothing:{number}"
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                pool.request("GET", f"{urls[number % len(urls)]}/api/v1/cache/regions/products/keys/{key}", headers=headers)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


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
    first = run("site")
    heading("The same again: nothing is left to do (second run)")
    second = run("site")
    if second.changed:
        raise DemoError(f"the second run made {second.changed} changes, expected none")
    heading("Warming two regions from the database, with progress")
    warm = run("warm", caching_warm=[{"region": "products", "batch_size": 50, "concurrency": 2}, {"region": "categories", "strategy": "all-items"}])
    heading("Key figures and the day's report, while somebody reads")
    folder = paths.ROOT / "build" / "reports"
    with readers():
        run("status", caching_status_kpis=True, caching_kpi_window="PT5S")
        run("report", caching_kpi_window="PT5S", caching_reports_directory=str(folder))
    heading("A backup of Redis to S3, read back, and a drill: the newest backup into a scratch cluster, keys compared")
    backup = run("backup")
    drill = run("drill")
    figures = DRILL.search(" ".join(drill.text.split()))
    report = max(folder.glob("local/*.html"), key=lambda path: path.stat().st_mtime).relative_to(paths.ROOT)
    table([
        ("fleet", f"{fleet}: 3 service instances, 6 Redis nodes"),
        ("first run", f"changed={first.changed} in {first.seconds:.1f} s"),
        ("second run", f"changed={second.changed} in {second.seconds:.1f} s"),
        ("warm-up", f"{warm.seconds:.1f} s, with progress"),
        ("backup", f"taken and verified in {backup.seconds:.1f} s"),
        ("drill", figures.group(1) if figures else "no figures were told"),
        ("report", f"{report} (open it in a browser)"),
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
