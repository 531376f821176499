# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch Redis Clusters for tests: any shape, either flavour, on ports of the loopback address, in a folder of their own.

Each node starts with a written nodes.conf, so nothing has to be met or joined.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tests.fleet.redis_servers import server

SLOTS = 16384


class ScratchError(Exception):
    """Why there is no server or no cluster, in one line."""


def up(*clusters: Scratch) -> None:
    """Start several at once: a cluster needs two seconds before it takes writes."""
    with ThreadPoolExecutor(len(clusters)) as threads:
        list(threads.map(Scratch.up, clusters))


def free_ports(number: int) -> list[int]:
    """Ports that are free, with the port of the cluster bus 10,000 above."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < number:
            port = 20000 + secrets.randbelow(12000)
            try:
                for one in (port, port + 10000):
                    probe = held.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", one))
            except OSError:
                continue
            found.append(port)
    return found


@dataclass
class Node:
    """One process."""

    port: int
    folder: Path
    id: str
    primary: str = ""
    slots: tuple[tuple[int, int], ...] = ()
    process: subprocess.Popen[bytes] | None = None
    password: str | None = None
    host: str = "127.0.0.1"     # where it is reached
    inside: str = ""            # where it listens, if that is elsewhere

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass
class Scratch:
    """A cluster of `shards` primaries with `replicas` each."""

    folder: Path
    flavour: str = "valkey"
    shards: int = 3
    replicas: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    password: str | None = None
    nodes: list[Node] = field(default_factory=list)
    formed: bool = True   # else its nodes are blank, and know nobody

    def __enter__(self) -> Scratch:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.down()

    def up(self) -> None:
        ports = free_ports(self.shards * (1 + self.replicas))
        made = [Node(port, self.folder / str(port), secrets.token_hex(20), password=self.password) for port in ports]
        for node in made:
            self.placed(node)
        edges = [SLOTS * number // self.shards for number in range(self.shards + 1)]
        for number, node in enumerate(made):
            if number < self.shards:
                node.slots = ((edges[number], edges[number + 1] - 1),)
            else:
                node.primary = made[number % self.shards].id
        self.nodes = made
        for node in made:
            node.folder.mkdir(parents=True)
            if self.formed:
                (node.folder / "nodes.conf").write_text(self._map(node))
            self.start(node)
        if self.formed:
            self.until(self.whole, "the cluster is not whole")
        else:
            self.until(lambda: all(self.client(node).ping() for node in made), "a node does not answer")

    def placed(self, node: Node) -> None:
        """Where a new node is: for those that put it elsewhere."""

    def _map(self, myself: Node) -> str:
        lines = []
        for number, node in enumerate(self.nodes):
            flags = ("myself," if node is myself else "") + ("slave" if node.primary else "master")
            slots = " ".join(f"{first}-{last}" for first, last in node.slots)
            place = f"{node.address}@{node.port + 10000}"
            epoch = 0 if node.primary else number + 1
            lines.append(f"{node.id} {place} {flags} {node.primary or '-'} 0 0 {epoch} connected {slots}".rstrip())
        return "\n".join([*lines, f"vars currentEpoch {self.shards} lastVoteEpoch 0", ""])

    def start(self, node: Node) -> None:
        program = server(self.flavour)
        (node.folder / "redis.conf").touch()    # for CONFIG REWRITE
        settings = {
            "bind": node.host, "bind-source-addr": node.host, **self.transport(node), "dir": str(node.folder), "cluster-enabled": "yes", "save": "",
            "cluster-config-file": "nodes.conf", "cluster-node-timeout": "1000", "repl-diskless-sync": "yes", "appendonly": "no",
            "repl-diskless-sync-delay": "0", "enable-debug-command": "yes", "cluster-require-full-coverage": "yes",
            "cluster-replica-validity-factor": "0", **self.options,
        }
        if self.password:
            settings |= {"requirepass": self.password, "masterauth": self.password}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with (node.folder / "log").open("ab") as log:
            node.process = subprocess.Popen([program.program, "redis.conf", *words], stdout=log, stderr=log, cwd=node.folder,
                                            env={**os.environ, **program.environment})

    def transport(self, node: Node) -> dict[str, str]:
        """Settings of its ports and addresses."""
        return {"port": str(node.port)}

    @property
    def connection(self) -> dict[str, t.Any]:
        """Options of redis-py to reach a node, beside its address."""
        return {"password": self.password}

    def blank(self) -> Node:
        """One node more, that knows nobody."""
        port = free_ports(1)[0]
        node = Node(port, self.folder / str(port), "", password=self.password)
        node.folder.mkdir(parents=True)
        self.nodes.append(node)
        self.start(node)
        self.until(lambda: bool(self.client(node).ping()), "a node does not answer")
        return node

    def kill(self, node: Node, sign: int = signal.SIGKILL) -> None:
        assert node.process
        node.process.send_signal(sign)
        if sign == signal.SIGKILL:
            node.process.wait()

    def down(self) -> None:
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- looking

    def client(self, node: Node) -> redis.Redis:
        return redis.Redis(host=node.host, port=node.port, socket_timeout=20, **self.connection)

    def primaries(self) -> list[Node]:
        """Those that own slots now, in the order of their slots."""
        found: list[Node] = []
        for _first, node in sorted(self.owners(), key=lambda row: row[0]):
            if node not in found:
                found.append(node)
        return found

    def owners(self, client: redis.Redis | None = None) -> list[tuple[int, Node]]:
        """The first slot of each range, and who owns it."""
        by_port = {node.port: node for node in self.nodes}
        answer = (client or self._any()).execute_command("CLUSTER SLOTS")
        rows = t.cast("list[t.Any]", answer) if isinstance(answer, list) else [
            [first, last, [host, port]] for (first, last), entry in answer.items() for host, port in [entry["primary"]]]
        return [(int(row[0]), by_port[int(row[2][1])]) for row in rows]

    def _any(self) -> redis.Redis:
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                client = self.client(node)
                with contextlib.suppress(redis.RedisError):
                    if client.execute_command("CLUSTER INFO")["cluster_state"] == "ok":
                        return client
        raise ScratchError("no node works")

    def whole(self) -> bool:
        """Every node that runs works, has its data, and sees the same owners and the same replicas of theirs."""
        seen = set()
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                client = self.client(node)
                role = client.info("replication")
                if client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                    return False
                if role["role"] == "slave" and role["master_link_status"] != "up":
                    return False
                follow = ((address, row["master_id"]) for address, row in client.execute_command("CLUSTER NODES").items())
                seen.add(str([sorted((first, owner.port) for first, owner in self.owners(client)), sorted(follow)]))
        return len(seen) == 1

    @staticmethod
    def until(reached: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(redis.RedisError, ScratchError):
                if reached():
                    return
            if time.monotonic() > end:
                raise ScratchError(what)
            time.sleep(0.03)

    @property
    def args(self) -> dict[str, t.Any]:
        """Options of the fragment `redis`."""
        found: dict[str, t.Any] = {"redis_nodes": [node.address for node in self.nodes]}
        return {**found, **({"redis_password": self.password} if self.password else {})}

    def cluster(self) -> redis.RedisCluster:
        first = self.primaries()[0]
        return redis.RedisCluster(host=first.host, port=first.port, **self.connection)

    def sizes(self) -> int:
        return sum(int(t.cast("int", self.client(node).dbsize())) for node in self.primaries())

    # ---- changing

    def flush(self) -> None:
        for node in self.primaries():
            self.client(node).flushall()
            self.client(node).execute_command("FUNCTION FLUSH")

    def saved(self) -> list[Path]:
        """An RDB of each shard."""
        files = []
        for node in self.primaries():
            self.client(node).save()
            files.append(node.folder / "dump.rdb")
        return files

    def promote(self, node: Node, how: str = "") -> None:
        """A failover to this replica."""
        self.client(node).execute_command("CLUSTER", "FAILOVER", *([how] if how else []))
        self.until(lambda: self.client(node).info("replication")["role"] == "master", f"{node.address} is not promoted")
        self.until(self.whole, "the cluster is not whole after a failover")

    def replica_of(self, primary: Node) -> Node:
        found = str(self.client(primary).execute_command("CLUSTER MYID").decode())
        for node in self.nodes:
            client = self.client(node)
            rows = client.execute_command("CLUSTER NODES")
            mine = next(row for row in rows.values() if "myself" in row["flags"])
            if mine["master_id"] == found:
                return node
        raise ScratchError(f"{primary.address} has no replica")

    def move(self, slots: Iterator[int] | range, source: Node, target: Node) -> None:
        """Move slots with their keys, as resharding does."""
        ids = {node.port: self.client(node).execute_command("CLUSTER MYID").decode() for node in (source, target)}
        giver, taker = self.client(source), self.client(target)
        for slot in slots:
            taker.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
            giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
            while keys := giver.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                giver.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            for client in (taker, giver):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
        self.until(self.whole, "the cluster is not whole after slots were moved")
