# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dry run says of objects, and objects as somebody would write them."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.filter.deploy_plan import deploy_plan
from ansible_collections.exalt.caching.plugins.filter.fleet_objects import fleet_objects
from ansible_collections.exalt.caching.plugins.module_utils import _objects as pure

from tests.fleet.paths import ROOT

Object = dict[str, t.Any]
OURS = {"manager": "exalt.caching", "operation": "Apply"}
THEIRS = {"manager": "kubectl", "operation": "Apply"}


def one(kind: str, name: str = "it") -> Object:
    return {"kind": kind, "metadata": {"name": name}}


def differs(before: Object, after: Object, *managers: Object) -> Object:
    return {"changed": True, "diff": {
        "before": {**before, "metadata": {"managedFields": list(managers), "resourceVersion": "1"}}, "after": {**after, "metadata": {"resourceVersion": "2"}}}}


def test_new_ours_theirs_and_the_same() -> None:
    definitions = [one("Service"), one("Deployment"), one("ConfigMap"), one("Secret", "s"), one("StatefulSet")]
    outcomes = [
        {"changed": True, "diff": {"before": {}, "after": {"kind": "Service", "metadata": {}}}},
        differs({"spec": {"replicas": 2}}, {"spec": {"replicas": 3}}, OURS, THEIRS),
        {"changed": False},
        differs({"data": {"TOKEN": "aGlkZGVu"}}, {"data": {"TOKEN": "bmV3"}}, THEIRS),
        differs({"spec": {"containers": [{"name": "redis", "image": "a"}]}}, {"spec": {"containers": [{"name": "redis", "image": "b"}]}},
                {"manager": "exalt.caching", "operation": "Update"}),
    ]
    plan = deploy_plan({"result": {"results": outcomes}}, definitions)
    assert plan == {
        "changed": ["Service it", "Deployment it", "Secret s", "StatefulSet it"], "new": ["Service it"], "foreign": ["Secret s", "StatefulSet it"],
        "lost": [],
        "differences": ["Service it: new", "Deployment it: spec.replicas: 2 → 3", "Secret s: data.TOKEN changes",
                        'StatefulSet it: spec.containers[redis].image: "a" → "b"'],
        "replicas": {"Deployment it": [2, 3]}}


def test_one_object_by_itself_changes_where_it_differs() -> None:
    """The task that asked has a say of its own about ``changed``."""
    found = differs({"data": {"a": "b"}}, {"data": {"a": "c"}}, OURS)
    assert deploy_plan({**found, "changed": False, "result": one("ConfigMap")}, [one("ConfigMap")])["changed"] == ["ConfigMap it"]
    same = {"changed": False, "diff": {"before": {}, "after": {}}, "result": one("ConfigMap")}
    assert deploy_plan(same, [one("ConfigMap")])["changed"] == []
    missing = {"changed": False, "method": "create", "result": one("ConfigMap")}      # which comes without differences
    assert deploy_plan(missing, [one("ConfigMap")])["differences"] == ["ConfigMap it: new"]


@pytest.mark.hazard("H37")
def test_differences_show_no_secret() -> None:
    def container(value: str) -> Object:
        return {"spec": {"containers": [{"name": "it", "env": [{"name": "DB_PASSWORD", "value": value}], "args": ["--requirepass", f"p://u:{value}@h"]}]}}

    text = {"data": {"application.yml": "a: 1\npassword: hunter2\n", "API_TOKEN": "hunter2", "JAVA_OPTS": "-Xmx1g -Dx.password=hunter2"}}
    outcomes = [differs(container("hunter2"), container("hunter3"), OURS), differs(text, {"data": {"application.yml": "b: 1\nc: 1\n"}}, OURS)]
    told = deploy_plan({"result": {"results": outcomes}}, [one("Deployment"), one("ConfigMap")])["differences"]
    assert "hunter" not in str(told) and len(told) == 5, told
    assert told[0].startswith("Deployment it: spec.containers[it].args: ") and "(secret " in told[1] and "(2 lines " in str(told), told


def test_keys_that_a_secret_would_lose_are_named() -> None:
    outcomes = [differs({"data": {"TOKEN": "aGlkZGVu", "OTHER": "eA=="}}, {"data": {"OTHER": "eQ=="}}, OURS)]
    assert deploy_plan({"result": {"results": outcomes}}, [one("Secret", "s")])["lost"] == ["Secret s: TOKEN"]


def test_everything_is_new_in_a_new_namespace() -> None:
    missing = {"error": {"msg": 'Failed to apply object: b\'{"message":"namespaces \\\\"n\\\\" not found"}\''}}
    new = {"changed": True, "diff": {"before": {}, "after": {"kind": "Namespace"}}}
    definitions = [one("Namespace", "n"), one("Service")]
    assert deploy_plan({"result": {"results": [new, missing]}}, definitions)["new"] == ["Namespace n", "Service it"]
    with pytest.raises(AnsibleFilterError, match='^Service it: namespaces "n" not found$'):
        deploy_plan({"result": {"results": [{"changed": False}, missing]}}, definitions)


