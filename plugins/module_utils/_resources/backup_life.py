# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The sign of life of a run, and what runs that died have left behind.

A run writes its record before its first object and removes it after its last. So objects without a manifest and without a record
are of a dead run, and with one they are until it is older than a lease, or its process is known to be gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import typing as t

from .. import _manifest
from .._errors import CachingError
from .._store import Entry
from .catalogue import Catalogue

LEASE = 600.0
_BEAT = 20.0


class Life:
    """The record of this run, renewed while the ``with`` lasts."""

    def __init__(self, catalogue: Catalogue, identifier: str) -> None:
        self._store = catalogue.store
        self._name = f"{_manifest.folder(catalogue.cluster)}/running/{identifier}"
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="life", daemon=True)
        self.lost = ""

    def __enter__(self) -> Life:
        self._store.put(self._name, _manifest.canonical(_self()))
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join(5.0)
        with contextlib.suppress(CachingError):
            self._store.delete(self._name)

    def _beat(self) -> None:
        while not self._end.wait(_BEAT):
            with contextlib.suppress(CachingError):  # the next one may succeed, and the lease is many of them long
                self._store.put(self._name, _manifest.canonical(_self()))


def _self() -> dict[str, t.Any]:
    """This process, as others on the same machine can find it."""
    return {"machine": _machine(), "pid": os.getpid(), "born": _born(os.getpid())}


def _machine() -> str:
    """The running system and its namespace of processes: two with the same see the same processes."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process was started; nothing where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def _dead(document: bytes | None) -> bool:
    """Whether the process of a record is known to be gone."""
    try:
        record = json.loads(document or b"{}")
        machine, pid, born = record.get("machine"), record.get("pid"), record.get("born")
    except (ValueError, AttributeError):
        return False
    return bool(machine) and machine == _machine() and isinstance(pid, int) and bool(born) and _born(pid) != born


class Leftovers(t.NamedTuple):
    """What dead runs have left: objects, and what the store knows as unfinished writes."""

    objects: list[Entry]
    writes: list[Entry]
    runs: list[str]

    @property
    def names(self) -> list[str]:
        return sorted(entry.name for entry in [*self.objects, *self.writes])


def leftovers(catalogue: Catalogue) -> Leftovers:
    """What can be collected now: nothing of a run that lives."""
    prefix = _manifest.folder(catalogue.cluster)
    unfinished = catalogue.store.leftovers(prefix)  # before the records: what is begun after them belongs to a run that has one
    incomplete = catalogue.leftovers()
    records = {entry.name.rpartition("/")[2]: entry for entry in catalogue.store.entries(f"{prefix}/running")}
    living = {name for name, entry in records.items() if entry.age < LEASE and not _dead(catalogue.store.get(entry.name))}
    objects = [entry for identifier, entries in incomplete.items() if identifier not in living for entry in entries]
    objects += [entry for name, entry in records.items() if name not in living]
    writes = []
    for entry in unfinished:
        identifier = entry.name.removeprefix(f"{prefix}/").partition("/")[0]
        owned = _manifest.is_id(identifier)
        if identifier not in living and (owned or entry.age > LEASE):
            writes.append(entry)
    return Leftovers(objects, writes, sorted(identifier for identifier in incomplete if identifier not in living))


def collect(catalogue: Catalogue, found: Leftovers) -> None:
    """Remove them. A manifest that has come meanwhile stays, with its set."""
    for entry in found.writes:
        catalogue.store.discard(entry)
    manifests: dict[str, bool] = {}
    for entry in sorted(found.objects, key=lambda entry: "/running/" in entry.name):
        folder = entry.name.rpartition("/")[0]
        if folder not in manifests:
            manifests[folder] = catalogue.store.get(f"{folder}/{_manifest.MANIFEST}") is not None
        if not manifests[folder]:
            catalogue.store.delete(entry.name)
