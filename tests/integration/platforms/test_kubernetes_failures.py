# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a cluster happens to this one: addresses change, data is gone. Healed, or refused with the reason.

The tests follow each other on the fleet that playbooks made; Redis itself is asked for the keys.
"""

from __future__ import annotations

import re

import pytest

from tests.harness.kubernetes import Cluster, failed
from tests.harness.matrix_kubernetes import KEYS, KubernetesFleet
from tests.harness.until import until


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
