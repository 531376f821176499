# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One trial of a shard whose primary fails under clients that write: it is killed, frozen, cut off, or too few primaries are left for an election.

A killed primary is a process that ended (SIGKILL), a frozen one stands still with its connections open (SIGSTOP), one that is cut off works on,
and no byte gets to it or from it (`tests.harness.walled`). Held is a trial when the module reaches its goal, every write that a replica had
acknowledged is there in the end, former primaries follow when they are back, all nodes agree, and a second run changes nothing. A takeover has
to be refused while the primary works; where the quorum is lost, also while it is not confirmed or not approved, and so has a forced election.
"""

from __future__ import annotations

import random
import signal
import statistics
import tempfile
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from tests.harness.acknowledged import Acknowledged
from tests.harness.failing import healthy, run
from tests.harness.modules import ModuleResult
from tests.harness.scratch import Node, Scratch, ScratchError
from tests.harness.walled import Walled

KINDS = ("killed", "frozen", "cut off", "quorum lost")
FLAVOURS = ("valkey", "redis")


@dataclass
class Trial:
    """How one trial went. `seconds`: what the module took; `recovery`: from the fault until the shard took writes again; `broken`: what was not held."""

    kind: str
    flavour: str
    seed: int
    timeout: int = 0
    method: str = ""
    seconds: float = 0.0
    recovery: float = 0.0
    keys: int = 0
    refused: int = 0
    elected: bool = False       # a former primary, after it had followed
    lost: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Stage:
    """A cluster and what fails in it."""

    def __init__(self, cluster: Walled, made: Trial, chance: random.Random) -> None:
        self.cluster, self.made, self.chance = cluster, made, chance
        primaries = chance.sample(cluster.primaries(), 2 if made.kind == "quorum lost" else 1)
        self.victims, self.heirs = primaries, [cluster.replica_of(node) for node in primaries]
        self.how = chance.choice(KINDS[:3]) if made.kind == "quorum lost" else made.kind
        self.seeds = [node.address for node in cluster.nodes if node not in primaries]
        self.made.method = "takeover" if made.kind == "quorum lost" else chance.choice(("graceful", "force"))

    def fail(self) -> None:
        for node in self.victims:
            match self.how:
                case "killed":
                    self.cluster.kill(node)
                case "frozen":
                    self.cluster.kill(node, signal.SIGSTOP)
                case _:
                    self.cluster.cut(node)

    def back(self) -> None:
        for node in self.victims:
            match self.how:
                case "killed":
                    self.cluster.start(node)
                case "frozen":
                    self.cluster.kill(node, signal.SIGCONT)
                case _:
                    self.cluster.mend(node)

    def run(self, heir: Node, **options: t.Any) -> ModuleResult:
        given = {"node": heir.address, "redis_timeout": 2, "redis_nodes": self.seeds, "wait_timeout": "PT60S", "debounce": "PT1S"}
        return run(self.cluster, **{**given, "method": self.made.method, **options})

    def refuses(self, text: str, **options: t.Any) -> None:
        """A run that must not do anything, and says why."""
        before = owners(self.cluster, self.seeds)
        answer = self.run(self.heirs[0], **options)
        self.made.refused += 1
        if not answer.get("failed") or answer.get("changed") or text not in answer["msg"] or "\n" in answer["msg"]:
            self.made.broken.append(f"{options} was not refused with '{text}': {answer}")
        if owners(self.cluster, self.seeds) != before:
            self.made.broken.append(f"{options} was refused, and there are other primaries now")


def owners(cluster: Scratch, seeds: t.Collection[str]) -> list[str]:
    """Who says of itself that it is a primary."""
    nodes = [node for node in cluster.nodes if node.address in seeds]
    return [node.address for node in nodes if cluster.client(node).info("replication")["role"] == "master"]


def trial(kind: str, flavour: str, seed: int, plant: t.Callable[[Scratch, Acknowledged], t.Any] | None = None) -> Trial:
    """`plant`: what the judge has to find."""
    chance = random.Random(f"{kind} {flavour} {seed}")
    made = Trial(kind, flavour, seed, chance.choice((2000, 3000, 5000)))
    options = {"appendonly": "yes", "appendfsync": "always", "cluster-node-timeout": str(made.timeout), "cluster-replica-validity-factor": "10"}
    with tempfile.TemporaryDirectory() as folder, Walled(Path(folder) / "c", flavour, 3, 1, options) as cluster:
        try:
            _go(Stage(cluster, made, chance), plant)
        except (AssertionError, ScratchError, RedisError) as error:
            made.broken.append(f"{type(error).__name__}: {error}")
    return made


def _go(stage: Stage, plant: t.Callable[[Scratch, Acknowledged], t.Any] | None) -> None:
    cluster, made = stage.cluster, stage.made
    everybody = {"approve_takeover": True, "confirmed_down": [node.address for node in stage.victims]}
    with Acknowledged([node.address for node in cluster.nodes], replicas=1, writers=1, patience=90) as writers:
        writers.more()
        stage.refuses("lives, so nobody may take over from it", method="takeover", **everybody)
        stage.fail()
        writers.needs(0)
        failed = time.monotonic()
        time.sleep(made.timeout / 1000 + 1 if made.kind == "quorum lost" else stage.chance.choice((0.0, 0.3, 1.0, 2.0)))
        if made.kind == "quorum lost":
            stage.refuses("too few primaries are left for an election", method="force")
            stage.refuses("confirmed_down does not name", approve_takeover=True)
            stage.refuses("approve_takeover=true does it", confirmed_down=everybody["confirmed_down"])
        began = time.monotonic()
        for heir in stage.heirs:    # after the first takeover there may be enough of them, and the others elect the second
            done = stage.run(heir, **(everybody if made.kind == "quorum lost" else {}))
            if done.get("failed"):
                made.broken.append(done["msg"])
                break
        made.seconds = round(time.monotonic() - began, 1)
        if not made.broken:
            writers.more()
        writers.needs(1)    # by former primaries, too
        stage.back()
        if not made.broken:
            cluster.until(cluster.whole, "a former primary does not follow", 60)
            made.elected = made.kind == "quorum lost" and any(node in cluster.primaries() for node in stage.victims)
            # Where two come back at once, nodes that take each other for failed elect others, also one that has just followed its heir. That is theirs
            # to do; whether it cost a write is seen below.
            healthy(cluster, None if made.elected else stage.heirs[0], patience=20)
            if not made.elected:
                again = stage.run(stage.heirs[0], method="graceful")
                made.broken += [f"a second run: {again.get('msg', 'it changed something')}"] if again.get("failed") or again["changed"] else []
        writers.halt()
        if plant:
            plant(cluster, writers)
    made.keys, made.lost = len(writers.keys), writers.result.lost
    made.recovery = round(writers.away(failed), 1)
    made.broken += [*(f"lost: {text}" for text in writers.result.lost[:5]), *(f"failed: {text}" for text in writers.result.failed[:5])]


def trials(count: int, first: int) -> list[Trial]:
    """So many, of each kind and flavour in turn."""
    wanted = [(KINDS[number % 4], FLAVOURS[number // 4 % 2], first + number) for number in range(count)]
    found = [trial(*want) for want in wanted]   # one after the other, as a node that gets no processor is taken for one that failed
    for one in found:
        for text in one.broken:
            print(f"not held: {one.kind} {one.flavour} seed {one.seed}: {text}", flush=True)
    return found


def table(found: list[Trial]) -> str:
    lines = [f"{'failover':<14}{'flavour':<9}{'trials':>7}{'recovery':>10}{'longest':>9}{'keys':>7}{'lost':>6}{'refused':>9}{'held':>6}"]
    for kind, flavour in dict.fromkeys((one.kind, one.flavour) for one in sorted(found, key=lambda one: KINDS.index(one.kind))):
        those = [one for one in found if (one.kind, one.flavour) == (kind, flavour)]
        held = sum(not one.broken for one in those)
        times = [one.recovery for one in those]
        lines.append(f"{kind:<14}{flavour:<9}{len(those):>7}{statistics.median(times):>8.1f} s{max(times):>7.1f} s{sum(one.keys for one in those):>7}"
                     f"{sum(len(one.lost) for one in those):>6}{sum(one.refused for one in those):>9}{held:>6}")
    return "\n".join(lines)
