# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which replica takes over, and by which way, from what all nodes say."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _failover as failover
from ansible_collections.exalt.caching.plugins.module_utils import _topology
from ansible_collections.exalt.caching.plugins.module_utils._cluster_health import View
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._failover import Shard

# Three shards; the first has two replicas.
IDS = {name: letter * 40 for name, letter in zip(("p1", "p2", "p3", "r1", "r2", "r3", "s1"), "abcdef9")}
PLACES = {name: f"10.0.0.{number}:6379" for number, name in enumerate(IDS, 1)}
FIRST = Shard(PLACES["p1"], ("0-5460",), (PLACES["r1"], PLACES["s1"]))
ROLES = {
    "p1": "master - 0 0 1 connected 0-5460", "p2": "master - 0 0 2 connected 5461-10922", "p3": "master - 0 0 3 connected 10923-16000 16383",
    "r1": f"slave {IDS['p1']} 0 0 1 connected", "r2": f"slave {IDS['p2']} 0 0 2 connected",
    "r3": f"slave {IDS['p3']} 0 0 3 connected", "s1": f"slave {IDS['p1']} 0 0 1 connected",
}


def view(own: str, info: t.Mapping[str, str] | None = None, **other: str) -> View:
    """What one node says; `other` are the lines of nodes that it sees otherwise, `info` is put over its own."""
    lines = [f"{IDS[name]} {PLACES[name]}@16379 {'myself,' if name == own else ''}{other.get(name, line)}" for name, line in ROLES.items()]
    replica = own[0] in "rs"
    said = {"role": "slave", "slave_repl_offset": "1000", "master_link_status": "up"} if replica else {"role": "master", "master_repl_offset": "1000"}
    return View(PLACES[own], tuple(_topology.nodes("\n".join(lines))), {"cluster_state": "ok"}, {**said, **(info or {})})


def gone(name: str) -> View:
    return View(PLACES[name], error="Connection refused")


def views(*dead: str, **changed: View) -> list[View]:
    return [gone(name) if name in dead else changed.get(name, view(name)) for name in ROLES]


def seen(name: str, flag: str, *dead: str, info: t.Mapping[str, str] | None = None) -> list[View]:
    """All that are not dead see `name` with this flag; `info` is of its replicas."""
    line = ROLES[name].replace("master", f"master,{flag}")
    followers = {other for other in ROLES if IDS[name] in ROLES[other]}
    return [gone(other) if other in dead else view(other, info if other in followers else None, **{name: line}) for other in ROLES]


@pytest.mark.parametrize("named", [
    "0", "0-5460", " 0 - 5460 ", *(PLACES[name] for name in ("p1", "r1", "s1")),
])
def test_a_shard_is_found_by_its_number_a_range_and_each_of_its_nodes(named: str) -> None:
    assert failover.find(views(), "", named) == FIRST
    assert failover.find(views("p1"), "", named) == FIRST, "also while its primary is gone"


def test_ranges_and_numbers_of_others() -> None:
    last = failover.find(views(), "", "2")
    assert (last.primary, last.slots, last.replicas) == (PLACES["p3"], ("10923-16000", "16383"), (PLACES["r3"],))
    assert failover.find(views(), "", "10923-16000,16383") == failover.find(views(), "", "10923-16000") == last
    assert failover.find(views(), PLACES["r2"], "").primary == PLACES["p2"]
    assert last.shown() == {"primary": PLACES["p3"], "slots": ["10923-16000", "16383"], "replicas": [PLACES["r3"]]}


@pytest.mark.parametrize(("node", "shard", "told"), [
    ("10.0.0.99:6379", "", "node: 10.0.0.99:6379 is no node of a shard; there are 10.0.0.1:6379, 10.0.0.2:6379"),
    ("", "3", "shard: there is none 3; give its number, a range of its slots or one of its nodes: 0 (0-5460 of 10.0.0.1:6379), 1 ("),
    ("", "0-5461", "shard: there is none 0-5461;"),
    ("", "5460", "shard: there is none 5460;"),
    ("", "0-5460,16383", "shard: there is none 0-5460,16383;"),
    ("", "first", "shard: there is none first;"),
    ("", "²", "shard: there is none ²;"),
    ("", "", "shard: there is none ;"),
    ("", "a\nb\x1b[31m", "shard: there is none a b;"),
])
def test_what_is_not_there_is_told_with_what_there_is(node: str, shard: str, told: str) -> None:
    with pytest.raises(CachingError) as error:
        failover.find(views(), node, shard)
    assert error.value.message.startswith(told) and "\n" not in error.value.message


