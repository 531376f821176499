# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet that playbook deploy has made on the trial cluster, in a namespace of its own beside the guide's."""

from __future__ import annotations

import base64
import json
import secrets
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kubernetes import client

from tests.fleet.images.build import folder
from tests.fleet.kubernetes import objects
from tests.harness.kubernetes import Cluster, changes
from tests.harness.matrix import PATIENT, Platform
from tests.harness.plays import Outcome
from tests.harness.rights import Controllers, documented

KEYS = 50
ENVIRONMENT = {"CACHING_DATABASE": "/var/lib/caching-service/database.sqlite"}


def declared(namespace: str) -> dict[str, t.Any]:
    tags = [name.partition(":")[2] for name in json.loads((folder() / "images.json").read_text())["redis"] if name.startswith("exalt/redis:")]
    return {
        "caching_namespace": namespace, "caching_create_namespace": True, "caching_managed": True,
        "caching_redis_storage": "1Gi", "caching_redis_storage_class": "local", "caching_redis_version": tags[0],
        "caching_resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "caching_redis_resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "caching_redis_settings": {"cluster-node-timeout": 3000, "repl-diskless-sync-delay": 0},
        "caching_environment": ENVIRONMENT,
        "caching_jvm": "-Xms128m -Xmx256m -XX:+UseG1GC", "caching_platform_timeout": "PT2M",
        "caching_configuration": {"cache": {"redis": {"pool": {"maxTotal": 256}}}},
        "caching_kpi_thresholds": PATIENT,
        "caching_regions": [{"name": "deployed", "default_ttl": "PT2H", "max_size": 500}],
    }


