# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups without a cluster: one empty shard, in a store, of any time and kind. They verify at every level but `load`."""

from __future__ import annotations

import secrets
import struct
import typing as t

from ansible_collections.exalt.caching.plugins.module_utils import _manifest
from ansible_collections.exalt.caching.plugins.module_utils._pack import pack
from ansible_collections.exalt.caching.plugins.module_utils._store import Store
from ansible_collections.exalt.caching.plugins.module_utils._stream import crc64

EMPTY = b"REDIS0011\xff"
RDB = EMPTY + struct.pack("<Q", crc64(EMPTY))


def make(store: Store, cluster: str, at: float, kind: str = "regular", key: str | None = None, *, complete: bool = True, verified: bool = True,
         change: t.Callable[[dict[str, t.Any]], None] | None = None) -> str:
    """Its id. `complete`: whether it has a manifest; `change` alters that before it is signed."""
    identifier = _manifest.new_id(at, secrets.token_hex(4))
    prefix, began = _manifest.folder(cluster, identifier), int(at) * 1000
    name = _manifest.shard_object([[0, 16383]], 1, False)
    with store.write(f"{prefix}/{name}") as writer:
        pack(iter([RDB]), writer.write, 1, [])
    if not complete:
        return identifier
    crc = f"{crc64(EMPTY):016x}"
    manifest: dict[str, t.Any] = {
        "format": 1, "kind": kind, "cluster": cluster, "id": identifier, "started": began, "finished": began + 1, "skew_ms": 0, "paused_ms": 0,
        "shards": [{
            "slots": [[0, 16383]], "node": {"id": "0" * 40, "address": "10.0.0.1:6379", "role": "replica"}, "epoch": 1,
            "server": {"flavour": "redis", "version": "7.0.15"}, "replication_id": "0" * 40, "offset": 0, "lag_bytes": 0, "began": began,
            "ended": began, "key_count": 0, "expiring": 0, "rdb_version": 11, "bytes": len(RDB), "crc64": crc, "trailer": crc, "object": name,
            "stored_bytes": writer.size, "sha256": writer.sha256,
        }],
        "records": [], "topology": [], "compression": "zstd", "encryption": None, "job_id": None,
    }
    if change:
        change(manifest)
    document = _manifest.signed("manifest", manifest, key)
    store.put_if_absent(f"{prefix}/{_manifest.MANIFEST}", document)
    if verified:
        record = _manifest.verification(document, "checksums", began + 2)
        store.put_if_absent(f"{prefix}/{_manifest.VERIFIED}", _manifest.signed("verification", record, key))
    return identifier
