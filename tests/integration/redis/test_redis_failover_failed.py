# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_failover where primaries have failed: the ladder up to a takeover, and what keeps each step from being taken too early."""

from __future__ import annotations

import signal
import time
import typing as t
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults import heals
from tests.harness.acknowledged import Acknowledged
from tests.harness.failing import actions, healthy, loose, recorded, refused, run
from tests.harness.scratch import Node, Scratch
from tests.harness.sequence import accepted

Formed = Callable[[str], Scratch]
BOTH = pytest.mark.parametrize("flavour", ["valkey", "redis"])


def back(cluster: Scratch, *nodes: Node) -> None:
    """They start again, and follow whoever took over."""
    for node in nodes:
        cluster.start(node)
    cluster.until(lambda: cluster.whole() and not any(node in cluster.primaries() for node in nodes), "a former primary does not follow")
    healthy(cluster, patience=10)       # gossip of who follows whom takes a moment


def timed(cluster: Scratch, milliseconds: int) -> None:
    """The node timeout."""
    for node in cluster.nodes:
        cluster.client(node).config_set("cluster-node-timeout", milliseconds)


def elections(cluster: Scratch, allowed: bool) -> None:
    for node in cluster.nodes:
        if node.process and node.process.poll() is None:
            cluster.client(node).config_set("cluster-replica-no-failover", "no" if allowed else "yes")


def writing(cluster: Scratch) -> Acknowledged:
    """What one replica has, too, is acknowledged."""
    return Acknowledged([node.address for node in cluster.nodes], replicas=1, writers=1, patience=20)


@BOTH
@pytest.mark.hazard("H24")
def test_a_primary_that_was_killed(formed: Formed, flavour: str) -> None:
    """The others elect its replica by themselves; that is waited for, and nothing is sent."""
    cluster = formed(flavour)
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    timed(cluster, 3000)        # there is time to look first
    with writing(cluster) as writers:
        writers.more()
        cluster.kill(primary)
        writers.needs(0)
        refused(cluster, f"node: {primary.address} is the primary and does not answer; name the replica", node=primary.address)
        told, sent = recorded(cluster, check=True, shard="0")
        assert accepted(told)["changed"] is True and actions(told) == [("wait", primary.address)] and not sent
        done, sent = recorded(cluster, shard="0")
        assert accepted(done)["changed"] is True and not sent, done
        assert all(done[name] == told[name] for name in ("shard", "steps", "lost_writes_possible", "diff")), (done, told)
        assert done["lost_writes_possible"] is True and done["shard"]["after"] == {"primary": replica.address, "slots": ["0-5460"], "replicas": []}
        writers.more()
        back(cluster, primary)
        again = accepted(run(cluster, node=replica.address))
        assert again["changed"] is False and again["lost_writes_possible"] is False
    timed(cluster, 1000)
    assert writers.result.lost == writers.result.failed == [] and heals.missing(cluster) == 0


@pytest.mark.hazard("H24")
def test_a_primary_that_is_frozen(formed: Formed) -> None:
    """Everybody's connections to it stay open; in the end it comes back and follows."""
    cluster = formed("redis")
    primary = cluster.primaries()[1]
    replica = cluster.replica_of(primary)
    with writing(cluster) as writers:
        writers.more()
        cluster.kill(primary, signal.SIGSTOP)
        writers.needs(0)
        try:
            done = accepted(run(cluster, node=replica.address, redis_timeout=1))
        finally:
            cluster.kill(primary, signal.SIGCONT)
        assert done["changed"] is True and done["lost_writes_possible"] is True
        cluster.until(lambda: cluster.whole() and replica in cluster.primaries(), "the former primary does not follow")
        healthy(cluster, replica, patience=10)
        writers.more()
    assert writers.result.lost == [] and heals.missing(cluster) == 0