def test_a_primary_without_slots_is_no_shard() -> None:
    empty = ROLES["p3"].replace(" 10923-16000 16383", "")
    without = [view(name, p3=empty) for name in ROLES]
    assert [one.primary for one in failover.shards(without)] == [PLACES["p1"], PLACES["p2"]]
    with pytest.raises(CachingError, match="node: 10.0.0.3:6379 is no node of a shard"):
        failover.find(without, PLACES["p3"], "")


DOWN = {"master_link_status": "down"}


@pytest.mark.hazard("H25")
@pytest.mark.parametrize(("name", "nodes", "working"), [
    ("it answers", views(), True),
    ("it answers, whatever the others think", seen("p1", "fail", info=DOWN), True),
    ("only we can't reach it", views("p1"), True),
    ("a healthy flag that begins with fail", seen("p1", "nofailover", "p1"), True),
    ("it has just gone: its replicas noticed first", [gone("p1"), *(view(name, DOWN if name in ("r1", "s1") else {}) for name in list(ROLES)[1:])], False),
    ("one of its replicas still gets data", [gone("p1"), *(view(name, DOWN if name == "r1" else {}) for name in list(ROLES)[1:])], True),
    ("it is suspected", seen("p1", "fail?", "p1"), False),
    ("it has failed", seen("p1", "fail", "p1"), False),
    ("it has no address", seen("p1", "noaddr", "p1"), False),
    ("half of the others suspect it", [gone("p1"), *(view(name, p1=ROLES["p1"].replace("master", "master,fail?")) for name in ("p2", "p3", "r1")),
                                       *(view(name) for name in ("r2", "r3", "s1"))], False),
    ("most of the others do not", [gone("p1"), *(view(name, p1=ROLES["p1"].replace("master", "master,fail?")) for name in ("p2", "p3")),
                                   *(view(name) for name in ("r1", "r2", "r3", "s1"))], True),
    ("nobody else answers", views(*ROLES), False),
], ids=lambda value: value if isinstance(value, str) else "")
def test_whether_a_primary_works(name: str, nodes: list[View], working: bool) -> None:
    assert failover.works(PLACES["p1"], nodes) is working


def test_a_primary_without_replicas_works_in_the_eyes_of_the_others() -> None:
    alone = [one._replace(nodes=tuple(node for node in one.nodes if node.primary_id != IDS["p1"])) for one in views("p1", "r1", "s1")]
    assert failover.works(PLACES["p1"], alone) is True


@pytest.mark.parametrize(("dead", "enough"), [((), True), (("p1",), True), (("p1", "p2"), False), (("p1", "p2", "p3"), False), (("r1", "r2", "r3"), True)])
def test_an_election_needs_more_than_half_of_the_primaries(dead: tuple[str, ...], enough: bool) -> None:
    flags = {name: ROLES[name].replace("master", "master,fail?") for name in dead if name.startswith("p")}
    nodes = [gone(name) if name in dead else view(name, **flags) for name in ROLES]
    assert failover.quorum(nodes) == ([PLACES[name] for name in dead if name.startswith("p")], enough)


def test_half_of_four_primaries_is_not_enough() -> None:
    lines = {"r1": "master - 0 0 4 connected 16001-16382"}     # two shards of p1 and r1 beside p2 and p3
    flags = {name: ROLES[name].replace("master", "master,fail") for name in ("p1", "p2")}
    nodes = [gone(name) if name in flags else view(name, **flags, **lines) for name in ROLES]
    assert failover.quorum(nodes) == ([PLACES["p1"], PLACES["p2"]], False)


NEVER = {"master_link_status": "down", "master_link_down_since_seconds": "-1"}


