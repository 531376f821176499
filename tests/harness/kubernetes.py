# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial fleet on Kubernetes, as tests see it: its API, its audit log, and playbooks on its inventory."""

from __future__ import annotations

import json
import time
import typing as t

from kubernetes import client

from tests.fleet.kubernetes import objects
from tests.fleet.kubernetes.layout import NAMESPACE, State, state
from tests.harness.plays import Outcome, play

READS = ("get", "list", "watch")


class Cluster:
    def __init__(self) -> None:
        self.state: State = state()
        self.facts: dict[str, t.Any] = json.loads(self.state.facts.read_text())
        self.api = objects.connect(self.state.kubeconfig())
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)

    def play(self, name: str, *arguments: str, check: bool = False, **variables: t.Any) -> Outcome:
        return play(name, self.state.inventory, *arguments, check=check, extra_vars=variables, timeout=600)

    def pods(self, app: str) -> list[client.V1Pod]:
        return objects.pods(self.api, app)

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
