# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emergency mode: this process serves entries from its own memory, whatever becomes of Redis."""

from __future__ import annotations

import fnmatch
import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .books import now_ms
from .errors import not_found
from .model import Region, completed, dump, load
from .storage import Entry

CAPACITY = 10_000


@dataclass(slots=True)
class _Kept:
    value: Any
    expiry: int
    size: int
    tags: frozenset[str]


@dataclass(slots=True)
class LocalCache:
    """Has the same methods for entries as the storage. It begins empty, and what is in it is lost with the mode."""

    since: str
    reason: str
    regions: frozenset[str]  # empty: all
    known: dict[str, Region] | None  # the definitions when the mode began; None: they could not be read
    kept: OrderedDict[tuple[str, str], _Kept] = field(default_factory=OrderedDict)

    def covers(self, region: str) -> bool:
        return not self.regions or region in self.regions

    async def definition(self, name: str) -> Region:
        if self.known is None:
            times = {"createdAt": self.since, "updatedAt": self.since}
            return load(dump({"name": name, **completed({}), **times}).encode())
        if name not in self.known:
            raise not_found(name)
        return self.known[name]

    async def put(self, name: str, key: str, value: Any, ttl_ms: int | None, tags: list[str]) -> tuple[int, int]:
        lifetime = ttl_ms or (await self.definition(name))["ttlMs"]
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        self.kept[name, key] = _Kept(value, now_ms() + lifetime, size, frozenset(tags))
        self.kept.move_to_end((name, key))
        evicted = 0
        while len(self.kept) > CAPACITY:
            self.kept.popitem(last=False)
            evicted += 1
        return lifetime, evicted

    async def get(self, name: str, keys: list[str]) -> dict[str, Entry]:
        await self.definition(name)
        found = {}
        for key in keys:
            kept = self._alive(name, key)
            if kept:
                self.kept.move_to_end((name, key))
                found[key] = Entry(kept.value, kept.expiry - now_ms(), kept.size, False)
        return found

    def _alive(self, name: str, key: str) -> _Kept | None:
        kept = self.kept.get((name, key))
        if kept and kept.expiry <= now_ms():
            del self.kept[name, key]
            return None
        return kept

    async def exists(self, name: str, key: str) -> bool:
        await self.definition(name)
        return self._alive(name, key) is not None

    async def remove(self, name: str, keys: Iterable[str]) -> int:
        return sum(self._alive(name, key) is not None and bool(self.kept.pop((name, key))) for key in set(keys))

    async def remove_matching(self, name: str, pattern: str) -> int:
        return await self.remove(name, [key for region, key in self.kept
                                        if region == name and fnmatch.fnmatchcase(key, pattern)])

    async def remove_tagged(self, name: str, tags: list[str]) -> int:
        wanted = set(tags)
        return await self.remove(name, [key for (region, key), kept in self.kept.items()
                                        if region == name and kept.tags & wanted])

    def describe(self) -> dict[str, Any]:
        return {
            "mode": "local-cache",
            "since": self.since,
            "reason": self.reason or None,
            "regions": sorted(self.regions),
            "entries": len(self.kept),
            "capacity": CAPACITY,
        }
