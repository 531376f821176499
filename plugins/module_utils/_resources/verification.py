# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a backup can still be read: its objects against their digests, and what is inside them against the manifest."""

from __future__ import annotations

import json
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .. import _manifest, _rdb
from .._errors import CachingError
from .._manifest import Content
from .._pack import Damaged
from .._stream import crc64
from .catalogue import Catalogue, Set

LEVELS = ("none", "objects", "structure", "load")
_TRAILER = 8


def verify(catalogue: Catalogue, one: Set, level: str) -> str:
    """Read the set at this level; an error where it is not what was written. Returns the level that was reached:
    ``checksums`` lies between ``objects`` and ``structure``, and what is inside can only be seen with an identity."""
    inside = level != "objects" and (one.manifest["encryption"] is None or bool(catalogue.identities))
    for entry in one.manifest["records"]:
        if inside:
            _record(catalogue, one, entry)
        else:
            catalogue.digest(one, entry)
    check = _checksum if level == "checksums" else _structure

    def look(shard: Content) -> None:
        if inside:
            check(catalogue, one, shard)
        else:
            catalogue.digest(one, shard)

    with ThreadPoolExecutor(4) as threads:
        for _none in threads.map(look, one.manifest["shards"]):
            pass
    return level if inside else "objects"


def _record(catalogue: Catalogue, one: Set, entry: Content) -> None:
    try:
        json.loads(catalogue.record(one, entry))
    except ValueError:
        raise Damaged(f"{entry['object']} can't be read: it is no JSON") from None


def _checksum(catalogue: Catalogue, one: Set, shard: Content) -> None:
    """Decompressed to the end: the length, and the CRC-64 that was taken from the stream."""
    crc, size, kept = 0, 0, b""
    for piece in catalogue.shard(one, shard):
        size += len(piece)
        data = kept + piece if kept else piece
        end = max(0, len(data) - _TRAILER)
        crc = crc64(memoryview(data)[:end], crc)
        kept = data[end:]
    if (size, f"{crc:016x}") != (shard["bytes"], shard["crc64"]):
        raise Damaged(f"{shard['object']}: inside is not what came from the node")


def _structure(catalogue: Catalogue, one: Set, shard: Content) -> None:
    """Every record of the RDB, its own checksum, and the counts."""
    pieces = catalogue.shard(one, shard)
    rest = memoryview(b"")

    def read(most: int) -> bytes:
        nonlocal rest
        if not len(rest):
            rest = memoryview(next(pieces, b""))
        taken = bytes(rest[:most])
        rest = rest[most:]
        return taken

    try:
        found = _rdb.summary(read)
    except _rdb.RdbError as error:
        raise Damaged(f"{shard['object']}: {error.message}") from None
    told = (shard["key_count"], shard["expiring"], shard["rdb_version"])
    seen = (found.key_count, found.expiring, found.version)
    if told != seen:
        raise Damaged(f"{shard['object']}: keys, expiring keys and RDB version are {seen}, and the manifest says {told}")
    while read(1 << 20):
        pass  # to the digest behind the last byte


def survey(catalogue: Catalogue, sets: t.Iterable[Set], level: str) -> None:
    """Verify every set that counts so far; one that does not hold gets its problem, and one that does its level."""
    for one in sets:
        if one.problem or level == "none":
            continue
        try:
            reached = verify(catalogue, one, level)
        except CachingError as error:
            one.problem, one.verified = error.message, None
        else:
            one.verified = reached if _rank(reached) > _rank(one.verified) else one.verified


def _rank(level: str | None) -> int:
    order = (None, "objects", "checksums", "structure", "load")
    return order.index(level) if level in order else 0


def names(one: Set) -> list[str]:
    """Everything of a set, its manifest first: what is left of a removal that breaks off counts for nothing, and is collected."""
    files = [_manifest.MANIFEST, *(entry["object"] for entry in _manifest.objects(one.manifest)), _manifest.VERIFIED]
    return [f"{name}" for name in files]
