# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault suite: `make faults`. TRIALS is the number of trials for each fault (20), RESTARTS of those of Redis (30), FILES of
restores from files (20), UPDATES of the rounds of updates (3), KILLS of the rotations that are killed (as TRIALS), SEED the first seed (1),
PARTS what is tried (everything).

What each part found is written down as soon as it has ended (build/faults.json); parts that were not asked for keep what they had found.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

from tests.faults import backups, failovers, heals, locks, physical, restarts, restores, rotations, updates
from tests.faults.trials import FAULTS, Subject, Trial
from tests.fleet import paths
from tests.fleet.local import lifecycle
from tests.harness.matrix_local import LocalFleet
from tests.harness.targets import Fleet, Service

MODULES = ("cache_region", "cache_invalidate")
Part = Callable[[int, int], "Found"]


def number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdigit() or int(text) < 1:
        sys.exit(f"faults: {name} must be a whole number from 1, not {text!r}")
    return int(text)


def table(trials: list[Trial]) -> str:
    lines = [f"{'fault':<18}{'module':<18}{'trials':>7}{'faults':>8}{'failed':>8}{'held':>7}"]
    for fault in FAULTS:
        for module in MODULES:
            those = [trial for trial in trials if (trial.fault, trial.module) == (fault, module)]
            good = sum(not trial.broken for trial in those)
            failed = sum(trial.outcome == "failed" for trial in those)
            faults = sum(trial.delivered for trial in those)
            lines.append(f"{fault:<18}{module:<18}{len(those):>7}{faults:>8}{failed:>8}{good:>7}")
    good = sum(not trial.broken for trial in trials)
    return "\n".join([*lines, f"{'all':<36}{len(trials):>7}{sum(trial.delivered for trial in trials):>8}{'':>8}{good:>7}"])


def services(count: int, first: int) -> list[Trial]:
    """Trials of the modules that write to the service."""
    found: list[Trial] = []
    service = Service(Fleet(), ())
    try:
        subject = Subject(service)
        for fault in FAULTS:
            for seed in range(first, first + count):
                trial = subject.trial(fault, MODULES[seed % 2], seed)
                found.append(trial)
                for text in trial.broken:
                    print(f"not held: {trial.fault} {trial.module} seed {trial.seed}: {text}", flush=True)
    finally:
        service.close()
    return found


@dataclasses.dataclass
class Found:
    """What a part has found: for the file, for people, and whether everything held."""

    details: t.Any
    told: str
    held: bool


def held(found: t.Sequence[t.Any], told: str) -> Found:
    return Found([dataclasses.asdict(one) for one in found], told, not any(one.broken for one in found))


def of_services(count: int, first: int) -> Found:
    found = services(count, first)
    return held(found, table(found))


def of_backups(count: int, first: int) -> Found:
    place = {**Fleet().store_args, "store_url": f"s3://exalt-cache-backups/faults-{secrets.token_hex(6)}"}
    found = backups.trials(count, first, place)
    return held(found, backups.table(found))


def of_locks(count: int, first: int) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        races = locks.trials(Fleet().store_args, Path(folder), first, 5 * count)
    told = "\n".join(f"20 runs that want one lock, {name}: {len(race.winners)} rounds, one winner in {race.held}, {race.seconds:.0f} s"
                     for name, race in races.items())
    return Found({name: dataclasses.asdict(race) for name, race in races.items()}, told, all(race.held == len(race.winners) for race in races.values()))


def of_restarts(_count: int, first: int) -> Found:
    found = restarts.trials(number("RESTARTS", 30), first, Fleet())
    return held(found, restarts.table(found))


def of_updates(_count: int, first: int) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        found = updates.trials(LocalFleet(Fleet(), Path(folder) / "store"), number("UPDATES", 3), first)
    return held(found, updates.table(found))


def of_files(_count: int, first: int) -> Found:
    found = physical.trials(number("FILES", 20), first, Fleet())
    return held(found, physical.table(found))


def of_replays(count: int, first: int) -> Found:
    found = restores.kills(5 * count, first)
    killed, wrote, good = (sum(picks) for picks in zip(*((one.killed, one.wrote, not one.broken) for one in found)))
    return held(found, f"restores killed: {killed} of {len(found)} trials, {wrote} after the first write, held {good}")


def of_rotations(count: int, first: int) -> Found:
    kills = number("KILLS", count)
    found = rotations.trials(5 * count, kills, first)
    shaken = ", ".join(f"{who} {times}" for who, times in found.handshakes.items())
    told = [f"certificates: {found.rotations} rotations, {found.killed} of {kills} runs killed, {found.converged} converged; handshakes {shaken}, "
            f"failed {len(found.failed)}", *(f"not held: {line}" for line in found.failed[:20])]
    return Found(dataclasses.asdict(found), "\n".join(told), not found.failed and found.converged == kills)


def of_heals(count: int, first: int) -> Found:
    found = heals.trials(count, first) + heals.trials(1, first, 15000)
    return held(found, heals.table(found))


def of_failovers(count: int, first: int) -> Found:
    found = failovers.trials(2 * count, first)
    return held(found, failovers.table(found))


ON_THE_FLEET: dict[str, Part] = {"backups": of_backups, "services": of_services, "locks": of_locks, "restarts": of_restarts, "updates": of_updates,
                                 "files": of_files}
ON_THEIR_OWN: dict[str, Part] = {"replays": of_replays, "rotations": of_rotations, "heals": of_heals, "failovers": of_failovers}
PARTS = (*ON_THE_FLEET, *ON_THEIR_OWN)


def asked() -> tuple[str, ...]:
    names = os.environ.get("PARTS", "").replace(",", " ").split()
    wrong = [name for name in names if name not in PARTS]
    if wrong:
        sys.exit(f"faults: PARTS: there is no '{wrong[0]}'; there are: {', '.join(PARTS)}")
    return tuple(name for name in PARTS if name in names) or PARTS


def write(name: str, found: Found) -> None:
    path = paths.ROOT / "build" / "faults.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    paths.write(path, json.dumps({**before, name: found.details}, indent=1) + "\n")


def main() -> int:
    names, count, first = asked(), number("TRIALS", 20), number("SEED", 1)
    began = time.monotonic()
    every: dict[str, Found] = {}

    def run(parts: dict[str, Part]) -> None:
        for name in (one for one in parts if one in names):
            every[name] = parts[name](count, first)
            write(name, every[name])
            print(every[name].told, flush=True)

    if set(names) & set(ON_THE_FLEET):
        started = lifecycle.up()
        try:
            run(ON_THE_FLEET)
        finally:
            if started:
                lifecycle.down()
    run(ON_THEIR_OWN)
    not_held = [name for name, found in every.items() if not found.held]
    print(f"{time.monotonic() - began:.0f} s; seeds {first} to {first + count - 1}; details in build/faults.json; "
          + (f"not held: {', '.join(not_held)}" if not_held else f"all of {', '.join(names)} held"))
    return 1 if not_held else 0


if __name__ == "__main__":
    sys.exit(main())
