# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Taking a backup (S104 to S109): planned, taken shard by shard, its manifest written last, then read back."""

from __future__ import annotations

import secrets
import signal
import threading
import time
import typing as t

from .. import _backup_plan, _manifest
from .._backup_plan import Source
from .._duration import parse
from .._errors import CachingError
from .._manifest import Content
from .._pack import ZSTANDARD_ERROR, pack, recipients
from .._redis import Redis
from .._store import Store
from .._stream import ANYCRC_ERROR
from . import backup_life, backup_nodes, verification
from .backup_shards import Settings, Shards
from .backup_sources import Sources
from .catalogue import Catalogue, Set
from .operation_lock import Held

if t.TYPE_CHECKING:
    from .._progress import Progress


class Backup:
    """One backup of the cluster behind ``redis`` into ``store``, as the options say."""

    def __init__(self, params: t.Mapping[str, t.Any], redis: Redis, store: Store, warn: t.Callable[[str], None]) -> None:
        for missing, library in ((ZSTANDARD_ERROR, "zstandard"), (ANYCRC_ERROR, "anycrc")):
            if missing:
                raise CachingError(f"a backup needs the Python library {library} on the host where the module runs")
        self.params = params
        self.key = params["signing_key"] or None
        self.recipients = recipients(params["encrypt_to"] or [])
        self.quiesce = float(parse(params["quiesce"], "quiesce"))
        self.max_age = float(parse(params["max_age"], "max_age"))
        _bounded(params, self.quiesce)
        self.warn = warn
        self.store = store
        self.held = Held(store, params.get("lock"))
        self.catalogue = Catalogue.of(store, {**params, "identities": ()})
        lag = float(parse(params["max_lag"], "max_lag"))
        self.sources = Sources(redis, params["redis_username"], params["read_from"], lag, warn)
        self.plan: list[Source] = []

    # ---- what is there, and what would be done

    def recent(self) -> Set | None:
        """The backup that makes another one needless."""
        if not self.max_age:
            return None
        found = self.catalogue.newest()
        return found if found and time.time() - found.started / 1000 < self.max_age else None

    def prepare(self) -> None:
        """Choose the nodes, and refuse where a backup would be no whole one or would do harm, or could not be kept."""
        self.store.entries(f"{_manifest.folder(self.catalogue.cluster)}/holds")   # a store that can't be read is told before anything else
        self.plan = self.sources.plan()
        views = list(self.sources.views.values())
        told = _backup_plan.head_room(views, self.plan, self.params["parallel"])
        told += [text for source in self.plan if (text := _backup_plan.disk(self.sources.view(source.address), self._by_file(source)))]
        if told:
            raise CachingError(f"{'; '.join(told)}. Nothing was started" + ("; parallel: 1 needs less" if "forks" in told[0] else ""))
        if not self.key:
            self.warn("signing_key is not given: nobody can tell later whether this backup was changed in the store")

    def diff(self) -> dict[str, t.Any]:
        """The same in check mode: a shard may come from another node than was planned, but not with other slots."""
        return {"before": {}, "after": {"backup": self.params["kind"], "shards": [source.label for source in self.plan]} if self.plan else {}}

    def _by_file(self, source: Source) -> bool:
        """Whether the node will write a file of its own before it sends."""
        if self.quiesce:
            return True
        try:
            found = self.sources.client(source.address).config_get("repl-diskless-sync")
        except Exception:  # a user who may not look; the default is without a file
            return False
        return any(value in (b"no", "no") for value in found.values())

    # ---- doing it

    def take(self, progress: Progress) -> Content:
        begun = time.time()
        identifier = _manifest.new_id(begun, secrets.token_hex(4))
        prefix = _manifest.folder(self.catalogue.cluster, identifier)
        settings = Settings(
            self.params["compression_level"], self.recipients, self.params["bandwidth_limit"], self.params["parallel"], self.quiesce)
        self.held.look()
        self._collect()

        def seen(done: int, status: str) -> None:
            self.held.keep()
            progress.step(done, None, status or "beginning")

        with _Terminated(), backup_life.Life(self.catalogue, identifier), backup_nodes.Uncompressed(self.catalogue, self.sources) as plain:
            for address in plain.restore_marked():
                self.warn(f"{address}: rdbcompression was put back, which an earlier run could not do")
            if self.params["uncompressed_source"]:
                plain.set((source.id, source.address) for source in self.plan)
            shards = Shards(self.sources, self.store, prefix, self.plan, settings)
            taken: list[Content] = []
            try:
                taken = shards.take(seen)
                self._same_slots(taken)
                records = self._records(prefix)
                manifest = self._manifest(identifier, begun, shards, taken, records)
                self._all_there(prefix, manifest)
                self.held.look()
                document = _manifest.signed("manifest", manifest, self.key)
                if not self.store.put_if_absent(f"{prefix}/{_manifest.MANIFEST}", document):
                    raise CachingError(f"{prefix}/{_manifest.MANIFEST} is in the store already: another run has this id")
            except BaseException:
                self._clean(prefix)
                raise
        seconds = time.time() - begun
        verified, verify_seconds = self._verify(manifest, document, progress) if self.params["verify"] else (False, 0.0)
        return {**result(manifest, verified), "seconds": round(seconds, 3), "verify_seconds": round(verify_seconds, 3)}

    def _collect(self) -> None:
        """What runs that died have left is removed first: it may be what fills the store."""
        found = backup_life.leftovers(self.catalogue)
        if found.names:
            backup_life.collect(self.catalogue, found)

    def _same_slots(self, taken: t.Sequence[Content]) -> None:
        """After the last shard: every slot is still where it was, so none was missed or taken twice."""
        now = sorted(source.slots for source in self.sources.plan())
        then = sorted(tuple(tuple(pair) for pair in entry["slots"]) for entry in taken)
        if now != then:
            raise CachingError("slots have moved to other nodes while the backup ran: run it again")

    def _records(self, prefix: str) -> list[Content]:
        """The nodes' settings and ACL users, as one object."""
        document = backup_nodes.document(self.sources, secrets=bool(self.recipients))
        for node in document["nodes"]:
            for what, why in node["unread"].items():
                self.sources.once(f"{what} of {node['address']} are not in the backup: {why}")
        name = _manifest.nodes_object(bool(self.recipients))
        with self.store.write(f"{prefix}/{name}") as writer:
            pack(iter([_manifest.canonical(document)]), writer.write, self.params["compression_level"], self.recipients)
        return [{"object": name, "stored_bytes": writer.size, "sha256": writer.sha256, "secrets": "encrypted" if self.recipients else "left out"}]

    def _manifest(self, identifier: str, begun: float, shards: Shards, taken: list[Content], records: list[Content]) -> Content:
        starts = [entry["began"] for entry in taken]
        content: Content = {
            "format": _manifest.FORMAT, "kind": self.params["kind"], "cluster": self.catalogue.cluster, "id": identifier,
            "started": int(begun * 1000), "finished": int(time.time() * 1000), "skew_ms": max(starts) - min(starts), "paused_ms": shards.paused_ms,
            "shards": taken, "records": records, "topology": backup_nodes.topology(self.sources), "compression": "zstd",
            "encryption": "age" if self.recipients else None, "recipients": list(self.params["encrypt_to"] or []), "job_id": self.params["job_id"] or None,
        }
        return _manifest.checked(content, self.catalogue.cluster, identifier)

    def _all_there(self, prefix: str, manifest: Content) -> None:
        """A run that stood still for long may have been taken for dead, and cleaned up after."""
        sizes = {entry.name.removeprefix(f"{prefix}/"): entry.size for entry in self.store.entries(prefix)}
        for entry in _manifest.objects(manifest):
            if sizes.get(entry["object"]) != entry["stored_bytes"]:
                raise CachingError(f"{prefix}/{entry['object']} is not in the store as it was written: run the backup again")

    def _verify(self, manifest: Content, document: bytes, progress: Progress) -> tuple[bool, float]:
        begun = time.monotonic()
        one = Set(manifest["id"], manifest)
        progress.step(sum(entry["bytes"] for entry in manifest["shards"]), None, "verifying")
        try:
            with self.held.kept() as self.catalogue.still:
                level = verification.verify(self.catalogue, one, "checksums")
            self.held.look()
        except CachingError as error:
            why = "was not verified" if error.results.get("lost") else "does not verify"
            told = f"the backup {one.id} was written, but {why}: {error.message}. It counts for nothing; run it again"
            raise CachingError(told, changed=True, backup=result(manifest, False), diff=self.diff()) from None
        record = _manifest.verification(document, level, int(time.time() * 1000))
        name = f"{_manifest.folder(self.catalogue.cluster, one.id)}/{_manifest.VERIFIED}"
        self.store.put_if_absent(name, _manifest.signed("verification", record, self.key))
        return True, time.monotonic() - begun

    def _clean(self, prefix: str) -> None:
        """A run that fails takes away what it has written, as far as the store lets it; the next run collects the rest."""
        try:
            if self.store.get(f"{prefix}/{_manifest.MANIFEST}") is None:
                for entry in self.store.entries(prefix):
                    self.store.delete(entry.name)
        except CachingError:
            pass


