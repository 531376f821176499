# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A Redis Cluster formed, joined and healed: each node is read, the plan is carried out, and all of them agree in the end.

No node is ever reset, flushed or forgotten here.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .. import _cluster_hold, _cluster_plan, _cluster_touch, _topology
from .._cluster_plan import Step
from .._cluster_touch import Declared, Seen
from .._errors import CachingError, one_line
from .._redis import ERRORS, Redis, comes_up
from .._wait import Deadline, wait_for
from .redis_nodes import failover_settings

_LOOKS, _BETWEEN = 4, 0.5    # a link may just be renewed: that is no reason to meet again
_PAUSES = (0.05, 0.5)        # seconds between looks: the first, and the longest
_AGAIN = 3.0                 # seconds; a handshake that failed is given up by the nodes after their timeout
_HEALING = ("hold", "meet", "release")
_BUS = re.compile(r"@([0-9]+)")
_Results = dict[str, t.Any]


class _NotYet(CachingError):
    """A node still loads its data, or does not listen yet."""


class Cluster:
    """The nodes that are declared, and the way to what they shall be."""

    def __init__(self, params: t.Mapping[str, t.Any], source: Redis, warn: t.Callable[[str], None], waits: bool = True) -> None:
        self.source, self.warn = source, warn
        self.replicas, self.waits = int(params["replicas"]), waits
        self.deadline = Deadline(t.cast("float", params["wait_timeout"]))
        self.steps: list[Step] = []
        self._ips: dict[str, tuple[str, int]] = {}
        self._bus: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        self._settings: dict[str, dict[str, str]] = {}
        self.declared: list[Declared] = []
        for (host, port), given in zip(source.seeds, params["nodes"]):
            address = f"{host}:{port}"
            ip = _resolved(host, port)
            self._ips[address] = (ip, port)
            self.declared.append(Declared(address, given["shard"] or "", given["location"] or "", frozenset({address, f"{ip}:{port}"})))
        if len(set(self._ips.values())) < len(source.seeds):
            raise CachingError("nodes: an address is there more than once: name each node once")

    def prepare(self) -> _Results:
        """The plan; what is seen now goes into the diff."""
        for look in range(1, _LOOKS + 1):
            seen = self._up()
            try:
                plan = _cluster_plan.plan(self.declared, seen, self.replicas)
                if not plan.steps or any(step["action"] not in _HEALING or len(seen[step.get("target", step["node"])].nodes) == 1 for step in plan.steps):
                    break
            except _cluster_plan.Unsure:
                if look == _LOOKS:
                    raise
            if look < _LOOKS:
                time.sleep(_BETWEEN)
        for text in plan.warnings:
            self.warn(text)
        self.steps = plan.steps
        before = {address: _state(one, seen) for address, one in seen.items()}
        after = {row["primary"]: "primary of " + ", ".join(row["slots"]) for row in plan.topology}
        after.update({address: f"replica of {row['primary']}" for row in plan.topology for address in row["replicas"]})
        meeting = {step["target"] for step in plan.steps if step["action"] == "meet"}
        before.update({address: f"{before[address]}, not seen by all at this address" for address in meeting if before[address] != _ALONE})
        before.update({address: f"{before[address]}, but looks for it at {seen[address].seeks}" for address, _primary in _cluster_touch.astray(seen)})
        before.update({address: f"{before[address]}, no failover while it heals" for address, one in seen.items() if one.failover == "held"})
        return {"topology": plan.topology, "steps": plan.steps, "diff": {"before": before, "after": {name: after[name] for name in before}}}

    def act(self) -> _Results:
        """Carry the steps out, each with what it waits for; then wait until every node says that all is well."""
        deadline = self.deadline
        hold, then, last = ([step for step in self.steps if step["action"] == action] for action in ("hold", "replicate", "release"))
        first = [step for step in self.steps if step not in [*hold, *then, *last]]
        done: list[Step] = []
        try:
            self._each(hold, done)
            if hold:
                _cluster_hold.safe(self._look())
            for group in _cluster_plan.reunions(self.declared, self._look()):
                self._reunite([step for step in first if step["action"] == "meet" and (step["node"], step["target"]) in group], deadline, done)
            self._each([step for step in first if step not in done], done)
            if then:
                self._together(deadline, done)
            self._each(then, done)
            self._ready(deadline, done)
            self._each(last, done)
        except CachingError as error:
            text = ". No replica takes over by itself until this has been run to its end" if last else ""
            raise CachingError(error.message + text, **{"changed": bool(done), "steps": done, **error.results}) from None
        topology = _cluster_plan.plan(self.declared, self._look(), self.replicas).topology
        return {"changed": bool(done), "steps": done, "topology": topology}

    def _each(self, steps: list[Step], done: list[Step]) -> None:
        for step in steps:
            self._do(step)
            done.append(step)

    def _reunite(self, inside: list[Step], deadline: Deadline, done: list[Step]) -> None:
        """These meet, and are in touch before anybody else is."""
        self._each(inside, done)
        wanted = {(step["node"], step["target"]) for step in inside}
        again = _Again()

        def look() -> tuple[bool, str]:
            blind = [pair for pair in _cluster_touch.apart(self.declared, self._look()) if pair in wanted]
            for one, other in again.due(blind):
                self._do({"action": "meet", "node": one, "target": other})
            return not blind, "; ".join(f"{one} does not see {other}" for one, other in blind[:3])

        if inside:
            wait_for(look, deadline.left, "nodes that lost each other in touch", *_PAUSES)

    def _together(self, deadline: Deadline, done: list[Step]) -> None:
        again = _Again()
        wait_for(lambda: self._met(again, done, lambda seen: []), deadline.left, "every node in touch with every other", *_PAUSES)

    def _ready(self, deadline: Deadline, done: list[Step]) -> None:
        """Two looks in a row, where something was done: links that meet are renewed once more."""
        again, good = _Again(), 0

        def look() -> tuple[bool, str]:
            nonlocal good
            reached, told = self._met(again, done, lambda seen: _cluster_touch.unready(self.declared, seen))
            good = good + 1 if reached else 0
            return good >= (2 if done else 1), told or "all is well, for one look"

        wait_for(look, deadline.left, "a cluster that works", *_PAUSES)

    def _met(self, again: _Again, done: list[Step], more: t.Callable[[t.Mapping[str, Seen]], list[str]]) -> tuple[bool, str]:
        """One look. Who still does not see another after a while meets it directly, and who looks for its primary elsewhere follows it anew."""
        try:
            seen = self._look()
        except CachingError as error:   # busy with the data of its primary, for one
            return False, error.message
        pairs = _cluster_touch.apart(self.declared, seen)
        for one, other in again.due([*pairs, *(turned := _cluster_touch.astray(seen))]):
            step = {"action": "replicate" if (one, other) in turned else "meet", "node": one, "target": other}
            if step["action"] == "replicate":
                _cluster_hold.safe(seen)
            self._do(step)
            if step not in done:
                done.append(step)
        told = more(seen) or [f"{one} does not see {other}" for one, other in pairs]
        return not told, "; ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")

    def _do(self, step: Step) -> None:
        address, action = step["node"], step["action"]
        if action == "set_epoch":
            words: list[str | int] = ["SET-CONFIG-EPOCH", step["epoch"]]
        elif action == "add_slots":
            words = ["ADDSLOTSRANGE"]
            for part in step["slots"].split():
                low, _dash, high = part.partition("-")
                words += [low, high or low]
        elif action == "meet":
            words = ["MEET", *self._ips[step["target"]], self._bus[step["target"]]]
        else:
            words = ["REPLICATE", self._ids.get(step.get("target", ""), "")]
        command = "CLUSTER"
        if action in ("hold", "release"):
            command, words = "CONFIG", ["SET", *_cluster_hold.words(action, self._settings[address])]
        try:
            self._client(address).execute_command(command, *words)
        except ERRORS as error:
            if type(error).__name__ == "ResponseError":
                raise CachingError(f"{address} refused {command} {words[0]}: {one_line(error, 120)}. If another run changes this cluster, "
                                   "wait for its end; then run this again") from None
            raise self.source.refusal_at(address, error) from None

    def _client(self, address: str) -> t.Any:
        host, port = address.rpartition(":")[::2]
        return self.source.client(host, int(port))

    def _up(self) -> dict[str, Seen]:
        """A look at nodes that may just have started: they are waited for."""
        while True:
            try:
                return self._look()
            except _NotYet as error:
                if not self.waits:
                    raise
                if self.deadline.over:
                    raise CachingError(f"{error.message}; it was waited for, {self.deadline.seconds:g} s") from None
            self.deadline.pause(_BETWEEN)

    def _look(self) -> dict[str, Seen]:
        with ThreadPoolExecutor(min(16, len(self.declared))) as threads:
            found = list(threads.map(self._one, [node.address for node in self.declared]))
        self._ids = {one.address: one.id for one in found}
        return {one.address: one for one in found}

    def _one(self, address: str) -> Seen:
        try:
            client = self._client(address)
            text = client.execute_command("CLUSTER NODES")
            state = _topology.info(client.execute_command("CLUSTER INFO")).get("cluster_state", "not told")
            info = _topology.info(client.execute_command("INFO", "everything"))
            self._settings[address] = settings = failover_settings(client)
            client.close()
        except ERRORS as error:
            told = self.source.refusal_at(address, error)
            raise (_NotYet(told.message) if comes_up(error) else told) from None
        if info.get("loading") == "1":    # Valkey tells its cluster meanwhile, and takes no step
            raise _NotYet(f"Redis at {address} is loading its data")
        nodes = tuple(_topology.nodes(text))
        mine = next((line for line in text.splitlines() if "myself" in line), "")
        own = next((node for node in nodes if "myself" in node.flags), None)
        if own is None:
            raise CachingError(f"Redis at {address} does not say who it is in CLUSTER NODES")
        bus = _BUS.search(mine)
        self._bus[address] = int(bus.group(1)) if bus else self._ips[address][1] + 10000
        keys = sum(int(count) for name, value in info.items() if re.fullmatch("db[0-9]+", name) for count in re.findall(r"keys=(\d+)", value)[:1])
        link = info.get("master_link_status", "up")
        seeks = f"{info.get('master_host')}:{info.get('master_port')}" if link != "up" and info.get("master_sync_in_progress") != "1" else ""
        return Seen(address, own.id, nodes, keys, state, link, _cluster_hold.failover(settings), seeks)


