# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The positive controls of the clients that know what was acknowledged: they tell what was lost, what failed, and which shard was away."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.acknowledged import Acknowledged, table
from tests.harness.scratch import Scratch
from tests.harness.until import until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    folder: Path = tmp_path_factory.mktemp("acknowledged")
    options = {"cluster-require-full-coverage": "no", "cluster-node-timeout": "20000", "cluster-allow-reads-when-down": "yes"}
    with Scratch(folder / "c", "valkey", 3, 1, options) as made:
        yield made


def writing(cluster: Scratch, **options: object) -> Acknowledged:
    return Acknowledged([node.address for node in cluster.nodes], patience=4.0, **options)


def test_where_nothing_happens_nothing_is_told(cluster: Scratch) -> None:
    with writing(cluster, replicas=1) as writers:
        writers.more(60)
    told = writers.result
    assert told.failed == told.lost == [] and told.acknowledged >= 180
    assert [one.slots for one in told.gaps] == ["0-5460", "5461-10921", "10922-16383"]
    assert all(one.acknowledged > 20 and 0 < one.p50 <= one.p95 <= one.longest < 2000 for one in told.gaps)
    assert len(table(told.gaps).splitlines()) == 4
    assert cluster.sizes() == 0, "its keys are gone afterwards"


def test_lost_writes_are_found_while_it_runs_and_in_the_end(cluster: Scratch) -> None:
    """A key that went back, one that is gone, and one that is lost after the last write."""
    with writing(cluster) as writers:
        until(lambda: len(writers.keys) > 140, "all keys")
        first, second, *_others, last = writers.keys
        client = cluster.cluster()
        client.set(first, 1)
        client.delete(second)
        writers.more(60)
        until(lambda: len(writers.losses) >= 2, "two losses")
        writers.halt()
        client.delete(last)
    told = writers.result
    assert sorted(text.partition(": ")[0] for text in told.lost) == sorted([first, second, last]), told.lost
    assert any("and nothing is there" in text for text in told.lost) and any("was acknowledged, and 1 is there" in text for text in told.lost)
    assert told.failed == []


def test_writes_that_no_replica_had_are_lost_with_a_takeover(cluster: Scratch) -> None:
    """Those that wait for a replica were not acknowledged meanwhile."""
    primary = cluster.primaries()[0]
    replica = cluster.replica_of(primary)
    with writing(cluster) as bold, writing(cluster, replicas=1) as careful:
        careful.more(60)
        cluster.client(replica).config_set("masterauth", "wrong")
        cluster.client(primary).execute_command("CLIENT KILL TYPE replica")
        bold.more(60)
        cluster.client(replica).execute_command("CLUSTER FAILOVER TAKEOVER")
        cluster.client(replica).config_set("masterauth", "")
        cluster.until(lambda: replica in cluster.primaries() and cluster.whole(), "nobody took over")
        careful.more(60)
    assert len(bold.result.lost) > 10 and careful.result.lost == [], (len(bold.result.lost), careful.result.lost)


def test_a_node_that_stands_still_is_told_of_its_own_shard_only(cluster: Scratch) -> None:
    cluster.until(cluster.whole, "the cluster is not whole")
    away = cluster.primaries()[1]
    with writing(cluster) as writers:
        writers.more(60)
        cluster.kill(away, signal.SIGSTOP)
        moment = time.monotonic()
        try:
            time.sleep(5)
        finally:
            cluster.kill(away, signal.SIGCONT)
        writers.more(60)
    told = writers.result
    away_for = {one.slots: one.longest for one in told.gaps}
    assert away_for["5461-10921"] > 4500 and max(away_for["0-5460"], away_for["10922-16383"]) < 2500, away_for
    assert told.failed and told.lost == [] and 4.5 < writers.away(moment) < 8
