# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Redis Cluster lacks: truth tables, and a model of nodes on which every plan is carried out, whole or cut off."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _cluster_plan as cluster
from ansible_collections.exalt.caching.plugins.module_utils import _cluster_touch as touch
from ansible_collections.exalt.caching.plugins.module_utils._cluster_spread import crowded, spread
from ansible_collections.exalt.caching.plugins.module_utils._cluster_touch import Declared, Seen
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._topology import SLOTS, Node
from hypothesis import given, settings
from hypothesis import strategies as st


class Model:
    """Nodes that do what Redis does with these commands, and refuse what it refuses."""

    def __init__(self, number: int) -> None:
        self.ids = {f"10.0.0.{n}:6379": f"{n:040x}" for n in range(1, number + 1)}
        self.slots: dict[str, tuple[tuple[int, int], ...]] = dict.fromkeys(self.ids, ())
        self.epoch, self.keys = dict.fromkeys(self.ids, 0), dict.fromkeys(self.ids, 0)
        self.follows: dict[str, str | None] = dict.fromkeys(self.ids)
        self.knows: dict[str, set[str]] = {address: {address} for address in self.ids}
        self.old: dict[str, str] = {}                # addresses under which others know a node
        self.stale: dict[str, str] = {}              # where a node says that it is, until somebody meets it
        self.extra: dict[str, list[Node]] = {}       # lines about nodes that are not of the model
        self.held: set[str] = set()

    def add(self) -> str:
        number = len(self.ids) + 1
        address = f"10.0.0.{number}:6379"
        self.ids[address], self.slots[address], self.follows[address] = f"{number:040x}", (), None
        self.epoch[address] = self.keys[address] = 0
        self.knows[address] = {address}
        return address

    def _line(self, address: str, viewer: str) -> Node:
        host = self.old.get(address, self.stale.get(address, address) if address == viewer else address).partition(":")[0]
        follows = self.follows[address]
        flags = {"master" if follows is None else "slave"} | ({"myself"} if address == viewer else set())
        lost = address in self.old and address != viewer
        return Node(self.ids[address], host, 6379, "", frozenset(flags | ({"fail"} if lost else set())),
                    self.ids[follows] if follows else None, self.epoch[address], not lost, self.slots[address], ())

    def _lines(self, viewer: str) -> list[Node]:
        return [self._line(other, viewer) for other in sorted(self.knows[viewer])]

    def seen(self) -> dict[str, Seen]:
        return {
            address: Seen(address, self.ids[address], (*self._lines(address), *self.extra.get(address, [])), self.keys[address],
                          failover="held" if address in self.held else "on")
            for address in self.ids
        }

    def do(self, step: t.Mapping[str, str]) -> None:
        node, target = step["node"], step.get("target", "")
        if step["action"] == "set_epoch":
            assert self.knows[node] == {node} and self.epoch[node] == 0
            self.epoch[node] = int(step["epoch"])
        elif step["action"] == "add_slots":
            given = [part.partition("-") for part in step["slots"].split()]
            self.slots[node] = tuple((int(low), int(high or low)) for low, _dash, high in given)
        elif step["action"] == "hold":
            assert node not in self.held
            self.held.add(node)
        elif step["action"] == "release":
            assert not self.old and not self.stale, "only when all have found each other"
            self.held.remove(node)
        elif step["action"] == "meet":
            assert not self.old or self.held == {other for other, follows in self.follows.items() if follows}, "a replica could be elected"
            self.old.pop(target, None)
            self.old.pop(node, None)
            self.stale.pop(target, None)
            both = self.knows[node] | self.knows[target]
            for other in both:
                self.knows[other] = both
        else:
            assert step["action"] == "replicate" and target in self.knows[node] and not self.slots[node] and not self.keys[node] and self.slots[target]
            self.follows[node] = target


def declared(model: Model, shards: t.Sequence[str] = (), locations: t.Sequence[str] = ()) -> list[Declared]:
    rows = itertools.zip_longest(model.ids, shards, locations, fillvalue="")
    return [Declared(address, shard, location, frozenset({address})) for address, shard, location in rows]


def carried_out(model: Model, wanted: list[Declared], replicas: int, most: int | None = None) -> list[cluster.Step]:
    steps = cluster.plan(wanted, model.seen(), replicas).steps
    for step in steps[:most]:
        model.do(step)
    return steps


