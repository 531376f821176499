# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_failover while the primaries work: by agreement, seen by all, without a lost write; and what is refused with nothing sent."""

from __future__ import annotations

import contextlib
import itertools
import time
import typing as t
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from tests.faults import heals
from tests.harness.acknowledged import Acknowledged
from tests.harness.cut import Cut
from tests.harness.failing import actions, away, healthy, loose, recorded, refused, run
from tests.harness.scratch import Node, Scratch
from tests.harness.sequence import accepted

Formed = Callable[[str], Scratch]
BOTH = pytest.mark.parametrize("flavour", ["valkey", "redis"])


@BOTH
@pytest.mark.operation("S089", "S087", "S088")
@pytest.mark.hazard("H24", "H25")
def test_a_node_becomes_the_primary_and_stays_it(formed: Formed, flavour: str) -> None:
    """Check mode sends nothing that changes anything, and says what happens; a second run does nothing."""
    cluster = formed(flavour)
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    told, sent = recorded(cluster, check=True, node=replica.address)
    assert accepted(told)["changed"] is True and not sent and cluster.primaries()[0] is primary
    with Acknowledged([node.address for node in cluster.nodes]) as writers:
        done, sent = recorded(cluster, node=replica.address)
    assert accepted(done)["changed"] is True and sent == {"CLUSTER FAILOVER"}
    assert all(done[name] == told[name] for name in ("shard", "steps", "lost_writes_possible", "diff")), (done, told)
    assert done["lost_writes_possible"] is False and actions(done)[-1] == ("graceful", replica.address)
    assert done["shard"]["before"]["primary"] == primary.address and done["shard"]["after"] == {
        "primary": replica.address, "slots": ["0-5460"], "replicas": [primary.address]}
    assert done["diff"] == {"before": {"0-5460": done["shard"]["before"]}, "after": {"0-5460": done["shard"]["after"]}}
    healthy(cluster, replica)
    assert writers.result.lost == writers.result.failed == [] and heals.missing(cluster) == 0
    for check in (True, False):
        again, sent = recorded(cluster, check, node=replica.address)
        assert accepted(again)["changed"] is False and not sent and again["steps"] == [] and again["diff"] == {"before": {}, "after": {}}
        assert again["shard"]["before"] == again["shard"]["after"] == done["shard"]["after"]


@BOTH
def test_a_shard_is_named_by_its_number_its_slots_or_a_node(formed: Formed, flavour: str) -> None:
    """Each run moves it. Nothing is lost, not one request fails, and the writes of a shard stand still for less than a second."""
    cluster = formed(flavour)
    with Acknowledged([node.address for node in cluster.nodes]) as writers:
        for number, how in enumerate((lambda _node: "0", lambda _node: "5461-10921", lambda node: cluster.replica_of(node).address)):
            primary = cluster.primaries()[number]
            replica = cluster.replica_of(primary)
            done = accepted(run(cluster, shard=how(primary)))
            assert done["changed"] is True and done["shard"]["after"]["primary"] == replica.address
            healthy(cluster, replica)
    assert writers.result.lost == writers.result.failed == [], writers.result
    assert writers.result.longest < 1000, writers.result.gaps


REFUSED: dict[str, tuple[dict[str, t.Any], str]] = {
    "node": ({"node": "127.0.0.1:1"}, "node: 127.0.0.1:1 is no node of a shard; there are 127.0.0.1:"),
    "shard": ({"shard": "7"}, "shard: there is none 7; give its number, a range of its slots or one of its nodes: 0 (0-5460 of 127.0.0.1:"),
    "range": ({"shard": "0-99"}, "shard: there is none 0-99;"),
    "empty": ({"shard": ""}, "shard: there is none ;"),
    "both": ({"shard": "0", "node": "127.0.0.1:1"}, "parameters are mutually exclusive: node|shard"),
    "none": ({}, "one of the following is required: node, shard"),
    "method": ({"shard": "0", "method": "abort"}, "value of method must be one of: graceful, force, takeover"),
    "time": ({"shard": "0", "wait_timeout": "soon"}, "wait_timeout: 'soon' is not a duration"),
    "debounce": ({"shard": "0", "debounce": "-1"}, "debounce: '-1' is not a duration"),
    "nodes": ({"shard": "0", "redis_nodes": []}, "redis_nodes: give at least one node as host:port"),
    "nobody": ({"shard": "0", "redis_nodes": ["127.0.0.1:1"]}, "no node of Redis answers; 127.0.0.1:1: Redis at 127.0.0.1:1 can't be read: "),
    "takeover": ({"shard": "0", "method": "takeover", "approve_takeover": True}, "lives, so nobody may take over from it without its consent or an election"),
}


