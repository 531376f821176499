# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch servers that want a client certificate: one with TLS beside its plain port, and whole clusters that have nothing else."""

from __future__ import annotations

import functools
import typing as t
from pathlib import Path

import trustme

from tests.fleet.certificates import Authority
from tests.harness.scratch import Node, Scratch, free_ports


class Tls:
    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority, self.server, self.client = (folder / f"{name}.pem" for name in ("ca", "server", "client"))
        authority.cert_pem.write_to_path(str(self.authority))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(self.server))
        authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(self.client))
        (self.port,) = free_ports(1)

    @property
    def options(self) -> dict[str, str]:
        """Settings of a redis-server: TLS on a port of its own, beside the plain one."""
        return {"tls-port": str(self.port), "tls-ca-cert-file": str(self.authority), "tls-cert-file": str(self.server),
                "tls-key-file": str(self.server), "tls-auth-clients": "yes"}

    def args(self, scratch: Scratch) -> dict[str, t.Any]:
        return {**scratch.args, "redis_tls": True, "redis_ca_path": str(self.authority), "redis_client_cert": str(self.client),
                "redis_client_key": str(self.client), "redis_address_map": {scratch.nodes[0].address: f"127.0.0.1:{self.port}"}}


class Secure(Scratch):
    """A cluster by TLS only, mutual, its bus and its replication too. Each node has a certificate of its own, in a folder where it can be replaced."""

    @functools.cached_property
    def authority(self) -> Authority:
        return Authority("scratch")

    def certificate(self, name: str) -> Path:
        """The folder of a node, by its port, or of the client."""
        return self.folder / "tls" / name

    def supply(self, name: str, **options: t.Any) -> Path:
        """A new certificate, in force for who reads the files from now on."""
        folder = self.certificate(name)
        self.authority.supply(folder, name, "127.0.0.1", **options)
        return folder

    def transport(self, node: Node) -> dict[str, str]:
        folder = self.certificate(str(node.port))
        if not folder.exists():
            self.supply(str(node.port))
        return {
            "port": "0", "tls-port": str(node.port), "tls-cluster": "yes", "tls-replication": "yes", "tls-auth-clients": "yes",
            "tls-ca-cert-file": str(folder / "ca.crt"), "tls-cert-file": str(folder / "tls.crt"), "tls-key-file": str(folder / "tls.key"),
        }

    @property
    def connection(self) -> dict[str, t.Any]:
        return {**super().connection, "ssl": True, **{f"ssl_{name}": str(path) for name, path in zip(("ca_certs", "certfile", "keyfile"), self._client())}}

    @property
    def args(self) -> dict[str, t.Any]:
        authorities, certificate, key = map(str, self._client())
        return {**super().args, "redis_tls": True, "redis_ca_path": authorities, "redis_client_cert": certificate, "redis_client_key": key}

    def _client(self) -> tuple[Path, Path, Path]:
        folder = self.certificate("client")
        if not folder.exists():
            self.supply("client")
        return folder / "ca.crt", folder / "tls.crt", folder / "tls.key"
