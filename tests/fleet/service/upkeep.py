# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the storage in order: expired and vanished entries leave the books, old ones are compressed."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

from . import scripts
from .books import CHUNK
from .model import Region
from .storage import Storage


async def _busy(storage: Storage) -> AsyncIterator[Region]:
    """The regions that have, or had, entries."""
    for region in await storage.known():
        if await storage.amount_in_books(str(region["name"])):
            yield region


async def remove_expired(storage: Storage) -> dict[str, int]:
    """Takes what has expired out of the books; how many entries of each region."""
    removed: dict[str, int] = {}
    async for region in _busy(storage):
        name = str(region["name"])
        while gone := await storage.settle(name):
            removed[name] = removed.get(name, 0) + gone
    return removed


async def remove_vanished(storage: Storage) -> dict[str, int]:
    """Takes what Redis has evicted by itself out of the books; how many entries of each region."""
    removed: dict[str, int] = {}
    async for region in _busy(storage):
        name = str(region["name"])
        keys = await storage.keys_in_books(name)
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start:start + CHUNK]
            there = await storage.redis.run_all([("EXISTS", storage.entry(name, key)) for key in chunk])
            lost = [key for key, found in zip(chunk, there, strict=True) if not found]
            if lost:
                await storage.remove(name, lost)
                removed[name] = removed.get(name, 0) + len(lost)
    return removed


async def age_usage(storage: Storage) -> list[str]:
    """Halves the counts of use of every LFU region, so that what was popular once can leave; names of the regions."""
    aged = []
    async for region in _busy(storage):
        if region["evictionPolicy"] == "LFU":
            await storage.redis.run("EVAL", scripts.AGE, 1, storage.books_of(str(region["name"]))[1])
            aged.append(str(region["name"]))
    return aged


async def compress(storage: Storage) -> tuple[int, int]:
    """Compresses entries that were stored before compression was wanted; how many, and the bytes that this freed."""
    number = freed = 0
    async for region in _busy(storage):
        name = str(region["name"])
        keys = await storage.keys_in_books(name) if region["enableCompression"] else []
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start:start + CHUNK]
            values = await storage.redis.run_all([("GET", storage.entry(name, key)) for key in chunk])
            for key, data in zip(chunk, values, strict=True):
                if data is None or data[:1] == b"x" or not storage.compresses(region, key, len(data)):
                    continue
                small = zlib.compress(data)
                if len(small) < len(data) and await _replace(storage, name, key, data, small):
                    number, freed = number + 1, freed + len(data) - len(small)
    return number, freed


async def _replace(storage: Storage, name: str, key: str, old: bytes, new: bytes) -> bool:
    if not await storage.redis.run("EVAL", scripts.REPLACE, 1, storage.entry(name, key), old, new):
        return False
    former: bytes | None = await storage.redis.run("HGET", storage.books_of(name)[2], key)
    if former:
        meta: list[Any] = [len(new) + len(key.encode()), *json.loads(former)[1:]]
        await storage.redis.run(*storage.books(scripts.RESIZE, name, key, json.dumps(meta)))
    return True


async def counted(storage: Storage) -> tuple[int, int]:
    """Entries and bytes of all regions."""
    measures = [measure for _region, measure in await storage.regions()]
    return sum(size for size, _bytes in measures), sum(memory for _size, memory in measures)
