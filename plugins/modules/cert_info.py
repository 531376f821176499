#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cert_info
short_description: What each endpoint of a fleet really serves
description:
  - Makes a verified handshake with every endpoint, as strict as Python 3.13, and tells chain, names, days left and fingerprint
    (S144). What was served is shown, too, where its verification fails.
  - An endpoint that can't be reached, or serves something else, is a problem of that endpoint. Only O(fail_before) makes the task fail.
  - Each look is a new connection, so it never sees the certificate of an old one (H53).
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  endpoints:
    description: Every endpoint as V(host:port), each process by itself and not through a load balancer.
    type: list
    elements: str
    required: true
  protocol:
    description:
      - What is spoken by TLS. V(redis) is the TLS port of a node, V(redis_bus) the port of its cluster bus (by default 10,000 above).
    type: str
    choices: [https, redis, redis_bus]
    default: https
  path:
    description: For V(https), a path that is asked for over the same connection; an answer other than 2xx is a problem.
    type: str
  names:
    description:
      - Names for which every certificate has to be valid; without them it is the host of the endpoint. Endpoints that are addressed by IP,
        as pods are, need them. The first is the name of the handshake, unless O(server_name) is given.
    type: list
    elements: str
    default: []
  server_name:
    description: Name of the handshake (SNI), which is verified, too.
    type: str
  ca_path:
    description: File with the roots (PEM) that are trusted, instead of the system's.
    type: path
  trusted_certificates:
    description: The same as texts in PEM; with O(ca_path), both are trusted.
    type: list
    elements: str
  client_cert:
    description: Client certificate (PEM) for servers that want one, as Redis does with C(tls-auth-clients yes). It may hold its key.
    type: path
  client_key:
    description: Key of O(client_cert).
    type: path
  fingerprint:
    description: SHA-256 of the certificate that every endpoint has to serve, in hexadecimal, colons or not.
    type: str
  fingerprints:
    description: The same for single endpoints, by their text in O(endpoints).
    type: dict
    default: {}
  warn_before:
    description: Time before the end of a certificate, or of one above it, from which on it is a problem. ISO-8601 or seconds.
    type: str
    default: P30D
  fail_before:
    description: Time before the end from which on the task fails, with the list of those endpoints. V(PT0S) fails only for what expired.
    type: str
  wait_timeout:
    description: How long to look again until no endpoint has a problem, as after a reload. With V(PT0S) they are looked at once.
    type: str
    default: PT0S
  timeout:
    description: Longest time for one endpoint, with all its handshakes. Seconds or ISO-8601.
    type: str
    default: PT10S
  concurrency:
    description: How many endpoints are looked at at once.
    type: int
    default: 8
extends_documentation_fragment:
  - exalt.caching.attributes.info
requirements:
  - cryptography >= 45
seealso:
  - module: exalt.caching.cert_rotate
"""

EXAMPLES = r"""
- name: Every instance serves the new certificate
  exalt.caching.cert_info:
    endpoints: ["10.0.0.11:8443", "10.0.0.12:8443", "10.0.0.13:8443"]
    names: [caching-service]
    path: /actuator/health
    ca_path: /etc/exalt-caching/tls/current/ca.crt
    fingerprint: "{{ rotated.certificate.fingerprint }}"
    wait_timeout: PT60S
  register: served
  failed_when: not served.healthy

- name: No node of Redis has less than a week
  exalt.caching.cert_info:
    endpoints: ["10.0.0.21:6379", "10.0.0.22:6379", "10.0.0.23:6379"]
    protocol: redis
    ca_path: /etc/redis/tls/current/ca.crt
    client_cert: /etc/redis/tls/current/tls.crt
    client_key: /etc/redis/tls/current/tls.key
    fail_before: P7D
"""

RETURN = r"""
certificates:
  description: Each endpoint, in the order given.
  returned: always, once the options were read
  type: list
  elements: dict
  contains:
    endpoint: {description: As it was given., type: str}
    reachable: {description: Whether it could be spoken with., type: bool}
    fingerprint: {description: SHA-256 of the certificate that it serves; null where it showed none., type: str}
    serial: {description: In hexadecimal., type: str}
    names: {description: Its subject alternative names., type: list, elements: str}
    subject: {description: Its subject., type: str}
    issuer: {description: Who signed it., type: str}
    not_before: {description: Begin (UTC)., type: str}
    not_after: {description: End (UTC)., type: str}
    days_left: {description: Days until the first certificate of the chain that was served ends; negative once it did., type: float}
    chain_ok: {description: Whether it chains to a trusted root., type: bool}
    names_ok:
      description: Whether it is valid for what it was looked at as; null where no name was compared, as its chain was refused before.
      type: bool
    expected: {description: Whether it is the expected one; null where none is expected., type: bool}
    status: {description: Answer to O(path)., type: int}
    chain: {description: 'Subject, fingerprint and not_after of each certificate that was served.', type: list, elements: dict}
    problems: {description: 'What is wrong with it, a line each.', type: list, elements: str}
healthy:
  description: Whether no endpoint has a problem.
  returned: always, once the options were read
  type: bool
problems:
  description: The problems of all endpoints, a line each.
  returned: always, once the options were read
  type: list
  elements: str
  sample: ['10.0.0.12:8443: it expires in 12.3 days, on 2026-12-10T08:00:00Z']
failed_endpoints:
  description: Those that end within O(fail_before).
  returned: failure by O(fail_before)
  type: list
  elements: str
metrics:
  description: Gauges with their labels.
  returned: always, once the options were read
  type: list
  elements: dict
  sample:
    - {name: exalt_cache_certificate_ok, labels: {endpoint: '10.0.0.11:8443'}, value: 1}
    - {name: exalt_cache_certificate_chain_ok, labels: {endpoint: '10.0.0.11:8443'}, value: 1}
    - {name: exalt_cache_certificate_days_left, labels: {endpoint: '10.0.0.11:8443'}, value: 61.5}
"""

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._cert_model import CRYPTOGRAPHY_ERROR
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    if CRYPTOGRAPHY_ERROR:
        raise CachingError(missing_required_lib("cryptography"))
    from ansible_collections.exalt.caching.plugins.module_utils._resources.cert_info import Survey  # its library is there now

    return {"changed": False, **Survey(run.params).results()}


def main():
    run_main(work, spec(
        endpoints={"type": "list", "elements": "str", "required": True},
        protocol={"type": "str", "choices": ["https", "redis", "redis_bus"], "default": "https"},
        path={"type": "str"},
        names={"type": "list", "elements": "str", "default": []},
        server_name={"type": "str"},
        ca_path={"type": "path"},
        trusted_certificates={"type": "list", "elements": "str"},
        client_cert={"type": "path"},
        client_key={"type": "path", "no_log": False},
        fingerprint={"type": "str"},
        fingerprints={"type": "dict", "default": {}},
        warn_before={"type": "str", "default": "P30D"},
        fail_before={"type": "str"},
        wait_timeout={"type": "str", "default": "PT0S"},
        timeout={"type": "str", "default": "PT10S"},
        concurrency={"type": "int", "default": 8},
    ), required_by={"client_key": ["client_cert"]})


if __name__ == "__main__":
    main()
