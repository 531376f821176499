# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which shard each new replica follows: the fewest first, and on another location than the primary's where that can be. Pure."""

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
