# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet with TLS everywhere whose certificates cert-manager keeps: its own controllers, on the trial cluster. The tests follow each other."""

from __future__ import annotations

import base64
import time
import typing as t
from collections.abc import Iterator

import pytest
from kubernetes import client

from tests.fleet.certificates import Authority
from tests.fleet.kubernetes.issuing import cert_manager
from tests.harness.kubernetes import Cluster, changes, failed
from tests.harness.matrix_kubernetes import KubernetesFleet, secured
from tests.harness.plays import Outcome

NAMESPACE = "caching-issued"
SECRETS = {"service": "caching-service-tls", "redis": "redis-cluster-tls", "client": "caching-runner-tls"}
OBJECTS = ("cert-manager.io", "v1", NAMESPACE, "certificates")


def declared(**service: t.Any) -> dict[str, t.Any]:
    kept = {"provider": "cert-manager", "issuer": {"name": "ca"}}
    return {"caching_certificates": {"service": {**kept, **service}, "redis": kept, "client": kept}}


def issuer(cluster: Cluster) -> None:
    """An Issuer whose key is in a Secret, as somebody with kubectl would make it."""
    authority = Authority("Exalt Caching trial issuer")
    data = {name: base64.b64encode(text.encode()).decode() for name, text in (("tls.crt", authority.certificate), ("tls.key", authority.key))}
    cluster.core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "ca"}, "type": "kubernetes.io/tls", "data": data})
    body = {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "ca"}, "spec": {"ca": {"secretName": "ca"}}}
    client.CustomObjectsApi(cluster.api).create_namespaced_custom_object("cert-manager.io", "v1", NAMESPACE, "issuers", body)


def held(cluster: Cluster, part: str) -> str:
    return str(cluster.core.read_namespaced_secret(SECRETS[part], NAMESPACE).data["tls.crt"])


