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
_NODE_TIMEOUT = 15.0  # where nobody may read it
_PAUSES = (0.05, 0.5)
_UNREAD: tuple[type[Exception], ...] = (*ERRORS, StopIteration, ValueError)
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
        views = self._look()
        self.shard = shard = _failover.find(views, self.node, self.shard_name)
        alive = _failover.works(shard.primary, views)
        if self.node == shard.primary:
            if not alive:
                raise CachingError(f"node: {self.node} is the primary and does not answer; name the replica that is to take over, or give shard")
            return self._planned([], shard.primary, lost=False)
        way = self._way(views, alive)
        target = _failover.choose(shard, views, self.node, way == "graceful")
        self.changed = True
        waits = [{"action": "wait", "node": shard.primary}] if not alive else [{"action": "wait", "node": target}] if self._rest(target, views) else []
        return self._planned([*waits, *([] if way == "wait" else [{"action": way, "node": target}])], target, lost=way != "graceful")

    def _planned(self, steps: list[_Step], target: str, lost: bool) -> _Results:
        shard = self.shard
        others = sorted({shard.primary, *shard.replicas} - {target})
        after = shard.shown() if target == shard.primary else Shard(target, shard.slots, tuple(others)).shown()
        name = ",".join(shard.slots)
        same = target == shard.primary
        return {
            "shard": {"before": shard.shown(), "after": after}, "steps": steps, "lost_writes_possible": lost,
            "diff": {"before": {} if same else {name: shard.shown()}, "after": {} if same else {name: after}},
        }

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
            return self._agreed(views)
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

    def _agreed(self, views: t.Sequence[View]) -> str:
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
            self._settled(target, deadline)
        except CachingError as error:
            raise CachingError(error.message, **{"changed": self._sent(), "steps": self.steps, **error.results}) from None
        after = _failover.find(self._look(), target, "")
        return {"changed": after.primary != before.primary, "steps": self.steps, "lost_writes_possible": lost,
                "shard": {"before": before.shown(), "after": after.shown()}}

    def _do(self, deadline: Deadline) -> tuple[str, bool]:
        """Who is the primary now, and whether writes may be lost. What is seen anew decides anew, as nodes may fail meanwhile."""
        asked, target, lost, rested = 0, "", False, False
        while True:
            views = self._look()
            now = _owner(self.shard, views)
            if now in (target, self.node) and now:
                return now, lost
            way = self._way(views, _failover.works(self.shard.primary, views))
            if way == "graceful":
                if asked == _TRIES or asked and deadline.over:
                    raise CachingError(f"{target} is still a replica of {self.shard.primary}: it was asked {asked} times to take over by agreement; "
                                       f"last seen: {_told(self.shard, views)}")
                asked, target = asked + 1, _failover.choose(self.shard, views, self.node, True)
                if not rested and (rest := self._rest(target, views)):
                    self._wait_out(target, rest, deadline)
                    asked, rested = 0, True
                    continue
                if self._agreed_on(target, deadline):
                    return target, lost
                continue
            if way != "takeover" and (elected := self._elected(way, deadline)):
                lost = True
                if self.node in ("", elected):
                    return elected, lost
                self.shard = _failover.find(self._look(), elected, "")
                continue
            views = self._look()
            if way == "wait":
                raise CachingError(f"no replica of {self.shard.primary} was elected within {self.timeout - deadline.left:.0f} s; method force asks the "
                                   f"other primaries for it. Last seen: {_told(self.shard, views)}")
            if way == "takeover":
                self._fenced()
            target = _failover.choose(self.shard, views, self.node, False)
            self._send(target, way)
            return target, True

    def _rest(self, target: str, views: t.Sequence[View]) -> float:
        """Seconds until votes of its last election are forgotten. It had none since it follows its primary, which knows since when."""
        view = next(view for view in views if view.address == target)
        if not _failover.elected_before(view):
            return 0.0
        needed = max(4.0 * self._node_timeout(), 4.0) + 1
        try:
            rows = self._client(self.shard.primary).client_list("replica")
        except ERRORS:
            return needed
        host = target.rpartition(":")[0].strip("[]")
        same = [row for row in rows if str(row.get("addr", "")).rpartition(":")[0].strip("[]") == host]
        return max(0.0, needed - min((float(row.get("age", 0)) for row in same or rows), default=0.0))

    def _wait_out(self, target: str, rest: float, deadline: Deadline) -> None:
        self.steps.append({"action": "wait", "node": target})
        if rest > deadline.left:
            raise CachingError(f"{target} was elected not long ago, and for {rest:.0f} s more it would take the votes of then for new ones, become "
                               f"the primary without an election and lose writes. A longer wait_timeout than {self.timeout:g} s waits for it")
        time.sleep(rest)

    def _elected(self, way: str, deadline: Deadline) -> str:
        """Whom the others elect by themselves, which they do a while after their primary is gone."""
        self.steps.append({"action": "wait", "node": self.shard.primary})
        views = self._look()
        again = any(_failover.elected_before(view) for view in views if view.address in self.shard.replicas and not view.error)
        patience = Deadline(min((4 if again else 2) * self._node_timeout() + 5, deadline.left if way == "wait" else deadline.left / 2))
        while True:
            found = _owner(self.shard, self._look())
            if found not in ("", self.shard.primary):
                return found
            if patience.over:
                return ""
            patience.pause(_PAUSES[1])

    def _node_timeout(self) -> float:
        for address in self.shard.replicas:
            try:
                found = self._client(address).config_get("cluster-node-timeout")
                return float(next(iter(found.values()))) / 1000
            except _UNREAD:
                continue
        return _NODE_TIMEOUT

    def _agreed_on(self, target: str, deadline: Deadline) -> bool:
        """The primary holds writes until the replica has all of them; it does so for five seconds, and may be gone meanwhile."""
        try:
            self._send(target, "graceful")
        except CachingError as error:
            if "down or failed" not in error.message:
                raise
            time.sleep(_PAUSES[1])
            return False
        patience = Deadline(min(_AGREED, deadline.left))
        while not patience.over:
            if self._role(target) == "master":
                return True
            patience.pause(_PAUSES[0])
        return False

    def _fenced(self) -> None:
        """A second look after a while: who answers then was never gone."""
        first, _enough = _failover.quorum(self._look())
        time.sleep(self.debounce)
        second, enough = _failover.quorum(self._look())
        back = sorted(set(first) - set(second))
        if enough or back or self.shard.primary not in second:
            raise CachingError(f"takeover: {', '.join(back) or 'enough of the primaries'} work{'s' if len(back) == 1 else ''} again, "
                               f"{self.debounce:g} s after the first look; nothing was done")

    def _send(self, target: str, way: str) -> None:
        words = [] if way == "graceful" else [way.upper()]
        self.steps.append({"action": way, "node": target})
        try:
            self._client(target).execute_command("CLUSTER", "FAILOVER", *words)
        except ERRORS as error:
            if type(error).__name__ == "ResponseError":
                raise CachingError(f"{target} refused CLUSTER FAILOVER {' '.join(words)}".rstrip() + f": {one_line(error, 160)}") from None
            raise self.source.refusal_at(target, error) from None

    def _settled(self, target: str, deadline: Deadline) -> None:
        def look() -> tuple[bool, str]:
            told = _failover.unsettled(target, self.shard, self._look())
            return not told, "; ".join(told[:3])

        wait_for(look, deadline.left, f"{target} as the primary of {','.join(self.shard.slots)}, in the eyes of all nodes,", *_PAUSES)

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

    def _look(self) -> list[View]:
        nodes = Nodes(self.source, 1, 1)
        nodes.look()
        return nodes.views


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
