# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The nodes that a backup reads: looked at, chosen, and looked at again."""

from __future__ import annotations

import threading
import time
import typing as t

from .. import _backup_plan, _topology
from .._backup_plan import Source, Unsettled
from .._cluster_health import View
from .._errors import CachingError
from .._redis import ERRORS, Redis
from .._stream import Stream
from .._wait import Deadline
from .redis_nodes import Nodes

if t.TYPE_CHECKING:
    import redis

_SETTLES = 30.0  # how long a failover may take until the cluster is whole again


class Sources:
    """The cluster behind ``redis``, as the source of a backup."""

    def __init__(self, redis: Redis, user: str | None, read_from: str, max_lag: float, warn: t.Callable[[str], None]) -> None:
        self.redis = redis
        self.user = user
        self.read_from = read_from
        self.max_lag = max_lag
        self.warn = warn
        self.views: dict[str, View] = {}
        self._lock = threading.Lock()
        self._warned: set[str] = set()

    # ---- choosing

    def plan(self, settles: float = _SETTLES) -> list[Source]:
        """One node for each shard. What may pass by itself is waited for."""
        deadline = Deadline(settles)
        while True:
            try:
                return [self._choose(nodes) for nodes in self._shards()]
            except Unsettled as error:
                if deadline.left < 1.0 or "on their way" in error.message:
                    raise CachingError(error.message) from None
            deadline.pause(0.5)

    def again(self, slots: tuple[tuple[int, int], ...], stop: threading.Event) -> Source:
        """A node for these slots, after the one before has failed or changed."""
        deadline = Deadline(_SETTLES)
        while not stop.is_set():
            try:
                found = next((nodes for nodes in self._shards() if nodes[0].slots == slots), None)
                if found is None:
                    raise CachingError("slots have moved to other nodes while the backup ran: run it again")
                return self._choose(found)
            except Unsettled as error:
                if deadline.left < 1.0:
                    raise CachingError(error.message) from None
            deadline.pause(0.5)
        raise CachingError("the backup was given up")

    def _shards(self) -> list[list[Source]]:
        nodes = Nodes(self.redis, 0, 0)
        nodes.look()
        with self._lock:
            self.views = {view.address: view for view in nodes.views}
        rows = _backup_plan.shards(nodes.views)
        for row in rows:
            self._migrations(row[0])
        return rows

    def _migrations(self, owner: Source) -> None:
        """Valkey 9 moves slots in jobs, which CLUSTER NODES does not show."""
        if self.view(owner.primary).info.get("valkey_version", "0").partition(".")[0] < "9":
            return
        try:
            running = _backup_plan.migrating(self.client(owner.primary).execute_command("CLUSTER GETSLOTMIGRATIONS"))
        except ERRORS as error:
            self.once(f"whether slots migrate can't be seen: {self.redis.refusal_at(owner.primary, error).message}")
            return
        if running:
            raise Unsettled(f"slots of {owner.primary} are on their way to another node: a backup waits until they are there")

    def _choose(self, nodes: t.Sequence[Source]) -> Source:
        reasons: list[str] = []
        for node in _backup_plan.preferred(nodes, self.read_from):
            reason = self._unfit(node)
            if not reason:
                if node.role == "primary" and self.read_from == "replicas":
                    self.once(f"slots {node.label} are read from their primary {node.address}: {'; '.join(reasons) or 'they have no replica'}")
                return node
            reasons.append(f"{node.address}: {reason}")
        raise Unsettled(f"no node of the slots {nodes[0].label} can be read: {'; '.join(reasons) or 'none answers'}")

    def _unfit(self, node: Source) -> str:
        view = self.view(node.address)
        if view.error or _backup_plan.loading(view.info):
            return view.error or "it is loading its data"
        others = _backup_plan.other_databases(view.info)
        if others:
            raise CachingError(f"{node.address} has keys in {', '.join(others)}: a backup holds database 0 only")
        if node.role == "replica":
            return _backup_plan.unfit(view, self.max_lag) or self._behind(node)
        return ""

    def _behind(self, node: Source) -> str:
        """A replica is so far behind as it takes to reach where its primary is now."""
        try:
            goal = _topology.number(self._info(node.primary), "master_repl_offset")
            deadline = Deadline(self.max_lag)
            while True:
                reached = _topology.number(self._info(node.address), "slave_repl_offset")
                if goal is not None and reached is not None and reached >= goal:
                    return ""
                if deadline.over:
                    return f"it is more than {self.max_lag:g} s behind its primary"
                deadline.pause(0.05)
        except ERRORS as error:
            return self.redis.refusal_at(node.primary, error).message

    def lag(self, node: Source) -> int | None:
        """Bytes that a node is behind its primary; 0 for a primary, None where it can't be known."""
        if node.role == "primary":
            return 0
        try:
            return _topology.lag(self._info(node.primary), self._info(node.address))
        except ERRORS:
            return None

    # ---- reading

    def open(self, node: Source, marked: bool) -> Stream:
        info = self.view(node.address).info
        try:
            wire = self.redis.plug(node.address)
        except ERRORS as error:
            raise Unsettled(self.redis.refusal_at(node.address, error).message) from None
        return Stream(wire, node.address, self.user, info.get("valkey_version") or None, marked)

    def changed(self, node: Source) -> str:
        """What is not as it was when the node was chosen; nothing where nothing has changed."""
        try:
            rows = _topology.nodes(self.client(node.address).execute_command("CLUSTER NODES"))
        except ERRORS as error:
            return self.redis.refusal_at(node.address, error).message
        return _backup_plan.same(node, rows)

    def view(self, address: str) -> View:
        with self._lock:
            return self.views.get(address) or View(address, error="it does not answer")

    def client(self, address: str) -> redis.Redis:
        host, _colon, port = address.rpartition(":")
        return self.redis.client(host.strip("[]"), int(port))

    def once(self, text: str) -> None:
        with self._lock:
            new = text not in self._warned
            self._warned.add(text)
        if new:
            self.warn(text)

    def _info(self, address: str) -> dict[str, str]:
        return _topology.info(self.client(address).execute_command("INFO", "replication"))

    # ---- holding writes

    def pause(self, primaries: t.Sequence[str], seconds: float) -> float:
        """Hold the writes at all primaries; each lets go by itself after ``seconds``, whatever becomes of this run."""
        begun = time.monotonic()
        for address in primaries:
            try:
                self.client(address).execute_command("CLIENT", "PAUSE", max(1, int(seconds * 1000)), "WRITE")
            except ERRORS as error:
                self.unpause(primaries)
                refusal = self.redis.refusal_at(address, error).message
                hint = f". Grant it with: ACL SETUSER {self.user or 'default'} +client|pause +client|unpause" if "may not" in refusal else ""
                raise CachingError(f"quiesce: {refusal}{hint}") from None
        return begun

    def level(self, nodes: t.Sequence[Source], deadline: Deadline) -> None:
        """Wait until the replicas have what their primaries had when their writes were held."""
        for node in nodes:
            while node.role == "replica" and self.lag(node) != 0 and not deadline.over:
                deadline.pause(0.01)

    def unpause(self, primaries: t.Sequence[str]) -> None:
        for address in primaries:
            try:
                self.client(address).execute_command("CLIENT", "UNPAUSE")
            except ERRORS:  # the pause has an end of its own
                pass