def whole(model: Model, wanted: list[Declared], replicas: int) -> cluster.Plan:
    """Nothing is left to do, and everything is right."""
    plan = cluster.plan(wanted, model.seen(), replicas)
    assert plan.steps == [] and touch.unready(wanted, model.seen()) == [] and not model.held
    assert sum(row["slot_count"] for row in plan.topology) == SLOTS
    assert all(len(row["replicas"]) >= replicas for row in plan.topology)
    epochs = [model.epoch[row["primary"]] for row in plan.topology]
    assert len(set(epochs)) == len(epochs) and min(epochs) > 0
    return plan


SHAPES = st.tuples(st.integers(3, 5), st.integers(0, 2), st.integers(0, 2))


@settings(deadline=None, max_examples=25)
@given(SHAPES, st.lists(st.integers(0, 6), max_size=8), st.lists(st.sampled_from("abc"), max_size=18))
def test_a_cluster_is_formed_however_often_the_run_is_cut_off(shape: tuple[int, int, int], cuts: list[int], locations: list[str]) -> None:
    shards, replicas, more = shape
    model = Model(shards * (1 + replicas) + min(more, replicas))
    wanted = declared(model, (), locations[: len(model.ids)])
    steps = [step for cut in [*cuts, None] for step in carried_out(model, wanted, replicas, cut)]
    assert not {"hold", "release"} & {step["action"] for step in steps}, "who follows nobody yet need not be held"
    plan = whole(model, wanted, replicas)
    assert len(plan.topology) == shards
    counts = [row["slot_count"] for row in plan.topology]
    assert max(counts) - min(counts) <= 1 or cuts, "evenly, but for the odd slot"
    assert max(counts) - min(counts) <= 2


def test_the_first_of_each_shard_is_its_primary_and_the_others_follow_it() -> None:
    model = Model(6)
    wanted = declared(model, ["b", "b", "a", "c", "a", "c"])
    carried_out(model, wanted, 1)
    rows = {row["primary"]: row["replicas"] for row in whole(model, wanted, 1).topology}
    assert rows == {"10.0.0.1:6379": ["10.0.0.2:6379"], "10.0.0.3:6379": ["10.0.0.5:6379"], "10.0.0.4:6379": ["10.0.0.6:6379"]}


@pytest.mark.parametrize("locations", ["aabbcc", "abcabc", "abccba", "aaabbc", "abbacc"])
def test_replicas_are_on_another_location(locations: str) -> None:
    model = Model(6)
    wanted = declared(model, (), list(locations))
    carried_out(model, wanted, 1)
    plan = whole(model, wanted, 1)
    assert plan.warnings == []
    primaries = [wanted[list(model.ids).index(row["primary"])].location for row in plan.topology]
    assert len(set(primaries)) == 3


def test_a_location_that_can_not_be_another_is_told() -> None:
    model = Model(6)
    wanted = declared(model, (), ["a"] * 6)
    assert len(carried_out(model, wanted, 1)) == 14
    assert len(whole(model, wanted, 1).warnings) == 3


@pytest.mark.parametrize(("shards", "told"), [
    ("ab bc ca", ""),
    ("ab ac ca", "2 of 3 primaries are in the location a (n0, n2): if it is lost, those elsewhere are no majority, and no replica takes over. "
                 "CLUSTER FAILOVER at n1 moves one away"),
    ("ab aa cb", "2 of 3 primaries are in the location a (n0, n2): if it is lost, those elsewhere are no majority, and no replica takes over. "
                 "CLUSTER FAILOVER at n1 moves one away"),
    ("aa aa bc", "2 of 3 primaries are in the location a (n0, n2): if it is lost, those elsewhere are no majority, and no replica takes over"),
    ("ab ba ab", ""),                       # with two locations one has them always
    ("ab ac bc cb", ""),                    # nor can four be spread over three so that none has half of them
    ("ab ac bc db", "2 of 4 primaries are in the location a (n0, n2): if it is lost, those elsewhere are no majority, and no replica takes over. "
                    "CLUSTER FAILOVER at n3 moves one away"),
    ("ab ab bc", "2 of 3 primaries are in the location a (n0, n2): if it is lost, those elsewhere are no majority, and no replica takes over"),
    ("ab ac bc cb ca", ""),
    (".. .. ..", ""),
])
def test_a_location_without_which_there_is_no_majority_is_told(shards: str, told: str) -> None:
    numbers = itertools.count()
    found = [[(f"n{next(numbers)}", place.strip(".")) for place in shard] for shard in shards.split()]
    assert crowded(found) == ([told] if told else [])


