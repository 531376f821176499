# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which replicas are held while a cluster is healed, how the next run knows them, and what must not be brought together."""

from __future__ import annotations

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _cluster_hold as hold
from ansible_collections.exalt.caching.plugins.module_utils._cluster_touch import Seen
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._topology import Node
from hypothesis import given
from hypothesis import strategies as st

SWITCH, TITLE = "cluster-replica-no-failover", "proc-title-template"


def one(number: int, keys: int = 0, follows: int = 0, epoch: int = 1, link: str = "up", failover: str = "on") -> Seen:
    """A node; `follows`: the number of its primary."""
    flags = frozenset({"myself", "slave" if follows else "master"})
    slots = () if follows else ((0, 16383),)
    node = Node(f"{number:040x}", f"10.0.0.{number}", 6379, "", flags, f"{follows:040x}" if follows else None, epoch, True, slots, ())
    return Seen(node.address, node.id, (node,), keys, "ok", link, failover)


def seen(*nodes: Seen) -> dict[str, Seen]:
    return {node.address: node for node in nodes}


@pytest.mark.parametrize("switch, title, told", [
    ("no", "{title}", "on"), ("yes", "{title}", "off"), ("yes", "{title} caching-healing", "held"),
    ("no", "{title} caching-healing", "held"),   # a run was cut off, and somebody switched failovers on: the title is still to be put back
    ("yes", "caching-healing {title}", "off"),
])
def test_who_switched_failovers_off_is_told(switch: str, title: str, told: str) -> None:
    assert hold.failover({SWITCH: switch, TITLE: title}) == told


def test_what_can_not_be_read_is_unknown() -> None:
    assert hold.failover({}) == hold.failover({SWITCH: "no"}) == hold.failover({TITLE: "x"}) == "unknown"


@given(st.text(max_size=20), st.integers(1, 3))
def test_a_hold_is_found_and_undone_without_a_trace_however_often_it_is_done(title: str, times: int) -> None:
    settings = {SWITCH: "no", TITLE: title.removesuffix(" caching-healing")}
    before = dict(settings)
    for _time in range(times):
        settings = dict(zip(*[iter(hold.words("hold", settings))] * 2))
        assert hold.failover(settings) == "held" and settings[SWITCH] == "yes"
    assert dict(zip(*[iter(hold.words("release", settings))] * 2)) == before


def test_replicas_are_held_unless_somebody_did_it_already() -> None:
    nodes = seen(one(1), one(2, follows=1), one(3, follows=1, failover="off"), one(4, follows=1, failover="held"), one(5, failover="off"))
    assert hold.to_hold(nodes) == ["10.0.0.2:6379"]
    assert hold.to_hold(nodes, ["10.0.0.1:6379", "10.0.0.5:6379"]) == ["10.0.0.1:6379", "10.0.0.2:6379"], "they become replicas"


def test_where_config_is_not_allowed_nothing_is_brought_together() -> None:
    with pytest.raises(CachingError, match=r"^10\.0\.0\.2:6379: CONFIG GET .* is not answered\. .*needs CONFIG GET and CONFIG SET there$"):
        hold.to_hold(seen(one(1), one(2, follows=1, failover="unknown")))


@pytest.mark.parametrize("primary, replica, link, refused", [
    (0, 10, "down", True), (4, 10, "down", True), (5, 10, "down", False), (10, 10, "down", False), (20, 10, "down", False),
    (0, 0, "down", False),
    (0, 10, "up", False),   # it copies already, or the keys were deleted this moment
])
def test_a_primary_that_came_back_without_its_data_is_not_copied(primary: int, replica: int, link: str, refused: bool) -> None:
    nodes = seen(one(1, primary), one(2, replica, follows=1, link=link), one(3, 50))
    if not refused:
        return hold.safe(nodes)
    text = rf"^10\.0\.0\.1:6379 has {primary} keys and its replica 10\.0\.0\.2:6379 has {replica}: .*CLUSTER FAILOVER TAKEOVER at 10\.0\.0\.2:6379"
    with pytest.raises(CachingError, match=text):
        hold.safe(nodes)


@pytest.mark.parametrize("former, later, refused", [(10, 0, True), (10, 4, True), (10, 5, False), (0, 10, False), (0, 0, False)])
def test_a_former_primary_with_more_data_than_who_took_over_does_not_yield(former: int, later: int, refused: bool) -> None:
    nodes = seen(one(1, former, epoch=1), one(2, later, epoch=7))
    if not refused:
        return hold.safe(nodes)
    with pytest.raises(CachingError, match=rf"^10\.0\.0\.1:6379 has {former} keys, and 10\.0\.0\.2:6379, which .* has {later}: .*CLUSTER BUMPEPOCH at 10"):
        hold.safe(nodes)


def test_primaries_of_other_slots_are_not_compared() -> None:
    apart = one(2, 0, epoch=7)
    apart = apart._replace(nodes=(apart.me._replace(slots=((5, 9),)),))
    left = one(1, 10)
    hold.safe(seen(left._replace(nodes=(left.me._replace(slots=((0, 4),)),)), apart))
