# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs on a real Kubernetes: site, stop, start, scale, one member, logs, one-offs, and what a failure says.

The API server's audit log is the witness: it names what was really asked of the cluster.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.fleet.kubernetes import network
from tests.fleet.kubernetes.layout import NAMESPACE, NODES, NULL_DEVICE
from tests.fleet.kubernetes.programs import programs
from tests.harness.kubernetes import Cluster, changes, failed
from tests.harness.until import until

REGIONS = [{"name": "kube-products", "default_ttl": "PT2H", "max_size": 500}]


def verb(cluster: Cluster, folder: Path, name: str, show: str, **variables: object):
    """One verb by itself, and the fact that it leaves."""
    steps = [
        {"ansible.builtin.import_role": {"name": "exalt.caching.caching"}},
        {"ansible.builtin.include_role": {"name": "exalt.caching.caching", "tasks_from": "verb"}, "vars": {"caching_verb": name, **variables}},
        {"ansible.builtin.debug": {"msg": f"{{{{ {show} }}}}"}},
    ]
    playbook = folder / "verb.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "caching_fleet", "gather_facts": False, "tasks": steps}]))
    outcome = cluster.play(str(playbook))
    said = outcome.results("debug")
    return outcome, said[-1]["msg"] if said else None


@contextmanager
def strangers(cluster: Cluster) -> Iterator[set[str]]:
    """Beside the fleet: a pod of somebody else, and one with the fleet's label that was evicted."""
    never = {"schedulerName": "nobody", "containers": [{"name": "it", "image": "exalt/pause:1"}], "securityContext": {"runAsNonRoot": True}}
    made = {"stranger": None, "evicted": {"app": "caching-service"}}
    for name, labels in made.items():
        cluster.core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": name, "labels": labels}, "spec": never})
    cluster.core.patch_namespaced_pod_status("evicted", NAMESPACE, {"status": {"phase": "Failed", "reason": "Evicted"}})
    try:
        yield set(made)
    finally:
        for name in made:
            cluster.core.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)


def test_site_twice_through_the_runner_pod(cluster: Cluster) -> None:
    before = cluster.now
    check = cluster.play("site", check=True, caching_regions=REGIONS)
    assert check.rc == 0 and check.changed == 1, check.stdout
    assert changes(cluster.audited(before)) == [], "check mode changed an object"
    first = cluster.play("site", caching_regions=REGIONS)
    assert first.rc == 0 and first.changed == 1, first.stdout
    second = cluster.play("site", caching_regions=REGIONS)
    assert second.rc == 0 and second.changed == 0, second.stdout


def test_the_audit_log_would_show_a_change(cluster: Cluster) -> None:
    """The control of the witness: a harmless annotation is seen."""
    before = cluster.now
    cluster.apps.patch_namespaced_deployment("caching-service", NAMESPACE, {"metadata": {"annotations": {"control": str(before)}}})
    assert any("patch deployments caching-service" in one for one in changes(cluster.audited(before)))


def test_what_is_for_an_absent_pod_stays_on_this_machine(cluster: Cluster) -> None:
    where = programs()
    pod = subprocess.run(["ip", "route", "get", "10.190.77.7"], env=where.environment, capture_output=True, text=True, check=False)
    assert pod.returncode and "No route to host" in pod.stderr
    service = network.run(where, "ip", "route", "get", "10.191.77.7")
    assert f"dev {NULL_DEVICE} " in service
    (fence,) = [line for line in network.run(where, "iptables-save").splitlines() if "exalt-caching trial fleet" in line]
    assert fence.startswith("-A FORWARD -s 10.190.0.0/16 ! -d 10.190.0.0/15") and fence.endswith("-j REJECT --reject-with icmp-port-unreachable")


