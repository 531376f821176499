# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook deploy and the service's configuration on a real cluster: what it makes, what it leaves alone, and how it is broken.

The API server's audit log and the pods' identities are the witnesses. The tests follow each other on one fleet.
"""

from __future__ import annotations

import base64
import json

import pyrage
import pytest

from tests.fleet.kubernetes.layout import NAMESPACE, SECRETS
from tests.harness.kubernetes import Cluster, Starts, changes, failed
from tests.harness.matrix_kubernetes import ENVIRONMENT, KubernetesFleet

POOL = {"cache": {"redis": {"pool": {"maxTotal": 300}}}}


def test_it_is_spread_over_the_nodes(running: KubernetesFleet) -> None:
    found = running.shards()
    assert len(found) == 3 and all(primary != replica for primary, replica in found), found
    assert len({pod.spec.node_name for pod in running.pods("caching-service")}) > 1


def test_a_changed_declaration_changes_only_that(cluster: Cluster, running: KubernetesFleet) -> None:
    before, nodes = cluster.now, {pod.metadata.uid for pod in running.pods("redis-cluster")}
    changed = running.play("deploy", caching_environment={**ENVIRONMENT, "COLOUR": "blue"})
    assert changed.rc == 0 and "env[COLOUR].value" in changed.stdout, changed.stdout
    done = [one for one in changes(cluster.audited(before)) if " pods" not in one]
    assert len(done) == 1 and done[0].startswith("patch deployments caching-service"), done
    assert {pod.metadata.uid for pod in running.pods("redis-cluster")} == nodes
    check = running.play("deploy", "--diff", check=True)
    assert check.rc == 0 and "env[COLOUR].value" in check.stdout and running.token() not in check.stdout


@pytest.mark.hazard("H13")
def test_what_somebody_else_has_made_is_not_taken_over(cluster: Cluster, running: KubernetesFleet) -> None:
    before = cluster.now
    refused = running.play("deploy", caching_namespace=NAMESPACE, caching_create_namespace=False)
    failed(refused, "were not made by exalt.caching: caching_adopt=true takes over, as the differences above show")
    assert "Deployment caching-service: spec" in refused.stdout and running.token() not in refused.stdout
    assert changes(cluster.audited(before)) == []


def test_a_broken_image_ends_with_the_cause_and_the_old_ones_serve(running: KubernetesFleet) -> None:
    members = {pod.metadata.uid for pod in running.pods("caching-service")}
    broken = running.play("deploy", caching_version="2.5.0-crash-loop", caching_platform_timeout="PT20S")
    failed(broken, "the schema of the configuration is newer than this version")
    ready = {pod.metadata.uid for pod in running.pods("caching-service") if pod.status.container_statuses[0].ready}
    assert len(ready & members) == 3
    absent = running.play("deploy", caching_version="9.9.9", caching_platform_timeout="PT15S")
    failed(absent, "9.9.9")
    back = running.play("deploy")
    assert back.rc == 0, back.stdout


@pytest.mark.hazard("H09")
def test_instances_that_still_end_are_waited_for_where_none_is_to_be_left(running: KubernetesFleet) -> None:
    """They end slowly here, as one does that has much to flush."""
    for pod in running.pods("caching-service"):
        running.inside(pod.metadata.name, "touch", "/tmp/.exalt-caching-stop")
    fewer = running.play("scale", caching_replicas=2)
    assert fewer.rc == 0 and running.instances() == 2 and "is to go, and still ends" in fewer.stdout, fewer.stdout
    ended = running.play("stop", caching_stop_flush=False, caching_platform_timeout="PT10S")
    failed(ended, "members have not ended after 10 s. caching-service-")
    assert "is Terminating" in ended.stdout
    back = running.play("deploy")
    assert back.rc == 0 and running.instances() == 3, back.stdout


@pytest.mark.hazard("H26")
def test_redis_keeps_its_members_and_shards(cluster: Cluster, running: KubernetesFleet) -> None:
    before = cluster.now
    failed(running.play("deploy", caching_redis_shards=2), "a Redis Cluster has 3 shards or more, not 2")
    failed(running.play("deploy", caching_redis_replicas_per_shard=0), "StatefulSet redis-cluster has 6 members, and 3 shards with 0 replicas each")
    failed(running.play("deploy", caching_redis_shards=5), "caching_redis_shards is 5, and the Redis Cluster has 3 shards: no slots are moved here")
    more = running.play("deploy", check=True, caching_redis_replicas_per_shard=2)
    assert more.rc == 0 and "StatefulSet redis-cluster: spec.replicas: 6 → 9" in more.stdout, more.stdout
    failed(running.play("deploy", caching_redis_tls=True, caching_manage_certificates=False), "runs without TLS")
    assert changes(cluster.audited(before)) == []


@pytest.mark.hazard("H18")
@pytest.mark.operation("S063", "S168")
def test_options_of_the_virtual_machine_wait_for_the_next_start(cluster: Cluster, running: KubernetesFleet) -> None:
    before = cluster.now
    refused = running.play("configure", caching_jvm="-Xmx8g -XX:+UseG1GC")
    failed(refused, "caching_jvm: -Xmx of 8192 MiB does not fit the container's 512 MiB: at most 384 MiB")
    assert changes(cluster.audited(before)) == []
    members = running.members()
    changed = running.play("configure", caching_jvm="-Xmx384m")
    assert changed.rc == 0 and "JAVA_OPTS is pending until" in changed.stdout and running.members() == members, changed.stdout
    status = running.play("status", caching_replicas=4)
    failed(status, "3 of 4 instances that are declared are ready")
    assert "JAVA_OPTS is pending until" in status.stdout
    with Starts(cluster, running.namespace) as seen:
        stopped = running.play("stop")
    assert stopped.rc == 0 and running.pods("caching-service") == [], stopped.stdout
    assert [one["status"] for one in stopped.results("cache_task")[0]["instances"]] == ["shut down"] * 3
    assert (seen.ended_early, seen.restarted) == (set(), set()), "no process came after the flush, and each pod was to go before it"
    assert running.play("start").rc == 0
    assert "pending" not in running.play("status").stdout
    assert running.play("deploy").rc == 0


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
    assert "256" in data["application.yml"] and "JAVA_OPTS" not in data, "the guide has the options in the Deployment"
    refused = cluster.play("configure", caching_jvm="-Xmx384m")
    failed(refused, "caching_jvm: the options stand where changing them restarts every instance")
    assert cluster.deployment().metadata.generation == spec


@pytest.mark.hazard("H37", "H47")
def test_objects_are_saved_without_secrets_in_clear(cluster: Cluster) -> None:
    """Of the guide's own fleet, by whoever has no key: what holds a secret is left out and named, and the rest can be applied as it is."""
    place = "/tmp/saved-in-clear"
    kept = cluster.play("backup_config", caching_store_url=f"file://{place}", caching_signing_key="for the test")
    assert kept.rc == 0 and "left out: Secret caching-service-secret, Secret caching-service-tls" in " ".join(kept.stdout.split()), kept.stdout
    (runner,) = cluster.pods("caching-runner")
    saved = cluster.inside(runner.metadata.name, "sh", "-c", f"cat {place}/documents/config:*/*/workloads.json")
    found = json.loads(saved)["items"]
    kinds = {"Deployment", "StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount"}
    assert {one["kind"] for one in found} == kinds and all("status" not in one for one in found)
    assert not [word for word in ("resourceVersion", "uid", "managedFields", "creationTimestamp", "clusterIPs") if f'"{word}"' in saved]
    everything = cluster.inside(runner.metadata.name, "sh", "-c", f"cat {place}/documents/config:*/*/*")
    assert not [name for name in SECRETS if cluster.state.secret(name) in everything]
    assert not [name for name in SECRETS if base64.b64encode(cluster.state.secret(name).encode()).decode() in everything]


