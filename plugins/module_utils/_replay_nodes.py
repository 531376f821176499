# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The primaries that a replay writes to: who owns which slot, what is not answered yet, and what has to be sent again.

What a node has not answered is kept, within bounds, until it has: after a lost connection it is sent to whoever owns the slot
then. The slots of a primary that was lost are suspects: what it answered it may not have passed on to its replica.
"""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from . import _topology
from ._errors import CachingError, one_line
from ._redis import ERRORS, Redis
from ._replay_wire import Block, Part, Primary, arguments

_MOST_REPLIES, _MOST_BYTES = 20_000, 8 << 20  # unanswered, for each node
_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_PASSING = (b"TRYAGAIN", b"CLUSTERDOWN", b"LOADING", b"MASTERDOWN", b"READONLY", b"BUSY", b"NOREPLICAS", b"UNBLOCKED")
_REASONS = {
    b"OOM": "has no memory left (maxmemory)", b"MISCONF": "takes no writes, as it can't save its data", b"NOAUTH": "wants a password",
    b"NOPERM": "does not let this user restore: it needs the rule +restore +asking +function +wait ~*",
}
_BETWEEN_LOOKS = 1.0


class Pending(t.NamedTuple):
    """A command to send again: when it was refused first, what was said, and where to ask for it."""

    command: bytes
    since: float
    said: str
    ask: str = ""


class Owners:
    """Who owns each slot, and every command's way to an OK. ``ours``: keys that exist may be from an earlier run."""

    def __init__(
        self, source: Redis, conflict: str, patience: float, ours: bool = False, tick: t.Callable[[], None] = lambda: None
    ) -> None:
        self._source, self._conflict, self._patience, self.ours = source, conflict, patience, ours
        self._tick = tick
        self.skipped: t.Callable[[bytes], None] = lambda command: None  # told of each key that is left as it was
        self._primaries: dict[str, Primary] = {}
        self._addresses = [f"{host}:{port}" for host, port in source.seeds]
        self._again: list[Pending] = []
        self._stale = False
        self._looked = 0.0
        self.suspects: set[int] = set()
        self.resent = 0
        self.owner: list[Primary] = []
        self._followed: set[str] = set()  # primaries that have replicas
        self.look()

    @property
    def primaries(self) -> list[Primary]:
        """Those that own slots."""
        return sorted(set(self.owner), key=lambda primary: primary.address)

    def _primary(self, address: str) -> Primary:
        return self._primaries.setdefault(address, Primary(address, self._source.plug))

    def look(self) -> None:
        """Read who owns what, until every slot has an owner or patience is over."""
        end = time.monotonic() + self._patience
        while True:
            nodes, told = self._newest()
            if nodes and not _topology.uncovered(nodes):
                break
            if time.monotonic() > end:
                raise CachingError(f"not every slot of the cluster has a primary that works{': ' + told if told else ''}")
            time.sleep(0.2)
        before = {primary.address for primary in set(self.owner)}
        owner: list[Primary] = [self._primary("")] * _topology.SLOTS
        for node in nodes:
            if node.is_primary:
                for first, last in node.slots:
                    owner[first : last + 1] = [self._primary(node.address)] * (last + 1 - first)
        ids = {node.primary_id for node in nodes if not node.is_primary and not node.failing}
        self._followed = {node.address for node in nodes if node.id in ids}
        now = {node.address for node in nodes if node.is_primary}
        self._suspect(before - now)
        self.owner[:] = owner
        self._addresses = sorted({node.address for node in nodes if "noaddr" not in node.flags} | set(self._addresses))
        self._stale, self._looked = False, time.monotonic()

    def _newest(self) -> tuple[list[_topology.Node], str]:
        """The view of the node that knows the latest epochs, and why others say nothing."""
        told = []

        def ask(address: str) -> list[_topology.Node]:
            host, _colon, port = address.rpartition(":")
            client = self._source.client(host.strip("[]"), int(port))
            try:
                nodes = _topology.nodes(client.execute_command("CLUSTER NODES"))
            except ERRORS as error:
                told.append(self._source.refusal_at(address, error).message)
                return []
            finally:
                client.close()
            return [node._replace(host=node.host or host) for node in nodes]

        with ThreadPoolExecutor(min(16, len(self._addresses))) as threads:
            views = list(threads.map(ask, self._addresses))
        whole = [view for view in views if view and not _topology.uncovered(view)]
        newest = max(whole or views, key=lambda view: sum(node.epoch for node in view if node.is_primary and node.slots), default=[])
        return newest, "; ".join(told[:2])

    def _suspect(self, addresses: t.Collection[str]) -> None:
        if addresses:
            self.suspects.update(place for place, primary in enumerate(self.owner) if primary.address in addresses)

    def flush(self) -> None:
        """Send what is collected, and read until each node has few answers left to give."""
        for primary in list(self._primaries.values()):
            if primary.out:
                self._send(primary)
        self._tick()
        self._resend()

    def push(self, primary: Primary, head: t.Sequence[Part], value: memoryview, tail: t.Sequence[Part]) -> None:
        """One command with a value that is too big to be copied."""
        if primary.out:
            self._send(primary)
        self._carry(primary, Block([b"".join(head), value, b"".join(tail)], 1))

    def _send(self, primary: Primary) -> None:
        block = Block([b"".join(primary.out)], primary.waiting)
        primary.out.clear()
        primary.waiting = 0
        self._carry(primary, block)

    def _carry(self, primary: Primary, block: Block) -> None:
        try:
            primary.send(block)
            while primary.unanswered > _MOST_REPLIES or primary.bytes > _MOST_BYTES:
                self._receive(primary)
        except OSError as error:
            self._lost(primary, error)

    def _receive(self, primary: Primary) -> None:
        for line, refused, again in primary.receive():
            self._refused(primary, line, refused, again)

    def _lost(self, primary: Primary, error: OSError) -> None:
        """Its slots are suspects, and what it has not answered is to be sent again."""
        self._suspect({primary.address})
        said = f"the connection to {primary.address} was lost: {one_line(error, 100) or type(error).__name__}"
        self._again += [Pending(left, time.monotonic(), said) for left in primary.drop() if left != _ASKING]
        self._stale = True

    def _refused(self, primary: Primary, line: bytes, refused: bytes, again: bool) -> None:
        """Another answer than OK: somewhere else, later, a conflict, or an error."""
        if refused == _ASKING:
            return
        word, _space, detail = line[1:].partition(b" ")
        said = f"{primary.address}: {one_line(line[1:].decode('utf-8', 'replace'), 200)}"
        if word in (b"MOVED", b"ASK"):
            host, _colon, port = detail.split(b" ")[-1].decode().rpartition(":")
            address = f"{host or primary.address.rpartition(':')[0]}:{port}"
            if word == b"MOVED":
                self._stale = True
                self.owner[int(detail.split(b" ")[0])] = self._primary(address)
            self._again.append(Pending(refused, time.monotonic(), said, address if word == b"ASK" else ""))
        elif word in _PASSING:
            self._stale = True
            self._again.append(Pending(refused, time.monotonic(), said))
        elif word == b"BUSYKEY" and (again or self.ours):
            return
        elif word == b"BUSYKEY" and self._conflict == "skip":
            self.skipped(refused)
        else:
            key = one_line(repr(arguments(refused)[1].decode("utf-8", "backslashreplace")), 80)
            if word == b"BUSYKEY":
                raise CachingError(f"the key {key} is at the target already: use on_conflict skip or replace, or flush")
            reason = f" {_REASONS[word]}" if word in _REASONS else f" does not take the key {key}"
            raise CachingError(f"{primary.address}{reason}: {one_line(line[1:].decode('utf-8', 'replace'), 200)}")

    def _resend(self) -> None:
        """Send again what was refused or lost, each to where it belongs now, until nothing is left of it or patience is over."""
        pause = 0.02
        while self._again:
            if self._stale and time.monotonic() - self._looked > _BETWEEN_LOOKS:
                self.look()
            pending, self._again = self._again, []
            oldest = min(one.since for one in pending)
            if time.monotonic() - oldest > self._patience:
                raise CachingError(f"{len(pending)} keys could not be written within {self._patience:g} s; last: {pending[0].said}")
            places: dict[tuple[Primary, str], list[bytes]] = {}
            for one in pending:
                primary = self._primary(one.ask) if one.ask else self.owner[_topology.slot(arguments(one.command)[1])]
                places.setdefault((primary, one.ask), []).append(one.command)
            self.resent += len(pending)
            for (primary, ask), again in places.items():
                for start in range(0, len(again), 500):
                    some = again[start : start + 500]
                    parts: list[Part] = [part for one in some for part in ((_ASKING, one) if ask else (one,))]
                    self._carry(primary, Block([b"".join(parts)], len(parts), again=True))
            self._drain([primary for primary, _ask in places])
            self._again = [one._replace(since=min(one.since, oldest)) for one in self._again]
            if self._again:
                time.sleep(pause)
                pause = min(1.0, pause * 1.6)
                self._tick()

    def _drain(self, primaries: t.Iterable[Primary]) -> None:
        for primary in primaries:
            try:
                while primary.unanswered:
                    self._receive(primary)
            except OSError as error:
                self._lost(primary, error)

    def settle(self) -> None:
        """Until every command is answered with OK."""
        self.flush()
        while any(primary.unanswered for primary in self._primaries.values()) or self._again:
            self._drain(list(self._primaries.values()))
            self._resend()

    def everywhere(self, *words: bytes) -> list[tuple[Primary, bytes]]:
        """One command on every primary, with the answers; while a primary is lost, again on all."""
        end = time.monotonic() + self._patience
        self.settle()
        while True:
            try:
                return [(primary, primary.ask(*words)) for primary in self.primaries]
            except OSError as error:
                if time.monotonic() > end:
                    raise CachingError(f"a primary does not answer: {one_line(error, 100)}") from None
            for primary in self.primaries:
                primary.close()
            time.sleep(0.3)
            self.look()

    def durable(self, seconds: float) -> list[str]:
        """Wait until each primary that has replicas has passed on to one of them what was written; those that have not."""
        left = []
        for primary in self.primaries:
            if primary.address in self._followed:
                try:
                    primary.socket.settimeout(seconds + 10)
                    if primary.ask(b"WAIT", b"1", b"%d" % int(seconds * 1000)) == b":0":
                        left.append(primary.address)
                except OSError as error:
                    self._lost(primary, error)
        return left

    def close(self) -> None:
        for primary in self._primaries.values():
            primary.close()
