# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The primaries that a replay writes to: who owns which slot, what is not answered yet, and what has to be sent again.

What a node has not answered is kept, within bounds, until it has: after a lost connection it is sent to whoever owns the slot
then. The slots of a primary that was lost are suspects: what it answered it may not have passed on to its replica.
"""

from __future__ import annotations

import re
import socket
import time
import typing as t
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from . import _topology
from ._errors import CachingError, one_line
from ._redis import ERRORS, Redis

_OK = b"+OK\r\n"
_PIECE = 1 << 16
_OKS = _OK * (_PIECE // len(_OK) + 2)
_MOST_REPLIES, _MOST_BYTES = 20_000, 8 << 20  # unanswered, for each node
_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_PASSING = (b"TRYAGAIN", b"CLUSTERDOWN", b"LOADING", b"MASTERDOWN", b"READONLY", b"BUSY", b"NOREPLICAS", b"UNBLOCKED")
_REASONS = {
    b"OOM": "has no memory left (maxmemory)", b"MISCONF": "takes no writes, as it can't save its data", b"NOAUTH": "wants a password",
    b"NOPERM": "does not let this user restore: it needs the rule +restore +asking +function +wait ~*",
}
_BETWEEN_LOOKS = 1.0
Part = bytes | memoryview


class Block:
    """Commands that were sent together. ``again``: some of them may have been done already."""

    def __init__(self, parts: list[Part], number: int, again: bool = False) -> None:
        self.parts, self.number, self.again = parts, number, again
        self.size = sum(len(part) for part in parts)
        self.answered = 0
        self._commands: list[bytes] = []

    def rest(self) -> list[bytes]:
        """The commands that are not answered."""
        self._commands = self._commands or commands(b"".join(self.parts))
        return self._commands[self.answered :]


class Pending(t.NamedTuple):
    """A command to send again: when it was refused first, what was said, and where to ask for it."""

    command: bytes
    since: float
    said: str
    ask: str = ""


class Primary:
    """One node: what is to be sent to it, what it has not answered, and its socket."""

    def __init__(self, address: str, plug: t.Callable[[str], socket.socket]) -> None:
        self.address = address
        self.out: list[Part] = []
        self.waiting = 0  # commands in out
        self.blocks: deque[Block] = deque()
        self.unanswered = self.bytes = 0
        self._plug = plug
        self._socket: socket.socket | None = None
        self._phase = 0  # how much of an +OK that is not whole was seen
        self._rest = b""  # or of another line

    @property
    def socket(self) -> socket.socket:
        if self._socket is None:
            self._socket = self._plug(self.address)
        return self._socket

    def send(self, block: Block) -> None:
        self.blocks.append(block)
        self.unanswered += block.number
        self.bytes += block.size
        for part in block.parts:
            self.socket.sendall(part)

    def receive(self) -> list[tuple[bytes, bytes, bool]]:
        """Read some replies. Those that are not OK come back, with their commands and whether these were sent before."""
        data = self.socket.recv(_PIECE)
        if not data:
            raise ConnectionError("it closed the connection")
        if not self._rest and data == _OKS[self._phase : self._phase + len(data)]:
            number, self._phase = divmod(self._phase + len(data), len(_OK))
            self._answered(number)
            return []
        *lines, rest = (self._rest + _OK[: self._phase] + data).split(b"\r\n")
        self._phase, self._rest = (len(rest), b"") if _OK.startswith(rest) else (0, rest)
        told = []
        for line in lines:
            if line != b"+OK" and self.blocks:
                block = self.blocks[0]
                told.append((line, block.rest()[0], block.again))
            self._answered(1)
        return told

    def _answered(self, number: int) -> None:
        self.unanswered -= number
        while number and self.blocks:
            block = self.blocks[0]
            left = block.number - block.answered
            if number < left:
                block.answered += number
                return
            self.blocks.popleft()
            self.bytes -= block.size
            number -= left

    def drop(self) -> list[bytes]:
        """Forget the connection; what it has not answered."""
        left = [command for block in self.blocks for command in block.rest()]
        self.close()
        self.blocks.clear()
        self.unanswered = self.bytes = self._phase = 0
        self._rest = b""
        return left

    def ask(self, *words: bytes) -> bytes:
        """One command and its answer, whatever its form, while nothing else is on its way."""
        self.socket.sendall(command(*words))
        data = b""
        while True:
            line, found, rest = data.partition(b"\r\n")
            if found and line[:1] != b"$":
                return line
            if found and len(rest) >= max(0, int(line[1:])) + 2 * (line != b"$-1"):
                return rest[:-2]
            more = self.socket.recv(_PIECE)
            if not more:
                raise ConnectionError("it closed the connection")
            data += more

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


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


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


_COUNT = re.compile(rb"[*$](\d+)\r\n")


def _words(data: bytes, here: int) -> tuple[list[tuple[int, int]], int]:
    """Where the words of the command at ``here`` are, and where it ends."""
    found = t.cast("re.Match[bytes]", _COUNT.match(data, here))
    here, places = found.end(), []
    for _word in range(int(found[1])):
        found = t.cast("re.Match[bytes]", _COUNT.match(data, here))
        here = found.end() + int(found[1]) + 2
        places.append((found.end(), here - 2))
    return places, here


def commands(data: bytes) -> list[bytes]:
    """Commands one by one; they are our own, so they are right."""
    result, here = [], 0
    while here < len(data):
        _places, end = _words(data, here)
        result.append(data[here:end])
        here = end
    return result


def arguments(data: bytes) -> list[bytes]:
    return [data[first:last] for first, last in _words(data, 0)[0]]
