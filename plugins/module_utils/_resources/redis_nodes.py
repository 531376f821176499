# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Every node of a Redis Cluster asked for itself (S067, S087, S088, S098, S159, S161)."""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .. import _cluster_health, _cluster_hold, _topology
from .._cluster_health import View
from .._errors import CachingError, one_line
from .._redis import ERRORS, Redis

if t.TYPE_CHECKING:
    import redis

_MOST_ROUNDS = 3
_Found = dict[str, t.Any]


def failover_settings(client: t.Any) -> dict[str, str]:
    """What decides about failovers; nothing where the user may not read it."""
    try:
        found = client.config_get(_cluster_hold.SWITCH, _cluster_hold.TITLE)
    except ERRORS as error:
        if type(error).__name__ not in ("NoPermissionError", "ResponseError"):
            raise
        return {}
    return {name.decode() if isinstance(name, bytes) else name: value.decode() if isinstance(value, bytes) else value
            for name, value in found.items()}


class Nodes:
    """The nodes of one cluster: found from the seeds, each asked once for what all subsets need."""

    def __init__(self, source: Redis, slowlog_length: int, latency_samples: int) -> None:
        self.source = source
        self.slowlog_length = slowlog_length
        self.latency_samples = latency_samples
        self.views: list[View] = []

    def look(self) -> None:
        """Ask the seeds, and then every node that anybody knows. One that answers is enough."""
        asked: dict[str, View] = {}
        for host, port in self.source.seeds:
            view = self._view(f"{host}:{port}")
            asked[view.address] = view
            if not view.error:
                break
        else:
            told = "; ".join(f"{view.address}: {view.error}" for view in list(asked.values())[:3])
            raise CachingError(
                f"no node of Redis answers; {told}", healthy=False, reasons=[f"{view.address}: {view.error}" for view in asked.values()]
            )
        announced = {address: view for address, view in asked.items() if not view.error}
        for _round in range(_MOST_ROUNDS):
            new = [place for place in _cluster_health.addresses(announced.values()).values() if place not in announced]
            for view in self._each(self._view, new):
                announced[view.address] = view
        self.views = [announced[address] for address in sorted(announced)]

    def _each(self, work: t.Callable[[t.Any], t.Any], given: t.Sequence[t.Any]) -> list[t.Any]:
        if not given:
            return []
        with ThreadPoolExecutor(min(16, len(given))) as threads:
            return list(threads.map(work, given))

    def _client(self, address: str) -> redis.Redis:
        host, _colon, port = address.rpartition(":")
        return self.source.client(host.strip("[]"), int(port))

    def _view(self, address: str) -> View:
        try:
            client = self._client(address)
            nodes = tuple(_topology.nodes(client.execute_command("CLUSTER NODES")))
            cluster = _topology.info(client.execute_command("CLUSTER INFO"))
            found = View(address, nodes, cluster, _topology.info(client.execute_command("INFO", "everything")))
            if any({"myself", "nofailover"} <= node.flags for node in nodes):
                found = found._replace(held=_cluster_hold.failover(failover_settings(client)) == "held")
        except ERRORS as error:
            return View(address, error=self.source.refusal_at(address, error).message)
        except CachingError as error:
            return View(address, error=error.message)
        own = next((node for node in nodes if "myself" in node.flags and (node.host or node.hostname)), None)
        return found._replace(address=own.address) if own else found

    def read(self, subset: t.Collection[str]) -> list[_Found]:
        """Each node as data, with the subsets that were asked for."""
        nodes = _cluster_health.known(self.views)
        where = _cluster_health.addresses(self.views)
        by_address = {view.address: view for view in self.views}
        lost = [
            (node, View(where.get(node.id, node.address), error="nobody knows where it is"))
            for node in nodes.values()
            if where.get(node.id) not in by_address
        ]
        found = [(node, by_address[where[node.id]]) for node in nodes.values() if where.get(node.id) in by_address]
        rows = sorted([*found, *lost], key=lambda row: row[1].address)
        result = self._each(lambda row: self._node(row[0], row[1], subset, where), rows)
        if "latency" in subset:  # one node at a time: side by side they would measure each other
            for node, (_node, view) in zip(result, rows):
                self._part(node, "latency", self._latency, view)
        return result

    def _node(self, node: _topology.Node, view: View, subset: t.Collection[str], where: t.Mapping[str, str]) -> _Found:
        result: _Found = {
            "address": view.address,
            "id": node.id,
            "role": "primary" if node.is_primary else "replica",
            "primary": where.get(node.primary_id or ""),
            "slots": _cluster_health.ranges(node),
            "flags": sorted(node.flags - {"myself"}),
            "reachable": not view.error,
            "error": view.error,
            "cluster_state": view.cluster.get("cluster_state"),
            "version": _version(view.info),
            "uptime_seconds": _topology.number(view.info, "uptime_in_seconds"),
            "unread": {},
        }
        readers: dict[str, t.Callable[[redis.Redis, View], t.Any]] = {
            "memory": lambda _client, seen: _cluster_health.memory(seen.info),
            "slowlog": self._slowlog,
            "clients": _clients,
            "configuration": lambda client, _seen: _cluster_health.redacted(_settings(client)),
            "security": _security,
        }
        for name in readers.keys() & set(subset):
            self._part(result, name, readers[name], view)
        return result

    def _part(self, result: _Found, name: str, reader: t.Callable[[redis.Redis, View], t.Any], view: View) -> None:
        """One subset of one node, or why it could not be read."""
        result[name] = None
        if view.error:
            result["unread"][name] = "the node does not answer"
            return
        try:
            result[name] = reader(self._client(view.address), view)
        except ERRORS as error:
            result["unread"][name] = self.source.refusal_at(view.address, error).message

    def _latency(self, client: redis.Redis, _view: View) -> _Found:
        """Round trips of PING, a bounded number of them, on a connection that is open already."""
        begin = time.perf_counter()
        client.ping()
        connected = time.perf_counter() - begin
        times = []
        for _sample in range(self.latency_samples):
            begin = time.perf_counter()
            client.ping()
            times.append(1000.0 * (time.perf_counter() - begin))
        return {
            "samples": len(times),
            "connect_ms": round(1000.0 * connected, 3),
            "min_ms": round(min(times), 3),
            "mean_ms": round(sum(times) / len(times), 3),
            "max_ms": round(max(times), 3),
        }

    def _slowlog(self, client: redis.Redis, _view: View) -> list[_Found]:
        """The commands by name only: their arguments are keys and values."""
        rows = client.slowlog_get(self.slowlog_length)
        return [
            {
                "id": row.get("id"),
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.get("start_time", 0))),
                "milliseconds": row.get("duration", 0) / 1000.0,
                "command": one_line(_text(row.get("command", b"")).split(" ")[0].upper(), 40),
                "client": _text(row.get("client_address", b"")),
            }
            for row in rows
        ]


def _version(info: t.Mapping[str, str]) -> str | None:
    name = info.get("server_name", "redis")
    found = info.get(f"{name}_version") or info.get("redis_version")
    return f"{name} {found}" if found else None


def _clients(client: redis.Redis, view: View) -> _Found:
    rows = client.client_list()
    by_user: dict[str, int] = {}
    for row in rows:
        by_user[row.get("user", "?")] = by_user.get(row.get("user", "?"), 0) + 1
    return {
        "connected": len(rows),
        "blocked": _topology.number(view.info, "blocked_clients"),
        "maximum": _topology.number(view.info, "maxclients"),
        "by_user": dict(sorted(by_user.items())),
        "ages": sorted((int(row.get("age", 0)) for row in rows), reverse=True),
    }


def _settings(client: redis.Redis) -> dict[str, str]:
    found = t.cast("dict[t.Any, t.Any]", client.config_get("*"))
    return {_text(name): _text(value) for name, value in found.items()}


def _security(client: redis.Redis, _view: View) -> _Found:
    lines = t.cast("list[t.Any]", client.execute_command("ACL LIST"))
    found = _cluster_health.users(_text(line) for line in lines)
    return {"users": found, "findings": _cluster_health.findings(found, _settings(client))}


def _text(value: t.Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
