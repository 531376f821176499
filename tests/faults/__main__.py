# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault suite: `make faults`. TRIALS is the number of trials for each fault (20), SEED the first seed (1)."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import sys
import time

from tests.faults import backups
from tests.faults.trials import FAULTS, Subject, Trial
from tests.fleet import paths
from tests.fleet.local import lifecycle
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


def main() -> int:
    count, first = number("TRIALS", 20), number("SEED", 1)
    began = time.monotonic()
    started = lifecycle.up()
    trials: list[Trial] = []
    taken: list[backups.Trial] = []
    try:
        place = {**Fleet().store_args, "store_url": f"s3://exalt-cache-backups/faults-{secrets.token_hex(6)}"}
        taken = backups.trials(count, first, place)
        service = Service(Fleet(), ())
        try:
            subject = Subject(service)
            for fault in FAULTS:
                for seed in range(first, first + count):
                    trial = subject.trial(fault, MODULES[seed % 2], seed)
                    trials.append(trial)
                    for text in trial.broken:
                        print(f"not held: {trial.fault} {trial.module} seed {trial.seed}: {text}", flush=True)
        finally:
            service.close()
    finally:
        if started:
            lifecycle.down()
    report = paths.ROOT / "build" / "faults.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps({
        "trials": [dataclasses.asdict(trial) for trial in trials], "backups": [dataclasses.asdict(trial) for trial in taken], "seconds": round(time.monotonic() - began, 1)}, indent=1) + "\n")
    print(table(trials))
    print(backups.table(taken))
    print(f"{time.monotonic() - began:.0f} s; seeds {first} to {first + count - 1}; details in build/faults.json")
    return 1 if any(trial.broken for trial in [*trials, *taken]) else 0


if __name__ == "__main__":
    sys.exit(main())
