# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet in a cluster that somebody else runs: that of KUBECONFIG (kind, k3s, a real one).

It gets the same objects in the namespace caching-system, with volumes of its default storage class, and needs the images of
tests/fleet/images on its nodes (`kind load image-archive`, `ctr images import`). Going down removes the namespace.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from tests.fleet.kubernetes import machine, objects
from tests.fleet.kubernetes.layout import NAMESPACE, State
from tests.fleet.local.processes import FleetError

MARK = {"exalt.caching/trial-fleet": "true"}


def kubeconfig(state: State) -> Path | None:
    """The given cluster's, if there is one."""
    path = os.environ.get("KUBECONFIG", "")
    given = Path(path).expanduser().absolute() if path else None
    return given if given and given != state.kubeconfig() else None


def manifests(state: State, service_image: str, redis_image: str) -> list[objects.Manifest]:
    found = [one for one in objects.manifests(state, service_image, redis_image) if one["kind"] != "StorageClass"]
    for one in found:
        if one["kind"] == "Namespace":
            one["metadata"]["labels"].update(MARK)
        for claim in one.get("spec", {}).get("volumeClaimTemplates", []) if one["kind"] == "StatefulSet" else []:
            del claim["spec"]["storageClassName"]
    return found


def adopt(state: State, path: Path) -> client.ApiClient:
    """Remember the cluster. A namespace that is there and is no trial fleet's is left alone."""
    shutil.copyfile(path, state.kubeconfig())
    state.kubeconfig().chmod(0o600)
    api = objects.connect(state.kubeconfig())
    try:
        labels = client.CoreV1Api(api).read_namespace(NAMESPACE).metadata.labels or {}
    except ApiException as error:
        if error.status != 404:
            raise FleetError(f"the cluster of {path} says {error.status} {error.reason}") from error
    except objects.AWAY as error:
        raise FleetError(f"the cluster of {path} does not answer: {error}") from error
    else:
        if not MARK.items() <= labels.items():
            raise FleetError(f"the cluster of {path} has a namespace {NAMESPACE} that is no trial fleet's; it is left alone")
    (state.folder / "given").write_text(str(path))
    return api


def form_redis(api: client.ApiClient) -> None:
    """From inside, as the addresses of pods may be out of reach from here."""
    nodes = objects.redis_nodes(api)
    command = ["redis-cli", "--cluster", "create", *(node.address for node in nodes), "--cluster-replicas", "1", "--cluster-yes"]
    said = stream(client.CoreV1Api(api).connect_get_namespaced_pod_exec, nodes[0].name, NAMESPACE, container="redis", command=command,
                  stdout=True, stderr=True, stdin=False, tty=False)
    if "All 16384 slots covered" not in said and "is not empty" not in said:
        raise FleetError(f"the Redis Cluster was not formed: {said.strip().splitlines()[-1][:300] if said.strip() else 'no answer'}")


def remove(state: State, patience: float = 120) -> None:
    api = client.CoreV1Api(objects.connect(state.kubeconfig()))
    deadline = time.monotonic() + patience
    while True:
        try:
            if not MARK.items() <= (api.read_namespace(NAMESPACE).metadata.labels or {}).items():
                break
            api.delete_namespace(NAMESPACE)
        except ApiException as error:
            if error.status == 404:
                break
            if error.status != 409:     # it is going already
                raise FleetError(f"namespace {NAMESPACE}: {error.status} {error.reason}") from error
        if time.monotonic() > deadline:
            raise FleetError(f"namespace {NAMESPACE} is still there after {patience:.0f} s")
        time.sleep(0.5)
    machine.remove_files(state)
