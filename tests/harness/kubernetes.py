# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial fleet on Kubernetes, as tests see it: its API, its audit log, and playbooks on its inventory."""

from __future__ import annotations

import glob
import json
import os
import re
import threading
import time
import typing as t

from kubernetes import client, stream

from tests.fleet.compose import layout as compose
from tests.fleet.kubernetes import machine, network, objects
from tests.fleet.kubernetes.layout import NAMESPACE, State, state
from tests.fleet.kubernetes.programs import programs
from tests.fleet.local import processes
from tests.fleet.systemd import layout as systemd
from tests.harness.plays import Outcome, play

READS = ("get", "list", "watch")
# The other fleets, which may come and go meanwhile: their bridges, and the first three numbers of their addresses
OTHERS = (compose.BRIDGE, systemd.BRIDGE, *(f"{one.NETWORK.rpartition('.')[0]}." for one in (compose, systemd)))


def machine_state() -> dict[str, list[str]]:
    """What a fleet could leave on this machine."""
    where = programs()

    def lines(*command: str) -> list[str]:
        said = network.run(where, *command, needed=False).splitlines()
        return [line for line in said if not line.startswith("#") and not any(word in line for word in OTHERS)]

    rules = [line for command in ("iptables-save", "ip6tables-save") for line in lines(command)]
    return {
        "devices": sorted(line.split(":")[1] for line in lines("ip", "-o", "link") if "exalt" in line),
        "routes": lines("ip", "-4", "route", "show", "table", "all"),
        "rules": sorted(line for line in rules if "KUBE-" in line or "exalt-caching" in line),
        "mounts": list(machine.mounts(state())),
        "processes": [processes.command_of(number)[:80] for number in machine.of_fleet(state())],
        "folders": [folder for folder in machine.MACHINE_FOLDERS if os.path.isdir(folder) and not os.listdir(folder)],
        "groups": glob.glob("/sys/fs/cgroup/*/k8s.io"),
        "forwarding": [network.FORWARD.read_text()],
    }


class Cluster:
    def __init__(self) -> None:
        self.state: State = state()
        self.facts: dict[str, t.Any] = json.loads(self.state.facts.read_text())
        self.api = objects.connect(self.state.kubeconfig())
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)

    def play(self, name: str, *arguments: str, check: bool = False, **variables: t.Any) -> Outcome:
        return play(name, self.state.inventory, *arguments, check=check, extra_vars=variables, timeout=1200)

    def inside(self, pod: str, *command: str, namespace: str = NAMESPACE) -> str:
        """What a command in a pod says. The client is its own: a stream changes how it speaks."""
        api = client.CoreV1Api(objects.connect(self.state.kubeconfig()))
        # read as it comes: preloaded, what looks like JSON comes back as Python would write it
        said = stream.stream(api.connect_get_namespaced_pod_exec, pod, namespace, command=list(command), _preload_content=False,
                             stdin=False, stdout=True, stderr=True, tty=False)
        said.run_forever(timeout=60)
        return str(said.read_all()).strip()

    def pods(self, app: str) -> list[client.V1Pod]:
        return objects.pods(self.api, app)

    def measures(self, node: str) -> bool:
        """Whether this node's kubelet measures containers: it can't where other engines have mounted more control groups."""
        answer = self.core.connect_get_node_proxy_with_path(node, "metrics/resource", _preload_content=False)     # else its bytes, as Python writes them
        told = answer.data.decode()
        found = re.findall(r"^container_memory_working_set_bytes\{.*\} (\S+) \d+$", told, re.M)
        return any(float(value) > 0 for value in found)

    def deployment(self, name: str = "caching-service") -> client.V1Deployment:
        return self.apps.read_namespaced_deployment(name, NAMESPACE)

    def audited(self, since: int) -> list[dict[str, t.Any]]:
        """Requests of people and of pods since a place in the audit log, without those that only read."""
        time.sleep(0.5)
        with self.state.audit.open() as log:
            log.seek(since)
            records = [json.loads(line) for line in log if line.endswith("\n")]
        return [record for record in records if record["verb"] not in READS]

    @property
    def now(self) -> int:
        """The end of the audit log."""
        return self.state.audit.stat().st_size


class Starts:
    """What becomes of the containers of the service while a block runs, as the API tells it: their pods are asked for again and again."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.core, self.namespace = client.CoreV1Api(objects.connect(cluster.state.kubeconfig())), namespace
        self.restarted: set[str] = set()        # a process came after the first one
        self.ended_early: set[str] = set()      # the first one ended before its pod was to go
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        first: dict[str, int] = {}
        while not self._done.wait(0.2):
            for pod in self.core.list_namespaced_pod(self.namespace, label_selector="app=caching-service", _request_timeout=10).items:
                for one in pod.status.container_statuses or ():
                    if one.restart_count > first.setdefault(pod.metadata.uid, one.restart_count):
                        self.restarted.add(pod.metadata.name)
                    if one.state.terminated and not pod.metadata.deletion_timestamp:
                        self.ended_early.add(pod.metadata.name)

    def __enter__(self) -> Starts:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join(15)


def told(record: dict[str, t.Any]) -> str:
    where = record.get("objectRef", {})
    what = "/".join(filter(None, (where.get("resource"), where.get("subresource"))))
    return f"{record['verb']} {what} {where.get('name', '')} ({record['requestURI']})"


def changes(records: list[dict[str, t.Any]]) -> list[str]:
    """What changes an object: neither a dry run, nor a review, nor a command in the runner."""
    def harmless(record: dict[str, t.Any]) -> bool:
        where = record.get("objectRef", {})
        review = where.get("apiGroup") in ("authorization.k8s.io", "authentication.k8s.io")
        runner = where.get("subresource") == "exec" and str(where.get("name", "")).startswith("caching-runner")
        return "dryRun=All" in record["requestURI"] or review or runner

    return [told(record) for record in records if not harmless(record)]


def failed(outcome: Outcome, words: str) -> None:
    """The run failed, and says this."""
    said = " ".join(outcome.stdout.split())
    assert outcome.rc != 0 and words in said and "Traceback" not in said, outcome.stdout
