# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""redis_config on real clusters of both flavours: what differs is written, replicas first, and certificates are read again."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from ansible_collections.exalt.caching.plugins.module_utils._redis_settings import FIXED

from tests.fleet.certificates import Authority
from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_proxy import RedisProxies
from tests.harness.redis_tls import Secure
from tests.harness.scratch import Node, Scratch
from tests.harness.sequence import accepted

Formed = Callable[[str], Scratch]
WANTED = {"maxmemory": "1gb", "latency-tracking": False, "save": ["300 10", "3600 1"], "client-output-buffer-limit": "replica 512mb 128mb 60"}


def run(cluster: Scratch, check: bool = False, **options: t.Any) -> ModuleResult:
    return run_module("redis_config", {**cluster.args, **options}, check=check)


def calls(cluster: Scratch) -> int:
    """Commands that write, or change a setting, as the nodes have counted them."""
    rows = [cluster.client(node).info("commandstats") for node in cluster.nodes]
    names = ("config|set", "config|rewrite", "config|resetstat", "set", "restore", "flushall", "shutdown")
    return sum(row[f"cmdstat_{name}"]["calls"] for row in rows for name in names if f"cmdstat_{name}" in row)


def kept(node: Node, name: str) -> list[str]:
    return [line for line in (node.folder / "redis.conf").read_text().splitlines() if line.startswith(f"{name} ")]


def get(cluster: Scratch, name: str) -> set[str]:
    return {str(cluster.client(node).config_get(name)[name]) for node in cluster.nodes}


@pytest.fixture(params=["redis", "valkey"])
def cluster(request: pytest.FixtureRequest, formed: Formed) -> Iterator[Scratch]:
    found = formed(request.param)
    names = ("maxmemory", "latency-tracking", "save", "client-output-buffer-limit", "masterauth", "maxmemory-samples")
    before = {node.port: found.client(node).config_get(*names) for node in found.nodes}
    yield found
    for node in found.nodes:
        found.client(node).execute_command("CONFIG", "SET", *(word for pair in before[node.port].items() for word in pair))


def test_what_differs_is_written_replicas_first_and_kept(cluster: Scratch) -> None:
    before = calls(cluster)
    told = accepted(run(cluster, check=True, settings=WANTED))
    assert told["changed"] is True and calls(cluster) == before, "check mode writes nothing, as the servers count"
    proxies = RedisProxies([node.address for node in cluster.nodes])
    try:
        done = accepted(run(cluster, settings=WANTED, redis_address_map=proxies.address_map))
        sent = [record["node"] for record in proxies.records() if record["path"] == "CONFIG SET"]
    finally:
        proxies.close()
    assert (done["changed"], done["diff"], done["nodes"]) == (True, told["diff"], told["nodes"])
    assert sent == [row["node"] for row in done["nodes"]] and len(sent) == 6, "one command for each node"
    assert [row["role"] for row in done["nodes"]] == ["replica"] * 3 + ["primary"] * 3
    assert done["nodes"][0]["after"] == {
        "maxmemory": "1073741824", "latency-tracking": "no", "save": "300 10  3600 1", "client-output-buffer-limit": "replica 536870912 134217728 60"}
    assert get(cluster, "maxmemory") == {"1073741824"} and all("pubsub 33554432 8388608 60" in text for text in get(cluster, "client-output-buffer-limit"))
    assert all(kept(node, "maxmemory") for node in cluster.nodes)
    before = calls(cluster)
    for check in (True, False):
        again = accepted(run(cluster, check=check, settings={**WANTED, "maxmemory": 1 << 30, "save": "3600 1 300 10"}))
        assert again["changed"] is False and calls(cluster) == before and not again["diff"]["after"]


def test_only_the_chosen_nodes_and_primaries_first_where_it_is_asked_for(cluster: Scratch) -> None:
    done = accepted(run(cluster, settings={"maxmemory-samples": 7}, nodes=["replicas"], persist=False))
    assert [row["role"] for row in done["nodes"]] == ["replica"] * 3 and get(cluster, "maxmemory-samples") == {"5", "7"}
    done = accepted(run(cluster, settings={"maxmemory-samples": 7}, order="primaries_first", persist=False))
    assert [row["role"] for row in done["nodes"]] == ["primary"] * 3 + ["replica"] * 3 and len(done["summary"]["updated"]) == 3
    one = cluster.nodes[0].address
    done = accepted(run(cluster, settings={"maxmemory-samples": 8}, nodes=[one], persist=False))
    assert [row["node"] for row in done["nodes"]] == [one]


