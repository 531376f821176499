# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which nodes a backup reads, and whether it may, from what every node of the cluster says. Pure functions."""

from __future__ import annotations

import typing as t

from . import _cluster_health, _topology
from ._cluster_health import View
from ._errors import CachingError
from ._manifest import ranges
from ._topology import SLOTS, Node, number

_COPIED = 0.25  # of a node's memory that is copied while its fork writes, where no earlier fork of it tells
_RUNNING = {"success", "failed", "cancelled", "canceled", "completed"}


class Unsettled(CachingError):
    """The cluster is not as a backup needs it. Some of it passes by itself: after a failover, for one."""


class Source(t.NamedTuple):
    """A node that may be read for a shard, and what must not change while it is."""

    slots: tuple[tuple[int, int], ...]
    id: str
    address: str
    role: str
    primary: str
    primary_id: str
    epoch: int

    @property
    def label(self) -> str:
        return ranges(self.slots)


def shards(views: t.Sequence[View]) -> list[list[Source]]:
    """For each shard its nodes that answer, the primary first; an error where not every slot is in exactly one shard."""
    chosen = _cluster_health.majority(views)
    if chosen is None:
        raise Unsettled("no node of Redis answers")
    state = chosen.cluster.get("cluster_state", "unknown")
    moving = sorted({slot.partition("-")[0] for view in views for node in view.nodes if "myself" in node.flags for slot in node.moving})
    if moving:
        raise Unsettled(f"{len(moving)} slots are on their way to another node ({', '.join(moving[:3])} …): a backup waits until they are there")
    owners = [node for node in chosen.nodes if node.is_primary and node.slots]
    _covered(owners, state)
    where = _cluster_health.addresses(views)
    answering = {view.address for view in views if not view.error}
    found = []
    for owner in sorted(owners, key=lambda node: node.slots):
        followers = sorted((node for node in chosen.nodes if node.primary_id == owner.id and not node.is_primary), key=lambda node: where.get(node.id, ""))
        rows = [_source(node, owner, where) for node in [owner, *followers]]
        there = [row for row in rows if row.address in answering and not _failing(row, chosen)]
        if not there:
            raise Unsettled(f"no node of the slots {ranges(owner.slots)} answers ({', '.join(row.address for row in rows)})")
        found.append(there)
    return found


def _covered(owners: t.Sequence[Node], state: str) -> None:
    seen = bytearray(SLOTS)
    for node in owners:
        for low, high in node.slots:
            for slot in range(low, high + 1):
                seen[slot] += seen[slot] < 2
    if seen.count(1) != SLOTS:
        raise Unsettled(f"{seen.count(0)} of {SLOTS} slots have no primary, and {seen.count(2)} have several: that would be no whole backup")
    if state != "ok":
        raise Unsettled(f"cluster_state is {state}: a backup needs a cluster that works")


def _source(node: Node, owner: Node, where: t.Mapping[str, str]) -> Source:
    role = "primary" if node is owner else "replica"
    address = where.get(node.id, node.address)
    return Source(owner.slots, node.id, address, role, where.get(owner.id, owner.address), owner.id, owner.epoch)


def _failing(row: Source, view: View) -> bool:
    return any(node.id == row.id and "fail" in node.flags for node in view.nodes)


def preferred(nodes: t.Sequence[Source], read_from: str) -> list[Source]:
    """The nodes of a shard in the order in which they are tried."""
    primaries = [node for node in nodes if node.role == "primary"]
    replicas = [node for node in nodes if node.role == "replica"]
    return primaries if read_from == "primaries" else [*replicas, *primaries]


def unfit(replica: View, max_lag: float) -> str:
    """Why a replica can't be read, from its own INFO; nothing where it can."""
    info = replica.info
    if info.get("master_link_status") != "up":
        return f"its link to the primary is {info.get('master_link_status', 'unknown')}"
    if info.get("master_sync_in_progress", "0") != "0":
        return "it is being synchronised"
    silent = number(info, "master_last_io_seconds_ago")
    if silent is None or silent > max(max_lag, 10.0):  # an idle primary says something every 10 s (repl-ping-replica-period)
        return f"it has heard nothing of its primary for {'an unknown time' if silent is None else f'{silent} s'}"
    return ""


