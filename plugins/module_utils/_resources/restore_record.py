# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Records of restores: one that was cut off is found again by its request, and how fast earlier ones were.

A folder in the store for each restore: ``started`` (what it restores, and the safety backup that it made) before the first
write, ``finished`` after the last key. A request without ``finished`` goes on, with the same backup and the same safety backup.
What it started with is signed as manifests are: who can write to the store must not choose what a restore flushes for.
"""

from __future__ import annotations

import hashlib
import json
import typing as t

from .. import _manifest
from .._errors import CachingError
from .._store import Store

LEASE = 86400.0  # an unfinished restore that is older was given up; the next one is a new one
_REQUEST = ("cluster", "id", "mode", "patterns", "on_conflict", "flush")


class Record:
    """The record of one request into a target with these nodes (their ids); reading it changes nothing.

    A target keeps some of its nodes from one run to the next; one that shares none is another one (a drill's, say).
    """

    def __init__(self, store: Store, params: t.Mapping[str, t.Any], nodes: t.Collection[str], warn: t.Callable[[str], None]) -> None:
        self._store, self._nodes, self._warn = store, set(nodes), warn
        self._key: str | None = params.get("signing_key")
        self._previous: t.Sequence[str] = params.get("previous_signing_keys") or ()
        self.age = 0.0   # seconds since the run that goes on was begun
        self._all = f"restores/{params['cluster']}"
        request = {name: params.get(name) for name in _REQUEST}
        self._folder = f"{self._all}/{hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]}"
        self._request = request
        self._superseded = 0
        self.number, self.started = self._open()

    def _open(self) -> tuple[int, dict[str, t.Any] | None]:
        """The number of the run that is not finished and what it started with, or the next number and nothing."""
        entries = {tuple(entry.name.split("/")[-2:]): entry for entry in self._store.entries(self._folder)}
        numbers = [int(number) for number, name in entries if name == "started" and number.isdigit()]
        self._next = max(numbers, default=0) + 1
        for number in sorted(numbers, reverse=True):
            if (str(number), "finished") not in entries and entries[str(number), "started"].age < LEASE:
                started = self._started(f"{self._folder}/{number}/started")
                self.age = entries[str(number), "started"].age
                if self._nodes & set(started.get("nodes") or []):
                    return number, started
        return self._next, None

    def supersede(self) -> None:
        """The unfinished run can't go on: a new one begins, and when that starts, the old one is closed."""
        self._superseded, self.started, self.age = self.number, None, 0.0
        self.number = self._next

    def start(self, backup: str, safety: str | None) -> None:
        """Before the first write."""
        if self.started is None:
            self.started = {"request": self._request, "backup": backup, "safety_backup": safety, "nodes": sorted(self._nodes)}
            if not self._store.put_if_absent(f"{self._folder}/{self.number}/started", _manifest.signed("restore", self.started, self._key)):
                raise CachingError("another run of the same restore has begun; nothing was written by this one")
            if self._superseded:
                self._store.put_if_absent(f"{self._folder}/{self._superseded}/finished", json.dumps({"superseded_by": self.number}).encode())

    def finish(self, result: dict[str, t.Any]) -> None:
        self._store.put_if_absent(f"{self._folder}/{self.number}/finished", json.dumps(result).encode())

    def rate(self) -> float | None:
        """Keys a second of the last restore into this cluster that was finished."""
        found = [entry for entry in self._store.entries(self._all) if entry.name.endswith("/finished")]
        for entry in sorted(found, key=lambda entry: entry.age):
            rate = self._read(entry.name).get("keys_per_second")
            if isinstance(rate, (int, float)) and rate > 0:
                return float(rate)
        return None

    def _started(self, name: str) -> dict[str, t.Any]:
        """What a run started with; nothing where that can't be believed, so that a new restore begins, with its own safety backup."""
        try:
            return _manifest.opened("restore", self._store.get(name) or b"", self._key, self._previous)[0]
        except _manifest.ManifestError as error:
            self._warn(f"the record {name}: {error.message.removeprefix('restore: ')}; this is taken for a new restore, not for the rest of an earlier one")
            return {}

    def _read(self, name: str) -> dict[str, t.Any]:
        try:
            found = json.loads(self._store.get(name) or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CachingError(f"the record {name} in the store is damaged; delete it, if no restore is to be finished")
        return found