def test_an_object_as_somebody_would_write_it() -> None:
    found = {**one("Service"), "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": []}, "status": {}}
    found["metadata"] |= {"uid": "1", "managedFields": [], "labels": {"a": "b"}, "annotations": {"deployment.kubernetes.io/revision": "1"}}
    assert pure.clean(found) == {"kind": "Service", "metadata": {"name": "it", "labels": {"a": "b"}}, "spec": {"ports": []}}
    found["metadata"]["namespace"] = "production"
    assert "production" not in str(pure.clean(found)), "it may be brought back elsewhere"
    assert pure.clean({**found, "spec": {"clusterIP": "None"}})["spec"] == {"clusterIP": "None"}


def workload(kind: str, name: str, **container: t.Any) -> Object:
    spec = {"serviceAccountName": "runs-as", "containers": [{"name": "it", **container}],
            "volumes": [{"configMap": {"name": "settings"}}, {"projected": {"sources": [{"secret": {"name": "certificate"}}]}}]}
    return {**one(kind, name), "spec": {"template": {"metadata": {"labels": {"app": name, "more": "x"}}, "spec": spec}}}


def names(section: Object) -> list[str]:
    return [f"{found['kind']} {found['metadata']['name']}" for found in section.get("items", [])]


def test_what_belongs_to_a_fleet_and_nothing_else() -> None:
    service = workload("Deployment", "service", envFrom=[{"secretRef": {"name": "tokens"}}])
    around = [
        {**one("Service", "mine"), "spec": {"selector": {"app": "service"}}}, {**one("Service", "other"), "spec": {"selector": {"app": "else"}}},
        {**one("Service", "outside"), "spec": {"externalName": "example.com"}},
        {**one("PodDisruptionBudget", "mine"), "spec": {"selector": {"matchLabels": {"app": "service"}}}},
        {**one("NetworkPolicy", "all"), "spec": {"podSelector": {}}},
        one("ConfigMap", "settings"), one("ConfigMap", "kube-root-ca.crt"), one("ServiceAccount", "runs-as"), one("Secret", "tokens"), one("Secret", "else")]
    found = fleet_objects([service, *around], encrypted=True)
    assert names(found["configmaps"]) == ["ConfigMap settings"] and names(found["secrets"]) == ["Secret tokens"] and found["left_out"] == []
    assert names(found["workloads"]) == [
        "Deployment service", "Service mine", "PodDisruptionBudget mine", "ServiceAccount runs-as"]
    assert {one["kind"]: one["name"] for one in found["mentioned"]} == {"ConfigMap": "settings", "Secret": "tokens", "ServiceAccount": "runs-as"}
    assert fleet_objects([service, *around])["secrets"] == {} and fleet_objects([service, *around])["left_out"] == ["Secret certificate", "Secret tokens"]


@pytest.mark.hazard("H37")
@pytest.mark.parametrize("plain, out", [
    (workload("Deployment", "it", env=[{"name": "ADMIN_TOKEN", "value": "x"}]), True),
    (workload("Deployment", "it", env=[{"name": "ADMIN_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "ADMIN_TOKEN"}}}]), False),
    (workload("Deployment", "it", env=[{"name": "COLOUR", "value": "blue"}]), False),
    ({**one("ConfigMap", "settings"), "data": {"application.yml": "redis:\n  password: hunter2\n"}}, True),
    ({**one("ConfigMap", "settings"), "data": {"application.yml": "redis:\n  password: ${REDIS_PASSWORD}\n  timeout: 5\n"}}, False),
    ({**one("ConfigMap", "settings"), "data": {"redis.conf": "port 1\nrequirepass hunter2\n"}}, True),
    ({**one("ConfigMap", "settings"), "data": {"ADMIN_PASSWORD": "hunter2"}}, True),
])
def test_what_would_stand_in_clear_is_left_out(plain: Object, out: bool) -> None:
    found = fleet_objects([workload("Deployment", "service"), plain])
    assert (f"{plain['kind']} {plain['metadata']['name']}" in found["left_out"]) is out and ("hunter2" in str(found)) is False
    assert fleet_objects([workload("Deployment", "service"), plain], encrypted=True)["left_out"] == []


def test_our_own_start_script_has_no_secret_in_clear() -> None:
    script = (ROOT / "roles/caching/files/start-redis.sh").read_text()
    assert not pure.in_clear({**one("ConfigMap"), "data": {"start.sh": script}})
