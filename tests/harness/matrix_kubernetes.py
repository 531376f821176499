# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet that playbook deploy has made on the trial cluster, in a namespace of its own beside the guide's."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kubernetes import client

from tests.fleet.images.build import folder
from tests.harness.kubernetes import Cluster
from tests.harness.matrix import Platform
from tests.harness.plays import Outcome


def declared(namespace: str) -> dict[str, t.Any]:
    tags = [name.partition(":")[2] for name in json.loads((folder() / "images.json").read_text())["redis"] if name.startswith("exalt/redis:")]
    return {
        "caching_namespace": namespace, "caching_create_namespace": True, "caching_managed": True,
        "caching_redis_storage": "1Gi", "caching_redis_storage_class": "local", "caching_redis_version": tags[0],
        "caching_resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "caching_redis_resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "caching_redis_settings": {"cluster-node-timeout": 3000, "repl-diskless-sync-delay": 0},
        "caching_jvm": "-Xms128m -Xmx256m -XX:+UseG1GC", "caching_platform_timeout": "PT2M",
        "caching_configuration": {"cache": {"redis": {"pool": {"maxTotal": 256}}}},
        "caching_regions": [{"name": "deployed", "default_ttl": "PT2H", "max_size": 500}],
    }


class KubernetesFleet(Platform):
    name = "kubernetes"

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def remove(self) -> None:
        self.cluster.core.delete_namespace(self.namespace)

    def play(self, playbook: str, *arguments: str, check: bool = False, **variables: t.Any) -> Outcome:
        return self.cluster.play(playbook, *arguments, check=check, **{**declared(self.namespace), **variables})

    def pods(self, app: str) -> list[client.V1Pod]:
        return list(self.cluster.core.list_namespaced_pod(self.namespace, label_selector=f"app={app}").items)

    def members(self) -> dict[str, str]:
        return {pod.metadata.name: pod.metadata.uid for app in ("caching-service", "redis-cluster") for pod in self.pods(app)}

    def instances(self) -> int:
        return len([pod for pod in self.pods("caching-service") if not pod.metadata.deletion_timestamp])

    def deployment(self) -> client.V1Deployment:
        return self.cluster.apps.read_namespaced_deployment("caching-service", self.namespace)

    def drift(self) -> None:
        self.cluster.core.patch_namespaced_service("caching-service", self.namespace, {"spec": {"selector": {"app": "elsewhere"}}})

    def drifted(self) -> bool:
        return bool(self.cluster.core.read_namespaced_service("caching-service", self.namespace).spec.selector != {"app": "caching-service"})

    def lose_redis(self) -> str:
        name = self.pods("redis-cluster")[0].metadata.name
        self.cluster.core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)
        return str(name)

    def token(self) -> str:
        return str(self.cluster.state.secret("admin_token"))


@contextmanager
def fleet(name: str, request: pytest.FixtureRequest) -> Iterator[KubernetesFleet]:
    """For the table: nothing is there yet, and in the end the namespace goes."""
    made = KubernetesFleet(request.getfixturevalue("cluster"), f"caching-{name}")
    try:
        yield made
    finally:
        made.remove()
