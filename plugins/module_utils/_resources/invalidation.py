# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Invalidation (S037 to S040): what would go is counted first, held against limits, then removed and looked at again."""

from __future__ import annotations

import re
import typing as t

from .._errors import ApiError, CachingError, one_line
from .._http import Answer
from .._reconcile import Object
from .._service import Service
from .._wait import Deadline
from .invalidation_items import Item, report
from .regions import Regions
from .request_record import RequestRecord

if t.TYPE_CHECKING:
    from .._redis import Redis

_COUNTS = re.compile(
    r"^(removed|invalidated|deleted|cleared|evicted|affected)(_?(count|entries|keys|total))?$"
    r"|^(entries|keys)(removed|invalidated|deleted|cleared)$", re.IGNORECASE
)
_PLACE = re.compile(r"\{(\w+)\}")
_CHUNK = 200


class Invalidation:
    """The invalidations of one run."""

    def __init__(self, service: Service, redis: Redis | None, items: list[Item], params: t.Mapping[str, t.Any], count_timeout: float) -> None:
        self.service = service
        self.redis = redis
        self.items = items
        self.key_format = params["key_format"]
        self.tag_format = params.get("tag_format")
        self.count_timeout = count_timeout
        self._source = Regions(service)
        self._regions = self._source.read()
        self._seen: set[bytes] = set()
        for option, pattern, part in (("key_format", self.key_format, "key"), ("tag_format", self.tag_format or "{region}{tag}", "tag")):
            if f"{{{part}}}" not in pattern or not set(_PLACE.findall(pattern)) <= {"region", part}:
                raise CachingError(f"{option}: {one_line(repr(pattern), 60)} must hold {{{part}}}, and may hold {{region}}")
        missing = [name for item in items for name in item.regions if name not in self._regions]
        if missing:
            known = ", ".join(sorted(self._regions)[:10]) or "none"
            raise CachingError(f"invalidations: there is no region {', '.join(dict.fromkeys(missing))} (the service has {known}); nothing was removed")

    def count(self) -> None:
        """Fill in ``matched`` of every item; it stays None where it can't be told in time."""
        deadline = Deadline(self.count_timeout)
        for item in self.items:
            counters = {"key": self._count_keys, "pattern": self._count_pattern, "tags": self._count_tags, "region": self._count_region}
            item.by_region = {region: None if deadline.over else counters[item.kind](item, region, deadline) for region in item.regions}
            known = [number for number in item.by_region.values() if number is not None]
            item.matched = sum(known) if len(known) == len(item.regions) else None
            item.status = "unchanged" if item.matched == 0 else item.status

    def _count_region(self, _item: Item, region: str, deadline: Deadline) -> int | None:
        return self.size(region, deadline, self._regions[region])

    def size(self, region: str, deadline: Deadline, have: Object) -> int | None:
        """How many entries a region holds: as listed in ``have``, by its statistics, or else by Redis."""
        told = self._source.size(region, have)
        if told is None and self.redis is not None:
            found = self.redis.scan([self._pattern(region, "*")], deadline.left)
            told = None if found is None else len(found[0])
        return told

    def _count_keys(self, item: Item, region: str, deadline: Deadline) -> int | None:
        """By the service itself (HEAD): whatever it is that it keeps them in."""
        def exists(key: str) -> bool | None:
            if deadline.over:
                return None
            try:
                return self.service.call("key_exists", region=region, key=key, expect=(404,)).ok
            except ApiError as error:
                if error.status in (405, 501):
                    return None
                raise

        found = self.service.each(exists, item.keys)
        return None if None in found else sum(map(bool, found))

    def _count_pattern(self, item: Item, region: str, deadline: Deadline) -> int | None:
        if self.redis is None:
            return None
        found = self.redis.scan([self._pattern(region, item.pattern)], deadline.left)
        if found is None:
            return None
        if not found[0] and not self._format_fits(region, deadline):
            return None
        return self._new(item, found[0])

    def _format_fits(self, region: str, deadline: Deadline) -> bool:
        """Nothing found may also mean that entries are named in another way: a region with entries must show one."""
        told = self._source.size(region, self._regions[region])
        if not told or self.redis is None:
            return True
        every = self.redis.scan([self._pattern(region, "*")], deadline.left)
        return every is not None and bool(every[0])

    def _count_tags(self, item: Item, region: str, _deadline: Deadline) -> int | None:
        """An entry with any of the tags counts."""
        if self.redis is None or not self.tag_format:
            return None
        prefix = _fill(self.key_format, region=region, key="").encode()
        names: set[bytes] = set()
        for tag in item.tags:
            members = self.redis.members(_fill(self.tag_format, region=region, tag=tag))
            names.update(member if member.startswith(prefix) else prefix + member for member in members)
        return self._new(item, self.redis.existing(names))

    def _new(self, item: Item, found: set[bytes]) -> int:
        """How many of the entries that were found for ``item`` no earlier item removes: none is counted twice."""
        new = found - self._seen
        self._seen |= new
        item.entries = (item.entries or set()) | new
        return len(new)

    def _pattern(self, region: str, pattern: str) -> str:
        """A MATCH pattern: only ``pattern`` may hold wildcards, the region and what is around it mean just themselves."""
        from .._redis import literal  # loaded already where Redis is asked, and slow to import where it isn't

        marked = _fill(self.key_format, region=region, key="\0")
        return pattern.join(literal(part) for part in marked.split("\0"))

    def refusals(self, max_entries: int, max_percent: float, allow_uncounted: bool, protected: t.Collection[str]) -> list[str]:
        """Why nothing may be removed. All items are held against the limits before any of them is removed."""
        told = []
        share: dict[str, int] = {}
        for item in self.items:
            if item.kind in ("pattern", "tags"):
                for region, number in item.by_region.items():
                    share[region] = share.get(region, 0) + (number or 0)
            guarded = [name for name in item.regions if name in protected and self._clears(item, name, share.get(name, 0))]
            if guarded:
                told.append(f"{', '.join(guarded)} is protected: it is never cleared")
            if item.kind == "region" and max_percent < 100:
                told.append(f"{item}: clearing a region needs max_percent 100, not {max_percent:g}")
            if item.matched is None and not allow_uncounted and not (item.kind == "key" and self._fewest(item) <= max_entries):
                told.append(f"{item} can't be counted ({self._why_uncounted(item)}); allow_uncounted: true removes it without limits")
        total = sum(item.matched or 0 for item in self.items)
        if total > max_entries:
            told.append(f"{total} entries match, more than max_entries {max_entries}")
        return told + [text for region, number in share.items() if (text := self._share(region, number, max_percent, allow_uncounted))]

    def _clears(self, item: Item, region: str, number: int) -> bool:
        """Whether nothing of a region would be left by this item and those before, ``number`` entries; or that can't be told."""
        if item.kind == "key":
            return False
        if item.kind == "region" or item.pattern and not item.pattern.strip("*"):
            return True
        size = self.size(region, Deadline(self.count_timeout), self._regions[region])
        return item.by_region.get(region) is None or size is None or 0 < size <= number

    def _fewest(self, item: Item) -> int:
        return len(item.keys) * len(item.regions)

    def _share(self, region: str, number: int, max_percent: float, allow_uncounted: bool) -> str:
        if not number or max_percent >= 100:
            return ""
        size = self.size(region, Deadline(self.count_timeout), self._regions[region])
        if size is None:
            return "" if allow_uncounted else f"the size of {region} is not known, so max_percent {max_percent:g} can't be kept"
        percent = 100.0 * number / max(size, number)
        return f"{number} of {size} entries of {region} match ({percent:.1f} %), more than max_percent {max_percent:g}" if percent > max_percent else ""

    def _why_uncounted(self, item: Item) -> str:
        if item.kind == "tags" and not self.tag_format:
            return "tag_format is not given"
        if item.kind in ("pattern", "tags") and self.redis is None:
            return "redis_nodes are not given"
        if item.kind == "pattern":
            return f"not within count_timeout, or no key in Redis is named {self.key_format}"
        return "the service does not tell it"

    def run(self, record: RequestRecord | None, wait_timeout: float, warn: t.Callable[[str], None]) -> dict[str, t.Any]:
        """Remove one item after the other. What is done is recorded at once, so that a run that dies can be taken up."""
        done = record.start() if record else []
        for number, item in enumerate(self.items):
            earlier = done[number] if number < len(done) else None
            if earlier is not None:
                item.removed, item.source, item.status = earlier.get("removed"), earlier.get("removed_source", "unknown"), "removed earlier"
                continue
            if item.matched == 0:
                continue
            try:
                self.remove(item, wait_timeout, warn)
            except CachingError as error:
                item.status, item.error, item.removed = "failed", error.message, self._gone(item, error)
                if record:
                    self._keep(record.release)
                raise CachingError(f"{item} failed: {error.message}", changed=_changed(self.items), **report(self.items)) from None
            item.status = "removed"
            if record:
                self._keep(record.part, number, item.result())
        result = {**report(self.items), "changed": _changed(self.items)}
        if record:
            self._keep(record.finish, result)
        return result

    def _keep(self, keep: t.Callable[..., None], *what: t.Any) -> None:
        """Write to the record. What was removed is told where that fails, too."""
        try:
            keep(*what)
        except CachingError as error:
            told = "; ".join(f"{item}: {item.error}" for item in self.items if item.error)
            raise CachingError("; ".join(filter(None, (told, f"request_id: {error.message}"))), changed=_changed(self.items), **report(self.items)) from None

    def _gone(self, item: Item, error: CachingError) -> int | None:
        """How many entries are gone although the removal failed; None where that is not known."""
        try:
            left = self._still(item)
        except CachingError:
            left = None
        if left is not None and item.matched is not None:
            return item.matched - min(left, item.matched)
        return None if item.acknowledged or error.may_have_acted else 0

    def remove(self, item: Item, wait_timeout: float, warn: t.Callable[[str], None]) -> None:
        """Remove one item and look whether it is gone."""
        later, counts = False, []
        for answer in self._send(item):
            item.acknowledged = True
            later = later or answer.status == 202
            counts.append(_told(answer))
        claimed = None if later or None in counts else sum(count for count in counts if count is not None)
        left = self._left(item, wait_timeout if later else 0.0)
        item.remaining = left
        gone = None if left is None or item.matched is None else item.matched - min(left, item.matched)
        item.removed, item.source = (claimed, "service") if claimed is not None else (gone, "counted" if gone is not None else "unknown")
        if later and left:
            raise CachingError(f"{item}: the service accepted it, but {left} of {item.matched} entries are still there after {wait_timeout:g} s")
        if item.matched and gone == 0 and not claimed:
            raise CachingError(f"{item}: the service answered with success, but none of {item.matched} entries is gone")
        if item.matched and gone == 0:
            warn(f"{item}: the service says that it removed {claimed}, but all {item.matched} entries are there: written again since, or never removed")

    def _send(self, item: Item) -> t.Iterator[Answer]:
        """Removing twice does no harm, so a request that got no answer may be sent again."""
        if item.kind == "pattern":
            yield self.service.call("invalidate_by_pattern", {"pattern": item.pattern, "regions": item.regions}, repeatable=True)
        elif item.kind == "tags":
            yield self.service.call("invalidate_by_tags", {"tags": item.tags, "regions": item.regions}, repeatable=True)
        elif item.kind == "region":
            for region in item.regions:
                yield self.service.call("clear_region", region=region)
        else:
            rows = [{"type": "key", "region": region, "identifier": key} for region in item.regions for key in item.keys]
            for start in range(0, len(rows), _CHUNK):
                yield self.service.call("bulk_invalidation", {"invalidations": rows[start : start + _CHUNK]}, repeatable=True)

    def _left(self, item: Item, timeout: float) -> int | None:
        """How many of the entries that were counted are still there; what is written again meanwhile counts as there."""
        deadline = Deadline(timeout)
        pause = 0.1
        while True:
            last_look = deadline.over
            left = self._still(item)
            if not left or last_look:
                return left
            deadline.pause(pause)
            pause = min(2.0, pause * 2)

    def _still(self, item: Item) -> int | None:
        if not item.matched:
            return item.matched
        if item.entries is not None and self.redis is not None:
            return len(self.redis.existing(item.entries))
        deadline = Deadline(self.count_timeout)
        if item.kind == "key":
            counts = [self._count_keys(item, region, deadline) for region in item.regions]
        else:
            counts = [self.size(region, deadline, {}) for region in item.regions]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


def _changed(items: t.Sequence[Item]) -> bool:
    """Whether this run removed anything; what is not known counts as removed."""
    return any(item.status in ("removed", "failed") and item.removed != 0 for item in items)


def _fill(pattern: str, **parts: str) -> str:
    return _PLACE.sub(lambda found: parts[found.group(1)], pattern)


def _told(answer: Answer) -> int | None:
    """The number of removed entries in an answer, or None where it tells none."""
    try:
        data = answer.json()
    except CachingError:
        return None
    if isinstance(data, int) and not isinstance(data, bool):
        return data
    if not isinstance(data, dict):
        return None
    numbers = {str(name): value for name, value in data.items() if isinstance(value, int) and not isinstance(value, bool)}
    found = [value for name, value in numbers.items() if _COUNTS.match(name)] or [value for name, value in numbers.items() if name in ("count", "total")]
    return found[0] if found else None