@given(st.lists(st.sampled_from("abc"), max_size=5), st.lists(st.sampled_from("abc"), min_size=1, max_size=3), st.data())
def test_spread_is_even_and_the_best_there_is(nodes: list[str], primaries: list[str], data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(0, 2), min_size=len(primaries), max_size=len(primaries)))

    def worth(choice: t.Sequence[int]) -> tuple[list[int], int]:
        return sorted(counts[shard] + choice.count(shard) for shard in range(len(primaries))), sum(
            location == primaries[shard] for location, shard in zip(nodes, choice))

    best = list(spread(nodes, primaries, counts))
    every = [worth(choice) for choice in itertools.product(range(len(primaries)), repeat=len(nodes))]
    evenest = min((total for total, _near in every), key=lambda total: sum(number * number for number in total))
    assert worth(best) == (evenest, min(near for total, near in every if total == evenest))


def formed(number: int = 6, replicas: int = 1) -> Model:
    model = Model(number)
    carried_out(model, declared(model), replicas)
    for address in model.ids:
        model.keys[address] = 10
    return model


def test_a_node_joins_the_shard_with_the_fewest_replicas_or_the_one_that_is_named() -> None:
    model = formed()
    model.add()
    steps = carried_out(model, declared(model), 1)
    assert [step["action"] for step in steps] == ["meet", "replicate"] and steps[1]["node"] == "10.0.0.7:6379"
    assert sorted(len(row["replicas"]) for row in whole(model, declared(model), 1).topology) == [1, 1, 2]
    model = formed()
    model.add()
    names = ["a", "b", "c", *("abc"[list(model.ids).index(t.cast("str", model.follows[address]))] for address in list(model.ids)[3:6]), "c"]
    assert carried_out(model, declared(model, names), 1)[-1]["target"] == "10.0.0.3:6379"


@pytest.mark.hazard("H40")
@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(1, 6), min_size=1), st.integers(0, 7))
def test_nodes_at_new_addresses_meet_and_nothing_else_is_done(moved: set[int], most: int) -> None:
    model = formed()
    model.old = {f"10.0.0.{number}:6379": f"10.9.9.{number}:6379" for number in moved}
    model.stale = dict(model.old)
    done = [carried_out(model, declared(model), 1, 1)[:1] for _cut in range(most)]
    done.append(carried_out(model, declared(model), 1))
    actions = [step["action"] for steps in done for step in steps]
    assert actions == ["hold"] * 3 + ["meet"] * (len(actions) - 6) + ["release"] * 3 and len(actions) > 6
    whole(model, declared(model), 1)
    assert not model.stale, "each knows where it is itself"


@pytest.mark.hazard("H40")
def test_a_former_primary_that_lost_the_others_is_held_too() -> None:
    """Its replica took over, so it becomes that one's replica as soon as it hears of it, and must not be elected then."""
    model = formed()
    former, new = "10.0.0.1:6379", next(address for address, follows in model.follows.items() if follows == "10.0.0.1:6379")
    model.follows[new], model.slots[new], model.epoch[new] = None, model.slots[former], 9
    assert cluster.plan(declared(model), model.seen(), 1).steps == [], "it yields by itself"
    model.old = {address: "10.9.9.9:6379" for address in model.ids}
    steps = cluster.plan(declared(model), model.seen(), 1).steps
    held = [step["node"] for step in steps if step["action"] == "hold"]
    assert former in held and new not in held and len(held) == 3
    assert [step["node"] for step in steps if step["action"] == "release"] == held


def stranger(flags: str, slots: tuple[tuple[int, int], ...] = ()) -> Node:
    return Node("f" * 40, "10.7.7.7", 6379, "", frozenset(flags.split(",")), None, 9, "fail" not in flags, slots, ())


def refused(model: Model, text: str, replicas: int = 1, shards: t.Sequence[str] = ()) -> None:
    with pytest.raises(CachingError, match=text):
        cluster.plan(declared(model, shards), model.seen(), replicas)


