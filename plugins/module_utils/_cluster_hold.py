# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Keeping replicas from being elected, and data from being overwritten, while the nodes of a cluster find each other. Pure functions.

Primaries that find each other again first agree that a third has failed, and its replica has itself elected. So every replica is
held (``cluster-replica-no-failover yes``) until all is well. That it was held by this module stands in the same CONFIG SET on the
node itself, in its process title, where the next run finds it after one that was killed, and where ``ps`` shows it.
"""

from __future__ import annotations

import typing as t

from ._cluster_touch import Seen
from ._errors import CachingError

SWITCH, TITLE = "cluster-replica-no-failover", "proc-title-template"
_MARK = " caching-healing"


def failover(now: t.Mapping[str, str]) -> str:
    """``on``; ``off``, as somebody set it; ``held`` by this module; or ``unknown``, where CONFIG is not allowed."""
    if SWITCH not in now or TITLE not in now:
        return "unknown"
    return "held" if now[TITLE].endswith(_MARK) else "off" if now[SWITCH] == "yes" else "on"


def words(action: str, now: t.Mapping[str, str]) -> list[str]:
    """What CONFIG SET is given to hold a replica or to release it; both settings at once, or none."""
    title = now[TITLE].removesuffix(_MARK)
    return [SWITCH, "yes", TITLE, title + _MARK] if action == "hold" else [SWITCH, "no", TITLE, title]


def to_hold(seen: t.Mapping[str, Seen], yielding: t.Collection[str] = ()) -> list[str]:
    """Who must not be elected meanwhile: replicas, and former primaries, which become some."""
    for one in seen.values():
        if one.failover == "unknown":
            raise CachingError(
                f"{one.address}: CONFIG GET {SWITCH} and {TITLE} is not answered. Nodes that lost each other are only brought together "
                "while no replica can be elected, so the user needs CONFIG GET and CONFIG SET there"
            )
    return [one.address for one in seen.values() if (not one.me.is_primary or one.address in yielding) and one.failover == "on"]


def safe(seen: t.Mapping[str, Seen]) -> None:
    """Refuse to bring together whoever would then copy less than what it has."""
    by_id = {one.id: one for one in seen.values()}
    for one in seen.values():
        primary = by_id.get(one.me.primary_id or "")
        if primary and primary.me.is_primary and one.link != "up" and 2 * primary.keys < one.keys:
            raise CachingError(
                f"{primary.address} has {primary.keys} keys and its replica {one.address} has {one.keys}: it came back without its data, "
                f"and the replica would copy that, so nothing was changed. CLUSTER FAILOVER TAKEOVER at {one.address} makes the replica "
                "the primary; then run this again"
            )
        later = [other for other in seen.values() if other.me.is_primary and one.me.is_primary and other.me.epoch > one.me.epoch
                 and other.keys * 2 < one.keys and set(other.me.slots) & set(one.me.slots)]
        if later:
            raise CachingError(
                f"{one.address} has {one.keys} keys, and {later[0].address}, which took its slots over, has {later[0].keys}: the former would "
                f"copy the latter, so nothing was changed. CLUSTER BUMPEPOCH at {one.address} makes it the owner again; then run this again"
            )
