# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dry run says of objects, and objects as somebody would write them."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.filter.deploy_plan import deploy_plan
from ansible_collections.exalt.caching.plugins.module_utils import _objects as pure

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
        "differences": ["Service it: new", "Deployment it: spec.replicas: 2 → 3", "Secret s: data.TOKEN changes",
                        'StatefulSet it: spec.containers[redis].image: "a" → "b"']}


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
    assert pure.clean({**found, "spec": {"clusterIP": "None"}})["spec"] == {"clusterIP": "None"}
