# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS on one scratch node, which wants a client certificate: the server's settings, and the options of a module that speaks with it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import trustme

from tests.harness.scratch import Scratch, free_ports


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
