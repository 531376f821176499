# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A Redis Cluster through redis-py: its nodes, and reading keys over all of them within a time budget."""

from __future__ import annotations

import inspect
import re
import socket
import ssl
import traceback
import typing as t
from concurrent.futures import ThreadPoolExecutor

from . import _redis_tls, _topology
from ._duration import within
from ._errors import CachingError, one_line
from ._wait import Deadline

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.retry import Retry

    REDIS_ERROR = None
    _TAKES: t.Collection[str] = inspect.signature(redis.Redis).parameters
    ERRORS: tuple[type[Exception], ...] = (redis.RedisError, redis.exceptions.RedisClusterException, OSError)
    _CONNECT_ERRORS: tuple[type[Exception], ...] = (*ERRORS, ValueError)
except ImportError:
    REDIS_ERROR = traceback.format_exc()
    ERRORS = _CONNECT_ERRORS = (OSError,)
    _TAKES = ()

_CONNECTING = re.compile(r"^Error -?[0-9]+ connecting to [^ ]+ ")   # who can't be reached is said already
_NOT_LET_IN = ("wrongpass", "noauth", "authentication required", "invalid username", "invalid password", "already authenticated")
_SPECIAL = str.maketrans({character: "\\" + character for character in "*?[]\\^"})


def comes_up(error: Exception) -> bool:
    """Whether a node refuses because it still loads its data, or because its process does not listen yet."""
    return type(error).__name__ == "BusyLoadingError" or any(isinstance(one, ConnectionRefusedError) for one in (error, error.__context__))


def literal(text: str) -> str:
    """``text`` for a MATCH pattern, so that it means just itself."""
    return text.translate(_SPECIAL)


class Redis:
    """The cluster behind the options of the fragment ``redis``. Connections are made at first use and kept."""

    def __init__(self, params: t.Mapping[str, t.Any]) -> None:
        self.seeds = [_host_port(node, "redis_nodes") for node in params.get("redis_nodes") or []]
        moved = {str(old): str(new) for old, new in (params.get("redis_address_map") or {}).items()}
        self._moved = {_host_port(old, "redis_address_map"): _host_port(new, "redis_address_map") for old, new in moved.items()}
        timeout = within(params.get("redis_timeout", 5), "redis_timeout")
        self._options: dict[str, t.Any] = {
            "username": params.get("redis_username"), "password": params.get("redis_password"),
            "socket_timeout": timeout, "socket_connect_timeout": timeout,
        }
        self._tls = _redis_tls.context(params)
        self._certificate = bool(params.get("redis_client_cert"))
        self._name: str | None = params.get("redis_tls_server_name")
        self._pool = _pool_by(self._tls, self._name) if self._tls else None
        self._looking = _redis_tls.looking(params) if self._tls else None
        self._cluster: RedisCluster | None = None

    @property
    def cluster(self) -> RedisCluster:
        if self._cluster is None:
            if not self.seeds:
                raise CachingError("redis_nodes: give at least one node as host:port")
            # The library makes the pools of a cluster's nodes itself; it takes a class for them only together with a URL.
            secure = {"url": "redis://" + _joined(*self.seeds[0]), "connection_pool_class": self._pool} if self._pool else {}
            try:
                self._cluster = RedisCluster(
                    startup_nodes=[ClusterNode(host, port) for host, port in self.seeds], **secure,
                    address_remap=lambda address: self._moved.get(address, address), require_full_coverage=False, **self._options,
                )
            except _CONNECT_ERRORS as error:
                raise self._refusal(error) from None
        return self._cluster

    def nodes(self) -> list[_topology.Node]:
        """The nodes as one that answers sees them."""
        client = self.cluster.get_redis_connection(self.cluster.get_random_node())
        client.set_response_callback("CLUSTER NODES", _text)
        with self._errors():
            return _topology.nodes(client.execute_command("CLUSTER NODES"))

    def info(self, node: _topology.Node, section: str = "everything") -> dict[str, str]:
        """INFO of one node."""
        with self._errors():
            return _topology.info(self.client(node.host, node.port).execute_command("INFO", section))

    def client(self, host: str, port: int) -> redis.Redis:
        """A client of one node by the address that it announces. It tries once: an answer that is missing is an answer, too."""
        host, port = self._moved.get((host, port), (host, port))
        options = {"host": host, "port": port, "retry": Retry(NoBackoff(), 0), **_plain(), **self._options}
        if self._pool:
            client = redis.Redis(connection_pool=self._pool(**options))
            client.auto_close_connection_pool = True
        else:
            client = redis.Redis(**options)
        for command in ("INFO", "CLUSTER NODES", "CLUSTER INFO"):
            client.set_response_callback(command, _text)
        return client

    def plug(self, address: str) -> socket.socket:
        """A plain socket to one node by the address that it announces: by TLS, and authenticated, as the options say."""
        place = _host_port(address, "address")
        host, port = self._moved.get(place, place)
        options = self._options
        wire = socket.create_connection((host, port), options["socket_connect_timeout"])
        try:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                wire = _redis_tls.secured(wire, self._name or host, self._tls)
            wire.settimeout(2 * options["socket_timeout"])  # many commands are answered at once
            if options["password"] is not None:
                words = [word.encode() for word in ("AUTH", options["username"], options["password"]) if word is not None]
                wire.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
                answer = b""
                while not answer.endswith(b"\r\n") and (part := wire.recv(4096)):
                    answer += part
                if not answer.startswith(b"+OK"):
                    raise self._refusal(Exception(answer.decode("utf-8", "replace")), address)
        except BaseException:
            wire.close()
            raise
        return wire

    def served(self, host: str, port: int) -> str:
        """SHA-256 of the certificate that a new handshake with one node shows, by the address that it announces."""
        if self._looking is None:
            raise CachingError("redis_tls: certificates are only served by TLS")
        place = self._moved.get((host, port), (host, port))
        try:
            return _redis_tls.served(*place, self._options["socket_connect_timeout"], self._looking)
        except OSError as error:
            raise self._refusal(error, f"{host}:{port}") from None

    def refusal_at(self, address: str, error: Exception) -> CachingError:
        """What an error of the client of one node means, in one line."""
        return self._refusal(error, address)

    def scan(self, patterns: t.Sequence[str], budget: float) -> list[set[bytes]] | None:
        """The keys on all primaries that match each of ``patterns``; None when ``budget`` seconds were not enough."""
        deadline = Deadline(budget)

        def on_one(node: ClusterNode) -> list[set[bytes]] | None:
            found: list[set[bytes]] = []
            for pattern in patterns:
                keys: set[bytes] = set()
                client, cursor = self.cluster.get_redis_connection(node), -1
                while cursor:
                    if deadline.over:
                        return None
                    cursor, batch = client.scan(cursor=max(cursor, 0), match=pattern, count=2000)
                    keys.update(t.cast("list[bytes]", batch))
                found.append(keys)
            return found

        with self._errors():
            primaries = self.cluster.get_primaries()
            with ThreadPoolExecutor(max(1, len(primaries))) as threads:
                parts = list(threads.map(on_one, primaries))
        if any(part is None for part in parts):
            return None
        return [set().union(*(part[index] for part in parts if part)) for index in range(len(patterns))]

    def existing(self, keys: t.Iterable[bytes]) -> set[bytes]:
        """Those of ``keys`` that exist."""
        found: set[bytes] = set()
        wanted = list(keys)
        with self._errors():
            for start in range(0, len(wanted), 1000):
                part = wanted[start : start + 1000]
                pipeline = self.cluster.pipeline()
                for key in part:
                    pipeline.exists(key)
                found.update(key for key, exists in zip(part, pipeline.execute()) if exists)
        return found

    def members(self, key: str) -> set[bytes]:
        """The members of a set; nothing where there is none."""
        with self._errors():
            return set(self.cluster.sscan_iter(key, count=2000))

    def _errors(self) -> "_Errors":
        return _Errors(self._refusal)

    def _refusal(self, error: Exception, address: str = "") -> CachingError:
        where = address or ", ".join(f"{host}:{port}" for host, port in self.seeds[:3])
        text = _redis_tls.reason(_CONNECTING.sub("", one_line(error, 200)))
        lower = text.lower()
        if any(words in lower for words in _NOT_LET_IN):
            return CachingError(f"Redis at {where} does not accept the user or password: set redis_username and redis_password")
        if "noperm" in lower or "no permissions" in lower:
            return CachingError(f"Redis at {where}: the user may not do this: {text}")
        if "cluster mode is not enabled" in lower or "cluster support disabled" in lower:
            return CachingError(f"Redis at {where} is no cluster (cluster-enabled is off)")
        hint = _redis_tls.meaning(one_line(error, 1000), self._tls is not None, self._certificate)
        return CachingError(f"Redis at {where} can't be read: {text}{f' ({hint})' if hint else ''}")


