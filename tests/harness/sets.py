# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup sets made by hand, in the layout of `_manifest`: for tests that need many, old, wrong or forged ones."""

from __future__ import annotations

import hashlib
import secrets
import time
import typing as t
from pathlib import Path

import pyrage
import zstandard
from ansible_collections.exalt.caching.plugins.module_utils import _manifest, _rdb

from tests.harness.scratch import Scratch


def put(store: Path, scratch: Scratch, cluster: str = "demo", kind: str = "regular", key: str | None = None, age: str | None = None,
        when: float | None = None, verified: bool = True, change: t.Callable[[dict[str, t.Any]], None] | None = None) -> str:
    """A set of what `scratch` holds now; its id. `change` alters the manifest before it is signed."""
    moment = when or time.time()
    identifier = _manifest.new_id(moment, secrets.token_hex(4))
    folder = store / _manifest.folder(cluster, identifier)
    folder.mkdir(parents=True)
    began = int(moment) * 1000
    shards = []
    for node, path in zip(scratch.primaries(), scratch.saved()):
        plain = path.read_bytes()
        with path.open("rb") as file:
            found = _rdb.summary(file.read)
        stored = zstandard.compress(plain, 1)
        if age:
            stored = pyrage.encrypt(stored, [pyrage.x25519.Recipient.from_str(age)])
        slots = sorted([int(row[0]), int(row[1])] for row in _rows(scratch) if int(row[2][1]) == node.port)
        name = _manifest.shard_object(slots, 1, bool(age))
        (folder / name).write_bytes(stored)
        shards.append({
            "slots": slots, "node": {"id": node.id, "address": node.address, "role": "primary"}, "epoch": 1,
            "server": {"flavour": found.flavour, "version": found.aux.get(f"{found.flavour}-ver", "")}, "replication_id": "0" * 40, "offset": 0,
            "lag_bytes": 0, "began": began, "ended": began, "key_count": found.key_count, "expiring": found.expiring, "rdb_version": found.version,
            "bytes": len(plain), "crc64": plain[-8:].hex(), "trailer": plain[-8:].hex(), "object": name, "stored_bytes": len(stored),
            "sha256": hashlib.sha256(stored).hexdigest(),
        })
    manifest = {
        "format": 1, "kind": kind, "cluster": cluster, "id": identifier, "started": began, "finished": began + 1, "skew_ms": 0, "paused_ms": 0,
        "shards": shards, "records": [], "topology": [], "compression": "zstd", "encryption": "age" if age else None, "job_id": None,
    }
    if change:
        change(manifest)
    document = _manifest.signed("manifest", manifest, key)
    (folder / _manifest.MANIFEST).write_bytes(document)
    if verified:
        record = _manifest.verification(document, "objects", began + 2)
        (folder / _manifest.VERIFIED).write_bytes(_manifest.signed("verification", record, key))
    return identifier


def _rows(scratch: Scratch) -> list[t.Any]:
    answer = scratch.client(scratch.primaries()[0]).execute_command("CLUSTER SLOTS")
    return answer if isinstance(answer, list) else [[first, last, list(entry["primary"])] for (first, last), entry in answer.items()]
