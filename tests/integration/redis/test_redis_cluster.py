# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_cluster: formed of blank nodes, cut off and finished, joined, and what is refused with nothing written."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults import heals
from tests.harness.cut import CHANGES, Cut
from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_proxy import RedisProxies
from tests.harness.redis_tls import Tls
from tests.harness.scratch import Node, Scratch, free_ports
from tests.harness.sequence import accepted

Formed = Callable[[str], Scratch]


def args(members: t.Sequence[Node], **options: t.Any) -> dict[str, t.Any]:
    wanted = [{"address": node.address, "location": "abc"[number % 3]} for number, node in enumerate(members)]
    return {"nodes": wanted, "wait_timeout": "PT40S", **({"redis_password": members[0].password} if members[0].password else {}), **options}


def run(cluster: Scratch, check: bool = False, **options: t.Any) -> ModuleResult:
    return run_module("redis_cluster", args(cluster.nodes, **options), check=check)


def recorded(cluster: Scratch, check: bool = False, **options: t.Any) -> tuple[ModuleResult, set[str]]:
    """A run past recording proxies, and the commands that it sent that do not just read."""
    proxies = RedisProxies([node.address for node in cluster.nodes])
    try:
        done = run(cluster, check, redis_address_map=proxies.address_map, **options)
        return done, proxies.changing()
    finally:
        proxies.close()


def refused(cluster: Scratch, text: str, check: bool = False, **options: t.Any) -> None:
    """One clear line, and nothing sent that writes."""
    answer, sent = recorded(cluster, check, **options)
    assert answer.get("failed") and not answer.crashed and text in answer["msg"] and "\n" not in answer["msg"], answer
    assert not answer.get("changed") and not sent


def healthy(cluster: Scratch) -> dict[str, t.Any]:
    found = accepted(run_module("redis_cluster_info", cluster.args))
    assert found["healthy"], found["reasons"]
    return found


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[Scratch]:
    with Scratch(tmp_path / "c", shards=3, replicas=1, formed=False) as cluster:
        yield cluster


def test_six_blank_nodes_become_a_cluster_and_a_second_run_changes_nothing(blank: Scratch) -> None:
    told, sent = recorded(blank, check=True)
    assert accepted(told)["changed"] is True and not sent and len(told["steps"]) == 14
    done, sent = recorded(blank)
    assert (accepted(done)["steps"], done["diff"], done["topology"]) == (told["steps"], told["diff"], told["topology"])
    assert sent == {"CLUSTER SET-CONFIG-EPOCH", "CLUSTER ADDSLOTSRANGE", "CLUSTER MEET", "CLUSTER REPLICATE"}
    found = healthy(blank)
    assert [row["slot_count"] for row in found["shards"]] == [5461, 5461, 5462] and all(len(row["replicas"]) == 1 for row in found["shards"])
    places = {node.address: "abc"[number % 3] for number, node in enumerate(blank.nodes)}
    assert all(places[row["primary"]] != places[replica["address"]] for row in found["shards"] for replica in row["replicas"])
    heals.fill(blank)
    again, sent = recorded(blank)
    assert accepted(again)["changed"] is False and again["steps"] == [] and not sent
    assert again["diff"]["before"] == again["diff"]["after"] == told["diff"]["after"]


def test_a_run_that_is_killed_again_and_again_is_finished_by_the_next(tmp_path: Path) -> None:
    with Scratch(tmp_path / "c", "redis", shards=3, replicas=1, formed=False) as cluster:
        whole = accepted(run(cluster, check=True))
        proxies = Cut([node.address for node in cluster.nodes])
        killed = 0
        try:
            while (done := proxies.run("redis_cluster", args(cluster.nodes), 5)) is None:
                killed += 1
                assert killed < 20
        finally:
            proxies.close()
        assert not done.get("failed"), done.get("msg")
        assert killed >= 3, "four steps a run, of 14"
        assert done["topology"] == whole["topology"], "as a run in one go had made it"
        healthy(cluster)
        assert accepted(run(cluster))["changed"] is False


def test_two_runs_at_once_make_one_cluster(tmp_path: Path) -> None:
    """The one that comes too late for a step says so; what is there in the end is whole."""
    with Scratch(tmp_path / "c", shards=3, replicas=0, formed=False) as cluster:
        with ThreadPoolExecutor(2) as threads:
            both = list(threads.map(lambda _number: run(cluster, replicas=0), range(2)))
        assert not all(one.get("failed") for one in both) and not any(one.crashed for one in both)
        late = [one["msg"] for one in both if one.get("failed")]
        assert all("refused CLUSTER " in text and "If another run changes this cluster, wait for its end" in text for text in late), late
        assert accepted(run(cluster, replicas=0))["changed"] is False and cluster.whole()