def renew(cluster: Cluster, part: str) -> None:
    """As `cmctl renew` does it; then wait until another certificate is in the Secret."""
    api, before = client.CustomObjectsApi(cluster.api), held(cluster, part)
    found = api.get_namespaced_custom_object_status(*OBJECTS, SECRETS[part])
    rows = [one for one in found["status"]["conditions"] if one["type"] != "Issuing"]
    rows.append({"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "by hand", "lastTransitionTime": rows[0]["lastTransitionTime"]})
    api.patch_namespaced_custom_object_status(*OBJECTS, SECRETS[part], {"status": {"conditions": rows}})
    deadline = time.monotonic() + 30
    while held(cluster, part) == before:
        assert time.monotonic() < deadline, "cert-manager has renewed nothing after 30 s"
        time.sleep(0.3)


def served(outcome: Outcome) -> dict[str, str]:
    looks = [part for one in outcome.results("cert_info") for part in one.get("results", [])]
    return {f"{part['__security_part']['protocol']} {one['endpoint']}": one["fingerprint"] for part in looks for one in part["certificates"]}


def redis(outcome: Outcome) -> dict[str, str]:
    """The service looks at its files by itself; Redis reads when it is told."""
    return {name: seen for name, seen in served(outcome).items() if name.startswith("redis")}


def done(outcome: Outcome) -> dict[str, list[str]]:
    assert outcome.rc == 0, outcome.stdout
    found: dict[str, list[str]] = outcome.custom["exalt_caching_run"][-1]["changes"].get("certificates", {})
    return found


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory) -> Iterator[KubernetesFleet]:
    """Its namespace and its runner; there is no cert-manager yet."""
    tls = {"caching_redis_tls": True, **declared()}
    with secured("kubernetes", request, tls, tmp_path_factory.mktemp("unused"), NAMESPACE) as made:
        yield made


@pytest.fixture(scope="module")
def issued(fleet: KubernetesFleet) -> Iterator[KubernetesFleet]:
    with cert_manager(fleet.cluster.state):
        issuer(fleet.cluster)
        yield fleet


def test_a_cluster_without_cert_manager(fleet: KubernetesFleet) -> None:
    with fleet.unchanged():
        for check in (True, False):
            failed(fleet.play("deploy", check=check), "cert-manager is not there")


def test_a_fleet_is_made_from_nothing(issued: KubernetesFleet) -> None:
    first = issued.play("deploy")
    assert sorted(done(first)["issued"]) == sorted(SECRETS.values()), first.stdout
    with issued.unchanged():
        again = issued.play("deploy status certificates")
    assert again.rc == 0 and again.changed == 0, again.stdout
    prints = served(again)
    assert {name.partition(" ")[0] for name in prints} == {"https", "redis", "redis_bus"} and len(set(prints.values())) == 2, prints


@pytest.mark.hazard("H52", "H53")
def test_what_it_renews_by_itself_is_read(issued: KubernetesFleet) -> None:
    before = redis(issued.play("certificates"))
    for part in SECRETS:
        renew(issued.cluster, part)
    with issued.unchanged():
        planned = issued.play("certificates", check=True)
    assert list(done(planned)) == ["read"] and redis(planned) == before, planned.stdout
    began, members = issued.cluster.now, issued.members()
    read = issued.play("certificates")
    assert done(read) == done(planned) and not set(redis(read).values()) & set(before.values()), read.stdout
    written = [one for one in changes(issued.cluster.audited(began)) if " secrets " in one]
    assert written == [] and issued.members() == members, "its Secrets are its own, and no process was started anew"
    with issued.unchanged():
        assert issued.play("certificates").changed == 0


def test_names_and_an_issuer_that_is_not_there(issued: KubernetesFleet) -> None:
    names = declared(names=["cache.example.com"])
    with issued.unchanged():
        planned = issued.play("certificates", check=True, **names)
    assert done(planned) == {"declared": [f"Certificate {SECRETS['service']}"]} and "cache.example.com" in planned.stdout, planned.stdout
    before = served(planned)
    renewed = issued.play("certificates", **names)
    after = served(renewed)
    assert done(renewed)["read"] == [SECRETS["service"]] and all((after[one] != before[one]) == one.startswith("https") for one in before), renewed.stdout
    assert issued.play("certificates", **names).changed == 0
    lost = issued.play("certificates", **declared(issuer={"name": "nobody"}), caching_certificate_timeout="PT10S")
    failed(lost, f"Certificate {SECRETS['service']}: ")
    assert '"nobody" not found' in lost.stdout.replace("\\", "") and len(lost.stdout) < 40000, lost.stdout
    healed = issued.play("certificates", **names)
    assert healed.rc == 0, healed.stdout
    assert issued.play("certificates", **names).changed == 0


def test_what_only_cert_manager_can_do(issued: KubernetesFleet) -> None:
    names = declared(names=["cache.example.com"])
    with issued.unchanged():
        failed(issued.play("certificates", **names, caching_certificates_state="rolled_back"), "and no version before")
        failed(issued.play("certificates", **names, caching_certificates_renew=True), f"cmctl renew -n {NAMESPACE}")
        own: dict[str, t.Any] = {"caching_certificates": {**names["caching_certificates"], "redis": {"provider": "selfsigned"}}}
        failed(issued.play("certificates", **own), "selfsigned can't be")


def test_one_that_somebody_else_has_made(issued: KubernetesFleet) -> None:
    names, name, api = declared(names=["cache.example.com"]), SECRETS["client"], client.CustomObjectsApi(issued.cluster.api)
    there = api.get_namespaced_custom_object(*OBJECTS, name)
    api.delete_namespaced_custom_object(*OBJECTS, name)
    body = {"apiVersion": there["apiVersion"], "kind": there["kind"], "metadata": {"name": name}, "spec": {**there["spec"], "renewBeforePercentage": 40}}
    api.create_namespaced_custom_object(*OBJECTS, body)
    with issued.unchanged():
        failed(issued.play("certificates", **names), f"Certificate {name} was not made by exalt.caching")
    adopted = issued.play("certificates", **names, caching_adopt=True)
    assert done(adopted)["declared"] == [f"Certificate {name}"], adopted.stdout
    assert api.get_namespaced_custom_object(*OBJECTS, name)["spec"]["renewBeforePercentage"] == 33
    assert issued.play("certificates", **names).changed == 0
    api.create_namespaced_custom_object(*OBJECTS, {**body, "metadata": {"name": "another"}})
    failed(issued.play("certificates", **names), f"Certificate another writes Secret {name}")
    api.delete_namespaced_custom_object(*OBJECTS, "another")


def test_a_certificate_that_it_did_not_issue(issued: KubernetesFleet) -> None:
    """And back: what cert-manager writes is not written by the role."""
    names, name, api = declared(names=["cache.example.com"]), SECRETS["service"], client.CustomObjectsApi(issued.cluster.api)
    api.delete_namespaced_custom_object(*OBJECTS, name)
    own = {"caching_certificates": {**names["caching_certificates"], "service": {"provider": "selfsigned"}}}
    failed(issued.play("certificates", **own), "is written by cert-manager for its Certificate")
    note = {"metadata": {"annotations": {"cert-manager.io/certificate-name": None}}}
    issued.cluster.core.patch_namespaced_secret(name, NAMESPACE, note)
    with issued.unchanged():
        failed(issued.play("certificates", **names), f"Secret {name}: there is a certificate that cert-manager did not issue")
    assert done(issued.play("certificates", **names, caching_adopt=True))["declared"] == [f"Certificate {name}"]
    assert issued.play("certificates", **names).changed == 0
