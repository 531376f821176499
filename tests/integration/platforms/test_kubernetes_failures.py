# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a cluster happens to this one: a node is lost, drained, addresses change, data is gone. Healed, or refused with the reason.

The tests follow each other on the fleet that playbooks made; Redis itself is asked for the keys.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kubernetes.client.exceptions import ApiException

from tests.fleet.kubernetes import configuration, machine, network, objects
from tests.fleet.kubernetes.layout import NODES, Node
from tests.fleet.kubernetes.programs import programs
from tests.fleet.local import processes
from tests.harness.kubernetes import Cluster, failed
from tests.harness.matrix_kubernetes import KEYS, KubernetesFleet
from tests.harness.until import until

pytestmark = pytest.mark.skipif("KUBECONFIG" in os.environ, reason="nodes of somebody else's cluster are not switched off")


def ready(cluster: Cluster, node: Node) -> bool:
    seen = {one.type: one.status for one in cluster.core.read_node(node.name).status.conditions}
    return bool(seen["Ready"] == "True")


@contextmanager
def lost(cluster: Cluster, node: Node) -> Iterator[None]:
    """Its network is cut and its kubelet stands still, until the end of the block."""
    kubelet, where = machine.pid(cluster.state, f"kubelet-{node.number}"), programs()
    os.kill(kubelet, signal.SIGSTOP)
    network.run(where, "ip", "link", "set", node.device, "down")
    try:
        until(lambda: not ready(cluster, node), f"{node.name} is lost", 60)
        yield
    finally:
        network.run(where, "ip", "link", "set", node.device, "up")
        os.kill(kubelet, signal.SIGCONT)
        until(lambda: ready(cluster, node), f"{node.name} is back", 60)


@contextmanager
def drained(cluster: Cluster, node: Node, namespace: str) -> Iterator[int]:
    """Cordoned, and every pod of the namespace asked to go, as drain does it; gives how many the budgets kept."""
    cluster.core.patch_node(node.name, {"spec": {"unschedulable": True}})
    kept = 0
    try:
        for pod in cluster.core.list_namespaced_pod(namespace, field_selector=f"spec.nodeName={node.name}").items:
            try:
                cluster.core.create_namespaced_pod_eviction(pod.metadata.name, namespace, {"metadata": {"name": pod.metadata.name}})
            except ApiException as error:
                assert error.status == 429, error
                kept += 1
        yield kept
    finally:
        cluster.core.patch_node(node.name, {"spec": {"unschedulable": False}})


@contextmanager
def no_api_server(cluster: Cluster) -> Iterator[None]:
    """It is killed; another process serves after the block."""
    pid = machine.pid(cluster.state, "apiserver")
    assert pid
    os.kill(pid, signal.SIGKILL)
    try:
        until(lambda: not processes.alive(pid), "it has ended", 10)
        yield
    finally:
        machine.start(cluster.state, programs(), "apiserver", dict(configuration.control(cluster.state, programs()))["apiserver"])
        machine.wait(cluster.state, "apiserver", "the API server", lambda: objects.ready(cluster.api))


def primaries(fleet: KubernetesFleet) -> dict[str, str]:
    """Which node of Kubernetes has which pods that are primaries, as one string for each, in the order of the nodes."""
    found: dict[str, list[str]] = {}
    for pod in fleet.pods("redis-cluster"):
        if fleet.redis(pod.metadata.name, "role").startswith("master"):
            found.setdefault(pod.spec.node_name, []).append(pod.metadata.name)
    return {name: " ".join(sorted(pods)) for name, pods in sorted(found.items())}


def take_over(fleet: KubernetesFleet, pod: str) -> None:
    assert fleet.redis(pod, "cluster", "failover") == "OK"
    until(lambda: fleet.redis(pod, "role").startswith("master"), f"{pod} is a primary", 20)


