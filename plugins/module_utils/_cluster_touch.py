# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which nodes of a Redis Cluster are in touch, and at which addresses, as each of them says. Pure functions."""

from __future__ import annotations

import typing as t

from ._topology import Node


class Declared(t.NamedTuple):
    """A node that is wanted. ``places``: its address in every form in which others may see it."""

    address: str
    shard: str = ""
    location: str = ""
    places: frozenset[str] = frozenset()


class Seen(t.NamedTuple):
    """What a declared node says of itself and of the others."""

    address: str
    id: str
    nodes: tuple[Node, ...]
    keys: int = 0
    state: str = "ok"
    link: str = "up"   # of a replica to its primary
    failover: str = "on"
    seeks: str = ""    # where a replica looks for its primary while its link is down and no data comes

    @property
    def me(self) -> Node:
        return next(node for node in self.nodes if node.id == self.id)

    @property
    def others(self) -> dict[str, Node]:
        return {node.id: node for node in self.nodes if node.id != self.id and "handshake" not in node.flags}


def sees(viewer: Seen, other: Seen, places: t.Collection[str]) -> bool:
    """Whether ``viewer`` is in touch with ``other`` where it is declared, or, while both work, where it says itself that it is."""
    works = viewer.state == other.state == "ok"
    return bool(place(viewer, other) & {*places, *([other.me.address] if works else [])})


def apart(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen]) -> list[tuple[str, str]]:
    """Pairs of which the first does not see the second, or the second does not know where it is itself."""
    pairs = []
    for other in declared:
        viewers = [one for one in declared if one is not other]
        blind = [one for one in viewers if not sees(seen[one.address], seen[other.address], other.places)]
        if lost(seen[other.address], other) and (told := [one for one in viewers if place(seen[one.address], seen[other.address]) & other.places]):
            blind.append(told[0])
        pairs += [(one.address, other.address) for one in dict.fromkeys(blind)]
    return pairs


def place(viewer: Seen, other: Seen) -> set[str]:
    node = viewer.others.get(other.id)
    return {node.address, f"{node.hostname}:{node.port}"} if node and node.connected and not node.failing else set()


def lost(one: Seen, node: Declared) -> bool:
    """It says that it is where it was."""
    return bool(one.me.host) and not {one.me.address, f"{one.me.hostname}:{one.me.port}"} & node.places


def astray(seen: t.Mapping[str, Seen]) -> list[tuple[str, str]]:
    """Replicas, each with its primary, that look for its data where it was, and know well where it is.

    A node that learns a new address by hearsay does not turn its replication to it (Redis 7), and never does so later.
    """
    by_id = {one.id: one for one in seen.values()}
    pairs = [(one, by_id[one.me.primary_id]) for one in seen.values() if one.me.primary_id in by_id]
    return [(one.address, primary.address) for one, primary in pairs
            if one.seeks and (known := place(one, primary)) and one.seeks not in known]


def unready(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen]) -> list[str]:
    """What is still missing for a cluster that works as all of its nodes see it, a line each."""
    told = [f"{one} does not see {other}" for one, other in apart(declared, seen)]
    told += [f"{one.address}: cluster_state is {one.state}" for one in seen.values() if one.state != "ok"]
    told += [f"{one.address}: its link to its primary is {one.link}" for one in seen.values() if not one.me.is_primary and one.link != "up"]
    own = {one.id: (one.me.is_primary, one.me.primary_id, one.me.slots) for one in seen.values()}
    for one in seen.values():
        wrong = [other for other, node in one.others.items() if other in own and own[other] != (node.is_primary, node.primary_id, node.slots)]
        told += [f"{one.address} does not know yet what {other[:8]} is" for other in wrong]
    return told


def ranges(slots: t.Iterable[int]) -> str:
    """Slots as in CLUSTER NODES: ``0-5460 5462``."""
    result: list[list[int]] = []
    for slot in sorted(slots):
        if result and result[-1][1] == slot - 1:
            result[-1][1] = slot
        else:
            result.append([slot, slot])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in result)