@pytest.mark.parametrize("options, told", [
    ({"settings": {"maxmemmory": 1}}, "has no setting maxmemmory; nothing was changed"),
    ({"settings": {"databases": 17}}, "databases can't be changed while Redis runs: set it in its configuration file and restart it"),
    ({"settings": {"dir": "/nonesuch"}}, "CONFIG SET dir: can't set protected config"),
    ({"settings": {"maxmemory": "lots"}}, "CONFIG SET maxmemory: argument must be a memory value"),
    ({"settings": {"requirepass": "canary"}}, "settings: requirepass is a secret and would be shown: give it under secrets"),
    ({"secrets": {"maxmemory": "1"}}, "secrets: maxmemory is no secret"),
    ({"settings": {"max memory": 1}}, "settings: 'max memory' is no name of a setting"),
    ({}, "nothing is declared"),
    ({"settings": {"maxmemory": 1}, "nodes": ["10.0.0.9:1"]}, "nodes: 10.0.0.9:1 is none of the cluster's nodes; give all, primaries, replicas"),
    ({"fingerprints": {"10.0.0.9:1": "ab" * 32}}, "fingerprints: 10.0.0.9:1 is none of the chosen nodes"),
    ({"fingerprints": {"10.0.0.9:1": "ab"}}, "fingerprints: 10.0.0.9:1: 'ab' is no SHA-256 fingerprint"),
    ({"settings": {"maxmemory": 1}, "redis_nodes": ["127.0.0.1:1"]}, "no node of Redis answers; 127.0.0.1:1"),
    ({"settings": {"maxmemory": 1}, "redis_nodes": None}, "redis_nodes: give at least one node"),
])
def test_what_can_not_be_is_one_line_and_nothing_is_changed(formed: Formed, options: dict[str, t.Any], told: str) -> None:
    cluster = formed("redis")
    given = {name: value for name, value in {**cluster.args, **options}.items() if value is not None}
    before = get(cluster, "maxmemory"), get(cluster, "maxmemory-samples")
    result = run_module("redis_config", given)
    assert result["failed"] and not result.crashed and told in result["msg"] and "\n" not in result["msg"], dict(result)
    assert "canary" not in result.stdout and not result.get("changed") and before == (get(cluster, "maxmemory"), get(cluster, "maxmemory-samples"))


def test_a_node_that_does_not_answer_keeps_the_others_from_being_changed(cluster: Scratch) -> None:
    replica = cluster.replica_of(cluster.primaries()[0])
    proxies = RedisProxies([node.address for node in cluster.nodes])
    try:
        proxies.stop(replica.address)
        result = run(cluster, settings={"maxmemory-samples": 9}, redis_address_map=proxies.address_map)
        assert result["failed"] and f"{replica.address} does not answer, so nothing was changed" in result["msg"], result["msg"]
        assert "CONFIG SET" not in proxies.changing()
    finally:
        proxies.close()


def test_a_node_that_can_not_keep_it_gets_its_settings_back(cluster: Scratch) -> None:
    """What is done, and what isn't, is told; a second run does the rest."""
    node = cluster.primaries()[1]
    held = node.folder / "held"
    (node.folder / "redis.conf").rename(held)
    (node.folder / "redis.conf").mkdir()
    result = run(cluster, settings={"maxmemory-samples": 9})
    assert result["failed"] and result["changed"] is True and "CONFIG REWRITE: " in result["msg"] and "its settings were set back" in result["msg"]
    failed = {row["name"]: row["error"] for row in result["failures"]}
    done = result["summary"]["updated"]
    assert len(done) + len(failed) == 6 and {"9"} == {str(cluster.client(one).config_get("maxmemory-samples")["maxmemory-samples"])
                                                      for one in cluster.nodes if one.address in done}
    assert all(text == f"not tried, as {node.address} failed" for name, text in failed.items() if name != node.address) and node.address in failed
    assert cluster.client(node).config_get("maxmemory-samples") == {"maxmemory-samples": "5"}
    (node.folder / "redis.conf").rmdir()
    held.rename(node.folder / "redis.conf")
    again = accepted(run(cluster, settings={"maxmemory-samples": 9}))
    assert sorted(again["summary"]["updated"]) == sorted(failed) and get(cluster, "maxmemory-samples") == {"9"}


@pytest.mark.hazard("H58")
def test_secrets_are_set_and_never_shown(cluster: Scratch) -> None:
    given: dict[str, t.Any] = {"secrets": {"masterauth": "canary-4711"}, "nodes": ["primaries"], "persist": False}
    done = accepted(run(cluster, **given))
    assert "canary-4711" not in done.stdout + done.stderr and done["nodes"][0]["after"]["masterauth"].startswith("(secret of 11 characters, SHA-256 ")
    assert done["nodes"][0]["before"] == {"masterauth": ""} and accepted(run(cluster, **given))["changed"] is False
    assert {cluster.client(node).config_get("masterauth")["masterauth"] for node in cluster.primaries()} == {"canary-4711"}


def test_what_is_known_as_fixed_is(cluster: Scratch) -> None:
    client = cluster.client(cluster.nodes[0])
    for name in sorted(FIXED):
        with contextlib.suppress(KeyError), pytest.raises(redis.ResponseError, match="immutable"):
            client.config_set(name, client.config_get(name)[name])


# ---- certificates


