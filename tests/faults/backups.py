# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One trial: a backup runs on a real cluster while something breaks at a random moment (by a seed), and what is left is judged.

Held is a trial when (1) the data of the cluster is as it was, (2) the newest verified backup is the one before or a new one that
verifies to its last record, (3) a run that ended by itself ended in success or in one clear line, (4) a plain second run succeeds,
and (5) then nothing is left of the first: no object without a manifest, no unfinished upload, no record, no setting.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.exalt.caching.plugins.module_utils._resources.backup_life import leftovers
from ansible_collections.exalt.caching.plugins.module_utils._resources.catalogue import Catalogue
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.fleet import paths
from tests.harness import process
from tests.harness.modules import PACKAGE, ModuleResult, internal, parse, run_module
from tests.harness.s3_proxy import PASSING, Fault, S3Proxy
from tests.harness.scratch import Node, Scratch

KEY = "a key for the trials"
CLUSTER = "trials"
DIRECTORY_FAULTS = ("kill", "term", "kill-replica", "kill-primary", "stop-replica", "failover", "two-runs", "disk-full")
S3_FAULTS = ("kill", "store-breaks", "store-gone", "store-full")
LONGEST = 3.0   # seconds within which a fault comes
Options = dict[str, t.Any]


@dataclass
class Trial:
    """How one trial went; `broken` says what was not held."""

    store: str
    fault: str
    seed: int
    outcome: str = ""
    message: str = ""
    delivered: bool = False
    broken: list[str] = field(default_factory=list)


class Running:
    """A run of redis_backup as a process of its own, so that it can be killed."""

    def __init__(self, options: Options, file_limit: int = 0, check: bool = False) -> None:
        def limit() -> None:
            if file_limit:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{PACKAGE}.redis_backup"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=process.environment(), preexec_fn=limit)
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {**options, **internal("redis_backup", check=check, diff=True, verbosity=0)}}).encode())
        self.process.stdin.close()
        self.process.stdin = None

    def end(self, patience: float = 120.0) -> ModuleResult:
        try:
            out, err = self.process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            err += b"no end"
        result = parse(out.decode(), err.decode(), self.process.returncode)
        result.rc, result.stdout, result.stderr = self.process.returncode, out.decode(), err.decode()
        return result


