# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The backups of one cluster, as the store has them: listed, loaded and checked, chosen, and opened as streams.

A set counts only if its manifest is the one that was signed, all its objects are there in their sizes, and it is not of the
future. Everything else stands in ``problems``, with the reason.
"""

from __future__ import annotations

import datetime
import hashlib
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .. import _manifest
from .._errors import CachingError, one_line
from .._manifest import MANIFEST, VERIFIED, Content, ManifestError
from .._pack import Damaged, identities, unpack
from .._store import Entry, Store

_AHEAD = 3600 * 1000  # clocks differ by less than this


@dataclass
class Set:
    """One backup. ``problem``: why it does not count; ``manifest`` is empty where that could not be read."""

    id: str
    manifest: Content = field(default_factory=dict)
    problem: str = ""
    signature: str = ""  # good | unchecked | none
    verified: str | None = None  # the level that was reached when it was verified
    held: bool = False

    @property
    def started(self) -> int:
        """Milliseconds since 1970: as the manifest says, else as the id does."""
        return int(self.manifest.get("started") or _manifest.time_of(self.id) or 0)

    @property
    def kind(self) -> str:
        return str(self.manifest.get("kind", "regular"))


class Catalogue:
    """The sets of ``cluster``. ``key`` and the ``previous`` ones check signatures; without one they are believed."""

    def __init__(self, store: Store, cluster: str, key: str | None = None, decrypt_with: t.Sequence[str] = (), previous: t.Sequence[str] = ()) -> None:
        self.store = store
        self.cluster = _manifest.cluster_name(cluster)
        self.key = key or None
        self.previous = previous
        self.identities = identities(decrypt_with)
        self.now: t.Callable[[], float] = time.time
        self.still: t.Callable[[], None] = lambda: None   # called while objects are read; it may raise

    @classmethod
    def of(cls, store: Store, params: t.Mapping[str, t.Any]) -> Catalogue:
        """As a module's options say."""
        return cls(store, params["cluster"], params.get("signing_key"), params.get("identities") or (), params.get("previous_signing_keys") or ())

    # ---- reading

    def sets(self) -> list[Set]:
        """Every set that has a manifest, the newest first."""
        inside = self._inside()
        complete = [identifier for identifier in inside if MANIFEST in inside[identifier] and _manifest.is_id(identifier)]
        held = set(inside.get("holds", {}))
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda identifier: self._set(identifier, inside[identifier], held), sorted(complete, reverse=True)))
        return sorted(found, key=lambda one: (one.started, one.id), reverse=True)

    def load(self, identifier: str) -> Set:
        """One set, as it is now; an error where it does not count."""
        if not _manifest.is_id(identifier):
            raise CachingError(f"id: {one_line(repr(identifier), 60)} is no id of a backup; redis_backup_info lists them")
        prefix = _manifest.folder(self.cluster, identifier)
        there = {entry.name.removeprefix(f"{prefix}/"): entry for entry in self.store.entries(prefix)}
        if MANIFEST not in there:
            told = "it is incomplete: it has no manifest" if there else f"there is none of this id for the cluster {self.cluster}"
            raise CachingError(f"the backup {identifier} can't be used: {told}")
        held = {identifier} if self.store.get(f"{_manifest.folder(self.cluster)}/holds/{identifier}") is not None else set()
        found = self._set(identifier, there, held)
        if found.problem:
            raise CachingError(f"the backup {identifier} can't be used: {found.problem}")
        return found

    def newest(self, kind: str = "regular", before: int | None = None, found: t.Sequence[Set] | None = None) -> Set | None:
        """The newest verified set of a kind, begun before a time (milliseconds since 1970); None where there is none."""
        rows = self.sets() if found is None else found
        fitting = (one for one in rows if not one.problem and one.verified and one.kind == kind)
        return next((one for one in fitting if before is None or one.started < before), None)

    def resolve(self, wanted: str) -> Set:
        """``newest``, an id, or a time (ISO-8601): the newest verified regular one before it."""
        if _manifest.is_id(wanted):
            return self.load(wanted)
        before = None if wanted == "newest" else _moment(wanted)
        found = self.newest(before=before)
        if found is None:
            when = "" if before is None else f" before {_manifest.iso(before)}"
            raise CachingError(f"there is no verified regular backup of {self.cluster}{when} in the store")
        return found

    def leftovers(self) -> dict[str, list[Entry]]:
        """Objects of sets without a manifest, by id."""
        inside = self._inside()
        return {
            identifier: [entry._replace(name=f"{_manifest.folder(self.cluster, identifier)}/{name}") for name, entry in there.items()]
            for identifier, there in sorted(inside.items())
            if _manifest.is_id(identifier) and MANIFEST not in there
        }

    # ---- opening

    def shard(self, one: Set, shard: Content) -> t.Iterator[bytes]:
        """The RDB of a shard, decrypted and decompressed. At its end the digest of what was read is checked: read it to the end."""
        return self._stream(one, shard)

    def record(self, one: Set, record: Content) -> bytes:
        """A record of the nodes (settings, ACL), whole."""
        return b"".join(self._stream(one, record))

    def digest(self, one: Set, entry: Content, seen: t.Callable[[int], None] = lambda _bytes: None) -> None:
        """Read an object to its end and compare its digest: an error where it is another."""
        for piece in self.raw(one, entry):
            seen(len(piece))

    def raw(self, one: Set, entry: Content) -> t.Iterator[bytes]:
        """An object as it is stored, checked against the manifest on the way."""
        name = f"{_manifest.folder(self.cluster, one.id)}/{entry['object']}"
        sha256, size = hashlib.sha256(), 0
        with self.store.read(name) as reader:
            for piece in reader:
                self.still()
                sha256.update(piece)
                size += len(piece)
                yield piece
        if size != entry["stored_bytes"] or sha256.hexdigest() != entry["sha256"]:
            raise Damaged(f"{entry['object']} is not what was written: its digest differs from the manifest's")

    def _stream(self, one: Set, entry: Content) -> t.Iterator[bytes]:
        raw = self.raw(one, entry)
        yield from unpack(raw, one.manifest["encryption"] == "age", self.identities)
        for _rest in raw:  # the digest is compared behind the last piece
            raise Damaged(f"{entry['object']}: bytes follow its end")

    # ---- inside

    def _inside(self) -> dict[str, dict[str, Entry]]:
        """What is in the store, by the folder below the cluster's and the name in it."""
        prefix = _manifest.folder(self.cluster)
        result: dict[str, dict[str, Entry]] = {}
        for entry in self.store.entries(prefix):
            identifier, _slash, name = entry.name.removeprefix(f"{prefix}/").partition("/")
            result.setdefault(identifier, {})[name] = entry
        return result

    def _set(self, identifier: str, there: t.Mapping[str, Entry], held: t.Collection[str]) -> Set:
        one = Set(identifier, held=identifier in held)
        prefix = _manifest.folder(self.cluster, identifier)
        document = self.store.get(f"{prefix}/{MANIFEST}")
        if document is None:
            one.problem = "its manifest is gone"
            return one
        try:
            content, one.signature = _manifest.opened("manifest", document, self.key, self.previous)
            one.manifest = _manifest.checked(content, self.cluster, identifier)
        except ManifestError as error:
            one.problem = error.message
            return one
        one.problem = _missing(one.manifest, there)
        if not one.problem and one.started > self.now() * 1000 + _AHEAD:
            one.problem = f"it says that it was taken in the future, at {_manifest.iso(one.started)}"
        if not one.problem and VERIFIED in there:
            one.verified = self._verified(prefix, document, one)
        return one

    def _verified(self, prefix: str, document: bytes, one: Set) -> str | None:
        try:
            content, _signature = _manifest.opened("verification", self.store.get(f"{prefix}/{VERIFIED}") or b"", self.key, self.previous)
        except ManifestError as error:
            one.problem = error.message
            return None
        if not _manifest.verifies(content, document):
            one.problem = "verification: it is that of another manifest"
            return None
        return str(content.get("level"))


def _missing(manifest: Content, there: t.Mapping[str, Entry]) -> str:
    """What the listing says of the objects: gone, or of another size."""
    for entry in _manifest.objects(manifest):
        found = there.get(entry["object"])
        if found is None:
            return f"{entry['object']} is gone"
        if found.size != entry["stored_bytes"]:
            return f"{entry['object']} has {found.size} bytes, and {entry['stored_bytes']} were written"
    return ""


def _moment(text: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise CachingError(f"id: {one_line(repr(text), 60)} is neither newest, nor an id, nor a time such as 2026-11-25T03:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp() * 1000)