class _Errors:
    """Turns what redis-py raises inside a ``with`` into one clear line."""

    def __init__(self, refusal: t.Callable[[Exception], CachingError]) -> None:
        self._refusal = refusal

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and isinstance(error, ERRORS):
            raise self._refusal(error) from None


def _plain() -> dict[str, t.Any]:
    """Options of a client that asks and goes: it does not look its own version up, to tell it, and wants no notices of maintenance.

    That is two thirds of what it costs to make one, and three of the four round trips of its connection.
    """
    options: dict[str, t.Any] = {"driver_info": None} if "driver_info" in _TAKES else {"lib_name": None, "lib_version": None}
    if "maint_notifications_config" in _TAKES:
        from redis.maint_notifications import MaintNotificationsConfig

        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options


def _pool_by(context: ssl.SSLContext, name: str | None) -> t.Any:
    """A class of pools whose connections are made by TLS with this context, as their library has no option for one."""
    class Secure(redis.Connection):
        def _connect(self) -> ssl.SSLSocket:
            wire: socket.socket = super()._connect()  # type: ignore[no-untyped-call]
            return _redis_tls.secured(wire, name or self.host, context)

    class Pool(redis.ConnectionPool):
        def __init__(self, **options: t.Any) -> None:
            super().__init__(connection_class=Secure, **options)

    return Pool


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _text(answer: bytes | str, **_options: t.Any) -> str:
    return answer if isinstance(answer, str) else answer.decode("utf-8", errors="replace")


def _host_port(text: t.Any, option: str) -> tuple[str, int]:
    host, _colon, port = str(text).strip().rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise CachingError(f"{option}: {one_line(repr(text), 60)} is not host:port")
    return host.strip("[]"), int(port)
