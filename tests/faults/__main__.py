# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault suite: `make faults`. TRIALS is the number of trials for each fault (20), RESTARTS of those of Redis (30), FILES of
restores from files (20), UPDATES of the rounds of updates (3), SEED the first seed (1)."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import backups, failovers, heals, locks, physical, restarts, restores, rotations, updates
from tests.faults.trials import FAULTS, Subject, Trial
from tests.fleet import paths
from tests.fleet.local import lifecycle
from tests.harness.matrix_local import LocalFleet
from tests.harness.targets import Fleet, Service

MODULES = ("cache_region", "cache_invalidate")


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
            held = sum(not trial.broken for trial in those)
            failed = sum(trial.outcome == "failed" for trial in those)
            faults = sum(trial.delivered for trial in those)
            lines.append(f"{fault:<18}{module:<18}{len(those):>7}{faults:>8}{failed:>8}{held:>7}")
    held = sum(not trial.broken for trial in trials)
    return "\n".join([*lines, f"{'all':<36}{len(trials):>7}{sum(trial.delivered for trial in trials):>8}{'':>8}{held:>7}"])


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


def main() -> int:
    count, first = number("TRIALS", 20), number("SEED", 1)
    began = time.monotonic()
    started = lifecycle.up()
    try:
        place = {**Fleet().store_args, "store_url": f"s3://exalt-cache-backups/faults-{secrets.token_hex(6)}"}
        taken = backups.trials(count, first, place)
        trials = services(count, first)
        with tempfile.TemporaryDirectory() as folder:
            races = locks.trials(Fleet().store_args, Path(folder), first, 5 * count)
        restarted = restarts.trials(number("RESTARTS", 30), first, Fleet())
        with tempfile.TemporaryDirectory() as folder:
            updated = updates.trials(LocalFleet(Fleet(), Path(folder) / "store"), number("UPDATES", 3), first)
        in_place = physical.trials(number("FILES", 20), first, Fleet())
    finally:
        if started:
            lifecycle.down()
    kills = restores.kills(5 * count, first)
    rotated = rotations.trials(5 * count, count, first)
    print(f"certificates: {rotated.rotations} rotations, {rotated.killed} of {count} runs killed, {rotated.converged} converged; handshakes "
          f"{', '.join(f'{who} {number}' for who, number in rotated.handshakes.items())}, failed {len(rotated.failed)}", flush=True)
    for line in rotated.failed[:20]:
        print(f"not held: {line}", flush=True)
    healed = heals.trials(count, first) + heals.trials(1, first, 15000)
    failed_over = failovers.trials(2 * count, first)
    seconds = round(time.monotonic() - began, 1)
    details = {
        "physical": [dataclasses.asdict(trial) for trial in in_place],
        "restarts": [dataclasses.asdict(trial) for trial in restarted],
        "updates": [dataclasses.asdict(trial) for trial in updated],
        "failovers": [dataclasses.asdict(trial) for trial in failed_over],
        "rotations": dataclasses.asdict(rotated),
        "heals": [dataclasses.asdict(trial) for trial in healed],
        "trials": [dataclasses.asdict(trial) for trial in trials], "backups": [dataclasses.asdict(trial) for trial in taken],
        "restores": [dataclasses.asdict(kill) for kill in kills], "locks": {name: dataclasses.asdict(race) for name, race in races.items()},
    }
    paths.write(paths.ROOT / "build" / "faults.json", json.dumps({**details, "seconds": seconds}, indent=1) + "\n")
    print(table(trials))
    print(backups.table(taken))
    print(heals.table(healed))
    print(failovers.table(failed_over))
    print(restarts.table(restarted))
    print(updates.table(updated))
    print(physical.table(in_place))
    killed, wrote, held = (sum(picks) for picks in zip(*((kill.killed, kill.wrote, not kill.broken) for kill in kills)))
    print(f"restores killed: {killed} of {len(kills)} trials, {wrote} after the first write, held {held}")
    for name, race in races.items():
        print(f"20 runs that want one lock, {name}: {len(race.winners)} rounds, one winner in {race.held}, {race.seconds:.0f} s")
    print(f"{seconds:.0f} s; seeds {first} to {first + count - 1}; details in build/faults.json")
    won = all(race.held == len(race.winners) for race in races.values())
    won = won and not rotated.failed and rotated.converged == count
    everything = [*trials, *taken, *kills, *healed, *failed_over, *restarted, *in_place, *updated]
    return 0 if won and not any(trial.broken for trial in everything) else 1


if __name__ == "__main__":
    sys.exit(main())
