# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One trial of a restore that is killed at a random moment (by a seed), and what is there afterwards.

Held is a trial when (1) the target is as it was, or a safety backup of it was recorded before the first write and verifies, (2) a
plain second run completes it, with the same backup and the same safety backup, and no key is missing, too much or different, and
(3) where asked, the safety backup brings back what was there, key by key.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.fleet import paths
from tests.harness import datasets, process, sets
from tests.harness.modules import PACKAGE, internal, run_module
from tests.harness.scratch import Scratch, up

NEW, OLD = 31, 32   # seeds of the data of the backup, and of what the target holds


@dataclass
class Trial:
    """How one trial went; `broken` says what was not held."""

    seed: int
    signal: str
    after: float
    killed: bool = False
    wrote: bool = False
    resumed: bool = False
    broken: list[str] = field(default_factory=list)


def rough(facts: datasets.Facts) -> datasets.Facts:
    """Without what a replica tells otherwise than its primary (how far a group has read): safety backups come from replicas."""
    return {name: found[:3] for name, found in facts.items()}


class Subject:
    """A source, a target and a store."""

    def __init__(self, source: Scratch, target: Scratch, args: dict[str, t.Any]) -> None:
        self.source, self.target = source, target
        self.args = {**args, "flush": True, "confirm": args["cluster"], "wait_timeout": 20}
        self.wanted: datasets.Facts = datasets.facts(source)
        self.seconds = self.writing = 1.0

    def prepare(self) -> datasets.Facts:
        self.target.until(self.target.whole, "the target is not whole")
        self.target.flush()
        datasets.fill(self.target, OLD)
        return datasets.facts(self.target)

    def whole_run(self) -> float:
        """How long a run takes that nobody kills."""
        self.prepare()
        began = time.monotonic()
        result = run_module("redis_restore", self.args, warm=False)
        assert not result.get("failed"), result
        self.seconds, self.writing = time.monotonic() - began, 0.1 + result["restored"]["seconds"]
        return self.seconds

    def records(self) -> int:
        return sum(1 for _path in Path(self.args["store_url"].removeprefix("file://")).glob("restores/*/*/*/started"))

    def kill(self, after: float, sign: int, writing: bool) -> bool:
        """Whether the run was still there to be killed; `writing`: the time counts from its record, so from just before the first write."""
        records = self.records()
        given = json.dumps({"ANSIBLE_MODULE_ARGS": {**self.args, **internal("redis_restore", check=False, diff=True, verbosity=0)}}).encode()
        run = subprocess.Popen([sys.executable, "-m", f"{PACKAGE}.redis_restore"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=process.environment(None))
        assert run.stdin
        run.stdin.write(given)
        run.stdin.close()
        while writing and run.poll() is None and self.records() == records:
            time.sleep(0.002)
        try:
            run.wait(after)
            return False
        except subprocess.TimeoutExpired:
            run.send_signal(sign)
            run.wait()
            return True

    def trial(self, seed: int, way_back: bool = False) -> Trial:
        chance = random.Random(seed)
        sign = chance.choice((signal.SIGKILL, signal.SIGTERM))
        writing = chance.random() < 0.75
        after = chance.uniform(0.0, 1.0) * self.writing if writing else chance.uniform(0.25, 1.02) * self.seconds
        trial = Trial(seed, signal.Signals(sign).name, round(after, 3))
        before = self.prepare()
        trial.killed = self.kill(trial.after, sign, writing)
        left = datasets.facts(self.target)
        trial.wrote = left != before
        plan = run_module("redis_restore", self.args, check=True)
        trial.resumed = bool(plan.get("plan", {}).get("resumes"))
        if trial.killed and trial.wrote and not trial.resumed and datasets.differences(self.wanted, left):
            trial.broken.append("something was written, and no record says so")
        safety = plan["plan"]["safety_backup"] if trial.resumed else None
        if trial.resumed and not safety and self.args.get("safety_backup", True):
            trial.broken.append("the record names no safety backup")
        done = run_module("redis_restore", self.args)
        if done.get("failed"):
            trial.broken.append(f"the second run failed: {done['msg']}")
            return trial
        trial.broken += datasets.differences(self.wanted, datasets.facts(self.target))[:3]
        if safety and done["safety_backup"] != safety:
            trial.broken.append(f"the second run has another safety backup: {done['safety_backup']} after {safety}")
        if way_back and safety:
            back = run_module("redis_restore", {**self.args, "id": safety, "safety_backup": False})
            trial.broken += [back["msg"]] if back.get("failed") else datasets.differences(rough(before), rough(datasets.facts(self.target)))[:3]
        return trial


KEY = "a signing key of tests"


@contextlib.contextmanager
def subject(folder: Path) -> Iterator[Subject]:
    """A source of three shards with a backup, and a target of three with replicas."""
    source, target = Scratch(folder / "s"), Scratch(folder / "t", shards=3, replicas=1)
    try:
        up(source, target)
        datasets.fill(source, NEW)
        datasets.many(source, 12000, 1)
        (folder / "store").mkdir()
        sets.put(folder / "store", source, key=KEY)
        made = Subject(source, target, {**target.args, "store_url": f"file://{folder / 'store'}", "cluster": "demo", "signing_key": KEY})
        made.whole_run()
        yield made
    finally:
        source.down()
        target.down()


def kills(number: int, first: int) -> list[Trial]:
    """So many trials; every tenth goes all the way back."""
    made = []
    with tempfile.TemporaryDirectory(dir=paths.cache()) as folder, subject(Path(folder)) as one:
        for seed in range(first, first + number):
            trial = one.trial(seed, way_back=seed % 10 == 0)
            made.append(trial)
            for text in trial.broken:
                print(f"not held: restore, {trial.signal} after {trial.after} s, seed {seed}: {text}", flush=True)
    return made
