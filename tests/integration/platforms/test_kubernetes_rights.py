# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights of docs/kubernetes.md: they are enough, each of them is needed, and what lacks one says so.

Every account is a host of one inventory: the same fleet, spoken with by somebody who has all rights but one.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from tests.harness.kubernetes import Cluster
from tests.harness.matrix_kubernetes import KubernetesFleet, declared
from tests.harness.plays import Outcome, play
from tests.harness.rights import Right, documented

ARGUMENTS = ("role", "member", "replicas", "command", "path", "content", "write", "text", "jvm", "revisions", "part", "image")
READ = {"verb": "configuration"}
FAILED = "{{ ansible_failed_result.msg | default(ansible_failed_result.results | default([]) | map(attribute='msg', default='') | join) }}"
SCALE = {"verb": "scale", "role": "service", "replicas": 4}
SCALE_REDIS = {"verb": "scale", "role": "redis", "replicas": 7}
ONCE = {"verb": "one_off", "command": ["true"]}
IMAGE = {"verb": "image", "image": "exalt/caching-service:2.5.0"}
WRITE = {"verb": "configuration", "write": True, "text": "cache: {}\n", "jvm": "", "revisions": "[]"}
DEPLOY = [{"verb": "deploy", "part": "redis"}, {"verb": "deploy", "part": "service"}]
# What lacks the right, and what then can't be done; a right of deploy is one on an object that it writes
LACKS: list[tuple[Right, list[dict[str, t.Any]]]] = [
    (Right("list", "pods"), [{"verb": "discover"}]),
    (Right("get", "deployments"), [{"verb": "wait", "role": "service", "replicas": 3}]),
    (Right("patch", "deployments"), [{"verb": "stop", "role": "service"}]),
    (Right("patch", "deployments/scale"), [SCALE]),
    (Right("get", "statefulsets"), [{"verb": "stop", "role": "redis"}]),
    (Right("patch", "statefulsets/scale"), [SCALE_REDIS]),
    (Right("list", "horizontalpodautoscalers"), [SCALE]),
    (Right("delete", "pods"), [{"verb": "restart_one", "member": "redis-cluster-5"}]),
    (Right("get", "pods/exec"), [{"verb": "file", "member": "redis-cluster-0", "path": "/etc/redis/redis.conf"}]),
    (Right("get", "pods/log"), [{"verb": "logs", "member": "redis-cluster-0"}]),
    (Right("list", "events"), [{"verb": "logs", "member": "redis-cluster-0"}]),
    (Right("create", "jobs"), [ONCE]), (Right("get", "jobs"), [ONCE]), (Right("delete", "jobs"), [ONCE]),
    (Right("create", "daemonsets"), [IMAGE]), (Right("get", "daemonsets"), [IMAGE]), (Right("delete", "daemonsets"), [IMAGE]),
    (Right("list", "configmaps"), [READ]), (Right("patch", "configmaps"), [WRITE]),
    *((Right("patch", resource), DEPLOY[:1]) for resource in ("secrets", "services", "poddisruptionbudgets", "statefulsets", "namespaces")),
    (Right("patch", "serviceaccounts"), DEPLOY),
]


def name_of(right: Right) -> str:
    return f"without-{right.verb}-{right.resource}".replace("/", "-").replace(".", "-")


def run(folder: Path, fleet: KubernetesFleet, hosts: dict[str, tuple[Path, list[dict[str, t.Any]]]]) -> Outcome:
    """The steps of each host, by the verbs of the role; where one fails, what it said is shown."""
    members = [{"name": pod.metadata.name, "role": "redis" if app == "redis-cluster" else "service", "ready": True, "state": "Running", "restarts": 0,
                "owner_uid": pod.metadata.owner_references[0].uid, "uid": pod.metadata.uid, "address": pod.status.pod_ip, "node": pod.spec.node_name}
               for app in ("redis-cluster", "caching-service") for pod in fleet.pods(app)]
    secrets = {f"caching_{name}": fleet.cluster.state.secret(name) for name in ("api_token", "admin_token", "monitor_token", "redis_password")}
    known = {name: {"caching_kubeconfig": str(path), "trial_steps": steps} for name, (path, steps) in hosts.items()}
    shared = {**declared(fleet.namespace), **secrets, "ansible_connection": "local", "caching_platform": "kubernetes", "caching_version": "2.4.0",
              "caching_redis_image": "exalt/redis", "caching_members": members, "caching_platform_timeout": "PT20S"}
    inventory, playbook, steps = folder / "hosts.yml", folder / "rights.yml", folder / "step.yml"
    inventory.write_text(yaml.safe_dump({"caching_fleet": {"hosts": known, "vars": shared}}))
    arguments = {f"caching_verb_{name}": f"{{{{ trial_step.{name} | default(omit) }}}}" for name in ARGUMENTS}
    steps.write_text(yaml.safe_dump([{"ansible.builtin.include_role": {"name": "exalt.caching.caching", "tasks_from": "verb"},
                                      "vars": {"caching_verb": "{{ trial_step.verb }}", **arguments}}]))
    playbook.write_text(yaml.safe_dump([{"hosts": "caching_fleet", "gather_facts": False, "tasks": [{"block": [
        {"ansible.builtin.import_role": {"name": "exalt.caching.caching"}},
        {"ansible.builtin.include_tasks": str(steps), "loop": "{{ trial_steps }}", "loop_control": {"loop_var": "trial_step"}},
        {"ansible.builtin.debug": {"msg": "done"}},
    ], "rescue": [{"ansible.builtin.debug": {"msg": FAILED}}]}]}]))
    return play(str(playbook), inventory, "--forks", "8", timeout=300)


@pytest.mark.slow
def test_what_lacks_a_right_says_which(cluster: Cluster, running: KubernetesFleet, tmp_path: Path) -> None:
    everything, before, members = documented(), cluster.now, running.members()
    assert [right for right, _steps in LACKS if right not in everything] == []
    accounts = {name_of(right): (running.controllers.kubeconfig(name_of(right), [one for one in everything if one != right]), steps)
                for right, steps in LACKS}
    outcome = run(tmp_path, running, accounts)
    said = {one["host"]: str(one["result"]["msg"]) for one in outcome.tasks if one["action"].endswith("debug") and one["result"].get("msg")}
    silent = {name_of(right): said.get(name_of(right), "") for right, _steps in LACKS
              if "forbidden" not in said.get(name_of(right), "").lower() or right.resource.partition("/")[0] not in said[name_of(right)]}
    assert silent == {}, outcome.stdout[-3000:]
    assert "Traceback" not in outcome.stdout and running.members() == members
    written = [one for one in cluster.audited(before) if "without-" in one["user"]["username"] and one["responseStatus"]["code"] == 403]
    assert len({one["user"]["username"] for one in written}) == len(LACKS), "the API server refused each of them"
