# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a Redis Cluster still lacks to be as declared, from what each of its nodes says: steps, or why not. Pure functions.

There is no memory between runs: a run that was killed is finished by the next, as everything is derived from the nodes.
"""

from __future__ import annotations

import typing as t

from ._cluster_hold import safe, to_hold
from ._cluster_spread import crowded, spread
from ._cluster_touch import Declared, Seen, apart, astray, lost, place, ranges
from ._errors import CachingError
from ._topology import SLOTS, Node

FEWEST_SHARDS = 3
Step = dict[str, str]


class Unsure(CachingError):
    """A refusal that another look may take back: nodes need a moment to see that one is gone."""


class Shard:
    """A primary and who follows it, as they will be."""

    def __init__(self, primary: Declared, slots: set[int]) -> None:
        self.primary, self.slots = primary, slots
        self.replicas: list[Declared] = []


class Plan(t.NamedTuple):
    steps: list[Step]
    topology: list[dict[str, t.Any]]
    warnings: list[str]


def plan(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen], replicas: int) -> Plan:
    """The steps from what is ``seen`` to what is ``declared``, in the order in which they are safe."""
    _distinct(declared, seen)
    members = _members(declared, seen)
    warnings = _strangers(declared, seen, members)
    claims = _claims(declared, seen)
    missing = set(range(SLOTS)) - set().union(*claims.values())
    shards = _shards(declared, seen, replicas, claims, missing)
    lost_each_other = any(reunions(declared, seen))
    turned = astray(seen)
    if lost_each_other or turned:
        safe(seen)
    yielding = [node.address for node in declared if _slots(seen[node.address].me) and not claims[node.address]]
    held = to_hold(seen, yielding) if lost_each_other else []
    steps = [_step("hold", address) for address in held] + _epochs(shards, seen)
    steps += [_step("add_slots", shard.primary.address, slots=ranges(shard.slots)) for shard in shards if not claims[shard.primary.address]]
    steps += _meets(declared, seen, members)
    free = _followers(declared, seen, shards, claims)
    placed = _named(free, declared, seen, shards) + _others(free, shards)
    order = [node.address for node in declared]
    steps += [_step("replicate", node.address, primary) for node, primary in sorted(placed, key=lambda pair: order.index(pair[0].address))]
    steps += [_step("replicate", *pair) for pair in turned]
    steps += [_step("release", node.address) for node in declared if node.address in held or seen[node.address].failover == "held"]
    for shard in shards:
        near = [node.address for node in shard.replicas if node.location and node.location == shard.primary.location]
        warnings += [f"{address} is in the same location as its primary {shard.primary.address}" for address in near]
    warnings += crowded([[(node.address, node.location) for node in (shard.primary, *shard.replicas)] for shard in shards])
    return Plan(steps, [_row(shard) for shard in shards], warnings)


def _slots(node: Node) -> set[int]:
    return {slot for first, last in node.slots for slot in range(first, last + 1)} if node.is_primary else set()


def _claims(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen]) -> dict[str, set[int]]:
    """Whose slots are whose: of two that say so, they are those of the later epoch, to which the other yields when they meet."""
    owner: dict[int, str] = {}
    for node in sorted(declared, key=lambda node: seen[node.address].me.epoch):
        owner.update(dict.fromkeys(_slots(seen[node.address].me), node.address))
    return {node.address: {slot for slot in _slots(seen[node.address].me) if owner[slot] == node.address} for node in declared}


def _step(action: str, node: str, target: str = "", slots: str = "", epoch: str = "") -> Step:
    found = {"action": action, "node": node, "target": target, "slots": slots, "epoch": epoch}
    return {name: value for name, value in found.items() if value}


def _row(shard: Shard) -> dict[str, t.Any]:
    return {
        "primary": shard.primary.address, "slots": ranges(shard.slots).split(), "slot_count": len(shard.slots),
        "replicas": sorted(node.address for node in shard.replicas),
    }


# ---- who belongs together


def _distinct(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen]) -> None:
    taken: dict[str, str] = {}
    for node in declared:
        found = seen[node.address].id
        if found in taken:
            raise CachingError(f"nodes: {taken[found]} and {node.address} are the same node: name each once")
        taken[found] = node.address


def _members(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen]) -> set[str]:
    """Addresses of the nodes that are the cluster, or will be the first of it; everybody else must be blank."""
    groups: list[set[str]] = []   # of ids that know each other
    for one in seen.values():
        ids = {one.id, *one.others}
        joined = [group for group in groups if group & ids]
        groups = [group for group in groups if not group & ids] + [ids.union(*joined)]
    parts = [[node.address for node in declared if seen[node.address].id in group] for group in groups]
    alone = [len(group) == 1 for group in groups]

    def weight(number: int) -> tuple[bool, bool, int, int]:
        keys = any(seen[address].keys for address in parts[number])
        return not alone[number], keys, len(parts[number]), -min(declared.index(node) for node in declared if node.address in parts[number])

    main = max(range(len(groups)), key=weight)
    for number, part in enumerate(parts):
        for address in part:
            if alone[number] and seen[address].keys:
                raise CachingError(
                    f"{address} holds {seen[address].keys} keys and is not part of this cluster: nothing was changed. Save what you need "
                    "of it and empty it, or leave it out of nodes"
                )
        if number != main and not alone[number]:
            raise CachingError(
                f"{part[0]} is in another cluster than {parts[main][0]} ({len(groups[number])} nodes that know each other): "
                "take it out of that one first, or leave it out of nodes"
            )
    claimed: dict[int, str] = {}
    for number, part in enumerate(parts):
        mine = {slot for address in part for slot in _slots(seen[address].me)}
        both = mine & claimed.keys()
        if both:
            raise CachingError(f"{part[0]} holds slots that {claimed[min(both)]} holds too ({ranges(both)}), and they don't know each other: "
                               "it is of another cluster")
        claimed.update(dict.fromkeys(mine, part[0]))
    return set(parts[main])


def _strangers(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen], members: set[str]) -> list[str]:
    """Nodes of the cluster that are not declared: one that works is refused, one that is gone is told."""
    known = {seen[node.address].id for node in declared}
    rows: dict[str, list[Node]] = {}
    for address in sorted(members):
        for found, node in seen[address].others.items():
            if found not in known:
                rows.setdefault(found, []).append(node)
    warnings = []
    owned = {slot for node in declared for slot in _slots(seen[node.address].me)}
    for found, views in sorted(rows.items()):
        name = next((node.address for node in views if node.host or node.hostname), "a node whose address nobody knows") + f" ({found[:8]})"
        if any(node.connected and not node.failing for node in views):
            raise Unsure(f"the cluster has {name}, which is not declared: add it to nodes, or take it out of the cluster")
        lost = set[int]().union(*(_slots(node) for node in views)) - owned
        if lost:
            raise CachingError(f"{len(lost)} slots belong to {name}, which does not answer and is not declared: bring it back, or fail over")
        warnings.append(f"the cluster still knows {name}, which is gone and not declared; CLUSTER FORGET on every node removes it")
    return warnings


# ---- primaries and slots


def _shards(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen], replicas: int, claims: t.Mapping[str, set[int]],
            missing: set[int]) -> list[Shard]:
    owners = [node for node in declared if claims[node.address]]
    names = list(dict.fromkeys(node.shard for node in declared if node.shard))
    wanted = len(names) if all(node.shard for node in declared) else max(len(names), len(declared) // (1 + replicas))
    _enough(declared, replicas, wanted, max(wanted, len(owners), FEWEST_SHARDS))
    if not missing:
        if wanted > len(owners):
            raise CachingError(
                f"nodes: {wanted} shards are declared and the cluster has {len(owners)}: a new primary needs slots of the others, which this "
                "module does not move. Name the shard that a new node joins, or declare more replicas"
            )
        return [Shard(node, claims[node.address]) for node in owners]
    keys = sum(one.keys for one in seen.values() if one.me.is_primary)
    if keys:
        raise CachingError(f"{len(missing)} of {SLOTS} slots have no owner, and the nodes hold {keys} keys: the data of those slots may be "
                           "lost, so nothing was changed. Bring their owner back, or restore")
    primaries = _primaries(declared, seen, wanted, names, owners)
    new = [node for node in primaries if node not in owners]
    if not new:
        raise CachingError(f"{len(missing)} of {SLOTS} slots have no owner, and every shard has slots already: give them by hand")
    left, shards = sorted(missing), []
    for node in primaries:
        if node in owners:
            shards.append(Shard(node, claims[node.address]))
            continue
        number = new.index(node)
        shards.append(Shard(node, set(left[len(left) * number // len(new) : len(left) * (number + 1) // len(new)])))
    return shards


def _enough(declared: t.Sequence[Declared], replicas: int, wanted: int, most: int) -> None:
    if len(declared) < most * (1 + replicas):
        few = f"{len(declared)} nodes are too few for {most} shards with {replicas} replicas each: it takes {most * (1 + replicas)}"
        raise CachingError(f"nodes: {few}")
    if wanted < most:
        raise CachingError(f"nodes: {wanted} shards are declared, and it takes {most}")
    for name in sorted({node.shard for node in declared}) if all(node.shard for node in declared) else []:
        inside = sum(node.shard == name for node in declared)
        if inside < 1 + replicas:
            raise CachingError(f"nodes: {inside} nodes are too few for the shard {name} with {replicas} replicas: it takes {1 + replicas}")


def _primaries(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen], wanted: int, names: list[str], owners: list[Declared]) -> list[Declared]:
    """The first of each shard, or nodes spread over the locations; who has slots already is one."""
    able = [node for node in declared if node in owners or seen[node.address].me.is_primary]
    chosen: list[Declared] = []
    for name in names:
        inside = [node for node in able if node.shard == name]
        if not inside:
            raise CachingError(f"nodes: no node of the shard {name} can be its primary: all follow others")
        having = [node for node in inside if node in owners]
        if len(having) > 1:
            raise CachingError(f"nodes: {having[0].address} and {having[1].address} own slots both, so they can't be the one shard {name}")
        chosen.append((having or inside)[0])
    chosen += [node for node in owners if node not in chosen]
    while len(chosen) < wanted:
        rest = [node for node in able if node not in chosen and not node.shard]
        if not rest:
            raise CachingError(f"nodes: {wanted} primaries are wanted, and only {len(chosen)} nodes can be one: the others follow already")
        chosen.append(min(rest, key=lambda node: (sum(node.location == other.location for other in chosen), declared.index(node))))
    return chosen


def _epochs(shards: list[Shard], seen: t.Mapping[str, Seen]) -> list[Step]:
    """Distinct epochs, which a node takes only as long as it knows nobody."""
    used = {seen[shard.primary.address].me.epoch for shard in shards}
    steps = []
    for shard in shards:
        one = seen[shard.primary.address]
        if len(one.nodes) == 1 and one.me.epoch == 0:
            epoch = min(set(range(1, len(used) + 2)) - used)
            used.add(epoch)
            steps.append(_step("set_epoch", one.address, epoch=str(epoch)))
    return steps


def _meets(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen], members: set[str]) -> list[Step]:
    """Whoever the first of the cluster is not in touch with meets it; gossip does the rest.

    Nodes that knew each other are brought together in an order of their own (:func:`reunions`).
    """
    pairs = apart(declared, seen)
    steps = [_step("meet", *way) for ways in reunions(declared, seen) for way in ways]
    first, *rest = sorted(declared, key=lambda node: node.address not in members)
    for node in declared:
        if node is not first and {(first.address, node.address), (node.address, first.address)} & set(pairs):
            step = _step("meet", first.address, node.address)
            steps += [step] if step not in steps else []
    if rest and lost(seen[first.address], first):   # it learns where it is from who meets it
        told = next((one for one, other in pairs if other == first.address), rest[0].address)
        steps += [_step("meet", told, first.address)] if steps or place(seen[told], seen[first.address]) & first.places else []
    return steps


def reunions(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen]) -> list[list[tuple[str, str]]]:
    """Pairs that lost each other: first primaries and their own replicas, then primaries and primaries, both ways.

    Primaries that find each other first would agree that a third has failed, and a replica that hears it would have itself
    elected, with what data it has.
    """
    pairs = set(apart(declared, seen))
    groups: list[list[tuple[str, str]]] = [[], []]
    for number, one in enumerate(declared):
        for other in declared[number + 1 :]:
            left, right = seen[one.address], seen[other.address]
            family = left.me.primary_id == right.id or right.me.primary_id == left.id
            peers = bool(left.me.slots and right.me.slots) and (left.id in right.others or right.id in left.others)
            ways = [(one.address, other.address), (other.address, one.address)]   # each learns where it is itself
            if (family or peers) and pairs & set(ways):
                groups[0 if family else 1] += ways
    return groups


# ---- replicas


def _followers(declared: t.Sequence[Declared], seen: t.Mapping[str, Seen], shards: list[Shard],
               claims: t.Mapping[str, set[int]]) -> list[Declared]:
    """Put those that follow where they are, and return those that don't."""
    by_id = {seen[shard.primary.address].id: shard for shard in shards}
    free = []
    followed = {one.me.primary_id for one in seen.values()}
    for node in declared:
        one = seen[node.address]
        if one.id in by_id:
            continue
        if one.me.primary_id in by_id:
            by_id[one.me.primary_id].replicas.append(node)
        elif one.me.slots and one.me.is_primary and not claims[node.address]:   # it yields by itself
            next(shard for shard in shards if shard.slots & _slots(one.me)).replicas.append(node)
        elif not one.me.is_primary:
            raise CachingError(f"{node.address} follows {str(one.me.primary_id)[:8]}, which is no primary with slots: fail over, or empty it")
        elif one.keys or one.id in followed:
            raise CachingError(f"{node.address} has no slots, but {one.keys} keys or replicas of its own: move them first")
        else:
            free.append(node)
    return free


