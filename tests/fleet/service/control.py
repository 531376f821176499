# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run-time settings, strategies and feature flags: kept in Redis, followed by every instance, applied in this process.

A value is what was written last, else that of the configuration file (`cache.redis.pool.maxTotal=300`), else the
default. In the dialect `local-settings` settings and strategies are this process's own.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import ApiError
from .model import Region
from .redis_client import LIMIT
from .storage import Storage

STRATEGIES = ("refresh-ahead", "write-through", "cache-aside", "write-behind")
DEFAULTS: dict[str, Any] = {
    "redis.pool.maxTotal": 256,
    "redis.pool.maxIdle": 32,
    "redis.pool.minIdle": 0,
    "redis.pool.testOnBorrow": False,
    "redis.pool.testWhileIdle": False,
    "redis.pool.timeBetweenEvictionRuns": 60000,
    "redis.timeouts.connectionTimeout": 1000,
    "redis.timeouts.socketTimeout": 1500,
    "redis.memory.maxMemoryPolicy": "allkeys-lru",
    "redis.memory.maxMemorySamples": 5,
    "compression.enabled": True,
    "compression.threshold": 0,
}
FLAGS: dict[str, dict[str, Any]] = {
    "cache-compression": {"enabled": True, "regions": [], "rolloutPercentage": 100},
    "write-through": {"enabled": False, "regions": [], "rolloutPercentage": 100},
}


def read_properties(path: str) -> dict[str, str]:
    """A Java properties file in its simple form (name=value, and comments), or an application.yml by its paths."""
    if not path:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8")
        if path.endswith((".yml", ".yaml")):
            return _flat(yaml.safe_load(text) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ApiError(503, f"The configuration can't be read: {error}") from error
    lines = text.splitlines()
    found = {}
    for line in lines:
        if line.strip() and line.strip()[0] not in "#!":
            name, equals, value = line.partition("=")
            if not equals or not name.strip():
                raise ApiError(503, f"The configuration can't be read: '{line.strip()[:60]}' is not name=value")
            found[name.strip()] = value.strip()
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """A tree as `cache.redis.pool.maxTotal` and so on, each as its text in a properties file."""
    if isinstance(value, dict):
        return {name: text for key, part in value.items() for name, text in _flat(part, f"{prefix}{key}.").items()}
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return {prefix.removesuffix("."): text} if prefix else {}


def _typed(name: str, text: str) -> Any:
    default = DEFAULTS[name]
    if isinstance(default, bool):
        return text.lower() == "true"
    if isinstance(default, int):
        return int(text) if text.lstrip("-").isdigit() else default
    return text


class Control:
    def __init__(self, storage: Storage, dialects: frozenset[str], config: str) -> None:
        self.storage = storage
        self.config = config
        self.properties = read_properties(config)
        self.alone = "local-settings" in dialects
        self._own: dict[str, Any] = {}
        self._shared: dict[str, Any] = {}
        self._revision: bytes | None = None
        storage.compresses = self.compresses
        storage.follow = self.follow
        self.apply()

    # Reading

    async def follow(self, revision: bytes | None) -> None:
        """Reads everything anew when another instance has written."""
        if revision != self._revision:
            await self.read()

    async def look(self) -> None:
        await self.follow(await self.storage.redis.run("HGET", self.storage.control, "revision"))

    async def read(self) -> None:
        flat = await self.storage.redis.run("HGETALL", self.storage.control)
        if isinstance(flat, list):
            flat = dict(zip(flat[::2], flat[1::2], strict=True))
        self._revision = flat.pop(b"revision", None)
        self._shared = {name.decode(): json.loads(value) for name, value in flat.items()}
        self.apply()

    def _written(self) -> Mapping[str, Any]:
        return self._own if self.alone else self._shared

    def value(self, name: str) -> Any:
        written = self._written().get(f"setting:{name}")
        if written is not None:
            return written
        configured = self.properties.get(f"cache.{name}")
        return DEFAULTS[name] if configured is None else _typed(name, configured)

    def strategies(self) -> dict[str, str]:
        prefix = "strategy:"
        return {name.removeprefix(prefix): value for name, value in sorted(self._written().items())
                if name.startswith(prefix)}

    def flags(self) -> dict[str, dict[str, Any]]:
        prefix = "feature:"
        known = FLAGS | {name.removeprefix(prefix): value for name, value in self._shared.items()
                         if name.startswith(prefix)}
        return dict(sorted(known.items()))

    # Writing

    async def write(self, changes: Mapping[str, Any], *, shared: bool = False) -> None:
        """Sets these; None goes back to the default. Flags are always shared."""
        if self.alone and not shared:
            for name, value in changes.items():
                if value is None:
                    self._own.pop(name, None)
                else:
                    self._own[name] = value
            self.apply()
            return
        gone = [name for name, value in changes.items() if value is None]
        kept = [part for name, value in changes.items() if value is not None for part in (name, json.dumps(value))]
        hash_name = self.storage.control
        commands: list[tuple[Any, ...]] = [("HDEL", hash_name, *gone)] if gone else []
        commands += [("HSET", hash_name, *kept)] if kept else []
        await self.storage.redis.run_all([*commands, ("HINCRBY", hash_name, "revision", 1)])
        await self.read()

    def reload(self) -> list[str]:
        """Reads the configuration file again; the names whose values changed."""
        before, self.properties = self.properties, read_properties(self.config)
        self.apply()
        names = before.keys() | self.properties.keys()
        return sorted(name for name in names if before.get(name) != self.properties.get(name))

    # Effect

    def apply(self) -> None:
        """The size of the pool and the time-outs of new connections; a call's own limit stays."""
        nodes = self.storage.redis.cluster.nodes_manager
        pool = int(self.value("redis.pool.maxTotal"))
        timeouts = {
            "socket_connect_timeout": min(self.value("redis.timeouts.connectionTimeout") / 1000, LIMIT),
            "socket_timeout": min(self.value("redis.timeouts.socketTimeout") / 1000, LIMIT),
        }
        nodes.connection_kwargs.update(timeouts, max_connections=pool)
        for node in self.storage.redis.cluster.get_nodes():
            node.max_connections = pool
            node.connection_kwargs.update(timeouts)

    def flagged(self, flag: str, region: str, key: str) -> bool:
        """Whether a flag is on for this entry: always the same answer for the same percentage."""
        state = self.flags()[flag]
        share = zlib.crc32(f"{flag}:{region}:{key}".encode()) % 100
        return state["enabled"] and (not state["regions"] or region in state["regions"]) \
            and share < state["rolloutPercentage"]

    def compresses(self, region: Region, key: str, size: int) -> bool:
        """The flag is the master switch, the region opts in, the setting says from which size."""
        return bool(
            region["enableCompression"]
            and self.value("compression.enabled")
            and size >= self.value("compression.threshold")
            and self.flagged("cache-compression", str(region["name"]), key)
        )

    def writes_through(self, region: str, key: str) -> bool:
        return self.strategies().get(region) == "write-through" or self.flagged("write-through", region, key)