def spread(fleet: KubernetesFleet) -> None:
    """As the warnings of deploy say, until there are none."""
    for _attempt in range(3):
        told = fleet.play("deploy")
        assert told.rc == 0, told.stdout
        advice = re.search(r"CLUSTER FAILOVER at ([\d.]+):6379 moves one away", " ".join((told.stdout + told.stderr).split()))
        if not advice:
            return
        take_over(fleet, next(pod.metadata.name for pod in fleet.pods("redis-cluster") if pod.status.pod_ip == advice[1]))


def whole(fleet: KubernetesFleet, pod: str) -> bool:
    """As this Redis node sees it: all slots are served by nodes that live."""
    failing = [line for line in fleet.redis(pod, "cluster", "nodes").splitlines() if "fail" in line.split()[2] and len(line.split()) > 8]
    return not failing and "cluster_state:ok" in fleet.redis(pod, "cluster", "info")


@pytest.mark.slow
def test_an_api_server_that_restarts_ends_no_run(cluster: Cluster, running: KubernetesFleet) -> None:
    """Killed while a run waits for members, and before another one asks for them: both go on where it answers again."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        scaling = pool.submit(running.play, "scale", caching_replicas=2)
        until(lambda: running.deployment().spec.replicas == 2, "the run has written", 60)
        with no_api_server(cluster):
            time.sleep(5)
        scaled = scaling.result()
        assert scaled.rc == 0 and running.instances() == 2, scaled.stdout
        with no_api_server(cluster):
            starting = pool.submit(running.play, "scale", caching_replicas=3)
            time.sleep(10)
        started = starting.result()
    assert started.rc == 0 and started.changed == 1 and running.instances() == 3, started.stdout


@pytest.mark.slow
def test_primaries_that_crowd_on_a_node_are_told(running: KubernetesFleet) -> None:
    """What to do about it is told, too, and done here."""
    spread(running)
    assert len(primaries(running)) == 3
    crowd = next(pod for pod in running.pods("redis-cluster") if running.redis(pod.metadata.name, "role").startswith("slave"))
    take_over(running, crowd.metadata.name)
    told = running.play("deploy")
    said = " ".join((told.stdout + told.stderr).split())
    assert f"2 of 3 primaries are in the location {crowd.spec.node_name} (" in said and "no replica takes over" in said, said
    spread(running)
    assert len(primaries(running)) == 3


@pytest.mark.slow
def test_a_lost_node_is_told_survived_and_healed(cluster: Cluster, running: KubernetesFleet) -> None:
    """The runner may have been there: another one comes elsewhere."""
    spread(running)
    running.write_keys()
    node = NODES[1]
    away = [pod.metadata.name for app in ("caching-service", "redis-cluster") for pod in running.pods(app) if pod.spec.node_name == node.name]
    there = next(pod.metadata.name for pod in running.pods("redis-cluster") if pod.spec.node_name != node.name)
    with lost(cluster, node):
        until(lambda: whole(running, there), "replicas elsewhere have taken over", 60)
        assert running.known_keys(there) == KEYS
        until(lambda: any(pod.spec.node_name != node.name and pod.status.phase == "Running" for pod in cluster.pods("caching-runner")),
              "a runner elsewhere", 90)
        bad = running.play("status")
        failed(bad, "is not healthy")
        assert [name for name in away if name in bad.stdout] == away, bad.stdout
    until(lambda: all(one.ready for pod in running.pods("redis-cluster") for one in pod.status.container_statuses), "the pods are back", 60)
    healed = running.play("deploy")
    assert healed.rc == 0 and running.known_keys() == KEYS, healed.stdout


@pytest.mark.slow
def test_a_drained_node_keeps_what_redis_needs(cluster: Cluster, running: KubernetesFleet) -> None:
    running.write_keys()
    node = NODES[2]
    with drained(cluster, node, running.namespace) as kept:
        assert kept == 1, "of two Redis nodes there the budget lets one go, whose volume can't follow it"
        ended = running.play("deploy", caching_platform_timeout="PT15S")
        failed(ended, "5 of 6 members are ready")
        assert "is Pending" in ended.stdout and "node" in ended.stdout, ended.stdout
        assert running.known_keys("redis-cluster-0" if running.ready("redis-cluster-0") else "redis-cluster-1") == KEYS
    healed = running.play("deploy")
    assert healed.rc == 0 and running.known_keys() == KEYS and len(running.shards()) == 3, healed.stdout


def replaced(cluster: Cluster, fleet: KubernetesFleet) -> None:
    """All pods of Redis go at once, without a word; others come, with other addresses."""
    old = {pod.metadata.uid for pod in fleet.pods("redis-cluster")}
    cluster.core.delete_collection_namespaced_pod(fleet.namespace, label_selector="app=redis-cluster", grace_period_seconds=0)
    until(lambda: not old & {pod.metadata.uid for pod in fleet.pods("redis-cluster")}, "other pods", 60)


def primary_of(fleet: KubernetesFleet) -> str:
    return next(str(pod.metadata.name) for pod in fleet.pods("redis-cluster") if fleet.redis(pod.metadata.name, "role").startswith("master"))


@pytest.mark.slow
@pytest.mark.hazard("H40")
def test_all_addresses_change_at_once(cluster: Cluster, running: KubernetesFleet) -> None:
    running.write_keys()
    replaced(cluster, running)
    healed = running.play("deploy")
    assert healed.rc == 0 and len(running.shards()) == 3, healed.stdout
    assert running.known_keys() == KEYS


@pytest.mark.slow
def test_an_empty_primary_among_changed_addresses_is_refused(cluster: Cluster, running: KubernetesFleet) -> None:
    """Nobody can vote, so no replica takes over by itself; brought together, the replica would copy the emptiness."""
    running.write_keys()
    running.inside(primary_of(running), "rm", "-rf", "/var/lib/redis/appendonlydir")
    replaced(cluster, running)
    refused = running.play("deploy")
    failed(refused, "it came back without its data, and the replica would copy that, so nothing was changed")
    (replica,) = set(re.findall(r"CLUSTER FAILOVER TAKEOVER at ([\d.]+):6379", refused.stdout))
    (pod,) = [pod.metadata.name for pod in running.pods("redis-cluster") if pod.status.pod_ip == replica]
    assert running.redis(pod, "cluster", "failover", "takeover") == "OK"
    healed = running.play("deploy")
    assert healed.rc == 0 and running.known_keys() == KEYS and len(running.shards()) == 3, healed.stdout


@pytest.mark.slow
def test_a_primary_that_comes_back_empty_does_not_empty_its_replicas(cluster: Cluster, running: KubernetesFleet) -> None:
    settings = {"cluster-node-timeout": 3000, "repl-diskless-sync-delay": 0, "appendonly": "no", "save": ""}
    refused = running.play("deploy", caching_redis_settings=settings, caching_redis_storage="")
    failed(refused, "without appendonly and save, and without caching_redis_storage, a node that starts anew has lost its data")
    changed = running.play("deploy", caching_redis_settings=settings)
    assert changed.rc == 0, changed.stdout
    for name in [pod.metadata.name for pod in running.pods("redis-cluster")]:      # as they are now, without a start
        assert running.redis(name, "config", "set", "appendonly", "no") == "OK"
    primary = primary_of(running)
    cluster.core.patch_namespaced_pod(primary, running.namespace, {"metadata": {"annotations": {"looked-at": "now"}}})
    until(lambda: "appendonly no" in running.inside(primary, "cat", "/etc/redis/redis.conf"), "the new redis.conf is in the pod", 90)
    held = int(running.redis(primary, "dbsize"))
    assert held > 0 and running.known_keys() == KEYS
    running.redis(primary, "shutdown", "nosave")
    until(lambda: "this primary has lost its data" in said(running, primary), "it waits", 60)
    until(lambda: running.redis(primary, "role").startswith("slave"), "it comes back as a replica", 60)
    until(lambda: running.redis(primary, "dbsize") == str(held), "it has the data of the new primary", 30)
    assert running.known_keys(primary) == KEYS


def said(fleet: KubernetesFleet, pod: str) -> str:
    return str(fleet.cluster.core.read_namespaced_pod_log(pod, fleet.namespace, container="redis"))