def _named(free: list[Declared], declared: t.Sequence[Declared], seen: t.Mapping[str, Seen], shards: list[Shard]) -> list[tuple[Declared, str]]:
    """Nodes whose shard is given go where its other nodes are."""
    placed = []
    for node in [node for node in free if node.shard]:
        homes = [shard for shard in shards if any(other.shard == node.shard for other in [shard.primary, *shard.replicas])]
        homes = [shard for shard in homes if shard.primary.shard == node.shard] or homes
        if len(homes) != 1:
            raise CachingError(f"nodes: {node.address} is to join the shard {node.shard}, " + (
                "of which no node is in the cluster: a new primary needs slots of the others, which this module does not move" if not homes
                else "whose nodes are in several shards"))
        homes[0].replicas.append(node)
        placed.append((node, homes[0].primary.address))
        free.remove(node)
    return placed


def _others(free: list[Declared], shards: list[Shard]) -> list[tuple[Declared, str]]:
    """The rest goes to the shards with the fewest replicas, to another location than the primary's where that is possible."""
    counts = [len(shard.replicas) for shard in shards]
    chosen = spread([node.location for node in free], [shard.primary.location for shard in shards], counts)
    for node, number in zip(free, chosen):
        shards[number].replicas.append(node)
    return [(node, shards[number].primary.address) for node, number in zip(free, chosen)]
