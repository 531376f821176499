# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a user wants removed from the cache (S037 to S040), as items that know what became of them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._errors import CachingError
from .regions import check_name

_WORDS = {"key": "keys", "pattern": "pattern", "tags": "tags", "region": ""}


@dataclass
class Item:
    """One invalidation as declared, and what is known of it. ``entries`` are Redis keys, where Redis was asked."""

    kind: str
    regions: list[str]
    keys: list[str] = field(default_factory=list)
    pattern: str = ""
    tags: list[str] = field(default_factory=list)
    matched: int | None = None
    by_region: dict[str, int | None] = field(default_factory=dict)
    entries: set[bytes] | None = None
    remaining: int | None = None
    removed: int | None = 0
    source: str = "counted"
    acknowledged: bool = False
    status: str = "not tried"
    error: str = ""

    def request(self) -> dict[str, t.Any]:
        word = _WORDS[self.kind]
        return {"type": self.kind, "regions": self.regions, **({word: getattr(self, word)} if word else {})}

    def result(self) -> dict[str, t.Any]:
        told = {"matched": self.matched, "removed": self.removed, "removed_source": self.source, "remaining": self.remaining, "status": self.status}
        request = {"key_names" if word == "keys" else word: value for word, value in self.request().items()}  # no name of a dict method
        return {**request, **told, **({"error": self.error} if self.error else {})}

    def __str__(self) -> str:
        what = self.pattern or ", ".join((self.keys or self.tags)[:3])
        return f"{self.kind} {what} of {', '.join(self.regions)}" if what else f"all of {', '.join(self.regions)}"


def declared(invalidations: t.Sequence[t.Mapping[str, t.Any]]) -> list[Item]:
    """The option ``invalidations`` as items; what doesn't fit together is refused."""
    return [_item(given, f"invalidations[{number}]") for number, given in enumerate(invalidations)]


def _item(given: t.Mapping[str, t.Any], where: str) -> Item:
    kind = given["type"]
    names = list(given.get("regions") or []) + ([given["region"]] if given.get("region") else [])
    if not names or given.get("regions") and given.get("region"):
        raise CachingError(f"{where}: give region, or regions")
    keys, pattern = list(given.get("keys") or []), given.get("pattern") or ""
    if given.get("identifier") is not None and kind == "pattern":
        pattern = pattern or given["identifier"]
    elif given.get("identifier") is not None:
        keys.append(given["identifier"])
    item = Item(kind, [check_name(name, where) for name in dict.fromkeys(names)], list(dict.fromkeys(keys)), pattern, list(given.get("tags") or []))
    told = {"keys": bool(item.keys), "pattern": bool(item.pattern), "tags": bool(item.tags)}
    wanted = _WORDS[kind]
    extra = [word for word, is_told in told.items() if is_told and word != wanted]
    if extra or wanted and not told[wanted]:
        needs = f"needs {wanted}" if wanted else "clears whole regions"
        raise CachingError(f"{where}: type {kind} {needs}{', and takes no ' + ', '.join(extra) if extra else ''}")
    if any(not key for key in item.keys + item.tags):
        raise CachingError(f"{where}: an empty key or tag can't be meant")
    if odd := {".", ".."}.intersection(item.keys):
        raise CachingError(f"{where}: the key {min(odd)!r} can't be asked for, as it can't stand in the path of a URL; use a pattern")
    return item


def report(items: t.Sequence[Item]) -> dict[str, t.Any]:
    """The numbers of all items together, and of each."""
    def total(numbers: list[int | None]) -> int | None:
        return None if None in numbers else sum(number or 0 for number in numbers)

    sources = {item.source for item in items if item.status == "removed"}
    source = next((name for name in ("unknown", "counted", "service") if name in sources), "counted")
    return {
        "matched": total([item.matched for item in items]), "removed": total([item.removed for item in items]),
        "removed_source": source, "results": [item.result() for item in items],
    }


def diff(items: t.Sequence[Item]) -> dict[str, t.Any]:
    """How many entries match before, and none after."""
    hit = {f"{number + 1}: {item}": item for number, item in enumerate(items) if item.matched != 0}
    return {
        "before": {name: "not counted" if item.matched is None else item.matched for name, item in hit.items()},
        "after": dict.fromkeys(hit, 0),
    }
