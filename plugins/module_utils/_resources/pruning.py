# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Removing backups by a policy (S110): never the newest that verifies now, never what is held, and what dead runs left."""

from __future__ import annotations

import typing as t

from .. import _manifest
from .._duration import parse
from .._errors import CachingError, one_line
from .._retention import Candidate, Policy, checked, decide
from . import backup_life, verification
from .catalogue import Catalogue, Set

_COUNTS = ("last", "hourly", "daily", "weekly", "monthly")


class Pruning:
    """What the options of redis_backup_prune mean for the sets that are there."""

    def __init__(self, params: t.Mapping[str, t.Any], catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.minimum: int = params["minimum_redundancy"]
        within = float(parse(params["keep_within"], "keep_within")) if params["keep_within"] else 0.0
        self.policy = checked(Policy(**{name: params[f"keep_{name}"] for name in _COUNTS}, within=within), self.minimum)
        self.hold, self.release = list(params["hold"]), list(params["release"])
        self.sets: list[Set] = []
        self.reasons: dict[str, str] = {}
        self.removed: list[str] = []
        self.leftovers = backup_life.Leftovers([], [], [])
        self.uncollected: list[str] = []

    def look(self) -> None:
        """Decide. It only reads, and reads the newest sets whole."""
        self.sets = self.catalogue.sets()
        known = {one.id for one in self.sets}
        for name in self.hold:   # what is to be released may be gone already, by an earlier run of the same task
            if name not in known:
                raise CachingError(f"hold: there is no backup {one_line(repr(name), 60)} of {self.catalogue.cluster}")
        if set(self.hold) & set(self.release):
            raise CachingError("hold and release: the same backup stands in both")
        held = {one.id for one in self.sets if one.held}
        self.hold = [name for name in self.hold if name not in held]
        self.release = [name for name in self.release if name in held]
        for one in self.sets:
            one.held = (one.held or one.id in self.hold) and one.id not in self.release
        self._decide(self._safe())
        self.removed = [one.id for one in self.sets if not self.reasons[one.id]]
        self.leftovers = backup_life.leftovers(self.catalogue)

    def _decide(self, safe: t.Mapping[str, str]) -> None:
        """What was never verified is read whole before it fills a place that a good one could have."""
        now = int(self.catalogue.now() * 1000)
        while True:
            rows = [Candidate(one.id, one.kind, one.started, one.held, one.problem) for one in self.sets]
            self.reasons = decide(rows, self.policy, safe, now)
            doubtful = [one for one in self.sets if self.reasons[one.id] and not one.problem and one.verified is None]
            if not doubtful:
                return
            verification.survey(self.catalogue, doubtful, "checksums")

    def _safe(self) -> dict[str, str]:
        """The newest regular ones that verify now, as many as have to stay. What does not verify is told, and counts for nothing."""
        safe: dict[str, str] = {}
        for one in self.sets:
            if len(safe) >= self.minimum:
                break
            if one.kind == "regular" and not one.problem:
                verification.survey(self.catalogue, [one], "checksums")
                if not one.problem:
                    safe[one.id] = "minimum_redundancy" if safe else "the newest that verifies"
        return safe

    @property
    def changes(self) -> bool:
        return bool(self.removed or self.hold or self.release or self.leftovers.names)

    @property
    def results(self) -> dict[str, t.Any]:
        removed = set(self.removed)
        return {
            "kept": [one.id for one in self.sets if one.id not in removed], "removed": self.removed, "reasons": self.reasons,
            "problems": [f"{one.id}: {one.problem}" for one in self.sets if one.problem], "leftovers": self.leftovers.names,
            "diff": {
                "before": {"backups": [one.id for one in self.sets], "leftovers": self.leftovers.names},
                "after": {"backups": [one.id for one in self.sets if one.id not in removed], "leftovers": self.uncollected},
            } if self.changes else {"before": {}, "after": {}},
        }

    def act(self) -> None:
        """What was planned. After a failure the results tell what of it was done."""
        store, prefix = self.catalogue.store, _manifest.folder(self.catalogue.cluster)
        planned, self.removed, touched = self.removed, [], False
        self.uncollected = self.leftovers.names
        try:
            for name in self.hold:
                touched |= store.put_if_absent(f"{prefix}/holds/{name}", b"{}\n")
            for name in self.release:
                store.delete(f"{prefix}/holds/{name}")
                touched = True
            by_id = {one.id: one for one in self.sets}
            for identifier in planned:
                if store.get(f"{prefix}/holds/{identifier}") is not None:
                    raise CachingError(f"{identifier} was held by somebody else meanwhile; nothing more was removed")
                self._remove(by_id[identifier])
            touched |= bool(self.uncollected)
            backup_life.collect(self.catalogue, self.leftovers)
            self.uncollected = []
            left = {one.id for one in self.catalogue.sets()} & set(self.removed)
            if left:
                raise CachingError(f"still in the store after their removal: {', '.join(sorted(left))}")
        except CachingError as error:
            self.reasons.update({name: "to be removed, but the run failed" for name in planned if name not in self.removed})
            raise CachingError(error.message, **{**self.results, "changed": touched or bool(self.removed)}) from None

    def _remove(self, one: Set) -> None:
        """The manifest first: what is left of a removal that breaks off is no backup any more, and the next run collects it."""
        folder = _manifest.folder(self.catalogue.cluster, one.id)
        self.catalogue.store.delete(f"{folder}/{_manifest.MANIFEST}")
        self.removed.append(one.id)
        for entry in self.catalogue.store.entries(folder):
            self.catalogue.store.delete(entry.name)