@pytest.mark.hazard("H40")
def test_three_nodes_with_a_password_and_what_becomes_of_them(tmp_path: Path) -> None:
    """One that is not reached in time; joined by a replica; and a primary without one that comes back blank: nobody gets its slots empty."""
    with Scratch(tmp_path / "c", shards=3, replicas=0, formed=False, password="a secret") as cluster:
        refused(cluster, "does not accept the user or password: set redis_username and redis_password", redis_password="another")
        told = accepted(run(cluster, check=True, replicas=0))
        third = cluster.client(cluster.nodes[2])
        third.config_set("cluster-announce-bus-port", 1)
        late = run(cluster, replicas=0, wait_timeout="PT1S")
        assert late.get("failed") and "was not reached within 0." in late["msg"] and f"does not see {cluster.nodes[2].address}" in late["msg"], late
        assert late["changed"] is True and late["steps"][:8] == told["steps"] and late.seconds < 20
        third.config_set("cluster-announce-bus-port", 0)
        assert accepted(run(cluster, replicas=0))["changed"] is True
        heals.fill(cluster)

        new = cluster.blank()
        shards = [{"address": node.address, "shard": shard} for node, shard in zip(cluster.nodes, "abcb")]
        told, sent = recorded(cluster, check=True, replicas=0, nodes=shards)
        done = accepted(run(cluster, replicas=0, nodes=shards))
        assert done["steps"] == told["steps"] and [step["action"] for step in done["steps"]] == ["meet", "replicate"] and not sent
        assert cluster.client(new).info("replication")["master_link_status"] == "up" and cluster.sizes() == heals.KEYS
        assert sorted(len(row["replicas"]) for row in done["topology"]) == [0, 0, 1] and cluster.replica_of(cluster.nodes[1]) is new
        assert accepted(run(cluster, replicas=0, nodes=shards))["changed"] is False
        cluster.blank()
        refused(cluster, "5 shards are declared and the cluster has 3: a new primary needs slots", replicas=0)
        cluster.kill(cluster.nodes.pop())

        lost = cluster.primaries()[0]
        lost_id = cluster.client(lost).execute_command("CLUSTER MYID").decode()
        cluster.kill(lost)
        (lost.folder / "nodes.conf").unlink()
        cluster.start(lost)
        cluster.until(lambda: bool(cluster.client(lost).ping()), "a node does not answer")
        refused(cluster, f"({lost_id[:8]}), which does not answer and is not declared: bring it back, or fail over", replicas=0, nodes=shards)
        assert cluster.client(lost).execute_command("CLUSTER INFO")["cluster_slots_assigned"] == "0"


def test_what_is_wrong_with_the_nodes_is_refused_and_named(formed: Formed) -> None:
    cluster = formed("valkey")
    nodes = args(cluster.nodes)["nodes"]
    refused(cluster, "6 nodes are too few for 3 shards with 2 replicas each: it takes 9", replicas=2)
    refused(cluster, "which is not declared: add it to nodes", nodes=nodes[:5], replicas=0)
    gone = f"127.0.0.1:{free_ports(1)[0]}"
    refused(cluster, f"Redis at {gone} can't be read: Connection refused", nodes=[*nodes[:5], {"address": gone}], wait_timeout="PT1S")
    for text, options in (
        ("nodes: an address is there more than once", {"nodes": [*nodes, nodes[0]]}),
        ("redis_nodes: 'redis' is not host:port", {"nodes": [{"address": "redis"}]}),
        ("replicas: it goes from 0 to 10", {"replicas": 11}),
        ("nodes: nobody.invalid:6379 can't be resolved", {"nodes": [*nodes, {"address": "nobody.invalid:6379"}]}),
    ):
        answer = run(cluster, **options)
        assert answer.get("failed") and answer["msg"].startswith(text) and not answer.crashed, answer


def test_nodes_with_data_or_of_another_cluster_are_refused(formed: Formed, tmp_path: Path) -> None:
    cluster, other = formed("valkey"), formed("redis")
    mine = args(cluster.nodes)["nodes"]
    refused(cluster, f"{other.nodes[0].address} is in another cluster than", nodes=[*mine, {"address": other.nodes[0].address}])
    assert heals.missing(other) == 0 and healthy(other)
    with Scratch(tmp_path / "lone", shards=1, replicas=0) as lone:
        client = lone.client(lone.nodes[0])
        client.mset({f"{{k}}{place}": "x" for place in range(7)})
        refused(cluster, f"{lone.nodes[0].address} holds 7 keys and is not part of this cluster", nodes=[*mine, {"address": lone.nodes[0].address}])
        client.flushall()
        refused(cluster, f"{lone.nodes[0].address} holds slots that", nodes=[*mine, {"address": lone.nodes[0].address}])
    assert heals.missing(cluster) == 0


