# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights that docs/kubernetes.md asks for, as a user of the trial cluster who has these and no others."""

from __future__ import annotations

import json
import re
import typing as t
from collections.abc import Iterable
from pathlib import Path

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.fleet import paths
from tests.fleet.kubernetes.certificates import kubeconfig
from tests.fleet.kubernetes.layout import State

NAMESPACE = "caching-controllers"
GROUPS = {"deployments": "apps", "statefulsets": "apps", "daemonsets": "apps", "horizontalpodautoscalers": "autoscaling", "jobs": "batch",
          "poddisruptionbudgets": "policy", "networkpolicies": "networking.k8s.io", "roles": "rbac.authorization.k8s.io",
          "rolebindings": "rbac.authorization.k8s.io",
          "certificates": "cert-manager.io", "certificaterequests": "cert-manager.io"}


class Right(t.NamedTuple):
    verb: str
    resource: str       # with its subresource

    @property
    def group(self) -> str:
        return "metrics.k8s.io" if self.resource.endswith(".metrics.k8s.io") else GROUPS.get(self.resource.partition("/")[0], "")

    @property
    def rule(self) -> dict[str, list[str]]:
        return {"apiGroups": [self.group], "resources": [self.resource.removesuffix(".metrics.k8s.io")], "verbs": [self.verb]}


def documented() -> list[Right]:
    """The rows of the table, one right for each verb and resource."""
    text = (paths.ROOT / "docs/kubernetes.md").read_text()
    rows = re.findall(r"^\| ((?:get|list|create|patch|update|delete)[a-z, ]*) \| ([a-z0-9./, ]+) \|.*\|$", text, re.MULTILINE)
    return list(dict.fromkeys(Right(verb, resource) for verbs, resources in rows for resource in resources.split(", ") for verb in verbs.split(", ")))


class Controllers:
    """Service accounts with some of these rights, in every namespace."""

    def __init__(self, api: client.ApiClient, state: State, *, alone: bool = True) -> None:
        """`alone`: what is left of others goes."""
        self.core, self.rbac, self.state = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api), state
        self._made(self.core.create_namespace, {"metadata": {"name": NAMESPACE}})
        if alone:
            self._remove_roles()

    @staticmethod
    def _made(create: t.Callable[..., t.Any], *arguments: t.Any) -> None:
        """It is there now, or was before."""
        try:
            create(*arguments)
        except ApiException as error:
            if error.status != 409:
                raise

    def kubeconfig(self, name: str, rights: Iterable[Right]) -> Path:
        """Makes the account, and gives the file with which it speaks to the cluster."""
        full = f"exalt-trial-{name}"
        self._made(self.core.create_namespaced_service_account, NAMESPACE, {"metadata": {"name": name}})
        self.rbac.create_cluster_role({"metadata": {"name": full}, "rules": [right.rule for right in rights]})
        self.rbac.create_cluster_role_binding({
            "metadata": {"name": full}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": full},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]})
        token = self.core.create_namespaced_service_account_token(name, NAMESPACE, {"spec": {"expirationSeconds": 7200}}).status.token
        path = Path(self.state.folder) / "controllers" / name
        paths.write(path, json.dumps(kubeconfig(self.state, token)))
        return path

    @staticmethod
    def user(name: str) -> str:
        return f"system:serviceaccount:{NAMESPACE}:{name}"

    def remove(self) -> None:
        self.core.delete_namespace(NAMESPACE)
        self._remove_roles()

    def _remove_roles(self) -> None:
        for one in self.rbac.list_cluster_role_binding().items:
            if one.metadata.name.startswith("exalt-trial-"):
                self.rbac.delete_cluster_role_binding(one.metadata.name)
                self.rbac.delete_cluster_role(one.metadata.name)
