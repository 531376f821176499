# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The catalogue as a result: what is there, what counts, how old it is."""

from __future__ import annotations

import time
import typing as t

from .. import _manifest
from .._duration import parse
from .._errors import CachingError
from .._manifest import Content
from . import backup, backup_life, verification
from .catalogue import Catalogue, Set
from .scratch_load import Command, load


class Survey:
    """All sets of a cluster, or one, verified as deep as is asked for."""

    def __init__(self, params: t.Mapping[str, t.Any], catalogue: Catalogue, command: Command) -> None:
        self.params = params
        self.catalogue = catalogue
        self._command = command
        self.max_age = float(parse(params["max_age"], "max_age")) if params["max_age"] else None
        if params["fail_if_older"] and self.max_age is None:
            raise CachingError("fail_if_older: it needs max_age")
        self.not_done: dict[str, str] = {}
        self.all: list[Set] = []
        self.found: list[Set] = []   # those that are asked for
        self.problems: list[str] = []
        self.running: list[str] = []

    def look(self) -> None:
        wanted = self.params["id"]
        self.all = self.found = self.catalogue.sets()
        if wanted and wanted != "newest":
            self.found = [one for one in self.all if one.id == wanted]
            if not self.found and wanted in self.catalogue.leftovers():
                self.problems = [f"{wanted}: it has no manifest: its run failed, or is not finished"]
            elif not self.found:
                self.catalogue.load(wanted)  # it says why not
        else:
            dead = backup_life.leftovers(self.catalogue)
            incomplete = self.catalogue.leftovers()
            self.running = sorted(set(incomplete) - set(dead.runs))
            self.problems = [f"{identifier}: it has no manifest: its run failed; redis_backup_prune removes it" for identifier in dead.runs]
            if wanted == "newest":
                self.found = [one for one in [self.catalogue.newest(found=self.found)] if one]
        self._verify()
        self.problems += [f"{one.id}: {one.problem}" for one in self.found if one.problem]

    def _verify(self) -> None:
        level = self.params["verify"]
        verification.survey(self.catalogue, self.found, "structure" if level == "load" else level)
        for one in self.found:
            if one.problem or level in ("none", "objects"):
                continue
            if one.manifest["encryption"] and not self.catalogue.identities:
                self.not_done[one.id] = f"{level}: it is encrypted, and no identity is given"
            elif level == "load":
                self._load(one)

    def _load(self, one: Set) -> None:
        if not self.params["redis_server_path"]:
            self.not_done[one.id] = "load: redis_server_path is not given"
            return
        try:
            load(self.catalogue, one, self.params["redis_server_path"], self._command)
        except CachingError as error:
            if error.message.startswith("redis_server_path"):
                raise
            one.problem, one.verified = error.message, None
        else:
            one.verified = "load"

    def results(self) -> Content:
        now = time.time()
        newest = self.catalogue.newest(found=self.all)
        age = None if newest is None else max(0.0, now - newest.started / 1000)
        old = self._old(newest, age)
        problems = [*self.problems, *([old] if old else [])]
        result: Content = {
            "backups": [self._row(one, now) for one in self.found], "newest_verified": newest.id if newest else None,
            "age": None if age is None else round(age, 1), "fresh": None if self.max_age is None else not old, "problems": problems,
            "not_done": self.not_done, "running": self.running, "metrics": self._metrics(newest, age, len(problems)),
        }
        if old and self.params["fail_if_older"]:
            raise CachingError(old, **result)
        return result

    def _old(self, newest: Set | None, age: float | None) -> str:
        if self.max_age is None:
            return ""
        if newest is None or age is None:
            return f"there is no verified regular backup of {self.catalogue.cluster}"
        if age <= self.max_age:
            return ""
        return f"the newest verified backup of {self.catalogue.cluster}, {newest.id}, is {age:.0f} s old, more than max_age ({self.max_age:.0f} s)"

    def _row(self, one: Set, now: float) -> Content:
        known = backup.result(one.manifest, not one.problem and one.verified is not None) if one.manifest else {"id": one.id, "verified": False}
        known.pop("verify_seconds", None)
        return {**known, "age": round(max(0.0, now - one.started / 1000), 1), "level": one.verified, "signature": one.signature or None,
                "held": one.held, "problem": one.problem, "job_id": one.manifest.get("job_id")}

    def _metrics(self, newest: Set | None, age: float | None, problems: int) -> Content:
        """Gauges, for whoever keeps them; age and time are null where there is no verified backup."""
        counted = [one for one in self.all if not one.problem]
        return {
            "exalt_cache_backup_age_seconds": None if age is None else round(age, 1),
            "exalt_cache_backup_newest_verified_timestamp_seconds": None if newest is None else newest.started / 1000,
            "exalt_cache_backup_sets": len(counted), "exalt_cache_backup_verified_sets": sum(one.verified is not None for one in counted),
            "exalt_cache_backup_problems": problems,
            "exalt_cache_backup_stored_bytes": sum(entry["stored_bytes"] for one in counted for entry in _manifest.objects(one.manifest)),
        }
