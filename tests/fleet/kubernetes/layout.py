# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet on Kubernetes is made of: nodes, networks, names, and where its files are."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from pathlib import Path

from tests.fleet import paths

VERSION = "1.34.4"
COREDNS_VERSION = "1.13.1"
METRICS_SERVER_VERSION = "0.8.0"
CERT_MANAGER_VERSION = "1.21.2"
NETWORK_NAME = "exalt-caching"
# The last network devices of a trial fleet; a name has at most 15 letters.
NULL_DEVICE = "exaltnull"
POD_NETWORK, SERVICE_NETWORK = "10.190.0.0/16", "10.191.0.0/16"
BOTH_NETWORKS = "10.190.0.0/15"
API_ADDRESS, API_PORT = "10.190.255.1", 6443
API_SERVICE = "10.191.0.1"
DNS_ADDRESS, METRICS_PORT = API_ADDRESS, 4443
ETCD = "127.0.41.1"
NAMESPACE = "caching-system"
VOLUMES_A_NODE = 8      # of 24, each fleet of a session takes six; they are not used again
SECRETS = ("api_token", "admin_token", "monitor_token", "redis_password")
# user -> groups; the file of tokens of the API server
USERS = {
    "admin": "system:masters", "trial-dns": "system:masters", "trial-metrics": "system:masters", "trial-cert-manager": "system:masters",
    "system:kube-controller-manager": "", "system:kube-scheduler": "", "system:kube-proxy": "",
}


@dataclass(frozen=True)
class Node:
    """A node: a kubelet and a containerd of its own, and a bridge whose address is the node's."""

    number: int

    @property
    def name(self) -> str:
        return f"node-{self.number}"

    @property
    def device(self) -> str:
        return f"exaltk{self.number}"

    @property
    def address(self) -> str:
        return f"10.190.{self.number}.1"

    @property
    def subnet(self) -> str:
        return f"10.190.{self.number}.0/24"

    @property
    def user(self) -> str:
        return f"system:node:{self.name}"


NODES = tuple(Node(number) for number in range(3))


@dataclass(frozen=True)
class State:
    """The files of the fleet; all of them are under one folder that `down` removes."""

    folder: Path

    def __getattr__(self, name: str) -> t.Any:
        """`state.logs`, `state.certificates`, `state.run` and so on are folders below."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self.folder / name

    def node(self, node: Node) -> Path:
        return self.folder / node.name

    def socket(self, node: Node) -> Path:
        return self.node(node) / "containerd.sock"

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.folder / ("kubeconfig" if user == "admin" else f"users/{user.replace(':', '-')}.kubeconfig")

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory" / "hosts.yml"

    @property
    def facts(self) -> Path:
        return self.folder / "fleet.json"

    @property
    def audit(self) -> Path:
        return self.folder / "audit.log"

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()


def state() -> State:
    return State(paths.fleet_state("kubernetes"))
