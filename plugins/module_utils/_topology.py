# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What Redis nodes say of themselves, as data: CLUSTER NODES and INFO. Pure functions."""

from __future__ import annotations

import typing as t
from binascii import crc_hqx

from ._errors import CachingError, one_line

SLOTS = 16384


class Node(t.NamedTuple):
    """One line of CLUSTER NODES. ``slots`` are ranges, both ends included; ``moving`` are slots that migrate."""

    id: str
    host: str
    port: int
    hostname: str
    flags: frozenset[str]
    primary_id: str | None
    epoch: int
    connected: bool
    slots: tuple[tuple[int, int], ...]
    moving: tuple[str, ...]

    @property
    def address(self) -> str:
        return f"{self.host or self.hostname}:{self.port}"

    @property
    def is_primary(self) -> bool:
        return "master" in self.flags

    @property
    def failing(self) -> bool:
        """Marked as failed, or suspected (H25: exact flags, ``nofailover`` is none of them)."""
        return bool(self.flags & {"fail", "fail?", "noaddr", "handshake"})


def nodes(text: str) -> list[Node]:
    """CLUSTER NODES as data."""
    return [_node(line) for line in text.splitlines() if line.strip()]


def _node(line: str) -> Node:
    parts = line.split()
    try:
        address, *names = parts[1].split(",")
        where = address.partition("@")[0]
        host, _colon, port = where.rpartition(":")
        fixed, moving = [], []
        for slot in parts[8:]:
            if slot.startswith("["):
                moving.append(slot.strip("[]"))
            else:
                first, _dash, last = slot.partition("-")
                fixed.append(_range(first, last or first))
        return Node(
            id=parts[0], host=host.strip("[]"), port=int(port), hostname=names[0] if names and "=" not in names[0] else "",
            flags=frozenset(parts[2].split(",")), primary_id=None if parts[3] == "-" else parts[3], epoch=int(parts[6]),
            connected=parts[7] == "connected", slots=tuple(fixed), moving=tuple(moving),
        )
    except (IndexError, ValueError):
        raise CachingError(f"CLUSTER NODES has a line that can't be read: {one_line(line, 120)}") from None


def _range(first: str, last: str) -> tuple[int, int]:
    low, high = int(first), int(last)
    if not 0 <= low <= high < SLOTS:
        raise ValueError
    return low, high


def slot(key: bytes) -> int:
    """The slot of a key, by its hash tag where it has one."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def uncovered(found: t.Iterable[Node]) -> int:
    """How many slots no primary that works serves."""
    served = set[int]()
    for node in found:
        if node.is_primary and not node.failing:
            for low, high in node.slots:
                served.update(range(low, high + 1))
    return SLOTS - len(served)


def info(text: str) -> dict[str, str]:
    """INFO as a flat dictionary of texts."""
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def number(found: t.Mapping[str, str], name: str) -> int | None:
    """A whole number of INFO, or None where it is missing or none."""
    value = found.get(name, "")
    return int(value) if value.isascii() and value.lstrip("-").isdigit() and value.count("-") <= 1 else None


def keys(found: t.Mapping[str, str]) -> int:
    """Keys of database 0, the only one of a cluster."""
    told = found.get("db0", "").partition(",")[0].removeprefix("keys=")
    return int(told) if told.isdigit() else 0


def lag(primary: t.Mapping[str, str], replica: t.Mapping[str, str]) -> int | None:
    """Bytes that a replica is behind its primary; None where its link is down or nothing is known."""
    ahead, behind = number(primary, "master_repl_offset"), number(replica, "slave_repl_offset")
    if ahead is None or behind is None or replica.get("master_link_status") != "up":
        return None
    return max(0, ahead - behind)