@pytest.mark.hazard("H06")
@pytest.mark.operation("S006", "S100", "S101")
def test_discover_tells_where_members_are_and_what_they_use(cluster: Cluster, tmp_path: Path) -> None:
    def unmeasured() -> list[str]:
        return [one["name"] for one in members if one["cpu_cores"] is None and cluster.measures(one["node"])]

    with strangers(cluster) as others:
        outcome, members = verb(cluster, tmp_path, "discover", "caching_members", caching_discover_usage=True)
        for _again in range(3 if unmeasured() else 0):      # a busy kubelet may miss a round of the metrics server, which asks each 15 s
            time.sleep(15)
            outcome, members = verb(cluster, tmp_path, "discover", "caching_members", caching_discover_usage=True) if unmeasured() else (outcome, members)
        status = cluster.play("status", caching_discover_usage=True)
    assert outcome.rc == 0, outcome.stdout
    shown = re.findall(r"(node-\d) +uses (\d+\.\d\d) cores, (\d+) MiB \(node of the cluster\)", status.stdout)
    assert {name for name, _cores, _memory in shown} == {node.name for node in NODES}, status.stdout
    assert all(float(cores) > 0 and int(memory) > 10 for _name, cores, memory in shown), shown
    if all(cluster.measures(node.name) for node in NODES):    # it does, where no other engine has mounted more control groups
        assert re.search(r"redis-cluster-0 +uses \d+\.\d\d cores, \d+ MiB of 256", status.stdout), status.stdout
    assert status.rc == 0 and "evicted Evicted, and is left over" in " ".join(status.stdout.split()), status.stdout
    assert not {member["name"] for member in members} & others
    real = {pod.metadata.name: pod for app in ("caching-service", "redis-cluster") for pod in cluster.pods(app)}
    assert {member["name"] for member in members} == set(real)
    for member in members:
        pod = real[member["name"]]
        assert (member["address"], member["node"], member["uid"]) == (pod.status.pod_ip, pod.spec.node_name, pod.metadata.uid)
        assert member["ready"] and member["role"] == ("redis" if "redis" in member["name"] else "service")
        if cluster.measures(member["node"]):
            assert member["cpu_cores"] is not None and member["memory_bytes"] > 2**20, "metrics.k8s.io tells the usage"
        assert member["version"] in ("2.4.0", "7.0.15") and member["memory_limit_bytes"] in (512 * 2**20, 256 * 2**20)


@pytest.mark.hazard("H09", "H10", "H12")
def test_stop_flushes_first_and_start_brings_back_as_many(cluster: Cluster) -> None:
    assert cluster.play("scale", caching_replicas=2).rc == 0
    before = cluster.now
    check = cluster.play("stop", check=True)
    assert check.rc == 0 and changes(cluster.audited(before)) == [], check.stdout
    stopped = cluster.play("stop")
    assert stopped.rc == 0, stopped.stdout
    assert cluster.deployment().spec.replicas == 0 and cluster.pods("caching-service") == []
    flushed = stopped.results("cache_task")[0]
    assert flushed["changed"] and len(flushed["instances"]) == 2
    names = [task["task"].rpartition(" : ")[2] for task in stopped.tasks if task["state"] != "skipped"]
    assert names.index("Flush every instance, which ends its process") < names.index("Set the number of members to 0")
    started = cluster.play("start")
    assert started.rc == 0 and cluster.deployment().spec.replicas == 2, started.stdout
    again = cluster.play("start")
    assert again.rc == 0 and again.changed == 0
    back = cluster.play("scale", caching_replicas=3)
    assert back.rc == 0 and cluster.deployment().status.ready_replicas == 3, back.stdout


