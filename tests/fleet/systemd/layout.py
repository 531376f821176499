# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet of hosts with systemd: names, addresses and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.fleet import paths

BRIDGE = "exaltsystemd"
NETWORK = "10.193.0"                # the first three numbers of every address
NETWORK_WHOLE = "10.193.0.0/16"
REDIS_PORTS = (6379, 6380)
SECRETS = ("api_token", "admin_token", "monitor_token", "redis_password")


@dataclass(frozen=True)
class Host:
    """A host; `kind` is what it is for: service, redis or balancer."""

    name: str
    kind: str
    number: int

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}"


SERVICE_HOSTS = tuple(Host(f"service-{n}", "service", 10 + n) for n in (1, 2, 3))
REDIS_HOSTS = tuple(Host(f"redis-{n}", "redis", 20 + n) for n in (1, 2, 3))
BALANCER = Host("balancer-1", "balancer", 5)
HOSTS = (*SERVICE_HOSTS, *REDIS_HOSTS, BALANCER)
REDIS_NODES = tuple(f"{host.address}:{port}" for port in REDIS_PORTS for host in REDIS_HOSTS)


@dataclass(frozen=True)
class State:
    """The files of the fleet; all of them are under one folder that `down` removes."""

    folder: Path

    @property
    def engine(self) -> Path:
        return self.folder / "engine"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def key(self) -> Path:
        """The private key of the operator."""
        return self.folder / "ssh" / "operator"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "ssh" / "known_hosts"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory" / "hosts.yml"

    @property
    def facts(self) -> Path:
        return self.folder / "fleet.json"

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()


def state() -> State:
    return State(paths.fleet_state("systemd"))
