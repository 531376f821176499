# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One trial of a cluster whose nodes come back at other addresses, and what `redis_cluster` makes of it.

Held is a trial when the module says that all is well, no key is missing then or after another node timeout, every node has the role
that it had, no epoch was raised (no replica was elected; but where a primary and its replica have each other's address, the others may
have done so before the module came), failovers are as they were set, and a second run changes nothing.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.modules import run_module
from tests.harness.scratch import Node, Scratch, free_ports

WHICH = ("all", "primary", "replica", "shard", "swapped", "turned")
KEYS = 200


@dataclass
class Trial:
    """How one trial went; `broken` says what was not held."""

    flavour: str
    which: str
    timeout: int
    seconds: float = 0.0
    changed: bool = False
    elected: int = 0
    missing: int = 0
    broken: list[str] = field(default_factory=list)


def args(cluster: Scratch, **options: t.Any) -> dict[str, t.Any]:
    given = {"nodes": [{"address": node.address} for node in cluster.nodes], "wait_timeout": "PT90S", **options}
    return {**given, **({"redis_password": cluster.password} if cluster.password else {})}


def fill(cluster: Scratch) -> None:
    client = cluster.cluster()
    for place in range(KEYS):
        client.set(f"key:{place}", str(place))
    cluster.until(lambda: all(cluster.client(node).wait(cluster.replicas, 500) >= cluster.replicas for node in cluster.primaries()), "no replica")


def missing(cluster: Scratch) -> int:
    client = cluster.cluster()
    return sum(client.get(f"key:{place}") != str(place).encode() for place in range(KEYS))


def moved(cluster: Scratch, which: str) -> list[Node]:
    """Those that get another address; `swapped`: a primary and its replica each other's, `turned`: all of them another's."""
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    return {"primary": [primary], "replica": [replica], "shard": [primary, replica], "swapped": [primary, replica]}.get(which, list(cluster.nodes))


def move(cluster: Scratch, nodes: list[Node], empty: t.Collection[Node] = (), among: bool = False) -> None:
    """They stop, and come back at other ports, or `among` themselves at each other's, with their files; `empty` without their data."""
    for node in nodes:
        cluster.kill(node)
    for node in empty:
        shutil.rmtree(node.folder / "appendonlydir")
    ports = [node.port for node in nodes]
    for node, port in zip(nodes, [*ports[1:], ports[0]] if among else free_ports(len(nodes))):
        node.port = port
        cluster.start(node)
    cluster.until(lambda: all(cluster.client(node).ping() for node in nodes), "a node does not answer")


def roles(cluster: Scratch) -> dict[int, tuple[str, str, int]]:
    """What each node says it is: role, whom it follows, epoch of its shard."""
    found = {}
    for number, node in enumerate(cluster.nodes):
        text = cluster.client(node).execute_command("CLUSTER NODES")
        mine = next(row for row in text.values() if "myself" in row["flags"])
        found[number] = ("master" if "master" in mine["flags"] else "slave", mine["master_id"], int(mine["epoch"]))
    return found


def changed_roles(before: dict[int, tuple[str, str, int]], after: dict[int, tuple[str, str, int]]) -> list[int]:
    """Nodes that are or follow something else now, and primaries whose epoch was raised: somebody was elected."""
    return [number for number, was in before.items() if after[number][:2] != was[:2] or (was[0] == "master" and after[number] != was)]


def trial(flavour: str, which: str, timeout: int, wait: float, plant: t.Callable[[Scratch], t.Any] = bool) -> Trial:
    """`timeout`: the node timeout in ms; `wait`: seconds between the restart and the run; `plant`: what the judge has to find."""
    made = Trial(flavour, which, timeout)
    options = {"appendonly": "yes", "appendfsync": "always", "cluster-node-timeout": str(timeout)}   # what a kill loses is another matter
    with tempfile.TemporaryDirectory() as folder, Scratch(Path(folder) / "c", flavour, 3, 1, options) as cluster:
        fill(cluster)
        before = roles(cluster)
        move(cluster, moved(cluster, which), among=which in ("swapped", "turned"))
        time.sleep(wait)
        began = time.monotonic()
        done = run_module("redis_cluster", args(cluster))
        made.seconds, made.changed = round(time.monotonic() - began, 1), bool(done.get("changed"))
        if done.get("failed"):
            made.broken.append(done["msg"])
        plant(cluster)
        for moment in ("at once", "later"):
            after = roles(cluster)
            states = {node.port: cluster.client(node).execute_command("CLUSTER INFO")["cluster_state"] for node in cluster.nodes}
            if set(states.values()) != {"ok"}:
                made.broken.append(f"{moment}: cluster_state is {states}; roles were {before} and are {after}")
                break
            made.elected = sum(after[number][0] == "master" != before[number][0] for number in before)
            made.missing = missing(cluster)
            made.broken += [f"{moment}: {made.missing} keys are missing"] if made.missing else []
            if changed_roles(before, after) and which != "swapped":   # two of three primaries may elect by themselves before
                made.broken.append(f"{moment}: roles were {before} and are {after}")
            time.sleep(0.0 if made.broken else timeout / 1000 * 2 if moment == "at once" else 0)
        held = [node.port for node in cluster.nodes if cluster.client(node).config_get("cluster-replica-no-failover").popitem()[1] != "no"]
        made.broken += [f"no failover at {held}"] if held else []
        if not made.broken and run_module("redis_cluster", args(cluster)).get("changed") is not False:
            made.broken.append("a second run changes something")
    return made


def trials(count: int, first: int, timeout: int = 1000, flavours: t.Sequence[str] = ("valkey", "redis")) -> list[Trial]:
    """`count` trials for each flavour with all nodes moved, and a quarter of it for each of the other cases."""
    wanted = [(flavour, which, seed) for flavour in flavours for which in WHICH
              for seed in range(first, first + (count if which == "all" else max(1, count // 4)))]
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(lambda want: trial(want[0], want[1], timeout, want[2] % 5 * timeout / 1000), wanted))


def table(found: list[Trial]) -> str:
    lines = [f"{'healed':<10}{'moved':<10}{'timeout':>9}{'trials':>7}{'elected':>9}{'keys lost':>11}{'held':>6}{'longest':>9}"]
    for flavour, which, timeout in dict.fromkeys((one.flavour, one.which, one.timeout) for one in found):
        those = [one for one in found if (one.flavour, one.which, one.timeout) == (flavour, which, timeout)]
        held = sum(not one.broken for one in those)
        lines.append(f"{flavour:<10}{which:<10}{timeout:>9}{len(those):>7}{sum(one.elected for one in those):>9}{sum(one.missing for one in those):>11}"
                     f"{held:>6}{max(one.seconds for one in those):>7.0f} s")
    return "\n".join(lines)