@pytest.mark.parametrize(("said", "alive", "why"), [
    ({}, True, ""), ({}, False, ""),
    ({"loading": "1"}, True, "it is still loading its data"), ({"loading": "1"}, False, "it is still loading its data"),
    ({"master_sync_in_progress": "1"}, True, "it is still copying the data of its primary"),
    ({"master_sync_in_progress": "1", "db0": "keys=9,expires=0"}, False, "it is still copying the data of its primary"),
    (DOWN, True, "its link to the primary is down"), ({**DOWN, "master_link_down_since_seconds": "4"}, False, ""),
    (NEVER, False, "it has not had the data of its primary since it started, and would begin empty"),
    ({**NEVER, "db0": "keys=1,expires=0,avg_ttl=0"}, False, ""),
    ({**NEVER, "db0": "keys=0,expires=0,avg_ttl=0"}, False, "it has not had the data of its primary since it started, and would begin empty"),
], ids=str)
def test_what_keeps_a_replica_from_taking_over(said: dict[str, str], alive: bool, why: str) -> None:
    assert failover.unfit(view("r1", said), alive) == why


def test_a_replica_that_does_not_answer_or_is_held() -> None:
    assert failover.unfit(None, True) == "it does not answer"
    assert failover.unfit(gone("r1"), False) == "it does not answer: Connection refused"
    assert failover.unfit(view("r1")._replace(held=True), False) == "an unfinished redis_cluster run holds it: run that again"
    assert failover.unfit(view("r1")._replace(info={}), True) == "its link to the primary is not told"


def ahead(name: str, offset: int, **info: str) -> View:
    return view(name, {"slave_repl_offset": str(offset), **info})


@pytest.mark.hazard("H24")
def test_who_takes_over() -> None:
    further = views(s1=ahead("s1", 1500))
    assert failover.choose(FIRST, views(), "", True) == PLACES["r1"], "of equals always the same"
    assert failover.choose(FIRST, further, "", True) == failover.choose(FIRST, further, "", False) == PLACES["s1"]
    assert failover.choose(FIRST, further, PLACES["p1"], True) == PLACES["s1"], "the shard was named by its primary"
    assert failover.choose(FIRST, further, PLACES["r1"], True) == PLACES["r1"], "it gets the rest before it takes over"
    assert failover.choose(FIRST, views(s1=ahead("s1", 1500, loading="1")), "", False) == PLACES["r1"]
    assert failover.choose(FIRST, views(s1=ahead("s1", 1500, loading="1")), PLACES["r1"], False) == PLACES["r1"]


@pytest.mark.hazard("H24")
@pytest.mark.parametrize(("node", "nodes", "alive", "told"), [
    ("r1", views(s1=ahead("s1", 1500)), False, "10.0.0.4:6379 is 500 bytes of data behind 10.0.0.7:6379, which would be lost: choose 10.0.0.7:6379"),
    ("r1", views(r1=view("r1", DOWN)), True, "10.0.0.4:6379 can't become the primary of 0-5460: its link to the primary is down"),
    ("r1", views("r1"), False, "10.0.0.4:6379 can't become the primary of 0-5460: it does not answer: Connection refused"),
    ("", views("r1", s1=view("s1", {"loading": "1"})), False,
     "no replica of 10.0.0.1:6379 can take over: 10.0.0.4:6379: it does not answer: Connection refused; 10.0.0.7:6379: it is still loading its data"),
])
def test_who_does_not_take_over(node: str, nodes: list[View], alive: bool, told: str) -> None:
    with pytest.raises(CachingError) as error:
        failover.choose(FIRST, nodes, PLACES.get(node, ""), alive)
    assert error.value.message == told


def test_a_shard_without_replicas() -> None:
    with pytest.raises(CachingError, match="the shard 0-5460 has no replica, so nobody could take over from 10.0.0.1:6379"):
        failover.choose(FIRST._replace(replicas=()), views(), "", True)


