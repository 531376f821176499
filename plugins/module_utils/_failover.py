# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which replica becomes the primary of a shard, and by which way, from what every node says (recipe 5.4, H24, H26). Pure functions."""

from __future__ import annotations

import re
import typing as t

from . import _cluster_health, _topology
from ._cluster_health import View
from ._errors import CachingError, one_line

_RANGE = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")


class Shard(t.NamedTuple):
    """One shard as most nodes see it. ``addresses`` of its primary and its replicas."""

    primary: str
    slots: tuple[str, ...]
    replicas: tuple[str, ...]

    def shown(self) -> dict[str, t.Any]:
        return {"primary": self.primary, "slots": list(self.slots), "replicas": list(self.replicas)}


def shards(views: t.Sequence[View]) -> list[Shard]:
    """Those with slots, in their order."""
    found = _cluster_health.shards(views)
    return [Shard(row["primary"], tuple(row["slots"]), tuple(one["address"] for one in row["replicas"])) for row in found if row["slots"]]


def find(views: t.Sequence[View], node: str, shard: str) -> Shard:
    """The shard that is meant: that of a node, or by its number (from 0, in the order of slots), a range of its slots, or a node of it."""
    all_of = shards(views)
    named = node or shard
    for one in all_of:
        if named in (one.primary, *one.replicas):
            return one
    if node:
        known = sorted({address for one in all_of for address in (one.primary, *one.replicas)})
        raise CachingError(f"node: {one_line(node, 60)} is no node of a shard; there are {', '.join(known)}")
    if shard.isdecimal() and int(shard) < len(all_of):
        return all_of[int(shard)]
    dense = shard.replace(" ", "")
    slots = set(dense.split(",")) if _RANGE.fullmatch(dense) and "-" in dense else set()
    for one in all_of:
        if slots and slots <= set(one.slots):
            return one
    known = [f"{number} ({','.join(one.slots)} of {one.primary})" for number, one in enumerate(all_of)]
    raise CachingError(f"shard: there is none {one_line(shard, 60)}; give its number, a range of its slots or one of its nodes: {', '.join(known)}")


def agree(views: t.Sequence[View]) -> bool:
    """Whether all that answer see the same, and say of themselves what they are seen as; while somebody takes over they do not, for a moment."""
    answered = [view for view in views if not view.error]
    turning = [view for view in answered for node in view.nodes if "myself" in node.flags and node.is_primary is not (view.info.get("role") == "master")]
    return not turning and len({_cluster_health.shape(view) for view in answered}) <= 1


def works(address: str, views: t.Sequence[View]) -> bool:
    """Whether a node works: it answers, or it is well in the eyes of most others and its replicas get its data.

    So one that only this module can't reach has not failed, and one that has just gone is not well until the others have noticed.
    """
    others = [view for view in views if not view.error and view.address != address]
    if any(view.address == address and not view.error for view in views):
        return True
    seen = [node for view in others for node in view.nodes if _cluster_health.place(node, view) == address]
    if 2 * sum(not node.failing for node in seen) <= len(others):
        return False
    followers = {node.id for node in seen}
    links = [view.info.get("master_link_status") for view in others for node in view.nodes if "myself" in node.flags and node.primary_id in followers]
    return not links or "up" in links


def quorum(views: t.Sequence[View]) -> tuple[list[str], bool]:
    """Primaries with slots that do not work, and whether those that do are enough for an election: more than half."""
    primaries = [one.primary for one in shards(views)]
    dead = [address for address in primaries if not works(address, views)]
    return dead, 2 * (len(primaries) - len(dead)) > len(primaries)


def offset(view: View) -> int:
    return _topology.number(view.info, "slave_repl_offset") or 0


def keys(view: View) -> int:
    rows = (value for name, value in view.info.items() if re.fullmatch("db[0-9]+", name))
    return sum(int(count) for value in rows for count in re.findall(r"keys=(\d+)", value)[:1])


def unfit(view: View | None, alive: bool) -> str:
    """Why a replica can't become the primary now; nothing where it can. ``alive``: its primary works."""
    if view is None or view.error:
        return f"it does not answer: {view.error}" if view else "it does not answer"
    if view.held:
        return "an unfinished redis_cluster run holds it: run that again"
    if view.info.get("loading") == "1":
        return "it is still loading its data"
    if view.info.get("master_sync_in_progress") == "1":
        return "it is still copying the data of its primary"
    if alive and view.info.get("master_link_status") != "up":
        return f"its link to the primary is {view.info.get('master_link_status', 'not told')}"
    if not alive and view.info.get("master_link_down_since_seconds") == "-1" and keys(view) == 0:
        return "it has not had the data of its primary since it started, and would begin empty"
    return ""


def elected_before(view: View) -> bool:
    """Whether this node has asked for votes since it started, and would count those again in its next election.

    Redis forgets them only after four times its node timeout. Before that it declares itself the primary without an election, at its old
    epoch: the others make it a replica again, and writes that it took meanwhile are lost (redis issue 8752). Valkey forgets them at once.
    """
    asked = _topology.number(view.cluster, "cluster_stats_messages_auth-req_sent") or 0
    version = (view.info.get("valkey_version") or "0").split(".")[0]
    return asked > 0 and not (version.isdigit() and int(version) >= 9)


def choose(shard: Shard, views: t.Sequence[View], node: str, alive: bool) -> str:
    """The replica that becomes the primary: ``node``, else the one that has most of the data. An error says why there is none."""
    by_address = {view.address: view for view in views}
    told = {address: unfit(by_address.get(address), alive) for address in shard.replicas}
    fit = sorted((address for address, why in told.items() if not why), key=lambda address: (-offset(by_address[address]), address))
    if not shard.replicas:
        raise CachingError(f"the shard {','.join(shard.slots)} has no replica, so nobody could take over from {shard.primary}")
    if node in shard.replicas:
        if told[node]:
            raise CachingError(f"{node} can't become the primary of {','.join(shard.slots)}: {told[node]}")
        behind = offset(by_address[fit[0]]) - offset(by_address[node])
        if not alive and behind > 0:
            raise CachingError(f"{node} is {behind} bytes of data behind {fit[0]}, which would be lost: choose {fit[0]}")
        return node
    if not fit:
        raise CachingError(f"no replica of {shard.primary} can take over: " + "; ".join(f"{address}: {why}" for address, why in told.items()))
    return fit[0]


def unsettled(target: str, shard: Shard, views: t.Sequence[View]) -> list[str]:
    """What is still missing until ``target`` is the primary, as every node that answers sees it, and the shard's others follow it."""
    by_address = {view.address: view for view in views}
    there = [address for address in (shard.primary, *shard.replicas) if not by_address.get(address, View(address, error="unknown")).error]
    told = [] if target in there else [f"{target} does not answer"]
    for view in views:
        if view.error:
            continue
        mine = next((one for one in shards([view]) if set(shard.slots) & set(one.slots)), None)
        if mine is None or mine.primary != target:
            told.append(f"{view.address} sees {mine.primary if mine else 'nobody'} as the primary of {','.join(shard.slots)}")
        else:
            told += [f"{view.address} does not see {one} as its replica yet" for one in there if one != target and one not in mine.replicas]
    for address in there:
        info = by_address[address].info
        role, link = info.get("role", "nothing"), info.get("master_link_status", "not told")
        if address == target and role != "master":
            told.append(f"{address} says that it is {role}")
        elif address != target and (role, link) != ("slave", "up"):
            told.append(f"{address} does not follow {target} yet: it is {role}" + (f", with its link {link}" if role == "slave" else ""))
    return told
