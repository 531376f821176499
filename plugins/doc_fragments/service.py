# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  service_url:
    description:
      - URL of the Caching Service, such as V(https://caching-service:8403). Must not hold a password.
      - Without it, any of O(instances) is asked. At least one of both is needed.
      - Uses the environment variable E(CACHING_SERVICE_URL) where it is not given.
    type: str
  instances:
    description:
      - Every process of the service. What acts on a process goes to each of them.
      - What any process can answer goes to O(service_url) first, and to an instance when that does not answer.
    type: list
    elements: dict
    suboptions:
      name:
        description: How the platform calls it (a pod, a container, a unit); shown in results. The address by default.
        type: str
      url:
        description: URL of its data port (8403).
        type: str
        required: true
      management_url:
        description: URL of its management port. O(instances[].url) with port 8404 by default.
        type: str
      tls_url:
        description: URL of its TLS port. O(instances[].url) with https and port 8443 by default.
        type: str
  management_url:
    description: URL of the management port behind O(service_url). O(service_url) with port 8404 by default.
    type: str
  api_token:
    description:
      - Token for reading and for entries. The environment variable E(API_TOKEN) where it is not given, then O(admin_token).
    type: str
  admin_token:
    description: Token for everything that changes the service. The environment variable E(ADMIN_TOKEN) where it is not given.
    type: str
  monitor_token:
    description:
      - Token for metrics and health. The environment variable E(MONITOR_TOKEN) where it is not given, then O(admin_token).
    type: str
  validate_certs:
    description: Whether certificates are verified. Without it, whoever answers is believed; a warning says so.
    type: bool
    default: true
  ca_path:
    description: File or folder with the authorities (PEM) that are trusted, instead of the system's.
    type: path
  client_cert:
    description: Client certificate (PEM), for mutual TLS.
    type: path
  client_key:
    description: Key of O(client_cert) (PEM, without a passphrase).
    type: path
  timeout:
    description: Longest time for one request, from connecting to the last byte. Seconds or ISO-8601.
    type: str
    default: PT10S
  retries:
    description:
      - How often a request is repeated on passing faults (no answer, 429, 502, 503, 504), from 0 to 20, and only where
        that is safe. C(Retry-After) is kept; more than 30 seconds is an error.
    type: int
    default: 3
  concurrency:
    description: How many requests may be under way at once, from 1 to 64.
    type: int
    default: 8
  endpoints:
    description:
      - How this service differs from the operations guide. The name of an endpoint (as V(list_regions)), its operation
        (V(S027)) or its call (V(GET /api/v1/cache/regions)), with its own C(method), C(path) or C(token)
        (V(api), V(admin), V(monitor) or V(none)).
    type: dict
    default: {}
requirements:
  - urllib3 >= 2.2
"""
