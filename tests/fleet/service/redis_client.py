# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Redis Cluster behind the service: every call ends in bounded time, with the answer or with 503."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from typing import Any, TypeVar

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisClusterException, RedisError

from .certificates import Reloaded, trusting
from .errors import Unavailable
from .settings import Settings, SettingsError

LIMIT = 2.0  # seconds for one call, retries included
SCAN_BATCH = 1000

T = TypeVar("T")
Command = tuple[Any, ...]


class Encrypted(Connection):
    """A connection by TLS, with the newest certificates. The client's own class keeps those that it was made with."""

    trust: Reloaded

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl": self.trust.context}


class Redis:
    def __init__(self, settings: Settings) -> None:
        self._stale = False  # a primary didn't answer: look where the primaries are before asking them again
        self.cluster = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in settings.redis],
            username=settings.redis_username or None,
            password=settings.redis_password or None,
            protocol=2,
            require_full_coverage=False,
            dynamic_startup_nodes=False,  # a cluster that is not formed yet names no nodes, and would leave none to ask
            socket_timeout=1.5,
            socket_connect_timeout=1.0,
            max_connections=256,
            retry=Retry(ConstantBackoff(0.1), 3),
        )
        self.trust: Reloaded | None = None
        if settings.redis_ca:
            try:
                self.trust = trusting(settings.redis_ca, settings.redis_cert, settings.redis_key)
            except (OSError, ValueError) as error:
                raise SettingsError(f"--redis-ca, --redis-cert, --redis-key: {error}") from error
            kind = type("Encrypted", (Encrypted,), {"trust": self.trust})
            # For every node that is found later, and for those to begin with; it takes no class of connections as an option.
            self.cluster.nodes_manager.connection_kwargs["connection_class"] = kind
            for node in self.cluster.nodes_manager.startup_nodes.values():
                node.connection_class = kind

    async def bounded(self, call: Awaitable[T], limit: float = LIMIT) -> T:
        try:
            async with asyncio.timeout(limit):
                return await call
        except TimeoutError as error:
            raise Unavailable(f"no answer within {limit:g} s") from error
        except IndexError as error:     # redis-py on a cluster that is not formed yet
            raise Unavailable("no primary in the cluster") from error
        except (RedisError, RedisClusterException, OSError) as error:
            reason = str(error).rpartition("caused error: ")[2]  # a pipeline's error quotes the whole command
            raise Unavailable(reason or type(error).__name__) from error

    async def run(self, *command: Any) -> Any:
        return await self.bounded(self.cluster.execute_command(*command))

    async def run_all(self, commands: Iterable[Command]) -> list[Any]:
        """The answers of many commands, sent at once to the nodes that they concern."""
        waiting = list(commands)
        if not waiting:
            return []
        pipeline = self.cluster.pipeline()
        for command in waiting:
            pipeline.execute_command(*command)
        return await self.bounded(pipeline.execute())

    async def primaries(self) -> list[ClusterNode]:
        async def known() -> list[ClusterNode]:
            await self.cluster.initialize()
            if self._stale:
                await self.cluster.nodes_manager.initialize()
                self._stale = False
            return self.cluster.get_primaries()

        return await self.bounded(known())

    async def ask(self, node: ClusterNode, *command: Any) -> Any:
        """The answer of one node."""
        try:
            return await self.bounded(node.execute_command(*command))
        except Unavailable:
            self._stale = True
            raise

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """The keys of all primaries that match, in batches."""
        for node in await self.primaries():
            cursor: Any = 0
            while True:
                cursor, keys = await self.ask(node, "SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_BATCH)
                if keys:
                    yield keys
                if int(cursor) == 0:
                    break

    async def check(self) -> dict[str, Any]:
        """The cluster's state, once every primary has answered."""
        primaries = await self.primaries()
        info = await self.run("CLUSTER INFO")
        await asyncio.gather(*(self.ask(node, "PING") for node in primaries))
        if info.get("cluster_state") != "ok":
            raise Unavailable(f"cluster_state is {info.get('cluster_state')}")
        return {
            "cluster_state": info["cluster_state"],
            "cluster_size": int(info["cluster_size"]),
            "slots_up": int(info["cluster_slots_ok"]),
            "slots_fail": int(info["cluster_slots_fail"]),
        }

    async def memory(self) -> tuple[int, int]:
        """Bytes used and allowed, over all primaries."""
        nodes = await self.primaries()
        answers = await asyncio.gather(*(self.ask(node, "INFO", "memory") for node in nodes))
        return sum(info["used_memory"] for info in answers), sum(info["maxmemory"] for info in answers)

    def encrypted(self) -> bool:
        """Whether every connection that is open to Redis is one by TLS; without one, whether the next would be."""
        opened = [connection for node in self.cluster.get_nodes() for connection in node._connections if connection.is_connected]
        seen = [isinstance(connection._writer.get_extra_info("ssl_object"), ssl.SSLObject) for connection in opened if connection._writer]
        return all(seen) if seen else self.trust is not None

    def connections(self) -> tuple[int, int]:
        """Connections in use, and open ones."""
        nodes = self.cluster.get_nodes()
        opened = [connection for node in nodes for connection in node._connections if connection.is_connected]
        free = {id(connection) for node in nodes for connection in node._free}
        return sum(id(connection) not in free for connection in opened), len(opened)

    async def close(self) -> None:
        await self.cluster.aclose()
