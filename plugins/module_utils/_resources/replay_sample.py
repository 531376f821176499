# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A sample of the keys of an RDB, and whether they are the same in a cluster: by their DUMP, encodings aside.

The order of sets and hashes and the compression of strings differ from server to server, so what is compared are the plain
parts. A value that another version keeps in another form can't be compared this way; its expiry still is.
"""

from __future__ import annotations

import hashlib
import struct
import time
import typing as t
import zlib

from .. import _rdb, _topology
from .._rdb_types import ONE_STRING, Bad, length, text
from .._redis import ERRORS, Redis
from .._replay_nodes import Owners

_LARGEST = 1 << 20
_PATIENCE = 30.0


class Kept(t.NamedTuple):
    kind: int
    digest: str
    when: int | None


class Verdict(t.NamedTuple):
    """How the sample was found: names of keys that are missing or differ, and how many could be compared."""

    looked_at: int
    compared: int
    missing: list[str]
    different: list[str]


class Sample:
    """About ``most`` keys, chosen by their names, so that every run takes the same."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: dict[bytes, Kept] = {}
        self._limit = 1 << 32 if most else 0

    def look(self, batch: t.Sequence[_rdb.Record]) -> None:
        if not self.most:
            return
        limit = self._limit
        for kind, key, when, _idle, _frequency, value in batch:
            if zlib.crc32(key) < limit and len(value) < _LARGEST:
                self.kept[key] = Kept(kind, digest(kind, bytes(value)), when)
                if len(self.kept) > 2 * self.most:
                    self._limit = limit = limit // 2
                    self.kept = {name: one for name, one in self.kept.items() if zlib.crc32(name) < limit}

    def compare(self, cluster: Redis, matches: t.Callable[[bytes], t.Any] | None = None, leave_out: t.Container[bytes] = ()) -> Verdict:
        """Look at the cluster's own nodes for what was kept."""
        now = time.time() * 1000 + 2000
        wanted = [key for key, one in self.kept.items() if (one.when is None or one.when > now) and key not in leave_out and (not matches or matches(key))]
        found = dumped(cluster, wanted[: self.most])
        missing, different, compared = [], [], 0
        for key, (payload, when) in found.items():
            kept, name = self.kept[key], repr(key.decode("utf-8", "backslashreplace"))
            if payload is None:
                if kept.when is None or kept.when > time.time() * 1000:
                    missing.append(name)
                continue
            same_form = payload[0] == kept.kind
            compared += same_form
            if when != (kept.when if kept.when is not None else -1) or same_form and digest(kept.kind, payload[1:-10]) != kept.digest:
                different.append(name)
        return Verdict(len(found), compared, sorted(missing), sorted(different))


def dumped(cluster: Redis, keys: t.Sequence[bytes]) -> dict[bytes, tuple[bytes | None, int]]:
    """DUMP and PEXPIRETIME of keys, from the primaries that own them."""
    owners = Owners(cluster, "fail", _PATIENCE)
    shares: dict[str, list[bytes]] = {}
    for key in keys:
        shares.setdefault(owners.owner[_topology.slot(key)].address, []).append(key)
    found: dict[bytes, tuple[bytes | None, int]] = {}
    for address, share in shares.items():
        host, _colon, port = address.rpartition(":")
        pipe = cluster.client(host.strip("[]"), int(port)).pipeline(transaction=False)
        for key in share:
            pipe.dump(key)
            pipe.execute_command("PEXPIRETIME", key)
        try:
            rows = pipe.execute()
        except ERRORS as error:
            raise cluster.refusal_at(address, error) from None
        found.update({key: (rows[2 * place], rows[2 * place + 1]) for place, key in enumerate(share)})
    return found


def digest(kind: int, value: bytes) -> str:
    """What a value is made of, however it is packed and in whatever order it stands."""
    try:
        parts = sorted(_parts(kind, value))
    except (Bad, IndexError, struct.error):
        parts = [value]
    told = hashlib.sha256()
    for part in parts:
        told.update(len(part).to_bytes(8, "big") + part)
    return told.hexdigest()


def _parts(kind: int, value: bytes) -> list[bytes]:
    if kind in ONE_STRING:
        return [text(value, 0)[0]]
    if kind in (2, 4, 5, 22):
        count, here = length(value, 0)
        result = []
        for _one in range(count):
            part, here = text(value, here)
            if kind in (4, 22):
                other, here = text(value, here)
                part = len(part).to_bytes(8, "big") + part + other
            if kind in (5, 22):
                part += value[here : here + 8]
                here += 8
            result.append(part)
        return result
    if kind == 18:
        count, here = length(value, 0)
        result = []
        for place in range(count):
            container, here = length(value, here)
            part, here = text(value, here)
            result.append(b"%d %d " % (place, container) + part)
        return result
    if kind in (15, 19, 21):
        count, here = length(value, 0)
        result = []
        for _pack in range(count):
            name, here = text(value, here)
            part, here = text(value, here)
            result.append(name + part)
        return result
    return [value]