@pytest.mark.hazard("H24")
@pytest.mark.parametrize(("options", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_while_all_is_well(formed: Formed, options: dict[str, t.Any], told: str) -> None:
    refused(formed("valkey"), told, **options)


@pytest.mark.hazard("H24", "H26")
def test_a_replica_that_does_not_follow_is_not_asked(formed: Formed) -> None:
    """Its link is down. Method force lets the others elect it; what it has not had is lost then, and that is said."""
    cluster = formed("redis")
    primary = cluster.primaries()[2]
    replica = cluster.replica_of(primary)
    with loose(cluster, replica):
        refused(cluster, f"{replica.address} can't become the primary of 10922-16383: its link to the primary is down", node=replica.address)
        refused(cluster, f"no replica of {primary.address} can take over: {replica.address}: its link to the primary is down", shard="2")
        told, sent = recorded(cluster, check=True, node=replica.address, method="force")
        assert accepted(told)["lost_writes_possible"] is True and not sent and actions(told)[-1] == ("force", replica.address)
        done = accepted(run(cluster, node=replica.address, method="force"))
        assert (done["steps"], done["diff"], done["lost_writes_possible"]) == (told["steps"], told["diff"], True)
    healthy(cluster, replica)
    assert heals.missing(cluster) == 0


@pytest.mark.hazard("H24", "H26")
def test_a_replica_that_copies_its_data_is_not_asked(formed: Formed) -> None:
    cluster = formed("valkey")
    primary = cluster.primaries()[1]
    replica = cluster.replica_of(primary)
    cluster.client(primary).config_set("rdb-key-save-delay", 80_000)
    cluster.kill(replica)
    cluster.start(replica)
    cluster.until(lambda: bool(cluster.client(replica).info("replication")["master_sync_in_progress"]), "it does not copy")
    refused(cluster, f"{replica.address} can't become the primary of 5461-10921: it is still copying the data of its primary", node=replica.address)
    cluster.client(primary).config_set("rdb-key-save-delay", 0)
    cluster.until(cluster.whole, "it does not end")
    assert accepted(run(cluster, node=replica.address))["changed"] is True


def test_a_replica_that_a_healing_holds_is_not_asked(formed: Formed) -> None:
    cluster = formed("valkey")
    replica = cluster.replica_of(cluster.primaries()[1])
    client = cluster.client(replica)
    (title,) = client.config_get("proc-title-template").values()
    client.config_set("cluster-replica-no-failover", "yes", "proc-title-template", f"{title} caching-healing")
    try:
        cluster.until(lambda: "nofailover" in client.execute_command("CLUSTER NODES")[replica.address]["flags"], "no flag")
        refused(cluster, "an unfinished redis_cluster run holds it: run that again", node=replica.address)
    finally:
        client.config_set("cluster-replica-no-failover", "no", "proc-title-template", title)


def test_a_primary_that_only_the_module_can_not_reach_has_not_failed(formed: Formed) -> None:
    cluster = formed("valkey")
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    with away(cluster, primary) as proxies:     # and what it does meanwhile isn't seen, so writes may be lost
        given = {"redis_address_map": proxies.address_map}
        kept = accepted(run(cluster, node=primary.address, **given))
        assert kept["changed"] is False
        done = accepted(run(cluster, shard="0", **given))
    assert done["changed"] is True and actions(done) == [("graceful", replica.address)] and done["lost_writes_possible"] is True
    healthy(cluster, replica)


@BOTH
def test_a_user_who_may_not_read_settings_and_clients_is_safe(formed: Formed, flavour: str) -> None:
    """The longest time that it may take is waited for, or refused."""
    cluster = formed(flavour)
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    for node in (replica, primary):
        cluster.kill(node)      # none of both has been elected since it started
        cluster.start(node)
        cluster.until(cluster.whole, "it does not come back")
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    for node in cluster.nodes:
        cluster.client(node).execute_command("ACL SETUSER limited on >limited ~* +cluster +info +role +ping")
    given = {"redis_username": "limited", "redis_password": "limited"}
    try:
        done, sent = recorded(cluster, node=replica.address, **given)
        assert accepted(done)["changed"] is True and sent == {"CLUSTER FAILOVER"}
        healthy(cluster, replica)
        accepted(run(cluster, node=primary.address, wait_timeout="PT70S"))
        if flavour == "redis":
            refused(cluster, f"{replica.address} was elected not long ago, and for 61 s more it would", node=replica.address, **given)
        else:
            assert accepted(run(cluster, node=replica.address, **given))["changed"] is True
    finally:
        for node in cluster.nodes:
            cluster.client(node).execute_command("ACL DELUSER limited")


@pytest.mark.hazard("H24")
def test_a_run_that_is_killed_is_finished_by_the_next(formed: Formed) -> None:
    """Before it has asked the replica, and after."""
    cluster = formed("valkey")
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    proxies = Cut([node.address for node in cluster.nodes])
    try:
        assert proxies.run("redis_failover", {**cluster.args, "node": replica.address}, 1, ["failover"]) is None
        assert cluster.primaries()[0] is primary
        assert accepted(run(cluster, node=replica.address))["changed"] is True
        healthy(cluster, replica)
        proxies.after = True
        assert proxies.run("redis_failover", {**cluster.args, "node": primary.address}, 1, ["failover"]) is None
        assert accepted(run(cluster, node=primary.address))["shard"]["after"]["primary"] == primary.address
        healthy(cluster, primary)
    finally:
        proxies.close()


@BOTH
def test_two_runs_at_once(formed: Formed, flavour: str) -> None:
    """Both reach the node that both name. A shard may be moved by both; one that sees its work undone says so."""
    cluster = formed(flavour)
    for number, name in enumerate(("node", "shard")):
        primary = cluster.primaries()[number]
        replica = cluster.replica_of(primary)
        with ThreadPoolExecutor(2) as threads:
            both = list(threads.map(lambda _number, given=(name, replica.address): run(cluster, **dict([given])), range(2)))
        undone = [one["msg"] for one in both if one.get("failed")]
        assert all("and is not any more: " in text and "If another run changes this cluster, wait for its end" in text for text in undone), undone
        assert any(one["changed"] for one in both) and len(undone) <= (name == "shard"), both
        healthy(cluster)
        assert name == "shard" or cluster.primaries()[number] is replica


# ---- the votes of a former election (https://github.com/redis/redis/issues/8752)


def timed(cluster: Scratch, milliseconds: int) -> None:
    for node in cluster.nodes:
        cluster.client(node).config_set("cluster-node-timeout", milliseconds)


def plain(cluster: Scratch, target: Node, names: Iterator[str]) -> tuple[list[str], bool]:
    """What people do: CLUSTER FAILOVER, which answers OK. What was acknowledged there in the second after it, and whether it is the primary in the end."""
    client, end = cluster.client(target), time.monotonic() + 1
    client.execute_command("CLUSTER FAILOVER")
    taken = []
    while time.monotonic() < end:
        name = next(names)
        with contextlib.suppress(ResponseError):    # MOVED
            client.set(name, "written")
            taken.append(name)
            time.sleep(0.01)
    return taken, bool(client.info("replication")["role"] == "master")


@pytest.fixture(scope="module")
def swung(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    folder: Path = tmp_path_factory.mktemp("swung")
    with Scratch(folder / "c", "redis", 3, 1) as cluster:
        yield cluster


@pytest.mark.hazard("H24")
def test_plain_failovers_back_and_forth_lose_writes(swung: Scratch) -> None:
    """The positive control of the next test: Redis counts the votes of a former election again.

    Nine of them show it as a rule; whether one does is a matter of milliseconds, so there may be more rounds.
    """
    first = swung.primaries()[0]
    pair = [first, swung.replica_of(first)]
    names = (f"{{06S}}:{number}" for number in itertools.count())     # of a slot of the first shard
    undone: list[int] = []
    lost: list[str] = []
    while not (sum(undone) >= 2 and lost) and len(undone) < 4:
        timed(swung, 5000)      # as long as twice that they count
        taken: list[str] = []
        stayed: list[bool] = []
        for _turn in range(9):
            if any(stayed[-1:]):    # a primary that has not heard of the last change gives no vote, and none is asked again for 20 s
                swung.until(swung.whole, "its nodes do not agree", 20)
            written, stays = plain(swung, pair[0] if swung.primaries()[0] is pair[1] else pair[1], names)
            taken += written
            stayed.append(stays)
        timed(swung, 1000)
        swung.until(swung.whole, "it is not whole again", 20)
        client = swung.cluster()
        client.set("{06S}", "the primary that kept its shard holds writes until it gives the last one up")
        undone.append(stayed.count(False))
        lost += [name for name in taken if client.get(name) is None]
    assert sum(undone) >= 2 and lost, (undone, lost)


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.hazard("H24")
def test_thirty_failovers_of_redis_lose_nothing(swung: Scratch) -> None:
    """The module waits until they are forgotten; where that takes longer than it may, it says so and sends nothing."""
    swung.until(swung.whole, "it is not whole", 20)
    elected: dict[str, float] = {}
    with Acknowledged([node.address for node in swung.nodes], writers=1) as writers:
        for number in range(30):
            shard = number % 3 if number < 24 else 0    # the last ones to and fro
            primary = swung.primaries()[shard]
            replica = swung.replica_of(primary)
            done = accepted(run(swung, shard=str(shard)))
            assert done["changed"] is True and done["shard"]["after"]["primary"] == replica.address and done["lost_writes_possible"] is False
            earlier, elected[replica.address] = elected.get(replica.address, 0.0), time.monotonic()
            assert elected[replica.address] - earlier > 4, "within four times the node timeout"
        primary = swung.primaries()[0]      # the last one that was moved
        replica = swung.replica_of(primary)
        for check, options in ((True, {"node": replica.address}), (False, {"shard": "0"})):
            refused(swung, f"{replica.address} was elected not long ago, and for ", check, wait_timeout="PT1S", **options)
        with loose(swung, replica):
            refused(swung, "lose writes. A longer wait_timeout than 1 s waits for it", wait_timeout="PT1S", node=replica.address, method="force")
        swung.until(swung.whole, "it is not whole", 20)
    assert writers.result.lost == writers.result.failed == [], writers.result
    assert writers.result.acknowledged > 1000 and writers.result.longest < 3000, writers.result.gaps
    healthy(swung)
