# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Everything that has to be so before a cluster is restored from files, in place (S116 to S118, H38). It reads, and touches nothing."""

from __future__ import annotations

import hashlib
import re
import typing as t

from .. import _cluster_health, _data_plan, _manifest, _rdb, _topology
from .._cluster_health import View
from .._errors import CachingError
from .._redis import ERRORS, Redis
from .._store import Store
from . import restore_checks
from .redis_nodes import Nodes
from .replaying import Source
from .restore_set import Backup, choose

_PIECE = 1 << 20
_ANY_LAG = 1 << 40
Found = dict[str, t.Any]


class DataInfo:
    """The plan of a restore in place, and all that is in its way."""

    def __init__(self, params: t.Mapping[str, t.Any], cluster: Redis, store: Store, warn: t.Callable[[str], None]) -> None:
        self.params, self.cluster, self.store, self.warn = params, cluster, store, warn
        self.problems: list[str] = []
        self.views: list[View] = []
        self.settings: dict[str, dict[str, str]] = {}

    def look(self) -> Found:
        _manifest.cluster_name(self.params["cluster"])
        self._nodes()
        backup = self._backup()
        shards = self._shards(backup) if backup else []
        plan = {
            "backup": backup.id if backup else None, "taken": backup.taken if backup else None,
            "key_count": sum(shard["key_count"] for shard in shards), "bytes": sum(shard["bytes"] for shard in shards),
            "at_target": self._at_target(), "shards": shards, "nodes": self._told(),
        }
        if self.problems:
            raise CachingError(f"nothing was touched: {'; '.join(self.problems)}", plan=plan, problems=self.problems)
        return {"plan": plan, "problems": []}

    # ---- the cluster

    def _nodes(self) -> None:
        nodes = Nodes(self.cluster, 1, 1)
        nodes.look()
        self.views = nodes.views
        self.problems += _cluster_health.reasons(self.views, _ANY_LAG, replicas=0)
        chosen = _cluster_health.majority(self.views)
        self.rows = {node.id: node for node in chosen.nodes} if chosen else {}
        self.where = _cluster_health.addresses(self.views)
        self.infos = {view.address: view.info for view in self.views if not view.error}
        versions = {}
        for address, info in self.infos.items():
            flavour = info.get("server_name", "redis")
            found = re.match(r"(\d+)\.(\d+)", info.get(f"{flavour}_version") or info.get("redis_version") or "")
            versions[address] = (flavour, (int(found[1]), int(found[2])) if found else (0, 0))
            try:
                self.settings[address] = self._read(address)
            except ERRORS as error:
                self.problems.append(self.cluster.refusal_at(address, error).message)
        self.problems += _data_plan.unfit(self.settings, versions)

    def _read(self, address: str) -> dict[str, str]:
        host, _colon, port = address.rpartition(":")
        found = t.cast("dict[t.Any, t.Any]", self.cluster.client(host.strip("[]"), int(port)).config_get(*_data_plan.SETTINGS))
        as_text = {name: value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for name, value in found.items()}
        return {name.decode() if isinstance(name, bytes) else str(name): value for name, value in as_text.items()}

    def _primaries(self) -> dict[str, str]:
        """Address and id of those with slots."""
        return {self.where.get(node.id, node.address): node.id for node in self.rows.values() if node.is_primary and node.slots}

    def _at_target(self) -> int:
        return sum(_topology.keys(self.infos.get(address, {})) for address in self._primaries())

    def _told(self) -> list[Found]:
        """What the steps need to know of each node."""
        return [
            {
                "address": address, "directory": found.get("dir", ""), "dbfilename": found.get("dbfilename", ""),
                "appendonly": found.get("appendonly") == "yes", "appenddirname": found.get("appenddirname", "appendonlydir"),
                "appendfilename": found.get("appendfilename", "appendonly.aof"), "save": found.get("save", ""),
                "key_count": _topology.keys(self.infos[address]),
            }
            for address, found in sorted(self.settings.items())
        ]

    # ---- the backup

    def _backup(self) -> Backup | None:
        try:
            found = choose(self.store, self.params, self.params["id"])
        except CachingError as error:
            self.problems.append(error.message)
            return None
        if found.signature != "good":
            told = "it is not signed" if found.signature == "none" else "no signing_key is given"
            self.warn(f"nobody has checked who wrote the backup {found.id}: {told}")
        for flavour, version in sorted(found.versions):
            self.problems += restore_checks.refusal(flavour, version, self.infos)
        return found

    def _shards(self, backup: Backup) -> list[Found]:
        """Each file of the backup, read to its end, and where it goes."""
        primaries = self._primaries()
        owner, problems = _data_plan.owners([source.name for source in backup.sources], {
            address: self.rows[identifier].slots for address, identifier in primaries.items()})
        self.problems += problems
        if problems:
            return []   # it is of no use to read all of it
        shards, total = [], 0
        for source in backup.sources:
            address = owner[source.name]
            replicas = sorted(self.where.get(node.id, node.address) for node in self.rows.values()
                              if not node.is_primary and node.primary_id == primaries[address])
            try:
                shard, used = self._examined(source)
            except CachingError as error:
                self.problems.append(error.message)
                continue
            shards.append({"slots": source.name, "node": address, "replicas": replicas, **shard})
            total += shard["key_count"]
            needed = restore_checks.needs([used], 1.0)
            holders = {one: (1.0, self.infos[one]) for one in [address, *replicas] if one in self.infos}
            told, notes = restore_checks.lacks_memory(needed, holders, emptied=True)
            self.problems += told
            if notes:
                self.warn("; ".join(notes))
        if len(shards) == len(backup.sources) and total != backup.key_count:
            self.problems.append(f"the backup says that it has {backup.key_count} keys, and {total} are in it")
        return shards

    def _examined(self, source: Source) -> tuple[Found, int]:
        """Digest, keys and bytes of a file, all of whose keys are of its slots; and the memory that its server used."""
        digest, size = hashlib.sha256(), 0
        seen: dict[int, bytes] = {}
        with source.open() as read:
            def passed_on(wanted: int) -> bytes:
                nonlocal size
                part = read(wanted)
                digest.update(part)
                size += len(part)
                return part

            reader = _rdb.Reader(passed_on, _PIECE, largest=1 << 40)
            for batch in reader.batches():
                for row in batch:
                    number = _topology.slot(row[1])
                    if number not in seen:
                        seen[number] = bytes(row[1])
        slots = {slot for first, last in _data_plan.parsed(source.name) for slot in range(first, last + 1)}
        self.problems += _data_plan.astray(slots, seen, source.name)
        used = reader.aux.get("used-mem", "")
        found = {"key_count": reader.key_count, "bytes": size, "sha256": digest.hexdigest()}
        return found, int(used) if used.isdigit() else 0