def test_what_could_lose_data_is_refused() -> None:
    model = Model(6)
    model.keys["10.0.0.4:6379"] = 3
    refused(model, r"^10\.0\.0\.4:6379 holds 3 keys and is not part of this cluster")
    model = formed()
    model.keys[model.add()] = 7
    refused(model, r"10\.0\.0\.7:6379 holds 7 keys")
    model = formed()
    model.slots["10.0.0.2:6379"] = ()
    model.keys["10.0.0.2:6379"] = 0
    refused(model, "slots have no owner, and the nodes hold 20 keys")
    model = formed()
    model.slots[model.add()] = ((5, 5),)
    refused(model, "10.0.0.7:6379 holds slots that .* holds too")
    model = formed()
    model.extra[model.add()] = [stranger("master")]
    refused(model, "10.0.0.7:6379 is in another cluster than 10.0.0.1:6379")
    model = formed()
    model.slots["10.0.0.7:6379"] = ()
    model.add()
    model.knows["10.0.0.7:6379"] = model.knows["10.0.0.1:6379"] | {"10.0.0.7:6379"}
    model.keys["10.0.0.7:6379"] = 2
    refused(model, "has no slots, but 2 keys")


def test_what_does_not_come_out_is_refused() -> None:
    refused(Model(5), "5 nodes are too few for 3 shards with 1 replicas each: it takes 6")
    refused(Model(2), "2 nodes are too few for 3 shards with 0 replicas", 0)
    refused(Model(6), "3 nodes are too few|1 nodes are too few for the shard c", 1, list("aaabbc"))
    refused(Model(6), "2 shards are declared, and it takes 3", 1, list("aaabbb"))
    model = formed()
    model.add()
    model.add()
    refused(model, "4 shards are declared and the cluster has 3: a new primary")
    model = formed()
    model.add()
    with pytest.raises(CachingError, match="too few for the shard d|is to join the shard d"):
        cluster.plan(declared(model, ["", "", "", "", "", "", "d"]), model.seen(), 1)
    same = Model(3)
    same.ids["10.0.0.3:6379"] = same.ids["10.0.0.1:6379"]
    refused(same, "10.0.0.1:6379 and 10.0.0.3:6379 are the same node", 0)


def test_nodes_that_are_not_declared() -> None:
    model = formed()
    model.extra["10.0.0.5:6379"] = [stranger("master")]
    with pytest.raises(cluster.Unsure, match=r"10\.7\.7\.7:6379 \(ffffffff\), which is not declared"):
        cluster.plan(declared(model), model.seen(), 1)
    for flags in ("master,fail", "master,noaddr"):
        model.extra["10.0.0.5:6379"] = [stranger(flags)]
        plan = cluster.plan(declared(model), model.seen(), 1)
        assert plan.steps == [] and "CLUSTER FORGET" in plan.warnings[0]
    model.slots["10.0.0.2:6379"] = ()
    model.extra["10.0.0.5:6379"] = [stranger("master,fail", ((5461, 10921),))]
    refused(model, "5461 slots belong to 10.7.7.7")
    model.extra["10.0.0.5:6379"] = [stranger("master,noaddr", ((5461, 10921),))._replace(host="", port=0)]
    refused(model, r"5461 slots belong to a node whose address nobody knows \(ffffffff\), which does not answer")


def test_a_replica_that_looks_for_its_primary_elsewhere_follows_it_anew() -> None:
    model = formed()
    replica, primary = next((one, follows) for one, follows in model.follows.items() if follows)
    seen = model.seen()
    assert touch.astray(seen) == []
    where = {"10.9.9.9:6379": [(replica, primary)], primary: [], "": []}   # "": its link is up, or data comes
    for seeks, pairs in where.items():
        seen[replica] = seen[replica]._replace(seeks=seeks, link="down" if seeks else "up")
        assert touch.astray(seen) == pairs
        steps = cluster.plan(declared(model), seen, 1).steps
        assert steps == [{"action": "replicate", "node": one, "target": other} for one, other in pairs]
    seen[replica] = seen[replica]._replace(seeks="10.9.9.9:6379", link="down")
    seen[primary] = seen[primary]._replace(keys=4)
    with pytest.raises(CachingError, match="it came back without its data"):
        cluster.plan(declared(model), seen, 1)
    model.old = {primary: "10.9.9.9:6379"}
    seen = model.seen()
    seen[replica] = seen[replica]._replace(seeks="10.9.9.9:6379", link="down")
    assert touch.astray(seen) == [], "while they are apart, meeting is what they need"


@given(st.sets(st.integers(0, SLOTS - 1), max_size=50))
def test_ranges(slots: set[int]) -> None:
    told = [part.partition("-") for part in touch.ranges(slots).split()]
    assert {slot for low, _dash, high in told for slot in range(int(low), int(high or low) + 1)} == slots
