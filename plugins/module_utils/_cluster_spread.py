# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which shard each new replica follows: the fewest first, and on another location than the primary's where that can be; and where
primaries crowd. Pure."""

from __future__ import annotations

import typing as t


def spread(nodes: t.Sequence[str], primaries: t.Sequence[str], counts: t.Sequence[int]) -> list[int]:
    """For the location of each node the number of its shard; ``counts`` are the replicas that each shard has.

    No other choice puts more of them on another location: it is a matching of nodes with free places, those that every such
    choice fills before those that are a choice between equals. An empty location is unlike any other.
    """
    places: list[int] = []           # the shard of each place
    level, last = list(counts), 0
    while len(places) < len(nodes):
        lowest = [shard for shard, number in enumerate(level) if number == min(level)]
        places += lowest
        last = len(lowest)
        for shard in lowest:
            level[shard] += 1
    sure = len(places) - last
    taken: dict[int, int] = {}       # number of a node -> number of its place

    def find(place: int, tried: set[int]) -> bool:
        for number, location in enumerate(nodes):
            if number in tried or (location and location == primaries[places[place]]):
                continue
            tried.add(number)
            if number not in taken or find(taken[number], tried):
                taken[number] = place
                return True
        return False

    for place in range(sure):
        find(place, set())
    free = len(nodes) - sure         # places of the last level that are filled
    for place in range(sure, len(places)):
        if free and find(place, set()):
            free -= 1
    rest = sorted(set(range(len(places))) - set(taken.values()))
    for number in range(len(nodes)):
        if number not in taken:
            taken[number] = rest.pop(0)
    return [places[taken[number]] for number in range(len(nodes))]


def crowded(shards: t.Sequence[t.Sequence[tuple[str, str]]]) -> list[str]:
    """What is to be told of locations whose loss leaves no majority of the primaries, where there are locations enough to avoid it.

    A shard is its primary and its replicas, each an address and a location.
    """
    where = [shard[0][1] for shard in shards]
    places = {place for shard in shards for _address, place in shard if place}
    if not places or 2 * -(-len(shards) // len(places)) >= len(shards):     # spread evenly, one of them has as many
        return []
    told = []
    for place in sorted({place for place in where if place and 2 * where.count(place) >= len(shards)}):
        here = [shard for shard in shards if shard[0][1] == place]
        way = [(where.count(other), address) for shard in here for address, other in shard[1:]
               if other != place and 2 * (where.count(other) + 1) < len(shards)]
        told.append(
            f"{len(here)} of {len(shards)} primaries are in the location {place} ({', '.join(shard[0][0] for shard in here)}): if it is lost, "
            "those elsewhere are no majority, and no replica takes over" + (f". CLUSTER FAILOVER at {min(way)[1]} moves one away" if way else "")
        )
    return told