def test_three_nodes_that_speak_tls_become_a_cluster(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    cluster = Scratch(tmp_path / "c", "redis", formed=False)
    places = free_ports(6)
    try:
        for number in range(3):
            tls.port, port = places[2 * number : 2 * number + 2]
            cluster.options = {**tls.options, "tls-cluster": "yes", "tls-replication": "yes"}
            cluster.nodes.append(Node(port, tmp_path / str(port), ""))
            cluster.nodes[-1].folder.mkdir()
            cluster.start(cluster.nodes[-1])
        cluster.until(lambda: all(cluster.client(node).ping() for node in cluster.nodes), "a node does not answer")
        given = {"nodes": [{"address": f"127.0.0.1:{port}"} for port in places[::2]], "replicas": 0, "wait_timeout": "PT40S"}
        secured = {**given, "redis_tls": True, "redis_ca_path": str(tls.authority)}
        for options, text in ((given, "(it may speak TLS: redis_tls)"), (secured, "redis_client_cert and redis_client_key")):
            answer = run_module("redis_cluster", options)
            assert answer.get("failed") and text in answer["msg"] and not answer.crashed, answer
        secured |= {"redis_client_cert": str(tls.client), "redis_client_key": str(tls.client)}
        assert accepted(run_module("redis_cluster", secured))["changed"] is True
        assert accepted(run_module("redis_cluster", secured))["changed"] is False and cluster.whole()
    finally:
        cluster.down()


@pytest.mark.parametrize("flavour", ["valkey", "redis"])
def test_a_node_that_comes_up_and_loads_its_data_is_waited_for(flavour: str, tmp_path: Path) -> None:
    with Scratch(tmp_path / "c", flavour, shards=3, replicas=0) as cluster:
        node = cluster.nodes[0]
        heals.fill(cluster)
        with cluster.cluster() as client:
            for number in range(1500):
                client.set(f"large:{number}", "x" * 100)
        cluster.client(node).config_set("rdbcompression", "no")
        cluster.client(node).save()
        cluster.kill(node)
        down = run(cluster, check=True, replicas=0)
        assert down.get("failed") and "Connection refused" in down["msg"] and down.seconds < 20, "a check says what is, and does not wait"
        with ThreadPoolExecutor(1) as threads:
            begun = threads.submit(run, cluster, replicas=0)
            time.sleep(2)
            cluster.options = {"key-load-delay": "10000", "loading-process-events-interval-bytes": "1024"}
            cluster.start(node)
            cluster.until(lambda: loading(cluster, node), "the node does not load")
            late = run(cluster, replicas=0, wait_timeout="PT1S")
            assert late.get("failed") and "loading" in late["msg"] and late["msg"].endswith("it was waited for, 1 s"), late
            done = begun.result()
        assert accepted(done)["changed"] is False and heals.missing(cluster) == 0 and cluster.whole()


def loading(cluster: Scratch, node: Node) -> bool:
    return t.cast("int", cluster.client(node).info("persistence")["loading"]) == 1


class Losing(Cut):
    """A node is gone before the `limit`-th change is sent to it."""

    def _message(self, stream: t.BinaryIO) -> tuple[bytes, list[bytes]]:
        raw, words = RedisProxies._message(self, stream)
        if b" ".join(words).upper().startswith(CHANGES["add_slots"]):
            self.sent += 1
            if self.sent == 2:
                raise OSError("the node is gone")
        return raw, words


def test_what_is_no_node_of_a_cluster_or_is_lost_in_the_middle_is_named(tmp_path: Path) -> None:
    with Scratch(tmp_path / "c", shards=3, replicas=0, formed=False) as cluster:
        nodes = args(cluster.nodes)["nodes"]
        with Scratch(tmp_path / "plain", shards=1, options={"cluster-enabled": "no"}, formed=False) as plain:
            address = plain.nodes[0].address
            refused(cluster, f"Redis at {address} is no cluster (cluster-enabled is off)", replicas=0, nodes=[*nodes, {"address": address}])
        with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
            refused(cluster, f"Redis at {address} can't be read: ", replicas=0, nodes=[*nodes, {"address": address}])
        proxies = Losing([node.address for node in cluster.nodes])
        try:
            answer = run(cluster, replicas=0, redis_address_map=proxies.address_map)
        finally:
            proxies.close()
        assert answer.get("failed") and f"Redis at {cluster.nodes[1].address} can't be read: " in answer["msg"] and not answer.crashed, answer
        assert answer["changed"] is True and [step["action"] for step in answer["steps"]] == ["set_epoch"] * 3 + ["add_slots"]
        assert accepted(run(cluster, replicas=0))["changed"] is True and cluster.whole()


@contextlib.contextmanager
def speaking(answer: bytes) -> Iterator[str]:
    """Somebody who is no Redis, and answers this to everybody."""
    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = listener.accept()
                with client:
                    client.recv(1000)
                    client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
