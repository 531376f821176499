# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that write to a Redis Cluster all the time and know what was acknowledged: what failed, what was lost, and how long each shard was away.

Each shard has writers of its own, so that one that waits for another shard does not count as its absence. A key has one writer, and its values
only grow; it is read before it is written again, and once more in the end. As clients of clusters do, a writer follows MOVED, and asks
another node where one does not answer; only what has not succeeded within `patience` seconds is a failed request.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
import time
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import redis
from ansible_collections.exalt.caching.plugins.module_utils import _topology
from redis.backoff import NoBackoff
from redis.exceptions import MovedError, RedisError
from redis.retry import Retry

from tests.harness.until import until

KEYS = 24       # of each writer
TIMEOUT = 2.0   # seconds; that a client waits for one answer


class Failed(Exception):
    """A request that did not succeed in time."""


@dataclass(frozen=True)
class Gaps:
    """Times between two acknowledged writes of one range of slots, in milliseconds."""

    slots: str
    acknowledged: int
    p50: float
    p95: float
    longest: float


@dataclass
class Told:
    acknowledged: int = 0
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    gaps: list[Gaps] = field(default_factory=list)

    @property
    def longest(self) -> float:
        return max((one.longest for one in self.gaps), default=0.0)


class Client:
    """A connection to each node. It begins anywhere, and stays where the slots are."""

    def __init__(self, nodes: Sequence[str], patience: float, options: Mapping[str, t.Any]) -> None:
        self.patience = patience
        self._options = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "retry": Retry(NoBackoff(), 0), **options}
        self._clients: dict[str, redis.Redis] = {}
        self._others = itertools.cycle(nodes)
        self.place = next(self._others)

    def ask(self, *commands: tuple[t.Any, ...]) -> list[t.Any]:
        """The answers of one node, by one connection; the first one decides where that is."""
        end = time.monotonic() + self.patience
        while True:
            try:
                return self._once(commands)
            except MovedError as moved:
                why: Exception = moved
                self.place = f"{moved.host}:{moved.port}"
            except (RedisError, OSError) as error:
                why = error
                self.place = next(self._others)
                time.sleep(0.02)
            if time.monotonic() > end:
                raise Failed(f"{type(why).__name__}: {why}") from None

    def _once(self, commands: Sequence[tuple[t.Any, ...]]) -> list[t.Any]:
        if self.place not in self._clients:
            host, _colon, port = self.place.rpartition(":")
            self._clients[self.place] = redis.Redis(host=host, port=int(port), **self._options)
        with self._clients[self.place].pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers = pipeline.execute(raise_on_error=False)
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