def other_databases(info: t.Mapping[str, str]) -> list[str]:
    """Databases with keys, besides the one that a cluster has: a backup would not count them right, and a restore not place them."""
    return sorted(name for name in info if name.startswith("db") and name[2:].isdigit() and name != "db0")


def loading(info: t.Mapping[str, str]) -> bool:
    return info.get("loading", "0") != "0" or info.get("async_loading", "0") != "0"


def server(info: t.Mapping[str, str]) -> dict[str, str]:
    """Flavour and version: what a Valkey says of Redis is only what it is compatible with."""
    if info.get("valkey_version"):
        return {"flavour": "valkey", "version": info["valkey_version"]}
    return {"flavour": info.get("server_name") or "redis", "version": info.get("redis_version", "unknown")}


def migrating(jobs: t.Any) -> int:
    """How many slot migrations are under way, as CLUSTER GETSLOTMIGRATIONS tells (Valkey 9)."""
    running = 0
    for job in jobs if isinstance(jobs, (list, tuple)) else []:
        pairs = job.items() if isinstance(job, dict) else zip(job[::2], job[1::2]) if isinstance(job, (list, tuple)) else ()
        fields = {_text(name): _text(value) for name, value in pairs}
        running += bool(fields) and fields.get("state", "").lower() not in _RUNNING
    return running


def _text(value: t.Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# ---- what the forks need


def head_room(views: t.Sequence[View], sources: t.Sequence[Source], at_once: int) -> list[str]:
    """Hosts whose memory may not be enough for the forks, a line each."""
    reading = {source.address for source in sources}
    hosts: dict[str, list[View]] = {}
    for view in views:
        if not view.error:
            hosts.setdefault(view.address.rpartition(":")[0], []).append(view)
    told = []
    for host, members in sorted(hosts.items()):
        memory = max((number(view.info, "total_system_memory") or 0 for view in members), default=0)
        used = sum(number(view.info, "used_memory_rss") or 0 for view in members)
        copies = sorted((_copied(view.info) for view in members if view.address in reading), reverse=True)[: at_once or None]
        if memory and copies and used + sum(copies) > memory:
            told.append(
                f"{host}: its {len(members)} nodes use {used >> 20} MB, and {len(copies)} forks at once may need {sum(copies) >> 20} MB more than that, "
                f"but the host has {memory >> 20} MB"
            )
    return told


def _copied(info: t.Mapping[str, str]) -> int:
    """Memory that a fork of this node will cost: half as much again as its last one, else a share of what it uses."""
    last = number(info, "rdb_last_cow_size") or 0
    return max(last + last // 2, int(_COPIED * (number(info, "used_memory_rss") or 0)) if not last else 0)


def disk(view: View, by_file: bool) -> str:
    """Why a node that writes a file first may not be able to; nothing where it can, or writes none."""
    if by_file and view.info.get("rdb_last_bgsave_status", "ok") != "ok":
        return f"{view.address} has to write a file first, and its last save failed (rdb_last_bgsave_status): look at its disk and its log"
    return ""


def shown(sources: t.Sequence[Source]) -> list[dict[str, t.Any]]:
    """The plan as a result."""
    return [{"slots": source.label, "node": source.address, "role": source.role} for source in sources]


def same(node: Source, rows: t.Sequence[_topology.Node]) -> str:
    """What has changed at a node since it was chosen, from its own CLUSTER NODES; nothing where nothing has."""
    mine = next((row for row in rows if "myself" in row.flags), None)
    owner = mine if mine and mine.is_primary else next((row for row in rows if mine and row.id == mine.primary_id), None)
    if mine is None or mine.id != node.id:
        return f"{node.address} is another node now"
    if owner is None or ("primary" if mine.is_primary else "replica") != node.role or owner.id != node.primary_id or owner.epoch != node.epoch:
        return f"{node.address} is no longer the {node.role} that it was"
    if owner.slots != node.slots or owner.moving:
        return f"slots of {node.address} have moved"
    return ""
