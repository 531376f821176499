#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_config
short_description: Declare settings of the nodes of a Redis Cluster, and let them read their certificates again
description:
  - Reads the declared settings of every chosen node (C(CONFIG GET)), writes those that differ by one C(CONFIG SET) for each node, one
    node after the other, and reads them back. A node takes all of its settings or none.
  - Values are compared by meaning. V(1gb) is V(1073741824), V(true) is V(yes), the order of the points of C(save) does not count, nor
    that of the letters of C(notify-keyspace-events); of C(client-output-buffer-limit) only the classes that are named are compared
    and changed.
  - All nodes are read before anything is written. A node that does not answer, a setting that a node does not have, and one that can't
    be changed while Redis runs, are refused with nothing changed. After a node that refused a value no other is tried.
  - Redis reads certificates when it starts, and not when their files are replaced. O(fingerprints) declares which certificate each node
    serves; where a handshake shows another, the node reads its files again, by a C(CONFIG SET) of certificate and key with the paths that
    they have. No connection is closed, and new ones get the new certificate.
  - It looks at no file on the hosts of the nodes. Redis refuses a certificate with the key of another and goes on with the old one,
    but it takes one that has expired, so what is put into the files has to be checked before (as M(exalt.caching.cert_rotate) does).
  - The live part of operation S096 of the operations guide (memory); hazards H55 (certificates of Redis) and H58 (secrets among settings).
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  settings:
    description:
      - 'Settings by their names in the configuration file, such as C({maxmemory: 2gb, maxmemory-policy: allkeys-lru}). A value is a text
        with the units of Redis, a number, a boolean (V(yes) and V(no)), or a list of words.'
      - Settings that are not named are left alone. Secrets are refused here.
    type: dict
    default: {}
  secrets:
    description: Settings that are secrets (C(requirepass), C(masterauth), C(tls-key-file-pass)). Only a digest and the length are shown.
    type: dict
    default: {}
  fingerprints:
    description:
      - SHA-256 fingerprint of the certificate that a node shall serve, by its address (V(host:port)), as the nodes announce it or as
        it is reached (O(redis_address_map), a name). 64 hexadecimal digits, with or without colons.
      - Nodes that serve it already are left alone, others read C(tls-cert-file) and C(tls-key-file) again. It is an error if they then still
        serve another.
    type: dict
    default: {}
  reload:
    description:
      - Settings whose files are read again although their paths are the same.
      - With O(fingerprints), only where a node serves another certificate than it should. Without, always, and the task is changed
        every time, as no handshake shows whom a node trusts; so give it when the files have changed.
    type: list
    elements: str
    default: []
    choices: [tls-cert-file, tls-key-file, tls-client-cert-file, tls-client-key-file, tls-ca-cert-file, tls-ca-cert-dir, tls-dh-params-file]
  nodes:
    description: Which nodes, V(all), V(primaries), V(replicas), or addresses as the nodes announce them (V(host:port)).
    type: list
    elements: str
    default: [all]
  order:
    description:
      - Which nodes come first. Replicas first is right for what a primary must not have before its replicas, such as more memory, and shows
        a bad value where it does least harm. Primaries first is for the reverse, such as less memory.
    type: str
    choices: [replicas_first, primaries_first]
    default: replicas_first
  persist:
    description:
      - Whether each node writes changed settings into its configuration file (C(CONFIG REWRITE)). A node that can't do so gets its former
        settings back, and the task fails.
      - A value that is in force already and not in the file is not found by this, as Redis does not tell what its file says.
    type: bool
    default: true
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.redis
attributes:
  idempotent:
    description: A second run changes nothing, but for O(reload) without O(fingerprints).
    support: partial
notes:
  - Needs Redis 7.0.2 or newer, or Valkey, and the rules C(+config|get +config|set +config|rewrite +cluster|nodes +cluster|info +info).
  - A new C(requirepass), C(port), C(tls-port) or C(bind) may lock out whoever uses the old one, this module in its next run, too.
"""

EXAMPLES = r"""
- name: More memory on every node, replicas first
  exalt.caching.redis_config:
    redis_nodes: ["10.0.0.21:6379"]
    settings:
      maxmemory: 2gb
      maxmemory-policy: allkeys-lru
      client-output-buffer-limit: replica 512mb 128mb 60

- name: Each node serves the certificate that stands in its files now
  exalt.caching.redis_config:
    redis_nodes: ["10.0.0.21:6379"]
    redis_tls: true
    redis_ca_path: /etc/caching/ca.crt
    fingerprints:
      "10.0.0.21:6379": "{{ certificates['10.0.0.21'].fingerprint }}"
      "10.0.0.22:6379": "{{ certificates['10.0.0.22'].fingerprint }}"

- name: The nodes trust what was added to their bundle of authorities
  exalt.caching.redis_config:
    redis_nodes: ["10.0.0.21:6379"]
    redis_tls: true
    redis_ca_path: /etc/caching/ca.crt
    reload: [tls-ca-cert-file]
  when: bundles is changed
"""

RETURN = r"""
nodes:
  description:
    - The chosen nodes in the order in which they are written. Values are in one form (memory in bytes, secrets as digests).
  returned: success
  type: list
  elements: dict
  contains:
    node: {description: Its address., type: str}
    role: {description: primary or replica., type: str}
    before:
      description: The declared settings as they were. C(certificate served) is a fingerprint, C(files) says whether they were read again.
      type: dict
      sample: {maxmemory: '1073741824'}
    after:
      description: The same as they are now (in check mode, as they would be).
      type: dict
      sample: {maxmemory: '2147483648'}
summary:
  description: Addresses of nodes by what happened to them.
  returned: always, once the nodes were read
  type: dict
  contains:
    created: {description: Always empty., type: list, elements: str}
    updated: {description: Changed., type: list, elements: str}
    deleted: {description: Always empty., type: list, elements: str}
    unchanged: {description: Already as declared., type: list, elements: str}
failures:
  description: What could not be done, each with name, action and error.
  returned: on partial failure
  type: list
  elements: dict
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._redis_settings import FILES
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    source = run.redis
    if source is None:
        raise CachingError("redis_nodes: give at least one node as host:port")
    from ansible_collections.exalt.caching.plugins.module_utils._resources.redis_config import Config  # its library is there now

    return Config(run.params, source).run(run)


def main():
    run_main(work, spec(
        "redis",
        settings={"type": "dict", "default": {}},
        secrets={"type": "dict", "default": {}, "no_log": True},
        fingerprints={"type": "dict", "default": {}},
        reload={"type": "list", "elements": "str", "default": [], "choices": list(FILES)},
        nodes={"type": "list", "elements": "str", "default": ["all"]},
        order={"type": "str", "choices": ["replicas_first", "primaries_first"], "default": "replicas_first"},
        persist={"type": "bool", "default": True},
    ))


if __name__ == "__main__":
    main()
