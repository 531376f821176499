# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook deploy and the service's configuration on a real cluster: what it makes, what it leaves alone, and how it is broken.

The API server's audit log, the pods' identities and Redis itself are the witnesses. The tests follow each other on one fleet.
"""

from __future__ import annotations

import typing as t

import pytest
from kubernetes import client, stream

from tests.fleet.kubernetes.layout import NAMESPACE
from tests.harness.kubernetes import Cluster, changes
from tests.harness.matrix_kubernetes import KubernetesFleet
from tests.harness.until import until

POOL = {"cache": {"redis": {"pool": {"maxTotal": 300}}}}
KEYS = 50


def redis(fleet: KubernetesFleet, pod: str, *command: str) -> str:
    words = ["sh", "-c", 'exec redis-cli -c "$@"', "redis-cli", *command]
    return str(stream.stream(client.CoreV1Api(fleet.cluster.api).connect_get_namespaced_pod_exec, pod, fleet.namespace, command=words,
                             container="redis", stdin=False, stdout=True, stderr=True, tty=False)).strip()


def shards(fleet: KubernetesFleet) -> list[tuple[str, str]]:
    """Primary and replica of each shard, by their nodes of Kubernetes."""
    where = {pod.status.pod_ip: pod.spec.node_name for pod in fleet.pods("redis-cluster")}
    rows = [line.split() for line in redis(fleet, "redis-cluster-0", "cluster", "nodes").splitlines()]
    place = {row[0]: where[row[1].partition(":")[0]] for row in rows}
    return [(place[row[3]], place[row[0]]) for row in rows if "slave" in row[2]]


def known(fleet: KubernetesFleet, pod: str = "redis-cluster-1") -> int:
    return [redis(fleet, pod, "get", f"kept:{number}") for number in range(KEYS)].count("yes")


def failed_with(outcome: t.Any, words: str) -> None:
    said = " ".join(outcome.stdout.split())
    assert outcome.rc != 0 and words in said and "Traceback" not in said, outcome.stdout


def test_check_mode_asks_for_nothing_but_dry_runs(cluster: Cluster, deployed: KubernetesFleet) -> None:
    before = cluster.now
    check = deployed.play("deploy", check=True)
    assert check.rc == 0 and "StatefulSet redis-cluster: new" in check.stdout, check.stdout
    assert changes(cluster.audited(before)) == []


def test_from_nothing_to_formed_and_healthy(cluster: Cluster, deployed: KubernetesFleet) -> None:
    assert cluster.core.list_namespaced_pod(deployed.namespace).items == []
    made = deployed.play("deploy")
    assert made.rc == 0, made.stdout
    found = shards(deployed)
    assert len(found) == 3 and all(primary != replica for primary, replica in found), found
    assert len({pod.spec.node_name for pod in deployed.pods("caching-service")}) > 1
    for number in range(KEYS):
        assert redis(deployed, "redis-cluster-0", "set", f"kept:{number}", "yes") == "OK"
    before, members = cluster.now, deployed.members()
    again = deployed.play("deploy")
    assert again.rc == 0 and again.changed == 0 and deployed.members() == members, again.stdout
    assert changes(cluster.audited(before)) == []


def test_a_changed_declaration_changes_only_that(cluster: Cluster, deployed: KubernetesFleet) -> None:
    before, nodes = cluster.now, {pod.metadata.uid for pod in deployed.pods("redis-cluster")}
    changed = deployed.play("deploy", caching_environment={"COLOUR": "blue"})
    assert changed.rc == 0 and "env[COLOUR].value" in changed.stdout, changed.stdout
    done = [one for one in changes(cluster.audited(before)) if " pods" not in one]
    assert len(done) == 1 and done[0].startswith("patch deployments caching-service"), done
    assert {pod.metadata.uid for pod in deployed.pods("redis-cluster")} == nodes
    check = deployed.play("deploy", "--diff", check=True)
    assert check.rc == 0 and "env[COLOUR].value" in check.stdout and deployed.token() not in check.stdout


@pytest.mark.hazard("H13")
def test_what_somebody_else_has_made_is_not_taken_over(cluster: Cluster, deployed: KubernetesFleet) -> None:
    before = cluster.now
    refused = deployed.play("deploy", caching_namespace=NAMESPACE, caching_create_namespace=False)
    failed_with(refused, "were not made by exalt.caching: caching_adopt=true takes over, as the differences above show")
    assert "Deployment caching-service: spec" in refused.stdout and deployed.token() not in refused.stdout
    assert changes(cluster.audited(before)) == []


def test_a_broken_image_ends_with_the_cause_and_the_old_ones_serve(deployed: KubernetesFleet) -> None:
    members = {pod.metadata.uid for pod in deployed.pods("caching-service")}
    broken = deployed.play("deploy", caching_version="2.5.0-crash-loop", caching_platform_timeout="PT20S")
    failed_with(broken, "the schema of the configuration is newer than this version")
    ready = {pod.metadata.uid for pod in deployed.pods("caching-service") if pod.status.container_statuses[0].ready}
    assert len(ready & members) == 3
    absent = deployed.play("deploy", caching_version="9.9.9", caching_platform_timeout="PT15S")
    failed_with(absent, "9.9.9")
    back = deployed.play("deploy")
    assert back.rc == 0, back.stdout


@pytest.mark.hazard("H18")
def test_options_of_the_virtual_machine_wait_for_the_next_start(cluster: Cluster, deployed: KubernetesFleet) -> None:
    before = cluster.now
    refused = deployed.play("configure", caching_jvm="-Xmx8g -XX:+UseG1GC")
    failed_with(refused, "caching_jvm: -Xmx of 8192 MiB does not fit the container's 512 MiB: at most 384 MiB")
    assert changes(cluster.audited(before)) == []
    members = deployed.members()
    changed = deployed.play("configure", caching_jvm="-Xmx384m")
    assert changed.rc == 0 and "JAVA_OPTS is pending until" in changed.stdout and deployed.members() == members, changed.stdout
    assert "JAVA_OPTS is pending until" in deployed.play("status").stdout
    assert deployed.play("stop").rc == 0 and deployed.play("start").rc == 0
    assert "pending" not in deployed.play("status").stdout


def test_the_guides_own_fleet_is_configured_as_it_is(cluster: Cluster) -> None:
    check = cluster.play("configure", check=True, caching_configuration=POOL)
    assert check.rc == 0 and "cache.redis.pool.maxTotal: 256 → 300 (live)" in check.stdout, check.stdout
    spec = cluster.deployment().metadata.generation
    assert "256" in cluster.core.read_namespaced_config_map("caching-service-config", NAMESPACE).data["application.yml"]
    done = cluster.play("configure", caching_configuration=POOL)
    assert done.rc == 0 and done.results("cache_task")[0]["changed"], done.stdout
    back = cluster.play("configure", caching_configuration_revision="previous")
    assert back.rc == 0 and "cache.redis.pool.maxTotal: 300 → 256 (live)" in back.stdout, back.stdout
    data = cluster.core.read_namespaced_config_map("caching-service-config", NAMESPACE).data
    assert "256" in data["application.yml"] and data["JAVA_OPTS"] == "-Xms256m -Xmx256m -XX:+UseG1GC"
    assert cluster.deployment().metadata.generation == spec


def test_all_addresses_change_at_once(cluster: Cluster, deployed: KubernetesFleet) -> None:
    old = {pod.metadata.uid for pod in deployed.pods("redis-cluster")}
    cluster.core.delete_collection_namespaced_pod(deployed.namespace, label_selector="app=redis-cluster", grace_period_seconds=0)
    until(lambda: not old & {pod.metadata.uid for pod in deployed.pods("redis-cluster")}, "the pods are gone", 60)
    healed = deployed.play("deploy")
    assert healed.rc == 0 and len(shards(deployed)) == 3, healed.stdout
    assert known(deployed) == KEYS


def test_a_primary_that_comes_back_empty_does_not_empty_its_replicas(cluster: Cluster, deployed: KubernetesFleet) -> None:
    settings = {"cluster-node-timeout": 3000, "repl-diskless-sync-delay": 0, "appendonly": "no", "save": ""}
    refused = deployed.play("deploy", caching_redis_settings=settings, caching_redis_storage="")
    failed_with(refused, "without appendonly and save, and without caching_redis_storage, a node that starts anew has lost its data")
    changed = deployed.play("deploy", caching_redis_settings=settings)
    assert changed.rc == 0, changed.stdout
    for name in [pod.metadata.name for pod in deployed.pods("redis-cluster")]:      # as they are now, without a start
        assert redis(deployed, name, "config", "set", "appendonly", "no") == "OK"
    primary = next(pod for pod in deployed.pods("redis-cluster") if redis(deployed, pod.metadata.name, "role").startswith("master"))
    cluster.core.patch_namespaced_pod(primary.metadata.name, deployed.namespace, {"metadata": {"annotations": {"looked-at": "now"}}})
    until(lambda: "appendonly no" in read(deployed, primary.metadata.name, "/etc/redis/redis.conf"), "the new redis.conf is in the pod", 90)
    held = int(redis(deployed, primary.metadata.name, "dbsize"))
    assert held > 0 and known(deployed) == KEYS
    redis(deployed, primary.metadata.name, "shutdown", "nosave")
    until(lambda: "this primary has lost its data" in said(deployed, primary.metadata.name), "it waits", 60)
    until(lambda: redis(deployed, primary.metadata.name, "role").startswith("slave"), "it comes back as a replica", 60)
    until(lambda: redis(deployed, primary.metadata.name, "dbsize") == str(held), "it has the data of the new primary", 30)
    assert known(deployed, primary.metadata.name) == KEYS


def read(fleet: KubernetesFleet, pod: str, path: str) -> str:
    return str(stream.stream(client.CoreV1Api(fleet.cluster.api).connect_get_namespaced_pod_exec, pod, fleet.namespace, command=["cat", path],
                             container="redis", stdin=False, stdout=True, stderr=True, tty=False))


def said(fleet: KubernetesFleet, pod: str) -> str:
    return str(fleet.cluster.core.read_namespaced_pod_log(pod, fleet.namespace, container="redis"))
