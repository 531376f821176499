# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The backup that a restore reads: chosen from the catalogue, its shards as plain RDB streams whose digests are checked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import typing as t

import zstandard

from .. import _rdb
from .._errors import CachingError
from .._store import Store
from .replaying import Source


class Backup(t.NamedTuple):
    """What a restore needs to know of a backup."""

    id: str
    taken: str
    key_count: int | None
    versions: set[tuple[str, int]]
    sources: list[Source]


def choose(store: Store, params: t.Mapping[str, t.Any], wanted: str) -> Backup:
    names = sorted(entry.name for entry in store.entries(f"redis/{params['cluster']}") if entry.name.endswith("/manifest.json"))
    manifests = [json.loads(store.get(name) or b"{}") for name in names]
    found = [one for one in manifests if one["id"] == wanted or wanted == "newest" and one["kind"] == "regular"]
    if not found:
        raise CachingError(f"id: there is no backup {wanted}")
    one = found[-1]
    return Backup(
        one["id"], one["started"], sum(shard["key_count"] for shard in one["shards"]), set(), [_source(store, shard) for shard in one["shards"]]
    )


def _source(store: Store, shard: t.Mapping[str, t.Any]) -> Source:
    @contextlib.contextmanager
    def opened() -> t.Iterator[_rdb.Read]:
        told = hashlib.sha256()
        with store.read(shard["object"]) as reader:
            class Raw:
                def read(self, size: int = -1) -> bytes:
                    part = reader.read(size)
                    told.update(part)
                    return part

            with zstandard.ZstdDecompressor().stream_reader(t.cast("t.Any", Raw())) as plain:
                yield plain.read
        if told.hexdigest() != shard["sha256"]:
            raise CachingError(f"{shard['object']}: its digest is not the one in the manifest")

    return Source(shard["slots"], opened)


def verified(store: Store, params: t.Mapping[str, t.Any], wanted: str) -> None:
    for source in choose(store, params, wanted).sources:
        with source.open() as read:
            _rdb.summary(read)


def safety(params: t.Mapping[str, t.Any], cluster: t.Any, store: Store, warn: t.Callable[[str], None]) -> str:
    raise CachingError("not there yet")
