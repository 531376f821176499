# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long playbook site takes where there is nothing to do: on the local fleet, and on those that PLATFORMS names."""

from __future__ import annotations

import importlib
import statistics

from tests.benchmarks.ways import Failed
from tests.harness.matrix import HOMES, asked_for
from tests.harness.plays import play

Row = tuple[str, float, str, float | None]
REGIONS = [{"name": f"bench-{number}", "default_ttl": "PT2H", "max_size": 500} for number in range(5)]
GOAL = 6.0


def site(platform: str, rounds: int) -> float:
    """The median, in seconds; the fleet is started and stopped where it does not run."""
    home = importlib.import_module(f"tests.fleet.{platform}.lifecycle")
    inventory = importlib.import_module(f"tests.fleet.{platform}.layout").state().inventory
    started = home.up()
    try:
        seconds = []
        for number in range(rounds + 1):
            ran = play("site", inventory, extra_vars={"caching_regions": REGIONS})
            if ran.rc or (number and ran.changed):
                raise Failed(f"site on {platform}: {ran.stdout[-500:]}")
            seconds.append(ran.seconds)
        gone = [{"name": region["name"], "state": "absent"} for region in REGIONS]
        play("configure", inventory, extra_vars={"caching_regions": gone, "caching_delete_limit": 10})
        return statistics.median(seconds[1:])
    finally:
        if started:
            home.down()


def rows(rounds: int) -> list[Row]:
    asked = ["local", *filter(asked_for, HOMES)]
    return [(f"playbook site without changes on {platform} (s)", site(platform, rounds), "<=", GOAL) for platform in asked]
