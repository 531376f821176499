# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether the owners of slots have loaded what was put under them, by what each says of itself (H46)."""

from __future__ import annotations

import typing as t

from .. import _data_plan, _topology
from .._errors import CachingError
from .._redis import ERRORS, Redis
from .._wait import wait_for
from .redis_nodes import Nodes

Found = dict[str, t.Any]


def judged(info: t.Mapping[str, str], key_count: int) -> list[str]:
    """What is not as it should be with a node that has loaded a file of so many keys: INFO says how many it found in it."""
    loaded, expired = _topology.number(info, "rdb_last_load_keys_loaded"), _topology.number(info, "rdb_last_load_keys_expired")
    if loaded is None or expired is None:
        return ["it does not tell how many keys it has loaded"]
    told = [] if loaded + expired == key_count else [f"it has loaded {loaded + expired} keys, and {key_count} are in its file"]
    evicted = _topology.number(info, "evicted_keys") or 0
    return [*told, f"it has evicted {evicted} keys"] if evicted else told


class Loaded:
    """The nodes behind ``cluster``; each is asked for itself, as they may not have found each other yet."""

    def __init__(self, cluster: Redis, wanted: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        self._clients = {f"{host}:{port}": cluster.client(host, port) for host, port in cluster.seeds}
        self._cluster = cluster
        self.wanted = {str(row["slots"]): int(row["key_count"]) for row in wanted}
        self._by_ranges = {_data_plan.joined(_data_plan.parsed(name)): name for name in self.wanted}
        self.found: dict[str, Found] = {}

    def wait(self, patience: float) -> list[Found]:
        """Until each range has its owner, and that has ended loading; then what it has loaded is judged."""
        wait_for(self._look, patience, "the end of loading")
        problems = [f"{row['node']} ({name}): {text}" for name, row in sorted(self.found.items()) for text in row.pop("problems")]
        rows = [{"slots": name, **row} for name, row in self.found.items()]
        if problems:
            raise CachingError("; ".join(problems), loaded=rows, problems=problems)
        return rows

    def _look(self) -> tuple[bool, str]:
        self.found, seen = {}, []
        for address, client in self._clients.items():
            try:
                info = _topology.info(client.execute_command("INFO", "everything"))
                if info.get("loading") != "0":
                    seen.append(f"{address} loads")
                    continue
                rows = _topology.nodes(client.execute_command("CLUSTER NODES"))
            except ERRORS as error:
                seen.append(self._cluster.refusal_at(address, error).message)
                continue
            own = next((node for node in rows if "myself" in node.flags), None)
            name = self._by_ranges.get(_data_plan.joined(own.slots)) if own and own.is_primary else None
            if name:
                self.found[name] = {
                    "node": address, "loaded": _topology.number(info, "rdb_last_load_keys_loaded"),
                    "expired": _topology.number(info, "rdb_last_load_keys_expired"), "problems": judged(info, self.wanted[name]),
                }
        missing = [name for name in self.wanted if name not in self.found]
        return not missing, "; ".join([*seen, *(f"nobody owns {name}" for name in missing)])


def counted(cluster: Redis, patience: float) -> int:
    """Keys of all primaries, once each of the nodes that are given has ended loading."""
    clients = {f"{host}:{port}": cluster.client(host, port) for host, port in cluster.seeds}

    def look() -> tuple[bool, str]:
        told = []
        for address, client in clients.items():
            try:
                if _topology.info(client.execute_command("INFO", "persistence")).get("loading") != "0":
                    told.append(f"{address} loads")
            except ERRORS as error:
                told.append(cluster.refusal_at(address, error).message)
        return not told, "; ".join(told)

    wait_for(look, patience, "the end of loading")
    nodes = Nodes(cluster, 1, 1)
    nodes.look()
    return sum(_topology.keys(view.info) for view in nodes.views if view.info.get("role") == "master")
