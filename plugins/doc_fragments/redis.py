# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  redis_nodes:
    description: Nodes of the Redis Cluster as V(host:port); any that answer, the others are found from there.
    type: list
    elements: str
  redis_username:
    description: User of Redis (ACL). The environment variable E(REDIS_USERNAME) where it is not given.
    type: str
  redis_password:
    description: Password of the user. The environment variable E(REDIS_PASSWORD) where it is not given.
    type: str
  redis_tls:
    description: Whether Redis is reached by TLS; certificates, and the addresses in them, are verified.
    type: bool
    default: false
  redis_tls_server_name:
    description:
      - Name for which the certificate of every node has to be valid, instead of its own address. For nodes whose addresses change, as those
        of pods do.
    type: str
  redis_ca_path:
    description: File with the authorities (PEM) that are trusted for Redis, instead of the system's.
    type: path
  redis_client_cert:
    description: Client certificate (PEM) for Redis, for mutual TLS.
    type: path
  redis_client_key:
    description: Key of O(redis_client_cert) (PEM), without a passphrase.
    type: path
  redis_address_map:
    description: Addresses that the nodes announce (V(host:port)) and where they can be reached from here.
    type: dict
    default: {}
  redis_timeout:
    description: Longest time to connect, and for one answer of Redis. Seconds or ISO-8601.
    type: str
    default: PT5S
requirements:
  - redis >= 5.0 (redis-py)
"""
