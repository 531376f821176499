#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: store_documents
short_description: Keep records in the store, signed, with secrets encrypted
description:
  - Keeps sets of JSON documents, such as saved configurations, records of runs and of changes, incidents and drills.
  - A set is never changed. The same documents under the same O(id) change nothing; others under that id are an error. Without an
    O(id) a new set is made, unless the newest set of its O(kind) holds the same.
  - With O(signing_key) the set is signed (HMAC-SHA256 over canonical JSON), and a set that is there is checked first.
  - Documents that are secret are encrypted with age to O(encrypt_to), or refused. The diff shows digests only.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  kind:
    description: The kind of the records, such as V(configuration), V(runs) or V(incidents).
    type: str
    required: true
  id:
    description: Name of the set. Time and a random part where it is not given.
    type: str
  documents:
    description: The documents of the set.
    type: list
    elements: dict
    suboptions:
      name:
        description: Its name in the set.
        type: str
        required: true
      content:
        description: Anything that JSON can hold.
        type: raw
        required: true
      secret:
        description: Encrypt it. The task has to say C(no_log=true) then.
        type: bool
        default: false
  encrypt_to:
    description: Public keys that secrets are encrypted to, of age (C(age1…)) or SSH.
    type: list
    elements: str
    default: []
  signing_key:
    description: Key of the signature. Without it there is a warning.
    type: str
  previous_signing_keys:
    description: Keys that were O(signing_key) before. What was signed with one of them is good, too; nothing is signed with them any more.
    type: list
    elements: str
    default: []
  state:
    description: Whether the set is there.
    type: str
    choices: [present, absent]
    default: present
attributes:
  idempotent:
    description: Without O(signing_key) secrets can't be compared with those that are there, and count as the same.
    support: full
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.store
"""

EXAMPLES = r"""
- name: Keep what was changed
  exalt.caching.store_documents:
    store_url: s3://exalt-cache-backups/production-eu
    kind: changes
    signing_key: "{{ signing_key }}"
    documents:
      - name: change
        content:
          object: region products
          before: {default_ttl: PT1H}
          after: {default_ttl: PT2H}

- name: Keep a secret
  exalt.caching.store_documents:
    store_url: s3://exalt-cache-backups/production-eu
    kind: configuration
    id: before-upgrade-4711
    signing_key: "{{ signing_key }}"
    encrypt_to: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
    documents:
      - name: service-secret
        secret: true
        content: "{{ secret_data }}"
  no_log: true
"""

RETURN = r"""
id:
  description: Name of the set; null in check mode, where it would be made.
  returned: success
  type: str
documents:
  description: The documents as they are stored, without their contents.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Its name., type: str}
    secret: {description: Whether it is encrypted., type: bool}
    size: {description: Bytes of its JSON., type: int}
    sha256: {description: Digest of the stored object., type: str}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._resources import documents
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    job = documents.Job(run.store, run.params, run.hidden)
    for text in job.warnings:
        run.warn(text)
    changed, planned = job.plan()
    return apply(run, changed, planned, job.act)


def main():
    run_main(work, spec(
        "store",
        kind={"type": "str", "required": True},
        id={"type": "str"},
        documents={"type": "list", "elements": "dict", "options": {
            "name": {"type": "str", "required": True},
            "content": {"type": "raw", "required": True},
            "secret": {"type": "bool", "default": False, "no_log": False},
        }},
        encrypt_to={"type": "list", "elements": "str", "default": []},
        signing_key={"type": "str", "no_log": True},
        previous_signing_keys={"type": "list", "elements": "str", "default": [], "no_log": True},
        state={"type": "str", "choices": ["present", "absent"], "default": "present"},
    ), required_if=[("state", "present", ["documents"]), ("state", "absent", ["id"])])


if __name__ == "__main__":
    main()
