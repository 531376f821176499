#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: store_documents_info
short_description: Read records from the store
description:
  - Lists the sets of a kind, or returns one of them with its contents, checked against its signature and digests.
  - A set that was tampered with stands in RV(problems), and is never the newest.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  kind:
    description: The kind of the records.
    type: str
  kinds:
    description: Several kinds instead of O(kind), read one after the other.
    type: list
    elements: str
  id:
    description: The set to return with its contents. One that is not whole is an error; one that is not there is an empty list in RV(documents).
    type: str
  newest:
    description: Return the newest set that is whole, with its contents.
    type: bool
    default: false
  signing_key:
    description: Key of the signature. With it, what is not signed by it is a problem.
    type: str
  previous_signing_keys:
    description: Keys that were O(signing_key) before. What was signed with one of them is good, too; nothing is signed with them any more.
    type: list
    elements: str
    default: []
  identities:
    description: Private keys, of age or SSH, to decrypt secrets. Without one their content is null.
    type: list
    elements: str
    default: []
attributes:
  idempotent:
    support: full
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.attributes.info
  - exalt.caching.store
"""

EXAMPLES = r"""
- name: The last saved configuration
  exalt.caching.store_documents_info:
    store_url: s3://exalt-cache-backups/production-eu
    kind: configuration
    newest: true
    signing_key: "{{ signing_key }}"
    identities: ["{{ identity }}"]
  register: saved
  no_log: true
"""

RETURN = r"""
documents:
  description: The documents of the sets, newest set first.
  returned: success
  type: list
  elements: dict
  contains:
    kind: {description: Its kind., type: str}
    id: {description: Name of the set., type: str}
    name: {description: Name of the document., type: str}
    content: {description: 'What it holds; null in a list, and for secrets without an identity.', type: raw}
    secret: {description: Whether it is encrypted., type: bool}
    size: {description: Bytes of its JSON., type: int}
    sha256: {description: Digest of the stored object., type: str}
    age: {description: Seconds by the store's clock., type: float}
    signature: {description: 'V(good), V(unchecked) (no key was given) or V(none).', type: str}
problems:
  description: Sets that are not whole.
  returned: success
  type: list
  elements: dict
  contains:
    kind: {description: Its kind., type: str}
    id: {description: Name of the set., type: str}
    reason: {description: What is wrong with it., type: str}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._resources import documents
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    return {"changed": False, **documents.look(run.store, run.params)}


def main():
    run_main(work, spec(
        "store",
        kind={"type": "str"},
        kinds={"type": "list", "elements": "str"},
        id={"type": "str"},
        newest={"type": "bool", "default": False},
        signing_key={"type": "str", "no_log": True},
        previous_signing_keys={"type": "list", "elements": "str", "default": [], "no_log": True},
        identities={"type": "list", "elements": "str", "default": [], "no_log": True},
    ), mutually_exclusive=[("id", "newest"), ("kind", "kinds"), ("id", "kinds")], required_one_of=[("kind", "kinds")])


if __name__ == "__main__":
    main()
