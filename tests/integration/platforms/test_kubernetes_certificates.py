# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_rotate in Secrets of a real API server; its audit log tells what was asked of it."""

from __future__ import annotations

import base64
import json
import secrets
import typing as t
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.fleet import paths
from tests.fleet.kubernetes.certificates import kubeconfig
from tests.harness.kubernetes import Cluster, changes
from tests.harness.modules import run_module
from tests.harness.sequence import accepted
from tests.harness.tls_parties import openssl

NAMESPACE = "caching-certificates"
Args = dict[str, t.Any]


@pytest.fixture(scope="module")
def core(cluster: Cluster) -> Iterator[client.CoreV1Api]:
    cluster.core.create_namespace({"metadata": {"name": NAMESPACE}})
    yield cluster.core
    cluster.core.delete_namespace(NAMESPACE)


@pytest.fixture
def base(cluster: Cluster, core: client.CoreV1Api, tmp_path: Path) -> Args:
    return {"name": "caching-service", "ca_certificate_path": f"{tmp_path}/ca.crt", "ca_key_path": f"{tmp_path}/ca.key",
            "ca_key_passphrase": "correct horse battery",
            "subject_alt_names": ["caching-service"], "destination": "kubernetes_secret", "namespace": NAMESPACE, "secret": f"tls-{secrets.token_hex(4)}",
            "kubeconfig": str(cluster.state.kubeconfig())}


def files(core: client.CoreV1Api, name: str) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in core.read_namespaced_secret(name, NAMESPACE).data.items()}


@pytest.mark.hazard("H49", "H52")
@pytest.mark.operation("S141", "S146")
def test_a_secret_keeps_its_name_over_rotations(cluster: Cluster, core: client.CoreV1Api, base: Args, tmp_path: Path) -> None:
    began = cluster.now
    assert accepted(run_module("cert_rotate", base, check=True))["changed"] and changes(cluster.audited(began)) == []
    first = accepted(run_module("cert_rotate", base))
    held = files(core, base["secret"])
    assert core.read_namespaced_secret(base["secret"], NAMESPACE).type == "kubernetes.io/tls" and set(held) == {"tls.crt", "tls.key", "ca.crt"}
    for name in ("tls.crt", "ca.crt"):
        (tmp_path / name).write_bytes(held[name])
    assert openssl("verify", "-x509_strict", "-verify_hostname", "caching-service", "-CAfile", tmp_path / "ca.crt", tmp_path / "tls.crt")[0] == 0
    began = cluster.now
    for check in (True, False):
        assert not accepted(run_module("cert_rotate", base, check=check))["changed"]
    assert changes(cluster.audited(began)) == []
    second = accepted(run_module("cert_rotate", {**base, "force": True}))
    told = changes(cluster.audited(began))
    assert len(told) == 1 and told[0].startswith(f"update secrets {base['secret']} "), told
    rows = json.loads(files(core, base["secret"])["previous"])
    assert [row["number"] for row in rows] == [1] and second["previous"] == first["certificate"]
    back = accepted(run_module("cert_rotate", {**base, "state": "rolled_back"}))
    assert back["certificate"] == first["certificate"] and files(core, base["secret"])["tls.key"] == held["tls.key"]
    assert not accepted(run_module("cert_rotate", {**base, "state": "rolled_back"}))["changed"]


@pytest.mark.operation("S145")
def test_versions_and_their_removal(core: client.CoreV1Api, base: Args) -> None:
    wanted = {**base, "versioned": True, "keep_previous": 1}
    names = [accepted(run_module("cert_rotate", {**wanted, "force": number > 1}))["secret"]["name"] for number in (1, 2, 3)]
    assert names == [f"{base['secret']}-{number}" for number in (1, 2, 3)]
    found = core.list_namespaced_secret(NAMESPACE, label_selector=f"exalt.caching/certificate={base['secret']}").items
    assert sorted(one.metadata.name for one in found) == names[1:] and all(one.immutable for one in found)
    assert not accepted(run_module("cert_rotate", wanted))["changed"]


def test_runs_at_once_make_one(core: client.CoreV1Api, base: Args) -> None:
    for versioned in (False, True):
        wanted = {**base, "versioned": versioned, "secret": f"{base['secret']}-{versioned}".lower()}
        with ThreadPoolExecutor(4) as threads:
            results = [accepted(one) for one in threads.map(lambda _number: run_module("cert_rotate", wanted), range(4))]
        assert len({one["certificate"]["fingerprint"] for one in results}) == 1 and sum(one["changed"] for one in results) == 1


def test_the_least_rights_are_enough(cluster: Cluster, core: client.CoreV1Api, base: Args, tmp_path: Path) -> None:
    """An account that may get and update this one Secret and nothing else, as the runner's."""
    rights = client.RbacAuthorizationV1Api(cluster.api)
    name = base["secret"]
    core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": name}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}})
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": name}})
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get", "update"]}
    rights.create_namespaced_role(NAMESPACE, {"metadata": {"name": name}, "rules": [rule]})
    rights.create_namespaced_role_binding(NAMESPACE, {
        "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]})
    token = core.create_namespaced_service_account_token(name, NAMESPACE, {"spec": {"expirationSeconds": 3600}}).status.token
    path = tmp_path / "kubeconfig"
    paths.write(path, json.dumps(kubeconfig(cluster.state, token)))
    wanted = {**base, "kubeconfig": str(path)}
    assert accepted(run_module("cert_rotate", wanted))["changed"] and not accepted(run_module("cert_rotate", wanted))["changed"]
    assert accepted(run_module("cert_rotate", {**wanted, "state": "requested", "force": True}))["csr"]
    assert set(json.loads(files(core, name)["requested"])) == {"tls.key", "tls.csr"}
    for change, verb in (({"secret": "another"}, "get"), ({"versioned": True}, "list")):
        told = run_module("cert_rotate", {**wanted, **change})
        assert told["failed"] and f"{verb} of " in told["msg"] and f"the account needs {verb} on secrets in {NAMESPACE}" in told["msg"], told["msg"]


def test_what_somebody_changes_meanwhile_is_not_lost(core: client.CoreV1Api, base: Args) -> None:
    accepted(run_module("cert_rotate", base))
    core.patch_namespaced_secret(base["secret"], NAMESPACE,
                                 {"data": {"notes": base64.b64encode(b"by hand").decode()}, "metadata": {"labels": {"team": "caching"}}})
    accepted(run_module("cert_rotate", {**base, "force": True}))
    assert files(core, base["secret"])["notes"] == b"by hand"
    assert core.read_namespaced_secret(base["secret"], NAMESPACE).metadata.labels["team"] == "caching"


def test_a_namespace_that_is_not_there(core: client.CoreV1Api, base: Args) -> None:
    told = run_module("cert_rotate", {**base, "namespace": "nowhere-at-all"})
    assert told["failed"] and "was refused with 404" in told["msg"] and "\n" not in told["msg"], told["msg"]
    with pytest.raises(ApiException):
        core.read_namespaced_secret(base["secret"], NAMESPACE)
