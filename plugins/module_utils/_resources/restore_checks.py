# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a restore looks at before it writes anything: versions, memory, health, and keys that are there. Mostly pure functions."""

from __future__ import annotations

import re
import contextlib
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .. import _cluster_health, _topology
from .._cluster_health import View
from .._errors import one_line
from .._redis import ERRORS, Redis

_EMPTY_SERVER = 2 << 20  # what a server without data says that it uses
_ROOM = 0.9  # of what is free
_SHARED = 11  # the last RDB version that both flavours write and read alike


def newest_rdb(info: t.Mapping[str, str]) -> tuple[str, int]:
    """Flavour of a server, and the highest RDB version that it is known to read."""
    name = info.get("server_name", "redis")
    told = info.get(f"{name}_version") or info.get("redis_version") or ""
    found = re.match(r"(\d+)\.(\d+)", told)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if name == "valkey":
        return name, 80 if version >= (9, 0) else 11
    known = (((7, 4), 12), ((7, 2), 11), ((7, 0), 10), ((5, 0), 9))
    return "redis", next((rdb for least, rdb in known if version >= least), 8)


def refusal(flavour: str, version: int, targets: t.Mapping[str, t.Mapping[str, str]]) -> list[str]:
    """Why nodes can't take keys of an RDB: they must know its version, and above the shared ones be of its flavour."""
    told = []
    for address, info in sorted(targets.items()):
        theirs, highest = newest_rdb(info)
        if version > highest or version > _SHARED and theirs != flavour:
            told.append(f"{address} is {theirs} with RDB versions up to {highest}, and the backup has version {version} of {flavour}")
    return told


def needs(used: t.Sequence[int], share: float) -> int:
    """Bytes of memory that the keys will take: what the servers of the backup used for them, and the share that is wanted."""
    return int(sum(max(0, one - _EMPTY_SERVER) for one in used) * share)


def lacks_memory(needed: int, nodes: t.Mapping[str, tuple[float, t.Mapping[str, str]]], emptied: bool) -> tuple[list[str], list[str]]:
    """Why the keys don't fit, and what can't be told. ``nodes``: the share of the slots that each has, and its INFO."""
    problems, notes = [], []
    for address, (share, info) in sorted(nodes.items()):
        limit, used = _topology.number(info, "maxmemory") or 0, _topology.number(info, "used_memory") or 0
        own = _topology.number(info, "used_memory_startup") or 0
        if not limit:
            notes.append(f"{address} has no maxmemory, so nobody knows whether the keys fit")
            continue
        free, wanted = limit - (own if emptied else used), int(needed * share)
        if wanted > free * _ROOM:
            policy = info.get("maxmemory_policy", "noeviction")
            outcome = "writes would be refused" if policy == "noeviction" else f"keys would be evicted ({policy})"
            problems.append(f"{address} has {_mib(free)} free of {_mib(limit)} and would need {_mib(wanted)}: {outcome}")
    return problems, notes


def _mib(number: int) -> str:
    return f"{number / 2**20:.1f} MiB"


def unfit(views: t.Sequence[View]) -> tuple[list[str], list[str]]:
    """What keeps a cluster from being written to, and what else is not as it should be (a replica that is away)."""
    all_reasons = _cluster_health.reasons(views, 1 << 40)
    chosen = _cluster_health.majority(views)
    if chosen is None:
        return all_reasons, []
    where = _cluster_health.addresses(views)
    serving = {where.get(node.id, node.address) for node in chosen.nodes if node.is_primary and node.slots}
    blocking = []
    for reason in all_reasons:
        replica = not any(reason.startswith(f"{address} ") or reason.startswith(f"{address}:") for address in serving)
        cluster_wide = "slots are served by no" in reason or reason.startswith("views differ")
        if cluster_wide or not replica or "cluster_state is" in reason:
            blocking.append(reason)
    return blocking, [reason for reason in all_reasons if reason not in blocking]


def lacks_rights(
    cluster: Redis, addresses: t.Iterable[str], flush: bool, key: bytes | None, functions: bool
) -> list[str]:
    """Commands of the restore that the user may not run, before the first of them is. Servers before 7.0 can't be asked."""
    wanted: list[tuple[str | bytes, ...]] = [("WAIT", "1", "1")]
    wanted += [("RESTORE", key, "0", "x")] if key is not None else []
    wanted += [("FLUSHALL", "SYNC"), ("FUNCTION", "FLUSH", "SYNC")] if flush else []
    wanted += [("FUNCTION", "RESTORE", "x")] if functions else []
    problems = []
    for address in addresses:
        host, _colon, port = address.rpartition(":")
        client = cluster.client(host.strip("[]"), int(port))
        try:
            user = client.execute_command("ACL WHOAMI")
            answers = [client.execute_command("ACL DRYRUN", user, *command) for command in wanted]
        except ERRORS:
            continue   # it does not know the question, or the user may not ask it
        told = [one_line(answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer, 160) for answer in answers]
        problems += [f"{address}: {text}" for text in dict.fromkeys(told) if text != "OK"]
    return problems


def libraries(cluster: Redis, addresses: t.Iterable[str]) -> int:
    """Libraries of functions on these primaries, which a flush would remove."""
    number = 0
    for address in addresses:
        host, _colon, port = address.rpartition(":")
        with contextlib.suppress(*ERRORS):   # before 7.0 there are none
            number += len(cluster.client(host.strip("[]"), int(port)).execute_command("FUNCTION LIST"))
    return number


class Found(t.NamedTuple):
    """Keys of a backup that are at the target already, and some of their names."""

    number: int
    names: list[str]


class Present:
    """Asks the primaries which keys are there; nothing is asked of an empty cluster."""

    def __init__(self, cluster: Redis) -> None:
        self._cluster = cluster
        nodes = [node for node in cluster.nodes() if node.is_primary and not node.failing]
        self._owner = {slot: node for node in nodes for first, last in node.slots for slot in range(first, last + 1)}
        self._clients = {node.address: cluster.client(node.host, node.port) for node in nodes}
        self._threads = ThreadPoolExecutor(max(1, len(self._clients)))
        self.number = 0
        self.names: list[str] = []

    def look(self, keys: t.Sequence[bytes]) -> None:
        shares: dict[str, list[bytes]] = {}
        for key in keys:
            node = self._owner.get(_topology.slot(key))
            if node:
                shares.setdefault(node.address, []).append(key)
        for found in self._threads.map(self._ask, shares.items()):
            self.number += len(found)
            room = max(0, 3 - len(self.names))
            self.names += [one_line(repr(key.decode("utf-8", "backslashreplace")), 60) for key in found[:room]]

    def _ask(self, share: tuple[str, list[bytes]]) -> list[bytes]:
        address, keys = share
        client = self._clients[address]
        try:
            pipe = client.pipeline(transaction=False)
            for key in keys:
                pipe.execute_command("EXISTS", key)
            return [key for key, there in zip(keys, pipe.execute()) if there]
        except ERRORS as error:
            raise self._cluster.refusal_at(address, error) from None