@pytest.mark.hazard("H24")
@pytest.mark.parametrize(("sent", "info", "again"), [
    ("", {"redis_version": "7.0.15"}, False), ("0", {"redis_version": "7.0.15"}, False), ("1", {"redis_version": "7.0.15"}, True),
    ("3", {"redis_version": "7.2.4", "valkey_version": "8.1.4"}, True), ("3", {"redis_version": "7.2.4", "valkey_version": "9.1.0"}, False),
    ("3", {"redis_version": "7.2.4", "valkey_version": "10.0.0"}, False), ("3", {"valkey_version": "unstable"}, True), ("3", {}, True), ("x", {}, False),
])
def test_whose_old_votes_count_again(sent: str, info: dict[str, str], again: bool) -> None:
    said = {"cluster_stats_messages_auth-req_sent": sent} if sent else {}
    assert failover.elected_before(View(PLACES["r1"], (), said, info)) is again


def after(*dead: str, **changed: View) -> list[View]:
    """The cluster once r1 took over: p1 and s1 follow it."""
    lines = {"r1": "master - 0 0 4 connected 0-5460", "p1": f"slave {IDS['r1']} 0 0 4 connected", "s1": f"slave {IDS['r1']} 0 0 4 connected"}
    own = {"r1": {"role": "master"}, "p1": {"role": "slave", "master_link_status": "up"}}
    return [gone(name) if name in dead else changed.get(name, view(name, own.get(name, {}), **lines)) for name in ROLES]


R1 = PLACES["r1"]


@pytest.mark.hazard("H24", "H25")
def test_a_failover_is_over_when_all_see_it() -> None:
    assert failover.unsettled(R1, FIRST, after()) == []
    assert failover.unsettled(R1, FIRST, after("p1", "p2")) == [], "who is gone is not waited for"
    before = failover.unsettled(R1, FIRST, views())
    assert "10.0.0.2:6379 sees 10.0.0.1:6379 as the primary of 0-5460" in before and f"{R1} says that it is slave" in before


@pytest.mark.hazard("H24", "H25")
@pytest.mark.parametrize(("nodes", "told"), [
    (after(p3=view("p3")), ["10.0.0.3:6379 sees 10.0.0.1:6379 as the primary of 0-5460"]),
    (after("r1"), ["10.0.0.4:6379 does not answer"]),
    (after(p1=after()[0]._replace(info={"role": "master"})), ["10.0.0.1:6379 does not follow 10.0.0.4:6379 yet: it is master"]),
    (after(p1=after()[0]._replace(info={"role": "slave", **DOWN})), ["10.0.0.1:6379 does not follow 10.0.0.4:6379 yet: it is slave, with its link down"]),
    (after(r1=after()[3]._replace(info={"role": "slave"})), ["10.0.0.4:6379 says that it is slave"]),
    (after(p2=view("p2", r1="master - 0 0 4 connected 0-5460", p1="slave " + IDS["r1"] + " 0 0 4 connected")),
     ["10.0.0.2:6379 does not see 10.0.0.7:6379 as its replica yet"]),
    (after(p2=view("p2", p1=ROLES["p1"].replace(" 0-5460", ""))), ["10.0.0.2:6379 sees nobody as the primary of 0-5460"]),
])
def test_a_failover_is_not_over_while_somebody_sees_it_otherwise(nodes: list[View], told: list[str]) -> None:
    assert failover.unsettled(R1, FIRST, nodes) == told


@pytest.mark.parametrize(("info", "found"), [
    ({}, 0), ({"db0": "keys=12,expires=1,avg_ttl=0"}, 12), ({"db0": "keys=12,expires=1", "db3": "keys=4"}, 16), ({"db0": "rubbish", "dbsize": "keys=4"}, 0),
])
def test_keys(info: dict[str, str], found: int) -> None:
    assert failover.keys(View(R1, info=info)) == found


def test_whether_all_see_the_same() -> None:
    assert failover.agree(views()) and failover.agree(views("p1")) and failover.agree([])
    assert failover.agree(seen("p1", "fail?", "p1")), "a suspicion is private"
    assert not failover.agree(after(p3=view("p3"))), "somebody takes over just now"
    assert not failover.agree(views(r1=view("r1", {"role": "master"}))), "it did so between two of its answers"
