# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cert-manager is told to keep, and what is read from what it says."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.exalt.caching.plugins.module_utils import _cert_fleet as fleet
from ansible_collections.exalt.caching.plugins.module_utils import _cert_manager as manager
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError

WHERE = {"destination": "kubernetes_secret", "namespace": "caching", "secret": "tls"}
ISSUER = {"provider": "cert-manager", "issuer": {"name": "ca"}}


def place(**own: t.Any) -> fleet.Data:
    found = [{"name": "tls", "part": "service", "common_name": "caching-service", "names": ["caching-service", "10.0.0.7"], "where": WHERE}]
    return fleet.places(found, {"service": {**ISSUER, **own}})[0]


def certificate(name: str = "tls", generation: int = 2, **conditions: tuple[str, str, int]) -> fleet.Data:
    rows = [{"type": kind, "status": status, "message": message, "observedGeneration": seen} for kind, (status, message, seen) in conditions.items()]
    return {"metadata": {"name": name, "generation": generation}, "spec": {"secretName": name}, "status": {"conditions": rows}}


def test_a_certificate_is_as_its_place_is_declared() -> None:
    made = manager.objects([place(names=["URI:spiffe://fleet/service"], organization="Exalt")])[0]
    assert made["metadata"]["name"] == "tls" and made["metadata"]["namespace"] == "caching"
    assert made["spec"] == {
        "secretName": "tls", "issuerRef": {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"}, "commonName": "caching-service",
        "dnsNames": ["caching-service"], "ipAddresses": ["10.0.0.7"], "uris": ["spiffe://fleet/service"], "subject": {"organizations": ["Exalt"]},
        "usages": ["digital signature", "server auth", "client auth"], "privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Always", "size": 256},
        "duration": "2160h0m0s", "renewBeforePercentage": 33,
    }
    other = manager.objects([place(key_type="rsa-3072", renew_before="P30DT90S", issuer={"name": "ca", "kind": "ClusterIssuer"})])[0]["spec"]
    assert other["renewBefore"] == "720h1m30s" and other["privateKey"]["size"] == 3072 and "key encipherment" in other["usages"]
    assert other["issuerRef"]["kind"] == "ClusterIssuer" and "size" not in manager.objects([place(key_type="ed25519")])[0]["spec"]["privateKey"]
    assert manager.objects([{**place(), "provider": "ownca"}]) == []


@pytest.mark.parametrize("own, expected", [
    ({"issuer": None}, "needs issuer"), ({"issuer": "ca"}, "needs issuer"), ({"issuer": {"kind": "Issuer"}}, "needs issuer"),
    ({"issuer": {"name": "ca", "namespace": "x"}}, "issuer has no 'namespace'"),
    ({"issuer": {"name": "ca", "kind": "CA"}}, "kind is Issuer or ClusterIssuer, not 'CA'"),
    ({"key_path": "/k"}, "there is no key_path"), ({"keystore_password": "changeit"}, "there is no keystore_password"),
    ({"renew_before": "33.5%"}, "whole shares"), ({"renew_before": "0%"}, "whole shares"), ({"key_type": "dsa"}, "key_type"),
    ({"validity": "soon"}, "validity"),
])
def test_what_is_declared_wrongly(own: dict[str, t.Any], expected: str) -> None:
    with pytest.raises(CachingError, match=expected):
        manager.objects([place(**own)])


def test_it_is_for_kubernetes() -> None:
    with pytest.raises(CachingError, match="service: provider cert-manager is for Kubernetes"):
        fleet.places([{"name": "s", "part": "service", "where": {"path": "/p"}}], {"service": ISSUER})


@pytest.mark.parametrize("found, expected", [
    ([certificate(Ready=("True", "", 2))], ""), ([certificate(Ready=("True", "", 2), Issuing=("False", "it failed once", 2))], ""),
    ([], "says nothing"), ([certificate()], "says nothing"),
    ([certificate(Ready=("True", "all is well", 1))], "says nothing"),       # of what was declared before
    ([certificate(Ready=("True", "", 2), Issuing=("True", "Renewing", 2))], "Renewing"),
    ([certificate(Ready=("False", "Secret does not exist", 2))], "Secret does not exist"),
    ([certificate(Ready=("False", "no Secret", 2), Issuing=("False", "it was denied", 2))], "it was denied"),
])
def test_when_it_is_ready(found: list[fleet.Data], expected: str) -> None:
    told = manager.waiting(found, manager.objects([place()]))
    assert [expected in line for line in told] == [True] * bool(expected)


def test_the_cause_stands_in_its_request() -> None:
    def request(when: str, message: str, of: str = "tls") -> fleet.Data:
        return {"metadata": {"creationTimestamp": when, "annotations": {"cert-manager.io/certificate-name": of}},
                "status": {"conditions": [{"type": "Ready", "status": "False", "message": message}]}}

    asked = [request("2026-11-28T02:00:00Z", "issuer not found"), request("2026-11-28T01:00:00Z", "older"), request("2026-11-28T03:00:00Z", "other", "x")]
    told = manager.waiting([certificate(Issuing=("True", "Issuing", 2))], manager.objects([place()]), asked)
    assert told == ["Certificate tls: Issuing; issuer not found"]


def test_a_secret_has_one_writer_and_a_mark() -> None:
    wanted = manager.objects([place()])
    other = {"metadata": {"name": "mine", "annotations": {manager.READ: "a b"}}, "spec": {"secretName": "tls"}}
    assert manager.doubled([certificate(), other], wanted) == ["Certificate mine writes Secret tls"]
    assert manager.marks([certificate(), other]) == {"tls": "", "mine": "a b"}