@BOTH
@pytest.mark.hazard("H24")
def test_replicas_that_may_not_have_themselves_elected(formed: Formed, flavour: str) -> None:
    """Graceful says that nobody was elected, force has them elect it; a primary that comes back meanwhile gives its shard away in peace."""
    cluster = formed(flavour)
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    elections(cluster, allowed=False)
    cluster.kill(primary)
    try:
        waited = run(cluster, shard="0", wait_timeout="PT2S")
        assert waited.get("failed") and f"no replica of {primary.address} was elected within 2 s; method force asks the other primaries" in waited["msg"]
        assert f"{primary.address} does not answer; {replica.address} is slave, link down, offset " in waited["msg"] and waited["changed"] is False
        forced = {"node": replica.address, "method": "force", "wait_timeout": "PT12S"}
        told, sent = recorded(cluster, check=True, **forced)
        assert accepted(told)["changed"] is True and not sent
        done, sent = recorded(cluster, **forced)
        assert accepted(done)["changed"] is True and sent == {"CLUSTER FAILOVER"}
        assert actions(done) == actions(told) == [("wait", primary.address), ("force", replica.address)] and done["lost_writes_possible"] is True
        back(cluster, primary)

        elections(cluster, allowed=False)
        cluster.kill(replica, signal.SIGSTOP)       # it is the primary now
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(run, cluster, node=primary.address, redis_timeout=1, wait_timeout="PT60S")
            time.sleep(3)
            cluster.kill(replica, signal.SIGCONT)
            done = accepted(running.result())
        assert done["changed"] is True and actions(done)[-1] == ("graceful", primary.address), done
        healthy(cluster, primary)
    finally:
        elections(cluster, allowed=True)
    assert heals.missing(cluster) == 0


@BOTH
@pytest.mark.hazard("H24")
def test_too_few_primaries_for_an_election(formed: Formed, flavour: str) -> None:
    """What Redis answers OK to and does not do is refused; a takeover needs everything that is asked for, and keeps what was acknowledged."""
    cluster = formed(flavour)
    gone = cluster.primaries()[:2]
    alive = cluster.primaries()[2]
    heirs = [cluster.replica_of(node) for node in gone]
    addresses = [node.address for node in gone]
    both = ", ".join(sorted(addresses))
    with writing(cluster) as writers:
        writers.more()
        for node in gone:
            cluster.kill(node)
        writers.needs(0)
        for method, what in (("graceful", "it"), ("force", "CLUSTER FAILOVER FORCE")):
            answer = refused(cluster, f" do not work: too few primaries are left for an election, and nodes would answer OK to {what} and do nothing. ",
                             shard="0", method=method)
            assert all(address in answer["msg"] for address in addresses) and "Bring one of them back, or give method takeover" in answer["msg"]
        refused(cluster, f"so the primaries that do are too few for an election, and {alive.address} stays the primary", shard="2")
        wanted: dict[str, t.Any] = {"node": heirs[0].address, "method": "takeover", "debounce": "PT1S"}
        refused(cluster, f"takeover: confirmed_down does not name {gone[1].address}. Only when the platform says", confirmed_down=addresses[:1], **wanted)
        refused(cluster, "takeover: confirmed_down does not name ", approve_takeover=True, **wanted)
        wanted["confirmed_down"] = addresses
        refused(cluster, "takeover of 0-5460 breaks the rule that the last election decides, and writes that had not reached a replica are lost", **wanted)
        refused(cluster, "approve_takeover=true does it", check=True, **wanted)
        wanted["approve_takeover"] = True
        told, sent = recorded(cluster, check=True, **wanted)
        assert accepted(told)["changed"] is True and not sent and actions(told) == [("takeover", heirs[0].address)]
        done, sent = recorded(cluster, **wanted)
        assert accepted(done)["changed"] is True and sent == {"CLUSTER FAILOVER"} and done["lost_writes_possible"] is True
        assert all(done[name] == told[name] for name in ("shard", "steps", "diff")), (done, told)
        second = accepted(run(cluster, node=heirs[1].address))      # enough of them now: the others elect it by themselves
        assert second["shard"]["after"]["primary"] == heirs[1].address
        writers.more()
        back(cluster, *gone)
    assert writers.result.lost == [] and heals.missing(cluster) == 0, both


