# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a Redis Cluster is healthy, from what every one of its nodes says (H25). Pure functions."""

from __future__ import annotations

import re
import typing as t

from . import _topology
from ._topology import Node

REDACTED = "******"
_SECRET = re.compile(r"pass|auth$|secret|token", re.IGNORECASE)
_PASSWORD = re.compile(r"^[#!<>]")


class View(t.NamedTuple):
    """What one node says: the cluster as it sees it, CLUSTER INFO and INFO. ``error``: why it says nothing.

    ``held``: a healing that has not ended keeps it from being elected.
    """

    address: str
    nodes: tuple[Node, ...] = ()
    cluster: t.Mapping[str, str] = {}
    info: t.Mapping[str, str] = {}
    error: str = ""
    held: bool = False


def known(views: t.Iterable[View]) -> dict[str, Node]:
    """Every node by its id, as most see it (as it sees itself, where it answers)."""
    result: dict[str, Node] = {}
    for view in views:
        for node in view.nodes:
            if node.id not in result or "myself" in node.flags:
                result[node.id] = node
    return result


def place(node: Node, view: View) -> str:
    """Where a node is; one that does not know its own address is where it was asked."""
    return view.address if "myself" in node.flags else node.address


def addresses(views: t.Iterable[View]) -> dict[str, str]:
    """Address of each node by its id."""
    result: dict[str, str] = {}
    for view in views:
        for node in view.nodes:
            if "myself" in node.flags or (node.id not in result and (node.host or node.hostname)):
                result[node.id] = place(node, view)
    return result


def shape(view: View) -> frozenset[tuple[t.Any, ...]]:
    """What two nodes must agree on: who is primary, of whom, for which slots, and who has failed. Suspicions are private."""
    return frozenset(
        (node.id, node.is_primary, node.primary_id, node.slots, "fail" in node.flags) for node in view.nodes if "handshake" not in node.flags
    )


def majority(views: t.Sequence[View]) -> View | None:
    """A view that most of those that answered share."""
    answered = [view for view in views if not view.error]
    shapes = [shape(view) for view in answered]
    return max(answered, key=lambda view: shapes.count(shape(view)), default=None)


def shards(views: t.Sequence[View]) -> list[dict[str, t.Any]]:
    """Primaries with slots, and their replicas with what they lag behind."""
    chosen = majority(views)
    if chosen is None:
        return []
    where = addresses(views)
    infos = {view.address: view.info for view in views}
    result = []
    for node in sorted((node for node in chosen.nodes if node.is_primary), key=lambda node: (not node.slots, node.slots, node.id)):
        followers = [other for other in chosen.nodes if other.primary_id == node.id and not other.is_primary]
        if not node.slots and not followers:
            continue
        address = where.get(node.id, node.address)
        result.append(
            {
                "primary": address,
                "slots": ranges(node),
                "slot_count": sum(last - first + 1 for first, last in node.slots),
                "moving": list(node.moving),
                "replicas": [
                    {
                        "address": where.get(other.id, other.address),
                        "link": infos.get(where.get(other.id, ""), {}).get("master_link_status", "unknown"),
                        "lag_bytes": _topology.lag(infos.get(address, {}), infos.get(where.get(other.id, ""), {})),
                    }
                    for other in sorted(followers, key=lambda other: where.get(other.id, other.address))
                ],
            }
        )
    return result


def ranges(node: Node) -> list[str]:
    return [str(first) if first == last else f"{first}-{last}" for first, last in node.slots]


