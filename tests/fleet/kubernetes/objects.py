# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of the guide in the cluster, as somebody with kubectl would have applied them, and the Redis Cluster in its pods."""

from __future__ import annotations

import base64
import string
import time
import typing as t
from pathlib import Path

import urllib3
import yaml
from kubernetes import client, config, dynamic
from kubernetes.client.exceptions import ApiException

from tests.fleet.kubernetes.layout import API_ADDRESS, METRICS_PORT, NAMESPACE, NODES, SECRETS, VOLUMES_A_NODE, State
from tests.fleet.local import cluster
from tests.fleet.local.layout import Node as RedisNode
from tests.fleet.local.processes import FleetError

HERE = Path(__file__).parent
REDIS_NODES = tuple(f"redis-cluster-{number}" for number in range(6))
Manifest = dict[str, t.Any]
AWAY = (ApiException, urllib3.exceptions.HTTPError, OSError)
TRIAL_AGENT = "exalt-caching-trial"


def connect(kubeconfig: Path) -> client.ApiClient:
    """A client of the trials, which the audit log tells from others."""
    found = config.new_client_from_config(str(kubeconfig))
    found.user_agent = TRIAL_AGENT
    return found


def ready(api: client.ApiClient) -> bool:
    try:
        return bool(api.rest_client.request("GET", f"{api.configuration.host}/readyz", _request_timeout=3).status == 200)
    except AWAY:
        return False


def nodes_ready(api: client.ApiClient) -> bool:
    """Each is ready and takes pods: a node keeps its taint for a moment longer, and until then all pods would go to the others."""
    try:
        found = client.CoreV1Api(api).list_node(_request_timeout=5).items
    except AWAY:
        return False
    good = [node for node in found if not node.spec.taints
            and any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or ())]
    return len(good) == len(NODES)


def volumes(state: State) -> list[Manifest]:
    """A volume is a folder of its node, and stays there."""
    made = []
    for node in NODES:
        for number in range(VOLUMES_A_NODE):
            path = state.folder / "volumes" / f"{node.name}-{number}"
            path.mkdir(parents=True, exist_ok=True)
            here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]}
            made.append({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": path.name},
                "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
                         "persistentVolumeReclaimPolicy": "Retain", "local": {"path": str(path)},
                         "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}},
            })
    return made


def manifests(state: State, service_image: str, redis_image: str) -> list[Manifest]:
    def encoded(name: str) -> str:
        return base64.b64encode((state.certificates / name).read_bytes()).decode()

    words = {name: state.secret(name) for name in SECRETS}
    nodes = ",".join(f"{name}.redis-cluster.{NAMESPACE}.svc.cluster.local:6379" for name in REDIS_NODES)
    text = string.Template((HERE / "manifests/fleet.yml.tmpl").read_text()).substitute(
        words, service_image=service_image, redis_image=redis_image, redis_nodes=nodes,
        tls_certificate=encoded("caching-service.crt"), tls_key=encoded("caching-service.key"))
    return [one for one in yaml.safe_load_all(text) if one]


def metrics() -> list[Manifest]:
    words = {"metrics_address": API_ADDRESS, "metrics_port": METRICS_PORT}
    return list(yaml.safe_load_all(string.Template((HERE / "manifests/metrics.yml.tmpl").read_text()).substitute(words)))


def apply(api: client.ApiClient, found: list[Manifest]) -> None:
    """Server-side, as `kubectl apply --server-side` does it."""
    cluster_api = dynamic.DynamicClient(api)
    for one in found:
        kind = cluster_api.resources.get(api_version=one["apiVersion"], kind=one["kind"])
        try:
            kind.server_side_apply(body=one, name=one["metadata"]["name"], namespace=one["metadata"].get("namespace"), field_manager="kubectl")
        except ApiException as error:
            raise FleetError(f"{one['kind']} {one['metadata']['name']}: {error.reason}: {str(error.body)[:200]}") from error


def state_of(pod: client.V1Pod) -> str:
    for one in pod.status.container_statuses or ():
        if one.state.waiting and one.state.waiting.reason not in ("ContainerCreating", "PodInitializing"):
            return f"{one.state.waiting.reason}: {one.state.waiting.message or ''}"
        if one.last_state.terminated:
            return f"ended with {one.last_state.terminated.exit_code} ({one.last_state.terminated.reason})"
    bad = [one for one in pod.status.conditions or () if one.status != "True" and one.message]
    return bad[0].message if bad else str(pod.status.phase)


def pods(api: client.ApiClient, app: str) -> list[client.V1Pod]:
    return list(client.CoreV1Api(api).list_namespaced_pod(NAMESPACE, label_selector=f"app={app}", _request_timeout=10).items)


def is_ready(pod: client.V1Pod) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())


def wait_for_pods(api: client.ApiClient, app: str, wanted: int, patience: float = 60) -> list[client.V1Pod]:
    deadline = time.monotonic() + patience
    while True:
        found = pods(api, app)
        good = [pod for pod in found if is_ready(pod)]
        if len(good) == wanted:
            return sorted(good, key=lambda pod: str(pod.metadata.name))
        if time.monotonic() > deadline:
            bad = [f"{pod.metadata.name}: {state_of(pod)}" for pod in found if not is_ready(pod)]
            raise FleetError(f"{len(good)} of {wanted} pods of {app} are ready after {patience:.0f} s; {'; '.join(bad)[:500]}")
        time.sleep(0.2)


def redis_nodes(api: client.ApiClient) -> tuple[RedisNode, ...]:
    """The pods of Redis as nodes of a cluster: three shards, each with a replica on another node of Kubernetes where there is one."""
    found = wait_for_pods(api, "redis-cluster", len(REDIS_NODES))
    primaries: list[client.V1Pod] = []
    for pod in found:       # primaries on three nodes first
        if pod.spec.node_name not in {one.spec.node_name for one in primaries} and len(primaries) < 3:
            primaries.append(pod)
    primaries += [pod for pod in found if pod not in primaries][:3 - len(primaries)]
    rest = [pod for pod in found if pod not in primaries]
    made = [RedisNode(one.metadata.name, one.status.pod_ip) for one in primaries]
    for primary in primaries:
        other = next((pod for pod in rest if pod.spec.node_name != primary.spec.node_name), rest[0])
        rest.remove(other)
        made.append(RedisNode(other.metadata.name, other.status.pod_ip, primary.metadata.name))
    return tuple(made)


def form_redis(api: client.ApiClient, password: str) -> tuple[RedisNode, ...]:
    found = redis_nodes(api)
    cluster.form(password, 30, found)
    return found


def last_events(api: client.ApiClient) -> str:
    events = client.CoreV1Api(api).list_namespaced_event(NAMESPACE, field_selector="type=Warning").items[-3:]
    return "; ".join(f"{one.involved_object.name}: {one.message}" for one in events)
