# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long playbook site takes where there is nothing to do: on the local fleet, on those that PLATFORMS names, and on twenty at once."""

from __future__ import annotations

import importlib
import statistics
import tempfile

import yaml

from tests.benchmarks.ways import Failed
from tests.harness.matrix import HOMES
from tests.harness.operations import asked_for
from tests.harness.plays import play
from tests.harness.targets import Fleet

Row = tuple[str, float, str, float | None]
REGIONS = [{"name": f"bench-{number}", "default_ttl": "PT2H", "max_size": 500} for number in range(5)]
GOAL = 6.0
BROKEN = "fleet-07"


def site(platform: str, rounds: int) -> float:
    """The median, in seconds; the fleet is started and stopped where it does not run."""
    home = importlib.import_module(f"tests.fleet.{platform}.lifecycle")
    started = home.up()
    try:
        inventory = Fleet().inventory if platform == "local" else importlib.import_module(f"tests.fleet.{platform}.layout").state().inventory
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


def packed(rounds: int) -> tuple[float, float]:
    """Medians in seconds of site on the local fleet, in turns: modules here, and each packed for an interpreter of its own."""
    inventory = Fleet().inventory
    seconds: tuple[list[float], list[float]] = ([], [])
    with tempfile.TemporaryDirectory() as folder:
        for _number in range(rounds):
            for found, more in zip(seconds, ({}, {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_REMOTE_TEMP": folder}), strict=True):
                ran = play("site", inventory, env=more)
                if ran.rc or ran.changed:
                    raise Failed(f"site on the local fleet: {ran.stdout[-500:]}")
                found.append(ran.seconds)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def twenty() -> float:
    """Twenty fleets in one inventory, each with a region of its own, of which one is out of reach: the seconds in which the others finish.

    All are the local fleet, so what is measured is the controller.
    """
    fleet = Fleet()
    hosts = yaml.safe_load(fleet.inventory.read_text())
    good = hosts["caching_fleet"]["hosts"]["local"]
    bad = {**good, "caching_service_url": "http://127.0.0.1:9", "caching_instances": [{"url": "http://127.0.0.1:9"}], "caching_health_timeout": 0}
    names = [f"fleet-{number:02}" for number in range(20)]
    hosts["caching_fleet"]["hosts"] = {name: bad if name == BROKEN else good for name in names}
    region = {"name": "of {{ inventory_hostname }}", "default_ttl": "PT2H", "max_size": 500}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as inventory:
        yaml.safe_dump(hosts, inventory)
        inventory.flush()
        ran = play("site", inventory.name, "--forks", "20", extra_vars={"caching_regions": [region]}, timeout=900)
        gone = {"caching_regions": [{"name": region["name"], "state": "absent"}], "caching_delete_limit": 1000}
        play("configure", inventory.name, "--forks", "20", "--limit", f"!{BROKEN}", extra_vars=gone, timeout=900)
    verdicts = {record["fleet"]: record["verdict"] for record in ran.custom["exalt_caching_run"]}
    if verdicts != {name: "failed" if name == BROKEN else "ok" for name in names} or ran.changed != 19:
        raise Failed(f"twenty fleets, {BROKEN} out of reach: {verdicts}")
    return ran.seconds


def rows(rounds: int) -> list[Row]:
    asked = ["local", *filter(asked_for, HOMES)]
    found: list[Row] = [(f"playbook site without changes on {platform} (s)", site(platform, rounds), "<=", GOAL) for platform in asked]
    here, other = packed(rounds)
    found.append(("playbook site without changes on local, modules in a fork of their task: times as fast as packed", other / here, "", None))
    return [*found, ("playbook site on 20 fleets, one of them out of reach: the others finish (s)", twenty(), "", None)]


if __name__ == "__main__":      # by itself: python -m tests.benchmarks.platforms
    from tests.fleet.local import lifecycle

    running = lifecycle.up()
    try:
        for row in rows(3):
            print(f"  {row[0]:<90} {row[1]:8.2f}  {row[2]} {row[3] or ''}")
    finally:
        if running:
            lifecycle.down()
