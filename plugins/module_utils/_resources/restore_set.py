# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The backup that a restore reads: chosen from the catalogue, its shards as plain RDB streams whose digests are checked."""

from __future__ import annotations

import contextlib
import typing as t

from .. import _manifest, _rdb
from .._errors import CachingError, one_line
from .._progress import Progress
from .._redis import Redis
from .._store import Store
from .._stream import ANYCRC_ERROR
from . import backup, verification
from .catalogue import Catalogue, Set
from .replaying import Source


class Backup(t.NamedTuple):
    """What a restore needs to know of a backup. ``versions``: flavour and RDB version of each shard."""

    id: str
    taken: str
    key_count: int
    versions: set[tuple[str, int]]
    sources: list[Source]
    signature: str
    stored_bytes: int
    encrypted: bool


def choose(store: Store, params: t.Mapping[str, t.Any], wanted: str) -> Backup:
    """The backup with this id, or the newest verified regular one (before a time)."""
    if ANYCRC_ERROR:
        raise CachingError("a restore needs the Python library anycrc on the host where the module runs")
    catalogue = Catalogue.of(store, params)
    try:
        found = catalogue.resolve(wanted)
    except CachingError as error:
        if _manifest.is_id(wanted):
            raise
        bad = [f"{one.id}: {one.problem}" for one in catalogue.sets() if one.problem]
        raise CachingError(error.message + (f" ({'; '.join(bad[:3])})" if bad else "")) from None
    shards = sorted(found.manifest["shards"], key=lambda shard: t.cast("list[list[int]]", shard["slots"]))
    if found.manifest["encryption"]:
        _unlocked(catalogue, found, shards[0])
    return Backup(
        found.id, _manifest.iso(found.started), sum(shard["key_count"] for shard in shards),
        {(shard["server"]["flavour"], shard["rdb_version"]) for shard in shards},
        [_source(catalogue, found, shard) for shard in shards], found.signature,
        sum(shard["stored_bytes"] for shard in shards), bool(found.manifest["encryption"]),
    )


def _unlocked(catalogue: Catalogue, found: Set, shard: _manifest.Content) -> None:
    """Whether an identity fits, by the begin of one shard, before anything else is done."""
    to = [one_line(one, 80) for one in found.manifest.get("recipients") or []]
    whose = f" to {', '.join(to[:3])}{' and others' if len(to) > 3 else ''}" if to else ""
    told = f"the backup {found.id} is encrypted{whose}"
    if not catalogue.identities:
        raise CachingError(f"identities: {told}; give an identity that can decrypt it (caching_identities)")
    pieces = catalogue.shard(found, shard)
    try:
        next(pieces, b"")
    except CachingError as error:
        if error.message.startswith("identities: "):
            raise CachingError(f"identities: {told}, and none of the {len(catalogue.identities)} that are given can decrypt it (caching_identities)") from None
        raise CachingError(f"the shard {_manifest.ranges(shard['slots'])} of the backup {found.id}: {error.message}") from None
    finally:
        t.cast("t.Generator[bytes]", pieces).close()


def _source(catalogue: Catalogue, found: Set, shard: _manifest.Content) -> Source:
    name = _manifest.ranges(shard["slots"])

    @contextlib.contextmanager
    def opened() -> t.Iterator[_rdb.Read]:
        pieces = catalogue.shard(found, shard)

        def read(_size: int) -> bytes:
            try:
                return next(pieces, b"")
            except CachingError as error:
                raise CachingError(f"the shard {name} of the backup {found.id}: {error.message}") from None

        try:
            yield read
        finally:
            t.cast("t.Generator[bytes]", pieces).close()

    return Source(name, opened)


def verified(store: Store, params: t.Mapping[str, t.Any], identifier: str) -> None:
    """Read all of a backup: it is what was written, else an error says why not."""
    catalogue = Catalogue.of(store, {**params, "identities": ()})
    verification.verify(catalogue, catalogue.load(identifier), "checksums")


def safety(params: t.Mapping[str, t.Any], cluster: Redis, store: Store, warn: t.Callable[[str], None]) -> str:
    """A verified backup of the target, of the kind safety; its id."""
    options = {
        "kind": "safety", "max_age": "PT0S", "read_from": "replicas", "max_lag": "PT10S", "parallel": 0, "compression_level": 1,
        "quiesce": "PT0S", "verify": True, "bandwidth_limit": 0, "uncompressed_source": False, "job_id": None,
    }
    job = backup.Backup({**params, **options}, cluster, store, warn)
    job.prepare()
    made = job.take(Progress(None, "safety backup", warn))
    if not made["verified"]:
        raise CachingError(f"the safety backup {made['id']} of the target does not verify; nothing was written")
    return str(made["id"])