def reasons(views: t.Sequence[View], max_lag: int, replicas: int = 1) -> list[str]:
    """Why the cluster is not healthy, a line each. ``max_lag``: bytes; ``replicas``: how many working ones each shard needs."""
    told = [f"{view.address} does not answer: {view.error}" for view in views if view.error]
    answered = [view for view in views if not view.error]
    told += [f"{view.address}: cluster_state is {state}" for view in answered if (state := view.cluster.get("cluster_state", "not told")) != "ok"]
    told += _marks(answered)
    told += [f"automatic failover of {view.address} is held by an unfinished redis_cluster run: run it again" for view in answered if view.held]
    chosen = majority(views)
    if chosen is None:
        return told
    missing = _topology.uncovered(chosen.nodes)
    if missing:
        told.append(f"{missing} of {_topology.SLOTS} slots are served by no primary that works")
    apart = [view.address for view in answered if shape(view) != shape(chosen)]
    if apart:
        told.append(f"views differ: {', '.join(apart)} see the cluster otherwise than {chosen.address}")
    silent = {view.address for view in views if view.error}
    for shard in shards(views):
        working = 0
        for replica in shard["replicas"]:
            if replica["address"] in silent:
                continue
            if replica["link"] != "up":
                told.append(f"{replica['address']}: its link to the primary {shard['primary']} is {replica['link']}")
            elif replica["lag_bytes"] is not None and replica["lag_bytes"] > max_lag:
                told.append(
                    f"{replica['address']} is {replica['lag_bytes']} bytes behind its primary {shard['primary']}, more than max_lag {max_lag}"
                )
            else:
                working += 1
        if shard["slots"] and working < replicas:
            few = f"{working} of {replicas} replicas that work" if working else "no replica that works"
            told.append(f"the shard of {shard['primary']} has {few}")
    return told


def _marks(answered: t.Sequence[View]) -> list[str]:
    """Exact flags: ``fail?`` is a suspicion, ``nofailover`` is none of these."""
    where = addresses(answered)
    words = {"fail": "has failed", "fail?": "is suspected to have failed", "noaddr": "has no address", "handshake": "is still joining"}
    seen: dict[tuple[str, str], list[str]] = {}
    for view in answered:
        for node in view.nodes:
            for flag in words:
                if flag in node.flags:
                    seen.setdefault((node.id, flag), []).append(view.address)
            if not node.connected and "myself" not in node.flags and not node.failing:
                seen.setdefault((node.id, "link"), []).append(view.address)
    words["link"] = "is not connected"
    return [
        f"{where.get(node, node[:12])} {words[flag]}, as {_few(by)} see{'s' if len(by) == 1 else ''} it"
        for (node, flag), by in sorted(seen.items())
    ]


def _few(names: t.Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def memory(info: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Memory used and its limit; a limit of zero is none, and a finding of its own (H22)."""
    used, limit = _topology.number(info, "used_memory"), _topology.number(info, "maxmemory")
    percent = round(100.0 * used / limit, 3) if used is not None and limit else None
    return {
        "used": used,
        "max": limit,
        "percent": percent,
        "policy": info.get("maxmemory_policy"),
        "peak": _topology.number(info, "used_memory_peak"),
        "evicted": _topology.number(info, "evicted_keys"),
        "reason": "maxmemory is not set, so there is no limit" if limit == 0 else "",
    }


def redacted(settings: t.Mapping[str, str]) -> dict[str, str]:
    """Settings without secrets; that one is empty is no secret (H58)."""
    return {name: REDACTED if value and _SECRET.search(name) else value for name, value in sorted(settings.items())}


def users(lines: t.Iterable[str]) -> list[dict[str, t.Any]]:
    """ACL LIST without passwords and their hashes."""
    result = []
    for line in lines:
        word, *words = line.split() or [""]
        if word == "user" and words:
            name, *rules = words
            result.append(
                {
                    "name": name,
                    "enabled": "on" in rules,
                    "without_password": "nopass" in rules,
                    "passwords": sum(rule.startswith("#") for rule in rules),
                    "rules": [rule for rule in rules if rule not in ("on", "off", "nopass", "sanitize-payload") and not _PASSWORD.match(rule)],
                }
            )
    return result


def findings(found: t.Sequence[t.Mapping[str, t.Any]], settings: t.Mapping[str, str]) -> list[str]:
    """What is open on one node."""
    told = [f"user {user['name']} is enabled and needs no password" for user in found if user["enabled"] and user["without_password"]]
    if settings.get("protected-mode") == "no" and settings.get("bind", "") in ("", "*", "* -::*", "0.0.0.0") and told:
        told.append("protected-mode is off, and the node listens on every address")
    if settings.get("tls-port") == "0":
        told.append("TLS is off: tls-port is 0")
    elif settings.get("port", "0") != "0" and "tls-port" in settings:
        told.append(f"the port {settings['port']} is open without TLS beside the TLS port")
    return told