class _Again:
    """Which pairs have been apart for so long that it does not pass by itself."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}

    def due(self, pairs: t.Collection[tuple[str, str]]) -> list[tuple[str, str]]:
        now = time.monotonic()
        self._since = {pair: self._since.get(pair, now) for pair in pairs}
        late = [pair for pair, since in self._since.items() if now - since > _AGAIN]
        self._since.update(dict.fromkeys(late, now))
        return late


_ALONE = "alone"


def _state(one: Seen, seen: t.Mapping[str, Seen]) -> str:
    if not one.me.is_primary:
        return "replica of " + next((other.address for other in seen.values() if other.id == one.me.primary_id), str(one.me.primary_id))
    slots = _cluster_touch.ranges(slot for first, last in one.me.slots for slot in range(first, last + 1))
    return "primary of " + slots.replace(" ", ", ") if slots else _ALONE if not one.others else "primary without slots"


def _resolved(host: str, port: int) -> str:
    """The address that goes into MEET: nodes take no names. Of several, it is the first at which somebody answers."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = list(dict.fromkeys(str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except OSError as error:
        raise CachingError(f"nodes: {host}:{port} can't be resolved: {error.strerror or error}") from None
    for address in found if len(found) > 1 else []:
        try:
            socket.create_connection((address, port), 1).close()
            return address
        except OSError:
            continue
    return found[0]
