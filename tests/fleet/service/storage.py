# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions and entries in Redis."""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from . import model, scripts
from .books import Books, now_ms
from .errors import not_found, timestamp
from .model import Region
from .redis_client import Redis


@dataclass(slots=True)
class Entry:
    value: Any
    ttl_ms: int
    stored_bytes: int
    compressed: bool


class Storage(Books):
    def __init__(self, redis: Redis, namespace: str, dialects: frozenset[str]) -> None:
        super().__init__(redis, namespace, dialects)
        self.control = f"{namespace}caching:{{regions}}:control"  # flags, settings and their revision; see control.py
        self.jobs = f"{namespace}caching:{{regions}}:jobs"
        self.schedules = f"{namespace}caching:{{regions}}:schedules"
        self.compresses: Callable[[Region, str, int], bool] = lambda region, _key, _size: region["enableCompression"]
        self.follow: Callable[[bytes | None], Awaitable[None]] | None = None

    # Regions

    async def known(self) -> list[Region]:
        """Every region, by name, as it is stored."""
        text = await self.redis.run("EVAL", scripts.ALL_REGIONS, 1, self.definitions)
        return sorted(json.loads(text), key=lambda region: str(region["name"]))

    async def regions(self) -> list[tuple[Region, tuple[int, int]]]:
        """Every region with its number of entries and their bytes, by name."""
        text, used = await self.redis.run_all(
            [("EVAL", scripts.ALL_REGIONS, 1, self.definitions), ("SMEMBERS", self.used)]
        )
        found = sorted(json.loads(text), key=lambda region: str(region["name"]))
        busy = [region["name"] for region in found if region["name"].encode() in used]
        answers = await self.redis.run_all(self.books(scripts.MEASURE, name, now_ms()) for name in busy)
        measures = {name: (answer[0], answer[1]) for name, answer in zip(busy, answers, strict=True)}
        for name, answer in zip(busy, answers, strict=True):
            if answer[2]:
                measures[name] = await self.settled(name, answer)
        return [(region, measures.get(region["name"], (0, 0))) for region in found]

    async def region(self, name: str) -> tuple[Region, tuple[int, int]]:
        text, measure = await self.redis.run_all(
            [("HGET", self.definitions, name), self.books(scripts.MEASURE, name, now_ms())]
        )
        if text is None:
            raise not_found(name)
        return model.load(text), await self.settled(name, measure)

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
                self.books(scripts.MEASURE, name, now_ms()),
            ]
        )
        if not texts:
            raise not_found(name)
        before = model.load(texts[0])
        after = model.load(texts[1]) if len(texts) == 2 else None
        size = await self.settled(name, measure)
        if after and size[0]:
            size = await self._resettle(before, after, size)
        return before, after, size

    async def _resettle(self, before: Region, after: Region, size: tuple[int, int]) -> tuple[int, int]:
        """What a changed definition means for the entries that are there."""
        name = after["name"]
        if before["evictionPolicy"] != after["evictionPolicy"]:  # scores of two policies don't compare: begin anew
            usage = self.books_of(name)[1]
            await self.redis.run("ZUNIONSTORE", usage, 1, usage, "WEIGHTS", 0)
        if size[0] <= after["maxSize"]:
            return size
        pairs = await self.redis.run(*self.books(scripts.SHRINK, name, after["maxSize"]))
        await self.drop(name, pairs)
        return (await self.region(name))[1]

    async def delete(self, name: str) -> None:
        gone, measure = await self.redis.run_all(
            [("HDEL", self.definitions, name), self.books(scripts.MEASURE, name, now_ms())]
        )
        if not gone:
            raise not_found(name)
        if any(await self.settled(name, measure)):
            await self.remove_matching(name, "*")
            await self.redis.run("SREM", self.used, name)

    # Entries

    async def definition(self, name: str) -> Region:
        text = await self.redis.run("HGET", self.definitions, name)
        if text is None:
            raise not_found(name)
        return model.load(text)

    async def writable(self, name: str) -> Region:
        """The definition of a region that is about to be written, with flags and settings as they are now."""
        text, revision = await self.redis.run_all(
            [("HGET", self.definitions, name), ("HGET", self.control, "revision")]
        )
        if text is None:
            raise not_found(name)
        if self.follow:
            await self.follow(revision)
        return model.load(text)

    def _packed(self, region: Region, key: str, value: Any) -> bytes:
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return zlib.compress(data) if self.compresses(region, key, len(data)) else data  # begins with 'x', unlike JSON

    async def put(self, name: str, key: str, value: Any, ttl_ms: int | None, tags: list[str]) -> tuple[int, int]:
        """Stores an entry; its time to live, and how many entries had to leave for it."""
        region = await self.writable(name)
        data = self._packed(region, key, value)
        lifetime = ttl_ms or region["ttlMs"]
        moment = now_ms()
        meta = json.dumps([len(data) + len(key.encode()), *tags])
        books = self.books(
            scripts.PUT, name, key, moment + lifetime, moment, meta, region["evictionPolicy"], region["maxSize"]
        )
        answers = await self.redis.run_all(
            [
                ("SET", self.entry(name, key), data, "PX", lifetime),
                books,
                ("SADD", self.used, name),
                *(("SADD", self.tag(name, tag), key) for tag in tags),
            ]
        )
        former, expired, *pairs = answers[1]
        stale = set(json.loads(former)[1:]) - set(tags) if former else set()
        await self.redis.run_all([("SREM", self.tag(name, tag), key) for tag in stale])
        await self.untag(name, pairs[:2 * expired])
        await self.drop(name, pairs[2 * expired:])
        return lifetime, len(pairs) // 2 - expired

    async def put_many(self, name: str, values: dict[str, Any]) -> int:
        """Stores entries without tags, with the region's time to live; how many entries had to leave for them."""
        region = await self.writable(name)
        lifetime, moment = region["ttlMs"], now_ms()
        packed = {key: self._packed(region, key, value) for key, value in values.items()}
        pairs = (item for key, data in packed.items() for item in (key, json.dumps([len(data) + len(key.encode())])))
        books = self.books(
            scripts.PUT_MANY, name, moment + lifetime, moment, region["evictionPolicy"], region["maxSize"], *pairs
        )
        sets = [("SET", self.entry(name, key), data, "PX", lifetime) for key, data in packed.items()]
        answers = await self.redis.run_all([books, ("SADD", self.used, name), *sets])
        formers, expired, evicted = answers[0]
        await self.untag(name, [*formers, *expired])
        await self.drop(name, evicted)
        return len(evicted) // 2

    async def get(self, name: str, keys: list[str]) -> dict[str, Entry]:
        """The entries among these keys that exist; reading counts as use."""
        text, *answers = await self.redis.run_all(
            [
                ("HGET", self.definitions, name),
                *((command, self.entry(name, key)) for key in keys for command in ("GET", "PTTL")),
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
            usage = self.books_of(name)[1]
            how = ("XX", "INCR", 1) if policy == "LFU" else ("XX", now_ms())
            await self.redis.run_all([("ZADD", usage, *how, key) for key in found])
        return found

    async def exists(self, name: str, key: str) -> bool:
        commands = [("HEXISTS", self.definitions, name), ("EXISTS", self.entry(name, key))]
        known, there = await self.redis.run_all(commands)
        if not known:
            raise not_found(name)
        return bool(there)