@pytest.mark.hazard("H10")
def test_an_autoscaler_is_not_fought(cluster: Cluster) -> None:
    from kubernetes import client

    scalers = client.AutoscalingV2Api(cluster.api)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "caching-service"}
    scalers.create_namespaced_horizontal_pod_autoscaler(NAMESPACE, {
        "metadata": {"name": "by-load"}, "spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 3, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 90}}}]}})
    try:
        refused = cluster.play("scale", caching_replicas=4)
        before, members = cluster.now, {pod.metadata.uid for pod in cluster.pods("caching-service")}
        stopped = cluster.play("stop")
        assert changes(cluster.audited(before)) == [] and {pod.metadata.uid for pod in cluster.pods("caching-service")} == members
    finally:
        scalers.delete_namespaced_horizontal_pod_autoscaler("by-load", NAMESPACE)
    assert refused.rc != 0 and "scaled by the HorizontalPodAutoscaler by-load" in refused.stdout
    failed(stopped, "is not stopped, and runs as before. Nobody else decides: Deployment caching-service is scaled by the HorizontalPodAutoscaler")
    assert stopped.results("cache_task") == [] and {pod.status.container_statuses[0].restart_count for pod in cluster.pods("caching-service")} == {0}
    assert cluster.deployment().spec.replicas == 3


@pytest.mark.operation("S013", "S090", "S164")
def test_one_member_is_replaced_and_its_log_read(cluster: Cluster, tmp_path: Path) -> None:
    victim = cluster.pods("redis-cluster")[-1]
    outcome, members = verb(cluster, tmp_path, "restart_one", "caching_members", caching_verb_member=victim.metadata.name)
    assert outcome.rc == 0, outcome.stdout
    after = {pod.metadata.name: pod.metadata.uid for pod in cluster.pods("redis-cluster")}
    assert after[victim.metadata.name] != victim.metadata.uid
    assert {member["name"]: member["uid"] for member in members if member["role"] == "redis"} == after
    _outcome, logs = verb(cluster, tmp_path, "logs", "caching_verb_logs", caching_verb_member=victim.metadata.name)
    assert "Ready to accept connections" in logs["stdout"] and any("Started container" in event for event in logs["events"])
    missing, _nothing = verb(cluster, tmp_path, "restart_one", "1", caching_verb_member="redis-cluster-99")
    assert missing.rc != 0 and "redis-cluster-99 is no member of kubernetes; members are caching-service-" in missing.stdout


@pytest.mark.hazard("H27")
def test_a_one_off_runs_as_the_service_and_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    from kubernetes import client

    def once(image: str, script: str):
        return verb(cluster, tmp_path, "one_off", "caching_verb_result", caching_verb_command=[script], caching_verb_image=image)[1]

    # a node of Redis that was replaced a moment ago may be one that others still look for
    good = once("", "/app/scripts/smoke-test.sh")
    for _again in range(3 if good["rc"] else 0):
        good = once("", "/app/scripts/smoke-test.sh") if good["rc"] else good
    assert good["rc"] == 0 and "smoke-test: ok" in good["stdout"], good
    bad = once("exalt/caching-service:2.5.0-incompatible", "/app/scripts/compatibility-check.sh")
    assert bad["rc"] == 1 and "this version needs Redis 8" in bad["stdout"]
    assert client.BatchV1Api(cluster.api).list_namespaced_job(NAMESPACE).items == []


@pytest.mark.hazard("H27")
def test_every_node_is_asked_for_an_image(cluster: Cluster, tmp_path: Path) -> None:
    """One of them has it no more, and can't pull it."""
    from kubernetes import client

    node, image = NODES[1], "exalt/caching-service:2.5.0"
    engine = [str(programs().debian / "usr/bin/ctr"), "-a", str(cluster.state.socket(node)), "-n", "k8s.io", "images"]
    (full,) = [line.split()[0] for line in subprocess.run([*engine, "ls"], capture_output=True, text=True, check=True).stdout.splitlines()
               if line.split()[0].endswith(image)]
    assert verb(cluster, tmp_path, "image", "caching_verb_image_missing", caching_verb_image=image)[1] == []
    subprocess.run([*engine, "tag", full, "exalt.test/kept:1"], check=True, capture_output=True)
    try:
        subprocess.run([*engine, "rm", "--sync", full], check=True, capture_output=True)
        (told,) = verb(cluster, tmp_path, "image", "caching_verb_image_missing", caching_verb_image=image)[1]
    finally:
        subprocess.run([*engine, "tag", "exalt.test/kept:1", full], check=True, capture_output=True)
        subprocess.run([*engine, "rm", "exalt.test/kept:1"], check=True, capture_output=True)
    assert told.startswith(f"{node.name}: ") and "failed to pull" in told
    assert client.AppsV1Api(cluster.api).list_namespaced_daemon_set(NAMESPACE).items == []


def test_a_budget_that_a_rollout_would_not_keep_is_told(cluster: Cluster, tmp_path: Path) -> None:
    """That of the guide lets one be missing, as its Deployment does; one of somebody else lets none."""
    from kubernetes import client

    assert verb(cluster, tmp_path, "budget", "caching_verb_budget_problems")[1] == []
    policies = client.PolicyV1Api(cluster.api)
    policies.create_namespaced_pod_disruption_budget(NAMESPACE, {"metadata": {"name": "all-of-them"}, "spec": {
        "minAvailable": 3, "selector": {"matchLabels": cluster.deployment().spec.selector.match_labels}}})
    try:
        until(lambda: policies.read_namespaced_pod_disruption_budget("all-of-them", NAMESPACE).status.expected_pods == 3, "nobody counts for the budget")
        (told,) = verb(cluster, tmp_path, "budget", "caching_verb_budget_problems")[1]
    finally:
        policies.delete_namespaced_pod_disruption_budget("all-of-them", NAMESPACE)
    assert told.startswith("the disruption budget all-of-them allows 0 instances to be missing now, and a rollout of caching-service lets 1 be missing")


def test_a_file_of_a_member_is_read(cluster: Cluster, tmp_path: Path) -> None:
    name = cluster.pods("redis-cluster")[0].metadata.name
    _outcome, content = verb(cluster, tmp_path, "file", "caching_verb_content", caching_verb_member=name,
                             caching_verb_path="/etc/redis/redis.conf")
    assert "cluster-node-timeout 3000" in content


def test_objects_of_another_fleet_stay_in_this_one(cluster: Cluster, tmp_path: Path) -> None:
    """What was saved in another namespace is written into the fleet's own; and Redis never shrinks by it."""
    there = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "brought-back", "namespace": "default"}, "data": {"a": "b"}}
    outcome, planned = verb(cluster, tmp_path, "objects", "caching_verb_planned", caching_verb_write=True, caching_verb_objects=[there])
    assert outcome.rc == 0 and planned["changed"] == ["ConfigMap brought-back"], outcome.stdout
    assert [one.metadata.namespace for one in cluster.core.list_config_map_for_all_namespaces(field_selector="metadata.name=brought-back").items] == [NAMESPACE]
    cluster.core.delete_namespaced_config_map("brought-back", NAMESPACE)
    fewer = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "redis-cluster"}, "spec": {"replicas": 3}}
    before = cluster.now
    refused, _nothing = verb(cluster, tmp_path, "objects", "1", caching_verb_write=True, caching_verb_objects=[fewer])
    failed(refused, "StatefulSet redis-cluster has 6 members, and the backup has 3: those that go may be primaries with their data")
    assert changes(cluster.audited(before)) == []