class KubernetesFleet(Platform):
    name = "kubernetes"

    def __init__(self, cluster: Cluster, namespace: str, more: t.Mapping[str, t.Any] | None = None) -> None:
        super().__init__()
        self.cluster = cluster
        self.namespace = namespace
        self.more = dict(more or {})
        self.controllers = Controllers(cluster.api, cluster.state, alone=not self.more)
        self.kubeconfig = self.controllers.kubeconfig(f"all-{secrets.token_hex(3)}", documented())

    def remove(self) -> None:
        if not self.more:
            self.controllers.remove()
        self.cluster.core.delete_namespace(self.namespace)

    def play(self, playbook: str, *arguments: str, check: bool = False, **variables: t.Any) -> Outcome:
        """As somebody who has the rights of the documentation and no others."""
        with_it = {"caching_kubeconfig": str(self.kubeconfig), "ansible_kubectl_kubeconfig": str(self.kubeconfig)}
        return self.cluster.play(playbook, *arguments, check=check, **{**declared(self.namespace), **self.more, **self.also, **with_it, **variables})

    def pods(self, app: str) -> list[client.V1Pod]:
        return list(self.cluster.core.list_namespaced_pod(self.namespace, label_selector=f"app={app}").items)

    def members(self) -> dict[str, str]:
        return {pod.metadata.name: pod.metadata.uid for app in ("caching-service", "redis-cluster") for pod in self.pods(app)}

    def instances(self) -> int:
        return len([pod for pod in self.pods("caching-service") if not pod.metadata.deletion_timestamp])

    def newer_redis(self) -> dict[str, t.Any]:
        return {"caching_redis_version": declared(self.namespace)["caching_redis_version"] + "-2"}

    def versions(self) -> set[str]:
        return {pod.spec.containers[0].image.rpartition(":")[2] for pod in self.pods("caching-service") if not pod.metadata.deletion_timestamp}

    def faulty(self, fault: str) -> dict[str, t.Any]:
        return {"caching_version": f"{self.newer}-{fault}"}

    def addresses(self) -> list[str]:
        found = self.cluster.core.read_namespaced_endpoints("caching-service", self.namespace)
        return [f"{one.ip}:8403" for subset in found.subsets or [] for one in subset.addresses or []]

    def deployment(self) -> client.V1Deployment:
        return self.cluster.apps.read_namespaced_deployment("caching-service", self.namespace)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """The API server's audit log is the witness: nobody asked for a change."""
        before = self.cluster.now
        yield
        assert changes(self.cluster.audited(before)) == []

    def drift(self) -> None:
        self.cluster.core.patch_namespaced_service("caching-service", self.namespace, {"spec": {"selector": {"app": "elsewhere"}}})

    def drifted(self) -> bool:
        return bool(self.cluster.core.read_namespaced_service("caching-service", self.namespace).spec.selector != {"app": "caching-service"})

    def spoil_secret(self) -> None:
        self.cluster.core.patch_namespaced_secret("caching-service-secret", self.namespace, {"stringData": {"MONITOR_TOKEN": "spoiled"}})

    def spoiled(self) -> bool:
        found = self.cluster.core.read_namespaced_secret("caching-service-secret", self.namespace).data["MONITOR_TOKEN"]
        return base64.b64decode(found).decode() != self.token("monitor_token")

    def fill_cache(self) -> None:
        for pod in self.pods("caching-service"):
            self.inside(pod.metadata.name, "touch", "/tmp/old")

    def cached(self) -> bool:
        return any("old" in self.inside(pod.metadata.name, "ls", "/tmp") for pod in self.pods("caching-service"))

    def lose_redis(self) -> str:
        name = self.pods("redis-cluster")[0].metadata.name
        self.cluster.core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)
        return str(name)

    def inside(self, pod: str, *command: str) -> str:
        """What a command in a Redis pod says."""
        return self.cluster.inside(pod, *command, namespace=self.namespace)

    def redis(self, pod: str, *command: str) -> str:
        return self.inside(pod, "sh", "-c", 'exec redis-cli -c "$@"', "redis-cli", *command)

    def shards(self) -> list[tuple[str, str]]:
        """Primary and replica of each shard, by their nodes of Kubernetes."""
        where = {pod.status.pod_ip: pod.spec.node_name for pod in self.pods("redis-cluster")}
        rows = [line.split() for line in self.redis("redis-cluster-0", "cluster", "nodes").splitlines()]
        place = {row[0]: where[row[1].partition(":")[0]] for row in rows}
        return [(place[row[3]], place[row[0]]) for row in rows if "slave" in row[2]]

    def each_key(self, pod: str, *command: str) -> list[str]:
        """What redis-cli answers for each of KEYS keys over all slots, in one command in the pod."""
        script = f'n=0; while [ $n -lt {KEYS} ]; do redis-cli -c "$1" "kept:$n" $2; n=$((n+1)); done'
        return self.inside(pod, "sh", "-c", script, "sh", *command).split()

    def write_keys(self) -> None:
        assert self.each_key("redis-cluster-0", "set", "yes") == ["OK"] * KEYS

    def known_keys(self, pod: str = "redis-cluster-1") -> int:
        return self.each_key(pod, "get").count("yes")

    def ready(self, pod: str) -> bool:
        return any(one.metadata.name == pod and objects.is_ready(one) for one in self.pods("redis-cluster"))

    def token(self, name: str = "admin_token") -> str:
        return str(self.cluster.state.secret(name))


@contextmanager
def fleet(name: str, request: pytest.FixtureRequest) -> Iterator[KubernetesFleet]:
    """For the table: nothing is there yet. What it made is what other tests go on with."""
    yield request.getfixturevalue("deployed")


@contextmanager
def secured(name: str, request: pytest.FixtureRequest, tls: dict[str, t.Any], folder: Path,
            namespace: str = "caching-secure") -> Iterator[KubernetesFleet]:
    """In a namespace of its own, with a runner that has its own certificate. The other fleet makes room."""
    cluster: Cluster = request.getfixturevalue("cluster")
    here = {"caching_redis_storage": "", "caching_jvm": "", "ansible_kubectl_namespace": namespace, "caching_redis_settings": {"save": "3600 1"}}
    fleet = KubernetesFleet(cluster, namespace, {**tls, **here})
    try:
        made = cluster.play("runner", **{**declared(fleet.namespace), **fleet.more})      # who may give rights, as the first one has
        assert made.rc == 0, made.stdout
        yield fleet
    finally:
        fleet.remove()
