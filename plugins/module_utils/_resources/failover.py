# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Another primary for a shard: by agreement, by the others' election, or against it, and seen by all in the end (S089; H24, H25)."""

from __future__ import annotations

import time
import typing as t

from .. import _failover
from .._cluster_health import View
from .._errors import CachingError, one_line
from .._failover import Shard
from .._redis import ERRORS, Redis
from .._wait import Deadline, wait_for
from .redis_nodes import Nodes

_AGREED = 6.0         # seconds; a replica gives a graceful failover up after five
_TRIES = 3            # graceful ones
_LOOKS = 4            # as long as nodes see different things, as another run may just be at work
_NODE_TIMEOUT = 15.0  # where nobody may read it
_PAUSES = (0.05, 0.5)
_UNREADABLE: tuple[type[Exception], ...] = (*ERRORS, StopIteration, ValueError)
_Results = dict[str, t.Any]
_Step = dict[str, t.Any]


class Failover:
    """The shard that is meant, and who is to be its primary."""

    def __init__(self, params: t.Mapping[str, t.Any], source: Redis) -> None:
        self.source = source
        self.node, self.shard_name = params["node"] or "", params["shard"] or ""
        self.method, self.approved = params["method"], bool(params["approve_takeover"])
        self.gone = set(params["confirmed_down"])
        self.timeout, self.debounce = t.cast("float", params["wait_timeout"]), t.cast("float", params["debounce"])
        self.steps: list[_Step] = []
        self.changed = False

    def prepare(self) -> _Results:
        """What would be done; a refusal where it would not be safe. Nothing is sent that changes anything."""
        self.since = time.monotonic()
        views = self._agreed()
        self.shard = shard = _failover.find(views, self.node, self.shard_name)
        alive = _failover.works(shard.primary, views)
        if self.node == shard.primary:
            if not alive:
                raise CachingError(f"node: {self.node} is the primary and does not answer; name the replica that is to take over, or give shard")
            return {**_shown(shard, shard), "steps": [], "lost_writes_possible": False}
        way = self._way(views, alive)
        target = _failover.choose(shard, views, self.node, way == "graceful")
        self.changed = True
        rest = self._rest(target, views) if alive else 0.0
        self._in_time(target, rest, self.timeout)
        waits = "" if way == "takeover" else shard.primary if not alive else target if rest else ""
        steps = [{"action": "wait", "node": waits}] if waits else []
        silent = {view.address for view in views if view.error} - ({shard.primary} if alive else set())
        after = Shard(target, shard.slots, tuple(sorted({shard.primary, *shard.replicas} - {target, *silent})))    # they follow it when they are back
        return {**_shown(shard, after), "steps": [*steps, *([] if way == "wait" else [{"action": way, "node": target}])],
                "lost_writes_possible": way != "graceful"}

    def _way(self, views: t.Sequence[View], alive: bool) -> str:
        """The ladder: the mildest way that there is, and none that was not asked for."""
        shard = self.shard
        dead, enough = _failover.quorum(views)
        if alive and self.method == "takeover":
            raise CachingError(f"takeover: the primary {shard.primary} lives, so nobody may take over from it without its consent or an election; "
                               "method graceful loses nothing")
        if alive and not enough:
            raise CachingError(f"{', '.join(dead)} {_do(dead)} not work, so the primaries that do are too few for an election, and {shard.primary} "
                               "stays the primary; those shards come first")
        if alive:
            return self._asking(views)
        if enough:
            return "wait" if self.method == "graceful" else "force"
        if self.method != "takeover":
            raise CachingError(f"{', '.join(dead)} {_do(dead)} not work: too few primaries are left for an election, and nodes would answer OK to "
                               f"{'CLUSTER FAILOVER FORCE' if self.method == 'force' else 'it'} and do nothing. Bring one of them back, or give "
                               "method takeover, with approve_takeover and confirmed_down")
        unconfirmed = [address for address in dead if address not in self.gone]
        if unconfirmed:
            raise CachingError(f"takeover: confirmed_down does not name {', '.join(unconfirmed)}. Only when the platform says that they are gone, too, "
                               "is it sure that they do not go on elsewhere")
        if not self.approved:
            raise CachingError(f"takeover of {','.join(shard.slots)} breaks the rule that the last election decides, and writes that had not reached "
                               f"a replica are lost ({', '.join(dead)} {_do(dead)} not work): approve_takeover=true does it")
        return "takeover"

    def _asking(self, views: t.Sequence[View]) -> str:
        """By agreement where the replica follows its primary; else, where force is asked for, by election."""
        if self.method == "graceful":
            return "graceful"
        try:
            _failover.choose(self.shard, views, self.node, True)
        except CachingError:
            return "force"
        return "graceful"

    # ---- doing it

    def act(self) -> _Results:
        """Up to where every node that answers sees the new primary. What was done stands in the error, too."""
        deadline, before = Deadline(self.timeout), self.shard
        lost = False
        try:
            target, lost = self._do(deadline)
            views = self._settled(target, deadline)
        except CachingError as error:
            raise CachingError(error.message, **{"changed": self._sent(), "steps": self.steps, **error.results}) from None
        after = _failover.find(views, target, "")
        return {**_shown(before, after), "changed": after.primary != before.primary, "steps": self.steps, "lost_writes_possible": lost}

    def _do(self, deadline: Deadline) -> tuple[str, bool]:
        """Who is the primary now, and whether writes may be lost. What is seen anew decides anew, as nodes fail and come back meanwhile."""
        asked, target, lost, waited = 0, "", False, False
        while True:
            views = self._agreed()
            now = _owner(self.shard, views)
            if now not in ("", self.shard.primary):    # the others have elected it, or somebody else has asked it
                lost = True
                if self.node in ("", now):
                    return now, lost
                self.shard = _failover.find(views, now, "")
                continue
            alive = _failover.works(self.shard.primary, views)
            way = self._way(views, alive)
            if way in ("wait", "force") and not alive and not waited:
                self._elected(way, views, deadline)
                waited = True
                continue
            if way == "wait":
                raise CachingError(f"no replica of {self.shard.primary} was elected within {self.timeout - deadline.left:.0f} s; method force asks the "
                                   f"other primaries for it. Last seen: {_told(self.shard, views)}")
            if way == "takeover":
                views = self._fenced()
                self._send(target := _failover.choose(self.shard, views, self.node, False), way)
                return target, True
            if asked == _TRIES or asked and deadline.over:
                raise CachingError(f"{target} is still a replica of {self.shard.primary}: it was asked {asked} times to take over"
                                   f"{' by agreement' if way == 'graceful' else ''}; last seen: {_told(self.shard, views)}")
            target = _failover.choose(self.shard, views, self.node, way == "graceful")
            if rest := self._rest(target, views):
                self._in_time(target, rest, deadline.left)
                self.steps.append({"action": "wait", "node": target})
                time.sleep(rest)
                continue
            asked += 1
            reached = next(not view.error for view in views if view.address == self.shard.primary)
            became, seen = self._asked(target, way, deadline)
            lost = lost or way == "force" or became and not (reached and seen)
            if became:
                return target, lost

    def _rest(self, target: str, views: t.Sequence[View]) -> float:
        """Seconds until votes of its last election are forgotten. It had none since it follows its primary, which knows since when, nor since we look."""
        view = next(view for view in views if view.address == target)
        if not _failover.elected_before(view):
            return 0.0
        needed = max(4.0 * self._node_timeout(), 4.0) + 1
        try:
            rows = self._client(self.shard.primary).client_list("replica")
        except ERRORS:
            rows = []
        host = target.rpartition(":")[0].strip("[]")
        same = [row for row in rows if str(row.get("addr", "")).rpartition(":")[0].strip("[]") == host]
        follows = min((float(row.get("age", 0)) for row in same or rows), default=0.0)
        return max(0.0, needed - max(follows, time.monotonic() - self.since))

    def _in_time(self, target: str, rest: float, left: float) -> None:
        if rest > left:
            raise CachingError(f"{target} was elected not long ago, and for {rest:.0f} s more it would take the votes of then for new ones, become "
                               f"the primary without an election and lose writes. A longer wait_timeout than {self.timeout:g} s waits for it")

    def _elected(self, way: str, views: t.Sequence[View], deadline: Deadline) -> None:
        """Until the others have elected somebody by themselves, which they do a while after their primary is gone; or until it is back."""
        self.steps.append({"action": "wait", "node": self.shard.primary})
        again = any(_failover.elected_before(view) for view in views if view.address in self.shard.replicas and not view.error)
        patience = Deadline(min((4 if again else 2) * self._node_timeout() + 5, deadline.left if way == "wait" else deadline.left / 2))
        while not patience.over and _owner(self.shard, views) in ("", self.shard.primary) and not _failover.works(self.shard.primary, views):
            patience.pause(_PAUSES[1])
            views = self._glance()

    def _node_timeout(self) -> float:
        for address in self.shard.replicas:
            try:
                found = self._client(address).config_get("cluster-node-timeout")
                return float(next(iter(found.values()))) / 1000
            except _UNREADABLE:
                continue
        return _NODE_TIMEOUT

    def _asked(self, target: str, way: str, deadline: Deadline) -> tuple[bool, bool]:
        """Whether it became the primary, and whether the former one was there all the time: else it was elected as that had failed meanwhile.

        It gives up after five seconds; or somebody else has asked it.
        """
        try:
            self._send(target, way)
        except CachingError as error:
            if not any(text in error.message for text in ("down or failed", "to a replica")):
                raise
            time.sleep(_PAUSES[1])
            return False, False
        patience, short, seen = Deadline(min(_AGREED, deadline.left)), min(1.0, self._node_timeout() / 2), True
        while not patience.over:
            became, began = self._role(target) == "master", time.monotonic()
            seen = seen and self._role(self.shard.primary) != "unknown" and time.monotonic() - began < short
            if became:
                return True, seen
            patience.pause(_PAUSES[0])
        return False, seen

    def _fenced(self) -> list[View]:
        """A second look after a while: who answers then was never gone."""
        first, _enough = _failover.quorum(self._look())
        time.sleep(self.debounce)
        views = self._look()
        second, enough = _failover.quorum(views)
        back = sorted(set(first) - set(second))
        if enough or back or self.shard.primary not in second:
            raise CachingError(f"takeover: {', '.join(back) or 'enough of the primaries'} work{'s' if len(back) == 1 else ''} again, "
                               f"{self.debounce:g} s after the first look; nothing was done")
        return views

    def _send(self, target: str, way: str) -> None:
        words = [] if way == "graceful" else [way.upper()]
        self.steps.append({"action": way, "node": target})
        try:
            self._client(target).execute_command("CLUSTER", "FAILOVER", *words)
        except ERRORS as error:
            if type(error).__name__ == "ResponseError":
                raise CachingError(f"{target} refused CLUSTER FAILOVER {' '.join(words)}".rstrip() + f": {one_line(error, 160)}") from None
            raise self.source.refusal_at(target, error) from None

    def _settled(self, target: str, deadline: Deadline) -> list[View]:
        slots, views = ",".join(self.shard.slots), list[View]()

        def look() -> tuple[bool, str]:
            views[:] = self._glance()
            told = _failover.unsettled(target, self.shard, views)
            if told and (now := _owner(self.shard, views)) not in ("", target) and _failover.agree(views):
                raise CachingError(f"{target} became the primary of {slots} and is not any more: {now} is. If another run changes this cluster, "
                                   "wait for its end")
            return not told, "; ".join(told[:3])

        wait_for(look, deadline.left, f"{target} as the primary of {slots}, in the eyes of all nodes,", *_PAUSES)
        return views

    def _sent(self) -> bool:
        return any(step["action"] != "wait" for step in self.steps)

    def _role(self, address: str) -> str:
        try:
            return "master" if next(iter(self._client(address).execute_command("ROLE"))) in (b"master", "master") else "slave"
        except ERRORS:
            return "unknown"

    def _client(self, address: str) -> t.Any:
        host, _colon, port = address.rpartition(":")
        return self.source.client(host.strip("[]"), int(port))

    def _agreed(self) -> list[View]:
        """What is decided by: a look in which all see the same, or the last one of a few."""
        for look in range(_LOOKS):
            time.sleep(_PAUSES[1] if look else 0)
            views = self._look()
            if _failover.agree(views):
                break
        return views

    def _glance(self) -> list[View]:
        """A look while something is waited for; it may come to nothing."""
        try:
            return self._look()
        except CachingError:
            return []

    def _look(self) -> list[View]:
        nodes = Nodes(self.source, 1, 1)
        nodes.look()
        return nodes.views


def _shown(before: Shard, after: Shard) -> _Results:
    name, same = ",".join(before.slots), before.primary == after.primary
    return {"shard": {"before": before.shown(), "after": after.shown()},
            "diff": {"before": {} if same else {name: before.shown()}, "after": {} if same else {name: after.shown()}}}


def _owner(shard: Shard, views: t.Sequence[View]) -> str:
    """Who has its slots now."""
    return next((one.primary for one in _failover.shards(views) if set(one.slots) & set(shard.slots)), "")


def _do(dead: t.Sequence[str]) -> str:
    return "does" if len(dead) == 1 else "do"


def _told(shard: Shard, views: t.Sequence[View]) -> str:
    by_address = {view.address: view for view in views}
    rows = []
    for address in (shard.primary, *shard.replicas):
        view = by_address.get(address)
        if view is None or view.error:
            rows.append(f"{address} does not answer")
        else:
            link = view.info.get("master_link_status")
            rows.append(f"{address} is {view.info.get('role', 'unknown')}" + (f", link {link}, offset {_failover.offset(view)}" if link else ""))
    return "; ".join(rows)
