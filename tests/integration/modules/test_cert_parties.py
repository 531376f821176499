# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_rotate's certificates, judged by those who will use them: OpenSSL, Python's strict checks, a JVM, a real Redis."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.modules import run_module
from tests.harness.scratch import Scratch
from tests.harness.sequence import accepted
from tests.harness.tls_parties import Node, has_java, java, openssl, shake, strict_client, tls_server

PASSWORD = "changeit-trial"
NAMES = ["localhost", "caching-service", "*.redis.svc", "127.0.0.1"]
HOSTS = ["localhost", "caching-service", "redis-0.redis.svc", "127.0.0.1"]
KINDS = ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"]
Args = dict[str, t.Any]


@pytest.fixture
def base(tmp_path: Path) -> Args:
    return {"name": "caching-service", "ca_certificate_path": f"{tmp_path}/ca/ca.crt", "ca_key_path": f"{tmp_path}/ca/ca.key",
            "ca_key_passphrase": "correct horse battery",
            "subject_alt_names": NAMES, "path": f"{tmp_path}/tls", "keystore_password": PASSWORD}


@pytest.mark.parametrize("limits", [[], ["localhost", "caching-service", "redis.svc", "127.0.0.0/8"]], ids=["any-name", "constrained"])
@pytest.mark.parametrize("kind", KINDS)
def test_openssl_and_python_accept_it(base: Args, tmp_path: Path, kind: str, limits: list[str]) -> None:
    accepted(run_module("cert_rotate", {**base, "key_type": kind, "ca_name_constraints": limits}))
    tls = tmp_path / "tls" / "current"
    for purpose in ("sslserver", "sslclient"):
        for host in HOSTS:
            check = ("-verify_ip", host) if host[0].isdigit() else ("-verify_hostname", host)
            code, said = openssl("verify", "-x509_strict", "-purpose", purpose, *check, "-CAfile", tls / "ca.crt", tls / "tls.crt")
            assert code == 0 and said.strip().endswith("OK"), said
    code, said = openssl("verify", "-x509_strict", "-verify_hostname", "other", "-CAfile", tls / "ca.crt", tls / "tls.crt")
    assert code != 0 and "hostname mismatch" in said
    with tls_server(tls / "tls.crt", tls / "tls.key", tls / "ca.crt") as port:
        for host in HOSTS:
            assert shake(strict_client(tls / "ca.crt", (tls / "tls.crt", tls / "tls.key")), port, host) == ""
        assert "Hostname mismatch" in shake(strict_client(tls / "ca.crt", (tls / "tls.crt", tls / "tls.key")), port, "other")
        code, said = openssl("s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", tls / "ca.crt", "-cert", tls / "tls.crt", "-key", tls / "tls.key",
                             "-x509_strict",
                             "-verify_hostname", "caching-service", "-verify_return_error", "-brief")
        assert code == 0 and "Verification: OK" in said, said
        without = shake(strict_client(tls / "ca.crt"), port, "localhost")
        assert without, "who shows no certificate is refused"


def test_the_authority_signs_leaves_only(base: Args, tmp_path: Path) -> None:
    accepted(run_module("cert_rotate", base))
    code, said = openssl("x509", "-in", tmp_path / "ca" / "ca.crt", "-noout", "-text")
    assert code == 0 and "CA:TRUE, pathlen:0" in said and "Certificate Sign, CRL Sign" in said and said.count("critical") == 2
    code, said = openssl("pkey", "-in", tmp_path / "ca" / "ca.key", "-noout", "-passin", "pass:correct horse battery")
    assert code == 0, said
    assert openssl("pkey", "-in", tmp_path / "ca" / "ca.key", "-noout", "-passin", "pass:wrong")[0] != 0
    assert b"ENCRYPTED PRIVATE KEY" in (tmp_path / "ca" / "ca.key").read_bytes()


def test_a_self_signed_one_is_accepted_by_who_is_given_it(base: Args, tmp_path: Path) -> None:
    accepted(run_module("cert_rotate", {**base, "provider": "selfsigned"}))
    tls = tmp_path / "tls" / "current"
    assert openssl("verify", "-x509_strict", "-verify_hostname", "localhost", "-CAfile", tls / "ca.crt", tls / "tls.crt")[0] == 0
    with tls_server(tls / "tls.crt", tls / "tls.key", tls / "ca.crt") as port:
        assert shake(strict_client(tls / "ca.crt", (tls / "tls.crt", tls / "tls.key")), port, "localhost") == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ecdsa-p256", "rsa-2048", "ed25519", "selfsigned"])
def test_a_jvm_reads_keystore_and_truststore(base: Args, tmp_path: Path, kind: str) -> None:
    if not has_java():
        pytest.skip("needs java and keytool (a JDK, 17 or newer) on PATH: the project's set-up brings no JVM")
    given = {"provider": "selfsigned"} if kind == "selfsigned" else {"key_type": kind}
    accepted(run_module("cert_rotate", {**base, **given}))
    tls = tmp_path / "tls" / "current"
    with tls_server(tls / "tls.crt", tls / "tls.key", tls / "ca.crt") as port:
        said = java(tmp_path, tls / "keystore.p12", tls / "truststore.p12", PASSWORD, port, *HOSTS, "other.example")
    assert said[:4] == [f"{host} TLSv1.3 ok" for host in HOSTS], said
    assert said[4].startswith("other.example refused: ") and "No subject alternative DNS name matching" in said[4]