def served(node: Node) -> str:
    """Fingerprint of what a new handshake shows, to an independent client."""
    text = ssl.get_server_certificate((node.host, node.port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


def filed(cluster: Secure, node: Node) -> str:
    text = (cluster.certificate(str(node.port)) / "tls.crt").read_text()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


@pytest.mark.hazard("H55")
def test_redis_reads_a_pair_again_by_one_command(secure: Secure) -> None:
    """What the collection relies on, shown on the server itself."""
    node = secure.nodes[0]
    folder, client = secure.certificate(str(node.port)), secure.client(node)
    files = [word for name, file in (("tls-cert-file", "tls.crt"), ("tls-key-file", "tls.key")) for word in (name, str(folder / file))]
    assert client.ping()
    number, old = client.client_id(), served(node)
    secure.supply(str(node.port))
    assert served(node) == old, "files alone change nothing"
    assert client.execute_command("CONFIG", "SET", *files) == b"OK" and served(node) == filed(secure, node) != old
    assert client.ping() and client.client_id() == number, "the connection goes on"
    new = served(node)
    (folder / "current" / "tls.key").write_text(secure.authority.issue("other", "127.0.0.1")[1])
    with pytest.raises(redis.ResponseError, match="Unable to update TLS configuration"):
        client.execute_command("CONFIG", "SET", *files)
    assert served(node) == new, "the key of another is refused, and the old pair stays"
    secure.supply(str(node.port), days=-1, begun=3)
    assert client.execute_command("CONFIG", "SET", *files) == b"OK" and served(node) == filed(secure, node), "one that has expired is accepted"
    with pytest.raises(redis.ConnectionError, match="certificate has expired"):
        secure.client(node).ping()
    secure.supply(str(node.port))
    assert client.execute_command("CONFIG", "SET", *files) == b"OK" and secure.client(node).ping()


@pytest.mark.hazard("H55")
def test_nodes_serve_the_certificates_that_are_declared(secure: Secure) -> None:
    for node in secure.nodes[1:]:
        secure.supply(str(node.port))
    wanted = {node.address: filed(secure, node).upper() for node in secure.nodes}
    before = calls(secure), [served(node) for node in secure.nodes]
    told = accepted(run(secure, check=True, fingerprints=wanted))
    assert told["changed"] is True and (calls(secure), [served(node) for node in secure.nodes]) == before
    done = accepted(run(secure, fingerprints=wanted))
    assert done["nodes"] == told["nodes"] and secure.nodes[0].address in done["summary"]["unchanged"] and len(done["summary"]["updated"]) == 5
    assert {node.address: served(node).upper() for node in secure.nodes} == wanted
    before = calls(secure), before[1]
    assert accepted(run(secure, fingerprints=wanted))["changed"] is False and calls(secure) == before[0]
    accepted(run_module("redis_cluster_info", secure.args))


def test_a_pair_that_is_none_leaves_the_old_one_in_force(secure: Secure) -> None:
    node = secure.nodes[0]
    folder, old = secure.certificate(str(node.port)), served(node)
    secure.supply(str(node.port))
    (folder / "current" / "tls.key").write_text(secure.authority.issue("other", "127.0.0.1")[1])
    result = run(secure, fingerprints={node.address: filed(secure, node)})
    assert result["failed"] and result["changed"] is False and f"{node.address} (update): CONFIG SET" in result["msg"] and served(node) == old
    assert "are they readable there, and of one key?" in result["msg"] and "\n" not in result["msg"]
    secure.supply(str(node.port))
    result = run(secure, fingerprints={node.address: "ab" * 32})
    assert result["failed"] and result["changed"] is True and "certificate served is" in result["msg"], "another than the declared one is in the files"
    accepted(run(secure, fingerprints={node.address: filed(secure, node)}))


def test_authorities_are_read_again_where_it_is_asked_for(secure: Secure, tmp_path: Path) -> None:
    """A node trusts a client of a new authority once its bundle was read again."""
    new = Authority("new")
    new.supply(tmp_path, "client", "client", trust=secure.authority.certificate)
    client = {"redis_client_cert": str(tmp_path / "tls.crt"), "redis_client_key": str(tmp_path / "tls.key")}
    for node in secure.nodes:
        secure.supply(str(node.port), trust=secure.authority.certificate + new.certificate)
    assert run_module("redis_cluster_info", {**secure.args, **client})["failed"]
    done = accepted(run(secure, reload=["tls-ca-cert-file", "tls-cert-file"]))
    assert done["changed"] is True and {row["after"]["files"] for row in done["nodes"]} == {"read again"}
    assert accepted(run_module("redis_cluster_info", {**secure.args, **client}))["healthy"] is True
    assert accepted(run(secure, check=True, reload=["tls-ca-cert-file"]))["changed"] is True
    result = run(secure, reload=["tls-dh-params-file"])
    assert result["failed"] and "tls-dh-params-file has no value, so there is nothing to read again; nothing was changed" in result["msg"]
