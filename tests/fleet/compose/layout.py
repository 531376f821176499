# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet on Docker Compose: names, addresses and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.fleet import paths

BRIDGE = "exaltcompose"
NETWORK = "10.192.0"                # the first three numbers of every address
NETWORK_WHOLE = "10.192.0.0/16"
REDIS_PORT = 6379
REDIS_SERVICES = tuple(f"redis-cluster-{number}" for number in range(6))
REDIS_NODES = tuple(f"{NETWORK}.{20 + number}:{REDIS_PORT}" for number in range(6))
REPLICAS = 3
COMPOSE_FILE = "docker-compose.prod.yml"
SECRETS = ("api_token", "admin_token", "monitor_token", "redis_password")


@dataclass(frozen=True)
class State:
    """The files of the fleet; all of them are under one folder that `down` removes."""

    folder: Path

    @property
    def engine(self) -> Path:
        return self.folder / "engine"

    @property
    def project(self) -> Path:
        """The directory of the Compose project."""
        return self.folder / "project"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

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
    return State(paths.fleet_state("compose"))
