# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New certificates for three instances by playbook certificates, beside the plain rollout: each of them started anew, one after the other.

The playbook also looks at the six nodes of Redis, its bus and the modules' own certificate, and proves each endpoint by a handshake.
"""

from __future__ import annotations

import statistics
import subprocess
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

from tests.benchmarks.ways import Failed
from tests.harness.plays import play
from tests.harness.second_fleet import second_fleet

Row = tuple[str, float, str, float | None]
NETWORK = "127.0.11"
LIMIT = 60.0


def _ready(url: str) -> None:
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{url}/actuator/health/readiness", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise Failed(f"{url} is not ready after {LIMIT:.0f} s")


def plain(known: dict[str, t.Any]) -> float:
    began = time.monotonic()
    for one in known["instances"]:
        subprocess.run([known["supervisorctl"], "-c", known["supervisor_config"], "restart", one["name"]], check=True, capture_output=True)
        _ready(one["management_url"])
    return time.monotonic() - began


def playbook(known: dict[str, t.Any], number: int, activation: str) -> float:
    names = {"service": {"names": [f"{activation}-{number}.example.com"]}}
    ran = play("certificates", known["inventory"], timeout=600,
               extra_vars={"caching_store_url": "", "caching_certificates": names, "caching_certificate_activation": activation})
    if ran.rc or not ran.changed:
        raise Failed(f"playbook certificates, {activation}: {ran.stdout[-800:]}")
    return ran.seconds


def rows(folder: Path, rounds: int) -> list[Row]:
    with second_fleet(folder, NETWORK) as fleet:
        known = fleet.known
        playbook(known, rounds, "reload")       # another authority comes first
        taken: dict[str, list[float]] = {"reload": [], "restart": [], "plain": []}
        for number in range(rounds):
            taken["plain"].append(plain(known))
            for activation in ("reload", "restart"):
                taken[activation].append(playbook(known, number, activation))
    found = {name: statistics.median(seconds) for name, seconds in taken.items()}
    return [
        ("certificates of three instances: plain rollout (s)", found["plain"], "", None),
        ("certificates of three instances: playbook, by reload (s)", found["reload"], "", None),
        ("certificates of three instances: playbook, one start after the other (s)", found["restart"], "", None),
        ("rotation by starts, times the plain rollout", found["restart"] / found["plain"], "", None),
    ]


if __name__ == "__main__":      # by itself: python -m tests.benchmarks.rotations
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        for row in rows(Path(place), 3):
            print(f"{row[1]:8.2f}  {row[0]}")
