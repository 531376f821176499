# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions and entries in Redis.

Entries are named `{region}::{key}` and tag sets `tag:{region}:{tag}`; definitions are one hash, so that a list of all
regions costs one round trip; a region's books (see scripts.py) share one slot. A namespace stands before every name.
"""

from __future__ import annotations

import json
import secrets
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from . import model, scripts
from .errors import not_found, timestamp
from .model import Region
from .redis_client import Command, Redis

CHUNK = 500
_GLOB = str.maketrans({letter: f"\\{letter}" for letter in "\\*?[]"})


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass(slots=True)
class Entry:
    value: Any
    ttl_ms: int
    stored_bytes: int
    compressed: bool


class Storage:
    def __init__(self, redis: Redis, namespace: str, dialects: frozenset[str]) -> None:
        self.redis = redis
        self.namespace = namespace
        self.dialects = dialects
        self.definitions = f"{namespace}caching:{{regions}}"
        self._used = f"{namespace}caching:{{regions}}:used"  # names of the regions that ever had an entry

    def _entry(self, region: str, key: str) -> str:
        return f"{self.namespace}{region}::{key}"

    def _tag(self, region: str, tag: str) -> str:
        return f"{self.namespace}tag:{region}:{tag}"

    def _books(self, script: str, region: str, *arguments: Any) -> Command:
        slot = f"{{{quote(region, safe='')}}}"
        names = [f"{self.namespace}{kind}:{slot}" for kind in ("index", "usage", "meta")]
        return ("EVAL", script, 3, *names, *arguments)

    # Regions

    async def regions(self) -> list[tuple[Region, tuple[int, int]]]:
        """Every region with its number of entries and their bytes, by name."""
        text, used = await self.redis.run_all(
            [("EVAL", scripts.ALL_REGIONS, 1, self.definitions), ("SMEMBERS", self._used)]
        )
        found = sorted(json.loads(text), key=lambda region: str(region["name"]))
        busy = [region["name"] for region in found if region["name"].encode() in used]
        answers = await self.redis.run_all(self._books(scripts.MEASURE, name, now_ms()) for name in busy)
        measures = {name: (answer[0], answer[1]) for name, answer in zip(busy, answers, strict=True)}
        for name, answer in zip(busy, answers, strict=True):
            if answer[2]:
                measures[name] = await self._settled(name, answer)
        return [(region, measures.get(region["name"], (0, 0))) for region in found]

    async def region(self, name: str) -> tuple[Region, tuple[int, int]]:
        text, measure = await self.redis.run_all(
            [("HGET", self.definitions, name), self._books(scripts.MEASURE, name, now_ms())]
        )
        if text is None:
            raise not_found(name)
        return model.load(text), await self._settled(name, measure)

    async def _settled(self, name: str, measure: list[int]) -> tuple[int, int]:
        """Entries and bytes, without what has expired."""
        if not measure[2]:
            return measure[0], measure[1]
        size, memory, expired = await self.redis.run(*self._books(scripts.SETTLE, name, now_ms()))
        await self._untag(name, expired)
        return size, memory

    async def create(self, name: str, fields: Region) -> Region | None:
        """The new region; None if there is one of that name."""
        moment = timestamp()
        region = {"name": name, **model.completed(fields), "createdAt": moment, "updatedAt": moment}
        text = model.dump({**region, "origin": secrets.token_hex(8)})
        if not await self.redis.run("HSETNX", self.definitions, name, text):
            # A command that is repeated after a lost connection meets its own work: that is no conflict.
            if await self.redis.run("HGET", self.definitions, name) != text.encode():
                return None
        return model.load(text.encode())

    async def update(self, name: str, fields: Region) -> tuple[Region, Region | None, tuple[int, int]]:
        """The region before, after (None: it was refused as immutable), and its size."""
        changes = model.dump({**fields, "updatedAt": timestamp()})
        rule = "immutable" if "immutable" in self.dialects else ""
        texts, measure = await self.redis.run_all(
            [
                ("EVAL", scripts.UPDATE_REGION, 1, self.definitions, name, changes, rule),
                self._books(scripts.MEASURE, name, now_ms()),
            ]
        )
        if not texts:
            raise not_found(name)
        before = model.load(texts[0])
        after = model.load(texts[1]) if len(texts) == 2 else None
        size = await self._settled(name, measure)
        if after and size[0]:
            size = await self._resettle(before, after, size)
        return before, after, size

    async def _resettle(self, before: Region, after: Region, size: tuple[int, int]) -> tuple[int, int]:
        """What a changed definition means for the entries that are there."""
        name = after["name"]
        if before["evictionPolicy"] != after["evictionPolicy"]:  # scores of two policies don't compare: begin anew
            usage = f"{self.namespace}usage:{{{quote(name, safe='')}}}"
            await self.redis.run("ZUNIONSTORE", usage, 1, usage, "WEIGHTS", 0)
        if size[0] <= after["maxSize"]:
            return size
        pairs = await self.redis.run(*self._books(scripts.SHRINK, name, after["maxSize"]))
        await self._drop(name, pairs)
        return (await self.region(name))[1]

    async def delete(self, name: str) -> None:
        gone, measure = await self.redis.run_all(
            [("HDEL", self.definitions, name), self._books(scripts.MEASURE, name, now_ms())]
        )
        if not gone:
            raise not_found(name)
        if any(await self._settled(name, measure)):
            await self.remove_matching(name, "*")
            await self.redis.run("SREM", self._used, name)

    # Entries

    async def definition(self, name: str) -> Region:
        text = await self.redis.run("HGET", self.definitions, name)
        if text is None:
            raise not_found(name)
        return model.load(text)

    async def put(self, name: str, key: str, value: Any, ttl_ms: int | None, tags: list[str]) -> tuple[int, int]:
        """Stores an entry; its time to live, and how many entries had to leave for it."""
        region = await self.definition(name)
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        if region["enableCompression"]:
            data = zlib.compress(data)  # begins with an 'x', as no JSON does
        lifetime = ttl_ms or region["ttlMs"]
        moment = now_ms()
        meta = json.dumps([len(data) + len(key.encode()), *tags])
        books = self._books(
            scripts.PUT, name, key, moment + lifetime, moment, meta, region["evictionPolicy"], region["maxSize"]
        )
        answers = await self.redis.run_all(
            [
                ("SET", self._entry(name, key), data, "PX", lifetime),
                books,
                ("SADD", self._used, name),
                *(("SADD", self._tag(name, tag), key) for tag in tags),
            ]
        )
        former, expired, *pairs = answers[1]
        stale = set(json.loads(former)[1:]) - set(tags) if former else set()
        await self.redis.run_all([("SREM", self._tag(name, tag), key) for tag in stale])
        await self._untag(name, pairs[:2 * expired])
        await self._drop(name, pairs[2 * expired:])
        return lifetime, len(pairs) // 2 - expired

    async def get(self, name: str, keys: list[str]) -> dict[str, Entry]:
        """The entries among these keys that exist; reading counts as use."""
        text, *answers = await self.redis.run_all(
            [
                ("HGET", self.definitions, name),
                *((command, self._entry(name, key)) for key in keys for command in ("GET", "PTTL")),
            ]
        )
        if text is None:
            raise not_found(name)
        found = {}
        for key, data, ttl in zip(keys, answers[::2], answers[1::2], strict=True):
            if data is not None:
                compressed = data[:1] == b"x"
                value = json.loads(zlib.decompress(data) if compressed else data)
                found[key] = Entry(value, ttl, len(data), compressed)
        policy = model.load(text)["evictionPolicy"]
        if found and policy != "FIFO":
            usage = f"{self.namespace}usage:{{{quote(name, safe='')}}}"
            how = ("XX", "INCR", 1) if policy == "LFU" else ("XX", now_ms())
            await self.redis.run_all([("ZADD", usage, *how, key) for key in found])
        return found

    async def exists(self, name: str, key: str) -> bool:
        commands = [("HEXISTS", self.definitions, name), ("EXISTS", self._entry(name, key))]
        known, there = await self.redis.run_all(commands)
        if not known:
            raise not_found(name)
        return bool(there)

    # Removal

    async def remove(self, name: str, keys: Iterable[str]) -> int:
        """Removes entries; how many there were."""
        names = list(dict.fromkeys(keys))
        removed = 0
        for start in range(0, len(names), CHUNK):
            chunk = names[start:start + CHUNK]
            unlinks = (("UNLINK", self._entry(name, key)) for key in chunk)
            pairs, *gone = await self.redis.run_all([self._books(scripts.FORGET, name, *chunk), *unlinks])
            removed += sum(map(int, gone))
            await self._untag(name, pairs)
        return removed

    async def remove_matching(self, name: str, pattern: str) -> int:
        """Removes the entries whose key matches, wherever in the cluster they are."""
        prefix = self._entry(name, "")
        removed = 0
        async for batch in self.redis.scan((prefix.translate(_GLOB) + pattern).encode()):
            removed += await self.remove(name, [key.decode()[len(prefix):] for key in batch])
        return removed

    async def remove_tagged(self, name: str, tags: list[str]) -> int:
        members = await self.redis.run_all([("SMEMBERS", self._tag(name, tag)) for tag in tags])
        return await self.remove(name, [key.decode() for keys in members for key in keys])

    async def _drop(self, name: str, pairs: list[bytes]) -> None:
        """Removes entries that the books have forgotten already."""
        await self.redis.run_all([("UNLINK", self._entry(name, key.decode())) for key in pairs[::2]])
        await self._untag(name, pairs)

    async def _untag(self, name: str, pairs: list[bytes]) -> None:
        members: dict[str, list[bytes]] = defaultdict(list)
        for key, meta in zip(pairs[::2], pairs[1::2], strict=True):
            for tag in json.loads(meta)[1:]:
                members[tag].append(key)
        await self.redis.run_all([("SREM", self._tag(name, tag), *keys) for tag, keys in members.items()])
