# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Requests that must act once: a record in the store, so that the same id again repeats nothing.

``requests/<id>/started`` is made by put-if-absent with a digest of the request, ``requests/<id>/part-<n>`` follows each
part that is done, ``requests/<id>/finished`` holds the result. A record without a sign of life for the time of its lease
belongs to a run that died: the next one claims it (``claim-<n>``, made by put-if-absent too, so of several just one does)
and goes on after the parts that are done. A run that fails says so (``released-<n>``), so that nobody waits for the lease.
"""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from .._errors import CachingError, one_line
from .._store import Entry, Store

LEASE = 120.0
KEPT = 30 * 86400.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")


class RequestRecord:
    """The record of one request id."""

    def __init__(self, store: Store, request_id: str, request: t.Any) -> None:
        if not _ID.fullmatch(request_id):
            raise CachingError(f"request_id: {one_line(repr(request_id), 60)} must be letters, digits and _ . : @ - (at most 128)")
        self.store = store
        self.id = request_id
        self._folder = f"requests/{request_id}"
        self._claim = 0
        self._digest = hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()

    def finished(self) -> dict[str, t.Any] | None:
        """The result of an earlier run with this id, or None. The same id with another request, or at work now, is an error."""
        started = self._read("started")
        if started is not None and started.get("request") != self._digest:
            raise CachingError(f"request_id: {self.id} was used for another request; nothing was changed")
        result = self._read("finished")
        if started is not None and result is None:
            self._refuse_while_at_work()
        return result

    def _refuse_while_at_work(self) -> None:
        entries = self._entries()
        names = {entry.name.rpartition("/")[2] for entry in entries}
        self._claim = sum(name.startswith("claim-") for name in names)
        idle = min((entry.age for entry in entries), default=LEASE)
        if "finished" in names:
            raise CachingError(f"request_id: another run has just finished {self.id}; nothing was changed. Run again for its result")
        if idle < LEASE and f"released-{self._claim}" not in names:
            raise self._busy(idle)

    def _busy(self, idle: float) -> CachingError:
        return CachingError(
            f"request_id: another run works on {self.id} (last sign of it {idle:.0f} s ago); nothing was changed. "
            f"If that run has died, this one can go on in {LEASE - idle:.0f} s"
        )

    def start(self) -> list[dict[str, t.Any] | None]:
        """Claim the id. Returns the parts that a run which died has finished, by number."""
        self._forget_old()
        content = json.dumps({"request": self._digest}).encode()
        if not self.store.put_if_absent(f"{self._folder}/started", content):
            self._refuse_while_at_work()
            self._claim += 1
            if not self.store.put_if_absent(f"{self._folder}/claim-{self._claim}", b"{}"):
                raise self._busy(0.0)
        done = {}
        for entry in self._entries():
            name = entry.name.rpartition("/")[2]
            if name.startswith("part-"):
                number = name.removeprefix("part-")
                if not (number.isascii() and number.isdigit()):
                    raise self._damaged(name)
                done[int(number)] = self._read(name)
        return [done.get(number) for number in range(1 + max(done, default=-1))]

    def part(self, number: int, result: dict[str, t.Any]) -> None:
        self.store.put(f"{self._folder}/part-{number}", json.dumps(result).encode())

    def release(self) -> None:
        """The run ends without having finished, and knows it: the next one may go on at once."""
        self.store.put(f"{self._folder}/released-{self._claim}", b"{}")

    def finish(self, result: dict[str, t.Any]) -> None:
        self.store.put(f"{self._folder}/finished", json.dumps(result).encode())

    def _entries(self) -> list[Entry]:
        return self.store.entries(self._folder)

    def _read(self, name: str) -> dict[str, t.Any] | None:
        content = self.store.get(f"{self._folder}/{name}")
        try:
            found = None if content is None else json.loads(content)
        except ValueError:
            found = ()
        if found is not None and not isinstance(found, dict):
            raise self._damaged(name)
        return found

    def _damaged(self, name: str) -> CachingError:
        return CachingError(f"request_id: the record {self._folder}/{name} in the store is damaged; delete it, or use a new id")

    def _forget_old(self) -> None:
        ages: dict[str, list[Entry]] = {}
        for entry in self.store.entries("requests"):
            ages.setdefault(entry.name.split("/")[1], []).append(entry)
        for entries in ages.values():
            if min(entry.age for entry in entries) > KEPT:
                for entry in sorted(entries, key=lambda entry: entry.name.endswith("/started")):
                    self.store.delete(entry.name)