@pytest.mark.hazard("H47")
@pytest.mark.operation("S126", "S127")
def test_objects_are_brought_back(cluster: Cluster, running: KubernetesFleet) -> None:
    identity = pyrage.x25519.Identity.generate()
    place = {**running.store(), "caching_encrypt_to": [str(identity.to_public())], "caching_identities": [str(identity)]}
    kept = running.play("backup_config", **place)
    assert kept.rc == 0, kept.stdout
    (first,) = kept.custom["exalt_caching_run"][0]["changes"]["configuration"]["kept"]
    core, name = cluster.core, running.namespace

    def now() -> tuple[object, ...]:
        return (core.read_namespaced_config_map("caching-service-config", name).data, core.read_namespaced_service("caching-service", name).spec.selector,
                core.read_namespaced_secret("caching-service-secret", name).data)

    good = now()
    core.patch_namespaced_config_map("caching-service-config", name, {"data": {"application.yml": "cache: {}\n"}})
    core.patch_namespaced_service("caching-service", name, {"spec": {"selector": {"app": "elsewhere"}}})
    core.patch_namespaced_secret("caching-service-secret", name, {"stringData": {"ADMIN_TOKEN": "another"}})
    closed = running.play("restore_config", caching_restore_sections=["secrets"], caching_restore_id=first, **{**place, "caching_identities": []})
    failed(closed, "secrets: encrypted, and caching_identities has no private key that opens it")
    wanted = {**place, "caching_restore_sections": ["configmaps", "secrets", "workloads"], "caching_restore_id": first}
    with running.unchanged():
        check = running.play("restore_config", check=True, **wanted)
    assert check.rc == 0 and "Secret caching-service-secret: data.ADMIN_TOKEN changes" in check.stdout, check.stdout
    back = running.play("restore_config", **wanted)
    assert back.rc == 0 and now() == good, back.stdout
    assert sorted(back.custom["exalt_caching_run"][0]["changes"]["objects"]["written"]) == [
        "ConfigMap caching-service-config", "Secret caching-service-secret", "Service caching-service"]
    said = check.stdout + back.stdout
    assert running.token() not in said and base64.b64encode(running.token().encode()).decode() not in said
    again = running.play("restore_config", **wanted)
    assert again.rc == 0 and "objects" not in again.custom["exalt_caching_run"][0]["changes"], again.stdout
    deployed = running.play("deploy")
    assert deployed.rc == 0 and deployed.changed == 0, deployed.stdout


@pytest.mark.slow
def test_the_guides_own_fleet_is_taken_over(cluster: Cluster, running: KubernetesFleet) -> None:
    """As the last thing that happens to it. Its StatefulSet replaces pods by itself: that ends before anything else of it is changed."""
    theirs = {"caching_namespace": NAMESPACE, "caching_create_namespace": False}
    nodes = {pod.metadata.uid for pod in cluster.pods("redis-cluster")}
    taken = running.play("deploy", caching_adopt=True, **theirs)
    assert taken.rc == 0 and "StatefulSet redis-cluster: spec.updateStrategy.type:" in taken.stdout, taken.stdout
    assert {pod.metadata.uid for pod in cluster.pods("redis-cluster")} == nodes, "no node of Redis was replaced"
    assert cluster.apps.read_namespaced_stateful_set("redis-cluster", NAMESPACE).spec.update_strategy.to_dict() == {
        "rolling_update": None, "type": "OnDelete"}
    again = running.play("deploy", **theirs)
    assert again.rc == 0 and again.changed == 0, again.stdout