def test_a_runner_that_can_not_run_says_why(cluster: Cluster) -> None:
    """In a namespace that deploy would make later, with the secret of its registry."""
    name = "caching-later"
    try:
        ended = cluster.play("runner", caching_namespace=name, caching_create_namespace=True, caching_runner_image="exalt/caching-runner:none",
                             caching_image_pull_secrets=["registry"], caching_platform_timeout="PT10S")
        made = cluster.apps.read_namespaced_deployment("caching-runner", name)
    finally:
        cluster.core.delete_namespace(name)
    failed(ended, "caching-runner-")
    assert "exalt/caching-runner:none" in ended.stdout.partition("FAILED")[2], ended.stdout
    assert [one.name for one in made.spec.template.spec.image_pull_secrets] == ["registry"]


def test_a_wait_ends_with_the_cause(cluster: Cluster) -> None:
    """An image whose container dies: the last words are in the message, within the time that was given."""
    good = cluster.deployment()
    image = "exalt/caching-service:2.5.0-crash-loop"
    patch = {"spec": {"replicas": 0, "template": {"spec": {"containers": [{"name": "caching-service", "image": image}]}}}}
    cluster.apps.patch_namespaced_deployment("caching-service", NAMESPACE, patch)
    try:
        failed = cluster.play("scale", caching_replicas=1, caching_platform_timeout="PT25S")
    finally:
        patch["spec"].update(replicas=3)
        patch["spec"]["template"]["spec"]["containers"][0]["image"] = good.spec.template.spec.containers[0].image
        cluster.apps.patch_namespaced_deployment("caching-service", NAMESPACE, patch)
    (record,) = failed.custom["exalt_caching_run"]
    assert failed.rc != 0 and record["verdict"] == "failed"
    assert "the schema of the configuration is newer than this version" in failed.stdout and "0 of 1 members are ready" in failed.stdout
    assert cluster.play("scale").rc == 0


def test_the_runner_may_touch_its_certificate_and_nothing_else(cluster: Cluster) -> None:
    from kubernetes import client

    reviews = client.AuthorizationV1Api(cluster.api)

    def may(verb_: str, resource: str, name: str = "") -> bool:
        answer = reviews.create_subject_access_review({"spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:caching-runner",
            "resourceAttributes": {"namespace": NAMESPACE, "verb": verb_, "resource": resource, "name": name}}})
        return bool(answer.status.allowed)

    assert may("get", "secrets", "caching-service-tls") and may("patch", "secrets", "caching-service-tls")
    denied = [("get", "secrets", "caching-service-secret"), ("list", "secrets", ""), ("delete", "secrets", "caching-service-tls"),
              ("list", "pods", ""), ("create", "pods", ""), ("patch", "configmaps", "caching-service-config")]
    assert [one for one in denied if may(*one)] == []