class Writer(threading.Thread):
    """One of a shard. `written` has the last acknowledged value of each key, `times` when writes were acknowledged."""

    def __init__(self, client: Client, keys: Sequence[str], replicas: int, pause: float, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.client, self.keys, self.replicas, self.pause, self.over = client, keys, replicas, pause, over
        self.written: dict[str, int] = dict.fromkeys(keys, 0)
        self.times: list[float] = []
        self.failed: list[str] = []
        self.lost: list[str] = []

    def run(self) -> None:
        for number in itertools.count(1):
            if self.over.is_set():
                return
            key = self.keys[number % len(self.keys)]
            try:
                self.check(key)
                self.write(key, number)
                self.times.append(time.monotonic())
                self.written[key] = number
            except Failed as error:
                self.failed.append(f"{time.strftime('%H:%M:%S')} {key}: {error}")
            self.over.wait(self.pause)

    def write(self, key: str, number: int) -> None:
        """Acknowledged by so many replicas, too; the write is repeated until it is."""
        end = time.monotonic() + self.client.patience
        while True:
            wanted = self.replicas
            _ok, *told = self.client.ask(("SET", key, number), *([("WAIT", wanted, 500)] if wanted else []))
            if not wanted or (isinstance(told[0], int) and told[0] >= wanted):
                return
            if time.monotonic() > end:
                raise Failed(f"{told[0]} of {wanted} replicas have it")

    def check(self, *keys: str) -> None:
        """That nothing less is there than what was acknowledged; with a second look, as the first may have been at one that was replaced meanwhile."""
        suspects = [key for key in keys if self.found(key) < self.written[key]]
        time.sleep(0.3 if suspects else 0)
        for key in suspects:
            if (value := self.found(key)) < self.written[key]:
                self.lost.append(f"{key}: {self.written[key]} was acknowledged, and {value or 'nothing'} is there")
                self.written[key] = value

    def found(self, key: str) -> int:
        return int(self.client.ask(("GET", key))[0] or 0)


class Acknowledged:
    """`writers` for each shard that owns slots in the beginning. `replicas`: how many of them have to have a write before it counts."""

    def __init__(self, nodes: Sequence[str], *, writers: int = 2, replicas: int = 0, patience: float = 10.0, pause: float = 0.01,
                 **options: t.Any) -> None:
        self._over = threading.Event()
        self._clients = [Client(nodes, patience, options)]
        self._name = f"acknowledged:{secrets.token_hex(4)}"
        self.result = Told()
        self._shards: dict[str, list[Writer]] = {}
        for ranges in self._owned():
            keys = self._keys(ranges, KEYS * writers)
            mine = [Client(nodes, patience, options) for _writer in range(writers)]
            self._clients += mine
            name = ",".join(f"{first}-{last}" for first, last in ranges)
            self._shards[name] = [Writer(one, keys[place::writers], replicas, pause, self._over) for place, one in enumerate(mine)]

    def _owned(self) -> list[list[tuple[int, int]]]:
        """Ranges of slots of each shard."""
        answer = self._clients[0].ask(("CLUSTER", "NODES"))[0]
        rows = _topology.nodes(answer.decode() if isinstance(answer, bytes) else answer)
        return sorted(list(node.slots) for node in rows if node.slots)

    def _keys(self, ranges: Sequence[tuple[int, int]], number: int) -> list[str]:
        """As many keys, spread over the slots of these ranges."""
        slots = [slot for first, last in ranges for slot in range(first, last + 1)]
        parts = {slot: place * number // len(slots) for place, slot in enumerate(slots)}
        found: dict[int, str] = {}
        for count in itertools.count():
            key = f"{self._name}:{count}"
            part = parts.get(_topology.slot(key.encode()))
            if part is not None:
                found.setdefault(part, key)
                if len(found) == min(number, len(slots)):
                    return [found[one] for one in sorted(found)]
        raise AssertionError

    @property
    def _writers(self) -> list[Writer]:
        return [one for mine in self._shards.values() for one in mine]

    @property
    def count(self) -> int:
        """How many writes were acknowledged until now."""
        return sum(len(one.times) for one in self._writers)

    @property
    def counts(self) -> list[int]:
        """The same of each shard."""
        return [sum(len(one.times) for one in mine) for mine in self._shards.values()]

    def needs(self, replicas: int) -> None:
        """From now on so many replicas have to have a write: none, once the only one is about to become the primary."""
        for one in self._writers:
            one.replicas = replicas

    def more(self, number: int = 20, patience: float = 60.0) -> None:
        """Wait until every shard has acknowledged so many writes more."""
        before = self.counts
        until(lambda: all(now >= then + number for now, then in zip(self.counts, before)), f"{number} writes more in every shard", patience)

    def away(self, since: float) -> float:
        """Seconds from that moment (of time.monotonic) until the shard that was away for longest took writes again."""
        ends = [0.0]
        for mine in self._shards.values():
            times = [since, *(moment for moment in sorted(moment for one in mine for moment in one.times) if moment > since)]
            ends.append(max(((later - earlier, later - since) for earlier, later in itertools.pairwise(times)), default=(0.0, 0.0))[1])
        return max(ends)

    @property
    def keys(self) -> dict[str, int]:
        """What has to be there: the last acknowledged value of each key."""
        return {key: value for one in self._writers for key, value in one.written.items() if value}

    @property
    def losses(self) -> list[str]:
        return [text for one in self._writers for text in one.lost]

    def __enter__(self) -> t.Self:
        self._began = time.monotonic()
        for one in self._writers:
            one.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        with contextlib.suppress(Failed):
            self._clients[0].patience = 2.0
            for key in self.keys:
                self._clients[0].ask(("UNLINK", key))
        for client in self._clients:
            client.close()

    def halt(self) -> None:
        """No more writes."""
        if not self._over.is_set():
            self._over.set()
            for one in self._writers:
                one.join()
            self._ended = time.monotonic()

    def stop(self) -> Told:
        """No more writes; then every key is read once more. `result` has all of it."""
        self.halt()
        for one in self._writers:
            try:
                one.check(*one.keys)
            except Failed as error:
                one.failed.append(f"not all keys can be read in the end: {error}")
        self.result = Told(self.count, [text for one in self._writers for text in one.failed], self.losses, [
            _gaps(name, sorted(moment for one in mine for moment in one.times), self._began, self._ended) for name, mine in self._shards.items()])
        return self.result


def _gaps(slots: str, times: Sequence[float], began: float, ended: float) -> Gaps:
    found = sorted(1000 * (later - earlier) for earlier, later in itertools.pairwise([began, *times, ended]))
    p50, p95 = (round(found[min(len(found) - 1, int(part * len(found)))], 1) for part in (0.5, 0.95))
    return Gaps(slots, len(times), p50, p95, round(found[-1], 1))


def table(found: Sequence[Gaps]) -> str:
    """How long each range was away, a line each."""
    lines = [f"{'slots':<14}{'writes':>8}{'p50':>9}{'p95':>9}{'longest':>10}"]
    return "\n".join([*lines, *(f"{one.slots:<14}{one.acknowledged:>8}{one.p50:>6.1f} ms{one.p95:>6.1f} ms{one.longest:>7.0f} ms" for one in found)])
