# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters and timers of this process, in the shape of Spring Boot's metrics endpoint."""

from __future__ import annotations

import gc
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

KEYS_KEPT = 1000


@dataclass(slots=True)
class Timer:
    number: int = 0
    total: float = 0.0
    longest: float = 0.0

    def record(self, seconds: float) -> None:
        self.number += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    def measurements(self) -> list[tuple[str, float]]:
        return [("COUNT", self.number), ("TOTAL_TIME", self.total), ("MAX", self.longest)]


def merge(timers: list[Timer]) -> Timer:
    return Timer(
        sum(timer.number for timer in timers),
        sum(timer.total for timer in timers),
        max((timer.longest for timer in timers), default=0.0),
    )


@dataclass(slots=True)
class RegionMeters:
    hits: int = 0
    misses: int = 0
    puts: int = 0
    removals: int = 0
    evictions: int = 0
    keys: Counter[str] = field(default_factory=Counter)  # reads of each key, of the most read ones

    @property
    def gets(self) -> int:
        return self.hits + self.misses

    def hit_rate(self) -> float | None:
        return self.hits / self.gets if self.gets else None

    def read(self, key: str, *, found: bool) -> None:
        self.hits += found
        self.misses += not found
        self.keys[key] += 1
        if len(self.keys) > KEYS_KEPT:
            self.keys = Counter(dict(self.keys.most_common(KEYS_KEPT // 2)))


@dataclass(slots=True)
class Meters:
    """What this process has counted since it started."""

    requests: dict[tuple[str, str], Timer] = field(default_factory=lambda: defaultdict(Timer))  # (method, status)
    regions: dict[str, RegionMeters] = field(default_factory=lambda: defaultdict(RegionMeters))
    pauses: Timer = field(default_factory=Timer)
    started: float = field(default_factory=time.time)
    _pause_began: float = 0.0

    def watch_collections(self) -> None:
        """Times every pause of Python's garbage collector: what jvm.gc.pause stands for here."""

        def on_collection(phase: str, _info: dict[str, int]) -> None:
            if phase == "start":
                self._pause_began = time.perf_counter()
            elif self._pause_began:
                self.pauses.record(time.perf_counter() - self._pause_began)

        gc.callbacks.append(on_collection)


@dataclass(slots=True)
class Reading:
    """One metric: its rows are (tags, measurements)."""

    name: str
    description: str
    unit: str | None
    rows: list[tuple[dict[str, str], list[tuple[str, float]]]]

    def answer(self, wanted: list[tuple[str, str]]) -> dict[str, Any] | None:
        """Spring's answer for the rows that have all the wanted tags; None if no row has them."""
        chosen = [row for row in self.rows if all(row[0].get(name) == value for name, value in wanted)]
        if not chosen and (wanted or self.rows):
            return None
        totals: dict[str, float] = {}
        for _tags, measurements in chosen:
            for statistic, value in measurements:
                total = totals.get(statistic, 0)
                totals[statistic] = max(total, value) if statistic == "MAX" else total + value
        tags: dict[str, set[str]] = defaultdict(set)
        for row_tags, _measurements in chosen:
            for tag, label in row_tags.items():
                if (tag, label) not in wanted:
                    tags[tag].add(label)
        return {
            "name": self.name,
            "description": self.description,
            "baseUnit": self.unit,
            "measurements": [{"statistic": name, "value": value} for name, value in totals.items()],
            "availableTags": [{"tag": name, "values": sorted(values)} for name, values in sorted(tags.items())],
        }