@pytest.mark.slow
@pytest.mark.hazard("H54")
def test_a_jvm_trusts_both_authorities_while_they_change(base: Args, tmp_path: Path) -> None:
    """The truststore of a client that was widened accepts servers of both; one that was not refuses the new one."""
    if not has_java():
        pytest.skip("needs java and keytool (a JDK, 17 or newer) on PATH: the project's set-up brings no JVM")
    other = {**base, "ca_certificate_path": f"{tmp_path}/new/ca.crt", "ca_key_path": f"{tmp_path}/new/ca.key", "path": f"{tmp_path}/server"}
    accepted(run_module("cert_rotate", base))
    made = accepted(run_module("cert_rotate", other))
    client, new = tmp_path / "tls" / "current", tmp_path / "server" / "current"
    with tls_server(new / "tls.crt", new / "tls.key") as port:
        refused = java(tmp_path, client / "keystore.p12", client / "truststore.p12", PASSWORD, port, "localhost")
        assert "unable to find valid certification path" in refused[0]
        widened = accepted(run_module("cert_rotate", {**base, "trusted_certificates": [made["authority"]["certificate_content"]]}))
        assert widened["changed"] and not widened["renewed"]
        assert java(tmp_path, client / "keystore.p12", client / "truststore.p12", PASSWORD, port, "localhost") == ["localhost TLSv1.3 ok"]


# ---- Redis


@pytest.fixture
def nodes(base: Args, tmp_path: Path) -> Iterator[list[Node]]:
    """Two real nodes, each with a certificate of its own by one authority."""
    started = []
    try:
        for number in range(2):
            accepted(run_module("cert_rotate", {**base, "name": f"redis-{number}", "path": f"{tmp_path}/tls-{number}"}))
            started.append(Node(tmp_path / f"node-{number}", tmp_path / f"tls-{number}" / "current"))
        yield started
    finally:
        for node in started:
            node.stop()


def look(base: Args, node: Node, **options: t.Any) -> dict[str, t.Any]:
    tls = node.tls
    return accepted(run_module("cert_info", {
        "endpoints": [f"127.0.0.1:{node.port}"], "protocol": "redis", "ca_path": str(tls / "ca.crt"), "client_cert": str(tls / "tls.crt"),
        "client_key": str(tls / "tls.key"), **options}))


def known(nodes: list[Node]) -> list[str]:
    return [str(node.client().execute_command("CLUSTER INFO")["cluster_known_nodes"]) for node in nodes]


@pytest.mark.hazard("H55")
def test_redis_uses_it_for_clients_replicas_and_the_bus(base: Args, nodes: list[Node], tmp_path: Path) -> None:
    first, second = nodes
    first.client().execute_command("CLUSTER", "MEET", "127.0.0.1", second.port)
    Scratch.until(lambda: known(nodes) == ["2", "2"], "the nodes don't meet over the bus")
    seen = look(base, first)
    assert seen["healthy"], seen["problems"]
    old = seen["certificates"][0]["fingerprint"]
    bus = look(base, first, endpoints=[f"127.0.0.1:{first.bus}"], protocol="redis_bus")
    assert bus["healthy"] and bus["certificates"][0]["fingerprint"] == old, bus["problems"]
    # rotated: the files are new, what is served is not, until the node is told
    rotated = accepted(run_module("cert_rotate", {**base, "name": "redis-0", "path": f"{tmp_path}/tls-0", "force": True}))
    new = rotated["certificate"]["fingerprint"]
    before = look(base, first, fingerprint=new)
    assert not before["healthy"] and before["certificates"][0]["fingerprint"] == old and before["certificates"][0]["chain_ok"]
    assert before["problems"] == [f"127.0.0.1:{first.port}: it serves {old[:16]}…, expected is {new[:16]}…"]
    first.reload()
    after = look(base, first, fingerprint=new, wait_timeout="PT5S")
    assert after["healthy"] and after["certificates"][0]["expected"] is True
    assert known(nodes) == ["2", "2"] and "fail" not in str(second.client().execute_command("CLUSTER NODES"))


def test_redis_that_wants_a_client_certificate_says_so(base: Args, nodes: list[Node]) -> None:
    node = nodes[0]
    for options in ({}, {"endpoints": [f"127.0.0.1:{node.bus}"], "protocol": "redis_bus"}):
        seen = look(base, node, client_cert=None, client_key=None, **options)
        (row,) = seen["certificates"]
        assert not seen["healthy"] and row["fingerprint"] and row["chain_ok"], "what it serves is shown all the same"
        assert "give client_cert and client_key" in row["problems"][0], row
