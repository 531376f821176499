# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A region's books: which entries it has, how many bytes, when they expire; see scripts.py for how they are kept.

Entries are named `{region}::{key}` and tag sets `tag:{region}:{tag}`; definitions are one hash, so that a list of all
regions costs one round trip; a region's books share one slot. A namespace stands before every name.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from . import scripts
from .redis_client import Command, Redis

CHUNK = 500
_GLOB = str.maketrans({letter: f"\\{letter}" for letter in "\\*?[]"})


def now_ms() -> int:
    return int(time.time() * 1000)


class Books:
    def __init__(self, redis: Redis, namespace: str, dialects: frozenset[str]) -> None:
        self.redis = redis
        self.namespace = namespace
        self.dialects = dialects
        self.definitions = f"{namespace}caching:{{regions}}"
        self.used = f"{namespace}caching:{{regions}}:used"  # names of the regions that ever had an entry

    def entry(self, region: str, key: str) -> str:
        return f"{self.namespace}{region}::{key}"

    def tag(self, region: str, tag: str) -> str:
        return f"{self.namespace}tag:{region}:{tag}"

    def books_of(self, region: str) -> list[str]:
        """Names of the region's index, usage and meta."""
        slot = f"{{{quote(region, safe='')}}}"
        return [f"{self.namespace}{kind}:{slot}" for kind in ("index", "usage", "meta")]

    def books(self, script: str, region: str, *arguments: Any) -> Command:
        return ("EVAL", script, 3, *self.books_of(region), *arguments)

    async def amount_in_books(self, name: str) -> int:
        return int(await self.redis.run("ZCARD", self.books_of(name)[0]))

    async def keys_in_books(self, name: str) -> list[str]:
        return [key.decode() for key in await self.redis.run("ZRANGE", self.books_of(name)[0], 0, -1)]

    async def settled(self, name: str, measure: list[int]) -> tuple[int, int]:
        """Entries and bytes, without what has expired."""
        if not measure[2]:
            return measure[0], measure[1]
        size, memory, expired = await self.redis.run(*self.books(scripts.SETTLE, name, now_ms()))
        await self.untag(name, expired)
        return size, memory

    async def settle(self, name: str) -> int:
        """Takes a thousand expired entries at most out of the books; how many there were."""
        _size, _memory, expired = await self.redis.run(*self.books(scripts.SETTLE, name, now_ms()))
        await self.untag(name, expired)
        return len(expired) // 2

    async def remove(self, name: str, keys: Iterable[str]) -> int:
        """Removes entries; how many there were."""
        names = list(dict.fromkeys(keys))
        removed = 0
        for start in range(0, len(names), CHUNK):
            chunk = names[start:start + CHUNK]
            unlinks = (("UNLINK", self.entry(name, key)) for key in chunk)
            pairs, *gone = await self.redis.run_all([self.books(scripts.FORGET, name, *chunk), *unlinks])
            removed += sum(map(int, gone))
            await self.untag(name, pairs)
        return removed

    async def remove_matching(self, name: str, pattern: str) -> int:
        """Removes the entries whose key matches, wherever in the cluster they are."""
        prefix = self.entry(name, "")
        removed = 0
        async for batch in self.redis.scan((prefix.translate(_GLOB) + pattern).encode()):
            removed += await self.remove(name, [key.decode()[len(prefix):] for key in batch])
        return removed

    async def remove_tagged(self, name: str, tags: list[str]) -> int:
        members = await self.redis.run_all([("SMEMBERS", self.tag(name, tag)) for tag in tags])
        return await self.remove(name, [key.decode() for keys in members for key in keys])

    async def drop(self, name: str, pairs: list[bytes]) -> None:
        """Removes entries that the books have forgotten already."""
        await self.redis.run_all([("UNLINK", self.entry(name, key.decode())) for key in pairs[::2]])
        await self.untag(name, pairs)

    async def untag(self, name: str, pairs: list[bytes]) -> None:
        members: dict[str, list[bytes]] = defaultdict(list)
        for key, meta in zip(pairs[::2], pairs[1::2], strict=True):
            for tag in json.loads(meta)[1:]:
                members[tag].append(key)
        await self.redis.run_all([("SREM", self.tag(name, tag), *keys) for tag, keys in members.items()])
