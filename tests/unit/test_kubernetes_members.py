# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as members of a fleet, and pods that are none."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.fleet.paths import ROOT

TEMPLATE = ROOT / "roles/caching/templates/kubernetes_members.json.j2"
KNOWN = {"caching_service_selector": "app=caching-service,tier = web", "caching_redis_statefulset": "redis-cluster",
         "caching_redis_container": "redis", "caching_container": "caching-service"}
LABELS = {"app": "caching-service", "tier": "web", "pod-template-hash": "1"}
Object = dict[str, t.Any]


def pod(name: str, labels: Object | None = None, owner: Object | None = None, phase: str = "Running", **more: t.Any) -> Object:
    meta = {"name": name, "uid": f"uid-{name}", **({"labels": labels} if labels is not None else {}), **more.pop("metadata", {})}
    return {"metadata": {**meta, **({"ownerReferences": [owner]} if owner else {})},
            "spec": {"containers": [{"name": "it", "image": "exalt/caching-service:2.4.0"}]},
            "status": {"phase": phase, "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True" if phase == "Running" else "False"}], **more}}


SET = {"kind": "ReplicaSet", "name": "caching-service-1", "uid": "set"}
REDIS = {"kind": "StatefulSet", "name": "redis-cluster", "uid": "redis"}


def members(*pods: Object, over: bool = False) -> list[Object]:
    known = {**KNOWN, "__caching_pods": list(pods), "__caching_pods_over": over}
    loader = DataLoader()
    loader.set_basedir(str(TEMPLATE.parent))   # what it imports lies beside it
    text = Templar(loader=loader, variables=known).template(trust_as_template(TEMPLATE.read_text()))
    found: list[Object] = json.loads(text) if isinstance(text, str) else text
    return found


def names(found: list[Object]) -> list[str]:
    return [f"{one['role']} {one['name']}" for one in found]


@pytest.mark.parametrize("stranger", [
    pod("no-labels"), pod("other-labels", {"job": "x"}), pod("half", {"app": "caching-service"}), pod("other-app", {**LABELS, "app": "else"}),
    pod("of-a-job", LABELS, {"kind": "Job", "name": "once", "uid": "job"}),
])
def test_pods_of_others_are_no_members(stranger: Object) -> None:
    assert names(members(pod("a", LABELS, SET), stranger, pod("redis-0", {}, REDIS))) == ["service a", "redis redis-0"]


def test_a_pod_that_nobody_owns_is_one_with_no_owner() -> None:
    found = members(pod("bare", LABELS), pod("a", LABELS, SET))
    assert [(one["name"], one["owner_uid"]) for one in found] == [("a", "set"), ("bare", "")]


def test_what_is_over_is_no_member() -> None:
    """Evicted, or ended with its node: it stays where it is, with the ReplicaSet as owner."""
    pods = [pod("a", LABELS, SET), pod("evicted", LABELS, SET, "Failed", reason="Evicted"), pod("done", LABELS, SET, "Succeeded")]
    assert names(members(*pods)) == ["service a"]
    assert [(one["name"], one["state"]) for one in members(*pods, over=True)] == [("done", "Succeeded"), ("evicted", "Evicted")]


def test_what_is_to_go_is_a_member_that_is_not_ready() -> None:
    (one,) = members(pod("a", LABELS, SET, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
    assert (one["state"], one["ready"]) == ("Terminating", False)


def test_where_members_are_reached() -> None:
    """An address of IPv6 stands in brackets in a URL; what is to go is no place to ask."""
    tasks = yaml.safe_load((ROOT / "roles/caching/tasks/found.yml").read_text())
    texts = next(task["vars"] for task in tasks if "instances" in task.get("vars", {}))
    rows = [("a", "10.0.0.1", "Running"), ("b", "fd00::2", "Running"), ("c", "10.0.0.3", "Terminating"), ("d", "", "Pending")]
    known = {"caching_members": [{"name": name, "address": address, "state": state, "role": "service"} for name, address, state in rows],
             "caching_service_port": 8403, "caching_management_port": 8404, "caching_service_tls_port": 8443}
    templar = Templar(loader=DataLoader(), variables={**known, **{name: trust_as_template(text) for name, text in texts.items()}})
    found = templar.template(trust_as_template("{{ instances }}"))
    assert [(one["name"], one["url"]) for one in found] == [("a", "http://10.0.0.1:8403"), ("b", "http://[fd00::2]:8403")]
    assert found[1]["tls_url"] == "https://[fd00::2]:8443" and templar.template(trust_as_template("{{ url }}")) == "http://10.0.0.1:8403"