@pytest.mark.hazard("H24")
def test_a_primary_that_comes_back_within_the_debounce_was_never_gone(formed: Formed) -> None:
    cluster = formed("valkey")
    gone = cluster.primaries()[:2]
    heir = cluster.replica_of(gone[0])
    for node in gone:
        cluster.kill(node)
    wanted = {"node": heir.address, "method": "takeover", "approve_takeover": True, "confirmed_down": [node.address for node in gone]}
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(recorded, cluster, False, debounce="PT6S", **wanted)
        time.sleep(2)
        cluster.start(gone[1])
        answer, sent = running.result()
    assert answer.get("failed") and f"takeover: {gone[1].address} works again, 6 s after the first look; nothing was done" in answer["msg"], answer
    assert not sent and answer["changed"] is False
    accepted(run(cluster, node=heir.address))       # enough of them again
    back(cluster, gone[0])
    assert heals.missing(cluster) == 0


@pytest.mark.hazard("H24", "H26")
def test_a_replica_that_never_had_the_data_does_not_begin_empty(tmp_path: Path) -> None:
    """It starts while its primary is down: nobody elects it, and neither force nor takeover makes it the owner of nothing."""
    with Scratch(tmp_path / "c", "valkey", 3, 1, {"cluster-replica-validity-factor": "10"}) as cluster:
        heals.fill(cluster)
        first, second = cluster.primaries()[:2]
        replica = cluster.replica_of(first)
        cluster.kill(replica)
        for node in (first, second):
            cluster.kill(node, signal.SIGSTOP)
        cluster.start(replica)
        cluster.until(lambda: bool(cluster.client(replica).ping()), "it does not answer")
        told = "it has not had the data of its primary since it started, and would begin empty"
        takeover = {"method": "takeover", "approve_takeover": True, "debounce": 1, "confirmed_down": [first.address, second.address]}
        quick = {"redis_timeout": 1, "redis_nodes": [replica.address]}
        refused(cluster, f"no replica of {first.address} can take over: {replica.address}: {told}", shard=replica.address, **takeover, **quick)
        refused(cluster, f"{replica.address} can't become the primary of 0-5460: {told}", node=replica.address, **takeover, **quick)
        cluster.kill(second, signal.SIGCONT)
        for method in ("graceful", "force"):
            refused(cluster, f"{replica.address} can't become the primary of 0-5460: {told}", node=replica.address, method=method, **quick)
        cluster.kill(first, signal.SIGCONT)
        cluster.until(cluster.whole, "it is not whole")
        assert heals.missing(cluster) == 0


@pytest.mark.hazard("H24")
def test_of_several_replicas_the_one_with_most_of_the_data(tmp_path: Path) -> None:
    """One that was named becomes the primary after whoever was elected; not where it lacks what another one has."""
    with Scratch(tmp_path / "c", "redis", 3, 2, {"appendonly": "yes", "appendfsync": "always"}) as cluster:
        heals.fill(cluster)
        primary = cluster.primaries()[0]
        replicas = [node for node in cluster.nodes if node.primary == primary.id]
        with writing(cluster) as writers:
            writers.more()
            cluster.kill(primary)
            done = accepted(run(cluster, node=replicas[1].address))
            assert done["shard"]["after"]["primary"] == replicas[1].address and done["lost_writes_possible"] is True
            assert actions(done)[0] == ("wait", primary.address) and done["shard"]["after"]["replicas"] == [replicas[0].address]
            back(cluster, primary)
        assert writers.result.lost == []
        with loose(cluster, replicas[0]):
            cluster.cluster().set("{06S}", "news")
            elections(cluster, allowed=False)
            chosen = accepted(run(cluster, check=True, shard="0"))
            assert chosen["shard"]["after"]["primary"] == primary.address, "it follows, the other does not"
            cluster.kill(replicas[1])
            refused(cluster, f"bytes of data behind {primary.address}, which would be lost: choose {primary.address}", node=replicas[0].address,
                    method="force")
            cluster.client(replicas[0]).config_set("masterauth", "")
            done = accepted(run(cluster, shard="0", method="force"))
            assert done["shard"]["after"]["primary"] == primary.address and actions(done)[-1] == ("force", primary.address)
            elections(cluster, allowed=True)
            back(cluster, replicas[1])
        assert heals.missing(cluster) == 0 and cluster.cluster().get("{06S}") == b"news"
