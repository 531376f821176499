# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The backup that a restore reads: chosen from the catalogue, its shards as plain RDB streams whose digests are checked."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import re
import typing as t

from .. import _manifest, _pack, _rdb
from .._errors import CachingError, one_line
from .._store import Store
from .replaying import Source

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:?\d\d)?")


class Backup(t.NamedTuple):
    """What a restore needs to know of a backup. ``versions``: flavour and RDB version of each shard."""

    id: str
    taken: str
    key_count: int
    versions: set[tuple[str, int]]
    sources: list[Source]
    signature: str


def choose(store: Store, params: t.Mapping[str, t.Any], wanted: str) -> Backup:
    """The backup with this id, or the newest verified regular one (before a time)."""
    cluster, key = _manifest.cluster_name(params["cluster"]), params.get("signing_key")
    if _manifest.is_id(wanted):
        return _opened(store, cluster, wanted, params)
    before = _before(wanted)
    folder = _manifest.folder(cluster) + "/"
    names = {entry.name.removeprefix(folder) for entry in store.entries(_manifest.folder(cluster))}
    reasons = []
    for identifier in sorted((name.partition("/")[0] for name in names if name.endswith("/" + _manifest.MANIFEST)), reverse=True):
        if before is not None and (_manifest.time_of(identifier) or 0) >= before:
            continue
        try:
            found, kind, verified_ = _look(store, cluster, identifier, key)
        except CachingError as error:
            reasons.append(f"{identifier}: {error.message}")
            continue
        if kind == "regular" and verified_:
            return _backup(store, found, params)
    told = f"; {'; '.join(reasons[:3])}" if reasons else ""
    when = "" if before is None else f" from before {wanted}"
    raise CachingError(f"id: there is no verified regular backup of {cluster}{when} in the store{told}")


def _before(wanted: str) -> int | None:
    if wanted == "newest":
        return None
    if not _TIME.fullmatch(wanted):
        raise CachingError(f"id: {one_line(repr(wanted), 60)} is neither newest, nor an id such as 20261120T030000Z-0123abcd, nor a time")
    try:
        moment = datetime.datetime.fromisoformat(wanted.replace("Z", "+00:00"))
    except ValueError:
        raise CachingError(f"id: {one_line(repr(wanted), 60)} is no time") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp() * 1000)


def _look(store: Store, cluster: str, identifier: str, key: str | None) -> tuple[tuple[_manifest.Content, str], str, bool]:
    folder = _manifest.folder(cluster, identifier)
    document = store.get(f"{folder}/{_manifest.MANIFEST}")
    if document is None:
        raise CachingError(f"id: there is no backup {identifier} of {cluster} in the store")
    content, signature = _manifest.opened("manifest", document, key)
    manifest = _manifest.checked(content, cluster, identifier)
    record = store.get(f"{folder}/{_manifest.VERIFIED}")
    verified_ = record is not None and _manifest.verifies(_manifest.opened("verified", record, key)[0], document)
    return (manifest, signature), manifest["kind"], verified_


def _opened(store: Store, cluster: str, identifier: str, params: t.Mapping[str, t.Any]) -> Backup:
    return _backup(store, _look(store, cluster, identifier, params.get("signing_key"))[0], params)


def _backup(store: Store, found: tuple[_manifest.Content, str], params: t.Mapping[str, t.Any]) -> Backup:
    manifest, signature = found
    if manifest["encryption"] and not params.get("identities"):
        raise CachingError(f"identities: the backup {manifest['id']} is encrypted; give an age identity that can decrypt it")
    folder = _manifest.folder(manifest["cluster"], manifest["id"])
    shards = sorted(manifest["shards"], key=lambda shard: shard["slots"])
    return Backup(
        manifest["id"], _manifest.iso(manifest["started"]), sum(shard["key_count"] for shard in shards),
        {(shard["server"]["flavour"], shard["rdb_version"]) for shard in shards},
        [_source(store, f"{folder}/{shard['object']}", shard, manifest["encryption"] == "age", params.get("identities") or []) for shard in shards],
        signature,
    )


def _source(store: Store, name: str, shard: _manifest.Content, encrypted: bool, identities: t.Sequence[str]) -> Source:
    keys = _pack.identities(identities) if encrypted else []

    @contextlib.contextmanager
    def opened() -> t.Iterator[_rdb.Read]:
        told = hashlib.sha256()
        with store.read(name) as reader:
            if reader.size != shard["stored_bytes"]:
                raise CachingError(f"{name}: it has {reader.size} bytes, and the manifest says {shard['stored_bytes']}")

            def stored() -> t.Iterator[bytes]:
                for piece in reader:
                    told.update(piece)
                    yield piece

            pieces = _pack.unpack(stored(), encrypted, keys)
            try:
                yield lambda _size: next(pieces, b"")
            except CachingError as error:
                raise CachingError(f"{name}: {error.message}") from None
        if told.hexdigest() != shard["sha256"]:
            raise CachingError(f"{name}: its digest is not the one in the manifest: it was changed")

    return Source(_manifest.ranges(shard["slots"]), opened)


def verified(store: Store, params: t.Mapping[str, t.Any], identifier: str) -> None:
    """Read all of a backup: it can be restored, else an error says why not."""
    for source in choose(store, params, identifier).sources:
        with source.open() as read:
            _rdb.summary(read)


def safety(params: t.Mapping[str, t.Any], cluster: t.Any, store: Store, warn: t.Callable[[str], None]) -> str:
    raise CachingError("not there yet")
