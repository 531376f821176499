# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local fleet on paper: addresses, names and files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fleet import paths

# The first three numbers of every address; another one makes room for a second fleet, whose state has the name of it.
FIRST_NETWORK = "127.0.0"
NETWORK = os.environ.get("EXALT_CACHING_NETWORK") or FIRST_NETWORK
TLS = os.environ.get("EXALT_CACHING_TLS", "").lower() in ("1", "true", "yes")   # a fleet that is started now has it on Redis
REDIS_PORT = 6379
BUS_PORT = 16379
SERVICE_PORT, MANAGEMENT_PORT, TLS_PORT = 8403, 8404, 8443
CLUSTER_SLOTS = 16384
VERSION = "2.4.0"        # that the service says it is
DATABASE_PRODUCTS = 20_000
OPERATOR = "operator"    # whose certificate the modules show to Redis
SECRETS = (
    "api_token", "admin_token", "monitor_token",
    "redis_password", "redis_service_password", "redis_observer_password",
    "store_access_key", "store_secret_key", "signing_key", "ca_passphrase",
)


@dataclass(frozen=True)
class Node:
    """One Redis node; `primary` is the name of the node that it follows at the start."""

    name: str
    host: str
    primary: str = ""

    @property
    def address(self) -> str:
        return f"{self.host}:{REDIS_PORT}"


@dataclass(frozen=True)
class Instance:
    """One process of the Caching Service."""

    name: str
    host: str

    @property
    def facts(self) -> dict[str, str]:
        return {
            "name": self.name,
            "url": f"http://{self.host}:{SERVICE_PORT}",
            "management_url": f"http://{self.host}:{MANAGEMENT_PORT}",
            "tls_url": f"https://{self.host}:{TLS_PORT}",
        }


@dataclass(frozen=True)
class Store:
    """The S3 service: SeaweedFS as three programs, which start in 4 s instead of the 6 s of its all-in-one server."""

    host: str
    master_port: int = 9333
    volume_port: int = 9340
    filer_port: int = 9350
    port: int = 8333
    bucket: str = "exalt-cache-backups"
    prefix: str = "local"
    programs: tuple[str, ...] = ("store-master", "store-volume", "store-s3")

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def ports(self) -> tuple[int, ...]:
        """Those that it was given, and for each the one of its gRPC."""
        given = (self.master_port, self.volume_port, self.filer_port, self.port)
        return given + tuple(port + 10000 for port in given)


PRIMARIES = tuple(Node(f"redis-{n}", f"{NETWORK}.{20 + n}") for n in (1, 2, 3))
REPLICAS = tuple(Node(f"redis-{n}", f"{NETWORK}.{20 + n}", f"redis-{n - 3}") for n in (4, 5, 6))
NODES = PRIMARIES + REPLICAS
STORE = Store(f"{NETWORK}.31")
INSTANCES = tuple(Instance(f"caching-service-{n}", f"{NETWORK}.{10 + n}") for n in (1, 2, 3))


@dataclass(frozen=True)
class State:
    """The files of the fleet; all of them are under one folder that `down` removes."""

    folder: Path

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def ca(self) -> Path:
        """What clients of the service trust."""
        return self.certificate(OPERATOR) / "ca.crt"

    @property
    def authority(self) -> Path:
        """Folder of the authority of all certificates: `ca.crt` and `ca.key`."""
        return self.folder / "authority"

    def certificate(self, name: str) -> Path:
        """Folder with certificate, key and trust of a member, as tests/fleet/certificates.py makes it."""
        return self.folder / "tls" / name

    @property
    def redis_tls(self) -> bool:
        """Whether this fleet's Redis is reached by TLS only, with a client certificate."""
        return self.certificate(NODES[0].name).exists()

    @property
    def redis_options(self) -> dict[str, Any]:
        """Options of redis-py with which an operator reaches Redis, beside the password."""
        if not self.redis_tls:
            return {}
        folder = self.certificate(OPERATOR)
        return {"ssl": True, "ssl_ca_certs": str(folder / "ca.crt"), "ssl_certfile": str(folder / "tls.crt"),
                "ssl_keyfile": str(folder / "tls.key")}

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def database(self) -> Path:
        """What all instances warm from."""
        return self.folder / "database.sqlite"

    def properties(self, name: str) -> Path:
        """The configuration file of one instance."""
        return self.work(name) / "application.properties"

    @property
    def facts(self) -> Path:
        return self.folder / "fleet.json"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory" / "hosts.yml"

    @property
    def supervisor_config(self) -> Path:
        return self.folder / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        return self.folder / "supervisord.pid"

    @property
    def socket_note(self) -> Path:
        """Says where the control socket is when the path inside the folder would be too long."""
        return self.folder / "socket_folder"

    @property
    def socket(self) -> Path:
        folder = Path(self.socket_note.read_text().strip()) if self.socket_note.exists() else self.folder
        return folder / "supervisor.sock"

    def work(self, name: str) -> Path:
        """Working directory of one program."""
        return self.folder / name

    def node_config(self, name: str) -> Path:
        """The configuration file of one Redis node, which CONFIG REWRITE may change."""
        return self.work(name) / "redis.conf"

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()


def state() -> State:
    return State(paths.fleet_state("local" if NETWORK == FIRST_NETWORK else f"local-{NETWORK}"))