class Subject:
    """A cluster with data, and a store with one good backup."""

    def __init__(self, scratch: Scratch, folder: Path, s3: Options | None = None) -> None:
        self.scratch, self.folder = scratch, folder
        self.kind = "s3" if s3 else "directory"
        self.store_options: Options = s3 or {"store_url": f"file://{folder}/store"}
        self.limit = 0
        self.fill(12_000_000 if s3 else 700_000)
        self.digest = self.state()
        self.good = self.plain()["backup"]["id"]

    @property
    def options(self) -> Options:
        return {**self.scratch.args, **self.store_options, "cluster": CLUSTER, "signing_key": KEY, "redis_timeout": "PT3S", "store_timeout": "PT5S"}

    def fill(self, size: int) -> None:
        """About so many bytes in each shard that don't compress; read at a rate that takes a second."""
        chance, each = random.Random(1), 50_000
        with contextlib.closing(self.scratch.cluster()) as client:
            for number in range(3 * size // each):
                client.set(f"k{number}", chance.randbytes(each))
            for number in range(300):
                client.hset(f"h{number}", mapping={"a": number, "b": "x" * number})
        self.limit = size
        self.scratch.until(self.scratch.whole, "the cluster is not whole")

    def state(self) -> list[str]:
        return sorted(str(self.scratch.client(node).execute_command("DEBUG DIGEST")) for node in self.scratch.primaries())

    def plain(self) -> ModuleResult:
        return run_module("redis_backup", self.options)

    def newest(self) -> str | None:
        found = run_module("redis_backup_info", {**self.store_options, "cluster": CLUSTER, "signing_key": KEY, "verify": "structure"})
        return found.get("newest_verified")

    def trial(self, fault: str, seed: int, plant: Callable[[Subject], None] = lambda _subject: None) -> Trial:
        chance = random.Random(f"{self.kind} {fault} {seed}")
        trial = Trial(self.kind, fault, seed)
        options = {**self.options, "bandwidth_limit": self.limit, "read_from": chance.choice(["replicas", "primaries"]),
                   "uncompressed_source": chance.random() < 0.3}
        if chance.random() < 0.2 and self.kind == "directory":
            options |= {"quiesce": "PT1S"}
        result = getattr(self, f"_{fault.replace('-', '_')}")(options, chance, trial)
        trial.outcome = "killed" if result is None else "failed" if result.get("failed") else "done"
        trial.message = "" if result is None else str(result.get("msg", ""))
        plant(self)
        self.judge(trial, result)
        return trial

    # ---- faults; each gives the result of the run, or None where it was killed

    def _kill(self, options: Options, chance: random.Random, trial: Trial, sign: int = signal.SIGKILL) -> ModuleResult | None:
        run = Running(options)
        time.sleep(chance.uniform(0.3, LONGEST))
        trial.delivered = run.process.poll() is None
        run.process.send_signal(sign)
        result = run.end()
        return None if sign == signal.SIGKILL and trial.delivered else result

    def _term(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult | None:
        result = self._kill(options, chance, trial, signal.SIGTERM)
        return None if result is not None and result.rc == -signal.SIGTERM else result     # it came before the run could hear it

    def _with_node(self, options: Options, chance: random.Random, trial: Trial, act: Callable[[Node], None], primary: bool) -> ModuleResult:
        node = chance.choice(self.scratch.primaries())
        node = node if primary else self.scratch.replica_of(node)
        run = Running(options)
        time.sleep(chance.uniform(0.3, LONGEST))
        trial.delivered = run.process.poll() is None
        act(node)
        result = run.end()
        assert node.process
        if node.process.poll() is not None:
            if primary:     # without persistence it comes back empty: as a replica it fills up, as the primary it would empty the others
                self.scratch.until(lambda: node not in self.scratch.primaries(), "no replica took over", 60)
            self.scratch.start(node)
        node.process.send_signal(signal.SIGCONT)
        return result

    def _kill_replica(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult:
        return self._with_node(options, chance, trial, self.scratch.kill, primary=False)

    def _kill_primary(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult:
        return self._with_node(options, chance, trial, self.scratch.kill, primary=True)

    def _stop_replica(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult:
        return self._with_node(options, chance, trial, lambda node: self.scratch.kill(node, signal.SIGSTOP), primary=False)

    def _failover(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult:
        return self._with_node(options, chance, trial, self.scratch.promote, primary=False)

    def _two_runs(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult:
        first = Running(options)
        time.sleep(chance.uniform(0.0, 1.5))
        second = Running(options)
        results = [first.end(), second.end()]
        trial.delivered = True
        return next((result for result in results if result.get("failed")), results[1])

    def _disk_full(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult:
        """No file may grow past a size: as on a disk that is full, the write fails in the middle."""
        result = Running(options, file_limit=chance.randrange(1, 700_000)).end()
        trial.delivered = bool(result.get("failed"))
        return result

    def _behind(self, options: Options, broken: list[Fault], after: float, trial: Trial) -> ModuleResult:
        with S3Proxy(options["store_endpoint_url"], seed=trial.seed) as proxy:
            run = Running({**options, "store_endpoint_url": proxy.url})
            time.sleep(after)
            proxy.break_with(*broken)
            result = run.end()
            trial.delivered = bool(proxy.delivered)
            return result

    def _store_breaks(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult:
        return self._behind(options, [Fault(kind, chance=0.3 / len(PASSING)) for kind in PASSING], 0.0, trial)

    def _store_gone(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult:
        return self._behind(options, [Fault(chance.choice(["reset", "stall", "500"]))], chance.uniform(0.5, LONGEST), trial)

    def _store_full(self, options: Options, chance: random.Random, trial: Trial) -> ModuleResult:
        return self._behind(options, [Fault("507", "PutObject|UploadPart|CreateMultipart")], chance.uniform(0.5, LONGEST), trial)

    # ---- the judge

    def judge(self, trial: Trial, result: ModuleResult | None) -> None:
        told = trial.broken
        self.scratch.until(self.scratch.whole, "the cluster is not whole after the trial", 60)
        if result is not None and result.get("failed"):
            one_line = "\n" not in result["msg"] and len(result["msg"]) < 700
            clear = result.rc != 0 and not result.crashed and one_line and "internal error, please report" not in result["msg"]
            if not clear or "Traceback" in result.stdout + result.stderr or "no end" in result.stderr:
                told.append(f"the failure is no clear line: {result.rc} {result.get('msg')} {result.stderr[-300:]}")
        if self.state() != self.digest:
            told.append("the data of the cluster is not what it was")
        new = result["backup"]["id"] if result is not None and not result.get("failed") else None
        newest = self.newest()
        begun = {one.id: one.started for one in self.catalogue().sets() if not one.problem}     # ids of one second sort by chance
        if newest is None or newest not in begun or begun[newest] < max(begun.get(self.good, 0), begun.get(new or "", 0)):
            told.append(f"the newest verified is {newest}; before it was {self.good}, and the run made {new}")
        second = self.plain()
        if second.get("failed"):
            told.append(f"the second run failed: {second['msg']}")
            return
        self.good = second["backup"]["id"]
        if self.newest() != self.good:
            told.append("the second run's backup is not the newest verified")
        told += [f"left: {name}" for name in self.left()]
        self.thin_out()

    def catalogue(self) -> Catalogue:
        return Catalogue(open_store(self.options), CLUSTER, KEY)

    def left(self) -> list[str]:
        catalogue = self.catalogue()
        found = [*leftovers(catalogue).names, *(entry.name for entries in catalogue.leftovers().values() for entry in entries)]
        found += [entry.name for place in ("running", "marks") for entry in catalogue.store.entries(f"backups/{CLUSTER}/{place}")]
        for node in self.scratch.nodes:
            if "yes" not in str(self.scratch.client(node).config_get("rdbcompression")):
                found.append(f"rdbcompression of {node.address} is off")
        return found

    def thin_out(self) -> None:
        run_module("redis_backup_prune", {**self.store_options, "cluster": CLUSTER, "signing_key": KEY, "keep_last": 2})


@contextlib.contextmanager
def subject(folder: Path, s3: Options | None = None) -> Iterator[Subject]:
    with Scratch(folder / "cluster", shards=3, replicas=1, options={"repl-timeout": "10"}) as scratch:
        yield Subject(scratch, folder, s3)


def trials(count: int, first: int, s3: Options) -> list[Trial]:
    """`count` of each fault, each printed where it does not hold."""
    found: list[Trial] = []
    for options, faults in ((None, DIRECTORY_FAULTS), (s3, S3_FAULTS)):
        with tempfile.TemporaryDirectory(dir=paths.cache()) as folder, subject(Path(folder), options) as one:
            for fault in faults:
                for seed in range(first, first + count):
                    trial = one.trial(fault, seed)
                    found.append(trial)
                    for text in trial.broken:
                        print(f"not held: backup {trial.store} {trial.fault} seed {trial.seed}: {text}", flush=True)
    return found


def table(found: list[Trial]) -> str:
    lines = [f"{'backup, store':<18}{'fault':<18}{'trials':>7}{'in time':>8}{'failed':>8}{'held':>7}"]
    for store, fault in dict.fromkeys((trial.store, trial.fault) for trial in found):
        those = [trial for trial in found if (trial.store, trial.fault) == (store, fault)]
        failed, held = sum(trial.outcome == "failed" for trial in those), sum(not trial.broken for trial in those)
        lines.append(f"{store:<18}{fault:<18}{len(those):>7}{sum(trial.delivered for trial in those):>8}{failed:>8}{held:>7}")
    return "\n".join(lines)


if __name__ == "__main__":      # for one kind while working on it: python -m tests.faults.backups kill 5
    with tempfile.TemporaryDirectory(dir=paths.cache()) as place, subject(Path(place)) as only:
        for number in range(int(sys.argv[2])):
            began = time.monotonic()
            done = only.trial(sys.argv[1], number + int(os.environ.get("SEED", "1")))
            print(f"{time.monotonic() - began:.1f} s", done, flush=True)