class _Terminated:
    """While the ``with`` lasts, SIGTERM ends the run as an error does, so that what it holds is let go."""

    def __enter__(self) -> None:
        self._before: t.Any = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._end)

    def __exit__(self, *_error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    @staticmethod
    def _end(_number: int, _frame: object) -> None:
        raise CachingError("the backup was stopped by a signal; nothing of it counts")


def _bounded(params: t.Mapping[str, t.Any], quiesce: float) -> None:
    for option, (least, most) in {"parallel": (0, 1000), "compression_level": (1, 19), "bandwidth_limit": (0, 2**40)}.items():
        if not least <= params[option] <= most:
            raise CachingError(f"{option}: it goes from {least} to {most}, not {params[option]}")
    if quiesce > 30:
        raise CachingError("quiesce: writes can't be held for more than 30 s")
    if quiesce and params["parallel"]:
        raise CachingError("quiesce: it needs parallel: 0, as all shards have to begin while writes are held")


def result(manifest: Content, verified: bool) -> Content:
    """A backup as the modules return it."""
    shards = [
        {
            "slots": _manifest.ranges(entry["slots"]), "node": entry["node"]["address"], "role": entry["node"]["role"],
            "key_count": entry["key_count"], "expiring": entry["expiring"], "rdb_version": entry["rdb_version"], "bytes": entry["bytes"],
            "stored_bytes": entry["stored_bytes"], "sha256": entry["sha256"], "object": entry["object"],
        }
        for entry in manifest["shards"]
    ]
    return {
        "id": manifest["id"], "kind": manifest["kind"], "started": _manifest.iso(manifest["started"]),
        "seconds": round((manifest["finished"] - manifest["started"]) / 1000, 3),
        "bytes": sum(entry["bytes"] for entry in shards), "stored_bytes": sum(entry["stored_bytes"] for entry in _manifest.objects(manifest)),
        "key_count": sum(entry["key_count"] for entry in shards), "skew_ms": manifest["skew_ms"], "paused_ms": manifest["paused_ms"],
        "encrypted": manifest["encryption"] is not None, "shards": shards, "verified": verified,
    }
